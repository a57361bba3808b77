"""The answer of a sweep: how many layers the task needs, in a sentence for each verdict."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from lstmcli.data.target import Target
from lstmcli.sweeps import grid
from lstmcli.sweeps.comparison import FEWEST, LEVEL, Ratio
from lstmcli.sweeps.data_info import NATS
from lstmcli.sweeps.summary import GUESS, DepthResult
from lstmcli.sweeps.trial import Status

if TYPE_CHECKING:
    import pandas as pd

MANY = ("bigrams", "5-grams", "class frequencies")
"""Baselines that are plural."""
ONE = ("mean", "last value", "last label", "linear autoregression", "seasonal naive")
"""Baselines that there is one of, or what their names begin with."""

SMALLEST_P = 1e-4
"""P-values below it are not told apart."""


def sentence(verdict: DepthResult, unit: Target = NATS) -> str:
    """How many layers the task needs; or that the data cannot tell, and why.

    Args:
        verdict: what the trials say.
        unit: what losses are in.
    """
    said = "; ".join(
        [
            _head(verdict, unit),
            *_differences(verdict, unit),
            *_beaten(verdict, unit),
            *_lost(verdict),
        ]
    )
    where = ", ".join(f"{grid.words(name)} {value}" for name, value in verdict.where.items())
    return f"{where}: {said}" if where else said


def _head(verdict: DepthResult, unit: Target) -> str:
    if verdict.findings.reference is None:
        return "no trial ended with a loss: there is nothing to compare"
    row = verdict.rows.loc[verdict.findings.reference]
    if not verdict.better_than_a_guess:
        return _no_better(verdict, row, unit)
    if not verdict.findings.worst:
        alone = "one depth alone does not say how many are needed"
        unsolved = " no seed solves it," if row.solve_rate == 0 else ""
        return f"{_layers(row.layers)}:{unsolved} {_result(row, unit)}; {alone}"
    if verdict.findings.enough is not None:
        return (
            f"{_is_enough(row, unit)}, and no other depth is better by more than "
            f"{_margin(verdict, unit)}"
        )
    known = not math.isnan(row.solve_rate)
    unsolved = "no depth solves it, and " if known and _solves_none(verdict) else ""
    return f"{unsolved}the data cannot tell how many layers are enough: {_why(verdict, row, unit)}"


def _no_better(verdict: DepthResult, row: pd.Series, unit: Target) -> str:
    """That no depth beats what is known without a network; and how low the lowest loss is."""
    baseline, margin = _baseline(verdict, unit), _margin(verdict, unit)
    said = f"no depth is better than {baseline} by more than {margin}"
    if verdict.baseline.name == GUESS or math.isnan(row.iqm):
        return said
    has = f"{_layers(row.layers)} {_verb(row.layers, 'have')}"
    return f"{said}; {has} the lowest loss, {_result(row, unit)}"


def _is_enough(row: pd.Series, unit: Target) -> str:
    count = _layers(row.layers)
    if math.isnan(row.solve_rate):
        loss = unit.result(row.iqm)
        return f"{count} {_verb(row.layers, 'are')} enough: the test loss is {loss}"
    if row.solve_rate == 1:
        return f"{count} {_verb(row.layers, 'are')} enough: {_result(row, unit)}"
    well = f"{count} {_verb(row.layers, 'do')} as well as any"
    if row.solve_rate > 0:
        return f"{well}: {_result(row, unit)}"
    return f"no depth solves it: {well}, {_result(row, unit)}"


def _why(verdict: DepthResult, row: pd.Series, unit: Target) -> str:
    """What keeps the depth with the lowest loss from being called enough."""
    assert verdict.findings.reference is not None
    worst = verdict.findings.worst[verdict.findings.reference]
    has = f"{_layers(row.layers)} {_verb(row.layers, 'have')}"
    lowest = f"{has} the lowest loss, {_result(row, unit)}"
    if math.isinf(worst.bound) and worst.pairs >= FEWEST:
        return f"{lowest}, but too few seeds are common to all depths to support a claim"
    if math.isinf(worst.bound):
        few = f"{worst.pairs} common {_plural(worst.pairs, 'seed')}"
        return f"{lowest}, but {few} can support no claim, {FEWEST} is the least"
    theirs = _layers(verdict.rows.layers[worst.other])
    return (
        f"{lowest}, but {theirs} could be better by {unit.amount(worst.bound)}, more than "
        f"{_margin(verdict, unit)}"
    )


def _margin(verdict: DepthResult, unit: Target) -> str:
    """The margin, and what it is a part of where that is not the way to a floor."""
    said = f"the margin of {unit.amount(verdict.margin)}"
    name, loss = verdict.baseline.name, verdict.baseline.loss
    if verdict.floor_known or not loss > 0 or name == GUESS:
        return said
    verb = "lose" if name in MANY else "loses"
    return f"{said} ({100 * verdict.margin / loss:.3g} % of what {_named(name)} {verb})"


def _baseline(verdict: DepthResult, unit: Target) -> str:
    """`bigrams (2.44 nats)`; a uniform guess is known without its loss."""
    name, loss = verdict.baseline.name, verdict.baseline.loss
    return name if name == GUESS else f"{_named(name)} ({unit.amount(loss, '.3g')})"


def _named(baseline: str) -> str:
    """A baseline as the subject of a sentence."""
    return f"the {baseline}" if baseline.startswith(ONE) else baseline


def _beaten(verdict: DepthResult, unit: Target) -> list[str]:
    """How many of the depths do not beat what is known without a network, where some do."""
    depths, beaten = len(verdict.rows), verdict.beaten_by
    if verdict.baseline.name == GUESS or not verdict.better_than_a_guess or beaten == depths:
        return []
    failing = depths - beaten
    verb = "does" if failing == 1 else "do"
    return [f"{failing} of {depths} depths {verb} not beat {_baseline(verdict, unit)}"]


def _result(row: pd.Series, unit: Target) -> str:
    """`8 of 8 seeds solve it (95 % interval 68 to 100 %)`; or the loss, if none does."""
    if math.isnan(row.solve_rate) or row.solve_rate == 0:
        return f"with a test loss of {unit.result(row.iqm)}"
    interval = f"95 % interval {100 * row.solve_low:.0f} to {100 * row.solve_high:.0f} %"
    solved, seeds = round(row.solve_rate * row.seeds), round(row.seeds)
    verb = "solves" if seeds == 1 else "solve"
    return f"{solved} of {seeds} {_plural(seeds, 'seed')} {verb} it ({interval})"


def _solves_none(verdict: DepthResult) -> bool:
    return bool((verdict.rows.solve_rate.fillna(0) == 0).all())


def _differences(verdict: DepthResult, unit: Target) -> list[str]:
    """The depths whose losses differ from the reference's, and the smaller ones that may."""
    found: list[str] = []
    if not verdict.better_than_a_guess:
        return found
    for place, row in verdict.rows.iterrows():
        ratio = verdict.findings.ratios.get(place)
        if ratio is not None and ratio.p_value < LEVEL:
            said = _compared(row, ratio)
        elif place in verdict.findings.worst and place < (verdict.findings.enough or 0):
            bound = verdict.findings.worst[place].bound
            far = "any amount" if math.isinf(bound) else f"up to {unit.amount(bound)}"
            said = f"{_layers(row.layers)} could be worse by {far}"
        else:
            continue
        found.append(said + (_rate(row, unit) if place + 1 == verdict.findings.enough else ""))
    return found


