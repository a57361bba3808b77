"""The layered schedule: one layer after the other, for matrices large enough for a matmul.

What does not depend on the previous step is taken out of the loop over steps. The products of a
layer's inputs with its kernel are one matmul over all steps, and so are the gradients with respect
to its weights and its inputs (Appleyard, Kocisky and Blunsom 2016, arXiv 1604.01946). Only the
recurrence stays in the loop.

The program is compiled for one replica, and replicas run through it one at a time. So each replica
has the bits of a separate run with its seed, and more replicas do not take longer to compile.

With large recurrent weights, the units come first (`units_first`; `execution.LARGE_LAYER` says
why): `[B, S]` below is then `[S, B]`, `[T B, S]` is `[S, T B]`, and `[B, 4, S]` is `[4, S, B]`.

Shapes: L layers, S units, F input features, C classes, B rows, T steps of a window; I is F for the
first layer and S for the others. The replica axis of arguments and results has length 1.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np

from lstmcli import model_spec
from lstmcli.core import model
from lstmcli.core.heads import Errors
from lstmcli.core.inputs import Window
from lstmcli.core.tensorflow import tf

Tensors = dict[str, tf.Tensor]
Scratch = tuple[tuple[tf.TensorArray, ...], ...]


class Layer(NamedTuple):
    """What a layer's forward pass stores for its backward pass.

    Attributes:
        inputs: `[T B, I]`.
        start: hidden state before the first step, `[B, S]`.
        gates: derivatives of the gates, T times `[B, 4, S]`.
        hidden: hidden state, T times `[B, S]`.
        forget: derivative of c with respect to the previous c, T times `[B, S]`.
        output: derivative of h with respect to c, T times `[B, S]`.
    """

    inputs: tf.Tensor
    start: tf.Tensor
    gates: tf.TensorArray
    hidden: tf.TensorArray
    forget: tf.TensorArray
    output: tf.TensorArray


@dataclass(frozen=True)
class Layered:
    """The schedule for one architecture; its weights are named tensors without a replica axis.

    Attributes:
        layers: L.
        state_size: S.
        features: F.
        units_first: whether its loops hold `[S, B]` instead of `[B, S]`.
    """

    side_by_side: ClassVar[bool] = False

    layers: int
    state_size: int
    features: int
    units_first: bool = False

    def pack(self, tensors: Tensors, fill: float) -> Tensors:
        """The parameters among some tensors `[1, …]`, without the replica axis."""
        return {name: tf.squeeze(tensors[name], 0) for name in model_spec.parameters(tensors)}

    def unpack(self, weights: Tensors) -> Tensors:
        """The inverse of `pack`."""
        return {name: part[None] for name, part in weights.items()}

    def pack_state(self, state: tf.Tensor) -> tf.Tensor:
        """The article's `[1, L, 2, B, S]`, without the replica axis."""
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

    def scratch(self, window: Window, backward: bool = True) -> Scratch:
        """Buffers for what each layer's loop writes; every window overwrites them.

        Args:
            window: a window, for its shapes.
            backward: not used; `Wavefront.scratch` needs it.
        """
        steps, rows, _, _ = window.inputs.shape
        shape = self._turned([steps, rows, self.state_size])
        # Each has a different fill value: the compiler would fill equal ones once and copy them.
        numbers = tf.unstack(tf.range(3 * self.layers, dtype=window.inputs.dtype))
        arrays = [_array(tf.fill(shape, number)) for number in numbers]
        return tuple(tuple(arrays[first : first + 3]) for first in range(0, len(arrays), 3))

    def forward(
        self, weights: Tensors, state: tf.Tensor, window: Window, scratch: Scratch
    ) -> tuple[tf.Tensor, tf.Tensor, Scratch]:
        """The forward pass of a window; arguments and results as in `Wavefront.forward`."""
        outputs, state, left, _ = self._forward(weights, state, _of_one(window), scratch)
        return outputs[..., None], state, _room(left)

    def gradient(
        self,
        weights: Tensors,
        state: tf.Tensor,
        window: Window,
        errors_of: Callable[[tf.Tensor], Errors],
        scratch: Scratch,
    ) -> tuple[Tensors, tf.Tensor, Errors, Scratch]:
        """The forward and backward pass of a window; as `Wavefront.gradient`."""
        window = _of_one(window)
        outputs, end, left, top = self._forward(weights, state, window, scratch)
        errors = errors_of(outputs[..., None])
        gradient = self._gradient(weights, window, left, top, errors)
        return gradient, end, errors, _room(left)

    def _forward(
        self, weights: Tensors, state: tf.Tensor, window: Window, scratch: Scratch
    ) -> tuple[tf.Tensor, tf.Tensor, list[Layer], tf.Tensor]:
        """Outputs `[C, T, B]`, the final state, what layers stored, and the top's `[T B, S]`."""
        left, ends, inputs = [], [], self._flat(self._turned(window.inputs))
        for layer in range(self.layers):
            start = list(map(self._turned, tf.unstack(state[layer])))
            end, gates, written = self._layer(weights, layer, start, inputs, window, scratch[layer])
            left.append(Layer(inputs, start[1], gates, *written))
            ends.append(tf.stack(list(map(self._turned, end))))
            hidden = left[-1].hidden.stack()
            if window.kept is not None:
                hidden *= self._turned(window.kept[:, layer])
            inputs = self._flat(hidden)
        outputs = self._times(inputs, self._factor(weights["dense.kernel"]))
        outputs = self._by_output(outputs) + weights["dense.bias"][:, None]
        outputs = tf.reshape(outputs, [-1, *window.inputs.shape[:2]])
        return outputs, tf.stack(ends), left, inputs

    def _layer(
        self,
        weights: Tensors,
        layer: int,
        start: list[tf.Tensor],
        inputs: tf.Tensor,
        window: Window,
        scratch: tuple[tf.TensorArray, ...],
    ) -> tuple[tuple, tf.TensorArray, tuple[tf.TensorArray, ...]]:
        """Runs one layer over all steps, from its `inputs` `[T B, I]` and its c and h at the start.

        Returns the final c and h, the gates' derivatives, and the scratch. Step by step, the
        derivatives overwrite the products of the inputs.
        """
        kernel, recurrent, bias = _of_layer(weights, layer)
        steps, rows, _ = window.inputs.shape
        gates, axis = self._gates(rows)
        projected = self._steps(self._times(inputs, self._factor(kernel)), rows)
        projected = tf.reshape(projected, [steps, *gates])
        bias = tf.reshape(bias, self._gates(1)[0])
        carried = None if window.carried is None else self._turned(window.carried)
        factor = self._factor(recurrent)

        def step(t: tf.Tensor, c: tf.Tensor, h: tf.Tensor, *written: tf.TensorArray) -> tuple:
            if carried is not None:
                c, h = c * carried[t], h * carried[t]
            z = written[0].read(t) + tf.reshape(self._times(h, factor), gates) + bias
            c, h, slopes = model.cell(model.squash(z, axis), c, axis)
            if carried is not None:
                slopes = slopes._replace(forget=slopes.forget * carried[t])
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
        weights: Tensors,
        window: Window,
        left: list[Layer],
        top: tf.Tensor,
        errors: Errors,
    ) -> Tensors:
        """The gradient of a window's loss, from that with respect to its outputs `[C, T, B, 1]`."""
        classes, _, rows, _ = errors.gradient.shape
        d_outputs = tf.reshape(errors.gradient, [classes, -1]) / errors.labels
        gradient = {
            "dense.kernel": self._product(top, self._by_output(d_outputs)),
            "dense.bias": tf.reduce_sum(d_outputs, 1),
        }
        d_inputs = self._times_transposed(self._by_output(d_outputs), weights["dense.kernel"])
        for layer in reversed(range(self.layers)):
            kernel, recurrent, _ = _of_layer(weights, layer)
            now, d_hidden = left[layer], self._steps(d_inputs, rows)
            before = tf.concat([now.start[None], now.hidden.stack()[:-1]], 0)
            if window.carried is not None:
                before *= self._turned(window.carried)
            if window.kept is not None:
                d_hidden *= self._turned(window.kept[:, layer])
            dz = self._flat(self._through_time(recurrent, now, d_hidden, window.carried))
            gradient[f"lstm.{layer}.kernel"] = self._product(now.inputs, dz)
            gradient[f"lstm.{layer}.recurrent_kernel"] = self._product(self._flat(before), dz)
            gradient[f"lstm.{layer}.bias"] = tf.reduce_sum(dz, 1 if self.units_first else 0)
            if layer:
                d_inputs = self._times_transposed(dz, kernel)
        return gradient

    def _through_time(
        self, recurrent: tf.Tensor, left: Layer, d_hidden: tf.Tensor, carried: tf.Tensor | None
    ) -> tf.Tensor:
        """The gradient with respect to a layer's pre-activations, `[T, B, 4S]`, from that of its h.

        Step by step, it overwrites the gates' derivatives and is read back from there; otherwise
        the compiler would compute it twice. The loop carries the complete gradients with respect to
        a step's h and c, from `model.cell_gradient`, so that it needs each slice once.
        """
        steps, rows, size = self._turned(d_hidden.shape.as_list())
        (gates, axis), all_gates = self._gates(rows), self._turned([rows, 4 * size])
        factor = self._factor(tf.transpose(recurrent))
        forget, output = left.forget.stack(), left.output.stack()
        through_h = model.along(np.array([False, False, False, True]), axis, gates)
        carried = None if carried is None else self._turned(carried)

        def step(t: tf.Tensor, dh: tf.Tensor, dc: tf.Tensor, written: tf.TensorArray) -> tuple:
            arriving = (tf.expand_dims(d, axis) for d in (dh, dc))
            dz = written.read(t) * tf.where(through_h, *arriving)
            written = written.write(t, dz)
            before = tf.maximum(t - 1, 0)
            dh = self._times(tf.reshape(written.read(t), all_gates), factor)
            dh = (dh if carried is None else dh * carried[t]) + d_hidden[before]
            dc = forget[t] * dc + output[before] * dh
            return t - 1, dh, dc, written

        start = (steps - 1, d_hidden[-1], output[-1] * d_hidden[-1], left.gates)
        loop = tf.while_loop(lambda t, *_: t >= 0, step, start, maximum_iterations=steps)
        return tf.reshape(loop[-1].stack(), [steps, *all_gates])

    def _gates(self, rows: int) -> tuple[list[int], int]:
        """The shape of a step's gates in a loop, and the axis of the gates."""
        if self.units_first:
            return [4, self.state_size, rows], 0
        return [rows, 4, self.state_size], 1

    def _turned(self, x: Any) -> Any:
        """A tensor or a shape with its last two axes in the order used here; its own inverse."""
        if not self.units_first:
            return x
        return [*x[:-2], x[-1], x[-2]] if isinstance(x, list) else tf.linalg.matrix_transpose(x)

    def _factor(self, weights: tf.Tensor) -> tf.Tensor:
        """Weights `[N, M]` in the form that `_times` multiplies by."""
        return tf.transpose(weights) if self.units_first else weights

    def _times(self, x: tf.Tensor, factor: tf.Tensor) -> tf.Tensor:
        """`[B, N]` or `[T B, N]` times the weights, from `_factor`: `[…, M]`."""
        return factor @ x if self.units_first else x @ factor

    def _times_transposed(self, y: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
        """`[T B, M]` times the transpose of weights `[N, M]`: `[T B, N]`."""
        return weights @ y if self.units_first else tf.matmul(y, weights, transpose_b=True)

    def _product(self, x: tf.Tensor, dz: tf.Tensor) -> tf.Tensor:
        """The gradient of weights `[N, M]`: one matmul over all steps and rows."""
        return tf.matmul(x, dz, transpose_a=not self.units_first, transpose_b=self.units_first)

    def _flat(self, x: tf.Tensor) -> tf.Tensor:
        """`[T, B, N]` -> `[T B, N]`."""
        if self.units_first:
            return tf.reshape(tf.transpose(x, [1, 0, 2]), [x.shape[1], -1])
        return tf.reshape(x, [-1, x.shape[-1]])

    def _steps(self, x: tf.Tensor, rows: int) -> tf.Tensor:
        """The inverse of `_flat`."""
        if self.units_first:
            return tf.transpose(tf.reshape(x, [x.shape[0], -1, rows]), [1, 0, 2])
        return tf.reshape(x, [-1, rows, x.shape[-1]])

    def _by_output(self, x: tf.Tensor) -> tf.Tensor:
        """`[T B, C]` with the outputs first, `[C, T B]`, or back."""
        return x if self.units_first else tf.transpose(x)


def _of_one(window: Window) -> Window:
    """The window without its replica axis, the last one."""
    return Window(*(None if part is None else tf.squeeze(part, -1) for part in window))


def _room(left: list[Layer]) -> Scratch:
    """The scratch, from what the layers stored."""
    return tuple((layer.hidden, layer.forget, layer.output) for layer in left)


def _array(values: tf.Tensor) -> tf.TensorArray:
    """A tensor as an array that a loop may overwrite."""
    array = tf.TensorArray(values.dtype, values.shape[0], element_shape=values.shape[1:])
    return array.unstack(values)


def _of_layer(weights: Tensors, layer: int) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    kernel, recurrent, bias = (
        weights[f"lstm.{layer}.{part}"] for part in ("kernel", "recurrent_kernel", "bias")
    )
    return kernel, recurrent, bias
