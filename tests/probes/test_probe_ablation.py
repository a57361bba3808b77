"""What layers and units are for: losses without them, against NumPy and a delay line."""

import numpy as np
import pytest

import reference
from lstmcli.config import Config
from lstmcli.probes import ablation
from lstmcli.probes.ablation import EVERY_STEP, UNIT, WINDOW_STARTS, Variant
from probing import delay_line, drawn, subject

SMALL = {"layers": 2, "state_size": 3, "bptt": 5, "series_length": 600}


def losses_by_hand(found, weights, replica, layer, every, unit=None):
    """The mean loss, step by step, with what is zeroed put to 0 by hand."""
    arrays = found.arrays[replica]
    one = {name: array[replica].astype(np.float64) for name, array in weights.items()}
    if unit is not None:  # A unit whose gates and inputs are shut has c = h = 0 for good.
        size = one[f"lstm.{layer}.recurrent_kernel"].shape[0]
        for part in ("kernel", "recurrent_kernel", "bias"):
            one[f"lstm.{layer}.{part}"][..., 2 * size + unit] = 0
    state, losses = np.zeros((2, 2, 5, 3)), []
    for step, (inputs, labels) in enumerate(
        zip(arrays["numbers"].astype(np.float64), arrays["targets"], strict=True)
    ):
        if unit is None and every and step % every == 0:
            state[layer] = 0
        loss = reference.mean_loss(one, state, inputs[None], labels[None].astype(int), 2)
        _, state = reference.forward(one, state, inputs[None], 2)
        losses.append(loss)
    return np.mean(losses)


def test_losses_without_something_are_those_of_numpy_with_it_put_to_zero():
    weights = drawn(Config.build(replicas=2, **SMALL), 1, 2)
    found = subject(weights, replicas=2, **SMALL)
    table = ablation.ablation(found, 5)
    assert len(table) == 2 * (2 + 2 + 2 * 3)
    for row in table.itertuples():
        every = {EVERY_STEP: 1, WINDOW_STARTS: 5, UNIT: None}[row.zeroed]
        unit = row.unit - 1 if row.zeroed == UNIT else None
        expected = losses_by_hand(found, weights, row.seed, row.layer - 1, every, unit)
        assert row.loss == pytest.approx(expected, rel=1e-5)
        intact = losses_by_hand(found, weights, row.seed, row.layer - 1, None)
        assert row.loss - row.added == pytest.approx(intact, rel=1e-5)


def test_scored_steps_alone_count():
    config = Config.build(layers=1, state_size=3)
    settings = {"task": "adding", "sequence_length": 12, "series_length": 2_000}
    found = subject(drawn(config, 2, 1), layers=1, state_size=3, **settings)
    losses, _ = ablation.losses_of(found, [0], [Variant(0)])
    network, scored = found.networks("trained", [0])[0], ablation._scored(found, [0])[:, 0]
    from lstmcli.core import numpy_lstm

    stack = numpy_lstm.side_by_side([network])
    states = next(iter(found.runs(["trained"]))).states
    outputs = numpy_lstm.readout(stack, states[:, -1, 1][:, None])[:, 0]
    errors = np.square(outputs - found.arrays[0]["targets"]).mean(-1)
    assert losses[0, 0] == pytest.approx(errors[scored].mean(), rel=1e-5)
    assert 0 < scored.sum() < scored.size / 5


def test_the_units_of_a_delay_line_hold_the_lags_that_they_were_built_for():
    found = subject(delay_line(5), layers=1, state_size=5, series_length=10_000)
    units = ablation.unit_lags(found, 8)
    assert list(units.lag) == [0, 1, 2, 3, 4]
    assert units.r_squared.to_numpy() == pytest.approx(1, abs=0.01)


def test_the_last_unit_of_a_delay_line_needs_all_before_it():
    weights = delay_line(4)
    weights["dense.kernel"][0, 3] = [-9, 9]
    found = subject(weights, layers=1, state_size=4, echo_step=3, series_length=5_000)
    table = ablation.ablation(found, 5)
    assert (table[table.zeroed == UNIT].added > 0.5).all()
    carried = table.set_index("zeroed").added
    assert carried[EVERY_STEP] > 0.5
    assert carried[WINDOW_STARTS] == pytest.approx(carried[EVERY_STEP] * 3 / 15, rel=0.1)


def test_too_many_units_are_not_left_out_one_by_one(monkeypatch):
    found = subject(drawn(Config.build(**SMALL), 1, 2), **SMALL)
    monkeypatch.setattr(ablation, "PRODUCTS", 1e3)
    table = ablation.ablation(found, 5)
    assert set(table.zeroed) == {EVERY_STEP, WINDOW_STARTS}
