"""The learning curve of a run's directory, from its tables."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from lstmcli.config import Config
from lstmcli.pictures import tables
from lstmcli.report import words
from lstmcli.report.figures.canvas import shown
from lstmcli.report.figures.loss import Curve
from lstmcli.runs.metrics import EpochRow, StepRow, columns

if TYPE_CHECKING:
    import pandas as pd

    from lstmcli.columns import Schema
    from lstmcli.data.baselines import Baseline
    from lstmcli.pictures.material import Material
    from lstmcli.runs.rundir import RunDirectory

LOSSES = ["loss", "val_loss", "bayes_loss", "chance", "reference_loss"]


def curve_of(run: RunDirectory, known: Material) -> Curve | None:
    """What `metrics.csv` and `steps.csv` say, in the units that people measure it in.

    Args:
        run: the directory.
        known: its settings and columns, and what needs no network.

    Returns:
        `None` before the first epoch's end.

    Raises:
        FileError: a table is damaged.
    """
    wanted = [name for name in columns(EpochRow) if name != "val_gap"]  # A newer column.
    epochs = tables.read(run.metrics, wanted)
    if epochs.empty:
        return None
    windows = tables.read(run.steps, columns(StepRow))
    epochs = _with_baselines(epochs, known.schema, known.baselines)
    unit, convert = words.familiar(known.schema)
    each = epochs.step.iloc[0] / epochs.epoch.iloc[0]  # Windows of an epoch.
    return Curve(
        _in_units(epochs, convert),
        _in_units(windows.assign(epoch=windows.step / each), convert),
        unit,
        title(known.config, sorted(epochs.seed.unique())),
    )


def title(config: Config, seeds: Sequence[int]) -> str:
    """What was learned, by what: `Echo after 3 steps: 3 layers of 4 units, seed 0`."""
    task = shown(words.task(config.data), 60)
    layers, units = config.model.layers, config.model.state_size
    model = f"{layers} layer{'s' * (layers > 1)} of {units} unit{'s' * (units > 1)}"
    which = f"seed {seeds[0]}" if len(seeds) == 1 else f"{len(seeds)} seeds"
    return f"{task[:1].upper()}{task[1:]}: {model}, {which}"


def _with_baselines(
    epochs: pd.DataFrame, schema: Schema, baselines: Sequence[Baseline]
) -> pd.DataFrame:
    """The table with columns for the loss of a guess, and for the best that needs no network."""
    _, chance = words.chance(schema, baselines)
    best = min(baselines, key=lambda each: each.loss, default=None)
    return epochs.assign(
        chance=chance,
        reference=best and words.baseline(schema, best.name),
        reference_loss=best.loss if best else math.nan,
    )


def _in_units(table: pd.DataFrame, convert: Callable[[Any], Any]) -> pd.DataFrame:
    there = [name for name in LOSSES if name in table]
    return table.assign(**{name: convert(table[name].astype(float)) for name in there})
