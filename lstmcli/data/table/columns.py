"""The roles of a table's columns: inputs, targets, group; numeric or categorical."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lstmcli.config import DataConfig
from lstmcli.data.schema import Categorical, Schema
from lstmcli.data.table import dates
from lstmcli.data.table import index as time_index
from lstmcli.data.table.files import Table
from lstmcli.data.table.index import all_differ, grows
from lstmcli.data.table.sequences import Sequences
from lstmcli.data.table.values import is_categorical
from lstmcli.utils.errors import FileError, UsageError, listed, shell_quote

LISTED = 20
LOOKED_AT = 1_000
"""Rows that are looked at to tell what a text column holds."""


@dataclass(frozen=True)
class ColumnRequest:
    """What the options say about a table's columns.

    Attributes:
        inputs: the inputs; `None` if not given.
        targets: the targets.
        group: the column that tells sequences apart, if any.
        categorical: columns to read as categorical, whatever they hold.
        ahead: whether the targets lie some steps ahead.
        index: the column that orders the rows; `None` if not given.
        calendar: the calendar cycles that are added as inputs.
    """

    inputs: tuple[str, ...] | None
    targets: tuple[str, ...]
    group: str | None
    categorical: tuple[str, ...]
    ahead: bool
    index: str | None = None
    calendar: tuple[str, ...] = ()

    @property
    def words(self) -> tuple[str, ...]:
        """Columns that are read as text."""
        return self.categorical if self.group is None else (*self.categorical, self.group)

    def free(self, names: Sequence[str]) -> list[str]:
        """Columns that no option names; one of them may be the index."""
        used = (*self.targets, self.group, *(self.inputs or ()), *self.categorical)
        return [name for name in names if name not in used]


@dataclass(frozen=True)
class ColumnRoles:
    """The roles of a table's columns.

    Attributes:
        numbers: numeric inputs.
        symbols: categorical inputs.
        targets: the targets; several only if they are numeric.
        classes: whether the target is categorical.
        named: the columns that the user calls categorical.
        group: the column that tells sequences apart.
    """

    numbers: tuple[str, ...]
    symbols: tuple[str, ...]
    targets: tuple[str, ...]
    classes: bool
    named: tuple[str, ...] = ()
    group: str | None = None

    @property
    def inputs(self) -> tuple[str, ...]:
        """All inputs."""
        return (*self.numbers, *self.symbols)

    @property
    def columns(self) -> tuple[str, ...]:
        """All columns that are used; a target may also be an input."""
        return (*self.inputs, *self.targets)

    @property
    def words(self) -> tuple[str, ...]:
        """The categorical columns."""
        return (*self.symbols, *self.targets) if self.classes else self.symbols


def ask(path: Path, names: Sequence[str], config: DataConfig) -> ColumnRequest:
    """What the options say about the columns of a table with these names.

    Raises:
        UsageError: they name a missing column, or give one column two roles.
    """
    targets = _targets(config.target, names)
    group = None if config.group is None else config.group.strip()
    inputs = None if config.inputs is None else _split("--inputs", config.inputs)
    categorical = _split("--categorical", config.categorical or "")
    index = None if config.index is None else config.index.strip()
    cycles = time_index.calendar_asked(config.calendar)
    ahead = config.leads[0] > 0
    asked = ColumnRequest(inputs, targets, group, categorical, ahead, index, cycles)
    if config.target is None and "target" not in names:
        raise UsageError(
            f"`{path}` has no column `target`, and no other target is named",
            f"pass `--target` with one of its columns: {of_columns(names)}",
        )
    for option, columns in (
        ("--target", targets),
        ("--group", () if group is None else (group,)),
        ("--inputs", inputs or ()),
        ("--categorical", categorical),
        ("--index", () if index is None else (index,)),
    ):
        for column in columns:
            if column not in names or column == "":
                raise no_column(path, option, column, names)
    _check_asked(asked)
    return asked


def find_roles(
    table: Table,
    asked: ColumnRequest,
    sequences: Sequences,
    index: str | None,
    several_leads: bool = False,
) -> tuple[ColumnRoles, list[str]]:
    """Finds the roles of a table's columns from the options and the content.

    Args:
        table: the table.
        asked: what the options say.
        sequences: the bounds of its sequences.
        index: the column that orders its rows.
        several_leads: whether the targets are predicted at several horizons.

    Returns:
        The roles, and notes for the user.

    Raises:
        UsageError: no input is left, or an option is about an unused column.
        FileError: a column in use has no name, or is neither numeric nor categorical.
    """
    inputs, notes = (
        (asked.inputs, [])
        if asked.inputs is not None
        else _all_inputs(table, asked, sequences, index)
    )
    if not inputs and not asked.calendar:
        raise UsageError(
            f"`{table.path}` has no column that could be given as input: it has "
            f"{of_columns(table.columns)}",
            f"to predict `{asked.targets[0]}` from what it was before, pass `--horizon 1`",
        )
    for name in asked.categorical:
        if name not in (*inputs, *asked.targets):
            raise UsageError(
                f"`--categorical {name}` has no effect: the column is neither an input nor the "
                "target",
                f"name it in `--inputs` too, or leave `{name}` out of `--categorical`",
            )
    words = {
        name
        for name in dict.fromkeys((*inputs, *asked.targets))
        if name in asked.categorical or is_categorical(table, name)
    }
    numbers = tuple(name for name in inputs if name not in words)
    symbols = tuple(name for name in inputs if name in words)
    classes = [name for name in asked.targets if name in words]
    _check_alone(classes, asked.targets, several_leads)
    roles = ColumnRoles(
        numbers, symbols, asked.targets, bool(classes), asked.categorical, asked.group
    )
    return roles, notes


def schema_roles(schema: Schema, group: str | None = None) -> ColumnRoles:
    """The roles of the columns of a trained model."""
    made = time_index.calendar_names(schema.index.calendar if schema.index else ())
    return ColumnRoles(
        tuple(column.name for column in schema.numbers if column.name not in made),
        tuple(column.name for column in schema.symbols),
        tuple(dict.fromkeys(column.name for column in schema.targets)),
        isinstance(schema.target, Categorical),
        group=group,
    )


def check_columns(path: Path, names: Sequence[str], needed: Sequence[str]) -> None:
    """Checks that a file has the columns of the training part.

    Raises:
        FileError: one is missing.
    """
    for column in needed:
        if column not in names:
            raise FileError(
                f"`{path}` has no column `{column}`, which the training part has",
                f"{_nearest(column, names)}its columns are {of_columns(names)}",
            )


def check_target(path: Path, names: Sequence[str], target: str) -> None:
    """Checks that a file has the column that a model predicts.

    Raises:
        FileError: it is missing.
    """
    if target not in names:
        raise FileError(
            f"`{path}` has no column `{target}`, the target: there is nothing to score a "
            "prediction by",
            f"{_nearest(target, names)}its columns are {of_columns(names)}; add the column, with "
            "empty cells where the target is not known",
        )


def _check_asked(asked: ColumnRequest) -> None:
    """Raises UsageError if a column is given two roles."""
    if asked.group in asked.targets:
        raise UsageError(
            f"the column `{asked.group}` cannot be both `--target` and `--group`",
            "name the column that is to be predicted, and another that tells sequences apart",
        )
    if asked.inputs is not None and asked.group in asked.inputs:
        raise UsageError(
            f"the column `{asked.group}` is in `--inputs` and is the `--group`: what tells "
            "sequences apart is not given",
            f"leave `{asked.group}` out of `--inputs`",
        )
    taken = [*(("--target", name) for name in asked.targets), ("--group", asked.group)]
    for option, column in taken:
        if column is not None and asked.index == column:
            raise UsageError(
                f"the column `{column}` cannot be both `--index` and `{option}`",
                "name the column that orders the rows, or leave `--index` out",
            )
    if asked.index is not None and asked.index in (asked.inputs or ()):
        raise UsageError(
            f"the column `{asked.index}` is in `--inputs` and is the `--index`, which is not given",
            f"leave `{asked.index}` out of one of them",
        )
    given = [name for name in asked.targets if name in (asked.inputs or ())]
    if given and not asked.ahead:
        raise UsageError(
            f"the column `{given[0]}` is given and is to be predicted at the same step",
            f"pass `--horizon 1` to predict it one step ahead, or leave `{given[0]}` out of "
            "`--inputs`",
        )


def _targets(text: str | None, names: Sequence[str]) -> tuple[str, ...]:
    """The columns in `--target`; a name that exists may contain a comma."""
    whole = "target" if text is None else text.strip()
    return (whole,) if whole in names else _split("--target", whole)


def _check_alone(classes: Sequence[str], targets: Sequence[str], several_leads: bool) -> None:
    """Raises UsageError for a categorical target besides others, or at several horizons."""
    if not classes or not (targets[1:] or several_leads):
        return
    what = "several targets" if targets[1:] else "a range of horizons"
    instead = f"`--target {shell_quote(classes[0])}`" if targets[1:] else "`--horizon 1`"
    raise UsageError(
        f"{what} must be of numbers, and the column `{classes[0]}` holds words, which are classes",
        f"predict it in a separate run: {instead}",
    )


def _all_inputs(
    table: Table, asked: ColumnRequest, sequences: Sequences, index: str | None
) -> tuple[tuple[str, ...], list[str]]:
    """Every column without another role, and notes on those left out."""
    inputs, notes = [], []
    alone = len(asked.free(table.columns)) == 1 and not asked.ahead
    for place, name in enumerate(table.columns):
        if name in (asked.group, index) or (name in asked.targets and not asked.ahead):
            continue
        if name in asked.targets:
            notes.append(f"the target `{name}` is an input too, as `--horizon` lies ahead of it")
        elif name == "":
            _check_first(table, place)
            notes.append("the first column has no name: it is taken for an index, not an input")
            continue
        elif name not in asked.categorical and (why := _no_input(table, name, sequences, alone)):
            notes.append(f"column `{name}` {why}: no input (`--inputs` names what is)")
            continue
        elif grows(table, name, sequences):
            notes.append(f"column `{name}` grows in every row, like an index, but is an input")
        inputs.append(name)
    return tuple(inputs), notes


def _no_input(table: Table, name: str, sequences: Sequences, alone: bool) -> str | None:
    """Why a column is of no use as an input: dates, row numbers, names of rows."""
    column = table.frame[name]
    if dates.read(column.iloc[:LOOKED_AT]):
        return "holds dates"
    if dates.is_time(column):
        return "holds times"
    if column.isna().all():
        return "is empty"
    if not alone and _counts(table, name, sequences):
        return "numbers the rows"
    return (
        "has a different word in every row" if all_differ(column, table.dialect.decimal) else None
    )


def _check_first(table: Table, place: int) -> None:
    """Raises FileError unless it is column 1: pandas and R write an index without a name."""
    if place:
        raise FileError(
            f"`{table.path}`, line 1: column {place + 1} has no name",
            "give it one, take the comma at the end of the lines away, or say which columns are "
            "given with `--inputs`",
        )


def _counts(table: Table, name: str, sequences: Sequences) -> bool:
    """Whether a column is 0, 1, 2, … or 1, 2, 3, … in the file or in each sequence."""
    column = table.frame[name]
    if column.dtype.kind not in "iu":
        return False
    values, steps = column.to_numpy(np.int64), np.arange(len(table))
    rows = steps if table.rows is None else table.rows
    return any(
        values[0] - count[0] in (0, 1) and bool((values - count == values[0] - count[0]).all())
        for count in (rows, steps - sequences.begins)
    )


def _split(option: str, names: str) -> tuple[str, ...]:
    columns = tuple(name.strip() for name in names.split(",") if name.strip())
    twice = [name for place, name in enumerate(columns) if name in columns[:place]]
    if twice:
        raise UsageError(f"`{option}` names `{twice[0]}` twice", "name each column once")
    if names and not columns:
        raise UsageError(f"`{option}` names no column, got `{names}`", f"leave `{option}` out")
    return columns


def no_column(path: Path, option: str, column: str, names: Sequence[str]) -> UsageError:
    """The error for an option that names a missing column."""
    return UsageError(
        f"`{option}`: `{path}` has no column `{column}`",
        f"{_nearest(column, names)}its columns are {of_columns(names)}",
    )


def _nearest(column: str, names: Sequence[str]) -> str:
    lower = {name.lower(): name for name in names if name}
    near = difflib.get_close_matches(column.lower(), list(lower), n=1)
    return f"did you mean `{lower[near[0]]}`? " if near else ""


def of_columns(names: Sequence[str]) -> str:
    """Column names in words, shortened if there are very many."""
    return listed([f"`{name}`" for name in names if name], LISTED)
