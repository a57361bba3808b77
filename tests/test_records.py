"""What a run leaves behind: tables, status, checkpoints; the same bits each time."""

import csv
import errno
import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import astuple
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from lstmcli import experiment
from lstmcli.config import Config
from lstmcli.core import parameters
from lstmcli.core.program import Batch, Program
from lstmcli.data import echo
from lstmcli.data.source import open_source
from lstmcli.errors import DivergedError, FileError
from lstmcli.files import write_atomically
from lstmcli.runs import checkpoint as checkpoints
from lstmcli.runs import metrics, rundir
from lstmcli.runs.metrics import EpochRow
from lstmcli.streams import Stream, generator

COLUMNS = (
    "epoch,step,seed,loss,accuracy,val_loss,val_accuracy,bayes_loss,"
    "learning_rate,grad_norm,epoch_seconds,elapsed_seconds"
)
TIMES = ["epoch_seconds", "elapsed_seconds"]


def table(directory, name="metrics.csv"):
    """A table as text, so that equal means equal to the bit; times left out."""
    return pd.read_csv(directory / name, dtype=str).drop(columns=TIMES, errors="ignore")


def tensors(directory, which="last"):
    return load_file(directory / "checkpoints" / f"{which}.safetensors")


def assert_same_bits(found, expected):
    assert found.keys() == expected.keys()
    for name, array in expected.items():
        assert found[name].tobytes() == array.tobytes(), name


def replay(config, epochs, windows=0):
    """Training alone, as a loop over `Program.train`: the tensors at a position, and measures."""
    source = open_source(config)
    example = source.example()
    program = Program(config, example.features, example.classes, "cpu:0")
    rngs = [generator(seed, Stream.WEIGHTS) for seed in config.run.seeds]
    now = program.start(
        parameters.initialise(config.model, example.features, example.classes, rngs)
    )
    measured = []
    for epoch in range(epochs + (windows > 0)):
        batch = Batch.stack(source.training(epoch))
        now["state"] = np.zeros_like(now["state"])
        done = 0
        for trained, seen in program.train(now, batch, epoch * len(batch)):
            measured.append(seen)
            done += len(seen.loss)
            if epoch == epochs and done == windows:
                break
        now = {name: np.array(tensor) for name, tensor in trained.items()}
    return now, [np.concatenate(column) for column in zip(*measured, strict=True)]


# --- tables


def test_metrics_have_the_contracts_columns_and_a_row_for_each_epoch_and_seed(trained):
    assert (trained / "metrics.csv").read_text().splitlines()[0] == COLUMNS
    rows = pd.read_csv(trained / "metrics.csv")
    expected = [(epoch, 20 * epoch, seed) for epoch in (1, 2, 3) for seed in (0, 1, 2)]
    assert list(zip(rows.epoch, rows.step, rows.seed, strict=True)) == expected
    assert (rows.learning_rate == 0.3).all()
    assert (rows.groupby("epoch").epoch_seconds.first().cumsum() < rows.elapsed_seconds[8]).all()


NUMBERS = st.floats(allow_nan=False)


@given(
    st.lists(
        st.builds(
            EpochRow,
            *[st.integers(0, 10**12)] * 3,
            *[NUMBERS] * 2,
            *[st.none() | NUMBERS] * 3,
            *[NUMBERS] * 4,
        ),
        min_size=1,
    )
)
def test_cells_read_back_to_the_same_values_and_an_unmeasured_one_is_empty(tmp_path_factory, rows):
    path = tmp_path_factory.getbasetemp() / "metrics.csv"
    path.unlink(missing_ok=True)
    metrics.append(path, rows[:1])
    metrics.append(path, rows[1:])
    with path.open(newline="") as file:
        header, *lines = csv.reader(file)
    assert ",".join(header) == COLUMNS
    found = [tuple(None if cell == "" else float(cell) for cell in line) for line in lines]
    assert found == [astuple(row) for row in rows]


