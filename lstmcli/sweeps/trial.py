"""One setting of a sweep, trained and tested: what a worker does, on this machine or another."""

from __future__ import annotations

import math
import shutil
from dataclasses import dataclass, fields
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lstmcli import locks
from lstmcli.errors import DivergedError, ExitCode
from lstmcli.sweeps.grid import Setting, key_names

if TYPE_CHECKING:
    from lstmcli.data.echo import Floor
    from lstmcli.recording import Run
    from lstmcli.runs.metrics import EpochRow


class Status(StrEnum):
    """How a trial ended."""

    COMPLETED = "completed"
    WORSE = "worse than chance"  # Its test loss is far above that of a uniform guess.
    DIVERGED = "diverged"
    FAILED = "failed"


@dataclass(frozen=True)
class TrialRow:
    """One seed of a setting: a row of `trials.csv`, whose swept settings stand after the size.

    Losses are in nats per step and the test loss is of the best checkpoint, on a series that
    neither training nor the choice of the checkpoint saw. `gap` is the test loss minus the oracle's
    on the same labels, `chance` the loss of a uniform guess. `epoch_seconds` is the fastest epoch,
    with as many seeds side by side as `replicas` says. `None` where there is no number.
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
    chance: float | None = None
    replicas: int | None = None


def columns(swept: list[str]) -> list[str]:
    """The columns of `trials.csv`."""
    trial, *rest = (spec.name for spec in fields(TrialRow))
    return [trial, *key_names(swept), *rest]


def failed(setting: Setting, error: str, exit_code: int) -> list[dict[str, Any]]:
    """The rows of a setting whose training failed."""
    return [
        setting.keys
        | vars(TrialRow(trial, seed, setting.parameters, Status.FAILED, exit_code, error=error))
        for seed, trial in setting.trials.items()
    ]


def run(setting: Setting, directory: Path) -> list[dict[str, Any]]:
    """Trains a setting's seeds side by side in a run directory, and tests each seed's best model.

    Returns:
        A row of `trials.csv` for each seed.
    """
    from lstmcli.core import environment

    environment.set_up(setting.config)
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


def _rows(setting: Setting, run: Run, epochs: list[list[Any]]) -> list[dict[str, Any]]:
    tested = _test(setting, run)
    # The first epoch holds the compilation; of the others, the fastest was disturbed least.
    seconds = [rows[0].epoch_seconds for rows in epochs]
    fastest = min(seconds[1:] or seconds, default=None)
    found = []
    for replica, (seed, trial) in enumerate(setting.trials.items()):
        mine = [row for rows in epochs for row in rows if row.seed == seed]
        if not tested or seed in run.diverged or not math.isfinite(tested[replica][0]):
            row = TrialRow(
                trial, seed, setting.parameters, Status.DIVERGED, ExitCode.DIVERGED, len(mine),
                error="the loss became NaN or infinite", chance=run.chance,
            )  # fmt: skip
        else:
            loss, accuracy, floor = tested[replica]
            row = TrialRow(
                trial,
                seed,
                setting.parameters,
                Status.WORSE if loss > run.worse_than_chance_above else Status.COMPLETED,
                ExitCode.DONE,
                epochs=len(mine),
                solved=floor.solved(loss) if floor else None,
                epochs_to_solve=_epochs_to_solve(mine, run.validation_floors[replica]),
                best_val_loss=run.best_at[replica]["val_loss"],
                test_loss=loss,
                test_accuracy=accuracy,
                bayes_loss=floor.loss if floor else None,
                gap=floor.gap(loss) if floor else None,
                epoch_seconds=fastest,
                chance=run.chance,
                replicas=len(setting.trials),
            )
        found.append(setting.keys | vars(row))
    return found


def _epochs_to_solve(rows: list[EpochRow], floor: Floor | None) -> int | None:
    """The first epoch after which the validation loss says that the task is solved."""
    if floor is None:
        return None
    return next((row.epoch for row in rows if (row.val_gap or 0) < floor.line), None)


def _test(setting: Setting, run: Run) -> list[tuple[float, float, Floor | None]]:
    """Loss, accuracy and floor of each seed's best model on its test series.

    The program that validated does it, so that nothing is compiled for it. Empty if no epoch was
    finished.
    """
    from lstmcli.core.batch import Batch
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
