"""Compares depths by a few losses each, paired by seed: tests, and bounds on the excess.

Three questions need different tests.

*Could A be worse than B by more than a margin?* An outlier must not decide this: with Student's t,
a single seed with which B fails would widen the bound on A. So the bound is Hartigan's (1969,
"Using subsample values as typical values", JASA 64): if the differences are symmetric about a
centre, that centre is equally likely to lie above any number of the 2^n - 1 means of their subsets.
Counting these means gives exact bounds for any tails. This is Fisher's (1935) sign-flip test,
solved for the centre. There is no bound for fewer than five differences: 2^-4 is above 5 %.

*Is A enough?* It is if no other depth is better by the margin or more. "The first that passes" has
as many chances to be wrong as there are depths, so all are tested together. Each depth B in turn is
assumed to be the best, and the others are tested against it. The same sign flips are used for all
of them, with a step-down procedure from the clearest on (Romano and Wolf 2005, "Exact and
approximate stepdown methods for multiple hypothesis testing", JASA 100). In at most 5 % of sweeps,
any depth passes that is worse than B by the margin. A depth that passes against every B is enough
(an intersection-union test, Berger 1982). One B is truly the best, and the error rate holds against
that B. So it holds over all depths, without a correction for the number of B.

*Is there a difference at all?* A sweep has many pairs of depths. With a few seeds, a sign test
cannot become significant after a correction for all pairs. So this is the paired t test (Student
1908) of the logarithms: losses of one depth spread over orders of magnitude, and on this scale
their differences are close enough to symmetric. Where each seed either solves a task or does not,
four pairs can agree by chance with a small spread, and t would be significant. So five pairs are
required.

A sweep that tests several times, with more seeds each time, has several chances to be wrong. So
each test has its own level (`looks.py`), and the reported p-values and bounds are widened
accordingly, so that 5 % and 95 % hold over all looks (repeated intervals: Jennison and Turnbull
1989, JRSS B 51).

`tests/support/operating_figures.py` simulates how often all of this is wrong.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

LEVEL = 0.05
FEWEST = 5
"""The fewest pairs that allow a claim."""

LARGEST_EXACT = 16
"""Up to this many differences all subsets are used; above it, RANDOM_SUBSETS random ones."""

RANDOM_SUBSETS = 9_999
LARGEST_FLIPPED = 10
"""The same for the sign flips in tests of several depths."""

RANDOM_FLIPS = 1_999
SEARCH_STEPS = 20
"""Bisection steps for a bound: to one millionth."""

LARGEST_STEPS = 1e9
"""Where the search for a bound ends, in standard deviations of the losses."""

POWER = 0.8
"""The power that the estimated number of seeds should reach."""

SMALLEST_LOSS = 1e-12


@dataclass(frozen=True)
class Ratio:
    """The ratio of two settings' losses: geometric mean, 95 % interval, p-value."""

    mean: float
    low: float
    high: float
    p_value: float


class Losses(NamedTuple):
    """Test losses in nats per step, `[seeds, settings]`; `nan` where a trial has none.

    Attributes:
        reached: the losses at the end of the trials. The loss of a uniform guess replaces larger
            losses and those of trials that diverged.
        reachable: the lowest loss that a trial could have reached: the best predictor's if it was
            stopped after solving the task, otherwise the loss that it reached.
    """

    reached: Floats
    reachable: Floats


