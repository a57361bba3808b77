"""One setting of a sweep, trained and tested: what a worker does, on this machine or another."""

from __future__ import annotations

import shutil
import statistics
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from lstmcli import locks
from lstmcli.errors import DivergedError
from lstmcli.sweep.grid import Setting


@dataclass(frozen=True)
class TrialRow:
    """One seed of a setting: a row of `trials.csv`, whose swept settings stand after the size.

    Losses are in nats per step and the test loss is of the best checkpoint, on a series that
    neither training nor the choice of the checkpoint saw. `None` where there is no number.
    """

    trial: str
    seed: int
    parameters: int
    status: str
    exit_code: int
    epochs: int = 0
    solved: bool | None = None
    epochs_to_solve: int | None = None
    best_val_loss: float | None = None
    test_loss: float | None = None
    test_accuracy: float | None = None
    bayes_loss: float | None = None
    gap: float | None = None
    epoch_seconds: float | None = None
    error: str = ""


def columns(swept: list[str]) -> list[str]:
    """The columns of `trials.csv`."""
    trial, *rest = (spec.name for spec in fields(TrialRow))
    return [trial, "layers", "state_size", *swept, *rest]


def failed(setting: Setting, error: str, exit_code: int) -> list[dict[str, Any]]:
    """The rows of a setting whose training failed."""
    return [
        setting.keys
        | vars(TrialRow(trial, seed, setting.parameters, "failed", exit_code, error=error))
        for seed, trial in setting.trials.items()
    ]


def run(setting: Setting, directory: Path) -> list[dict[str, Any]]:
    """Trains a setting's seeds side by side in a run directory, and tests each seed's best model.

    Returns:
        A row of `trials.csv` for each seed.
    """
    from lstmcli.core import environment

    environment.use_cache(setting.config)
    from lstmcli import experiment
    from lstmcli.runs import rundir

    if directory.is_dir():
        with locks.held(directory):  # A killed sweep's worker may still be at it.
            shutil.rmtree(directory, ignore_errors=True)
    place = rundir.create(directory, "", overwrite=False)
    with place.given_back():
        run = experiment.prepare(setting.config, place)
    epochs: list[list[Any]] = []
    try:
        for record in experiment.train(run, ["sweep", setting.name]):
            if not isinstance(record, experiment.Progress):
                epochs.append(record)
    except DivergedError:
        pass  # Which seeds it met shows in their losses; the others count.
    return _rows(setting, run, epochs)


def _rows(setting: Setting, run: Any, epochs: list[list[Any]]) -> list[dict[str, Any]]:
    tested = _test(setting, run)
    seconds = [rows[0].epoch_seconds for rows in epochs]
    found = []
    for replica, (seed, trial) in enumerate(setting.trials.items()):
        best = run.best_at[replica]["val_loss"]
        mine = [rows[replica] for rows in epochs]
        if not tested or seed in run.diverged:
            row = TrialRow(
                trial, seed, setting.parameters, "diverged", 5, len(epochs),
                error="the loss became NaN or infinite",
            )  # fmt: skip
        else:
            loss, accuracy, floor = tested[replica]
            solving = (each.epoch for each in mine if floor and floor.solved(each.val_loss))
            row = TrialRow(
                trial,
                seed,
                setting.parameters,
                status="completed",
                exit_code=0,
                epochs=len(epochs),
                solved=floor.solved(loss) if floor else None,
                epochs_to_solve=next(solving, None),
                best_val_loss=best,
                test_loss=loss,
                test_accuracy=accuracy,
                bayes_loss=floor.loss if floor else None,
                gap=loss - floor.loss if floor else None,
                # The first epoch holds the compilation.
                epoch_seconds=statistics.median(seconds[1:] or seconds),
            )
        found.append(setting.keys | vars(row))
    return found


def _test(setting: Setting, run: Any) -> list[tuple[float, float, Any]]:
    """Loss, accuracy and floor of each seed's best model on its test series.

    The program that validated does it, so that nothing is compiled for it. Empty if no epoch was
    finished.
    """
    from lstmcli.core.program import Batch
    from lstmcli.data.echo import bayes_floor
    from lstmcli.data.source import series_to_test

    if not run.best:
        return []
    training = setting.config.training
    _, series = series_to_test(setting.config, None)
    windows = [each.windows(training.batch_size, training.bptt) for each in series]
    measures = run.program.evaluate(run.best, Batch.stack(windows))
    means = (column.mean(0, dtype="float64").tolist() for column in measures[:2])
    floors = [bayes_floor(*each) for each in zip(series, (w.layout for w in windows), strict=True)]
    return list(zip(*means, floors, strict=True))
