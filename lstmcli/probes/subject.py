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

from lstmcli import streams
from lstmcli.architecture import Signature
from lstmcli.core import forward, parameters
from lstmcli.core.forward import Array, Given, Network, Zeroing
from lstmcli.data import layout
from lstmcli.data.layout import PADDING, Packing, Spans, Windows
from lstmcli.opening import Opened
from lstmcli.probes.places import Places
from lstmcli.runs.checkpoint import Checkpoint

TRAINED, UNTRAINED = "trained", "untrained"
MOST_HELD = 2**28
"""Bytes of the states of networks that are run side by side."""


class Read(Windows):
    """What a network reads: where one row ends, no other goes on."""

    cut: Packing | Spans

    @property
    def places(self) -> npt.NDArray[np.int64]:
        """The number of the step at each place, or PADDING: `[steps, B]`."""
        return self.cut.places(0, len(self)).T


@dataclass(frozen=True)
class Subject:
    """The networks of a checkpoint, and what each of them reads.

    Attributes:
        checkpoint: the file.
        data: what the series are, in words.
        model: what the file holds.
        windows: of each replica, all with as many rows and steps.
        notes: what is odd about the data.
    """

    checkpoint: Path
    data: str
    model: Checkpoint
    windows: list[Read]
    notes: tuple[str, ...] = ()

    @property
    def bptt(self) -> int:
        """Steps of a window: T of the training."""
        return self.windows[0].cut.bptt

    @cached_property
    def signature(self) -> Signature:
        """What the networks take and give."""
        series = self.windows[0].series.signature
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
        """Where something begins of which the steps before say nothing: `[steps, B, R]`.

        At the first step of each row, where a sequence begins, and in the padding behind the last.
        """
        found = self.padding.copy()
        for replica, arrays in enumerate(self.arrays):
            found[..., replica] |= arrays.get("starts", np.False_)
        found[0] = True
        return found

    def judged(self, replica: int) -> Places:
        """Which of a replica's steps say what it remembers: none of a warm-up."""
        begins, outside = (each[..., replica] for each in (self.begins, self.padding))
        windows = self.windows[replica]
        if isinstance(windows.cut, Spans):
            outside = ~windows.cut.scored(windows.places.T).T
        return Places.of(begins, outside)

    def given(self, replicas: Sequence[int]) -> Given:
        """What some replicas read: arrays `[steps, R, B, …]`."""
        steps, rows = self.arrays[0]["targets"].shape[:2]
        none = np.zeros((steps, rows, 0), np.float32)
        numbers = [self.arrays[each].get("numbers", none) for each in replicas]
        symbols = [self.arrays[each].get("symbols", none.astype(np.uint8)) for each in replicas]
        carried = None
        if self.signature.starts:
            begins = self.begins[:, :, list(replicas)].transpose(0, 2, 1)
            carried = 1 - begins[..., None].astype(np.float32)
        return Given(np.stack(numbers, 1), np.stack(symbols, 1), carried)

    def networks(self, kind: str, replicas: Sequence[int]) -> list[Network]:
        """The parameters of some replicas, trained or as they were drawn."""
        tensors = self.model.tensors if kind == TRAINED else self._untrained
        return [forward.network(tensors, each, self.signature) for each in replicas]

    @cached_property
    def _untrained(self) -> parameters.Arrays:
        """The weights that the seeds draw, whatever of them training began with."""
        rngs = [streams.generator(seed, streams.Stream.WEIGHTS) for seed in self.model.seeds]
        signature = self.signature
        return parameters.initialise(
            self.model.config.model, signature.features, signature.outputs, rngs
        )

    def runs(self, kinds: Sequence[str]) -> Iterator[Run]:
        """Runs networks over their series, as many side by side as there is room for.

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
                yield Run(kind, replica, network, states[:, :, :, place])


@dataclass(frozen=True)
class Run:
    """What a network did over its series.

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


def states_of(networks: Sequence[Network], given: Given, zeroing: Zeroing | None = None) -> Array:
    """The state after each step of networks side by side: `[steps, L, 2, R, B, S]`."""
    stack = forward.side_by_side(networks)
    rows = given.numbers.shape[2]
    zero = forward.zero_state(networks[0], rows)  # [L, 2, B, S]
    state = np.repeat(zero[:, :, None], len(networks), 2)
    with one_thread():
        return np.concatenate(list(forward.unroll(stack, state, given, zeroing)))


def one_thread() -> threadpool_limits:
    """NumPy's products on one thread, as those of single steps are too small for more."""
    return threadpool_limits(1)


def subject_of(opened: Opened, steps: int, to_score: bool = True) -> Subject:
    """The networks of a checkpoint, and the beginning of the series that they are to read.

    The series is cut into rows as for validation.

    Args:
        opened: the checkpoint.
        steps: how many steps of the series are read, at most; one window of each row at least.
        to_score: whether targets must be there.

    Raises:
        FileError: a series is not to be had, or too short for a window.
    """
    tested, training = opened.tested(to_score), opened.config.training
    chosen = [opened.trial.note] if opened.trial else []
    rows, bptt = training.rows, training.steps
    cuts = [layout.to_score(each, rows, bptt) for each in tested.series]
    warm_up = max(_warm_up(cut) for cut in cuts)
    count = min(max(1, steps // (rows * bptt)) + warm_up, *(len(cut) for cut in cuts))
    windows = [_first(cut, count) for cut in cuts]
    return Subject(opened.path, tested.name, opened.model, windows, (*chosen, *tested.notes))


def _warm_up(windows: Windows) -> int:
    """Windows of a warm-up, at most; the last of them may have scored steps too."""
    cut = windows.cut
    return -(-int((cut.counted - cut.begins).max()) // cut.bptt) if isinstance(cut, Spans) else 0


def _first(windows: Windows, count: int) -> Read:
    """The first windows of each row."""
    cut = windows.cut
    if isinstance(cut, Spans):
        ends = np.minimum(cut.ends, cut.begins + count * cut.bptt)
        return Read(windows.series, replace(cut, ends=ends, windows=count))
    return Read(windows.series, Packing(cut.places(0, count), cut.bptt))
