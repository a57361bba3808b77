"""Runs of every kind of data, size and option, killed at any instant: the same bits and files."""

import itertools
import json
import os
import random
import signal
import time
import tomllib
from collections import Counter
from pathlib import Path

import pytest

import drawn_runs
from forking import Command
from killing import assert_no_row_twice, assert_sound, is_over, some_time
from resumes import left_by

MOST = 4
"""Kills of one run."""


@pytest.fixture(scope="module")
def seed(request):
    return request.config.getoption("--kill-seed")


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    drawn_runs.write(folder)
    return folder


def cache_of(drawn, folder, count):
    """What the environment of a process says of the cache, which is full after the first ones."""
    name = "full" if drawn.cache == "full" else f"empty-{folder}-{count}"
    return {"XDG_CACHE_HOME": str(Path("caches", name).absolute())}


def is_drawing(path):
    try:
        return json.loads((path / "run.json").read_text())["status"] == "completed"
    except (OSError, ValueError):
        return False


def wait_to_kill(run, moment, path, chance):
    if moment["what"] == "saved":
        some_time(chance, run, path, is_over)
    if moment["what"] == "drawing":
        until = time.monotonic() + 60
        while not is_drawing(path) and time.monotonic() < until and not is_over(run):
            time.sleep(0.005)
    if moment["what"] in ("any", "drawing"):
        time.sleep(moment["wait"] * (3 if moment["what"] == "any" else 1))


def train(forks, command, path, drawn, moment, chance, count):
    """Begins a run or goes on with it, to the moment that ends it; whether it did."""
    begun = (path / "run.json").exists()
    arguments = ["train", "--resume", path] if begun else [*command, "--out", path]
    more = ["--no-cache"] if drawn.cache == "off" and not begun else []
    own_end = moment and moment.get("own_end")
    environment = cache_of(drawn, path.parent.name, count)
    run = Command(forks, *arguments, *more, environment=environment, own_end=own_end)
    if moment and not own_end:
        wait_to_kill(run, moment, path, chance)
        run.kill()
    code = run.wait()
    assert code in (0, -signal.SIGKILL), Path("output.txt").read_text()[-3000:]
    assert_sound(path)
    return code != 0


def all_of(path):
    """Everything in a run directory but for times: what checkpoints and tables say, and files."""
    found = left_by(path)
    found["files"] = sorted(
        str(file.relative_to(path)) for file in path.rglob("*") if file.name != ".lstmcli.lock"
    )
    found |= {file.name: file.read_bytes() for file in path.glob("figures/*")}
    config = tomllib.loads((path / "config.toml").read_text())
    return found | {"config.toml": config}


def command_of(forks, drawn, number):
    """The command of a run, once the run is there whose weights it begins with."""
    command = ["train", *drawn_runs.options(drawn.settings), "--progress", "none"]
    if drawn.begun_from:
        given = {**drawn.settings, "epochs": 1, "replicas": 1}
        first = ["train", *drawn_runs.options(given), "--out", f"first-{number}"]
        assert Command(forks, *first, "--progress", "none", "--no-cache").wait() == 0
        command += ["--init-from", f"first-{number}"]
    return command


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_run_of_any_kind_that_is_killed_is_as_one_left_alone(forks, files, kills, seed):
    chance, hit, kinds = random.Random(seed), Counter(), Counter()
    for number, drawn in enumerate(drawn_runs.draw(chance, files, MOST)):
        said = f"--kill-seed {seed}, run {number}: {drawn}"
        command, alone, path = (
            command_of(forks, drawn, number), Path(f"alone-{number}/run"), Path(f"run-{number}/run")
        )  # fmt: skip
        moments = [*itertools.islice(drawn.moments, kills - hit.total()), None]
        for folder in (alone, path):
            folder.parent.mkdir()
        train(forks, command, alone, drawn, None, chance, 0)
        done = Counter()
        for count, moment in enumerate(moments):
            if train(forks, command, path, drawn, moment, chance, count):
                done[moment["what"]] += 1
        assert_no_row_twice(path)
        first, second = all_of(alone), all_of(path)
        different = [each for each in first | second if first.get(each) != second.get(each)]
        assert not different, f"{different} differ; {said}, killed at {done}"
        print(
            f"run {number}: {drawn.kind}, {drawn.cache} cache, killed at {dict(done)}", flush=True
        )
        hit, kinds = hit + done, kinds + Counter({drawn.kind: done.total()})
        if hit.total() >= kills:
            break
    print(f"{hit.total()} kills of {number + 1} runs: {dict(hit)}; {dict(kinds)}")
    assert kills < 100 or kinds["echo"] <= kills // 3  # Few kills are of any kind, by chance.
