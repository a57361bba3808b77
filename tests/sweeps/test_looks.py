"""A sweep that looks as it goes on: its error over all looks, and when it has seen enough."""

import math

import numpy as np
import pytest

import operating_figures
import tuned_sweeps
from lstmcli.sweeps import comparison, looks
from lstmcli.sweeps.comparison import LEVEL, Losses

SLOW = pytest.mark.slow
rng = np.random.default_rng


def test_of_two_depths_all_looks_together_are_wrong_in_one_sweep_of_twenty():
    """With the program's own test of signs; 5,000 sweeps tell it to 0.6 %, two errors of it."""
    drawn = rng(1).normal(size=(5_000, looks.LOOKS[-1]))
    wrong = np.zeros(len(drawn), bool)
    for look, seeds in enumerate(looks.LOOKS):
        flips = comparison._flips(seeds)
        sums = np.concatenate([part @ flips.T for part in np.split(drawn[:, :seeds], 20)])
        reached = (sums >= sums[:, :1] - 1e-12).mean(1)
        wrong |= reached <= looks.level(look)
    assert 0.04 < wrong.mean() < 0.055


def test_each_look_can_decide_something_and_the_last_is_nearly_a_single_look():
    for look, seeds in enumerate(looks.LOOKS):
        assert 2**-seeds <= looks.level(look)
    assert 0.8 * LEVEL < looks.level(len(looks.LOOKS) - 1) < LEVEL


@pytest.mark.parametrize(
    "name", ["normal", *(pytest.param(n, marks=SLOW) for n in ("log-normal",))]
)
@pytest.mark.parametrize("depths", [2, pytest.param(5, marks=SLOW)])
def test_over_all_looks_a_depth_is_seldom_called_enough_that_is_not(name, depths):
    wrong, *_ = operating_figures.as_needed(name, depths, 1, 100)
    assert wrong <= 0.08


def test_where_the_truth_is_clear_the_first_look_decides():
    """All equal with a margin that is far wider than they spread; or one depth that is needed."""
    for worse in (0, 300):
        _, first, _, seeds = operating_figures.as_needed("normal", 3, worse, 20, margin=0.01)
        assert first == (worse == 0)
        assert seeds < 9


def drawn(*centres, seeds=8, spread=0.01):
    losses = np.array(centres) + spread * rng(4).normal(size=(seeds, len(centres)))
    return Losses(losses, losses)


def at_the_first_look(losses, margin):
    return comparison.compare_depths(losses, margin, level=looks.level(0))


def test_a_larger_depth_that_is_enough_ends_nothing_while_a_smaller_one_may_be():
    findings = at_the_first_look(drawn(0.515, 0.5, 0.9, spread=0.003), 0.02)
    assert findings.enough == 1
    assert findings.worst[0].p_value > LEVEL
    assert not looks.is_decided(findings, 0)
    assert looks.is_decided(at_the_first_look(drawn(0.6, 0.5, 0.9, spread=0.003), 0.02), 0)


def test_what_no_number_of_seeds_within_reach_would_tell_ends():
    """Three depths of which each solves what the next one does not."""
    losses = np.array([[0.1, 0.9, 0.5], [0.9, 0.5, 0.1], [0.5, 0.1, 0.9]])
    findings = at_the_first_look(Losses(*[np.resize(losses, (9, 3))] * 2), 0.0001)
    assert findings.enough is None
    assert all(0.3 < worst.at_this_look < 1 for worst in findings.worst.values())
    assert looks.is_decided(findings, 0)


def test_the_last_look_ends_whatever_it_finds():
    findings = comparison.compare_depths(drawn(0.515, 0.5, seeds=20), 0.02, level=looks.level(2))
    assert looks.is_decided(findings, 2)


def test_the_chance_that_is_left_is_that_of_walks_which_go_on_as_they_did():
    """Against sums of normal steps whose drift is what the first 8 of 20 showed."""
    z = 1.0
    drift, steps = z / math.sqrt(8), rng(0).normal(size=(200_000, 12))
    ends = (z * math.sqrt(8) + steps.sum(1) + 12 * drift) / math.sqrt(20)
    needed = 1.7279  # R: qnorm(0.042, lower.tail = FALSE)
    assert looks.level(2) == 0.042
    chance = looks.chance(0.158655, 0)  # R: pnorm(1, lower.tail = FALSE)
    assert chance == pytest.approx((ends > needed).mean(), abs=0.005)


def test_a_p_value_and_a_bound_at_a_look_hold_over_all_looks():
    losses = drawn(0.5, 0.5)
    alone = comparison.compare_depths(losses, 0.02)
    for place, strict in at_the_first_look(losses, 0.02).worst.items():
        assert strict.p_value == min(1, 12.5 * alone.worst[place].p_value)
        assert strict.bound > alone.worst[place].bound
        assert (strict.bound < 0.02) == (strict.p_value <= LEVEL)


def test_a_ratio_at_a_look_has_an_interval_that_holds_one_where_its_p_value_claims_nothing():
    for shift in (0.0005, 0.004, 0.02):
        found = at_the_first_look(drawn(0.5, 0.5 - shift), 1.0).ratios[1]
        assert (found.low <= 1 <= found.high) == (found.p_value > LEVEL)


def test_after_eight_seeds_of_which_one_is_lost_nothing_is_claimed():
    """Seven signs cannot be rarer than 2^-7, 0.8 %."""
    losses = drawn(0.5, 0.5)
    losses.reached[3, 0] = np.nan
    findings = at_the_first_look(losses, 1.0)
    assert findings.enough is None
    assert findings.worst[0].bound == math.inf


def test_a_depth_that_fails_with_every_seed_does_not_keep_the_first_look_from_deciding():
    """Its signs, all turned, would be as rare as those of a depth that is enough with every one."""
    findings = at_the_first_look(drawn(0.9, 0.8, 0.5, 0.5, spread=0.003), 0.03)
    assert findings.enough == 2
    assert findings.worst[2].at_this_look == 2**-8
    assert findings.worst[0].p_value == 1
    assert looks.is_decided(findings, 0)


@pytest.mark.parametrize("name", tuned_sweeps.TUNED)
def test_where_other_seeds_choose_a_rate_five_percent_are_wrong_of_the_depths_as_tuned(name):
    """Rates that are nearly alike add what a choice by few seeds may truly be worse by."""
    for seeds in (8, None):
        wrong = operating_figures.tuned(name, "4 other seeds choose", 0.95, 1000, seeds)
        assert max(wrong) <= (0.1 if name == "rates nearly alike" else 0.07)


def test_where_the_seeds_that_chose_judge_too_the_luckier_depth_is_enough_too_often():
    case, design = "four alike, one by itself", "the first 8 choose"
    assert operating_figures.tuned(case, design, 0.95, 1000, 8)[1] > 0.08
    assert max(operating_figures.tuned("rates alike", design, 0.95, 1000, 8)) < 0.05


def test_the_tests_of_tuned_depths_are_the_programs():
    rng = np.random.default_rng(0)
    wrong = []
    for _ in range(60):
        drawn = tuned_sweeps.tuned_losses(rng, "rates alike", "4 other seeds choose", 0.95, 8)
        worse = drawn + np.array([[0.001], [0]])
        pair, found = operating_figures.judge(drawn, 0.001), operating_figures.judge(worse, 0.001)
        differ = any(ratio.p_value <= LEVEL for ratio in pair.ratios.values())
        wrong.append((differ, found.enough == 0))
    same = operating_figures.tuned("rates alike", "4 other seeds choose", 0.95, 60, 8)
    assert tuple(np.mean(wrong, 0)) == same
