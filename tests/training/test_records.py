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
import tempfile
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

import lstmcli
from lstmcli.config import Config
from lstmcli.core import initialization
from lstmcli.core.replica_windows import ReplicaWindows, WindowMetrics
from lstmcli.core.runner import Program
from lstmcli.data.datasets import open_source
from lstmcli.data.tasks import echo
from lstmcli.model_spec import ModelSpec
from lstmcli.reporting import plot
from lstmcli.training import checkpoint as checkpoints
from lstmcli.training import metrics, run_dir, trainer
from lstmcli.training.metrics import EpochRow
from lstmcli.utils.errors import DivergedError, FileError
from lstmcli.utils.files import write_atomically
from lstmcli.utils.rng import Stream, generator

COLUMNS = (
    "epoch,step,seed,loss,accuracy,val_loss,val_accuracy,bayes_loss,"
    "learning_rate,grad_norm,epoch_seconds,elapsed_seconds,val_gap"
)
TIMES = ["epoch_seconds", "elapsed_seconds"]


def table(directory, name="metrics.csv"):
    """A table as text, so that equal means equal to the bit; times left out."""
    return pd.read_csv(directory / name, dtype=str).drop(columns=TIMES, errors="ignore")


def tensors(directory, which="last"):
    return now(load_file(directory / "checkpoints" / f"{which}.safetensors"))


def now(tensors):
    """A checkpoint's tensors without those that a resume alone needs."""
    resumed = ("best.", "begun.")
    return {name: array for name, array in tensors.items() if not name.startswith(resumed)}


def assert_same_bits(found, expected):
    assert found.keys() == expected.keys()
    for name, array in expected.items():
        assert found[name].tobytes() == array.tobytes(), name


def replay(config, epochs, windows=0):
    """Training alone, as a loop over `Program.train`: the tensors at a position, and measures."""
    source = open_source(config)
    spec = source.spec
    program = Program(source.config, spec, "cpu:0")
    rngs = [generator(seed, Stream.WEIGHTS) for seed in config.run.seeds]
    now = program.start(initialization.initialise(config.model, spec.features, spec.outputs, rngs))
    measured = []
    for epoch in range(epochs + (windows > 0)):
        batch = ReplicaWindows(source.training(epoch))
        now["state"] = np.zeros_like(now["state"])
        done = 0
        for trained, seen in program.train(now, batch, epoch * len(batch)):
            measured.append(seen)
            done += len(seen.loss)
            if epoch == epochs and done == windows:
                break
        now = {name: np.array(tensor) for name, tensor in trained.items()}
    columns = (np.concatenate(column) for column in zip(*measured, strict=True))
    return now, [np.asarray(column, np.float32) for column in columns]


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
    metrics.append_metrics(path, rows[:1])
    metrics.append_metrics(path, rows[1:])
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
    expected, (loss, accuracy, grad_norm, _) = replay(Config.build(**given), epochs=2)
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
    held_out = open_source(saved.config).validation()
    program = Program(saved.config, ModelSpec(1, (), 2), "cpu:0")
    scores = np.concatenate(list(program.predict(saved.tensors, ReplicaWindows(held_out))))
    found = np.exp(scores).astype(float)  # [W, T, B, C, R]
    labels = np.stack([each.take(0, len(each))["targets"] for each in held_out], -1)
    right = np.take_along_axis(found, labels[:, :, :, None], 3)[:, :, :, 0]
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
        for part in (data[:2400], data[2400:2700], data[2700:])
    ]
    assert status["data_sha256"] == [hashlib.sha256(part).hexdigest() for part in parts]


def test_config_toml_is_every_setting_resolved(trained):
    found = Config.build(run_dir.read_config(trained / "config.toml"))
    given = {"series_length": 1530, "epochs": 3, "layers": 2, "replicas": 3}
    assert found == Config.build(**given, batch_size=5, bptt=15)
    assert "learning_rate = 0.3" in (trained / "config.toml").read_text()


