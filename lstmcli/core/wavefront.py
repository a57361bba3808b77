"""The wavefront schedule: all layers advance in one batched operation, for tiny matrices.

Layer l works on step w - l at wave w, so T + L - 1 waves of one cell each do the work of T L cells
(Appleyard, Kocisky and Blunsom 2016, arXiv 1604.01946). A layer's matrices and bias are one matrix,
applied to [x, h, 1], and a product with it is a multiplication and a sum, which the compiler fuses
where a call into a matmul library would cost more than the arithmetic.

The layout is chosen for the compiler. The gates come first and everything behind the layer is one
flat axis M = B S R, so that a loop over it is long enough to be vectorised. The replica axis is
innermost, so that every operation is elementwise over it: a replica has the same bits however many
others there are. Slopes of a layer that is not at work (before wave l, from wave T + l on) are
stored as zeros, so that the backward waves need no mask.

Shapes: R replicas, L layers, S units, F input features, I = max(F, S) columns for a layer's input
(missing ones are zero), C classes, B rows, T steps of a window, W = T + L - 1 waves.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from lstmcli.core import environment, model, sums
from lstmcli.core.backend import tf

Tensors = dict[str, tf.Tensor]
GATES = 0  # the axis of [4, L, M] along which the gates lie
CLASSES = 0  # the axis of [C, T, B, R] along which the classes lie


class Weights(NamedTuple):
    """Parameters, gradients or slots in this schedule's layout.

    Attributes:
        lstm: `[4, L, I + S + 1, S, R]`: rows for the layer's input, its hidden state, the bias.
        dense: `[C, S + 1, R]`: rows for the hidden state and the bias.
    """

    lstm: tf.Tensor
    dense: tf.Tensor


class State(NamedTuple):
    """Cell state and hidden state, each `[L, M]`."""

    c: tf.Tensor
    h: tf.Tensor


class Waves(NamedTuple):
    """What the forward waves leave for the backward ones.

    Attributes:
        inputs: `[W, L, B, I + S + 1, R]`: [x, h, 1] of each layer.
        slopes: `[W, 4, L, M]`, `[W, L, M]`, `[W, L, M]`.
    """

    inputs: tf.Tensor
    slopes: model.Slopes


@dataclass(frozen=True)
class Wavefront:
    """The schedule for one architecture."""

    layers: int
    state_size: int
    features: int

    @property
    def side_by_side(self) -> bool:
        """Whether replicas lie side by side: where a layer's sums are short.

        Where they are not, their order could depend on the number of replicas: see `sums`.
        """
        return self.columns + self.state_size <= environment.LARGEST_WAVEFRONT

    @property
    def columns(self) -> int:
        """I: columns for a layer's input."""
        return max(self.features, self.state_size)

    def pack(self, tensors: Tensors, fill: float) -> Weights:
        """Named tensors `[R, …]` to this layout; rows that no input uses hold `fill`."""
        matrices = []
        for layer in range(self.layers):
            kernel = tensors[f"lstm.{layer}.kernel"]  # [R, inputs, 4S]
            missing = self.columns - kernel.shape[1]
            padded = tf.pad(kernel, [[0, 0], [0, missing], [0, 0]], constant_values=fill)
            recurrent = tensors[f"lstm.{layer}.recurrent_kernel"]
            bias = tensors[f"lstm.{layer}.bias"][:, None]
            matrices.append(tf.concat([padded, recurrent, bias], 1))  # [R, I + S + 1, 4S]
        lstm = tf.stack(matrices)
        lstm = tf.reshape(lstm, [*lstm.shape[:3], 4, self.state_size])  # [L, R, I + S + 1, 4, S]
        dense = tf.concat([tensors["dense.kernel"], tensors["dense.bias"][:, None]], 1)
        return Weights(tf.transpose(lstm, [3, 0, 2, 4, 1]), tf.transpose(dense, [2, 1, 0]))

    def unpack(self, weights: Weights) -> Tensors:
        """The inverse of `pack`."""
        tensors = {}
        size, columns = self.state_size, self.columns
        lstm = tf.transpose(weights.lstm, [1, 4, 2, 0, 3])  # [L, R, I + S + 1, 4, S]
        lstm = tf.reshape(lstm, [*lstm.shape[:3], 4 * size])
        for layer in range(self.layers):
            inputs = size if layer else self.features
            tensors[f"lstm.{layer}.kernel"] = lstm[layer, :, :inputs]
            tensors[f"lstm.{layer}.recurrent_kernel"] = lstm[layer, :, columns : columns + size]
            tensors[f"lstm.{layer}.bias"] = lstm[layer, :, columns + size]
        dense = tf.transpose(weights.dense, [2, 1, 0])
        tensors["dense.kernel"], tensors["dense.bias"] = dense[:, :size], dense[:, size]
        return tensors

    def pack_state(self, state: tf.Tensor) -> State:
        """The article's `[R, L, 2, B, S]` to c and h."""
        c, h = tf.unstack(tf.transpose(state, [2, 1, 3, 4, 0]))
        return State(*(tf.reshape(part, [self.layers, -1]) for part in (c, h)))

    def unpack_state(self, state: State, rows: int) -> tf.Tensor:
        """The inverse of `pack_state`."""
        parts = tf.reshape(tf.stack(state), [2, self.layers, rows, self.state_size, -1])
        return tf.transpose(parts, [4, 1, 0, 2, 3])

    @staticmethod
    def norm(gradient: Weights) -> tf.Tensor:
        """The global norm of each replica's gradient, `[R]`."""
        squares = (
            tf.reduce_sum(part * part, 0) for part in gradient
        )  # over the gates, the classes
        rows = (tf.reshape(part, [-1, part.shape[-1]]) for part in squares)
        return tf.sqrt(tf.add_n([sums.halves(part, 0) for part in rows]))

    @staticmethod
    def scale(gradient: Weights, factor: tf.Tensor) -> Weights:
        """The gradient with each replica's part times its `factor` `[R]`."""
        return Weights(*(part * factor for part in gradient))

    def scratch(self, inputs: tf.Tensor, backward: bool = True) -> tuple[tf.TensorArray, ...]:
        """Room for the waves of a window, which one window after the other writes over.

        Args:
            inputs: `[T, B, F, R]`, of one window.
            backward: whether a backward pass will need the slopes.
        """
        steps, rows, _, replicas = inputs.shape
        flat = [self.layers, rows * self.state_size * replicas]
        wide = [self.layers, rows, self.columns + self.state_size + 1, replicas]
        return tuple(
            tf.TensorArray(inputs.dtype, steps + self.layers - 1, element_shape=shape)
            for shape in (wide, [4, *flat], flat, flat)[: 4 if backward else 1]
        )

    def forward(
        self, weights: Weights, state: State, inputs: tf.Tensor, scratch: Any
    ) -> tuple[tf.Tensor, State, Any]:
        """One window forward.

        Args:
            weights: the parameters.
            state: at the window's start.
            inputs: `[T, B, F, R]`.
            scratch: as `scratch` makes it, or the window before left it.

        Returns:
            The logits `[C, T, B, R]`, the state at the window's end, and the written scratch.
        """
        steps, rows, _, replicas = inputs.shape
        layers, size, waves = self.layers, self.state_size, steps + self.layers - 1
        missing = [[0, layers - 1], [0, 0], [0, self.columns - self.features], [0, 0]]
        inputs = tf.pad(inputs, missing)  # [W, B, I, R]
        wider = [[0, 0], [0, 0], [0, self.columns - size], [0, 0]]
        one = tf.ones([layers, rows, 1, replicas], inputs.dtype)
        at_work = tf.constant(_at_work(layers, steps))

        def wave(w: tf.Tensor, c: tf.Tensor, h: tf.Tensor, written: Any, *slopes: Any) -> tuple:
            own = tf.reshape(h, [layers, rows, size, replicas])
            x = tf.concat([inputs[w][None], tf.pad(own[:-1], wider)], 0)
            written = written.write(w, tf.concat([x, own, one], 2))
            z = tf.reduce_sum(written.read(w)[:, :, :, None] * weights.lstm[:, :, None], 3)
            tanh_z = tf.reshape(model.squash(z, GATES), [4, layers, -1])
            c_next, h_next, found = model.cell(tanh_z, c, GATES)
            now = at_work[w]
            kept = (tf.where(now, slope, tf.zeros([], z.dtype)) for slope in found)
            if slopes:
                pairs = zip(slopes, kept, strict=True)
                slopes = tuple(array.write(w, slope) for array, slope in pairs)
            return w + 1, tf.where(now, c_next, c), tf.where(now, h_next, h), written, *slopes

        start = (0, *state, *scratch)
        _, c, h, *scratch = tf.while_loop(
            lambda w, *_: w < waves, wave, start, maximum_iterations=waves
        )
        top = _with_one(self._top(scratch[0].stack(), h, inputs.shape))
        logits = tf.reduce_sum(top * weights.dense[:, None, None], 3)
        return logits, State(c, h), tuple(scratch)

    def _top(self, inputs: tf.Tensor, h: tf.Tensor, shape: tf.TensorShape) -> tf.Tensor:
        """The top layer's hidden state at each step, `[T, B, S, R]`: its input one wave later."""
        _, rows, columns, replicas = shape
        size = self.state_size
        last = tf.reshape(h, [self.layers, rows, size, replicas])[-1:]
        return tf.concat([inputs[self.layers :, -1, :, columns : columns + size], last], 0)

    def gradient(
        self, weights: Weights, state: State, inputs: tf.Tensor, labels: tf.Tensor, scratch: Any
    ) -> tuple[Weights, State, model.Errors, Any]:
        """One window forward and backward; no gradient leaves the window.

        Args:
            weights: the parameters.
            state: at the window's start.
            inputs: `[T, B, F, R]`.
            labels: `[T, B, R]`.
            scratch: as `scratch` makes it, or the window before left it.

        Returns:
            The gradient of the mean loss, the state at the window's end, each step's errors
            `[T, B, R]`, and the scratch.
        """
        steps, rows, _, replicas = inputs.shape
        size = self.state_size
        logits, end, scratch = self.forward(weights, state, inputs, scratch)
        written, *slopes = (array.stack() for array in scratch)
        waves = Waves(written, model.Slopes(*slopes))
        errors = model.softmax_errors(logits, labels, CLASSES)
        d_logits = (errors.gradient / (steps * rows))[:, :, :, None]  # [C, T, B, 1, R]
        top = _with_one(self._top(written, end.h, [steps, rows, self.columns, replicas]))
        d_dense = sums.halves(sums.short(top * d_logits, 2), 1)
        d_top = tf.reduce_sum(d_logits * weights.dense[:, None, None, :size], 0)
        d_top = tf.pad(tf.reshape(d_top, [steps, 1, -1]), [[self.layers - 1, 0], [0, 0], [0, 0]])
        return Weights(self._backward(weights, waves, d_top), d_dense), end, errors, scratch

    def _backward(self, weights: Weights, waves: Waves, d_top: tf.Tensor) -> tf.Tensor:
        """The gradient to the LSTM weights, from the one to the top layer's h, `[W, 1, M]`."""
        count, layers, rows, _, replicas = waves.inputs.shape
        size, columns = self.state_size, self.columns
        own = weights.lstm[:, :, columns : columns + size]
        fed = tf.concat([own, _from_above(weights.lstm[:, :, :size])], 3)  # [4, L, S, 2S, R]
        is_top = tf.constant(np.eye(layers)[:, -1:], waves.inputs.dtype)

        def wave(w: tf.Tensor, dz: tf.Tensor, dc: tf.Tensor, d_lstm: tf.Tensor) -> tuple:
            """Takes dz and dc of wave w + 1: h of wave w was an input to it."""
            after = tf.reshape(dz, [4, layers, rows, size, replicas])
            d_lstm += sums.short(waves.inputs[w + 1][:, :, :, None] * after[:, :, :, None], 2)
            both = tf.concat([after, _from_above(after)], 3)[:, :, :, None]  # [4, L, B, 1, 2S, R]
            i, f, g, o = tf.unstack(tf.reshape(tf.reduce_sum(both * fed[:, :, None], 4), dz.shape))
            dh = i + f + g + o + d_top[w] * is_top
            slopes = model.Slopes(*(part[w] for part in waves.slopes))
            return w - 1, *model.cell_gradient(dh, dc, slopes, GATES), d_lstm

        flat = [layers, rows * size * replicas]
        zeros = (tf.zeros([4, *flat], own.dtype), tf.zeros(flat, own.dtype))
        start = (count - 1, *zeros, tf.zeros_like(weights.lstm))
        return tf.while_loop(lambda w, *_: w >= -1, wave, start, maximum_iterations=count + 1)[-1]


def _at_work(layers: int, steps: int) -> np.ndarray:
    """Whether each layer has a step to do in each wave: `[W, L, 1]`."""
    step = np.arange(steps + layers - 1)[:, None] - np.arange(layers)
    return ((step >= 0) & (step < steps))[:, :, None]


def _from_above(values: tf.Tensor) -> tf.Tensor:
    """`[4, L, …]` with each layer's part replaced by the one of the layer above it, or zeros."""
    return tf.pad(values[:, 1:], [[0, 0], [0, 1], *[[0, 0]] * (len(values.shape) - 2)])


def _with_one(x: tf.Tensor) -> tf.Tensor:
    """`[T, B, S, R]` -> `[T, B, S + 1, R]`: a column of ones for the bias."""
    return tf.pad(x, [[0, 0], [0, 0], [0, 1], [0, 0]], constant_values=1.0)
