"""What layers remember: delay lines, channels and reservoirs whose memory is known."""

import numpy as np
import pytest

import reference
from lstmcli.config import Config
from lstmcli.data.series import Series
from lstmcli.probes import memory, readout, summary
from lstmcli.probes.memory import recovered
from lstmcli.probes.readout import CHOOSE, FIT, JUDGE, ReadoutSplit, Targets
from probing import delay_line, run_of, subject

STEPS, ROWS = 12_000, 5


def asked(values, classes, lags, begins=None):
    """What is to be read out of states beside `values` `[steps, B]`."""
    begins = np.zeros(values.shape, np.bool_) if begins is None else begins
    begins[0] = True
    places = ReadoutSplit.of(begins, np.zeros(values.shape, np.bool_))
    return [memory._asked(values, classes, block) for block in places.blocks(lags)]


def known(states, values, classes, lags):
    return [each.memory for each in recovered(states, asked(values, classes, lags))]


def drawn_symbols(classes, seed=0):
    return np.random.default_rng(seed).integers(0, classes, (STEPS, ROWS))


# --- the readout


@pytest.mark.parametrize("strength", [1e-8, 1e-2, 1.0])
def test_ridge_solves_the_normal_equations(strength, monkeypatch):
    rng = np.random.default_rng(0)
    states = rng.normal(size=(300, 6)) @ rng.normal(size=(6, 6))
    values = states[:, :3] + rng.normal(size=(300, 3))
    monkeypatch.setattr(readout, "STRENGTHS", np.array([strength, np.inf]))
    fit, choose = readout.standardised(states, states)
    found = readout.fit_ridge(fit, Targets(values, 0), choose, Targets(values, 0))
    assert (found.strengths == strength).all()
    # As least squares with further rows sqrt(n strength) I, which have targets of 0.
    below = np.sqrt(300 * strength) * np.eye(6)
    right = np.vstack([values - values.mean(0), np.zeros((6, 3))])
    expected = np.linalg.lstsq(np.vstack([fit, below]), right, rcond=None)[0]
    assert np.allclose(found.weights[:, :, 0], expected)
    assert np.allclose(found.means[:, 0], values.mean(0))


def test_the_strength_is_the_one_with_the_least_error_on_other_steps():
    rng = np.random.default_rng(1)
    weights = rng.normal(size=30)
    states, other = rng.normal(size=(40, 30)), rng.normal(size=(500, 30))
    values, beside = (
        (each @ weights + 5 * rng.normal(size=len(each)))[:, None] for each in (states, other)
    )
    fit, choose = readout.standardised(states, other)
    found = readout.fit_ridge(fit, Targets(values, 0), choose, Targets(beside, 0))
    errors = []
    for strength in readout.STRENGTHS[:-1]:
        solved = np.linalg.solve(fit.T @ fit + 40 * strength * np.eye(30), fit.T @ values)
        errors.append(np.square(beside - values.mean() - choose @ solved).mean())
    assert found.strengths[0] == readout.STRENGTHS[np.argmin(errors)] > 1e-3


@pytest.mark.parametrize("classes", [2, 5])
def test_one_hot_products_are_those_of_a_dense_matrix(classes):
    rng = np.random.default_rng(2)
    labels, states = rng.integers(0, classes, (50, 3)), rng.normal(size=(50, 4))
    targets, dense = Targets(labels, classes), np.eye(classes)[labels]
    assert np.allclose(targets.cross(states), np.einsum("ns,nkv->skv", states, dense) / 50)
    means = rng.random((3, classes))
    assert np.allclose(targets.spread(means), np.square(dense - means).sum(2).mean(0))


def test_r_squared_of_a_number_is_one_minus_the_share_of_the_noise():
    rng = np.random.default_rng(3)
    values, noise = rng.normal(size=(2, STEPS, ROWS))
    states = np.stack([values + noise / 2, rng.normal(size=(STEPS, ROWS))], -1)
    [here, before] = known(states, values, 0, 1)
    assert here == pytest.approx(1 / 1.25, abs=0.02)
    assert before < 0.005


@pytest.mark.parametrize("flipped", [0.0, 0.05, 0.2, 0.5])
def test_bits_of_a_symmetric_channel_are_its_capacity(flipped):
    sent = drawn_symbols(2)
    swapped = np.random.default_rng(1).random(sent.shape) < flipped
    [found] = known((sent ^ swapped)[..., None], sent, 2, 0)
    shares = np.array([flipped, 1 - flipped])
    entropy = -(shares * np.log2(np.where(shares > 0, shares, 1))).sum()
    assert found == pytest.approx(1 - entropy, abs=0.03)


