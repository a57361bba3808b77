"""The article's figure: the loss curve beside the network's predictions for a window."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from lstmcli.data.schema import Categorical, Numeric
from lstmcli.reporting.figures import style
from lstmcli.reporting.figures import style as figure_style
from lstmcli.reporting.figures.loss import Curve, draw_loss
from lstmcli.reporting.predictions import PredictionSample

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH, OF_THE_LOSS, HEIGHT = 9.0, 3.1, 4.8
"""Inches."""

Painter = Callable[[Any, PredictionSample], str]
"""Draws a window into part of a figure, and returns a sentence on how to read it."""


def window_figure(window: PredictionSample, title: str, curve: Curve | None = None) -> Figure:
    """The predictions for a window, beside the learning curve if there is one.

    Args:
        window: the window and its predictions.
        title: what was learned, and by which model.
        curve: the losses.
    """
    figure = style.empty(WIDTH, HEIGHT)
    if curve is None:
        explained = painter(window)(figure, window)
    else:
        ratios = (OF_THE_LOSS, WIDTH - OF_THE_LOSS)
        left, right = figure.subfigures(1, 2, squeeze=False, width_ratios=ratios)[0]
        draw_loss(style.bare(left.subplots()), curve, columns=2)
        explained = painter(window)(right, window)
    style.head(figure, title, f"{window.where}; {explained}")
    return figure


def painter(window: PredictionSample) -> Painter:
    """The function that draws a window."""
    return PAINTERS[window.schema.target_kind.figure](window)


LONGEST_NAME, MOST_LONGER = 2, 2
"""The most characters that fit in a cell; the most classes whose names may be longer and cut."""
MOST_STRIP_CLASSES = 64
TRACKS = ("input", "label", "prediction")
COLOURS = (figure_style.BLUE, figure_style.ORANGE, figure_style.GREEN)
BITS = Categorical("input", 2)
TALL, WIDE = 0.78, 0.86
"""The height of a bar as a share of its track, and its width as a share of a step."""


def can_be_strips(window: PredictionSample) -> bool:
    """Whether there is one input, a label at many steps, and names that fit in a cell."""
    if window.one_input is None or window.sparse or window.target.size > MOST_STRIP_CLASSES:
        return False
    return sum(len(name) > LONGEST_NAME for name in _names_of(window)) <= MOST_LONGER


def _names_of(window: PredictionSample) -> list[str]:
    """The names of the classes and of the input's values, each once."""
    columns = [window.target, *window.schema.symbols]
    names = [column.label(number) for column in columns for number in range(column.size)]
    return list(dict.fromkeys(names))


def draw_strips(figure: Any, window: PredictionSample) -> str:
    """Draws a panel for each row: two classes as bars, more classes by name in cells."""
    panels = figure.subplots(len(window.names), 1, squeeze=False, sharex=True)
    for row, axes in enumerate(panels.flat):
        _strip_panel(axes, window, row)
    figure_style.shared_steps(
        panels.flat, window.names[0].split()[0], int(window.places[window.there].min())
    )
    if window.target.size == 2:
        return "height of a prediction: the probability of 1; cross: wrong"
    longer = [name for name in _names_of(window) if len(name) > LONGEST_NAME]
    cut = ", ".join(f"{name[0]}: {figure_style.shown(name, 12)}" for name in longer)
    return "filled: how probable the prediction is; framed: wrong" + (f"; {cut}" if cut else "")


def _strip_panel(axes: Axes, window: PredictionSample, row: int) -> None:
    """Draws one row, with the input on top."""
    there = window.there[row]
    places = window.places[row]
    given = window.one_input
    assert given is not None
    draw = _strip_bars if window.target.size == 2 else _cells
    draw(axes, window, row, given)
    axes.set_ylim(-0.1, len(TRACKS))
    axes.set_xlim(places[there][0] - 0.6, places[-1] + 0.6)
    axes.set_yticks([2 + TALL / 2, 1 + TALL / 2, TALL / 2], TRACKS, fontsize=figure_style.SMALL)
    axes.tick_params(axis="y", length=0)
    axes.spines[:].set_visible(False)
    axes.set_ylabel(window.names[row], fontsize=figure_style.SMALL)
    for base in range(len(TRACKS)):
        axes.axhline(base, color="0.8", linewidth=0.6, zorder=0)


def _strip_bars(
    axes: Axes, window: PredictionSample, row: int, given: npt.NDArray[np.int64]
) -> None:
    """For two classes: bars as high as the input, the label and the probability of class 1."""
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
    axes.plot(wrong, height, "x", color=figure_style.RED, markersize=6, mew=1.8)


def _bar(
    axes: Axes,
    places: npt.NDArray[np.int64],
    heights: npt.NDArray[Any],
    base: float,
    colour: str,
    **style: Any,
) -> None:
    """Draws bars with gaps between them as one shape: hundreds of rectangles would be slow."""
    edges = (places[:, None] + WIDE / 2 * np.array([-1, 1])).ravel()
    tops = np.zeros(2 * len(places) - 1)
    tops[::2] = TALL * heights
    axes.stairs(base + tops, edges, baseline=base, fill=True, color=colour, linewidth=0, **style)


