"""The gradient of single steps' losses to all that came before, in plain NumPy: no TensorFlow here.

For `forward.unroll`'s networks: backpropagation through time of the loss of a last step, for many
rows side by side. Shapes are written with R networks, L layers, S units, B rows, T steps, F input
features, C classes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from lstmcli.core import forward
from lstmcli.core.forward import Array, Given, Network


class Slopes(NamedTuple):
    """The derivatives of a layer's steps, as those of `core/model.py`.

    Attributes:
        gates: of c to z_i, z_f, z_g, and of h to z_o: `[T, R, B, 4S]`; z as `forward.Network` has
            it, halved for i, f and o.
        forget: of c to the c before: `[T, R, B, S]`.
        output: of h to c: `[T, R, B, S]`.
    """

    gates: Array
    forget: Array
    output: Array


class Gradient(NamedTuple):
    """The gradient of the last step's loss to an earlier step.

    Attributes:
        inputs: to the input, one-hot where it is a symbol: `[R, B, F]`.
        states: to each layer's c and h, each while the other is held: `[L, 2, R, B, S]`.
    """

    inputs: Array
    states: Array


def slopes(networks: Network, state: Array, given: Given, states: Array) -> list[Slopes]:
    """The derivatives of all steps, by layer.

    Args:
        networks: as `forward.side_by_side` gives them.
        state: before the first step: `[L, 2, R, B, S]`.
        given: the inputs.
        states: after each step, as `forward.unroll` gives them: `[T, L, 2, R, B, S]`.
    """
    before = np.concatenate([state[None], states[:-1]])
    if given.carried is not None:
        before = before * given.carried[:, None, None]
    found = []
    for layer, recurrent in enumerate(networks.recurrent):
        z = forward.pre_activations(networks, layer, given, states[:, layer - 1, 1])
        z += before[:, layer, 1] @ recurrent
        found.append(_slopes(np.tanh(z), before[:, layer, 0], np.tanh(states[:, layer, 0])))
    return found


def _slopes(tanh_z: Array, c: Array, tanh_c: Array) -> Slopes:
    i, f, _, o = np.split(0.5 * tanh_z + 0.5, 4, axis=-1)
    _, _, g, _ = np.split(tanh_z, 4, axis=-1)
    reached = np.concatenate([g / 2, c / 2, i, tanh_c / 2], -1)  # d sigmoid(2 z) / dz has a half.
    return Slopes((1 - tanh_z * tanh_z) * reached, f, o * (1 - tanh_c * tanh_c))


def of_loss(logits: Array, targets: npt.NDArray[Any], head: str) -> Array:
    """The gradient of each loss to what the output layer gives: `[…, C]`.

    Args:
        logits: `[…, C]`.
        targets: classes `[…]`, or numbers `[…, C]`, NaN where one of several is not known.
        head: `softmax` (cross-entropy) or `linear` (mean squared error).
    """
    if head == "linear":
        errors = np.where(np.isnan(targets), 0, logits - targets)
        return np.asarray(errors * (2 / logits.shape[-1]))
    exponentials = np.exp(logits - logits.max(-1, keepdims=True))
    one_hot = targets[..., None] == np.arange(logits.shape[-1])
    return np.asarray(exponentials / exponentials.sum(-1, keepdims=True) - one_hot)


def back(
    networks: Network, found: Sequence[Slopes], given: Given, outputs: Array
) -> Iterator[Gradient]:
    """Yields the gradient of the last step's loss to that step, to the one before, and so on.

    Args:
        networks: as `forward.side_by_side` gives them.
        found: as `slopes` gives them.
        given: the inputs.
        outputs: the gradient to the last step's outputs: `[R, B, C]`.
    """
    inputs = np.concatenate([networks.numbers, *(rows[:, :-1] for rows in networks.symbols)], 1)
    kernels = [inputs, *(kernel for kernel, _ in networks.upward)]
    layers, last = len(found), len(found[0].gates) - 1
    states = np.zeros((layers, 2, *found[0].forget.shape[1:]), outputs.dtype)
    for step in range(last, -1, -1):
        above = outputs if step == last else np.zeros_like(outputs)
        carried = np.empty_like(states)
        for layer in reversed(range(layers)):
            slopes_here = [part[step] for part in found[layer]]
            states[layer, 1] += above @ kernels[layer + 1].swapaxes(-1, -2)
            above, states[layer, 0], carried[layer, 0] = _cell(states[layer], slopes_here)
            carried[layer, 1] = above @ networks.recurrent[layer].swapaxes(-1, -2)
        yield Gradient(above @ kernels[0].swapaxes(-1, -2), states)
        states = carried if given.carried is None else carried * given.carried[step]


def _cell(state: Array, found: Sequence[Array]) -> tuple[Array, Array, Array]:
    """The gradient to a step's z `[R, B, 4S]`, to its c, and to the c before."""
    gates, forget, output = found
    from_next, dh = state
    dc = from_next + output * dh
    return gates * np.concatenate([dc, dc, dc, dh], -1), dc, forget * dc
