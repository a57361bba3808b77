"""The scales and vocabularies of a table, from its training part alone."""

from __future__ import annotations

import numpy as np

from lstmcli.data.columns import Categorical, Numeric, Schema
from lstmcli.data.encoding import Values
from lstmcli.data.sequences import Indices
from lstmcli.data.series import Bools
from lstmcli.data.values import Floats, Words, by_size, not_there
from lstmcli.errors import FileError, UsageError

MANY = 20
"""So many values are fine however few steps there are."""


def fit(values: Values, training: Bools) -> tuple[Schema, list[str]]:
    """The scales and vocabularies of the training part.

    Args:
        values: a table's.
        training: which steps are in the training part: `[steps]`.

    Returns:
        The schema, and what the user should know.

    Raises:
        UsageError: a column that the user calls categorical has about as many values as cells.
        FileError: nothing can be learned from a column, or there is no target.
    """
    notes: list[str] = []
    inputs = tuple(
        _fit_numbers(values, name, column[training], notes)
        for name, column in values.numbers.items()
    )
    symbols = tuple(
        _fit_words(values, name, column, training, notes) for name, column in values.symbols.items()
    )
    target = _fit_target(values, training & values.known, notes)
    return Schema("table", inputs, symbols, target), notes


def _fit_numbers(values: Values, name: str, training: Floats, notes: list[str]) -> Numeric:
    """Mean and (population) standard deviation of what the model is given, filled cells counted."""
    known = training[~np.isnan(training)]
    if len(known) == 0:
        raise FileError(
            f"`{values.table.path}`, column `{name}`: it has no value in the training part",
            f"leave it out: name the other columns in `--inputs`, without `{name}`",
        )
    column = _scaled(name, known)
    if column is None:
        notes.append(f"column `{name}` is always {known[0]:g} in the training part")
    return column or Numeric(name, float(known[0]), 1.0)


def _scaled(name: str, known: Floats) -> Numeric | None:
    """`None` where all numbers are the same."""
    scale = float(known.std()) if known.min() < known.max() else 0.0
    return Numeric(name, float(known.mean()), scale) if scale > 0 else None


def _fit_words(
    values: Values, name: str, column: Words, training: Bools, notes: list[str]
) -> Categorical:
    codes = column.codes[training]
    vocabulary = _vocabulary(name, column.names, codes[codes >= 0])
    if vocabulary.size == 0:
        raise FileError(
            f"`{values.table.path}`, column `{name}`: it has no value in the training part",
            f"leave it out: name the other columns in `--inputs`, without `{name}`",
        )
    cells = int(np.count_nonzero(codes >= 0))
    _check_many(values, vocabulary, cells, "name the other columns in `--inputs`")
    notes.extend(_odd_words(vocabulary))
    return vocabulary


def _fit_target(
    values: Values, scored: Bools, notes: list[str]
) -> Categorical | tuple[Numeric, ...]:
    name, path = values.roles.target, values.table.path
    if not scored.any():
        raise FileError(
            f"`{path}`, column `{name}`: no step of the training part has a target",
            "fill the column, or choose another with `--target`",
        )
    if not isinstance(values.target, Words):
        known = values.target[scored]
        column = _scaled(name, known)
        if column is None:
            raise FileError(
                f"`{path}`, column `{name}`: the target is always {known[0]:g} in the training "
                "part: there is nothing to learn",
                "choose another column with `--target`",
            )
        return (column,)
    vocabulary = _vocabulary(name, values.target.names, values.target.codes[scored])
    if vocabulary.size < 2:
        raise FileError(
            f"`{path}`, column `{name}`: expected two classes or more in the training part, got "
            f"`{vocabulary.label(0)}` alone",
            "choose another column with `--target`, or other parts (`--val-fraction`, "
            "`--split-seed`)",
        )
    cells = int(np.count_nonzero(scored))
    _check_many(values, vocabulary, cells, "choose another column with `--target`")
    notes.extend(_odd_words(vocabulary))
    return vocabulary


def _vocabulary(name: str, names: list[str], codes: Indices) -> Categorical:
    found = tuple(by_size([names[code] for code in np.unique(codes)]))
    return Categorical(name, len(found), found)


def _check_many(values: Values, column: Categorical, cells: int, hint: str) -> None:
    """Refuses names that name nothing: they hardly ever stand twice."""
    if column.size <= MANY or 2 * column.size <= cells:
        return
    message = (
        f"`{values.table.path}`, column `{column.name}`: {column.size:,} different words in "
        f"{cells:,} steps of the training part: nothing can be learned from them"
    )
    if column.name in values.roles.named:
        raise UsageError(message, f"leave `{column.name}` out of `--categorical`")
    raise FileError(message, hint)


def _odd_words(column: Categorical) -> list[str]:
    """Says that a word is taken for one that may be meant as nothing."""
    assert column.values is not None
    return [
        f"column `{column.name}`: `{column.values[place]}` is taken for a word; only an empty cell "
        "is missing"
        for place in np.flatnonzero(not_there(column.values))
    ]
