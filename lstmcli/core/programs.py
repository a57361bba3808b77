"""The compiled programs: over chunks of windows, or over parts of their rows on several threads."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import reduce
from itertools import pairwise
from operator import add
from typing import Any

import numpy as np

from lstmcli.core.at_once import CallsAtOnce
from lstmcli.core.heads import Errors
from lstmcli.core.replica_windows import Arrays
from lstmcli.core.tensorflow import tf
from lstmcli.core.train_step import Inputs, Step, Tensors, flat, shaped


class ChunkProgram:
    """The compiled programs over a chunk of windows.

    Each takes all tensors, the parts of K windows, and how many of these windows to compute. It
    returns the tensors under the same names, and what it measured, with one row for each window.

    Args:
        step: the computation of one window.
    """

    def __init__(self, step: Step) -> None:
        self.step = step
        compiled = {"jit_compile": True, "autograph": False}
        self._train = tf.function(self._train_chunk, **compiled)
        self._evaluate = tf.function(self._evaluate_chunk, **compiled)
        self._predict = tf.function(self._predict_chunk, **compiled)

    @property
    def compiled(self) -> list[Any]:
        """The compiled functions."""
        return [self._train, self._evaluate, self._predict]

    def train(
        self, tensors: Tensors, parts: Arrays, count: int, done: int, rate: float
    ) -> tuple[Tensors, tuple]:
        """Trains, and returns losses and metrics `[K, T, B, R]` and gradient norms `[K, R]`.

        Args:
            tensors: the parameters, their slots and the state.
            parts: `[K, T, B, …, R]`.
            count: number of windows.
            done: number of updates made before.
            rate: the learning rate.
        """
        scalars = tf.constant(count), tf.constant(done, tf.int32), tf.constant(rate, tf.float32)
        return self._train(tensors, _constant(parts), *scalars)

    def evaluate(self, tensors: Tensors, parts: Arrays, count: int) -> tuple[Tensors, tuple]:
        """Losses and metrics, as in `train`; the norms are empty."""
        return self._evaluate(tensors, _constant(parts), tf.constant(count))

    def predict(self, tensors: Tensors, parts: Arrays, count: int) -> tuple[Tensors, tuple]:
        """The head's predictions: `[K, T, B, C, R]`."""
        return self._predict(tensors, _constant(parts), tf.constant(count))

    def _train_chunk(
        self,
        tensors: Tensors,
        parts: Inputs,
        count: tf.Tensor,
        done: tf.Tensor,
        rate: tf.Tensor,
    ) -> tuple[Tensors, tuple]:
        step, schedule = self.step, self.step.schedule
        weights = schedule.pack(tensors, 0.0)

        def window(
            k: tf.Tensor, now: list, slots: list, state: Any, seen: tuple, scratch: Any
        ) -> tuple:
            gradient, state, errors, scratch = schedule.gradient(
                shaped(now, weights), state, self._window(parts, k), errors_in(k), scratch
            )
            norm = schedule.norm(gradient)
            now, slots = step.update(now, gradient, slots, norm, done + k + 1, rate)
            found = errors.loss, errors.metric, norm
            return k + 1, now, slots, state, _record(seen, k, found), scratch

        def errors_in(k: tf.Tensor) -> Callable[[tf.Tensor], Errors]:
            return lambda outputs: _not_none(step.errors(outputs, _part(parts, k)), step.least)

        windows, *each_step = _each_step(parts)
        seen = tuple(_table(windows, shape) for shape in (each_step, each_step, each_step[-1:]))
        state = schedule.pack_state(tensors["state"])
        scratch = schedule.scratch(self._window(parts, 0))
        start = (0, flat(weights), step.pack_slots(tensors), state, seen, scratch)
        _, now, slots, state, seen, _ = tf.while_loop(lambda k, *_: k < count, window, start)
        result = step.unpack(now, slots, weights)
        result["state"] = schedule.unpack_state(state, each_step[1])
        return result, tuple(array.stack() for array in seen)

    def _evaluate_chunk(
        self, tensors: Tensors, parts: Inputs, count: tf.Tensor
    ) -> tuple[Tensors, tuple]:
        def measure(outputs: tf.Tensor, k: tf.Tensor) -> tuple:
            return self.step.errors(outputs, _part(parts, k))[:2]

        windows, *each_step = _each_step(parts)
        tensors, (loss, metric) = self._forward_chunk(
            tensors, parts, count, measure, [each_step] * 2
        )
        return tensors, (loss, metric, tf.zeros([windows, 0]))

    def _predict_chunk(
        self, tensors: Tensors, parts: Inputs, count: tf.Tensor
    ) -> tuple[Tensors, tuple]:
        _, steps, rows, replicas = _each_step(parts)

        def measure(outputs: tf.Tensor, k: tf.Tensor) -> tuple:
            return (tf.transpose(self.step.head.readout(outputs), [1, 2, 0, 3]),)

        shape = [steps, rows, self.step.spec.outputs, replicas]
        return self._forward_chunk(tensors, parts, count, measure, [shape])

    def _forward_chunk(
        self,
        tensors: Tensors,
        parts: Inputs,
        count: tf.Tensor,
        measure: Callable[[tf.Tensor, tf.Tensor], tuple],
        shapes: list[list[int]],
    ) -> tuple[Tensors, tuple]:
        schedule = self.step.schedule
        weights = schedule.pack(tensors, 0.0)

        def window(k: tf.Tensor, state: Any, seen: Any, scratch: Any) -> tuple:
            outputs, state, scratch = schedule.forward(
                weights, state, self._window(parts, k), scratch
            )
            return k + 1, state, _record(seen, k, measure(outputs, k)), scratch

        windows, _, rows, _ = _each_step(parts)
        seen = tuple(_table(windows, shape) for shape in shapes)
        start = (
            0,
            schedule.pack_state(tensors["state"]),
            seen,
            schedule.scratch(self._window(parts, 0), backward=False),
        )
        _, state, seen, _ = tf.while_loop(lambda k, *_: k < count, window, start)
        end = {"state": schedule.unpack_state(state, rows)}
        return tensors | end, tuple(array.stack() for array in seen)

    def _window(self, parts: Inputs, k: tf.Tensor | int) -> Any:
        """The schedule's input for window `k`."""
        return self.step.window(_part(parts, k))


