"""From a table's columns to arrays: numbers, and words by number, each cell checked or filled."""

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
"""Up to here every whole number is a float of 64 bits; beyond, the last digits are lost."""
NOT_THERE = frozenset({"nan", "-nan", "na", "n/a", "#n/a", "<na>", "null", "none"})
"""What programs write for an empty cell: one of them in a column of numbers, a word elsewhere."""
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
"""Words that may be meant as nothing."""
TRUTH = {"true": "True", "TRUE": "True", "false": "False", "FALSE": "False"}
"""As pandas reads them, in a column that has nothing else: so in every other column too."""
LEAST_DIFFERENT = 10
"""Numbers beside which one is odd."""
DATE = re.compile(r"\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4}([T ].*)?|\d{1,2}:\d{2}(:\d{2}.*)?")
DECIMAL_COMMA = re.compile(r"[-+]?\d+,\d+")
SWAPPED = str.maketrans(",.", ".,")
THOUSANDS = re.compile(r"[-+]?\d{1,3}(,\d{3})+(\.\d+)?")


@dataclass(frozen=True)
class Column:
    """A column of a table, of which each cell was parsed once.

    Attributes:
        values: numbers, NaN where there is none; or the number of each step's word in `names`, -1
            where there is none: `[steps]`.
        names: of a column of words: these, sorted and without spaces around them.
        is_words: whether it is one.
    """

    values: npt.NDArray[Any]
    names: Sequence[str] = ()
    is_words: bool = False

    @property
    def empty(self) -> Bools:
        """Where there is none: `[steps]`."""
        return np.asarray(self.values < 0 if self.is_words else np.isnan(self.values))

    def at(self, steps: slice | Codes) -> Column:
        """Some of its steps."""
        return replace(self, values=self.values[steps])

    def filled(self, sequences: Sequences) -> Column:
        """As `sequences.filled` has it."""
        return replace(self, values=filled(self.values, self.empty, sequences.begins))

    def ahead(self, horizon: int, sequences: Sequences) -> Column:
        """As `sequences.ahead` has it."""
        nothing = -1 if self.is_words else np.nan
        return replace(self, values=ahead(self.values, horizon, sequences.ends, nothing))


def numbers(table: Table, name: str) -> Floats:
    """A column of numbers, NaN where a cell is empty: `[steps]`.

    Raises:
        FileError: a cell is no number, or no finite one of 32 bits.
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
    # Both ignore NaN, and are far quicker than a mask.
    if not (np.fmin.reduce(values) >= -LARGEST and np.fmax.reduce(values) <= LARGEST):
        _check_size(table, name, values)
    return values


def lost_digits(table: Table, name: str, values: Floats) -> list[str]:
    """Says of a column of whole numbers that not all of their digits are read.

    Numbers with a point or an exponent are what they are: a Parquet file or pandas has them as
    floats already; floats with an empty cell may have been whole numbers.

    Args:
        table: it.
        name: the column.
        values: as `numbers` has them; its empty cells may be filled.
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
    """A column of words, also where they are numbers or truth values; it is read once.

    Raises:
        FileError: its cells are neither.
    """
    if name not in table.parsed:
        table.parsed[name] = Column(*_words(table, name), is_words=True)
    found: Column = table.parsed[name]
    return found


def _words(table: Table, name: str) -> tuple[Codes, list[str]]:
    import pandas as pd

    try:
        codes, found = pd.factorize(table.frame[name])
    except TypeError as error:  # Lists and the like have no hash.
        raise _no_cells(table, name) from error
    named = np.array([_name(value) for value in found] or [""], dtype=object)
    if len(longest := max(named, key=len)) > LONGEST_CELL:
        raise table.too_long(int(np.argmax(codes == np.flatnonzero(named == longest)[0])), name)
    damaged = np.array(["\0" in word for word in named])
    if damaged.any():  # Some readers take a zero byte for a text's end: `1\0` is not 1.
        step = int(np.argmax(damaged[codes] & (codes >= 0)))
        raise table.error(step, name, "text", "save the file again: it contains zero bytes")
    names, merged = np.unique(named, return_inverse=True)
    codes = np.append(merged, -1)[codes]
    if names[0] == "":  # Nothing but spaces between quotes.
        names, codes = names[1:], np.maximum(codes - 1, -1)
    return codes.astype(np.int64), names.tolist()


