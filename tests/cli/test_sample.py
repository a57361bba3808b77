"""Text that a model writes: the forward pass against Keras and NumPy, the draws against softmax."""

import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

import reference
from lstmcli import __version__, model_spec
from lstmcli.cli import sample
from lstmcli.config import Config, ModelConfig
from lstmcli.core import numpy_lstm
from lstmcli.data.schema import Categorical, Schema, plain
from lstmcli.model_spec import ModelSpec
from lstmcli.training.checkpoint import Checkpoint
from terminal import Terminal

STACKS = [(1, 4, 5), (2, 8, 30), (3, 5, 2)]  # layers, state size, vocabulary


def draw(layers, size, features, classes, replicas=1):
    """Random parameters in a checkpoint's names and shapes."""
    rng = np.random.default_rng(3)
    shapes = model_spec.shapes(ModelConfig(layers=layers, state_size=size), features, classes)
    return {
        name: rng.normal(0, 0.7, (replicas, *shape)).astype(np.float32)
        for name, shape in shapes.items()
    }


def steps(network, state, symbols, numbers=None):
    """Logits `[T, B, C]` and the state after, of `symbols` `[T, B, M]`."""
    logits = []
    for step, given in enumerate(symbols):
        found, state = numpy_lstm.step(
            network, state, given, None if numbers is None else numbers[step]
        )
        logits.append(found)
    return np.stack(logits), state


def one_hot(symbols, size):
    """An unknown symbol is zero everywhere."""
    return np.eye(size + 1, size, dtype=np.float32)[symbols]


# --- the forward pass


@pytest.mark.parametrize(("layers", "size", "vocabulary"), STACKS)
def test_logits_equal_a_keras_stack_with_the_same_weights(layers, size, vocabulary):
    import keras

    tensors = draw(layers, size, vocabulary, vocabulary)
    stack = [keras.layers.LSTM(size, return_sequences=True) for _ in range(layers)]
    model = keras.Sequential([keras.Input((7, vocabulary)), *stack, keras.layers.Dense(vocabulary)])
    model.set_weights([array[0] for array in tensors.values()])
    symbols = np.random.default_rng(0).integers(0, vocabulary, (7, 3, 1))
    network = numpy_lstm.network(tensors, 0, ModelSpec(0, (vocabulary,), vocabulary))
    logits, _ = steps(network, numpy_lstm.zero_state(network, 3), symbols)
    inputs = one_hot(symbols[..., 0], vocabulary).swapaxes(0, 1)
    np.testing.assert_allclose(logits, model(inputs).numpy().swapaxes(0, 1), atol=1e-5)


def test_numbers_and_several_symbols_one_of_them_unknown_equal_their_one_hot_inputs():
    layers, size, rows = 2, 6, 4
    spec = ModelSpec(numbers=2, symbols=(3, 5), outputs=4)
    tensors = draw(layers, size, spec.features, 4, replicas=3)
    rng = np.random.default_rng(1)
    numbers = rng.normal(size=(9, rows, 2)).astype(np.float32)
    symbols = np.stack([rng.integers(0, 4, (9, rows)), rng.integers(0, 6, (9, rows))], axis=-1)
    assert (symbols == [3, 5]).any(axis=(0, 1)).all()
    state = rng.normal(size=(layers, 2, rows, size)).astype(np.float32)
    before = state.copy()
    hot = [one_hot(symbols[..., column], size) for column, size in enumerate((3, 5))]
    inputs = np.concatenate([numbers, *hot], axis=-1)
    for replica in range(3):
        network = numpy_lstm.network(tensors, replica, spec)
        logits, after = steps(network, state, symbols, numbers)
        one = {name: array[replica] for name, array in tensors.items()}
        expected = reference.forward(one, state, inputs, layers)
        np.testing.assert_allclose(logits, expected[0], atol=1e-5)
        np.testing.assert_allclose(after, expected[1], atol=1e-5)
    np.testing.assert_array_equal(state, before)


# --- the command


