"""The checkpoint of a run directory, which has to be of that run and of no other."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lstmcli.config import Config
from lstmcli.errors import FileError, LstmcliError, pasteable
from lstmcli.runs import checkpoint as checkpoints
from lstmcli.runs import paths
from lstmcli.runs.checkpoint import Checkpoint
from lstmcli.runs.finding import BestTrial, best_trial, find_checkpoint
from lstmcli.runs.rundir import SETTINGS, RunDirectory

FREE = ("epochs", "patience", "checkpoint_every", "cache")
"""Settings that may change: the bits of an epoch do not depend on them."""


class OtherRunError(FileError):
    """A checkpoint lies in the directory of another run."""


def read(path: Path, finite: bool = True) -> tuple[Path, Checkpoint]:
    """The checkpoint that a path names, as `find_checkpoint` finds it, and what it holds.

    Args:
        path: a checkpoint or a run directory; or a sweep's, of which the best trial alone counts.
        finite: whether weights that are not finite are refused.

    Raises:
        OtherRunError: the path is a run directory, and its checkpoint is of another run.
        FileError: there is none, or it is damaged.
    """
    best = best_trial(path)
    run = best.run if best else path
    file = find_checkpoint(run)
    checkpoint = checkpoints.read(file, finite and best is None)
    if run.is_dir():
        check(RunDirectory(run), file, checkpoint)
    return file, _alone(file, checkpoint, best, finite) if best else checkpoint


def _alone(file: Path, checkpoint: Checkpoint, best: BestTrial, finite: bool) -> Checkpoint:
    """The model of a sweep's best trial, without those of the seeds beside it."""
    if best.seed not in checkpoint.seeds:
        raise FileError(
            f"`{file}` has no model of seed {best.seed}, which is the sweep's best trial",
            "the command that made the sweep, with the same `--out`, finds its best trial again",
        )
    alone = checkpoint.of_seed(best.seed)
    if finite and (strange := checkpoints.diverged(file, alone)):
        raise strange
    return alone


def check(directory: RunDirectory, file: Path, checkpoint: Checkpoint) -> None:
    """Raises OtherRunError where a checkpoint contradicts what `run.json` says.

    What that does not say (older versions kept less in it) is not asked for.
    """
    try:
        status = directory.read_status()
        settings = Config.build(status[SETTINGS])
    except (KeyError, LstmcliError):
        return
    if _of_another(checkpoint, settings, status):
        raise OtherRunError(
            f"`{file}` is of another run than `{directory.status}`",
            "put the run's own checkpoint back, or begin anew with `--overwrite`; `lstmcli inspect "
            f"{pasteable(file)}` tells what this one is",
        )


def _of_another(checkpoint: Checkpoint, settings: Config, status: Mapping[str, Any]) -> bool:
    own, found = settings, checkpoint.config
    if lasting(found.to_dict()) != lasting(own.to_dict()):
        return True
    if (found.data.data is None) != (own.data.data is None):
        return True
    trained_on, known = checkpoint.metadata.get("data_sha256"), status.get("data_sha256")
    if not (trained_on and known and own.data.data):
        return False
    return bool(trained_on[-1] != known[-1])  # The last part: version 1 had no more than two.


def lasting(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings but for those that may change, and for where files lie."""
    may_change = {*FREE, *paths.PATHS["data"], *paths.PATHS["training"]}
    return {
        group: {name: value for name, value in table.items() if name not in may_change}
        for group, table in settings.items()
    }
