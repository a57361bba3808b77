"""A trained model on files that are not its own: scored whole, refused by name."""

import json
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

SMALL = ["--layers", 1, "--state-size", 8, "--epochs", 2, "--optimizer", "adam"]


def recording(steps, seed=0):
    """A column, and whether it rose: one class is rarer than the other."""
    values = np.random.default_rng(seed).normal(size=steps).cumsum().round(3)
    rose = np.diff(values, prepend=0) > 0.5
    return pd.DataFrame({"x": values, "state": np.where(rose, "rose", "fell")})


@pytest.fixture(scope="module")
def folder(run, tmp_path_factory):
    """Runs on a table (`table`), on a text (`text`) and on numbers (`numbers`)."""
    folder = tmp_path_factory.mktemp("other_files")
    recording(3000).to_csv(folder / "table.csv", index=False)
    words = np.random.default_rng(0).choice(["ab", "abc", "c", "bca"], 2000)
    (folder / "text.txt").write_text(" ".join(words))
    drift = pd.DataFrame({"x": np.arange(2000) % 7, "y": np.arange(2000) * 0.1})
    drift.to_csv(folder / "numbers.csv", index=False)
    for name, options in [
        ("table", ["--data", folder / "table.csv", "--target", "state"]),
        ("text", ["--data", folder / "text.txt"]),
    ]:
        run("train", *options, *SMALL, "--out", folder / name)
    return folder


@pytest.mark.parametrize("steps", [500, 64, 1])
def test_every_row_of_another_file_is_scored_and_predicted(run, folder, steps):
    recording(steps, seed=1).to_csv("new.csv", index=False)
    command = ["eval", folder / "table", "--data", "new.csv", "--json", "--predictions", "p.csv"]
    [found] = json.loads(run(*command).stdout)["results"]
    assert found["labels"] == steps
    rows = pd.read_csv("p.csv")
    assert rows.x.tolist() == pytest.approx(recording(steps, seed=1).x.tolist(), abs=1e-4)
    chosen = rows[["probability_fell", "probability_rose"]].to_numpy()
    right = np.where(rows.label == "fell", chosen[:, 0], chosen[:, 1])
    assert found["loss"] == pytest.approx(-np.log(right).mean(), rel=1e-5)


def test_steps_of_a_row_follow_each_other_in_the_predictions(run, folder):
    recording(500, seed=1).to_csv("new.csv", index=False)
    run("eval", folder / "table", "--data", "new.csv", "--predictions", "p.csv")
    rows = pd.read_csv("p.csv")
    assert rows.row.is_monotonic_increasing
    for _, own in rows.groupby("row"):
        assert own.step.tolist() == list(range(len(own)))


def test_class_frequencies_stand_beside_a_file_without_its_training_part(run, folder):
    recording(500, seed=1).to_csv("new.csv", index=False)
    shown = json.loads(run("eval", folder / "table", "--data", "new.csv", "--json").stdout)
    reference, *_ = shown["references"]
    training = recording(3000).state[:2400]
    share = {name: ((training == name).sum() + 1) / (2400 + 2) for name in ("rose", "fell")}
    losses = [-math.log(share[name]) for name in recording(500, seed=1).state]
    assert reference["name"] == "class frequencies"
    assert reference["loss"] == pytest.approx(np.mean(losses))


def test_the_end_of_a_test_part_that_fills_no_window_is_scored_too(run, folder):
    result = run("eval", folder / "table")
    assert "not scored" not in result.stderr


def test_a_file_of_another_kind_is_refused_as_what_it_is(run, folder):
    for name, file, words in [
        ("table", "text.txt", "is a text, but the model was trained on a table"),
        ("text", "table.csv", "is a table, but the model was trained on a text"),
    ]:
        result = run("eval", folder / name, "--data", folder / file, exit_code=4)
        assert words in result.stderr
        assert "--target" not in result.stderr


@pytest.mark.slow
def test_a_drifting_target_is_held_against_what_the_mean_loses_there(run, folder):
    """The validation part lies far from the training part's mean: so does a uniform guess."""
    options = ["--data", folder / "numbers.csv", "--target", "y", *SMALL, "--out", "run"]
    result = run("train", *options)
    row = pd.read_csv("run/metrics.csv").iloc[-1]
    known = json.loads(Path("run/run.json").read_text())["references"]
    [mean] = [each["loss"] for each in known if each["name"] == "mean"]
    assert row.val_loss > 1.1
    assert ("worse than chance" in result.stderr) == (row.val_loss > 1.1 * mean)
    assert "last value" not in result.stdout


def test_weights_of_another_depth_or_vocabulary_are_refused(run, folder):
    text = (folder / "text.txt").read_text()
    (folder / "capitals.txt").write_text(text.upper())
    for options, words in [
        (
            ["--data", folder / "text.txt", "--layers", 2, *SMALL[2:]],
            "another model: it has 1 layer",
        ),
        (["--data", folder / "capitals.txt", *SMALL], "of the characters of"),
    ]:
        result = run("train", *options, "--init-from", folder / "text", "--out", "run", exit_code=4)
        assert words in result.stderr
