"""A trained model's prediction for each line or character of a stream.

Memory does not grow with the stream: only the states of recent sequences are kept.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lstmcli.config import DataConfig
from lstmcli.data.schema import Categorical, Schema
from lstmcli.data.series import Series
from lstmcli.data.table.columns import schema_roles
from lstmcli.data.target import NumberTarget
from lstmcli.inference.cells import CellError
from lstmcli.inference.columns import Layout, Row, check_names, names_of, separator_of
from lstmcli.inference.steps import Carried, Floats, StepModel, Steps
from lstmcli.utils.terminal import escape_unprintable

AT_ONCE = 256
"""Steps per call of the model, so that its arrays fit into a processor's cache."""
MOST_SEQUENCES = 10_000
"""The most sequences whose state is kept; then the least recent one is dropped."""
PROBABILITY_DECIMALS = 7
"""As many as single precision knows."""


@dataclass(frozen=True)
class BadLine:
    """A line or a character for which nothing is predicted.

    Attributes:
        place: where it is, in words.
        why: what is wrong with it, in words.
    """

    place: str
    why: str

    def __str__(self) -> str:
        """`` `x.csv`, line 3, column `temp`: expected a number, got `warm` ``."""
        joined = ", " if self.why.startswith("column ") else ": "
        return f"{self.place}{joined}{self.why}"


Answer = str | BadLine
"""A line of the output, or why it is empty."""


class _Table:
    """The lines of the output: the index, the prediction, and columns that are passed through."""

    def __init__(self, schema: Schema) -> None:
        self._schema = schema
        target = schema.target
        self._names: list[str] | None = None
        if isinstance(target, Categorical):
            labels = (escape_unprintable(target.label(code)) for code in range(target.size))
            self._names = [_quoted(label) for label in labels]

    def header(self, first: str, kept: Sequence[str]) -> str:
        """The line that names the columns."""
        target = self._schema.target
        if isinstance(target, Categorical):
            names = [first, "prediction", "probability"]
        else:
            names = [first, *(f"prediction{end}" for end in NumberTarget(target).endings)]
        for name in kept:
            while name in names:
                name = f"file_{name}"
            names.append(name)
        return ",".join(map(_cell, names))

    def rows(self, model: StepModel, labels: Sequence[str], values: Floats) -> list[str]:
        """The lines of some steps: what each is known by, and what the model gave for it."""
        if self._names is None:
            numbers = model.in_units(values).tolist()
            return [
                f"{label},{','.join(map(repr, row))}"
                for label, row in zip(labels, numbers, strict=True)
            ]
        codes = values.argmax(1)
        chances = np.round(values[np.arange(len(codes)), codes], PROBABILITY_DECIMALS)
        names = self._names
        return [
            f"{label},{names[code]},{chance!r}"
            for label, code, chance in zip(labels, codes.tolist(), chances.tolist(), strict=True)
        ]


