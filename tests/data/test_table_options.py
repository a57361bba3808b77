"""What a table's options change: parts by date, calendars, classes, labels in predictions."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from lstmcli.config import Config, DataConfig
from lstmcli.data.table.load import read_parts
from lstmcli.utils.errors import UsageError

STEPS = 24 * 60
VALUE = np.random.default_rng(0).normal(size=STEPS).round(3)


@pytest.fixture
def hourly():
    """Sixty days of hours from 2018-01-01 on, with a number and a class of -1 or 1."""
    frame = pd.DataFrame({"at": pd.date_range("2018-01-01", periods=STEPS, freq="h"), "y": VALUE})
    frame["move"] = np.where(VALUE > 0, 1, -1)
    frame.to_csv("t.csv", index=False)
    return frame


def read(**options):
    return read_parts(DataConfig(**{"data": "t.csv", "target": "y", "horizon": 1, **options}))


@pytest.mark.parametrize(
    ("options", "begins"),
    [
        (
            {"val_from": "2018-02-01", "test_from": "2018-02-15 12:00"},
            ["2018-02-01 00:00", "2018-02-15 12:00"],
        ),
        ({"test_from": "2018-02-21"}, ["2018-02-15 00:00", "2018-02-21 00:00"]),
        ({"val_from": "2018-02-01"}, ["2018-02-01 00:00", "2018-02-24 00:00"]),
    ],
)
def test_parts_are_held_out_by_date(hourly, options, begins):
    parts, _ = read(**options)
    found = [str(pd.Timestamp(part.labels["at"][0]))[:16] for part in parts[1:]]
    assert found == begins
    assert sum(map(len, parts)) == STEPS


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"val_from": "2019-01-01"}, "goes from `2018-01-01 00:00:00` to `2018-03-01 23:00:00`"),
        ({"test_from": "soon"}, "must be a date such as `2018-03-01`"),
        ({"val_from": "2018-02-20", "test_from": "2018-02-10"}, "must follow each other"),
        ({"val_from": "2018-02-20", "group": "move"}, "its sequences are drawn"),
        ({"val_from": "3", "inputs": "y", "index": "y"}, "cannot be both"),
    ],
)
def test_dates_that_hold_nothing_out_are_refused(hourly, options, message):
    with pytest.raises(UsageError) as error:
        read(**options)
    assert message in error.value.message


def test_a_part_cannot_be_given_by_date_and_by_fraction():
    with pytest.raises(UsageError, match="already defines that part"):
        Config.build(data="t.csv", val_from="2018-01-01", val_fraction=0.2)


def test_two_whole_numbers_to_predict_are_asked_about(hourly):
    _, notes = read(target="move")
    assert any(
        "`move` has only the values -1, 1" in note and "`--categorical move`" in note
        for note in notes
    )
    parts, notes = read(target="move", categorical="move")
    assert parts.training.classes == 2
    assert not any("has only the values" in note for note in notes)


def test_an_input_that_was_constant_in_training_and_then_changes_is_said(hourly):
    hourly["valve"] = np.where(np.arange(STEPS) < STEPS - 50, 3, 4)
    hourly["lamp"] = 0.1
    hourly.to_csv("t.csv", index=False)
    parts, notes = read()
    said = [note for note in notes if "is not in" in note]
    assert len(said) == 1
    assert said[0].startswith(
        "column `valve` is always 3 in the training part and is not in the test part"
    )
    assert all(np.isfinite(part.numbers).all() for part in parts)


def test_predictions_have_the_index_and_the_row_of_the_file(run, hourly):
    options = ("--layers", 1, "--state-size", 2, "--epochs", 1, "--progress", "none")
    run("train", "--data", "t.csv", "--target", "y", "--horizon", 1, *options, "--out", "r")
    run("eval", "r", "--predictions", "p.csv")
    found = pd.read_csv("p.csv", parse_dates=["at"])
    assert list(found.columns[-2:]) == ["at", "file_row"]
    assert (hourly["at"].iloc[found.file_row - 1].to_numpy() == found["at"].to_numpy()).all()
    np.testing.assert_allclose(found.y, VALUE[found.file_row - 1], atol=1e-4)
    run("eval", "r", "--predictions", "p.csv", "--overwrite")


@pytest.mark.slow
def test_predictions_of_sequences_have_their_names(run):
    frame = pd.DataFrame({"who": np.repeat(list("abcdefghij"), 12), "y": VALUE[:120]})
    frame.to_csv("t.csv", index=False)
    options = ("--layers", 1, "--state-size", 2, "--epochs", 1, "--progress", "none")
    given = ("--target", "y", "--horizon", 1, "--group", "who")
    run("train", "--data", "t.csv", *given, *options, "--out", "r")
    run("eval", "r", "--data", "t.csv", "--predictions", "p.csv")
    found = pd.read_csv("p.csv")
    assert list(found.who) == list(frame.who)
    assert list(found.file_row) == list(range(1, 121))
    assert list(found.columns[:2]) == ["sequence", "step"]


@pytest.mark.parametrize(
    "typed",
    [
        ("train", "--target", "OT", "--target", "HUFL"),
        ("sweep", "--data", "a.csv", "--inputs", "x", "--layers", 1, "--inputs=y"),
        ("eval", "r", "--data", "a.csv", "--data", "b.csv"),
    ],
)
def test_an_option_about_a_file_is_given_once(run, typed):
    result = run(*typed, exit_code=2)
    assert "is given twice" in result.stderr
    assert not Path("runs").exists()
