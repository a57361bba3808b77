"""The forward pass of one replica in plain NumPy, a step at a time: no TensorFlow here.

For a model that is used rather than trained. The equations are those of `core/model.py`. Shapes are
written with L layers, S units per layer, B rows, N numeric inputs, M categorical inputs of V values
each, C classes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from lstmcli.architecture import Signature

Array = npt.NDArray[np.floating[Any]]


@dataclass(frozen=True)
class Network:
    """A replica's parameters, laid out for one step after the other.

    The columns of the gates i, f and o are halved: by sigmoid(z) = tanh(z / 2) / 2 + 1 / 2 one tanh
    serves all gates.

    Attributes:
        bias: the first layer's: `[4S]`.
        numbers: the rows of the first kernel for the numeric inputs: `[N, 4S]`.
        symbols: those for each categorical input: `[V + 1, 4S]`, a row of zeros for the unknown.
        recurrent: each layer's recurrent kernel: `[S, 4S]`.
        upward: kernel and bias that each layer's output meets: `[S, 4S]` and `[4S]` of the next
            layer; of the output, `[S, C]` and `[C]`, for the last.
    """

    bias: Array
    numbers: Array
    symbols: tuple[Array, ...]
    recurrent: tuple[Array, ...]
    upward: tuple[tuple[Array, Array], ...]


def network(tensors: Mapping[str, Array], replica: int, signature: Signature) -> Network:
    """Lays out a replica's parameters.

    Args:
        tensors: as a checkpoint has them: Keras's names, shapes and gate order (i, f, c, o), with a
            leading replica axis. The rows of the first kernel are the numeric inputs, then the
            values of each categorical input.
        replica: which.
        signature: what the inputs are.
    """
    layers = sum(name.endswith(".recurrent_kernel") for name in tensors if name[:5] == "lstm.")

    def of(layer: int, part: str) -> Array:
        return _halved(tensors[f"lstm.{layer}.{part}"][replica])

    ends = signature.numbers + np.cumsum([0, *signature.symbols])
    numbers, *symbols, _ = np.split(of(0, "kernel"), ends)
    output = tensors["dense.kernel"][replica], tensors["dense.bias"][replica]
    return Network(
        of(0, "bias"),
        numbers,
        tuple(np.pad(rows, ((0, 1), (0, 0))) for rows in symbols),
        tuple(of(layer, "recurrent_kernel") for layer in range(layers)),
        (*((of(layer, "kernel"), of(layer, "bias")) for layer in range(1, layers)), output),
    )


def zero_state(network: Network, rows: int) -> Array:
    """The state before the first step: `[L, 2, B, S]`, 0 = c, 1 = h."""
    recurrent = network.recurrent[0]
    return np.zeros((len(network.recurrent), 2, rows, len(recurrent)), recurrent.dtype)


def step(
    network: Network,
    state: Array,
    symbols: npt.NDArray[np.integer[Any]],
    numbers: Array | None = None,
) -> tuple[Array, Array]:
    """One step of the stack.

    Args:
        network: the parameters.
        state: before the step: `[L, 2, B, S]`; it is left as it is.
        symbols: categorical inputs: `[B, M]`; the vocabulary's size stands for an unknown value.
        numbers: numeric inputs, standardised: `[B, N]`; `None` where there are none.

    Returns:
        The logits `[B, C]` (the predicted numbers, of a linear head), and the state after.
    """
    after = np.empty_like(state)
    x = network.bias  # [4S], and with the first input [B, 4S]
    for rows, column in zip(network.symbols, symbols.T, strict=True):
        x = x + rows[column]
    if numbers is not None:
        x = x + numbers @ network.numbers
    for layer, (recurrent, (kernel, bias)) in enumerate(
        zip(network.recurrent, network.upward, strict=True)
    ):
        c, h = state[layer]
        after[layer] = c, h = _cell(x + h @ recurrent, c)
        x = h @ kernel + bias
    return x, after


def _cell(z: Array, c: Array) -> tuple[Array, Array]:
    """A step's c and h, from z `[B, 4S]` with the gates i, f and o halved, and the c before."""
    tanh_z = np.tanh(z)
    i, f, _, o = np.split(0.5 * tanh_z + 0.5, 4, axis=1)
    _, _, g, _ = np.split(tanh_z, 4, axis=1)
    c = f * c + i * g
    return c, o * np.tanh(c)


def _halved(array: Array) -> Array:
    """A kernel `[…, 4S]` or bias `[4S]` for `_cell`; a half is exact in floating point."""
    gates = array.reshape(*array.shape[:-1], 4, -1).copy()
    gates[..., [0, 1, 3], :] *= 0.5
    return gates.reshape(array.shape)