def text_schema(characters):
    column = Categorical("character", len(characters), tuple(characters))
    return Schema("text", (), (column,), column)


def write(path, tensors, characters, losses=(1.0,), **metadata):
    """A checkpoint of a single layer, with a replica for each loss."""
    replicas, classes = tensors["dense.bias"].shape
    size = tensors["dense.kernel"].shape[1]
    config = Config.build(
        layers=1, state_size=size, batch_size=5, bptt=15, data="x.txt", replicas=replicas
    )
    seeds = list(range(10, 10 + replicas))
    known = {
        "version": __version__,
        "kind": "best",
        "config": config.to_dict(),
        "seeds": seeds,
        "data_seeds": seeds,
        "features": classes,
        "classes": classes,
        "position": {"epoch": 1, "window": 0, "step": 1},
        "best": [
            {"seed": seed, "epoch": 1, "val_loss": loss}
            for seed, loss in zip(seeds, losses, strict=True)
        ],
        "schema": text_schema(characters).to_dict(),
        "elapsed_seconds": 1.0,
    }
    state = np.ones((replicas, 1, 2, 5, size), np.float32)
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    Checkpoint({**tensors, "state": state}, {**known, **metadata}).write(path)
    return path


def cycle(classes, forward_by=(1,)):
    """Always predicts the character that comes some places later, in a replica for each number.

    A unit for each character: its g is 1 where that is given, i and o are open, f is shut. So h is
    tanh(1) there and 0 elsewhere, and the output's kernel is a permutation.
    """
    zeros = draw(1, classes, classes, classes, len(forward_by))
    tensors = {name: np.zeros_like(array) for name, array in zeros.items()}
    unit = np.eye(classes, dtype=np.float32)
    tensors["lstm.0.kernel"][:, :, 2 * classes : 3 * classes] = 20 * unit
    tensors["lstm.0.bias"][:] = np.repeat([20, -20, 0, 20], classes)
    for replica, places in enumerate(forward_by):
        tensors["dense.kernel"][replica] = 100 * np.roll(unit, places, axis=1)
    return tensors


def bag(logits):
    """Predicts the same distribution at every step."""
    tensors = {name: array * 0 for name, array in draw(1, 1, len(logits), len(logits)).items()}
    return tensors | {"dense.bias": np.float32([logits])}


def test_a_model_goes_on_from_the_prompt_which_is_written_first(run):
    write("m.safetensors", cycle(5), "abcde")
    result = run("sample", "m.safetensors", "--prompt", "aec", "--length", 7)
    assert (result.stdout, result.stderr) == ("aec" + "deabcde", "")
    assert run("sample", "m.safetensors", "--prompt", "ab", "--length", 0).stdout == "ab"


def test_the_whole_prompt_counts_and_not_its_last_character_alone(run):
    tensors = {name: 4 * array for name, array in draw(1, 6, 4, 4).items()}
    write("m.safetensors", tensors, "abcd")
    text = run("sample", "m.safetensors", "--prompt", "dacb", "--length", 30, "--temperature", 0)
    state, written = np.zeros((1, 2, 1, 6)), "dacb"
    one = {name: array[0] for name, array in tensors.items()}
    for position in range(33):
        inputs = np.eye(4)["abcd".index(written[position])][None, None]
        logits, state = reference.forward(one, state, inputs, 1)
        if position >= 3:
            written += "abcd"[logits[0, 0].argmax()]
    assert text.stdout == written
    assert len(set(written[4:])) > 1  # Else it would be no test.
    others = run("sample", "m.safetensors", "--prompt", "b", "--length", 30, "--temperature", 0)
    assert others.stdout[1:] != written[4:]


def test_without_a_prompt_it_begins_as_after_a_line_end_which_is_not_written(run):
    write("m.safetensors", cycle(4), "\tab\n")
    assert run("sample", "m.safetensors", "--length", 3).stdout == "\tab"
    write("m.safetensors", cycle(4), "abcd")
    assert run("sample", "m.safetensors", "--length", 3).stdout == "bcd"


