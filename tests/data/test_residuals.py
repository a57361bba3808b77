"""A network on top of a linear autoregression: what it is given, what it gives, what is kept."""

import json
import tomllib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import lstmcli
from lstmcli import api
from lstmcli.config import Config
from lstmcli.data import continuation, readers
from lstmcli.data.baselines import Baseline
from lstmcli.data.datasets import open_source
from lstmcli.data.schema import Schema
from lstmcli.reporting import formatting
from lstmcli.training import initial_weights, load
from lstmcli.utils.errors import UsageError
from reference import autoregression as linear
from reference import forward

STEPS = 600
ASKED = {"target": "x", "horizon": 1}


@pytest.fixture
def wave(monkeypatch, tmp_path):
    """Two waves with noise, in `wave.csv`: a few lags say far more than the last value."""
    monkeypatch.chdir(tmp_path)
    rng, steps = np.random.default_rng(0), np.arange(STEPS)
    waves = 3 * np.sin(2 * np.pi * steps / 9) + 2 * np.sin(2 * np.pi * steps / 23)
    table = pd.DataFrame({"x": 40 + waves + 0.2 * rng.normal(size=STEPS)})
    table["other"] = rng.normal(size=STEPS).round(2)
    table.to_csv("wave.csv", index=False)
    return table


def test_the_residual_is_learned_where_an_autoregression_is_clearly_the_best(wave):
    source = open_source(Config.build(data="wave.csv", **ASKED))
    assert source.config.data.predict == source.schema.predicts == "residual"
    [column] = source.schema.target
    whole = source.splits.training.recording
    model = source.schema.autoregression
    inputs = (wave - wave[:480].mean()) / wave[:480].std(ddof=0)
    last = ((wave.x - column.mean) / column.scale).to_numpy()
    base = linear(model, inputs.to_numpy(), last[:, None])[:, 0]
    np.testing.assert_allclose(whole.base[:, 0], base, atol=1e-3)
    residuals = (wave.x.to_numpy()[1:] - column.in_units(base[:-1])) / column.scale
    np.testing.assert_allclose(whole.learned[:-1, 0], residuals, atol=1e-3)
    # In three digits, so that what a series holds does not depend on how it was fitted.
    assert residuals[:480].std() == pytest.approx(1, rel=0.02)
    assert column.scale == float(f"{column.scale:.3g}")
    assert residuals[480:].std() * column.scale < 0.4 < 0.3 * np.diff(wave.x).std()


def test_what_the_autoregression_loses_is_a_baseline_without_the_training_part(wave):
    source = open_source(Config.build(data="wave.csv", **ASKED))
    part = source.splits.test
    known = part.scored if part.scored is not None else np.ones(len(part), bool)
    wanted = np.mean(np.square(part.targets - part.base)[known])
    found = {each.name: each.loss for each in source.baselines_of_test_part.found}
    assert found["linear autoregression"] == pytest.approx(wanted)
    assert min(found, key=found.get) == "linear autoregression"


def test_the_change_is_learned_where_validation_does_not_say_that_lags_help(wave):
    rng = np.random.default_rng(1)
    pd.DataFrame({"x": rng.normal(size=STEPS).cumsum()}).to_csv("walk.csv", index=False)
    for given in ({"data": "walk.csv"}, {"data": "wave.csv", "val_fraction": 0}):
        assert open_source(Config.build(**given, **ASKED)).schema.predicts == "change"
        asked = open_source(Config.build(**given, **ASKED, predict="residual")).schema
        assert asked.predicts == "residual"


def test_nothing_is_built_on_lines_where_two_steps_tell_what_they_leave(wave):
    """A thermostat: it loses warmth, and between 19 and 21 degrees it heats or does not."""
    rng, room, heated, found = np.random.default_rng(2), 20.0, False, []
    air = 6 + 5 * np.sin(np.arange(3_000) / 23) + 0.1 * rng.normal(size=3_000).cumsum()
    for outside in air:
        heated = room < 21 if heated else room < 19
        room += 0.6 * heated + 0.02 * (outside - room) + 0.05 * rng.normal()
        found.append(room)
    pd.DataFrame({"x": found, "outside": air}).to_csv("room.csv", index=False)
    source = open_source(Config.build(data="room.csv", **ASKED))
    assert source.schema.predicts == "change"
    losses = {each.name: each.loss for each in source.validation_baselines.found}
    assert losses["linear autoregression"] < 0.7 * losses["last value"]


def test_what_is_on_top_of_a_guess_begins_with_that_guess(wave):
    for predict, nothing in (("residual", True), ("change", True), ("level", False)):
        source = open_source(Config.build(data="wave.csv", predict=predict, **ASKED))
        found = initial_weights.weights(source.config, source.spec, source.schema)
        assert (found["dense.kernel"] == 0).all() == nothing
        assert found["lstm.0.kernel"].any()


def test_the_residual_of_what_no_last_value_is_known_of_is_refused(wave):
    with pytest.raises(UsageError, match="`--predict residual` needs a number whose last value"):
        open_source(Config.build(data="wave.csv", target="x", predict="residual"))


