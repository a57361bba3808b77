"""Disks that are full, directories that may not be written to, and ones that go: for real."""

import errno
import os
import re
import resource
import shlex
import shutil
import subprocess
import sys
import textwrap
from contextlib import contextmanager, suppress
from pathlib import Path

import pandas as pd
import pytest
from typer.testing import CliRunner

from lstmcli.cli.app import app
from lstmcli.config import Config
from lstmcli.training import checkpoint as checkpoints
from lstmcli.training import metrics, run_dir, trainer
from lstmcli.training.metrics import StepRow
from lstmcli.utils import files

KEPT = Path(__file__).parents[1] / "kept" / "unsealed"
LINUX = pytest.mark.skipif(sys.platform != "linux", reason="needs Linux")


@contextmanager
def no_larger_files(most):
    """No file may have more than so many bytes, if it is said how many."""
    usual = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most or usual[0], usual[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, usual)


@pytest.fixture(params=["here", pytest.param("new process", marks=pytest.mark.slow)])
def command(request, python, tmp_path):
    """A command whose files may have no more than so many bytes: its exit code and its errors."""

    def here(*arguments, most=None):
        with no_larger_files(most):
            done = CliRunner().invoke(app, [str(each) for each in arguments])
        return done.exit_code, done.stderr

    def in_process(*arguments, most=None):
        code = textwrap.dedent(f"""
            import resource, sys
            if {most}:
                resource.setrlimit(resource.RLIMIT_FSIZE, ({most}, {most}))
            from lstmcli.__main__ import main
            main()
        """)
        given = [str(each) for each in arguments]
        python["env"]["XDG_CACHE_HOME"] = str(tmp_path / "cache")
        done = subprocess.run(
            [sys.executable, "-c", code, *given], cwd=tmp_path, capture_output=True, check=False,
            **python,
        )  # fmt: skip
        return done.returncode, done.stderr

    return here if request.param == "here" else in_process


def mounted(place, *options):
    """Mounts a file system, or skips: root is asked for, in most containers in vain."""
    place.mkdir(exist_ok=True)
    done = subprocess.run(["mount", *options, str(place)], check=False, capture_output=True)
    if done.returncode:
        pytest.skip("mounting a file system is not allowed here")


@pytest.fixture
def small_disk(tmp_path):
    """A directory on a disk of its own, of 64 kB."""
    place = tmp_path / "disk"
    mounted(place, "-t", "tmpfs", "-o", "size=64k", "none")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


@pytest.fixture
def read_only(tmp_path):
    """Makes a directory one to read only, for root too."""
    places = []

    def make(place):
        mounted(place, "--bind", str(place))
        places.append(place)
        subprocess.run(["mount", "-o", "remount,bind,ro", str(place)], check=True)

    yield make
    for place in places:
        subprocess.run(["umount", "-l", str(place)], check=True)


def fill(folder):
    """Fills a disk to the last byte."""
    with (folder / "filler").open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(bytes(4096))


