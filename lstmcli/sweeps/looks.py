"""With `--seeds auto`: after how many seeds a sweep looks at its results, and when it stops.

Each look has a chance to be wrong, so each may spend a part of the 5 % only (Lan and DeMets 1983,
"Discrete sequential boundaries for clinical trials", Biometrika 70), and most is kept for the last,
which is then nearly as powerful as if it were the only one (O'Brien and Fleming 1979, Biometrics
35). The first look is as strict as one can be: all eight seeds must agree, 2^-8. There is none
after 5 seeds: the smallest p-value of a test of signs is 2^-5 there, so that a look which decides
anything spends 3 of the 5 %.

Ending without a claim costs nothing. So a sweep goes on only while some depth may still be found
enough: one that has little chance left, as the seeds so far suggest, is not waited for.
"""

from __future__ import annotations

import math

from lstmcli.sweeps.comparison import Comparison

LOOKS = (8, 12, 20)
"""After how many seeds the results are tested."""

LEVELS = (0.004, 0.012, 0.042)
"""The levels of each look's tests, found by simulation. They may add up to more than 5 %, as wrong
findings at different looks often coincide."""

HOPELESS = 0.02
"""With less chance than this to be found enough at the last look, a depth is not waited for."""


def level(look: int) -> float:
    """The level of a look's tests; looks count from 0."""
    return LEVELS[look]


def is_decided(findings: Comparison, look: int) -> bool:
    """Whether more seeds would not change the answer.

    It is known which depth is enough once no smaller one may be found to be; and that none is
    once none may be.

    Args:
        findings: of `compare_depths` at this look's level.
        look: which it is, from 0.
    """
    if look == len(LOOKS) - 1:
        return True
    smaller = (place for place in findings.worst if place < _first_enough(findings))
    return all(chance(findings.worst[place].at_this_look, look) < HOPELESS for place in smaller)


def _first_enough(findings: Comparison) -> float:
    return math.inf if findings.enough is None else findings.enough


def chance(p_value: float, look: int) -> float:
    """How likely a depth is found enough at the last look, if its losses go on as they were.

    The conditional power of a test whose statistic is a sum (Lan and Wittes 1988, "The B-value",
    Biometrics 44), under the trend that is seen.

    Args:
        p_value: its p-value at this look, not corrected for looks.
        look: which it is, from 0, but not the last.
    """
    from scipy import stats

    part = LOOKS[look] / LOOKS[-1]
    seen = stats.norm.isf(p_value)
    needed = stats.norm.isf(level(len(LOOKS) - 1))
    return float(stats.norm.sf((needed - seen / math.sqrt(part)) / math.sqrt(1 - part)))
