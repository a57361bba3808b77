"""The sweep's statistics against worked examples from the literature and from R's manual."""

import re

import numpy as np
import pandas as pd
import pytest

import operating_figures
from drawn_trials import CHANCE, trials
from lstmcli.sweeps import comparison, conclusion, run, summary


@pytest.mark.parametrize(
    ("solved", "seeds", "low", "high"),
    [
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_solve_rate_interval_is_wilsons_as_newcombe_tabulates_it(solved, seeds, low, high):
    """Newcombe 1998, Statistics in Medicine 17, table I, method 3."""
    assert summary.wilson_interval(solved, seeds) == pytest.approx((low, high), abs=5e-5)


DARWIN = np.array([49, -67, 8, 16, 6, 23, 28, 41, 14, 29, 56, 24, 75, 60, -48.0])
"""Differences of maize plants in eighths of an inch: Fisher 1935, The Design of Experiments, 17."""


def test_the_upper_bound_is_where_fishers_sign_flip_test_turns():
    """Of the 2^15 ways to sign Darwin's differences, 863 reach their sum: p = 0.0263, one-sided.

    The bound at 5 % is the largest centre that the test does not refuse, from below.
    """
    signs = 1 - 2 * (np.arange(2**15)[:, None] >> np.arange(15) & 1)
    assert (signs @ DARWIN >= DARWIN.sum()).sum() == 863

    def p_value(centre):
        moved = DARWIN - centre
        return (signs @ moved <= moved.sum()).mean()

    bound = comparison.upper_bound(DARWIN)
    assert p_value(bound - 1e-9) > 0.05 >= p_value(bound + 1e-9)


def test_the_upper_bound_is_exceeded_as_seldom_as_it_says():
    """Also where the differences have no variance (Cauchy), and where there are many of them."""
    rng = np.random.default_rng(1)
    for draw in (rng.normal, rng.standard_cauchy):
        for seeds in (5, 8, 20):
            exceeded = [comparison.upper_bound(draw(size=seeds)) < 0 for _ in range(600)]
            assert np.mean(exceeded) < 0.05 + 0.02


def test_an_outlier_in_ones_favour_does_not_widen_the_bound():
    assert comparison.upper_bound(np.array([0.001] * 7 + [-0.5])) <= 0.001
    assert comparison.upper_bound(np.array([0.001] * 7 + [0.5])) > 0.1


def test_four_seeds_support_no_claim():
    assert comparison.upper_bound(np.full(4, -1.0)) == np.inf
    assert np.isnan(comparison.ratio(np.ones(4), np.full(4, 2.0)).p_value)
    assert comparison.upper_bound(np.full(5, -1.0)) == -1


def test_ratio_is_students_t_of_the_logarithms():
    """Student 1908, the extra sleep of ten patients: t = 4.0621, p = 0.00283 on 9 degrees."""
    extra = np.array([1.2, 2.4, 1.3, 1.3, 0.0, 1.0, 1.8, 0.8, 4.6, 1.4])
    found = comparison.ratio(np.exp(extra), np.ones(10))
    assert found.p_value == pytest.approx(0.00283, abs=5e-6)
    assert np.log([found.mean, found.low, found.high]) == pytest.approx(
        [1.58, 0.7001, 2.4599], abs=5e-5
    )


SLOW = pytest.mark.slow
SKEWED = ("log-normal", "solved or not")


@pytest.mark.parametrize("name", ["normal", *(pytest.param(n, marks=SLOW) for n in SKEWED)])
@pytest.mark.parametrize("seeds", [5, pytest.param(8, marks=SLOW)])
def test_equal_depths_are_seldom_said_to_differ(name, seeds):
    """At most 5 % by the design; 200 sweeps of five depths show no more than 8 % of it by luck."""
    distribution = operating_figures.DISTRIBUTIONS[name]
    assert operating_figures.false_claims(distribution, 5, seeds, 200) <= 0.08


@pytest.mark.parametrize("seeds", [5, pytest.param(8, marks=SLOW), pytest.param(20, marks=SLOW)])
def test_a_depth_is_called_enough_when_it_is_and_seldom_when_it_is_not(seeds):
    assert operating_figures.called_enough(0.5, 0.25, seeds, 300) <= 0.08
    assert operating_figures.called_enough(2, 1, seeds, 300) <= 0.08
    assert operating_figures.called_enough(0, 2, seeds, 100) >= {5: 0.6, 8: 0.9, 20: 0.99}[seeds]


@pytest.mark.parametrize("seeds", [8, pytest.param(20, marks=SLOW)])
@pytest.mark.parametrize("name", ["normal", pytest.param("log-normal", marks=SLOW)])
def test_over_five_depths_together_a_depth_is_seldom_called_enough_that_is_not(name, seeds):
    """At most 5 % by the design; the first that passes a test of its own is wrong in 11 %."""

    assert operating_figures.any_enough_at_the_margin(name, 5, seeds, 100) <= 0.08
    assert operating_figures.first_that_passes(name, 5, seeds, 100) >= 0.1


@pytest.mark.slow
def test_of_five_equal_depths_twenty_seeds_name_the_first_more_often_than_not():
    assert operating_figures.first_of_equals("normal", 5, 20, 200) >= 0.6


def test_of_two_depths_enough_is_what_fishers_test_says():
    losses = np.stack([DARWIN, np.zeros(15)], 1)
    for margin in (30, comparison.upper_bound(DARWIN), 40):
        found = comparison.compare_depths(comparison.Losses(losses, losses), margin)
        signs = 1 - 2 * (np.arange(2**15)[:, None] >> np.arange(15) & 1)
        moved = margin - DARWIN
        exact = (signs @ moved >= moved.sum()).mean()
        assert found.worst[0].p_value == pytest.approx(exact, abs=0.015)
        assert (found.enough == 0) == (exact <= 0.05) or abs(exact - 0.05) < 0.015


def test_a_depth_is_enough_from_its_bound_on_beside_all_others():
    rng = np.random.default_rng(3)
    losses = comparison.Losses(*[rng.normal(size=(9, 4))] * 2)
    alone = {}
    for place, worst in comparison.compare_depths(losses, 1.0).worst.items():
        for margin, enough in ((worst.bound - 1e-4, False), (worst.bound + 1e-4, True)):
            p_value = comparison.enough_p_values(losses, range(4), margin)[place]
            assert (p_value <= 0.05) == enough
        pairs = losses.reached[:, [place]] - np.delete(losses.reached, place, 1)
        alone[place] = max(map(comparison.upper_bound, pairs.T))
        assert worst.bound >= alone[place] - 1e-9


def missing(losses, *cut):
    """Losses of settings by their columns, of which some have no loss for some seeds."""
    losses = np.asarray(losses, float).copy()
    for place, seeds in cut:
        losses[seeds, place] = np.nan
    return comparison.Losses(losses, losses)


def test_a_depth_is_not_held_up_by_two_others_that_share_too_few_seeds():
    low, high = np.linspace(0, 0.01, 8), np.linspace(1, 1.01, 8)
    losses = missing(np.stack([high, low, high], 1), (0, slice(5, 8)), (2, slice(0, 3)))
    found = comparison.compare_depths(losses, 0.1)
    assert found.enough == 1
    assert found.worst[1].p_value == 2**-5
    assert found.worst[1].bound < -0.9


def test_a_bound_that_no_margin_reaches_is_infinite():
    same = missing(np.ones((10, 4)), (1, slice(5, 10)), (2, slice(0, 5)))
    found = comparison.compare_depths(same, 1e-3)
    assert found.enough is None
    assert np.isinf([worst.bound for worst in found.worst.values()]).all()


def test_holm_is_rs_p_adjust():
    """`p.adjust(c(0.01, 0.04, 0.03, 0.005), "holm")` is 0.03 0.06 0.06 0.02."""
    assert comparison.holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])


