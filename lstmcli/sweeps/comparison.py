"""Comparing two depths by a few losses each, paired by seed: tests, and bounds on what is lost.

Two questions need two devices.

*Could A be worse than B by more than a margin?* Here an outlier must not decide: one seed that B
fails would, by Student's t, widen the bound against A. So the bound is Hartigan's (1969, "Using
subsample values as typical values", JASA 64): if the differences are symmetric about a centre, it
lies above each mean of a subset of them with the same chance, so that counting the 2^n - 1 means
gives exact bounds whatever the tails. It is Fisher's (1935) sign-flip test, solved for the centre.
No bound exists for fewer than five differences: 2^-4 is above 5 %.

*Is there a difference at all?* A sweep has many pairs of depths, and a count of signs cannot become
significant with a handful of seeds once all pairs are corrected for. So it is the paired t test
(Student 1908), of the logarithms: losses of one depth spread over orders of magnitude, and on this
scale their differences are near enough to symmetric. Where seeds either solve a task or do not,
four pairs can agree by luck while their spread is small, and t would believe them: so from five
pairs on. `tests/support/operating_figures.py` simulates how often both devices are wrong.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

LEVEL = 0.05
FEWEST = 5
"""Pairs below which nothing is claimed."""

LARGEST_EXACT = 16
"""Differences up to which all subsets count; above it, RANDOM_SUBSETS drawn at random."""

RANDOM_SUBSETS = 9_999
POWER_QUANTILES = 1.6449 + 0.8416
"""Standard normal quantiles of 1 - LEVEL and of a power of 80 %."""

SMALLEST_LOSS = 1e-12


@dataclass(frozen=True)
class Ratio:
    """How many times one setting's loss is another's: geometric mean, 95 % interval, p-value."""

    mean: float
    low: float
    high: float
    p_value: float


class Losses(NamedTuple):
    """Test losses in nats per step, `[seeds, settings]`; `nan` where a trial has none.

    Attributes:
        reached: as the trials ended; one that diverged, or ended worse than that, is worth a
            uniform guess.
        reachable: the best that a trial could have reached: the oracle's loss if it was stopped
            once it had solved the task, and what it reached otherwise.
    """

    reached: Floats
    reachable: Floats


class Worst(NamedTuple):
    """The setting than which another could be worse by most.

    Attributes:
        other: its place.
        bound: by how much at most, in nats: the one-sided 95 % bound.
        pairs: seeds that both have.
    """

    other: int
    bound: float
    pairs: int


class Comparison(NamedTuple):
    """What the losses of some settings say; settings by their places, the smallest depth first.

    Attributes:
        worst: the setting that each could be worse than by most.
        enough: the first that is worse than none by more than the margin; `None` if the data cannot
            tell.
        reference: which the others are compared with: the one that is enough, or else the one with
            the lowest interquartile mean; `None` if there is no loss at all.
        ratios: the losses of each against the reference's. The p-values are corrected for all pairs
            of settings, so it does not matter that the same losses choose the reference.
        seeds_needed: about how many would tell; infinite if no number would.
        lowest: the lowest interquartile mean of a setting's losses; infinite if there is none.
    """

    worst: dict[int, Worst]
    enough: int | None
    reference: int | None
    ratios: dict[int, Ratio]
    seeds_needed: float
    lowest: float


def compare_depths(losses: Losses, margin: float, compare: bool = True) -> Comparison:
    """Weighs the losses of settings that differ in depth.

    Args:
        losses: of two settings at least, for `worst` and `enough` to say anything.
        margin: in nats.
        compare: whether the losses may be compared at all.
    """
    places = [place for place, column in enumerate(losses.reached.T) if not np.isnan(column).all()]
    worst = {place: _worst(losses, place, places) for place in places if len(places) > 1}
    enough = next((place for place in worst if worst[place].bound < margin), None)
    means = {place: interquartile_mean(losses.reached[:, place]) for place in places}
    reference = min(means, key=lambda place: means[place], default=None)
    if enough is not None:
        reference = enough
    ratios = _ratios(losses.reached, places, reference) if compare else {}
    needed = (_seeds_needed(losses, place, places, margin) for place in worst)
    return Comparison(
        worst,
        enough,
        reference,
        ratios,
        min(needed, default=math.inf),
        min(means.values(), default=math.inf),
    )


def interquartile_mean(losses: Floats) -> float:
    """The mean of the middle half: a quarter of the values is cut off at either end.

    It is the one statistic by which a setting is chosen, quoted and drawn. `nan` counts for
    nothing.
    """
    from scipy import stats

    return float(stats.trim_mean(losses[~np.isnan(losses)], 0.25))


def _differences(losses: Losses, place: int, other: int) -> Floats:
    """How much worse a setting is than another could be, for the seeds that both have."""
    found = losses.reached[:, place] - losses.reachable[:, other]
    return found[~np.isnan(found)]


def _worst(losses: Losses, place: int, places: Sequence[int]) -> Worst:
    found = [
        Worst(other, upper_bound(differences), len(differences))
        for other in places
        if other != place
        for differences in [_differences(losses, place, other)]
    ]
    return max(found, key=lambda each: each.bound)


def _ratios(reached: Floats, places: Sequence[int], reference: int | None) -> dict[int, Ratio]:
    pairs = list(itertools.combinations(places, 2))
    p_values = holm([_ratio(reached, *pair).p_value for pair in pairs])
    corrected = {frozenset(pair): value for pair, value in zip(pairs, p_values, strict=True)}
    return {
        place: replace(_ratio(reached, place, reference), p_value=corrected[pair])
        for place in places
        if reference is not None and (pair := frozenset({place, reference})) in corrected
    }


def _ratio(reached: Floats, place: int, other: int) -> Ratio:
    both = reached[:, [place, other]]
    return ratio(*both[~np.isnan(both).any(1)].T)


def _seeds_needed(losses: Losses, place: int, places: Sequence[int], margin: float) -> float:
    """About how many seeds would show a setting to be enough, if it goes on like this."""
    found = [_differences(losses, place, other) for other in places if other != place]
    if any(len(differences) < 2 for differences in found):
        return math.inf
    return max(seeds_for_bound(differences, margin) for differences in found)


def upper_bound(differences: Floats) -> float:
    """The one-sided 95 % upper bound of the centre of some differences; infinite for too few."""
    count = len(differences)
    if count < FEWEST:
        return math.inf
    chosen = _subsets(count)
    means = np.sort(chosen @ differences / chosen.sum(1))
    return float(means[-math.floor(LEVEL * (len(means) + 1))])


@cache
def _subsets(count: int) -> npt.NDArray[np.int64]:
    """Which of `count` differences are in each subset but the empty one: `[subsets, count]`."""
    if count <= LARGEST_EXACT:
        return np.arange(1, 2**count)[:, None] >> np.arange(count) & 1
    chosen = np.random.default_rng(0).integers(0, 2, (RANDOM_SUBSETS, count))
    return chosen[chosen.any(1)]


def ratio(losses: Floats, others: Floats) -> Ratio:
    """Compares losses with those of the same seeds in another setting; `nan` for too few."""
    from scipy import stats

    if len(losses) < FEWEST:
        return Ratio(math.nan, math.nan, math.nan, math.nan)
    logs = np.log(np.maximum(losses, SMALLEST_LOSS) / np.maximum(others, SMALLEST_LOSS))
    if np.ptp(logs) == 0:
        factor = float(np.exp(logs[0]))
        return Ratio(factor, factor, factor, 1.0 if factor == 1 else 0.0)
    found = stats.ttest_1samp(logs, 0)
    interval = found.confidence_interval(1 - LEVEL)
    with np.errstate(over="ignore"):
        mean, low, high = np.exp([logs.mean(), interval.low, interval.high])
    return Ratio(float(mean), float(low), float(high), float(found.pvalue))


def seeds_for_bound(differences: Floats, margin: float) -> float:
    """About how many seeds bring the bound below a margin, four times out of five.

    The usual formula for the mean of normal differences; infinite if theirs is above the margin.
    """
    room = margin - float(differences.mean())
    if not room > 0:
        return math.inf
    return max(FEWEST, (POWER_QUANTILES * float(differences.std(ddof=1)) / room) ** 2)


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's (1979) step-down correction: the k-th smallest of m is multiplied by m - k + 1.

    `nan` stays, and counts for nothing.
    """
    values = np.asarray(p_values, float)
    order = [index for index in np.argsort(values) if not np.isnan(values[index])]
    corrected, largest = values.copy(), 0.0
    for rank, index in enumerate(order):
        largest = max(largest, min(1.0, (len(order) - rank) * values[index]))
        corrected[index] = largest
    return [float(value) for value in corrected]
