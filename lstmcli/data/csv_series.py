"""A `.csv` dataset: a series' arrays as columns, and its metadata in a `.json` file next to it."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator, Mapping
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from lstmcli.data import bounded
from lstmcli.data.validation import Cell
from lstmcli.utils import files
from lstmcli.utils.errors import FileError
from lstmcli.utils.files import read_small

if TYPE_CHECKING:
    import pandas as pd

MOST_SHOWN = 300  # characters of the names that an error quotes
PREFIXES = {
    "numbers": "input",
    "symbols": "symbol",
    "targets": "target",
    "scored": "scored",
    "starts": "starts",
}
"""The names of each array's columns, in the order of the file."""


def csv_text(arrays: Mapping[str, npt.NDArray[Any]]) -> str:
    """The table, with its header."""
    import pandas as pd

    frames = [
        pd.DataFrame(
            _shortest(array), columns=_names(name, 1 if array.ndim == 1 else array.shape[1])
        )
        for name, array in arrays.items()
    ]
    return str(pd.concat(frames, axis=1).to_csv(index=False))


def columns_of(path: Path) -> dict[str, list[str]]:
    """The names of each array's columns, from the file's first line.

    Raises:
        OSError: there is no such file.
        ValueError: its columns are not those of a series.
        FileError: its first line is too long.
    """
    import pandas as pd

    with bounded.opened(path) as file:
        head = pd.read_csv(bounded.Watched(path, file), index_col=False, nrows=0)
    return _grouped([str(name) for name in head.columns])


def read_arrays(path: Path) -> tuple[dict[str, npt.NDArray[Any]], Cell]:
    """The arrays, with NaN where a cell is not a number, and a function that locates a cell.

    Raises:
        ValueError: its columns are not those of a series.
    """
    import pandas as pd

    columns = columns_of(path)
    frame = _read_frame(path, sum(map(len, columns.values())))
    frame = frame.apply(pd.to_numeric, errors="coerce")
    arrays = {
        name: frame[its].to_numpy(np.float64) if len(its) > 1 else frame[its[0]].to_numpy()
        for name, its in columns.items()
    }
    return arrays, partial(_cell, path, columns)


def _grouped(found: list[str]) -> dict[str, list[str]]:
    """The names of the columns of each array that a file has."""
    columns = {}
    for name, prefix in PREFIXES.items():
        count = sum(each == prefix or each.startswith(f"{prefix}_") for each in found)
        if count:
            columns[name] = _names(name, count)
    if [each for names in columns.values() for each in names] != found or "targets" not in columns:
        raise ValueError(
            "expected the columns `input` (or `input_0`, `input_1` and so on) and `target`, got "
            + ", ".join(found)[:MOST_SHOWN]
        )
    return columns


def _names(name: str, count: int) -> list[str]:
    prefix = PREFIXES[name]
    return [prefix] if count == 1 else [f"{prefix}_{number}" for number in range(count)]


def _shortest(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """The array as integers, if that loses nothing."""
    if array.dtype.kind == "b":
        return array.astype(np.int8)
    if array.dtype.kind != "f":
        return array
    with np.errstate(invalid="ignore"):
        whole = array.astype(np.int64)
    exact = whole.astype(array.dtype).tobytes() == array.tobytes()  # Not for -0.0 or 2**63.
    return whole if exact else array


def _read_frame(path: Path, columns: int) -> pd.DataFrame:
    """The table; a first column without a name is not taken for an index."""
    import pandas as pd

    with bounded.opened(path) as file, warnings.catch_warnings():
        warnings.simplefilter("error", pd.errors.ParserWarning)
        try:
            return bounded.read_csv(path, file, columns, index_col=False, low_memory=False)
        except pd.errors.ParserWarning as error:
            raise ValueError("its rows have more cells than its header") from error


def _cell(
    path: Path, columns: Mapping[str, list[str]], name: str, step: int, column: int
) -> tuple[str, str]:
    """Place and value of a cell; lines are counted as in an editor, the header's is 1."""
    with path.open(newline="", encoding="utf-8-sig") as file:
        reader = bounded.Rows(path, file)
        # As pandas reads it: empty lines are none.
        lines = (row for row in reader if len(row) > 1 or "".join(row).strip())
        names = next(lines)
        row = next(islice(lines, step, None))
        position = [each for its in columns.values() for each in its].index(columns[name][column])
        value = row[position] if position < len(row) else ""
        return f"`{path}`, line {reader.line_num}, column `{names[position]}`", value


SIDECAR_FORMAT = 1
"""Format of datasets; older ones, without a checksum of the file, have none."""
CHECKSUM_MARK = b'"lstmcli_sha256": "'
"""What precedes the checksum. No JSON string can contain it, as quotes are escaped there."""
BLOCK = 1 << 20  # bytes that are read at a time


def sidecar_of(path: Path) -> Path:
    """The path of a CSV file's metadata."""
    return path.with_suffix(".json")


def sidecar_bytes(metadata: Mapping[str, Any], table: bytes) -> bytes:
    """The content of the metadata file, with a checksum of it and the table."""
    text = json.dumps({**metadata, "lstmcli_sha256": files.BLANK_CHECKSUM}, indent=2)
    return files.with_checksum(f"{text}\n".encode(), CHECKSUM_MARK, [table])


def read_sidecar(path: Path) -> dict[str, Any]:
    """The metadata of a CSV file.

    Raises:
        OSError: there are none.
        ValueError: they are damaged.
    """
    try:
        return checked_metadata(json.loads(read_small(sidecar_of(path))))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"its metadata, `{sidecar_of(path)}`: {error}") from error


def is_unchanged(path: Path) -> bool | None:
    """Whether a CSV file and its metadata match their checksum; `None` if there is none."""
    beside = sidecar_of(path)
    if not (beside.is_file() and path.is_file()):
        return None
    return files.matches_checksum(read_small(beside), CHECKSUM_MARK, _blocks(path))


def is_own_table(path: Path) -> bool:
    """Whether a table is a dataset that `arrays.write` wrote.

    Its metadata tell, or its first line. With columns besides inputs and one target, the metadata
    must have a schema: any table may have columns `symbol` and `target`.
    """
    if not path.is_file():  # Reading a pipe would wait for a writer.
        return False
    try:
        metadata = read_sidecar(path)
    except OSError:
        metadata = {}
    except ValueError:
        metadata = {"schema": None}  # Damaged: an error if the columns are those of a dataset.
    if metadata.keys() >= {"lstmcli_format", "lstmcli_sha256"}:
        return True
    try:
        columns = columns_of(path)
    except (OSError, ValueError, EOFError, FileError):
        return False
    is_plain = set(columns) == {"numbers", "targets"} and len(columns["targets"]) == 1
    return is_plain or "schema" in metadata


def checked_metadata(metadata: Any) -> dict[str, Any]:
    """A dataset's metadata, unchanged.

    Raises:
        ValueError: they are not valid.
    """
    if not isinstance(metadata, dict) or not isinstance(metadata.get("task", {}), dict):
        raise ValueError("the metadata and their `task` must be JSON objects")
    return metadata


def check_sidecar_format(path: Path, metadata: Mapping[str, Any]) -> None:
    """Checks that this version can read a dataset's format.

    Raises:
        FileError: it cannot.
    """
    if metadata.get("lstmcli_format", SIDECAR_FORMAT) != SIDECAR_FORMAT:
        raise FileError(
            f"`{path}` has dataset format {metadata['lstmcli_format']}, expected {SIDECAR_FORMAT}",
            "a newer version of lstmcli may read it",
        )


def _blocks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while block := file.read(BLOCK):
            yield block
