"""The learning curve of a run: losses by epoch, with the Bayes loss, chance and baselines."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from lstmcli.reporting.figures import style
from lstmcli.reporting.figures.style import GREEN, GREY, RED

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Floats = npt.NDArray[np.float64]

QUANTILES = (0.25, 0.75)
MOST_THIN = 8
"""Up to this many seeds, each has its own thin line."""
FEWEST_BANDED = 4
"""From this many seeds on, an area shows their middle half."""
CUT_FROM = 20
"""From this many epochs on, high losses at the beginning may be cut off."""
LAST_HALF, MOST_CUT = 1 / 7, 0.1
"""The last half of the epochs takes this share of an axis, if at most this share of the losses is
cut off."""
FEW_EPOCHS = 3
"""With fewer epochs than this, the logged windows are drawn too."""
FEWEST_WINDOWS = 5
"""With fewer logged windows per seed than this, they are not drawn."""
OF_RUNS = (style.BLUE, style.ORANGE, style.GREEN, style.PURPLE, style.GREY)
"""Colours of runs in one figure; if there are more runs, their line styles differ too."""
TRAINING, VALIDATION = (style.ORANGE, "--"), (style.BLUE, "-")


@dataclass(frozen=True)
class Curve:
    """The losses of a run.

    Attributes:
        epochs: a row for each epoch and seed: `epoch`, `seed`, `loss`, `val_loss`, and the losses
            that these are compared with: `bayes_loss`, `chance`, and the best baseline's loss
            `reference_loss` and name `reference`.
        windows: a row for each logged window and seed: `epoch` (may be fractional) and `loss`.
        unit: the unit of all losses, for an axis: `nats per step`.
        title: what was learned, and by which model.
    """

    epochs: pd.DataFrame
    windows: pd.DataFrame
    unit: str
    title: str

    @property
    def seeds(self) -> int:
        """The number of models that were trained."""
        return int(self.epochs.seed.nunique())


def loss_figure(curve: Curve) -> Figure:
    """The learning curve as a figure of its own."""
    figure, [[axes]] = style.figure(7.5, 4)
    draw_loss(axes, curve)
    style.head(figure, curve.title, _explained(curve))
    return figure


def _explained(curve: Curve) -> str:
    if curve.seeds == 1:
        return "training loss is measured before each window's update"
    words = "line: median over the seeds"
    if curve.seeds >= FEWEST_BANDED:
        words += "; area: the middle half of them"
    return words + ("; thin: each seed" if curve.seeds <= MOST_THIN else "")


def draw_loss(axes: Axes, curve: Curve, columns: int = 4) -> None:
    """Draws training and validation loss by epoch, with the Bayes loss, chance or baselines.

    Args:
        axes: the axes to draw into.
        curve: the losses.
        columns: number of columns in the legend.
    """
    table = curve.epochs
    logged = curve.windows.groupby("seed").size().max() if len(curve.windows) else 0
    few = table.epoch.max() < FEW_EPOCHS and logged >= FEWEST_WINDOWS
    measured = [table.loss, table.val_loss, *([curve.windows.loss] if few else [])]
    losses = np.concatenate([np.asarray(each, float) for each in measured])
    axis = LossAxis.around(losses, table, falling=True, last_half=_last_half(table))
    if few:
        _windows(axes, curve.windows)
    _line(axes, table, "loss", "training", TRAINING)
    _line(axes, table, "val_loss", "validation", VALIDATION)
    _best(axes, table)
    axis.apply(axes)
    axis.references(axes, table)
    _epochs(axes, table)
    axes.set_ylabel(curve.unit if curve.unit.startswith("RMSE") else f"loss ({curve.unit})")
    style.legend_above(axes, columns)


def compared_figure(curves: Sequence[tuple[str, pd.DataFrame]]) -> Figure:
    """The validation losses of several runs in one figure: the median over each run's seeds.

    Args:
        curves: the name and the `metrics.csv` of each run. Without a validation part, the training
            loss is drawn.
    """
    figure, [[axes]] = style.figure(7.5, 4)
    tables = [table for _, table in curves]
    column = "val_loss" if any(table.val_loss.notna().any() for table in tables) else "loss"
    losses = np.concatenate([np.asarray(table[column], float) for table in tables])
    floors = np.concatenate([_known(table, "bayes_loss") for table in tables])
    for number, (label, table) in enumerate(curves):
        median = table.groupby("epoch")[column].median().astype(float)
        round_, place = divmod(number, len(OF_RUNS))
        line = style.LINES[round_ % len(style.LINES)]
        name = style.shown(label, 40)
        axes.plot(median, color=OF_RUNS[place], linestyle=line, linewidth=1.5, label=name)
    longest = max(tables, key=lambda table: table.epoch.max())
    known = longest.assign(bayes_loss=floors[0] if len(set(floors)) == 1 else np.nan)
    last = np.concatenate([_last_half(table, [column]) for table in tables])
    axis = LossAxis.around(losses, known, falling=True, last_half=last)
    axis.apply(axes)
    axis.references(axes, known)
    _epochs(axes, longest)
    axes.set_ylabel("validation loss" if column == "val_loss" else "training loss")
    style.legend_above(axes, 2)
    style.head(figure, f"{len(curves)} runs side by side", "line: median over the seeds of a run")
    return figure


def _windows(axes: Axes, windows: pd.DataFrame) -> None:
    """Draws the losses of each seed's logged windows."""
    for _, own in windows.groupby("seed"):
        axes.plot(own.epoch, own.loss, color=style.GREY, linewidth=0.6)
    axes.plot([], [], color=style.GREY, linewidth=0.6, label="a window")


