"""The figures of probes, drawn with matplotlib: a row of panels for each checkpoint."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from lstmcli.probes import gradient, run, summary
from lstmcli.probes.ablation import UNIT
from lstmcli.probes.run import Probe
from lstmcli.reporting.figures import style
from lstmcli.reporting.figures.loss import LossAxis
from lstmcli.reporting.figures.style import LINES, MARKERS, SMALL
from lstmcli.utils.terminal import escape_unprintable

if TYPE_CHECKING:
    import pandas as pd

FAINT = 0.05
"""The share of the most that can be remembered which counts as memory. The lags drawn end soon
after the last one that has this much."""
FEWEST_LAGS = 8
WIDTH, HEAD = 8.0, 0.5
"""Inches: the width, at which the smallest text is readable in a README; the title's height."""


class Drawn(NamedTuple):
    """A checkpoint's results, to be drawn.

    Attributes:
        title: describes the checkpoint.
        tables: the tables that the kind of figure needs.
    """

    title: str
    tables: tuple[pd.DataFrame, ...]


def _figure(rows: int, columns: int, height: float, **more: Any) -> tuple[Any, Any]:
    """A figure with room for a title, and its axes `[rows, columns]`."""
    figure, axes = style.figure(WIDTH, height + HEAD, rows, columns, **more)
    for each in axes.flat:
        each.tick_params(labelsize=SMALL)
    return figure, axes


# --- memory


def memory_figure(drawn: Sequence[Drawn]) -> Any:
    """Memory by layer and lag, trained and untrained, and each part's capacity with its interval.

    Args:
        drawn: with the tables `by_lag` and `capacities` of `probes/summary.py`, for one input each.
    """
    parts = [tables[1].query("network == 'trained'") for _, tables in drawn]
    heights = [len(each) + 1.2 for each in parts]
    figure, axes = _figure(
        len(drawn), 3, 0.21 * sum(heights) + 0.9,
        gridspec_kw={"height_ratios": heights, "width_ratios": [5, 5, 3]},
    )  # fmt: skip
    last = max(_last_lag(tables[0]) for _, tables in drawn)
    most = round(max(float(tables[0].most.max()) for _, tables in drawn), 2)  # 1, not 0.9999.
    for row, (title, (lags, capacities)) in zip(axes, drawn, strict=True):
        for each, network in zip(row[:2], ("trained", "untrained"), strict=True):
            shown = _heat_map(each, lags[lags.network == network], last, most)
            each.set_xlabel(f"lag in steps, {network} network", fontsize=SMALL)
        row[0].set_title(escape_unprintable(title), fontsize=9, loc="left")
        row[1].set_yticklabels([])
        _capacities(row[2], capacities)
        in_bits = " (bits)" * (lags.unit.iloc[0] == "bits")
        row[2].set_xlabel(f"memory capacity{in_bits}", fontsize=SMALL)
    unit = str(drawn[0].tables[0].unit.iloc[0])
    bar = figure.colorbar(
        shown, ax=list(axes[:, :2].flat), location="bottom", shrink=0.5, aspect=40
    )
    of = escape_unprintable(str(drawn[0].tables[0].input.iloc[0]))
    what = f"information about {of} (bits)" if unit == "bits" else f"R squared of {of}"
    bar.set_label(what, fontsize=SMALL)
    bar.ax.tick_params(labelsize=SMALL)
    style.head(
        figure,
        "How far back each layer remembers",
        "h: the output of a layer, c: its cell state, all h: the outputs of all layers together; "
        "filled points: trained; circles: untrained; bars: 95 % intervals over the seeds",
    )
    return figure


def _last_lag(lags: pd.DataFrame) -> int:
    """The last lag to draw: beyond it, hardly any trained layer remembers anything."""
    trained = lags[lags.network == "trained"]
    known = trained[trained.memory >= FAINT * trained.most].lag
    last = 0 if known.empty else int(known.max())
    return min(int(lags.lag.max()), max(FEWEST_LAGS, last + 2))


def _heat_map(axes: Any, lags: pd.DataFrame, last: int, most: float) -> Any:
    """Draws the memory of a network's parts by lag, with the first layer at the bottom."""
    parts = list(lags.groupby(["layer", "state"], sort=False))
    values = np.array([part.memory.to_numpy(float)[: last + 1] for _, part in parts])
    shown = axes.imshow(values, vmin=0, vmax=most, cmap="viridis", origin="lower", aspect="auto")
    axes.set_yticks(range(len(parts)), [f"{layer} {state}" for (layer, state), _ in parts])
    axes.set_xticks(range(0, last + 1, 1 if last < 12 else 5))
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)
    return shown


