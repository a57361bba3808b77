"""With `--seeds auto`: after how many seeds a sweep looks at its results, and when it stops.

Each look can be wrong, so each may spend only a part of the 5 % (Lan and DeMets 1983, "Discrete
sequential boundaries for clinical trials", Biometrika 70). Most is kept for the last look, which is
then nearly as powerful as if it were the only one (O'Brien and Fleming 1979, Biometrics 35). The
first look is as strict as possible: all eight seeds must agree, 2^-8. There is no look after 5
seeds: the smallest p-value of a sign test is 2^-5 there, so a look that could decide anything would
spend 3 of the 5 %.

Ending without a claim spends none of it. So a sweep continues only while some depth may still be
found to be enough. It does not wait for a depth with little chance left, judged by the seeds so
far.
"""

from __future__ import annotations

import math

from lstmcli.sweeps.comparison import Comparison

LOOKS = (8, 12, 20)
"""The numbers of seeds after which the results are tested."""

LEVELS = (0.004, 0.012, 0.042)
"""The level of each look's tests, found by simulation. They may add up to more than 5 %, as wrong
findings at different looks often coincide."""

HOPELESS = 0.02
"""A sweep does not wait for a depth with less chance than this to be enough at the last look."""


def level(look: int) -> float:
    """The level of a look's tests; looks are counted from 0."""
    return LEVELS[look]


def is_decided(findings: Comparison, look: int) -> bool:
    """Whether more seeds would probably not change the answer.

    If a depth is enough, this is the case once no smaller depth has a chance of being found enough;
    if none is, once no depth has a chance.

    Args:
        findings: the result of `compare_depths` at this look's level.
        look: index of the look, from 0.
    """
    if look == len(LOOKS) - 1:
        return True
    smaller = (place for place in findings.worst if place < _first_enough(findings))
    return all(chance(findings.worst[place].at_this_look, look) < HOPELESS for place in smaller)


def _first_enough(findings: Comparison) -> float:
    return math.inf if findings.enough is None else findings.enough


def chance(p_value: float, look: int) -> float:
    """The probability that a depth is found enough at the last look, if the trend continues.

    This is the conditional power of a test whose statistic is a sum (Lan and Wittes 1988, "The
    B-value", Biometrics 44), under the observed trend.

    Args:
        p_value: the depth's p-value at this look, not corrected for looks.
        look: index of the look, from 0; not the last.
    """
    from scipy import stats

    part = LOOKS[look] / LOOKS[-1]
    seen = stats.norm.isf(p_value)
    needed = stats.norm.isf(level(len(LOOKS) - 1))
    return float(stats.norm.sf((needed - seen / math.sqrt(part)) / math.sqrt(1 - part)))
