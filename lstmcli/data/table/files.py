"""Table files: reads them with pandas, checks their shape, and locates cells for errors.

The format of a CSV file is guessed from its first lines if its columns are not separated by commas.
"""

from __future__ import annotations

import csv
import gzip
import re
import warnings
import zlib
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice, takewhile
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from lstmcli.data import bounded, decoding
from lstmcli.utils.errors import FileError, LstmcliError, UsageError

if TYPE_CHECKING:
    import pandas as pd

SEPARATORS = {"\t": "tabs", ";": "semicolons", "|": "bars", ",": "commas"}
LOOKED_AT = 30
"""Lines that are used to guess the format."""
LONGEST = 1 << 16
"""Characters of a line that are looked at."""
ALIKE = 0.8
"""Fraction of the lines that must have as many cells as the first."""
NUMBER = re.compile(r"[-+]?[\d.,]+([eE][-+]?\d+)?")
COMMA, POINT = re.compile(r"[-+]?\d+,\d+"), re.compile(r"[-+]?\d+\.\d+")


@dataclass(frozen=True)
class Dialect:
    """The format of a CSV file.

    Attributes:
        separator: the column separator.
        decimal: the decimal mark.
        comments: the number of comment lines, which begin with `#`, before the first row.
        header: whether the first line names the columns.
        encoding: the text encoding; `None` for UTF-8.
        marked: whether the line that names the columns begins with `#`.
    """

    separator: str = ","
    decimal: str = "."
    comments: int = 0
    header: bool = True
    encoding: str | None = None
    marked: bool = False

    def skip(self, file: IO[str]) -> None:
        """Skips the comment lines."""
        for _ in range(self.comments):
            file.readline()

    def notes(self) -> list[str]:
        """Notes on what was guessed."""
        found = []
        if self.separator != ",":
            found.append(f"columns are taken to be separated by {SEPARATORS[self.separator]}")
        if self.decimal != ".":
            found.append("commas in numbers are taken for decimal points")
        if self.marked:
            found.append("the line that begins with `#` is taken for the columns' names")
        if self.comments:
            found.append(f"{self.comments:,} comment lines are skipped")
        return [", ".join(found)] if found else []


def guess_dialect(file: IO[str], known: Dialect) -> Dialect:
    """Guesses the format of a CSV file.

    Args:
        file: the file, at its beginning.
        known: what is not guessed: the encoding, and whether the first line names the columns.
    """
    lines = list(islice(iter(lambda: file.readline(LONGEST), ""), LOOKED_AT))
    comments = len(list(takewhile(lambda line: line.startswith("#"), lines)))
    last = lines[comments - 1 : comments]
    lines = [line for line in lines[comments:] if line.strip()]
    for separator in SEPARATORS:
        rows = _split_rows(lines, separator)
        if len(rows) < ALIKE * len(lines) and separator != ",":
            continue  # A quote in a cell would swallow the lines below.
        width = len(rows[0]) if rows else 0
        alike = sum(len(row) == width for row in rows)
        if width > 1 and alike >= ALIKE * len(rows):
            marked = known.header and _names(last, rows[0], separator)
            decimal = "." if separator == "," else _decimal(rows[known.header - marked :])
            return replace(
                known,
                separator=separator,
                decimal=decimal,
                comments=comments - marked,
                marked=marked,
            )
    return replace(known, comments=comments)


def _split_rows(lines: Iterable[str], separator: str) -> list[list[str]]:
    try:
        return list(csv.reader(lines, delimiter=separator, skipinitialspace=True))
    except csv.Error:
        return []


def _names(last: list[str], first: list[str], separator: str) -> bool:
    """Whether the last comment line names the columns of numbers below it."""
    names = [cell.strip("# \t\n") for row in _split_rows(last, separator) for cell in row]
    return (
        len(names) == len(first)
        and all(map(NUMBER.fullmatch, map(str.strip, first)))
        and not any(map(NUMBER.fullmatch, names))
    )


def _decimal(rows: list[list[str]]) -> str:
    """`,` if numbers have commas and none has a point; otherwise `.`."""
    cells = [cell.strip() for row in rows for cell in row]
    commas = any(map(COMMA.fullmatch, cells))
    return "," if commas and not any(map(POINT.fullmatch, cells)) else "."


FORMATS = (".csv", ".csv.gz", ".tsv", ".parquet")
EXAMPLE = "a table's first line names its columns, and each line below is a step: `temp,target`"
UNNAMED = re.compile(r"|Unnamed: \d+|__index_level_\d+__")
"""Names that pandas gives to an index without a name, in a CSV and in a Parquet file."""
CHUNK = 1 << 20
DEFAULT = Dialect()
MISSING = ("?", "-", "<UNK>")
"""Marks of an empty cell, besides those of pandas (`NA`, `nan`, `null` and others)."""