def _capacities(axes: Any, capacities: pd.DataFrame) -> None:
    """Draws each part's capacity, trained (with its interval over the seeds) and untrained."""
    styles = (("trained", "o", "black", "black"), ("untrained", "o", "white", style.GREY))
    for network, marker, face, edge in styles:
        mine = capacities[capacities.network == network]
        places = np.arange(len(mine))
        axes.hlines(places, mine.low, mine.high, color=edge, linewidth=1.5)
        axes.plot(mine.capacity, places, marker, color=edge, mfc=face, markersize=4)
    axes.set_xlim(left=0)
    axes.set_ylim(-0.5, len(places) - 0.5)
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    axes.grid(axis="x", color="0.9")
    axes.set_axisbelow(True)


# --- gradient


def gradient_figure(drawn: Sequence[Drawn]) -> Any:
    """The gradient norm by lag, with respect to the input for several truncations, and to layers.

    Args:
        drawn: with one table each: `network,layer,to,lag,window` and the mean `norm`, `low` and
            `high`, `norm_1`, `norm_2`, `norm_4`.
    """
    figure, axes = _figure(len(drawn), 2, 3.2 * len(drawn), sharey="row")
    for (left, right), (title, (table,)) in zip(axes, drawn, strict=True):
        window = int(table.window.iloc[0])
        _to_input(left, table, window)
        _to_layers(right, table[(table.network == "trained") & (table.to == "h")])
        trained = table[table.network == "trained"].norm
        left.set_yscale("log")
        left.set_ylim(max(trained[trained > 0].min(), trained.max() * 1e-7) / 2)
        left.set_ylabel("mean norm of the gradient\nof a step's loss", fontsize=SMALL)
        for each, above in ((left, escape_unprintable(title)), (right, "")):
            style.legend_above(each, 3, above)
            if window <= table.lag.max():
                each.axvspan(window - 0.5, table.lag.max(), color="0.93", linewidth=0)
            each.set_xlim(0, table.lag.max())
            each.set_xlabel(f"lag in steps (grey: beyond the window of {window})", fontsize=SMALL)
    style.head(
        figure,
        "How far back the gradient reaches",
        "left: to the input, with and without truncation; right: to the output h of each layer",
    )
    return figure


def _to_input(axes: Any, table: pd.DataFrame, window: int) -> None:
    mine = table[table.to == "x"]
    trained = mine[mine.network == "trained"]
    _line(axes, trained, "norm", "black", "-", "no truncation")
    if trained.low.notna().all():
        axes.fill_between(trained.lag, trained.low, trained.high, color="0.5", alpha=0.3, lw=0)
    colours = style.shades(3)
    for times, colour, line in zip((1, 2, 4), colours, LINES[1:4], strict=True):
        label = f"windows of {times * window}"
        _line(axes, trained, f"norm_{times}", colour, line, label)
    _line(axes, mine[mine.network == "untrained"], "norm", style.GREY, "-", "untrained")


def _to_layers(axes: Any, table: pd.DataFrame) -> None:
    layers = list(table.groupby("layer", sort=True))
    colours = style.shades(len(layers))
    for place, ((layer, rows), colour) in enumerate(zip(layers, colours, strict=True)):
        _line(axes, rows, "norm", colour, LINES[place % len(LINES)], f"h of layer {layer}")


def _line(axes: Any, rows: pd.DataFrame, column: str, colour: Any, line: str, label: str) -> None:
    """Draws a line where the norm is above 0, as the axis is logarithmic."""
    values = rows[column].where(rows[column] > 0)
    axes.plot(rows.lag, values, line, color=colour, linewidth=1.3, label=label)


# --- ablation


def ablation_figure(drawn: Sequence[Drawn]) -> Any:
    """The loss without a layer's carried state, and without each unit, with the lag it holds.

    Args:
        drawn: with two tables each: `layer,zeroed,loss,low,high,intact` over the seeds, and
            `layer,unit,loss,lag` for one seed, which may be empty.
    """
    figure, axes = _figure(len(drawn), 2, 2.9 * len(drawn))
    for (left, right), (title, (layers, units)) in zip(axes, drawn, strict=True):
        _without_carried(left, layers)
        style.legend_above(left, 3, escape_unprintable(title))
        if units.empty:
            right.set_visible(False)
        else:
            _without_unit(right, figure, units)
    style.head(
        figure,
        "What each layer is for",
        "left: the loss where a layer's state is zeroed at every step or where a window starts; "
        "right: the loss without a unit, with the lag that it knows best",
    )
    return figure


