"""How runs end: by signals, by divergence, with figures that could not be drawn."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import lstmcli
from lstmcli.config import Config
from lstmcli.core.replica_windows import WindowMetrics
from lstmcli.reporting import plot
from lstmcli.training import checkpoint as checkpoints
from lstmcli.training import run_dir, trainer
from lstmcli.utils.errors import DivergedError
from records import assert_same_bits, now, replay, table, tensors
from sweeping import wait_for

SHORT = ("--series-length", 150, "--layers", 1, "--epochs", 2)


@pytest.mark.slow
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


def test_sigterm_while_figures_are_drawn_ends_with_its_code(run, monkeypatch, tmp_path):
    with monkeypatch.context() as patched:
        patched.setattr(plot, "write_all", lambda *arguments: os.kill(os.getpid(), signal.SIGTERM))
        done = run("train", *SHORT, "--out", "run", exit_code=143)
    assert "error: stopped by SIGTERM" in done.stderr
    assert json.loads((tmp_path / "run/run.json").read_text())["status"] == "completed"
    (tmp_path / "run/figures").mkdir()
    (tmp_path / "run/figures/.loss.png.x").write_bytes(b"half")
    assert "figures: run/figures" in run("train", "--resume", "run").stdout
    assert sorted(path.name for path in (tmp_path / "run/figures").iterdir()) == FIGURES
    known = json.loads((tmp_path / "run/run.json").read_text())
    assert (known["status"], sorted(known["figures"])) == ("completed", FIGURES)


def test_figures_that_could_not_be_drawn_are_drawn_by_the_command_that_is_named(run):
    """A folder that cannot be made; what is deleted is drawn anew, and nothing that is there."""
    run("train", *SHORT, "--out", "run")
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


def test_ctrl_c_before_a_run_has_begun_takes_its_directory_away(run, monkeypatch, tmp_path):
    def interrupted(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(trainer, "prepare", interrupted)
    stderr = run("train", *SHORT, "--out", "run", exit_code=130).stderr
    assert "error: stopped by Ctrl-C" in stderr
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
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


@pytest.mark.parametrize(
    ("number", "code", "name"),
    [(signal.SIGINT, 130, "Ctrl-C"), (signal.SIGTERM, 143, "SIGTERM")],
)
def test_a_signal_ends_the_command_with_its_code_and_how_to_go_on(
    number, code, name, run, monkeypatch
):
    validate = trainer._validate

    def signalled(*arguments):
        signal.raise_signal(number)
        return validate(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(trainer, "_validate", signalled)
        stderr = run("train", *SHORT, "--out", "run", exit_code=code).stderr
    assert f"error: stopped by {name}" in stderr
    assert "hint: `lstmcli train --resume run`" in stderr
    assert json.loads(Path("run/run.json").read_text())["status"] == "interrupted"
    position = checkpoints.read(Path("run/checkpoints/last.safetensors")).metadata["position"]
    assert (position["epoch"], position["window"]) == (1, 0)


NATIVE = """
def compute_for_long(*arguments):  # In native code, as the compiler is: no handler ends it.
    import hashlib
    from pathlib import Path
    Path("computing").touch()
    hashlib.pbkdf2_hmac("sha256", b"", b"", 1_000_000_000)
"""
COMPILING = """
from lstmcli.core.runner import Program
Program.train = compute_for_long
from lstmcli.__main__ import main
main()
"""
HANDLED = """
from lstmcli.utils.signals import stop_signals
with stop_signals():
    compute_for_long()
"""


def ended_by_two(number, code, python, *arguments):
    """What a process says that two signals end; it computes in native code."""
    process = subprocess.Popen(
        [sys.executable, "-c", NATIVE + code, *arguments], stderr=subprocess.PIPE, **python
    )
    wait_for(Path("computing"))
    process.send_signal(number)
    time.sleep(0.1)
    process.send_signal(number)
    begun, (_, stderr) = time.monotonic(), process.communicate(timeout=60)
    assert time.monotonic() - begun < 10
    return process.returncode, stderr


TWICE = pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])


@TWICE
def test_a_second_signal_ends_native_code_at_once(number, code, python):
    ended, stderr = ended_by_two(number, HANDLED, python)
    assert ended == code
    assert "error: stopped immediately by a second" in stderr


@pytest.mark.slow
@TWICE
def test_a_second_signal_ends_a_run_at_once_even_where_it_compiles(number, code, python):
    command = ["train", "--series-length", "900", "--layers", "1", "--out", "run"]
    ended, stderr = ended_by_two(number, COMPILING, python, *command)
    assert ended == code
    assert "error: stopped immediately by a second" in stderr
    assert json.loads(Path("run/run.json").read_text())["status"] == "running"
