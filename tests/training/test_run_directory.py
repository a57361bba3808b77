"""The directory of a run: its status, what is written where, and one writer at a time."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from lstmcli.config import Config
from lstmcli.training import checkpoint as checkpoints
from lstmcli.training import run_dir, trainer
from records import table, tensors


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
    run(
        "train", "--series-length", 150, "--epochs", 1, "--layers", 1, "--out", "run", "--overwrite"
    )
    left = {path.name for path in Path("run/checkpoints").iterdir()}
    assert left == {"favourite.safetensors", "last.safetensors", "best.safetensors"}


def test_a_file_called_latest_is_not_replaced_by_the_link(run):
    Path("runs").mkdir()
    Path("runs/latest").write_text("mine")
    run("train", "--series-length", 150, "--epochs", 1, "--layers", 1)
    assert Path("runs/latest").read_text() == "mine"


HOLD = """
import sys, time
from pathlib import Path
from lstmcli.utils.locks import lock
with lock(Path(sys.argv[1])):
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
    other = ["train", "--seed", 1, "--epochs", 1, "--layers", 1, "--out", "run", "--overwrite"]
    assert f"process {os.getpid()} " in run(*other, exit_code=2).stderr
    list(records)
    assert table(tmp_path / "run").seed.tolist() == ["0", "0"]
    run(*other, "--series-length", 150)
    assert table(tmp_path / "run").seed.tolist() == ["1"]


@pytest.mark.slow
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
