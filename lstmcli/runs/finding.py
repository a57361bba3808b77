"""Finding the checkpoint that a path means, and the run that it is of."""

from __future__ import annotations

from pathlib import Path

from lstmcli.errors import FileError, pasteable
from lstmcli.runs.rundir import RunDirectory
from lstmcli.runs.sweepfiles import SweepFiles


def folder_of(checkpoint: Path) -> Path:
    """The run directory of a checkpoint, or the folder that a copy of one lies in."""
    run = RunDirectory(checkpoint.parent.parent)
    return run.path if checkpoint.parent == run.last.parent else checkpoint.parent


def data_checksums(folder: Path) -> list[str] | None:
    """SHA-256 of the parts of the data that the run in a folder was trained on, if one is there."""
    try:
        return list(RunDirectory(folder).read_status()["data_sha256"])
    except (FileError, KeyError, TypeError):
        return None


def find_checkpoint(path: Path) -> Path:
    """The checkpoint that a path names: itself, or the best (else the last) of a run directory.

    Raises:
        FileError: there is none, or many, as in a sweep's directory.
    """
    if not path.is_dir():
        return path
    run = RunDirectory(path)
    for candidate in (run.best, run.last, run.previous):
        if candidate.is_file():
            return candidate
    _refuse_sweep(SweepFiles(path))
    raise FileError(
        f"the directory `{path}` holds no checkpoint", "`lstmcli train` makes one, in `runs/latest`"
    )


def _refuse_sweep(sweep: SweepFiles) -> None:
    """Raises FileError where a sweep is, and names one of its trials."""
    if not sweep.config.is_file():
        return
    runs = [
        folder
        for folder in sorted(sweep.settings.glob("*/"))
        if RunDirectory(folder).best.is_file()
    ]
    raise FileError(
        f"`{sweep.path}` holds a sweep, expected a checkpoint or the directory of a run",
        f"name a setting of it, such as `{pasteable(runs[0])}`"
        if runs
        else "wait until a trial of it has a checkpoint",
    )