def test_runs_of_one_second_get_directories_of_their_own(monkeypatch):
    """Even where another run makes the directory between the look and the making."""
    usual = Path.mkdir

    def late(path, *arguments, **keywords):
        if path.name.endswith(("echo", "echo-2")) and not path.exists():
            usual(path, parents=True)
            others.append(path)
        usual(path, *arguments, **keywords)

    others = []
    monkeypatch.setattr(time, "strftime", lambda form: "2026-01-01-000000")
    monkeypatch.setattr(Path, "mkdir", late)
    made = [run_dir.create(None, "echo", overwrite=False).path for _ in range(3)]
    assert [path.name for path in others] == ["2026-01-01-000000-echo", "2026-01-01-000000-echo-2"]
    assert len({*made, *others}) == 5
    assert all(path.is_dir() for path in made)


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


@pytest.mark.parametrize("name", ["config.toml", "metrics.csv", "checkpoints/best.safetensors"])
def test_a_strangers_file_where_a_run_would_write_is_left_alone(name, run):
    file = Path("mine") / name
    file.parent.mkdir(parents=True)
    file.write_text("mine")
    for options in ([], ["--overwrite"]):
        stderr = run("train", "--epochs", 1, "--out", "mine", *options, exit_code=2).stderr
        assert f"`{file}`" in stderr
        assert "pass `--overwrite`" not in stderr
    assert [path for path in Path("mine").rglob("*") if path.is_file()] == [file]


def test_a_run_json_of_somebody_else_is_no_run_to_be_replaced(run):
    Path("mine").mkdir()
    for text in ("", "[]", '{"status": "running"}'):
        Path("mine/run.json").write_text(text)
        assert (
            "not written by lstmcli"
            in run("train", "--epochs", 1, "--out", "mine", "--overwrite", exit_code=2).stderr
        )
    assert Path("mine/run.json").read_text() == '{"status": "running"}'


def test_overwrite_keeps_what_somebody_put_beside_the_checkpoints(run, trained):
    shutil.copytree(trained, "run")
    Path("run/checkpoints/favourite.safetensors").write_text("mine")
    Path("run/checkpoints/.last.safetensors.abcd1234").write_text("half written")
    run("train", "--series-length", 150, "--epochs", 1, "--out", "run", "--overwrite")
    left = {path.name for path in Path("run/checkpoints").iterdir()}
    assert left == {"favourite.safetensors", "last.safetensors", "best.safetensors"}


def test_a_file_called_latest_is_not_replaced_by_the_link(run):
    Path("runs").mkdir()
    Path("runs/latest").write_text("mine")
    run("train", "--series-length", 150, "--epochs", 1, "--layers", 1)
    assert Path("runs/latest").read_text() == "mine"


# --- one writer at a time

HOLD = """
import sys, time
from pathlib import Path
from lstmcli.utils.locks import held
with held(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(100)
"""


@pytest.fixture
def holder(python, tmp_path):
    """A process that holds the directory `run`."""
    (tmp_path / "run").mkdir()
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, "run"], stdout=subprocess.PIPE, cwd=tmp_path, **python
    )
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.communicate()


def test_a_directory_that_a_process_holds_is_refused_by_that_processs_number(run, holder):
    before = sorted(path.name for path in Path("run").iterdir())
    for options in ([], ["--overwrite"]):
        error = run("train", "--epochs", 1, "--out", "run", *options, exit_code=2).stderr
        assert f"process {holder.pid} since 2" in error
    assert sorted(path.name for path in Path("run").iterdir()) == before


def test_what_a_killed_process_held_is_free_and_its_lock_leaves_nothing(run, holder):
    holder.kill()
    holder.wait()
    run("train", "--series-length", 150, "--epochs", 1, "--layers", 1, "--out", "run")
    expected = {"config.toml", "run.json", "metrics.csv", "steps.csv", "checkpoints", "figures"}
    assert {path.name for path in Path("run").iterdir()} == expected


def test_of_two_runs_in_one_directory_the_second_is_refused_and_the_first_goes_on(run, tmp_path):
    first = trainer.prepare(
        Config.build(series_length=150, epochs=2, layers=1),
        run_dir.create(tmp_path / "run", "", overwrite=False),
    )
    records = trainer.train(first)
    next(records)
    other = ["train", "--seed", 1, "--epochs", 1, "--out", "run", "--overwrite"]
    assert f"process {os.getpid()} " in run(*other, exit_code=2).stderr
    list(records)
    assert table(tmp_path / "run").seed.tolist() == ["0", "0"]
    run(*other, "--series-length", 150)
    assert table(tmp_path / "run").seed.tolist() == ["1"]