def _line(axes: Axes, table: pd.DataFrame, column: str, label: str, style: tuple[str, str]) -> None:
    """Draws the median over the seeds, the middle half of many seeds, and each of few."""
    by_seed = table.pivot_table(column, "epoch", "seed", dropna=False).astype(float)
    by_seed = by_seed.where(np.isfinite(by_seed))
    colour, line = style
    seeds = by_seed.shape[1]
    if 1 < seeds <= MOST_THIN:
        axes.plot(by_seed.index, by_seed, color=colour, linewidth=0.5)
    if seeds >= FEWEST_BANDED:
        low, high = (by_seed.quantile(each, axis=1) for each in QUANTILES)
        axes.fill_between(by_seed.index, low, high, color=colour, alpha=0.2, linewidth=0)
    marker = "." if len(by_seed) < 3 else None  # A single point draws no line.
    median = by_seed.median(axis=1)
    axes.plot(median, color=colour, linestyle=line, linewidth=1.5, marker=marker, label=label)


def _best(axes: Axes, table: pd.DataFrame) -> None:
    """Marks each seed's epoch with the lowest validation loss, that of its best checkpoint."""
    known = table[np.isfinite(table.val_loss.astype(float))]
    best = known.loc[known.groupby("seed").val_loss.idxmin()]
    if len(best) == 0:
        return
    label = f"best epoch: {best.epoch.iloc[0]:.0f}" if len(best) == 1 else "best epochs"
    axes.plot(
        best.epoch, best.val_loss, "o", color=style.BLUE, markerfacecolor="white", markersize=5,
        linestyle="", label=label, zorder=5,
    )  # fmt: skip


def _epochs(axes: Any, table: pd.DataFrame) -> None:
    """Sets up the axis of epochs."""
    from matplotlib.ticker import StrMethodFormatter

    axes.set_xlabel("epoch")
    last = table.epoch.max()
    most = 9 if last < CUT_FROM else 4 if last < 1_000 else 2  # Longer numbers need more room.
    style.whole_numbers(axes.xaxis, int(table.epoch.min()), most)
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))


def _last_half(table: pd.DataFrame, columns: Sequence[str] = ("loss", "val_loss")) -> Floats:
    """The losses of the last half of the epochs; none if there are few epochs."""
    if table.epoch.max() < CUT_FROM:
        return np.empty(0)
    late = table[table.epoch > table.epoch.max() / 2][list(columns)]
    return np.asarray(late, float).ravel()


