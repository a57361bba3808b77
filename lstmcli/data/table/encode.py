"""A table's values: in their own units and words, and encoded for a model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from lstmcli.config import DataConfig
from lstmcli.data.baselines import autoregression
from lstmcli.data.schema import Categorical, Numeric, Schema, symbol_type
from lstmcli.data.series import Bools, Series
from lstmcli.data.table import index
from lstmcli.data.table.columns import ColumnRoles
from lstmcli.data.table.files import Table
from lstmcli.data.table.index import Labels
from lstmcli.data.table.sequences import Indices, Sequences
from lstmcli.data.table.values import Column, Filling, Floats, lost_digits, numbers, words
from lstmcli.utils.errors import UsageError

BLOCK = 1 << 14
"""Steps whose columns are stacked at a time, so that they fit in a processor's cache."""


@dataclass(frozen=True)
class Values:
    """The values of a table for a model, in their own units and words.

    Attributes:
        table: their source, for errors.
        roles: the roles of the columns.
        numbers: numeric inputs by name, `[steps]` each, the calendar inputs last; NaN where no
            value is known yet.
        symbols: categorical inputs by name.
        target: the targets of each step, shifted by the horizon: all horizons of the first target,
            then those of the next.
        leads: the horizons.
        last: the latest known value of each target at each step, in the same order; `None` without
            a horizon, when a step's target never becomes known to later steps.
        sequences: the bounds of the sequences.
        labels: the table's index, if it has one.
    """

    table: Table
    roles: ColumnRoles
    numbers: dict[str, Floats]
    symbols: dict[str, Column]
    target: list[Column]
    last: list[Column] | None
    sequences: Sequences
    labels: Labels | None = None
    leads: Sequence[int] = (0,)

    @property
    def known(self) -> Bools:
        """Whether a step has a target: `[steps]`."""
        return np.asarray(~np.all([column.empty for column in self.target], 0))

    @property
    def numeric_targets(self) -> dict[str, Floats]:
        """The numeric targets by name, at the first horizon: `[steps]`."""
        columns = zip(self.roles.targets, self.target[:: len(self.leads)], strict=True)
        return {name: column.values for name, column in columns if not column.is_words}


def read_values(
    table: Table,
    roles: ColumnRoles,
    sequences: Sequences,
    labels: Labels | None,
    config: DataConfig,
    strict: bool = True,
) -> tuple[Values, list[str]]:
    """Reads a table's columns; empty input cells are filled as the options say.

    Args:
        table: the table.
        roles: the roles of its columns.
        sequences: the bounds of its sequences.
        labels: its index.
        config: the horizon, and how to fill empty cells.
        strict: whether to refuse a column with many empty cells unless an option says how to fill
            them.

    Returns:
        The values, and notes for the user.

    Raises:
        UsageError: the horizon is longer than every sequence.
        FileError: a cell does not fit its column, or too many are empty and no option says how to
            fill them.
    """
    longest = int(sequences.lengths.max())
    if config.leads[-1] >= longest:
        kind = "the longest sequence" if sequences.many else "the table"
        raise UsageError(
            f"`--horizon {config.horizon}` leaves nothing to predict in `{table.path}`: {kind} has "
            f"{longest:,} {'step' if longest == 1 else 'steps'}",
            f"use a horizon below {longest:,}" if longest > 1 else "leave `--horizon` out",
        )
    target, last = _target(table, roles, sequences, config.leads)
    filling = Filling(table, sequences, config.missing, strict)
    cycles = labels.index.calendar if labels else ()
    values = Values(
        table,
        roles,
        {name: filling.numbers(name) for name in roles.numbers}
        | index.calendar_inputs(labels, cycles),
        {name: filling.words(name) for name in roles.symbols},
        target,
        last,
        sequences,
        labels,
        config.leads,
    )
    return values, [*_lost(values), *filling.notes(), *_unscored(table, roles.targets)]


def _lost(values: Values) -> list[str]:
    """Notes on columns with whole numbers that are too large to be read exactly."""
    read = {name: values.numbers[name] for name in values.roles.numbers}
    read |= values.numeric_targets
    return [note for name, found in read.items() for note in lost_digits(values.table, name, found)]


@dataclass(frozen=True)
class UnknownCategories:
    """Words that do not occur in the training part.

    Attributes:
        column: their column.
        target: whether it is the target.
        steps: the steps with such words.
    """

    column: str
    target: bool
    steps: Indices


def encode(values: Values, schema: Schema) -> tuple[Series, list[UnknownCategories]]:
    """Encodes a table for a model.

    Returns:
        The series, whose `scored` is an array, and the words unknown to the training part.

    Raises:
        FileError: a number is too far from those of the training part.
    """
    steps = len(values.table)
    columns = {column: values.numbers[column.name] for column in schema.numbers}
    largest = max((column.size for column in schema.symbols), default=0)
    symbols = np.empty((steps, len(schema.symbols)), symbol_type(largest))
    unseen = []
    for place, vocabulary in enumerate(schema.symbols):
        symbols[:, place], strange = _numbered(values.symbols[vocabulary.name], vocabulary)
        unseen.append(UnknownCategories(vocabulary.name, False, strange))
    targets, scored, strange = _targets(values, schema)
    last_values = _last_values(values, schema)
    if schema.predicts != "level" and last_values is not None:  # A change needs a last value.
        targets, scored = _from_something(targets, scored, last_values)
    unseen.append(UnknownCategories(values.roles.targets[0], True, strange))
    given = _standardised(values, columns)
    series = Series(
        schema,
        given,
        symbols,
        targets,
        scored,
        values.sequences.starts,
        last_values=last_values,
        labels=_labels(values),
    )
    return replace(series, base=autoregression.base_of(series)), unseen


