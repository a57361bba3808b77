"""Dataset files of any arrays, their parts, and their fit to a model."""

import itertools
import json

import numpy as np
import pytest

from lstmcli.config import DataConfig
from lstmcli.data import arrays as array_files
from lstmcli.data import csv_series, tasks
from lstmcli.data.schema import Categorical, Numeric, Schema, plain
from lstmcli.data.series import Series, no_symbols
from lstmcli.data.tasks import echo
from lstmcli.utils.errors import FileError


def npz(path, **arrays):
    np.savez(path, **arrays)
    return path


def read(path, **arrays):
    return array_files.read(npz(path, **arrays))[0]


def parts_of(path, **settings):
    return array_files.read_parts(DataConfig(data=str(path), **settings))


@pytest.fixture
def x(tmp_path):
    return tmp_path / "x.npz"


def everything():
    """A series that has all that there is."""
    rng = np.random.default_rng(0)
    schema = Schema(
        "table",
        (Numeric("temp", 20.5, 3.0), Numeric("load")),
        (Categorical("day", 3, ("mo", "tu", "we")), Categorical("id", 300)),
        (Numeric("high", 1.0, 2.0), Numeric("low")),
    )
    symbols = np.stack([rng.integers(0, 4, 50), rng.integers(0, 301, 50)], 1).astype(np.uint16)
    starts = np.arange(50) % 7 == 0
    return Series(
        schema,
        rng.normal(size=(50, 2)).astype(np.float32),
        symbols,
        rng.normal(size=(50, 2)).astype(np.float32),
        scored=rng.random(50) < 0.5,
        starts=starts,
    )


# --- what a file holds


@pytest.mark.parametrize("ending", ["npz", "csv"])
def test_a_series_of_all_arrays_comes_back_to_the_bit(ending, tmp_path):
    series = everything()
    array_files.write(tmp_path / f"x.{ending}", series, {})
    found, metadata = array_files.read(tmp_path / f"x.{ending}")
    assert set(found.arrays) == {"numbers", "symbols", "targets", "scored", "starts"}
    for name, array in series.arrays.items():
        assert found.arrays[name].dtype == array.dtype
        assert found.arrays[name].tobytes() == array.tobytes()
    assert found.schema == series.schema
    assert metadata["sha256"] == series.checksum()


def test_csv_of_all_arrays_has_a_column_for_each(tmp_path):
    array_files.write(tmp_path / "x.csv", everything(), {})
    first = (tmp_path / "x.csv").read_text().splitlines()[0]
    assert first == "input_0,input_1,symbol_0,symbol_1,target_0,target_1,scored,starts"


def test_npz_of_echo_is_as_it_was_before_there_were_symbols(x):
    series = echo.generate(DataConfig(series_length=90, classes=3), np.random.default_rng(0))
    array_files.write(x, series, {})
    with np.load(x) as file:
        assert set(file) == {"inputs", "targets", "metadata"}
        np.testing.assert_array_equal(file["inputs"], np.eye(3)[series.symbols[:, 0]])
        assert set(json.loads(str(file["metadata"]))) == {
            "task",
            "classes",
            "sha256",
            "lstmcli_format",
        }
    found, _ = array_files.read(x)
    assert (found.features, found.schema) == (3, plain(3, 3))
    array_files.write(x.with_name("again.npz"), found, {})
    assert array_files.read(x.with_name("again.npz"))[0].checksum() == found.checksum()


@pytest.mark.parametrize(
    ("targets", "classes"),
    [
        (np.int64([0, 2, 1]), 3),
        (np.array([False, True, True]), 2),
        (np.float32([0, 2, 0]), 3),
        (np.float32([0, 0.5, 1]), 0),
        (np.float64([[0], [2], [1]]), 0),
        (np.float64([[0, 1], [2, 1], [1, 1]]), 0),
    ],
)
def test_targets_are_classes_if_they_are_whole_numbers_in_one_row(targets, classes, x):
    series = read(x, inputs=np.zeros(3), targets=targets)
    assert (series.classes, series.scored) == (classes, None)
    expected = targets if classes else targets.reshape(3, -1)
    np.testing.assert_array_equal(series.targets, expected)
    assert series.targets.dtype == (np.int32 if classes else np.float32)
    assert series.spec.outputs == (classes or expected.shape[1])


