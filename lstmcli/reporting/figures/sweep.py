"""The figures of a sweep, drawn from its tables, with their titles."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from lstmcli.reporting.figures import style
from lstmcli.reporting.figures import style as figure_style
from lstmcli.reporting.figures.loss import LossAxis

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

PER_STEP = "nats per step"
WIDEST = 72
"""The most characters of a title that fit the narrowest figure."""


def sweep_figures(
    trials: pd.DataFrame,
    summary: pd.DataFrame,
    curves: pd.DataFrame,
    swept: Sequence[str],
    task: str = "",
    unit: str = PER_STEP,
    answer: str = "",
) -> dict[str, Figure]:
    """The figures `depth` and `curves`; none for a sweep without results.

    Args:
        trials: the columns of `trials.csv`; chance is drawn if there is a column `chance`.
        summary: the columns of `summary.csv`.
        curves: the columns of `curves.csv`.
        swept: names of the settings that were swept besides depth and size. If there is one,
            `depth` is a heat map of the solve rate and of the excess loss.
        task: what was learned, for the titles: `echo after 3 steps`.
        unit: the unit of losses.
        answer: the sweep's answer, which is the title of `depth`, above `task`.
    """
    if summary.iqm.isna().all():
        return {}
    title = _title(task, summary, curves)
    if "chance" in trials and "reference" not in curves:
        keys = ["layers", "state_size", *swept]
        curves = curves.merge(trials[[*keys, "chance"]].drop_duplicates(keys), on=keys, how="left")
    answered = "\n".join(filter(None, [style.shown(answer, WIDEST), title]))
    if len(swept) == 1 and summary.layers.nunique() > 1 and summary.state_size.nunique() == 1:
        depth = heat_map(trials, summary, swept[0], answered, unit)
    else:
        depth = depth_figure(trials, summary, varied_settings(summary, swept), answered, unit)
    return {
        "depth": depth,
        "curves": curves_figure(curves, varied_settings(curves, swept), title, unit),
    }


def _title(task: str, summary: pd.DataFrame, curves: pd.DataFrame) -> str:
    seeds, epochs = int(summary.seeds.max()), int(curves.epoch.max())
    words = f"{seeds} seed{'s' * (seeds != 1)}"
    if "epochs_set" not in summary:  # Otherwise the legend shows them.
        words += f", {epochs} epoch{'s' * (epochs != 1)}"
    return f"{task[:1].upper()}{task[1:]}: {words}" if task else words.capitalize()


MOST_BESIDE = 6  # most settings of one depth that are drawn side by side
SPREAD = 0.7  # share of a depth's room that they take


def depth_figure(
    trials: pd.DataFrame, summary: pd.DataFrame, varied: list[str], title: str, unit: str
) -> Figure:
    """Test loss by setting: a point for each seed, and the interquartile mean's interval."""
    first, *others = varied
    groups = list(summary.groupby(others, sort=True)) if others else [((), summary)]
    if len(groups) > MOST_BESIDE:  # Then every setting has its own place.
        first, others, groups = "", [], [((), summary)]
    places = list(dict.fromkeys(summary[first])) if first else list(range(len(summary)))
    figure, [[axes]] = figure_style.figure(max(5.5, 0.5 * len(places) * len(groups) + 1.5), 3.8)
    shown = np.concatenate([trials.test_loss, summary.ci_low, summary.ci_high]).astype(float)
    axis = LossAxis.around(shown, trials)
    axis.apply(axes)
    axis.references(axes, trials)
    room = SPREAD / len(groups)
    colours = figure_style.shades(len(groups)) if others else [figure_style.BLUE]
    for number, ((values, rows), colour) in enumerate(zip(groups, colours, strict=True)):
        marker = figure_style.MARKERS[number % len(figure_style.MARKERS)]
        aside = (number - (len(groups) - 1) / 2) * room
        at = [places.index(value) + aside for value in rows[first]] if first else places
        style = {"color": colour, "marker": marker, "linestyle": ""}
        _settings(axes, axis, at, room, rows, trials, list({*SIZES, *varied}), style)
        label = ", ".join(
            f"{setting_words(k)} {setting_text(v)}" for k, v in zip(others, values, strict=True)
        )
        axes.plot([], [], markersize=4, label=label, **style)
    axes.set_xlim(-0.6, len(places) - 0.4)
    axes.set_xticks(range(len(places)), _labels(summary, first, varied))
    axes.set_xlabel(setting_words(first) if first else ", ".join(map(setting_words, varied)))
    axes.set_ylabel(figure_style.loss_label("test", unit))
    if others:
        axes.legend(fontsize=8, frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))
    figure_style.head(figure, title, "points: seeds; bar: interquartile mean and its 95 % interval")
    return figure


