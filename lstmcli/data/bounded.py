"""Reads files of unknown size in pieces, and stops once they are too large.

A few bytes may become gigabytes: compressed, run-length encoded, or in a sparse file. So lines and
cells have a maximum length, and the memory taken is compared with what is free
(`memory.most_kept`) after each piece.
"""

from __future__ import annotations

import csv
import gzip
from collections.abc import Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from lstmcli.utils import memory
from lstmcli.utils.errors import FileError

if TYPE_CHECKING:
    import pandas as pd

LONGEST_LINE = 1 << 22
"""Characters."""
LONGEST_CELL = 131_072
"""Characters; the same limit as in Python's `csv`."""
CELLS = 1 << 20
"""Cells read at a time."""
FEW_ROWS, MANY_ROWS = 1 << 10, 1 << 16
"""Rows of a Parquet file read at a time: with texts, which may be long, and without."""
NUMBER = 8
"""Fewest bytes of a cell."""


class Rows:
    """The rows of a CSV file, as of `csv.reader`, with a limit for lines and cells.

    Raises while iterating:
        FileError: a line or a cell is too long.
    """

    def __init__(self, path: Path, file: IO[str], **dialect: Any) -> None:
        self._path, self._dialect = path, dialect
        self._record: list[str] = []
        self._reader = csv.reader(self._lines(file), **dialect)

    @property
    def line_num(self) -> int:
        """Lines that have been read."""
        return self._reader.line_num

    def __iter__(self) -> Iterator[list[str]]:
        return self

    def __next__(self) -> list[str]:
        self._record = []
        try:
            return next(self._reader)
        except csv.Error as error:
            raise self._refused(error) from error

    def _lines(self, file: IO[str]) -> Iterator[str]:
        for line in lines(self._path, file):
            self._record.append(line)
            yield line

    def _refused(self, error: csv.Error) -> FileError:
        """The error for the current row, with the column if a cell is too long."""
        first = self.line_num - len(self._record) + 1
        before = csv.field_size_limit(sum(map(len, self._record)) + 1)
        try:
            cells = next(csv.reader(self._record, **self._dialect), [])
        except csv.Error:
            cells = []
        finally:
            csv.field_size_limit(before)
        for column, cell in enumerate(cells, 1):
            if len(cell) > LONGEST_CELL:
                return too_long(f"`{self._path}`, line {first}, column {column}")
        return FileError(
            f"`{self._path}`, line {first}: {error}",
            "open it in the program that wrote it, and save it again",
        )


def opened(path: Path) -> IO[str]:
    """A CSV file as text, compressed or not."""
    if path.suffix == ".gz":
        return gzip.open(path, "rt", encoding="utf-8", newline="")
    return path.open(encoding="utf-8", newline="")


def lines(path: Path, file: IO[str]) -> Iterator[str]:
    """The lines of a text file.

    Raises:
        FileError: one is too long.
    """
    number = 0
    while line := file.readline(LONGEST_LINE + 1):
        number += 1
        if len(line) > LONGEST_LINE:
            raise _long_line(path, number)
        yield line


def too_long(place: str) -> FileError:
    """The error for a cell that is too long, perhaps because a quote is not closed."""
    return FileError(
        f"{place}: expected a cell of at most {LONGEST_CELL:,} characters, got a longer one",
        'shorten the cell; after a quote (`"`) that is not closed, all the rest is one cell',
    )


def read_csv(path: Path, file: IO[str], columns: int, **options: Any) -> pd.DataFrame:
    """Reads a CSV file with pandas, some rows at a time.

    Args:
        path: the file's name in errors.
        file: the open file.
        columns: number of columns.
        options: options of `pandas.read_csv`.

    Raises:
        FileError: a line is too long, or the content does not fit into memory.
        Exception: any error of pandas.
    """
    import pandas as pd

    watched = Watched(path, file)
    rows = max(1, CELLS // max(1, columns))
    pieces = []
    with pd.read_csv(watched, chunksize=rows, **options) as reader:
        for piece in reader:
            pieces.append(piece)
            watched.keep(int(piece.memory_usage(index=False, deep=True).sum()))
    return _joined(pieces)


def read_parquet(path: Path) -> pd.DataFrame:
    """Reads a Parquet file, some rows at a time; an index that pandas wrote is a column.

    Raises:
        FileError: the content does not fit into memory.
        Exception: any error of pyarrow.
    """
    import pyarrow as pa
    import pyarrow.parquet as parquet

    most = memory.most_kept()
    with parquet.ParquetFile(path) as file:
        memory.check_kept(path, NUMBER * _promised(file.metadata), most)
        plain = all(map(_is_plain, file.schema_arrow.types))
        kept, pieces = 0, []
        for piece in file.iter_batches(MANY_ROWS if plain else FEW_ROWS):
            pieces.append(piece)
            kept += piece.nbytes
            memory.check_kept(path, kept, most)
        table = pa.Table.from_batches(pieces, file.schema_arrow)
    return table.to_pandas(ignore_metadata=True)


def _promised(metadata: Any) -> int:
    """Number of values that a Parquet file says it has, including those of lists."""
    groups = (metadata.row_group(number) for number in range(metadata.num_row_groups))
    return sum(
        max(group.num_rows, group.column(column).num_values)
        for group in groups
        for column in range(group.num_columns)
    )


def _is_plain(kind: Any) -> bool:
    """Whether all values of a type have one width."""
    import pyarrow as pa

    return bool(pa.types.is_primitive(kind))


def _joined(pieces: list[pd.DataFrame]) -> pd.DataFrame:
    """The pieces concatenated, a column at a time, so that memory never holds all of them twice."""
    import pandas as pd

    if len(pieces) == 1:
        return pieces[0]
    names = list(pieces[0].columns)
    columns = {}
    for name in names:
        columns[name] = pd.concat([piece.pop(name) for piece in pieces], ignore_index=True)
    return pd.DataFrame(columns, columns=names, copy=False)


class Watched:
    """A CSV file for pandas that checks lengths and memory as it is read.

    Raises while reading:
        FileError: a line is too long, or the content does not fit into memory.
    """

    def __init__(self, path: Path, file: IO[str]) -> None:
        self._path, self._file = path, file
        self._most = memory.most_kept()
        self._kept = self._pending = self._length = 0
        self._line = 1

    def read(self, size: int = -1) -> str:
        """Reads at most `size` characters."""
        text = self._file.read(size)
        self._pending += len(text)
        memory.check_kept(self._path, self._kept + self._pending, self._most)
        end = max(text.rfind("\n"), text.rfind("\r"))
        self._length = self._length + len(text) if end < 0 else len(text) - end - 1
        if self._length > LONGEST_LINE:
            raise _long_line(self._path, self._line + text.count("\n"))
        self._line += text.count("\n")
        return text

    def keep(self, size: int) -> None:
        """Counts the bytes in memory of what was read."""
        self._kept, self._pending = self._kept + size, 0
        memory.check_kept(self._path, self._kept, self._most)

    def __iter__(self) -> Iterator[str]:
        return lines(self._path, self._file)


def _long_line(path: Path, number: int) -> FileError:
    return FileError(
        f"`{path}`, line {number}: expected a line of at most {LONGEST_LINE:,} characters, got a "
        "longer one",
        "save it with one line per row",
    )
