"""The programs of one configuration, and how they are called: a chunk of windows at a time."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from lstmcli import model_spec
from lstmcli.config import Config
from lstmcli.core import execution, gpu, initialization
from lstmcli.core.at_once import CallsAtOnce
from lstmcli.core.device import devices_at_once, threads
from lstmcli.core.inputs import dropout_bits
from lstmcli.core.programs import ChunkProgram, SplitBatchProgram
from lstmcli.core.replica_windows import (
    Array,
    Arrays,
    ReplicaWindows,
    WindowMetrics,
    concatenate,
    means,
)
from lstmcli.core.tensorflow import first_call, tf
from lstmcli.core.train_step import Constants, Step
from lstmcli.model_spec import ModelSpec
from lstmcli.utils import memory
from lstmcli.utils.rng import Stream, generator

KEPT = 8
"""How many configurations' programs a process keeps: trials of a sweep that differ in their data,
learning rate or seeds alone are compiled once."""

READOUTS = 1 << 22
"""Numbers that a call of `predict` gives back at most, if one window has fewer: room for them is
made anew in each call, however few windows it goes through."""


class Program:
    """The compiled programs of one configuration.

    Args:
        config: all settings.
        spec: what the data has.
        device: as `device.resolve` gives it.

    Raises:
        LstmcliError: the process has compiled so many that it has no room for another.
    """

    def __init__(self, config: Config, spec: ModelSpec, device: str) -> None:
        memory.check_programs()
        self.config = config
        self.spec = spec
        self.device = device
        features, outputs = spec.features, spec.outputs
        plan = execution.plan(config, features, device)
        self.schedule = plan.schedule
        halved = threads() > 1 and plan.splits_batch
        constants = Constants.of(config, spec, device)
        self.programs = programs_for(constants, device if halved else None)
        step = self.programs.step
        self._names = step.names
        self._slots = step.optimizer.slots
        # Where the state is reset or units are dropped, the order of the wavefront's sums was seen
        # to depend on the number of replicas: there, too, it takes one after the other.
        plain = not spec.starts and config.training.dropout is None
        side_by_side = step.schedule.side_by_side and plain
        together = _together(config.run.replicas, device) if side_by_side else 1
        parameter_count = model_spec.count(config.model, features, outputs)
        grouped = replace(config, run=replace(config.run, replicas=together))
        seconds = initialization.window_seconds(grouped, features, parameter_count)
        window = config.training.rows, config.training.steps
        self._calls = ChunkRunner(together, seconds, device, window)
        numbers = config.training.steps * config.training.rows * outputs * together
        self._windows_read_out = max(1, READOUTS // numbers)

    @property
    def compiled(self) -> bool:
        """Whether the training program is ready: its first call takes seconds to compile it."""
        return self._calls.made("train")

    def start(self, weights: initialization.Arrays) -> initialization.Arrays:
        """Everything that training changes, as it is before the first window."""
        replicas = len(weights["dense.bias"])
        rows = self.config.training.rows
        tensors = dict(weights)
        tensors["state"] = initialization.zero_state(self.config.model, replicas, rows)
        for slot, value in self._slots.items():
            for name in self._names:
                tensors[f"optimizer.{slot}.{name}"] = np.full_like(weights[name], value)
        return tensors

    def train(
        self, tensors: initialization.Arrays, batch: ReplicaWindows, step: int, first: int = 0
    ) -> Iterator[tuple[Tensors, WindowMetrics]]:
        """Trains on a batch's windows from `first` on, and yields after each chunk.

        Args:
            tensors: as `start` gives them, or a checkpoint.
            batch: an epoch's windows.
            step: updates made before.
            first: the window to begin with.
        """
        epoch = (step - first) // len(batch)
        rate = self.config.training.rate(epoch)

        def chunk(now: Tensors, parts: Arrays, count: int, begin: int) -> tuple:
            return self.programs.train(now, parts, count, step - first + begin, rate)

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

    def evaluate(self, tensors: initialization.Arrays, batch: ReplicaWindows) -> WindowMetrics:
        """Loss and metric over a batch, from a state of zeros; changes nothing."""

        def chunk(now: Tensors, parts: Arrays, count: int, begin: int) -> tuple:
            return self.programs.evaluate(now, self._needed(parts), count)

        chunks = self._calls.over("evaluate", chunk, self._rested(tensors), batch)
        return concatenate([means(found, scored) for _, found, scored in chunks])

    def predict(self, tensors: initialization.Arrays, batch: ReplicaWindows) -> Iterator[Array]:
        """What the head reads out, from a state of zeros: yields `[windows, T, B, C, R]`.

        For the softmax, log-probabilities; for the linear head, the predicted numbers.
        """

        def chunk(now: Tensors, parts: Arrays, count: int, begin: int) -> tuple:
            return self.programs.predict(now, self._needed(parts), count)

        rested, most = self._rested(tensors), self._windows_read_out
        for _, (scored,), _ in self._calls.over("predict", chunk, rested, batch, most=most):
            yield scored

    def _needed(self, parts: Arrays) -> Arrays:
        """Parts without a warm-up's marks, where training has no such thing.

        A pass forward measures every step; which of them count, the measures are told afterwards.
        """
        if self.spec.scored:
            return parts
        return {name: part for name, part in parts.items() if name != "scored"}

    def _rested(self, tensors: initialization.Arrays) -> initialization.Arrays:
        """The parameters with a state of zeros."""
        rested = {name: tensors[name] for name in self._names}
        replicas, rows = len(rested["dense.bias"]), self.config.training.rows
        return rested | {"state": initialization.zero_state(self.config.model, replicas, rows)}


@functools.lru_cache(maxsize=KEPT)
def programs_for(constants: Constants, halved_on: str | None) -> ChunkProgram | SplitBatchProgram:
    """The compiled programs for some constants, in halves where a device is named for them."""
    step = Step(constants)
    return ChunkProgram(step) if halved_on is None else SplitBatchProgram(step, halved_on)


def _together(replicas: int, device: str) -> int:
    """How many replicas a call takes that may lie side by side.

    The compiler's vectors fit 4 and 8 of them. Of 12 models of the article at once each took three
    times as long as one of 8, and of 3 longer than alone.
    """
    if not device.startswith("cpu"):
        return replicas
    if replicas <= 2:
        return 1
    return 4 if replicas <= 4 else 8


Tensors = dict[str, tf.Tensor]
Chunk = Callable[[Tensors, Arrays, int, int], tuple]
"""`(tensors, parts, count, begin) -> (tensors, measured)`, where the parts are the windows of a
chunk, `[K, T, B, …, R]`, by the names of a series' arrays."""