def _rate(row: pd.Series, unit: Target) -> str:
    """How many seeds of the next smaller depth solve the task, where that is known."""
    if math.isnan(row.solve_rate):
        return ""
    return f", {_result(row, unit)}" if row.solve_rate > 0 else ", no seed solves it"


def _compared(row: pd.Series, ratio: Ratio) -> str:
    better = "better" if ratio.mean < 1 else "worse"
    p_value = f"p = {ratio.p_value:.2g}" if ratio.p_value >= SMALLEST_P else f"p < {SMALLEST_P:g}"
    return f"{_layers(row.layers)} {_verb(row.layers, 'are')} {better}: {_times(ratio)}, {p_value})"


def _times(ratio: Ratio) -> str:
    """`12 % less loss (3 to 20 %`, or `5.2 times the loss (3 to 9`; the bracket stays open."""
    factors = (ratio.mean, ratio.low, ratio.high)
    if ratio.mean >= 2:
        mean, low, high = map(_two_digits, factors)
        return f"{mean} times the loss ({low} to {high}"
    if ratio.mean >= 1:
        mean, low, high = (_two_digits(100 * (factor - 1)) for factor in factors)
        return f"{mean} % more loss ({low} to {high} %"
    mean, high, low = (_two_digits(100 * (1 - factor)) for factor in factors)
    return f"{mean} % less loss ({low} to {high} %"


def _two_digits(number: float) -> str:
    return f"{number:,.0f}" if 99.5 <= abs(number) < 1e6 else f"{number:.2g}"


def _lost(verdict: DepthResult) -> list[str]:
    """The seeds of each depth that diverged, failed, or ended worse than chance."""
    words = {
        Status.DIVERGED: "diverged",
        Status.FAILED: "failed",
        Status.WORSE: "ended worse than chance",
    }
    found = []
    for (layers, status), own in verdict.trials.groupby(["layers", "status"]):
        if status in words:
            of = int((verdict.trials.layers == layers).sum())
            count = f"all {of}" if 1 < len(own) == of else f"{len(own)} of {of}"
            found.append(f"with {_layers(layers)} {count} {_plural(of, 'seed')} {words[status]}")
    return found


def _layers(count: float) -> str:
    return f"{count:.0f} {_plural(count, 'layer')}"


def _plural(count: float, word: str) -> str:
    return word if count == 1 else f"{word}s"


def _verb(count: float, plural: str) -> str:
    singular = {"are": "is", "do": "does", "have": "has"}
    return singular[plural] if count == 1 else plural
