"""The index of a table, which orders and labels its rows, and its calendar inputs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from lstmcli.data.schema import Index
from lstmcli.data.series import Bools
from lstmcli.data.table import dates
from lstmcli.data.table.dates import Instants
from lstmcli.data.table.files import Table
from lstmcli.data.table.sequences import Sequences
from lstmcli.data.table.values import Floats, mostly_numbers
from lstmcli.utils.errors import FileError, UsageError

DOUBLED = 0.1
"""Fraction of repeated dates up to which a date column is always taken as the index."""
FEW = 3
"""Too few rows to infer an index from."""
EQUAL = 1e-6
"""Relative difference up to which numeric steps count as equal, because of rounding."""


@dataclass(frozen=True)
class Labels:
    """An index and its values.

    Attributes:
        index: its description.
        values: dates, numbers or words: `[steps]`.
        notes: notes for the user.
    """

    index: Index
    values: npt.NDArray[Any]
    notes: tuple[str, ...] = ()

    def with_calendar(self, cycles: tuple[str, ...]) -> Labels:
        """The same index, with some calendar cycles as inputs."""
        return replace(self, index=replace(self.index, calendar=cycles))


def find(table: Table, sequences: Sequences, columns: Iterable[str]) -> Labels | None:
    """The index of a table: its first column of dates, or of a different value in every row.

    A date column with many repeated dates, or with dates out of order, is the index only if there
    is no other.

    Args:
        table: the table.
        sequences: the bounds of its sequences; an index increases within each.
        columns: the candidates.
    """
    second: Labels | None = None
    fallback: Labels | None = None
    for name in columns:
        found = of_column(table, sequences, name)
        if found is None:
            continue
        if found.index.kind != "dates":
            second = second or found
            continue
        steps = _steps(found.values, sequences)
        backwards, doubled = _before(steps).any(), _none(steps).mean() if len(steps) else 0
        if not backwards and doubled <= DOUBLED:
            return found
        if doubled <= 0.5:
            fallback = fallback or found
    return second or fallback


def of_column(
    table: Table, sequences: Sequences, name: str, asked: bool = False, known: Index | None = None
) -> Labels | None:
    """A column as an index; `None` if it cannot be one.

    Args:
        table: its table.
        sequences: the bounds of the sequences.
        name: the column's name.
        asked: whether the user names it as the index; then any words and numbers are accepted.
        known: the index in the file that a model was trained on.
    """
    column = table.frame[name]
    if found := dates.read(column, known.format if known else None):
        if np.isnat(found.values).any() and not asked:
            return None
        often, _ = dates.frequency(found.values, sequences.begins)
        notes = () if found.guess is None else (f"index: {found.guess}",)
        return Labels(Index(name, "dates", often, found.format), found.values, notes)
    if column.isna().any() and not asked:
        return None
    if column.dtype.kind in "iuf":
        return _numbers(column.to_numpy(), name, sequences, asked)
    if column.dtype.kind != "b" and (asked or all_differ(column, table.dialect.decimal)):
        return Labels(Index(name, "words"), column.to_numpy(object))
    return None


def in_order(
    table: Table, sequences: Sequences, labels: Labels, sort: bool
) -> tuple[Table, Labels, list[str]]:
    """A table whose index never decreases from row to row of each sequence.

    Args:
        table: the table.
        sequences: the bounds of its sequences.
        labels: its index.
        sort: whether rows may be sorted.

    Returns:
        The table, its index, and notes for the user.

    Raises:
        FileError: the rows are out of order and must not be sorted.
    """
    if labels.index.kind == "words":
        return table, labels, [*labels.notes, f"index: {labels.index}"]
    notes = list(labels.notes)
    backwards = np.flatnonzero(_before(_steps(labels.values, sequences, all_rows=True)))
    if len(backwards):
        if not sort:
            raise _unordered(table, labels, int(backwards[0]) + 1)
        order = np.lexsort((labels.values, sequences.begins))
        table, values = table.ordered(order), labels.values[order]
        index = labels.index
        if index.kind == "dates":
            often, _ = dates.frequency(values, sequences.begins)
            index = Index(index.name, index.kind, often, index.format)
        labels = Labels(index, values)
        notes.append(f"rows of `{table.path}` are sorted by `{index.name}`")
    return table, labels, [f"index: {labels.index}", *notes, *_gaps(labels, sequences)]


def _numbers(
    values: npt.NDArray[Any], name: str, sequences: Sequences, asked: bool
) -> Labels | None:
    """Numbers as an index: whole ones that increase in every row, or any with a constant step."""
    steps = _steps(values, sequences)
    if not asked and (len(steps) < FEW or not (steps > 0).all()):
        return None
    alike = len(steps) > 0 and float(np.ptp(steps)) <= EQUAL * abs(float(steps[0]))
    usual = float(steps[0]) if alike else dates.usual_step(steps)[0] if len(steps) else 0.0
    if not asked and not alike and (values.dtype.kind == "f" or not usual):
        return None
    return Labels(Index(name, "numbers", f"{usual:.6g}" if usual else None), values)


def grows(table: Table, name: str, sequences: Sequences) -> bool:
    """Whether a numeric column increases in every row of each sequence."""
    column = table.frame[name]
    if column.dtype.kind not in "iuf":
        return False
    steps = _steps(column.to_numpy(), sequences)
    return len(steps) >= FEW and bool((steps > 0).all())


def all_differ(column: Any, decimal: str) -> bool:
    """Whether a text column has a different value in every row."""
    return (
        len(column) > FEW
        and isinstance(column.iloc[0], str)
        and bool(column.iloc[:1000].is_unique and column.is_unique)
        and not mostly_numbers(column.iloc[:1000], decimal)
    )


def _steps(values: npt.NDArray[Any], sequences: Sequences, all_rows: bool = False) -> Any:
    """The differences between consecutive rows of each sequence.

    Args:
        values: the index.
        sequences: the bounds of the sequences.
        all_rows: whether to include a difference of 0 between two sequences.
    """
    within = sequences.begins[1:] == sequences.begins[:-1]
    steps = np.diff(values)
    if not all_rows:
        return steps[within]
    steps[~within] = steps.dtype.type(0)
    return steps


def _before(steps: npt.NDArray[Any]) -> Bools:
    found: Bools = np.less(steps, steps.dtype.type(0))
    return found


def _none(steps: npt.NDArray[Any]) -> Bools:
    found: Bools = np.equal(steps, steps.dtype.type(0))
    return found


def _gaps(labels: Labels, sequences: Sequences) -> list[str]:
    """Notes on rows that are missing from an index or repeated."""
    steps = _steps(labels.values, sequences)
    doubled = int(np.count_nonzero(_none(steps)))
    gaps = 0
    if labels.index.frequency is not None:
        ahead = (
            dates.frequency(labels.values, sequences.begins)[1]
            if labels.index.kind == "dates"
            else np.asarray(steps / float(labels.index.frequency), float)
        )
        gaps = int(np.count_nonzero(ahead > 1.5))
    found = [
        f"{count:,} {word}{'s' if count > 1 else ''}"
        for count, word in ((gaps, "gap"), (doubled, "doubled value"))
        if count
    ]
    if not found:
        return []
    return [
        f"index `{labels.index.name}` has {' and '.join(found)}: rows count as consecutive steps"
    ]


def _unordered(table: Table, labels: Labels, step: int) -> FileError:
    import pandas as pd

    before = labels.values[step - 1]
    shown = str(pd.Timestamp(before)) if labels.index.kind == "dates" else before
    return table.error(
        step,
        labels.index.name,
        f"rows in order of the index, at or after `{shown}`",
        "`--sort-index` sorts them; `--group` tells sequences apart, each with an index of its "
        "own; `--index` names another column",
    )


CYCLES = {"hour": 24, "weekday": 7, "month": 12}
"""The length of each cycle."""
ENDS = ("sin", "cos")


def calendar_asked(text: str | None) -> tuple[str, ...]:
    """The cycles that an option names, each once."""
    return tuple(dict.fromkeys(text.split(","))) if text else ()


def calendar_names(cycles: Sequence[str]) -> tuple[str, ...]:
    """The names of the inputs: `hour_sin`, `hour_cos` and so on."""
    return tuple(f"{cycle}_{end}" for cycle in cycles for end in ENDS)


def calendar_inputs(labels: Labels | None, cycles: Sequence[str]) -> dict[str, Floats]:
    """The calendar inputs of a date index, by name: `[steps]` each, NaN where it is empty.

    Args:
        labels: the index, already checked.
        cycles: some of CYCLES. The hour includes its minutes and seconds; Monday and January are 0.
    """
    found: dict[str, Floats] = {}
    for cycle in cycles:
        assert labels is not None
        angle = 2 * np.pi * _place(labels.values, cycle) / CYCLES[cycle]
        found |= zip(calendar_names([cycle]), (np.sin(angle), np.cos(angle)), strict=True)
    return found


def check_calendar(
    path: Path, labels: Labels | None, cycles: Sequence[str], columns: Sequence[str]
) -> None:
    """Checks that a calendar can be made from a table's index.

    Args:
        path: the table's file.
        labels: its index.
        cycles: the requested cycles.
        columns: the names of its own inputs and its target.

    Raises:
        UsageError: the index has no dates, or an input has the name of a calendar input.
    """
    if not cycles:
        return
    if labels is None or labels.index.kind != "dates":
        what = "no column orders the rows" if labels is None else f"its index is {labels.index}"
        raise UsageError(
            f"`--calendar` has no effect on `{path}`: expected an index of dates, but {what}",
            "name the column of dates with `--index`, or leave `--calendar` out",
        )
    if taken := set(calendar_names(cycles)) & set(columns):
        raise UsageError(
            f"`--calendar` makes an input `{min(taken)}`, and `{path}` has a column of that name",
            f"leave one of them out: `--inputs` without `{min(taken)}`, or `--calendar`",
        )


def check_calendar_known(path: Path, labels: Labels | None, cycles: Sequence[str]) -> None:
    """Raises FileError if a file lacks the dates for a trained model's calendar inputs."""
    if cycles and (labels is None or labels.index.kind != "dates"):
        raise FileError(
            f"`{path}` has no dates in the column that was the index of the training part, and the "
            f"model is given their {', '.join(cycles)}",
            "give the file that column, written as it was there",
        )


def _place(values: Instants, cycle: str) -> Floats:
    """The position of dates in a cycle: `[steps]`."""
    import pandas as pd

    dates = pd.DatetimeIndex(values)
    if cycle == "hour":
        return np.asarray((dates - dates.normalize()) / pd.Timedelta(hours=1), float)
    return np.asarray(dates.day_of_week if cycle == "weekday" else dates.month - 1, float)
