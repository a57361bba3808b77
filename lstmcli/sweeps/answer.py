"""A sweep's answer: a headline, a row for each depth, and caveats."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lstmcli.config import DataConfig
from lstmcli.data.target import Target
from lstmcli.sweeps import conclusion
from lstmcli.sweeps.answer_parts import Answer, AnswerRow, value_text
from lstmcli.sweeps.axis import DEPTH, Axis, is_number, verb
from lstmcli.sweeps.comparison import LEVEL, interquartile_mean
from lstmcli.sweeps.conclusion import named
from lstmcli.sweeps.data_info import NATS
from lstmcli.sweeps.grid import words
from lstmcli.sweeps.summary import GUESS, DepthResult
from lstmcli.utils.errors import plural
from lstmcli.utils.files import shown

if TYPE_CHECKING:
    import pandas as pd

ENOUGH, UNKNOWN, NO_BETTER, ALONE, NOTHING = "enough", "unknown", "no better", "alone", "nothing"
"""The verdicts: a depth is enough, the losses do not tell, no depth beats the baselines, there is
only one depth, or no trial has a loss."""
LOOKS = ("first", "second", "third", "fourth", "fifth", "sixth")


def answers(
    verdicts: Sequence[DepthResult], units: Sequence[Target], data: DataConfig, swept: Sequence[str]
) -> list[Answer]:
    """The answers of a sweep.

    Args:
        verdicts: what its trials say.
        units: what the losses of each are in.
        data: what all trials share of what is learned.
        swept: the columns of the settings that were swept besides depth.
    """
    about = data_words(data, swept)
    return [answer(each, unit, about) for each, unit in zip(verdicts, units, strict=True)]


def data_words(data: DataConfig, swept: Sequence[str]) -> str:
    """The data in words: the name of a file or a task, or the echo step."""
    if data.data is not None:
        return shown(Path(data.data))
    if data.task != "echo":
        return data.task
    return "" if "echo_step" in swept else f"echo step {data.echo_step}"


def answer(verdict: DepthResult, unit: Target = NATS, about: str = "") -> Answer:
    """The answer to one question; arguments as `conclusion.sentence` has them.

    Args:
        verdict: what the trials say.
        unit: what losses are in.
        about: what is learned, in words.
    """
    kind = _kind(verdict)
    measure = Measure(unit, verdict.bayes_loss_known)
    headline, short = _headline(kind, verdict, measure)
    reference = verdict.findings.reference
    against = ""
    if kind == NO_BETTER:
        against = f"against {conclusion.the(verdict.baseline.name).partition(' (')[0]}"
    elif kind in (ENOUGH, UNKNOWN):
        against = f"against {named(verdict, verdict.rows.loc[reference])}"
    longer = _longer(verdict)
    return Answer(
        conclusion.sentence(verdict, unit),
        headline,
        _context(verdict, about),
        kind,
        short,
        dict(verdict.where),
        measure.name,
        against,
        [_row(kind, verdict, place, measure) for place in verdict.rows.index],
        _caveats(kind, verdict, measure),
        longer,
    )


def _kind(verdict: DepthResult) -> str:
    if verdict.findings.reference is None:
        return NOTHING
    if not verdict.better_than_a_guess:
        return NO_BETTER
    if not verdict.findings.worst:
        return ALONE
    return UNKNOWN if verdict.findings.enough is None else ENOUGH


@dataclass(frozen=True)
class Measure:
    """What losses are shown in: the excess loss, or a usual unit such as RMSE.

    Attributes:
        unit: what losses are in.
        excess: whether the Bayes loss is known.
    """

    unit: Target
    excess: bool

    @property
    def name(self) -> str:
        """What it is called."""
        if self.excess:
            return "excess loss"
        return self.unit.measure if self._familiar else "test loss"

    @property
    def noun(self) -> str:
        """The noun for ratios: `5 times the loss`."""
        return self.name if self.name.isupper() else "loss"

    @property
    def _familiar(self) -> bool:
        return not self.excess and self.unit.familiar(1.0) is not None

    def of(self, loss: float) -> float:
        """A test loss, converted to this measure."""
        return float(self.unit.familiar(max(0.0, loss))) if self._familiar else loss

    def ratio(self, factor: float) -> float:
        """A ratio of losses, converted to this measure."""
        return self.of(factor) / self.of(1.0)

    def words(self, loss: float) -> str:
        """A test loss: `RMSE 2.31`, `0.349 nats`."""
        if not self._familiar:
            return self.unit.amount(loss, ".3g")
        return (
            f"{self.name} {self.of(loss):.3g}"
            if self.name.isupper()
            else (f"{self.of(loss):.3g} {self.name}")
        )

    def more(self, amount: float, loss: float) -> str:
        """A difference from a loss, in words: `0.0069 nats`, `0.2 RMSE`."""
        if not self._familiar:
            return self.unit.amount(abs(amount))
        return f"{abs(self.of(loss + amount) - self.of(loss)):.2g} {self.name}"

    def times(self, *factors: float) -> tuple[str, str]:
        """Mean and interval of a ratio, in words."""
        mean, low, high = map(self.ratio, factors)
        return conclusion.times(mean, low, high, self.noun)


def _headline(kind: str, verdict: DepthResult, measure: Measure) -> tuple[str, str]:
    """The headline, and its short form."""
    axis = verdict.axis
    if kind == NOTHING:
        return "no trial ended with a loss: there is nothing to compare", "no result"
    row = verdict.rows.loc[verdict.findings.reference]
    if kind == NO_BETTER:
        return _no_better(
            verdict, verdict.lowest, measure
        ), f"no better than {verdict.baseline.name}"
    if kind == ALONE:
        return conclusion.alone_says(verdict), f"one {axis.alternative}"
    if kind == UNKNOWN:
        return conclusion.cannot_tell(verdict), "cannot tell"
    return conclusion.enough(verdict, row), named(verdict, row)


def _no_better(verdict: DepthResult, row: pd.Series, measure: Measure) -> str:
    """Says that no depth beats the best baseline, or not by enough, and how close the best is."""
    base, axis = verdict.baseline, verdict.axis
    if base.name == GUESS:
        margin = measure.unit.amount(verdict.margin)
        return f"no {axis.alternative} is better than {GUESS} by more than the margin of {margin}"
    known = f"{conclusion.the(base.name)}: {measure.words(base.loss)}"
    if math.isnan(row.iqm):
        return f"no {axis.alternative} beats {known}"
    lowest = f"{conclusion.with_verb(verdict, row, 'have')} {measure.words(row.iqm)}"
    if row.iqm < base.loss:
        return f"no {axis.alternative} beats {known} by more than the margin; {lowest}"
    return f"no {axis.alternative} beats {known}; {lowest}"


def _context(verdict: DepthResult, about: str) -> str:
    tuned = " and ".join(map(words, verdict.tuned))
    known = [
        about,
        *(f"{words(name)} {value_text(value)}" for name, value in verdict.where.items()
          if name != "state_size"),
        *_size(verdict),
        f"each {verdict.axis.alternative} at its best {tuned}" if tuned else "",
    ]  # fmt: skip
    return ", ".join(filter(None, known))


def _size(verdict: DepthResult) -> list[str]:
    """The depth and the state size shared by all, if these are not compared."""
    of_all = [axis for axis in (DEPTH, Axis("state_size")) if axis != verdict.axis]
    values = [(axis, verdict.rows[axis.column].unique()) for axis in of_all]
    return [axis.named(found[0]) for axis, found in values if len(found) == 1]


def _row(kind: str, verdict: DepthResult, place: int, measure: Measure) -> AnswerRow:
    row = verdict.rows.loc[place]
    names = [verdict.axis.column, *verdict.tuned]
    if verdict.rows.state_size.nunique() > 1 and "state_size" not in names:
        names.insert(1, "state_size")
    marked = kind == ENOUGH and place == verdict.findings.reference
    loss = _excess(verdict, row) if measure.excess else measure.of(float(row.iqm))
    return AnswerRow(
        {name: _plain(row[name]) for name in names},
        _solved(row, marked),
        None if math.isnan(loss) else loss,
        _against(kind, verdict, place, measure),
        marked,
    )


def _solved(row: pd.Series, marked: bool) -> str | None:
    if math.isnan(row.solve_rate):
        return None
    interval = f" ({100 * row.solve_low:.0f}-{100 * row.solve_high:.0f} %)" if marked else ""
    return f"{row.solve_rate * row.seeds:.0f} of {row.seeds:.0f}{interval}"


def _excess(verdict: DepthResult, row: pd.Series) -> float:
    """The interquartile mean of the seeds' excess losses.

    For a seed that diverged, the best predictor's loss is taken from other trials of that seed.
    """
    oracle = (verdict.trials.test_loss - verdict.trials.gap).astype(float)
    of_seed = oracle.groupby(verdict.trials.seed).transform("median")
    known = oracle.fillna(of_seed).fillna(verdict.trials.bayes_loss.astype(float).min())
    own = verdict.own(row)
    losses = (own.reached.astype(float) - known[own.index]).to_numpy(float)
    return math.nan if math.isnan(row.iqm) else interquartile_mean(losses)


def _against(kind: str, verdict: DepthResult, place: int, measure: Measure) -> str:
    """A depth compared with the one that the answer names, in words."""
    findings, row = verdict.findings, verdict.rows.loc[place]
    if kind in (ALONE, NOTHING) or math.isnan(row.iqm):
        return "-"
    if kind == NO_BETTER:
        no_less = float(row.iqm) == verdict.baseline.loss
        return "no less" if no_less else _beside(row, verdict, measure)
    if place == findings.reference:
        return "-"
    loss = float(verdict.rows.iqm[findings.reference])
    ratio = findings.ratios.get(place)
    if ratio is not None and ratio.p_value < LEVEL:
        mean, interval = measure.times(ratio.mean, ratio.low, ratio.high)
        return f"{mean} ({interval})"
    if place not in findings.worst:
        return "-"
    if kind == UNKNOWN:
        return _undecided(verdict, place, loss, measure)
    if not verdict.axis.ordered and findings.worst[place].p_value <= LEVEL:
        return f"no worse by more than the margin of {measure.more(verdict.margin, loss)}"
    if verdict.in_question(place):
        bound = findings.worst[place].bound
        far = "any amount" if math.isinf(bound) else f"up to {measure.more(bound, loss)}"
        return f"could be worse by {far}"
    return f"no better by more than the margin of {measure.more(-verdict.margin, loss)}"


def _undecided(verdict: DepthResult, place: int, loss: float, measure: Measure) -> str:
    """For the depth that could be better than the lowest by most: by how much."""
    assert verdict.findings.reference is not None
    worst = verdict.findings.worst[verdict.findings.reference]
    if math.isinf(worst.bound):
        return "too few seeds to tell"
    if place != worst.other:
        return "no clear difference"
    return f"could be better by up to {measure.more(-worst.bound, loss)}"


def _caveats(kind: str, verdict: DepthResult, measure: Measure) -> list[str]:
    known = [
        _reason(verdict, measure) if kind == UNKNOWN else "",
        _seeds(kind, verdict),
        _within(kind, verdict, measure),
        *_beside_baseline(kind, verdict, measure),
        *conclusion.lost(verdict),
        *conclusion.ends_of_lists(verdict),
    ]
    return [f"{each[0].upper()}{each[1:]}." for each in known if each]


def _reason(verdict: DepthResult, measure: Measure) -> str:
    """Why the losses do not tell which depth is enough."""
    row = verdict.rows.loc[verdict.findings.reference]
    assert verdict.findings.reference is not None
    bound = verdict.findings.worst[verdict.findings.reference].bound
    far, margin = ("" if math.isinf(each) else measure.more(-each, float(row.iqm))
                   for each in (bound, verdict.margin))  # fmt: skip
    reason = conclusion.why(verdict, far, f"the margin of {margin}")
    return f"{conclusion.with_verb(verdict, row, 'have')} the lowest loss, but {reason}"


def _within(kind: str, verdict: DepthResult, measure: Measure) -> str:
    """If some depth is better than the one that is enough: says that the margin covers that."""
    ratios = verdict.findings.ratios.values()
    if kind != ENOUGH or not any(each.mean < 1 and each.p_value < LEVEL for each in ratios):
        return ""
    margin = measure.more(-verdict.margin, float(verdict.rows.iqm[verdict.findings.reference]))
    return f"no {verdict.axis.alternative} is better by more than the margin of {margin}"


def _seeds(kind: str, verdict: DepthResult) -> str:
    """The number of seeds, the look at which they decided, and the error rate."""
    counts = sorted({int(count) for count in verdict.rows.seeds})
    said = " to ".join(str(count) for count in dict.fromkeys((counts[0], counts[-1])))
    said += f" {plural(counts[-1], 'seed')}"
    if verdict.looks is not None:
        look, of = verdict.looks
        which = f"the {LOOKS[look - 1]} look" if look <= len(LOOKS) else f"look {look}"
        said += f", {'undecided' if kind == UNKNOWN else 'decided'} at {which} of {of}"
    if kind != ENOUGH:
        return said
    return f"{said}; error at most {100 * LEVEL:.0f} % over all {verdict.axis.alternatives}"


def _beside_baseline(kind: str, verdict: DepthResult, measure: Measure) -> list[str]:
    """The best baseline beside the answer's depth, and the margin as a share of its loss."""
    base, place = verdict.baseline, verdict.findings.reference
    if base.name == GUESS or place is None or kind == NOTHING:
        return []
    share = conclusion.margin_is(verdict)
    if kind == NO_BETTER:
        return [f"the margin is {share}"] if share else []
    row, axis = verdict.rows.loc[place], verdict.axis
    said = (
        f"the best baseline, {conclusion.the(base.name)}: {measure.words(base.loss)}; "
        f"{conclusion.with_verb(verdict, row, 'have')} {_beside(row, verdict, measure)}"
    )
    if failing := len(verdict.rows) - verdict.beaten_by:
        all_of = f"{len(verdict.rows)} {axis.alternatives}"
        said += f"; {failing} of {all_of} {verb(failing, 'do')} not beat it"
    return [said, *([f"the margin is {share}"] if share else [])]


