"""Trains and tests one setting of a sweep, in a worker on this or another machine."""

from __future__ import annotations

import math
import shutil
from collections.abc import Mapping
from contextlib import closing, suppress
from dataclasses import dataclass, fields, replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lstmcli.config import Config
from lstmcli.core import execution
from lstmcli.sweeps.grid import TrialGroup, key_names
from lstmcli.training import load, metrics, run_dir
from lstmcli.training.metrics import EpochRow
from lstmcli.training.run_dir import RunDirectory
from lstmcli.utils import locks
from lstmcli.utils.errors import DivergedError, ExitCode, LstmcliError, UsageError

if TYPE_CHECKING:
    import pandas as pd

    from lstmcli.data.baselines import Baseline
    from lstmcli.data.batching import Windows
    from lstmcli.data.datasets import Source
    from lstmcli.data.tasks.echo import BayesLoss
    from lstmcli.training.initial_weights import InitialModel
    from lstmcli.training.state import TrainingState


@dataclass(frozen=True)
class Contents:
    """The contents of a setting's input files, for training on a machine without these files.

    Attributes:
        source: the data.
        begin: the model whose weights training starts from; `None` for random weights.
    """

    source: Source
    begin: InitialModel | None


def read_files(config: Config) -> Contents:
    """Reads the input files that settings name.

    Raises:
        FileError: a file is missing or damaged, or does not fit.
    """
    from lstmcli.training import initial_weights

    begin = config.training.init_from
    return Contents(
        initial_weights.open_source(config), initial_weights.read(Path(begin)) if begin else None
    )


class LostRows(list[dict[str, Any]]):
    """The rows of a setting whose worker was killed or lost."""


class Status(StrEnum):
    """How a trial ended."""

    COMPLETED = "completed"
    WORSE = "worse than chance"  # Its test loss is far above a uniform guess's.
    DIVERGED = "diverged"
    FAILED = "failed"
    TRIED = "tried"  # Used only for tuning; not compared.
    DROPPED = "dropped"  # The same, and stopped at its pause as clearly worse.


