"""The memory tasks beside echo: what they draw, and what a loss on them can be held against."""

import dataclasses
import itertools
import json
import math
import re
import subprocess
import sys
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
import pytest

from lstmcli import config as configs
from lstmcli.config import Config, DataConfig
from lstmcli.data import arrays, tasks
from lstmcli.data.batching import ContiguousWindows
from lstmcli.data.tasks import adding
from lstmcli.utils.errors import UsageError
from lstmcli.utils.rng import Stream, generator
from lstmcli.utils.settings import option_name

OF_SEQUENCES = tuple(configs.SEQUENCE_LENGTHS)


def draw(task, seed=0, **settings):
    return tasks.generate(DataConfig(task=task, **settings), np.random.default_rng(seed))


def sequences(series):
    """Numbers, symbols, targets and scored of each sequence, found step by step."""
    found = []
    scored = np.ones(len(series), bool) if series.scored is None else series.scored
    for step in range(len(series)):
        if series.starts[step]:
            found.append([])
        found[-1].append(step)
    return [(series.numbers[s], series.symbols[s], series.targets[s], scored[s]) for s in found]


def test_every_task_that_can_be_asked_for_is_there_and_no_other():
    assert tuple(tasks.TASKS) == configs.TASKS
    assert all(set(names) <= set(tasks.TASKS) for names in configs.OF_TASKS.values())


@pytest.mark.parametrize("name", configs.TASKS)
def test_a_seed_draws_the_same_series_and_another_seed_another(name):
    one, again, other = (draw(name, seed, series_length=500).checksum() for seed in (1, 1, 2))
    assert one == again != other


@pytest.mark.parametrize("name", configs.TASKS)
def test_a_series_fits_its_schema(name):
    series = draw(name, series_length=1000)
    steps = len(series)
    assert series.numbers.shape == (steps, len(series.schema.numbers))
    assert series.symbols.shape == (steps, len(series.schema.symbols))
    assert (series.numbers.dtype, series.symbols.dtype) == (np.float32, np.uint8)
    if series.classes:
        assert (series.targets.dtype, series.targets.shape) == (np.int32, (steps,))
        assert 0 <= series.targets.min() <= series.targets.max() < series.classes
    else:
        assert (series.targets.dtype, series.targets.shape) == (np.float32, (steps, 1))
    assert (series.starts is not None) == (name in OF_SEQUENCES)


@pytest.mark.parametrize("name", OF_SEQUENCES)
def test_as_many_whole_sequences_are_drawn_as_a_series_has_room_for(name):
    series = draw(name, series_length=2999, sequence_length=40)
    lengths = [len(targets) for *_, targets, _ in sequences(series)]
    shortest, longest = (60, 60) if name == "copy" else (40, 44)
    assert set(lengths) == set(range(shortest, longest + 1))
    assert 2999 - longest < len(series) <= 2999


@pytest.mark.parametrize(("name", "longest"), [("copy", 60), ("adding", 44), ("order", 44)])
def test_a_series_without_room_for_a_sequence_is_refused(name, longest):
    assert len(draw(name, series_length=longest, sequence_length=40).bounds()) == 2
    with pytest.raises(UsageError, match=f"`--series-length` must hold .* {longest} steps, got"):
        draw(name, series_length=longest - 1, sequence_length=40)


# --- copy


@pytest.mark.parametrize("delay", [1, 2, 50])
def test_ten_symbols_come_back_after_the_delay_and_all_else_is_blank(delay):
    found = sequences(draw("copy", series_length=3000, sequence_length=delay))
    for _, symbols, targets, scored in found:
        given = symbols[:, 0].tolist()
        assert given[10:] == [8] * (delay - 1) + [9] + [8] * 10
        assert targets.tolist() == [8] * (delay + 10) + given[:10]
        assert scored.all()
    firsts = Counter(int(symbol) for _, symbols, _, _ in found for symbol in symbols[:10, 0])
    assert set(firsts) == set(range(8))


def test_baseline_of_copy_is_what_the_frequencies_at_each_step_of_a_sequence_tell():
    series = draw("copy", series_length=700_000)
    by_step = series.targets.reshape(-1, 70).T
    entropies = []
    for labels in by_step:
        shares = np.bincount(labels) / len(labels)
        entropies.append(-sum(p * math.log(p) for p in shares if p))
    assert tasks.baseline(series)[1] == pytest.approx(np.mean(entropies), rel=1e-3)
    assert tasks.baseline(series)[1] == pytest.approx(10 * math.log(8) / 70)


