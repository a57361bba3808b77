"""Tables in CSV and Parquet: which columns become what, and what a model then sees."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lstmcli.config import DataConfig
from lstmcli.data.schema import Categorical, Schema
from lstmcli.data.table.load import read_parts, read_whole
from lstmcli.utils.errors import FileError


@pytest.fixture
def weather():
    """A frame of 50 hours: two numbers, a word, a truth value and a number to predict."""
    rng = np.random.default_rng(3)
    return pd.DataFrame(
        {
            "temp": rng.normal(15, 4, 50).round(3),
            "wind": rng.integers(0, 9, 50),
            "sky": rng.choice(["clear", "cloudy", "rain"], 50),
            "holiday": rng.random(50) < 0.5,
            "load": rng.normal(900, 50, 50).round(2),
        }
    )


def parts_of(frame, name="t.csv", **options):
    """The parts of a frame that is written to a file, and the notes."""
    if name.endswith(".parquet"):
        frame.to_parquet(name, index=False)
    else:
        frame.to_csv(name, index=False)
    return read_parts(DataConfig(data=name, **options))


def by_hand(column, training):
    """Standardised with the training part's mean and population standard deviation."""
    known = column[training]
    return ((column - known.mean()) / known.std(ddof=0)).to_numpy()


def test_numbers_are_standardised_with_the_training_part_alone(weather):
    parts, notes = parts_of(weather, target="load")
    assert [len(part) for part in parts] == [40, 5, 5]
    for place, name in enumerate(("temp", "wind")):
        expected = by_hand(weather[name], slice(0, 40))
        found = np.concatenate([part.numbers[:, place] for part in parts])
        np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-6)
    expected = by_hand(weather.load, slice(0, 40))
    found = np.concatenate([part.targets for part in parts])
    np.testing.assert_allclose(found[:, 0], expected, rtol=1e-5, atol=1e-6)
    assert found.dtype == parts.training.numbers.dtype == np.float32
    assert parts.training.scored is None
    assert parts.training.starts is None
    assert notes == []


def test_words_and_truth_values_become_symbols_in_the_order_of_their_names(weather):
    parts, _ = parts_of(weather, target="load")
    schema = parts.training.schema
    assert [column.name for column in schema.numbers] == ["temp", "wind"]
    assert schema.symbols == (
        Categorical("sky", 3, ("clear", "cloudy", "rain")),
        Categorical("holiday", 2, ("False", "True")),
    )
    symbols = np.concatenate([part.symbols for part in parts])
    assert symbols.dtype == np.uint8
    assert [("clear", "cloudy", "rain")[code] for code in symbols[:, 0]] == list(weather.sky)
    assert list(symbols[:, 1] == 1) == list(weather.holiday)


@pytest.mark.parametrize("name", ["t.csv.gz", "t.parquet"])
def test_the_formats_give_the_same_series(weather, name):
    expected, _ = parts_of(weather, target="load")
    found, _ = parts_of(weather, name, target="load")
    for ours, theirs in zip(found, expected, strict=True):
        assert ours.schema == theirs.schema
        assert ours.checksum() == theirs.checksum()


def test_inputs_are_given_in_the_order_of_the_option(weather):
    parts, _ = parts_of(weather, target="load", inputs=" wind, temp ")
    assert [column.name for column in parts.training.schema.numbers] == ["wind", "temp"]
    np.testing.assert_allclose(
        parts.training.numbers[:, 1], by_hand(weather.temp, slice(0, 40))[:40], atol=1e-6
    )


def test_a_target_of_words_is_a_class(weather):
    parts, _ = parts_of(weather, target="sky")
    assert parts.training.schema.target == Categorical("sky", 3, ("clear", "cloudy", "rain"))
    assert parts.training.targets.dtype == np.int32
    names = [parts.training.schema.target.label(code) for code in parts.training.targets]
    assert names == list(weather.sky[:40])


def test_numbers_that_are_called_categorical_are_names_ordered_by_size(weather):
    weather["wind"] = np.tile([10, 9, 100, 9], 13)[:50]
    parts, _ = parts_of(weather, target="wind", categorical="wind")
    assert parts.training.schema.target == Categorical("wind", 3, ("9", "10", "100"))
    assert parts.training.targets[:4].tolist() == [1, 0, 2, 0]


