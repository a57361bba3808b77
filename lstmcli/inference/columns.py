"""Which cells of a line are a model's inputs and targets, by the names in the first line."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from lstmcli.config import DataConfig
from lstmcli.data.schema import Categorical, Numeric, Schema
from lstmcli.data.table.columns import check_columns, no_column, schema_roles
from lstmcli.data.table.files import SEPARATORS, UNNAMED
from lstmcli.data.table.index import CYCLES
from lstmcli.data.table.several_files import FILE
from lstmcli.inference.cells import CellError, Numbers, Words, bounds, read_index
from lstmcli.inference.steps import Carried, Floats, Steps
from lstmcli.utils.errors import FileError

STARTS = "starts"
"""The column of a series' file that says where sequences begin."""


class Row(NamedTuple):
    """What a line holds for a model, in its own units: its numbers, words and last targets."""

    numbers: list[float]
    symbols: list[int]
    targets: list[float]


@dataclass(frozen=True)
class NumericCells:
    """A column of numbers: where it stands, its name, and between which its numbers must lie."""

    place: int
    name: str
    low: float
    high: float


class Layout:
    """The cells of a line, by the columns' names.

    Args:
        names: of the columns, in the stream's order; `""` for one without a name.
        schema: the model's.
        config: of the model's data: its group, and what becomes of empty cells.
        where: what the stream is called.
        keep: further columns that are passed through.
        separator: what parts columns.
        decimal: what stands before decimals, where that is known already.

    Raises:
        FileError: a column is not there.
        UsageError: one that is to be passed through is not there.
    """

    def __init__(
        self,
        names: Sequence[str],
        schema: Schema,
        config: DataConfig,
        where: str,
        keep: Sequence[str] = (),
        separator: str = ",",
        decimal: str | None = None,
    ) -> None:
        self.names, self.separator = list(names), separator
        missing = [word.strip() for word in (config.na_values or "").split(",")]
        self.numbers = Numbers(missing, separator, decimal)
        self._schema = schema
        self._fill = "ffill" if config.missing != "zero" else "zero"
        path = Path(where)
        for column in keep:
            if column not in names:
                raise no_column(path, "--keep", column, names)
        self.keep = [self.names.index(column) for column in keep]
        self._one_hot: list[int] = []
        self._spread: tuple[int, Words] | None = None
        self.starts: int | None = None
        self.group: int | None = None
        self.index: int | None = None
        self._cycles: tuple[str, ...] = ()
        self._numbers: list[NumericCells] = []
        self._symbols: list[tuple[int, Words]] = []
        if schema.kind == "series":
            self._of_series(path)
        else:
            self._of_table(path, config)
        target = () if schema.predicts == "level" else schema.numeric_targets
        self._targets = [self._numeric(column.name, column) for column in target]
        self._outputs = len(target)

    def _of_table(self, path: Path, config: DataConfig) -> None:
        schema, names = self._schema, self.names
        roles = schema_roles(schema)
        check_columns(path, names, roles.inputs)
        made = set(roles.numbers)
        own = [column for column in schema.numbers if column.name in made]
        self._numbers = [self._numeric(column.name, column) for column in own]
        self._symbols = [
            (names.index(column.name), Words(column, self.numbers.empty))
            for column in schema.symbols
        ]
        group = None if config.group is None else config.group.strip()
        if group is not None and group not in names and group != FILE and config.labels is None:
            check_columns(path, names, (group,))
        if group in names:
            self.group = names.index(group)
        self._cycles = schema.index.calendar if schema.index else ()
        if schema.index is not None:
            if self._cycles:
                check_columns(path, names, (schema.index.name,))
            if schema.index.name in names:
                self.index = names.index(schema.index.name)

    def _of_series(self, path: Path) -> None:
        """The columns of a dataset of `generate`, or those that the model calls its inputs."""
        schema, names = self._schema, self.names
        empty = {""}
        sizes = [column.size for column in schema.symbols]
        hot = [f"input_{number}" for number in range(sum(sizes))]
        inputs = _called("input", len(schema.numbers))
        if len(sizes) == 1 and not schema.numbers and set(hot) <= set(names):
            self._one_hot = [names.index(name) for name in hot]
        elif (
            not sizes
            and len(inputs) > 1
            and not set(inputs) <= set(names)
            and (place := _first(names, ("symbol", "input"))) is not None
        ):
            self._spread = place, Words(Categorical(names[place], len(inputs)), empty)
        else:
            for column, name in zip(schema.numbers, inputs, strict=True):
                found = _first(names, (name, column.name))
                check_columns(path, names, (name,) if found is None else ())
                self._numbers.append(self._numeric(names[found or 0], column))
            for symbol, name in zip(schema.symbols, _called("symbol", len(sizes)), strict=True):
                found = _first(names, (name, symbol.name))
                check_columns(path, names, (name,) if found is None else ())
                by_number = names[found or 0] == name
                words = Categorical(symbol.name, symbol.size) if by_number else symbol
                self._symbols.append((found or 0, Words(words, empty)))
        if STARTS in names:
            self.starts = names.index(STARTS)
        self._fill = ""

    def _numeric(self, name: str, column: Numeric) -> NumericCells:
        return NumericCells(self.names.index(name), name, *bounds(column.mean, column.scale))

    def read(self, cells: Sequence[str], carried: Carried) -> Row:
        """Reads a line; `carried` is updated only if the whole line is valid.

        Raises:
            CellError: a cell does not fit its column; nothing has changed.
        """
        if self.numbers.decimal is None:
            self.numbers.look(cells)
        read, numbers, symbols = self.numbers.read, [], []
        for column, before in zip(self._numbers, carried.numbers, strict=False):
            value = read(cells[column.place], column.name, column.low, column.high)
            if value is None:
                value = self._instead(column, cells, before)
            numbers.append(value)
        for (place, words), last in zip(self._symbols, carried.symbols, strict=False):
            code = words.read(cells[place])
            symbols.append(self._no_word(words, last) if code is None else code)
        if self._one_hot:
            symbols.append(self._hot(cells))
        if self._spread is not None:
            numbers += self._spread_out(cells)
        targets = carried.targets
        if self._outputs:
            known = (read(cells[its.place], its.name, its.low, its.high) for its in self._targets)
            targets = [
                last if value is None else value
                for value, last in zip(known, carried.targets, strict=True)
            ]
        at, date = self._place(cells, carried)
        carried.numbers, carried.symbols, carried.targets = numbers, symbols, targets
        carried.index = carried.index if at is None else at
        if self._cycles:
            numbers = [*numbers, *_calendar(date, self._cycles)]
        return Row(numbers, symbols, targets)

    def steps(self, rows: Sequence[Row]) -> Steps:
        """Rows as a model sees them."""
        schema = self._schema
        count = len(rows)
        numbers = np.array([row.numbers for row in rows], np.float64).reshape(count, -1)
        symbols = np.array([row.symbols for row in rows], np.int64).reshape(count, -1)
        last = None
        if self._outputs:
            targets = np.array([row.targets for row in rows], np.float64)
            last = _standardised(targets, schema.numeric_targets)
        return Steps(_standardised(numbers, schema.numbers), symbols, last)

    def _instead(self, column: NumericCells, cells: Sequence[str], before: float) -> float:
        """What stands for an empty cell."""
        if not self._fill:
            raise CellError(column.name, cells[column.place], "a number")
        return before if self._fill == "ffill" else 0.0

    def _no_word(self, words: Words, before: int) -> int:
        if not self._fill:
            raise CellError(words.column.name, "", words.known)
        return before if self._fill == "ffill" else words.column.size

    def _place(
        self, cells: Sequence[str], carried: Carried
    ) -> tuple[float | None, datetime | None]:
        """The index of a line: as a number that grows, and as a date."""
        index = self._schema.index
        if self.index is None or index is None or index.kind == "words":
            return None, None
        text = cells[self.index].strip()
        if text in self.numbers.empty:
            return None, None
        at, date = read_index(text, index)
        if at is not None and carried.index is not None and at < carried.index:
            raise CellError(index.name, text, "a value not before that of the previous line")
        return at, date

    def _hot(self, cells: Sequence[str]) -> int:
        """The symbol that one of several cells stands for."""
        found = [cells[place].strip() for place in self._one_hot]
        ones = [number for number, text in enumerate(found) if text in ("1", "1.0")]
        if len(ones) != 1 or any(text not in ("0", "1", "0.0", "1.0") for text in found):
            raise CellError(
                self.names[self._one_hot[0]], ",".join(found), "a 1 in one cell and 0 in the others"
            )
        return ones[0]

    def _spread_out(self, cells: Sequence[str]) -> list[float]:
        assert self._spread is not None
        place, words = self._spread
        code = words.read(cells[place])
        if code is None:
            raise CellError(self.names[place], cells[place], words.known)
        return [float(number == code) for number in range(words.column.size)]


