"""Loads what figures are made from: the files of a run, a checkpoint or a sweep."""

from __future__ import annotations

import math
import tomllib
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lstmcli.config import Config
from lstmcli.data.baselines import Baseline
from lstmcli.data.datasets import Source, open_source
from lstmcli.data.schema import Numeric, Schema, plain
from lstmcli.reporting import formatting, predictions, runs
from lstmcli.reporting.figures.loss import Curve
from lstmcli.reporting.figures.style import shown
from lstmcli.reporting.figures.sweep import PER_STEP, sweep_figures
from lstmcli.reporting.runs import NOT_COMPARED
from lstmcli.training import checkpoint as checkpoints
from lstmcli.training import load, metrics, run_dir
from lstmcli.training.checkpoint import Checkpoint
from lstmcli.training.load import RunMismatchError
from lstmcli.training.metrics import StepRow, columns
from lstmcli.training.run_dir import RunDirectory, SweepFiles
from lstmcli.utils.errors import FileError, LstmcliError, UsageError
from lstmcli.utils.files import read_small

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from lstmcli.data.baselines import Baseline
    from lstmcli.data.schema import Schema
    from lstmcli.training.run_dir import RunDirectory


@dataclass
class ReportInputs:
    """What is known of a run or a checkpoint.

    Attributes:
        config: its settings.
        schema: what its columns are.
        model: its best checkpoint, else the last; `None` before there is one.
        source: its data; `None` if that is not available.
        baselines: scored on the validation part of a file.
        notes: what is not available, and why.
    """

    config: Config
    schema: Schema
    model: Checkpoint | None = None
    source: Source | None = None
    baselines: list[Baseline] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def of_checkpoint(path: Path) -> ReportInputs:
    """What is known of a checkpoint file.

    Raises:
        FileError: it is missing or damaged, or its data is not available.
    """
    model = checkpoints.read(path)
    source = _source_of(model, load.folder_of(path))
    return ReportInputs(model.config, model.schema, model, source)


def of_run(run: RunDirectory, source: Source | None = None) -> ReportInputs:
    """What is known of a run, as far as it has come.

    Args:
        run: its directory.
        source: its data, where that is open already.

    Raises:
        FileError: it is no run, or its checkpoint is of another one.
    """
    try:
        config = Config.build(run_dir.read_config(run.config))
    except UsageError as error:
        why = f": {error.message}" if run.config.exists() else ""
        raise FileError(
            f"`{run.path}` holds no run and no sweep of lstmcli{why}",
            "`lstmcli train` makes a run, in `runs/latest`",
        ) from error
    found = ReportInputs(config, _schema(run), source=source, baselines=_baselines(run))
    try:
        _, found.model = load.read_own_checkpoint(run.path)
        found.schema = found.model.schema
        found.source = source or _source_of(found.model, run.path)
    except RunMismatchError:
        raise
    except LstmcliError as error:
        found.notes.append(error.message)
    return found


def _source_of(model: Checkpoint, folder: Path) -> Source:
    """The data that a model was trained on.

    Raises:
        FileError: it is missing, damaged, or not what it was.
    """
    config = Config.build(run_dir.with_paths_from(model.metadata["config"], folder))
    source = open_source(config, model.schema)
    predictions.check_unchanged(model, source, str(config.data.data))
    return source


def _baselines(run: RunDirectory) -> list[Baseline]:
    """As they were when the run began: its data need not be there."""
    return [Baseline.of(each) for each in run.read_status().get("references") or []]


def _schema(run: RunDirectory) -> Schema:
    """What the columns are of a run without a checkpoint, as far as `run.json` tells."""
    try:
        status = run.read_status()
        if status["classes"]:
            return plain(1, int(status["classes"]))
        return Schema("series", (), (), tuple(Numeric(name) for name in status["target"]))
    except (KeyError, TypeError) as error:
        raise FileError(
            f"`{run.status}` is damaged: it has no {error}",
            "restore the run's own file: nothing else says what its columns are",
        ) from error


LOSSES = [
    "loss", "val_loss", "test_loss", "iqm", "ci_low", "ci_high", "bayes_loss", "chance",
    "reference_loss",
]  # fmt: skip
"""Columns of any table that are in the units of a loss."""