def test_a_categorical_column_is_read_as_it_is_written():
    codes = ["01", "1", "001"] * 10
    lines = [f"{code},{step}" for step, code in enumerate(codes)]
    Path("t.csv").write_text("\n".join(["code,target", *lines]))
    parts, _ = read_parts(DataConfig(data="t.csv", categorical="code"))
    assert sorted(parts.training.schema.symbols[0].values) == ["001", "01", "1"]


def test_an_integer_target_is_a_number_unless_it_is_called_categorical(weather):
    parts, _ = parts_of(weather, target="wind")
    (column,) = parts.training.schema.target
    assert (column.mean, column.scale) == pytest.approx(
        (weather.wind[:40].mean(), weather.wind[:40].std(ddof=0))
    )
    assert parts.training.spec.head == "linear"


def test_the_target_of_a_horizon_lies_that_many_steps_ahead(weather):
    parts, notes = parts_of(weather, target="load", horizon=3, test_fraction=0.2)
    whole = np.concatenate([part.targets[:, 0] for part in parts])
    scored = np.concatenate([part.scored for part in parts])
    ahead = weather.load.shift(-3)
    assert list(scored) == list(ahead.notna())
    expected = by_hand(ahead, slice(0, 35))
    np.testing.assert_allclose(whole[:-3], expected[:-3], rtol=1e-5, atol=1e-5)
    assert [column.name for column in parts.training.schema.numbers] == ["temp", "wind", "load"]
    assert any("`load` is an input too" in note for note in notes)


def test_a_column_alone_is_forecast_from_itself():
    parts, _ = parts_of(pd.DataFrame({"target": np.arange(30.0)}), horizon=1)
    assert parts.training.numbers.shape == (24, 1)
    column, (target,) = parts.training.schema.numbers[0], parts.training.schema.target
    given = column.in_units(parts.training.numbers[:, 0])
    np.testing.assert_allclose(target.in_units(parts.training.targets[:, 0]), given + 1, atol=1e-5)


@pytest.fixture
def walks():
    """Ten sequences of 1 to 10 steps; a label stands at the last step of each."""
    lengths = np.arange(1, 11)
    who = np.repeat([f"s{number}" for number in range(10)], lengths)
    step = np.concatenate([np.arange(length) for length in lengths])
    last = np.concatenate([np.arange(length) == length - 1 for length in lengths])
    label = np.where(last, np.repeat(np.where(np.arange(10) % 2, "odd", "even"), lengths), "")
    value = np.random.default_rng(0).normal(size=len(who))
    return pd.DataFrame({"who": who, "step": step, "value": value, "label": label})


def test_sequences_stay_whole_and_are_drawn_for_each_part(walks):
    options = {"target": "label", "group": "who", "val_fraction": 0.3, "test_fraction": 0.3}
    parts, notes = parts_of(walks, **options, split_seed=1)
    lengths = [np.diff(part.bounds()) for part in parts]
    assert [len(each) for each in lengths] == [4, 3, 3]
    assert sorted(np.concatenate(lengths)) == list(range(1, 11))  # A length is a sequence's name.
    for part in parts:
        ends = part.bounds()[1:] - 1
        assert list(np.flatnonzero(part.scored)) == list(ends)
        assert list(part.targets[ends]) == [(length - 1) % 2 for length in np.diff(part.bounds())]
    assert "index: step, in steps of 1" in notes
    other, _ = parts_of(walks, **options, split_seed=2)
    assert other.training.checksum() != parts.training.checksum()


def test_statistics_of_sequences_are_those_of_the_training_sequences(walks):
    parts, _ = parts_of(walks, target="label", group="who")
    chosen = [f"s{length - 1}" for length in np.diff(parts.training.bounds())]
    known = walks.value[walks.who.isin(chosen)]
    column = parts.training.schema.numbers[0]
    assert (column.mean, column.scale) == pytest.approx((known.mean(), known.std(ddof=0)))
    assert np.abs(known.mean() - walks.value.mean()) > 1e-3


