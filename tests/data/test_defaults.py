"""What a run on a file does where nobody says how: the rule, and the change that is predicted."""

import json
import tomllib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from lstmcli.config import Config
from lstmcli.data.datasets import open_source
from lstmcli.defaults import of_file
from lstmcli.training import initial_weights, load
from lstmcli.utils.errors import UsageError
from reference import forward

STEPS = 600
OPTIONS = ("--data", "walk.csv", "--target", "x", "--horizon", "1")


@pytest.fixture
def walk():
    """A random walk that drifts, `walk.csv`: its last value says much, its mean little."""
    values = 50 + np.random.default_rng(0).normal(0.05, 1, STEPS).cumsum()
    pd.DataFrame({"x": values}).to_csv("walk.csv", index=False)
    return values


@pytest.mark.parametrize(
    ("steps", "epochs", "patience"), [(1_000, 200, 20), (40_000, 200, 20), (1_000_000, 10, 3)]
)
def test_epochs_are_4000_windows_worth_between_10_and_200(steps, epochs, patience):
    found = of_file(steps, 32 * 64)
    assert (found["epochs"], found["patience"]) == (epochs, patience)
    assert (found["layers"], found["optimizer"], found["clip_norm"]) == (1, "adam", 1.0)


def test_a_short_file_has_fewer_units_and_a_text_more_than_another():
    sizes = [
        of_file(steps, 64, text=text)["state_size"]
        for steps, text in ((100, False), (5_000, False), (5_000, True))
    ]
    assert sizes == sorted(set(sizes))


def test_options_win_one_by_one_over_the_rule(walk):
    config = open_source(
        Config.build(data="walk.csv", target="x", horizon=1, state_size=7, clip_norm=0)
    ).config
    assert (config.model.layers, config.model.state_size) == (1, 7)
    assert (config.training.optimizer, config.training.clip_norm) == ("adam", 0)
    given = Config.build(data="walk.csv", target="x", horizon=1, epochs=30)
    assert open_source(given).config.training.patience == 3


def test_a_run_that_was_saved_before_there_was_a_rule_is_what_it_was(walk):
    saved = Config.build(layers=2, state_size=5, batch_size=2, bptt=20).to_dict()
    saved["data"] = {"data": "walk.csv", "target": "x", "horizon": 1}
    config = open_source(Config.build(saved)).config
    assert (config.training.optimizer, config.training.epochs) == ("adagrad", 100)
    assert not config.training.clip_norm
    assert not config.training.patience
    assert config.data.predict == "level"


def test_change_is_learned_where_the_last_value_says_more_than_the_mean(walk):
    series = open_source(Config.build(data="walk.csv", target="x", horizon=1)).splits.training
    [column] = series.schema.target
    changes = np.diff(walk)[: len(series)]
    assert column.scale == pytest.approx(np.sqrt(np.square(changes).mean()), rel=1e-6)
    np.testing.assert_allclose(series.arrays["targets"][:, 0] * column.scale, changes, atol=1e-4)
    noise = np.random.default_rng(1).normal(size=STEPS)
    pd.DataFrame({"x": noise}).to_csv("noise.csv", index=False)
    config = open_source(Config.build(data="noise.csv", target="x", horizon=1)).config
    assert config.data.predict == "level"


def test_change_of_what_is_not_known_is_refused(walk):
    pd.DataFrame({"x": walk, "y": walk}).to_csv("two.csv", index=False)
    with pytest.raises(UsageError, match="`--predict change` needs a number whose last value"):
        open_source(Config.build(data="two.csv", target="x", predict="change"))


