"""A cell of a line as a model sees it: a number, a word or a date, read without pandas.

The rules for empty cells, numbers and words are those of `data/table`, for one cell at a time.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import UTC, datetime

import numpy as np

from lstmcli.data.schema import Categorical, Index
from lstmcli.data.table.files import COMMA, MISSING, POINT
from lstmcli.data.table.values import DECIMAL_COMMA, LARGEST, NOT_THERE, SWAPPED, THOUSANDS, TRUTH

EMPTY = frozenset(
    {
        *("", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND"),
        *("1.#QNAN", "<NA>", "N/A", "NA", "NULL", "NaN", "None", "n/a", "nan", "null"),
    }
)
"""What pandas takes for an empty cell."""
SHOWN = 60
"""Characters of a cell that an error quotes."""


class CellError(Exception):
    """A cell that is not what its column holds.

    Args:
        column: its name; `None` for the whole line.
        value: what it has.
        expected: what was expected there, in words.
    """

    def __init__(self, column: str | None, value: str, expected: str) -> None:
        super().__init__(expected)
        self.column, self.value, self.expected = column, value, expected

    def __str__(self) -> str:
        """`column `temp`: expected a number, got `warm``."""
        where = "" if self.column is None else f"column `{self.column}`: "
        shown = self.value if len(self.value) <= SHOWN else f"{self.value[:SHOWN]}..."
        got = f"`{shown}`" if self.value.strip() else "an empty cell"
        return f"{where}expected {self.expected}, got {got}"


class Numbers:
    """How the numbers of a stream are written.

    Args:
        missing: further texts that the user says stand for an empty cell.
        separator: of columns; unless it is the comma, commas may be decimal points.
        decimal: the decimal point, if it is known already.
    """

    def __init__(self, missing: Iterable[str], separator: str, decimal: str | None = None) -> None:
        self.empty = EMPTY | set(MISSING) | set(missing)
        self._empty_numbers = {number for word in missing if (number := _float(word)) is not None}
        self._plain = separator == ","
        self.decimal = "." if self._plain else decimal

    def look(self, cells: Iterable[str]) -> None:
        """Detects the decimal point from a line, if it is not known yet."""
        if self.decimal is None:
            texts = [cell.strip() for cell in cells]
            if any(map(POINT.fullmatch, texts)):
                self.decimal = "."
            elif any(map(COMMA.fullmatch, texts)):
                self.decimal = ","

    def read(self, text: str, column: str, low: float, high: float) -> float | None:
        """The number in a cell; `None` for an empty one.

        Args:
            text: the cell.
            column: its name, for errors.
            low: it must not be below this.
            high: nor above this.

        Raises:
            CellError: it is none.
        """
        try:
            if not self._plain or "_" in text:
                raise ValueError
            value = float(text)
        except ValueError:
            found = self._odd(text, column)
            if found is None:
                return None
            value = found
        if low <= value <= high:
            return None if value in self._empty_numbers else value
        if value != value and text.strip().lower() in NOT_THERE:
            return None
        raise CellError(column, text, "a number like those of the training part")

    def _odd(self, text: str, column: str) -> float | None:
        """A number that Python does not read as it stands."""
        if text.lstrip() in self.empty or (word := text.strip()).lower() in NOT_THERE:
            return None
        if self.decimal == ",":
            turned = word.translate(SWAPPED)
            if DECIMAL_COMMA.fullmatch(word) or THOUSANDS.fullmatch(turned):
                word = turned.replace(",", "")
        value = _float(word)
        if value is None:
            written = ", written as in 1234.5" if "," in text else ""
            raise CellError(column, text, f"a number{written}")
        return value


def bounds(mean: float, scale: float) -> tuple[float, float]:
    """The range of a column's numbers that 32 bits can hold, standardised too."""
    reach = min(LARGEST * 0.999 * scale, LARGEST)
    return max(-LARGEST, mean - reach), min(LARGEST, mean + reach)


class Words:
    """The words of a column, by number.

    Args:
        column: with its vocabulary, whose numbers are the words where it has no names.
        empty: what stands for an empty cell.
    """

    def __init__(self, column: Categorical, empty: frozenset[str] | set[str]) -> None:
        names = column.values or tuple(map(str, range(column.size)))
        self._codes = {name: number for number, name in enumerate(names)}
        self.column, self._empty = column, empty
        words = ", ".join(f"`{column.label(code)}`" for code in range(min(5, column.size)))
        more = " and so on" if column.size > 5 else ""
        self.known = f"one of the training part's words ({words}{more})"

    def read(self, text: str) -> int | None:
        """The number of the word in a cell; `None` for an empty one.

        Raises:
            CellError: the training part does not have it.
        """
        code = self._codes.get(text)
        if code is not None and text not in self._empty:
            return code
        word = text.strip()
        if word == "" or text.lstrip() in self._empty:
            return None
        code = self._codes.get(TRUTH.get(word, word))
        if code is None and self.column.values is None:
            number = _float(word)
            if number is not None and 0 <= number <= self.column.size and number == int(number):
                return int(number)  # The vocabulary's size is an unknown value, as in files.
        if code is None:
            raise CellError(self.column.name, text, self.known)
        return code


LOOSE_DATE = re.compile(r"(\d{4})([-/. ])(\d\d?)(?:\2(\d\d?))?(?:[ T](\d\d?)(.*))?")
"""What pandas takes for ISO 8601 beyond what Python does: other separators and single digits."""


def _strict(text: str) -> str:
    """A date that pandas takes for ISO 8601, as Python takes it."""
    if not (found := LOOSE_DATE.fullmatch(text.strip())):
        return text
    year, _, month, day, hour, rest = found.groups()
    date = f"{year}-{int(month):02}-{int(day or 1):02}"
    return date if hour is None else f"{date}T{int(hour):02}{rest}"


def read_date(text: str, how: str | None) -> datetime:
    """The date in a cell, without a time zone: in UTC where one was written.

    Args:
        text: the cell.
        how: how it is written, as `pandas.to_datetime` takes it; `None` for ISO 8601.

    Raises:
        ValueError: it is none.
    """
    if how in (None, "ISO8601"):
        try:
            found = datetime.fromisoformat(_strict(text))
        except ValueError:  # Years alone.
            item = np.datetime64(text, "us").item() if text[:1].isdigit() else None
            if not isinstance(item, datetime):
                raise
            found = item
    else:
        found = datetime.strptime(text, how)
    return found if found.tzinfo is None else found.astimezone(UTC).replace(tzinfo=None)


def read_index(text: str, index: Index) -> tuple[float | None, datetime | None]:
    """A value of the index as a number that can be compared, and as a date if it is one.

    Raises:
        CellError: it is not what the index of the training part has.
    """
    try:
        if index.kind == "dates":
            date = read_date(text, index.format)
            return (date - datetime(1970, 1, 1)).total_seconds(), date
        return (float(text) if index.kind == "numbers" else None), None
    except (ValueError, OverflowError) as error:
        raise CellError(index.name or "index", text, _like(index)) from error


def _like(index: Index) -> str:
    """What a cell of the index holds, in words."""
    if index.kind != "dates":
        return "a number"
    example = datetime(2021, 12, 31, 23, 59, tzinfo=UTC)
    shown = example.strftime(index.format) if index.format and "%" in index.format else None
    return f"a date written as in the training part, such as `{shown or example.date()}`"


def _float(word: str) -> float | None:
    try:
        return None if "_" in word else float(word)
    except ValueError:
        return None
