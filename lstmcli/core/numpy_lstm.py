"""The forward pass and its gradient in plain NumPy: no TensorFlow here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from lstmcli.model_spec import ModelSpec

Array = npt.NDArray[np.floating[Any]]

PIECE = 2**22
"""How many of a layer's pre-activations are held in memory at a time."""


@dataclass(frozen=True)
class Network:
    """A replica's parameters, laid out for computing one step at a time.

    Parameters of several replicas have a leading axis `[R]`, biases `[R, 1]`. The columns of the
    gates i, f and o are halved: since sigmoid(z) = tanh(z / 2) / 2 + 1 / 2, one tanh computes all
    gates.

    Attributes:
        bias: of the first layer, `[4S]`.
        numbers: the rows of the first kernel for the numeric inputs, `[N, 4S]`.
        symbols: its rows for each categorical input, `[V + 1, 4S]`. The last row, for unknown
            values, is zero.
        recurrent: the recurrent kernel of each layer, `[S, 4S]`.
        upward: the kernel and bias applied to each layer's output: `[S, 4S]` and `[4S]` of the next
            layer or, after the last layer, `[S, C]` and `[C]` of the output layer.
    """

    bias: Array
    numbers: Array
    symbols: tuple[Array, ...]
    recurrent: tuple[Array, ...]
    upward: tuple[tuple[Array, Array], ...]


