"""Data: the echo task, its floor, its streams, and files."""

import dataclasses
import hashlib
import io
import itertools
import json
import math
import re
import shlex
from collections import defaultdict
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from typer.testing import CliRunner

from lstmcli.cli.app import app
from lstmcli.config import Config, DataConfig
from lstmcli.data import arrays as array_files
from lstmcli.data.baselines import baselines
from lstmcli.data.batching import ContiguousWindows, windows_of
from lstmcli.data.datasets import open_source, series_to_test, unused_classes
from lstmcli.data.schema import plain
from lstmcli.data.series import Series, no_symbols
from lstmcli.data.tasks import echo
from lstmcli.utils.errors import FileError, UsageError
from lstmcli.utils.rng import Stream, generator


def draw(seed=0, **task):
    return echo.generate(DataConfig(**task), np.random.default_rng(seed))


def symbols(series):
    """What was drawn, back from the inputs."""
    return (series.symbols if series.schema.symbols else series.numbers)[:, 0].astype(int)


def bare(numbers, targets, classes):
    """A series of a stranger."""
    schema = plain(numbers.shape[1], classes)
    return Series(schema, numbers, no_symbols(len(numbers)), targets)


# --- the echo task


@pytest.mark.parametrize("classes", [2, 3, 5])
@pytest.mark.parametrize("echo_step", [0, 1, 3, 40])
def test_labels_are_the_inputs_of_the_echo_step_before_and_zero_where_there_is_none(
    classes, echo_step
):
    series = draw(series_length=300, echo_step=echo_step, classes=classes)
    drawn = symbols(series)
    expected = [drawn[t - echo_step] if t >= echo_step else 0 for t in range(300)]
    assert series.targets.tolist() == expected
    assert set(drawn) == set(range(classes))


def test_rows_are_cut_as_the_article_cuts_them():
    """Roll, zero, then reshape: a row's first labels come from the row before."""
    series = draw(series_length=5 * 30)
    x = symbols(series)
    y = np.roll(x, 3)
    y[0:3] = 0
    windows = windows_of(series, rows=5, bptt=15).take(0, 2)
    for window in range(2):
        span = slice(15 * window, 15 * (window + 1))
        numbers = windows["numbers"][window, ..., 0]
        np.testing.assert_array_equal(numbers.T, x.reshape(5, -1)[:, span])
        np.testing.assert_array_equal(windows["targets"][window].T, y.reshape(5, -1)[:, span])


@pytest.mark.parametrize("classes", [2, 4])
def test_noise_replaces_its_share_of_labels_by_any_other_symbol(classes):
    series = draw(series_length=50_000, echo_step=3, classes=classes, noise=0.2)
    clean = np.concatenate([np.zeros(3, int), symbols(series)[:-3]])
    shift = (series.targets - clean) % classes
    counts = np.bincount(shift, minlength=classes)
    expected = 50_000 * np.array([0.8] + [0.2 / (classes - 1)] * (classes - 1))
    assert (np.abs(counts - expected) < 5 * np.sqrt(expected)).all()


def test_two_classes_are_one_number_a_step_and_more_are_one_symbol():
    two = draw(series_length=100)
    assert set(two.numbers.ravel()) == {0.0, 1.0}
    assert (two.numbers.shape, two.symbols.shape) == ((100, 1), (100, 0))
    many = draw(series_length=5000, classes=300)
    assert (many.numbers.shape, many.symbols.shape) == ((5000, 0), (5000, 1))
    assert (many.symbols.dtype, many.symbols.max()) == (np.uint16, 299)
    assert (many.targets.dtype, many.features, many.classes) == (np.int32, 300, 300)


@pytest.mark.parametrize(
    ("classes", "noise", "digest"),
    [
        (2, 0.0, "b5759ca83f9a2230901dfa43c571907b23a2e6d9911b9f799924ee4d5002caed"),
        (3, 0.1, "ac5bf570b7156726dbdb6f353bf01cf2ba930a2fd48f746ece9d071819a5487b"),
        (300, 0.0, "bf97a434fe2d97f7f6e3c9de4a626822bd6c10fe2c1c8f3f1dee5a6014273db6"),
    ],
)
def test_an_echo_series_is_to_the_bit_what_version_1_drew(classes, noise, digest):
    """As hashed then: one-hot inputs as float32, and the labels as int32."""
    series = draw(7, series_length=1000, classes=classes, noise=noise)
    drawn = symbols(series)
    inputs = drawn[:, None] if classes == 2 else drawn[:, None] == np.arange(classes)
    hashed = inputs.astype("<f4").tobytes() + series.targets.astype("<i4").tobytes()
    assert hashlib.sha256(hashed).hexdigest() == digest
    assert array_files.as_written(series).checksum() == digest


