"""The layered schedule: one layer after the other, for models whose matrices are worth a matmul.

What does not depend on the step before is taken out of the loop over steps: the products of a
layer's inputs with its kernel are one matmul over all steps, and so are the gradients of its
weights and of its inputs (Appleyard, Kocisky and Blunsom 2016, arXiv 1604.01946). The loop holds
the recurrence alone. Replicas follow one another through the same code, so that each has the bits
of a run of its own.

Shapes: R replicas, L layers, S units, F input features, C classes, B rows, T steps of a window; I
is F for the first layer and S above it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

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
    """The schedule for one architecture; its weights are the named tensors `[R, …]` themselves."""

    layers: int
    state_size: int
    features: int

    def pack(self, tensors: Tensors, fill: float) -> Tensors:
        """The parameters among some tensors, as they are."""
        return {name: tensors[name] for name in tensors if name.startswith(("lstm.", "dense."))}

    def unpack(self, weights: Tensors) -> Tensors:
        """The inverse of `pack`."""
        return dict(weights)

    def pack_state(self, state: tf.Tensor) -> tf.Tensor:
        """The article's `[R, L, 2, B, S]`, as it is."""
        return state

    def unpack_state(self, state: tf.Tensor, rows: int) -> tf.Tensor:
        """The inverse of `pack_state`."""
        return state

    @staticmethod
    def norm(gradient: Tensors) -> tf.Tensor:
        """The global norm of each replica's gradient, `[R]`."""
        squares = [
            tf.stack([tf.reduce_sum(one * one) for one in tf.unstack(part)])
            for part in gradient.values()
        ]
        return tf.sqrt(tf.add_n(squares))

    @staticmethod
    def scale(gradient: Tensors, factor: tf.Tensor) -> Tensors:
        """The gradient with each replica's part times its `factor` `[R]`."""
        return {
            name: part * tf.reshape(factor, [-1, *[1] * (len(part.shape) - 1)])
            for name, part in gradient.items()
        }

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

        def one(scratch: Scratch, weights: Tensors, state: tf.Tensor, inputs: tf.Tensor) -> tuple:
            logits, state, left, _ = self._forward(weights, state, inputs, scratch)
            return _room(left), (logits, state)

        inputs = tf.transpose(inputs, [3, 0, 1, 2])
        scratch, (logits, state) = _each_replica(one, scratch, weights, state, inputs)
        return tf.transpose(logits, [1, 2, 3, 0]), state, scratch

    def gradient(
        self,
        weights: Tensors,
        state: tf.Tensor,
        inputs: tf.Tensor,
        labels: tf.Tensor,
        scratch: Scratch,
    ) -> tuple[Tensors, tf.Tensor, model.Errors, Scratch]:
        """One window forward and backward; as `Wavefront.gradient`."""
        by_replica = tf.transpose(inputs, [3, 0, 1, 2]), tf.transpose(labels, [2, 0, 1])
        scratch, (gradient, end, loss, correct) = _each_replica(
            self._gradient, scratch, weights, state, *by_replica
        )
        loss, correct = (tf.transpose(part, [1, 2, 0]) for part in (loss, correct))
        return gradient, end, model.Errors(loss, correct, tf.zeros([])), scratch

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
        self,
        scratch: Scratch,
        weights: Tensors,
        state: tf.Tensor,
        inputs: tf.Tensor,
        labels: tf.Tensor,
    ) -> tuple[Scratch, tuple[Tensors, tf.Tensor, tf.Tensor, tf.Tensor]]:
        """Gradient, state after, loss and correct at each step `[T, B]`, of one replica."""
        logits, end, left, top = self._forward(weights, state, inputs, scratch)
        errors = model.softmax_errors(logits, labels, CLASSES)
        d_logits = tf.reshape(errors.gradient, [logits.shape[0], -1]) / labels.shape.num_elements()
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
        return _room(left), (gradient, end, errors.loss, errors.correct)

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


def _each_replica(  # type: ignore[no-untyped-def]
    function, scratch: Scratch, weights: Tensors, *arguments: tf.Tensor
):
    """Calls a function of one replica for each, and stacks what it returns."""
    results = []
    for r in range(arguments[0].shape[0]):
        own = {name: part[r] for name, part in weights.items()}
        scratch, result = function(scratch, own, *(each[r] for each in arguments))
        results.append(result)
    return scratch, tf.nest.map_structure(lambda *parts: tf.stack(parts), *results)


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
