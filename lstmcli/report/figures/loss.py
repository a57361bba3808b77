"""The learning curve of a run: losses by epoch, beside what they are to be held against."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from lstmcli.report.figures import canvas
from lstmcli.report.figures.axes import LossAxis

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

QUANTILES = (0.25, 0.75)
MOST_THIN = 8
"""Seeds up to which each has a thin line of its own."""
FEWEST_BANDED = 4
"""Seeds from which on the middle half of them is an area."""
LOGARITHMIC_FROM = 20
"""Epochs from which on the first ones get more room than the last."""
FEW_EPOCHS = 3
"""Below so many epochs the logged windows show what happened."""
FEWEST_WINDOWS = 5
"""Logged windows of a seed below which a line between them would tell of what nobody saw."""
TRAINING, VALIDATION = (canvas.ORANGE, "--"), (canvas.BLUE, "-")


@dataclass(frozen=True)
class Curve:
    """What a run's losses were.

    Attributes:
        epochs: a row for each epoch and seed: `epoch`, `seed`, `loss`, `val_loss`, and what those
            are held against: the floor as `bayes_loss`, `chance`, and `reference_loss`, whose it is
            as `reference`.
        windows: a row for each logged window and seed: `epoch` (a fraction counts too) and `loss`.
        unit: what all losses are in, for an axis: `nats per step`.
        title: what was learned by what.
    """

    epochs: pd.DataFrame
    windows: pd.DataFrame
    unit: str
    title: str

    @property
    def seeds(self) -> int:
        """How many models were trained."""
        return int(self.epochs.seed.nunique())


def loss_figure(curve: Curve) -> Figure:
    """The curve alone, with room for its details."""
    figure, [[axes]] = canvas.figure(7.5, 4)
    draw_loss(axes, curve)
    canvas.head(figure, curve.title, _explained(curve))
    return figure


def _explained(curve: Curve) -> str:
    if curve.seeds == 1:
        return "the loss of training is measured before each window's update"
    words = "line: median over the seeds"
    if curve.seeds >= FEWEST_BANDED:
        words += "; area: the middle half of them"
    return words + ("; thin: each seed" if curve.seeds <= MOST_THIN else "")


def draw_loss(axes: Axes, curve: Curve, columns: int = 4) -> None:
    """Draws training and validation by epoch, with what they are held against.

    Args:
        axes: where.
        curve: the losses.
        columns: of the legend, as the axes have room for.
    """
    table = curve.epochs
    logged = curve.windows.groupby("seed").size().max() if len(curve.windows) else 0
    few = table.epoch.max() < FEW_EPOCHS and logged >= FEWEST_WINDOWS
    measured = [table.loss, table.val_loss, *([curve.windows.loss] if few else [])]
    losses = np.concatenate([np.asarray(each, float) for each in measured])
    axis = LossAxis.around(losses, table, falling=True)
    if few:
        _windows(axes, curve.windows)
    _line(axes, table, "loss", "training", TRAINING)
    _line(axes, table, "val_loss", "validation", VALIDATION)
    _best(axes, table)
    axis.apply(axes)
    axis.references(axes, table)
    _epochs(axes, table)
    axes.set_ylabel(curve.unit if curve.unit.startswith("RMSE") else f"loss ({curve.unit})")
    canvas.legend_above(axes, columns)


def _windows(axes: Axes, windows: pd.DataFrame) -> None:
    """The logged windows of each seed."""
    for _, own in windows.groupby("seed"):
        axes.plot(own.epoch, own.loss, color=canvas.GREY, linewidth=0.6, alpha=0.6)
    axes.plot([], [], color=canvas.GREY, linewidth=0.6, label="a window")


def _line(axes: Axes, table: pd.DataFrame, column: str, label: str, style: tuple[str, str]) -> None:
    """The median over the seeds; the middle half of many, and each of few."""
    by_seed = table.pivot_table(column, "epoch", "seed", dropna=False).astype(float)
    by_seed = by_seed.where(np.isfinite(by_seed))
    colour, line = style
    seeds = by_seed.shape[1]
    if 1 < seeds <= MOST_THIN:
        axes.plot(by_seed.index, by_seed, color=colour, linewidth=0.5, alpha=0.5)
    if seeds >= FEWEST_BANDED:
        low, high = (by_seed.quantile(each, axis=1) for each in QUANTILES)
        axes.fill_between(by_seed.index, low, high, color=colour, alpha=0.2, linewidth=0)
    marker = "." if len(by_seed) < 3 else None  # A point is no line.
    median = by_seed.median(axis=1)
    axes.plot(median, color=colour, linestyle=line, linewidth=1.5, marker=marker, label=label)


def _best(axes: Axes, table: pd.DataFrame) -> None:
    """Marks each seed's epoch of the lowest validation loss: its best checkpoint."""
    known = table[np.isfinite(table.val_loss.astype(float))]
    best = known.loc[known.groupby("seed").val_loss.idxmin()]
    if len(best) == 0:
        return
    label = f"best epoch: {best.epoch.iloc[0]:.0f}" if len(best) == 1 else "best epochs"
    axes.plot(
        best.epoch, best.val_loss, "o", color=canvas.BLUE, markerfacecolor="white", markersize=5,
        linestyle="", label=label, zorder=5,
    )  # fmt: skip


def _epochs(axes: Any, table: pd.DataFrame) -> None:
    """The axis of epochs: with decades of equal length where there are many."""
    from matplotlib.ticker import LogLocator, NullLocator, StrMethodFormatter

    last = table.epoch.max()
    axes.set_xlabel("epoch")
    if last < LOGARITHMIC_FROM:
        canvas.whole_numbers(axes.xaxis, int(table.epoch.min()))
        return
    axes.set_xscale("log")
    between = (1, 2, 5) if last < 60 else (1, 3) if last < 300 else (1,)
    axes.xaxis.set_major_locator(LogLocator(subs=between))
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xlim(0.95, last * 1.08)
