"""Exported tensors, and PyTorch's LSTM in NumPy, by the equations of its documentation."""

import json

import numpy as np
from safetensors import safe_open

import reference


def read_export(path):
    with safe_open(path, "np") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        return tensors, json.loads(file.metadata()["lstmcli_export"])


def documented_lstm(tensors, features, layers):
    """PyTorch's LSTM, as the equations in the documentation of `torch.nn.LSTM` have it."""
    x = features
    for layer in range(layers):
        weights = [
            tensors[f"lstm.{name}_l{layer}"]
            for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        ]
        x = documented_layer(x, *weights)
    return x @ tensors["linear.weight"].T + tensors["linear.bias"]


def documented_layer(x, w_ih, w_hh, b_ih, b_hh):
    (w_ii, w_if, w_ig, w_io), (w_hi, w_hf, w_hg, w_ho) = np.split(w_ih, 4), np.split(w_hh, 4)
    (b_ii, b_if, b_ig, b_io), (b_hi, b_hf, b_hg, b_ho) = np.split(b_ih, 4), np.split(b_hh, 4)
    h = c = np.zeros((len(x), len(b_ii)))
    found = []
    for step in x.swapaxes(0, 1):
        i = reference.sigmoid(step @ w_ii.T + b_ii + h @ w_hi.T + b_hi)
        f = reference.sigmoid(step @ w_if.T + b_if + h @ w_hf.T + b_hf)
        g = np.tanh(step @ w_ig.T + b_ig + h @ w_hg.T + b_hg)
        o = reference.sigmoid(step @ w_io.T + b_io + h @ w_ho.T + b_ho)
        c = f * c + i * g
        h = o * np.tanh(c)
        found.append(h)
    return np.stack(found, 1)