def test_holm_leaves_out_what_was_not_tested():
    assert comparison.holm([np.nan, 0.02, 0.04]) == pytest.approx([np.nan, 0.04, 0.04], nan_ok=True)


def test_interquartile_mean_drops_a_quarter_at_either_end():
    assert comparison.interquartile_mean(np.array([100.0, 1, 2, 3, 4, 5, 6, -50])) == 3.5


def test_bootstrap_interval_covers_the_mean_as_often_as_it_says():
    """Of 200 samples of 20 from a normal distribution, about 95 % must cover its mean."""
    rng = np.random.default_rng(1)
    covered = 0
    for _ in range(200):
        low, high = summary.bootstrap_interval(rng.normal(size=20))
        covered += low < 0 < high
    assert 0.85 < covered / 200 < 0.99


def judge(table, swept=(), margin=0.01, **more):
    return summary.summarize(table, list(swept), margin, **more)


def sentence(losses, **more):
    _, [verdict] = judge(trials(losses), **more)
    return conclusion.sentence(verdict)


LOW = [0.0020, 0.0021, 0.0022, 0.0023, 0.0024, 0.0025, 0.0026, 0.0027]
HIGH = [0.5, 0.52, 0.54, 0.56, 0.58, 0.5, 0.51, 0.52]