def test_of_many_commands_at_once_exactly_one_trains(python, tmp_path):
    code = "from lstmcli.__main__ import main; main()"
    options = ["--series-length", "150", "--epochs", "1", "--layers", "1", "--out", "run"]
    racing = [
        subprocess.Popen(
            [sys.executable, "-c", code, "train", "--seed", str(seed), *options],
            stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, cwd=tmp_path, **python,
        )
        for seed in range(3)
    ]  # fmt: skip
    errors = [process.communicate()[1] for process in racing]
    assert sorted(process.returncode for process in racing) == [0, 2, 2], errors
    seed = next(seed for seed, process in enumerate(racing) if process.returncode == 0)
    status = json.loads((tmp_path / "run" / "run.json").read_text())
    assert status["seeds"] == checkpoints.read(tmp_path / "run/checkpoints/last.safetensors").seeds
    assert status["seeds"] == [seed]
    assert table(tmp_path / "run").seed.tolist() == [str(seed)]


# --- datasets: where they are, and whether they are what they were


@pytest.fixture
def tree(trained_on_file, tmp_path):
    """A folder `lab` with `data.csv`, its metadata and the run `runs/r` on it."""
    lab = tmp_path / "lab"
    shutil.copytree(trained_on_file.parent, lab, ignore=shutil.ignore_patterns("run"))
    (lab / "runs").mkdir()
    return lab


@pytest.fixture
def lab(tree, run, monkeypatch):
    """The same, trained in it."""
    monkeypatch.chdir(tree)
    run("train", "--data", "data.csv", "--epochs", 1, "--layers", 1, "--out", "runs/r")
    return tree


def test_a_dataset_is_found_from_anywhere_and_after_its_tree_was_moved(run, lab, monkeypatch):
    expected = json.loads(run("eval", "runs/r", "--json").stdout)["results"]
    moved = lab.rename(lab.with_name("moved lab"))
    elsewhere = lab.with_name("elsewhere")
    elsewhere.mkdir()
    for stand, path in ((moved, "runs/r"), (moved / "runs/r", "."), (elsewhere, moved / "runs/r")):
        monkeypatch.chdir(stand)
        for what in (path, Path(path) / "checkpoints/best.safetensors"):
            assert json.loads(run("eval", what, "--json").stdout)["results"] == expected
    run("train", "--config", moved / "runs/r/config.toml", "--out", "again")
    assert table(elsewhere / "again").equals(table(moved / "runs/r"))
    run("eval", "again")


def test_a_dataset_is_found_where_run_directories_are_links_to_elsewhere(run, tree, monkeypatch):
    (tree / "runs").rmdir()
    (tree.parent / "scratch/deep/runs").mkdir(parents=True)
    (tree / "runs").symlink_to(tree.parent / "scratch/deep/runs")
    monkeypatch.chdir(tree)
    run("train", "--data", "data.csv", "--epochs", 1, "--layers", 1, "--out", "runs/r")
    monkeypatch.chdir(tree.parent)
    run("eval", "lab/runs/r")
    run("train", "--config", "lab/runs/r/config.toml", "--out", "again")


def test_a_dataset_named_by_hand_is_looked_for_beside_the_file_and_where_one_stands(run, tree):
    quick = "[training]\nepochs = 1\n[model]\nlayers = 1\n"
    (tree / "hand.toml").write_text(f'[data]\ndata = "data.csv"\n{quick}')
    Path("here.toml").write_text(f'[data]\ndata = "lab/data.csv"\n{quick}')
    (tree / "here.toml").write_text(Path("here.toml").read_text())
    for number, config in enumerate(["lab/hand.toml", "here.toml", "lab/here.toml"]):
        run("train", "--config", config, "--out", f"run-{number}")
    (tree / "data.csv").rename(tree / "new.csv")
    stderr = run("train", "--config", "lab/hand.toml", exit_code=4).stderr
    assert "looked at `lab/data.csv` and at `data.csv`" in stderr
    run("train", "--config", "lab/hand.toml", "--data", "lab/new.csv", "--out", "named")


