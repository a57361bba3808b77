"""The pictures of a sweep, drawn from its tables with matplotlib."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lstmcli.files import write_atomically
from lstmcli.report.axes import LossAxis

if TYPE_CHECKING:
    import pandas as pd

SIZES = ("layers", "state_size")
QUANTILES = (0.25, 0.75)
MOST_BESIDE = 6  # settings of one depth that can stand side by side
SIDE_BY_SIDE = 4  # columns of a heat map up to which there is room for two
MOST_PANELS = 12
PANELS_A_ROW = 3
PER_STEP = "nats per step"
SPREAD = 0.7  # of the room of a depth, for what stands side by side


def write_sweep(
    folder: Path,
    trials: pd.DataFrame,
    summary: pd.DataFrame,
    curves: pd.DataFrame,
    swept: Sequence[str],
    task: str = "",
    unit: str = PER_STEP,
) -> None:
    """Writes `depth.png` and `curves.png`.

    Args:
        folder: where.
        trials: the columns of `trials.csv`; the chance is drawn if there is a column `chance`.
        summary: the columns of `summary.csv`.
        curves: the columns of `curves.csv`.
        swept: names of the settings that were swept besides depth and size. With one of them,
            `depth.png` is a heat map of the solve rate and of the gap by depth and that setting.
        task: what was learned, for the titles: `echo after 3 steps`.
        unit: what losses are in.
    """
    if summary.iqm.isna().all():
        return
    folder.mkdir(parents=True, exist_ok=True)
    title = _title(task, summary, curves)
    if "chance" in trials:
        keys = ["layers", "state_size", *swept]
        curves = curves.merge(trials[[*keys, "chance"]].drop_duplicates(keys), on=keys, how="left")
    if len(swept) == 1 and summary.layers.nunique() > 1 and summary.state_size.nunique() == 1:
        figure = _heat_map(trials, summary, swept[0], title, unit)
    else:
        figure = _depth(trials, summary, _varied(summary, swept), title, unit)
    _save(figure, folder / "depth.png")
    _save(_curves(curves, _varied(curves, swept), title, unit), folder / "curves.png")


def _title(task: str, summary: pd.DataFrame, curves: pd.DataFrame) -> str:
    seeds, epochs = int(summary.seeds.max()), int(curves.epoch.max())
    words = f"{seeds} seed{'s' * (seeds != 1)}"
    if "epochs_set" not in summary:  # Else a legend has them.
        words += f", {epochs} epoch{'s' * (epochs != 1)}"
    return f"{task[:1].upper()}{task[1:]}: {words}" if task else words.capitalize()


def _varied(table: pd.DataFrame, swept: Sequence[str]) -> list[str]:
    """The settings that differ within a table; not a size that follows from the depth."""
    found = [name for name in ["layers", "state_size", *swept] if table[name].nunique() > 1]
    sizes = table.groupby(["layers", *swept]).state_size.nunique()
    if len(found) > 1 and "state_size" in found and (sizes == 1).all():
        found.remove("state_size")
    return found or ["layers"]


def _figure(width: float, height: float, rows: int = 1, columns: int = 1, **more: Any) -> Any:
    """A figure without a display, and its axes `[rows, columns]`."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=150, layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False, **more)
    for each in axes.flat:
        each.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _head(figure: Any, title: str, explained: str) -> None:
    """The title, and below it, smaller, how to read the picture."""
    figure.suptitle(f"{title}\n", fontsize=10, x=0.01, ha="left")
    figure.text(0.01, 0.985, f"\n{explained}", fontsize=8, color="0.35", va="top", ha="left")


def _save(figure: Any, path: Path) -> None:
    """Writes a figure, without a date, so that the same data gives the same file."""
    content = io.BytesIO()
    figure.savefig(content, format=path.suffix[1:], metadata={"Software": None})
    write_atomically(path, content.getvalue())


def _words(name: str) -> str:
    return name.removesuffix("_set").replace("_", " ")


def _text(value: Any) -> str:
    return value if isinstance(value, str) else f"{value:g}"


def _colours(count: int) -> Any:
    from matplotlib import colormaps

    return colormaps["viridis"](np.linspace(0, 0.88, count))


