"""A sweep's answer in one sentence: how many layers the task needs."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from lstmcli.data.target import Target
from lstmcli.sweeps.axis import COUNTED, is_number, verb
from lstmcli.sweeps.comparison import FEWEST, LEVEL, Ratio
from lstmcli.sweeps.data_info import NATS
from lstmcli.sweeps.grid import words
from lstmcli.sweeps.summary import GUESS, DepthResult
from lstmcli.sweeps.trial import Status
from lstmcli.utils.errors import plural

if TYPE_CHECKING:
    import pandas as pd

MANY = ("bigrams", "5-grams", "class frequencies")
"""Baselines that are plural."""
ONE = ("mean", "last value", "last label", "linear autoregression", "seasonal naive")
"""Baselines that are singular, or what their names begin with."""

ENDED = {
    Status.DIVERGED: "diverged",
    Status.FAILED: "failed",
    Status.WORSE: "ended worse than chance",
}
"""How a trial can be lost, in words."""

SMALLEST_P = 1e-4
"""Smaller p-values are written as `p < ` this."""


def sentence(verdict: DepthResult, unit: Target = NATS) -> str:
    """Says how many layers the task needs; or that the data cannot tell, and why.

    Args:
        verdict: what the trials say.
        unit: what losses are in.
    """
    said = "; ".join(
        [
            _head(verdict, unit),
            *_differences(verdict, unit),
            *_beaten(verdict, unit),
            *lost(verdict),
            *ends_of_lists(verdict),
        ]
    )
    where = ", ".join(f"{words(name)} {value}" for name, value in verdict.where.items())
    return f"{where}: {said}" if where else said


def _head(verdict: DepthResult, unit: Target) -> str:
    if verdict.findings.reference is None:
        return "no trial ended with a loss: there is nothing to compare"
    row = verdict.rows.loc[verdict.findings.reference]
    if not verdict.better_than_a_guess:
        return _no_better(verdict, verdict.lowest, unit)
    if not verdict.findings.worst:
        unsolved = " no seed solves it," if row.solve_rate == 0 else ""
        return f"{named(verdict, row)}:{unsolved} {_result(row, unit)}; {alone_says(verdict)}"
    if verdict.findings.enough is not None:
        return (
            f"{_is_enough(verdict, row, unit)}, and no other {verdict.axis.alternative} is better "
            f"by more than {_margin(verdict, unit)}"
        )
    lowest = f"{with_verb(verdict, row, 'have')} the lowest loss, {_result(row, unit)}"
    bound = verdict.findings.worst[verdict.findings.reference].bound
    reason = why(verdict, unit.amount(bound), _margin(verdict, unit))
    return f"{cannot_tell(verdict)}: {lowest}, but {reason}"


def alone_says(verdict: DepthResult) -> str:
    """Says that one depth alone is no comparison."""
    axis = verdict.axis
    needed = "how many are needed" if axis.column in COUNTED else "which is needed"
    return f"one {axis.alternative} alone does not say {needed}"


def cannot_tell(verdict: DepthResult) -> str:
    """Says that the losses do not tell."""
    unsolved = f"no {verdict.axis.alternative} solves it, and " if _solves_none(verdict) else ""
    return f"{unsolved}the data cannot tell {verdict.axis.question}"


def _no_better(verdict: DepthResult, row: pd.Series, unit: Target) -> str:
    """Says that no depth beats the best baseline, and how low the lowest loss is."""
    baseline, margin = baseline_words(verdict, unit), _margin(verdict, unit)
    said = f"no {verdict.axis.alternative} is better than {baseline} by more than {margin}"
    if verdict.baseline.name == GUESS or math.isnan(row.iqm):
        return said
    return f"{said}; {with_verb(verdict, row, 'have')} the lowest loss, {_result(row, unit)}"


def _is_enough(verdict: DepthResult, row: pd.Series, unit: Target) -> str:
    said = enough(verdict, row)
    if math.isnan(row.solve_rate):
        return f"{said}: the test loss is {unit.result(row.iqm)}"
    return f"{said}{', ' if row.solve_rate == 0 else ': '}{_result(row, unit)}"


def enough(verdict: DepthResult, row: pd.Series) -> str:
    """Says that a depth is enough; or, if no depth solves the task, that it does as well as any.

    A name, which has no order, is called the best.
    """
    axis = verdict.axis
    if axis.ordered:
        enough = math.isnan(row.solve_rate) or row.solve_rate == 1
    else:
        enough = row.iqm <= verdict.findings.lowest
    found = f"{with_verb(verdict, row, 'do')} as well as any"
    if enough:
        found = f"{with_verb(verdict, row, 'are')} {'enough' if axis.ordered else 'best'}"
    return f"no {axis.alternative} solves it: {found}" if row.solve_rate == 0 else found


def why(verdict: DepthResult, bound: str, margin: str) -> str:
    """Why the depth with the lowest loss cannot be called enough.

    Args:
        verdict: what the trials say, of which none is enough.
        bound: by how much another could be better.
        margin: that, in words.
    """
    findings = verdict.findings
    assert findings.reference is not None
    worst = findings.worst[findings.reference]
    if math.isinf(worst.bound) and worst.pairs >= FEWEST:
        all_of = verdict.axis.alternatives
        return f"too few seeds are common to all {all_of} to support a claim"
    if math.isinf(worst.bound):
        few = f"{worst.pairs} common {plural(worst.pairs, 'seed')}"
        return f"{few} {verb(worst.pairs, 'are')} too few for a claim, which needs {FEWEST}"
    theirs = named(verdict, verdict.rows.loc[worst.other])
    return f"{theirs} could be better by {bound}, more than {margin}"


def _margin(verdict: DepthResult, unit: Target) -> str:
    """The margin, and what it is a percentage of where the Bayes loss is not known."""
    said = f"the margin of {unit.amount(verdict.margin)}"
    of_what = margin_is(verdict)
    return f"{said} ({of_what})" if of_what else said


def margin_is(verdict: DepthResult) -> str | None:
    """What the margin is a percentage of; `None` where the Bayes loss is known."""
    name, loss = verdict.baseline.name, verdict.baseline.loss
    if verdict.bayes_loss_known or not loss > 0 or name == GUESS:
        return None
    lose = "lose" if name in MANY else "loses"
    return f"{100 * verdict.margin / loss:.3g} % of what {the(name)} {lose}"


def baseline_words(verdict: DepthResult, unit: Target) -> str:
    """`bigrams (2.44 nats)`; a uniform guess is named without its loss."""
    name, loss = verdict.baseline.name, verdict.baseline.loss
    return name if name == GUESS else f"{the(name)} ({unit.amount(loss, '.3g')})"


def the(baseline: str) -> str:
    """A baseline as the subject of a sentence."""
    return f"the {baseline}" if baseline.startswith(ONE) else baseline


def _beaten(verdict: DepthResult, unit: Target) -> list[str]:
    """How many depths do not beat the best baseline, if some do."""
    depths, beaten = len(verdict.rows), verdict.beaten_by
    if verdict.baseline.name == GUESS or not verdict.better_than_a_guess or beaten == depths:
        return []
    failing = depths - beaten
    do, all_of = verb(failing, "do"), verdict.axis.alternatives
    return [f"{failing} of {depths} {all_of} {do} not beat {baseline_words(verdict, unit)}"]


def _result(row: pd.Series, unit: Target) -> str:
    """`8 of 8 seeds solve it (95 % interval 68 to 100 %)`; or the loss, if none does."""
    if math.isnan(row.solve_rate) or row.solve_rate == 0:
        return f"with a test loss of {unit.result(row.iqm)}"
    interval = f"95 % interval {100 * row.solve_low:.0f} to {100 * row.solve_high:.0f} %"
    solved, seeds = round(row.solve_rate * row.seeds), round(row.seeds)
    solve = "solves" if seeds == 1 else "solve"
    return f"{solved} of {seeds} {plural(seeds, 'seed')} {solve} it ({interval})"


def _solves_none(verdict: DepthResult) -> bool:
    return verdict.bayes_loss_known and bool((verdict.rows.solve_rate.fillna(0) == 0).all())


def _differences(verdict: DepthResult, unit: Target) -> list[str]:
    """The depths whose losses differ from the reference's, and the smaller ones that could."""
    found: list[str] = []
    if not verdict.better_than_a_guess:
        return found
    for place, row in verdict.rows.iterrows():
        ratio = verdict.findings.ratios.get(place)
        if ratio is not None and ratio.p_value < LEVEL:
            said = _compared(verdict, row, ratio)
        elif place in verdict.findings.worst and verdict.in_question(int(place)):
            bound = verdict.findings.worst[place].bound
            far = "any amount" if math.isinf(bound) else f"up to {unit.amount(bound)}"
            said = f"{named(verdict, row)} could be worse by {far}"
        else:
            continue
        found.append(said + (_rate(row, unit) if place + 1 == verdict.findings.enough else ""))
    return found


