"""The sweep's statistics against worked examples from the literature and from R's manual."""

import numpy as np
import pandas as pd
import pytest

from lstmcli.sweep import statistics


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
    assert statistics.wilson_interval(solved, seeds) == pytest.approx((low, high), abs=5e-5)


def test_paired_test_is_wilcoxons_as_rs_manual_has_it():
    """Hollander and Wolfe 1973, depression data; R's `wilcox.test`: V = 40, p = 0.03906."""
    before = np.array([1.83, 0.50, 1.62, 2.48, 1.68, 1.88, 1.55, 3.06, 1.30])
    after = np.array([0.878, 0.647, 0.598, 2.05, 1.06, 1.29, 1.06, 3.14, 1.29])
    assert statistics.paired_p_value(before, after) == pytest.approx(0.03906, abs=5e-6)


def test_holm_is_rs_p_adjust():
    """`p.adjust(c(0.01, 0.04, 0.03, 0.005), "holm")` is 0.03 0.06 0.06 0.02."""
    assert statistics.holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])


def test_holm_leaves_out_what_was_not_tested():
    assert statistics.holm([np.nan, 0.02, 0.04]) == pytest.approx([np.nan, 0.04, 0.04], nan_ok=True)


def test_interquartile_mean_drops_a_quarter_at_either_end():
    assert statistics.interquartile_mean(np.array([100.0, 1, 2, 3, 4, 5, 6, -50])) == 3.5


def test_bootstrap_interval_covers_the_mean_as_often_as_it_says():
    """Of 200 samples of 20 from a normal distribution, about 95 % must cover its mean."""
    rng = np.random.default_rng(1)
    covered = 0
    for _ in range(200):
        low, high = statistics.bootstrap_interval(rng.normal(size=20))
        covered += low < 0 < high
    assert 0.85 < covered / 200 < 0.99


def trials(losses, solved, swept=None):
    """A table of trials from `{layers: losses}` and `{layers: solved}`."""
    rows = [
        {
            "layers": layers, "state_size": 4, "seed": seed, "parameters": 100 * layers,
            "solved": solved[layers][seed] if solved else None, "epochs_to_solve": 3,
            "test_loss": loss, "epoch_seconds": layers, **(swept or {}),
        }
        for layers, column in losses.items()
        for seed, loss in enumerate(column)
    ]  # fmt: skip
    return pd.DataFrame(rows)


def answer(*arguments, **named):
    table = trials(*arguments, **named)
    return statistics.answer(table, statistics.summarise(table, []))


LOW = [2.0, 2.1, 2.2, 2.3, 2.4, 2.5, 2.6, 2.7]
YES, NO = [True] * 8, [False] * 8


def test_the_least_depth_that_every_seed_solves_is_enough():
    mixed = [2.7, 2.6, 2.1, 2.2, 2.5, 2.4, 2.0, 2.31]
    text = answer({1: [9.0] * 8, 2: LOW, 3: mixed}, {1: NO, 2: YES, 3: YES})
    assert text.startswith("2 layers are enough: 8 of 8 seeds solve it; with 1 layer none of 8 do")
    assert "3 layers are no better (p = " in text
    assert text.endswith("1.5x slower")


def test_a_deeper_stack_that_is_better_is_said_to_be():
    text = answer({1: LOW, 2: [loss / 2 for loss in LOW]}, {1: YES, 2: YES})
    assert "2 layers reach a lower loss (p = 0.0078) and are 2.0x slower" in text


def test_the_answer_admits_that_the_data_cannot_tell():
    some = [True, False] * 4
    text = answer({1: LOW, 2: LOW}, {1: NO, 2: some})
    assert text.startswith("the data cannot tell")
    assert "4 of 8 seeds (95 % interval 22% to 78%)" in text


def test_the_answer_admits_that_no_depth_solves_it():
    text = answer({1: [9.0] * 8, 2: LOW}, {1: NO, 2: NO})
    assert text.startswith("no depth solves it: 2 layers come closest")


def test_without_a_floor_the_answer_goes_by_loss():
    assert answer({1: LOW, 2: [9.0] * 8}, None).startswith("1 layer does best")
    alike = [2.7, 2.1, 2.6, 2.2, 2.5, 2.4, 2.0, 2.29]
    assert "1 layer is enough" in answer({1: LOW, 2: alike}, None)


def test_p_values_compare_with_the_best_depth_holm_corrected():
    table = trials({1: LOW, 2: [x / 2 for x in LOW], 3: [9.0 + x for x in LOW]}, None)
    summary = statistics.summarise(table, [])
    assert np.isnan(summary.p_value[1])
    # Eight pairs, all of one sign: 2 / 2^8, times two comparisons.
    assert summary.p_value[[0, 2]].tolist() == pytest.approx([4 / 256, 4 / 256])


def test_a_failed_seed_counts_against_the_solve_rate():
    table = trials({1: [*LOW[:7], np.nan]}, {1: YES})
    row = statistics.summarise(table, []).iloc[0]
    assert (row.seeds, row.failed, row.solve_rate) == (8, 1, 7 / 8)
    assert row["mean"] == pytest.approx(np.mean(LOW[:7]))


def test_each_value_of_another_swept_setting_has_its_own_answer():
    easy = trials({1: LOW, 2: LOW}, {1: YES, 2: YES}, {"echo_step": 3})
    hard = trials({1: [9.0] * 8, 2: LOW}, {1: NO, 2: YES}, {"echo_step": 20})
    table = pd.concat([easy, hard], ignore_index=True)
    answers = statistics.answers(table, statistics.summarise(table, ["echo_step"]), ["echo_step"])
    assert answers[0].startswith("echo_step 3: 1 layer is enough")
    assert answers[1].startswith("echo_step 20: 2 layers are enough")