@dataclass(frozen=True)
class Worst:
    """By how much a setting could be worse than another.

    Attributes:
        place: index of the setting that could be worse.
        at_this_look: the p-value of losses this good if the setting is worse than the best by the
            margin or more, corrected for all settings.
        of: all losses, the indices of the settings with losses, the margin in nats, and the level.
    """

    place: int
    at_this_look: float
    of: tuple[Losses, Sequence[int], float, float]

    @property
    def p_value(self) -> float:
        """The p-value, corrected for all looks: at most `LEVEL` means enough."""
        return over_looks(self.at_this_look, self.of[3])

    @cached_property
    def other(self) -> int:
        """Index of the setting that could be better by most, in a comparison of these two alone."""
        return max(self._bounds, key=lambda other: self._bounds[other])

    @cached_property
    def pairs(self) -> int:
        """The number of seeds that both have."""
        return len(_differences(self.of[0], self.place, self.other))

    @cached_property
    def bound(self) -> float:
        """By how much it could be worse, in nats. It is enough for any larger margin."""
        losses, places, margin, level = self.of
        alone = self._bounds[self.other]
        if len(places) == 2 or math.isinf(alone):
            return alone
        return _bound_over_all(losses, self.place, places, margin, alone, level)

    @cached_property
    def _bounds(self) -> dict[int, float]:
        losses, places, _, level = self.of
        others = [place for place in places if place != self.place]
        return {each: upper_bound(_differences(losses, self.place, each), level) for each in others}


class Comparison(NamedTuple):
    """The comparison of some settings, by index, the smallest depth first.

    Attributes:
        worst: for each setting, by how much it could be worse than another.
        enough: the first setting that is not worse than any other by more than the margin; `None`
            if the data cannot tell.
        reference: the setting that the others are compared with: the one that is enough, or else
            the one with the lowest interquartile mean; `None` if there is no loss at all.
        ratios: the ratio of each setting's losses to the reference's. The p-values are corrected
            for all pairs of settings, so that the same losses may choose the reference.
        seeds_needed: about how many seeds would settle the answer; infinite if no number would.
        lowest: the lowest interquartile mean of a setting's losses; infinite if there is none.
    """

    worst: dict[int, Worst]
    enough: int | None
    reference: int | None
    ratios: dict[int, Ratio]
    seeds_needed: float
    lowest: float


def compare_depths(
    losses: Losses,
    margin: float,
    compare: bool = True,
    level: float = LEVEL,
    ordered: bool = True,
) -> Comparison:
    """Compares the losses of settings that differ in depth, or in another setting.

    Args:
        losses: the losses; `worst` and `enough` need those of at least two settings.
        margin: the margin in nats.
        compare: whether the losses may be compared at all.
        level: the share of all sweeps in which this look may be wrong (`looks.level`).
        ordered: whether the first setting that passes is the answer. If not, as for names, which
            have no order, it is the setting with the lowest loss of those that pass. All are tested
            together, so the error rate is the same.
    """
    places = [place for place, column in enumerate(losses.reached.T) if not np.isnan(column).all()]
    p_values = enough_p_values(losses, places, margin) if len(places) > 1 else {}
    of = (losses, places, margin, level)
    worst = {each: Worst(each, p, of) for each, p in p_values.items()}
    passing = [place for place in worst if worst[place].p_value <= LEVEL]
    means = {place: interquartile_mean(losses.reached[:, place]) for place in places}
    reference = min(means, key=lambda place: means[place], default=None)
    chosen = min(passing, key=lambda place: means[place], default=None)
    enough = next(iter(passing), None) if ordered else chosen
    if enough is not None:
        reference = enough
    ratios = _ratios(losses.reached, places, reference, level) if compare else {}
    needed = (_seeds_needed(losses, place, places, margin) for place in worst)
    return Comparison(
        worst,
        enough,
        reference,
        ratios,
        min(needed, default=math.inf),
        min(means.values(), default=math.inf),
    )


def over_looks(p_value: float, level: float) -> float:
    """Rescales a p-value that is to be compared with `level`, for a comparison with `LEVEL`."""
    return min(1.0, p_value * (LEVEL / level))


def interquartile_mean(losses: Floats) -> float:
    """The mean of the middle half: a quarter of the values is cut off at each end.

    Settings are chosen, reported and drawn by this statistic. `nan` is ignored.
    """
    from scipy import stats

    return float(stats.trim_mean(losses[~np.isnan(losses)], 0.25))


def _differences(losses: Losses, place: int, other: int) -> Floats:
    """How much worse a setting is than the other could have been, for their common seeds."""
    found = losses.reached[:, place] - losses.reachable[:, other]
    return found[~np.isnan(found)]


