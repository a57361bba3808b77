"""Cuts a series into rows and windows, which are copied only when they are needed."""

from __future__ import annotations

import heapq
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from lstmcli.data.series import Series
from lstmcli.utils.errors import FileError

Arrays = dict[str, npt.NDArray[Any]]
WARM_WINDOWS, WARM_STEPS = 4, 256
"""A row reads at least the larger of these before its first scored step."""

MOST_TWICE = 1.05
"""Most steps that overlapping rows read, per step of the recording."""

PADDING = -1
"""Stands for a step's number where there is no step."""


class Windowing(Protocol):
    """How a series is cut into rows and windows."""

    @property
    def rows(self) -> int:
        """Rows of a batch: B."""

    @property
    def bptt(self) -> int:
        """Steps of a window: T."""

    @property
    def windows(self) -> int:
        """Windows in an epoch."""

    @property
    def dropped(self) -> int:
        """Steps of the series that are not used."""

    def places(self, begin: int, end: int) -> npt.NDArray[np.int64]:
        """The number of the step at each place of some windows, or PADDING: `[rows, steps]`."""


@dataclass(frozen=True)
class ContiguousWindows:
    """One long series, cut as in the article.

    It is cut into `rows` consecutive pieces of `row_length` steps, and each row into `windows`
    consecutive windows of `bptt` steps; the remainder is dropped.
    """

    steps: int
    rows: int
    bptt: int

    @property
    def row_length(self) -> int:
        """Steps from the start of one row to the start of the next."""
        return self.steps // self.rows

    @property
    def windows(self) -> int:
        """Windows in an epoch."""
        return self.row_length // self.bptt

    @property
    def used(self) -> int:
        """Steps of each row that are used."""
        return self.windows * self.bptt

    @property
    def dropped(self) -> int:
        """Steps of the series that are not used: the ragged ends."""
        return self.steps - self.rows * self.used

    def places(self, begin: int, end: int) -> npt.NDArray[np.int64]:
        """As `Windowing.places`."""
        steps = np.arange(begin * self.bptt, end * self.bptt)
        return self.row_length * np.arange(self.rows)[:, np.newaxis] + steps

    def cut_rows(self, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """`[steps, …]` -> `[rows, used, …]`, not copied."""
        whole = values[: self.rows * self.row_length]
        rows = whole.reshape(self.rows, self.row_length, *values.shape[1:])
        return rows[:, : self.used]


@dataclass(frozen=True)
class PackedSequences:
    """Many sequences, packed one after the other into the rows; none is split between rows.

    Attributes:
        steps: the number of the step at each place, or PADDING: `[rows, windows * bptt]`.
        bptt: steps of a window.
    """

    steps: npt.NDArray[np.int64]
    bptt: int

    @property
    def rows(self) -> int:
        """Rows, side by side."""
        return len(self.steps)

    @property
    def windows(self) -> int:
        """Windows in an epoch, as many as the longest row needs."""
        return int(self.steps.shape[1]) // self.bptt

    @property
    def dropped(self) -> int:
        """None: every sequence is used."""
        return 0

    def places(self, begin: int, end: int) -> npt.NDArray[np.int64]:
        """As `Windowing.places`."""
        return self.steps[:, begin * self.bptt : end * self.bptt]


@dataclass(frozen=True)
class Spans:
    """One long recording: each row is a span of its steps, and spans may overlap.

    A row is padded at its end to whole windows. The steps before its first scored one are a
    warm-up: they are read, but not scored.

    Attributes:
        begins: the first step that each row reads, `[rows]`.
        counted: the first step that is scored, `[rows]`.
        ends: the step after the last, `[rows]`.
        windows: windows in an epoch.
        bptt: steps of a window.
    """

    begins: npt.NDArray[np.int64]
    counted: npt.NDArray[np.int64]
    ends: npt.NDArray[np.int64]
    windows: int
    bptt: int

    @property
    def rows(self) -> int:
        """Rows, side by side."""
        return len(self.begins)

    @property
    def dropped(self) -> int:
        """None: every step is used."""
        return 0

    @property
    def part(self) -> slice:
        """The steps that are scored."""
        return slice(int(self.counted.min()), int(self.ends.max()))

    @property
    def full(self) -> bool:
        """Whether there is neither warm-up nor padding."""
        lengths = self.ends - self.begins
        return bool((self.begins == self.counted).all() and (lengths == self.length).all())

    @property
    def length(self) -> int:
        """Steps of a row, with padding."""
        return self.windows * self.bptt

    @property
    def warm_up_windows(self) -> int:
        """Windows at the beginning in which no row has a scored step."""
        return int((self.counted - self.begins).min()) // self.bptt

    def places(self, begin: int, end: int) -> npt.NDArray[np.int64]:
        """As `Windowing.places`."""
        steps = self.begins[:, np.newaxis] + np.arange(begin * self.bptt, end * self.bptt)
        return np.where(steps < self.ends[:, np.newaxis], steps, PADDING)

    def scored(self, places: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
        """Which of some places `[rows, …]` are scored."""
        return places >= self.counted[:, np.newaxis]


def overlapping(steps: int, rows: int, bptt: int, turn: int = 0) -> Spans:
    """Rows of whole windows that together read every step; neighbouring rows may overlap.

    A single row leaves out less than a window, alternately at its end and at its beginning.

    Args:
        steps: length of the recording; at least one window for each row.
        rows: B.
        bptt: T.
        turn: the epoch.
    """
    windows = steps // bptt if rows == 1 else -(-steps // (rows * bptt))
    rest = steps - windows * bptt
    begins = np.linspace(rest * (turn % 2) if rows == 1 else 0, rest, rows)
    whole = begins.round().astype(np.int64)
    return Spans(whole, whole, whole + windows * bptt, windows, bptt)


def fitting(steps: int, rows: int, bptt: int, shortest: int | None = None) -> tuple[int, int]:
    """Rows and steps of a window for which few steps of a recording are read twice or left out.

    Prefers several rows with the longest windows, then the most rows; else it is one row.

    Args:
        steps: length of the recording.
        rows: largest B.
        bptt: largest T.
        shortest: smallest T for several rows, each of more than one window so that its state is
            carried over; by default T is `bptt`, and one window is enough.
    """
    for window in range(bptt, (shortest or bptt) - 1, -1):
        most = (steps - bool(shortest)) // window
        for fewer in range(min(rows, most), 1, -1):
            if fewer * overlapping(steps, fewer, window).length <= MOST_TWICE * steps:
                return fewer, window
    return 1, max(1, steps // -(-steps // bptt))


def continuation(part: slice, rows: int, bptt: int, warm_up: int) -> Spans:
    """A part of a recording in rows, each with a warm-up on the steps before it.

    Args:
        part: the steps to score, each once; at least one.
        rows: B; if there are fewer steps, some rows are all padding.
        bptt: T.
        warm_up: fewest steps that a row reads before its first scored one; the beginning of the
            recording may allow fewer.
    """
    length = -(-(part.stop - part.start) // rows)
    counted = np.minimum(part.start + length * np.arange(rows), part.stop)
    ends = np.minimum(counted + length, part.stop)
    windows = -(-min(warm_up + length, part.stop) // bptt)
    begins = np.maximum(ends - windows * bptt, 0)
    return Spans(begins, counted, ends, windows, bptt)


def pack(
    series: Series,
    rows: int,
    bptt: int,
    rng: np.random.Generator | None = None,
    windows: int | None = None,
) -> PackedSequences:
    """Packs a series' sequences into rows: the longest first, each into the emptiest row.

    The number of windows depends only on the lengths.

    Args:
        series: with `starts`.
        rows: B.
        bptt: T.
        rng: draws the order of equally long sequences, and the order in a row; by default the
            series' order.
        windows: fewest windows; by default as many as the longest row needs.
    """
    bounds = series.bounds()
    lengths = np.diff(bounds)
    order = np.arange(len(lengths)) if rng is None else rng.permutation(len(lengths))
    order = order[np.argsort(-lengths[order], kind="stable")]
    filled = [(0, row) for row in range(rows)]
    members: list[list[int]] = [[] for _ in range(rows)]
    for sequence in order.tolist():
        length, row = heapq.heappop(filled)
        members[row].append(sequence)
        heapq.heappush(filled, (length + int(lengths[sequence]), row))
    windows = max(windows or 0, -(-max(length for length, _ in filled) // bptt))
    steps = np.full((rows, windows * bptt), PADDING)
    for row, own in enumerate(members):
        chosen = np.sort(own) if rng is None else rng.permutation(own)
        if len(chosen):
            numbers = np.concatenate([np.arange(bounds[s], bounds[s + 1]) for s in chosen.tolist()])
            steps[row, : len(numbers)] = numbers
    return PackedSequences(steps, bptt)


@dataclass(frozen=True)
class Windows:
    """A series and its windows; nothing is copied before it is needed.

    Attributes:
        series: the whole series.
        cut: how it is cut.
    """

    series: Series
    cut: ContiguousWindows | PackedSequences | Spans

    def __len__(self) -> int:
        return self.cut.windows

    def take(self, begin: int, count: int) -> Arrays:
        """The arrays of some windows, by the names that a series has for them.

        Args:
            begin: the first window, from 0.
            count: how many; fewer at the end.

        Returns:
            Those that the series has of `numbers` `[count, T, B, N]`, `symbols` `[count, T, B, M]`,
            `targets` `[count, T, B]` or `[count, T, B, D]`, `scored` and `starts` `[count, T, B]`.
        """
        end = min(begin + count, len(self))
        if isinstance(self.cut, ContiguousWindows):
            return {
                name: self._windows(self.cut.cut_rows(array)[:, self._steps(begin, end)])
                for name, array in self.series.arrays.items()
            }
        places = self.cut.places(begin, end)
        arrays = {name: array[places] for name, array in self.series.arrays.items()}
        if (scored := self._scored(places)) is not None:
            arrays["scored"] = arrays["scored"] & scored if "scored" in arrays else scored
        return {name: self._windows(array) for name, array in arrays.items()}

    def all(self, name: str) -> npt.NDArray[Any]:
        """One array of all windows, in the order of the rows: `[rows, windows * bptt, …]`."""
        return self.in_rows(self.take(0, len(self))[name])

    def laid(self, array: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """`[steps, …]` of the series in the order of its windows: `[rows, windows * bptt, …]`.

        Padding has the value of the last step.
        """
        if isinstance(self.cut, ContiguousWindows):
            return self.cut.cut_rows(array)
        return array[self.cut.places(0, len(self))]

    @property
    def read(self) -> Series:
        """The series from its file's beginning; `scored` is true for the steps of the windows."""
        if isinstance(self.cut, Spans):
            part = self.cut.part
            counted = np.arange(part.stop) >= part.start
        elif self.cut.dropped:
            counted = np.zeros(len(self.series), np.bool_)
            counted[self.laid(np.arange(len(self.series)))] = True
        else:
            return self.series
        found = self.series.cut(slice(0, len(counted)))
        return replace(found, scored=counted if found.scored is None else counted & found.scored)

    @staticmethod
    def in_rows(windows: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """`[windows, bptt, rows, …]` -> `[rows, windows * bptt, …]`."""
        count, bptt, rows = windows.shape[:3]
        return np.moveaxis(windows, 2, 0).reshape(rows, count * bptt, *windows.shape[3:])

    def _scored(self, places: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_] | None:
        """Which places are neither padding nor warm-up; `None` if there is neither."""
        if not isinstance(self.cut, Spans):
            return np.asarray(places != PADDING)
        return None if self.cut.full else self.cut.scored(places)

    def _steps(self, begin: int, end: int) -> slice:
        return slice(begin * self.cut.bptt, end * self.cut.bptt)

    def _windows(self, rows: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """`[rows, windows * bptt, …]` -> `[windows, bptt, rows, …]`."""
        windows = rows.reshape(len(rows), -1, self.cut.bptt, *rows.shape[2:])
        return np.ascontiguousarray(np.moveaxis(windows, 0, 2))


def windows_of(
    series: Series,
    rows: int,
    bptt: int,
    rng: np.random.Generator | None = None,
    windows: int | None = None,
) -> Windows:
    """Cuts a series as the article does, `[rows, -1]` row-major, or packs its sequences.

    Args:
        series: with `starts` for sequences.
        rows: B.
        bptt: T.
        rng: draws the order of the sequences.
        windows: fewest windows, for sequences.

    Raises:
        FileError: the series is too short for one window.
    """
    if series.has_sequences:
        return Windows(series, pack(series, rows, bptt, rng, windows))
    layout = ContiguousWindows(len(series), rows, bptt)
    if layout.windows == 0:
        raise FileError(
            f"a series of {len(series)} steps is too short: {rows} rows of one window of {bptt} "
            f"steps need {rows * bptt}",
            "use a longer series, or a smaller `--batch-size` or `--bptt`",
        )
    return Windows(series, layout)


def of_training(
    series: Series,
    rows: int,
    bptt: int,
    rng: np.random.Generator | None = None,
    windows: int | None = None,
    turn: int = 0,
) -> Windows:
    """The windows to train on; every step of a user's recording is read, some twice.

    Args:
        series: as for `windows_of`.
        rows: B.
        bptt: T.
        rng: draws the order of the sequences.
        windows: fewest windows, for sequences.
        turn: the epoch.

    Raises:
        FileError: the series is too short for one window in each row.
    """
    if not series.is_recording or len(series) < rows * bptt:
        return windows_of(series, rows, bptt, rng, windows)
    return Windows(series, overlapping(len(series), rows, bptt, turn))


def to_score(
    series: Series, rows: int, bptt: int, windows: int | None = None, warm_up: int | None = None
) -> Windows:
    """The windows to score a model on; every step of a user's recording is scored once.

    A part of a recording has a warm-up on the steps before it.

    Args:
        series: a part with its recording, or a whole series.
        rows: B.
        bptt: T.
        windows: fewest windows, for sequences.
        warm_up: steps that each row reads before its first scored one, if there are as many.

    Raises:
        FileError: a series of a task is too short for one window.
    """
    if not series.is_recording:
        return windows_of(series, rows, bptt, windows=windows)
    whole, begin = (series, 0) if series.recording is None else (series.recording, series.offset)
    part = slice(begin, begin + len(series))
    return Windows(whole, continuation(part, rows, bptt, warm_up or warm_up_of(bptt)))


def warm_up_of(bptt: int) -> int:
    """Steps of a warm-up, after which the initial state hardly matters."""
    return max(WARM_WINDOWS * bptt, WARM_STEPS)
