"""Writes the metrics of a run to its loggers: one row per epoch and seed."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import repeat
from typing import Protocol

from lstmcli.config import Config
from lstmcli.core.replica_windows import WindowMetrics
from lstmcli.data import outputs
from lstmcli.training import checkpointing, evaluate, metrics
from lstmcli.training.evaluate import Score
from lstmcli.training.metrics import EpochRow, StepRow
from lstmcli.training.run_dir import RunDirectory
from lstmcli.training.state import TrainingState
from lstmcli.training.tensorboard_logging import TensorBoardLogger
from lstmcli.utils.files import write_atomically

LOGGED_EVERY = 100  # windows, as in the article


class MetricLogger(Protocol):
    """A destination for the rows of a run: its tables or TensorBoard's files."""

    def log(self, epochs: Sequence[EpochRow], steps: Sequence[StepRow]) -> None:
        """Logs one row per seed, and one per seed and logged window."""

    def close(self, status: str) -> None:
        """Closes the logger at the end of a run, with the run's status."""


@dataclass(frozen=True)
class CSVLogger:
    """The CSV tables of a run. Rows are on disk before `log` returns."""

    directory: RunDirectory

    def log(self, epochs: Sequence[EpochRow], steps: Sequence[StepRow]) -> None:
        """Adds the rows to `steps.csv`, then to `metrics.csv`, which readers rely on."""
        metrics.append_metrics(self.directory.steps, steps)
        metrics.append_metrics(self.directory.metrics, epochs)

    def close(self, status: str) -> None:
        """Does nothing: every row is already on disk."""


def of_run(config: Config, directory: RunDirectory) -> list[MetricLogger]:
    """The loggers of a run; the tables come first, since a resume relies on them."""
    found: list[MetricLogger] = [CSVLogger(directory)]
    if config.run.tensorboard:
        found.append(TensorBoardLogger(directory, directory.settings(config)))
    return found


def record(
    run: TrainingState, measured: WindowMetrics, validated: WindowMetrics | None, seconds: float
) -> list[EpochRow]:
    """Writes the metrics of an epoch, and the checkpoints when they are due.

    Args:
        run: its state with the epoch completed.
        measured: training metrics.
        validated: validation metrics; `None` without validation, when the last epoch counts as
            best.
        seconds: training time.

    Returns:
        A row for each active seed.
    """
    rows = [_row(run, *each, measured, validated, seconds) for each in run.active_replicas]
    steps = list(_logged(run, measured))
    for logger in run.loggers:
        logger.log(rows, steps)
    run.latest |= {row.seed: row for row in rows}
    active = run.active_replicas
    if validated:
        losses = {replica: run.latest[seed].val_loss for replica, seed in active}
        _keep_best(run, {each: loss for each, loss in losses.items() if _is_lower(run, each, loss)})
        _weigh_evidence(run, validated)
    else:
        _keep_best(run, {replica: None for replica, _ in active})
    for replica, _ in active:
        run.epochs_since_best[replica] = run.epoch - run.best_epochs[replica]["epoch"]
    checkpointing.save_when_due(run)
    return rows


def _row(
    run: TrainingState,
    replica: int,
    seed: int,
    measured: WindowMetrics,
    validated: WindowMetrics | None,
    seconds: float,
) -> EpochRow:
    loss, metric, grad_norm = (measured.mean(column, replica) for column in measured[:3])
    val_loss, val_metric = (
        (validated.mean(column, replica) if validated else None)
        for column in (validated or measured)[:2]
    )
    target = run.source.schema.target_kind
    floor = run.validation_floors[replica]
    return EpochRow(
        epoch=run.epoch,
        step=run.epoch * len(measured.loss),
        seed=seed,
        loss=loss,
        accuracy=target.accuracy(metric),
        val_loss=val_loss,
        val_accuracy=target.accuracy(val_metric),
        bayes_loss=run.floor.loss if run.floor else None,
        learning_rate=run.config.training.rate(run.epoch - 1),
        grad_norm=grad_norm,
        epoch_seconds=seconds,
        elapsed_seconds=run.elapsed,
        val_gap=floor.gap(val_loss) if floor and val_loss is not None else None,
    )


def _weigh_evidence(run: TrainingState, validated: WindowMetrics) -> None:
    """Counts the consecutive epochs whose validation shows that the task is solved."""
    for replica, _ in run.active_replicas:
        floor = run.validation_floors[replica]
        shown = floor is not None and floor.evident(
            validated.loss[:, replica], validated.labels[:, replica]
        )
        run.solved_streak[replica] = run.solved_streak[replica] + 1 if shown else 0


def _is_lower(run: TrainingState, replica: int, loss: float | None) -> bool:
    """Whether a validation loss is the replica's lowest so far."""
    lowest = run.best_epochs[replica]["val_loss"]
    return loss is not None and math.isfinite(loss) and (lowest is None or loss < lowest)


def _keep_best(run: TrainingState, losses: dict[int, float | None]) -> None:
    """Stores the tensors and validation losses of some replicas as their best."""
    for replica, loss in losses.items():
        run.best_epochs[replica] = {
            **run.best_epochs[replica],
            "epoch": run.epoch,
            "val_loss": loss,
        }
        for name, tensor in run.tensors.items():
            run.best.setdefault(name, tensor.copy())[replica] = tensor[replica]
        run.best_changed = True


def _logged(run: TrainingState, measured: WindowMetrics) -> Iterator[StepRow]:
    """A row per seed for every 100th window, starting with the first."""
    before = (run.epoch - 1) * len(measured.loss)
    for window in range(0, len(measured.loss), LOGGED_EVERY):
        for replica, seed in run.active_replicas:
            loss, metric, norm = (float(column[window, replica]) for column in measured[:3])
            accuracy = run.source.schema.target_kind.accuracy(metric)
            yield StepRow(run.epoch, before + window + 1, seed, loss, accuracy, norm)


def record_targets(run: TrainingState) -> None:
    """Writes the validation errors of each target, if a file has several numeric targets.

    The table has the errors of each seed's best model and of the baselines.
    """
    held_out = run.source.validation()
    several = len(run.source.schema.numeric_targets) > 1
    if not (several and run.source.splits and held_out and run.best):
        return
    seeds, schema = run.config.run.seeds, run.source.schema
    scores = [Score(*each, None) for each in zip(seeds, repeat(schema), held_out)]
    evaluate.add_readouts(run.program, run.best, scores)
    known = [(each.seed, outputs.MODEL, each.outputs) for each in scores if each.outputs]
    without = [
        (None, each.name, each.outputs) for each in run.baselines.found if each.outputs is not None
    ]
    horizon = run.config.data.leads[0]
    table = outputs.table(schema, horizon, [*known, *without])
    write_atomically(run.directory.targets, table.to_csv(index=False).encode())