def enough_p_values(losses: Losses, places: Sequence[int], margin: float) -> dict[int, float]:
    """The p-values of losses this good if a setting is worse than the best by the margin.

    Args:
        losses: the losses of all settings.
        places: the indices of at least two settings with losses.
        margin: the margin in nats.

    Returns:
        The p-values by setting, corrected for all settings together.
    """
    found = dict.fromkeys(places, 0.0)
    for best in places:
        others = [place for place in places if place != best]
        against = margin - (losses.reached[:, others] - losses.reachable[:, [best]])
        for place, value in zip(others, _step_down(against), strict=True):
            found[place] = max(found[place], value)
    return found


def _step_down(differences: Floats) -> Floats:
    """One-sided p-values for centres of at most 0, corrected for all columns: `[columns]`.

    The statistic is a monotonic function of Student's t, as sign flips do not change the sum of
    squares. No claim is made on a column with too few differences, or with none above 0. Its
    p-value is 1, and the others are not corrected for it: so far below 0, it leaves no chance of a
    false claim (Hansen 2005, "A test for superior predictive ability", Journal of Business &
    Economic Statistics 23).

    Args:
        differences: `[seeds, columns]`; `nan` where a seed has none.
    """
    there = ~np.isnan(differences)
    known, counts = np.where(there, differences, 0.0), there.sum(0)
    scale = np.sqrt(np.maximum(counts * (known**2).sum(0), np.finfo(float).tiny))
    statistics = _flips(len(differences)) @ known / scale
    corrected, largest = np.ones(len(counts)), 0.0
    tested = (counts >= FEWEST) & (known > 0).any(0)
    order = [each for each in np.argsort(-statistics[0]) if tested[each]]
    for rank, column in enumerate(order):
        highest = statistics[:, order[rank:]].max(1)
        reached = highest >= statistics[0, column] - 1e-12
        largest = max(largest, float(reached.mean()))
        corrected[column] = largest
    return corrected


@cache
def _flips(count: int) -> Floats:
    """Signs for `count` differences, the first all plus: `[flips, count]`."""
    if count <= LARGEST_FLIPPED:
        minus = np.arange(2**count)[:, None] >> np.arange(count) & 1
    else:
        minus = np.random.default_rng(0).integers(0, 2, (RANDOM_FLIPS, count))
        minus = np.vstack([np.zeros_like(minus[:1]), minus])
    return np.where(minus, -1.0, 1.0)


def _bound_over_all(
    losses: Losses,
    place: int,
    places: Sequence[int],
    margin: float,
    alone: float,
    level: float,
) -> float:
    """The smallest margin for which a setting is enough, compared with all others.

    Args:
        losses: the losses of all settings.
        place: index of the setting.
        places: the indices of the settings with losses.
        margin: the sweep's margin, which the bound must lie on the correct side of.
        alone: the bound if only two settings were compared, below which the result cannot be.
        level: the level of the test.

    Returns:
        The margin; infinite if the settings have too few seeds in common for any margin.
    """

    def is_enough(margin: float) -> bool:
        return over_looks(enough_p_values(losses, places, margin)[place], level) <= LEVEL

    low, high = alone, math.inf
    if margin > alone:
        low, high = (alone, margin) if is_enough(margin) else (margin, math.inf)
    step = max(abs(low), float(np.nanstd(losses.reached)), SMALLEST_LOSS)
    largest = LARGEST_STEPS * step
    while math.isinf(high):
        if step > largest:
            return math.inf
        step *= 2
        low, high = (low, low + step) if is_enough(low + step) else (low + step, math.inf)
    for _ in range(SEARCH_STEPS):
        middle = (low + high) / 2
        low, high = (low, middle) if is_enough(middle) else (middle, high)
    return high