def test_a_constant_step_leaves_a_residual_that_can_be_divided_by(wave):
    pd.DataFrame({"x": np.arange(STEPS) * 0.5}).to_csv("line.csv", index=False)
    source = open_source(Config.build(data="line.csv", **ASKED))
    learned = source.splits.training.learned
    assert np.isfinite(learned).all()
    assert abs(learned).max() < 10


def test_an_autoregression_is_kept_to_the_bit_and_gives_the_same_on_every_file(wave):
    source = open_source(Config.build(data="wave.csv", **ASKED))
    schema = Schema.from_dict(json.loads(json.dumps(source.schema.to_dict())))
    model, kept = source.schema.autoregression, schema.autoregression
    np.testing.assert_array_equal(kept.weights, model.weights)
    np.testing.assert_array_equal(kept.intercept, model.intercept)
    wave[:500].to_csv("begin.csv", index=False)
    wave[500:].to_csv("end.csv", index=False)
    begin, end = (
        readers.read_whole(Path(name), schema, Config.build(data=name, **ASKED).data)[0]
        for name in ("begin.csv", "end.csv")
    )
    joined = continuation.following(begin, end)
    whole = source.splits.training.recording
    np.testing.assert_array_equal(begin.base, whole.base[:500])
    np.testing.assert_array_equal(joined.base, whole.base[500:])
    damaged = source.schema.to_dict()
    damaged["autoregression"]["weights"].append([[0.0]])
    with pytest.raises(ValueError, match=r"inhomogeneous|does not fit its columns"):
        Schema.from_dict(damaged)


def test_a_model_keeps_its_autoregression_when_its_file_is_read_again(wave):
    config = Config.build(data="wave.csv", **ASKED)
    first = open_source(config)
    model = first.schema.autoregression
    other = replace(model, weights=model.weights * (1 + 1e-9))  # As of another machine.
    known = replace(first.schema, autoregression=other)
    again = open_source(first.config, known)
    np.testing.assert_array_equal(again.schema.autoregression.weights, other.weights)
    assert again.matches_checksums(first.checksums())
    wave.loc[3, "x"] += 1
    wave.to_csv("wave.csv", index=False)
    assert not open_source(first.config, known).matches_checksums(first.checksums())


def test_of_groups_the_autoregression_looks_back_no_further_than_a_group_begins(wave):
    wave["g"] = np.arange(STEPS) // 12
    wave.to_csv("wave.csv", index=False)
    source = open_source(Config.build(data="wave.csv", group="g", predict="residual", **ASKED))
    part, model = source.splits.training, source.schema.autoregression
    for begin, end in list(zip(part.bounds()[:-1], part.bounds()[1:], strict=True))[:5]:
        numbers = part.numbers[begin:end].astype(float)
        wanted = linear(model, numbers, part.last_values[begin:end])
        np.testing.assert_allclose(part.base[begin:end], wanted, rtol=1e-4, atol=1e-4)


@pytest.mark.slow
def test_a_run_of_residuals_is_scored_in_units_and_goes_on_with_the_same_bits(wave):
    small = {
        "data": "wave.csv", **ASKED, "batch_size": 2, "bptt": 30, "state_size": 4, "patience": 0,
    }  # fmt: skip
    whole = lstmcli.train(out="whole", epochs=2, **small)
    lstmcli.train(out="part", epochs=1, **small)
    part = lstmcli.train(resume="part", epochs=2)
    assert whole.metrics.val_loss.tolist() == part.metrics.val_loss.tolist()
    assert tomllib.loads(Path("whole/config.toml").read_text())["data"]["predict"] == "residual"

    model = load.read_own_checkpoint(Path("whole"))[1]
    [column] = model.schema.target
    weights = {name: array[0].astype(float) for name, array in model.tensors.items()}
    inputs = ((wave - wave[:480].mean()) / wave[:480].std(ddof=0)).to_numpy()
    outputs, _ = forward(weights, np.zeros((1, 2, 1, 4)), inputs[:, None], 1)
    last = column.standardised(wave.x.to_numpy())[:, None]
    predicted = outputs[:, 0] + linear(model.schema.autoregression, inputs, last)
    errors = (wave.x.to_numpy()[1:] - column.in_units(predicted[:-1, 0]))[540:]
    [score] = api.evaluate("whole").scores
    assert score.labels == len(errors)
    assert score.rmse == pytest.approx(np.sqrt(np.mean(errors**2)), rel=1e-4)
    assert score.mae == pytest.approx(np.abs(errors).mean(), rel=1e-4)


def test_what_a_network_adds_to_its_base_is_said_in_rmse(wave):
    schema = open_source(Config.build(data="wave.csv", **ASKED)).schema
    known = [Baseline("mean", 9.0), Baseline("linear autoregression", 4.0)]
    line = formatting.beyond_its_base(schema, 3, 1.0, known)
    assert line == "seed 3: the network lowers the rmse of its linear autoregression by 50.0 %"
    assert "raises the rmse" in formatting.beyond_its_base(schema, 3, 9.0, known)
    assert formatting.beyond_its_base(replace(schema, autoregression=None), 3, 1.0, known) is None
