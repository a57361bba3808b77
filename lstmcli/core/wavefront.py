"""The wavefront schedule: all layers advance in one batched operation, for tiny matrices."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from lstmcli.core import execution, model, reductions
from lstmcli.core.heads import Errors
from lstmcli.core.inputs import Window
from lstmcli.core.tensorflow import tf

Tensors = dict[str, tf.Tensor]
GATES = 0  # the axis of [4, L, M] along which the gates lie


@dataclass(frozen=True)
class Wavefront:
    """The wavefront schedule for one architecture."""

    layers: int
    state_size: int
    features: int

    @property
    def side_by_side(self) -> bool:
        """Whether one operation may compute several replicas: where a layer's sums are short.

        The order of longer sums could depend on the number of replicas: see `core/reductions.py`.
        """
        return self.columns + self.state_size <= execution.LARGEST_WAVEFRONT

    @property
    def columns(self) -> int:
        """I: the width of a layer's input."""
        return max(self.features, self.state_size)

    def pack(self, tensors: Tensors, fill: float) -> Weights:
        """Converts named tensors `[R, …]` to this layout; rows that no input uses hold `fill`."""
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
        """Converts the article's `[R, L, 2, B, S]` to c and h."""
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
        )  # Over the gates and the classes.
        rows = (tf.reshape(part, [-1, part.shape[-1]]) for part in squares)
        return tf.sqrt(tf.add_n([reductions.halves(part, 0) for part in rows]))

    @staticmethod
    def scale(gradient: Weights, factor: tf.Tensor) -> Weights:
        """The gradient, each replica's part multiplied by its `factor` `[R]`."""
        return Weights(*(part * factor for part in gradient))

    def scratch(self, window: Window, backward: bool = True) -> Scratch:
        """Buffers for the waves of a window; every window overwrites them.

        Args:
            window: a window, for its shapes.
            backward: whether a backward pass will need the derivatives.
        """
        steps, rows, _, replicas = window.inputs.shape
        flat = [self.layers, rows * self.state_size * replicas]
        wide = [self.layers, rows, self.columns + self.state_size + 1, replicas]

        def room(shape: list[int]) -> tf.TensorArray:
            return tf.TensorArray(window.inputs.dtype, steps + self.layers - 1, element_shape=shape)

        slopes = tuple(map(room, ([4, *flat], flat, flat))) if backward else ()
        top = () if window.carried is None else (room([rows, self.state_size, replicas]),)
        return Scratch(room(wide), slopes, top)

    def forward(
        self, weights: Weights, state: State, window: Window, scratch: Scratch
    ) -> tuple[tf.Tensor, State, Scratch]:
        """The forward pass of a window.

        Args:
            weights: the parameters.
            state: the state at the window's start.
            window: the inputs.
            scratch: as returned by `scratch`, or by the previous window.

        Returns:
            The outputs `[C, T, B, R]`, the state at the window's end, and the written scratch.
        """
        outputs, state, scratch, _, _ = self._forward(weights, state, window, scratch)
        return outputs, state, scratch

    def _forward(
        self, weights: Weights, state: State, window: Window, scratch: Scratch
    ) -> tuple[tf.Tensor, State, Scratch, tf.Tensor, tuple[tf.Tensor | None, tf.Tensor | None]]:
        """As `forward`, and the top layer's output `[T, B, S + 1, R]` and the parts by wave."""
        inputs = window.inputs
        steps, rows, _, replicas = inputs.shape
        layers, size, waves = self.layers, self.state_size, steps + self.layers - 1
        carried, kept = waves_of(window, self.layers)
        missing = [[0, layers - 1], [0, 0], [0, self.columns - self.features], [0, 0]]
        inputs = tf.pad(inputs, missing)  # [W, B, I, R]
        wider = [[0, 0], [0, 0], [0, self.columns - size], [0, 0]]
        one = tf.ones([layers, rows, 1, replicas], inputs.dtype)
        at_work = tf.constant(at_work_by_wave(layers, steps))

        def wave(w: tf.Tensor, c: tf.Tensor, h: tf.Tensor, scratch: Scratch) -> tuple:
            own = tf.reshape(h, [layers, rows, size, replicas])
            below = own[:-1] if kept is None else own[:-1] * kept[w][1:]
            x = tf.concat([inputs[w][None], tf.pad(below, wider)], 0)
            c_before = c
            if carried is not None:
                own = own * carried[w]
                c_before = c * self._flat(carried[w])
            written = scratch.inputs.write(w, tf.concat([x, own, one], 2))
            z = tf.reduce_sum(written.read(w)[:, :, :, None] * weights.lstm[:, :, None], 3)
            tanh_z = tf.reshape(model.squash(z, GATES), [4, layers, -1])
            c_next, h_next, found = model.cell(tanh_z, c_before, GATES)
            if carried is not None:
                found = found._replace(forget=found.forget * self._flat(carried[w]))
            now = at_work[w]
            slopes = tuple(
                array.write(w, tf.where(now, slope, tf.zeros([], z.dtype)))
                for array, slope in zip(scratch.slopes, found, strict=False)
            )
            highest = tf.reshape(h_next[-1], [rows, size, replicas])
            top = tuple(array.write(w, highest) for array in scratch.top)
            after = tf.where(now, c_next, c), tf.where(now, h_next, h)
            return w + 1, *after, Scratch(written, slopes, top)

        start = (0, *state, scratch)
        _, c, h, scratch = tf.while_loop(
            lambda w, *_: w < waves, wave, start, maximum_iterations=waves
        )
        top = self._top(scratch, h, inputs.shape)
        if window.kept is not None:
            top *= window.kept[:, -1]
        top = with_one(top)
        outputs = tf.reduce_sum(top * weights.dense[:, None, None], 3)
        return outputs, State(c, h), scratch, top, (carried, kept)

    def _flat(self, part: tf.Tensor) -> tf.Tensor:
        """Repeats `[L, B, 1, R]` for every unit: `[L, M]`."""
        return tf.reshape(tf.repeat(part, self.state_size, 2), [self.layers, -1])

    def _top(self, scratch: Scratch, h: tf.Tensor, shape: tf.TensorShape) -> tf.Tensor:
        """The top layer's hidden state at each step, `[T, B, S, R]`: its input one wave later.

        Where a sequence begins, that input is not the hidden state, so it is stored separately.
        """
        if scratch.top:
            return scratch.top[0].stack()[self.layers - 1 :]
        _, rows, columns, replicas = shape
        size = self.state_size
        last = tf.reshape(h, [self.layers, rows, size, replicas])[-1:]
        inputs = scratch.inputs.stack()
        return tf.concat([inputs[self.layers :, -1, :, columns : columns + size], last], 0)

    def gradient(
        self,
        weights: Weights,
        state: State,
        window: Window,
        errors_of: Callable[[tf.Tensor], Errors],
        scratch: Scratch,
    ) -> tuple[Weights, State, Errors, Scratch]:
        """The forward and backward pass of a window; gradients stop at the window's start.

        Args:
            weights: the parameters.
            state: the state at the window's start.
            window: the inputs.
            errors_of: computes the head's errors from the outputs.
            scratch: as returned by `scratch`, or by the previous window.

        Returns:
            The gradient of the window's loss, the state at its end, each step's errors `[T, B, R]`,
            and the scratch.
        """
        steps, size = window.inputs.shape[0], self.state_size
        outputs, end, scratch, top, by_wave = self._forward(weights, state, window, scratch)
        slopes = model.LocalGradients(*(array.stack() for array in scratch.slopes))
        waves = Waves(scratch.inputs.stack(), slopes, *by_wave)
        errors = errors_of(outputs)
        d_outputs = (errors.gradient / errors.labels)[:, :, :, None]  # [C, T, B, 1, R]
        d_dense = reductions.halves(reductions.short(top * d_outputs, 2), 1)
        d_top = tf.reduce_sum(d_outputs * weights.dense[:, None, None, :size], 0)
        if window.kept is not None:
            d_top *= window.kept[:, -1]
        d_top = tf.pad(tf.reshape(d_top, [steps, 1, -1]), [[self.layers - 1, 0], [0, 0], [0, 0]])
        return Weights(self._backward(weights, waves, d_top), d_dense), end, errors, scratch

    def _backward(self, weights: Weights, waves: Waves, d_top: tf.Tensor) -> tf.Tensor:
        """The gradient of the LSTM weights, from that of the top layer's h, `[W, 1, M]`."""
        count, layers, rows, _, replicas = waves.inputs.shape
        size, columns = self.state_size, self.columns
        own = weights.lstm[:, :, columns : columns + size]
        above = from_above(weights.lstm[:, :, :size])
        fed = tf.concat([own, above], 3)  # [4, L, S, 2S, R]

        def to_hidden(w: tf.Tensor, after: tf.Tensor) -> tf.Tensor:
            """The gradient of each h of wave w - 1 through each gate, `[4, L, B, S, R]`."""
            through_time = after if waves.carried is None else after * waves.carried[w]
            if waves.kept is None:
                both = tf.concat([through_time, from_above(after)], 3)[:, :, :, None]
                return tf.reduce_sum(both * fed[:, :, None], 4)  # of [4, L, B, S, 2S, R]
            dropped = tf.pad(waves.kept[w][1:], [[0, 1], [0, 0], [0, 0], [0, 0]])
            up = tf.reduce_sum(from_above(after)[:, :, :, None] * above[:, :, None], 4) * dropped
            return tf.reduce_sum(through_time[:, :, :, None] * own[:, :, None], 4) + up

        is_top = tf.constant(np.eye(layers)[:, -1:], waves.inputs.dtype)

        def wave(w: tf.Tensor, dz: tf.Tensor, dc: tf.Tensor, d_lstm: tf.Tensor) -> tuple:
            """Uses dz and dc of wave w + 1, as h of wave w was an input to it."""
            after = tf.reshape(dz, [4, layers, rows, size, replicas])
            d_lstm += reductions.short(waves.inputs[w + 1][:, :, :, None] * after[:, :, :, None], 2)
            i, f, g, o = tf.unstack(tf.reshape(to_hidden(w + 1, after), dz.shape))
            dh = i + f + g + o + d_top[w] * is_top
            slopes = model.LocalGradients(*(part[w] for part in waves.slopes))
            return w - 1, *model.cell_gradient(dh, dc, slopes, GATES), d_lstm

        flat = [layers, rows * size * replicas]
        zeros = (tf.zeros([4, *flat], own.dtype), tf.zeros(flat, own.dtype))
        start = (count - 1, *zeros, tf.zeros_like(weights.lstm))
        return tf.while_loop(lambda w, *_: w >= -1, wave, start, maximum_iterations=count + 1)[-1]