def _settings(
    axes: Any,
    axis: LossAxis,
    places: Sequence[float],
    room: float,
    rows: pd.DataFrame,
    trials: pd.DataFrame,
    keys: list[str],
    style: dict[str, Any],
) -> None:
    """Draws settings at their places: each seed, the interquartile mean and its interval."""
    rng = np.random.default_rng(0)  # To spread the points sideways.
    for place, (_, row) in zip(places, rows.iterrows(), strict=True):
        mine = (trials[keys] == row[keys]).all(axis=1)
        losses = trials.test_loss[mine].dropna().to_numpy(float)
        _points(axes, axis, place + room * rng.uniform(-0.28, 0.28, len(losses)), losses, style)
        _interval(axes, place, room, row)


def _points(axes: Any, axis: LossAxis, places: Any, losses: Any, style: dict[str, Any]) -> None:
    """Draws each seed; an arrow at the edge marks one that is far above."""
    above = losses > axis.high
    style = style | {"markersize": 4, "mew": 0.9, "markerfacecolor": "none"}
    axes.plot(places[~above], losses[~above], **style)
    if above.any():  # Otherwise the layout would reserve room for an arrow.
        edge = np.full(above.sum(), axis.high)
        axes.plot(places[above], edge, **style | {"marker": "^", "markersize": 6, "clip_on": False})


def _interval(axes: Any, place: float, room: float, row: pd.Series) -> None:
    """Draws a setting's interquartile mean and its interval."""
    if not np.isnan(row.ci_low):
        axes.plot([place, place], [row.ci_low, row.ci_high], color="black", linewidth=2)
    axes.plot(place, row.iqm, "_", color="black", markersize=14 * min(1, 1.6 * room), mew=2)


def _labels(summary: pd.DataFrame, first: str, varied: Sequence[str]) -> list[str]:
    """The label below each place, with the size if that follows from the depth."""
    if not first:
        return [
            "\n".join(setting_text(row[name]) for name in varied) for _, row in summary.iterrows()
        ]
    labels = []
    for value, rows in summary.groupby(first, sort=False):
        sizes = rows.state_size.unique()
        matched = "state_size" not in varied and summary.state_size.nunique() > 1
        labels.append(setting_text(value) + (f"\nx {sizes[0]:g} units" if matched else ""))
    return labels


SIDE_BY_SIDE = 4  # most columns of a heat map for which two fit side by side


def heat_map(
    trials: pd.DataFrame, summary: pd.DataFrame, name: str, title: str, unit: str
) -> Figure:
    """Solve rate and excess loss by depth and another setting, with the numbers in the cells."""
    rates = summary.pivot_table("solve_rate", "layers", name, dropna=False)
    seeds = summary.pivot_table("seeds", "layers", name, dropna=False)
    column = "gap" if trials.gap.notna().any() else "test_loss"
    gaps = trials.assign(**{column: trials[column].astype(float)})
    gaps = gaps.pivot_table(column, "layers", name, aggfunc="median", dropna=False)
    figure, left, right = _canvas(rates)
    solved = zip(*_flat(rates, seeds), strict=True)
    counts = [f"{rate * count:.0f}/{count:.0f}" for rate, count in solved]
    _cells(left, rates, counts, rates.to_numpy(float), "seeds that solve the task", (0, 1))
    known = gaps.to_numpy(float)
    smallest = known[known > 0].min() if (known > 0).any() else 1.0
    shades = -np.log(np.fmax(known, smallest))
    texts = style.numbers(known, 2)
    ends = (float(np.nanmin(shades)), float(np.nanmax(shades)) + 1e-9)
    of = "nats per step above" if unit == PER_STEP else "above"
    heading = (
        f"excess loss ({of} the Bayes loss)" if column == "gap" else style.loss_label("test", unit)
    )
    _cells(right, gaps, texts, shades, f"median {heading}", ends)
    for each in (left, right):
        each.set_xlabel(setting_words(name))
    for each in figure.get_axes() if _below(rates) else (left,):
        each.set_ylabel("layers")
    style.head(figure, title, "lighter is better")
    return figure


def _canvas(rates: pd.DataFrame) -> tuple[Figure, Any, Any]:
    """A figure with axes for two maps, side by side if they fit."""
    wide = len(rates.columns)
    below = _below(rates)
    shape = {"rows": 2} if below else {"columns": 2, "sharey": True}
    height = 0.42 * len(rates) + 1.0
    size = (0.75 * wide + 2, 2 * height + 0.4) if below else (1.5 * wide + 2.6, height + 0.6)
    figure, axes = style.figure(max(5.5, size[0]), size[1], **shape)
    left, right = axes.flat
    return figure, left, right


def _below(rates: pd.DataFrame) -> bool:
    """Whether the second map is below the first."""
    return len(rates.columns) > SIDE_BY_SIDE


def _flat(*tables: pd.DataFrame) -> list[Any]:
    return [table.to_numpy(float).ravel() for table in tables]


