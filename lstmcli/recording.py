"""A run as it stands, and what it leaves on disk: rows, checkpoints, what happened."""

from __future__ import annotations

import math
import platform
import signal
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any

import numpy as np

from lstmcli import __version__, streams
from lstmcli.columns import Categorical
from lstmcli.config import Config
from lstmcli.core import device, parameters
from lstmcli.core.batch import Measures
from lstmcli.core.program import Program
from lstmcli.data.echo import Floor
from lstmcli.data.references import Reference
from lstmcli.data.source import Source
from lstmcli.errors import ExitCode, StoppedError, pasteable
from lstmcli.runs import metrics, paths
from lstmcli.runs.checkpoint import Checkpoint
from lstmcli.runs.metrics import EpochRow, StepRow
from lstmcli.runs.rundir import RunDirectory
from lstmcli.signals import name_of

LOGGED_EVERY = 100  # windows: as often as the article prints its loss
CONFIRMED = 2  # epochs in a row that must show the task solved before `until_solved` stops
WORSE_THAN_CHANCE = 1.1  # times the loss of a uniform guess


@dataclass
class Run:
    """A run as it stands.

    Attributes:
        config, directory, source, program: what it is made of.
        floor: the best loss that can be expected, where the task is known.
        validation_floors: that of each seed's validation series, with what its oracle loses there.
        references: what the validation part of a file costs without a network.
        tensors: all that training changes.
        epoch: epochs completed.
        best: each seed's tensors at its lowest validation loss.
        best_at: the epoch and the loss of those, for each seed.
        best_changed: whether they are newer than their file.
        diverged: seeds that have had a loss of NaN or infinity.
        evidence: for each seed, how many epochs in a row its validation has shown it solved.
        waited: for each seed, its epochs since the lowest validation loss.
        latest: each seed's last row.
        begun, saved: `time.monotonic()` at the start, and at the last checkpoint.
    """

    config: Config
    directory: RunDirectory
    source: Source
    program: Program
    floor: Floor | None
    validation_floors: list[Floor | None]
    references: list[Reference]
    tensors: parameters.Arrays
    best: parameters.Arrays
    best_at: list[dict[str, Any]]
    best_changed: bool = False
    diverged: set[int] = field(default_factory=set)
    evidence: list[int] = field(default_factory=list)
    waited: list[int] = field(default_factory=list)
    latest: dict[int, EpochRow] = field(default_factory=dict)
    epoch: int = 0
    begun: float = field(default_factory=time.monotonic)
    saved: float = field(default_factory=time.monotonic)

    @property
    def elapsed(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self.begun

    @property
    def settled(self) -> list[int]:
        """The replicas that `until_solved` or `patience` has stopped: they stay as they are."""
        training, replicas = self.config.training, range(self.config.run.replicas)
        found = set()
        if training.until_solved:
            found |= {each for each in replicas if self.evidence[each] >= CONFIRMED}
        if training.patience is not None:
            found |= {each for each in replicas if self.waited[each] >= training.patience}
        return sorted(found)

    @property
    def at_work(self) -> list[tuple[int, int]]:
        """The replicas that are not settled, each with its seed."""
        settled = self.settled
        return [each for each in enumerate(self.config.run.seeds) if each[0] not in settled]

    @property
    def finished(self) -> bool:
        """Whether it has come to its last epoch, or every replica is settled."""
        return self.epoch == self.config.training.epochs or not self.at_work

    @property
    def chance(self) -> float:
        """The loss of a uniform guess, in nats per step; for numbers, of their mean."""
        signature = self.program.signature
        if signature.head == "softmax":
            return math.log(signature.outputs)
        return max([1.0, *(each.loss for each in self.references if each.name == "mean")])

    @property
    def worse_than_chance_above(self) -> float:
        """The loss above which a uniform guess is better by far."""
        return WORSE_THAN_CHANCE * self.chance

    def worse_than_chance(self) -> list[int]:
        """The seeds whose last validation loss a uniform guess would beat by far."""
        above = self.worse_than_chance_above
        return [seed for seed, row in self.latest.items() if (row.val_loss or 0) > above]

    def checkpoint(
        self, kind: str, tensors: parameters.Arrays, epoch: int, window: int = 0
    ) -> Checkpoint:
        """A checkpoint of some tensors, with all that an exact resume needs.

        Args:
            kind: `last` or `best`.
            tensors: as they were at the position.
            epoch: how many were completed.
            window: how many were of the next epoch.
        """
        run = self.config.run
        step = epoch * self.source.cut.windows + window
        training = [
            streams.describe(seed, streams.Stream.TRAINING, epoch) for seed in run.data_seeds
        ]
        metadata = {
            "version": __version__,
            "kind": kind,
            "config": self.directory.settings(self.config),
            "seeds": run.seeds,
            "data_seeds": run.data_seeds,
            "features": self.program.signature.features,
            "classes": self.program.signature.outputs,
            "schema": self.source.schema.to_dict(),
            "label_counts": self.source.label_counts,
            "position": {"epoch": epoch, "window": window, "step": step},
            "streams": {"training": training},
            "best": self.best_at,
            "elapsed_seconds": self.elapsed,
            "data_sha256": self.source.file_checksums,
        }
        return Checkpoint(tensors, metadata)


def record(run: Run, measured: Measures, validated: Measures, seconds: float) -> list[EpochRow]:
    """Writes what an epoch has shown, and its checkpoints when they are due.

    Args:
        run: with the epoch completed.
        measured: its training.
        validated: its validation.
        seconds: that the training took.

    Returns:
        A row for each seed at work.
    """
    rows = [_row(run, *each, measured, validated, seconds) for each in run.at_work]
    metrics.append(run.directory.steps, _logged(run, measured))
    metrics.append(run.directory.metrics, rows)
    run.latest |= {row.seed: row for row in rows}
    at_work = run.at_work
    _keep_best(run, {replica: run.latest[seed].val_loss for replica, seed in at_work})
    _weigh_evidence(run, validated)
    for replica, _ in at_work:
        run.waited[replica] = run.epoch - run.best_at[replica]["epoch"]
    _save_when_due(run)
    return rows


def _row(
    run: Run, replica: int, seed: int, measured: Measures, validated: Measures, seconds: float
) -> EpochRow:
    loss, metric, grad_norm = (measured.mean(column, replica) for column in measured[:3])
    val_loss, val_metric = (validated.mean(column, replica) for column in validated[:2])
    classes = run.program.signature.head == "softmax"
    floor = run.validation_floors[replica]
    return EpochRow(
        epoch=run.epoch,
        step=run.epoch * len(measured.loss),
        seed=seed,
        loss=loss,
        accuracy=metric if classes else None,
        val_loss=val_loss,
        val_accuracy=val_metric if classes else None,
        bayes_loss=run.floor.loss if run.floor else None,
        learning_rate=run.config.training.rate(run.epoch - 1),
        grad_norm=grad_norm,
        epoch_seconds=seconds,
        elapsed_seconds=run.elapsed,
        val_gap=floor.gap(val_loss) if floor else None,
    )


def _weigh_evidence(run: Run, validated: Measures) -> None:
    """Counts the epochs in a row whose validation shows the task solved."""
    for replica, _ in run.at_work:
        floor = run.validation_floors[replica]
        shown = floor is not None and floor.evident(
            validated.loss[:, replica], validated.labels[:, replica]
        )
        run.evidence[replica] = run.evidence[replica] + 1 if shown else 0


def _keep_best(run: Run, losses: dict[int, float | None]) -> None:
    """Takes over the tensors of each replica whose validation loss is its lowest so far."""
    for replica, loss in losses.items():
        lowest = run.best_at[replica]["val_loss"]
        if loss is None or not math.isfinite(loss) or (lowest is not None and loss >= lowest):
            continue
        run.best_at[replica] = {**run.best_at[replica], "epoch": run.epoch, "val_loss": loss}
        for name, tensor in run.tensors.items():
            run.best.setdefault(name, tensor.copy())[replica] = tensor[replica]
        run.best_changed = True


def _save(run: Run) -> None:
    """Writes the checkpoints."""
    run.checkpoint("last", run.tensors, run.epoch).write(run.directory.last)
    save_best(run)
    run.saved = time.monotonic()


def save_best(run: Run) -> None:
    """Writes the best checkpoint, if it is newer than its file."""
    if run.best_changed:
        epoch = max(best["epoch"] for best in run.best_at)
        run.checkpoint("best", run.best, epoch).write(run.directory.best)
    run.best_changed = False


def _save_when_due(run: Run) -> None:
    training = run.config.training
    every = training.checkpoint_every
    if every.endswith("s"):
        due = time.monotonic() - run.saved >= float(every[:-1])
    else:
        due = run.epoch % int(every) == 0
    if due or run.finished:
        _save(run)


def save_stopped(run: Run, measured: Measures, received: signal.Signals) -> None:
    """Saves the run in the middle of an epoch, and raises StoppedError."""
    progress = {
        f"progress.{name}": np.asarray(array, np.float32)
        for name, array in measured._asdict().items()
    }
    window = len(measured.loss)
    run.checkpoint("last", run.tensors | progress, run.epoch, window).write(run.directory.last)
    save_best(run)
    raise StoppedError(
        f"stopped by {name_of(received)} in epoch {run.epoch + 1}, after window {window}",
        f"`lstmcli eval {pasteable(run.directory.last)}` scores what was saved",
        ExitCode(128 + received),
    )


def _logged(run: Run, measured: Measures) -> Iterator[StepRow]:
    """A row for every 100th window, from the first on, and seed."""
    before = (run.epoch - 1) * len(measured.loss)
    for window in range(0, len(measured.loss), LOGGED_EVERY):
        for replica, seed in run.at_work:
            loss, metric, norm = (float(column[window, replica]) for column in measured[:3])
            accuracy = metric if run.program.signature.head == "softmax" else None
            yield StepRow(run.epoch, before + window + 1, seed, loss, accuracy, norm)


def provenance(run: Run, argv: Sequence[str]) -> dict[str, Any]:
    """What `run.json` says from the start."""
    data, task = run.config.data.data, run.config.data.task
    target, training = run.source.schema.target, run.config.training
    libraries = ("tensorflow", "numpy", "safetensors")
    return {
        "version": __version__,
        "argv": list(argv),
        "seeds": run.config.run.seeds,
        "data_seeds": run.config.run.data_seeds,
        "device": run.program.device,
        "threads": device.threads(),
        "instruction_set": device.instruction_set(),
        "python": platform.python_version(),
        "libraries": {name: version(name) for name in libraries},
        "data": paths.from_folder(run.directory.path, data) if data else task,
        "data_sha256": run.source.checksums(),
        "target": [c.name for c in ((target,) if isinstance(target, Categorical) else target)],
        "classes": run.source.schema.classes,
        "rows": training.rows,
        "steps": training.steps,
        "dropped_steps": run.source.cut.dropped,
        "bayes_loss": run.floor and run.floor.loss,
        "references": [asdict(each) for each in run.references],
        "started": now(),
    }


def now() -> str:
    """The time, as `run.json` has it: UTC, ISO 8601."""
    return datetime.now(UTC).isoformat(timespec="seconds")