def test_eval_refuses_a_dataset_that_has_changed_and_scores_it_whole_when_told(run, lab):
    run("generate", "data.csv", "--series-length", 3000, "--classes", 3, "--seed", 9, "--overwrite")
    for what in ("runs/r", "runs/r/checkpoints/last.safetensors"):
        result = run("eval", what, exit_code=4)
        assert "`data.csv` has changed" in result.stderr
        option = re.search(r"hint: `(--data [^`]*)`", result.stderr)[1]
        found = json.loads(run("eval", what, *option.split(), "--json").stdout)
        assert found["results"][0]["labels"] == 3000


def test_a_change_shows_in_a_checkpoint_that_keeps_no_checksum_by_that_of_its_run(run, lab):
    """As earlier versions wrote them; a copy elsewhere cannot be checked, and eval says so."""
    best = Path("runs/r/checkpoints/best.safetensors")
    old = checkpoints.read(best)
    assert (
        old.metadata.pop("data_sha256")
        == json.loads(Path("runs/r/run.json").read_text())["data_sha256"]
    )
    old.write(best)
    run("eval", "runs/r")
    shutil.copy(best, "copy.safetensors")
    run("eval", "copy.safetensors", exit_code=4)  # Its `../../data.csv` leads nowhere from here.
    Path("a/b").mkdir(parents=True)
    shutil.copy(best, "a/b/copy.safetensors")
    assert "note: whether `data.csv` has changed" in run("eval", "a/b/copy.safetensors").stderr
    lines = Path("data.csv").read_text().splitlines()
    Path("data.csv").write_text("\n".join([*lines[:-1], "1,0,0,2"]) + "\n")
    Path("data.json").unlink()
    assert "has changed" in run("eval", "runs/r", exit_code=4).stderr


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
    prepared = trainer.prepare(config, run_dir.create(tmp_path / "run", "", overwrite=False))
    for rows in trainer.train(prepared):
        if isinstance(rows, list):
            # As if no later epoch were as good.
            prepared.best_epochs[0]["val_loss"] = 0.0
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


@pytest.mark.parametrize("call", ["mkstemp", "fsync", "replace"])
def test_an_error_in_writing_names_the_file_that_was_asked_for(call, tmp_path, monkeypatch):
    def denied(*arguments, **keywords):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), ".other.tmp", 0, ".third")

    owner = {"mkstemp": tempfile, "fsync": os, "replace": Path}[call]
    monkeypatch.setattr(owner, call, denied)
    with pytest.raises(OSError, match="Permission denied") as caught:
        write_atomically(tmp_path / "p.csv", b"new")
    assert caught.value.filename == str(tmp_path / "p.csv")
    assert ".other.tmp" not in str(caught.value)
    assert ".third" not in str(caught.value)
    assert not list(tmp_path.iterdir())


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
    code = "from lstmcli.__main__ import main; main()"
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
    assert re.search(r"^error: stopped by (Ctrl-C|SIGTERM)", stderr, re.MULTILINE)
    assert re.search(r"^hint: `lstmcli .*run", stderr, re.MULTILINE)

    status = json.loads((tmp_path / "run" / "run.json").read_text())
    assert (status["status"], status["argv"][1:]) == ("interrupted", ["train", *options])
    assert not list((tmp_path / "run").glob(".*"))
    saved = checkpoints.read(tmp_path / "run" / "checkpoints" / "last.safetensors")
    position = saved.metadata["position"]
    assert table(tmp_path / "run").epoch.tolist()[-1] == str(position["epoch"])
    assert position["step"] == 666 * position["epoch"] + position["window"]

    expected, measured = replay(saved.config, position["epoch"], position["window"])
    progress = {
        f"progress.{name}": column[len(column) - position["window"] :]
        for name, column in zip(WindowMetrics._fields, measured, strict=True)
        if position["window"]  # The signal may come between two epochs.
    }
    assert_same_bits(now(saved.tensors), expected | progress)