def test_the_least_depth_than_which_none_is_better_is_enough():
    mixed = [LOW[place] for place in (7, 6, 1, 2, 5, 4, 0, 3)]
    text = sentence({1: HIGH, 2: LOW, 3: mixed})
    assert text.startswith(
        "2 layers are enough: 8 of 8 seeds solve it (95 % interval 68 to 100 %), and no other "
        "depth is better by more than the margin of 0.007 nats"
    )
    assert "1 layer is worse: 226 times the loss" in text
    assert "no seed solves it" in text
    assert "3 layers are" not in text
    assert "times as long" not in text  # One measurement on a busy machine says nothing.


def test_a_depth_that_is_better_within_the_margin_is_said_to_be():
    rng = np.random.default_rng(0)
    halves = [loss / 2 * rng.uniform(0.9, 1.1) for loss in LOW]
    text = sentence({1: LOW, 2: halves})
    assert text.startswith("1 layer is enough")
    assert re.search(r"2 layers are better: \d\d % less loss \(4\d to 5\d %, p < 0.0001\)", text)


def test_every_depth_that_is_better_in_each_pair_shows():
    """The depth with the lowest mean must not hide another one."""
    rng = np.random.default_rng(0)
    two = [loss / 2 * rng.uniform(0.9, 1.1) for loss in LOW]
    three = [0.0001] * 7 + [0.0026]
    text = sentence({1: LOW, 2: two, 3: three})
    assert "2 layers are better" in text


def test_a_deeper_stack_that_is_worse_is_said_to_be():
    text = sentence({1: LOW, 2: [2 * loss for loss in LOW[1:]] + [0.0041]})
    assert "2 layers are worse: " in text


def test_the_depth_that_is_said_to_be_lowest_is_the_lowest_of_the_table():
    """By the mean, which one seed moves, it would be 2 layers, with twice the loss shown."""
    losses = {1: [0.10, 0.11, 0.105, 0.10, 0.66], 2: [0.20, 0.21, 0.20, 0.19, 0.20]}
    summary, [verdict] = judge(trials(losses))
    middles = [np.mean([0.10, 0.105, 0.11]), 0.20]
    assert list(summary.iqm) == pytest.approx(middles)
    assert verdict.findings.lowest == pytest.approx(middles[0])
    assert "1 layer has the lowest loss, with a test loss of 0.105, but 2" in conclusion.sentence(
        verdict
    )


def test_a_seed_that_learned_nothing_counts_as_a_guess_in_choice_table_and_sentence():
    table = trials({1: [0.1, 0.1, 0.1, 9, 9], 2: [0.3] * 5})
    lost = (table.layers == 1) & (table.seed == 3)
    table.loc[lost, ["test_loss", "gap", "solved"]] = None
    table.loc[lost, "status"] = "diverged"
    summary, [verdict] = judge(table)
    assert list(summary.iqm) == pytest.approx([(0.1 + 0.1 + CHANCE) / 3, 0.3])
    assert verdict.findings.lowest == pytest.approx(summary.iqm.min())
    assert summary["mean"][0] == pytest.approx((0.3 + 9) / 4)  # As `trials.csv` has them.


def test_the_answer_admits_that_the_data_cannot_tell():
    some = [0.002, 0.5] * 4
    text = sentence({1: HIGH, 2: some, 3: some[::-1]})
    assert text.startswith("the data cannot tell how many layers are enough: ")
    assert "4 of 8 seeds solve it (95 % interval 22 to 78 %)" in text
    assert "could be better by" in text