Extra = Callable[[int, int, slice], Arrays]
"""`(begin, length, replicas) -> parts` that the data does not have."""

CHUNK_SECONDS = 0.25


class ChunkResult(NamedTuple):
    """What stands after a call.

    Attributes:
        tensors: of all replicas.
        measured: of the call's windows, with the replicas in the last axis.
        scored: which of their steps count, `[windows, T, B, R]`: of several numbers, how many;
            `None` for all.
    """

    tensors: Tensors
    measured: list[Array]
    scored: npt.NDArray[Any] | None


class Group(NamedTuple):
    """Replicas that go through a chunk together.

    Attributes:
        replicas: which.
        copies: of the last of them, which fill the group up.
    """

    replicas: slice
    copies: int

    def filled(self, arrays: Mapping[str, Any], axis: int) -> dict[str, Any]:
        """Arrays that have the replicas in an axis, with the copies."""
        if not self.copies:
            return dict(arrays)
        return {
            name: np.concatenate([array, *[np.take(array, [-1], axis)] * self.copies], axis)
            for name, array in arrays.items()
        }

    @property
    def genuine(self) -> slice:
        """Its replicas without the copies."""
        return slice(None, -self.copies or None)


class ChunkRunner:
    """How a program is called.

    Args:
        together: how many replicas a call takes.
        window_seconds: what a window takes for these, about.
        device: as `device.resolve` gives it.
        window: its rows and steps.
    """

    def __init__(
        self, together: int, window_seconds: float, device: str, window: tuple[int, int]
    ) -> None:
        self._together = together
        self._window_seconds = window_seconds
        self._device = device
        self._window = window
        self._calls = CallsAtOnce(devices_at_once(device))
        self._paces: dict[tuple[str, int], ChunkSizer] = {}

    def made(self, kind: str) -> bool:
        """Whether a program has been called: its first call takes seconds to compile it."""
        return any(each == kind for each, _ in self._paces)

    def over(
        self,
        kind: str,
        chunk: Chunk,
        tensors: Tensors,
        batch: ReplicaWindows,
        first: int = 0,
        extra: Extra | None = None,
        most: int | None = None,
    ) -> Iterator[ChunkResult]:
        """Calls a chunk over a batch, and yields after each call.

        Args:
            kind: the program's name.
            chunk: what is called.
            tensors: before the first window, `[R, …]`.
            batch: the windows.
            first: the window to begin with.
            extra: draws parts that the data does not have.
            most: windows of a call, where what it gives back is large.

        Raises:
            OutOfMemoryError: there is no room for it.
        """
        groups = self._groups(batch.replicas)
        length = min(_chunk_length(len(batch), self._window_seconds), most or len(batch))
        pace = self._paces.setdefault((kind, length), ChunkSizer(length))
        now = [
            group.filled({name: tensor[group.replicas] for name, tensor in tensors.items()}, 0)
            for group in groups
        ]
        begin = first
        while begin < len(batch):
            count = min(pace.windows, len(batch) - begin)

            def call(index: int, begin: int = begin, count: int = count) -> tuple:
                group = groups[index]
                parts = batch.take(begin, length, group.replicas)
                scored = _counted(parts)[:count] if "scored" in parts else None
                parts |= extra(begin, length, group.replicas) if extra else {}
                now[index], found = chunk(now[index], group.filled(parts, -1), count, begin)
                return [np.asarray(each)[:count, ..., group.genuine] for each in found], scored

            with self._told_of_memory(), pace.call(count):
                measured, scored = zip(*self._calls.map(call, len(groups)), strict=True)
            yield ChunkResult(
                _joined(now, groups),
                [np.concatenate(each, -1) for each in zip(*measured, strict=True)],
                None if scored[0] is None else np.concatenate(scored, -1),
            )
            begin += count

    @contextmanager
    def _told_of_memory(self) -> Iterator[None]:
        """What TensorFlow raises where there is none left becomes an error in words."""
        try:
            yield
        except tf.errors.ResourceExhaustedError as error:
            raise gpu.out_of_memory(self._device, *self._window) from error

    def _groups(self, replicas: int) -> list[Group]:
        """All replicas, as they go through a chunk together."""
        begins = range(0, replicas, self._together)
        ends = [min(begin + self._together, replicas) for begin in begins]
        return [
            Group(slice(begin, end), begin + self._together - end)
            for begin, end in zip(begins, ends, strict=True)
        ]


