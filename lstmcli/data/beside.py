"""The metadata of a `.csv` dataset, in a `.json` file beside it, and the seal of both."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from lstmcli import seals
from lstmcli.data import comma_separated
from lstmcli.errors import FileError
from lstmcli.files import read_small

FORMAT = 1
"""Of datasets; those from before there were seals have none."""
SEAL = b'"lstmcli_sha256": "'
"""What stands before the seal. A text cannot hold it: quotes are escaped there."""
BLOCK = 1 << 20  # bytes that are read at a time


def file_of(path: Path) -> Path:
    """Where a CSV file's metadata lie."""
    return path.with_suffix(".json")


def to_bytes(metadata: Mapping[str, Any], table: bytes) -> bytes:
    """The content of the file for a table, sealed together with it."""
    text = json.dumps({**metadata, "lstmcli_sha256": seals.BLANK}, indent=2)
    return seals.sealed(f"{text}\n".encode(), SEAL, [table])


def read(path: Path) -> dict[str, Any]:
    """What the file beside a CSV file says.

    Raises:
        OSError: there is none.
        ValueError: it is damaged.
    """
    try:
        return checked(json.loads(read_small(file_of(path))))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"its metadata, `{file_of(path)}`: {error}") from error


def is_whole(path: Path) -> bool | None:
    """Whether a CSV file and what is beside it are as they were sealed; `None` without a seal."""
    beside = file_of(path)
    if not (beside.is_file() and path.is_file()):
        return None
    return seals.is_whole(read_small(beside), SEAL, _blocks(path))


def is_own_table(path: Path) -> bool:
    """Whether a table is a dataset of `storage.write`, and no other one.

    What lies beside it tells, or its first line. Columns besides inputs and one target must have a
    schema beside them: `symbol` and `target` are names that anybody's table may have.
    """
    if not path.is_file():  # A pipe would wait for somebody to write to it.
        return False
    try:
        metadata = read(path)
    except OSError:
        metadata = {}
    except ValueError:
        metadata = {"schema": None}  # Damaged, and to be said if the columns are a dataset's.
    if metadata.keys() >= {"lstmcli_format", "lstmcli_sha256"}:
        return True
    try:
        columns = comma_separated.columns_of(path)
    except (OSError, ValueError, EOFError, FileError):
        return False
    is_plain = set(columns) == {"numbers", "targets"} and len(columns["targets"]) == 1
    return is_plain or "schema" in metadata


def checked(metadata: Any) -> dict[str, Any]:
    """A dataset's metadata, if that is what they are.

    Raises:
        ValueError: it is not.
    """
    if not isinstance(metadata, dict) or not isinstance(metadata.get("task", {}), dict):
        raise ValueError("the metadata, and the task in them, must be JSON objects")
    return metadata


def check_format(path: Path, metadata: Mapping[str, Any]) -> None:
    """Refuses a dataset of a format that this version does not know.

    Raises:
        FileError: it is.
    """
    if metadata.get("lstmcli_format", FORMAT) != FORMAT:
        raise FileError(
            f"`{path}` has dataset format {metadata['lstmcli_format']}, expected {FORMAT}",
            "a newer version of lstmcli may read it: `pip install --upgrade lstmcli`",
        )


def _blocks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while block := file.read(BLOCK):
            yield block
