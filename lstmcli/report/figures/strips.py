"""Rows of a window as the article shows them: input, label and prediction below each other."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from lstmcli.columns import Categorical
from lstmcli.report.figures import canvas
from lstmcli.report.figures.window import Window

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LONGEST_NAME, MOST_LONGER = 2, 2
"""Characters of a class that have room in a cell; classes of which more is cut off."""
MOST_CLASSES = 64
TRACKS = ("input", "label", "prediction")
COLOURS = (canvas.BLUE, canvas.ORANGE, canvas.GREEN)
BITS = Categorical("input", 2)
TALL, WIDE = 0.78, 0.86
"""Of a track and of a step, what a bar takes."""


def can_be_strips(window: Window) -> bool:
    """Whether there is one input, a label at many steps, and names that have room in a cell."""
    if window.one_input is None or window.sparse or window.target.size > MOST_CLASSES:
        return False
    return sum(len(name) > LONGEST_NAME for name in _names_of(window)) <= MOST_LONGER


def _names_of(window: Window) -> list[str]:
    """The names of the classes and of the input's values, each once."""
    columns = [window.target, *window.schema.symbols]
    names = [column.label(number) for column in columns for number in range(column.size)]
    return list(dict.fromkeys(names))


def draw_strips(figure: Any, window: Window) -> str:
    """Draws a panel for each row; of two classes as bars, of more by their names in cells."""
    panels = figure.subplots(len(window.names), 1, squeeze=False, sharex=True)
    for row, axes in enumerate(panels.flat):
        _panel(axes, window, row)
    canvas.shared_steps(
        panels.flat, window.names[0].split()[0], int(window.places[window.there].min())
    )
    if window.target.size == 2:
        return "height of a prediction: the probability of 1; cross: wrong"
    longer = [name for name in _names_of(window) if len(name) > LONGEST_NAME]
    cut = ", ".join(f"{name[0]}: {canvas.shown(name, 12)}" for name in longer)
    return "filled: how probable the prediction is; framed: wrong" + (f"; {cut}" if cut else "")


def _panel(axes: Axes, window: Window, row: int) -> None:
    """One row: the input on top."""
    there = window.there[row]
    places = window.places[row]
    given = window.one_input
    assert given is not None
    draw = _bars if window.target.size == 2 else _cells
    draw(axes, window, row, given)
    axes.set_ylim(-0.1, len(TRACKS))
    axes.set_xlim(places[there][0] - 0.6, places[-1] + 0.6)
    axes.set_yticks([2 + TALL / 2, 1 + TALL / 2, TALL / 2], TRACKS, fontsize=canvas.SMALL)
    axes.tick_params(axis="y", length=0)
    axes.spines[:].set_visible(False)
    axes.set_ylabel(window.names[row], fontsize=canvas.SMALL)
    for base in range(len(TRACKS)):
        axes.axhline(base, color="0.8", linewidth=0.6, zorder=0)


def _bars(axes: Axes, window: Window, row: int, given: npt.NDArray[np.int64]) -> None:
    """Of two classes: bars as high as the input, the label and the probability of 1."""
    there, scored, places = window.there[row], window.scored[row], window.places[row]
    heights = (
        np.where(there, given[row], 0),
        np.where(scored, window.targets[row], 0),
        np.where(scored, window.readout[row, :, 1], 0),
    )
    for number, (height, colour) in enumerate(zip(heights, COLOURS, strict=True)):
        _bar(axes, places, height, 2 - number, colour)
    wrong = places[window.wrong[row]]
    height = np.full(len(wrong), TALL / 2)
    axes.plot(wrong, height, "x", color=canvas.RED, markersize=6, mew=1.8)


def _bar(
    axes: Axes,
    places: npt.NDArray[np.int64],
    heights: npt.NDArray[Any],
    base: float,
    colour: str,
    **style: Any,
) -> None:
    """Bars with gaps between them, as one shape: hundreds of rectangles would take their time."""
    edges = (places[:, None] + WIDE / 2 * np.array([-1, 1])).ravel()
    tops = np.zeros(2 * len(places) - 1)
    tops[::2] = TALL * heights
    axes.stairs(base + tops, edges, baseline=base, fill=True, color=colour, linewidth=0, **style)


def _cells(axes: Axes, window: Window, row: int, given: npt.NDArray[np.int64]) -> None:
    """Of more classes: their names, the prediction filled as far as it is probable."""
    there, scored, places = window.there[row], window.scored[row], window.places[row]
    sure = np.where(scored, window.readout[row].max(-1), 0)
    _bar(axes, places, sure, 0, canvas.GREEN, alpha=0.45)
    _bar(axes, places, scored, 1, canvas.ORANGE, alpha=0.45)
    column = window.schema.symbols[0] if window.schema.symbols else BITS
    _names(axes, places[there], 2, column, given[row][there])
    _names(axes, places[scored], 1, window.target, window.targets[row][scored])
    right, wrong = scored & ~window.wrong[row], window.wrong[row]
    _names(axes, places[right], 0, window.target, window.guesses[row][right])
    frame = {"facecolor": "white", "edgecolor": canvas.RED, "linewidth": 1.4, "pad": 1}
    _names(axes, places[wrong], 0, window.target, window.guesses[row][wrong], bbox=frame)


def _names(
    axes: Axes,
    places: npt.NDArray[np.int64],
    base: float,
    column: Categorical,
    numbers: npt.NDArray[Any],
    **style: Any,
) -> None:
    """Writes the names of some values into a track."""
    for place, number in zip(places, numbers, strict=True):
        name = column.label(int(number))
        name = canvas.character(name if len(name) <= LONGEST_NAME else name[0])
        axes.text(
            place, base + TALL / 2, name, fontsize=canvas.SMALL, ha="center", va="center", **style
        )