def _counted(parts: Arrays) -> npt.NDArray[Any]:
    """Which steps count, or how many of their several numbers are known: `[K, T, B, R]`."""
    scored, targets = parts["scored"], parts["targets"]
    if targets.ndim == scored.ndim or targets.shape[-2] == 1:
        return scored
    return np.where(scored, np.isfinite(targets).sum(-2), 0)


def _chunk_length(windows: int, seconds: float) -> int:
    """Windows of a chunk: an even part of all, by the seconds that one takes."""
    pieces = max(1, round(windows * seconds / CHUNK_SECONDS))
    return -(-windows // pieces)


def _joined(now: Sequence[Tensors], groups: Sequence[Group]) -> Tensors:
    """Tensors `[R, …]` of those that each group has."""
    if len(groups) == 1 and not groups[0].copies:
        return now[0]
    pairs = list(zip(now, groups, strict=True))
    return {  # In NumPy: TensorFlow takes a hundred times as long to cut so many small pieces.
        name: np.concatenate([np.asarray(each[name])[group.genuine] for each, group in pairs])
        for name in now[0]
    }


LONGEST_SECONDS = 0.4
"""What a call may take, where one window does not take longer."""

MOST_SECONDS = 4.0
"""What it may take where most of a call is not its windows: many replicas take a call each."""

GROWTH = 8
"""Times as many windows as before that a call goes, at most."""


class ChunkSizer:
    """How many windows a call goes: from one, as the first call compiles, up to all of a chunk.

    Args:
        length: windows that the program is compiled for.
    """

    def __init__(self, length: int) -> None:
        self._length = length
        self._compiled = False
        self._allowed = LONGEST_SECONDS
        self.windows = 1

    @contextmanager
    def call(self, count: int) -> Iterator[None]:
        """Around a call that goes `count` windows; learns from how long it takes."""
        begun = time.monotonic()
        with nullcontext() if self._compiled else first_call():
            yield
        if self._compiled:
            self._learn(count, time.monotonic() - begun)
        self._compiled = True

    def _learn(self, count: int, seconds: float) -> None:
        if self.windows == 1:  # It may all be the call's own, and another window as good as free.
            self._allowed = max(LONGEST_SECONDS, min(2 * seconds, MOST_SECONDS))
        fitting = int(count * self._allowed / max(seconds, 1e-9))
        if seconds > self._allowed:
            self.windows = max(1, fitting)
        else:
            longer = min(fitting, GROWTH * self.windows, self._length)
            self.windows = max(self.windows, longer)
