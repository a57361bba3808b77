"""The commands as Python functions: `lstmcli.train(layers=3)`, `lstmcli.sweep(layers=[1, 2, 3])`.

Settings are keywords, named as the options are (`state_size` for `--state-size`), with the same
defaults and checks. Nothing is printed. The command line calls these functions.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from lstmcli.config import (
    NOT_SWEPT,
    OF_TENSORFLOW,
    OF_THE_CHECKPOINT,
    OF_THE_FILE,
    ONE_IN_A_SWEEP,
    Config,
    RunConfig,
    SweepConfig,
    plain_settings,
)
from lstmcli.data.table import memory as in_memory
from lstmcli.data.tasks import dataset
from lstmcli.inference.export import export
from lstmcli.inference.forecast import forecast_checkpoint as forecast
from lstmcli.inference.predict import predict
from lstmcli.probes import run as probes
from lstmcli.reporting.plot import plot
from lstmcli.reporting.runs import runs
from lstmcli.reporting.write_page import report
from lstmcli.signatures import with_keywords_in_errors, with_settings
from lstmcli.training import load, resume_state, run_dir
from lstmcli.training.checkpoint import Checkpoint
from lstmcli.training.load import AnyPath, open_checkpoint
from lstmcli.training.resume_state import ResumeState
from lstmcli.training.run_dir import RunDirectory
from lstmcli.utils import files, notebook
from lstmcli.utils.errors import StoppedError, UsageError, describe_os_error
from lstmcli.utils.settings import option_name

if TYPE_CHECKING:
    import pandas as pd

    from lstmcli.data.baselines import Baseline
    from lstmcli.data.datasets import Source
    from lstmcli.data.table.memory import InMemory
    from lstmcli.sweeps.plan import Plan
    from lstmcli.sweeps.run import Result
    from lstmcli.sweeps.sweep_dir import SweepDirectory
    from lstmcli.training.evaluate import Score
    from lstmcli.training.state import TrainingState

MANY_CLASSES, MOST_PROBABLE = 100, 10
"""Above the first number of classes, only so many probabilities are kept for each step."""

_OF_A_RUN = {spec.name for spec in fields(RunConfig)} - {"seed"}
generate = with_settings("data", "run", leave_out={"data", *OF_THE_FILE, *_OF_A_RUN})(
    dataset.generate
)
probe = with_settings("data", "run", leave_out=(*OF_THE_CHECKPOINT, *OF_TENSORFLOW))(probes.probe)

__all__ = [
    "Evaluation",
    "TrainedRun",
    "evaluate",
    "export",
    "forecast",
    "generate",
    "plot",
    "predict",
    "probe",
    "report",
    "runs",
    "sweep",
    "train",
]


@cache
def for_python(name: str) -> Any:
    """A verb as `import lstmcli` has it: its errors speak of keywords, not of options."""
    verbs = {each: globals()[each] for each in __all__ if each.islower()}
    verb = with_keywords_in_errors(verbs[name], verbs)
    verb.__module__, verb.__name__, verb.__qualname__ = "lstmcli", name, name  # To be pickled.
    return verb


@dataclass(frozen=True)
class TrainedRun:
    """A run on disk.

    Attributes:
        directory: its run directory.
    """

    directory: Path

    def __fspath__(self) -> str:
        """The run directory, so that a run can be passed wherever a path can."""
        return str(self.directory)

    @property
    def metrics(self) -> pd.DataFrame:
        """A row for each epoch and seed: the columns of `metrics.csv`."""
        import pandas as pd

        return pd.read_csv(RunDirectory(self.directory).metrics)

    def _repr_html_(self) -> str:
        status = RunDirectory(self.directory).read_status()
        sentence = f"{self.directory}: {status['status']}, {status.get('epochs', 0)} epochs"
        figures = sorted(RunDirectory(self.directory).figures.glob("*.png"))
        return notebook.to_html([sentence], self.metrics, figures)

    @property
    def checkpoint(self) -> Checkpoint:
        """The best checkpoint: each seed's model at its lowest validation loss."""
        return load.read_own_checkpoint(self.directory)[1]


