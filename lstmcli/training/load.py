"""A finished model, found and opened to be used: its settings as they hold here, and its data."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lstmcli.config import MUTABLE, OF_THE_CHECKPOINT, PATHS, Config, DataConfig, RunConfig
from lstmcli.training import checkpoint as checkpoints
from lstmcli.training import metrics, run_dir
from lstmcli.training.checkpoint import Checkpoint
from lstmcli.training.run_dir import SETTINGS, RunDirectory, SweepFiles
from lstmcli.utils.errors import FileError, LstmcliError, UsageError, shell_quote
from lstmcli.utils.files import read_small
from lstmcli.utils.settings import check_path

if TYPE_CHECKING:  # The readers of data are loaded where data is read: `predict` starts without.
    from lstmcli.data.baselines import Fitting
    from lstmcli.data.datasets import EvaluationData, Source

AnyPath = str | PathLike[str]


@dataclass(frozen=True)
class LoadedCheckpoint:
    """A checkpoint, and what its models are to read.

    Attributes:
        path: the file.
        model: what it holds.
        config: its settings, and those that were given.
        data: a dataset to read; `None` for what the settings name.
        trained_on: checksums of the parts of the dataset that it was trained on, as known.
        run: the run directory that it was found in; `None` where the file itself was named.
        before: the settings with which the models were trained, where `data` follows on theirs.
        trial: of a sweep, the one that was chosen; `None` where no sweep was named.
    """

    path: Path
    model: Checkpoint
    config: Config
    data: Path | None
    trained_on: Sequence[str] | None
    run: RunDirectory | None = None
    before: Config | None = None
    trial: BestTrial | None = None

    def notes(self) -> list[str]:
        """What is to be known of the models, in words."""
        chosen = self.trial.note if self.trial else None
        return [*filter(None, [chosen, self._incomplete()])]

    def _incomplete(self) -> str | None:
        """That the run has not come to its end, and how far it has come; `None` where it has."""
        if self.run is None or not self.run.holds_run():
            return None
        status = self.run.read_status()
        if status["status"] == "completed":
            return None
        return (
            f"the run is not complete{_extent(self.run, status)}: its models are taken as its "
            f"newest checkpoint has them; `lstmcli train --resume {shell_quote(self.run.path)}` "
            "goes on with it"
        )

    def tested(self, to_score: bool = True) -> EvaluationData:
        """A series that the models have not seen, for each of them, and what it is.

        Args:
            to_score: whether targets must be there.

        Raises:
            FileError: the dataset is missing, damaged or too short, or not what it was.
        """
        from lstmcli.data.datasets import series_to_test

        return series_to_test(
            self.config, self.data, self.model.schema, self.trained_on, self.before, to_score
        )

    def fitting(self, tested: EvaluationData) -> Fitting:
        """What the baselines of a series are fitted to: the training part where it can be had."""
        from lstmcli.data.baselines import Fitting

        if source := tested.source or self.source():
            return source.fitting
        config, horizon = self.config, self.config.data.leads[0]
        counts = self.model.label_counts
        return Fitting(self.model.schema, config.training.steps, horizon, counts=counts)

    def source(self) -> Source | None:
        """The dataset that the models were trained on, if it is there and what it was."""
        from lstmcli.data.datasets import open_source

        saved = self.model.metadata["config"]
        if self.trained_on is None:
            return None
        try:
            config = Config.build(run_dir.with_paths_from(saved, folder_of(self.path)))
            if config.data.data is None:
                return None
            source = open_source(config, self.model.schema)
        except LstmcliError:
            return None
        return source if source.matches_checksums(self.trained_on) else None


def _extent(run: RunDirectory, status: Mapping[str, Any]) -> str:
    """How far a run has come, in brackets; nothing where its files do not tell."""
    try:
        done = max((row.epoch for row in metrics.read_metrics(run.metrics)), default=0)
        return f" ({done} of {status[SETTINGS]['training']['epochs']} epochs)"
    except (FileError, KeyError, TypeError):
        return ""


def open_checkpoint(
    checkpoint: AnyPath, data: AnyPath | None, settings: Mapping[str, Any]
) -> LoadedCheckpoint:
    """Opens a checkpoint or a run directory.

    Args:
        checkpoint: the file, or a run directory, of which the best checkpoint counts, or a sweep's,
            of which the best trial does.
        data: a dataset to read. Without one it is a fresh series, or the part of the dataset that
            was held back from training.
        settings: those of the task and of the run that differ from the checkpoint's.

    Raises:
        LstmcliError: there is none, or a setting is the model's own.
    """
    known = {spec.name for group in (DataConfig, RunConfig) for spec in fields(group)}
    if strange := settings.keys() - known | settings.keys() & set(OF_THE_CHECKPOINT):
        raise UsageError(f"`{min(strange)}` cannot be set: a trained model has its own")
    if data is not None:
        check_path(data)
    path, model = read_own_checkpoint(Path(checkpoint))
    folder, saved = folder_of(path), model.metadata["config"]
    if data is not None:  # The labels are those of the files that the model was trained on.
        saved = {**saved, "data": {**saved.get("data", {}), "labels": None}}
    given = settings if data is None else {**settings, "data": str(data)}
    config = Config.build(saved if data else run_dir.with_paths_from(saved, folder), **given)
    if settings.get("encoding") and (file := config.data.data):
        own = model.schema.kind == "series" and file.endswith(".csv")
        from lstmcli.data import readers

        readers.check_encoded(Path(file), own)
    trained_on = model.metadata.get("data_sha256") or data_checksums(folder)
    run = RunDirectory(Path(checkpoint)) if Path(checkpoint).is_dir() else None
    before = None
    if data is not None and settings.get("continues"):
        before = Config.build(run_dir.with_paths_from(saved, folder))
    return LoadedCheckpoint(
        path,
        model,
        config,
        None if data is None else Path(data),
        trained_on,
        run,
        before,
        best_trial(Path(checkpoint)),
    )


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
            f"restore it; or {_such_as(sweep)}",
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
            return f"name a setting of it, such as `{shell_quote(folder)}`"
    return "wait until a trial of it has a checkpoint"


class RunMismatchError(FileError):
    """A checkpoint lies in the directory of another run."""


def read_own_checkpoint(path: Path, finite: bool = True) -> tuple[Path, Checkpoint]:
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
        check_run_id(RunDirectory(run), file, checkpoint)
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


def check_run_id(directory: RunDirectory, file: Path, checkpoint: Checkpoint) -> None:
    """Raises OtherRunError where a checkpoint contradicts what `run.json` says.

    What that does not say (older versions kept less in it) is not asked for.
    """
    try:
        status = directory.read_status()
        settings = Config.build(status[SETTINGS])
    except (KeyError, LstmcliError):
        return
    if _of_another(checkpoint, settings, status):
        raise RunMismatchError(
            f"`{file}` is of another run than `{directory.status}`",
            "restore the run's own checkpoint, or start again with `--overwrite`; `lstmcli inspect "
            f"{shell_quote(file)}` tells what this one is",
        )


def _of_another(checkpoint: Checkpoint, settings: Config, status: Mapping[str, Any]) -> bool:
    own, found = settings, checkpoint.config
    if fixed_settings(found.to_dict()) != fixed_settings(own.to_dict()):
        return True
    if (found.data.data is None) != (own.data.data is None):
        return True
    trained_on, known = checkpoint.metadata.get("data_sha256"), status.get("data_sha256")
    if not (trained_on and known and own.data.data):
        return False
    return bool(trained_on[-1] != known[-1])  # The last part: version 1 had no more than two.


def fixed_settings(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings but for those that may change, and for where files lie."""
    may_change = {*MUTABLE, *PATHS["data"], *PATHS["training"]}
    return {
        group: {name: value for name, value in table.items() if name not in may_change}
        for group, table in settings.items()
    }
