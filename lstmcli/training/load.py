"""Opens a trained model for use: its checkpoint, its settings and its data."""

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

if TYPE_CHECKING:  # Readers are imported only when data is read: `predict` starts without them.
    from lstmcli.data.baselines import Fitting
    from lstmcli.data.datasets import EvaluationData, Source

AnyPath = str | PathLike[str]


@dataclass(frozen=True)
class LoadedCheckpoint:
    """A checkpoint and the data for its models.

    Attributes:
        path: the checkpoint file.
        model: its content.
        config: its settings, with those given to `open_checkpoint`.
        data: a dataset to read; `None` for the data of the settings.
        trained_on: checksums of the parts of the training dataset, as far as known.
        run: the run directory that was named; `None` if the file itself was named.
        before: the settings of the training data, if `data` continues it.
        trial: the best trial of a sweep; `None` if no sweep was named.
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
        """Notes on the models for the user."""
        chosen = self.trial.note if self.trial else None
        return [*filter(None, [chosen, self._incomplete()])]

    def _incomplete(self) -> str | None:
        """How far an unfinished run has come; `None` if the run is finished."""
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
        """An unseen series for each model, with its description.

        Args:
            to_score: whether targets are required.

        Raises:
            FileError: the dataset is missing, damaged or too short, or has changed.
        """
        from lstmcli.data.datasets import series_to_test

        return series_to_test(
            self.config, self.data, self.model.schema, self.trained_on, self.before, to_score
        )

    def fitting(self, tested: EvaluationData) -> Fitting:
        """What the baselines of a series are fitted to: the training part, if it is available."""
        from lstmcli.data.baselines import Fitting

        if source := tested.source or self.source():
            return source.fitting
        config, horizon = self.config, self.config.data.leads[0]
        counts = self.model.label_counts
        return Fitting(self.model.schema, config.training.steps, horizon, counts=counts)

    def source(self) -> Source | None:
        """The dataset that the models were trained on, if it is available and unchanged."""
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
    """How far a run has come, in parentheses; empty if its files do not say."""
    try:
        done = max((row.epoch for row in metrics.read_metrics(run.metrics)), default=0)
        return f" ({done} of {status[SETTINGS]['training']['epochs']} epochs)"
    except (FileError, KeyError, TypeError):
        return ""


def open_checkpoint(
    checkpoint: AnyPath, data: AnyPath | None, settings: Mapping[str, Any]
) -> LoadedCheckpoint:
    """Opens a checkpoint, the best checkpoint of a run, or the best trial of a sweep.

    Args:
        checkpoint: a checkpoint file, a run directory or a sweep directory.
        data: a dataset to read; by default a new series, or the part of the dataset that was held
            out from training.
        settings: settings of the task and the run that override those of the checkpoint.

    Raises:
        LstmcliError: there is no checkpoint, or a setting belongs to the model.
    """
    known = {spec.name for group in (DataConfig, RunConfig) for spec in fields(group)}
    if strange := settings.keys() - known | settings.keys() & set(OF_THE_CHECKPOINT):
        raise UsageError(f"`{min(strange)}` cannot be set: a trained model has its own")
    if data is not None:
        check_path(data)
    path, model = read_own_checkpoint(Path(checkpoint))
    folder, saved = folder_of(path), model.metadata["config"]
    if data is not None:  # The labels belong to the training data.
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
"""Key of the best trial in `sweep.json`."""


@dataclass(frozen=True)
class BestTrial:
    """The best trial of a sweep.

    Attributes:
        run: the run directory of its settings.
        seed: its seed, one of those trained there.
    """

    run: Path
    seed: int

    @property
    def note(self) -> str:
        """The note that the best trial was chosen."""
        return f"seed {self.seed} of `{self.run}` is the sweep's best trial, by its validation"


def folder_of(checkpoint: Path) -> Path:
    """The run directory of a checkpoint, or the folder that contains it."""
    run = RunDirectory(checkpoint.parent.parent)
    return run.path if checkpoint.parent == run.last.parent else checkpoint.parent


def data_checksums(folder: Path) -> list[str] | None:
    """SHA-256 of each part of the training data of the run in a folder; `None` if there is none."""
    try:
        return list(RunDirectory(folder).read_status()["data_sha256"])
    except (FileError, KeyError, TypeError):
        return None


def find_checkpoint(path: Path) -> Path:
    """The checkpoint that a path names: the file, or the best (else the last) of a run directory.

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
    """The best trial of a sweep directory; `None` if the path is not a sweep.

    Raises:
        FileError: the sweep is unfinished, or its best trial is gone.
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
    """The result of a sweep from its `sweep.json`; `{}` if the file is damaged.

    Raises:
        FileError: the sweep is unfinished, or trials have ended since.
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
    """What can be named instead of a sweep."""
    for folder in sorted(sweep.settings.glob("*/")):
        if RunDirectory(folder).best.is_file():
            return f"name a setting of it, such as `{shell_quote(folder)}`"
    return "wait until a trial of it has a checkpoint"


class RunMismatchError(FileError):
    """A checkpoint is in the directory of another run."""


def read_own_checkpoint(path: Path, finite: bool = True) -> tuple[Path, Checkpoint]:
    """The path of a checkpoint, as `find_checkpoint` finds it, and its content.

    Args:
        path: a checkpoint, a run directory or a sweep directory, of which only the best trial is
            used.
        finite: whether to refuse weights that are not finite.

    Raises:
        RunMismatchError: the checkpoint in a run directory belongs to another run.
        FileError: there is no checkpoint, or it is damaged.
    """
    best = best_trial(path)
    run = best.run if best else path
    file = find_checkpoint(run)
    checkpoint = checkpoints.read(file, finite and best is None)
    if run.is_dir():
        check_run_id(RunDirectory(run), file, checkpoint)
    return file, _alone(file, checkpoint, best, finite) if best else checkpoint


def _alone(file: Path, checkpoint: Checkpoint, best: BestTrial, finite: bool) -> Checkpoint:
    """The model of a sweep's best trial, without the other seeds of its run."""
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
    """Raises RunMismatchError if a checkpoint contradicts `run.json`.

    Fields missing from `run.json` are not compared, since older versions saved fewer.
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
    return bool(trained_on[-1] != known[-1])  # The last part: version 1 had at most two.


def fixed_settings(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that must not change, without the paths of files."""
    may_change = {*MUTABLE, *PATHS["data"], *PATHS["training"]}
    return {
        group: {name: value for name, value in table.items() if name not in may_change}
        for group, table in settings.items()
    }