def _depth(
    trials: pd.DataFrame, summary: pd.DataFrame, varied: list[str], title: str, unit: str
) -> Any:
    """Test loss by setting: a point for each seed, the interval of the interquartile mean."""
    first, *others = varied
    groups = list(summary.groupby(others, sort=True)) if others else [((), summary)]
    if len(groups) > MOST_BESIDE:  # Every setting has a place of its own then.
        first, others, groups = "", [], [((), summary)]
    places = list(dict.fromkeys(summary[first])) if first else list(range(len(summary)))
    figure, [[axes]] = _figure(max(5.5, 0.5 * len(places) * len(groups) + 1.5), 3.8)
    shown = np.concatenate([trials.test_loss, summary.ci_low, summary.ci_high]).astype(float)
    axis = LossAxis.around(shown, trials)
    axis.apply(axes)
    axis.references(axes, trials)
    room = SPREAD / len(groups)
    colours = _colours(len(groups)) if others else ["tab:blue"]
    for number, ((values, rows), colour) in enumerate(zip(groups, colours, strict=True)):
        aside = (number - (len(groups) - 1) / 2) * room
        at = [places.index(value) + aside for value in rows[first]] if first else places
        _settings(axes, axis, at, room, rows, trials, list({*SIZES, *varied}), colour)
        label = ", ".join(f"{_words(k)} {_text(v)}" for k, v in zip(others, values, strict=True))
        axes.plot([], [], "o", color=colour, markersize=4, label=label)
    axes.set_xlim(-0.6, len(places) - 0.4)
    axes.set_xticks(range(len(places)), _labels(summary, first, varied))
    axes.set_xlabel(_words(first) if first else ", ".join(map(_words, varied)))
    axes.set_ylabel(f"test loss ({unit})")
    if others:
        axes.legend(fontsize=8, frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))
    _head(figure, title, "points: seeds; bar: interquartile mean and its 95 % interval")
    return figure


def _settings(
    axes: Any,
    axis: LossAxis,
    places: Sequence[float],
    room: float,
    rows: pd.DataFrame,
    trials: pd.DataFrame,
    keys: list[str],
    colour: Any,
) -> None:
    """Draws settings at their places: each seed, the mean and its interval."""
    rng = np.random.default_rng(0)  # Spreads the points sideways.
    for place, (_, row) in zip(places, rows.iterrows(), strict=True):
        mine = (trials[keys] == row[keys]).all(axis=1)
        losses = trials.test_loss[mine].dropna().to_numpy(float)
        _points(axes, axis, place + room * rng.uniform(-0.28, 0.28, len(losses)), losses, colour)
        _interval(axes, place, room, row)


def _points(axes: Any, axis: LossAxis, places: Any, losses: Any, colour: Any) -> None:
    """Draws each seed; an arrow at the edge stands for one that is far above."""
    above = losses > axis.high
    style = {"color": colour, "alpha": 0.55, "markersize": 4, "mew": 0}
    axes.plot(places[~above], losses[~above], "o", **style)
    edge = np.full(above.sum(), axis.high)
    axes.plot(places[above], edge, "^", **style | {"markersize": 6, "clip_on": False})


def _interval(axes: Any, place: float, room: float, row: pd.Series) -> None:
    """Draws a setting's interquartile mean and its interval."""
    if not np.isnan(row.ci_low):
        axes.plot([place, place], [row.ci_low, row.ci_high], color="black", linewidth=2)
    axes.plot(place, row.iqm, "_", color="black", markersize=14 * min(1, 1.6 * room), mew=2)


def _labels(summary: pd.DataFrame, first: str, varied: Sequence[str]) -> list[str]:
    """What stands under each place; a size that follows from the depth stands with it."""
    if not first:
        return ["\n".join(_text(row[name]) for name in varied) for _, row in summary.iterrows()]
    labels = []
    for value, rows in summary.groupby(first, sort=False):
        sizes = rows.state_size.unique()
        matched = "state_size" not in varied and summary.state_size.nunique() > 1
        labels.append(_text(value) + (f"\nx {sizes[0]:g} units" if matched else ""))
    return labels


