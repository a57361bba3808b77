"""Loads tables: CSV or Parquet files in three parts, or whole for a trained model."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from lstmcli.config import DataConfig
from lstmcli.data.baselines import autoregression
from lstmcli.data.schema import Categorical, Schema
from lstmcli.data.series import Parts, Series, split_by_sequence, split_by_time
from lstmcli.data.table import index, several_files
from lstmcli.data.table.columns import (
    ColumnRequest,
    ask,
    check_columns,
    check_target,
    find_roles,
    schema_roles,
)
from lstmcli.data.table.encode import UnknownCategories, Values, encode, read_values
from lstmcli.data.table.files import Dialect, Table
from lstmcli.data.table.index import Labels
from lstmcli.data.table.scaling import fit
from lstmcli.data.table.sequences import Indices, Sequences, in_sequences
from lstmcli.data.table.several_files import Reading
from lstmcli.utils.errors import FileError, LstmcliError, UsageError

TRAINING, VALIDATION, TEST = range(3)
PARTS = ("the training part", "the validation part", "the test part")

OF_A_MODEL = "change the file: what its columns are is what they were when the model was trained"
"""The hint where no option can help."""

Bytes = npt.NDArray[np.int8]


def read_parts(config: DataConfig, known: Schema | None = None) -> tuple[Parts, list[str]]:
    """Reads the three parts of a table, which share no step.

    One long recording is split by time; of many sequences, whole ones are drawn at random. A part
    with a file of its own takes nothing from the table.

    Args:
        config: the file and the roles of its columns.
        known: the schema of an existing model, whose autoregression is kept; `None` for a new
            model.

    Returns:
        The parts, and notes for the user. `scored` is `None` if every step of all three parts is
        scored.

    Raises:
        UsageError: options do not fit the table, or each other.
        FileError: a file is missing or damaged, or a cell does not fit its column.
    """
    assert config.data is not None
    path = Path(config.data)
    config = several_files.resolved(path, config, _known(config))
    values, notes = _main(path, config)
    picks = _divide(values, config)
    steps = _steps(values.sequences, picks)
    schema, more = fit(values, steps[TRAINING], config.predict)
    own = {VALIDATION: config.val_data, TEST: config.test_data}
    files = {part: _read(Path(file), schema, config) for part, file in own.items() if file}
    notes += more

    def parts(schema: Schema) -> Iterator[Series]:
        """Yields the three parts and collects notes on them."""
        whole, unseen = encode(values, schema)
        notes.extend(_unseen(unseen, _part_of(steps, len(whole)), PARTS))
        for part, pick in enumerate(picks):
            if part not in files:
                yield whole.part(pick) if isinstance(pick, slice) else whole.pick(pick)
                continue
            series, strange = _encoded(*files[part], schema, PARTS[part])
            notes.extend(strange)
            yield series

    found = [*parts(schema)]
    for part in (VALIDATION, TEST):
        _check_scored(found[part], part, config)
    if linear := _autoregression(Parts(*found), config, known):
        found = [*parts(linear)]
    notes += _changed(found)
    return Parts(*_all_scored(found)), list(dict.fromkeys(notes))


def _autoregression(parts: Parts, config: DataConfig, known: Schema | None) -> Schema | None:
    """The schema for predicting residuals of an autoregression: of a known model, or a new one.

    Raises:
        UsageError: residuals are requested, and there is no autoregression.
    """
    if config.predict not in (None, "residual"):
        return None
    schema = parts.training.schema
    if (
        known is not None
        and known.autoregression is not None
        and known == replace(schema, target=known.target, change=False)
    ):
        return known
    found = autoregression.built_on(parts, asked=config.predict == "residual")
    if found is None and config.predict == "residual":
        raise UsageError(
            f"`--predict residual` needs a linear autoregression, and there is none of "
            f"`{config.data}`: it has no inputs, or more than {autoregression.MOST_TERMS:,}",
            "pass `--predict change`, or fewer `--inputs`",
        )
    return found


def read_whole(
    path: Path, schema: Schema, config: DataConfig, to_score: bool = True
) -> tuple[Series, list[str]]:
    """Reads a whole table for a trained model.

    Args:
        path: the table.
        schema: the model's schema, with its scales and vocabularies.
        config: the horizon, the group, and how to fill empty cells.
        to_score: whether targets are required.

    Returns:
        The series, and notes for the user.

    Raises:
        UsageError: the extension is not that of a table, or the horizon is too long.
        FileError: the file is missing or damaged, or does not fit the model.
    """
    try:
        config = several_files.resolved(path, config, _known(config))
        found = _read(path, schema, config, to_score)
        series, notes = _encoded(*found, schema, f"`{path}`")
    except LstmcliError as error:
        hint = OF_A_MODEL if "`--" in (error.hint or "") else error.hint
        raise FileError(error.message, hint) from error
    assert series.scored is not None
    if to_score and not series.scored.any():
        raise FileError(
            f"`{path}` has no step whose target is known to the model",
            f"fill its column `{schema_roles(schema).targets[0]}`",
        )
    return _all_scored([series])[0], notes


def _main(path: Path, config: DataConfig) -> tuple[Values, list[str]]:
    """The table that contains the training part."""
    reading = Reading(config, _missing(config), _known(config))
    asked = ask(path, reading.names(path), config)
    table, notes = reading.table(path, asked.words)
    table, sequences, more = in_sequences(table, asked.group)
    notes += more
    labels = _index(table, sequences, asked)
    name = None if labels is None else labels.index.name
    if labels is not None:
        table, labels, more = index.in_order(table, sequences, labels, config.sort_index)
        notes += more
    table, more = reading.labelled(table, sequences, asked.targets[0], asked.categorical)
    notes += more
    roles, more = find_roles(table, asked, sequences, name, len(config.leads) > 1)
    index.check_calendar(path, labels, asked.calendar, roles.columns)
    labels = labels and labels.with_calendar(asked.calendar)
    values, filled = read_values(table, roles, sequences, labels, config)
    return values, [*table.notes(), *notes, *more, *filled]


def _index(table: Table, sequences: Sequences, asked: ColumnRequest) -> Labels | None:
    """The index of a table, from the options or inferred."""
    if asked.index is not None:
        return index.of_column(table, sequences, asked.index, asked=True)
    free = asked.free(table.columns)
    found = index.find(table, sequences, free)
    only_input = found and asked.inputs is None and not asked.ahead and len(free) == 1
    return None if found and only_input and found.index.kind == "numbers" else found


def _known(config: DataConfig) -> Dialect:
    """What the options say about the format of a CSV file."""
    return Dialect(header=not config.no_header, encoding=config.encoding)


def _missing(config: DataConfig) -> list[str]:
    """The marks of empty cells from the options."""
    return [word.strip() for word in (config.na_values or "").split(",")]


def _read(
    path: Path, schema: Schema, config: DataConfig, to_score: bool = True
) -> tuple[Values, list[str]]:
    """The values of a whole table for a model with this schema."""
    group = None if config.group is None else config.group.strip()
    roles = schema_roles(schema, group)
    grouped = () if group is None else (group,)
    reading = Reading(config, _missing(config), _known(config))
    names = reading.names(path)
    check_columns(path, names, (*roles.inputs, *grouped))
    for target in roles.targets if to_score else ():
        check_target(path, names, target)
    table, notes = reading.table(path, (*roles.words, *grouped))
    table, sequences, more = in_sequences(table, group)
    notes += more
    labels = None
    if schema.index is not None and schema.index.name in names:
        labels = index.of_column(table, sequences, schema.index.name, True, schema.index)
    if labels is not None:
        table, labels, more = index.in_order(table, sequences, labels, config.sort_index)
        notes += more
    table, more = reading.labelled(table, sequences, roles.targets[0], roles.words)
    notes += more
    if lacking := {name: np.nan for name in roles.targets if name not in table.columns}:
        table = replace(table, frame=table.frame.assign(**lacking))
    cycles = schema.index.calendar if schema.index else ()
    index.check_calendar_known(path, labels, cycles)
    labels = labels and labels.with_calendar(cycles)
    values, filled = read_values(table, roles, sequences, labels, config, strict=False)
    return values, [*table.notes(), *notes, *filled]


def _encoded(
    values: Values, notes: list[str], schema: Schema, called: str
) -> tuple[Series, list[str]]:
    """A whole table encoded for a model, whose `scored` is an array, and notes for the user.

    Args:
        values: the table's values.
        notes: notes on the values.
        schema: the model's schema.
        called: the name of the table.
    """
    series, unseen = encode(values, schema)
    _check_known(values, schema, unseen)
    return series, notes + _unseen(unseen, np.zeros(len(series), np.int8), (called,))


def _divide(values: Values, config: DataConfig) -> tuple[slice | Indices, ...]:
    """The steps of each part (one long recording), or the numbers of its sequences."""
    sequences = values.sequences
    val_fraction = 0.0 if config.val_data is not None else config.val_fraction
    test_fraction = 0.0 if config.test_data is not None else config.test_fraction
    if not sequences.many:
        return divided(
            values, config, split_by_time(len(values.table), val_fraction, test_fraction)
        )
    for option, begin in (("--val-from", config.val_from), ("--test-from", config.test_from)):
        if begin is not None:
            raise UsageError(
                f"`{option}` has no effect on `{config.data}`: its sequences are drawn for the "
                "parts, each whole",
                f"leave `{option}` out, or `--group`",
            )
    count = len(sequences.lengths)
    picks = split_by_sequence(count, val_fraction, test_fraction, config.split_seed)
    fractions = (1.0, val_fraction, test_fraction)
    if any(len(pick) == 0 and share for pick, share in zip(picks, fractions, strict=True)):
        kinds = sum(1 for share in fractions if share)
        raise FileError(
            f"`{config.data}` has {count} sequence{'s' * (count != 1)} (column `{config.group}`), "
            f"too few for {kinds} parts",
            "take more sequences or smaller fractions, or name files for the other parts with "
            "`--val-data` and `--test-data`",
        )
    return picks


def _steps(sequences: Sequences, picks: tuple[slice | Indices, ...]) -> list[Indices | slice]:
    number = np.repeat(np.arange(len(sequences.lengths)), sequences.lengths)
    return [
        pick if isinstance(pick, slice) else np.flatnonzero(np.isin(number, pick)) for pick in picks
    ]


def _part_of(steps: list[Indices | slice], count: int) -> Bytes:
    """The part of each step: `[steps]`."""
    part_of = np.empty(count, np.int8)  # Every step is in one part.
    for part, where in enumerate(steps):
        part_of[where] = part
    return part_of


def _all_scored(parts: list[Series]) -> list[Series]:
    """Removes `scored` if all parts can do without it: one program is compiled for all three."""
    if all(part.scored is None or part.scored.all() for part in parts) and all(
        map(_complete, parts)
    ):
        return [replace(part, scored=None) for part in parts]
    return parts


def _complete(part: Series) -> bool:
    """Whether every target is known."""
    return part.classes > 0 or bool(np.isfinite(part.targets).all())


def _unseen(
    unseen: Sequence[UnknownCategories], part_of: Bytes, called: Sequence[str]
) -> list[str]:
    """Notes on how many words of each part do not occur in training.

    Args:
        unseen: the words.
        part_of: the part of each step: `[steps]`.
        called: the names of the parts.
    """
    return [
        f"column `{words.column}`: {count:,} {'step' if count == 1 else 'steps'} of {part} "
        f"{'has' if count == 1 else 'have'} a word that the training part does not have: "
        f"{'not scored' if words.target else 'unknown to the model'}"
        for words in unseen
        for part, count in zip(
            called, np.bincount(part_of[words.steps], minlength=len(called)), strict=True
        )
        if count
    ]


def _changed(parts: Sequence[Series]) -> list[str]:
    """Notes on inputs that are constant in the training part and vary elsewhere."""
    return [
        f"column `{column.name}` is always {column.in_units(given[0]):g} in {PARTS[TRAINING]} and "
        f"is not in {called}: nothing can be known of what that means"
        for place, column in enumerate(parts[TRAINING].schema.numbers)
        if ((given := parts[TRAINING].numbers[:, place]) == given[0]).all()
        for called, part in zip(PARTS[VALIDATION:], parts[VALIDATION:], strict=True)
        if (part.numbers[:, place] != given[0]).any()
    ]


def _check_scored(series: Series, part: int, config: DataConfig) -> None:
    """Raises FileError for a part without a scored step."""
    assert series.scored is not None
    file = config.val_data if part == VALIDATION else config.test_data
    share = config.val_fraction if part == VALIDATION else config.test_fraction
    if series.scored.any() or (file is None and not share):
        return
    option = "--val" if part == VALIDATION else "--test"
    raise FileError(
        f"{PARTS[part]} of `{config.data if file is None else file}` has no step that is "
        f"scored: none of its {len(series):,} steps has a target that training knows",
        f"take a larger `{option}-fraction`, or name a file for it with `{option}-data`"
        if file is None
        else "fill its target column, or take another file",
    )


def _check_known(values: Values, schema: Schema, unseen: Sequence[UnknownCategories]) -> None:
    """Raises FileError for a column of a file that shares no word with the training part."""
    for column, words in zip(schema.symbols, unseen, strict=False):
        there = np.count_nonzero(~values.symbols[column.name].empty)
        if len(words.steps) == there > 0:
            raise values.table.error(int(words.steps[0]), column.name, *_vocabulary(column))


def _vocabulary(column: Categorical) -> tuple[str, str]:
    words = ", ".join(f"`{word}`" for word in (column.values or ())[:5])
    more = " and so on" if column.size > 5 else ""
    return (
        f"one of the training part's words ({words}{more})",
        "no cell of the column has one: take a file with the same words",
    )


Slices = tuple[slice, slice, slice]


def divided(values: Values, config: DataConfig, parts: Slices) -> Slices:
    """Splits one long recording into training, validation and test part by its index.

    Args:
        values: the table's values.
        config: the index values at which the held-out parts begin.
        parts: the parts by fractions, which are used where no index value is given.

    Raises:
        UsageError: the table has no index, the value does not fit it, or a part is empty.
    """
    if config.val_from is None and config.test_from is None:
        return parts
    steps, (_, validation, test) = len(values.table), parts
    last = test.start
    if config.test_from is not None:
        last = _place(values, config.test_from, "--test-from")
    first = last - (validation.stop - validation.start)
    if config.val_from is not None:
        first = _place(values, config.val_from, "--val-from")
    if not 0 < first <= last:
        raise UsageError(
            f"the parts of `{values.table.path}` must follow each other: the validation part would "
            f"begin at row {first + 1:,} and the test part at row {last + 1:,} of {steps:,}",
            "let `--val-from` lie after the first value of the index and before `--test-from`",
        )
    return slice(0, first), slice(first, last), slice(last, steps)


def _place(values: Values, begin: str, option: str) -> int:
    """The first step whose index is at or after a value."""
    labels = values.labels
    if labels is None:
        raise UsageError(
            f"`{option}` has no effect on `{values.table.path}`: no column orders the rows",
            f"name one with `--index`, or leave `{option}` out",
        )
    if labels.index.kind == "words":
        found = np.flatnonzero(labels.values == begin)
        place = int(found[0]) if len(found) else len(labels.values)
    else:
        place = int(np.searchsorted(labels.values, _value(labels, begin, option)))
    if not 0 < place < len(labels.values):
        raise UsageError(
            f"`{option} {begin}`: nothing is left on one side, as the index `{labels.index.name}` "
            f"goes from `{_shown(labels, 0)}` to `{_shown(labels, -1)}`",
            "take a value between these",
        )
    return place


def _value(labels: Labels, text: str, option: str) -> Any:
    import pandas as pd

    try:
        if labels.index.kind == "numbers":
            return float(text)
        return pd.to_datetime(text, utc=True).tz_localize(None).to_datetime64()
    except (ValueError, TypeError) as error:
        kind = "a number" if labels.index.kind == "numbers" else "a date such as `2018-03-01`"
        raise UsageError(
            f"`{option}` must be {kind}, as the index `{labels.index.name}` holds, got `{text}`",
            f"the index begins with `{_shown(labels, 0)}`",
        ) from error


def _shown(labels: Labels, step: int) -> str:
    import pandas as pd

    value = labels.values[step]
    return str(pd.Timestamp(value) if labels.index.kind == "dates" else value)
