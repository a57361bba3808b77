"""The scales and vocabularies of a table, fitted to its training part alone."""

from __future__ import annotations

import math
import re
from dataclasses import replace

import numpy as np

from lstmcli.data.schema import Categorical, Numeric, Schema
from lstmcli.data.table.encode import Values
from lstmcli.data.table.sequences import Indices
from lstmcli.data.table.values import ODD, Column, Floats, by_size, odd_number
from lstmcli.utils.errors import FileError, UsageError, shell_quote

MANY = 20
"""This many categories are accepted however few steps there are."""


FEW = 3
"""With this many different whole numbers or fewer, they may be classes."""


def fit(
    values: Values, training: slice | Indices, predict: str | None = None
) -> tuple[Schema, list[str]]:
    """Fits the scales and vocabularies to the training part.

    Args:
        values: the table's values.
        training: the steps of the training part.
        predict: `change`, `level` or `residual`, if given; for `residual` only its possibility is
            checked.

    Returns:
        The schema, and notes for the user.

    Raises:
        UsageError: a column that the user calls categorical has almost as many values as cells.
        FileError: nothing can be learned from a column, or there is no target.
    """
    notes: list[str] = []
    inputs = tuple(
        _numeric(values, name, column[training], notes)
        if name in values.roles.numbers
        else _as_it_is(name, column[training], notes)
        for name, column in values.numbers.items()
    )
    symbols = tuple(
        _words(values, name, column.at(training), notes) for name, column in values.symbols.items()
    )
    for name, known in _known_targets(values, training).items():
        if not known:
            raise FileError(
                f"`{values.table.path}`, column `{name}`: no step of the training part has a "
                "target",
                "fill the column, or choose another with `--target`",
            )
    target: Categorical | tuple[Numeric, ...]
    numeric: tuple[Numeric, ...] = ()
    if values.roles.classes:
        target = _classes(values, values.target[0].at(training), notes)
    else:
        target = numeric = _targets(values, training, notes)
    changes = _changes(values, training, numeric, predict)
    if changes is not None:
        scales = zip(numeric, changes, strict=True)
        target = tuple(replace(column, scale=scale) for column, scale in scales)
    given = {name: values.numbers[name] for name in values.roles.numbers}
    for name, column in (given | {**values.numeric_targets, **given}).items():
        notes += _odd_numbers(name, column)
    index = None if values.labels is None else values.labels.index
    change = changes is not None
    return Schema("table", inputs, symbols, target, index, change=change), notes


def _numeric(values: Values, name: str, training: Floats, notes: list[str]) -> Numeric:
    """The scale of a numeric input, including its filled cells."""
    known = _known(training)
    if len(known) == 0:
        raise _nothing(values, name)
    column = _scaled(name, known)
    if column is None:
        notes.append(f"column `{name}` is always {known[0]:g} in the training part")
    return column or Numeric(name, float(known[0]), 1.0)


def _as_it_is(name: str, training: Floats, notes: list[str]) -> Numeric:
    """A calendar input, which is between -1 and 1 and not scaled."""
    known = _known(training)
    if len(known) and known.min() == known.max():
        notes.append(f"the calendar's `{name}` is always {known[0]:.3g} in the training part")
    return Numeric(name)


def _words(values: Values, name: str, training: Column, notes: list[str]) -> Categorical:
    vocabulary = _vocabulary(name, training)
    if vocabulary.size == 0:
        raise _nothing(values, name)
    _check_many(values, vocabulary, training, "name the other columns in `--inputs`")
    notes.extend(_odd_words(vocabulary))
    return vocabulary


def _known_targets(values: Values, training: slice | Indices) -> dict[str, bool]:
    """For each target, whether the training part has values of it at every horizon."""
    empty = [column.at(training).empty.all() for column in values.target]
    unknown = np.reshape(empty, (-1, len(values.leads)))
    return {name: not each.any() for name, each in zip(values.roles.targets, unknown, strict=True)}


def _targets(values: Values, training: slice | Indices, notes: list[str]) -> tuple[Numeric, ...]:
    """The scales of the targets, one per target and horizon."""
    leads = values.leads
    named = [(name, lead) for name in values.roles.targets for lead in leads]
    return tuple(
        replace(
            _target(values, name, column.values[training], notes),
            lead=lead if len(leads) > 1 else None,
        )
        for (name, lead), column in zip(named, values.target, strict=True)
    )


def _target(values: Values, name: str, training: Floats, notes: list[str]) -> Numeric:
    known = _known(training)
    column = _scaled(name, known)
    if column is None:
        raise FileError(
            f"`{values.table.path}`, column `{name}`: the target is always {known[0]:g} in the "
            "training part: there is nothing to learn",
            "choose another column with `--target`",
        )
    different = np.unique(known)
    if len(different) <= FEW and (different % 1 == 0).all():
        notes.append(
            f"the target `{name}` has only the values "
            f"{', '.join(f'{each:g}' for each in different)}, and is predicted as a number; "
            f"if these are classes, pass `--categorical {shell_quote(name)}`"
        )
    return column


