"""`lstmcli probe`: which layer remembers what, how far gradients reach, what a layer is for."""

from __future__ import annotations

import csv
from collections.abc import Callable, Sequence
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import typer

from lstmcli.cli.options import OUTPUT, PATH, PATH_OPTION, Given, Json, with_settings
from lstmcli.cli.output import print_json, print_sentence, print_table
from lstmcli.config import OF_TENSORFLOW, OF_THE_CHECKPOINT, ProbeConfig
from lstmcli.probes import gradient, run, summary
from lstmcli.probes.ablation import EVERY_STEP, UNIT, WINDOW_STARTS
from lstmcli.probes.run import Probe
from lstmcli.reporting import formatting
from lstmcli.utils.files import check_replaceable, write_atomically
from lstmcli.utils.terminal import escape_unprintable

if TYPE_CHECKING:
    import pandas as pd

    from lstmcli.probes.run import Probe


def _option(name: str) -> Any:
    [spec] = [each for each in fields(ProbeConfig) if each.name == name]
    return typer.Option(help=spec.metadata["help"])


@with_settings("data", "run", leave_out=(*OF_THE_CHECKPOINT, *OF_TENSORFLOW), show_defaults=False)
def probe(
    given: Given,
    checkpoint: Annotated[
        list[Path],
        typer.Argument(
            metavar="CHECKPOINT",
            help="Checkpoint files or run directories, to be looked at beside each other.",
            show_default=False,
            **PATH,
        ),
    ],
    gradient: Annotated[
        bool, typer.Option("--gradient", help="Ask instead how far the gradient reaches.")
    ] = False,
    ablate: Annotated[
        bool,
        typer.Option(
            "--ablate",
            help="Ask instead what is lost without a layer's carried state, and without a unit.",
        ),
    ] = False,
    lags: Annotated[int, _option("lags")] = ProbeConfig.lags,
    steps: Annotated[int, _option("steps")] = ProbeConfig.steps,
    output: Annotated[
        Path | None,
        typer.Option(
            help="Write a figure to this file: .png, .svg or .pdf.",
            rich_help_panel=OUTPUT,
            **PATH_OPTION,
        ),
    ] = None,
    csv: Annotated[
        Path | None,
        typer.Option(
            help="Write all figures to this CSV file.", rich_help_panel=OUTPUT, **PATH_OPTION
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Tell which layer remembers what: how much a linear readout knows of earlier inputs.

    A ridge regression recovers the input so many steps ago from each layer's h and c, judged on
    steps that it was not fitted on: R squared for numbers, bits for symbols. The sum over the steps
    is the memory capacity (Jaeger 2001), shown beside that of the untrained network. TensorFlow is
    not needed.
    """
    from lstmcli import api
    from lstmcli.reporting.figures import probe as probe_figures
    from lstmcli.reporting.figures import style
    from lstmcli.utils import files
    from lstmcli.utils.terminal import escape_unprintable

    if output is not None:
        files.check_figure_ending(output)
        files.check_figure_replaceable(output)
    if csv is not None:
        check_replaceable(csv, _is_ours, "holds no probe")
    asked: dict[str, Any] = {"gradient": gradient, "ablate": ablate, "lags": lags, "steps": steps}
    found = [api.probe(each, **asked, **given) for each in checkpoint]
    for note in dict.fromkeys(note for each in found for note in each.subject.notes):
        typer.echo(f"note: {escape_unprintable(note)}", err=True)
    if csv is not None:
        write_table(csv, found)
    if output is not None:
        style.save(probe_figures.probe_figure(found), output)
    if as_json:
        print_json({"probes": [_as_dict(each) for each in found]})
        return
    for each in found:
        typer.echo(f"checkpoint: {escape_unprintable(str(each.subject.checkpoint))}")
        typer.echo(f"data: {escape_unprintable(each.subject.data)}")
        PRINT[each.kind](each)


def _as_dict(found: Probe) -> dict[str, Any]:
    """What `--json` prints of a checkpoint, by the names of the CSV file's columns."""
    return {
        "checkpoint": str(found.subject.checkpoint),
        "data": found.subject.data,
        "probe": found.kind,
        "results": _rows(found.table),
    }


def _rows(table: pd.DataFrame) -> list[dict[str, Any]]:
    known = table.astype(object).where(table.notna(), None)
    rows: list[dict[str, Any]] = known.to_dict("records")
    return rows


HEADERS = (["seed", "network", "layer"], ["seed", "layer", "zeroed"])
"""What the columns of a probe begin with, behind the checkpoint."""
SHOWN = 0.1
"""Of what there is to know: lags at which less is known of an input are not shown."""
MOST_LAGS = 8
MOST_UNITS = 16
REACHED = 0.01
"""Of the largest norm: down to which the gradient is said to reach."""
MEASURED = {"bits": "bits known of {name}", "r_squared": "R squared of {name}"}


def _is_ours(path: Path) -> bool:
    try:
        with path.open(encoding="utf-8", newline="") as file:
            names = next(csv.reader(file), [])
    except (UnicodeDecodeError, csv.Error):
        return False
    names = names[1:] if names[:1] == ["checkpoint"] else names
    return names[:3] in HEADERS


def write_table(path: Path, found: Sequence[Probe]) -> None:
    """Writes the tables of probes, one after the other.

    Raises:
        OSError: the file cannot be written.
    """
    import pandas as pd

    tables = [each.table.copy() for each in found]
    if len(found) > 1:
        for table, each in zip(tables, found, strict=True):
            table.insert(0, "checkpoint", escape_unprintable(str(each.subject.checkpoint)))
    write_atomically(path, pd.concat(tables).to_csv(index=False).encode())


def _print_memory(found: Probe) -> None:
    lags = summary.by_lag(found.table)
    capacities = summary.capacities(found.table)
    for (name, unit), rows in lags.groupby(["input", "unit"], sort=False):
        mine = capacities[capacities.input == name]
        print_sentence(_heading(found, str(name), str(unit), rows))
        trained = rows[rows.network == "trained"]
        chosen = _chosen(trained)
        several = bool(mine.low.notna().any())
        headings = ["layer", *map(str, chosen), "capacity", *(["95 %"] if several else [])]
        print_table(
            [*headings, "untrained", "holds"],
            [
                _memory_row(part, of_part, mine, chosen, several)
                for part, of_part in trained.groupby(["layer", "state"], sort=False)
            ],
        )
    print_sentence("holds: the steps ago of which at least half of what there is is known")


def _heading(found: Probe, name: str, unit: str, rows: pd.DataFrame) -> str:
    """What the numbers of a table are."""
    seeds = int(rows.seeds.max())
    what = MEASURED[unit].format(name=formatting.name(name))
    most = f" (of {rows.most.max():.3g})" if unit == "bits" else ""
    mean = f", mean of {seeds} seeds" if seeds > 1 else f", seed {found.subject.model.seeds[0]}"
    return f"{what}{most} by steps ago{mean}"


def _chosen(trained: pd.DataFrame) -> list[int]:
    """Lags to show: up to where hardly anything is known, evenly where they are many."""
    known = trained[trained.memory >= SHOWN * trained.most].lag
    last = min(int(trained.lag.max()), (0 if known.empty else int(known.max())) + 1)
    return list(range(0, last + 1, max(1, -(-last // (MOST_LAGS - 1)))))


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
    typer.echo("norm of the gradient of a step's loss to what lies so many steps before")
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
        print_sentence(f"Rows of {rows_are:,} steps tell nothing of what lies further back.")


def _shares(table: pd.DataFrame, window: int, longest: int) -> str:
    """How much of the gradient the window leaves, and how much longer ones would bring."""
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
        f"reach: where the norm is still {REACHED:.0%} of its largest. Of the gradient to the "
        f"input, summed over {longest} steps back, windows leave: {'; '.join(told)}. Training had "
        f"{window}."
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
    print_sentence(f"loss without what a layer carries from step to step{mean}; intact {loss:.4g}")
    print_table(["layer", "at every step", "into a window"], rows)
    _print_units(found)


def _print_units(found: Probe) -> None:
    units = found.table[found.table.zeroed == UNIT]
    if units.empty:
        print_sentence("there are too many units to leave them out one by one")
        return
    first = found.subject.model.seeds[0]
    mine = units[units.seed == first].sort_values("added", ascending=False)[:MOST_UNITS]
    mine = mine.sort_values(["layer", "unit"])
    more = f" of {(units.seed == first).sum()}" if len(mine) == MOST_UNITS else ""
    print_sentence(
        f"loss without a unit, seed {first}, {len(mine)}{more} units; what its h says most of"
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