class LineStream:
    """A table that comes line by line; the first one names its columns.

    Args:
        model: what predicts.
        config: of the model's data: its group, its header, what becomes of empty cells.
        where: what the stream is called.
        keep: columns that are passed through.
    """

    def __init__(
        self, model: StepModel, config: DataConfig, where: str, keep: Sequence[str] = ()
    ) -> None:
        self.model, self.sequences = model, dict[str, Carried]()
        self.count = 0
        self.known: tuple[list[str], str, str | None] | None = None
        """Names, separator and decimal point of a stream that goes on, whose header may lack."""
        self._config, self._where, self._keep = config, where, keep
        self._layout: Layout | None = None
        self._line, self._current = 0, ""
        self._table = _Table(model.schema)

    @property
    def layout(self) -> Layout | None:
        """The stream's columns, as far as they are known."""
        return self._layout

    def feed(self, lines: Sequence[str], strict: bool = False) -> list[Answer]:
        """Predicts for some lines.

        Args:
            lines: without their ends.
            strict: whether the first bad line is the last that is looked at.

        Returns:
            A line of the output for each line but comments before the header; of a blank line it
            is empty.

        Raises:
            FileError: the stream lacks a column.
        """
        answers: list[Answer] = []
        waiting = _Waiting()
        for line in lines:
            self._line += 1
            if self._layout is None and not self._begin(line, answers):
                continue
            if not line or line.isspace():
                answers.append("")
                continue
            label = str(self.count)
            self.count += 1
            try:
                key, carried, cells = self._sequence(line)
                row = self._of_line().read(cells, carried)
            except CellError as error:
                answers.append(BadLine(f"`{self._where}`, line {self._line:,}", str(error)))
                if strict:
                    break
                continue
            self._keep_sequence(key, carried)
            if waiting.carried is not carried:
                self._flush(waiting, answers)
                waiting = _Waiting(carried)
            waiting.add(row, self._label(cells, label), self._kept(cells), len(answers))
            answers.append("")
        self._flush(waiting, answers)
        return answers

    def _begin(self, line: str, answers: list[Answer]) -> bool:
        """Looks at a first line; whether it is one to predict for."""
        if line.startswith("#") and not self._names_columns(line):
            return False
        if not line.strip():
            return False
        needed = self._needed()
        separator = self.known[1] if self.known else separator_of(line, needed)
        first = _split(line.lstrip("# ") if line.startswith("#") else line, separator)
        names, is_header = names_of(first), True
        if self._config.no_header:
            names, is_header = [str(place) for place in range(len(first))], False
        if self.known and not (set(names) >= set(self.known[0]) and is_header):
            names, is_header = self.known[0], False
        check_names(self._where, [name for name in names if name in needed])
        decimal = self.known[2] if self.known else None
        self._layout = Layout(
            names, self.model.schema, self._config, self._where, self._keep, separator, decimal
        )
        if is_header or not self.known:
            answers.append(self._header())
        return not is_header

    def _names_columns(self, line: str) -> bool:
        """Whether a line that begins with `#` names the columns that the model needs."""
        needed = self._needed()
        cells = names_of(_split(line.lstrip("# "), separator_of(line, needed)))
        return bool(needed) and set(needed) <= set(cells)

    def _needed(self) -> Sequence[str]:
        schema = self.model.schema
        if schema.kind == "table":
            return schema_roles(schema).inputs
        return [*(each.name for each in schema.numbers), *(each.name for each in schema.symbols)]

    def _header(self) -> str:
        index = self.model.schema.index
        layout = self._of_line()
        first = "step" if index is None or layout.index is None else index.name or "index"
        return self._table.header(first, [layout.names[place] for place in layout.keep])

    def _of_line(self) -> Layout:
        assert self._layout is not None
        return self._layout

    def _sequence(self, line: str) -> tuple[str, Carried, list[str]]:
        """The sequence that a line goes on with, by its key, and its cells."""
        layout = self._of_line()
        cells = _split(line, layout.separator)
        if len(cells) != len(layout.names):
            raise CellError(None, line, f"{len(layout.names)} cells, as the first line has")
        key = ""
        if layout.group is not None:
            key = cells[layout.group].lstrip()
            if key in layout.numbers.empty:
                name = layout.names[layout.group]
                raise CellError(name, key, "the name of a sequence")
        if layout.starts is not None:
            start = cells[layout.starts].strip()
            if start not in ("0", "1"):
                raise CellError(layout.names[layout.starts], start, "0 or 1")
            if start == "1":
                return key, self.model.begin(), cells
        return key, self.sequences.get(key) or self.model.begin(), cells

    def _keep_sequence(self, key: str, carried: Carried) -> None:
        """Keeps what a sequence carries, the newest last."""
        if key == self._current and self.sequences.get(key) is carried:
            return
        self.sequences.pop(key, None)
        self.sequences[key] = carried
        self._current = key
        if len(self.sequences) > MOST_SEQUENCES:
            del self.sequences[next(iter(self.sequences))]

    def _label(self, cells: Sequence[str], step: str) -> str:
        place = self._of_line().index
        return step if place is None else _cell(cells[place].strip())

    def _kept(self, cells: Sequence[str]) -> str:
        return "".join(f",{_cell(cells[place])}" for place in self._of_line().keep)

    def _flush(self, waiting: _Waiting, answers: list[Answer]) -> None:
        """Predicts for rows of one sequence."""
        if waiting.carried is None:
            return
        values = self.model.run(waiting.carried, self._of_line().steps(waiting.rows))
        found = self._table.rows(self.model, waiting.labels, values)
        for place, text, kept in zip(waiting.places, found, waiting.kept, strict=True):
            answers[place] = text + kept


