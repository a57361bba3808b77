"""What training one's own data needs: patience, decay, dropout, weights to begin with, defaults."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import load_file

from lstmcli.config import Config
from lstmcli.data.datasets import open_source
from replicas import readied, results
from resumes import begun

SMALL = ["--layers", 1, "--state-size", 8, "--optimizer", "adam", "--learning-rate", 0.05]


@pytest.fixture
def text(tmp_path):
    """Words in random order, of which the first letters are all that can be learned."""
    words = np.random.default_rng(0).choice(["ab", "abc", "c", "bca"], 6000)
    path = tmp_path / "book.txt"
    path.write_text(" ".join(words))
    return path


def is_weight(name):
    return name.startswith(("lstm", "dense"))


def tensors(run, kind="last"):
    return load_file(Path(run) / "checkpoints" / f"{kind}.safetensors")


def test_patience_ends_each_seed_so_many_epochs_after_its_best_as_a_run_of_its_own(run, text):
    """Seeds wait by themselves: the rows, and all tensors, are those of each seed alone."""
    options = ["--data", text, *SMALL, "--epochs", 40, "--patience", 2]
    run("train", *options, "--replicas", 3, "--out", "three")
    rows = pd.read_csv("three/metrics.csv")
    ends = {}
    for seed, own in rows.groupby("seed"):
        best = own.epoch[own.val_loss.idxmin()]
        ends[seed] = own.epoch.max()
        assert ends[seed] == min(best + 2, 40)
    assert len(set(ends.values())) > 1
    assert max(ends.values()) < 40
    together = tensors("three")
    for seed in (0, 2):
        run("train", *options, "--seed", seed, "--out", f"alone-{seed}")
        alone = tensors(f"alone-{seed}")
        for name, array in alone.items():
            np.testing.assert_array_equal(together[name][seed], array[0], err_msg=name)
        own = pd.read_csv(f"alone-{seed}/metrics.csv").val_loss.tolist()
        assert own == rows[rows.seed == seed].val_loss.tolist()


def test_the_learning_rate_decays_from_an_epoch_on(run, text):
    options = ["--data", text, *SMALL, "--epochs", 5, "--learning-rate-decay", 0.5]
    run("train", *options, "--decay-from", 3, "--out", "decaying")
    rates = pd.read_csv("decaying/metrics.csv").learning_rate
    np.testing.assert_allclose(rates, [0.05, 0.05, 0.025, 0.0125, 0.00625])


@pytest.mark.slow
def test_a_decayed_epoch_is_one_with_that_learning_rate():
    """The second epoch, from where the first ended, beside a program with half the rate."""
    settings = {"layers": 1, "series_length": 900, "optimizer": "sgd", "learning_rate": 0.1}
    program, data = readied(settings | {"learning_rate_decay": 0.5})
    halved, _ = readied(settings | {"learning_rate": 0.05})
    after_one = results(program, data, [0], epochs=1)
    from lstmcli.core.replica_windows import ReplicaWindows

    names = [name for name in after_one if name.startswith(("lstm", "dense", "state"))]
    now = {name: after_one[name] for name in names}
    batch = ReplicaWindows(data.training(1))
    *_, (decayed, _) = program.train(now, batch, len(batch))
    *_, (expected, _) = halved.train(now, batch, len(batch))
    *_, (undecayed, _) = program.train(now, batch, 0)
    for name in names:
        np.testing.assert_allclose(decayed[name], expected[name], atol=1e-6)
    assert not np.allclose(undecayed["dense.kernel"], expected["dense.kernel"], atol=1e-4)


def test_dropout_is_off_in_evaluation_and_drawn_anew_by_epoch_and_seed(run, text):
    options = ["--data", text, *SMALL, "--epochs", 2, "--dropout", 0.5]
    run("train", *options, "--out", "dropped")
    rows = pd.read_csv("dropped/metrics.csv")
    run("train", "--data", text, *SMALL, "--epochs", 2, "--out", "whole")
    assert (rows.loss > pd.read_csv("whole/metrics.csv").loss).all()
    assert (rows.val_loss < rows.loss).all()  # The whole network does better than a half of it.
    result = run("eval", "dropped", "--json").stdout
    assert run("eval", "dropped", "--json").stdout == result


def test_a_run_begins_with_the_weights_of_another(run, text):
    run("train", "--data", text, *SMALL, "--epochs", 3, "--out", "first")
    given = {"data": str(text), "layers": 1, "state_size": 8, "init_from": "first"}
    first = {name: array for name, array in tensors("first", "best").items() if is_weight(name)}
    for replicas in (1, 2):
        ready = begun(Path(f"of-{replicas}"), replicas=replicas, **given).tensors
        assert {name for name in ready if is_weight(name)} == first.keys()
        for name, array in first.items():
            np.testing.assert_array_equal(ready[name], np.repeat(array, replicas, 0), name)
    run("train", "--data", text, *SMALL, "--epochs", 1, "--init-from", "first", "--out", "second")
    saved = (Path("second") / "config.toml").read_text()
    assert 'init_from = "../first"' in saved
    losses = [pd.read_csv(f"{name}/metrics.csv").loss[0] for name in ("first", "second")]
    assert losses[1] < losses[0]


def test_weights_of_another_model_are_refused(run, text, tmp_path):
    run("train", "--data", text, *SMALL, "--epochs", 1, "--out", "first")
    other = [9 if each == 8 else each for each in SMALL]
    wrong = ["--data", text, *other, "--epochs", 1, "--init-from", "first"]
    result = run("train", *wrong, "--out", "second", exit_code=4)
    assert "is another model: its `lstm.0.kernel` is [1, 4, 32], expected [4, 36]" in result.stderr
    result = run("train", *wrong[:-1], "nothing", "--out", "second", exit_code=4)
    assert "no checkpoint `nothing`" in result.stderr
    assert not (tmp_path / "second").exists()


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, (5, 15)),
        ({"task": "parity"}, (32, 64)),
        ({"task": "adding", "sequence_length": 30}, (32, 33)),
        ({"task": "adding", "sequence_length": 300, "bptt": 7}, (32, 7)),
    ],
)
def test_rows_and_steps_fit_the_data_where_they_are_not_given(settings, expected):
    training = open_source(Config.build(**settings)).config.training
    rows, steps = training.batch_size, training.bptt
    assert rows == expected[0]
    assert steps <= expected[1]
    assert steps > 0.8 * expected[1]


@pytest.mark.parametrize(("length", "expected"), [(500, (4, 52)), (60, (1, 47)), (4000, (26, 64))])
def test_rows_and_steps_of_a_short_file_are_as_its_training_part_has_them(
    length, expected, tmp_path
):
    """A shorter part than a window is scored all the same, and few steps are read twice."""
    path = tmp_path / "short.txt"
    path.write_text(("abcab" * 1000)[:length])
    source = open_source(Config.build(data=str(path)))
    training, steps = source.config.training, len(source.splits.training)
    assert (training.batch_size, training.bptt) == expected
    cut = source.windows(source.splits.training).cut
    assert steps * 0.5 < cut.windows * expected[0] * expected[1] <= 1.05 * steps
    assert source.validation()[0].all("scored").sum() == len(source.splits.validation)


def test_settings_without_effect_are_refused(run, text):
    for options, words in [
        (["--decay-from", 3], "without `--learning-rate-decay`"),
        (["--data", text, "--target", "x"], "it applies to tables"),
        (["--task", "adding", "--echo-step", 3], "`--echo-step` has no effect"),
        (["--horizon", 1], "without `--data`"),
    ]:
        result = run("train", *options, "--out", "run", exit_code=2)
        assert words in result.stderr, result.stderr
        assert not Path("run").exists()


def test_a_runs_own_config_gives_the_same_run_again(run, text):
    run("train", "--data", text, *SMALL, "--epochs", 1, "--dropout", 0.5, "--out", "first")
    run("train", "--config", "first/config.toml", "--out", "again")
    first, again = tensors("first"), tensors("again")
    assert all(first[name].tobytes() == again[name].tobytes() for name in first)
    status = json.loads(Path("first/run.json").read_text())
    training = open_source(Config.build(data=str(text))).config.training
    assert (status["rows"], status["steps"]) == (training.batch_size, 64)
