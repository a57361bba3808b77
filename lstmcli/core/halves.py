"""A window's rows in two halves, each called from a thread of its own: for large models.

A product shared between two threads takes 0.6 of the time that it takes on one, and what lies
between the products is not shared at all. Two halves of the rows, as two calls of a compiled
program, have nothing in common but the weights that they read, and keep both cores busy. So a
window's training is

1. the gradient of each half's summed loss, from the half's own state, at once;
2. their sum, in this order, over the scored steps of both, and the update: a compiled program more.

Forward alone, a half goes through a whole chunk without waiting for the other. Which of them is
ready first makes no difference to any bit.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from typing import Any, TypeVar

import numpy as np

from lstmcli.core.backend import tf
from lstmcli.core.batch import Arrays
from lstmcli.core.heads import Errors
from lstmcli.core.step import Parts, Step, Tensors, flat
from lstmcli.core.whole import Whole

Found = TypeVar("Found")
STATE_ROWS = 3
"""The axis of the rows in a state `[1, L, 2, B, S]`."""


class Halves:
    """The programs of `Whole`, for one replica, over two halves of the rows.

    Args:
        step: what is made of a window.
        device: as `device.resolve` gives it.
    """

    def __init__(self, step: Step, device: str) -> None:
        self.step = step
        self._whole = Whole(step)
        self._device = device
        self._second = ThreadPoolExecutor(1)
        compiled = {"jit_compile": True, "autograph": False}
        self._gradient = tf.function(self._half_gradient, **compiled)
        self._update = tf.function(self._joint_update, **compiled)

    @property
    def compiled(self) -> list[tf.types.experimental.PolymorphicFunction]:
        """What is compiled."""
        return [self._gradient, self._update, *self._whole.compiled[1:]]

    def train(
        self, tensors: Tensors, parts: Arrays, count: int, done: int, rate: tf.Tensor | None
    ) -> tuple[Tensors, tuple]:
        """As `Whole.train`; what is measured is `count` windows long."""
        given = _halved_parts(parts)
        states: Sequence[tf.Tensor] = _halved(tensors["state"], STATE_ROWS)
        learnt = {name: tensor for name, tensor in tensors.items() if name != "state"}
        seen = []
        for k in range(count):
            window = [{name: part[k] for name, part in half.items()} for half in given]
            learnt, states, shown = self._window(learnt, states, window, done + k + 1, rate)
            seen.append(shown)
        state = tf.concat(states, STATE_ROWS)
        return learnt | {"state": state}, tuple(map(np.stack, zip(*seen, strict=True)))

    def _window(
        self,
        learnt: Tensors,
        states: Sequence[tf.Tensor],
        parts: Sequence[Arrays],
        step: int,
        rate: tf.Tensor | None,
    ) -> tuple[Tensors, Sequence[tf.Tensor], tuple]:
        """One window: parameters and slots, the halves' states, and what it showed."""
        weights = {name: learnt[name] for name in self.step.names}

        def half(which: int) -> tuple:
            given = {name: tf.constant(part) for name, part in parts[which].items()}
            return self._gradient(weights, states[which], given)

        gradients, states, labels, *shown = zip(*self._both(half), strict=True)
        learnt, norm = self._update(learnt, gradients, labels, tf.constant(step, tf.int32), rate)
        return learnt, states, (*(np.concatenate(each, 1) for each in shown), norm)

    def evaluate(self, tensors: Tensors, parts: Arrays, count: int) -> tuple[Tensors, tuple]:
        """As `Whole.evaluate`."""
        return self._forward(self._whole.evaluate, tensors, parts, count)

    def predict(self, tensors: Tensors, parts: Arrays, count: int) -> tuple[Tensors, tuple]:
        """As `Whole.predict`."""
        return self._forward(self._whole.predict, tensors, parts, count)

    def _forward(
        self, chunk: Callable[..., tuple], tensors: Tensors, parts: Arrays, count: int
    ) -> tuple[Tensors, tuple]:
        given, states = _halved_parts(parts), _halved(tensors["state"], STATE_ROWS)
        found = self._both(
            lambda which: chunk(tensors | {"state": states[which]}, given[which], count)
        )
        state = tf.concat([after["state"] for after, _ in found], STATE_ROWS)
        shown = zip(*(shown for _, shown in found), strict=True)
        return tensors | {"state": state}, tuple(map(_joined, shown))

    def _both(self, half: Callable[[int], Found]) -> list[Found]:
        """What the two halves give, `half(which)` called at once: here, and on the other thread."""

        def placed(which: int) -> Found:
            with tf.device(self._device):  # Which a thread has for itself.
                return half(which)

        second = self._second.submit(placed, 1)
        try:
            first = placed(0)
        finally:
            wait([second])
        return [first, second.result()]

    def _half_gradient(self, weights: Tensors, state: tf.Tensor, parts: Parts) -> tuple:
        """The gradient of the sum of a half's losses, its state after, and what its steps showed.

        The number of scored steps stands before the losses and metrics.
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
        rate: tf.Tensor | None,
    ) -> tuple[Tensors, tf.Tensor]:
        """The parameters and slots after a window, and the norm `[1]` of its gradient."""
        schedule = self.step.schedule
        weights = schedule.pack(tensors, 0.0)
        (first, second), scored = gradients, tf.maximum(tf.add_n(labels), self.step.least)
        gradient = {name: (first[name] + second[name]) / scored for name in first}
        norm = schedule.norm(gradient)
        now, slots = self.step.update(
            flat(weights), gradient, self.step.pack_slots(tensors), norm, step, rate
        )
        return self.step.unpack(now, slots, weights), norm


def _halved(tensor: Any, axis: int) -> list[Any]:
    """The first half of the rows, and the second, which is the larger one if they are odd."""
    middle = tensor.shape[axis] // 2
    before = (slice(None),) * axis
    return [tensor[(*before, rows)] for rows in (slice(middle), slice(middle, None))]


def _halved_parts(parts: Arrays) -> tuple[Arrays, Arrays]:
    """The parts `[K, T, B, …, 1]` of each half; dropout has its layers before its rows."""
    halves = {name: _halved(part, 3 if name == "dropout" else 2) for name, part in parts.items()}
    first, second = ({name: half[which] for name, half in halves.items()} for which in (0, 1))
    return first, second


def _joined(halves: Sequence[Any]) -> Any:
    """What the steps of both showed, `[K, T, B, …]`; norms, which are empty, have no rows."""
    return np.concatenate(halves, 2) if len(halves[0].shape) > 2 else halves[0]
