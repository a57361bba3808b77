"""What is probed: a checkpoint's networks, trained and untrained, and the series that they read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits

from lstmcli.core import initialization, numpy_lstm
from lstmcli.core.numpy_lstm import AblationMask, Array, Network, NumpyInputs
from lstmcli.data import batching
from lstmcli.data.batching import PADDING, PackedSequences, Spans, Windows
from lstmcli.data.series import is_one_hot
from lstmcli.model_spec import ModelSpec
from lstmcli.probes.readout import ReadoutSplit
from lstmcli.training.checkpoint import Checkpoint
from lstmcli.training.load import LoadedCheckpoint
from lstmcli.utils import rng

TRAINED, UNTRAINED = "trained", "untrained"
MOST_HELD = 2**28
"""The most bytes for the states of networks that run side by side."""


class ProbeWindows(Windows):
    """The windows that a network reads; no row continues another one."""

    cut: PackedSequences | Spans

    @property
    def places(self) -> npt.NDArray[np.int64]:
        """The number of the step at each place, or PADDING: `[steps, B]`."""
        return self.cut.places(0, len(self)).T


@dataclass(frozen=True)
class ProbeData:
    """The networks of a checkpoint, and what each of them reads.

    Attributes:
        checkpoint: the file.
        data: what the series are, in words.
        model: what the file holds.
        windows: of each replica, all with the same number of rows and steps.
        notes: remarks on the data.
    """

    checkpoint: Path
    data: str
    model: Checkpoint
    windows: list[ProbeWindows]
    notes: tuple[str, ...] = ()

    @property
    def bptt(self) -> int:
        """Steps of a window: T of the training."""
        return self.windows[0].cut.bptt

    @cached_property
    def spec(self) -> ModelSpec:
        """What the networks take and give."""
        series = self.windows[0].series.spec
        return replace(series, outputs=self.model.metadata["classes"])

    @cached_property
    def arrays(self) -> list[dict[str, npt.NDArray[Any]]]:
        """Each replica's series, in rows: arrays `[steps, B, …]` by name."""
        return [
            {
                name: array.reshape(-1, *array.shape[2:])
                for name, array in windows.take(0, len(windows)).items()
            }
            for windows in self.windows
        ]

    @cached_property
    def padding(self) -> npt.NDArray[np.bool_]:
        """Places without a step: `[steps, B, R]`."""
        return np.stack([cut.places == PADDING for cut in self.windows], -1)

    @cached_property
    def begins(self) -> npt.NDArray[np.bool_]:
        """Where the past ends: `[steps, B, R]`.

        At the first step of each row, where a sequence begins, and in the padding after the last.
        """
        found = self.padding.copy()
        for replica, arrays in enumerate(self.arrays):
            found[..., replica] |= arrays.get("starts", np.False_)
        found[0] = True
        return found

    def judged(self, replica: int) -> ReadoutSplit:
        """Which of a replica's steps are used, and for what; none of the warm-up."""
        begins, outside = (each[..., replica] for each in (self.begins, self.padding))
        windows = self.windows[replica]
        if isinstance(windows.cut, Spans):
            outside = ~windows.cut.scored(windows.places.T).T
        return ReadoutSplit.of(begins, outside)

    def given(self, replicas: Sequence[int]) -> NumpyInputs:
        """What some replicas read: arrays `[steps, R, B, …]`."""
        steps, rows = self.arrays[0]["targets"].shape[:2]
        none = np.zeros((steps, rows, 0), np.float32)
        numbers = [self.arrays[each].get("numbers", none) for each in replicas]
        symbols = [self.arrays[each].get("symbols", none.astype(np.uint8)) for each in replicas]
        carried = None
        if self.spec.starts:
            begins = self.begins[:, :, list(replicas)].transpose(0, 2, 1)
            carried = 1 - begins[..., None].astype(np.float32)
        return NumpyInputs(np.stack(numbers, 1), np.stack(symbols, 1), carried)

    def networks(self, kind: str, replicas: Sequence[int]) -> list[Network]:
        """The parameters of some replicas, trained or untrained."""
        tensors = self.model.tensors if kind == TRAINED else self._untrained
        return [numpy_lstm.network(tensors, each, self.spec) for each in replicas]

    @cached_property
    def _untrained(self) -> initialization.Arrays:
        """The weights drawn from the seeds, even if training began with others."""
        rngs = [rng.generator(seed, rng.Stream.WEIGHTS) for seed in self.model.seeds]
        spec = self.spec
        return initialization.initialise(self.model.config.model, spec.features, spec.outputs, rngs)

    def runs(self, kinds: Sequence[str]) -> Iterator[TracedRun]:
        """Runs networks over their series, as many side by side as fit into memory.

        Args:
            kinds: TRAINED, UNTRAINED or both.
        """
        model, (steps, rows) = self.model.config.model, self.arrays[0]["targets"].shape[:2]
        size = steps * rows * model.layers * 2 * model.state_size * 4
        together = max(1, MOST_HELD // (size * len(kinds)))
        for begin in range(0, len(self.windows), together):
            replicas = list(range(len(self.windows)))[begin : begin + together]
            networks = [each for kind in kinds for each in self.networks(kind, replicas)]
            states = states_of(networks, self.given(replicas * len(kinds)))
            for place, network in enumerate(networks):
                kind, replica = kinds[place // len(replicas)], replicas[place % len(replicas)]
                yield TracedRun(kind, replica, network, states[:, :, :, place])


@dataclass(frozen=True)
class TracedRun:
    """The states of a network over its series.

    Attributes:
        kind: TRAINED or UNTRAINED.
        replica: whose series it read.
        network: its parameters.
        states: after each step: `[steps, L, 2, B, S]`, 0 = c, 1 = h.
    """

    kind: str
    replica: int
    network: Network
    states: Array


def states_of(
    networks: Sequence[Network], given: NumpyInputs, zeroing: AblationMask | None = None
) -> Array:
    """The state after each step of networks side by side: `[steps, L, 2, R, B, S]`."""
    stack = numpy_lstm.side_by_side(networks)
    rows = given.numbers.shape[2]
    zero = numpy_lstm.zero_state(networks[0], rows)  # [L, 2, B, S]
    state = np.repeat(zero[:, :, None], len(networks), 2)
    with one_thread():
        return np.concatenate(list(numpy_lstm.unroll(stack, state, given, zeroing)))


def one_thread() -> threadpool_limits:
    """Runs NumPy's products on one thread: those of single steps are too small for more."""
    return threadpool_limits(1)


def probe_data_of(opened: LoadedCheckpoint, steps: int, to_score: bool = True) -> ProbeData:
    """The networks of a checkpoint, and the beginning of the series that they read.

    The series is cut into rows as for validation.

    Args:
        opened: the checkpoint.
        steps: how many steps of the series are read, at most; one window of each row at least.
        to_score: whether targets must be there.

    Raises:
        FileError: a series is missing, or too short for a window.
    """
    tested, training = opened.tested(to_score), opened.config.training
    chosen = [opened.trial.note] if opened.trial else []
    rows, bptt = training.rows, training.steps
    cuts = [batching.to_score(each, rows, bptt) for each in tested.series]
    warm_up = max(_warm_up(cut) for cut in cuts)
    count = min(max(1, steps // (rows * bptt)) + warm_up, *(len(cut) for cut in cuts))
    windows = [_first(cut, count) for cut in cuts]
    return ProbeData(opened.path, tested.name, opened.model, windows, (*chosen, *tested.notes))


def _warm_up(windows: Windows) -> int:
    """Windows of a warm-up, at most; the last of them may have scored steps too."""
    cut = windows.cut
    return -(-int((cut.counted - cut.begins).max()) // cut.bptt) if isinstance(cut, Spans) else 0


def _first(windows: Windows, count: int) -> ProbeWindows:
    """The first windows of each row."""
    cut = windows.cut
    if isinstance(cut, Spans):
        ends = np.minimum(cut.ends, cut.begins + count * cut.bptt)
        return ProbeWindows(windows.series, replace(cut, ends=ends, windows=count))
    return ProbeWindows(windows.series, PackedSequences(cut.places(0, count), cut.bptt))


@dataclass(frozen=True)
class Input:
    """One input.

    Attributes:
        name: its column's.
        classes: how many values a symbol has; 0 for a number.
        values: `[steps, B, R]`.
    """

    name: str
    classes: int
    values: npt.NDArray[Any]


def inputs_of(subject: ProbeData) -> list[Input]:
    """The inputs that vary.

    A number with only two values counts as a symbol, as the echo task's bit does. So do one-hot
    numbers, together.
    """
    schema = subject.model.schema
    there = ~subject.padding
    found: list[Input] = []
    if numbers := _stacked(subject, "numbers"):
        found += _of_numbers([column.name for column in schema.numbers], numbers[0], there)
    if symbols := _stacked(subject, "symbols"):
        for place, column in enumerate(schema.symbols):
            values = symbols[0][:, :, place].astype(np.int64)
            found.append(Input(column.name, int(values.max()) + 1, values))
    return [each for each in found if len(np.unique(each.values[there])) > 1]


def _stacked(subject: ProbeData, name: str) -> list[npt.NDArray[Any]]:
    """An array of all replicas, `[steps, B, columns, R]`; nothing where there is none."""
    if name not in subject.arrays[0]:
        return []
    return [np.stack([arrays[name] for arrays in subject.arrays], -1)]


def _of_numbers(
    names: Sequence[str], numbers: npt.NDArray[Any], there: npt.NDArray[np.bool_]
) -> Iterator[Input]:
    """Inputs of numeric columns `[steps, B, columns, R]`."""
    seen = np.moveaxis(numbers, 2, -1)[there]  # [places, columns]
    if len(names) > 1 and is_one_hot(seen):
        yield Input("input", len(names), numbers.argmax(2))
        return
    for place, name in enumerate(names):
        values, different = numbers[:, :, place], np.unique(seen[:, place])
        if len(different) == 2:
            yield Input(name, 2, (values == different[1]).astype(np.int64))
        else:
            yield Input(name, 0, values.astype(np.float64))
