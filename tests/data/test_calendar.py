"""Time of day, weekday and month as inputs, by sine and cosine of the index."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from lstmcli.config import DataConfig
from lstmcli.data.schema import Schema
from lstmcli.data.table.load import read_parts, read_whole
from lstmcli.training import checkpoint
from lstmcli.utils.errors import FileError, UsageError

HOURS = pd.date_range("2021-02-27 22:30", periods=400, freq="95min")
NAMES = [f"{cycle}_{end}" for cycle in ("hour", "weekday", "month") for end in ("sin", "cos")]
CALENDAR = {"data": "t.csv", "target": "load", "horizon": 1, "calendar": "hour,weekday,month"}
TINY = ("--layers", 1, "--state-size", 2, "--batch-size", 4, "--bptt", 8)


def write(path="t.csv", dates=HOURS, **columns):
    load = np.random.default_rng(0).normal(size=len(dates)).round(3)
    frame = pd.DataFrame({"at": dates, **columns, "load": load})
    frame.to_csv(path, index=False)
    return frame


def expected(dates):
    """By pandas' own fields of dates: `[steps, 6]`."""
    hour = dates.hour + dates.minute / 60 + dates.second / 3600
    cycles = [hour / 24, dates.day_of_week / 7, (dates.month - 1) / 12]
    turns = [2 * np.pi * np.asarray(each, float) for each in cycles]
    return np.stack([each for turn in turns for each in (np.sin(turn), np.cos(turn))], 1)


def test_the_calendar_gives_sine_and_cosine_of_the_date_fields_of_pandas():
    write()
    parts, notes = read_parts(DataConfig(**CALENDAR))
    assert [column.name for column in parts.training.schema.numbers] == ["load", *NAMES]
    given = np.concatenate([part.numbers[:, 1:] for part in parts])
    np.testing.assert_allclose(given, expected(HOURS), atol=1e-6)
    # From Sunday to Monday, and from one midnight to the next, there is no jump.
    np.testing.assert_allclose(np.abs(given).max(), 1, rtol=1e-3)
    assert "index: at, every 95 minutes" in notes


def test_the_calendar_follows_the_rows_that_are_sorted_and_lies_within_sequences():
    frame = pd.DataFrame({"g": np.repeat(list("abcde"), 80), "at": HOURS, "y": np.arange(400) % 7})
    order = np.random.default_rng(1).permutation(400)
    frame.iloc[order].to_csv("t.csv", index=False)
    config = DataConfig(data="t.csv", target="y", group="g", calendar="hour", sort_index=True)
    parts, _ = read_parts(config)
    for part in parts:
        dates = pd.DatetimeIndex(part.labels["at"])
        np.testing.assert_allclose(part.numbers, expected(dates)[:, :2], atol=1e-6)


def test_dates_alone_can_be_all_that_is_given():
    write()
    parts, _ = read_parts(DataConfig(data="t.csv", target="load", calendar="weekday"))
    assert [column.name for column in parts.training.schema.numbers] == NAMES[2:4]


def test_another_file_gets_the_calendar_of_its_own_dates():
    write()
    config = DataConfig(**CALENDAR)
    schema = read_parts(config)[0].training.schema
    kept = Schema.from_dict(schema.to_dict())
    assert kept == schema
    assert kept.index == schema.index
    later = pd.date_range("2022-07-01", periods=50, freq="h")
    write("later.csv", later)
    whole, _ = read_whole(Path("later.csv"), kept, config)
    np.testing.assert_allclose(whole.numbers[:, 1:], expected(later), atol=1e-6)
    Path("without.csv").write_text("load\n1\n2\n3\n")
    with pytest.raises(FileError, match=r"`without.csv` has no dates in the column"):
        read_whole(Path("without.csv"), kept, config)


def test_what_does_not_change_in_training_is_said_and_where_it_changes():
    write(dates=pd.date_range("2021-01-01", periods=35, freq="D"))
    _, notes = read_parts(DataConfig(**{**CALENDAR, "calendar": "hour,month"}))
    said = "the calendar's `{}` is always {} in the training part"
    assert {said.format("hour_sin", 0), said.format("hour_cos", 1)} <= set(notes)
    assert said.format("month_cos", 1) in notes
    changed = [note for note in notes if "nothing can be known" in note]
    assert [note.split("`")[1] for note in changed] == ["month_sin", "month_cos"]


@pytest.mark.parametrize(
    ("dates", "options", "message"),
    [
        (range(400), {}, "expected an index of dates, but its index is at, in steps of 1"),
        (np.arange(400) % 5, {}, "expected an index of dates, but no column orders the rows"),
        (HOURS, {"calendar": "hour,year"}, "must be some of `hour`, `weekday` and `month`"),
    ],
)
def test_a_calendar_without_dates_is_refused(dates, options, message):
    write(dates=dates)
    with pytest.raises(UsageError) as error:
        read_parts(DataConfig(**{**CALENDAR, **options}))
    assert message in error.value.message


def test_a_column_that_is_called_as_an_input_of_the_calendar_is_refused():
    write(hour_sin=np.arange(400) % 5)
    with pytest.raises(UsageError, match=r"makes an input `hour_sin`, and `t.csv` has a column"):
        read_parts(DataConfig(**CALENDAR))
    parts, _ = read_parts(DataConfig(**CALENDAR, inputs="load"))
    assert parts.training.numbers.shape[1] == 7


@pytest.mark.slow
def test_a_run_goes_on_and_is_scored_with_its_calendar(run):
    write()
    options = [f"--{name}={value}" for name, value in CALENDAR.items()]
    run("train", *options, *TINY, "--epochs", 2, "--out", "whole")
    run("train", *options, *TINY, "--epochs", 1, "--out", "two")
    run("train", "--resume", "two", "--epochs", 2)
    models = [
        checkpoint.read(Path(name, "checkpoints/last.safetensors")) for name in ("whole", "two")
    ]
    for name, tensor in models[0].tensors.items():
        np.testing.assert_array_equal(models[1].tensors[name], tensor)
    assert models[0].schema.index.calendar == ("hour", "weekday", "month")
    run("eval", "two", "--predictions", "p.csv")
    table = pd.read_csv("p.csv")
    np.testing.assert_allclose(table[NAMES], expected(pd.DatetimeIndex(table["at"])), atol=1e-6)
    assert "--calendar" not in run("eval", "--help").output
