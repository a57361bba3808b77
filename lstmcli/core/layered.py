"""The layered schedule: one layer after the other, for models whose matrices are worth a matmul.

What does not depend on the step before is taken out of the loop over steps: the products of a
layer's inputs with its kernel are one matmul over all steps, and so are the gradients of its
weights and of its inputs (Appleyard, Kocisky and Blunsom 2016, arXiv 1604.01946). The loop holds
the recurrence alone.

It is compiled for one replica, and replicas go through it one after the other: the bits of each are
those of a run of its own because the code is, and compiling does not take longer with more of them.

Shapes: L layers, S units, F input features, C classes, B rows, T steps of a window; I is F for the
first layer and S above it. The replica axis of what comes in and goes out is 1 long.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, NamedTuple

from lstmcli.core import model
from lstmcli.core.backend import tf

Tensors = dict[str, tf.Tensor]
Scratch = tuple[tuple[tf.TensorArray, ...], ...]
GATES = 1  # the axis of [B, 4, S] along which the gates lie
CLASSES = 0  # the axis of [C, T, B] along which the classes lie


class Layer(NamedTuple):
    """What a layer's forward pass leaves for its backward one.

    Attributes:
        inputs: `[T, B, I]`.
        start: its hidden state before the first step, `[B, S]`.
        gates: the slopes of the gates, T times `[B, 4, S]`.
        hidden: its hidden state, T times `[B, S]`.
        forget: the slope of c to the c before, likewise.
        output: the slope of h to c, likewise.
    """

    inputs: tf.Tensor
    start: tf.Tensor
    gates: tf.TensorArray
    hidden: tf.TensorArray
    forget: tf.TensorArray
    output: tf.TensorArray


@dataclass(frozen=True)
class Layered:
    """The schedule for one architecture; its weights are named tensors without a replica axis."""

    side_by_side: ClassVar[bool] = False

    layers: int
    state_size: int
    features: int

    def pack(self, tensors: Tensors, fill: float) -> Tensors:
        """The one replica's parameters among some tensors `[1, …]`."""
        ours = (name for name in tensors if name.startswith(("lstm.", "dense.")))
        return {name: tf.squeeze(tensors[name], 0) for name in ours}

    def unpack(self, weights: Tensors) -> Tensors:
        """The inverse of `pack`."""
        return {name: part[None] for name, part in weights.items()}

    def pack_state(self, state: tf.Tensor) -> tf.Tensor:
        """The article's `[1, L, 2, B, S]` without its replica axis."""
        return tf.squeeze(state, 0)

    def unpack_state(self, state: tf.Tensor, rows: int) -> tf.Tensor:
        """The inverse of `pack_state`."""
        return state[None]

    @staticmethod
    def norm(gradient: Tensors) -> tf.Tensor:
        """The global norm of the gradient, `[1]`."""
        squares = [tf.reduce_sum(part * part) for part in gradient.values()]
        return tf.sqrt(tf.add_n(squares))[None]

    @staticmethod
    def scale(gradient: Tensors, factor: tf.Tensor) -> Tensors:
        """The gradient times a `factor` `[1]`."""
        return {name: part * tf.squeeze(factor, 0) for name, part in gradient.items()}

    def scratch(self, inputs: tf.Tensor, backward: bool = True) -> Scratch:
        """Room for what each layer's loop writes, which one window after the other writes over.

        Args:
            inputs: `[T, B, F, R]`, of one window.
            backward: the same either way; `Wavefront.scratch` needs to know.
        """
        steps, rows, _, _ = inputs.shape
        shape = [steps, rows, self.state_size]
        # Each is filled with another number: equal ones would be filled once and then copied.
        numbers = tf.unstack(tf.range(3 * self.layers, dtype=inputs.dtype))
        arrays = [_array(tf.fill(shape, number)) for number in numbers]
        return tuple(tuple(arrays[first : first + 3]) for first in range(0, len(arrays), 3))

    def forward(
        self, weights: Tensors, state: tf.Tensor, inputs: tf.Tensor, scratch: Scratch
    ) -> tuple[tf.Tensor, tf.Tensor, Scratch]:
        """One window forward; arguments and results as `Wavefront.forward` has them."""
        logits, state, left, _ = self._forward(weights, state, tf.squeeze(inputs, -1), scratch)
        return logits[..., None], state, _room(left)

    def gradient(
        self,
        weights: Tensors,
        state: tf.Tensor,
        inputs: tf.Tensor,
        labels: tf.Tensor,
        scratch: Scratch,
    ) -> tuple[Tensors, tf.Tensor, model.Errors, Scratch]:
        """One window forward and backward; as `Wavefront.gradient`."""
        inputs, labels = tf.squeeze(inputs, -1), tf.squeeze(labels, -1)
        logits, end, left, top = self._forward(weights, state, inputs, scratch)
        errors = model.softmax_errors(logits, labels, CLASSES)
        gradient = self._gradient(weights, left, top, errors.gradient)
        return gradient, end, model.Errors(*(part[..., None] for part in errors)), _room(left)

    def _forward(
        self, weights: Tensors, state: tf.Tensor, inputs: tf.Tensor, scratch: Scratch
    ) -> tuple[tf.Tensor, tf.Tensor, list[Layer], tf.Tensor]:
        """Logits `[C, T, B]`, the state after, what each layer left, and the top's h."""
        left, ends = [], []
        for layer in range(self.layers):
            start = tf.unstack(state[layer])
            end, gates, written = self._layer(weights, layer, start, inputs, scratch[layer])
            left.append(Layer(inputs, start[1], gates, *written))
            ends.append(tf.stack(end))
            inputs = left[-1].hidden.stack()
        logits = _rows(inputs) @ weights["dense.kernel"] + weights["dense.bias"]
        logits = tf.reshape(tf.transpose(logits), [-1, *inputs.shape[:2]])
        return logits, tf.stack(ends), left, inputs

    def _layer(
        self,
        weights: Tensors,
        layer: int,
        start: list[tf.Tensor],
        inputs: tf.Tensor,
        scratch: tuple[tf.TensorArray, ...],
    ) -> tuple[tuple, tf.TensorArray, tuple[tf.TensorArray, ...]]:
        """One layer over all steps: c and h at the end, the gates' slopes, and the scratch.

        The slopes are written over the products of the inputs, step by step.
        """
        kernel, recurrent, bias = _of_layer(weights, layer)
        steps, rows, _ = inputs.shape
        gates = [rows, 4, self.state_size]
        projected = tf.reshape(_rows(inputs) @ kernel, [steps, *gates])
        bias = tf.reshape(bias, gates[1:])

        def step(t: tf.Tensor, c: tf.Tensor, h: tf.Tensor, *written: tf.TensorArray) -> tuple:
            z = written[0].read(t) + tf.reshape(h @ recurrent, gates) + bias
            c, h, slopes = model.cell(model.squash(z, GATES), c, GATES)
            values = zip(written, (slopes.gates, h, slopes.forget, slopes.output), strict=True)
            return t + 1, c, h, *(array.write(t, value) for array, value in values)

        _, c, h, over, *written = tf.while_loop(
            lambda t, *_: t < steps,
            step,
            (0, *start, _array(projected), *scratch),
            maximum_iterations=steps,
        )
        return (c, h), over, tuple(written)

    def _gradient(
        self, weights: Tensors, left: list[Layer], top: tf.Tensor, d_logits: tf.Tensor
    ) -> Tensors:
        """The gradient of the mean loss, from each step's to its logits `[C, T, B]`."""
        classes, steps, rows = d_logits.shape
        d_logits = tf.reshape(d_logits, [classes, -1]) / (steps * rows)
        gradient = {
            "dense.kernel": tf.transpose(d_logits @ _rows(top)),
            "dense.bias": tf.reduce_sum(d_logits, 1),
        }
        d_hidden = tf.reshape(
            tf.matmul(d_logits, weights["dense.kernel"], transpose_a=True, transpose_b=True),
            top.shape,
        )
        for layer in reversed(range(self.layers)):
            kernel, recurrent, _ = _of_layer(weights, layer)
            now = left[layer]
            before = tf.concat([now.start[None], now.hidden.stack()[:-1]], 0)
            dz = self._through_time(recurrent, now, d_hidden)
            gradient[f"lstm.{layer}.kernel"] = _product(now.inputs, dz)
            gradient[f"lstm.{layer}.recurrent_kernel"] = _product(before, dz)
            gradient[f"lstm.{layer}.bias"] = tf.reduce_sum(dz, 0)
            if layer:
                d_hidden = tf.reshape(tf.matmul(dz, kernel, transpose_b=True), d_hidden.shape)
        return gradient

    def _through_time(self, recurrent: tf.Tensor, left: Layer, d_hidden: tf.Tensor) -> tf.Tensor:
        """The gradient to a layer's pre-activations, `[T B, 4S]`, from the one to its h.

        It is written over the gates' slopes, step by step, and read back from there: the compiler
        would compute it twice otherwise. The loop carries the whole gradients to a step's h and c,
        as `model.cell_gradient` finds them, so that it needs each slice once.
        """
        steps, rows, size = d_hidden.shape
        transposed = tf.transpose(recurrent)
        forget, output = left.forget.stack(), left.output.stack()
        through_h = tf.constant([[False], [False], [False], [True]])

        def step(t: tf.Tensor, dh: tf.Tensor, dc: tf.Tensor, written: tf.TensorArray) -> tuple:
            dz = written.read(t) * tf.where(through_h, dh[:, None], dc[:, None])
            written = written.write(t, dz)
            before = tf.maximum(t - 1, 0)
            dh = tf.reshape(written.read(t), [rows, 4 * size]) @ transposed + d_hidden[before]
            dc = forget[t] * dc + output[before] * dh
            return t - 1, dh, dc, written

        start = (steps - 1, d_hidden[-1], output[-1] * d_hidden[-1], left.gates)
        loop = tf.while_loop(lambda t, *_: t >= 0, step, start, maximum_iterations=steps)
        return tf.reshape(loop[-1].stack(), [-1, 4 * size])


def _room(left: list[Layer]) -> Scratch:
    """The scratch with what the layers left."""
    return tuple((layer.hidden, layer.forget, layer.output) for layer in left)


def _array(values: tf.Tensor) -> tf.TensorArray:
    """A tensor that a loop may write over."""
    array = tf.TensorArray(values.dtype, values.shape[0], element_shape=values.shape[1:])
    return array.unstack(values)


def _of_layer(weights: Tensors, layer: int) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    kernel, recurrent, bias = (
        weights[f"lstm.{layer}.{part}"] for part in ("kernel", "recurrent_kernel", "bias")
    )
    return kernel, recurrent, bias


def _rows(x: tf.Tensor) -> tf.Tensor:
    """`[T, B, N]` -> `[T B, N]`."""
    return tf.reshape(x, [-1, x.shape[-1]])


def _product(x: tf.Tensor, dz: tf.Tensor) -> tf.Tensor:
    """The gradient of a kernel: one matmul over all steps and rows."""
    return tf.matmul(_rows(x), dz, transpose_a=True)