NARROW = 2.0  # ratio of the highest to the lowest loss, below which an axis is linear
NOTE_HEIGHT = 0.07  # height of a note's line, as a share of the axis
TICKS = ((0.7, (1, 1.5, 2, 2.5, 3, 4, 5, 6, 7, 8)), (1.2, (1, 2, 3, 4, 6)), (2.5, (1, 2, 5)))
"""The multiples of each decade that have ticks, for axes of fewer decades than the number."""
BESIDE = 14  # most characters in a line beside an axis: `autoregression`
ABSURD = 4.0  # times chance: a loss above this has diverged, and must not squash the others

BAYES = "Bayes loss"
BAYES_STYLE, CHANCE_STYLE, BASELINE_STYLE = (RED, "--"), (GREY, ":"), (GREEN, "-.")
"""Reference lines differ in their dashes as well as in their colours."""


@dataclass(frozen=True)
class LossAxis:
    """The range of losses that an axis shows.

    The Bayes loss and chance are drawn if they are close to the losses. Otherwise a note at the
    edge says where they lie, so that the losses of a sweep that no seed solves are not squashed
    into a line below chance.

    Attributes:
        low, high: the limits.
        logarithmic: whether the axis is logarithmic.
        falling: whether losses fall from left to right. If so, names are written beside the axes.
    """

    low: float
    high: float
    logarithmic: bool
    falling: bool = False

    @classmethod
    def around(
        cls,
        losses: npt.ArrayLike,
        table: pd.DataFrame,
        falling: bool = False,
        last_half: npt.ArrayLike = (),
    ) -> LossAxis:
        """An axis for some losses, and for the references that are close to them.

        Args:
            losses: the losses to show; NaN and infinity are left out.
            table: a table of trials or of epochs, with the references.
            falling: whether losses fall from left to right.
            last_half: the losses of the last half of the epochs. If they would lie in a narrow
                band, the highest losses before them are cut off.
        """
        chances = _known(table, "chance")
        known = np.concatenate([values for _, _, values in _references(table)])
        shown = np.asarray(losses, float).ravel()
        shown = shown[np.isfinite(shown)]
        if len(chances) and (shown <= ABSURD * chances.max()).any():
            shown = shown[shown <= ABSURD * chances.max()]
        shown = shown if len(shown) else np.array([0.0, 1.0])
        low, high = shown.min(), shown.max()
        logarithmic = bool(low > 0 and high / low >= NARROW)
        to, back = (np.log, np.exp) if logarithmic else (np.asarray, np.asarray)
        high = _without_the_beginning(shown, np.asarray(last_half, float), to, back)
        span = max(to(high) - to(low), 0.02 if logarithmic else 0.002 * high, 1e-9)
        positive = known[known > 0] if logarithmic else known
        near = [each for each in to(positive) if to(low) - span <= each <= to(high) + span]
        ends = [to(low), to(high), *near]
        margin = 0.1 * max(span, max(ends) - min(ends))
        limits = float(back(min(ends) - margin)), float(back(max(ends) + margin))
        return cls(*limits, logarithmic, falling)

    def apply(self, axes: Any) -> None:
        """Sets the scale and the limits of the vertical axis."""
        if self.logarithmic:
            axes.set_yscale("log")
            self.ticks(axes.yaxis)
        axes.set_ylim(self.low, self.high)

    def ticks(self, axis: Any) -> None:
        """Sets ticks at the decades, and also between them if there are few."""
        from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

        decades = np.log10(self.high / self.low)
        between = [each for most, each in TICKS if decades < most]
        axis.set_major_locator(LogLocator(subs=between[0] if between else (1.0,)))
        axis.set_major_formatter(FuncFormatter(lambda value, _: self._number(value)))
        axis.set_minor_locator(NullLocator())

    def _number(self, loss: float) -> str:
        """Formats a loss in the notation of the axis."""
        return style.numbers([loss, self.low, self.high] if self.logarithmic else [loss])[0]

    def reference(
        self, axes: Any, name: str, drawn: tuple[str, str], values: npt.ArrayLike
    ) -> None:
        """Draws a reference: a line, a band if its values differ, or a note at the edge."""
        colour, line = drawn
        known = np.asarray(values, float)
        if not len(known):
            return
        low, high = known.min(), known.max()
        same = high - low <= 0.005 * high
        ends = [self._number(each) for each in (low, high)]
        text = f"{name} {ends[1]}" if same else f"{name} {ends[0]}-{ends[1]}"
        if low > self.high or high < self.low:
            above = low > self.high
            said = f"{text} is {'above' if above else 'below'}"
            if self.falling:
                _beside(axes, said, colour, float(above), drawn == CHANCE_STYLE and not above)
                return
            height = 1.0 if above else NOTE_HEIGHT * (name != BAYES)  # The Bayes loss is lowest.
            _note(axes, said, colour, height, not above)
            return
        if same:
            axes.axhline(high, color=colour, linestyle=line, linewidth=1)
        else:
            axes.axhspan(low, high, color=colour, alpha=0.25, linewidth=0)
        if self.falling:
            _beside(axes, text, colour, self._share(min(max(high, self.low), self.high)))
            return
        # The name of the Bayes loss is written below it, where no loss should be.
        upward = name != BAYES
        edge = min(high, self.high) if upward else max(low, self.low)
        if edge != (high if upward else low):
            upward = not upward
        _note(axes, text, colour, edge, upward, ("axes fraction", "data"))

    def _share(self, loss: float) -> float:
        """The height of a loss as a share of the axis."""
        if self.logarithmic:
            return float(np.log(loss / self.low) / np.log(self.high / self.low))
        return (loss - self.low) / (self.high - self.low)

    def references(self, axes: Any, table: pd.DataFrame) -> None:
        """Draws the Bayes loss and chance of a table, or its baselines by name."""
        for name, drawn, values in _references(table):
            self.reference(axes, name, drawn, values)


