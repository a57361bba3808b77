"""A finished model, opened to be used: its settings as they hold here, and a series to read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from os import PathLike
from pathlib import Path
from typing import Any

from lstmcli.config import OF_THE_CHECKPOINT, Config, DataConfig, RunConfig
from lstmcli.data import readers
from lstmcli.data.baselines import Fitting
from lstmcli.data.source import Source, Tested, open_source, series_to_test
from lstmcli.errors import FileError, LstmcliError, UsageError, pasteable
from lstmcli.runs import finding, metrics, owned, paths
from lstmcli.runs.checkpoint import Checkpoint
from lstmcli.runs.finding import BestTrial
from lstmcli.runs.rundir import SETTINGS, RunDirectory

AnyPath = str | PathLike[str]


@dataclass(frozen=True)
class Opened:
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
            f"newest checkpoint has them; `lstmcli train --resume {pasteable(self.run.path)}` goes "
            "on with it"
        )

    def tested(self, to_score: bool = True) -> Tested:
        """A series that the models have not seen, for each of them, and what it is.

        Args:
            to_score: whether targets must be there.

        Raises:
            FileError: the dataset is missing, damaged or too short, or not what it was.
        """
        return series_to_test(
            self.config, self.data, self.model.schema, self.trained_on, self.before, to_score
        )

    def fitting(self, tested: Tested) -> Fitting:
        """What the baselines of a series are fitted to: the training part where it can be had."""
        if source := tested.source or self._source():
            return source.fitting
        config, horizon = self.config, self.config.data.leads[0]
        counts = self.model.label_counts
        return Fitting(self.model.schema, config.training.steps, horizon, counts=counts)

    def _source(self) -> Source | None:
        """The dataset that the models were trained on, if it is there and what it was."""
        saved = self.model.metadata["config"]
        if self.trained_on is None:
            return None
        try:
            config = Config.build(paths.with_data_from(saved, finding.folder_of(self.path)))
            if config.data.data is None:
                return None
            source = open_source(config, self.model.schema)
        except LstmcliError:
            return None
        return source if source.is_what(self.trained_on) else None


def _extent(run: RunDirectory, status: Mapping[str, Any]) -> str:
    """How far a run has come, in brackets; nothing where its files do not tell."""
    try:
        done = max((row.epoch for row in metrics.read(run.metrics)), default=0)
        return f" ({done} of {status[SETTINGS]['training']['epochs']} epochs)"
    except (FileError, KeyError, TypeError):
        return ""


def open_checkpoint(
    checkpoint: AnyPath, data: AnyPath | None, settings: Mapping[str, Any]
) -> Opened:
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
    path, model = owned.read(Path(checkpoint))
    folder, saved = finding.folder_of(path), model.metadata["config"]
    if data is not None:  # The labels are those of the files that the model was trained on.
        saved = {**saved, "data": {**saved.get("data", {}), "labels": None}}
    given = settings if data is None else {**settings, "data": str(data)}
    config = Config.build(saved if data else paths.with_data_from(saved, folder), **given)
    if settings.get("encoding") and (file := config.data.data):
        own = model.schema.kind == "series" and file.endswith(".csv")
        readers.check_encoded(Path(file), own)
    trained_on = model.metadata.get("data_sha256") or finding.data_checksums(folder)
    run = RunDirectory(Path(checkpoint)) if Path(checkpoint).is_dir() else None
    before = None
    if data is not None and settings.get("continues"):
        before = Config.build(paths.with_data_from(saved, folder))
    return Opened(
        path,
        model,
        config,
        None if data is None else Path(data),
        trained_on,
        run,
        before,
        finding.best_trial(Path(checkpoint)),
    )
