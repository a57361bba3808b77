"""The index of a table: the column that orders and labels its rows, and is no input."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from lstmcli.columns import Index
from lstmcli.data.series import Bools
from lstmcli.data.tables import dates
from lstmcli.data.tables.frames import Table
from lstmcli.data.tables.sequences import Sequences
from lstmcli.data.tables.values import mostly_numbers
from lstmcli.errors import FileError

DOUBLED = 0.1
"""Share of dates that stand twice up to which a column of dates is an index whatever follows it."""
FEW = 3
"""Rows of which nothing can be said."""
EQUAL = 1e-6
"""By what part steps of numbers may differ that are the same but for rounding."""


@dataclass(frozen=True)
class Labels:
    """An index and its values.

    Attributes:
        index: what it is.
        values: dates, numbers or words: `[steps]`.
        notes: what the user should know of it.
    """

    index: Index
    values: npt.NDArray[Any]
    notes: tuple[str, ...] = ()

    def with_calendar(self, cycles: tuple[str, ...]) -> Labels:
        """The same, of which a model sees some cycles."""
        return replace(self, index=replace(self.index, calendar=cycles))


def find(table: Table, sequences: Sequences, columns: Iterable[str]) -> Labels | None:
    """The index of a table: its first column of dates, or of a different value in every row.

    A column of dates of which many stand more than once, or that are not in order, is the index
    only where nothing else is.

    Args:
        table: it.
        sequences: where its sequences lie; within each an index grows.
        columns: those that may be it.
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
    """A column as an index; `None` where it is none.

    Args:
        table: its table.
        sequences: where sequences lie.
        name: the column's.
        asked: whether the user says that it is the index: then any words and numbers are.
        known: what it was in the file that a model was trained on.
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
    """A table whose index grows, or stays as it is, from row to row of each sequence.

    Args:
        table: it.
        sequences: where its sequences lie.
        labels: its index.
        sort: whether rows may be brought into order.

    Returns:
        The table, its index, and what the user should know.

    Raises:
        FileError: the rows are in another order.
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
    """Whole numbers that grow in every row, or any that do so by the same step."""
    steps = _steps(values, sequences)
    if not asked and (len(steps) < FEW or not (steps > 0).all()):
        return None
    alike = len(steps) > 0 and float(np.ptp(steps)) <= EQUAL * abs(float(steps[0]))
    usual = float(steps[0]) if alike else dates.usual_step(steps)[0] if len(steps) else 0.0
    if not asked and not alike and (values.dtype.kind == "f" or not usual):
        return None
    return Labels(Index(name, "numbers", f"{usual:.6g}" if usual else None), values)


def grows(table: Table, name: str, sequences: Sequences) -> bool:
    """Whether a column of numbers grows in every row of each sequence."""
    column = table.frame[name]
    if column.dtype.kind not in "iuf":
        return False
    steps = _steps(column.to_numpy(), sequences)
    return len(steps) >= FEW and bool((steps > 0).all())


def all_differ(column: Any, decimal: str) -> bool:
    """Whether a column has a different word in every row."""
    return (
        len(column) > FEW
        and isinstance(column.iloc[0], str)
        and bool(column.iloc[:1000].is_unique and column.is_unique)
        and not mostly_numbers(column.iloc[:1000], decimal)
    )


def _steps(values: npt.NDArray[Any], sequences: Sequences, all_rows: bool = False) -> Any:
    """From each row to the next of its sequence.

    Args:
        values: the index.
        sequences: where sequences lie.
        all_rows: whether there is a step, 0, from the end of a sequence to the next one's begin.
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
    """Says where rows are missing from an index, or stand more than once."""
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
    return [f"index `{labels.index.name}` has {' and '.join(found)}: rows are taken one by one"]


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
