"""How a series is cut into rows and windows, and the windows themselves, cut when they are due."""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from lstmcli.data.series import Series
from lstmcli.errors import FileError

Arrays = dict[str, npt.NDArray[Any]]
LARGEST_INDEXED = 2**24
"""Steps up to which an endless series may be cut by numbers of eight bytes each."""

PADDING = -1
"""In the place of a step's number: no step, not scored."""


class Cut(Protocol):
    """How many rows and windows there are."""

    @property
    def rows(self) -> int:
        """Rows, side by side: B."""

    @property
    def bptt(self) -> int:
        """Steps of a window: T."""

    @property
    def windows(self) -> int:
        """Windows in an epoch."""

    @property
    def dropped(self) -> int:
        """Steps of the series that are not used."""


@dataclass(frozen=True)
class Layout:
    """One endless series: how many rows and windows one of a given length gives.

    A series is cut into `rows` consecutive pieces of `row_length` steps, and each row into
    `windows` consecutive windows of `bptt` steps; what is left over is dropped.
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

    def cut_rows(self, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """`[steps, …]` -> `[rows, used, …]`, not copied."""
        whole = values[: self.rows * self.row_length]
        rows = whole.reshape(self.rows, self.row_length, *values.shape[1:])
        return rows[:, : self.used]


@dataclass(frozen=True)
class Packing:
    """Many sequences: whole ones, one after the other in the rows.

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
        """Windows in an epoch: as the longest row needs."""
        return int(self.steps.shape[1]) // self.bptt

    @property
    def dropped(self) -> int:
        """None: every sequence is used, whole."""
        return 0


def pack(
    series: Series,
    rows: int,
    bptt: int,
    rng: np.random.Generator | None = None,
    windows: int | None = None,
) -> Packing:
    """Packs a series' sequences into rows: longest first, into the emptiest row.

    The number of windows depends on the lengths alone.

    Args:
        series: with `starts`.
        rows: B.
        bptt: T.
        rng: draws which of equally long sequences comes first, and the order in a row; without it
            they stay in the series' order.
        windows: how many there are to be, at least; by default as the longest row needs.
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
    return Packing(steps, bptt)


@dataclass(frozen=True)
class Windows:
    """A series in the order in which it is trained on; nothing is copied before it is asked for.

    Attributes:
        series: all of it.
        cut: how it is cut.
    """

    series: Series
    cut: Layout | Packing

    def __len__(self) -> int:
        return self.cut.windows

    def take(self, begin: int, count: int) -> Arrays:
        """The arrays of some windows, by the names that a series has for them.

        Args:
            begin: the first window, from 0 on.
            count: how many; fewer at the end.

        Returns:
            `numbers` `[count, T, B, N]`, `symbols` `[count, T, B, M]`, `targets` `[count, T, B]` or
            `[count, T, B, D]`, `scored` and `starts` `[count, T, B]`: those that there are.
        """
        end = min(begin + count, len(self))
        if isinstance(self.cut, Layout):
            return {
                name: self._windows(self.cut.cut_rows(array)[:, self._steps(begin, end)])
                for name, array in self.series.arrays.items()
            }
        steps = self.cut.steps[:, self._steps(begin, end)]
        arrays = {name: array[steps] for name, array in self.series.arrays.items()}
        there = steps != PADDING
        arrays["scored"] = arrays["scored"] & there if "scored" in arrays else there
        return {name: self._windows(array) for name, array in arrays.items()}

    def all(self, name: str) -> npt.NDArray[Any]:
        """One array of all windows, in the order of the rows: `[rows, windows * bptt, …]`."""
        return self.in_rows(self.take(0, len(self))[name])

    def laid(self, array: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """`[steps, …]` of the series as its windows have them: `[rows, windows * bptt, …]`.

        At padding stands whatever the series ends with.
        """
        return self.cut.cut_rows(array) if isinstance(self.cut, Layout) else array[self.cut.steps]

    @staticmethod
    def in_rows(windows: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """`[windows, bptt, rows, …]` -> `[rows, windows * bptt, …]`."""
        count, bptt, rows = windows.shape[:3]
        return np.moveaxis(windows, 2, 0).reshape(rows, count * bptt, *windows.shape[3:])

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
        windows: how many windows sequences are to fill, at least.

    Raises:
        FileError: the series is too short for one window, or has no step that is scored.
    """
    if series.starts is not None:
        return Windows(series, pack(series, rows, bptt, rng, windows))
    layout = Layout(len(series), rows, bptt)
    if layout.windows == 0:
        raise FileError(
            f"a series of {len(series)} steps is too short: {rows} rows of one window of {bptt} "
            f"steps need {rows * bptt}",
            "use a longer series, or a smaller `--batch-size` or `--bptt`",
        )
    return Windows(series, layout)


def whole(series: Series, rows: int, bptt: int) -> Windows:
    """Every step of a series in windows: no more rows than it fills, and their ends padded.

    A very long endless series is cut as for training instead, without its ragged ends.
    """
    if series.starts is not None or len(series) > LARGEST_INDEXED:
        return windows_of(series, rows, bptt)
    rows = max(1, min(rows, len(series) // bptt))
    length = -(-len(series) // rows)
    steps = np.arange(rows * length).reshape(rows, length)
    steps = np.pad(steps, [[0, 0], [0, -length % bptt]], constant_values=PADDING)
    return Windows(series, Packing(np.where(steps < len(series), steps, PADDING), bptt))
