"""The test losses of a sweep by depth, or by any other setting."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from lstmcli.report.figures import canvas
from lstmcli.report.figures.axes import LossAxis
from lstmcli.report.figures.settings import SIZES, text, words

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

MOST_BESIDE = 6  # settings of one depth that can stand side by side
SPREAD = 0.7  # of the room of a depth, for what stands side by side


def depth_figure(
    trials: pd.DataFrame, summary: pd.DataFrame, varied: list[str], title: str, unit: str
) -> Figure:
    """Test loss by setting: a point for each seed, the interval of the interquartile mean."""
    first, *others = varied
    groups = list(summary.groupby(others, sort=True)) if others else [((), summary)]
    if len(groups) > MOST_BESIDE:  # Every setting has a place of its own then.
        first, others, groups = "", [], [((), summary)]
    places = list(dict.fromkeys(summary[first])) if first else list(range(len(summary)))
    figure, [[axes]] = canvas.figure(max(5.5, 0.5 * len(places) * len(groups) + 1.5), 3.8)
    shown = np.concatenate([trials.test_loss, summary.ci_low, summary.ci_high]).astype(float)
    axis = LossAxis.around(shown, trials)
    axis.apply(axes)
    axis.references(axes, trials)
    room = SPREAD / len(groups)
    colours = canvas.shades(len(groups)) if others else [canvas.BLUE]
    for number, ((values, rows), colour) in enumerate(zip(groups, colours, strict=True)):
        marker = canvas.MARKERS[number % len(canvas.MARKERS)]
        aside = (number - (len(groups) - 1) / 2) * room
        at = [places.index(value) + aside for value in rows[first]] if first else places
        style = {"color": colour, "marker": marker, "linestyle": ""}
        _settings(axes, axis, at, room, rows, trials, list({*SIZES, *varied}), style)
        label = ", ".join(f"{words(k)} {text(v)}" for k, v in zip(others, values, strict=True))
        axes.plot([], [], markersize=4, label=label, **style)
    axes.set_xlim(-0.6, len(places) - 0.4)
    axes.set_xticks(range(len(places)), _labels(summary, first, varied))
    axes.set_xlabel(words(first) if first else ", ".join(map(words, varied)))
    axes.set_ylabel(f"test loss ({unit})")
    if others:
        axes.legend(fontsize=8, frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))
    canvas.head(figure, title, "points: seeds; bar: interquartile mean and its 95 % interval")
    return figure


def _settings(
    axes: Any,
    axis: LossAxis,
    places: Sequence[float],
    room: float,
    rows: pd.DataFrame,
    trials: pd.DataFrame,
    keys: list[str],
    style: dict[str, Any],
) -> None:
    """Draws settings at their places: each seed, the mean and its interval."""
    rng = np.random.default_rng(0)  # Spreads the points sideways.
    for place, (_, row) in zip(places, rows.iterrows(), strict=True):
        mine = (trials[keys] == row[keys]).all(axis=1)
        losses = trials.test_loss[mine].dropna().to_numpy(float)
        _points(axes, axis, place + room * rng.uniform(-0.28, 0.28, len(losses)), losses, style)
        _interval(axes, place, room, row)


def _points(axes: Any, axis: LossAxis, places: Any, losses: Any, style: dict[str, Any]) -> None:
    """Draws each seed; an arrow at the edge stands for one that is far above."""
    above = losses > axis.high
    style = style | {"alpha": 0.55, "markersize": 4, "mew": 0}
    axes.plot(places[~above], losses[~above], **style)
    edge = np.full(above.sum(), axis.high)
    axes.plot(places[above], edge, **style | {"marker": "^", "markersize": 6, "clip_on": False})


def _interval(axes: Any, place: float, room: float, row: pd.Series) -> None:
    """Draws a setting's interquartile mean and its interval."""
    if not np.isnan(row.ci_low):
        axes.plot([place, place], [row.ci_low, row.ci_high], color="black", linewidth=2)
    axes.plot(place, row.iqm, "_", color="black", markersize=14 * min(1, 1.6 * room), mew=2)


def _labels(summary: pd.DataFrame, first: str, varied: Sequence[str]) -> list[str]:
    """What stands under each place; a size that follows from the depth stands with it."""
    if not first:
        return ["\n".join(text(row[name]) for name in varied) for _, row in summary.iterrows()]
    labels = []
    for value, rows in summary.groupby(first, sort=False):
        sizes = rows.state_size.unique()
        matched = "state_size" not in varied and summary.state_size.nunique() > 1
        labels.append(text(value) + (f"\nx {sizes[0]:g} units" if matched else ""))
    return labels
