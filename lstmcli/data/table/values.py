"""Table columns as arrays: numbers, and codes of words; each cell is checked or filled."""

from __future__ import annotations

import datetime
import numbers as kinds
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from lstmcli.data.bounded import LONGEST_CELL
from lstmcli.data.series import Bools
from lstmcli.data.table.files import Table
from lstmcli.data.table.sequences import Sequences, ahead, filled
from lstmcli.utils.errors import FileError, shell_quote

Floats = npt.NDArray[np.float64]
Codes = npt.NDArray[np.int64]

LARGEST = float(np.finfo(np.float32).max)
EXACT = 2.0**53
"""All whole numbers up to this are exact as 64-bit floats."""
NOT_THERE = frozenset({"nan", "-nan", "na", "n/a", "#n/a", "<na>", "null", "none"})
"""What programs write for an empty cell: treated so in a numeric column, as a word elsewhere."""
ODD = NOT_THERE | {
    *(
        "unknown",
        "unk",
        "missing",
        "undefined",
        "undef",
        "not available",
        "no data",
        "nodata",
        "nil",
    ),
    *("n.a.", "na.", "void", "blank", "empty", ".", "..", "*", "**", "--", "---", "??", "???", "_"),
}
"""Words that may stand for an empty cell."""
TRUTH = {"true": "True", "TRUE": "True", "false": "False", "FALSE": "False"}
"""Spellings that pandas reads as a truth value in a column of nothing else; the same in all
columns."""
LEAST_DIFFERENT = 10
"""An outlier is reported only beside at least this many different numbers."""
DATE = re.compile(r"\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4}([T ].*)?|\d{1,2}:\d{2}(:\d{2}.*)?")
DECIMAL_COMMA = re.compile(r"[-+]?\d+,\d+")
SWAPPED = str.maketrans(",.", ".,")
THOUSANDS = re.compile(r"[-+]?\d{1,3}(,\d{3})+(\.\d+)?")


@dataclass(frozen=True)
class Column:
    """A parsed column of a table.

    Attributes:
        values: numbers, NaN where there is none; or each step's code in `names`, -1 where there is
            none: `[steps]`.
        names: the words of a text column, sorted and without surrounding spaces.
        is_words: whether it is a text column.
    """

    values: npt.NDArray[Any]
    names: Sequence[str] = ()
    is_words: bool = False

    @property
    def empty(self) -> Bools:
        """Whether a cell is empty: `[steps]`."""
        return np.asarray(self.values < 0 if self.is_words else np.isnan(self.values))

    def at(self, steps: slice | Codes) -> Column:
        """The column at some steps."""
        return replace(self, values=self.values[steps])

    def filled(self, sequences: Sequences) -> Column:
        """The column filled by `sequences.filled`."""
        return replace(self, values=filled(self.values, self.empty, sequences.begins))

    def ahead(self, horizon: int, sequences: Sequences) -> Column:
        """The column shifted by `sequences.ahead`."""
        nothing = -1 if self.is_words else np.nan
        return replace(self, values=ahead(self.values, horizon, sequences.ends, nothing))


def numbers(table: Table, name: str) -> Floats:
    """A numeric column, NaN where a cell is empty: `[steps]`.

    Raises:
        FileError: a cell is not a number, or not finite in 32 bits.
    """
    column = table.frame[name]
    if column.dtype.kind in "iuf":
        values: Floats = column.to_numpy(np.float64, na_value=np.nan)
    else:
        found = words(table, name)
        parsed = _parsed(found.names, table.dialect.decimal)
        wrong = np.isnan(parsed) & ~not_there(found.names)
        if wrong.any():
            step = int(np.flatnonzero(wrong[found.values] & ~found.empty)[0])
            raise table.error(step, name, *_instead(name, found.names[found.values[step]]))
        values = np.append(parsed, np.nan)[found.values]
    # Both ignore NaN, and are much faster than a mask.
    if not (np.fmin.reduce(values) >= -LARGEST and np.fmax.reduce(values) <= LARGEST):
        _check_size(table, name, values)
    return values


def lost_digits(table: Table, name: str, values: Floats) -> list[str]:
    """The note on a column of whole numbers whose last digits are lost.

    Numbers with a point or an exponent are taken as they are, as are floats in a Parquet file or in
    pandas; but floats with an empty cell may have been whole numbers.

    Args:
        table: the table.
        name: the column.
        values: the result of `numbers`; its empty cells may be filled.
    """
    column = table.frame[name]
    if not (np.fmax.reduce(values) > EXACT or np.fmin.reduce(values) < -EXACT):
        return []
    is_whole = np.isnan(values) | (values == np.rint(values))
    if (column.dtype.kind == "f" and not column.hasnans) or not is_whole.all():
        return []
    return [
        f"column `{name}` of `{table.path}` has whole numbers above 2^53 "
        f"({int(EXACT):,}), whose last digits are lost; if they are names, pass "
        f"`--categorical {shell_quote(name)}`"
    ]


