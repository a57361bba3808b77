"""The article's figure: the loss curve beside what the network makes of a window."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from lstmcli.columns import Categorical
from lstmcli.report.figures import canvas
from lstmcli.report.figures.characters import draw_characters
from lstmcli.report.figures.loss import Curve, draw_loss
from lstmcli.report.figures.moments import draw_moments
from lstmcli.report.figures.probabilities import draw_probabilities
from lstmcli.report.figures.strips import can_be_strips, draw_strips
from lstmcli.report.figures.window import Window

if TYPE_CHECKING:
    from matplotlib.figure import Figure

WIDTH, OF_THE_LOSS, HEIGHT = 9.0, 3.1, 4.8
"""Inches."""

Painter = Callable[[Any, Window], str]
"""Draws a window into a part of a figure, and says in words how to read it."""


def window_figure(window: Window, title: str, curve: Curve | None = None) -> Figure:
    """A window, and beside it the learning curve where there is one.

    Args:
        window: what the network makes of it.
        title: what was learned by what.
        curve: the losses.
    """
    figure = canvas.empty(WIDTH, HEIGHT)
    if curve is None:
        explained = painter(window)(figure, window)
    else:
        ratios = (OF_THE_LOSS, WIDTH - OF_THE_LOSS)
        left, right = figure.subfigures(1, 2, squeeze=False, width_ratios=ratios)[0]
        draw_loss(canvas.bare(left.subplots()), curve, columns=2)
        explained = painter(window)(right, window)
    canvas.head(figure, title, f"{window.where}; {explained}")
    return figure


def painter(window: Window) -> Painter:
    """Who draws a window."""
    if window.schema.kind == "text":
        return draw_characters
    if not isinstance(window.schema.target, Categorical):
        return draw_moments
    return draw_strips if can_be_strips(window) else draw_probabilities