@dataclass(frozen=True)
class Evaluation:
    """The scores of a checkpoint's models on a series.

    Attributes:
        checkpoint: the file.
        data: what they were scored on, in words.
        scores: one for each seed.
        notes: remarks on the data.
        baselines: predictors without a network, scored on the same steps.
        epochs: how many each seed's model was trained for.
        outputs: if several numbers are predicted, the errors on each, of the models and of the
            baselines: the columns of `targets.csv`; `None` for one number and for classes.
    """

    checkpoint: Path
    data: str
    scores: list[Score]
    notes: list[str]
    baselines: list[Baseline]
    epochs: list[int]
    outputs: pd.DataFrame | None = None

    @property
    def table(self) -> pd.DataFrame:
        """A row for each seed, then one for each baseline, with the loss and other measures."""
        import pandas as pd

        models = [
            {"name": f"seed {score.seed}", "loss": score.loss, "accuracy": score.accuracy}
            for score in self.scores
        ]
        baselines = [vars(baseline) for baseline in self.baselines]
        return pd.DataFrame([*models, *baselines])[["name", "loss", "accuracy"]]

    def _repr_html_(self) -> str:
        sentences = [f"{self.checkpoint} on {self.data}", *self.notes]
        return notebook.to_html(sentences, self.table)


@with_settings("model", "data", "training", "run", in_memory=True)
def train(
    out: AnyPath | None = None,
    *,
    overwrite: bool = False,
    resume: AnyPath | None = None,
    other_device: bool = False,
    progress: bool | None = None,
    **settings: Any,
) -> TrainedRun:
    """Trains a stack of LSTM layers, one seed or several side by side.

    Args:
        out: the run directory; by default a new one in `runs`.
        overwrite: whether a run that is there already may be deleted.
        resume: the directory of a run to continue; a complete run stays unchanged.
        other_device: whether a resumed run may use another `device`; its last bits will differ.
        progress: whether a bar is shown; by default in a notebook that has `ipywidgets`.
        settings: of the model, the data, the training and the run. With `resume`, only more
            `epochs`, another `patience`, and settings that no result depends on. `data` may be a
            pandas DataFrame or arrays `[rows]` by name, which the run directory keeps as
            `data.parquet`; or a Series, whose next value is predicted unless `target` and
            `horizon` say otherwise.

    Raises:
        LstmcliError: with the message that `lstmcli train` would print.
    """
    settings = plain_settings(settings)
    if not isinstance(progress, bool | None):
        raise UsageError(f"`progress` must be true or false, got {progress!r}")
    data = settings.get("data")
    if resume is not None:
        own = in_memory.is_in_memory(data)  # It has its table.
        check_alone("resume", {"out": out, "overwrite": overwrite, "data": own})
        directory = RunDirectory(run_dir.follow_latest(Path(resume)))
        return _resume(directory, settings, other_device, progress)
    check_resumed(other_device, resume)
    if not in_memory.is_in_memory(data):
        return _begin(out, overwrite, settings, progress)
    with in_memory.as_file(data) as file:
        known = in_memory.settings_of(data)
        settings = {**known, **settings, "data": str(file)}
        return _begin(out, overwrite, settings, progress, file.read_bytes())


def _begin(
    out: AnyPath | None,
    overwrite: bool,
    settings: Mapping[str, Any],
    progress: bool | None,
    table: bytes | None = None,
) -> TrainedRun:
    """Trains a new run; `table` is saved in its directory as `data.parquet`."""
    opened = open_data(Config.build(**settings))
    directory = run_dir.create(Path(out) if out else None, label(opened.config), overwrite)
    with directory.lock():
        if table is not None:
            kept = opened.config.replaced(data=str(directory.data))
            opened = replace(opened, config=kept)
        run = prepare(opened, directory)
        run.table = table
        _train(run, progress)
    return TrainedRun(directory.path)


