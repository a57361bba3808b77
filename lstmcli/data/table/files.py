"""Tables in files: read by pandas, checked for their shape, and where a cell stands in them.

How a CSV file is written is guessed from its first lines where no comma separates its columns.
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
"""Lines that tell how a file is written."""
LONGEST = 1 << 16
"""Characters of a line that are looked at."""
ALIKE = 0.8
"""Share of the lines that must have as many cells as the first."""
NUMBER = re.compile(r"[-+]?[\d.,]+([eE][-+]?\d+)?")
COMMA, POINT = re.compile(r"[-+]?\d+,\d+"), re.compile(r"[-+]?\d+\.\d+")


@dataclass(frozen=True)
class Dialect:
    """How a CSV file is written.

    Attributes:
        separator: what parts columns.
        decimal: what stands before the decimals of its numbers.
        comments: lines before the first that begin with `#`.
        header: whether the first line names the columns.
        encoding: of its text; `None` for UTF-8.
        marked: whether the line that names the columns begins with `#`.
    """

    separator: str = ","
    decimal: str = "."
    comments: int = 0
    header: bool = True
    encoding: str | None = None
    marked: bool = False

    def skip(self, file: IO[str]) -> None:
        """Goes on to the line after the comments."""
        for _ in range(self.comments):
            file.readline()

    def notes(self) -> list[str]:
        """What was guessed, in words."""
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
    """How a CSV file is written.

    Args:
        file: it, at its beginning.
        known: what need not be guessed: its encoding, and whether its first line names columns.
    """
    lines = list(islice(iter(lambda: file.readline(LONGEST), ""), LOOKED_AT))
    comments = len(list(takewhile(lambda line: line.startswith("#"), lines)))
    last = lines[comments - 1 : comments]
    lines = [line for line in lines[comments:] if line.strip()]
    for separator in SEPARATORS:
        rows = _split_rows(lines, separator)
        if len(rows) < ALIKE * len(lines) and separator != ",":
            continue  # Read so, a quote within a cell opens one that swallows the lines below.
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
    """Whether the last line of comments names the columns of numbers below it."""
    names = [cell.strip("# \t\n") for row in _split_rows(last, separator) for cell in row]
    return (
        len(names) == len(first)
        and all(map(NUMBER.fullmatch, map(str.strip, first)))
        and not any(map(NUMBER.fullmatch, names))
    )


def _decimal(rows: list[list[str]]) -> str:
    """`,` where numbers have commas and none has a point."""
    cells = [cell.strip() for row in rows for cell in row]
    commas = any(map(COMMA.fullmatch, cells))
    return "," if commas and not any(map(POINT.fullmatch, cells)) else "."


FORMATS = (".csv", ".csv.gz", ".parquet")
EXAMPLE = "a table's first line names its columns, and each line below is a step: `temp,target`"
UNNAMED = re.compile(r"|Unnamed: \d+|__index_level_\d+__")
"""How pandas writes an index that has no name, in a CSV file and in a Parquet file."""
CHUNK = 1 << 20
DEFAULT = Dialect()
MISSING = ("?", "-", "<UNK>")
"""What stands for an empty cell beside `NA`, `nan`, `null` and what else pandas takes for one."""


@dataclass(frozen=True)
class Table:
    """A table as its file has it.

    Attributes:
        path: the file.
        frame: its columns, by their names without spaces around them.
        rows: which row of the file a step is, `[steps]`; `None` where they are in its order.
        dialect: how a CSV file is written.
        pieces: the tables of several files, of which its rows are, one after the other.
        beside: columns from another table: it, and the row there of each step, `[steps]`.
        parsed: the columns that `values.words` has read, so that each is read once.
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
        """Whether types of columns are guesses from text, as in CSV."""
        return self.pieces[0].is_text if self.pieces else self.path.suffix != ".parquet"

    @property
    def file_rows(self) -> npt.NDArray[np.int64]:
        """Which row of its file each step is, from 0 on: `[steps]`."""
        rows = np.arange(len(self)) if self.rows is None else self.rows
        return rows - self._begins[self._piece_of(rows)] if self.pieces else rows

    @property
    def columns(self) -> list[str]:
        """The columns' names, in the file's order; `""` for those that have none."""
        return list(self.frame.columns)

    def __len__(self) -> int:
        return len(self.frame)

    def ordered(self, order: npt.NDArray[np.int64]) -> Table:
        """The same table with its rows in another order."""
        rows = order if self.rows is None else self.rows[order]
        return replace(self, frame=self.frame.iloc[order], rows=rows)

    def notes(self) -> list[str]:
        """What was guessed of how the file is written, in words."""
        return [f"`{self.path}`: {note}" for note in self.dialect.notes()]

    def too_long(self, step: int, column: str) -> FileError:
        """The error for a cell that is too long."""
        table, row = self._origin(step, column)
        if not table.is_text:
            return bounded.too_long(f"`{table.path}`, row {row + 1} (from 1 on), column `{column}`")
        # This finds its line, and raises.
        _csv_cell(table.path, row, table.columns.index(column), table.dialect)
        raise AssertionError("pandas and csv read a cell differently")

    def error(self, step: int, column: str, expected: str, hint: str) -> FileError:
        """What is wrong with a cell; lines are counted as an editor does, the header's is 1."""
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
        """The table of the file that a cell is from, and its row there."""
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
        """Where each piece begins: `[pieces]`."""
        return np.cumsum([0, *map(len, self.pieces[:-1])])

    def _piece_of(self, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Which piece some rows are in."""
        return np.searchsorted(self._begins, rows, side="right") - 1


class Head(NamedTuple):
    """What is known of a table before its rows are read.

    Attributes:
        names: of its columns, without spaces around them; `""` for one without a name.
        dialect: how a CSV file is written.
    """

    names: list[str]
    dialect: Dialect


def read_head(path: Path, known: Dialect = DEFAULT) -> Head:
    """The names of a table's columns, and how it is written.

    Args:
        path: its ending names the format.
        known: how a CSV file is written, where that is not guessed: its encoding, and whether its
            first line has the names; else they are `0`, `1`, …

    Raises:
        UsageError: the ending names no format of a table.
        FileError: the file is missing or damaged, or its first line names no columns.
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
        path: its ending names the format.
        words: columns that are read as they are written: `01` is not 1.
        missing: what stands for an empty cell beyond what pandas and MISSING have.
        known: how a CSV file is written, where that is not guessed.
        head: what `read_head` has read of it, if it has.

    Raises:
        UsageError: the ending names no format of a table.
        FileError: the file is missing or damaged, or has rows of other lengths than its first line.
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
    """A CSV file as text, whether it is compressed or not."""
    codec = decoding.codec_of(path, dialect.encoding)
    codec = "utf-8-sig" if codec == "utf-8" else codec  # A mark of it is no character.
    if path.suffix == ".gz":
        return gzip.open(path, "rt", encoding=codec, newline="", errors=errors)
    return path.open(encoding=codec, newline="", errors=errors)


def _dialect(path: Path, known: Dialect) -> Dialect:
    """How a CSV file is written; whatever is wrong with it is found when it is read."""
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
    """The rows of a CSV file as pandas reads it: empty lines are none."""
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
    if numbers and path.suffix != ".parquet":  # Its names are no values.
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
        # A column of words that has numbers in some of its pieces: `values.py` makes words of all.
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
    """A Parquet table without the words and numbers that stand for an empty cell."""
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
    """Calls a reader, and says in words what it cannot read."""
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
    except Exception as error:  # A damaged file raises whatever its decoders do.
        raise _unreadable(path, str(error).strip()) from error


def _unreadable(path: Path, why: str) -> FileError:
    """An error for what pandas or a decoder says."""
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
    """Refuses rows with too few cells, which pandas fills up with empty ones."""
    width = len(table.columns)
    if not table.is_text or width == 1 or not table.frame.iloc[:, -1].isna().any():
        return
    dialect = table.dialect
    lines = len(table) + dialect.header
    if not (dialect.comments or dialect.encoding) and _separators(table) == (width - 1) * lines:
        return  # No row is longer than the first, as pandas has read it: so none is shorter.
    with opened(table.path, dialect) as file:
        dialect.skip(file)
        reader = _rows(table.path, file, dialect)
        for row in _lines(reader):
            if len(row) < width:
                line = dialect.comments + reader.line_num
                raise _ragged(table.path, line, width, len(row))


def _separators(table: Table) -> int | None:
    """How many separators a file has; `None` if it has quotes, between which they part nothing."""
    path, separators = table.path, 0
    with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
        while chunk := file.read(CHUNK):
            if b'"' in chunk:
                return None
            codes = np.frombuffer(chunk, np.uint8)
            separators += int(np.count_nonzero(codes == ord(table.dialect.separator)))
    return separators


def _csv_cell(path: Path, row: int, column: int, dialect: Dialect) -> tuple[int, str]:
    """Line and text of a cell."""
    with opened(path, dialect) as file:
        dialect.skip(file)
        reader = _rows(path, file, dialect)
        cells = next(islice(_lines(reader), row + dialect.header, None))
        return dialect.comments + reader.line_num, cells[column] if column < len(cells) else ""


def _shown(value: Any) -> str:
    """A Parquet cell in words; what is not there is empty."""
    return "" if value is None or value != value else str(value)
