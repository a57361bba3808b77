"""The compiled programs: training over a chunk of windows, and evaluation.

What is compiled is a chunk, `tensors, measures = chunk(tensors, parts[K], count)`, of which
`chunks.py` decides the length and makes the calls.

`tensors` is everything that training changes, by its name in a checkpoint: the parameters `[R, …]`,
`state` `[R, L, 2, B, S]`, and `optimizer.<slot>.<parameter>`. Schedules may lay it out as they like
inside a chunk. One with `side_by_side` takes all replicas at once; any other is compiled for one,
and replicas go through a chunk one after the other. What is compiled for one does not depend on how
many there are, the number of windows included.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from lstmcli import architecture
from lstmcli.architecture import Signature
from lstmcli.config import Config
from lstmcli.core import environment, parameters
from lstmcli.core.backend import tf
from lstmcli.core.batch import Array, Arrays, Batch, Measures, joined, means
from lstmcli.core.chunks import Calls, Parts, Tensors
from lstmcli.core.heads import HEADS, Errors
from lstmcli.core.layered import Layered
from lstmcli.core.optimizers import OPTIMIZERS
from lstmcli.core.wavefront import Wavefront
from lstmcli.core.window import Window, dropout_bits, of_parts
from lstmcli.streams import Stream, generator

SCHEDULES: dict[str, type[Any]] = {"wavefront": Wavefront, "layered": Layered}


class Program:
    """The compiled programs of one configuration.

    Args:
        config: all settings.
        signature: what the data has.
        device: as `device.resolve` gives it.
    """

    def __init__(self, config: Config, signature: Signature, device: str) -> None:
        self.config = config
        self.signature = signature
        self.device = device
        features, outputs = signature.features, signature.outputs
        self.schedule = environment.schedule(config, features)
        self._schedule = SCHEDULES[self.schedule](
            config.model.layers, config.model.state_size, features
        )
        self._optimizer = OPTIMIZERS[config.training.optimizer]
        self._head = HEADS[signature.head]
        self._names = tuple(architecture.shapes(config.model, features, outputs))
        # Where the state is reset or units are dropped, the order of the wavefront's sums was seen
        # to depend on the number of replicas: there, too, it takes one after the other.
        plain = not signature.starts and config.training.dropout is None
        side_by_side = self._schedule.side_by_side and plain
        seconds = parameters.window_seconds(
            config if side_by_side else _of_one_replica(config),
            features,
            architecture.count(config.model, features, outputs),
        )
        self._calls = Calls(side_by_side, seconds, device)
        compiled = {"jit_compile": True, "autograph": False}
        self._train = tf.function(self._train_chunk, **compiled)
        self._evaluate = tf.function(self._evaluate_chunk, **compiled)
        self._predict = tf.function(self._predict_chunk, **compiled)

    @property
    def compiled(self) -> bool:
        """Whether the training program is ready: its first call takes seconds to compile it."""
        return self._calls.made("train")

    def start(self, weights: parameters.Arrays) -> parameters.Arrays:
        """Everything that training changes, as it is before the first window."""
        replicas = len(weights["dense.bias"])
        rows = self.config.training.rows
        tensors = dict(weights)
        tensors["state"] = parameters.zero_state(self.config.model, replicas, rows)
        for slot, value in self._optimizer.slots.items():
            for name in self._names:
                tensors[f"optimizer.{slot}.{name}"] = np.full_like(weights[name], value)
        return tensors

    def train(
        self, tensors: parameters.Arrays, batch: Batch, step: int, first: int = 0
    ) -> Iterator[tuple[Tensors, Measures]]:
        """Trains on a batch's windows from `first` on, and yields after each chunk.

        Args:
            tensors: as `start` gives them, or a checkpoint.
            batch: an epoch's windows.
            step: updates made before.
            first: the window to begin with.
        """
        epoch = (step - first) // len(batch)
        decayed = self.config.training.learning_rate_decay is not None
        rate = tf.constant(self.config.training.rate(epoch)) if decayed else None

        def chunk(now: Tensors, parts: Parts, count: tf.Tensor, begin: int) -> tuple:
            return self._train(now, parts, count, tf.constant(step - first + begin, tf.int32), rate)

        extra = self._dropout(epoch) if self.config.training.dropout else None
        for trained, found, scored in self._calls.over(
            "train", chunk, tensors, batch, first, extra
        ):
            yield trained, means(found, scored)

    def _dropout(self, epoch: int) -> Callable[[int, int, slice], Arrays]:
        """What draws an epoch's dropout: of windows from one on, for some replicas."""
        model, training = self.config.model, self.config.training
        shape = (training.steps, model.layers, training.rows, model.state_size)

        def draw(begin: int, length: int, group: slice) -> Arrays:
            seeds = self.config.run.seeds[group]
            rngs = [generator(seed, Stream.DROPOUT, epoch) for seed in seeds]
            return {"dropout": dropout_bits(rngs, shape, begin, length)}

        return draw

    def evaluate(self, tensors: parameters.Arrays, batch: Batch) -> Measures:
        """Loss and metric over a batch, from a state of zeros; changes nothing."""

        def chunk(now: Tensors, parts: Parts, count: tf.Tensor, begin: int) -> tuple:
            return self._evaluate(now, parts, count)

        chunks = self._calls.over("evaluate", chunk, self._rested(tensors), batch)
        return joined([means(found, scored) for _, found, scored in chunks])

    def predict(self, tensors: parameters.Arrays, batch: Batch) -> Iterator[Array]:
        """What the head reads out, from a state of zeros: yields `[windows, T, B, C, R]`.

        For the softmax, log-probabilities; for the linear head, the predicted numbers.
        """

        def chunk(now: Tensors, parts: Parts, count: tf.Tensor, begin: int) -> tuple:
            return self._predict(now, parts, count)

        for _, (scored,), _ in self._calls.over("predict", chunk, self._rested(tensors), batch):
            yield scored

    def _rested(self, tensors: parameters.Arrays) -> parameters.Arrays:
        """The parameters with a state of zeros."""
        rested = {name: tensors[name] for name in self._names}
        replicas, rows = len(rested["dense.bias"]), self.config.training.rows
        return rested | {"state": parameters.zero_state(self.config.model, replicas, rows)}

    def _train_chunk(
        self,
        tensors: Tensors,
        parts: Parts,
        count: tf.Tensor,
        done: tf.Tensor,
        rate: tf.Tensor | None,
    ) -> tuple[Tensors, tuple]:
        schedule = self._schedule
        weights = schedule.pack(tensors, 0.0)
        slots = [_flat(self._pack_slot(tensors, slot)) for slot in self._optimizer.slots]

        def window(
            k: tf.Tensor, flat: list, slots: list, state: Any, seen: tuple, scratch: Any
        ) -> tuple:
            gradient, state, errors, scratch = schedule.gradient(
                _shaped(flat, weights), state, self._window(parts, k), errors_in(k), scratch
            )
            norm = schedule.norm(gradient)
            flat, slots = self._update(flat, gradient, slots, norm, done + k + 1, rate)
            found = errors.loss, errors.metric, norm
            return k + 1, flat, slots, state, _record(seen, k, found), scratch

        def errors_in(k: tf.Tensor) -> Callable[[tf.Tensor], Errors]:
            return lambda outputs: self._errors(outputs, {name: parts[name][k] for name in parts})

        windows, *each_step = self._each_step(parts)
        seen = tuple(_table(windows, shape) for shape in (each_step, each_step, each_step[-1:]))
        state = schedule.pack_state(tensors["state"])
        scratch = schedule.scratch(self._window(parts, 0))
        start = (0, _flat(weights), slots, state, seen, scratch)
        _, flat, slots, state, seen, _ = tf.while_loop(lambda k, *_: k < count, window, start)
        result = schedule.unpack(_shaped(flat, weights))
        result["state"] = schedule.unpack_state(state, each_step[1])
        for slot, packed in zip(self._optimizer.slots, slots, strict=True):
            for name, tensor in schedule.unpack(_shaped(packed, weights)).items():
                result[f"optimizer.{slot}.{name}"] = tensor
        return result, tuple(array.stack() for array in seen)

    def _window(self, parts: Parts, k: tf.Tensor | int) -> Window:
        """What the schedule is given of window `k`."""
        given = {name: part[k] for name, part in parts.items() if name != "targets"}
        return of_parts(given, self.signature, self.config.training.dropout)

    def _each_step(self, parts: Parts) -> list[int]:
        """The shape `[K, T, B, R]` of what each step of a chunk shows."""
        shape = parts["targets"].shape.as_list()
        return [*shape[:3], shape[-1]]

    def _errors(self, outputs: tf.Tensor, parts: Parts) -> Errors:
        """What the head makes of a window's outputs.

        Args:
            outputs: `[C, T, B, R]`.
            parts: of one window.
        """
        targets = parts["targets"]
        if self.signature.head == "softmax":
            targets = tf.cast(targets, tf.int32)
        errors = self._head.errors(outputs, targets)
        if not self.signature.scored:
            steps, rows = errors.loss.shape[:2]
            return errors._replace(labels=float(steps * rows))
        scored = tf.cast(parts["scored"], tf.float32)
        count = tf.reduce_sum(scored, [0, 1])  # Whole numbers: exact in any order.
        return errors._replace(gradient=errors.gradient * scored, labels=tf.maximum(count, 1))

    def _pack_slot(self, tensors: Tensors, slot: str) -> Any:
        named = {name: tensors[f"optimizer.{slot}.{name}"] for name in self._names}
        return self._schedule.pack(named, self._optimizer.slots[slot])

    def _update(
        self,
        flat: list,
        gradient: Any,
        slots: list,
        norm: tf.Tensor,
        step: tf.Tensor,
        rate: tf.Tensor | None,
    ) -> tuple[list, list]:
        training = self.config.training
        rate = training.learning_rate if rate is None else rate
        if training.clip_norm is not None:
            factor = training.clip_norm / tf.maximum(norm, training.clip_norm)  # [R]
            gradient = self._schedule.scale(gradient, factor)
        count = tf.cast(step, tf.float32)
        updated = [
            self._optimizer.update(weight, slope, tuple(slot), rate, count)
            for weight, slope, *slot in zip(flat, _flat(gradient), *slots, strict=True)
        ]
        columns = zip(*(slot for _, slot in updated), strict=True)
        return [weight for weight, _ in updated], [list(column) for column in columns]

    def _evaluate_chunk(
        self, tensors: Tensors, parts: Parts, count: tf.Tensor
    ) -> tuple[Tensors, tuple]:
        def measure(outputs: tf.Tensor, k: tf.Tensor) -> tuple:
            return self._errors(outputs, {name: parts[name][k] for name in parts})[:2]

        windows, *each_step = self._each_step(parts)
        tensors, (loss, metric) = self._forward_chunk(
            tensors, parts, count, measure, [each_step] * 2
        )
        return tensors, (loss, metric, tf.zeros([windows, 0]))

    def _predict_chunk(
        self, tensors: Tensors, parts: Parts, count: tf.Tensor
    ) -> tuple[Tensors, tuple]:
        _, steps, rows, replicas = self._each_step(parts)

        def measure(outputs: tf.Tensor, k: tf.Tensor) -> tuple:
            return (tf.transpose(self._head.readout(outputs), [1, 2, 0, 3]),)

        shape = [steps, rows, self.signature.outputs, replicas]
        return self._forward_chunk(tensors, parts, count, measure, [shape])

    def _forward_chunk(
        self,
        tensors: Tensors,
        parts: Parts,
        count: tf.Tensor,
        measure: Callable[[tf.Tensor, tf.Tensor], tuple],
        shapes: list[list[int]],
    ) -> tuple[Tensors, tuple]:
        schedule = self._schedule
        weights = schedule.pack(tensors, 0.0)

        def window(k: tf.Tensor, state: Any, seen: Any, scratch: Any) -> tuple:
            outputs, state, scratch = schedule.forward(
                weights, state, self._window(parts, k), scratch
            )
            return k + 1, state, _record(seen, k, measure(outputs, k)), scratch

        windows, _, rows, _ = self._each_step(parts)
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


def _of_one_replica(config: Config) -> Config:
    return replace(config, run=replace(config.run, replicas=1))


def _flat(weights: Any) -> list[tf.Tensor]:
    """Weights as long vectors: an update's loop over one axis is what the compiler vectorises."""
    return [tf.reshape(part, [-1]) for part in tf.nest.flatten(weights)]


def _shaped(flat: list[tf.Tensor], like: Any) -> Any:
    """The inverse of `_flat`."""
    shapes = (part.shape for part in tf.nest.flatten(like))
    return tf.nest.pack_sequence_as(like, list(map(tf.reshape, flat, shapes)))


def _record(seen: tuple, k: tf.Tensor, found: tuple) -> tuple:
    """Writes what window `k` showed into row `k` of each array."""
    return tuple(array.write(k, value) for array, value in zip(seen, found, strict=True))


def _table(length: int, shape: list[int]) -> tf.TensorArray:
    """Room for what each of `length` windows shows."""
    return tf.TensorArray(tf.float32, length, element_shape=shape)