# --- rows and windows


@given(rows=st.integers(1, 7), bptt=st.integers(1, 9), extra=st.integers(0, 80))
def test_windows_put_together_again_are_the_series_but_for_the_dropped_steps(rows, bptt, extra):
    steps = rows * bptt + extra
    numbers = np.arange(steps)
    inputs = np.stack([numbers, -numbers], 1).astype(np.float32)
    windows = windows_of(bare(inputs, numbers.astype(np.int32), steps), rows, bptt)
    cut = windows.take(0, len(windows))
    pieces = [np.concatenate(cut["targets"][:, :, row]) for row in range(rows)]
    length = steps // rows
    for row, piece in enumerate(pieces):
        assert piece.tolist() == list(range(row * length, row * length + len(piece)))
        assert length - len(piece) < bptt
    np.testing.assert_array_equal(cut["numbers"][..., 0], cut["targets"])
    np.testing.assert_array_equal(cut["numbers"][..., 1], -cut["targets"])
    assert windows.cut.dropped == steps - len(set(np.concatenate(pieces).tolist()))
    for begin in range(len(windows)):
        some = windows.take(begin, 2)["targets"]
        np.testing.assert_array_equal(some, cut["targets"][begin : begin + 2])


def test_a_series_too_short_for_one_window_is_refused():
    with pytest.raises(FileError, match=r"74 steps.*75"):
        windows_of(draw(series_length=74), rows=5, bptt=15)