def test_a_run_equals_a_bare_training_loop_so_validating_changes_nothing(run, tmp_path):
    """Weights, the means of the losses, and every 100th window's; 213 windows an epoch."""
    given = {"bptt": 3, "batch_size": 2, "series_length": 1278, "epochs": 2, "layers": 1, "seed": 4}
    options = [f"--{name.replace('_', '-')}={value}" for name, value in given.items()]
    run("train", *options, "--out", "run")
    expected, (loss, accuracy, grad_norm) = replay(Config.build(**given), epochs=2)
    assert_same_bits(tensors(tmp_path / "run"), expected)

    logged = [0, 100, 200, 213, 313, 413]
    steps = pd.read_csv("run/steps.csv")
    assert list(steps) == ["epoch", "step", "seed", "loss", "accuracy", "grad_norm"]
    assert steps.step.tolist() == [window + 1 for window in logged]
    assert steps.epoch.tolist() == [1, 1, 1, 2, 2, 2]
    for name, column in (("loss", loss), ("accuracy", accuracy), ("grad_norm", grad_norm)):
        np.testing.assert_array_equal(steps[name].astype(np.float32), column[logged, 0], name)
        means = column[:, 0].astype(float).reshape(2, 213).mean(1)
        np.testing.assert_allclose(pd.read_csv("run/metrics.csv")[name], means, rtol=1e-12)


def test_validation_figures_are_those_of_the_saved_weights_on_the_validation_series(trained):
    saved = checkpoints.read(trained / "checkpoints" / "last.safetensors")
    program = Program(saved.config, 1, 2, "cpu:0")
    batch = Batch.stack(open_source(saved.config).validation())
    found = np.exp(program.predict(saved.tensors, batch)).astype(float)  # [W, T, B, C, R]
    right = np.take_along_axis(found, batch.labels[:, :, :, None], 3)[:, :, :, 0]
    rows = pd.read_csv(trained / "metrics.csv").tail(3)
    np.testing.assert_allclose(rows.val_loss, -np.log(right).mean((0, 1, 2)), rtol=1e-5)
    np.testing.assert_allclose(rows.val_accuracy, (right > 0.5).mean((0, 1, 2)), rtol=1e-6)


# --- status and directory


def test_status_tells_what_ran_on_what(trained):
    status = json.loads((trained / "run.json").read_text())
    assert status["status"] == "completed"
    assert (status["epochs"], status["dropped_steps"], status["seeds"]) == (3, 30, [0, 1, 2])
    assert status["device"] == "cpu:0"
    assert status["libraries"]["numpy"] == np.__version__
    assert status["started"] <= status["ended"]
    assert {"version", "argv", "python", "data_sha256", "bayes_loss"} <= status.keys()


def test_status_keeps_the_command_as_it_was_typed(run):
    typed = ["train", "--series-length", "150", "--epochs", "1", "--layers", "1", "--out", "run"]
    run(*typed)
    assert json.loads(Path("run/run.json").read_text())["argv"] == ["lstmcli", *typed]


def test_status_names_the_dataset_from_the_run_directory_and_by_its_checksum(trained_on_file):
    status = json.loads((trained_on_file / "run.json").read_text())
    assert status["data"] == "../data.csv"
    data = pd.read_csv(trained_on_file.parent / "data.csv")
    parts = [
        part.filter(like="input").to_numpy("<f4").tobytes() + part.target.to_numpy("<i4").tobytes()
        for part in (data[:2700], data[2700:])
    ]
    assert status["data_sha256"] == [hashlib.sha256(part).hexdigest() for part in parts]


def test_config_toml_is_every_setting_resolved(trained):
    found = Config.build(rundir.read_config(trained / "config.toml"))
    assert found == Config.build(series_length=1530, epochs=3, layers=2, replicas=3)
    assert "learning_rate = 0.3" in (trained / "config.toml").read_text()


def test_two_runs_of_one_second_get_directories_of_their_own():
    paths = {rundir.create(None, "echo-3x4", overwrite=False).path for _ in range(5)}
    assert len(paths) == 5


def test_a_directory_that_holds_a_run_is_refused_and_left_alone(run, trained):
    before = {path: path.read_bytes() for path in trained.rglob("*") if path.is_file()}
    result = run("train", "--out", trained, exit_code=2)
    assert "already holds a run" in result.stderr
    assert "--overwrite" in result.stderr
    assert {path: path.read_bytes() for path in trained.rglob("*") if path.is_file()} == before


