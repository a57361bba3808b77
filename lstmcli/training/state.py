"""The state of a run during training."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from lstmcli.config import Config
from lstmcli.core import initialization
from lstmcli.core.replica_windows import WindowMetrics
from lstmcli.core.runner import Program, Tensors
from lstmcli.data.baselines import Baselines
from lstmcli.data.datasets import Source
from lstmcli.data.tasks.echo import BayesLoss
from lstmcli.training.metrics import EpochRow
from lstmcli.training.run_dir import RunDirectory

if TYPE_CHECKING:
    from lstmcli.training.metric_logging import MetricLogger

CONFIRMED = 2  # consecutive epochs that must show the task solved before `until_solved` stops
WORSE_THAN_CHANCE = 1.1  # times the loss of a uniform guess


@dataclass
class EpochProgress:
    """An epoch in progress.

    Attributes:
        tensors: their values after the windows so far.
        parts: the metrics of those windows.
        earlier: training time in seconds before the run was resumed.
        windows: the number of completed windows.
        begun: `time.monotonic()` when this process started or resumed the epoch.
    """

    tensors: Tensors
    parts: list[WindowMetrics] = field(default_factory=list)
    earlier: float = 0.0
    windows: int = 0
    begun: float = field(default_factory=time.monotonic)
    _loss: float = 0.0
    _labels: int = 0

    def __post_init__(self) -> None:
        for measures in self.parts:
            self._count(measures)

    def add(self, tensors: Tensors, measures: WindowMetrics) -> None:
        """Adds the result of some windows."""
        self.tensors = tensors
        self.parts.append(measures)
        self._count(measures)

    def _count(self, measures: WindowMetrics) -> None:
        self.windows += len(measures.loss)
        self._loss += float((measures.loss * measures.labels).sum(dtype=np.float64))
        self._labels += int(measures.labels.sum())

    @property
    def loss(self) -> float:
        """Mean loss so far, over the seeds too; NaN before the first window."""
        return self._loss / max(1, self._labels) if self.parts else math.nan

    @property
    def seconds(self) -> float:
        """Training time so far."""
        return self.earlier + time.monotonic() - self.begun


@dataclass
class TrainingState:
    """The state of a run.

    Attributes:
        config, directory, source, program: the parts that the run is made of.
        floor: the Bayes loss, if the task is known.
        validation_floors: the Bayes loss of each seed's validation series, with the oracle's loss.
        tensors: all values that training changes, after the last completed epoch.
        within: the progress of the next epoch, if a checkpoint was made within it.
        epoch: completed epochs.
        best: each seed's tensors at its lowest validation loss.
        best_epochs: the epoch and the loss of those, for each seed.
        best_changed: whether they are newer than their file.
        diverged: seeds whose loss has become NaN or infinite.
        solved_streak: for each seed, the number of consecutive epochs whose validation shows the
            task solved.
        epochs_since_best: for each seed, the number of epochs since its lowest validation loss.
        latest: each seed's last row.
        resumed: whether the run is already in its directory.
        loggers: the destinations of its rows.
        table: a file of the data that was given in memory, for the run directory.
        device_reason: why the device was chosen, if there was a choice.
        begun, saved: `time.monotonic()` at the start and at the last checkpoint.
    """

    config: Config
    directory: RunDirectory
    source: Source
    program: Program
    floor: BayesLoss | None
    validation_floors: list[BayesLoss | None]
    tensors: initialization.Arrays
    best: initialization.Arrays
    best_epochs: list[dict[str, Any]]
    within: EpochProgress | None = None
    best_changed: bool = False
    diverged: set[int] = field(default_factory=set)
    solved_streak: list[int] = field(default_factory=list)
    epochs_since_best: list[int] = field(default_factory=list)
    latest: dict[int, EpochRow] = field(default_factory=dict)
    epoch: int = 0
    resumed: bool = False
    loggers: Sequence[MetricLogger] = ()
    table: bytes | None = None
    device_reason: str | None = None
    begun: float = field(default_factory=time.monotonic)
    saved: float = field(default_factory=time.monotonic)

    @property
    def elapsed(self) -> float:
        """Seconds since the start, without the time between an interruption and its resume."""
        return time.monotonic() - self.begun

    @property
    def stopped_replicas(self) -> list[int]:
        """The replicas that have stopped by `until_solved` or `patience`, or have diverged."""
        training, seeds = self.config.training, self.config.run.seeds
        found = {replica for replica, seed in enumerate(seeds) if seed in self.diverged}
        if training.until_solved:
            found |= {each for each, shown in enumerate(self.solved_streak) if shown >= CONFIRMED}
        if training.patience:
            waited = enumerate(self.epochs_since_best)
            found |= {each for each, epochs in waited if epochs >= training.patience}
        return sorted(found)

    @property
    def active_replicas(self) -> list[tuple[int, int]]:
        """The replicas that have not stopped, each with its seed."""
        stopped = self.stopped_replicas
        return [each for each in enumerate(self.config.run.seeds) if each[0] not in stopped]

    @property
    def finished(self) -> bool:
        """Whether the last epoch is completed or every replica has stopped."""
        return self.epoch >= self.config.training.epochs or not self.active_replicas

    @property
    def baselines(self) -> Baselines:
        """The baselines of a file's validation part."""
        return self.source.validation_baselines

    @property
    def chance(self) -> float:
        """The loss of a uniform guess in nats per step; for numbers, the loss of their mean."""
        _, loss, _ = self.source.schema.target_kind.chance(self.baselines.found)
        return loss

    @property
    def worse_than_chance_above(self) -> float:
        """The loss above which a model is clearly worse than a uniform guess."""
        return WORSE_THAN_CHANCE * self.chance

    def worse_than_chance(self) -> list[int]:
        """The seeds whose last validation loss is clearly worse than that of a uniform guess."""
        above = self.worse_than_chance_above
        return [seed for seed, row in self.latest.items() if (row.val_loss or 0) > above]