def network(tensors: Mapping[str, Array], replica: int, spec: ModelSpec) -> Network:
    """Lays out a replica's parameters.

    Args:
        tensors: as in a checkpoint: Keras's names, shapes and gate order (i, f, c, o), with a
            leading replica axis. The rows of the first kernel are the numeric inputs, then the
            values of each categorical input.
        replica: index of the replica.
        spec: describes the inputs.
    """
    layers = sum(name.endswith(".recurrent_kernel") for name in tensors if name[:5] == "lstm.")

    def of(layer: int, part: str) -> Array:
        return _halved(tensors[f"lstm.{layer}.{part}"][replica])

    ends = spec.numbers + np.cumsum([0, *spec.symbols])
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
    """Computes one step of all layers.

    Args:
        network: the parameters.
        state: the state before the step, `[L, 2, B, S]`. It is not modified.
        symbols: categorical inputs, `[B, M]`. An unknown value is coded as the vocabulary's size.
        numbers: numeric inputs, standardised, `[B, N]`; `None` if there are none.

    Returns:
        The logits `[B, C]` (for a linear head, the predicted numbers), and the state after the
        step.
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


class NumpyInputs(NamedTuple):
    """The inputs of several networks, at each step of each row.

    Attributes:
        numbers: `[T, R, B, N]`.
        symbols: `[T, R, B, M]`. An unknown value is coded as the vocabulary's size.
        carried: 0 where a sequence begins, which resets the state, else 1: `[T, R, B, 1]`; `None`
            for 1 everywhere.
    """

    numbers: Array
    symbols: npt.NDArray[np.integer[Any]]
    carried: Array | None = None

    def cut(self, steps: slice) -> NumpyInputs:
        """The inputs of some of the steps."""
        carried = None if self.carried is None else self.carried[steps]
        return NumpyInputs(self.numbers[steps], self.symbols[steps], carried)


class AblationMask(NamedTuple):
    """Which parts of a network's state are set to zero while it runs: arrays of 0 and 1.

    Attributes:
        carried: factor of the state from the previous step, `[L, B, 1]`.
        every: `carried` is applied at the steps whose number is divisible by this.
        units: factor of each step's c and h, `[L, B, S]`.
    """

    carried: Array
    every: int
    units: Array


def side_by_side(networks: Sequence[Network]) -> Network:
    """Stacks networks of the same shape along a leading replica axis, for `unroll`."""
    first = networks[0]

    def stacked(parts: Sequence[Array]) -> Array:
        array = np.stack(parts)
        return array[:, None] if array.ndim == 2 else array  # All rows share a bias.

    return Network(
        stacked([each.bias for each in networks]),
        stacked([each.numbers for each in networks]),
        tuple(stacked([each.symbols[i] for each in networks]) for i in range(len(first.symbols))),
        tuple(
            stacked([each.recurrent[i] for each in networks]) for i in range(len(first.recurrent))
        ),
        tuple(
            (
                stacked([each.upward[i][0] for each in networks]),
                stacked([each.upward[i][1] for each in networks]),
            )
            for i in range(len(first.upward))
        ),
    )


def unroll(
    networks: Network, state: Array, given: NumpyInputs, zeroing: AblationMask | None = None
) -> Iterator[Array]:
    """Runs several networks over a series, layer by layer, some steps at a time.

    Args:
        networks: as returned by `side_by_side`.
        state: the state before the first step, `[L, 2, R, B, S]`, 0 = c, 1 = h. It is not modified.
        given: the inputs.
        zeroing: what is set to zero, for an ablation.

    Yields:
        The states after the next steps, `[steps, L, 2, R, B, S]`, in order.
    """
    length = max(1, PIECE // (4 * state[0, 0].size))
    for begin in range(0, len(given.numbers), length):
        part = given.cut(slice(begin, begin + length))
        found = np.empty((len(part.numbers), *state.shape), state.dtype)
        for layer in range(len(networks.recurrent)):
            z = pre_activations(networks, layer, part, found[:, layer - 1, 1])
            _run_layer(z, networks.recurrent[layer], state, found, layer, begin, part, zeroing)
        yield found
        state = found[-1]


def pre_activations(networks: Network, layer: int, given: NumpyInputs, below: Array) -> Array:
    """The part of a layer's pre-activations that comes from its inputs: `[T, R, B, 4S]`.

    Args:
        networks: as returned by `side_by_side`.
        layer: index of the layer, from 0.
        given: the inputs, used for the first layer.
        below: h of the layer below, `[T, R, B, S]`, used for the other layers.
    """
    if layer:
        kernel, bias = networks.upward[layer - 1]
        steps, count, rows, size = below.shape
        # One product for all steps of a network: those of single steps would be small.
        joined = below.swapaxes(0, 1).reshape(count, steps * rows, size) @ kernel + bias
        return joined.reshape(count, steps, rows, -1).swapaxes(0, 1)
    x = given.numbers @ networks.numbers + networks.bias
    which = np.arange(len(networks.bias))[:, None]
    for place, rows in enumerate(networks.symbols):
        x += rows[which, given.symbols[..., place]]
    return x


def readout(networks: Network, top: Array) -> Array:
    """The logits `[…, R, B, C]` of the top layer's h `[…, R, B, S]`."""
    kernel, bias = networks.upward[-1]
    return top @ kernel + bias


def _run_layer(
    z: Array,
    recurrent: Array,
    state: Array,
    found: Array,
    layer: int,
    begin: int,
    given: NumpyInputs,
    zeroing: AblationMask | None,
) -> None:
    """Runs one layer over the steps of a piece, and writes each step's c and h into `found`."""
    c, h = state[layer]
    for step, before in enumerate(z):
        if given.carried is not None:
            c, h = c * given.carried[step], h * given.carried[step]
        if zeroing is not None and (begin + step) % zeroing.every == 0:
            c, h = c * zeroing.carried[layer], h * zeroing.carried[layer]
        c, h = _cell(before + h @ recurrent, c)
        if zeroing is not None:
            c, h = c * zeroing.units[layer], h * zeroing.units[layer]
        found[step, layer, 0], found[step, layer, 1] = c, h


def _cell(z: Array, c: Array) -> tuple[Array, Array]:
    """A step's c and h, from z `[…, 4S]` with i, f and o halved, and the previous c."""
    size = c.shape[-1]
    tanh_z = np.tanh(z)
    gates = 0.5 * tanh_z + 0.5
    c = gates[..., size : 2 * size] * c + gates[..., :size] * tanh_z[..., 2 * size : 3 * size]
    return c, gates[..., 3 * size :] * np.tanh(c)