def test_rows_of_a_group_are_brought_together_in_their_order(walks):
    expected, _ = parts_of(walks, target="label", group="who")
    # The first row of each stays in place, so that the groups are numbered as before.
    mixed = pd.concat([walks[walks.step == 0], walks[walks.step > 0].sort_values("step")])
    found, notes = parts_of(mixed, target="label", group="who", inputs="value")
    assert found.training.checksum() == expected.training.checksum()
    assert any("do not stand side by side" in note for note in notes)


def test_an_error_in_rows_that_were_brought_together_names_the_line_of_the_file(walks):
    mixed = walks.sort_values("step", kind="stable", ignore_index=True)
    mixed["value"] = mixed.value.astype(object)
    mixed.loc[30, "value"] = "much"
    with pytest.raises(FileError, match="line 32, column `value`: expected a number, got `much`"):
        parts_of(mixed, target="label", group="who")


def test_a_horizon_ends_with_its_sequence(walks):
    options = {"target": "value", "inputs": "value", "group": "who", "horizon": 2}
    parts, _ = parts_of(walks, **options, val_fraction=0.4, test_fraction=0.3)
    for part in parts:
        (column,) = part.schema.target
        values = part.schema.numbers[0].in_units(part.numbers[:, 0])
        for begin, end in zip(part.bounds()[:-1], part.bounds()[1:], strict=True):
            cut = max(begin, end - 2)
            assert part.scored[begin:cut].all()
            assert not part.scored[cut:end].any()
            found = column.in_units(part.targets[begin:cut, 0])
            np.testing.assert_allclose(found, values[begin + 2 : end], atol=1e-6)


def with_holes():
    """Two sequences of ten steps, with an empty number and an empty word at some."""
    frame = pd.DataFrame(
        {
            "g": ["a"] * 10 + ["b"] * 10,
            "x": np.arange(20.0),
            "w": ["p", "q"] * 10,
            "target": np.arange(20.0) % 7,
        }
    )
    frame.loc[[3, 4, 10, 11], "x"] = np.nan
    frame.loc[[5, 10], "w"] = None
    return frame


@pytest.mark.parametrize("name", ["t.csv", "t.parquet"])
def test_an_empty_cell_becomes_the_last_value_of_its_sequence(name):
    frame = with_holes()
    with_holes().to_parquet("v.parquet")
    options = {"group": "g", "missing": "ffill", "val_data": "v.parquet", "test_data": "w.csv"}
    frame.to_csv("w.csv")
    parts, _ = parts_of(frame, name, **options)
    filled = frame.groupby("g")[["x", "w"]].ffill()
    column = parts.training.schema.numbers[0]
    expected = by_hand(filled.x, filled.x.notna())
    np.testing.assert_allclose(
        parts.training.numbers[:, 0], np.where(filled.x.isna(), 0, expected), atol=1e-6
    )
    assert column.mean == pytest.approx(filled.x.mean())
    codes = filled.w.map({"p": 0, "q": 1}).fillna(2)
    assert parts.training.symbols[:, 0].tolist() == codes.tolist()
    assert parts.test.checksum() == parts.validation.checksum() == parts.training.checksum()


def test_an_empty_cell_becomes_zero_in_the_units_of_its_column():
    frame = with_holes()
    parts, _ = parts_of(frame.drop(columns="g"), missing="zero")
    column = parts.training.schema.numbers[0]
    found = column.in_units(np.concatenate([part.numbers[:, 0] for part in parts]))
    np.testing.assert_allclose(found, frame.x.fillna(0), atol=1e-6)
    symbols = np.concatenate([part.symbols[:, 0] for part in parts])
    assert symbols.tolist() == frame.w.map({"p": 0, "q": 1}).fillna(2).tolist()


def test_what_programs_write_for_an_empty_cell_is_empty_and_what_may_mean_one_is_said():
    lines = [f"{step},{('walk', 'unknown', 'run')[step % 3]},{step % 5}" for step in range(20)]
    lines[4], lines[5], lines[6] = "NA,None,NaN", "?,<UNK>,1", "-,null,1"
    Path("t.csv").write_text("\n".join(["x,w,target", *lines]))
    parts, notes = read_parts(DataConfig(data="t.csv", missing="zero"))
    given = parts.training.schema.numbers[0].in_units(parts.training.numbers[4:7, 0])
    np.testing.assert_allclose(given, 0, atol=1e-6)
    assert list(np.flatnonzero(~parts.training.scored)) == [4]
    assert parts.training.schema.symbols == (Categorical("w", 3, ("run", "unknown", "walk")),)
    assert parts.training.symbols[4:7, 0].tolist() == [3, 3, 3]
    assert any("`--na-values unknown` makes it an empty cell" in note for note in notes)