def _part(parts: Inputs, k: tf.Tensor | int) -> Inputs:
    """The parts of window `k`."""
    return {name: part[k] for name, part in parts.items()}


def _each_step(parts: Inputs) -> list[int]:
    """The shape `[K, T, B, R]` of what is measured at each step of a chunk."""
    shape = parts["targets"].shape.as_list()
    return [*shape[:3], shape[-1]]


def _not_none(errors: Errors, least: float) -> Errors:
    """The errors of a window; the gradient of a replica without a scored step is zero."""
    if isinstance(errors.labels, float):
        return errors
    return errors._replace(labels=tf.maximum(errors.labels, least))


def _constant(parts: Arrays) -> Inputs:
    return {name: tf.constant(part) for name, part in parts.items()}


def _record(seen: tuple, k: tf.Tensor, found: tuple) -> tuple:
    """Writes what window `k` measured into row `k` of each array."""
    return tuple(array.write(k, value) for array, value in zip(seen, found, strict=True))


def _table(length: int, shape: list[int]) -> tf.TensorArray:
    """An array for what each of `length` windows measures."""
    return tf.TensorArray(tf.float32, length, element_shape=shape)


STATE_ROWS = 3
"""The axis of the rows in a state `[1, L, 2, B, S]`."""


class SplitBatchProgram:
    """The programs of `ChunkProgram` for one replica, computed in parts of the rows at once.

    Args:
        step: the computation of one window.
        devices: the device of each part.
    """

    def __init__(self, step: Step, devices: Sequence[str]) -> None:
        self.step = step
        self._whole = ChunkProgram(step)
        self._calls = CallsAtOnce(devices)
        self._count = len(devices)
        compiled = {"jit_compile": True, "autograph": False}
        self._gradient = tf.function(self._part_gradient, **compiled)
        self._update = tf.function(self._joint_update, **compiled)

    @property
    def compiled(self) -> list[tf.types.experimental.PolymorphicFunction]:
        """The compiled functions."""
        return [self._gradient, self._update, *self._whole.compiled[1:]]

    def train(
        self, tensors: Tensors, parts: Arrays, count: int, done: int, rate: float
    ) -> tuple[Tensors, tuple]:
        """As `ChunkProgram.train`, but the measurements have `count` windows instead of K."""
        given = _row_parts(parts, self._count)
        states: Sequence[tf.Tensor] = _divided(tensors["state"], STATE_ROWS, self._count)
        learnt = {name: tensor for name, tensor in tensors.items() if name != "state"}
        seen, learning_rate = [], tf.constant(rate, tf.float32)
        for k in range(count):
            window = [{name: part[k] for name, part in rows.items()} for rows in given]
            step = tf.constant(done + k + 1, tf.int32)
            learnt, states, shown = self._window(learnt, states, window, step, learning_rate)
            seen.append(shown)
        state = tf.concat(states, STATE_ROWS)
        return learnt | {"state": state}, tuple(map(np.stack, zip(*seen, strict=True)))

    def _window(
        self,
        learnt: Tensors,
        states: Sequence[tf.Tensor],
        parts: Sequence[Arrays],
        step: tf.Tensor,
        rate: tf.Tensor,
    ) -> tuple[Tensors, Sequence[tf.Tensor], tuple]:
        """Trains on one window; returns parameters and slots, the states, and measurements."""
        weights = {name: learnt[name] for name in self.step.names}

        def gradient(which: int) -> tuple:
            given = {name: tf.constant(part) for name, part in parts[which].items()}
            return self._gradient(weights, states[which], given)

        found = self._calls.map(gradient, self._count)
        gradients, states, labels, *shown = zip(*found, strict=True)
        learnt, norm = self._update(learnt, gradients, labels, step, rate)
        return learnt, states, (*(np.concatenate(each, 1) for each in shown), norm)

    def evaluate(self, tensors: Tensors, parts: Arrays, count: int) -> tuple[Tensors, tuple]:
        """As `ChunkProgram.evaluate`."""
        return self._forward(self._whole.evaluate, tensors, parts, count)

    def predict(self, tensors: Tensors, parts: Arrays, count: int) -> tuple[Tensors, tuple]:
        """As `ChunkProgram.predict`."""
        return self._forward(self._whole.predict, tensors, parts, count)

    def _forward(
        self, chunk: Callable[..., tuple], tensors: Tensors, parts: Arrays, count: int
    ) -> tuple[Tensors, tuple]:
        given = _row_parts(parts, self._count)
        states = _divided(tensors["state"], STATE_ROWS, self._count)

        def forward(which: int) -> tuple:
            return chunk(tensors | {"state": states[which]}, given[which], count)

        found = self._calls.map(forward, self._count)
        state = tf.concat([after["state"] for after, _ in found], STATE_ROWS)
        shown = zip(*(shown for _, shown in found), strict=True)
        return tensors | {"state": state}, tuple(map(_joined, shown))

    def _part_gradient(self, weights: Tensors, state: tf.Tensor, parts: Inputs) -> tuple:
        """The gradient of the sum of a part's losses, its state, and what its steps measured.

        The measurements are the number of scored steps, the losses and the metrics.
        """
        schedule, found = self.step.schedule, []

        def summed(outputs: tf.Tensor) -> Errors:
            found.append(self.step.errors(outputs, parts))
            return found[0]._replace(labels=1.0)

        window = self.step.window(parts)
        gradient, state, errors, _ = schedule.gradient(
            schedule.pack(weights, 0.0),
            schedule.pack_state(state),
            window,
            summed,
            schedule.scratch(window),
        )
        state = schedule.unpack_state(state, window.inputs.shape[1])
        labels = tf.reshape(tf.convert_to_tensor(found[0].labels), [])
        return gradient, state, labels, errors.loss, errors.metric

    def _joint_update(
        self,
        tensors: Tensors,
        gradients: Sequence[Tensors],
        labels: Sequence[tf.Tensor],
        step: tf.Tensor,
        rate: tf.Tensor,
    ) -> tuple[Tensors, tf.Tensor]:
        """The updated parameters and slots, and the norm `[1]` of the gradient."""
        schedule = self.step.schedule
        weights = schedule.pack(tensors, 0.0)
        scored = tf.maximum(tf.add_n(labels), self.step.least)
        gradient = {
            name: reduce(add, [part[name] for part in gradients]) / scored for name in gradients[0]
        }
        norm = schedule.norm(gradient)
        now, slots = self.step.update(
            flat(weights), gradient, self.step.pack_slots(tensors), norm, step, rate
        )
        return self.step.unpack(now, slots, weights), norm


def _divided(tensor: Any, axis: int, count: int) -> list[Any]:
    """Divides the rows into parts; their numbers of rows differ by one at most."""
    ends = [tensor.shape[axis] * which // count for which in range(count + 1)]
    before = (slice(None),) * axis
    return [tensor[(*before, slice(*part))] for part in pairwise(ends)]


def _row_parts(parts: Arrays, count: int) -> list[Arrays]:
    """The arrays `[K, T, B, …, 1]` of each part. Dropout has its layer axis before the rows."""
    divided = {
        name: _divided(part, 3 if name == "dropout" else 2, count) for name, part in parts.items()
    }
    return [{name: part[which] for name, part in divided.items()} for which in range(count)]


def _joined(parts: Sequence[Any]) -> Any:
    """What the parts measured, `[K, T, B, …]`; norms, which are empty, have no rows."""
    return np.concatenate(parts, 2) if len(parts[0].shape) > 2 else parts[0]