def _references(table: pd.DataFrame) -> list[tuple[str, tuple[str, str], Floats]]:
    """The references of a table's losses: the name, style and losses of each."""
    bayes_loss = _known(table, "bayes_loss")
    found = [(BAYES, BAYES_STYLE, bayes_loss)]
    if "reference" not in table or len(bayes_loss) or table.reference.isna().all():
        return [*found, ("chance", CHANCE_STYLE, _known(table, "chance"))]
    return found + [
        (str(name), BASELINE_STYLE, _known(part, "reference_loss"))
        for name, part in table.groupby("reference")
    ]


def _without_the_beginning(
    shown: Floats, last_half: Floats, to: Callable[[Any], Any], back: Callable[[Any], Any]
) -> float:
    """The highest loss that an axis shows, so that the last half of the epochs stays visible."""
    last_half = last_half[np.isfinite(last_half) & (last_half <= shown.max())]
    if not len(last_half):
        return float(shown.max())
    low, high = to(shown.min()), to(last_half.max())
    enough = back(low + (high - to(last_half.min())) / LAST_HALF)
    highest = max(enough, last_half.max(), np.quantile(shown, 1 - MOST_CUT))
    return float(min(shown.max(), highest))


def _beside(axes: Any, text: str, colour: str, share: float, raised: bool = False) -> None:
    """Writes to the right of axes, where there are no curves.

    Args:
        axes: the axes.
        text: the text, which is broken into short lines.
        colour: colour of the text.
        share: height of the text, as a share of the axes' height.
        raised: whether to leave room for another text at the lower end.
    """
    where = "center" if 0.1 < share < 0.9 else "top" if share >= 0.9 else "bottom"
    lines = textwrap.fill(text, BESIDE, break_on_hyphens=False)
    axes.annotate(
        lines, (1, share), xycoords="axes fraction", color=colour, fontsize=8,
        ha="left", va=where, xytext=(4, 36 if raised else 0),
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
    """Writes at the edge of the axes, above or below a height."""
    axes.annotate(
        text, (1, height), xycoords=of, color=colour, fontsize=8,
        ha="right", va="bottom" if upward else "top",
        xytext=(-2, 2 if upward else -2),
        textcoords="offset points", zorder=4,
        bbox={"facecolor": "white", "alpha": 0.7, "linewidth": 0, "pad": 0.5},
    )  # fmt: skip


def _known(table: pd.DataFrame, column: str) -> npt.NDArray[np.float64]:
    """The finite numbers in a column; none if there is no such column."""
    values = np.unique(np.asarray(table.get(column, []), float))
    finite: npt.NDArray[np.float64] = values[np.isfinite(values)]
    return finite
