"""The steps after the end of a recording: their index, and the inputs known in advance."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from lstmcli.config import DataConfig
from lstmcli.data.schema import Index, Schema
from lstmcli.data.series import Series
from lstmcli.data.table import dates
from lstmcli.data.table import files as table_files
from lstmcli.data.table import index as time_index
from lstmcli.data.table.columns import check_columns, schema_roles
from lstmcli.data.table.files import Dialect
from lstmcli.data.table.values import numbers, words
from lstmcli.utils.errors import FileError, UsageError, listed

STEP = "step"


@dataclass(frozen=True)
class Ahead:
    """The steps after the end of a recording.

    Attributes:
        name: the index's name, or `step`.
        labels: of each step: dates, or numbers.
        numbers: numeric inputs, standardised, `[rows, N]`: 0 where they are not known in advance.
        symbols: categorical inputs by number: `[rows, M]`.
    """

    name: str
    labels: npt.NDArray[Any]
    numbers: npt.NDArray[np.float32]
    symbols: npt.NDArray[np.int64]


def unknown_inputs(schema: Schema) -> list[str]:
    """Inputs that are neither the target's own past nor part of the calendar."""
    roles = schema_roles(schema)
    return [name for name in roles.inputs if name not in roles.targets]


def look_ahead(
    series: Series, config: DataConfig, steps: int, rows: int, future: Path | None
) -> Ahead:
    """What is known in advance of the next steps.

    Args:
        series: the recording.
        config: how its files are read.
        steps: how many are forecast.
        rows: how many of them need inputs.
        future: a table with inputs that are known in advance, a row for each step.

    Raises:
        FileError: the table lacks a column, a row or a cell, or has other steps.
        UsageError: inputs or dates are needed that are not known.
    """
    schema = series.schema
    table = None
    if future is not None:
        table = _read(future, schema, config, rows)
    index = schema.index
    known = series.labels.get(index.name or "index") if index is not None else None
    labels = None
    if index is not None and known is not None and len(known):
        labels = _continued(known, index, steps)
        if table is not None and index.name in table.columns:
            _check_begin(table, index, known[-1])
            labels = _own(table, index, steps) if labels is None else labels
    given = np.zeros((rows, len(schema.numbers)), np.float32)
    symbols = np.zeros((rows, len(schema.symbols)), np.int64)
    if rows and index is not None and index.calendar:
        _add_calendar(schema, index, None if labels is None else labels[:rows], given)
    if table is not None and rows:
        _fill(table, schema, given, symbols)
    if labels is None:
        name, labels = STEP, len(series) + np.arange(steps)
    else:
        name = (index.name if index else "") or "index"
    return Ahead(name, labels, given, symbols)


def _add_calendar(
    schema: Schema, index: Index, labels: Any, given: npt.NDArray[np.float32]
) -> None:
    """Fills in the calendar's inputs.

    Raises:
        UsageError: the dates are not known.
    """
    if labels is None:
        raise UsageError(
            f"the dates of `{index.name}` are not evenly spaced, and the model needs the "
            f"{', '.join(index.calendar)} of the next ones",
            "give the next dates in a column of that name: `--future FILE`",
        )
    made = time_index.calendar_inputs(time_index.Labels(index, labels), index.calendar)
    for place, column in enumerate(schema.numbers):
        if column.name in made:
            given[:, place] = column.standardised(made[column.name])


def check_known(schema: Schema, steps: int, rows: int, direct: int) -> None:
    """Refuses a forecast that needs unknown inputs.

    Raises:
        UsageError: it needs some.
    """
    if not rows or not (unknown := unknown_inputs(schema)):
        return
    names = listed([f"`{name}`" for name in unknown])
    less = f"; or pass `--steps {direct}`, for which the past is enough" if direct else ""
    raise UsageError(
        f"`--steps {steps}` needs inputs that are not known beyond the end of the data: {names}",
        f"give them, a row for each step ({rows:,}): `--future FILE`{less}",
    )


def written(labels: npt.NDArray[Any]) -> list[str]:
    """Labels as text; dates have no time of day if all are at midnight."""
    if labels.dtype.kind != "M":
        return [f"{each:.10g}" if labels.dtype.kind == "f" else str(each) for each in labels]
    days = bool((labels == labels.astype("datetime64[D]")).all())
    texts = np.datetime_as_string(labels, "D" if days else "s")
    return [str(each).replace("T", " ") for each in texts]


