"""An axis of losses, with its floor and its chance, for the figures."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from lstmcli.report.figures.canvas import GREEN, GREY, RED

if TYPE_CHECKING:
    import pandas as pd

NARROW = 2.0  # highest loss over lowest, below which an axis need not be logarithmic
NOTE_HEIGHT = 0.07  # of an axis: a line of a note
TICKS = ((0.7, (1, 1.5, 2, 2.5, 3, 4, 5, 6, 7, 8)), (1.2, (1, 2, 3, 4, 6)), (2.5, (1, 2, 5)))
"""Decades below which ticks stand at these multiples of each."""
BESIDE = 11  # characters of a line beside an axis
ABSURD = 4.0  # times chance: what is above has diverged, and must not hide the rest

FLOOR, CHANCE, WITHOUT = (RED, "--"), (GREY, ":"), (GREEN, "-.")
"""How a floor, a chance and what needs no network are drawn: by line as well as by colour."""


@dataclass(frozen=True)
class LossAxis:
    """The range that an axis of losses shows: where the losses are.

    Floor and chance are drawn where they are near; else a note at the edge says where they lie. So
    a sweep that nothing solves is not squashed into a line under chance.

    Attributes:
        low, high: its limits.
        logarithmic: whether decades are equally long.
        falling: whether losses fall from left to right: then names stand beside the axes.
    """

    low: float
    high: float
    logarithmic: bool
    falling: bool = False

    @classmethod
    def around(cls, losses: npt.ArrayLike, table: pd.DataFrame, falling: bool = False) -> LossAxis:
        """An axis for some losses, and for the references that lie near them.

        Args:
            losses: what is to be seen; NaN and infinity are left out.
            table: of trials or of epochs; its floors and chances count.
            falling: whether losses fall from left to right.
        """
        chances = _known(table, "chance")
        known = np.concatenate([_known(table, "bayes_loss"), chances])
        shown = np.asarray(losses, float).ravel()
        shown = shown[np.isfinite(shown)]
        if len(chances) and (shown <= ABSURD * chances.max()).any():
            shown = shown[shown <= ABSURD * chances.max()]
        low, high = (shown.min(), shown.max()) if len(shown) else (0.0, 1.0)
        logarithmic = bool(low > 0 and high / low >= NARROW)
        to, back = (np.log, np.exp) if logarithmic else (np.asarray, np.asarray)
        span = max(to(high) - to(low), 0.02 if logarithmic else 0.002 * high, 1e-9)
        positive = known[known > 0] if logarithmic else known
        near = [each for each in to(positive) if to(low) - span <= each <= to(high) + span]
        ends = [to(low), to(high), *near]
        margin = 0.1 * max(span, max(ends) - min(ends))
        limits = float(back(min(ends) - margin)), float(back(max(ends) + margin))
        return cls(*limits, logarithmic, falling)

    def apply(self, axes: Any) -> None:
        """Sets scale and limits."""
        if self.logarithmic:
            axes.set_yscale("log")
            self._ticks(axes.yaxis)
        axes.set_ylim(self.low, self.high)

    def _ticks(self, axis: Any) -> None:
        """Plain numbers at the decades; in between too where there are few of these."""
        from matplotlib.ticker import LogLocator, NullLocator, StrMethodFormatter

        decades = np.log10(self.high / self.low)
        between = [each for most, each in TICKS if decades < most]
        axis.set_major_locator(LogLocator(subs=between[0] if between else (1.0,)))
        axis.set_major_formatter(StrMethodFormatter("{x:g}"))
        axis.set_minor_locator(NullLocator())

    def reference(
        self, axes: Any, name: str, style: tuple[str, str], values: npt.ArrayLike
    ) -> None:
        """Draws a floor or a chance: a line, a band where it differs, or a note at the edge."""
        colour, line = style
        known = np.asarray(values, float)
        if not len(known):
            return
        low, high = known.min(), known.max()
        same = high - low <= 0.005 * high
        text = f"{name} {high:.3g}" if same else f"{name} {low:.3g}-{high:.3g}"
        if low > self.high or high < self.low:
            above = low > self.high
            said = f"{text} is {'above' if above else 'below'}"
            if self.falling:
                _beside(axes, said, colour, float(above), name != "floor" and not above)
                return
            height = 1.0 if above else NOTE_HEIGHT * (name != "floor")  # The floor lies lowest.
            _note(axes, said, colour, height, not above)
            return
        if same:
            axes.axhline(high, color=colour, linestyle=line, linewidth=1)
        else:
            axes.axhspan(low, high, color=colour, alpha=0.25, linewidth=0)
        if self.falling:
            _beside(axes, text, colour, self._share(min(max(high, self.low), self.high)))
            return
        # A floor's name stands below it, where no loss should be.
        upward = name != "floor"
        edge = min(high, self.high) if upward else max(low, self.low)
        if edge != (high if upward else low):
            upward = not upward
        _note(axes, text, colour, edge, upward, ("axes fraction", "data"))

    def _share(self, loss: float) -> float:
        """How far up a loss stands."""
        if self.logarithmic:
            return float(np.log(loss / self.low) / np.log(self.high / self.low))
        return (loss - self.low) / (self.high - self.low)

    def references(self, axes: Any, table: pd.DataFrame) -> None:
        """Draws the floor and the chance that a table names; or what needs no network, by name."""
        floor = _known(table, "bayes_loss")
        self.reference(axes, "floor", FLOOR, floor)
        if "reference" not in table or len(floor) or table.reference.isna().all():
            self.reference(axes, "chance", CHANCE, _known(table, "chance"))
            return
        for name, part in table.groupby("reference"):
            self.reference(axes, str(name), WITHOUT, _known(part, "reference_loss"))


def _beside(axes: Any, text: str, colour: str, share: float, raised: bool = False) -> None:
    """Writes at the right of axes, where no curve can be, so far up.

    Args:
        axes: where.
        text: is broken into short lines.
        colour: of the text.
        share: of the axes' height.
        raised: whether another text may stand at their lower end.
    """
    where = "center" if 0.1 < share < 0.9 else "top" if share >= 0.9 else "bottom"
    axes.annotate(
        textwrap.fill(text, BESIDE), (1, share), xycoords="axes fraction", color=colour,
        fontsize=8, ha="left", va=where, xytext=(4, 36 if raised else 0),
        textcoords="offset points",
    )  # fmt: skip


def _note(
    axes: Any,
    text: str,
    colour: str,
    height: float,
    upward: bool,
    of: Any = "axes fraction",
) -> None:
    """Writes at an edge, above or below a height."""
    axes.annotate(
        text, (1, height), xycoords=of, color=colour, fontsize=8,
        ha="right", va="bottom" if upward else "top",
        xytext=(-2, 2 if upward else -2),
        textcoords="offset points", zorder=4,
        bbox={"facecolor": "white", "alpha": 0.7, "linewidth": 0, "pad": 0.5},
    )  # fmt: skip


def _known(table: pd.DataFrame, column: str) -> npt.NDArray[np.float64]:
    """The numbers in a column; none if there is no such column."""
    values = np.unique(np.asarray(table.get(column, []), float))
    finite: npt.NDArray[np.float64] = values[np.isfinite(values)]
    return finite
