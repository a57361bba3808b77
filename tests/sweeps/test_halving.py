"""Which candidates a depth goes on with, and which one it is judged by."""

import numpy as np
import pytest

import tuned_sweeps
from lstmcli.sweeps import halving

GUESS = 0.7


def spread(centre, seeds=8, width=0.01):
    return centre + width * np.linspace(-1, 1, seeds)


def test_what_is_clearly_behind_is_given_up_and_two_stay():
    losses = {rate: spread(loss) for rate, loss in ((0.03, 0.6), (0.1, 0.3), (0.3, 0.2), (1, 0.5))}
    assert halving.survivors(losses, GUESS) == [0.1, 0.3]


def test_what_is_behind_but_by_less_than_seeds_differ_stays():
    losses = {rate: np.roll(spread(0.3, width=0.1), 3 * rate) + rate / 200 for rate in range(4)}
    assert halving.survivors(losses, GUESS) == [0, 1, 2, 3]


def test_a_candidate_that_still_falls_stays_beside_those_that_have_stopped():
    losses = {"slow": spread(0.4), "fast": spread(0.2), "flat": spread(0.25), "bad": spread(0.6)}
    assert "slow" not in halving.survivors(losses, GUESS)
    earlier = losses | {"slow": spread(0.65)}
    assert halving.survivors(losses, GUESS, earlier) == ["slow", "fast"]


def test_a_candidate_that_falls_fast_from_high_does_not_push_out_what_is_as_good_at_the_end():
    """Echo step 3, two layers of four units, as trained: the largest rate is chosen at the end."""
    earlier = {0.03: 0.0053, 0.1: 0.0011, 0.3: 0.0007, 1: 0.0008}
    losses = {0.03: 0.0022, 0.1: 0.0007, 0.3: 0.0004, 1: 0.0006}
    seeds = np.exp(np.linspace(-1, 1, 8))
    drawn = [
        {rate: loss * np.roll(seeds, 3 * place) for place, (rate, loss) in enumerate(each.items())}
        for each in (losses, earlier)
    ]
    assert 1 in halving.survivors(drawn[0], GUESS, drawn[1])


def test_what_is_lowest_now_stays_whatever_the_others_promise():
    losses = {"now": spread(0.2), "one": spread(0.3), "two": spread(0.3), "bad": spread(0.7)}
    earlier = losses | {"one": spread(0.6), "two": spread(0.6)}
    assert halving.survivors(losses, GUESS, earlier) == ["now", "one", "two"]


def test_diverged_candidates_go_first_but_not_the_last_two_that_have_not():
    gone, some = np.full(8, np.nan), np.array([0.1, np.inf, 0.1, 0.1, 0.1, 0.1, np.nan, 0.1])
    losses = {"a": gone, "b": spread(0.69), "c": np.full(8, np.inf), "d": spread(0.2)}
    assert halving.survivors(losses, GUESS) == ["b", "d"]
    assert halving.survivors({"a": gone, "b": some}, GUESS) == ["b"]
    assert halving.survivors({"a": gone, "b": gone}, GUESS) == ["a"]


@pytest.mark.parametrize("lost", [np.nan, np.inf, 1e30])
def test_a_seed_that_diverged_counts_as_a_guess(lost):
    losses = {"risky": np.array([*[0.1] * 6, lost, lost]), "safe": np.full(8, 0.24)}
    assert halving.choose(losses, GUESS) == "safe"
    assert halving.choose(losses, 0.6) == "risky"


def test_ties_go_by_the_order_given():
    assert halving.choose({"b": spread(0.3), "a": spread(0.3)}, GUESS) == "b"
    same = {rate: np.full(5, GUESS) for rate in (3, 1, 2)}
    assert halving.survivors(same, GUESS) == [3, 1, 2]


def test_one_seed_is_taken_at_its_word():
    losses = {rate: np.array([loss]) for rate, loss in enumerate((0.4, 0.2, 0.3))}
    assert halving.survivors(losses, GUESS) == [1, 2]


@pytest.mark.parametrize("seeds", [4, 8])
def test_halving_keeps_the_choice_of_the_full_grid(seeds):
    """In at least 95 of 100 sweeps by the design, for three quarters of the price."""
    same, cost = tuned_sweeps.halved(0.25, seeds, 400)
    assert same >= 0.95
    assert cost <= 0.76