@given(
    lengths=st.lists(st.integers(1, 12), min_size=1, max_size=20), rows=st.integers(1, 5),
    bptt=st.integers(1, 6), seed=st.none() | st.integers(0, 3),
)  # fmt: skip
def test_sequences_are_packed_whole_each_once_and_rows_are_padded_at_their_end(
    lengths, rows, bptt, seed
):
    steps = sum(lengths)
    starts = np.zeros(steps, bool)
    starts[np.cumsum([0, *lengths[:-1]])] = True
    series = dataclasses.replace(
        bare(np.zeros((steps, 1), np.float32), np.arange(steps, dtype=np.int32), steps),
        starts=starts,
    )
    windows = windows_of(series, rows, bptt, None if seed is None else np.random.default_rng(seed))
    found, seen = {name: windows.all(name) for name in ("targets", "scored", "starts")}, []
    for targets, scored, begins in zip(*found.values(), strict=True):
        used = int(scored.sum())
        assert scored[:used].all()  # Padding stands at the end.
        seen += targets[:used].tolist()
        firsts = np.flatnonzero(begins[:used])
        assert used == 0 or firsts[0] == 0
        for begin, end in itertools.pairwise([*firsts, used]):
            sequence = targets[begin:end]
            assert starts[sequence[0]]
            assert sequence.tolist() == list(range(sequence[0], sequence[0] + len(sequence)))
            assert sequence[-1] == steps - 1 or starts[sequence[-1] + 1]
    assert sorted(seen) == list(range(steps))
    assert len(windows) <= -(-(-(-steps // rows) + max(lengths)) // bptt)


def test_every_epoch_packs_sequences_in_an_order_of_its_own():
    series = dataclasses.replace(
        bare(np.zeros((60, 1), np.float32), np.arange(60, dtype=np.int32), 60),
        starts=np.arange(60) % 5 == 0,
    )
    orders = [windows_of(series, 3, 5, np.random.default_rng(seed)) for seed in (0, 0, 1)]
    same, again, other = (each.all("targets").tolist() for each in orders)
    assert same == again != other


# --- the floor


def enumerated_floor(rows, row_length, used, echo_step, classes, noise, offset):
    """Entropy and best guess of the label given a row's inputs so far, over every series there is.

    Every series of `offset + rows * row_length` symbols is equally likely, and so is every row.
    """
    steps = offset + rows * row_length
    weight = 1 / (classes**steps * rows)
    joint = defaultdict(lambda: np.zeros(classes))
    for drawn in itertools.product(range(classes), repeat=steps):
        for start in range(offset, steps, row_length):
            for t in range(start, start + used):
                label = np.full(classes, noise / (classes - 1))
                label[drawn[t - echo_step] if t >= echo_step else 0] = 1 - noise
                joint[drawn[start : t + 1]] += weight * label
    loss = accuracy = 0.0
    for probabilities in joint.values():
        seen = probabilities[probabilities > 0]
        loss -= (seen * np.log(seen / seen.sum())).sum() / used
        accuracy += probabilities.max() / used
    return loss, accuracy


@pytest.mark.parametrize("noise", [0.0, 0.15, 0.8])
@pytest.mark.parametrize(
    ("classes", "rows", "row_length", "bptt", "echo_step", "offset"),
    [
        (2, 2, 4, 4, 2, 0),
        (3, 2, 4, 4, 2, 0),
        (2, 3, 3, 1, 1, 0),
        (2, 2, 5, 2, 2, 0),  # a step of each row is dropped
        (2, 4, 2, 2, 3, 0),  # an echo step longer than a row
        (2, 1, 6, 3, 0, 0),
        (2, 2, 4, 4, 2, 3),  # a tail: every label has a source
        (2, 2, 4, 2, 3, 2),  # a tail whose first label has none
    ],
)
def test_floor_equals_the_entropy_found_by_enumerating_every_series(
    classes, rows, row_length, bptt, echo_step, offset, noise
):
    steps = offset + rows * row_length
    whole = draw(series_length=steps, echo_step=echo_step, classes=classes, noise=noise)
    series = whole.cut(slice(offset, None))
    layout = ContiguousWindows(len(series), rows, bptt)
    floor = echo.bayes_floor(series, layout)
    expected = enumerated_floor(rows, row_length, layout.used, echo_step, classes, noise, offset)
    np.testing.assert_allclose((floor.loss, floor.accuracy), expected, rtol=1e-9, atol=1e-12)


def test_floor_of_the_defaults_is_the_articles():
    """Three blind steps in each of five rows; the label is 0 in one row, uniform in the others."""
    entropy = -(0.4 * math.log(0.4) + 0.6 * math.log(0.6))
    floor = echo.bayes_floor(draw(), ContiguousWindows(50_000, 5, 15))
    assert floor.loss == pytest.approx(15 * entropy / (666 * 75), rel=1e-12)
    assert floor.loss == pytest.approx(2.0210560570848535e-04, rel=1e-12)
    assert floor.accuracy == pytest.approx(1 - 15 * 0.4 / (666 * 75), rel=1e-12)


def test_labels_of_a_held_back_tail_all_have_a_source():
    """So nothing tells its rows' first labels: log 2 nats each, not the entropy of 0.4."""
    tail = draw(series_length=5000).cut(slice(4500, None))
    floor = echo.bayes_floor(tail, ContiguousWindows(500, 5, 15))
    assert floor.loss == pytest.approx(3 * math.log(2) / 90)


def test_a_strangers_series_has_no_floor():
    series = bare(np.zeros((100, 1), np.float32), np.zeros(100, np.int32), 2)
    assert echo.bayes_floor(series, ContiguousWindows(100, 5, 15)) is None


def best_predictors_loss(series, rows, bptt, echo_step, noise):
    """The mean of -log P(label) of whoever knows the task, but not which row it sees."""
    drawn, length = symbols(series), len(series) // rows
    used = length // bptt * bptt
    total = 0.0
    for start in range(0, rows * length, length):
        for step in range(used):
            label = series.targets[start + step]
            if step >= echo_step:
                right = label == drawn[start + step - echo_step]
                chances = [1 - noise if right else noise / (series.classes - 1)]
            else:  # Of all rows, those whose label has no source have a 0, the others anything.
                zero = 1 - noise if label == 0 else noise / (series.classes - 1)
                begins = range(0, rows * length, length)
                chances = [zero if b + step < echo_step else 1 / series.classes for b in begins]
            total -= math.log(sum(chances) / len(chances))
    return total / (rows * used)


@pytest.mark.parametrize("noise", [0.0, 0.05, 0.4])
@pytest.mark.parametrize("classes", [2, 4])
def test_oracle_is_the_best_predictors_loss_on_the_very_labels(classes, noise):
    series = draw(series_length=400, echo_step=4, classes=classes, noise=noise)
    floor = echo.bayes_floor(series, ContiguousWindows(400, 5, 15))
    assert floor.windows.shape == (5,)
    assert floor.oracle == pytest.approx(best_predictors_loss(series, 5, 15, 4, noise), rel=1e-12)


@pytest.mark.parametrize("noise", [0.0, 0.05, 0.2, 0.4])
@pytest.mark.parametrize("classes", [2, 5])
def test_the_best_predictor_counts_as_solved_in_995_of_1000_series(classes, noise):
    """Held against the floor's expectation it would not: see the second count."""
    solved = against_expectation = 0
    for seed in range(1000):
        series = draw(seed, series_length=750, classes=classes, noise=noise)
        floor = echo.bayes_floor(series, ContiguousWindows(750, 5, 15))
        loss = float(np.float32(floor.oracle))  # As a network would have it.
        solved += floor.solved(loss)
        against_expectation += loss - floor.loss < floor.line
    assert solved >= 995
    assert noise == 0 or against_expectation < 900


def test_a_chance_guess_has_solved_nothing():
    floor = echo.bayes_floor(draw(noise=0.4), ContiguousWindows(50_000, 5, 15))
    assert not floor.solved(math.log(2))


def test_evidence_takes_more_than_a_lucky_mean():
    floor = echo.bayes_floor(draw(series_length=7500), ContiguousWindows(7500, 5, 15))
    even = floor.windows + 0.8 * floor.line
    uneven = even.copy()
    uneven[::2] += 3 * floor.line
    uneven[1::2] -= 3 * floor.line
    labels = np.full(len(even), 75)
    assert floor.evident(even.astype(np.float32), labels)
    assert floor.solved(uneven.mean())
    assert not floor.evident(uneven.astype(np.float32), labels)
    labels[1::2] = 0  # Of the windows that count, none is near.
    assert not floor.evident(uneven.astype(np.float32), labels)


def test_labels_that_the_task_cannot_have_have_no_floor():
    series = draw(series_length=300)
    wrong = dataclasses.replace(series, targets=1 - series.targets)
    assert echo.bayes_floor(wrong, ContiguousWindows(300, 5, 15)) is None


@pytest.mark.parametrize(("noise", "classes"), [(0.5, 2), (0.75, 4)])
@pytest.mark.parametrize("command", ["train", "sweep"])
def test_where_floor_and_chance_coincide_nothing_is_trained(run, command, noise, classes, tmp_path):
    result = run(command, "--noise", noise, "--classes", classes, exit_code=2)
    assert "there is nothing to learn" in result.stderr
    assert not list(tmp_path.iterdir())


# --- streams


def test_no_two_streams_or_seeds_or_epochs_draw_the_same():
    keys = list(itertools.product(range(20), Stream, range(5)))
    drawn = {generator(*key).bytes(16) for key in keys}
    assert len(drawn) == len(keys)
    assert generator(3, Stream.TRAINING, 2).bytes(16) == generator(3, Stream.TRAINING, 2).bytes(16)


def test_a_source_draws_validation_test_and_every_epoch_apart_and_the_same_again():
    def drawn(**seeds):
        config = Config.build(series_length=150, **seeds)
        source = open_source(config)
        epochs = [source.training(epoch)[0] for epoch in range(3)]
        drawn = (*epochs, *source.validation(), *source.test())
        return [each.all("numbers").tobytes() for each in drawn]

    zero, one = drawn(seed=0), drawn(seed=1)
    assert len({*zero, *one}) == 10
    assert drawn(seed=0) == zero
    assert drawn(seed=7, data_seed=1) == one


def test_a_generated_dataset_is_none_of_the_series_of_a_run_with_its_seed(run):
    run("generate", "data.npz", "--series-length", 150)
    with np.load("data.npz") as file:
        dataset = file["inputs"]
    config = Config.build(series_length=150)
    source = open_source(config)
    streams = set(Stream) - {Stream.DATASET}
    fresh = [source.draw(0, stream, 0).numbers[:, 0] for stream in streams]
    assert not any(np.array_equal(dataset, each) for each in fresh)


# --- files


@st.composite
def datasets(draw):
    steps, features = draw(st.integers(1, 20)), draw(st.integers(1, 3))
    finite = st.floats(width=32, allow_nan=False, allow_infinity=False)
    inputs = draw(npst.arrays(np.float32, (steps, features), elements=finite | st.integers(0, 1)))
    classes = draw(st.integers(2, 6))
    targets = draw(npst.arrays(np.int32, steps, elements=st.integers(0, classes - 1)))
    return bare(inputs, targets, classes)


@pytest.mark.parametrize("ending", ["npz", "csv"])
@given(series=datasets())
def test_a_dataset_comes_back_from_its_file_to_the_bit(ending, tmp_path_factory, series):
    path = tmp_path_factory.getbasetemp() / f"dataset.{ending}"
    array_files.write(path, series, {"origin": "here"})
    found, metadata = array_files.read(path)
    assert found.numbers.tobytes() == series.numbers.tobytes()
    assert found.numbers.shape == series.numbers.shape
    assert found.targets.tolist() == series.targets.tolist()
    assert (found.classes, metadata["origin"]) == (series.classes, "here")


@pytest.mark.parametrize("ending", ["npz", "csv"])
def test_a_datasets_task_comes_back_with_it_and_so_does_its_floor(ending, tmp_path):
    series = draw(series_length=200, classes=3, noise=0.1)
    array_files.write(tmp_path / f"x.{ending}", series, {})
    found, _ = array_files.read(tmp_path / f"x.{ending}")
    layout = ContiguousWindows(200, 5, 15)
    ours, theirs = (echo.bayes_floor(each, layout) for each in (found, series))
    assert (ours.loss, ours.accuracy, ours.chance) == (theirs.loss, theirs.accuracy, theirs.chance)
    np.testing.assert_array_equal(ours.windows, theirs.windows)


def test_npz_holds_the_contracts_arrays(run):
    run("generate", "x.npz", "--series-length", 100)
    run("generate", "y.npz", "--series-length", 100, "--classes", 3)
    with np.load("x.npz") as two, np.load("y.npz") as three:
        assert set(two) == {"inputs", "targets", "metadata"}
        assert (two["inputs"].shape, three["inputs"].shape) == ((100,), (100, 3))
        metadata = json.loads(str(two["metadata"]))
    assert metadata["task"]["name"] == "echo"
    assert {"seed", "sha256", "floor"} <= set(metadata)


def test_csv_holds_the_contracts_columns_and_its_metadata_lie_beside_it(run, tmp_path):
    run("generate", "x.csv", "--series-length", 100)
    run("generate", "y.csv", "--series-length", 100, "--classes", 3)
    assert (tmp_path / "x.csv").read_text().startswith("input,target\n")
    assert (tmp_path / "y.csv").read_text().startswith("input_0,input_1,input_2,target\n")
    assert json.loads((tmp_path / "y.json").read_text())["task"]["classes"] == 3


@pytest.mark.parametrize("name", ["x.npz", "x.csv"])
def test_a_missing_dataset_is_refused_with_the_command_that_makes_one(name, tmp_path):
    with pytest.raises(FileError, match="no dataset") as caught:
        array_files.read(tmp_path / name)
    assert "lstmcli generate" in caught.value.hint


def test_another_ending_is_wrong_usage(tmp_path):
    with pytest.raises(UsageError, match=r"\.npz or \.csv"):
        array_files.read(tmp_path / "x.parquet")


@pytest.mark.parametrize("ending", ["npz", "csv"])
def test_a_file_cut_off_anywhere_is_refused(ending, tmp_path):
    path = tmp_path / f"x.{ending}"
    series = bare(np.float32([[0.25], [1.5], [-3]]), np.int32([0, 1, 1]), 2)
    array_files.write(path, series, {})
    whole = path.read_bytes()
    for length in range(len(whole.rstrip())):
        path.write_bytes(whole[:length])
        with pytest.raises(FileError):
            array_files.read(path)


def test_an_npz_with_any_byte_damaged_is_refused_or_still_the_same(tmp_path):
    path = tmp_path / "x.npz"
    series = draw(series_length=100)
    array_files.write(path, series, {})
    whole = path.read_bytes()
    refused = 0
    for position in range(len(whole)):
        path.write_bytes(whole[:position] + bytes([whole[position] ^ 0x55]) + whole[position + 1 :])
        try:
            found, _ = array_files.read(path)
        except FileError:
            refused += 1
        else:
            assert found.checksum() == series.checksum()
    assert refused > len(whole) / 2


def test_a_csv_that_was_changed_does_not_match_its_checksum(tmp_path):
    path = tmp_path / "x.csv"
    array_files.write(path, draw(series_length=100), {})
    path.write_text(path.read_text().replace("1,0", "1,1", 1))
    with pytest.raises(FileError, match="checksum"):
        array_files.read(path)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("x,y\n1,0\n", "columns"),
        ("input,label\n1,0\n", "columns"),
        ("target,input\n1,0\n", "columns"),
        ("input_0,input_2,target\n1,0,0\n", "columns"),
        ("input,target\n", "no steps"),
        ("", "damaged"),
        ("input,target\n1,0,2\n0,1,2\n", "more cells"),
        ("input,target\n1,-1\n", r"line 2, column `target`: .*from 0 on, got `-1`"),
        ("input,target\n1,0\n1,0.5\n", r"line 3, column `target`: .*whole.*, got `0\.5`"),
        ("input,target\n1,\n0,1\n", "line 2, column `target`: .*, got an empty cell"),
        ("input,target\n1\n0,1\n", "line 2, column `target`: .*, got an empty cell"),
        ("input,target\n1,0\n\n  \n,1\n", "line 5, column `input`: .*, got an empty cell"),
        ("input,target\n1,one\n", "line 2, column `target`: .*, got `one`"),
        ("\ninput,target\n1,0\nhigh,1\n", "line 4, column `input`: .*finite.*, got `high`"),
        ("input_0,input_1,target\n1,1,0\n1,-inf,0\n", "line 3, column `input_1`: .*got `-inf`"),
        ("input,target\nnan,1\n", "line 2, column `input`: .*finite.*, got `nan`"),
        ("input,target\n1e99,1\n", "line 2, column `input`: .*finite.*, got `1e99`"),
        ('input,target\n"1",0\n"x\ny",1\n', "line 4, column `input`"),
        ("input,target\n1,0\n1,3000000000\n", "line 3.* `3000000000` makes 3,000,000,001 classes"),
    ],
)
def test_a_csv_that_is_no_dataset_is_refused_by_what_is_wrong(text, complaint, tmp_path):
    path = tmp_path / "x.csv"
    path.write_text(text)
    with pytest.raises(FileError, match=complaint):
        array_files.read(path)


def npz(path, **arrays):
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    path.write_bytes(buffer.getvalue())


@pytest.mark.parametrize(
    ("arrays", "complaint"),
    [
        ({"inputs": np.zeros(3)}, "targets"),
        ({"inputs": np.zeros(3), "targets": np.zeros(4)}, r"\[3\] and \[4\]"),
        ({"inputs": np.zeros((3, 1, 1)), "targets": np.zeros(3)}, r"\[3, 1, 1\]"),
        ({"inputs": np.zeros(3), "targets": np.int8([0, 1, -1])}, "step 2 .* of `targets`.*`-1`"),
        ({"inputs": np.zeros(3), "targets": np.array(["0", "a", "b"])}, "of `targets`.*got `0`"),
        ({"inputs": np.array(["a"]), "targets": np.zeros(1)}, "step 0 .* of `inputs`: .*got `a`"),
        (
            {"inputs": np.float64([[0, 1], [2, np.inf]]), "targets": np.zeros(2)},
            "step 1 .* of `inputs`, column 1: .*finite.*got `inf`",
        ),
        ({"inputs": np.zeros(1), "targets": np.zeros(1), "metadata": np.array("{")}, "damaged"),
        ({"inputs": np.zeros(1), "targets": np.zeros(1), "metadata": np.array("[1]")}, "damaged"),
        (
            {"inputs": np.zeros(1), "targets": np.full(1, 2), "metadata": '{"classes": 2}'},
            "2 classes",
        ),
        (
            {"inputs": np.zeros(1), "targets": np.zeros(1), "metadata": '{"classes": "two"}'},
            "'two' classes",
        ),
    ],
)
def test_an_npz_that_is_no_dataset_is_refused_by_what_is_wrong(arrays, complaint, tmp_path):
    npz(tmp_path / "x.npz", **arrays)
    with pytest.raises(FileError, match=complaint):
        array_files.read(tmp_path / "x.npz")


def test_an_npz_of_bare_arrays_is_a_dataset_of_a_stranger(tmp_path):
    npz(tmp_path / "x.npz", inputs=np.array([0.5, 2, 3]), targets=np.array([0, 2, 1]))
    series, metadata = array_files.read(tmp_path / "x.npz")
    assert (series.classes, series.features, metadata) == (3, 1, {})


@pytest.mark.parametrize("steps", [3, 600])
def test_labels_make_no_more_classes_than_there_are_steps(steps, tmp_path):
    targets = np.zeros(steps, int)
    targets[1] = steps - 1
    npz(tmp_path / "most.npz", inputs=np.zeros(steps), targets=targets)
    assert array_files.read(tmp_path / "most.npz")[0].classes == steps
    targets[1] = 1_000_000
    npz(tmp_path / "x.npz", inputs=np.zeros(steps), targets=targets)
    with pytest.raises(FileError, match=rf"step 1 .*1,000,001 classes.* {steps} steps, with 2 "):
        array_files.read(tmp_path / "x.npz")


def test_classes_without_a_label_are_named_and_of_many_the_first():
    def series(*labels, classes):
        return bare(np.zeros((len(labels), 1), np.float32), np.int32(labels), classes)

    assert unused_classes("x", series(0, 1, classes=2)) is None
    assert unused_classes("x", series(0, classes=2), series(1, classes=2)) is None
    assert unused_classes("x", series(1, 2, classes=3)).startswith("class 0 never occurs in x")
    many = unused_classes("x", series(0, 1000, classes=1001))
    assert many.startswith("classes 1, 2, 3, 4, 5 and 994 more never occur")


@pytest.mark.parametrize(
    ("steps", "fraction", "part", "length"),
    [(600, 0.1, "validation", 60), (600, 0.8, "training", 60), (140, 0.5, "training", 56)],
)
def test_a_part_that_is_too_short_is_named_with_its_file_and_a_fraction_that_helps(
    steps, fraction, part, length, tmp_path
):
    path = str(tmp_path / "x.csv")
    array_files.write(tmp_path / "x.csv", draw(series_length=steps), {})
    with pytest.raises(FileError) as caught:
        open_source(Config.build(data=path, val_fraction=fraction))
    for words in (f"the {part} part of `{path}`", f"{length} of", f"{steps} steps", "75"):
        assert words in caught.value.message
    assert f"`--val-fraction {fraction}`" in caught.value.message
    advised = re.search(r"--val-fraction ([\d.]+)", caught.value.hint)
    assert bool(advised) == (part == "validation")
    if advised:
        given = {"val_fraction": float(advised[1]), "test_fraction": float(advised[1])}
        source = open_source(Config.build(data=path, **given))
        assert min(map(len, source.splits)) >= 75


def test_a_dataset_that_is_too_short_to_be_scored_is_named(tmp_path):
    array_files.write(tmp_path / "x.npz", draw(series_length=74), {})
    with pytest.raises(FileError, match=r"x\.npz` is too short: it has 74 steps"):
        series_to_test(Config.build(batch_size=5, bptt=15), tmp_path / "x.npz", plain(1, 2))


# --- whose files they are


def as_first_written(folder):
    """Datasets byte for byte as the first version wrote them; npz, and csv with its metadata."""
    task = {"name": "echo", "series_length": 4, "echo_step": 1, "classes": 2, "noise": 0.0}
    inputs, targets = np.float32([1, 0, 1, 1]), np.int32([0, 1, 0, 1])
    digest = hashlib.sha256(inputs.tobytes() + targets.tobytes()).hexdigest()
    text = json.dumps({"task": task, "classes": 2, "sha256": digest, "seed": 0}, indent=2)
    npz(folder / "x.npz", inputs=inputs, targets=targets, metadata=np.array(text))
    (folder / "y.csv").write_text("input,target\n1,0\n0,1\n1,0\n1,1\n")
    (folder / "y.json").write_text(text)


@pytest.mark.parametrize("name", ["x.npz", "y.csv"])
def test_a_dataset_that_lstmcli_wrote_is_replaced_when_asked(name, run, tmp_path):
    as_first_written(tmp_path)
    assert "--overwrite" in run("generate", name, "--series-length", 100, exit_code=2).stderr
    run("generate", name, "--series-length", 100, "--overwrite")
    assert len(array_files.read(tmp_path / name)[0]) == 100
    run("generate", name, "--series-length", 90, "--overwrite")


def strangers_files(folder):
    """Files that lstmcli did not write, or not as they are, by a name to generate over them."""
    as_first_written(folder)
    ours = (folder / "y.json").read_text()
    npz(folder / "bare.npz", inputs=np.zeros(3), targets=np.zeros(3))
    npz(folder / "theirs.npz", inputs=np.zeros(3), targets=np.zeros(3), metadata='{"task": {}}')
    (folder / "no.npz").write_bytes((folder / "x.npz").read_bytes()[:-9])
    (folder / "bare.csv").write_text("input,target\n1,0\n")
    (folder / "broken.csv").write_text("date,price\nmonday,3\n")
    (folder / "theirs.csv").write_text("input,target\n1,0\n")
    (folder / "theirs.json").write_text('{"name": "theirs", "version": "1.0.0"}')
    (folder / "beside.json").write_text('["mine"]')
    (folder / "edited.csv").write_text("input,target\n1,0\n0,1\n1,0\n1,0\n")
    (folder / "edited.json").write_text(ours)
    return ["bare.npz", "theirs.npz", "no.npz", "bare.csv", "broken.csv", "theirs.csv",
            "beside.csv", "edited.csv"]  # fmt: skip


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def test_a_file_that_lstmcli_did_not_write_is_not_replaced_and_nor_is_one_beside_it(run, tmp_path):
    names = strangers_files(tmp_path)
    before = contents(tmp_path)
    for name in names:
        for options in ([], ["--overwrite"]):
            result = run("generate", name, "--series-length", 100, *options, exit_code=2)
            assert "--overwrite" not in result.stderr
            assert "not as `lstmcli generate` wrote it" in result.stderr
    assert contents(tmp_path) == before


def test_no_hint_about_a_dataset_harms_a_file_that_is_there(run, tmp_path):
    """Each command that a hint names is typed, with every file in reach."""
    names = strangers_files(tmp_path)
    before = contents(tmp_path)
    typed = []
    for name in [*names, "a name with blanks.npz"]:
        result = CliRunner().invoke(app, ["train", "--data", name, "--epochs", "1"])
        assert result.exit_code in (2, 4)
        typed += re.findall(r"`(lstmcli [^`]*)`", result.stderr.partition("hint: ")[2])
    assert typed
    for command in typed:
        assert CliRunner().invoke(app, shlex.split(command)[1:]).exit_code in (0, 2, 4)
    assert before.items() <= contents(tmp_path).items()
    assert Path("a name with blanks.npz").exists()


# --- what needs no network


def test_references_of_a_text_are_those_counted_by_hand(tmp_path):
    """Laplace's rule for characters; for pairs, the characters' share as one more observation."""
    rng = np.random.default_rng(0)
    text = "".join(rng.choice(list("aabbbc"), 500)) + "aab" * 50
    (tmp_path / "x.txt").write_text(text)
    source = open_source(Config.build(data=str(tmp_path / "x.txt"), batch_size=2, bptt=5))
    [windows] = source.test()
    training = text[: len(source.splits.training) + 1]
    begin = source.splits.test.offset
    places = range(begin, begin + len(source.splits.test))
    share = {c: (training[1:].count(c) + 1) / (len(training) - 1 + 3) for c in "abc"}

    def after(a, b):
        pairs = sum(x == a and y == b for x, y in itertools.pairwise(training))
        return (pairs + share[b]) / (training[:-1].count(a) + 1)

    found = {each.name: each for each in baselines(source.fitting, windows.read).found}
    losses = [-math.log(share[text[p + 1]]) for p in places]
    assert found["class frequencies"].loss == pytest.approx(np.mean(losses))
    losses = [-math.log(after(text[p], text[p + 1])) for p in places]
    assert found["bigrams"].loss == pytest.approx(np.mean(losses))
    right = [max("abc", key=lambda b: after(text[p], b)) == text[p + 1] for p in places]
    assert found["bigrams"].accuracy == pytest.approx(np.mean(right))


@pytest.mark.parametrize("horizon", [0, 1, 3])
def test_references_of_numbers_are_the_mean_and_the_last_value_that_is_known(horizon, tmp_path):
    values = np.random.default_rng(0).normal(size=300).cumsum().round(3)
    pd.DataFrame({"x": np.arange(300) % 7, "y": values}).to_csv(tmp_path / "t.csv", index=False)
    given = {"data": str(tmp_path / "t.csv"), "target": "y", "horizon": horizon or None}
    source = open_source(Config.build(**given, batch_size=1, bptt=5))
    [windows] = source.test()
    [column] = source.schema.target
    begin, used = source.splits.test.offset, len(source.splits.test)
    ahead = values[begin + horizon : begin + horizon + used]
    count = len(ahead)  # The last ones lie beyond the file: not scored.
    found = {each.name: each.loss for each in baselines(source.fitting, windows.read).found}
    errors = (ahead - column.mean) / column.scale
    assert found["mean"] == pytest.approx(np.mean(errors**2), rel=1e-4)
    if not horizon:  # The model is not given the value before either.
        assert list(found) == ["mean", "linear autoregression"]
        return
    errors = (ahead - values[begin : begin + count]) / column.scale  # Known before the part too.
    assert found["last value"] == pytest.approx(np.mean(errors**2), rel=1e-4)
