"""What a probe's figure shows: the tables that are drawn, made of the probe's own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from lstmcli.probes import gradient, story, summary
from lstmcli.probes.ablation import UNIT
from lstmcli.probes.story import Probe
from lstmcli.report.figures import probe as figures
from lstmcli.report.figures.probe import Drawn


def figure(found: Sequence[Probe]) -> Any:
    """One figure of probes of one kind, a row of panels for each.

    Of several inputs the first is drawn.
    """
    tables, draw = KINDS[found[0].kind]
    return draw([Drawn(_title(each), tables(each)) for each in found])


def _title(found: Probe) -> str:
    seeds = len(found.subject.model.seeds)
    return found.title if seeds == 1 else f"{found.title}, {seeds} seeds"


def _memory(found: Probe) -> tuple[Any, ...]:
    first = found.table[found.table.input == found.table.input.iloc[0]]
    return summary.by_lag(first), summary.capacities(first)


def _gradient(found: Probe) -> tuple[Any, ...]:
    keys = ["network", "layer", "to", "lag", "window"]
    table = summary.over_seeds(found.table, keys, "norm")
    truncated = [f"norm_{times}" for times in gradient.WINDOWS]
    means = found.table.groupby(keys, sort=False)[truncated].mean().reset_index()
    return (table.merge(means, on=keys),)


def _ablation(found: Probe) -> tuple[Any, ...]:
    table = found.table.assign(intact=found.table.loss - found.table.added)
    layers = table[table.zeroed != UNIT]
    keys = ["layer", "zeroed"]
    intact = layers.groupby(keys, sort=False).intact.mean().reset_index()
    units = table[(table.zeroed == UNIT) & (table.seed == table.seed.iloc[0])]
    return summary.over_seeds(layers, keys, "loss").merge(intact, on=keys), units


KINDS: dict[str, tuple[Callable[[Probe], tuple[Any, ...]], Callable[[Sequence[Drawn]], Any]]] = {
    story.MEMORY: (_memory, figures.memory),
    story.GRADIENT: (_gradient, figures.gradient),
    story.ABLATION: (_ablation, figures.ablation),
}
