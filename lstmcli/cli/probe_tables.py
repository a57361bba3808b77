"""What `lstmcli probe` prints: a table for each of its questions."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from lstmcli.cli.output import print_sentence, print_table
from lstmcli.data import tasks
from lstmcli.probes import gradient, run, summary
from lstmcli.probes.ablation import EVERY_STEP, UNIT, WINDOW_STARTS
from lstmcli.probes.memory import ALL
from lstmcli.probes.run import Probe
from lstmcli.reporting import formatting
from lstmcli.utils import terminal
from lstmcli.utils.errors import plural

if TYPE_CHECKING:
    import pandas as pd

SHOWN = 0.1
"""Lags at which less than this share of the input can be recovered are not shown."""
BESIDE, BESIDE_SEEDS, A_LAG = 44, 60, 6
"""Columns of the terminal beside the lags, the same with intervals, and columns for each lag."""
FEWEST_LAGS, MOST_LAGS = 4, 33
MOST_UNITS = 16
REACHED = 0.01
"""The gradient reaches as far as its norm is at least this share of its maximum."""
MEASURED = {"bits": "bits of {name} recovered", "r_squared": "R squared of {name}"}


def _print_memory(found: Probe) -> None:
    lags = summary.by_lag(found.table)
    capacities = summary.capacities(found.table)
    for (name, unit), rows in lags.groupby(["input", "unit"], sort=False):
        mine = capacities[capacities.input == name]
        trained = rows[rows.network == "trained"]
        several = bool(mine.low.notna().any())
        task_lag = lag_of_task(found)
        print_sentence(_answer(rows, mine, str(unit), task_lag))
        print_sentence(_heading(found, str(name), str(unit), rows))
        chosen = _chosen(trained, task_lag, _room(several))
        headings = ["layer", *map(str, chosen), "capacity", *(["95 %"] if several else [])]
        print_table(
            [*headings, "untrained", "holds"],
            [
                _memory_row(part, of_part, mine, chosen, several)
                for part, of_part in trained.groupby(["layer", "state"], sort=False)
            ],
        )
    print_sentence("holds: the lags at which at least half of the input can be recovered")


def lag_of_task(found: Probe) -> int | None:
    """The lag of the input that the task needs; `None` if it is not a single lag."""
    series = found.subject.windows[0].series
    task = tasks.of(series)
    if task is None:
        return None
    lags = np.unique(task.lags(series))
    lags = lags[lags >= 0]
    return int(lags[0]) if len(lags) == 1 else None


def _answer(rows: pd.DataFrame, capacities: pd.DataFrame, unit: str, lag: int | None) -> str:
    """The memory capacity of all layers together, trained and untrained, and at the task's lag."""
    layers = ALL if (capacities.layer == ALL).any() else capacities.layer.iloc[0]  # The only one.
    whole = capacities[(capacities.layer == layers) & (capacities.state == "h")]
    trained, untrained = (
        whole[whole.network == network].capacity.iloc[0] for network in ("trained", "untrained")
    )
    of = " bits" if unit == "bits" else ""
    of_whom = "all layers" if layers == ALL else "the layer"
    said = (
        f"memory capacity of {of_whom} (summed over the lags): {_figure(trained)}{of}, untrained "
        f"{_figure(untrained)}"
    )
    at = rows[(rows.layer == layers) & (rows.state == "h") & (rows.lag == lag)]
    if lag is None or at.empty:
        return said
    own, drawn = (at[at.network == each].memory.iloc[0] for each in ("trained", "untrained"))
    what = f"of {at.most.iloc[0]:.2f} bits" if unit == "bits" else "in R squared"
    return (
        f"{said}; of the input {lag} {plural(lag, 'step')} ago, which the task needs: "
        f"{_figure(own)} {what}, untrained {_figure(drawn)}"
    )