class Weights(NamedTuple):
    """Parameters, gradients or slots in this schedule's layout.

    Attributes:
        lstm: `[4, L, I + S + 1, S, R]`: rows for the layer's input, hidden state and bias.
        dense: `[C, S + 1, R]`: rows for the hidden state and the bias.
    """

    lstm: tf.Tensor
    dense: tf.Tensor


class Scratch(NamedTuple):
    """Buffers for what the waves store.

    Attributes:
        inputs, slopes: as in `Waves`; a forward pass alone has no slopes.
        top: the top layer's hidden state `[W, B, S, R]` if sequences begin within rows, else empty.
    """

    inputs: tf.TensorArray
    slopes: tuple[tf.TensorArray, ...]
    top: tuple[tf.TensorArray, ...]


class State(NamedTuple):
    """Cell state and hidden state, each `[L, M]`."""

    c: tf.Tensor
    h: tf.Tensor


class Waves(NamedTuple):
    """What the forward waves store for the backward waves.

    Attributes:
        inputs: `[W, L, B, I + S + 1, R]`: [x, h, 1] of each layer.
        slopes: derivatives, `[W, 4, L, M]`, `[W, L, M]`, `[W, L, M]`.
        carried: `[W, L, B, 1, R]`, or `None`.
        kept: `[W, L, B, S, R]`, or `None`.
    """

    inputs: tf.Tensor
    slopes: model.LocalGradients
    carried: tf.Tensor | None = None
    kept: tf.Tensor | None = None