def _beside(row: pd.Series, verdict: DepthResult, measure: Measure) -> str:
    """The loss of a depth beside the best baseline's: `12 % less loss`."""
    base = verdict.baseline.loss
    if not base > 0:  # Such as the last value of a constant: nothing is a multiple of 0.
        return f"more {measure.noun}"
    factor = measure.ratio(float(row.iqm) / base)
    return conclusion.times(factor, factor, factor, measure.noun)[0]


def _longer(verdict: DepthResult) -> dict[str, str]:
    """Longer lists for tuned settings whose best value is the first or last that was tried."""
    found = {}
    for column, tried in verdict.tuned.items():
        best = set(verdict.rows[column])
        values = [*tried]
        if len(values) > 1 and all(map(is_number, values)) and min(values) > 0:
            ordered = sorted(values)
            if ordered[-1] in best:
                values = [*values, _next(ordered[-2], ordered[-1])]
            if ordered[0] in best:
                values = [_next(ordered[1], ordered[0]), *values]
        if len(values) > len(tried):
            found[words(column).replace(" ", "-")] = ",".join(map(value_text, values))
    return found


def _next(before: float, last: float) -> float:
    """The next number of a geometric series; whole numbers stay whole."""
    found = last * last / before
    if isinstance(last, int):
        return round(found)
    return float(f"{found:.1g}")


def _plain(value: Any) -> Any:
    """A value as JSON can hold it."""
    return value.item() if hasattr(value, "item") else value