def test_overwrite_replaces_the_run_and_keeps_what_is_not_of_it(run, trained, tmp_path):
    shutil.copytree(trained, "run")
    Path("run/notes.txt").write_text("mine")
    run(
        "train", "--series-length", 150, "--epochs", 1, "--layers", 1, "--out", "run", "--overwrite"
    )
    assert table(tmp_path / "run").epoch.tolist() == ["1"]
    assert "lstm.1.kernel" not in tensors(tmp_path / "run", "best")
    assert Path("run/notes.txt").read_text() == "mine"


@pytest.mark.parametrize(
    ("options", "exit_code"),
    [(("--data", "missing.npz"), 4), (("--device", "gpu:7"), 3)],
)
def test_a_run_that_cannot_start_leaves_the_one_it_would_replace(run, trained, options, exit_code):
    shutil.copytree(trained, "runs/old")
    Path("runs/latest").symlink_to("old")
    run("train", *options, "--out", "runs/old", "--overwrite", exit_code=exit_code)
    run("train", *options, exit_code=exit_code)
    assert Path("runs/old/metrics.csv").exists()
    assert Path("runs/latest").readlink() == Path("old")
    assert {path.name for path in Path("runs").iterdir()} == {"old", "latest"}


def test_a_run_that_cannot_start_takes_away_only_directories_that_it_made(run):
    Path("mine").mkdir()
    for out in ("mine", "new/deep/run"):
        run("train", "--data", "missing.npz", "--out", out, exit_code=4)
    assert [path.name for path in Path().iterdir()] == ["mine"]


# --- checkpoints


def test_checkpoint_tensors_have_the_contracts_names_and_shapes(trained):
    replicas, layers, rows, size, classes = 3, 2, 5, 4, 2
    weights = {"dense.kernel": (replicas, size, classes), "dense.bias": (replicas, classes)}
    for layer, inputs in enumerate([1, size]):
        weights[f"lstm.{layer}.kernel"] = (replicas, inputs, 4 * size)
        weights[f"lstm.{layer}.recurrent_kernel"] = (replicas, size, 4 * size)
        weights[f"lstm.{layer}.bias"] = (replicas, 4 * size)
    slots = {f"optimizer.accumulator.{name}": shape for name, shape in weights.items()}
    expected = weights | slots | {"state": (replicas, layers, 2, rows, size)}
    for which in ("last", "best"):
        found = tensors(trained, which)
        assert {name: array.shape for name, array in found.items()} == expected
        assert {array.dtype for array in found.values()} == {np.dtype(np.float32)}


def test_checkpoint_metadata_hold_config_position_seeds_and_the_next_epochs_stream(trained):
    with safe_open(trained / "checkpoints" / "last.safetensors", framework="np") as file:
        metadata = json.loads(file.metadata()["lstmcli"])
    config = Config.build(metadata["config"])
    assert metadata["position"] == {"epoch": 3, "window": 0, "step": 60}
    assert metadata["seeds"] == [0, 1, 2]
    source = open_source(config)
    for seed, stream in zip(metadata["seeds"], metadata["streams"]["training"], strict=True):
        sequence = np.random.SeedSequence(stream["entropy"], spawn_key=stream["spawn_key"])
        resumed = np.random.Generator(getattr(np.random, stream["bit_generator"])(sequence))
        series = echo.generate(config.data, resumed)
        assert series.checksum() == source.draw(seed, Stream.TRAINING, 3).checksum()


def test_best_checkpoint_is_each_seeds_lowest_validation_loss(trained):
    best = checkpoints.read(trained / "checkpoints" / "best.safetensors").metadata["best"]
    rows = pd.read_csv(trained / "metrics.csv")
    for each in best:
        own = rows[rows.seed == each["seed"]]
        lowest = own.loc[own.val_loss.idxmin()]
        assert (each["epoch"], each["val_loss"]) == (lowest.epoch, lowest.val_loss)


def test_best_checkpoint_of_one_seed_stands_at_the_epoch_of_its_tensors(tmp_path):
    config = Config.build(series_length=150, epochs=3, layers=1)
    prepared = experiment.prepare(config, rundir.create(tmp_path / "run", "", overwrite=False))
    for rows in experiment.train(prepared):
        if isinstance(rows, list):
            # As if no later epoch were as good.
            prepared.best_at[0]["val_loss"] = 0.0
    best = checkpoints.read(tmp_path / "run" / "checkpoints" / "best.safetensors")
    assert best.metadata["position"] == {"epoch": 1, "window": 0, "step": 2}
    assert best.metadata["streams"]["training"][0]["spawn_key"][-1] == 1
    expected, _ = replay(config, epochs=1)
    assert_same_bits(best.tensors, expected)