def _unscored(table: Table, targets: Sequence[str]) -> list[str]:
    """The note on rows without a target, if that may be unintended."""
    empty = {name: int(table.frame[name].isna().sum()) for name in targets}
    return [
        f"{count:,} of the {len(table):,} targets in `{table.path}` (`{name}`) are empty: "
        f"{'they' if targets[1:] else 'those steps'} are not scored"
        for name, count in empty.items()
        if 0 < count < len(table) and name not in table.beside
    ]


def _target(
    table: Table, roles: ColumnRoles, sequences: Sequences, leads: Sequence[int]
) -> tuple[list[Column], list[Column] | None]:
    """The target of each step, and its latest known value if there is a horizon."""
    columns = [
        words(table, name) if roles.classes else Column(numbers(table, name))
        for name in roles.targets
    ]
    target = [column.ahead(lead, sequences) for column in columns for lead in leads]
    if not leads[0]:
        return target, None
    return target, [last for column in columns for last in [column.filled(sequences)] * len(leads)]


def _last_values(values: Values, schema: Schema) -> npt.NDArray[Any] | None:
    """The latest known values of the target, encoded: `[steps, D]` or `[steps]`."""
    if values.last is None:
        return None
    if isinstance(schema.target, Categorical):
        codes, _ = _numbered(values.last[0], schema.target)
        return np.where(codes < schema.target.size, codes, -1).astype(np.int32)
    with np.errstate(over="ignore"):
        each = zip(schema.numeric_targets, values.last, strict=True)
        last = np.stack([column.standardised(known.values) for column, known in each], 1)
    return np.where(np.isfinite(last), last, np.nan)


def _from_something(
    targets: npt.NDArray[Any], scored: Bools, last_values: npt.NDArray[Any]
) -> tuple[npt.NDArray[Any], Bools]:
    """The targets, and whether they are scored: a change can be predicted from a last value."""
    known = ~np.isnan(last_values)
    if last_values.shape[1] > 1:
        targets = np.where(known, targets, np.float32(np.nan))
        known &= ~np.isnan(targets)
    return targets, scored & known.any(1)


def _labels(values: Values) -> dict[str, npt.NDArray[Any]]:
    """What identifies the steps for users: the sequence, the index, the row of the file from 1."""
    table, labels = values.table, {}
    if values.roles.group is not None:
        labels[values.roles.group] = table.frame[values.roles.group].to_numpy()
    if values.labels is not None:
        labels[values.labels.index.name or "index"] = values.labels.values
    return {**labels, "file_row": table.file_rows + 1}


def _standardised(values: Values, columns: Mapping[Numeric, Floats]) -> npt.NDArray[np.float32]:
    """Standardised numbers, zero (the mean) where there is none: `[steps, columns]`."""
    steps = len(values.table)
    given = np.empty((steps, len(columns)), np.float32)
    with np.errstate(over="ignore"):  # Overflow is refused below.
        for begin in range(0, steps, BLOCK):
            block = slice(begin, begin + BLOCK)
            for place, (column, numbers) in enumerate(columns.items()):
                given[block, place] = column.standardised(numbers[block])
    if not np.isfinite(given).all():
        given[np.isnan(given)] = 0
        for place, column in enumerate(columns):
            _check_near(values.table, column, given[:, place])
    return given


def _check_near(table: Table, column: Numeric, given: npt.NDArray[np.float32]) -> None:
    """Raises FileError for a number whose standardised value does not fit in 32 bits."""
    infinite = np.isinf(given)
    if infinite.any():
        raise table.error(
            int(infinite.argmax()),
            column.name,
            f"a number like those of the training part ({column.mean:g} +/- {column.scale:g})",
            "correct it, or leave the column out",
        )


def _numbered(found: Column, vocabulary: Categorical) -> tuple[Indices, Indices]:
    """Codes of words (unknown ones: the vocabulary's size), and the steps with unknown words."""
    assert vocabulary.values is not None
    places = {word: number for number, word in enumerate(vocabulary.values)}
    known = [places.get(word, vocabulary.size) for word in found.names]
    codes = np.array([*known, vocabulary.size], np.int64)[found.values]
    return codes, np.flatnonzero((codes == vocabulary.size) & ~found.empty)


def _targets(
    values: Values, schema: Schema
) -> tuple[npt.NDArray[np.int32] | npt.NDArray[np.float32], Bools, Indices]:
    """The encoded targets, whether they are scored, and the steps with an unknown class.

    A target that is not scored is zero; with several numbers it is NaN.
    """
    if isinstance(schema.target, Categorical):
        codes, strange = _numbered(values.target[0], schema.target)
        scored = codes < schema.target.size
        return np.where(scored, codes, 0).astype(np.int32), scored, strange
    columns = zip(schema.numeric_targets, values.target, strict=True)
    targets = _standardised(values, {column: found.values for column, found in columns})
    if len(values.target) > 1:
        targets[np.stack([found.empty for found in values.target], 1)] = np.nan
    return targets, values.known, np.empty(0, np.int64)