def words(table: Table, name: str) -> Column:
    """A column of words, which may be numbers or truth values; parsed once.

    Raises:
        FileError: its cells are of another type.
    """
    if name not in table.parsed:
        table.parsed[name] = Column(*_words(table, name), is_words=True)
    found: Column = table.parsed[name]
    return found


def _words(table: Table, name: str) -> tuple[Codes, list[str]]:
    import pandas as pd

    try:
        codes, found = pd.factorize(table.frame[name])
    except TypeError as error:  # Lists and the like are not hashable.
        raise _no_cells(table, name) from error
    named = np.array([_name(value) for value in found] or [""], dtype=object)
    if len(longest := max(named, key=len)) > LONGEST_CELL:
        raise table.too_long(int(np.argmax(codes == np.flatnonzero(named == longest)[0])), name)
    damaged = np.array(["\0" in word for word in named])
    if damaged.any():  # Some readers end a text at a zero byte: `1\0` is not 1.
        step = int(np.argmax(damaged[codes] & (codes >= 0)))
        raise table.error(step, name, "text", "save the file again: it contains zero bytes")
    names, merged = np.unique(named, return_inverse=True)
    codes = np.append(merged, -1)[codes]
    if names[0] == "":  # Only spaces between quotes.
        names, codes = names[1:], np.maximum(codes - 1, -1)
    return codes.astype(np.int64), names.tolist()


def is_categorical(table: Table, name: str) -> bool:
    """Whether a column without an explicit role is categorical.

    Raises:
        FileError: it holds dates, both numbers and words, or numbers in an unknown format.
    """
    column = table.frame[name]
    if column.dtype.kind in "iufb":
        return bool(column.dtype.kind == "b")
    names = words(table, name).names
    _check_dates(table, name, names)
    if not table.is_text:
        return not _are_decimals(column)
    is_number = ~np.isnan(_parsed(names, table.dialect.decimal))
    if is_number.any():  # Then all must be.
        numbers(table, name)
        return False
    return True


def by_size(names: Sequence[str]) -> list[str]:
    """Words in order; by value if all are numbers."""
    parsed = _parsed(names)
    if np.isnan(parsed).any():
        return sorted(names)
    return [names[place] for place in np.argsort(parsed, kind="stable")]


def not_there(names: Sequence[str]) -> npt.NDArray[np.bool_]:
    """Which words are written by programs for an empty cell."""
    return np.array([name.lower() in NOT_THERE for name in names], bool)


def mostly_numbers(column: Any, decimal: str) -> bool:
    """Whether most cells of a text column are numbers, allowing commas in them."""
    found = list(map(str, column))
    return bool(2 * np.count_nonzero(np.isnan(_parsed(found, decimal))) < len(found))


def odd_number(values: Floats) -> float | None:
    """A number that occurs several times and is farther from all others than their whole range.

    Such a number, for example -999, often stands for an empty cell.
    """
    there = values[~np.isnan(values)]
    if len(there) == 0:
        return None
    for extreme in (there.min(), there.max()):
        rest = there[there != extreme]
        if len(rest) + 1 >= len(there) or len(rest) == 0:
            continue
        low, high = rest.min(), rest.max()
        far = min(abs(extreme - low), abs(extreme - high)) > high - low
        if far and len(np.unique(rest)) >= LEAST_DIFFERENT:
            return float(extreme)
    return None


def _parsed(names: Sequence[str], decimal: str = ".") -> Floats:
    """Words as numbers, NaN where they are none; commas may be thousands or decimal separators.

    An ambiguous number such as `1,234` has a thousands separator if the file's numbers have points,
    unless another word of the column can only have a decimal comma.
    """
    import pandas as pd

    if decimal == ",":
        swapped = [word.translate(SWAPPED) for word in names]
        names = [
            turned.replace(",", "")
            if DECIMAL_COMMA.fullmatch(word) or THOUSANDS.fullmatch(turned)
            else word
            for word, turned in zip(names, swapped, strict=True)
        ]
    apart = [name for name in names if _separated(name)]
    if apart:
        commas = any(not THOUSANDS.fullmatch(name) for name in apart)
        mark = "." if commas else ""
        names = [name.replace(",", mark) if _separated(name) else name for name in names]
    parsed: Floats = pd.to_numeric(pd.Series(names, dtype=object), errors="coerce").to_numpy(float)
    return parsed


def _name(value: Any) -> str:
    """A value as a word: 3.0 is `3`, since whole numbers become floats if a cell is empty."""
    whole = isinstance(value, kinds.Real) and not isinstance(value, bool) and value == value // 1
    word = str(int(value)) if whole else str(value).strip()
    return TRUTH.get(word, word)