def waves_of(window: Window, layers: int) -> tuple[tf.Tensor | None, tf.Tensor | None]:
    """The window's masks by wave, `[W, L, B, …, R]`: in wave w, layer l is at step w - l.

    A layer's mask in `kept` applies to its input, the output of the layer below.
    """
    carried = kept = None
    if window.carried is not None:
        carried = _diagonal([window.carried] * layers)
    if window.kept is not None:
        given = tf.unstack(window.kept, axis=1)
        kept = _diagonal([tf.ones_like(given[0]), *given[:-1]])
    return carried, kept


def _diagonal(parts: list[tf.Tensor]) -> tf.Tensor:
    """Each layer's `[T, …]`, placed in the waves that use it: `[W, L, …]`, ones elsewhere."""
    rest = [[0, 0]] * (len(parts[0].shape) - 1)
    padded = (
        tf.pad(part, [[layer, len(parts) - 1 - layer], *rest], constant_values=1.0)
        for layer, part in enumerate(parts)
    )
    return tf.stack(list(padded), 1)


def at_work_by_wave(layers: int, steps: int) -> np.ndarray:
    """Whether each layer has a step to compute in each wave: `[W, L, 1]`."""
    step = np.arange(steps + layers - 1)[:, None] - np.arange(layers)
    return ((step >= 0) & (step < steps))[:, :, None]


def from_above(values: tf.Tensor) -> tf.Tensor:
    """`[4, L, …]` with each layer's part replaced by that of the layer above; zeros for the top."""
    return tf.pad(values[:, 1:], [[0, 0], [0, 1], *[[0, 0]] * (len(values.shape) - 2)])


def with_one(x: tf.Tensor) -> tf.Tensor:
    """`[T, B, S, R]` -> `[T, B, S + 1, R]`: adds a column of ones for the bias."""
    return tf.pad(x, [[0, 0], [0, 0], [0, 1], [0, 0]], constant_values=1.0)