def _resume(
    directory: RunDirectory, settings: Mapping[str, Any], other_device: bool, progress: bool | None
) -> TrainedRun:
    with held_run(directory):
        found = resume_state.load_resume_state(directory, settings, other_device)
        check_data(found)
        if not found.complete:
            _train(prepare(open_data(found.config, found), directory, found), progress)
        elif not found.is_drawn:
            draw(directory)
    return TrainedRun(directory.path)


def _train(run: TrainingState, progress: bool | None) -> None:
    from rich import get_console
    from rich.progress import Progress

    from lstmcli.training import trainer

    shown = progress
    if progress is None:  # A notebook draws a bar with widgets alone.
        shown = get_console().is_jupyter and find_spec("ipywidgets") is not None
    with Progress(disable=not shown) as bar:
        task = bar.add_task("training", total=run.config.training.epochs, completed=run.epoch)
        for event in trainer.train(run, ["lstmcli.train"]):
            if isinstance(event, list):
                loss = sum(row.loss for row in event) / len(event)
                bar.update(task, completed=run.epoch, description=f"loss {loss:.4g}")
    draw(run.directory, run.source)


def check_alone(name: str, others: Mapping[str, object]) -> None:
    """Refuses options that have no effect together with another one.

    Raises:
        UsageError: one of them is given.
    """
    for other, value in others.items():
        if value:
            option = f"`{option_name(other)}`"
            raise UsageError(
                f"{option} has no effect with `{option_name(name)}`", f"leave {option} out"
            )


def check_resumed(other_device: bool, resume: AnyPath | None) -> None:
    """Refuses `--other-device` for a new run.

    Raises:
        UsageError: it is given without `--resume`.
    """
    if other_device and resume is None:
        raise UsageError(
            "`--other-device` has no effect without `--resume`: a new run may have any",
            "leave `--other-device` out",
        )


@contextmanager
def held_run(directory: RunDirectory) -> Iterator[None]:
    """Locks the directory of an existing run.

    Raises:
        FileError: it holds no run.
        UsageError: another process is writing to it.
    """
    resume_state.check_run(directory)  # Before a lock file is created there.
    with directory.lock():
        yield


def label(config: Config) -> str:
    """The part of a run directory's default name that follows the date."""
    data = config.data.data
    what = config.data.task if data is None else _word(files.shown(Path(data)).split(".")[0])
    return f"{what}-{config.model.layers}x{config.model.state_size}"


def _word(name: str) -> str:
    """A file's name, fit for a directory's name."""
    return re.sub(r"[^A-Za-z0-9_]+", "-", name).strip("-")[:24] or "data"


def check_data(found: ResumeState) -> None:
    """Checks data that is given for a complete run, which would otherwise be ignored.

    Raises:
        LstmcliError: it is other data, or cannot be read.
    """
    if found.complete and found.data is not None:
        opened = open_data(found.config, found).of_task(found.status.get("task"))
        found.check_data(opened.checksums())


def open_data(config: Config, found: ResumeState | None = None) -> Source:
    """Opens the data of a run; settings that were not given follow from it.

    Args:
        config: all settings.
        found: the run to be resumed, if there is one.

    Raises:
        LstmcliError: the data cannot be used with these settings.
    """
    from lstmcli.training import initial_weights, tensorboard_logging

    tensorboard_logging.check_installed(config)
    try:
        return initial_weights.open_source(config, found)
    except UsageError as error:
        if found is None or found.data is None:
            raise  # Else: what the run's settings say of its file means nothing for this one.
        raise found.other_data("begin another run with that file") from error


def prepare(
    opened: Source, directory: RunDirectory, found: ResumeState | None = None
) -> TrainingState:
    """Loads TensorFlow, set up as the data requires, and prepares a run.

    Args:
        opened: the data.
        directory: of the run.
        found: the run to be resumed, if there is one.

    Raises:
        LstmcliError: the data or the device cannot be used.
    """
    _load(opened, found)
    from lstmcli.training import trainer

    return trainer.prepare(opened.config, directory, opened, found)