def curve_of(run: RunDirectory, known: ReportInputs) -> Curve | None:
    """The losses in `metrics.csv` and `steps.csv`, in a usual unit.

    Args:
        run: the directory.
        known: its settings, columns and baselines.

    Returns:
        `None` before the first epoch's end.

    Raises:
        FileError: a table is damaged.
    """
    epochs = metrics.read_epochs(run.metrics)
    if epochs.empty:
        return None
    windows = metrics.read_table(run.steps, columns(StepRow))
    epochs = _with_baselines(epochs, known.schema, known.baselines)
    unit, convert = formatting.display_unit(known.schema)
    each = epochs.step.iloc[0] / epochs.epoch.iloc[0]  # Windows of an epoch.
    return Curve(
        _in_units(epochs, convert),
        _in_units(windows.assign(epoch=windows.step / each), convert),
        unit,
        run_title(known.config, sorted(epochs.seed.unique())),
    )


def run_title(config: Config, seeds: Sequence[int]) -> str:
    """What was learned, by what: `Echo after 3 steps: 3 layers of 4 units, seed 0`."""
    task = shown(formatting.task(config.data), 60)
    layers, units = config.model.layers, config.model.state_size
    model = f"{layers} layer{'s' * (layers > 1)} of {units} unit{'s' * (units > 1)}"
    which = f"seed {seeds[0]}" if len(seeds) == 1 else f"{len(seeds)} seeds"
    return f"{task[:1].upper()}{task[1:]}: {model}, {which}"


def _with_baselines(
    epochs: pd.DataFrame, schema: Schema, baselines: Sequence[Baseline]
) -> pd.DataFrame:
    """The table with columns for the loss of chance and of the best baseline."""
    _, chance, _ = schema.target_kind.chance(baselines)
    best = min(baselines, key=lambda each: each.loss, default=None)
    return epochs.assign(
        chance=chance,
        reference=best and schema.target_kind.baseline_name(best.name),
        reference_loss=best.loss if best else math.nan,
    )


def _in_units(table: pd.DataFrame, convert: Callable[[Any], Any]) -> pd.DataFrame:
    there = [name for name in LOSSES if name in table]
    return table.assign(**{name: convert(table[name].astype(float)) for name in there})


SIZES = ["layers", "state_size"]


def figures_of_sweep(path: Path) -> dict[str, Figure]:
    """The figures `depth` and `curves` of a sweep's directory; none before its first result.

    Raises:
        FileError: a table is damaged.
    """
    files = SweepFiles(path)
    read = partial(metrics.read_table, newer=LOSSES)
    trials = read(files.trials, [*SIZES, "seed", "test_loss", "gap", "epochs", "bayes_loss"])
    summary = read(files.summary, [*SIZES, "seeds", "iqm", "ci_low", "ci_high"])
    curves = read(files.curves, [*SIZES, "seed", "epoch", "val_loss", "bayes_loss"])
    if summary.empty or curves.empty:
        return {}
    names = list(trials)
    swept = names[names.index("state_size") + 1 : names.index("seed")]
    if tuned := [name for name in swept if name.removesuffix("_set") in _tuned(files)]:
        chosen = summary[[*SIZES, *swept]]  # Each depth's own values.
        trials = trials[~trials.status.isin(NOT_COMPARED)]
        curves = curves.merge(trials[[*SIZES, *swept, "seed"]])
        trials, curves, summary = (
            table.merge(chosen).drop(columns=tuned) for table in (trials, curves, summary)
        )
        swept = [name for name in swept if name not in tuned]
    task, unit = "", PER_STEP
    if known := _first_run(files):
        task = formatting.task(known.config.data, swept)
        unit, convert = formatting.display_unit(known.schema)
        if known.baselines:  # Those of the validation part.
            curves = _with_baselines(curves, known.schema, known.baselines)
        trials, summary, curves = (_in_units(table, convert) for table in (trials, summary, curves))
    return sweep_figures(trials, summary, curves, swept, task, unit, _answer(files))


def _answer(files: SweepFiles) -> str:
    """The headline of a sweep's answer, if it has one that is kept."""
    parts = runs.kept(files).get("parts", [])
    headline = str(parts[0]["headline"]) if len(parts) == 1 else ""
    return f"{headline[:1].upper()}{headline[1:]}"


def _tuned(files: SweepFiles) -> list[str]:
    """The names of the tuned settings."""
    with suppress(OSError, ValueError, KeyError, TypeError):
        return list(tomllib.loads(read_small(files.config).decode())["sweep"]["tuned"])
    return []


def _first_run(files: SweepFiles) -> ReportInputs | None:
    """What is known of the first trial that has a checkpoint: its data are those of all."""
    for folder in sorted(files.settings.glob("*/")):
        run = RunDirectory(folder)
        with suppress(LstmcliError):
            config = Config.build(run_dir.read_config(run.config))
            schema = checkpoints.read(load.find_checkpoint(folder)).schema
            return ReportInputs(config, schema, baselines=_baselines(run))
    return None