def _halved(array: Array) -> Array:
    """A kernel `[…, 4S]` or bias `[4S]` for `_cell`; halving is exact in floating point."""
    gates = array.reshape(*array.shape[:-1], 4, -1).copy()
    gates[..., [0, 1, 3], :] *= 0.5
    return gates.reshape(array.shape)


class LocalGradients(NamedTuple):
    """The derivatives within each step of a layer, as in `core/model.py`.

    Attributes:
        gates: of c with respect to z_i, z_f, z_g, and of h with respect to z_o: `[T, R, B, 4S]`,
            where z_i, z_f and z_o are halved as in `Network`.
        forget: of c with respect to the previous c, `[T, R, B, S]`.
        output: of h with respect to c, `[T, R, B, S]`.
    """

    gates: Array
    forget: Array
    output: Array


class Gradient(NamedTuple):
    """The gradient of the last step's loss with respect to an earlier step.

    Attributes:
        inputs: with respect to the input, categories being one-hot: `[R, B, F]`.
        states: with respect to each layer's c and h, each with the other held constant:
            `[L, 2, R, B, S]`.
    """

    inputs: Array
    states: Array


def local_gradients(
    networks: Network, state: Array, given: NumpyInputs, states: Array
) -> list[LocalGradients]:
    """The derivatives within all steps, by layer.

    Args:
        networks: as returned by `side_by_side`.
        state: the state before the first step, `[L, 2, R, B, S]`.
        given: the inputs.
        states: the states after each step, as `unroll` yields them: `[T, L, 2, R, B, S]`.
    """
    before = np.concatenate([state[None], states[:-1]])
    if given.carried is not None:
        before = before * given.carried[:, None, None]
    found = []
    for layer, recurrent in enumerate(networks.recurrent):
        z = pre_activations(networks, layer, given, states[:, layer - 1, 1])
        z += before[:, layer, 1] @ recurrent
        found.append(_slopes(np.tanh(z), before[:, layer, 0], np.tanh(states[:, layer, 0])))
    return found


def _slopes(tanh_z: Array, c: Array, tanh_c: Array) -> LocalGradients:
    i, f, _, o = np.split(0.5 * tanh_z + 0.5, 4, axis=-1)
    _, _, g, _ = np.split(tanh_z, 4, axis=-1)
    reached = np.concatenate([g / 2, c / 2, i, tanh_c / 2], -1)  # d sigmoid(2 z) / dz halves it.
    return LocalGradients((1 - tanh_z * tanh_z) * reached, f, o * (1 - tanh_c * tanh_c))


def backpropagate(
    networks: Network, found: Sequence[LocalGradients], given: NumpyInputs, outputs: Array
) -> Iterator[Gradient]:
    """Yields the gradient of the last step's loss with respect to each step, the last step first.

    Args:
        networks: as returned by `side_by_side`.
        found: as returned by `local_gradients`.
        given: the inputs.
        outputs: the gradient with respect to the last step's outputs, `[R, B, C]`.
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
            above, states[layer, 0], carried[layer, 0] = _cell_gradient(states[layer], slopes_here)
            carried[layer, 1] = above @ networks.recurrent[layer].swapaxes(-1, -2)
        yield Gradient(above @ kernels[0].swapaxes(-1, -2), states)
        states = carried if given.carried is None else carried * given.carried[step]


def _cell_gradient(state: Array, found: Sequence[Array]) -> tuple[Array, Array, Array]:
    """The gradient with respect to a step's z `[R, B, 4S]`, to its c, and to the previous c."""
    gates, forget, output = found
    from_next, dh = state
    dc = from_next + output * dh
    return gates * np.concatenate([dc, dc, dc, dh], -1), dc, forget * dc
