"""A series as a schema that is not its own describes it: other scales, one-hot or symbols."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from lstmcli.columns import Categorical, Numeric, Schema, symbol_type
from lstmcli.data.series import Series, no_numbers, no_symbols
from lstmcli.data.split import Parts
from lstmcli.errors import FileError


def one_hot(series: Series) -> Series:
    """A series of one categorical input as numbers, one for each value.

    As files have it since before there were symbols.
    """
    size = series.schema.symbols[0].size
    numbers = np.eye(size, dtype=np.float32)[series.symbols[:, 0]]
    columns = tuple(Numeric(f"input_{number}") for number in range(size))
    schema = replace(series.schema, numbers=columns, symbols=())
    return replace(series, schema=schema, numbers=numbers, symbols=no_symbols(len(series)))


def fit(series: Series, schema: Schema, name: str, other: str, hint: str) -> Series:
    """A series as a schema describes it.

    Args:
        series: with a schema of its own.
        schema: the one to have.
        name: what the series is, for an error.
        other: whose the schema is, for an error.
        hint: what to do about an error.

    Raises:
        FileError: it has other inputs, or another or larger target.
    """
    series = _alike(series, schema)
    if not _fits(series.schema, schema):
        raise FileError(
            f"{name} has {_inputs(series.schema)} features and {_target(series.schema)}, "
            f"{other} {_other(series.schema, schema)}",
            hint,
        )
    return _rescaled(series, schema)


def standardised(parts: Parts) -> Parts:
    """Parts whose targets are numbers, with the mean and the scale of the training part's."""
    training = parts.training
    targets = training.targets if training.scored is None else training.targets[training.scored]
    if isinstance(training.schema.target, Categorical) or not len(targets):
        return parts
    means, deviations = targets.mean(0, dtype=np.float64), targets.std(0, dtype=np.float64)
    columns = tuple(
        Numeric(column.name, float(mean), float(deviation) or 1.0)
        for column, mean, deviation in zip(training.schema.target, means, deviations, strict=True)
    )
    schema = replace(training.schema, target=columns)
    whole = training.recording and _rescaled(training.recording, schema)
    return Parts(*(_part_of(whole, part) or _rescaled(part, schema) for part in parts))


def _part_of(recording: Series | None, part: Series) -> Series | None:
    """The same steps of a recording; `None` for what is no part of one."""
    if recording is None or part.recording is None:
        return None
    return recording.part(slice(part.offset, part.offset + len(part)))


def _alike(series: Series, schema: Schema) -> Series:
    """The series, with symbols for numbers or the other way round if the schema has those."""
    own, wanted = series.schema, [column.size for column in schema.symbols]
    if not own.numbers and len(own.symbols) == 1 and not wanted:
        return one_hot(series)
    if own.symbols or schema.numbers or wanted != [len(own.numbers)]:
        return series
    numbers = series.numbers
    if not ((numbers == 0) | (numbers == 1)).all() or (numbers.sum(1) != 1).any():
        return series
    symbols = numbers.argmax(1)[:, None].astype(symbol_type(wanted[0]))
    return replace(
        series,
        schema=replace(own, numbers=(), symbols=schema.symbols),
        numbers=no_numbers(len(series)),
        symbols=symbols,
    )


def _fits(own: Schema, wanted: Schema) -> bool:
    sizes, known = ([column.size for column in each.symbols] for each in (own, wanted))
    if len(own.numbers) != len(wanted.numbers) or len(sizes) != len(known):
        return False
    if any(size > most for size, most in zip(sizes, known, strict=True)):
        return False
    if own.classes is not None and wanted.classes is not None:
        return own.classes <= wanted.classes
    outputs = own.signature(False, False).outputs, wanted.signature(False, False).outputs
    return own.classes == wanted.classes and outputs[0] == outputs[1]


def _inputs(schema: Schema) -> int:
    return schema.signature(False, False).features


def _target(schema: Schema) -> str:
    if schema.classes is not None:
        return f"{schema.classes} classes"
    return f"{schema.signature(False, False).outputs} number(s) as target"


def _other(own: Schema, schema: Schema) -> str:
    """What another schema has, in words that follow those for one's own."""
    if (own.classes is None) == (schema.classes is None):
        return f"{_inputs(schema)} and {_target(schema).partition(' ')[0]}"
    return f"{_inputs(schema)} features and {_target(schema)}"


def _rescaled(series: Series, schema: Schema) -> Series:
    """The series with a schema's means and scales; what has them already keeps its bits."""
    own, targets = series.schema, series.targets
    if not isinstance(own.target, Categorical) and not isinstance(schema.target, Categorical):
        targets = _columns(targets, own.target, schema.target)
    numbers = _columns(series.numbers, own.numbers, schema.numbers)
    symbols = series.symbols.astype(symbol_type(max((c.size for c in schema.symbols), default=0)))
    return replace(series, schema=schema, numbers=numbers, targets=targets, symbols=symbols)


def _columns(
    values: npt.NDArray[Any], own: Sequence[Numeric], wanted: Sequence[Numeric]
) -> npt.NDArray[np.float32]:
    """`[steps, columns]` in the units of other columns."""
    pairs = list(zip(own, wanted, strict=True))
    if all((a.mean, a.scale) == (b.mean, b.scale) for a, b in pairs):
        return np.asarray(values, np.float32)
    changed = [b.standardised(a.in_units(values[:, i])) for i, (a, b) in enumerate(pairs)]
    return np.stack(changed, 1)
