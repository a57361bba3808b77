"""A line of text with the characters that the network thinks most probable below each.

As in Karpathy's "The unreasonable effectiveness of recurrent neural networks" (2015).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from lstmcli.report.figures import canvas
from lstmcli.report.figures.window import Window

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LINE = 32
"""Characters of a line."""
CANDIDATES = 5
"""Most probable characters that stand below each."""
BASELINE = 0.17
"""Of a cell, how far below its middle characters stand."""
LIGHT = 0.55
"""The probability from which on the shade below a character is light."""


def draw_characters(figure: Any, window: Window) -> str:
    """Draws lines of the text: on top each true character, below it what was expected there."""
    steps = window.places.shape[1]
    lines = range(0, steps, LINE)
    panels = figure.subplots(len(lines), 1, squeeze=False)
    for axes, begin in zip(panels.flat, lines, strict=True):
        shades = _line(axes, window, slice(begin, min(begin + LINE, steps)))
    bar = figure.colorbar(shades, ax=panels, fraction=0.03, pad=0.01)
    bar.set_label("probability", fontsize=canvas.SMALL)
    bar.ax.tick_params(labelsize=canvas.SMALL)
    return f"below each character the {CANDIDATES} most probable ones; framed: the true one"


def _line(axes: Axes, window: Window, steps: slice) -> Any:
    """One line: the text, and a grid of candidates."""
    readout, labels = window.readout[0, steps], window.targets[0, steps]
    count = min(CANDIDATES, window.target.size)
    best = np.argsort(-readout, axis=1, kind="stable")[:, :count]  # [steps, candidates]
    probabilities = np.take_along_axis(readout, best, 1)
    shades = axes.imshow(probabilities.T, vmin=0, vmax=1, cmap="viridis", aspect="auto")
    for (step, rank), number in np.ndenumerate(best):
        light = probabilities[step, rank] > LIGHT
        true = bool(window.scored[0, steps][step] and number == labels[step])
        _character(axes, window, int(number), step, rank, "k" if light else "w", framed=true)
    for step, label in enumerate(labels):
        known = window.scored[0, steps][step]
        _character(axes, window, int(label) if known else -1, step, -1, "k", bold=True)
    axes.set_ylim(count - 0.5, -1.5)
    axes.set_xlim(-0.5, LINE - 0.5)
    axes.set_yticks([-1, *range(count)], ["text", *(f"{rank}." for rank in range(1, count + 1))])
    axes.tick_params(axis="y", length=0, labelsize=canvas.SMALL)
    axes.set_xticks([])
    axes.spines[:].set_visible(False)
    return shades


def _character(
    axes: Axes,
    window: Window,
    number: int,
    step: int,
    rank: int,
    colour: str,
    bold: bool = False,
    framed: bool = False,
) -> None:
    """Writes a character into a cell."""
    from matplotlib.patches import Rectangle

    name = canvas.character(window.target.label(number))
    numbered = "\n" in name  # Else it stands on a line: a comma is no apostrophe.
    at, upright = (rank, "center") if numbered else (rank + BASELINE, "baseline")
    size = canvas.SMALL - 3 * numbered
    axes.text(
        step, at, name, ha="center", va=upright, fontsize=size, color=colour,
        linespacing=0.9,
        weight="bold" if bold else "normal",
    )  # fmt: skip
    if framed:
        place, size_ = (step - 0.44, rank - 0.44), 0.88
        axes.add_patch(
            Rectangle(place, size_, size_, fill=False, edgecolor=canvas.RED, linewidth=1.6)
        )