def test_bits_of_an_unfair_bit_through_an_asymmetric_channel_are_the_mutual_information():
    rng = np.random.default_rng(4)
    sent = (rng.random((STEPS, ROWS)) < 0.2).astype(int)
    got = sent & (rng.random(sent.shape) < 0.6)  # Pearl's noisy and: a 1 is lost sometimes.
    [found] = known(got[..., None], sent, 2, 0)
    joint = np.array([[0.8, 0.0], [0.2 * 0.4, 0.2 * 0.6]])
    product = joint.sum(1, keepdims=True) * joint.sum(0)
    there = joint > 0
    assert found == pytest.approx(
        (joint[there] * np.log2(joint[there] / product[there])).sum(), abs=0.02
    )


def test_bits_of_many_symbols_are_those_of_a_noisy_typewriter():
    sent = drawn_symbols(6)
    got = (sent + np.random.default_rng(1).integers(0, 2, sent.shape)) % 6
    [found] = known(np.eye(6)[got], sent, 6, 0)
    assert found == pytest.approx(np.log2(6) - 1, abs=0.03)  # Shannon 1948.


def test_nothing_is_known_of_what_a_state_has_nothing_to_do_with():
    states = np.random.default_rng(5).normal(size=(STEPS, ROWS, 30))
    assert sum(known(states, drawn_symbols(2), 2, 40)) < 0.02
    assert sum(known(states, drawn_symbols(8), 8, 10)) < 0.02


def test_calibration_undoes_a_scale_and_an_offset():
    rng = np.random.default_rng(6)
    labels = rng.integers(0, 3, 5000)
    logits = rng.normal(size=(3, 5000)) + 2 * np.eye(3)[:, labels]  # q = softmax(2 logits).
    slope, offsets = readout.calibrate(logits / 7 + np.array([[1.0], [0], [-2]]), labels)
    assert slope / 7 == pytest.approx(2, rel=0.1)
    assert offsets - offsets[1] == pytest.approx([-slope, 0, 2 * slope], abs=0.3)


# --- which steps


