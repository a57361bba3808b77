"""A run as it stands at some moment of its training."""

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

CONFIRMED = 2  # epochs in a row that must show the task solved before `until_solved` stops
WORSE_THAN_CHANCE = 1.1  # times the loss of a uniform guess


@dataclass
class EpochProgress:
    """An epoch that is under way.

    Attributes:
        tensors: as they are after the windows so far.
        parts: what those have shown.
        earlier: seconds that they took before the run was resumed.
        windows: how many they are.
        begun: `time.monotonic()` when this process took it up.
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
        """Goes on by some windows."""
        self.tensors = tensors
        self.parts.append(measures)
        self._count(measures)

    def _count(self, measures: WindowMetrics) -> None:
        self.windows += len(measures.loss)
        self._loss += float((measures.loss * measures.labels).sum(dtype=np.float64))
        self._labels += int(measures.labels.sum())

    @property
    def loss(self) -> float:
        """Mean so far, over the seeds too; NaN before there is one."""
        return self._loss / max(1, self._labels) if self.parts else math.nan

    @property
    def seconds(self) -> float:
        """What it has taken."""
        return self.earlier + time.monotonic() - self.begun


@dataclass
class TrainingState:
    """A run as it stands.

    Attributes:
        config, directory, source, program: what it is made of.
        floor: the best loss that can be expected, where the task is known.
        validation_floors: that of each seed's validation series, with what its oracle loses there.
        tensors: all that training changes, as it was after the last epoch that is completed.
        within: how far the next epoch has come already, where a checkpoint was made within it.
        epoch: epochs completed.
        best: each seed's tensors at its lowest validation loss.
        best_epochs: the epoch and the loss of those, for each seed.
        best_changed: whether they are newer than their file.
        diverged: seeds that have had a loss of NaN or infinity.
        solved_streak: for each seed, how many epochs in a row its validation has shown it solved.
        epochs_since_best: for each seed, its epochs since the lowest validation loss.
        latest: each seed's last row.
        resumed: whether its directory holds it already.
        loggers: where its rows go.
        table: the file of data that was given from memory, for its directory.
        device_reason: why it is on its device, where there is a choice.
        begun, saved: `time.monotonic()` at the start, and at the last checkpoint.
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
        """Seconds since the start, without those between an interruption and its resumption."""
        return time.monotonic() - self.begun

    @property
    def stopped_replicas(self) -> list[int]:
        """The replicas that stay as they are: stopped by `until_solved` or `patience`, diverged."""
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
        """Whether it has come to its last epoch, or every replica has stopped."""
        return self.epoch >= self.config.training.epochs or not self.active_replicas

    @property
    def baselines(self) -> Baselines:
        """What the validation part of a file costs without a network."""
        return self.source.validation_baselines

    @property
    def chance(self) -> float:
        """The loss of a uniform guess, in nats per step; for numbers, of their mean."""
        _, loss, _ = self.source.schema.target_kind.chance(self.baselines.found)
        return loss

    @property
    def worse_than_chance_above(self) -> float:
        """The loss above which a uniform guess is better by far."""
        return WORSE_THAN_CHANCE * self.chance

    def worse_than_chance(self) -> list[int]:
        """The seeds whose last validation loss a uniform guess would beat by far."""
        above = self.worse_than_chance_above
        return [seed for seed, row in self.latest.items() if (row.val_loss or 0) > above]
