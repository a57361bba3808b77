"""Where the metrics of a run go: a row an epoch and seed, to each of its loggers."""

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

LOGGED_EVERY = 100  # windows: as often as the article prints its loss


class MetricLogger(Protocol):
    """Where the rows of a run go as its epochs end: its tables, TensorBoard's files, the screen."""

    def log(self, epochs: Sequence[EpochRow], steps: Sequence[StepRow]) -> None:
        """Takes a row for each seed, and one for each of its windows that are logged."""

    def close(self, status: str) -> None:
        """Takes how the run has ended: no row comes any more."""


@dataclass(frozen=True)
class CSVLogger:
    """The tables of a run's directory: they are on disk before `log` returns."""

    directory: RunDirectory

    def log(self, epochs: Sequence[EpochRow], steps: Sequence[StepRow]) -> None:
        """Adds the rows to `steps.csv` and `metrics.csv`, which is counted on, in this order."""
        metrics.append_metrics(self.directory.steps, steps)
        metrics.append_metrics(self.directory.metrics, epochs)

    def close(self, status: str) -> None:
        """Has nothing left to do."""


def of_run(config: Config, directory: RunDirectory) -> list[MetricLogger]:
    """Where the rows of a run go: the tables first, as a resume counts on them."""
    found: list[MetricLogger] = [CSVLogger(directory)]
    if config.run.tensorboard:
        found.append(TensorBoardLogger(directory, directory.settings(config)))
    return found


def record(
    run: TrainingState, measured: WindowMetrics, validated: WindowMetrics | None, seconds: float
) -> list[EpochRow]:
    """Writes what an epoch has shown, and its checkpoints when they are due.

    Args:
        run: with the epoch completed.
        measured: its training.
        validated: its validation; `None` where there is none, and the last epoch is the best.
        seconds: that the training took.

    Returns:
        A row for each seed at work.
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
    """Counts the epochs in a row whose validation shows the task solved."""
    for replica, _ in run.active_replicas:
        floor = run.validation_floors[replica]
        shown = floor is not None and floor.evident(
            validated.loss[:, replica], validated.labels[:, replica]
        )
        run.solved_streak[replica] = run.solved_streak[replica] + 1 if shown else 0


def _is_lower(run: TrainingState, replica: int, loss: float | None) -> bool:
    """Whether a validation loss is a replica's lowest so far."""
    lowest = run.best_epochs[replica]["val_loss"]
    return loss is not None and math.isfinite(loss) and (lowest is None or loss < lowest)


def _keep_best(run: TrainingState, losses: dict[int, float | None]) -> None:
    """Takes over the tensors of some replicas, and their validation losses."""
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
    """A row for every 100th window, from the first on, and seed."""
    before = (run.epoch - 1) * len(measured.loss)
    for window in range(0, len(measured.loss), LOGGED_EVERY):
        for replica, seed in run.active_replicas:
            loss, metric, norm = (float(column[window, replica]) for column in measured[:3])
            accuracy = run.source.schema.target_kind.accuracy(metric)
            yield StepRow(run.epoch, before + window + 1, seed, loss, accuracy, norm)


def record_targets(run: TrainingState) -> None:
    """Writes the errors of each of several numbers that are predicted, in a file's validation.

    Those of each seed's best model, and of what needs no network. Where one number is predicted, or
    none is validated, there is no such table.
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