def _rate(row: pd.Series, unit: Target) -> str:
    """How many seeds of a depth solve the task, if that is known."""
    if math.isnan(row.solve_rate):
        return ""
    return f", {_result(row, unit)}" if row.solve_rate > 0 else ", no seed solves it"


def _compared(verdict: DepthResult, row: pd.Series, ratio: Ratio) -> str:
    better = "better" if ratio.mean < 1 else "worse"
    p_value = f"p = {ratio.p_value:.2g}" if ratio.p_value >= SMALLEST_P else f"p < {SMALLEST_P:g}"
    mean, interval = times(ratio.mean, ratio.low, ratio.high)
    return f"{with_verb(verdict, row, 'are')} {better}: {mean} ({interval}, {p_value})"


def times(mean: float, low: float, high: float, what: str = "loss") -> tuple[str, str]:
    """`12 % less loss` and `3 to 20 %`, or `5.2 times the loss` and `3 to 9`."""
    if mean >= 2:
        return f"{_two_digits(mean)} times the {what}", f"{_two_digits(low)} to {_two_digits(high)}"
    if mean >= 1:
        mean, low, high = (100 * (factor - 1) for factor in (mean, low, high))
        more = "more"
    else:
        mean, high, low = (100 * (1 - factor) for factor in (mean, low, high))
        more = "less"
    return f"{_two_digits(mean)} % {more} {what}", f"{_two_digits(low)} to {_two_digits(high)} %"


