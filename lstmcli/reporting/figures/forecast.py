"""Forecasts: the end of a recording and its forecast, and backtest errors by steps ahead."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from lstmcli.reporting.figures import style

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Floats = npt.NDArray[np.float64]


def forecast_figure(
    title: str,
    explained: str,
    names: Sequence[str],
    past: tuple[npt.NDArray[Any], Floats],
    ahead: tuple[npt.NDArray[Any], Floats],
    bounds: tuple[Floats, Floats] | None,
) -> Figure:
    """A panel for each number: past values, forecast and interval.

    Args:
        title: what is forecast, and by which model.
        explained: how to read the figure.
        names: the names of the numbers.
        past: the labels `[steps]` and values `[steps, numbers]` of the last steps.
        ahead: the labels and values of the forecast steps, in the same shapes.
        bounds: the lower and upper ends of the intervals, `[steps, numbers]` each.
    """
    figure, axes = style.figure(7.5, 1.2 + 2.4 * len(names), len(names), sharex=True)
    for place, (panel, name) in enumerate(zip(axes[:, 0], names, strict=True)):
        labels, values = past
        panel.plot(labels, values[:, place], color=style.GREY, linewidth=1, label="past")
        panel.plot(
            ahead[0],
            ahead[1][:, place],
            color=style.BLUE,
            marker=".",
            markersize=3,
            label="forecast",
        )
        if bounds is not None:
            low, high = (each[:, place] for each in bounds)
            panel.fill_between(
                ahead[0], low, high, color=style.BLUE, alpha=0.2, linewidth=0, label="80 % interval"
            )
        panel.set_ylabel(style.shown(name))
    style.legend_above(axes[0, 0], 3)
    _dates(axes[-1, 0].xaxis, ahead[0])
    axes[-1, 0].tick_params(axis="x", labelsize=style.SMALL)
    style.head(figure, title, explained)
    return figure


def _dates(axis: Any, labels: npt.NDArray[Any]) -> None:
    """If the labels are times, shows a year, month or day only where it begins."""
    from matplotlib import dates

    if labels.dtype.kind == "M":
        locator = dates.AutoDateLocator()  # type: ignore[no-untyped-call]
        axis.set_major_locator(locator)
        axis.set_major_formatter(dates.ConciseDateFormatter(locator))  # type: ignore[no-untyped-call]
        axis.get_offset_text().set_fontsize(style.SMALL)


def backtest_figure(
    title: str, explained: str, errors: Mapping[str, Mapping[str, Floats]]
) -> Figure:
    """Errors by steps ahead: a panel for each number, a line for each forecaster.

    Args:
        title: what was forecast.
        explained: how to read the figure.
        errors: for each number, the errors of each forecaster in the number's units, `[steps]`.
    """
    figure, axes = style.figure(7.5, 1.2 + 2.8 * len(errors), len(errors), sharex=True)
    colours = (style.BLUE, style.GREY, style.ORANGE, style.GREEN, style.PURPLE, style.RED)
    for panel, (target, each) in zip(axes[:, 0], errors.items(), strict=True):
        for place, (name, values) in enumerate(each.items()):
            panel.plot(
                1 + np.arange(len(values)),
                values,
                color=colours[place % len(colours)],
                linestyle=style.LINES[place % len(style.LINES)],
                marker=style.MARKERS[place % len(style.MARKERS)],
                markersize=3,
                label=name,
            )
        panel.set_ylabel(f"RMSE ({style.shown(target)})")
        panel.set_ylim(bottom=0)
    axes[-1, 0].set_xlabel("steps ahead")
    style.whole_numbers(axes[-1, 0].xaxis, 1)
    style.legend_above(axes[0, 0], 2)
    style.head(figure, title, explained)
    return figure
