"""The pictures of a sweep, drawn from its tables with matplotlib."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import pandas as pd

QUANTILES = (0.25, 0.75)


def write_sweep(
    folder: Path,
    trials: pd.DataFrame,
    summary: pd.DataFrame,
    curves: pd.DataFrame,
    swept: Sequence[str],
) -> None:
    """Writes `depth.png` and `curves.png`.

    Args:
        folder: where.
        trials: the columns of `trials.csv`.
        summary: the columns of `summary.csv`.
        curves: the columns of `curves.csv`.
        swept: names of the settings that were swept besides depth and size. With one of them,
            `depth.png` is a heat map of the solve rate by depth and that setting.
    """
    if summary.iqm.isna().all():
        return
    folder.mkdir(parents=True, exist_ok=True)
    if len(swept) == 1 and summary.layers.nunique() > 1:
        figure = _heat_map(summary, swept[0])
    else:
        figure = _depth(trials, summary, swept)
    _save(figure, folder / "depth.png")
    _save(_curves(curves, swept), folder / "curves.png")


def _figure(width: float, height: float) -> tuple[Any, Any]:
    """A figure without a display, and its axes."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=150, layout="constrained")
    axes = figure.subplots()
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _save(figure: Any, path: Path) -> None:
    """Writes a figure, without a date, so that the same data gives the same file."""
    figure.savefig(path, metadata={"Software": None})


def _depth(trials: pd.DataFrame, summary: pd.DataFrame, swept: Sequence[str]) -> Any:
    """Test loss by setting: a point for each seed, the interval of the interquartile mean."""
    keys = ["layers", "state_size", *swept]
    figure, axes = _figure(max(5.0, 0.9 * len(summary) + 1), 3.6)
    rng = np.random.default_rng(0)  # Spreads the points sideways.
    for place, (_, row) in enumerate(summary.iterrows()):
        mine = trials.merge(row[keys].to_frame().T)
        losses = mine.test_loss.dropna().to_numpy(float)
        aside = place + rng.uniform(-0.18, 0.18, len(losses))
        axes.plot(aside, losses, "o", color="tab:blue", alpha=0.5, markersize=4, mew=0)
        if not np.isnan(row.ci_low):
            axes.plot([place, place], [row.ci_low, row.ci_high], color="black", linewidth=2)
        axes.plot(place, row.iqm, "_", color="black", markersize=14, mew=2)
    floors = trials.bayes_loss.dropna().unique()
    if len(floors) == 1:
        axes.axhline(floors[0], color="tab:red", linestyle="--", linewidth=1)
        axes.annotate(
            "floor", (1, floors[0]), xycoords=("axes fraction", "data"), color="tab:red",
            xytext=(-2, 2), textcoords="offset points", ha="right", va="bottom", fontsize=8,
        )  # fmt: skip
    axes.set_yscale("log")
    only_depth = not swept and summary.state_size.nunique() == 1
    labels = [
        f"{row.layers:.0f}" if only_depth else "\n".join(_texts(row, keys))
        for _, row in summary.iterrows()
    ]
    axes.set_xticks(range(len(summary)), labels)
    axes.set_xlabel("layers" if only_depth else "layers x state size")
    axes.set_ylabel("test loss (nats per step)")
    axes.set_title("Points: seeds. Bar: interquartile mean, 95 % interval", fontsize=9, loc="left")
    return figure


def _texts(row: pd.Series, keys: Sequence[str]) -> list[str]:
    layers, state_size, *rest = (row[key] for key in keys)
    return [f"{layers:.0f}x{state_size:.0f}", *(f"{value:g}" for value in rest)]


def _heat_map(summary: pd.DataFrame, name: str) -> Any:
    """Solve rate by depth and another setting, with the number in each cell."""
    table = summary.pivot_table("solve_rate", "layers", name)
    seeds = summary.pivot_table("seeds", "layers", name)
    figure, axes = _figure(1.0 * len(table.columns) + 2.2, 0.5 * len(table) + 1.4)
    image = axes.imshow(table, vmin=0, vmax=1, cmap="viridis", origin="lower", aspect="auto")
    for row, column in np.ndindex(table.shape):
        rate = table.iloc[row, column]
        text = f"{rate * seeds.iloc[row, column]:.0f}/{seeds.iloc[row, column]:.0f}"
        axes.text(column, row, text, ha="center", va="center", color="w" if rate < 0.6 else "k")
    axes.set_xticks(range(len(table.columns)), [f"{value:g}" for value in table.columns])
    axes.set_yticks(range(len(table)), [f"{value:.0f}" for value in table.index])
    axes.set_xlabel(name.replace("_", " "))
    axes.set_ylabel("layers")
    axes.set_title("Seeds that solve the task", fontsize=9, loc="left")
    figure.colorbar(image, label="solve rate")
    return figure


def _curves(curves: pd.DataFrame, swept: Sequence[str]) -> Any:
    """Validation loss by epoch: each setting's median over the seeds, and its middle half."""
    from matplotlib import colormaps

    keys = ["layers", "state_size", *swept]
    varied = [key for key in keys if curves[key].nunique() > 1] or ["layers"]
    settings = list(curves.groupby(keys, sort=True))
    figure, axes = _figure(6.5, 3.8)
    colours = colormaps["viridis"](np.linspace(0, 0.9, len(settings)))
    for (values, group), colour in zip(settings, colours, strict=True):
        named = dict(zip(keys, values, strict=True))
        label = ", ".join(f"{key.replace('_', ' ')} {named[key]:g}" for key in varied)
        losses = group.groupby("epoch").val_loss
        axes.plot(losses.median(), color=colour, label=label, linewidth=1.5)
        low, high = (losses.quantile(quantile) for quantile in QUANTILES)
        axes.fill_between(low.index, low, high, color=colour, alpha=0.2, linewidth=0)
    floors = curves.bayes_loss.dropna().unique()
    if len(floors) == 1:
        axes.axhline(floors[0], color="tab:red", linestyle="--", linewidth=1, label="floor")
    axes.set_yscale("log")
    axes.set_xlabel("epoch")
    axes.set_ylabel("validation loss (nats per step)")
    axes.set_title("Median over the seeds, and the middle half", fontsize=9, loc="left")
    if len(settings) <= 12:
        axes.legend(fontsize=8, frameon=False)
    return figure