def _check_size(table: Table, name: str, values: Floats) -> None:
    """Raises FileError for infinities and for numbers that do not fit in 32 bits."""
    large = np.abs(values) > LARGEST
    if large.any():
        raise table.error(
            int(large.argmax()),
            name,
            "a finite 32-bit number (below 3.4e38)",
            "correct it, or leave the cell empty and choose its value with `--missing`",
        )


def _check_dates(table: Table, name: str, names: Sequence[str]) -> None:
    column = table.frame[name]
    first = column.dropna().iloc[0] if column.dtype.kind == "O" and len(names) else None
    by_type = column.dtype.kind in "Mm" or isinstance(first, (datetime.date, datetime.time))
    if by_type or (names and all(map(DATE.fullmatch, names[:100]))):
        step = int(np.argmax(column.notna().to_numpy()))
        raise table.error(
            step,
            name,
            "a number or a word, not a date or a time",
            f"turn it into numbers (the hour, the weekday, seconds), or {leave_out(table, name)}",
        )


def leave_out(table: Table, name: str) -> str:
    """How to leave a column out, in words."""
    others = ",".join(column for column in table.columns if column not in ("", name))
    return f"leave it out: `--inputs` with some of `{others}`"


def _no_cells(table: Table, name: str) -> FileError:
    return FileError(
        f"`{table.path}`, column `{name}`: expected numbers or words, got lists or the like",
        leave_out(table, name),
    )


def _are_decimals(column: Any) -> bool:
    """Whether a Parquet column has the decimal type."""
    there = column.dropna()
    return bool(column.dtype.kind == "O" and len(there) and hasattr(there.iloc[0], "as_tuple"))


def _separated(word: str) -> bool:
    return bool(DECIMAL_COMMA.fullmatch(word) or THOUSANDS.fullmatch(word))


def _instead(name: str, word: str) -> tuple[str, str]:
    """What was expected instead of a word, and a hint."""
    names = (
        f"if it stands for nothing, pass `--na-values {shell_quote(word)}`; if the column's "
        "numbers "
        f"are names, `--categorical {shell_quote(name)}`"
    )
    return "a number", f"correct the cell; {names}"


MOST_EMPTY = 0.2
"""Fraction of empty cells in a column up to which they are filled unless an option is given."""


@dataclass(frozen=True)
class Filling:
    """Reads a table's inputs, fills their empty cells, and counts these.

    Attributes:
        table: the table.
        sequences: the bounds of its sequences; nothing is filled from one into the next.
        missing: `ffill`, `zero`, or `None` if not given: `ffill`, but only for a few cells.
        strict: whether more empty cells are refused in that case.
        counts: the number of empty cells of each column.
    """

    table: Table
    sequences: Sequences
    missing: str | None
    strict: bool
    counts: dict[str, int] = field(default_factory=dict)

    def numbers(self, name: str) -> Floats:
        """A numeric column, NaN where no value is known yet: `[steps]`.

        Raises:
            FileError: a cell is not a number, or too many are empty.
        """
        found = numbers(self.table, name)
        empty = np.isnan(found)
        if not self._count(name, empty):
            return found
        if self.missing == "zero":
            return np.where(empty, 0.0, found)
        return filled(found, empty, self.sequences.begins)

    def words(self, name: str) -> Column:
        """A text column, -1 where no value is known yet.

        Raises:
            FileError: too many cells are empty.
        """
        found = words(self.table, name)
        if not self._count(name, found.empty) or self.missing == "zero":
            return found
        return found.filled(self.sequences)

    def notes(self) -> list[str]:
        """Notes on how many cells of which columns were filled."""
        if not self.counts:
            return []
        columns = ", ".join(f"`{name}` {count:,}" for name, count in self.counts.items())
        how = "with 0" if self.missing == "zero" else "with the last value before them"
        return [f"empty input cells are filled {how}: {columns}"]

    def _count(self, name: str, empty: Bools) -> int:
        """Counts empty cells; refuses a column if too many or all of its cells are empty."""
        count = int(np.count_nonzero(empty))
        if count == len(empty):
            raise FileError(
                f"`{self.table.path}`, column `{name}`: it has no value in any row",
                f"leave it out: name the other columns in `--inputs`, without `{name}`",
            )
        share = count / len(empty)
        if self.strict and self.missing is None and share > MOST_EMPTY:
            raise FileError(
                f"`{self.table.path}`, column `{name}`: {count:,} of {len(empty):,} cells "
                f"({share:.0%}) are empty, which is more than is filled without being asked",
                "`--missing ffill` fills them with the last value before them, `--missing zero` "
                f"with 0; or leave it out: `--inputs` without `{name}`",
            )
        if count:
            self.counts[name] = count
        return count
