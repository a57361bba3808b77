"""What an epoch leaves on disk: rows, and checkpoints when they are due; and what happened."""

from __future__ import annotations

import functools
import math
import operator
import platform
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any

import numpy as np

from lstmcli import __version__
from lstmcli.core import device, execution
from lstmcli.core.replica_windows import ReplicaWindows, WindowMetrics
from lstmcli.data import outputs
from lstmcli.data.batching import Windows
from lstmcli.data.outputs import OutputErrors
from lstmcli.data.schema import Categorical
from lstmcli.training import checkpointing, metrics, run_dir
from lstmcli.training.metrics import EpochRow, StepRow
from lstmcli.training.state import TrainingState
from lstmcli.utils.files import write_atomically

LOGGED_EVERY = 100  # windows: as often as the article prints its loss


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
    metrics.append_metrics(run.directory.steps, _logged(run, measured))
    metrics.append_metrics(run.directory.metrics, rows)
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
    classes = run.program.spec.head == "softmax"
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
            accuracy = metric if run.program.spec.head == "softmax" else None
            yield StepRow(run.epoch, before + window + 1, seed, loss, accuracy, norm)


def record_targets(run: TrainingState) -> None:
    """Writes the errors of each of several numbers that are predicted, in a file's validation.

    Those of each seed's best model, and of what needs no network. Where one number is predicted, or
    none is validated, there is no such table.
    """
    spec, held_out = run.program.spec, run.source.validation()
    several = spec.head == "linear" and spec.outputs > 1
    if not (several and run.source.splits and held_out and run.best):
        return
    models = zip(run.config.run.seeds, _errors(run, held_out), strict=True)
    known = [(seed, outputs.MODEL, errors) for seed, errors in models]
    without = [
        (None, each.name, each.outputs) for each in run.baselines.found if each.outputs is not None
    ]
    horizon = run.config.data.leads[0]
    table = outputs.table(run.source.schema, horizon, [*known, *without])
    write_atomically(run.directory.targets, table.to_csv(index=False).encode())


def _errors(run: TrainingState, held_out: Sequence[Windows]) -> list[OutputErrors]:
    """The errors of each replica's best model on its windows."""
    found: list[list[OutputErrors]] = [[] for _ in held_out]
    begin = 0
    for readout in run.program.predict(run.best, ReplicaWindows(held_out)):
        for replica, windows in enumerate(held_out):
            arrays = windows.take(begin, len(readout))
            errors = readout[..., replica] - arrays["targets"]
            scored = arrays.get("scored", np.ones(errors.shape[:3], np.bool_))
            found[replica].append(OutputErrors.of(errors[scored]))
        begin += len(readout)
    return [functools.reduce(operator.add, each) for each in found]


def provenance(run: TrainingState, argv: Sequence[str]) -> dict[str, Any]:
    """What `run.json` says from the start."""
    data, task = run.config.data.data, run.config.data.task
    target, training = run.source.schema.target, run.config.training
    return {
        **circumstances(run),
        "argv": list(argv),
        "seeds": run.config.run.seeds,
        "data_seeds": run.config.run.data_seeds,
        "python": platform.python_version(),
        "data": run_dir.path_from_folder(run.directory.base, data) if data else task,
        "data_sha256": run.source.checksums(),
        "task": dict(run.source.example.task),
        "target": [c.name for c in ((target,) if isinstance(target, Categorical) else target)],
        "classes": run.source.schema.classes,
        "rows": training.rows,
        "steps": training.steps,
        "dropped_steps": run.source.cut.dropped,
        "bayes_loss": run.floor and run.floor.loss,
        "references": [each.record for each in run.baselines.found],
        "omitted_references": run.baselines.omitted,
        "started": now(),
    }


def circumstances(run: TrainingState) -> dict[str, Any]:
    """What the bits of a run depend on besides its settings and its data."""
    libraries = ("tensorflow", "numpy", "safetensors")
    return {
        "version": __version__,
        "device": run.program.device,
        "threads": device.threads(),
        "schedule": run.program.schedule,
        "instruction_set": device.instruction_set(),
        "machine": platform.machine(),
        "processor": execution.processor(),
        "libraries": {name: version(name) for name in libraries},
    }


def now() -> str:
    """The time, as `run.json` has it: UTC, ISO 8601."""
    return datetime.now(UTC).isoformat(timespec="seconds")