def test_500_characters_are_written_unless_told_otherwise(run):
    write("m.safetensors", cycle(4), "abcd")
    assert run("sample", "m.safetensors").stdout == "bcda" * 125


def test_the_same_seed_gives_the_same_text_and_another_one_another(run):
    write("m.safetensors", bag(np.zeros(4)), "abcd")
    first, again, other, default = (
        run("sample", "m.safetensors", "--length", 60, *seed).stdout
        for seed in (["--seed", 1], ["--seed", 1], ["--seed", 2], [])
    )
    assert first == again
    assert len({first, other, default}) == 3
    longer = run("sample", "m.safetensors", "--length", 90, "--seed", 1).stdout
    assert longer[:60] == first


@pytest.mark.parametrize("temperature", [1, 0.5, 3])
def test_characters_are_drawn_as_often_as_the_softmax_says(run, temperature):
    logits = np.array([0.3, -1.0, 1.2, 0.0, -0.4])
    write("m.safetensors", bag(logits), "abcde")
    options = ["--length", 5000, "--temperature", temperature, "--seed", 5]
    counts = Counter(run("sample", "m.safetensors", *options).stdout)
    expected = np.exp(logits / temperature)
    expected *= 5000 / expected.sum()
    assert stats.chisquare([counts[each] for each in "abcde"], expected).pvalue > 0.001


@pytest.mark.parametrize("temperature", [0, 1e-320, 1e-3])
def test_at_no_temperature_only_the_likeliest_character_is_written(run, temperature):
    write("m.safetensors", bag([1.0, 1.2, -50]), "abc")
    options = ["--length", 50, "--temperature", temperature]
    assert run("sample", "m.safetensors", *options).stdout == "b" * 50


def test_of_a_run_directory_the_best_checkpoint_writes(run):
    write("run/checkpoints/last.safetensors", cycle(4, [2]), "abcd")
    write("run/checkpoints/best.safetensors", cycle(4, [1]), "abcd")
    assert run("sample", "run", "--length", 3).stdout == "bcd"


@pytest.mark.parametrize(
    ("losses", "written", "why"),
    [
        ((1.0, 0.25, 0.5), "cac", "11, the best of 3 by validation loss (0.25)"),
        ((None, None, 0.5), "dcb", "12, the best of 3 by validation loss (0.5)"),
        ((None, None, None), "bcd", "10, the first of 3"),
    ],
)
def test_of_several_seeds_the_one_with_the_lowest_validation_loss_writes(run, losses, written, why):
    write("m.safetensors", cycle(4, [1, 2, 3]), "abcd", losses=losses)
    result = run("sample", "m.safetensors", "--length", 3)
    assert result.stdout == written
    assert result.stderr == f"note: using seed {why}\n"


def test_a_model_that_was_not_trained_on_text_is_refused(run):
    echo = write("m.safetensors", cycle(4), "abcd", schema=plain(0, 4, symbols=4).to_dict())
    stderr = run("sample", echo, exit_code=4).stderr
    assert "was not trained on text" in stderr
    assert "hint: `lstmcli inspect m.safetensors` shows" in stderr
    write("m.safetensors", cycle(4), "abcd", schema=None)
    assert "was not trained on text" in run("sample", "m.safetensors", exit_code=4).stderr


@pytest.mark.parametrize(
    "damaged", [{"kind": "text"}, text_schema("abc").to_dict(), ["text"], plain(4, 4).to_dict()]
)
def test_a_damaged_vocabulary_is_refused(run, damaged):
    if isinstance(damaged, dict):
        damaged = {**damaged, "kind": "text"}
    write("m.safetensors", cycle(4), "abcd", schema=damaged)
    stderr = run("sample", "m.safetensors", exit_code=4).stderr
    assert "`m.safetensors`" in stderr
    assert "is damaged" in stderr


def test_a_model_whose_training_diverged_is_refused(run):
    write("m.safetensors", bag([1.0, np.nan]), "ab")
    stderr = run("sample", "m.safetensors", exit_code=4).stderr
    assert "the weights of seed 10 in `m.safetensors` are not finite" in stderr