def test_a_checkpoint_comes_back_from_its_file_to_the_bit(trained, tmp_path):
    first = checkpoints.read(trained / "checkpoints" / "last.safetensors")
    first.write(tmp_path / "again.safetensors")
    second = checkpoints.read(tmp_path / "again.safetensors")
    assert_same_bits(second.tensors, first.tensors)
    assert second.metadata == first.metadata


@pytest.fixture
def bad(tmp_path):
    return tmp_path / "bad.safetensors"


@pytest.mark.parametrize("length", [0, 7, 8, 100, -1])
def test_a_truncated_checkpoint_is_refused(run, trained, bad, length):
    bad.write_bytes((trained / "checkpoints" / "last.safetensors").read_bytes()[:length])
    assert str(bad) in run("inspect", bad, exit_code=4).stderr


def test_a_checkpoint_with_a_damaged_byte_in_its_header_is_refused_or_read(trained, bad):
    """Whatever the damage: a checkpoint or a FileError, and nothing else."""
    whole = (trained / "checkpoints" / "last.safetensors").read_bytes()
    header = 8 + int.from_bytes(whole[:8], "little")
    refused = 0
    for position in range(0, header, 7):
        bad.write_bytes(whole[:position] + bytes([whole[position] ^ 1]) + whole[position + 1 :])
        try:
            checkpoints.read(bad)
        except FileError:
            refused += 1
    assert refused > header / 7 / 3


def no_dense(arrays):
    del arrays["dense.bias"]


def other_size(arrays):
    arrays["lstm.1.kernel"] = arrays["lstm.1.kernel"][:, :3]


def no_slot(arrays):
    del arrays["optimizer.accumulator.lstm.0.bias"]


def other_batch(arrays):
    arrays["state"] = arrays["state"][:, :, :, :2]


@pytest.mark.parametrize("damage", [no_dense, other_size, no_slot, other_batch])
def test_a_checkpoint_whose_tensors_do_not_fit_its_config_is_refused(run, trained, bad, damage):
    found = checkpoints.read(trained / "checkpoints" / "last.safetensors")
    damage(found.tensors)
    found.write(bad)
    assert str(bad) in run("eval", bad, exit_code=4).stderr


def test_a_safetensors_file_of_somebody_else_is_refused(run, bad):
    save_file({"weight": np.zeros(3, np.float32)}, bad)
    assert "not a checkpoint of lstmcli" in run("inspect", bad, exit_code=4).stderr


def test_a_checkpoint_of_another_format_is_refused_by_its_number(run, trained, bad):
    found = checkpoints.read(trained / "checkpoints" / "last.safetensors")
    save_file(found.tensors, bad, {"lstmcli": json.dumps({**found.metadata, "format": 99})})
    assert "99" in run("inspect", bad, exit_code=4).stderr


def test_a_full_disk_keeps_the_old_file_and_leaves_nothing_behind(tmp_path, monkeypatch):
    def full(handle):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    file = tmp_path / "last.safetensors"
    file.write_bytes(b"old")
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_atomically(file, b"new")
    assert [path.name for path in tmp_path.iterdir()] == ["last.safetensors"]
    assert file.read_bytes() == b"old"


# --- the same bits


def test_the_same_settings_give_the_same_bits(run, small, trained, tmp_path):
    run("train", *small, "--replicas", 3, "--out", "again")
    for which in ("last", "best"):
        assert_same_bits(tensors(tmp_path / "again", which), tensors(trained, which))
    for name in ("metrics.csv", "steps.csv"):
        assert table(tmp_path / "again", name).equals(table(trained, name))


def test_a_replica_equals_a_run_of_its_own_to_the_bit(run, small, trained, tmp_path):
    seed = 2
    run("train", *small, "--seed", seed, "--out", "alone")
    for which in ("last", "best"):
        together = {name: array[[seed]] for name, array in tensors(trained, which).items()}
        assert_same_bits(tensors(tmp_path / "alone", which), together)
    for name in ("metrics.csv", "steps.csv"):
        rows = table(trained, name)
        own = (
            rows[rows.seed == str(seed)]
            .reset_index(drop=True)
            .drop(columns="bayes_loss", errors="ignore")
        )
        assert table(tmp_path / "alone", name)[list(own)].equals(own)


