"""Data: the echo task, its floor, its streams."""

import dataclasses
import hashlib
import itertools
import math
from collections import defaultdict

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lstmcli.config import Config
from lstmcli.data import arrays as array_files
from lstmcli.data.baselines import baselines
from lstmcli.data.batching import ContiguousWindows, windows_of
from lstmcli.data.datasets import open_source
from lstmcli.data.tasks import echo
from lstmcli.utils.errors import FileError
from lstmcli.utils.rng import Stream, generator
from series import bare, draw


def symbols(series):
    """What was drawn, back from the inputs."""
    return (series.symbols if series.schema.symbols else series.numbers)[:, 0].astype(int)


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