def _load(opened: Source, found: ResumeState | None = None) -> None:
    """Loads TensorFlow, set up for the programs that the data needs."""
    from lstmcli.core import execution, memory_use

    config = opened.config
    memory_use.check_model(config, opened.spec.features, opened.spec.outputs)
    exact = found.exact(config) if found else config
    before = found.instruction_set if found else None
    execution.set_up(exact, opened.spec.features, before)
    with execution.loading():
        if config.training.until_solved:
            opened.check_floor_known()


def verify(config: Config) -> tuple[int, list[str]]:
    """Trains the first epochs twice and compares every bit.

    Returns:
        How many epochs were trained, and what differs.

    Raises:
        LstmcliError: the training failed.
    """
    opened = open_data(config)
    _load(opened)
    from lstmcli.training import verify as verification

    return verification.verify(opened)


def draw(directory: RunDirectory, source: Source | None = None) -> str | None:
    """Draws the figures of a finished run into its directory, which the caller has locked.

    Args:
        directory: of the run.
        source: its data, if that is open already.

    Returns:
        What went wrong, in words; `None` if nothing did. It is no error: the run is complete.
    """
    from lstmcli.reporting import plot

    try:
        directory.remove_half_written()
        files = plot.write_all(directory.path, source)
        directory.update_status(**{run_dir.FIGURES: [file.name for file in files]})
    except StoppedError:
        raise
    except OSError as error:
        return describe_os_error(error)
    except Exception as error:
        return str(error) or type(error).__name__
    return None


@with_settings("data", "run", leave_out=OF_THE_CHECKPOINT)
def evaluate(
    checkpoint: AnyPath,
    data: AnyPath | InMemory | None = None,
    *,
    keep: bool = False,
    all_classes: bool = False,
    **settings: Any,
) -> Evaluation:
    """Scores a checkpoint or a run directory on series that it has not seen.

    Args:
        checkpoint: the file, or a run directory, whose best checkpoint is scored.
        data: a whole dataset to score on: a file, or data in memory as for `train`. By default a
            new series of the task, or the test part of the training file.
        keep: whether the scores keep the predictions at each step; with more than 100 classes, the
            probabilities of the ten most probable ones.
        all_classes: whether all probabilities are kept even then.
        settings: those of the task and of the run that differ from the checkpoint's.

    Raises:
        LstmcliError: with the message that `lstmcli eval` would print.
    """
    if data is not None and in_memory.is_in_memory(data):
        with in_memory.as_file(data) as file:
            found = evaluate(checkpoint, file, keep=keep, all_classes=all_classes, **settings)
        notes = [note.replace(str(file), file.name) for note in found.notes]
        return replace(found, data=in_memory.NAME, notes=notes)
    opened = open_checkpoint(checkpoint, cast("AnyPath | None", data), settings)
    model, config, trained_on = opened.model, opened.config, opened.trained_on

    from lstmcli.core import execution
    from lstmcli.data.baselines import baselines
    from lstmcli.data.datasets import unused_classes

    execution.set_up(config, model.metadata["features"])
    tested = opened.tested()
    notes = [*opened.notes(), *tested.notes]
    if config.data.data and (note := unused_classes(f"`{tested.name}`", tested.series[0])):
        notes.append(note)
    if config.data.data and not data and not trained_on:
        notes.append(f"whether `{config.data.data}` has changed is not known")
    from lstmcli.training.evaluate import score

    device = settings.get("device", "auto")
    some = not all_classes and (model.schema.classes or 0) > MANY_CLASSES
    most = (MOST_PROBABLE if some else sys.maxsize) if keep else 0
    if keep and some:
        notes.append(
            f"of {model.schema.classes:,} classes the {MOST_PROBABLE} most probable of each step "
            "are written; `--all-classes` writes all"
        )
    scores = score(model, config, tested.series, device, most)
    windows = scores[0].windows
    if config.data.data and (dropped := windows.cut.dropped):
        notes.append(f"{dropped} steps at the rows' ends fill no window: not scored")
    without = baselines(opened.fitting(tested), windows.read)
    if not windows.series.task:  # There it is no news that the data has no season.
        notes += without.omitted
    each = _outputs(scores, without.found, config.data.leads[0])
    return Evaluation(opened.path, tested.name, scores, notes, without.found, model.epochs, each)