def _cells(axes: Axes, window: PredictionSample, row: int, given: npt.NDArray[np.int64]) -> None:
    """For more classes: their names, with the prediction's cell filled up to its probability."""
    there, scored, places = window.there[row], window.scored[row], window.places[row]
    sure = np.where(scored, window.readout[row].max(-1), 0)
    _bar(axes, places, sure, 0, figure_style.GREEN, alpha=0.45)
    _bar(axes, places, scored, 1, figure_style.ORANGE, alpha=0.45)
    column = window.schema.symbols[0] if window.schema.symbols else BITS
    _strip_names(axes, places[there], 2, column, given[row][there])
    _strip_names(axes, places[scored], 1, window.target, window.targets[row][scored])
    right, wrong = scored & ~window.wrong[row], window.wrong[row]
    _strip_names(axes, places[right], 0, window.target, window.guesses[row][right])
    frame = {"facecolor": "white", "edgecolor": figure_style.RED, "linewidth": 1.4, "pad": 1}
    _strip_names(axes, places[wrong], 0, window.target, window.guesses[row][wrong], bbox=frame)


def _strip_names(
    axes: Axes,
    places: npt.NDArray[np.int64],
    base: float,
    column: Categorical,
    numbers: npt.NDArray[Any],
    **style: Any,
) -> None:
    """Writes the names of values into a track."""
    for place, number in zip(places, numbers, strict=True):
        name = column.label(int(number))
        name = figure_style.character(name if len(name) <= LONGEST_NAME else name[0])
        axes.text(
            place,
            base + TALL / 2,
            name,
            fontsize=figure_style.SMALL,
            ha="center",
            va="center",
            **style,
        )


MOST_TARGETS = 3
"""The most predicted numbers that are shown."""
Floats = npt.NDArray[np.float64]


def draw_moments(figure: Any, window: PredictionSample) -> str:
    """Draws two panels for each predicted number, in its own units.

    If each sequence has one number, the horizontal axis shows sequences; otherwise it shows the
    steps of one row.
    """
    columns = window.schema.numeric_targets[:MOST_TARGETS]
    alone = len(window.names) > 1
    panels = figure.subplots(
        2 * len(columns), 1, squeeze=False, sharex=True, height_ratios=[2, 1] * len(columns)
    )[:, 0]
    for number, column in enumerate(columns):
        at, truth, predicted = _numbers(window, number, column, alone)
        above, below = panels[2 * number : 2 * number + 2]
        _draw(above, below, at, truth, predicted, "" if alone else "-")
        name = style.shown(column.name, 22)
        name += f" (+{column.lead})" if column.lead else ""
        above.set_ylabel(name, fontsize=9)
        below.set_ylabel("residual", fontsize=9)
    style.legend_above(panels[0], columns=2)
    figure.align_ylabels(panels)
    first = 1 if alone else int(window.places[0][window.there[0]].min())
    style.whole_numbers(panels[-1].xaxis, first)
    panels[-1].set_xlabel("sequence" if alone else f"step of the {window.names[0].split()[0]}")
    return "residual: prediction - truth"


def _numbers(
    window: PredictionSample, number: int, column: Numeric, alone: bool
) -> tuple[Floats, Floats, Floats]:
    """The position, true value and prediction of each pair; unscored true values are NaN."""
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
    above.plot(at, predicted, "D", color=style.RED, linestyle=line, linewidth=1.4,
               markersize=0 if line else 3.5, label="prediction")  # fmt: skip
    below.axhline(0, color="0.6", linewidth=0.8)
    below.vlines(at, 0, residuals, color=style.BLUE, linewidth=1)
    below.plot(at, residuals, ".", color=style.BLUE, markersize=3)
    for axes in (above, below):
        style.bare(axes)
        axes.tick_params(labelsize=style.SMALL)


MOST_CLASSES = 6
"""The most classes with their own line in a panel."""
LIGHT_SHADE = 0.6
"""The probability from which a shade is light."""
WIDEST = 14
"""The most characters of a class's name that fit beside a panel."""


def draw_probabilities(figure: Any, window: PredictionSample) -> str:
    """Draws a panel for each row: classes upwards, steps to the right, probabilities shaded."""
    panels = figure.subplots(len(window.names), 1, squeeze=False, sharex=True)
    classes = _classes(window)
    for row, axes in enumerate(panels.flat):
        shades = _probability_panel(axes, window, row, classes)
    style.shared_steps(
        panels.flat, window.names[0].split()[0], int(window.places[window.there].min())
    )
    bar = figure.colorbar(shades, ax=panels, fraction=0.03, pad=0.01)
    bar.set_label("probability", fontsize=style.SMALL)
    bar.ax.tick_params(labelsize=style.SMALL)
    return "circle: the true class; cross: the true class where another one is more probable"


