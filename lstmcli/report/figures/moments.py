"""Numbers over time: the truth, the prediction, and below what lies between them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from lstmcli.columns import Categorical, Numeric
from lstmcli.report.figures import canvas
from lstmcli.report.figures.window import Window

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MOST_TARGETS = 3
"""Numbers of several that are shown."""
Floats = npt.NDArray[np.float64]


def draw_moments(figure: Any, window: Window) -> str:
    """Draws two panels for each number that is predicted, in its own units.

    Where sequences have one number each, they stand side by side; else one row's steps do.
    """
    target = window.schema.target
    assert not isinstance(target, Categorical)
    columns = target[:MOST_TARGETS]
    alone = len(window.names) > 1
    panels = figure.subplots(
        2 * len(columns), 1, squeeze=False, sharex=True, height_ratios=[2, 1] * len(columns)
    )[:, 0]
    for number, column in enumerate(columns):
        at, truth, predicted = _numbers(window, number, column, alone)
        above, below = panels[2 * number : 2 * number + 2]
        _draw(above, below, at, truth, predicted, "" if alone else "-")
        name = canvas.shown(column.name, 22)
        name += f" (+{column.lead})" if column.lead else ""
        above.set_ylabel(name, fontsize=9)
        below.set_ylabel("residual", fontsize=9)
    canvas.legend_above(panels[0], columns=2)
    figure.align_ylabels(panels)
    first = 1 if alone else int(window.places[0][window.there[0]].min())
    canvas.whole_numbers(panels[-1].xaxis, first)
    panels[-1].set_xlabel("sequence" if alone else f"step of the {window.names[0].split()[0]}")
    return "residual: prediction - truth"


def _numbers(
    window: Window, number: int, column: Numeric, alone: bool
) -> tuple[Floats, Floats, Floats]:
    """Where each pair stands, what is true and what was predicted; NaN between where not scored."""
    truth = column.in_units(window.targets[..., number])
    predicted = column.in_units(window.readout[..., number])
    if alone:
        rows, steps = np.nonzero(window.scored)
        return np.asarray(rows + 1, np.float64), truth[rows, steps], predicted[rows, steps]
    truth = np.where(window.scored[0], truth[0], np.nan)
    predicted = np.where(window.there[0], predicted[0], np.nan)
    return window.places[0].astype(float), truth, predicted


def _draw(
    above: Axes, below: Axes, at: Floats, truth: Floats, predicted: Floats, line: str
) -> None:
    residuals = predicted - truth
    above.plot(at, truth, "o", color="black", linestyle=line, linewidth=0.8, markersize=2.5,
               label="truth")  # fmt: skip
    above.plot(at, predicted, "D", color=canvas.RED, linestyle=line, linewidth=1.4, alpha=0.85,
               markersize=0 if line else 3.5, label="prediction")  # fmt: skip
    below.axhline(0, color="0.6", linewidth=0.8)
    below.vlines(at, 0, residuals, color=canvas.BLUE, linewidth=1)
    below.plot(at, residuals, ".", color=canvas.BLUE, markersize=3)
    for axes in (above, below):
        canvas.bare(axes)
        axes.tick_params(labelsize=canvas.SMALL)