def test_words_that_training_never_saw_are_unknown_and_counted():
    frame = pd.DataFrame({"w": ["a", "b"] * 10, "target": ["u", "v"] * 10})
    frame.loc[16, "w"] = "new"
    frame.loc[[18, 19], "w"] = ["a", "odd"]
    frame.loc[19, "target"] = "strange"
    parts, notes = parts_of(frame)
    assert parts.validation.symbols[:, 0].tolist() == [2, 1]
    assert parts.test.symbols[:, 0].tolist() == [0, 2]
    assert parts.test.scored.tolist() == [True, False]
    assert parts.test.targets.tolist() == [0, 0]
    assert notes == [
        "column `w`: 1 step of the validation part has a word that the training part does not "
        "have: unknown to the model",
        "column `w`: 1 step of the test part has a word that the training part does not have: "
        "unknown to the model",
        "column `target`: 1 step of the test part has a word that the training part does not "
        "have: not scored",
    ]


def test_truth_values_are_the_same_words_beside_other_words():
    lines = [f"{('true', 'false')[step % 2]},{step}" for step in range(20)]
    Path("t.csv").write_text("\n".join(["w,target", *lines]))
    Path("v.csv").write_text("\n".join(["w,target", "maybe,1", *lines]))
    parts, _ = read_parts(DataConfig(data="t.csv", val_data="v.csv"))
    assert parts.validation.symbols[:3, 0].tolist() == [2, 1, 0]


def test_all_parts_say_whether_steps_are_scored_if_one_has_steps_that_are_not():
    frame = pd.DataFrame({"x": np.arange(20.0), "target": np.arange(20.0)})
    frame.loc[19, "target"] = np.nan
    parts, _ = parts_of(frame)
    assert parts.training.scored.all()
    assert {part.spec for part in parts} == {parts.training.spec}


@pytest.mark.parametrize(
    ("name", "values"),
    [("id", range(30)), ("Index", range(1, 31)), ("row", range(30)), ("", range(5, 35))],
)
def test_a_column_that_counts_rows_is_no_input(name, values):
    frame = pd.DataFrame({name: values, "x": np.arange(30) % 4, "target": np.arange(30) % 7})
    parts, notes = parts_of(frame)
    assert [column.name for column in parts.training.schema.numbers] == ["x"]
    assert notes == [f"index: {name or 'the first column'}, in steps of 1"]


def test_a_column_that_counts_the_rows_of_a_file_of_many_sequences_is_no_input(walks):
    mixed = walks.drop(columns="step").sample(frac=1, random_state=0)
    mixed["id"] = np.arange(len(mixed))
    parts, notes = parts_of(mixed, target="label", group="who")
    assert [column.name for column in parts.training.schema.numbers] == ["value"]
    assert any("`id` numbers the rows: no input" in note for note in notes)


def test_a_column_that_counts_rows_is_an_input_where_it_is_named():
    frame = pd.DataFrame({"id": range(30), "target": np.arange(30) % 7})
    parts, notes = parts_of(frame, inputs="id")
    assert [column.name for column in parts.training.schema.numbers] == ["id"]
    assert notes == []


def test_a_column_that_grows_is_an_input_where_nothing_else_is_given():
    frame = pd.DataFrame({"time": np.arange(30) * 2, "target": [1, 2, 4, 5, 7] * 6})
    parts, notes = parts_of(frame)
    assert [column.name for column in parts.training.schema.numbers] == ["time"]
    assert notes == ["column `time` grows in every row, like an index, but is an input"]
    assert parts.training.schema.index is None


def test_an_index_that_pandas_writes_to_parquet_is_a_column(walks):
    walks.set_index("who").to_parquet("t.parquet")
    parts, _ = read_parts(DataConfig(data="t.parquet", target="value", inputs="step", group="who"))
    assert len(parts.training.bounds()) - 1 == 8