@pytest.mark.parametrize(
    ("targets", "classes", "scored"),
    [
        ([0, np.nan, 2], 3, [True, False, True]),
        ([0.5, np.nan, 2], 0, [True, False, True]),
        ([[0, 1], [np.nan, 1], [1, np.nan]], 0, [True, False, False]),
    ],
)
def test_a_step_without_a_target_is_not_scored(targets, classes, scored, x):
    series = read(x, inputs=np.zeros(3), targets=np.float64(targets))
    assert (series.classes, series.scored.tolist()) == (classes, scored)
    assert np.isfinite(series.targets).all()
    asked = read(x, inputs=np.zeros(3), targets=np.float64(targets), scored=np.int8([1, 1, 0]))
    assert asked.scored.tolist() == [True, False, False]


def test_bare_symbols_have_the_vocabulary_that_they_need(x):
    symbols = np.int64([[0, 1], [4, 0], [2, 2], [1, 0], [0, 3]])
    series = read(x, symbols=symbols, targets=np.zeros(5, int))
    assert [column.size for column in series.schema.symbols] == [5, 4]
    assert (series.numbers.shape, series.symbols.dtype) == ((5, 0), np.uint8)
    np.testing.assert_array_equal(series.symbols, symbols)


def test_numbers_win_where_there_are_inputs_too(x):
    series = read(x, numbers=np.ones(3), inputs=np.zeros(3), targets=np.zeros(3))
    assert series.numbers.tolist() == [[1], [1], [1]]


def test_a_sequence_begins_at_the_first_step_whatever_the_file_says(x):
    series = read(x, inputs=np.zeros(4), targets=np.zeros(4), starts=np.int8([0, 0, 1, 0]))
    assert series.bounds().tolist() == [0, 2, 4]


@pytest.mark.parametrize(
    ("arrays", "complaint"),
    [
        ({}, "neither `numbers` nor `symbols`"),
        ({"symbols": np.int8([0, 1, -1])}, "step 2 .* of `symbols`: .*from 0 on.*got `-1`"),
        ({"symbols": np.float64([[0, 1], [0, 0.5], [0, 0]])}, "step 1 .*column 1.*got `0.5`"),
        ({"symbols": np.int64([0, 1, 10**6])}, "below the 3 steps, got `1000000`"),
        ({"inputs": np.zeros(3), "scored": np.int8([1, 2, 0])}, "of `scored`: expected 0 or 1"),
        ({"inputs": np.zeros(3), "starts": np.zeros((3, 1))}, r"starts `\[steps\]` and"),
        ({"inputs": np.zeros(3), "scored": np.zeros(3)}, "none of its steps is scored"),
        ({"inputs": np.zeros(3), "targets": np.float64([0.5, np.inf, 0])}, "step 1 .*finite.*inf"),
        ({"inputs": np.zeros(3), "targets": np.full(3, np.nan)}, "none of its steps is scored"),
        ({"inputs": np.zeros(3), "targets": np.zeros((3, 2), int)}, r"targets `\[steps\]` and"),
    ],
)  # fmt: skip
def test_arrays_that_are_no_series_are_refused_by_what_is_wrong(arrays, complaint, x):
    npz(x, **{"targets": np.zeros(3, int), **arrays})
    with pytest.raises(FileError, match=complaint):
        array_files.read(x)


def test_arrays_that_a_schema_does_not_describe_are_refused(x):
    schema = json.dumps({"schema": plain(2, 2).to_dict()})
    npz(x, inputs=np.zeros(3), targets=np.zeros(3), metadata=schema)
    with pytest.raises(FileError, match="schema in its metadata"):
        array_files.read(x)


@pytest.mark.parametrize(
    ("column", "value", "complaint"),
    [(3, "x", "line 4, column `symbol_1`: .*`x`"), (5, "", "line 4, column `target_1`: .*empty")],
)
def test_a_bad_cell_of_a_csv_is_named_by_its_line_and_column(column, value, complaint, tmp_path):
    array_files.write(tmp_path / "x.csv", everything(), {})
    lines = (tmp_path / "x.csv").read_text().splitlines()
    cells = lines[3].split(",")
    cells[column] = value
    lines[3] = ",".join(cells)
    (tmp_path / "x.csv").write_text("\n".join(lines))
    with pytest.raises(FileError, match=complaint):
        array_files.read(tmp_path / "x.csv")


