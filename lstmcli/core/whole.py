"""Whole batches: a chunk of windows in one compiled loop, `tensors, measured = chunk(tensors, …)`.

Schedules lay the tensors out as they like inside a chunk. The number of windows that a chunk is
compiled for is that of its parts; `count` says how many of them there are.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lstmcli.core.backend import tf
from lstmcli.core.batch import Arrays
from lstmcli.core.heads import Errors
from lstmcli.core.step import Parts, Step, Tensors, flat, shaped


class Whole:
    """The compiled programs over a chunk of windows.

    Each takes all tensors, of which it gives back those of the same names, the parts of K windows,
    and how many of these there are; and gives what they showed, a row for each.

    Args:
        step: what is made of a window.
    """

    def __init__(self, step: Step) -> None:
        self.step = step
        compiled = {"jit_compile": True, "autograph": False}
        self._train = tf.function(self._train_chunk, **compiled)
        self._evaluate = tf.function(self._evaluate_chunk, **compiled)
        self._predict = tf.function(self._predict_chunk, **compiled)

    @property
    def compiled(self) -> list[Any]:
        """What is compiled."""
        return [self._train, self._evaluate, self._predict]

    def train(
        self, tensors: Tensors, parts: Arrays, count: int, done: int, rate: tf.Tensor | None
    ) -> tuple[Tensors, tuple]:
        """Losses and metrics `[K, T, B, R]`, and the gradients' norms `[K, R]`.

        Args:
            tensors: the parameters, their slots and the state.
            parts: `[K, T, B, …, R]`.
            count: how many windows.
            done: updates made before.
            rate: the learning rate, where it is not the configuration's.
        """
        done = tf.constant(done, tf.int32)
        return self._train(tensors, _constant(parts), tf.constant(count), done, rate)

    def evaluate(self, tensors: Tensors, parts: Arrays, count: int) -> tuple[Tensors, tuple]:
        """Losses and metrics, as `train`; the norms are empty."""
        return self._evaluate(tensors, _constant(parts), tf.constant(count))

    def predict(self, tensors: Tensors, parts: Arrays, count: int) -> tuple[Tensors, tuple]:
        """What the head reads out: `[K, T, B, C, R]`."""
        return self._predict(tensors, _constant(parts), tf.constant(count))

    def _train_chunk(
        self,
        tensors: Tensors,
        parts: Parts,
        count: tf.Tensor,
        done: tf.Tensor,
        rate: tf.Tensor | None,
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
        self, tensors: Tensors, parts: Parts, count: tf.Tensor
    ) -> tuple[Tensors, tuple]:
        def measure(outputs: tf.Tensor, k: tf.Tensor) -> tuple:
            return self.step.errors(outputs, _part(parts, k))[:2]

        windows, *each_step = _each_step(parts)
        tensors, (loss, metric) = self._forward_chunk(
            tensors, parts, count, measure, [each_step] * 2
        )
        return tensors, (loss, metric, tf.zeros([windows, 0]))

    def _predict_chunk(
        self, tensors: Tensors, parts: Parts, count: tf.Tensor
    ) -> tuple[Tensors, tuple]:
        _, steps, rows, replicas = _each_step(parts)

        def measure(outputs: tf.Tensor, k: tf.Tensor) -> tuple:
            return (tf.transpose(self.step.head.readout(outputs), [1, 2, 0, 3]),)

        shape = [steps, rows, self.step.signature.outputs, replicas]
        return self._forward_chunk(tensors, parts, count, measure, [shape])

    def _forward_chunk(
        self,
        tensors: Tensors,
        parts: Parts,
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

    def _window(self, parts: Parts, k: tf.Tensor | int) -> Any:
        """What the schedule is given of window `k`."""
        return self.step.window(_part(parts, k))


def _part(parts: Parts, k: tf.Tensor | int) -> Parts:
    """The parts of window `k`."""
    return {name: part[k] for name, part in parts.items()}


def _each_step(parts: Parts) -> list[int]:
    """The shape `[K, T, B, R]` of what each step of a chunk shows."""
    shape = parts["targets"].shape.as_list()
    return [*shape[:3], shape[-1]]


def _not_none(errors: Errors, least: float) -> Errors:
    """Errors of a window of which a replica may have no step scored: its gradient is zero."""
    if isinstance(errors.labels, float):
        return errors
    return errors._replace(labels=tf.maximum(errors.labels, least))


def _constant(parts: Arrays) -> Parts:
    return {name: tf.constant(part) for name, part in parts.items()}


def _record(seen: tuple, k: tf.Tensor, found: tuple) -> tuple:
    """Writes what window `k` showed into row `k` of each array."""
    return tuple(array.write(k, value) for array, value in zip(seen, found, strict=True))


def _table(length: int, shape: list[int]) -> tf.TensorArray:
    """Room for what each of `length` windows shows."""
    return tf.TensorArray(tf.float32, length, element_shape=shape)