def names(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def assert_clear(code, stderr, *words):
    """Exit code 1 and one error in words; neither a traceback nor an exception's name."""
    assert code == 1, stderr
    assert "error: cannot read or write" in stderr
    assert "Traceback" not in stderr
    assert "Error:" not in stderr
    for each in words:
        assert each in stderr


# --- the writers themselves


@LINUX
def test_a_full_disk_leaves_the_old_file_or_none_and_nothing_half_written(small_disk):
    old = small_disk / "old"
    files.write_atomically(old, b"old")
    fill(small_disk)
    for name in ("old", "new"):
        with pytest.raises(OSError, match="No space left") as caught:
            files.write_atomically(small_disk / name, bytes(100_000))
        assert caught.value.filename == str(small_disk / name)
    assert names(small_disk) == ["filler", "old"]
    assert old.read_bytes() == b"old"


@LINUX
def test_of_rows_that_do_not_fit_none_is_in_the_table(small_disk):
    table = small_disk / "steps.csv"
    metrics.append_metrics(table, [StepRow(1, 1, 0, 0.5, None, 0.1)])
    before = table.read_bytes()
    fill(small_disk)
    rows = [StepRow(2, step, 0, 0.123456789, None, 0.1) for step in range(2000)]
    with pytest.raises(OSError, match="No space left"):
        metrics.append_metrics(table, rows)
    assert table.read_bytes() == before


@LINUX
def test_a_directory_that_cannot_be_made_leaves_none_above_it(small_disk, read_only):
    read_only(small_disk)
    with pytest.raises(OSError, match="Read-only"):
        files.make_directories(small_disk / "a" / "b")


# --- training


def train(folder, epochs=5):
    config = Config.build(series_length=300, epochs=epochs, layers=1, cache=False)
    prepared = trainer.prepare(config, run_dir.create(folder, "", overwrite=False))
    for event in trainer.train(prepared):
        if isinstance(event, list):
            yield event[0].epoch


def train_until(folder, happens, error):
    """Trains; after the second epoch something happens, and the training ends with an error."""
    trained = train(folder)
    assert [next(trained), next(trained)] == [1, 2]
    happens()
    with pytest.raises(OSError, match=error) as caught:
        next(trained)
    return caught.value


def assert_good_checkpoint(folder):
    last = folder / "checkpoints/last.safetensors"
    assert checkpoints.read(last).metadata["position"]["epoch"] >= 2
    rows = pd.read_csv(folder / "metrics.csv")
    assert rows.epoch.tolist()[:2] == [1, 2]
    assert not [name for name in names(folder) if "/." in name or name.startswith(".last")]


@LINUX
def test_a_disk_that_gets_full_leaves_the_last_good_checkpoint(small_disk):
    error = train_until(small_disk / "run", lambda: fill(small_disk), "No space left")
    assert str(small_disk) in error.filename
    assert_good_checkpoint(small_disk / "run")


@LINUX
def test_a_directory_that_turns_read_only_keeps_the_last_good_checkpoint(tmp_path, read_only):
    folder = tmp_path / "disk"
    folder.mkdir()
    train_until(folder / "run", lambda: read_only(folder), "Read-only")
    assert_good_checkpoint(folder / "run")


def test_a_run_directory_that_vanishes_ends_the_run_and_is_not_made_again(tmp_path):
    folder = tmp_path / "run"
    error = train_until(folder, lambda: shutil.rmtree(folder), "No such file")
    assert str(folder) in str(error.filename)
    assert not folder.exists()


# --- the commands


@LINUX
@pytest.mark.parametrize("most", [2_000, 3_000])
def test_train_says_what_could_not_be_written(most, command, tmp_path):
    options = ["--series-length", 300, "--epochs", 40, "--layers", 1, "--no-cache"]
    done = command("train", *options, "--out", "run", most=most)
    assert_clear(*done, "File too large")
    last = tmp_path / "run/checkpoints/last.safetensors"
    assert not last.exists() or checkpoints.read(last)
    assert not list((tmp_path / "run").rglob(".*safetensors*"))


@LINUX
@pytest.mark.figures
def test_a_run_whose_disk_gets_full_goes_on_with_the_command_of_its_hint(command, small_disk):
    (small_disk / "filler").write_bytes(bytes(28_000))
    options = ["--series-length", 300, "--epochs", 60, "--layers", 1, "--no-cache"]
    code, stderr = command("train", *options, "--out", small_disk / "run")
    assert_clear(code, stderr, "No space left", str(small_disk))
    (small_disk / "filler").unlink()
    hint = re.search(r"^hint: when that is fixed, `lstmcli (.*)` goes on", stderr, re.M)
    code, stderr = command(*shlex.split(hint[1]))
    assert code == 0, stderr
    assert pd.read_csv(small_disk / "run/metrics.csv").epoch.tolist() == list(range(1, 61))


@LINUX
@pytest.mark.figures
@pytest.mark.slow
def test_sweep_says_that_the_disk_is_full(command, small_disk):
    options = ["--layers", "1,2", "--series-length", 300, "--epochs", 2, "--seeds", 2, "--no-cache"]
    done = command("sweep", *options, "--jobs", 1, "--out", small_disk / "s")
    assert_clear(*done, "No space left", str(small_disk))  # Its figures alone take more.
    assert not [name for name in names(small_disk) if ".csv." in name or ".png." in name]
    assert len(pd.read_csv(small_disk / "s/trials.csv")) == 4


@LINUX
@pytest.mark.parametrize("name", ["x.npz", "x.csv"])
def test_generate_leaves_nothing_where_there_is_no_room(name, command, small_disk):
    done = command("generate", small_disk / name, "--series-length", 500_000)
    assert_clear(*done, "No space left", name)
    assert [each for each in names(small_disk) if each != "x.json"] == []


@LINUX
def test_predictions_leave_nothing_where_there_is_no_room(command, small_disk):
    fill(small_disk)
    predictions = small_disk / "p.csv"
    done = command("eval", KEPT / "run", "--predictions", predictions)
    assert_clear(*done, "No space left", str(predictions))
    assert names(small_disk) == ["filler"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
@pytest.mark.parametrize(
    "arguments", [["inspect", KEPT / "run"], ["sample", KEPT / "text", "--length", "5"], ["--help"]]
)
def test_an_output_that_is_full_is_said(arguments, python):
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "lstmcli", *map(str, arguments)], stdout=full,
            stderr=subprocess.PIPE, check=False, **python,
        )  # fmt: skip
    assert_clear(done.returncode, done.stderr, "No space left on device")