# --- parity


@pytest.mark.parametrize("bits", [1, 2, 5])
def test_label_is_the_parity_of_the_last_bits(bits):
    series = draw("parity", series_length=500, bits=bits)
    given = series.numbers[:, 0].astype(int)
    for step in range(bits - 1, 500):
        parity = 0
        for bit in given[step - bits + 1 : step + 1]:
            parity ^= bit
        assert series.targets[step] == parity


def enumerated_parity(rows, row_length, used, bits):
    """Entropy and best guess of a label given a row's bits so far, over all series and rows."""
    drawn = bits - 1 + rows * row_length
    joint = defaultdict(lambda: np.zeros(2))
    for series in itertools.product((0, 1), repeat=drawn):
        for row in range(rows):
            start = bits - 1 + row * row_length
            for step in range(start, start + used):
                label = sum(series[step - bits + 1 : step + 1]) % 2
                joint[series[start : step + 1]][label] += 1 / (2**drawn * rows * used)
    loss = accuracy = 0.0
    for chances in joint.values():
        seen = chances[chances > 0]
        loss -= (seen * np.log(seen / seen.sum())).sum()
        accuracy += chances.max()
    return loss, accuracy


@pytest.mark.parametrize(
    ("rows", "row_length", "bptt", "bits"),
    [(1, 6, 3, 3), (2, 4, 2, 3), (2, 5, 2, 1), (3, 3, 3, 2), (2, 3, 1, 6)],
)
def test_floor_of_parity_equals_the_entropy_found_by_enumerating_every_series(
    rows, row_length, bptt, bits
):
    layout = ContiguousWindows(rows * row_length, rows, bptt)
    series = draw("parity", series_length=layout.steps, bits=bits)
    floor = tasks.floor(series, layout)
    expected = enumerated_parity(rows, row_length, layout.used, bits)
    np.testing.assert_allclose((floor.loss, floor.accuracy), expected, rtol=1e-12, atol=1e-12)
    assert floor.windows.shape == (layout.windows,)
    assert floor.oracle == pytest.approx(floor.loss)  # Whatever the blind labels are.


def test_a_part_of_a_parity_series_has_a_floor_and_labels_of_another_task_have_none():
    series = draw("parity", series_length=900)
    layout = ContiguousWindows(400, 5, 15)
    assert tasks.floor(series.cut(slice(500, None)), layout).loss == pytest.approx(
        2 * math.log(2) / 75
    )
    wrong = dataclasses.replace(series, targets=1 - series.targets)
    assert tasks.floor(wrong, ContiguousWindows(900, 5, 15)) is None


# --- adding and multiplication


@pytest.mark.parametrize("name", ["adding", "multiplication"])
@pytest.mark.parametrize("least", [11, 30])
def test_answer_at_the_end_is_of_the_two_marked_numbers(name, least):
    series = draw(name, series_length=20_000, sequence_length=least)
    [column] = series.schema.target
    marked_before_the_first = 0
    for numbers, _, targets, scored in sequences(series):
        values, markers = numbers.T.astype(float)
        assert markers[0] == markers[-1] == -1
        assert set(markers[1:-1]) == {0, 1}
        assert scored.tolist() == [False] * (len(scored) - 1) + [True]
        marked = values[markers == 1].tolist()
        assert len(marked) in (1, 2)
        if len(marked) == 1:  # The other mark is on the first step.
            marked_before_the_first += 1
            marked.append(0.0 if name == "adding" else 1.0)
        answer = 0.5 + sum(marked) / 4 if name == "adding" else math.prod(marked)
        assert column.in_units(targets[-1]) == pytest.approx(answer, abs=1e-6)
    assert marked_before_the_first
    low = -1 if name == "adding" else 0
    assert low <= series.numbers[:, 0].min() < low + 0.01
    assert 0.99 < series.numbers[:, 0].max() <= 1