def _outputs(
    scores: Sequence[Score], baselines: Sequence[Baseline], horizon: int
) -> pd.DataFrame | None:
    """The errors on each of several targets."""
    from lstmcli.data import outputs

    models = [(score.seed, outputs.MODEL, score.outputs) for score in scores if score.outputs]
    without = [(None, each.name, each.outputs) for each in baselines if each.outputs]
    return outputs.table(scores[0].schema, horizon, [*models, *without]) if models else None


@with_settings(
    "model", "data", "training", "run", "sweep",
    leave_out=NOT_SWEPT, lists=("model", "data", "training"),
)  # fmt: skip
def sweep(
    out: AnyPath | None = None,
    *,
    compare: Mapping[str, Any] | str | None = None,
    tune: Mapping[str, Any] | Iterable[str] | None = None,
    overwrite: bool = False,
    **settings: Any,
) -> Result:
    """Trains every combination of settings with every seed, and says how many layers are enough.

    Args:
        out: the sweep directory; by default one in `runs`, the same for the same sweep.
        compare: a setting to compare instead of depth, and its values: `{"state_size": [4, 8]}`.
        tune: settings to tune for each depth by validation loss, and the values to try:
            `{"learning_rate": [0.1, 0.3]}`; by default some learning rates, if none is given.
        overwrite: whether another sweep in that directory may be deleted.
        settings: of the model, the data, the training, the run and the sweep; a list or a range of
            values is swept.

    Raises:
        LstmcliError: with the message that `lstmcli sweep` would print.
    """
    from lstmcli.sweeps import run

    plan = plan_of(settings, compare=compare, tune=tune)
    with run.opened(plan, Path(out) if out else None, overwrite) as directory:
        for _ in run.run(plan, directory):
            pass
        return conclude(plan, directory)


def conclude(plan: Plan, directory: SweepDirectory) -> Result:
    """Writes the answer, the tables and the figures of a sweep whose trials have all ended.

    Raises:
        FileError: the curves do not match the trials; everything is written nevertheless.
    """
    from lstmcli.reporting import plot
    from lstmcli.sweeps import run, tables

    result = run.conclude(plan, directory)
    if len(result.curves):  # There are none if all trials ended before their first epoch.
        plot.write_all(directory.path)
    tables.check_curves(result.trials, result.curves, plan.swept, directory.curves)
    return result


def plan_of(
    settings: Mapping[str, Any],
    saved: Mapping[str, Any] | None = None,
    compare: Mapping[str, Any] | str | None = None,
    tune: Mapping[str, Any] | Iterable[str] | None = None,
) -> Plan:
    """Plans a sweep from settings: single values, lists, ranges, or texts like `1-5`."""
    from lstmcli.sweeps import axis, grid, plan, tuning

    settings = plain_settings(settings)
    own = {spec.name for spec in fields(SweepConfig)}
    if strange := settings.keys() & set(NOT_SWEPT):
        raise UsageError(f"`{min(strange)}` cannot be set in a sweep")
    asked = SweepConfig(**{name: value for name, value in settings.items() if name in own})
    single = {
        name: grid.single(name, value) for name, value in settings.items() if name in ONE_IN_A_SWEEP
    }
    lists = {
        name: grid.values(name, value)
        for name, value in settings.items()
        if name not in own and name not in single
    }
    tuned = None if tune is None else tuning.parsed(tune)
    return plan.make(single, lists, asked, saved, axis.parsed(compare), tuned)