# --- the Ray driver


class Ray:
    """Stands for Ray: what a task returned is there."""

    class exceptions:  # noqa: N801
        RayError = ZeroDivisionError

    @staticmethod
    def get(reference):
        return reference


class TaskError(Ray.exceptions.RayError):
    """As Ray tells what a task has raised: where it was, a traceback, and what it was."""

    cause = ValueError("no such column\nat all")

    def __str__(self):
        return "\x1b[36mray::_train()\x1b[39m (pid=1)\n  File there\nValueError: no such column"


class Cancelled(Ray.exceptions.RayError):
    """Of which Ray says nothing."""


@pytest.mark.parametrize(
    ("error", "said"), [(TaskError(), "no such column"), (Cancelled(), "Cancelled")]
)
def test_a_ray_task_that_came_to_no_end_says_what_it_was(error, said, tmp_path):
    from lstmcli.sweeps import ray_workers
    from sweeping import settings

    class Failing(Ray):
        @staticmethod
        def get(reference):
            raise error

    first, *_ = ray_workers._receive(Failing, None, settings()[0], tmp_path / "run")
    assert first["error"] == f"its worker was lost: {said}"


def test_the_ray_driver_writes_what_it_receives_whole_or_not_at_all(tmp_path, monkeypatch):
    from lstmcli.sweeps import ray_workers

    content = {"run.json": b"{}", "checkpoints/last.safetensors": b"new"}
    (tmp_path / "run/checkpoints").mkdir(parents=True)
    (tmp_path / "run/checkpoints/last.safetensors").write_bytes(b"old")

    def full(handle):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="No space left"):
            ray_workers._receive(Ray, ([], content), None, tmp_path / "run")
    assert (tmp_path / "run/checkpoints/last.safetensors").read_bytes() == b"old"
    assert names(tmp_path / "run") == ["checkpoints", "checkpoints/last.safetensors"]
    assert ray_workers._receive(Ray, ([1], content), None, tmp_path / "run") == [1]
    assert (tmp_path / "run/checkpoints/last.safetensors").read_bytes() == b"new"
