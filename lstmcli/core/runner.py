"""The programs of one configuration, and how they are called: one chunk of windows at a time."""

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
"""How many configurations' programs a process keeps. Trials of a sweep that differ only in their
data, learning rate or seeds share one."""

READOUTS = 1 << 22
"""The most numbers that a call of `predict` returns, unless one window has more. Each call
allocates a full chunk of them, however few windows it computes."""


class Program:
    """The compiled programs of one configuration.

    Args:
        config: all settings.
        spec: names and shapes of the data.
        device: as returned by `device.resolve`.

    Raises:
        LstmcliError: the process has compiled so many programs that there is no room for another.
    """

    def __init__(self, config: Config, spec: ModelSpec, device: str) -> None:
        memory.check_programs()
        self.config = config
        self.spec = spec
        self.device = device
        features, outputs = spec.features, spec.outputs
        plan = execution.plan(config, features, device)
        self.schedule = plan.schedule
        constants = Constants.of(config, spec, device)
        self.programs = programs_for(constants, device, min(threads(), plan.row_parts))
        step = self.programs.step
        self._names = step.names
        self._slots = step.optimizer.slots
        # With state resets or dropout, the order of the wavefront's sums was seen to depend on the
        # number of replicas. So in these cases, too, replicas are computed one at a time.
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
        """Whether the training program is compiled, which takes seconds in its first call."""
        return self._calls.made("train")

    def start(self, weights: initialization.Arrays) -> initialization.Arrays:
        """Everything that training changes, before the first window."""
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
            tensors: as returned by `start`, or from a checkpoint.
            batch: an epoch's windows.
            step: number of updates made before.
            first: index of the first window.
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
        """A function that draws an epoch's dropout masks, for some windows and replicas."""
        model, training = self.config.model, self.config.training
        shape = (training.steps, model.layers, training.rows, model.state_size)

        def draw(begin: int, length: int, group: slice) -> Arrays:
            seeds = self.config.run.seeds[group]
            rngs = [generator(seed, Stream.DROPOUT, epoch) for seed in seeds]
            return {"dropout": dropout_bits(rngs, shape, begin, length)}

        return draw

    def evaluate(self, tensors: initialization.Arrays, batch: ReplicaWindows) -> WindowMetrics:
        """Loss and metric over a batch, starting from a zero state; changes nothing."""

        def chunk(now: Tensors, parts: Arrays, count: int, begin: int) -> tuple:
            return self.programs.evaluate(now, self._needed(parts), count)

        chunks = self._calls.over("evaluate", chunk, self._rested(tensors), batch)
        return concatenate([means(found, scored) for _, found, scored in chunks])

    def predict(self, tensors: initialization.Arrays, batch: ReplicaWindows) -> Iterator[Array]:
        """Yields the head's predictions `[windows, T, B, C, R]`, starting from a zero state.

        They are log-probabilities for the softmax, and the predicted numbers for the linear head.
        """

        def chunk(now: Tensors, parts: Arrays, count: int, begin: int) -> tuple:
            return self.programs.predict(now, self._needed(parts), count)

        rested, most = self._rested(tensors), self._windows_read_out
        for _, (scored,), _ in self._calls.over("predict", chunk, rested, batch, most=most):
            yield scored

    def _needed(self, parts: Arrays) -> Arrays:
        """The parts without `scored`, if the program was compiled without it.

        A forward pass measures every step. Which steps count is applied afterwards.
        """
        if self.spec.scored:
            return parts
        return {name: part for name, part in parts.items() if name != "scored"}

    def _rested(self, tensors: initialization.Arrays) -> initialization.Arrays:
        """The parameters with a zero state."""
        rested = {name: tensors[name] for name in self._names}
        replicas, rows = len(rested["dense.bias"]), self.config.training.rows
        return rested | {"state": initialization.zero_state(self.config.model, replicas, rows)}


@functools.lru_cache(maxsize=KEPT)
def programs_for(
    constants: Constants, device: str, row_parts: int
) -> ChunkProgram | SplitBatchProgram:
    """The compiled programs for some constants, on a device, in some parts of the rows."""
    step = Step(constants)
    return ChunkProgram(step) if row_parts == 1 else SplitBatchProgram(step, [device] * row_parts)


def _together(replicas: int, device: str) -> int:
    """How many replicas a call computes if one operation may compute several."""
    if not device.startswith("cpu"):
        return replicas
    return execution.side_by_side(replicas, len(devices_at_once(device)))[0]


Tensors = dict[str, tf.Tensor]
Chunk = Callable[[Tensors, Arrays, int, int], tuple]
"""`(tensors, parts, count, begin) -> (tensors, measured)`. The parts are the windows of a chunk,
`[K, T, B, …, R]`, by the names of the series' arrays."""

Extra = Callable[[int, int, slice], Arrays]
"""`(begin, length, replicas) -> parts` that do not come from the data."""

CHUNK_SECONDS = 0.25