@dataclass(frozen=True)
class TrialRow:
    """One seed of a setting: a row of `trials.csv`, where the swept settings follow the size.

    Losses are in nats per step, or squared errors of standardised numbers. What is not measured is
    an empty cell.

    Attributes:
        trial: name of the trial: its settings and its seed.
        seed: the seed.
        parameters: weights of the network.
        status: `completed`, `worse than chance`, `diverged` or `failed`; `tried` or `dropped` if it
            only helped to choose what `--tune` names.
        exit_code: what `lstmcli train` would have ended with.
        epochs: epochs completed.
        solved: whether the task is solved: the excess loss is below 1 % of the difference between
            chance and the Bayes loss.
        epochs_to_solve: epochs until it was solved in validation.
        best_val_loss: lowest validation loss.
        test_loss: loss of the best checkpoint on a test series, which neither training nor the
            choice of the checkpoint saw.
        test_accuracy: share of the test steps predicted correctly; for classes.
        bayes_loss: Bayes loss of the test series, if it is known.
        gap: excess loss: the test loss minus the Bayes loss on the same labels.
        epoch_seconds: seconds of its fastest epoch, in which `replicas` seeds were trained.
        error: why it failed.
        chance: loss of a uniform guess of the class, or of the mean of a number.
        replicas: how many seeds were trained together in one run, including this one.
        reference: the best baseline: the predictor without a network that has the lowest test loss.
        reference_loss: loss of that baseline on the same labels.
        seconds: seconds from the start of the run, which it shares with other seeds, to its own
            last epoch.
        run_dir: directory of that run, relative to the sweep's.
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
    reference: str | None = None
    reference_loss: float | None = None
    seconds: float | None = None
    run_dir: str = ""


def columns(swept: list[str]) -> list[str]:
    """The columns of `trials.csv`."""
    trial, *rest = (spec.name for spec in fields(TrialRow))
    return [trial, *key_names(swept), *rest]


def lost(setting: TrialGroup, why: str) -> LostRows:
    """The rows of a setting whose worker was killed or lost."""
    return LostRows(failed(setting, f"its worker was lost: {why}", ExitCode.FAILED))


def failed(setting: TrialGroup, error: str, exit_code: int) -> list[dict[str, Any]]:
    """The rows of a setting whose training failed."""
    return [
        setting.keys
        | vars(
            TrialRow(
                trial,
                seed,
                setting.parameters,
                Status.FAILED,
                exit_code,
                error=error,
                run_dir=setting.run_dir,
            )
        )
        for seed, trial in setting.trials.items()
    ]


def run(
    setting: TrialGroup,
    directory: Path,
    moves_to: Path | None = None,
    contents: Contents | None = None,
) -> list[dict[str, Any]]:
    """Trains a setting's seeds together in one run directory, and tests each seed's best model.

    An existing run of a stopped sweep is resumed.

    Args:
        setting: what to train.
        directory: the run directory.
        moves_to: the directory that the files will be moved to, if any.
        contents: the contents of its input files, if they have been read already.

    Returns:
        A row of `trials.csv` for each seed; no rows if the training pauses before its end.
    """
    from lstmcli.sweeps.data_info import check_unchanged

    execution.set_up(setting.config, setting.spec.features)

    if contents is None:
        contents = read_files(setting.config)
    else:  # Read for one of the settings with the same data.
        contents = replace(contents, source=contents.source.with_config(setting.config))
    source = contents.source
    check_unchanged(source, setting.material.digest)
    source.known_baselines.update(setting.material.baselines)
    run = _resumed(directory, contents, moves_to) or _begun(directory, contents, moves_to)
    with suppress(DivergedError):  # The run knows which seeds diverged; the others count.
        if not _train(run, setting):
            return []
    return _rows(setting, run)


def _train(run: TrainingState, setting: TrialGroup) -> bool:
    """Trains a run until it ends or pauses; returns whether it has ended."""
    from lstmcli.training import checkpointing, trainer

    with closing(trainer.train(run, ["sweep", setting.name])) as progress:
        for _ in progress:
            if setting.until and run.epoch >= setting.until and not run.finished:
                checkpointing.save(run)
                return False
    return True


def tried(setting: TrialGroup, run: TrainingState) -> list[dict[str, Any]]:
    """The rows of a setting used only for tuning, with validation losses only."""
    rows, found = metrics.read_metrics(run.directory.metrics), []
    for replica, (seed, trial) in enumerate(setting.trials.items()):
        mine, lost = [row for row in rows if row.seed == seed], seed in run.diverged
        solved_at = _epochs_to_solve(mine, run.validation_floors[replica])
        known = run.floor is not None
        row = TrialRow(
            trial,
            seed,
            setting.parameters,
            Status.TRIED,
            ExitCode.DONE,
            epochs=len(mine),
            solved=solved_at is not None if known else None,
            epochs_to_solve=solved_at,
            best_val_loss=None if lost else run.best_epochs[replica]["val_loss"],
            error="the loss became NaN or infinite" if lost else "",
            chance=run.chance,
            replicas=len(setting.trials),
            seconds=_seconds(mine),
            run_dir=setting.run_dir,
        )
        found.append(setting.keys | vars(row))
    return found


def paused(
    setting: TrialGroup, curves: Mapping[int, pd.DataFrame], status: Status = Status.TRIED
) -> list[dict[str, Any]]:
    """The rows of a setting that does not continue after its pause.

    Args:
        setting: the setting.
        curves: the rows of `metrics.csv` of each seed.
        status: the status of the rows.
    """
    found = []
    for seed, trial in setting.trials.items():
        known = curves[seed]
        row = TrialRow(
            trial,
            seed,
            setting.parameters,
            status,
            ExitCode.DONE,
            epochs=len(known),
            best_val_loss=float(known.val_loss.min()) if len(known) else None,
            seconds=float(known.elapsed_seconds.max()) if len(known) else None,
            chance=setting.material.facts.chance.loss,
            replicas=len(setting.trials),
            run_dir=setting.run_dir,
        )
        found.append(setting.keys | vars(row))
    return found


def _begun(directory: Path, contents: Contents, moves_to: Path | None) -> TrainingState:
    """A new run."""
    from lstmcli.training import trainer

    place = replace(run_dir.create(directory, "", overwrite=False), moves_to=moves_to)
    with place.cleanup_on_error():
        source = contents.source
        return trainer.prepare(source.config, place, source, begin=contents.begin)


def _resumed(directory: Path, contents: Contents, moves_to: Path | None) -> TrainingState | None:
    """The existing run, resumed. If it cannot be, its directory is deleted: `None`.

    Raises:
        UsageError: another process writes to it.
    """
    if not directory.is_dir():
        return None
    with locks.lock(directory):  # A killed sweep's worker may still use it.
        with suppress(LstmcliError):
            return _put_back(RunDirectory(directory, moves_to=moves_to), contents)
        shutil.rmtree(directory, ignore_errors=True)
    return None


def _put_back(place: RunDirectory, contents: Contents) -> TrainingState:
    """Restores the run of a directory.

    Raises:
        LstmcliError: it is damaged, or would not end as it would have without an interruption.
    """
    from lstmcli.training import resume, resume_state, trainer

    source = contents.source
    found = resume_state.load_resume_state(place, {}, data_is_open=True)
    known = Config.build(found.status[run_dir.SETTINGS])  # With defaults, if it is older.
    device = source.config.run.device
    known = replace(known, run=replace(known.run, device=device))  # Ignores device names.
    same = execution.on_gpu(device) == execution.on_gpu(found.status["device"])
    if execution.on_gpu(device):
        found = replace(found, other_device=device)  # Any device of the same kind.
    if not same or (
        load.fixed_settings(known.to_dict()) != load.fixed_settings(source.config.to_dict())
    ):
        raise UsageError(f"`{place.path}` has other settings")
    run = trainer.prepare(source.config, place, source, found, contents.begin)
    if changes := resume.notes(run, found):
        raise UsageError(changes[0])
    return run


def _rows(setting: TrialGroup, run: TrainingState) -> list[dict[str, Any]]:
    if setting.tuning:
        return tried(setting, run)
    windows = run.source.test()
    tested = _test(run, windows)
    rows = metrics.read_metrics(run.directory.metrics)  # Includes those before a resume.
    # The first epoch includes compiling; of the others, the fastest was disturbed least.
    seconds = list({row.epoch: row.epoch_seconds for row in rows}.values())
    fastest = min(seconds[1:] or seconds, default=None)
    found = []
    for replica, (seed, trial) in enumerate(setting.trials.items()):
        mine = [row for row in rows if row.seed == seed]
        naive, best = _baselines(run, windows[replica])
        known: dict[str, Any] = {
            "epochs": len(mine),
            "chance": run.chance,
            "reference": best.name if best else None,
            "reference_loss": best.loss if best else None,
            "seconds": _seconds(mine),
            "run_dir": setting.run_dir,
        }
        which = trial, seed, setting.parameters
        if not tested or seed in run.diverged or not math.isfinite(tested[replica][0]):
            error = "the loss became NaN or infinite"
            row = TrialRow(*which, Status.DIVERGED, ExitCode.DIVERGED, error=error, **known)
        else:
            loss, accuracy, floor = tested[replica]
            row = TrialRow(
                *which,
                Status.WORSE if loss > _worst(run, naive) else Status.COMPLETED,
                ExitCode.DONE,
                solved=floor.solved(loss) if floor else None,
                epochs_to_solve=_epochs_to_solve(mine, run.validation_floors[replica]),
                best_val_loss=run.best_epochs[replica]["val_loss"],
                test_loss=loss,
                test_accuracy=accuracy,
                bayes_loss=floor.loss if floor else None,
                gap=floor.gap(loss) if floor else None,
                epoch_seconds=fastest,
                replicas=len(setting.trials),
                **known,
            )
        found.append(setting.keys | vars(row))
    return found


def _seconds(rows: list[EpochRow]) -> float | None:
    return rows[-1].elapsed_seconds if rows else None


def _epochs_to_solve(rows: list[EpochRow], floor: BayesLoss | None) -> int | None:
    """The first epoch after which the task is solved by the validation loss."""
    if floor is None:
        return None
    return next((row.epoch for row in rows if (row.val_gap or 0) < floor.line), None)


def _baselines(run: TrainingState, windows: Windows) -> tuple[Baseline | None, Baseline | None]:
    """The baseline that predicts the mean or the class frequencies, and the best baseline.

    For a dataset, they are those of its test part; for a task, both are its paper's baseline.
    """
    from lstmcli.data import tasks
    from lstmcli.data.baselines import Baseline

    if run.source.splits is None:
        known = tasks.baseline(windows.series)
        baseline = Baseline(*known) if known else None
        return baseline, baseline
    baselines = run.source.baselines_of_test_part
    return next(iter(baselines.found), None), baselines.best


def _worst(run: TrainingState, naive: Baseline | None) -> float:
    """The test loss above which a guess is far better.

    The limit is higher for a test part so different from the training part that a guess does badly.
    """
    return run.worse_than_chance_above * max(1.0, (naive.loss if naive else 0) / run.chance)


def _test(
    run: TrainingState, windows: list[Windows]
) -> list[tuple[float, float | None, BayesLoss | None]]:
    """The loss, accuracy and Bayes loss of each seed's best model on its test series.

    This uses the validation program, so that nothing is compiled. Empty if no epoch was completed.
    """
    from lstmcli.core.replica_windows import ReplicaWindows
    from lstmcli.data.datasets import floor_of

    if not run.best:
        return []
    measures = run.program.evaluate(run.best, ReplicaWindows(windows))
    target = run.source.schema.target_kind
    return [
        (
            measures.mean(measures.loss, replica),
            target.accuracy(measures.mean(measures.metric, replica)),
            floor_of(each),
        )
        for replica, each in enumerate(windows)
    ]