def test_three_seeds_are_said_to_be_too_few():
    text = sentence({1: HIGH[:3], 2: LOW[:3]})
    assert "the data cannot tell" in text
    assert "3 common seeds are too few for a claim, which needs 5" in text


def test_one_seed_gives_no_nan_and_no_best():
    text = sentence({1: HIGH[:1], 2: LOW[:1]})
    assert "nan" not in text
    assert "1 common seed is too few for a claim" in text
    assert "1 of 1 seed solves it" in text


def test_one_depth_is_not_compared():
    text = sentence({3: LOW})
    assert text.startswith("3 layers: 8 of 8 seeds solve it")
    assert "one depth alone does not say how many are needed" in text
    assert "no seed solves it" in sentence({3: HIGH})


def test_the_answer_admits_that_no_depth_solves_it():
    nearly = [loss + 0.0001 for loss in HIGH]
    assert sentence({1: HIGH, 2: nearly}).startswith(
        "no depth solves it: 1 layer does as well as any, with a test loss of "
    )


def test_a_depth_that_diverged_is_named_and_worth_a_guess():
    table = trials({1: LOW, 2: LOW})
    lost = table.layers == 2
    table.loc[lost, ["test_loss", "gap", "solved", "epoch_seconds"]] = None
    table.loc[lost, "status"] = "diverged"
    summary, [verdict] = judge(table)
    text = conclusion.sentence(verdict)
    assert text.startswith("1 layer is enough")
    assert "with 2 layers all 8 seeds diverged" in text
    assert summary.bound[1] == pytest.approx(CHANCE - LOW[0], abs=0.001)


@pytest.mark.parametrize("losses", [[np.nan] * 8, [1e28] * 8, [CHANCE - 0.001] * 8])
def test_what_is_no_better_than_a_guess_is_neither_enough_nor_lowest(losses):
    """Neither if a depth diverged while another ended far above chance."""
    table = trials({1: [5e37] * 8, 2: losses, 3: [CHANCE + 0.001] * 8})
    table["gap"] = table.test_loss
    table.loc[table.test_loss.isna(), ["status"]] = "diverged"
    summary, [verdict] = judge(table)
    text = conclusion.sentence(verdict)
    assert text.startswith("no depth is better than a uniform guess by more than the margin")
    assert "nan" not in text
    assert "times the loss" not in text
    assert not summary.enough.any()
    assert run.more_seeds(table, [verdict], 2) is None


def test_a_sweep_in_which_everything_diverged_says_so():
    table = trials({1: [np.nan] * 8, 2: [np.nan] * 8}, status="diverged", bayes_loss=None)
    text = conclusion.sentence(judge(table)[1][0])
    assert text.startswith("no depth is better than a uniform guess")
    assert "with 1 layer all 8 seeds diverged" in text
    assert "nan" not in text


def test_a_small_difference_is_not_called_one_time_the_loss():
    rng = np.random.default_rng(0)
    near = [loss * rng.uniform(1.02, 1.04) for loss in HIGH]
    assert re.search(r"2 layers are worse: 3(\.\d)? % more loss \(", sentence({1: HIGH, 2: near}))


def test_seeds_that_failed_at_either_depth_are_no_common_seeds():
    table = trials({1: HIGH[:5], 2: LOW[:5]})
    table.loc[(table.layers == 1) & (table.seed > 2), ["test_loss", "solved"]] = None
    table.loc[table.test_loss.isna(), "status"] = "failed"
    assert "3 common seeds are too few for a claim" in conclusion.sentence(judge(table)[1][0])


def test_depths_that_share_too_few_seeds_are_said_to_in_words_not_infinities():
    table = trials({1: LOW[::-1], 2: LOW, 3: LOW})
    for layers, gone in ((1, table.seed > 4), (3, table.seed < 3)):
        table.loc[(table.layers == layers) & gone, ["test_loss", "solved"]] = None
    table.loc[table.test_loss.isna(), "status"] = "failed"
    said = conclusion.sentence(judge(table)[1][0])
    assert said.startswith("2 layers are enough")
    assert "1 layer could be worse by any amount" in said