def test_a_constant_column_has_scale_one_and_is_said():
    frame = pd.DataFrame({"x": [0.1] * 30, "y": [5, 0, 9] * 10, "target": [1.5, 2, 4] * 10})
    parts, notes = parts_of(frame)
    column = parts.training.schema.numbers[0]
    assert (column.mean, column.scale) == (0.1, 1.0)
    assert not parts.training.numbers[:, 0].any()
    assert notes == ["column `x` is always 0.1 in the training part"]


def test_a_part_with_a_file_of_its_own_takes_no_share_of_the_table(weather):
    weather[:20].to_csv("val.csv", index=False)
    weather.loc[30:, ::-1].to_csv("test.csv", index=False)  # Columns in another order.
    parts, _ = parts_of(weather, target="load", val_data="val.csv", test_data="test.csv")
    assert [len(part) for part in parts] == [50, 20, 20]
    assert parts.validation.checksum() == parts.training.cut(slice(0, 20)).checksum()
    assert parts.test.checksum() == parts.training.cut(slice(30, 50)).checksum()
    one, _ = parts_of(weather, target="load", test_data="test.csv")
    assert [len(part) for part in one] == [45, 5, 20]


def test_a_whole_table_is_read_as_a_saved_schema_has_it(weather):
    parts, _ = parts_of(weather, target="load", horizon=1)
    schema = Schema.from_dict(json.loads(json.dumps(parts.training.schema.to_dict())))
    whole, notes = read_whole(Path("t.csv"), schema, DataConfig(data="t.csv", horizon=1))
    assert notes == []
    for part, steps in zip(parts, (slice(0, 40), slice(40, 45), slice(45, 50)), strict=True):
        assert whole.cut(steps).checksum() == part.checksum()


def test_spaces_around_names_and_cells_and_a_byte_order_mark_are_no_part_of_them():
    lines = [f" {'ab'[step % 2]} , {step % 16} ,{step % 3}" for step in range(20)]
    Path("t.csv").write_text("\n".join(["\ufeff w , x,target ", *lines]), encoding="utf-8")
    parts, _ = read_parts(DataConfig(data="t.csv"))
    assert parts.training.schema.symbols == (Categorical("w", 2, ("a", "b")),)
    assert parts.training.schema.numbers[0].name == "x"
    assert parts.training.schema.numbers[0].mean == 7.5


def test_huge_whole_numbers_and_quoted_ones_are_numbers():
    lines = [f'{10**25 + step * 10**24},"{step}"' for step in range(20)]
    Path("t.csv").write_text("\n".join(["x,target", *lines]))
    parts, _ = read_parts(DataConfig(data="t.csv"))
    assert parts.training.schema.numbers[0].mean == pytest.approx(1.75e25)


def test_large_numbers_with_small_differences_keep_them():
    frame = pd.DataFrame({"x": 1.7e9 + np.arange(30.0), "target": [1, 2, 4] * 10})
    parts, _ = parts_of(frame)
    steps = np.diff(parts.training.numbers[:, 0].astype(np.float64))
    np.testing.assert_allclose(steps, 1 / np.arange(24).std(), rtol=1e-4)


@given(
    st.lists(st.lists(st.sampled_from([None, 0, 1, 2]), min_size=1, max_size=6), min_size=3),
    st.integers(0, 3),
)
def test_filling_and_looking_ahead_agree_with_pandas(tmp_path_factory, sequences, horizon):
    from lstmcli.data.table.sequences import Sequences, ahead, filled

    bounds = np.concatenate([[0], np.cumsum([len(each) for each in sequences])])
    frame = pd.DataFrame(
        {
            "g": np.repeat(np.arange(len(sequences)), np.diff(bounds)),
            "x": np.array([value for each in sequences for value in each], float),
        }
    )
    where, values = Sequences(bounds, True), frame.x.to_numpy()
    grouped = frame.groupby("g").x
    np.testing.assert_array_equal(filled(values, np.isnan(values), where.begins), grouped.ffill())
    np.testing.assert_array_equal(
        ahead(values, horizon, where.ends, np.nan), grouped.shift(-horizon)
    )
