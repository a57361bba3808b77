"""A fast NumPy forward pass for one row whose steps arrive one after another.

The equations are those of `core/model.py`. The buffers hold 2 h, and c next to the gates, so that a
step takes nine operations on preallocated arrays. With t = tanh of the pre-activations, where those
of i, f and o are halved (`numpy_lstm.Network`):

    2 c' = (1 + t_i) t_g + (1 + t_f) c        2 h' = (1 + t_o) tanh(c')

Small layers advance together, each one step behind the layer below. Their kernels are blocks of one
matrix, because a call costs more than its arithmetic.

A step's result does not depend, in any bit, on how many steps are passed at a time: each product is
with the vector of one step.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from lstmcli.core.numpy_lstm import Array, Network

FEW_UNITS = 64
"""Layers advance together if they have at most this many units in total."""
HALF = np.float32(0.5)


class _Stack:
    """Layers that advance together, and the buffers of their step.

    The pre-activations are `[4, L, S]`: the gates i, f, o, g of each layer. In memory, c follows
    them.

    Args:
        recurrent: the recurrent kernel of each layer, `[S, 4S]`.
        upward: kernel and bias of each layer but the first; the kernel multiplies h of the layer
            below.
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
        self._kernel = kernel.reshape(width, 4 * width) * HALF  # It multiplies 2 h.
        self._shape = layers, size
        self._z, self._products = np.empty(4 * width, np.float32), np.empty(2 * width, np.float32)
        self._block = np.zeros(5 * width, np.float32)
        self._h = np.zeros(width, np.float32)
        # Arrays, since NumPy would convert a number to an array at each step.
        self._ones, self._halves = np.ones(3 * width, np.float32), np.full(width, HALF)

    def run(self, below: Array, state: Array) -> Array:
        """Runs the layers over some steps.

        Args:
            below: the first layer's pre-activations without the recurrent part, `[steps, 4, S]`.
            state: the state before the first step, `[L, 2, S]`; overwritten with the state after
                the last.

        Returns:
            2 h of the last layer after each step, `[steps, S]`.
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
            if step < layers:  # The layers above have not started.
                c[step:], h[step:] = state[step:, 0], state[step:, 1] * 2
            if step > last:  # A layer has finished its last step.
                done = step - last - 1
                after[done] = c[done], h[done] * HALF
        state[:] = after
        return found[layers - 1 :, -size:]

    def _advance(self, below: Array, found: Array) -> None:
        """Computes some steps, and writes 2 h after each into `found`: `[steps, L * S]`."""
        width = len(self._h)
        # Local names are looked up faster, and this is the innermost loop.
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
        network: the parameters of one replica.
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
            state: the state before the first step, `[L, 2, S]`; overwritten with the state after
                the last.
            numbers: numeric inputs, standardised, `[steps, N]`.
            symbols: categorical inputs, `[steps, M]`. An unknown value is coded as the
                vocabulary's size.

        Returns:
            The logits of each step (for a linear head, the predicted numbers), `[steps, C]`.
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
    """Each row times a kernel, `[steps, K]`, separately: a joint product may round differently."""
    return np.matmul(rows[:, np.newaxis], kernel)[:, 0]


def _by_gate(array: Array) -> Array:
    """A kernel `[…, 4S]` or bias `[4S]` as `[…, 4, S]`, with the gates in the order i, f, o, g."""
    size = array.shape[-1] // 4
    return array.reshape(*array.shape[:-1], 4, size)[..., [0, 1, 3, 2], :]


def _flat(array: Array) -> Array:
    """`[…, 4, S]` as `[…, 4S]`."""
    return np.ascontiguousarray(array.reshape(*array.shape[:-2], -1))