def _classes(window: PredictionSample) -> npt.NDArray[np.int64]:
    """The classes with their own line: all, or the most frequent true and predicted ones."""
    if window.target.size <= MOST_CLASSES:
        return np.arange(window.target.size)
    seen = np.concatenate([window.targets[window.scored], window.guesses[window.there]])
    counts = np.bincount(seen.astype(np.int64), minlength=window.target.size)
    return np.sort(np.argsort(-counts, kind="stable")[: MOST_CLASSES - 1])


def _probability_panel(
    axes: Axes, window: PredictionSample, row: int, classes: npt.NDArray[np.int64]
) -> Any:
    """Draws one row; classes without their own line share the one on top."""
    readout = window.readout[row]
    lines = readout[:, classes].T  # [classes, steps]
    names = [style.shown(window.target.label(int(each)), WIDEST) for each in classes]
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
    axes.set_yticks(range(len(names)), names, fontsize=style.SMALL)
    axes.tick_params(axis="y", length=0)
    axes.spines[:].set_visible(False)
    axes.set_ylabel(window.names[row], fontsize=style.SMALL)
    return shades


def _truth(axes: Axes, window: PredictionSample, row: int, classes: npt.NDArray[np.int64]) -> None:
    """Marks the true class of each step that has a label."""
    height, light = _heights(window, row, classes)
    scored, wrong = window.scored[row], window.wrong[row]
    right = scored & ~wrong
    for where, marker, colour in (
        (right & light, "o", "black"), (right & ~light, "o", "white"), (wrong, "x", style.RED),
    ):  # fmt: skip
        axes.plot(
            window.places[row][where], height[where], marker, color=colour, markersize=4,
            markerfacecolor="none", mew=1.2, linestyle="",
        )  # fmt: skip


def _heights(
    window: PredictionSample, row: int, classes: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
    """The line of each true class, and whether the shade there is light."""
    labels = window.targets[row].astype(np.int64)
    line = np.full(window.target.size, len(classes))
    line[classes] = np.arange(len(classes))
    probability = np.take_along_axis(window.readout[row], labels[:, None], 1)[:, 0]
    return line[labels], probability > LIGHT_SHADE


LINE = 32
"""Characters in a line."""
CANDIDATES = 5
"""How many of the most probable characters are shown below each."""
BASELINE = 0.17
"""How far the characters' baseline is below the middle of a cell, as a share of the cell."""
LIGHT = 0.55
"""The probability from which the shade below a character is light."""


def draw_characters(figure: Any, window: PredictionSample) -> str:
    """Draws lines of text: each true character, and below it the predicted ones."""
    steps = window.places.shape[1]
    lines = range(0, steps, LINE)
    panels = figure.subplots(len(lines), 1, squeeze=False)
    for axes, begin in zip(panels.flat, lines, strict=True):
        shades = _line(axes, window, slice(begin, min(begin + LINE, steps)))
    bar = figure.colorbar(shades, ax=panels, fraction=0.03, pad=0.01)
    bar.set_label("probability", fontsize=style.SMALL)
    bar.ax.tick_params(labelsize=style.SMALL)
    return f"below each character the {CANDIDATES} most probable ones; framed: the true one"


def _line(axes: Axes, window: PredictionSample, steps: slice) -> Any:
    """Draws one line: the text, and a grid of candidates."""
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
    axes.tick_params(axis="y", length=0, labelsize=style.SMALL)
    axes.set_xticks([])
    axes.spines[:].set_visible(False)
    return shades


def _character(
    axes: Axes,
    window: PredictionSample,
    number: int,
    step: int,
    rank: int,
    colour: str,
    bold: bool = False,
    framed: bool = False,
) -> None:
    """Writes a character into a cell."""
    from matplotlib.patches import Rectangle

    name = style.character(window.target.label(number))
    numbered = "\n" in name  # Others are put on a baseline, to tell a comma from an apostrophe.
    at, upright = (rank, "center") if numbered else (rank + BASELINE, "baseline")
    size = style.SMALL - 3 * numbered
    axes.text(
        step, at, name, ha="center", va=upright, fontsize=size, color=colour,
        linespacing=0.9,
        weight="bold" if bold else "normal",
    )  # fmt: skip
    if framed:
        place, size_ = (step - 0.44, rank - 0.44), 0.88
        axes.add_patch(
            Rectangle(place, size_, size_, fill=False, edgecolor=style.RED, linewidth=1.6)
        )


PAINTERS: dict[str, Callable[[PredictionSample], Painter]] = {
    "text": lambda window: draw_characters,
    "regression": lambda window: draw_moments,
    "classes": lambda window: draw_strips if can_be_strips(window) else draw_probabilities,
}
"""The function that draws a window, by `Target.figure`."""