def test_characters_of_the_prompt_that_the_model_does_not_know_are_named(run):
    write("m.safetensors", cycle(4), "abcd")
    stderr = run("sample", "m.safetensors", "--prompt", "aXb\x1bX", exit_code=2).stderr
    assert r"does not have: 'X', '\x1b'" in stderr
    assert "\x1b" not in stderr


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("--temperature", "-0.1", "`--temperature` must be at least 0, got -0.1"),
        (
            "--temperature",
            "nan",
            "`--temperature` must be finite in 32 bits",
        ),
        ("--length", "-1", "`--length` must be at least 0, got -1"),
        ("--seed", "-1", "`--seed` must be at least 0, got -1"),
    ],
)
def test_what_cannot_be_drawn_is_refused(run, option, value, message):
    write("m.safetensors", cycle(4), "abcd")
    assert message in run("sample", "m.safetensors", option, value, exit_code=2).stderr


# --- where it writes


WATCHED = """
import atexit, sys
heavy = {"tensorflow", "keras", "pandas", "scipy"}
atexit.register(lambda: print("loaded", *sorted(heavy & sys.modules.keys()), file=sys.stderr))
from lstmcli.__main__ import main; main()
"""


def start(python, *arguments):
    command = [sys.executable, "-c", WATCHED, "sample", "m.safetensors", *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **python)


def test_neither_tensorflow_nor_pandas_is_loaded(python):
    write("m.safetensors", cycle(4), "abcd")
    assert start(python, "--length", 4).communicate() == ("bcda", "loaded\n")


def test_a_reader_that_has_enough_ends_it_quietly(python):
    write("m.safetensors", cycle(4), "abcd")
    with start(python, "--length", 10**9) as process:
        assert process.stdout.read(8) == "bcdabcda"  # As it comes: the end is hours away.
        process.stdout.close()
        assert process.stderr.read() == "loaded\n"
    assert process.returncode == 0


def test_a_terminal_is_not_obeyed_and_the_text_ends_its_line(python):
    write("m.safetensors", cycle(6), "\x1bé\n\t\x9bb")
    with Terminal("sample", "m.safetensors", "--length", 9, env=python["env"]) as terminal:
        terminal.until()
    assert terminal.code == 0
    assert terminal.output == "\t\\x9bb\\x1bé\r\n\t\\x9bb\r\n"


def test_ctrl_c_ends_the_line_on_a_terminal_before_it_is_answered(python):
    write("m.safetensors", cycle(4), "abcd")
    options, env = ["--length", 10**9], {**python["env"], "NO_COLOR": "1"}
    with Terminal("sample", "m.safetensors", *options, env=env) as terminal:
        terminal.until("bcda")
        terminal.type("\x03")
        terminal.until()
    assert terminal.code == 130
    assert terminal.output.endswith("\r\nerror: stopped by Ctrl-C\r\n")


def test_a_pipe_gets_control_characters_as_they_are(python):
    write("m.safetensors", cycle(4), "\x1bab\r")
    written, _ = start({**python, "text": False}, "--length", 4).communicate()
    assert written == b"ab\r\x1b"


def test_what_standard_output_cannot_encode_is_escaped(python):
    write("m.safetensors", cycle(3), "aé€")
    known = {**python, "env": {**python["env"], "PYTHONIOENCODING": "latin1"}, "text": False}
    written, _ = start(known, "--length", 3).communicate()
    assert written == b"\xe9\\u20aca"


def test_text_is_written_a_few_times_a_second_and_not_by_the_character(monkeypatch):
    now = iter(np.arange(0, 100, 0.01))  # Seconds: 100 characters a second.
    monkeypatch.setattr(sample.time, "monotonic", lambda: next(now))
    pieces = list(sample._pieces("prompt ", iter("x" * 100)))
    assert "".join(pieces) == "prompt " + "x" * 100
    assert 10 <= len(pieces) <= 20
