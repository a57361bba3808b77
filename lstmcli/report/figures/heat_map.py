"""Solve rate and gap of a sweep by depth and one other setting, as maps of cells."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from lstmcli.report.figures import canvas
from lstmcli.report.figures.settings import text, words

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

SIDE_BY_SIDE = 4  # columns of a heat map up to which there is room for two


def heat_map(
    trials: pd.DataFrame, summary: pd.DataFrame, name: str, title: str, unit: str
) -> Figure:
    """Solve rate and gap by depth and another setting, with the numbers in the cells."""
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
    texts = [f"{value:.2g}" for value in known.flat]
    ends = (float(np.nanmin(shades)), float(np.nanmax(shades)) + 1e-9)
    heading = "gap (nats above the oracle)" if column == "gap" else f"test loss ({unit})"
    _cells(right, gaps, texts, shades, f"median {heading}", ends)
    for each in (left, right):
        each.set_xlabel(words(name))
    for each in figure.get_axes() if _below(rates) else (left,):
        each.set_ylabel("layers")
    canvas.head(figure, title, "lighter is better")
    return figure


def _canvas(rates: pd.DataFrame) -> tuple[Figure, Any, Any]:
    """A figure with axes for two maps, side by side if there is room."""
    wide = len(rates.columns)
    below = _below(rates)
    shape = {"rows": 2} if below else {"columns": 2, "sharey": True}
    height = 0.42 * len(rates) + 1.0
    size = (0.75 * wide + 2, 2 * height + 0.4) if below else (1.5 * wide + 2.6, height + 0.6)
    figure, axes = canvas.figure(max(5.5, size[0]), size[1], **shape)
    left, right = axes.flat
    return figure, left, right


def _below(rates: pd.DataFrame) -> bool:
    """Whether the second map stands below the first."""
    return len(rates.columns) > SIDE_BY_SIDE


def _flat(*tables: pd.DataFrame) -> list[Any]:
    return [table.to_numpy(float).ravel() for table in tables]


def _cells(
    axes: Any, table: pd.DataFrame, texts: Sequence[str], shades: Any, title: str, ends: Any
) -> None:
    """A map of cells with a text in each."""
    axes.imshow(shades, vmin=ends[0], vmax=ends[1], cmap="viridis", origin="lower", aspect="auto")
    light = (shades - ends[0]) / (ends[1] - ends[0]) > 0.6
    for (row, column), cell in zip(np.ndindex(table.shape), texts, strict=True):
        colour = "k" if light[row, column] else "w"
        if "nan" not in cell:
            axes.text(column, row, cell, ha="center", va="center", color=colour, fontsize=9)
    axes.set_xticks(range(len(table.columns)), [text(value) for value in table.columns])
    axes.set_yticks(range(len(table)), [f"{value:.0f}" for value in table.index])
    axes.spines[:].set_visible(False)
    axes.set_title(title, fontsize=9, loc="left")