def test_epochs_to_solve_are_of_the_seeds_that_solve_it():
    summary, _ = judge(trials({1: [*LOW[:4], *HIGH[:4]], 2: HIGH}))
    assert summary.epochs_to_solve[0] == 3
    assert np.isnan(summary.epochs_to_solve[1])


def test_losses_far_above_chance_are_named():
    table = trials({1: LOW, 2: [78.0] * 8})
    table.loc[table.layers == 2, "status"] = "worse than chance"
    _, [verdict] = judge(table)
    assert "with 2 layers all 8 seeds ended worse than chance" in conclusion.sentence(verdict)


def test_without_a_floor_or_a_reference_the_margin_is_a_part_of_chance():
    table = trials({1: HIGH, 2: [loss - 0.001 for loss in HIGH]}, bayes_loss=None, solved=None)
    summary, [verdict] = judge(table, margin=0.05)
    assert verdict.margin == pytest.approx(0.05 * CHANCE)
    assert conclusion.sentence(verdict).startswith("1 layer is enough: the test loss is 0.52")
    assert summary.solve_rate.isna().all()


def test_stopped_trials_are_not_compared_by_loss_but_one_criterion_decides():
    """What was stopped at its line could have gone on: the others are held against the oracle."""
    stopped = {1: HIGH, 2: [0.0060 + loss / 10 for loss in LOW], 3: LOW}
    text = sentence(stopped, until_solved=True)
    assert text.startswith("2 layers are enough")
    assert "times the loss" not in text
    text = sentence({**stopped, 2: [0.0070, *LOW[1:]]}, until_solved=True)
    assert text.startswith("2 layers are enough")  # Seven thousandths, of a margin of 0.007.


def test_a_failed_seed_counts_against_the_solve_rate():
    table = trials({1: LOW})
    table.loc[7, ["test_loss", "solved"]] = None
    table.loc[7, "status"] = "failed"
    summary, [verdict] = judge(table)
    row = summary.iloc[0]
    assert (row.seeds, row.failed, row.solve_rate) == (8, 1, 7 / 8)
    assert row["mean"] == pytest.approx(np.mean(LOW[:7]))
    assert "with 1 layer 1 of 8 seeds failed" in conclusion.sentence(verdict)


def test_each_value_of_another_swept_setting_has_its_own_answer_and_rows():
    easy = trials({1: LOW, 2: LOW}, {"echo_step": 3})
    hard = trials({1: HIGH, 2: LOW}, {"echo_step": 20})
    summary, verdicts = judge(pd.concat([hard, easy], ignore_index=True), ["echo_step"])
    assert list(summary.echo_step) == [3, 3, 20, 20]
    assert conclusion.sentence(verdicts[0]).startswith("echo step 3: 1 layer is enough")
    assert conclusion.sentence(verdicts[1]).startswith("echo step 20: 2 layers are enough")


def test_swept_sizes_have_answers_of_their_own():
    small, large = trials({1: HIGH, 2: LOW}), trials({1: LOW, 2: LOW}, state_size=8)
    _, verdicts = judge(pd.concat([small, large], ignore_index=True), ["state_size"])
    assert conclusion.sentence(verdicts[0]).startswith("state size 4: 2 layers are enough")
    assert conclusion.sentence(verdicts[1]).startswith("state size 8: 1 layer is enough")


def test_table_and_sentence_give_the_same_p_value():
    rng = np.random.default_rng(0)
    table = trials({1: LOW, 2: [loss * rng.uniform(0.7, 0.99) for loss in LOW]})
    summary, [verdict] = judge(table)
    assert 1e-4 < summary.p_value[1] < 0.05
    assert f"p = {summary.p_value[1]:.2g}" in conclusion.sentence(verdict)


def test_more_seeds_are_asked_for_only_where_they_would_tell():
    rng = np.random.default_rng(2)

    def spread(seeds):
        return trials({n: list(0.5 + 0.01 * rng.normal(size=seeds)) for n in (1, 2)})

    _, [verdict] = judge(spread(8), margin=0.005)
    assert verdict.findings.enough is None
    needed = verdict.findings.seeds_needed
    assert 8 < needed < 500
    told = [judge(spread(int(needed)), margin=0.005)[1][0].findings.enough for _ in range(10)]
    assert sum(place is not None for place in told) >= 5