def test_no_input_is_in_two_parts():
    begins = np.zeros((100, 3), np.bool_)
    begins[0] = True
    places = ReadoutSplit.of(begins, np.zeros((100, 3), np.bool_))
    [block] = list(places.blocks(3))
    touched = [
        {int(place) - 3 * lag for place in part for lag in block.lags} for part in block.parts
    ]
    fit, choose, judge = touched
    assert not fit & (choose | judge)
    assert not choose & judge
    assert [len(part) // 3 for part in block.parts] == [57, 17, 17]  # 60, 20, 20, but 3 each.


def test_no_lag_leaks_across_the_beginning_of_a_sequence():
    steps, rows = 600, 4
    begins = np.zeros((steps, rows), np.bool_)
    begins[::6] = True
    symbols = np.random.default_rng(7).integers(0, 2, (steps, rows))
    states = np.stack([np.roll(symbols, lag, 0) for lag in range(9)], -1)  # Knows all, beyond too.
    found = list(recovered(states, asked(symbols, 2, 8, begins)))
    assert [each.memory > 0.95 for each in found] == [True] * 6 + [False] * 3
    places = ReadoutSplit.of(begins, np.zeros((steps, rows), np.bool_))
    for block in places.blocks(8):
        for part in block.parts:
            assert (part // rows % 6 >= max(block.lags)).all()
    sequences = {FIT: set(), CHOOSE: set(), JUDGE: set()}
    for (step, row), part in np.ndenumerate(places.part):
        sequences[part].add((step // 6, row))
    assert sum(map(len, sequences.values())) == 400  # Each is in one part, whole.


# --- networks


def test_a_delay_line_has_exactly_the_memory_that_it_was_built_with():
    found = subject(delay_line(6), layers=1, state_size=6, series_length=20_000)
    table = memory.memory(found, 12)
    trained = table[table.network == "trained"]
    for state in ("h", "c"):
        line = trained[trained.state == state].memory.to_numpy()
        assert line[:6] == pytest.approx(1, abs=0.01)
        assert line[6:] == pytest.approx(0, abs=0.01)
    [capacity] = summary.capacities(trained[trained.state == "h"]).capacity
    assert capacity == pytest.approx(6, abs=0.03)


def test_states_are_those_of_numpy_one_step_at_a_time():
    config = Config.build(layers=2, state_size=3, replicas=2)
    rng = np.random.default_rng(8)
    from probing import drawn

    weights = drawn(config, 1, 2)
    found = subject(weights, layers=2, state_size=3, replicas=2, series_length=600)
    runs = {each.replica: each for each in found.runs(["trained"])}
    for replica in range(2):
        inputs = found.arrays[replica]["numbers"].astype(np.float64)
        one = {name: array[replica] for name, array in weights.items()}
        state = np.zeros((2, 2, 5, 3))
        for step in rng.permutation(len(inputs))[:5]:
            _, expected = reference.forward(one, state, inputs[: step + 1], 2)
            assert np.allclose(runs[replica].states[step], expected, atol=1e-5)


def test_an_untrained_network_remembers_little_beyond_a_few_lags():
    found = subject(delay_line(4), layers=1, series_length=20_000)
    table = memory.memory(found, 30)
    line = table[(table.network == "untrained") & (table.state == "h")].memory.to_numpy()
    assert line[0] > 0.5
    assert (line[5:] < 0.2).all()
    assert (line[20:] < 0.05).all()


@pytest.mark.parametrize("length", [3_000, 20_000])
def test_a_reservoirs_capacity_stays_below_its_units(length):
    """Jaeger 2001, proposition 2: for independent inputs; judged on the fitted steps it would not.

    The inputs are so small that tanh is nearly linear, where the bound is almost reached.
    """
    rng, units = np.random.default_rng(9), 10
    recurrent = rng.normal(size=(units, units))
    recurrent *= 0.9 / np.abs(np.linalg.eigvals(recurrent)).max()
    weights, values = rng.uniform(-0.1, 0.1, units), rng.uniform(-1, 1, (length // 5, 5))
    state, states = np.zeros((5, units)), []
    for step in values:
        state = np.tanh(step[:, None] * weights + state @ recurrent.T)
        states.append(state)
    capacity = sum(known(np.stack(states), values, 0, 60))
    assert 0.5 * units < capacity <= units


def test_more_units_than_steps_find_no_memory_in_noise():
    rng = np.random.default_rng(10)
    states, values = rng.normal(size=(400, 1, 500)), rng.normal(size=(400, 1))
    assert sum(known(states, values, 0, 2)) < 0.3  # Fitted on the same steps it would be 3.


def test_a_unit_that_never_moves_counts_for_nothing():
    values = np.random.default_rng(11).normal(size=(STEPS, ROWS))
    states = np.stack([values, np.full_like(values, 0.3)], -1)
    assert known(states, values, 0, 0) == pytest.approx([1], abs=1e-6)


# --- inputs


def test_symbols_numbers_and_bits_are_told_apart():
    from lstmcli.probes.networks import inputs_of

    bits_of_echo = subject(delay_line(2), layers=1, state_size=2, series_length=600)
    assert [each.classes for each in inputs_of(bits_of_echo)] == [2]
    wide = delay_line(2, features=4)
    symbols = subject(wide, layers=1, state_size=2, classes=4, series_length=600)
    assert [each.classes for each in inputs_of(symbols)] == [4]
    sums = subject(
        delay_line(2, features=2), layers=1, state_size=2, task="adding", sequence_length=20
    )
    assert inputs_of(sums)[0].classes == 0  # The number; then its marker.


def test_a_symbols_delay_line_remembers_in_bits():
    weights = delay_line(3, features=2)
    found = subject(weights, layers=1, state_size=3, task="parity", series_length=6_000)
    assert isinstance(found.windows[0].series, Series)
    [value] = {each.classes for each in memory.inputs_of(found)}
    assert value == 2


def test_states_of_the_run_are_kept_for_every_step():
    found = subject(delay_line(3), layers=1, state_size=3, series_length=900)
    assert run_of(found).states.shape == (180, 1, 2, 5, 3)


# --- over seeds


def test_intervals_are_students():
    import pandas as pd
    from scipy import stats

    values = [1.0, 2.0, 4.0, 2.5, 3.0]
    table = pd.DataFrame({"seed": range(5), "layer": 1, "memory": values})
    [row] = summary.over_seeds(table, ["layer"], "memory").itertuples()
    interval = stats.ttest_1samp(values, 0).confidence_interval(0.95)
    assert (row.low, row.high) == pytest.approx(tuple(interval))
    assert summary.ranges([0, 1, 2, 5]) == "0-2, 5"
    [row] = summary.over_seeds(table[:4], ["layer"], "memory").itertuples()
    assert np.isnan(row.low)
    assert np.isnan(row.high)


def test_a_capacity_is_never_below_zero_and_unknown_where_nothing_was_judged():
    import pandas as pd

    part = {"network": "trained", "input": "x", "unit": "bits", "layer": 1, "state": "h"}
    wide = pd.DataFrame([part | {"seed": s, "memory": m} for s, m in enumerate([0, 0, 0, 0, 9])])
    [row] = summary.capacities(wide).itertuples()
    assert (row.capacity, row.low) == (1.8, 0)
    [row] = summary.capacities(wide.assign(memory=np.nan)).itertuples()
    assert np.isnan(row.capacity)