class ChunkResult(NamedTuple):
    """The result of a call.

    Attributes:
        tensors: the tensors of all replicas.
        measured: the measurements of the call's windows, with the replicas in the last axis.
        scored: which steps count, or how many of a step's several numbers: `[windows, T, B, R]`;
            `None` for all.
    """

    tensors: Tensors
    measured: list[Array]
    scored: npt.NDArray[Any] | None


class Group(NamedTuple):
    """Replicas that are computed together.

    Attributes:
        replicas: which replicas.
        copies: number of copies of the last one that fill up the group.
    """

    replicas: slice
    copies: int

    def filled(self, arrays: Mapping[str, Any], axis: int) -> dict[str, Any]:
        """Arrays with the copies added along their replica axis, `axis`."""
        if not self.copies:
            return dict(arrays)
        return {
            name: np.concatenate([array, *[np.take(array, [-1], axis)] * self.copies], axis)
            for name, array in arrays.items()
        }

    @property
    def genuine(self) -> slice:
        """The replicas without the copies."""
        return slice(None, -self.copies or None)


class ChunkRunner:
    """Calls a program over the windows of a batch, chunk by chunk.

    Args:
        together: how many replicas a call computes.
        window_seconds: about how long a window of these takes.
        device: as returned by `device.resolve`.
        window: the numbers of rows and steps of a window.
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
        """Whether a program has been called, and so compiled, which takes seconds."""
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
        """Calls a program over a batch, and yields after each call.

        Args:
            kind: the program's name.
            chunk: the program.
            tensors: the tensors before the first window, `[R, …]`.
            batch: the windows.
            first: index of the first window.
            extra: draws parts that do not come from the data.
            most: the most windows in a call, if its result is large.

        Raises:
            OutOfMemoryError: the device has too little memory.
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
        """Turns TensorFlow's error for lack of memory into an `OutOfMemoryError`."""
        try:
            yield
        except tf.errors.ResourceExhaustedError as error:
            raise gpu.out_of_memory(self._device, *self._window) from error

    def _groups(self, replicas: int) -> list[Group]:
        """All replicas, in the groups that are computed together."""
        begins = range(0, replicas, self._together)
        ends = [min(begin + self._together, replicas) for begin in begins]
        return [
            Group(slice(begin, end), begin + self._together - end)
            for begin, end in zip(begins, ends, strict=True)
        ]


def _counted(parts: Arrays) -> npt.NDArray[Any]:
    """Which steps count, or how many of a step's several numbers are known: `[K, T, B, R]`."""
    scored, targets = parts["scored"], parts["targets"]
    if targets.ndim == scored.ndim or targets.shape[-2] == 1:
        return scored
    return np.where(scored, np.isfinite(targets).sum(-2), 0)


def _chunk_length(windows: int, seconds: float) -> int:
    """The number of windows in a chunk: chunks are equally long, about `CHUNK_SECONDS` each."""
    pieces = max(1, round(windows * seconds / CHUNK_SECONDS))
    return -(-windows // pieces)


def _joined(now: Sequence[Tensors], groups: Sequence[Group]) -> Tensors:
    """Joins the groups' tensors: `[R, …]`."""
    if len(groups) == 1 and not groups[0].copies:
        return now[0]
    pairs = list(zip(now, groups, strict=True))
    return {  # In NumPy: TensorFlow takes a hundred times as long to slice so many small tensors.
        name: np.concatenate([np.asarray(each[name])[group.genuine] for each, group in pairs])
        for name in now[0]
    }


LONGEST_SECONDS = 0.4
"""How long a call may take, unless a single window takes longer."""

MOST_SECONDS = 4.0
"""How long it may take if calling costs more than computing: many replicas need a call each."""

GROWTH = 8
"""A call has at most this many times as many windows as the one before."""


class ChunkSizer:
    """Chooses how many windows a call computes: first one, as it compiles, later up to a chunk.

    Args:
        length: number of windows that the program is compiled for.
    """

    def __init__(self, length: int) -> None:
        self._length = length
        self._compiled = False
        self._allowed = LONGEST_SECONDS
        self.windows = 1

    @contextmanager
    def call(self, count: int) -> Iterator[None]:
        """Surrounds a call over `count` windows, and learns from how long it takes."""
        begun = time.monotonic()
        with nullcontext() if self._compiled else first_call():
            yield
        if self._compiled:
            self._learn(count, time.monotonic() - begun)
        self._compiled = True

    def _learn(self, count: int, seconds: float) -> None:
        if self.windows == 1:  # It may all be overhead, and more windows nearly free.
            self._allowed = max(LONGEST_SECONDS, min(2 * seconds, MOST_SECONDS))
        fitting = int(count * self._allowed / max(seconds, 1e-9))
        if seconds > self._allowed:
            self.windows = max(1, fitting)
        else:
            longer = min(fitting, GROWTH * self.windows, self._length)
            self.windows = max(self.windows, longer)