@pytest.mark.parametrize("least", [11, 12, 100])
@pytest.mark.parametrize("name", ["adding", "multiplication"])
def test_mean_and_scale_of_the_target_are_those_over_every_pair_of_marks(name, least):
    """The moments of one uniform number are 0 and 1/3 from -1 to 1, 1/2 and 1/3 from 0 to 1."""
    means, squares = [], []
    for first in range(10):
        unmarked = [step for step in range(least) if step != first]
        for second in unmarked[: least // 2 - 1]:
            free = 2 - (0 in (first, second))  # How many of the numbers are random.
            if name == "adding":
                means.append(0.5)
                squares.append(0.25 + free / 3 / 16)
            else:
                means.append(0.5**free)
                squares.append((1 / 3) ** free)
    column = adding.target(name, least)
    assert column.mean == pytest.approx(np.mean(means))
    assert column.scale == pytest.approx(math.sqrt(np.mean(squares) - np.mean(means) ** 2))


@pytest.mark.parametrize("name", ["adding", "multiplication"])
def test_who_always_says_the_mean_loses_the_baseline(name):
    series = draw(name, series_length=600_000, sequence_length=11)
    answers = series.targets[series.scored].astype(float)
    assert len(answers) > 40_000
    assert answers.mean() == pytest.approx(0, abs=5 / math.sqrt(len(answers)))
    assert (answers**2).mean() == pytest.approx(tasks.baseline(series)[1], abs=0.03)


def test_who_has_solved_adding_by_the_floor_is_within_the_papers_tolerance():
    """Less than a hundredth of the variance left is an error of half of 0.04 or less, as a rule."""
    series = draw("adding")
    line = tasks.floor(series, ContiguousWindows(len(series), 5, 15)).line
    assert math.sqrt(line) * series.schema.target[0].scale < tasks.TASKS["adding"].tolerance / 2


# --- temporal order


@pytest.mark.parametrize(
    ("relevant", "places"),
    [(2, [(10, 20), (50, 60)]), (3, [(10, 20), (33, 43), (66, 76)])],
)
def test_class_is_the_order_of_the_relevant_symbols_and_they_stand_where_the_paper_puts_them(
    relevant, places
):
    series = draw("order", series_length=80_000, order_symbols=relevant)
    words = ["".join(word) for word in itertools.product("XY", repeat=relevant)]
    expected = dict(zip(words, "QRSU" if relevant == 2 else "QRSUVABC", strict=True))
    column, target = series.schema.symbols[0], series.schema.target
    seen, noise = [set() for _ in places], set()
    for _, symbols, targets, scored in sequences(series):
        text = "".join(column.label(int(symbol)) for symbol in symbols[:, 0])
        found = [match.start() for match in re.finditer("[XY]", text)]
        assert len(found) == relevant
        for its, place in zip(seen, found, strict=True):
            its.add(place)
        assert (text[0], text[-1]) == ("E", "B")
        noise |= set(re.sub("[XY]", "", text[1:-1]))
        assert target.label(int(targets[-1])) == expected["".join(text[i] for i in found)]
        assert scored.tolist() == [False] * (len(text) - 1) + [True]
    assert seen == [set(range(low, high + 1)) for low, high in places]
    assert noise == set("abcd")


@pytest.mark.parametrize("relevant", [2, 3])
def test_baseline_of_order_is_the_entropy_of_its_labels(relevant):
    series = draw("order", series_length=500_000, order_symbols=relevant, sequence_length=10)
    counts = np.bincount(series.targets[series.scored], minlength=2**relevant)
    expected = counts.sum() / 2**relevant
    assert (np.abs(counts - expected) < 5 * math.sqrt(expected)).all()
    shares = counts / counts.sum()
    assert tasks.baseline(series)[1] == pytest.approx(-(shares * np.log(shares)).sum(), rel=1e-3)


# --- floors and settings


@pytest.mark.parametrize("name", configs.TASKS)
def test_who_is_no_better_than_the_baseline_has_not_solved_a_task(name):
    """Copy's baseline is so far below a uniform guess that this would have solved it."""
    longer = {"sequence_length": 1000} if name in OF_SEQUENCES else {}
    series = draw(name, **longer)
    floor = tasks.floor(series, ContiguousWindows(len(series), 5, 15))
    baseline = tasks.baseline(series)[1]
    assert floor.chance == pytest.approx(baseline)
    assert not floor.solved(0.99 * baseline)
    assert floor.solved(floor.oracle)


def test_a_strangers_series_has_neither_floor_nor_baseline():
    series = dataclasses.replace(draw("parity", series_length=90), task={})
    assert tasks.floor(series, ContiguousWindows(90, 5, 15)) is None
    assert tasks.baseline(series) is None


@pytest.mark.parametrize(
    ("task", "name", "value"),
    [
        ("adding", "echo_step", 3), ("order", "noise", 0.1), ("copy", "classes", 3),
        ("echo", "bits", 3), ("copy", "bits", 3), ("parity", "sequence_length", 30),
        ("echo", "sequence_length", 30), ("adding", "order_symbols", 2),
    ],
)  # fmt: skip
def test_a_setting_of_another_task_is_refused_wherever_the_task_is_named(task, name, value):
    option = option_name(name)
    for saved, typed in (({}, {"task": task}), ({"data": {"task": task}}, {})):
        with pytest.raises(UsageError, match=f"`{option}` has no effect with `--task {task}`"):
            Config.build(saved, **typed, **{name: value})


@pytest.mark.parametrize(
    ("task", "settings"),
    [
        ("echo", {"series_length", "echo_step", "classes", "noise"}),
        ("parity", {"task", "series_length", "bits"}),
        ("order", {"task", "series_length", "sequence_length", "order_symbols"}),
    ],
)
def test_only_what_has_an_effect_is_saved_and_it_is_read_back(task, settings):
    length = {"sequence_length": 40} if task == "order" else {}
    config = Config.build(task=task, **length)
    assert set(config.to_dict()["data"]) == settings
    assert Config.build(config.to_dict()) == config


@pytest.mark.parametrize(("task", "least"), [("adding", 11), ("order", 10)])
def test_a_sequence_too_short_for_its_task_is_refused(task, least):
    draw(task, sequence_length=least)
    with pytest.raises(UsageError, match=f"at least {least} for the task {task}, got {least - 1}"):
        DataConfig(task=task, sequence_length=least - 1)


# --- generate


@pytest.mark.parametrize("name", configs.TASKS)
@pytest.mark.parametrize("ending", ["npz", "csv"])
def test_a_generated_dataset_comes_back_as_the_series_that_it_is(run, name, ending):
    settings = ("--task", name, "--series-length", 600)
    found = json.loads(run("generate", f"x.{ending}", *settings, "--json").stdout)
    series, _ = arrays.read(Path(f"x.{ending}"))
    assert (found["name"], found["sha256"]) == (name, series.checksum())
    config = DataConfig(task=name, series_length=600)
    drawn = tasks.generate(config, generator(0, Stream.DATASET))
    for array, ours in drawn.arrays.items():
        theirs = series.arrays[array]
        assert (theirs.dtype, theirs.tobytes()) == (ours.dtype, ours.tobytes())
    assert (series.schema, series.task) == (drawn.schema, drawn.task)
    assert series.spec == drawn.spec


@pytest.mark.parametrize(
    ("options", "lines"),
    [
        (
            ["--task", "copy"],
            ["714 sequences, 10 inputs", "task: copy", "9 classes", "baseline: 0.297 nats"],
        ),
        (["--task", "parity", "--bits", 4], ["parity of the last 4 bits, 2 classes", "0.693"]),
        (["--task", "adding"], ["mean 0.5, standard deviation 0.198", "baseline: 1 times"]),
        (["--task", "order", "--order-symbols", 3], ["8 classes", "baseline: 2.08 nats"]),
    ],
)
def test_generate_names_the_task_its_sequences_its_target_and_the_baseline(run, options, lines):
    text = run("generate", "x.npz", *options).stdout
    assert all(line in text for line in lines)


def test_json_of_generate_has_sequences_classes_and_the_baseline(run):
    found = json.loads(run("generate", "x.npz", "--task", "order", "--json").stdout)
    assert found["baseline"]["loss"] == pytest.approx(math.log(4))
    assert (found["classes"], found["sequence_length"]) == (4, 100)
    assert 50_000 / 110 - 1 < found["sequences"] <= 500
    assert found["steps"] <= found["series_length"] == 50_000


def test_generate_refuses_a_setting_of_another_task_before_it_writes(run, tmp_path):
    result = run("generate", "x.npz", "--task", "adding", "--echo-step", 3, exit_code=2)
    assert "`--echo-step` has no effect with `--task adding`" in result.stderr
    assert not list(tmp_path.iterdir())


def test_generate_does_without_tensorflow(python):
    script = (
        "import sys; from lstmcli.data.tasks import dataset; "
        "dataset.generate('x.npz', task='adding'); "
        "print('tensorflow' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script], **python, capture_output=True, check=True)
    assert done.stdout.strip() == "False"