def _continued(known: npt.NDArray[Any], index: Index, steps: int) -> npt.NDArray[Any] | None:
    """The index continued at its own spacing; `None` if it is not evenly spaced."""
    if index.kind == "numbers":
        if len(known) < 2 or index.frequency is None:
            return None
        distances = np.diff(known.astype(np.float64))
        usual, _ = dates.usual_step(distances)
        if not usual:
            return None
        whole = known.dtype.kind in "iu" and usual == int(usual)
        found = float(known[-1]) + usual * np.arange(1, steps + 1)
        return found.astype(np.int64) if whole else found
    if index.kind != "dates" or np.isnat(known[-1]):
        return None
    often, _ = dates.frequency(known[~np.isnat(known)], np.zeros(len(known), np.int64))
    often = often or index.frequency
    return None if often is None else _dates(known[-1], often, steps)


def _dates(last: Any, frequency: str, steps: int) -> npt.NDArray[Any]:
    """The dates after one, at a pandas frequency; of months on the same day, or the last one.

    Raises:
        UsageError: dates cannot reach that far.
    """
    try:
        return _dates_in_reach(last, frequency, steps)
    except (ValueError, OverflowError) as error:
        raise UsageError(
            f"`--steps {steps}` goes beyond the last year that dates can have", "take fewer steps"
        ) from error


def _dates_in_reach(last: Any, frequency: str, steps: int) -> npt.NDArray[Any]:
    import pandas as pd

    begin, count = pd.Timestamp(last), np.arange(1, steps + 1)
    months = re.fullmatch(r"(\d*)(MS|ME)", frequency)
    if months is not None:
        by = int(months[1] or 1)
        if months[2] == "MS":
            found = [begin + pd.DateOffset(months=by * int(each)) for each in count]
        else:
            found = [begin + pd.offsets.MonthEnd(by * int(each)) for each in count]
    elif frequency == "B":
        found = [begin + pd.offsets.BDay(int(each)) for each in count]
    else:
        step = pd.Timedelta(pd.tseries.frequencies.to_offset(frequency))
        found = [begin + step * int(each) for each in count]
    return np.array(found, "datetime64[us]")


def _read(path: Path, schema: Schema, config: DataConfig, rows: int) -> table_files.Table:
    """A table of inputs that are known in advance."""
    roles = schema_roles(schema)
    missing = [word.strip() for word in (config.na_values or "").split(",")]
    known = Dialect(header=not config.no_header, encoding=config.encoding)
    check_columns(path, table_files.read_head(path, known).names, unknown_inputs(schema))
    table = table_files.read_table(path, roles.words, missing, known)
    if len(table) < rows:
        raise FileError(
            f"`{path}` has {len(table):,} rows, and inputs are needed for {rows:,} steps",
            f"add rows to it, or make `--steps` smaller by {rows - len(table):,}",
        )
    return table


def _check_begin(table: table_files.Table, index: Index, last: Any) -> None:
    """Refuses a table that begins before the end of the data: its rows would be misread as later.

    Raises:
        FileError: it does.
    """
    first = _own(table, index, 1)
    if first is not None and first[0] <= last:
        [end] = written(np.array([last]))
        raise table.error(
            0, index.name, f"a step after the end of the data, `{end}`", "leave out earlier steps"
        )


def _own(table: table_files.Table, index: Index, steps: int) -> npt.NDArray[Any] | None:
    """The table's own index, if it has one for each step."""
    found = dates.read(table.frame[index.name], index.format) if index.kind == "dates" else None
    if found is None or len(found.values) < steps or np.isnat(found.values[:steps]).any():
        return None
    return found.values[:steps]


def _fill(
    table: table_files.Table,
    schema: Schema,
    given: npt.NDArray[np.float32],
    symbols: npt.NDArray[np.int64],
) -> None:
    """Fills in the inputs of a table."""
    try:
        _encode(table, schema, given, symbols)
    except FileError as error:
        raise FileError(error.message, "correct the cell: the model needs this column") from error


def _encode(
    table: table_files.Table,
    schema: Schema,
    given: npt.NDArray[np.float32],
    symbols: npt.NDArray[np.int64],
) -> None:
    wanted, rows = set(unknown_inputs(schema)), len(given)
    for place, column in enumerate(schema.numbers):
        if column.name in wanted:
            values = numbers(table, column.name)[:rows]
            _check(table, column.name, np.isnan(values))
            given[:, place] = column.standardised(values)
    for place, vocabulary in enumerate(schema.symbols):
        if vocabulary.name in wanted:
            found = words(table, vocabulary.name)
            known = {vocabulary.label(code): code for code in range(vocabulary.size)}
            codes = [known.get(word, vocabulary.size) for word in found.names]
            column_codes = np.array([*codes, -1])[found.values[:rows]]
            _check(table, vocabulary.name, column_codes < 0)
            symbols[:, place] = column_codes


def _check(table: table_files.Table, column: str, empty: Sequence[bool] | Any) -> None:
    if np.any(empty):
        raise table.error(
            int(np.argmax(empty)), column, "a value known in advance", "fill the cell"
        )