def is_categorical(table: Table, name: str) -> bool:
    """Whether a column that nobody said anything of holds words.

    Raises:
        FileError: it holds dates, or both numbers and words, or numbers that are not written as
            such.
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
    """Words in order; by their size where all are numbers."""
    parsed = _parsed(names)
    if np.isnan(parsed).any():
        return sorted(names)
    return [names[place] for place in np.argsort(parsed, kind="stable")]


def not_there(names: Sequence[str]) -> npt.NDArray[np.bool_]:
    """Which words are what programs write for an empty cell."""
    return np.array([name.lower() in NOT_THERE for name in names], bool)


def mostly_numbers(column: Any, decimal: str) -> bool:
    """Whether most cells of a column of words are numbers, or would be but for their commas."""
    found = list(map(str, column))
    return bool(2 * np.count_nonzero(np.isnan(_parsed(found, decimal))) < len(found))


def odd_number(values: Floats) -> float | None:
    """A number that stands several times and farther from all others than these lie apart.

    Such a one, -999 say, is often meant as an empty cell.
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
    """Words as numbers, NaN where they are none; with thousands parted, or with decimal commas.

    What could be either, `1,234` say, is thousands where the file's numbers have points, unless
    another word of the column can only have a decimal comma.
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
    """A value as a word: 3.0 is `3`, as a column with an empty cell has floats of whole numbers."""
    whole = isinstance(value, kinds.Real) and not isinstance(value, bool) and value == value // 1
    word = str(int(value)) if whole else str(value).strip()
    return TRUTH.get(word, word)


def _check_size(table: Table, name: str, values: Floats) -> None:
    """Refuses infinities and what 32 bits cannot hold."""
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
    """Whether a Parquet column has decimal numbers, which have a type of their own."""
    there = column.dropna()
    return bool(column.dtype.kind == "O" and len(there) and hasattr(there.iloc[0], "as_tuple"))


def _separated(word: str) -> bool:
    return bool(DECIMAL_COMMA.fullmatch(word) or THOUSANDS.fullmatch(word))


def _instead(name: str, word: str) -> tuple[str, str]:
    """What was expected instead of a word, and what to do."""
    names = (
        f"if it stands for nothing, pass `--na-values {shell_quote(word)}`; if the column's "
        "numbers "
        f"are names, `--categorical {shell_quote(name)}`"
    )
    return "a number", f"correct the cell; {names}"


MOST_EMPTY = 0.2
"""Share of a column's cells that may be empty without a word on what they become."""


@dataclass(frozen=True)
class Filling:
    """Reads a table's inputs, fills their empty cells, and counts them.

    Attributes:
        table: it.
        sequences: where its sequences lie: nothing is filled from one into the next.
        missing: `ffill`, `zero`, or `None` where nothing is said: then `ffill`, but not for much.
        strict: whether that much is refused.
        counts: how many cells of each column were empty.
    """

    table: Table
    sequences: Sequences
    missing: str | None
    strict: bool
    counts: dict[str, int] = field(default_factory=dict)

    def numbers(self, name: str) -> Floats:
        """A column of numbers, NaN where nothing is known yet: `[steps]`.

        Raises:
            FileError: a cell is no number, or too many are empty.
        """
        found = numbers(self.table, name)
        empty = np.isnan(found)
        if not self._count(name, empty):
            return found
        if self.missing == "zero":
            return np.where(empty, 0.0, found)
        return filled(found, empty, self.sequences.begins)

    def words(self, name: str) -> Column:
        """A column of words, -1 where nothing is known yet.

        Raises:
            FileError: too many cells are empty.
        """
        found = words(self.table, name)
        if not self._count(name, found.empty) or self.missing == "zero":
            return found
        return found.filled(self.sequences)

    def notes(self) -> list[str]:
        """Says how many cells of which columns were filled, if any."""
        if not self.counts:
            return []
        columns = ", ".join(f"`{name}` {count:,}" for name, count in self.counts.items())
        how = "with 0" if self.missing == "zero" else "with the last value before them"
        return [f"empty input cells are filled {how}: {columns}"]

    def _count(self, name: str, empty: Bools) -> int:
        """Counts empty cells, and refuses a column of which much or all is."""
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