def test_a_run_that_diverges_says_so_in_its_exit_code_its_status_and_a_hint(run):
    options = ["--optimizer", "sgd", "--learning-rate", "1e38", "--series-length", 1500]
    result = run("train", *options, "--layers", 1, "--json", "--out", "run", exit_code=5)
    assert re.search(r"^error: .*NaN or infinite", result.stderr, re.MULTILINE)
    assert "--learning-rate" in result.stderr
    assert json.loads(Path("run/run.json").read_text())["status"] == "diverged"
    assert json.loads(result.stdout)["status"] == "diverged"


def test_a_replica_that_diverges_takes_no_other_with_it(tmp_path):
    config = Config.build(series_length=150, epochs=2, layers=1, replicas=2)
    prepared = trainer.prepare(config, run_dir.create(tmp_path / "run", "", overwrite=False))
    prepared.tensors["dense.bias"][0] = np.nan
    with pytest.raises(DivergedError, match="seed 0 "):
        list(trainer.train(prepared))
    found = tensors(tmp_path / "run")
    assert np.isnan(found["dense.bias"][0]).all()
    expected, _ = replay(Config.build(series_length=150, epochs=2, layers=1, seed=1), epochs=2)
    assert_same_bits({name: array[[1]] for name, array in found.items()}, expected)
    assert json.loads((tmp_path / "run" / "run.json").read_text())["status"] == "diverged"


FIGURES = ["echo.png", "loss.png"]


def test_sigterm_while_figures_are_drawn_ends_with_its_code(run, small, monkeypatch, tmp_path):
    with monkeypatch.context() as patched:
        patched.setattr(plot, "write_all", lambda *arguments: os.kill(os.getpid(), signal.SIGTERM))
        done = run("train", *small, "--out", "run", exit_code=143)
    assert "error: stopped by SIGTERM" in done.stderr
    assert json.loads((tmp_path / "run/run.json").read_text())["status"] == "completed"
    (tmp_path / "run/figures").mkdir()
    (tmp_path / "run/figures/.loss.png.x").write_bytes(b"half")
    assert "figures: run/figures" in run("train", "--resume", "run").stdout
    assert sorted(path.name for path in (tmp_path / "run/figures").iterdir()) == FIGURES
    known = json.loads((tmp_path / "run/run.json").read_text())
    assert (known["status"], sorted(known["figures"])) == ("completed", FIGURES)


def test_figures_that_could_not_be_drawn_are_drawn_by_the_command_that_is_named(run, small):
    """A folder that cannot be made; what is deleted is drawn anew, and nothing that is there."""
    run("train", *small, "--out", "run")
    drawn = {path.name: path.read_bytes() for path in Path("run/figures").iterdir()}
    shutil.rmtree("run/figures")
    Path("run/figures").write_bytes(b"in the way")
    warning = run("train", "--resume", "run").stderr
    assert "warning: no figures: " in warning
    assert "`lstmcli train --resume run` draws them" in warning
    Path("run/figures").unlink()
    run("train", "--resume", "run", "--json")
    assert {path.name: path.read_bytes() for path in Path("run/figures").iterdir()} == drawn
    before = Path("run/figures/loss.png").stat().st_mtime_ns
    run("train", "--resume", "run")
    assert Path("run/figures/loss.png").stat().st_mtime_ns == before
    Path("run/figures/echo.png").unlink()
    assert lstmcli.train(resume="run").directory == Path("run")
    assert {path.name: path.read_bytes() for path in Path("run/figures").iterdir()} == drawn


def test_ctrl_c_while_tensorflow_loads_says_so(python, tmp_path):
    code = "from lstmcli.__main__ import main; main()"
    process = subprocess.Popen(
        [sys.executable, "-c", code, "train", "--out", "run"], cwd=tmp_path, start_new_session=True,
        stderr=subprocess.PIPE, **python,
    )  # fmt: skip
    while not (tmp_path / "run").exists():  # It is made before TensorFlow loads.
        time.sleep(0.02)
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "error: stopped by Ctrl-C" in stderr
    assert not (tmp_path / "run").exists()