def _cells(
    axes: Any, table: pd.DataFrame, texts: Sequence[str], shades: Any, title: str, ends: Any
) -> None:
    """Draws a map of cells with a text in each."""
    axes.imshow(shades, vmin=ends[0], vmax=ends[1], cmap="viridis", origin="lower", aspect="auto")
    light = (shades - ends[0]) / (ends[1] - ends[0]) > 0.6
    for (row, column), cell in zip(np.ndindex(table.shape), texts, strict=True):
        colour = "k" if light[row, column] else "w"
        if "nan" not in cell:
            axes.text(column, row, cell, ha="center", va="center", color=colour, fontsize=9)
    axes.set_xticks(range(len(table.columns)), [setting_text(value) for value in table.columns])
    axes.set_yticks(range(len(table)), [f"{value:.0f}" for value in table.index])
    axes.spines[:].set_visible(False)
    axes.set_title(title, fontsize=9, loc="left")


QUANTILES = (0.25, 0.75)
MOST_PANELS = 12
PANELS_A_ROW = 3


def curves_figure(curves: pd.DataFrame, varied: list[str], title: str, unit: str) -> Figure:
    """Validation loss by epoch: each setting's median over the seeds, and their middle half.

    There is a panel for each combination of the settings besides depth, with its own Bayes loss.
    """
    first, *others = varied
    panels = list(curves.groupby(others, sort=True)) if others else [((), curves)]
    if len(panels) > MOST_PANELS:
        panels = [((), curves)]
    columns = min(len(panels), PANELS_A_ROW)
    rows = -(-len(panels) // columns)
    size = (6.5, 3.8) if len(panels) == 1 else (2.3 * columns + 1.2, 2.1 * rows + 0.8)
    figure, axes = style.figure(*size, rows, columns, sharex=True, sharey=True)
    last = curves.val_loss[curves.epoch > curves.epoch.max() / 2]
    axis = LossAxis.around(curves.val_loss, curves, last_half=last)
    styles = _styles(sorted(curves[first].unique()))
    for each, (found, part) in zip(axes.flat, panels, strict=False):
        _panel(each, part, first, styles)
        axis.apply(each)
        axis.references(each, part)
        named = [
            f"{setting_words(k)} {setting_text(v)}" for k, v in zip(others, found, strict=False)
        ]
        each.set_title(", ".join(named), fontsize=8, loc="left")
    for each in axes.flat[len(panels) :]:
        each.set_visible(False)
    figure.supxlabel("epoch", fontsize=10)
    figure.supylabel(style.loss_label("validation", unit), fontsize=10)
    handles = [axes.flat[0].plot([], [], **style)[0] for style in styles.values()]
    figure.legend(
        handles, [setting_text(value) for value in styles], title=setting_words(first),
        fontsize=8, title_fontsize=8, frameon=False, loc="outside right center",
    )  # fmt: skip
    style.head(figure, title, "line: median over the seeds; area: the middle half of them")
    return figure


def _styles(values: list[Any]) -> dict[Any, dict[str, Any]]:
    """The line style of each value."""
    return {
        value: {
            "color": colour,
            "linestyle": style.LINES[number % len(style.LINES)],
            "linewidth": 1.5,
        }
        for number, (value, colour) in enumerate(
            zip(values, style.shades(len(values)), strict=True)
        )
    }


def _panel(axes: Any, part: pd.DataFrame, first: str, styles: dict[Any, dict[str, Any]]) -> None:
    """Draws the curves of a panel, with whole numbers of epochs below."""
    for value, group in part.groupby(first, sort=True):
        losses = group.assign(val_loss=group.val_loss.astype(float)).groupby("epoch").val_loss
        few = "." if len(losses) < 3 else None  # A single point draws no line.
        axes.plot(losses.median(), **styles[value], marker=few)
        low, high = (losses.quantile(quantile) for quantile in QUANTILES)
        colour = styles[value]["color"]
        axes.fill_between(low.index, low, high, color=colour, alpha=0.2, linewidth=0)
    style.whole_numbers(axes.xaxis, int(part.epoch.min()))


SIZES = ("layers", "state_size")


def varied_settings(table: pd.DataFrame, swept: Sequence[str]) -> list[str]:
    """The settings that differ within a table, except a size that follows from the depth."""
    found = [name for name in [*SIZES, *swept] if table[name].nunique() > 1]
    sizes = table.groupby(["layers", *swept]).state_size.nunique()
    if len(found) > 1 and "state_size" in found and (sizes == 1).all():
        found.remove("state_size")
    return found or ["layers"]


def setting_words(name: str) -> str:
    """The display name of a setting's column."""
    return name.removesuffix("_set").replace("_", " ")


def setting_text(value: Any) -> str:
    """A setting's value as text."""
    return value if isinstance(value, str) else f"{value:g}"