def _room(several: bool) -> int:
    """How many lags fit into a table, beside its other columns."""
    columns = terminal.width(sys.stdout)
    if columns is None:
        return MOST_LAGS
    return max(FEWEST_LAGS, (columns - (BESIDE_SEEDS if several else BESIDE)) // A_LAG)


def _heading(found: Probe, name: str, unit: str, rows: pd.DataFrame) -> str:
    """What the numbers of a table are."""
    seeds = int(rows.seeds.max())
    what = MEASURED[unit].format(name=formatting.name(name))
    most = f" (at most {rows.most.max():.3g})" if unit == "bits" else ""
    mean = f", mean of {seeds} seeds" if seeds > 1 else f", seed {found.subject.model.seeds[0]}"
    return f"{what}{most}, by lag in steps{mean}"


def _chosen(trained: pd.DataFrame, task_lag: int | None, most: int) -> list[int]:
    """Lags to show: up to where almost nothing can be recovered, evenly spaced, with the task's."""
    known = trained[trained.memory >= SHOWN * trained.most].lag
    longest = int(trained.lag.max())
    last = max((0 if known.empty else int(known.max())) + 1, (task_lag or 0) + 1)
    last = min(longest, last)
    if last < most:
        return [*range(last + 1)]
    lags = {*np.linspace(0, last, most).round().astype(int).tolist()}
    if task_lag is not None and task_lag <= last and task_lag not in lags:
        nearest = min(lags - {0}, key=lambda lag: abs(lag - task_lag))
        lags = (lags - {nearest}) | {task_lag}
    return sorted(lags)


def _memory_row(
    part: Any, rows: pd.DataFrame, capacities: pd.DataFrame, chosen: Sequence[int], several: bool
) -> list[str]:
    layer, state = part
    mine = capacities[(capacities.layer == layer) & (capacities.state == state)]
    [own] = mine[mine.network == "trained"].itertuples()
    [untrained] = mine[mine.network == "untrained"].capacity
    by_lag = rows.set_index("lag").memory
    shown = [_figure(by_lag[lag]) for lag in chosen]
    interval = [f"{own.low:.2f} to {own.high:.2f}"] if several else []
    held = summary.ranges(summary.held(rows))
    capacity = _figure(own.capacity)
    return [f"{layer} {state}", *shown, capacity, *interval, _figure(untrained), held]


def _figure(value: float) -> str:
    return "-" if np.isnan(value) else f"{value:.2f}"


def _print_gradient(found: Probe) -> None:
    table, window = found.table, found.subject.bptt
    norms = summary.over_seeds(table, ["network", "layer", "to", "lag"], "norm")
    longest = int(norms.lag.max())
    asked = (0, 1, 3, window - 1, window, 2 * window, longest)
    lags = sorted({lag for lag in asked if 0 <= lag <= longest})
    print_sentence(
        "norm of the gradient of a step's loss with respect to the input, or a layer's h or c, by "
        "lag in steps"
    )
    rows = []
    for (network, layer, to), part in norms.groupby(["network", "layer", "to"], sort=False):
        by_lag = part.set_index("lag").norm
        reached = by_lag[by_lag >= REACHED * by_lag.max()].index.max()
        place = "input" if to == "x" else f"{layer} {to}"
        name = place if network == "trained" else f"{place}, untrained"
        if network == "trained" or to == "x":
            rows.append([name, *(f"{by_lag[lag]:.1e}" for lag in lags), str(reached)])
    print_table(["to", *map(str, lags), "reach"], rows)
    print_sentence(_shares(table, window, longest))
    if longest < max(gradient.WINDOWS) * window:
        rows_are = len(found.subject.begins)
        print_sentence(f"The rows have {rows_are:,} steps: longer lags cannot be measured.")


def _shares(table: pd.DataFrame, window: int, longest: int) -> str:
    """How much of the gradient stays within a window as long as in training, and within longer."""
    means = gradient.shares(table).drop(columns="seed").groupby("network", sort=False).mean()
    told = []
    for network, row in means.iterrows():
        parts = [
            f"{share:.1%} with {window * times}" if window * times <= longest else
            f"- with {window * times}"
            for times, share in zip(gradient.WINDOWS, row, strict=True)
        ]  # fmt: skip
        told.append(f"{network}: {', '.join(parts)} steps")
    return (
        f"reach: the largest lag at which the norm is at least {REACHED:.0%} of its maximum. Of "
        f"the gradient to the input, summed over {longest} steps, these shares stay within "
        f"windows of several lengths: {'; '.join(told)}. Training used windows of {window} steps."
    )


def _print_ablation(found: Probe) -> None:
    table = found.table
    rows = []
    for layer, part in table.groupby("layer", sort=True):
        row = [str(layer)]
        for zeroed in (EVERY_STEP, WINDOW_STARTS):
            losses = part[part.zeroed == zeroed].assign(layer=layer)
            [mean] = summary.over_seeds(losses, ["layer"], "loss").itertuples()
            interval = "" if np.isnan(mean.low) else f" ({mean.low:.2g} to {mean.high:.2g})"
            row.append(f"{mean.loss:.4g}{interval}")
        rows.append(row)
    intact = table[table.zeroed == EVERY_STEP]
    seeds = intact.seed.nunique()
    interval = " (95 %)" if seeds >= summary.FEWEST_SEEDS else ""
    mean = f", mean of {seeds} seeds{interval}" if seeds > 1 else ""
    loss = (intact.loss - intact.added).mean()
    print_sentence(f"loss with a layer's carried state zeroed{mean}; intact {loss:.4g}")
    print_table(["layer", "at every step", "at window starts"], rows)
    _print_units(found)


def _print_units(found: Probe) -> None:
    units = found.table[found.table.zeroed == UNIT]
    if units.empty:
        print_sentence("there are too many units to ablate them one by one")
        return
    first = found.subject.model.seeds[0]
    mine = units[units.seed == first].sort_values("added", ascending=False)[:MOST_UNITS]
    mine = mine.sort_values(["layer", "unit"])
    more = f" of {(units.seed == first).sum()}" if len(mine) == MOST_UNITS else ""
    print_sentence(
        f"loss without a unit, seed {first}, {len(mine)}{more} units; holds: the input that its h "
        "explains best"
    )
    rows = [
        [
            f"{row.layer}",
            f"{row.unit}",
            f"{row.loss:.4g}",
            f"{formatting.name(row.input)} {row.lag:.0f} steps ago",
            f"{row.r_squared:.2f}",
        ]
        for row in mine.itertuples()
    ]
    print_table(["layer", "unit", "loss", "holds", "R squared"], rows)


PRINT: dict[str, Callable[[Probe], None]] = {
    run.MEMORY: _print_memory,
    run.GRADIENT: _print_gradient,
    run.ABLATION: _print_ablation,
}