def test_figures_of_a_model_of_changes_are_those_of_its_predictions_in_units(walk, run):
    small = ("--epochs", "2", "--batch-size", "1", "--bptt", "30", "--state-size", "4")
    run("train", *OPTIONS, *small, "--out", "run")
    saved = tomllib.loads(Path("run/config.toml").read_text())
    assert saved["data"]["predict"] == "change"
    assert saved["model"] == {"layers": 1, "state_size": 4, "forget_bias": 1.0}
    assert load.read_own_checkpoint(Path("run"))[1].schema.change
    said = run("eval", "run", "--predictions", "predictions.csv", "--json").stdout
    [figures] = json.loads(said)["results"]
    table = pd.read_csv("predictions.csv")
    errors = (table.target - table.predicted).dropna()
    assert figures["rmse"] == pytest.approx(np.sqrt(np.square(errors).mean()), rel=1e-4)
    assert figures["mae"] == pytest.approx(errors.abs().mean(), rel=1e-4)
    assert abs(table.predicted - walk[-len(table) :]).max() < 5  # Near the last value.
    further = Config.build(data="walk.csv", target="x", horizon=1, init_from="run")
    assert initial_weights.sized(further).model.state_size == 4
    assert initial_weights.sized(further).data.predict == "change"


@pytest.mark.slow
def test_of_groups_with_holes_what_is_scored_is_the_last_value_and_the_change(run):
    """Against one pass in NumPy over each group; where no value is known yet there is no change."""
    rng = np.random.default_rng(0)
    table = pd.DataFrame({"g": np.repeat(np.arange(30), 12), "other": rng.normal(size=360)})
    table["x"] = 100 + table.g + rng.normal(size=360)
    table.loc[rng.random(360) < 0.15, "x"] = np.nan
    table.loc[table.g % 7 == 0, "x"] = table.x.where(table.index % 12 > 2)
    table.to_csv("groups.csv", index=False)
    given = ("--target", "x", "--group", "g", "--horizon", "2", "--missing", "ffill")
    small = ("--state-size", "3", "--epochs", "1", "--predict", "change")
    run("train", "--data", "groups.csv", *given, *small, "--out", "run")
    said = json.loads(run("eval", "run", "--data", "groups.csv", "--json").stdout)
    [figures] = said["results"]
    model = load.read_own_checkpoint(Path("run"))[1]
    weights = {name: array[0].astype(float) for name, array in model.tensors.items()}
    errors = []
    for _, group in table.groupby("g"):
        known = group.ffill()
        inputs = [
            ((known[column.name] - column.mean) / column.scale).fillna(0).to_numpy()
            for column in model.schema.numbers
        ]
        changes, _ = forward(weights, np.zeros((1, 2, 1, 3)), np.stack(inputs, 1)[:, None], 1)
        predicted = known.x + changes[:, 0, 0] * model.schema.target[0].scale
        errors += (group.x.shift(-2) - predicted).dropna().tolist()
    assert figures["labels"] == len(errors) < table.x.notna().sum()
    assert figures["rmse"] == pytest.approx(np.sqrt(np.mean(np.square(errors))), rel=1e-5)
    assert figures["mae"] == pytest.approx(np.abs(errors).mean(), rel=1e-5)


def test_what_cannot_be_a_change_is_its_level(walk):
    table = pd.DataFrame({"x": walk, "y": walk[::-1], "word": np.where(walk > 55, "high", "low")})
    table.to_csv("two.csv", index=False)
    for given in ({"horizon": 1, "inputs": "y"}, {"horizon": 0}):
        source = open_source(Config.build(data="two.csv", target="x", **given))
        assert not source.schema.change
        with pytest.raises(UsageError, match="`--predict change` needs"):
            open_source(Config.build(data="two.csv", target="x", predict="change", **given))
    with pytest.raises(UsageError, match="`--predict change` needs"):
        open_source(Config.build(data="two.csv", target="word", horizon=1, predict="change"))
    Path("text.txt").write_text("to be or not to be " * 50)
    with pytest.raises(UsageError, match="`--predict` has no effect"):
        open_source(Config.build(data="text.txt", predict="level"))


@pytest.mark.slow
def test_a_run_of_changes_goes_on_with_the_same_bits(walk, run):
    small = ("--batch-size", "2", "--bptt", "30", "--state-size", "4", "--replicas", "2")
    run("train", *OPTIONS, *small, "--epochs", "2", "--patience", "0", "--out", "whole")
    run("train", *OPTIONS, *small, "--epochs", "1", "--patience", "0", "--out", "part")
    run("train", "--resume", "part", "--epochs", "2")
    whole, part = (pd.read_csv(f"{name}/metrics.csv").val_loss for name in ("whole", "part"))
    assert whole.tolist() == part.tolist()
