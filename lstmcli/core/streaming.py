"""A network's forward pass for one row that comes step by step, in NumPy: small and quick.

The equations are those of `core/model.py`. What is held is 2 h, and c beside the gates, so that a
step is nine operations on arrays that are made once: with t = tanh of the pre-activations, those of
i, f and o halved (`numpy_lstm.Network`),

    2 c' = (1 + t_i) t_g + (1 + t_f) c        2 h' = (1 + t_o) tanh(c')

Layers of few units advance together, each a step behind the one below it: their kernels are blocks
of one matrix, as a call costs more than its products.

A step's numbers do not depend on how many steps are given at a time, to the bit: each product is of
one step's vector.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from lstmcli.core.numpy_lstm import Array, Network

FEW_UNITS = 64
"""Of all layers, up to which they advance together."""
HALF = np.float32(0.5)


class _Stack:
    """Some layers that advance together, and the buffers of their step.

    The pre-activations are `[4, L, S]`: the gates i, f, o, g of each layer. c lies behind them.

    Args:
        recurrent: each layer's recurrent kernel: `[S, 4S]`.
        upward: kernel and bias of each layer but the first, which meet the h below.
    """

    def __init__(self, recurrent: Sequence[Array], upward: Sequence[tuple[Array, Array]]) -> None:
        layers, size = len(recurrent), len(recurrent[0])
        width = layers * size
        kernel = np.zeros((layers, size, 4, layers, size), np.float32)
        self._bias = np.zeros((4, layers, size), np.float32)  # The first layer's is in its input.
        for layer, rows in enumerate(recurrent):
            kernel[layer, :, :, layer] = _by_gate(rows)
            if layer:
                rows, bias = upward[layer - 1]
                kernel[layer - 1, :, :, layer] = _by_gate(rows)
                self._bias[:, layer] = _by_gate(bias)
        self._kernel = kernel.reshape(width, 4 * width) * HALF  # It meets 2 h.
        self._shape = layers, size
        self._z, self._products = np.empty(4 * width, np.float32), np.empty(2 * width, np.float32)
        self._block = np.zeros(5 * width, np.float32)
        self._h = np.zeros(width, np.float32)
        # Arrays, as a number would be made one at each step.
        self._ones, self._halves = np.ones(3 * width, np.float32), np.full(width, HALF)

    def run(self, below: Array, state: Array) -> Array:
        """Runs the layers over some steps.

        Args:
            below: what the first layer's gates get from below: `[steps, 4, S]`.
            state: before the first step, and after the call that after the last: `[L, 2, S]`.

        Returns:
            2 h of the last layer after each step: `[steps, S]`.
        """
        layers, size = self._shape
        c, h = self._block[4 * layers * size :].reshape(self._shape), self._h.reshape(self._shape)
        c[:], h[:] = state[:, 0], state[:, 1] * 2
        last = len(below) - 1
        total = len(below) + layers - 1
        x = np.repeat(self._bias[np.newaxis], total, 0)
        x[: len(below), :, 0] = below
        x = x.reshape(total, -1)
        found = np.empty((total, layers * size), np.float32)
        after = np.empty_like(state)
        step = 0
        while step < total:
            end = last if layers - 1 <= step < last else step + 1
            self._advance(x[step:end], found[step:end])
            step = end
            if step < layers:  # The layers above have not begun.
                c[step:], h[step:] = state[step:, 0], state[step:, 1] * 2
            if step > last:  # A layer has come to its last step.
                done = step - last - 1
                after[done] = c[done], h[done] * HALF
        state[:] = after
        return found[layers - 1 :, -size:]

    def _advance(self, below: Array, found: Array) -> None:
        """Takes some steps; `found` gets 2 h after each: `[steps, L * S]`."""
        width = len(self._h)
        # Names of this function's own are found quicker, and its loop is the innermost one.
        dot, add, multiply, tanh = np.dot, np.add, np.multiply, np.tanh
        kernel, z, h, products, block = self._kernel, self._z, self._h, self._products, self._block
        ones, halves = self._ones, self._halves
        gates, c, sigmoids = block[: 4 * width], block[4 * width :], block[: 3 * width]
        input_forget, output = block[: 2 * width], block[2 * width : 3 * width]
        candidate_c = block[3 * width :]
        added, kept = products[:width], products[width:]
        for x, row in zip(below, found, strict=True):
            dot(h, kernel, z)
            add(z, x, z)
            tanh(z, gates)
            add(sigmoids, ones, sigmoids)
            multiply(input_forget, candidate_c, products)
            add(added, kept, c)
            multiply(c, halves, c)
            tanh(c, h)
            multiply(h, output, h)
            row[:] = h


class RowNetwork:
    """A network that reads one row, some steps at a time.

    Args:
        network: its parameters, of one replica.
    """

    def __init__(self, network: Network) -> None:
        layers, size = len(network.recurrent), len(network.recurrent[0])
        self._shape = layers, 2, size
        self._bias = _by_gate(network.bias)
        self._symbols = [_by_gate(rows) for rows in network.symbols]
        self._numbers = _flat(_by_gate(network.numbers)) if len(network.numbers) else None
        together = layers if layers * size <= FEW_UNITS else 1
        self._stacks = [
            _Stack(network.recurrent[first : first + together], network.upward[first:-1])
            for first in range(0, layers, together)
        ]
        self._layers = together
        ends = network.upward[together - 1 : -1 : together]
        self._upward = [(_flat(_by_gate(rows)) * HALF, _flat(_by_gate(its))) for rows, its in ends]
        kernel, bias = network.upward[-1]
        self._upward.append((np.ascontiguousarray(kernel * HALF), bias))

    def zero_state(self) -> Array:
        """The state before the first step: `[L, 2, S]`, 0 = c, 1 = h."""
        return np.zeros(self._shape, np.float32)

    def run(
        self,
        state: Array,
        numbers: npt.NDArray[np.float32],
        symbols: npt.NDArray[np.integer[Any]],
    ) -> Array:
        """Reads some steps.

        Args:
            state: before the first, and after the call that after the last: `[L, 2, S]`.
            numbers: numeric inputs, standardised: `[steps, N]`.
            symbols: categorical inputs: `[steps, M]`; the vocabulary's size is an unknown value.

        Returns:
            The logits of each step (the predicted numbers, of a linear head): `[steps, C]`.
        """
        _, _, size = self._shape
        x = np.repeat(self._bias[np.newaxis], len(numbers), 0)  # [steps, 4, S]
        for place, rows in enumerate(self._symbols):
            x += rows[symbols[:, place]]
        if self._numbers is not None:
            x += _products(numbers, self._numbers).reshape(x.shape)
        for number, (stack, (kernel, bias)) in enumerate(
            zip(self._stacks, self._upward, strict=True)
        ):
            own = state[number * self._layers : (number + 1) * self._layers]
            x = _products(stack.run(x.reshape(-1, 4, size), own), kernel) + bias
        return x


def _products(rows: Array, kernel: Array) -> Array:
    """Each row times a kernel, `[steps, K]`, by itself: several at once may differ in the bits."""
    return np.matmul(rows[:, np.newaxis], kernel)[:, 0]


def _by_gate(array: Array) -> Array:
    """A kernel `[…, 4S]` or bias `[4S]` as `[…, 4, S]`, its gates in the order i, f, o, g."""
    size = array.shape[-1] // 4
    return array.reshape(*array.shape[:-1], 4, size)[..., [0, 1, 3, 2], :]


def _flat(array: Array) -> Array:
    """`[…, 4, S]` as `[…, 4S]`."""
    return np.ascontiguousarray(array.reshape(*array.shape[:-2], -1))