def _heat_map(trials: pd.DataFrame, summary: pd.DataFrame, name: str, title: str, unit: str) -> Any:
    """Solve rate and gap by depth and another setting, with the numbers in the cells."""
    rates = summary.pivot_table("solve_rate", "layers", name, dropna=False)
    seeds = summary.pivot_table("seeds", "layers", name, dropna=False)
    column = "gap" if trials.gap.notna().any() else "test_loss"
    gaps = trials.assign(**{column: trials[column].astype(float)})
    gaps = gaps.pivot_table(column, "layers", name, aggfunc="median", dropna=False)
    wide = len(rates.columns)
    below = wide > SIDE_BY_SIDE
    shape = {"rows": 2} if below else {"columns": 2, "sharey": True}
    height = 0.42 * len(rates) + 1.0
    size = (0.75 * wide + 2, 2 * height + 0.4) if below else (1.5 * wide + 2.6, height + 0.6)
    figure, axes = _figure(max(5.5, size[0]), size[1], **shape)
    left, right = axes.flat
    solved = zip(*_cells(rates, seeds), strict=True)
    counts = [f"{rate * count:.0f}/{count:.0f}" for rate, count in solved]
    _cells_of(left, rates, counts, rates.to_numpy(float), "seeds that solve the task", (0, 1))
    known = gaps.to_numpy(float)
    smallest = known[known > 0].min() if (known > 0).any() else 1.0
    shades = -np.log(np.fmax(known, smallest))
    texts = [f"{value:.2g}" for value in known.flat]
    ends = (float(np.nanmin(shades)), float(np.nanmax(shades)) + 1e-9)
    heading = "gap (nats above the oracle)" if column == "gap" else f"test loss ({unit})"
    _cells_of(right, gaps, texts, shades, f"median {heading}", ends)
    for each in axes.flat:
        each.set_xlabel(_words(name))
    for each in axes[:, 0]:
        each.set_ylabel("layers")
    _head(figure, title, "lighter is better")
    return figure


def _cells(*tables: pd.DataFrame) -> list[Any]:
    return [table.to_numpy(float).ravel() for table in tables]


def _cells_of(
    axes: Any, table: pd.DataFrame, texts: Sequence[str], shades: Any, title: str, ends: Any
) -> None:
    """A map of cells with a text in each."""
    axes.imshow(shades, vmin=ends[0], vmax=ends[1], cmap="viridis", origin="lower", aspect="auto")
    light = (shades - ends[0]) / (ends[1] - ends[0]) > 0.6
    for (row, column), text in zip(np.ndindex(table.shape), texts, strict=True):
        colour = "k" if light[row, column] else "w"
        if "nan" not in text:
            axes.text(column, row, text, ha="center", va="center", color=colour, fontsize=9)
    axes.set_xticks(range(len(table.columns)), [_text(value) for value in table.columns])
    axes.set_yticks(range(len(table)), [f"{value:.0f}" for value in table.index])
    axes.spines[:].set_visible(False)
    axes.set_title(title, fontsize=9, loc="left")


def _curves(curves: pd.DataFrame, varied: list[str], title: str, unit: str) -> Any:
    """Validation loss by epoch: each setting's median over the seeds, and its middle half.

    A panel for each combination of the settings beside depth, with its own floor.
    """
    first, *others = varied
    panels = list(curves.groupby(others, sort=True)) if others else [((), curves)]
    if len(panels) > MOST_PANELS:
        panels = [((), curves)]
    columns = min(len(panels), PANELS_A_ROW)
    rows = -(-len(panels) // columns)
    size = (6.5, 3.8) if len(panels) == 1 else (2.3 * columns + 1.2, 2.1 * rows + 0.8)
    figure, axes = _figure(*size, rows, columns, sharex=True, sharey=True)
    axis = LossAxis.around(curves.val_loss, curves)
    values = sorted(curves[first].unique())
    colours = dict(zip(values, _colours(len(values)), strict=True))
    for each, (found, part) in zip(axes.flat, panels, strict=False):
        _panel(each, part, first, colours)
        axis.apply(each)
        axis.references(each, part)
        words = [f"{_words(k)} {_text(v)}" for k, v in zip(others, found, strict=False)]
        each.set_title(", ".join(words), fontsize=8, loc="left")
    for each in axes.flat[len(panels) :]:
        each.set_visible(False)
    figure.supxlabel("epoch", fontsize=10)
    figure.supylabel(f"validation loss ({unit})", fontsize=10)
    handles = [axes.flat[0].plot([], [], color=colours[value])[0] for value in values]
    figure.legend(
        handles, [_text(value) for value in values], title=_words(first),
        fontsize=8, title_fontsize=8, frameon=False, loc="outside right center",
    )  # fmt: skip
    _head(figure, title, "line: median over the seeds; area: the middle half of them")
    return figure


def _panel(axes: Any, part: pd.DataFrame, first: str, colours: Any) -> None:
    """The curves of a panel, with whole numbers of epochs below."""
    from matplotlib.ticker import MaxNLocator

    for value, group in part.groupby(first, sort=True):
        losses = group.assign(val_loss=group.val_loss.astype(float)).groupby("epoch").val_loss
        few = "." if len(losses) < 3 else None  # A point is no line.
        axes.plot(losses.median(), color=colours[value], linewidth=1.5, marker=few)
        low, high = (losses.quantile(quantile) for quantile in QUANTILES)
        axes.fill_between(low.index, low, high, color=colours[value], alpha=0.2, linewidth=0)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