def names_of(cells: Sequence[str]) -> list[str]:
    """Columns' names, without spaces around them; `""` for one without a name."""
    found = [cell.strip() for cell in cells]
    return ["" if UNNAMED.fullmatch(name) else name for name in found]


def separator_of(line: str, needed: Sequence[str]) -> str:
    """The separator with which a stream's first line names most of the needed columns."""

    def named(separator: str) -> int:
        return len({cell.strip(' "#') for cell in line.split(separator)} & set(needed))

    return max([",", *(each for each in SEPARATORS if each != ",")], key=named)


def check_names(where: str, names: Sequence[str]) -> None:
    """Raises FileError where two columns have one name."""
    for name in names:
        if name and names.count(name) > 1:
            raise FileError(
                f"`{where}`, line 1: two columns are called `{name}`",
                "give each column a name of its own",
            )


def _called(prefix: str, count: int) -> list[str]:
    return [prefix] if count == 1 else [f"{prefix}_{number}" for number in range(count)]


def _first(names: Sequence[str], wanted: Sequence[str]) -> int | None:
    return next((names.index(name) for name in wanted if name in names), None)


def _standardised(values: Floats, columns: Sequence[Numeric]) -> npt.NDArray[np.float32]:
    """Numbers `[steps, columns]` as a model sees them: 0, the mean, where there is none."""
    means = np.array([column.mean for column in columns])
    scales = np.array([column.scale for column in columns])
    return np.asarray(np.nan_to_num(((values - means) / scales).astype(np.float32)), np.float32)


def _calendar(date: datetime | None, cycles: Sequence[str]) -> list[float]:
    """What a date gives as inputs: a sine and a cosine for each cycle, NaN where there is none."""
    found = []
    for cycle in cycles:
        if date is None:
            found += [math.nan, math.nan]
            continue
        angle = 2 * math.pi * _in_cycle(date, cycle) / CYCLES[cycle]
        found += [math.sin(angle), math.cos(angle)]
    return found


def _in_cycle(date: datetime, cycle: str) -> float:
    if cycle == "hour":
        seconds = date.hour * 3600 + date.minute * 60 + date.second + date.microsecond / 1e6
        return seconds / 3600
    return date.weekday() if cycle == "weekday" else date.month - 1
