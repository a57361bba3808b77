"""The article's moving figure: the loss, and beside it the predictions for five rows."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any

import numpy as np

from lstmcli.reporting.predictions import PredictionSample
from lstmcli.utils.errors import UsageError

if TYPE_CHECKING:
    from matplotlib.axes import Axes

BACKENDS = ("macosx", "QtAgg", "GTK4Agg", "GTK3Agg", "TkAgg", "WxAgg")
"""Matplotlib's backends that open a window."""
ROWS = 5
PATIENCE = 4
"""Times the seconds of a drawing, to wait for the next: they take at most a fifth of a run."""
LEAST = 1e-12
INPUT, LABEL, PREDICTION, WRONG = "#bbbbbb", "#0072b2", "#e69f00", "#d55e00"
"""Colours that colour-blind people can tell apart (Okabe and Ito 2008)."""


def check_display() -> None:
    """Checks that a window can be opened.

    Raises:
        UsageError: there is no display, or no toolkit that opens a window on it.
    """
    from matplotlib import pyplot

    for name in BACKENDS:
        try:
            pyplot.switch_backend(name)
        except (ImportError, RuntimeError):
            continue
        return
    raise UsageError(
        "`--live window` needs a display, and Tk, Qt, GTK or wx for Python, but found none",
        "`--live auto` shows the same in the terminal",
    )


class Window:
    """A window that is redrawn while a run trains; closing it does not stop the run.

    Args:
        floor: the Bayes loss, where it is known.
    """

    def __init__(self, floor: float | None) -> None:
        from matplotlib import pyplot

        self.figure = pyplot.figure("lstmcli", figsize=(11, 7), layout="constrained")
        grid = self.figure.add_gridspec(ROWS, 2)
        self._curve: Axes = self.figure.add_subplot(grid[:, 0])
        self._rows = [self.figure.add_subplot(grid[row, 1]) for row in range(ROWS)]
        self._floor = floor
        self._points: list[tuple[float, float]] = []
        self._sample: PredictionSample | None = None
        self._next = 0.0
        self.figure.show()

    @property
    def open(self) -> bool:
        """Whether it has not been closed."""
        from matplotlib import pyplot

        return bool(pyplot.fignum_exists(self.figure.number))

    def add(self, place: float, loss: float) -> None:
        """Adds a point to the curve; `place` is in epochs."""
        self._points.append((place, loss))
        if self.open:
            self.figure.canvas.flush_events()

    def show(self, sample: PredictionSample) -> None:
        """Shows the predictions for some rows."""
        self._sample = sample
        if time.monotonic() >= self._next:
            self._draw()

    def wait(self) -> None:
        """Keeps the last figure on the screen until the user closes it."""
        from matplotlib import pyplot

        if not self.open or self.figure.canvas.required_interactive_framework is None:
            return
        self._draw()
        print("note: close the window to end", file=sys.stderr, flush=True)
        pyplot.show(block=True)

    def close(self) -> None:
        """Closes it."""
        from matplotlib import pyplot

        pyplot.close(self.figure)

    def _draw(self) -> None:
        if not self.open or self._sample is None:
            return
        begun = time.monotonic()
        self._draw_curve()
        for row, axes in enumerate(self._rows):
            axes.clear()
            axes.set_visible(row < len(self._sample.given))
            if axes.get_visible():
                _draw_row(axes, self._sample, row)
        self._rows[0].set_title(_heading(self._sample), fontsize="medium", pad=18)
        self._rows[-1].set_xlabel("step of the row")
        self.figure.canvas.draw()
        self.figure.canvas.flush_events()
        now = time.monotonic()
        self._next = now + PATIENCE * (now - begun)

    def _draw_curve(self) -> None:
        axes = self._curve
        axes.clear()
        places, losses = np.asarray(self._points).T
        axes.semilogy(places, np.maximum(losses, LEAST), color=LABEL, label="training")
        if self._floor:
            axes.axhline(self._floor, color="black", linestyle=":", label="Bayes loss")
        axes.set_xlabel("epoch")
        axes.set_ylabel("loss")
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False)


def _heading(sample: PredictionSample) -> str:
    """When the rows were predicted, and by which seed."""
    moment = sample.moment
    when = f"epoch {moment.epoch:,}, window {moment.window:,}"
    return f"seed {sample.seed}, {when}: validation, one panel a row"


def _draw_row(axes: Any, sample: PredictionSample, row: int) -> None:
    """A row: input, label and prediction at each step."""
    steps, known, wrong = sample.places[row], sample.labelled[row], sample.wrong[row]
    given, target = sample.column.in_units(sample.given[row]), sample.schema.targets[0]
    due, made = (target.in_units(each[row]) for each in (sample.labels, sample.guesses))
    axes.bar(steps, given, width=1, color=INPUT, label="input")
    axes.step(steps, np.where(known, due, np.nan), where="mid", color=LABEL, label="label")
    right = known & ~wrong
    axes.plot(steps[right], made[right], "o", color=PREDICTION, markersize=4, label="prediction")
    axes.plot(steps[wrong], made[wrong], "x", color=WRONG, markeredgewidth=2, label="wrong")
    axes.spines[["top", "right"]].set_visible(False)
    if row == 0:
        axes.legend(frameon=False, ncols=4, fontsize="x-small", loc="lower left",
                    bbox_to_anchor=(0, 0.92))  # fmt: skip
