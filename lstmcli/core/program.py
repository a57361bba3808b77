"""The compiled programs: training over a chunk of windows, and evaluation.

What is compiled is a chunk, `tensors, measures = chunk(tensors, inputs[K], labels[K], count)`: long
enough that Python's overhead vanishes, short enough that a progress bar moves and Ctrl-C is
answered. A ragged last chunk is padded and `count` says how far to go, so nothing compiles twice;
where windows take longer than guessed, a call goes less far.

`tensors` is everything that training changes, by its name in a checkpoint: the parameters `[R, …]`,
`state` `[R, L, 2, B, S]`, and `optimizer.<slot>.<parameter>`. Schedules may lay it out as they like
inside a chunk. One with `side_by_side` takes all replicas at once; any other is compiled for one,
and replicas go through a chunk one after the other. What is compiled for one does not depend on how
many there are, the number of windows included.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from lstmcli import architecture
from lstmcli.config import Config
from lstmcli.core import environment, model, parameters
from lstmcli.core.backend import tf
from lstmcli.core.batch import Array, Batch, Measures, means
from lstmcli.core.layered import Layered
from lstmcli.core.optimizers import OPTIMIZERS
from lstmcli.core.pace import Pace
from lstmcli.core.wavefront import Wavefront

Tensors = dict[str, tf.Tensor]

CHUNK_SECONDS = 0.25
CLASSES = 0  # the axis of logits [C, T, B, R] along which the classes lie


SCHEDULES: dict[str, type[Any]] = {"wavefront": Wavefront, "layered": Layered}


class Program:
    """The compiled programs of one configuration.

    Args:
        config: all settings.
        features: numbers in one step's input.
        classes: number of labels.
        device: as `device.resolve` gives it.
    """

    def __init__(self, config: Config, features: int, classes: int, device: str) -> None:
        self.config = config
        self.features = features
        self.classes = classes
        self.device = device
        schedule = SCHEDULES[environment.schedule(config)]
        self._schedule = schedule(config.model.layers, config.model.state_size, features)
        self._optimizer = OPTIMIZERS[config.training.optimizer]
        self._names = tuple(architecture.shapes(config.model, features, classes))
        self._window_seconds = parameters.window_seconds(
            config if schedule.side_by_side else _of_one_replica(config),
            architecture.count(config.model, features, classes),
        )
        self._paces: dict[tuple[str, int], Pace] = {}
        compiled = {"jit_compile": True, "autograph": False}
        self._train = tf.function(self._train_chunk, **compiled)
        self._evaluate = tf.function(self._evaluate_chunk, **compiled)
        self._predict = tf.function(self._predict_chunk, **compiled)

    @property
    def compiled(self) -> bool:
        """Whether the training program is ready: its first call takes seconds to compile it."""
        return any(kind == "train" for kind, _ in self._paces)

    def start(self, weights: parameters.Arrays) -> parameters.Arrays:
        """Everything that training changes, as it is before the first window."""
        replicas = len(weights["dense.bias"])
        rows = self.config.training.batch_size
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

        def chunk(now: Tensors, inputs: tf.Tensor, labels: tf.Tensor, count: tf.Tensor) -> tuple:
            done = tf.constant(step - first + position, tf.int32)
            return self._train(now, inputs, labels, count, done)

        position = first
        for trained, found in self._chunks("train", chunk, tensors, batch, first):
            position += len(found[0])
            yield trained, means(*found)

    def evaluate(self, tensors: parameters.Arrays, batch: Batch) -> Measures:
        """Loss and accuracy over a batch, from a state of zeros; changes nothing."""
        chunks = self._chunks("evaluate", self._evaluate, self._rested(tensors), batch)
        parts = [found for _, found in chunks]
        return means(*(np.concatenate(column) for column in zip(*parts, strict=True)))

    def predict(self, tensors: parameters.Arrays, batch: Batch) -> Array:
        """Log-probabilities `[windows, T, B, C, R]` over a batch, from a state of zeros."""
        chunks = self._chunks("predict", self._predict, self._rested(tensors), batch)
        parts = [found for _, found in chunks]
        return np.concatenate([scored for (scored,) in parts])

    def _rested(self, tensors: parameters.Arrays) -> parameters.Arrays:
        """The parameters with a state of zeros."""
        rested = {name: tensors[name] for name in self._names}
        replicas, rows = len(rested["dense.bias"]), self.config.training.batch_size
        return rested | {"state": parameters.zero_state(self.config.model, replicas, rows)}

    def _chunks(
        self,
        kind: str,
        chunk: Callable[..., tuple],
        tensors: Tensors,
        batch: Batch,
        first: int = 0,
    ) -> Iterator[tuple[Tensors, Any]]:
        """Runs a compiled chunk over a batch: yields the tensors and what was measured."""
        groups = self._groups(batch.labels.shape[-1])
        length = _chunk_length(len(batch), self._window_seconds)
        pace = self._paces.setdefault((kind, length), Pace(length))
        parts = [{name: tensor[group] for name, tensor in tensors.items()} for group in groups]
        begin = first
        with tf.device(self.device):
            while begin < len(batch):
                count, found = min(pace.windows, len(batch) - begin), []
                with pace.call(count):
                    for index, group in enumerate(groups):
                        inputs, labels = (_slice(each[..., group], begin, length) for each in batch)
                        parts[index], measured = chunk(
                            parts[index], inputs, labels, tf.constant(count)
                        )
                        found.append([each.numpy()[:count] for each in measured])
                joined = {name: _join(part[name] for part in parts) for name in parts[0]}
                yield joined, tuple(np.concatenate(each, -1) for each in zip(*found, strict=True))
                begin += count

    def _groups(self, replicas: int) -> list[slice]:
        """The replicas that go through a chunk together."""
        if self._schedule.side_by_side:
            return [slice(None)]
        return [slice(replica, replica + 1) for replica in range(replicas)]

    def _train_chunk(
        self,
        tensors: Tensors,
        inputs: tf.Tensor,
        labels: tf.Tensor,
        count: tf.Tensor,
        done: tf.Tensor,
    ) -> tuple[Tensors, tuple]:
        schedule = self._schedule
        weights = schedule.pack(tensors, 0.0)
        slots = [_flat(self._pack_slot(tensors, slot)) for slot in self._optimizer.slots]

        def window(
            k: tf.Tensor, flat: list, slots: list, state: Any, seen: tuple, scratch: Any
        ) -> tuple:
            gradient, state, errors, scratch = schedule.gradient(
                _shaped(flat, weights), state, inputs[k], labels[k], scratch
            )
            norm = schedule.norm(gradient)
            flat, slots = self._update(flat, gradient, slots, norm, done + k + 1)
            found = errors.loss, errors.correct, norm
            return k + 1, flat, slots, state, _record(seen, k, found), scratch

        windows, *each_step = labels.shape
        seen = tuple(_table(windows, shape) for shape in (each_step, each_step, each_step[-1:]))
        state = schedule.pack_state(tensors["state"])
        start = (0, _flat(weights), slots, state, seen, schedule.scratch(inputs[0]))
        _, flat, slots, state, seen, _ = tf.while_loop(lambda k, *_: k < count, window, start)
        result = schedule.unpack(_shaped(flat, weights))
        result["state"] = schedule.unpack_state(state, inputs.shape[2])
        for slot, packed in zip(self._optimizer.slots, slots, strict=True):
            for name, tensor in schedule.unpack(_shaped(packed, weights)).items():
                result[f"optimizer.{slot}.{name}"] = tensor
        return result, tuple(array.stack() for array in seen)

    def _pack_slot(self, tensors: Tensors, slot: str) -> Any:
        named = {name: tensors[f"optimizer.{slot}.{name}"] for name in self._names}
        return self._schedule.pack(named, self._optimizer.slots[slot])

    def _update(
        self, flat: list, gradient: Any, slots: list, norm: tf.Tensor, step: tf.Tensor
    ) -> tuple[list, list]:
        training = self.config.training
        if training.clip_norm is not None:
            factor = training.clip_norm / tf.maximum(norm, training.clip_norm)  # [R]
            gradient = self._schedule.scale(gradient, factor)
        count = tf.cast(step, tf.float32)
        updated = [
            self._optimizer.update(weight, slope, tuple(slot), training.learning_rate, count)
            for weight, slope, *slot in zip(flat, _flat(gradient), *slots, strict=True)
        ]
        columns = zip(*(slot for _, slot in updated), strict=True)
        return [weight for weight, _ in updated], [list(column) for column in columns]

    def _evaluate_chunk(
        self, tensors: Tensors, inputs: tf.Tensor, labels: tf.Tensor, count: tf.Tensor
    ) -> tuple[Tensors, tuple]:
        def measure(logits: tf.Tensor, k: tf.Tensor) -> tuple:
            return model.softmax_errors(logits, labels[k], CLASSES)[:2]

        shapes = [labels.shape[1:]] * 2
        tensors, (loss, correct) = self._forward_chunk(tensors, inputs, count, measure, shapes)
        return tensors, (loss, correct, tf.zeros([inputs.shape[0], 0]))

    def _predict_chunk(
        self, tensors: Tensors, inputs: tf.Tensor, labels: tf.Tensor, count: tf.Tensor
    ) -> tuple[Tensors, tuple]:
        steps, rows, _, replicas = inputs.shape[1:]
        classes = tensors["dense.bias"].shape[1]

        def measure(logits: tf.Tensor, k: tf.Tensor) -> tuple:
            return (tf.transpose(model.log_softmax(logits, CLASSES), [1, 2, 0, 3]),)

        shape = [steps, rows, classes, replicas]
        return self._forward_chunk(tensors, inputs, count, measure, [shape])

    def _forward_chunk(
        self,
        tensors: Tensors,
        inputs: tf.Tensor,
        count: tf.Tensor,
        measure: Callable[[tf.Tensor, tf.Tensor], tuple],
        shapes: list[list[int]],
    ) -> tuple[Tensors, tuple]:
        schedule = self._schedule
        weights = schedule.pack(tensors, 0.0)

        def window(k: tf.Tensor, state: Any, seen: Any, scratch: Any) -> tuple:
            logits, state, scratch = schedule.forward(weights, state, inputs[k], scratch)
            return k + 1, state, _record(seen, k, measure(logits, k)), scratch

        seen = tuple(_table(inputs.shape[0], shape) for shape in shapes)
        start = (
            0,
            schedule.pack_state(tensors["state"]),
            seen,
            schedule.scratch(inputs[0], backward=False),
        )
        _, state, seen, _ = tf.while_loop(lambda k, *_: k < count, window, start)
        end = {"state": schedule.unpack_state(state, inputs.shape[2])}
        return tensors | end, tuple(array.stack() for array in seen)


def _of_one_replica(config: Config) -> Config:
    return replace(config, run=replace(config.run, replicas=1))


def _chunk_length(windows: int, seconds: float) -> int:
    """Windows of a chunk: an even part of all, by the seconds that one takes."""
    pieces = max(1, round(windows * seconds / CHUNK_SECONDS))
    return -(-windows // pieces)


def _join(parts: Iterable[tf.Tensor]) -> tf.Tensor:
    """One tensor `[R, …]` of the parts that its replicas have in each group."""
    first, *more = parts
    return tf.concat([first, *more], 0) if more else first


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


def _slice(array: npt.NDArray, begin: int, length: int) -> tf.Tensor:
    """`length` windows from `begin` on, the missing ones zero."""
    part = array[begin : begin + length]
    if len(part) < length:
        padding = np.zeros((length - len(part), *array.shape[1:]), array.dtype)
        part = np.concatenate([part, padding])
    return tf.constant(part)