@pytest.mark.parametrize(
    ("text", "own"),
    [
        ("input,target\n1,0\n", True),
        ("\ninput_0,input_1,target\n", True),
        ("symbol,target\nAAPL,1.5\n", False),
        ("input,target,scored\n", False),
        ("date,price\n", False),
        ("", False),
    ],
)
def test_a_table_is_told_from_a_dataset_by_its_first_line(text, own, tmp_path):
    (tmp_path / "x.csv").write_text(text)
    assert csv_series.is_own_table(tmp_path / "x.csv") == own
    array_files.write(tmp_path / "y.csv", everything(), {})
    assert csv_series.is_own_table(tmp_path / "y.csv")
    (tmp_path / "y.json").unlink()
    assert not csv_series.is_own_table(tmp_path / "y.csv")
    assert not csv_series.is_own_table(tmp_path / "none.csv")


# --- parts


def test_an_endless_series_is_cut_by_time_and_a_part_with_a_file_takes_no_share(x):
    inputs = np.arange(100.0)
    npz(x, inputs=inputs, targets=np.arange(100) % 2)
    parts, notes = parts_of(x, val_fraction=0.2, test_fraction=0.1)
    lengths = [part.numbers[:, 0].tolist() for part in parts]
    assert lengths == [list(range(70)), list(range(70, 90)), list(range(90, 100))]
    assert notes == []
    npz(x.with_name("y.npz"), inputs=-inputs, targets=np.zeros(100))
    parts, _ = parts_of(x, val_data=str(x.with_name("y.npz")))
    assert [len(part) for part in parts] == [90, 100, 10]
    assert parts.validation.numbers[5] == -5
    assert parts.validation.schema == parts.training.schema


def test_sequences_are_divided_whole_by_the_split_seed(x):
    series = tasks.generate(DataConfig(task="order", series_length=5000), np.random.default_rng(0))
    array_files.write(x, series, {})
    parts, _ = parts_of(x, val_fraction=0.2, test_fraction=0.3)
    bounds = series.bounds()
    whole = {series.symbols[a:b].tobytes() for a, b in itertools.pairwise(bounds)}
    found = []
    for part in parts:
        own = part.bounds()
        found += [part.symbols[a:b].tobytes() for a, b in itertools.pairwise(own)]
        assert part.scored.sum() == len(own) - 1
    assert len(found) == len(whole)
    assert set(found) == whole
    assert [len(part.bounds()) - 1 for part in parts[1:]] == [
        round(0.2 * len(whole)),
        round(0.3 * len(whole)),
    ]
    again, other = (parts_of(x, split_seed=seed)[0].test.checksum() for seed in (0, 1))
    assert parts_of(x)[0].test.checksum() == again != other


def test_a_file_with_too_few_sequences_for_its_parts_is_refused(x):
    npz(x, inputs=np.zeros(6), targets=np.zeros(6), starts=np.int8([1, 0, 0, 1, 0, 0]))
    with pytest.raises(FileError, match=r"2 sequences: too few") as caught:
        parts_of(x)
    assert "--val-data" in caught.value.hint
    parts, _ = parts_of(x, val_data=str(x))
    assert [len(part) for part in parts] == [3, 6, 3]


def test_targets_in_numbers_are_standardised_by_the_scored_steps_of_the_training_part(x):
    rng = np.random.default_rng(0)
    targets = rng.normal([5, -70], [2, 10], (200, 2))
    targets[10] = np.nan
    npz(x, inputs=np.full(200, 7.0), targets=targets)
    npz(x.with_name("y.npz"), inputs=np.zeros(50), targets=targets[:50] + 1)
    parts, notes = parts_of(x, test_data=str(x.with_name("y.npz")))
    assert notes == [f"1 of the 200 steps of `{x}` are not scored"]
    means, scales = np.nanmean(targets[:180], 0), np.nanstd(targets[:180], 0)
    expected = (targets - means) / scales
    for part, steps in ((parts.training, slice(180)), (parts.validation, slice(180, None))):
        known = part.scored
        np.testing.assert_allclose(part.targets[known], expected[steps][known], atol=1e-5)
        assert (part.numbers == 7).all()
    np.testing.assert_allclose(
        parts.test.targets[20:], (targets[20:50] + 1 - means) / scales, atol=1e-5
    )
    for column, mean, scale in zip(parts.test.schema.target, means, scales, strict=True):
        assert (column.mean, column.scale) == pytest.approx((mean, scale), rel=1e-5)


