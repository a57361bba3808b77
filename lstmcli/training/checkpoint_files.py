"""The checkpoints and tables of a run directory, as a resume reads them."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from lstmcli.training import checkpoint as checkpoints
from lstmcli.training import load
from lstmcli.training.checkpoint import Checkpoint
from lstmcli.training.run_dir import RunDirectory
from lstmcli.utils.errors import FileError, shell_quote


def write_last(directory: RunDirectory, checkpoint: Checkpoint) -> None:
    """Writes the newest checkpoint and keeps the previous one.

    One of the two is always complete under its own name.
    """
    # `metrics.append_metrics` has already written their rows to disk.
    checkpoint.metadata["tables"] = {path.name: _size(path) for path in _tables(directory)}
    if directory.last.exists():
        directory.previous.unlink(missing_ok=True)
        try:
            os.link(directory.last, directory.previous)
        except OSError:  # A file system without hard links.
            directory.last.replace(directory.previous)
    checkpoint.write(directory.last)


def newest(directory: RunDirectory) -> tuple[Checkpoint | None, str | None]:
    """The newest readable checkpoint of a run, and a warning if it is not the last one.

    Raises:
        FileError: there are checkpoints, but none can be read.
    """
    if not directory.last.exists() and not directory.previous.exists():
        return None, None
    try:
        return checkpoints.read(directory.last), None
    except FileError as error:
        damage = error
    if not directory.previous.exists():
        raise damage
    kept = _read_previous(directory)
    return kept, f"{damage.message}; the checkpoint before it is taken"


def fall_back_to_previous(directory: RunDirectory) -> None:
    """Renames a damaged `last`; the previous checkpoint becomes the last."""
    if directory.last.exists():
        directory.last.replace(directory.damaged)
    with suppress(OSError):  # A file system without hard links.
        os.link(directory.previous, directory.last)


def _read_previous(directory: RunDirectory) -> Checkpoint:
    try:
        return checkpoints.read(directory.previous)
    except FileError as error:
        raise FileError(
            f"{error.message}; `{directory.last}` too",
            "the run cannot go on; if its best checkpoint can be read, `lstmcli train --init-from "
            f"{shell_quote(directory.best)}` begins a new run with those weights",
        ) from error


def truncate_metrics(directory: RunDirectory, checkpoint: Checkpoint | None) -> None:
    """Removes the rows of the tables that were written after a checkpoint.

    Args:
        directory: the run directory.
        checkpoint: the checkpoint to resume from; `None` to start from the beginning.

    Raises:
        FileError: a table has fewer rows than the run had written.
    """
    lengths = {
        table: checkpoint.metadata["tables"][table.name] if checkpoint else 0
        for table in _tables(directory)
    }
    for table, length in lengths.items():  # Check all of them before changing any.
        _check_length(table, length)
    for table, length in lengths.items():
        if table.exists():
            os.truncate(table, length)


def check_tables(directory: RunDirectory) -> None:
    """Raises FileError if a table has fewer rows than its run had written.

    The expected length comes from the newest checkpoint, if it is readable and belongs to this run.
    """
    try:
        checkpoint = checkpoints.read(directory.last)
    except FileError:
        return
    load.check_run_id(directory, directory.last, checkpoint)
    for table in _tables(directory):
        _check_length(table, checkpoint.metadata.get("tables", {}).get(table.name, 0))


def _check_length(table: Path, length: int) -> None:
    if _size(table) < length:
        raise FileError(
            f"`{table}` has lost rows: it holds {_size(table)} bytes, and held {length} when the "
            "checkpoint was written",
            "restore the whole table, or start again with `--overwrite`",
        )


def _tables(directory: RunDirectory) -> tuple[Path, Path]:
    return directory.metrics, directory.steps


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