def _changes(
    values: Values,
    training: slice | Indices,
    target: tuple[Numeric, ...],
    predict: str | None,
) -> list[float] | None:
    """The root mean squares of the targets' changes; `None` if changes are not predicted.

    By default they are predicted if the last value is a better prediction than the mean.

    Raises:
        UsageError: changes are requested, and there is no last value.
    """
    lacking = [name for name in values.roles.targets if name not in values.numbers]
    if values.last is None or lacking or predict == "level":
        if predict in ("change", "residual"):
            name = (*lacking, *values.roles.targets)[0]
            raise UsageError(
                f"`--predict {predict}` needs a number whose last value is known: `{name}` is to "
                "be predicted without it",
                "pass `--horizon 1` or more, with a target of numbers that is among the inputs",
            )
        return None
    pairs = zip(values.target, values.last, strict=True)
    changes = [(now.values - last.values)[training] for now, last in pairs]
    scales = [_size(_known(column)) for column in changes]
    shares = [scale / column.scale for scale, column in zip(scales, target, strict=True)]
    helps = predict == "change" or float(np.square(shares).mean()) < 1
    return scales if helps and min(scales) > 0 else None


def _size(changes: Floats) -> float:
    """The root mean square; 0 if empty."""
    return math.sqrt(np.square(changes).mean()) if len(changes) else 0.0


def _classes(values: Values, training: Column, notes: list[str]) -> Categorical:
    vocabulary = _vocabulary(values.roles.targets[0], training)
    if vocabulary.size < 2:
        raise FileError(
            f"`{values.table.path}`, column `{vocabulary.name}`: expected two classes or more in "
            f"the training part, got `{vocabulary.label(0)}` alone",
            "choose another column with `--target`, or other parts (`--val-fraction`, "
            "`--split-seed`)",
        )
    _check_many(values, vocabulary, training, "choose another column with `--target`")
    notes.extend(_odd_words(vocabulary))
    return vocabulary


def _known(numbers: Floats) -> Floats:
    """The values that are not NaN; not a copy if there is no NaN."""
    unknown = np.isnan(numbers)
    return numbers[~unknown] if unknown.any() else numbers


def _scaled(name: str, known: Floats) -> Numeric | None:
    """A scale from mean and population standard deviation; `None` if all numbers are equal."""
    # Rounding can give a constant such as 0.1 a positive deviation.
    scale = float(known.std()) if known.min() < known.max() else 0.0
    return Numeric(name, float(known.mean()), scale) if scale > 0 else None


def _vocabulary(name: str, training: Column) -> Categorical:
    there = np.flatnonzero(np.bincount(training.values + 1, minlength=1)[1:])
    found = tuple(by_size([training.names[code] for code in there.tolist()]))
    return Categorical(name, len(found), found)


def _nothing(values: Values, name: str) -> FileError:
    return FileError(
        f"`{values.table.path}`, column `{name}`: it has no value in the training part",
        f"leave it out: name the other columns in `--inputs`, without `{name}`",
    )


def _check_many(values: Values, column: Categorical, training: Column, hint: str) -> None:
    """Raises an error for categories that hardly ever occur twice."""
    cells = int(np.count_nonzero(~training.empty))
    if column.size <= MANY or 2 * column.size <= cells:
        return
    message = (
        f"`{values.table.path}`, column `{column.name}`: {column.size:,} different words in "
        f"{cells:,} steps of the training part: nothing can be learned from them"
    )
    if column.name in values.roles.named:
        raise UsageError(message, f"leave `{column.name}` out of `--categorical`")
    words = column.values or ()
    if all(map(MEASURED.fullmatch, words)):
        hint = f"if `{words[0]}` is a number with a unit, remove the unit from the cells; or {hint}"
    raise FileError(message, hint)


MEASURED = re.compile(r"[^\w\s]? ?[-+]?\d[\d.,]* ?([^\w\s]|[^\W\d]{1,4})?")
"""A number with a sign of a currency or a unit."""


def _odd_words(column: Categorical) -> list[str]:
    """The note on a category that may stand for an empty cell."""
    return [
        f"column `{column.name}`: `{word}` is taken for a word; `--na-values {shell_quote(word)}` "
        "makes it an empty cell"
        for word in column.values or ()
        if word.lower() in ODD
    ]


def _odd_numbers(name: str, column: Floats) -> list[str]:
    """The note on a number that may stand for an empty cell."""
    odd = odd_number(column)
    if odd is None:
        return []
    count = int(np.count_nonzero(column == odd))
    return [
        f"column `{name}`: {odd:g} stands {count:,} times, far from all other numbers; if it means "
        f"that there is none, pass `--na-values {odd:g}`"
    ]