@dataclass(frozen=True)
class Table:
    """A table as its file has it.

    Attributes:
        path: the file.
        frame: its columns, by their names without surrounding spaces.
        rows: the row in the file of each step, `[steps]`; `None` if they are in the file's order.
        dialect: the format of a CSV file.
        pieces: the tables of several files, whose rows are concatenated here.
        beside: columns from another table: that table, and its row for each step, `[steps]`.
        parsed: a cache of the columns that `values.words` has read.
    """

    path: Path
    frame: pd.DataFrame
    rows: npt.NDArray[np.int64] | None = None
    dialect: Dialect = DEFAULT
    pieces: tuple[Table, ...] = ()
    beside: Mapping[str, tuple[Table, npt.NDArray[np.int64]]] = field(default_factory=dict)
    parsed: dict[str, Any] = field(default_factory=dict, init=False, compare=False, repr=False)

    @property
    def is_text(self) -> bool:
        """Whether column types are guessed from text, as in CSV."""
        return self.pieces[0].is_text if self.pieces else self.path.suffix != ".parquet"

    @property
    def file_rows(self) -> npt.NDArray[np.int64]:
        """The row in its file of each step, from 0: `[steps]`."""
        rows = np.arange(len(self)) if self.rows is None else self.rows
        return rows - self._begins[self._piece_of(rows)] if self.pieces else rows

    @property
    def columns(self) -> list[str]:
        """The column names, in the file's order; `""` for a column without a name."""
        return list(self.frame.columns)

    def __len__(self) -> int:
        return len(self.frame)

    def ordered(self, order: npt.NDArray[np.int64]) -> Table:
        """The same table with its rows in another order."""
        rows = order if self.rows is None else self.rows[order]
        return replace(self, frame=self.frame.iloc[order], rows=rows)

    def notes(self) -> list[str]:
        """Notes on the guessed format of the file."""
        return [f"`{self.path}`: {note}" for note in self.dialect.notes()]

    def too_long(self, step: int, column: str) -> FileError:
        """The error for a cell that is too long."""
        table, row = self._origin(step, column)
        if not table.is_text:
            return bounded.too_long(f"`{table.path}`, row {row + 1} (from 1 on), column `{column}`")
        # This finds the line and raises.
        _csv_cell(table.path, row, table.columns.index(column), table.dialect)
        raise AssertionError("pandas and csv read a cell differently")

    def error(self, step: int, column: str, expected: str, hint: str) -> FileError:
        """The error for a cell; line numbers are those of an editor, and the header is line 1."""
        table, row = self._origin(step, column)
        if table.is_text:
            line, value = _csv_cell(table.path, row, table.columns.index(column), table.dialect)
            place = f"line {line}"
        else:
            place, value = f"row {row + 1} (from 1 on)", _shown(self.frame[column].iloc[step])
        got = f"`{value}`" if value.strip() else "an empty cell"
        return FileError(
            f"`{table.path}`, {place}, column `{column}`: expected {expected}, got {got}", hint
        )

    def _origin(self, step: int, column: str) -> tuple[Table, int]:
        """The table of the file that contains a cell, and the cell's row there."""
        if column in self.beside:
            table, rows = self.beside[column]
            return table, int(rows[step])
        row = step if self.rows is None else int(self.rows[step])
        if not self.pieces:
            return self, row
        piece = int(self._piece_of(np.array(row)))
        return self.pieces[piece], row - int(self._begins[piece])

    @property
    def _begins(self) -> npt.NDArray[np.int64]:
        """The first row of each piece: `[pieces]`."""
        return np.cumsum([0, *map(len, self.pieces[:-1])])

    def _piece_of(self, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        return np.searchsorted(self._begins, rows, side="right") - 1


class Head(NamedTuple):
    """What is known of a table before its rows are read.

    Attributes:
        names: the column names, without surrounding spaces; `""` for a column without a name.
        dialect: the format of a CSV file.
    """

    names: list[str]
    dialect: Dialect


def read_head(path: Path, known: Dialect = DEFAULT) -> Head:
    """Reads the names of a table's columns and its format.

    Args:
        path: the file; its extension gives the file type.
        known: what is not guessed of a CSV file: the encoding, and whether the first line has the
            names; otherwise they are `0`, `1`, …

    Raises:
        UsageError: the extension is not that of a table.
        FileError: the file is missing or damaged, or its first line does not name columns.
    """
    if not path.name.endswith(FORMATS):
        raise UsageError(
            f"a table's name ends in {', '.join(FORMATS)}, got `{path.name}`",
            "rename it, or save it as one of these",
        )
    if not path.is_file():
        why = "it is a directory" if path.is_dir() else "there is no such file"
        if path.exists() and not path.is_dir():
            why = "it is not a regular file"
        raise FileError(f"cannot read the table `{path}`: {why}", "name the file of a table")
    dialect = _dialect(path, known)
    names = _guarded(path, known, lambda path: _raw_names(path, dialect))
    names = [name.strip() for name in names]
    if names and not dialect.header:
        return Head([str(column) for column in range(len(names))], dialect)
    _check_names(path, names)
    return Head(["" if UNNAMED.fullmatch(name) else name for name in names], dialect)


def read_table(
    path: Path,
    words: Collection[str] = (),
    missing: Sequence[str] = (),
    known: Dialect = DEFAULT,
    head: Head | None = None,
) -> Table:
    """Reads a table.

    Args:
        path: the file; its extension gives the file type.
        words: columns to read as text, so that `01` does not become 1.
        missing: marks of an empty cell besides those of pandas and MISSING.
        known: what is not guessed of a CSV file.
        head: the result of `read_head`, if it was called.

    Raises:
        UsageError: the extension is not that of a table.
        FileError: the file is missing or damaged, or some rows are longer or shorter than the first
            line.
    """
    names, dialect = head or read_head(path, known)
    missing = (*MISSING, *missing)
    frame = _guarded(path, known, lambda path: _read(path, names, words, missing, dialect))
    table = Table(path, frame, dialect=dialect)
    table.frame.columns = names
    if len(table) == 0:
        raise FileError(f"`{path}` names columns, but has no rows", EXAMPLE)
    _check_short_rows(table)
    return table


def opened(path: Path, dialect: Dialect, errors: str = "strict") -> IO[str]:
    """Opens a CSV file as text, compressed or not."""
    codec = decoding.codec_of(path, dialect.encoding)
    codec = "utf-8-sig" if codec == "utf-8" else codec  # Skips a byte order mark.
    if path.suffix == ".gz":
        return gzip.open(path, "rt", encoding=codec, newline="", errors=errors)
    return path.open(encoding=codec, newline="", errors=errors)


def _dialect(path: Path, known: Dialect) -> Dialect:
    """The format of a CSV file; errors in it are reported when the file is read."""
    if path.suffix == ".parquet":
        return DEFAULT
    try:
        with opened(path, known, "replace") as file:
            return guess_dialect(file, known)
    except (OSError, EOFError, zlib.error):
        return known


def _raw_names(path: Path, dialect: Dialect) -> list[str]:
    if path.suffix == ".parquet":
        import pyarrow.parquet as parquet

        return list(map(str, parquet.read_schema(path).names))
    with opened(path, dialect) as file:
        dialect.skip(file)
        first = next(_lines(_rows(path, file, dialect)), [])
        return [name.lstrip("#") for name in first] if dialect.marked else first


def _rows(path: Path, file: IO[str], dialect: Dialect) -> bounded.Rows:
    return bounded.Rows(path, file, skipinitialspace=True, delimiter=dialect.separator)


def _lines(reader: Iterable[list[str]]) -> Iterator[list[str]]:
    """The rows of a CSV file without empty lines, which pandas skips."""
    return (row for row in reader if len(row) > 1 or "".join(row).strip())


def _check_names(path: Path, names: list[str]) -> None:
    if not names:
        raise FileError(f"`{path}` is empty", EXAMPLE)
    if any("\n" in name or "\r" in name for name in names):
        raise FileError(
            f"`{path}`, line 1: expected the columns' names, got one that goes on in the next line",
            "close each quote in its line",
        )
    numbers = all(re.fullmatch(r"[-+.\d][-+.\deE]*", name) for name in names)
    if numbers and path.suffix != ".parquet":  # The names are not values.
        raise FileError(
            f"`{path}`, line 1: expected the columns' names, got numbers, `{','.join(names)}`",
            "pass `--no-header`, and the columns are called `0`, `1` and so on; or put a line with "
            "their names before it",
        )
    twice = sorted({name for name in names if name and names.count(name) > 1})
    if twice:
        first = names.index(twice[0]) + 1
        second = names.index(twice[0], first) + 1
        raise FileError(
            f"`{path}`, line 1: columns {first} and {second} are both called `{twice[0]}`",
            "give each column a different name",
        )


def _read(
    path: Path,
    names: list[str],
    words: Collection[str],
    missing: Sequence[str],
    dialect: Dialect,
) -> pd.DataFrame:
    import pandas as pd

    if path.suffix == ".parquet":
        return _without(bounded.read_parquet(path), missing)
    with opened(path, dialect) as file, warnings.catch_warnings():
        warnings.simplefilter("error", pd.errors.ParserWarning)
        # Text columns may have pieces of numbers: `values.py` reads all as text.
        warnings.simplefilter("ignore", pd.errors.DtypeWarning)
        dialect.skip(file)
        return bounded.read_csv(
            path,
            file,
            len(names),
            index_col=False,
            skipinitialspace=True,
            sep=dialect.separator,
            decimal=dialect.decimal,
            header=0 if dialect.header else None,
            names=list(range(len(names))),
            dtype={names.index(name): str for name in words if name in names},
            na_values=list(missing),
        )


def _without(frame: pd.DataFrame, missing: Sequence[str]) -> pd.DataFrame:
    """A Parquet table with the marks of empty cells removed."""
    import pandas as pd
    from pandas._libs.parsers import STR_NA_VALUES

    words = {*STR_NA_VALUES, *missing}
    numbers = pd.to_numeric(pd.Series(list(missing), dtype=object), errors="coerce").dropna()
    for name, column in frame.items():
        if column.dtype.kind in "iuf" and len(numbers):
            frame[name] = column.mask(column.isin(numbers))
        elif column.dtype.kind == "O" and pd.api.types.infer_dtype(column) == "string":
            frame[name] = column.mask(column.isin(words))
    return frame


def _guarded(path: Path, known: Dialect, read: Any) -> Any:
    """Calls a reader and turns its exceptions into FileError."""
    try:
        return read(path)
    except LstmcliError:
        raise
    except UnicodeError as error:
        if path.suffix == ".parquet":
            raise _unreadable(path, str(error)) from error
        offset = decoding.first_undecodable(path, known.encoding)
        raise decoding.undecodable(path, offset, known.encoding) from error
    except PermissionError as error:
        raise FileError(
            f"cannot read `{path}`: {error.strerror}", "ask for permission to read it"
        ) from error
    except Exception as error:  # A damaged file can make its decoders raise anything.
        raise _unreadable(path, str(error).strip()) from error


def _unreadable(path: Path, why: str) -> FileError:
    """The FileError for an exception of pandas or a decoder."""
    long = re.search(r"Expected (\d+) fields in line (\d+), saw (\d+)", why)
    if long:
        expected, line, got = long.groups()
        return _ragged(path, int(line), int(expected), int(got))
    if "Length of header" in why:
        return FileError(
            f"`{path}`: its rows have more cells than its first line has names",
            "name every column; quote a cell that has a comma in it, and write numbers with points",
        )
    quote = re.search(r"EOF inside string starting at row (\d+)", why)
    if quote:
        return FileError(
            f'`{path}`, line {int(quote[1]) + 1} or below: a quote (`"`) is never closed',
            'close it, or write it twice (`""`) where it is part of a cell',
        )
    return FileError(
        f"`{path}` is not a table or is damaged: {why}",
        "open it in the program that wrote it, and save it again",
    )


def _ragged(path: Path, line: int, expected: int, got: int) -> FileError:
    return FileError(
        f"`{path}`, line {line}: expected {expected} cells, as the first line has, got {got}",
        "correct the line; quote a cell that has a comma in it, and write numbers with points",
    )


def _check_short_rows(table: Table) -> None:
    """Raises FileError for rows with too few cells, which pandas would pad."""
    width = len(table.columns)
    if not table.is_text or width == 1 or not table.frame.iloc[:, -1].isna().any():
        return
    dialect = table.dialect
    lines = len(table) + dialect.header
    if not (dialect.comments or dialect.encoding) and _separators(table) == (width - 1) * lines:
        return  # pandas refuses longer rows, so none is shorter.
    with opened(table.path, dialect) as file:
        dialect.skip(file)
        reader = _rows(table.path, file, dialect)
        for row in _lines(reader):
            if len(row) < width:
                line = dialect.comments + reader.line_num
                raise _ragged(table.path, line, width, len(row))


def _separators(table: Table) -> int | None:
    """The number of separators in a file; `None` if it has quotes, which may enclose separators."""
    path, separators = table.path, 0
    with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
        while chunk := file.read(CHUNK):
            if b'"' in chunk:
                return None
            codes = np.frombuffer(chunk, np.uint8)
            separators += int(np.count_nonzero(codes == ord(table.dialect.separator)))
    return separators


def _csv_cell(path: Path, row: int, column: int, dialect: Dialect) -> tuple[int, str]:
    """The line number and the text of a cell."""
    with opened(path, dialect) as file:
        dialect.skip(file)
        reader = _rows(path, file, dialect)
        cells = next(islice(_lines(reader), row + dialect.header, None))
        return dialect.comments + reader.line_num, cells[column] if column < len(cells) else ""


def _shown(value: Any) -> str:
    """A Parquet cell as text; empty if missing."""
    return "" if value is None or value != value else str(value)
