"""The probability of each class along a few rows or sequences, with the true class marked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from lstmcli.report.figures import canvas
from lstmcli.report.figures.window import Window

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MOST_CLASSES = 6
"""Classes that have a line of their own in a panel."""
LIGHT = 0.6
"""The probability from which on a shade is light."""
WIDEST = 14
"""Characters of a class' name that have room beside a panel."""


def draw_probabilities(figure: Any, window: Window) -> str:
    """Draws a panel for each row: classes upwards, steps to the right, probabilities as shades."""
    panels = figure.subplots(len(window.names), 1, squeeze=False, sharex=True)
    classes = _classes(window)
    for row, axes in enumerate(panels.flat):
        shades = _panel(axes, window, row, classes)
    canvas.shared_steps(
        panels.flat, window.names[0].split()[0], int(window.places[window.there].min())
    )
    bar = figure.colorbar(shades, ax=panels, fraction=0.03, pad=0.01)
    bar.set_label("probability", fontsize=canvas.SMALL)
    bar.ax.tick_params(labelsize=canvas.SMALL)
    return "circle: the true class; cross: the true class where another one is more probable"


def _classes(window: Window) -> npt.NDArray[np.int64]:
    """The classes with a line: all, or the most frequent true and predicted ones."""
    if window.target.size <= MOST_CLASSES:
        return np.arange(window.target.size)
    seen = np.concatenate([window.targets[window.scored], window.guesses[window.there]])
    counts = np.bincount(seen.astype(np.int64), minlength=window.target.size)
    return np.sort(np.argsort(-counts, kind="stable")[: MOST_CLASSES - 1])


def _panel(axes: Axes, window: Window, row: int, classes: npt.NDArray[np.int64]) -> Any:
    """One row; classes without a line share the one on top."""
    readout = window.readout[row]
    lines = readout[:, classes].T  # [classes, steps]
    names = [canvas.shown(window.target.label(int(each)), WIDEST) for each in classes]
    if others := window.target.size - len(classes):
        lines = np.concatenate([lines, 1 - lines.sum(0, keepdims=True)])
        names.append(f"{others:,} others")
    lines = np.where(window.there[row], lines, np.nan)
    first = window.places[row, 0]
    extent = (first - 0.5, first + lines.shape[1] - 0.5, -0.5, len(lines) - 0.5)
    shades = axes.imshow(
        lines, vmin=0, vmax=1, cmap="viridis", origin="lower", aspect="auto", extent=extent,
        interpolation="nearest",
    )  # fmt: skip
    _truth(axes, window, row, classes)
    axes.set_yticks(range(len(names)), names, fontsize=canvas.SMALL)
    axes.tick_params(axis="y", length=0)
    axes.spines[:].set_visible(False)
    axes.set_ylabel(window.names[row], fontsize=canvas.SMALL)
    return shades


def _truth(axes: Axes, window: Window, row: int, classes: npt.NDArray[np.int64]) -> None:
    """Marks the true class of each step with a label."""
    height, light = _heights(window, row, classes)
    scored, wrong = window.scored[row], window.wrong[row]
    right = scored & ~wrong
    for where, marker, colour in (
        (right & light, "o", "black"), (right & ~light, "o", "white"), (wrong, "x", canvas.RED),
    ):  # fmt: skip
        axes.plot(
            window.places[row][where], height[where], marker, color=colour, markersize=4,
            markerfacecolor="none", mew=1.2, linestyle="",
        )  # fmt: skip


def _heights(
    window: Window, row: int, classes: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
    """At which line each true class is, and whether the shade there is a light one."""
    labels = window.targets[row].astype(np.int64)
    line = np.full(window.target.size, len(classes))
    line[classes] = np.arange(len(classes))
    probability = np.take_along_axis(window.readout[row], labels[:, None], 1)[:, 0]
    return line[labels], probability > LIGHT