def _ratios(
    reached: Floats, places: Sequence[int], reference: int | None, level: float
) -> dict[int, Ratio]:
    pairs = list(itertools.combinations(places, 2))
    p_values = holm([_ratio(reached, *pair, level).p_value for pair in pairs])
    corrected = {frozenset(pair): value for pair, value in zip(pairs, p_values, strict=True)}
    return {
        place: replace(_ratio(reached, place, reference, level), p_value=corrected[pair])
        for place in places
        if reference is not None and (pair := frozenset({place, reference})) in corrected
    }


def _ratio(reached: Floats, place: int, other: int, level: float) -> Ratio:
    both = reached[:, [place, other]]
    own, others = both[~np.isnan(both).any(1)].T
    return ratio(own, others, level)


def _seeds_needed(losses: Losses, place: int, places: Sequence[int], margin: float) -> float:
    """About how many seeds would show that a setting is enough, if the trend continues."""
    found = [_differences(losses, place, other) for other in places if other != place]
    if any(len(differences) < 2 for differences in found):
        return math.inf
    return max(seeds_for_bound(differences, margin, len(found)) for differences in found)


def upper_bound(differences: Floats, level: float = LEVEL) -> float:
    """The one-sided upper bound on the centre of some differences; infinite if they are too few.

    Args:
        differences: `[seeds]`.
        level: how often the centre may exceed it.
    """
    count = len(differences)
    if level * 2**count < 1:
        return math.inf
    chosen = _subsets(count)
    means = np.sort(chosen @ differences / chosen.sum(1))
    return float(means[-math.floor(level * (len(means) + 1))])


@cache
def _subsets(count: int) -> npt.NDArray[np.int64]:
    """Which of `count` differences are in each nonempty subset: `[subsets, count]`."""
    if count <= LARGEST_EXACT:
        return np.arange(1, 2**count)[:, None] >> np.arange(count) & 1
    chosen = np.random.default_rng(0).integers(0, 2, (RANDOM_SUBSETS, count))
    return chosen[chosen.any(1)]


def ratio(losses: Floats, others: Floats, level: float = LEVEL) -> Ratio:
    """Compares losses with those of the same seeds in another setting; `nan` if they are too few.

    Args:
        losses: `[seeds]`.
        others: `[seeds]`.
        level: the share of all sweeps in which this look may be wrong.
    """
    from scipy import stats

    if len(losses) < FEWEST:
        return Ratio(math.nan, math.nan, math.nan, math.nan)
    logs = np.log(np.maximum(losses, SMALLEST_LOSS) / np.maximum(others, SMALLEST_LOSS))
    if np.ptp(logs) == 0:
        factor = float(np.exp(logs[0]))
        return Ratio(factor, factor, factor, 1.0 if factor == 1 else 0.0)
    found = stats.ttest_1samp(logs, 0)
    interval = found.confidence_interval(1 - level)
    with np.errstate(over="ignore"):
        mean, low, high = np.exp([logs.mean(), interval.low, interval.high])
    return Ratio(float(mean), float(low), float(high), over_looks(float(found.pvalue), level))


def seeds_for_bound(differences: Floats, margin: float, comparisons: int = 1) -> float:
    """About how many seeds bring the bound below a margin, four times out of five.

    This is the usual formula for the mean of normal differences. It is infinite if their mean is
    above the margin.

    Args:
        differences: at least two differences between two settings' losses.
        margin: the margin in nats.
        comparisons: the number of comparisons to correct for (Bonferroni).
    """
    from scipy import stats

    room = margin - float(differences.mean())
    if not room > 0:
        return math.inf
    quantiles = stats.norm.ppf([1 - LEVEL / comparisons, POWER]).sum()
    return max(FEWEST, float(quantiles * differences.std(ddof=1) / room) ** 2)


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's (1979) step-down correction: the k-th smallest of m is multiplied by m - k + 1.

    `nan` stays `nan` and is not counted.
    """
    values = np.asarray(p_values, float)
    order = [index for index in np.argsort(values) if not np.isnan(values[index])]
    corrected, largest = values.copy(), 0.0
    for rank, index in enumerate(order):
        largest = max(largest, min(1.0, (len(order) - rank) * values[index]))
        corrected[index] = largest
    return [float(value) for value in corrected]
