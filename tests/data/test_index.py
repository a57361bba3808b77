"""The index of a table: which column it is, what is said of it, and what is kept of it."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from lstmcli.config import DataConfig
from lstmcli.data.schema import Index, Schema
from lstmcli.data.table.load import read_parts, read_whole
from lstmcli.utils.errors import FileError, UsageError

VALUE = np.random.default_rng(0).normal(size=120).round(3)


def read(rows, name="at", sep=",", **options):
    """The parts of a table with an index and a number, and what is said."""
    frame = pd.DataFrame({name: rows, "y": VALUE[: len(rows)]})
    frame.to_csv("t.csv", index=False, sep=sep)
    return read_parts(DataConfig(**{"data": "t.csv", "target": "y", "horizon": 1, **options}))


def hours(frequency, how, count=100, begin="2021-01-01"):
    return list(pd.date_range(begin, periods=count, freq=frequency).strftime(how))


WRITTEN = {
    "seconds": (hours("h", "%Y-%m-%d %H:%M:%S"), "hourly", "h"),
    "slashes": (hours("h", "%Y/%m/%d %H:%M"), "hourly", "h"),
    "T and Z": (hours("15min", "%Y-%m-%dT%H:%M:%SZ"), "every 15 minutes", "15min"),
    "days": (hours("D", "%Y-%m-%d"), "daily", "D"),
    "working days": (hours("B", "%Y-%m-%d"), "working days", "B"),
    "weeks": (hours("7D", "%Y-%m-%d"), "weekly", "7D"),
    "months": (hours("MS", "%Y-%m"), "monthly", "MS"),
    "ends of months": (hours("ME", "%Y-%m-%d"), "monthly", "ME"),
    "quarters": (hours("3MS", "%Y-%m-%d"), "quarterly", "3MS"),
    "years": (hours("12MS", "%Y-%m-%d", 100, "1900-01-01"), "yearly", "12MS"),
    "day first": (hours("D", "%d.%m.%Y"), "daily", "D"),
    "day first with slashes": (hours("D", "%d/%m/%Y"), "daily", "D"),
    "twelve hours": (hours("h", "%m/%d/%Y %I:%M %p"), "hourly", "h"),
    "twelve hours with seconds": (hours("h", "%Y-%m-%d %I:%M:%S %p"), "hourly", "h"),
    "month first": (hours("D", "%m/%d/%Y"), "daily", "D"),
    "short years": (hours("D", "%m/%d/%y"), "daily", "D"),
    "names of months": (hours("MS", "%b %Y"), "monthly", "MS"),
    "whole numbers": (hours("D", "%Y%m%d", 100, "1981-01-01"), "daily", "D"),
}


@pytest.mark.parametrize(("written", "words", "alias"), WRITTEN.values(), ids=WRITTEN.keys())
def test_dates_are_the_index_however_they_are_written(written, words, alias):
    parts, notes = read(written)
    schema = parts.training.schema
    assert f"index: at, {words}" in notes
    assert schema.index.kind == "dates"
    assert schema.index.frequency == alias
    assert [column.name for column in schema.numbers] == ["y"]
    begin = np.datetime64(
        {"years": "1900-01-01", "whole numbers": "1981-01-01", "ends of months": "2021-01-31"}.get(
            next(name for name, case in WRITTEN.items() if case[0] is written), "2021-01-01"
        )
    )
    kept = np.concatenate([part.labels["at"] for part in parts])
    expected = pd.date_range(begin, periods=100, freq=alias).to_numpy()
    np.testing.assert_array_equal(kept, expected)
    assert [part.labels["file_row"][0] for part in parts] == [1, 81, 91]


def test_dates_that_can_be_read_in_two_ways_are_said_and_read_as_they_follow_each_other():
    days = [f"{day:02}/0{month}/2021" for month in (1, 2, 3) for day in range(1, 13)]
    parts, notes = read(days)
    assert "2021-03-12" in str(parts.test.labels["at"][-1])
    assert any("`01/01/2021` is taken for day and month" in note for note in notes)
    _, notes = read(hours("D", "%d.%m.%Y"))
    assert not any("is taken for" in note for note in notes)


def test_months_without_a_year_are_an_index_of_words():
    months = [f"{year}-{month:02}" for year in (1, 2, 3) for month in range(1, 13)]
    parts, notes = read(months, "Month")
    assert "index: Month, a word for each row" in notes
    assert list(parts.training.labels["Month"][:2]) == ["1-01", "1-02"]


@pytest.mark.parametrize(
    ("numbers", "said"),
    [
        (range(1, 101), "in steps of 1"),
        (range(0, 1000, 10), "in steps of 10"),
        ([0.25 * n for n in range(100)], "in steps of 0.25"),
        ([*range(50), *range(60, 110)], "in steps of 1"),
    ],
)
def test_numbers_that_grow_are_an_index(numbers, said):
    parts, notes = read(list(numbers), "No")
    assert f"index: No, {said}" in notes
    assert [column.name for column in parts.training.schema.numbers] == ["y"]
    np.testing.assert_array_equal(parts.training.labels["No"], list(numbers)[: len(parts.training)])


def test_a_number_that_grows_by_no_rule_is_an_input_and_is_noted():
    total = np.cumsum(np.abs(VALUE)).round(3)
    parts, notes = read(list(total), "total")
    assert [column.name for column in parts.training.schema.numbers] == ["total", "y"]
    assert "column `total` grows in every row, like an index, but is an input" in notes


def test_dates_come_before_a_row_number_which_is_no_input_then():
    frame = pd.DataFrame({"No": range(100), "date": hours("h", "%Y-%m-%d %H:%M"), "y": VALUE[:100]})
    frame.to_csv("t.csv", index=False)
    parts, notes = read_parts(DataConfig(data="t.csv", target="y", horizon=1))
    assert "index: date, hourly" in notes
    assert [column.name for column in parts.training.schema.numbers] == ["y"]
    assert any("`No` numbers the rows: no input" in note for note in notes)
    parts, notes = read_parts(DataConfig(data="t.csv", target="y", horizon=1, index="No"))
    assert "index: No, in steps of 1" in notes
    assert any("`date` holds dates: no input" in note for note in notes)
    parts, _ = read_parts(DataConfig(data="t.csv", target="y", horizon=1, inputs="No,y"))
    assert [column.name for column in parts.training.schema.numbers] == ["No", "y"]
    assert parts.training.schema.index.name == "date"


def test_gaps_and_doubled_times_are_noted():
    at = hours("h", "%Y-%m-%d %H:%M", 103)
    del at[70:72]
    at[50] = at[49]
    _, notes = read(at)
    assert any("has 2 gaps and 1 doubled value" in note for note in notes)


def test_rows_out_of_order_are_refused_or_sorted():
    at = hours("h", "%Y-%m-%d %H:%M")
    expected, _ = read(at)
    frame = pd.DataFrame({"at": at, "y": VALUE[:100]})
    frame.iloc[np.random.default_rng(1).permutation(100)].to_csv("mixed.csv", index=False)
    options = {"data": "mixed.csv", "target": "y", "horizon": 1}
    with pytest.raises(FileError, match="expected rows in order of the index") as error:
        read_parts(DataConfig(**options))
    assert "`--sort-index` sorts them" in error.value.hint
    found, notes = read_parts(DataConfig(**options, sort_index=True))
    assert found.training.checksum() == expected.training.checksum()
    assert any("are sorted by `at`" in note for note in notes)
    mixed = pd.read_csv("mixed.csv")
    rows = np.concatenate([part.labels["file_row"] for part in found])
    assert list(mixed["at"].iloc[rows - 1]) == at


def test_an_index_grows_within_each_sequence():
    frame = pd.DataFrame(
        {
            "g": np.repeat(list("abcdefghij"), 12),
            "t": np.tile(np.arange(12) * 5, 10),
            "y": VALUE,
        }
    )
    frame.to_csv("t.csv", index=False)
    parts, notes = read_parts(DataConfig(data="t.csv", target="y", group="g", horizon=1))
    assert "index: t, in steps of 5" in notes
    for part in parts:
        assert len(set(part.labels["g"][:12])) == 1
        assert list(part.labels["t"][:12]) == list(range(0, 60, 5))
    assert [column.name for column in parts.training.schema.numbers] == ["y"]


def test_another_file_is_read_as_the_one_that_was_trained_on():
    parts, _ = read(hours("D", "%d.%m.%Y"), val_fraction=0.2)
    schema = Schema.from_dict(parts.training.schema.to_dict())
    assert schema.index == Index("at", "dates", "D", "%d.%m.%Y")
    config = DataConfig(data="t.csv", target="y", horizon=1)
    # 1 to 12 February, which alone could as well be the first days of twelve months.
    Path("other.csv").write_text(
        "at,y\n" + "".join(f"{day:02}.02.2021,{day}\n" for day in range(1, 13))
    )
    whole, _ = read_whole(Path("other.csv"), schema, config)
    assert str(whole.labels["at"][-1]).startswith("2021-02-12")
    Path("without.csv").write_text("y\n1\n2\n3\n")
    whole, _ = read_whole(Path("without.csv"), schema, config)
    assert list(whole.labels) == ["file_row"]
    before = replace(schema, index=None)
    assert "index" not in before.to_dict()
    assert Schema.from_dict(before.to_dict()) == schema


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"index": "then"}, "`--index`: `t.csv` has no column `then`"),
        ({"index": "y"}, "the column `y` cannot be both `--index` and `--target`"),
        ({"index": "at", "inputs": "at,y"}, "is in `--inputs` and is the `--index`"),
    ],
)
def test_an_index_that_cannot_be_is_refused(options, message):
    with pytest.raises(UsageError) as error:
        read(hours("D", "%Y-%m-%d"), **options)
    assert message in error.value.message


# --- what is missing


def holes(count=100):
    frame = pd.DataFrame({"x": np.arange(count) % 7 + 0.5, "w": list("ab") * (count // 2)})
    frame["y"] = VALUE[:count]
    return frame.astype(object)


@pytest.mark.parametrize(
    "word", ["NA", "NaN", "", "?", "<UNK>", "-", "null", "N/A", "-999", "gone"]
)
@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_what_stands_for_nothing_is_missing(word, kind):
    frame = holes()
    frame.loc[[10, 11], "x"] = frame.loc[[20], "w"] = frame.loc[[30, 31, 32], "y"] = word
    if kind == "csv":
        frame.to_csv("t.csv", index=False)
    else:
        empty = -999.0 if word == "-999" else np.nan
        numbers = {name: pd.to_numeric(frame[name], errors="coerce").fillna(empty) for name in "xy"}
        frame.assign(**numbers).to_parquet("t.parquet", index=False)
    parts, notes = read_parts(
        DataConfig(data=f"t.{kind}", target="y", horizon=1, na_values="-999, gone")
    )
    schema = parts.training.schema
    given = {c.name: c.in_units(parts.training.numbers[:, i]) for i, c in enumerate(schema.numbers)}
    np.testing.assert_allclose(given["x"][9:12], 2.5, rtol=1e-5)
    np.testing.assert_allclose(given["y"][29:33], VALUE[29], rtol=1e-5)
    assert parts.training.symbols[20, 0] == parts.training.symbols[19, 0] == 1
    assert list(np.flatnonzero(~parts.training.scored)) == [29, 30, 31]
    said = "empty input cells are filled with the last value before them: `x` 2, `y` 3, `w` 1"
    assert said in notes
    assert any("3 of the 100 targets" in note for note in notes)
    assert all(np.isfinite(part.numbers).all() for part in parts)


def test_a_number_that_may_mean_nothing_is_noted_and_others_are_not():
    frame = holes(120)
    frame.loc[[3, 50, 77], "x"] = -999
    frame["rain"] = np.where(np.arange(120) % 3, 0.0, np.abs(VALUE))
    frame["flag"] = np.arange(120) % 2
    frame["once"] = np.where(np.arange(120) == 5, 1e6, VALUE)
    frame.loc[:, "x"] += np.arange(120) % 11
    frame.loc[[3, 50, 77], "x"] = -999
    frame.to_csv("t.csv", index=False)
    _, notes = read_parts(DataConfig(data="t.csv", target="y", inputs="x,rain,flag,once"))
    assert [note for note in notes if "far from all" in note] == [
        "column `x`: -999 stands 3 times, far from all other numbers; if it means that there is "
        "none, pass `--na-values -999`"
    ]


@pytest.mark.parametrize("how", ["%H:%M", "%H:%M:%S", "%I:%M %p", "%I:%M:%S%p"])
def test_a_column_of_times_of_the_day_is_no_input(how):
    frame = pd.DataFrame({"time": hours("h", how), "x": VALUE[:100], "y": VALUE[:100]})
    frame.to_csv("t.csv", index=False)
    parts, notes = read_parts(DataConfig(data="t.csv", target="y", horizon=1))
    schema = parts.training.schema
    assert "time" not in [column.name for column in (*schema.numbers, *schema.symbols)]
    assert any("`time` holds times" in note for note in notes)