def _two_digits(number: float) -> str:
    return f"{number:,.0f}" if 99.5 <= abs(number) < 1e6 else f"{number:.2g}"


def lost(verdict: DepthResult) -> list[str]:
    """The seeds of each depth that diverged, failed, or ended worse than chance."""
    found = []
    for _, row in verdict.rows.iterrows():
        status = verdict.own(row).status
        for how in sorted(set(status) & ENDED.keys()):
            count, of = int((status == how).sum()), len(status)
            share = f"all {of}" if 1 < count == of else f"{count} of {of}"
            found.append(f"with {named(verdict, row)} {share} {plural(of, 'seed')} {ENDED[how]}")
    return found


def ends_of_lists(verdict: DepthResult) -> list[str]:
    """Says which tuned settings have their best value at an end of the list."""
    found = []
    for column, tried in verdict.tuned.items():
        if len(tried) < 2 or not all(map(is_number, tried)):
            continue
        for value, which in ((min(tried), "smallest"), (max(tried), "largest")):
            rows = verdict.rows[verdict.rows[column] == value]
            if len(rows):
                of = verdict.axis.listed(list(rows[verdict.axis.column]))
                found.append(f"the best {words(column)} of {of} is the {which} tried")
    return found


def named(verdict: DepthResult, row: pd.Series) -> str:
    """`3 layers`."""
    return verdict.axis.named(row[verdict.axis.column])


def with_verb(verdict: DepthResult, row: pd.Series, several: str) -> str:
    """`3 layers are`, `1 layer is`."""
    return f"{named(verdict, row)} {verdict.axis.verb(row[verdict.axis.column], several)}"
