"""The learning curves of a sweep."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lstmcli.report.figures import canvas
from lstmcli.report.figures.axes import LossAxis
from lstmcli.report.figures.settings import text, words

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

QUANTILES = (0.25, 0.75)
MOST_PANELS = 12
PANELS_A_ROW = 3


def curves_figure(curves: pd.DataFrame, varied: list[str], title: str, unit: str) -> Figure:
    """Validation loss by epoch: each setting's median over the seeds, and its middle half.

    A panel for each combination of the settings beside depth, with its own floor.
    """
    first, *others = varied
    panels = list(curves.groupby(others, sort=True)) if others else [((), curves)]
    if len(panels) > MOST_PANELS:
        panels = [((), curves)]
    columns = min(len(panels), PANELS_A_ROW)
    rows = -(-len(panels) // columns)
    size = (6.5, 3.8) if len(panels) == 1 else (2.3 * columns + 1.2, 2.1 * rows + 0.8)
    figure, axes = canvas.figure(*size, rows, columns, sharex=True, sharey=True)
    axis = LossAxis.around(curves.val_loss, curves)
    styles = _styles(sorted(curves[first].unique()))
    for each, (found, part) in zip(axes.flat, panels, strict=False):
        _panel(each, part, first, styles)
        axis.apply(each)
        axis.references(each, part)
        named = [f"{words(k)} {text(v)}" for k, v in zip(others, found, strict=False)]
        each.set_title(", ".join(named), fontsize=8, loc="left")
    for each in axes.flat[len(panels) :]:
        each.set_visible(False)
    figure.supxlabel("epoch", fontsize=10)
    figure.supylabel(f"validation loss ({unit})", fontsize=10)
    handles = [axes.flat[0].plot([], [], **style)[0] for style in styles.values()]
    figure.legend(
        handles, [text(value) for value in styles], title=words(first),
        fontsize=8, title_fontsize=8, frameon=False, loc="outside right center",
    )  # fmt: skip
    canvas.head(figure, title, "line: median over the seeds; area: the middle half of them")
    return figure


def _styles(values: list[Any]) -> dict[Any, dict[str, Any]]:
    """How the line of each value is drawn."""
    return {
        value: {
            "color": colour,
            "linestyle": canvas.LINES[number % len(canvas.LINES)],
            "linewidth": 1.5,
        }
        for number, (value, colour) in enumerate(
            zip(values, canvas.shades(len(values)), strict=True)
        )
    }


def _panel(axes: Any, part: pd.DataFrame, first: str, styles: dict[Any, dict[str, Any]]) -> None:
    """The curves of a panel, with whole numbers of epochs below."""
    for value, group in part.groupby(first, sort=True):
        losses = group.assign(val_loss=group.val_loss.astype(float)).groupby("epoch").val_loss
        few = "." if len(losses) < 3 else None  # A point is no line.
        axes.plot(losses.median(), **styles[value], marker=few)
        low, high = (losses.quantile(quantile) for quantile in QUANTILES)
        colour = styles[value]["color"]
        axes.fill_between(low.index, low, high, color=colour, alpha=0.2, linewidth=0)
    canvas.whole_numbers(axes.xaxis)