class _Waiting:
    """Rows of one sequence that are predicted for together."""

    def __init__(self, carried: Carried | None = None) -> None:
        self.carried = carried
        self.rows: list[Row] = []
        self.labels: list[str] = []
        self.kept: list[str] = []
        self.places: list[int] = []

    def add(self, row: Row, label: str, kept: str, place: int) -> None:
        """Takes in a row, and where its answer is to stand."""
        self.rows.append(row)
        self.labels.append(label)
        self.kept.append(kept)
        self.places.append(place)


class CharacterStream:
    """A text that comes character by character, of which the next one is predicted.

    Args:
        model: what predicts.
        where: what the stream is called.
    """

    def __init__(self, model: StepModel, where: str) -> None:
        self.model, self.carried, self.count = model, model.begin(), 0
        [column] = model.schema.symbols
        self._codes = {name: code for code, name in enumerate(column.values or ())}
        self._where, self._line, self._column = where, 1, 0
        self._table = _Table(model.schema)

    def header(self) -> str:
        """The first line of the output."""
        return self._table.header("step", ())

    def feed(self, text: str, strict: bool = False) -> list[Answer]:
        """Predicts what follows on each character; arguments and result are as a line's."""
        answers: list[Answer] = []
        codes: list[int] = []
        for character in text:
            self._column += 1
            code = self._codes.get(character)
            if code is None:
                self._flush(codes, answers)
                codes = []
                answers.append(self._unknown(character))
                self.count += 1
                if strict:
                    break
            else:
                codes.append(code)
            if character == "\n":
                self._line, self._column = self._line + 1, 0
        self._flush(codes, answers)
        return answers

    def _unknown(self, character: str) -> BadLine:
        place = f"`{self._where}`, line {self._line:,}, column {self._column:,}"
        return BadLine(place, f"expected a character of the training text, got {character!r}")

    def _flush(self, codes: Sequence[int], answers: list[Answer]) -> None:
        if not codes:
            return
        symbols = np.array(codes, np.int64)[:, np.newaxis]
        values = self.model.run(self.carried, Steps(_none(len(codes)), symbols))
        labels = [str(self.count + place) for place in range(len(codes))]
        answers += self._table.rows(self.model, labels, values)
        self.count += len(codes)


def predict_series(model: StepModel, carried: Carried, series: Series, begin: int) -> list[str]:
    """The lines for some steps of a dataset of arrays, that are one sequence's.

    Args:
        model: what predicts.
        carried: what the sequence carries.
        series: the steps.
        begin: the number of the first.
    """
    values = model.run(carried, Steps(series.numbers, series.symbols.astype(np.int64)))
    labels = [str(begin + place) for place in range(len(series))]
    return _Table(model.schema).rows(model, labels, values)


def series_header(model: StepModel) -> str:
    """The first line of the output for a dataset of arrays."""
    return _Table(model.schema).header("step", ())


def _split(line: str, separator: str) -> list[str]:
    """The cells of a line.

    Raises:
        CellError: a quote is not closed in it.
    """
    if '"' not in line:
        return line.split(separator)
    if line.count('"') % 2:
        raise CellError(None, line, "quotes that are closed on the same line")
    try:
        return next(csv.reader([line], delimiter=separator, skipinitialspace=True))
    except csv.Error as error:
        raise CellError(None, line, f"a line of cells ({error})") from error


def _cell(text: str) -> str:
    """A cell of the output."""
    return _quoted(text if text.isprintable() else escape_unprintable(text))


def _quoted(text: str) -> str:
    if '"' in text or "," in text:
        doubled = text.replace('"', '""')
        return f'"{doubled}"'
    return text


def _none(steps: int) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    return np.empty((steps, 0), np.float32)