@pytest.mark.parametrize(
    "given",
    [
        {"layers": 3, "replicas": 8},
        {"layers": 1, "state_size": 7, "classes": 3, "replicas": 5, "optimizer": "adam"},
        {"layers": 2, "replicas": 2, "optimizer": "rmsprop", "clip_norm": 0.01, "bptt": 4},
    ],
)
def test_replicas_equal_single_trainings_at_other_sizes_too(given):
    together = Config.build(series_length=600, **given)
    last = together.run.replicas - 1
    alone = Config.build(series_length=600, **(given | {"replicas": 1, "seed": last}))
    expected, measured = replay(together, epochs=2)
    found, own = replay(alone, epochs=2)
    assert_same_bits(found, {name: array[[last]] for name, array in expected.items()})
    for one, many in zip(own, measured, strict=True):
        assert one[:, 0].tobytes() == many[:, last].tobytes()


# --- endings


@pytest.mark.parametrize(("number", "exit_code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_a_run_after_a_checkpoint_of_where_it_stood(
    number, exit_code, python, tmp_path
):
    options = ["--epochs", "100000", "--layers", "1", "--series-length", "50000", "--out", "run"]
    code = "from lstmcli.cli.app import main; main()"
    process = subprocess.Popen(
        [sys.executable, "-c", code, "train", *options], stderr=subprocess.PIPE, **python
    )
    rows = tmp_path / "run" / "metrics.csv"
    until = time.monotonic() + 100
    while not rows.exists() and process.poll() is None and time.monotonic() < until:
        time.sleep(0.02)
    process.send_signal(number)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == exit_code, stderr
    assert re.search(r"^error: stopped by SIG", stderr, re.MULTILINE)
    assert re.search(r"^hint: `lstmcli .*run", stderr, re.MULTILINE)

    status = json.loads((tmp_path / "run" / "run.json").read_text())
    assert (status["status"], status["argv"][1:]) == ("interrupted", ["train", *options])
    saved = checkpoints.read(tmp_path / "run" / "checkpoints" / "last.safetensors")
    position = saved.metadata["position"]
    assert table(tmp_path / "run").epoch.tolist()[-1] == str(position["epoch"])
    assert position["step"] == 666 * position["epoch"] + position["window"]

    expected, measured = replay(saved.config, position["epoch"], position["window"])
    progress = {
        f"progress.{name}": column[len(column) - position["window"] :]
        for name, column in zip(("loss", "accuracy", "grad_norm"), measured, strict=True)
    }
    assert_same_bits(saved.tensors, expected | progress)


def test_a_run_that_diverges_says_so_in_its_exit_code_its_status_and_a_hint(run):
    options = ["--optimizer", "sgd", "--learning-rate", "1e38", "--series-length", 1500]
    result = run("train", *options, "--layers", 1, "--json", "--out", "run", exit_code=5)
    assert re.search(r"^error: .*NaN or infinite", result.stderr, re.MULTILINE)
    assert "--learning-rate" in result.stderr
    assert json.loads(Path("run/run.json").read_text())["status"] == "diverged"
    assert json.loads(result.stdout)["status"] == "diverged"


def test_a_replica_that_diverges_takes_no_other_with_it(tmp_path):
    config = Config.build(series_length=150, epochs=2, layers=1, replicas=2)
    prepared = experiment.prepare(config, rundir.create(tmp_path / "run", "", overwrite=False))
    prepared.tensors["dense.bias"][0] = np.nan
    with pytest.raises(DivergedError, match="seed 0 "):
        list(experiment.train(prepared))
    found = tensors(tmp_path / "run")
    assert np.isnan(found["dense.bias"][0]).all()
    expected, _ = replay(Config.build(series_length=150, epochs=2, layers=1, seed=1), epochs=2)
    assert_same_bits({name: array[[1]] for name, array in found.items()}, expected)
    assert json.loads((tmp_path / "run" / "run.json").read_text())["status"] == "diverged"
