"""The stacked LSTM in plain NumPy, one step, one layer and one replica at a time."""

from __future__ import annotations

import numpy as np


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def forward(parameters, state, inputs, layers):
    """Logits `[T, B, C]` and the state after; state is `[L, 2, B, S]`, inputs are `[T, B, F]`."""
    state, logits = state.copy(), []
    for step in inputs:
        x = step
        for layer in range(layers):
            kernel, recurrent, bias = (
                parameters[f"lstm.{layer}.{part}"]
                for part in ("kernel", "recurrent_kernel", "bias")
            )
            c, h = state[layer]
            i, f, g, o = np.split(x @ kernel + h @ recurrent + bias, 4, axis=1)
            c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
            h = sigmoid(o) * np.tanh(c)
            state[layer] = c, h
            x = h
        logits.append(x @ parameters["dense.kernel"] + parameters["dense.bias"])
    return np.stack(logits), state


def mean_loss(parameters, state, inputs, labels, layers):
    logits, _ = forward(parameters, state, inputs, layers)
    largest = logits.max(-1, keepdims=True)
    log_sum = np.log(np.exp(logits - largest).sum(-1)) + largest[..., 0]
    return (log_sum - np.take_along_axis(logits, labels[..., None], -1)[..., 0]).mean()


def numeric_gradient(parameters, state, inputs, labels, layers, width=1e-5):
    """Central differences of the mean loss, for each parameter."""
    gradient = {}
    for name, array in parameters.items():
        slopes = np.zeros_like(array)
        for index in np.ndindex(array.shape):
            sides = []
            for sign in (1, -1):
                moved = array.copy()
                moved[index] += sign * width
                sides.append(mean_loss(parameters | {name: moved}, state, inputs, labels, layers))
            slopes[index] = (sides[0] - sides[1]) / (2 * width)
        gradient[name] = slopes
    return gradient


def autoregression(model, inputs, last):
    """Targets of one recording `[steps, D]` from standardised inputs and last values."""
    steps, lags = np.arange(len(inputs)), np.arange(len(model.weights))
    past = inputs[np.maximum(steps[:, None] - lags, 0)]
    return last + np.einsum("sli,lid->sd", past, model.weights) + model.intercept
