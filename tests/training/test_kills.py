"""Runs that are killed at any instant, again and again, and lose nothing: real signals."""

import json
import os
import random
import signal
import time
from contextlib import suppress

import pandas as pd
import pytest

from forking import Command
from killing import OFTEN, assert_no_row_twice, assert_sound, is_over, lines, some_time
from resumes import assert_same
from sweeping import COMMAND, start, without_times

# Little training and much writing: of each kind of moment there are enough.
WRITING = ["--series-length", "150", "--layers", "1", "--replicas", "2", "--progress", "none"]
WITHIN = ["--series-length", "3000", "--layers", "2", "--checkpoint-every", "0s"]


@pytest.fixture(scope="module")
def chance(request):
    """What draws the moments; the seed is shown where a test fails."""
    seed = request.config.getoption("--kill-seed")
    print(f"the same again: --kill-seed {seed}")
    return random.Random(seed)


def go(forks, command, path):
    """Begins a run, or goes on with it."""
    begun = (path / "run.json").exists()
    return Command(forks, *(["train", "--resume", path] if begun else [*command, "--out", path]))


def until_done(go_on, path, most):
    """Lets a run go on until it is done, stopped so many times at most; returns how often."""
    times = 0
    while not go_on(path, times < most):
        times += 1
    return times


def again_and_again(go_on, folder, most, compare):
    """Stops runs, one after the other, so many times in all; each is done in the end."""
    times = runs = 0
    while times < most:
        path = folder / f"stopped-{runs}" / "run"
        path.parent.mkdir()
        times += until_done(go_on, path, most - times)
        runs += 1
        compare(path)
    return runs


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize("options", [WRITING, WITHIN], ids=["between epochs", "within epochs"])
def test_a_run_killed_again_and_again_loses_nothing(options, forks, chance, few_kills, tmp_path):
    command = ["train", *options, "--epochs", 150 if options is WRITING else 40]
    assert Command(forks, *command, "--out", "alone").wait() == 0

    def go_on(path, kill):
        run = go(forks, command, path)
        if kill:
            some_time(chance, run, path, is_over)
            run.kill()
        code = run.wait()
        assert code in (0, -signal.SIGKILL), (tmp_path / "output.txt").read_text()
        assert_sound(path)
        return code == 0

    def compare(path):
        assert_no_row_twice(path)
        assert_same(tmp_path / "alone", path)
        assert not list(path.rglob(".*")), "something half-written is left"

    runs = again_and_again(go_on, tmp_path, few_kills, compare)
    print(f"{few_kills} kills of {runs} runs")


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_run_stopped_again_and_again_loses_nothing(
    number, code, forks, chance, few_kills, tmp_path
):
    command = ["train", *WITHIN, "--epochs", 40]
    assert Command(forks, *command, "--out", "alone").wait() == 0

    def go_on(path, stop):
        run = go(forks, command, path)
        if stop:
            some_time(chance, run, path, is_over)
            run.kill(number)
        ended = run.wait()
        assert_sound(path)
        status = path.exists() and json.loads((path / "run.json").read_text())["status"]
        loading = ended == -number and status in (False, "interrupted")  # Again, or for the first
        assert ended in (0, code) or loading, (tmp_path / "output.txt").read_text()  # time.
        assert status in (False, "interrupted", "completed")  # At its figures, perhaps.
        return ended == 0

    def compare(path):
        assert_no_row_twice(path)
        assert_same(tmp_path / "alone", path)

    runs = again_and_again(go_on, tmp_path, few_kills, compare)
    said = (tmp_path / "output.txt").read_text()
    assert "error: stopped by" in said
    assert "lstmcli train --resume" in said
    print(f"{few_kills} signals to {runs} runs")


@pytest.mark.slow
def test_a_sweep_killed_again_and_again_goes_on_within_its_trials(chance, few_kills, run, tmp_path):
    options, resumed = ["--epochs", "80", "--jobs", "2"], []
    run(*COMMAND, *options, "--out", tmp_path / "alone" / "s")

    def go_on(out, kill):
        process = start(out, *options, first=OFTEN)
        before = lines(out)
        while kill and lines(out) < before + 5 and process.poll() is None:  # Of two seeds.
            time.sleep(0.01)
        if kill:
            time.sleep(chance.uniform(0, 0.4))
            with suppress(ProcessLookupError):  # It may be over already.
                os.killpg(process.pid, signal.SIGKILL)
        _, stderr = process.communicate()
        assert process.returncode in (0, -signal.SIGKILL), stderr
        for trial in out.glob("trials/*"):
            assert_sound(trial)
        return process.returncode == 0

    def compare(out):
        resumed.append(resumptions(out))
        for name in ("trials.csv", "summary.csv", "curves.csv"):
            found, alone = (without_times(each / name) for each in (out, tmp_path / "alone" / "s"))
            pd.testing.assert_frame_equal(found, alone)

    runs = again_and_again(go_on, tmp_path, few_kills, compare)
    print(
        f"{few_kills} kills of {runs} sweeps, {sum(resumed)} trials went on after their first epoch"
    )
    assert sum(resumed) > 0


def resumptions(sweep):
    """How often a trial of a sweep went on where it stood, with an epoch or more completed."""
    known = [json.loads(file.read_text()) for file in sweep.glob("trials/*/run.json")]
    return sum(again["epoch"] > 0 for status in known for again in status.get("resumed", []))