def _without_carried(axes: Any, layers: pd.DataFrame) -> None:
    groups = list(layers.groupby("zeroed", sort=False))
    colours = style.shades(len(groups) + 1)
    for place, ((zeroed, rows), colour) in enumerate(zip(groups, colours, strict=False)):
        at = rows.layer + 0.16 * (2 * place - 1)
        axes.vlines(at, rows.low, rows.high, color=colour, linewidth=2)
        axes.plot(at, rows.loss, MARKERS[place], color=colour, markersize=5, label=zeroed)
    axes.axhline(layers.intact.mean(), color="0.4", linewidth=1, linestyle=":", label="intact")
    losses = np.concatenate([layers.loss, layers.low, layers.high, layers.intact])
    LossAxis.around(losses, layers).apply(axes)
    axes.set_xticks(sorted(layers.layer.unique()))
    axes.set_xlim(0.5, layers.layer.max() + 0.5)
    axes.set_xlabel("layer whose state is zeroed", fontsize=SMALL)
    axes.set_ylabel("loss", fontsize=SMALL)


def _without_unit(axes: Any, figure: Any, units: pd.DataFrame) -> None:
    """Draws a map of units, with the lag of the input that each unit tells most about."""
    from matplotlib.colors import LogNorm

    losses = units.pivot_table("loss", "layer", "unit")
    lags = units.pivot_table("lag", "layer", "unit")
    values = np.maximum(losses.to_numpy(float), 1e-12)
    least, most = values.min(), max(values.max(), values.min() * 1.01)
    norm = LogNorm(least, most)
    shown = axes.imshow(values, norm=norm, cmap="viridis", origin="lower", aspect="auto")
    if values.shape[1] <= 16:
        for (row, column), lag in np.ndenumerate(lags.to_numpy(float)):
            colour = "k" if norm(values[row, column]) > 0.6 else "w"
            axes.text(
                column, row, f"{lag:.0f}", ha="center", va="center", color=colour, fontsize=SMALL
            )
    axes.set_xticks(range(values.shape[1]) if values.shape[1] <= 16 else [])
    if values.shape[1] <= 16:
        axes.set_xticklabels([f"{unit}" for unit in losses.columns])
    axes.set_yticks(range(len(losses)), [f"{layer}" for layer in losses.index])
    axes.set_xlabel("unit left out", fontsize=SMALL)
    axes.set_ylabel("layer", fontsize=SMALL)
    axes.spines[:].set_visible(False)
    bar = figure.colorbar(shown, ax=axes)
    LossAxis(least, most, logarithmic=True).ticks(bar.ax.yaxis)
    bar.set_label("loss", fontsize=SMALL)
    bar.ax.tick_params(labelsize=SMALL)


def probe_figure(found: Sequence[Probe]) -> Any:
    """One figure of probes of the same kind, with a row of panels for each.

    If there are several inputs, the first is drawn.
    """
    tables, draw = KINDS[found[0].kind]
    return draw([Drawn(_title(each), tables(each)) for each in found])


def _title(found: Probe) -> str:
    seeds = len(found.subject.model.seeds)
    return found.title if seeds == 1 else f"{found.title}, {seeds} seeds"


def _memory_tables(found: Probe) -> tuple[Any, ...]:
    first = found.table[found.table.input == found.table.input.iloc[0]]
    return summary.by_lag(first), summary.capacities(first)


def _gradient_tables(found: Probe) -> tuple[Any, ...]:
    keys = ["network", "layer", "to", "lag", "window"]
    table = summary.over_seeds(found.table, keys, "norm")
    truncated = [f"norm_{times}" for times in gradient.WINDOWS]
    means = found.table.groupby(keys, sort=False)[truncated].mean().reset_index()
    return (table.merge(means, on=keys),)


def _ablation_tables(found: Probe) -> tuple[Any, ...]:
    table = found.table.assign(intact=found.table.loss - found.table.added)
    layers = table[table.zeroed != UNIT]
    keys = ["layer", "zeroed"]
    intact = layers.groupby(keys, sort=False).intact.mean().reset_index()
    units = table[(table.zeroed == UNIT) & (table.seed == table.seed.iloc[0])]
    return summary.over_seeds(layers, keys, "loss").merge(intact, on=keys), units


KINDS: dict[str, tuple[Callable[[Probe], tuple[Any, ...]], Callable[[Sequence[Drawn]], Any]]] = {
    run.MEMORY: (_memory_tables, memory_figure),
    run.GRADIENT: (_gradient_tables, gradient_figure),
    run.ABLATION: (_ablation_tables, ablation_figure),
}
