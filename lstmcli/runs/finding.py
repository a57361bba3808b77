"""Finding the checkpoint that a path means, and the run that it is of."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lstmcli.errors import FileError, pasteable
from lstmcli.files import read_small
from lstmcli.runs.rundir import RunDirectory
from lstmcli.runs.sweepfiles import SweepFiles

BEST = "best"
"""What `sweep.json` calls the best trial."""


@dataclass(frozen=True)
class BestTrial:
    """The trial of a sweep that stands for the whole.

    Attributes:
        run: the run directory of its setting.
        seed: of the seeds that were trained there, its own.
    """

    run: Path
    seed: int

    @property
    def note(self) -> str:
        """That it was chosen, in words."""
        return f"seed {self.seed} of `{self.run}` is the sweep's best trial, by its validation"


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
        FileError: there is none.
    """
    if not path.is_dir():
        return path
    run = RunDirectory(path)
    for candidate in (run.best, run.last, run.previous):
        if candidate.is_file():
            return candidate
    raise FileError(
        f"the directory `{path}` holds no checkpoint", "`lstmcli train` makes one, in `runs/latest`"
    )


def best_trial(path: Path) -> BestTrial | None:
    """The trial that the directory of a sweep stands for; `None` where the path is no sweep.

    Raises:
        FileError: it is not known, as the sweep has not come to its answer, or it is gone.
    """
    sweep = SweepFiles(path)
    if not sweep.config.is_file() or RunDirectory(path).holds_run():
        return None
    known = _recorded(sweep)
    try:
        best = known[BEST]
        found = BestTrial(path / best["run_dir"], int(best["seed"])) if best else None
    except (KeyError, TypeError, ValueError) as error:
        raise FileError(
            f"`{sweep.status}` does not say which trial of the sweep is its best",
            f"the command that made it, with the same `--out`, writes that; or {_such_as(sweep)}",
        ) from error
    if found is None:
        raise FileError(
            f"no trial of the sweep in `{path}` ended with a loss", "give it other settings"
        )
    if not found.run.is_dir():
        raise FileError(
            f"the sweep in `{path}` has its best trial in `{found.run}`, which is not there",
            f"put it back; or {_such_as(sweep)}",
        )
    return found


def _recorded(sweep: SweepFiles) -> Any:
    """What the sweep came to, as its `sweep.json` has it; `{}` where that is damaged.

    Raises:
        FileError: it has not come to its answer, or trials have ended since.
    """
    try:
        known = json.loads(read_small(sweep.status))
        trials = hashlib.sha256(sweep.trials.read_bytes()).hexdigest()
        if known["trials_sha256"] == trials:
            return known
    except FileNotFoundError:
        pass
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return {}
    raise FileError(
        f"`{sweep.path}` holds a sweep that has not ended: its best trial is not known yet",
        f"the command that began it ends it; or {_such_as(sweep)}",
    )


def _such_as(sweep: SweepFiles) -> str:
    """What can be named in place of a sweep."""
    for folder in sorted(sweep.settings.glob("*/")):
        if RunDirectory(folder).best.is_file():
            return f"name a setting of it, such as `{pasteable(folder)}`"
    return "wait until a trial of it has a checkpoint"