def test_targets_of_a_task_keep_the_tasks_own_scale(x):
    series = tasks.generate(DataConfig(task="adding", series_length=4000), np.random.default_rng(0))
    array_files.write(x, series, {})
    parts, _ = parts_of(x)
    assert all(part.schema == series.schema for part in parts)
    assert sorted(np.concatenate([p.targets[p.scored, 0] for p in parts])) == sorted(
        series.targets[series.scored, 0]
    )


@pytest.mark.parametrize(
    ("other", "complaint"),
    [
        ({"inputs": np.zeros((9, 2))}, "has 2 features and 2 classes, .* has 1 and 2"),
        ({"targets": np.arange(9) % 3}, "has 1 feature and 3 classes, .* has 1 and 2"),
        ({"starts": np.ones(9)}, "y.npz` has `starts` of sequences, but `.*x.npz` has not"),
    ],
)
def test_a_part_that_is_not_like_the_training_part_is_refused(other, complaint, x):
    npz(x, inputs=np.zeros(90), targets=np.zeros(90))
    y = npz(x.with_name("y.npz"), **{"inputs": np.zeros(9), "targets": np.zeros(9), **other})
    with pytest.raises(FileError, match=complaint):
        parts_of(x, val_data=str(y))


def test_a_part_in_which_nothing_is_scored_is_refused(x):
    npz(x, inputs=np.zeros(100), targets=np.zeros(100), scored=np.arange(100) < 85)
    with pytest.raises(FileError, match="none of the 10 steps of the test part"):
        parts_of(x)


# --- a whole file for a model


def whole(path, schema):
    return array_files.read_whole(path, schema, DataConfig())[0]


def test_a_one_hot_file_fits_a_model_of_drawn_symbols_and_the_other_way_round(x):
    drawn = echo.generate(DataConfig(series_length=90, classes=3), np.random.default_rng(0))
    array_files.write(x, drawn, {})
    found = whole(x, drawn.schema)
    assert (found.schema, found.checksum()) == (drawn.schema, drawn.checksum())
    y = npz(x.with_name("y.npz"), symbols=drawn.symbols, targets=drawn.targets)
    found = whole(y, plain(3, 3))
    np.testing.assert_array_equal(found.numbers, np.eye(3)[drawn.symbols[:, 0]])
    assert found.schema == plain(3, 3)


def test_numbers_that_are_not_one_hot_do_not_pass_for_symbols(x):
    npz(x, inputs=np.full((9, 3), 0.5), targets=np.zeros(9))
    with pytest.raises(FileError, match="has 3 features"):
        whole(x, plain(0, 2, symbols=3))


def test_a_file_with_more_than_the_model_knows_is_refused_as_ever(x):
    npz(x, inputs=np.zeros((9, 2)), targets=np.arange(9) % 3)
    with pytest.raises(FileError) as caught:
        whole(x, plain(1, 2))
    assert caught.value.message == (
        "the data has 2 features and 3 classes, the model was trained on 1 and 2"
    )
    assert "lstmcli inspect" in caught.value.hint
    assert whole(x, plain(2, 5)).classes == 5


def test_numbers_of_a_stranger_are_seen_on_the_models_scale(x):
    schema = Schema("series", (Numeric("a", 10, 2),), (), (Numeric("b", -1, 4),))
    npz(x, inputs=np.array([10.0, 12, 16]), targets=np.array([-1.0, 3, 1.5]))
    found = whole(x, schema)
    assert found.numbers.tolist() == [[0], [1], [3]]
    assert found.targets.tolist() == [[0], [1], [0.625]]
    npz(x, inputs=np.array([10.0, 12, 16]), targets=np.array([-5, 7, 11]))
    assert whole(x, schema).targets.tolist() == [[-1], [2], [3]]
    ours = Series(schema, np.zeros((3, 1), np.float32), no_symbols(3), found.targets)
    array_files.write(x, ours, {})
    assert whole(x, schema).checksum() == ours.checksum()
