"""Sweeps of three swept settings, killed and grown: the same files as one that nobody disturbs."""

import itertools
import json
import os
import random
import signal
import time
from contextlib import suppress

import pandas as pd
import pytest

import own_end
from killing import OFTEN, assert_sound, lines
from resumes import left_by
from sweeping import start, without_times

SWEPT = ["--echo-step", "2,3", "--noise", "0,0.1", "--learning-rate", "0.1,0.3"]
COMMAND = ["sweep", *SWEPT, "--series-length", "300", "--epochs", "3", "--jobs", "2"]
STAGES = (
    ["--layers", "1", "--seeds", "2"],
    ["--layers", "1", "--seeds", "3"],
    ["--layers", "1,2", "--seeds", "3"],
)
MANY = 20
"""Kills from which on these tests, which take minutes, are run."""
TABLES = ("trials.csv", "summary.csv", "curves.csv")
TIMED = {
    *("started", "ended", "at", "argv", "resumed", "elapsed_seconds"),
    *("trials_sha256", "figures"),  # Of a table with seconds; and empty once a trial has gone on.
}
SIGNALS = (signal.SIGKILL, signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
FEWEST = 10
"""Interruptions that a sweep must have had, of the twelve that are tried."""
BACKENDS = {"local": [], "ray": ["--backend", "ray", "--address", "local"]}


@pytest.fixture(scope="module", autouse=True)
def many(kills):
    if kills < MANY:
        pytest.skip(f"takes minutes: --kills {MANY}")


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """One that is grown stage by stage, never disturbed; and how many rows each stage left."""
    out, rows = tmp_path_factory.mktemp("undisturbed") / "s", []
    for stage, options in enumerate(STAGES):
        assert ended(begin(out, options, stage)) == 0
        rows.append(lines(out))
    return out, rows


def begin(out, options, number, moment=None):
    """A process of a sweep; its names are hashed in another order than those before it."""
    first = OFTEN if moment is None else f"{OFTEN}\nimport own_end; own_end.arm(*{moment!r})"
    return start(out, *options, first=first, command=COMMAND, PYTHONHASHSEED=str(number))


def ended(process):
    _, stderr = process.communicate()
    assert process.returncode in (0, -signal.SIGKILL, 130, 143), stderr
    return process.returncode


def interrupted(out, options, number, rows, signum):
    """Begins a sweep or goes on with it, and ends it once it has rows; whether that came."""
    process = begin(out, options, number)
    while lines(out) < rows and process.poll() is None:
        time.sleep(0.005)
    with suppress(ProcessLookupError):  # It may be over already.
        if signum == signal.SIGKILL:
            os.killpg(process.pid, signum)
        else:
            process.send_signal(signum)
    return ended(process) != 0


def at_own_end(out, options, number, kind, chance):
    """Goes on with a sweep that is killed at its first write of a kind; whether that came."""
    return ended(begin(out, options, number, [kind, 1, chance.choice(own_end.PARTS)])) != 0


def disturbed(out, options, rows, chance):
    """Interrupts a stage: twice as it has so many rows, at a write to a table, and at a figure."""
    before = lines(out)
    for share in sorted(chance.uniform(0, 0.8) for _ in range(2)):
        wanted = before + 1 + int(share * (rows - before))
        yield interrupted(out, options, chance.randrange(100), wanted, chance.choice(SIGNALS))
    for kind in (own_end.TABLES, own_end.FIGURES):
        yield at_own_end(out, options, chance.randrange(100), kind, chance)


def content(path):
    """What a file holds, without times; of checkpoints `left_by` tells."""
    if path.suffix == ".csv":
        return without_times(path).to_csv(index=False)
    if path.suffix == ".json":
        return {name: known for name, known in json.loads(path.read_text()).items()
                if name not in TIMED}  # fmt: skip
    return None if path.suffix == ".safetensors" else path.read_bytes()


def files(sweep):
    found = {
        str(path.relative_to(sweep)): content(path)
        for path in sorted(sweep.rglob("*"))
        if path.is_file() and path.name != ".lstmcli.lock"
    }
    return found | {run.name: left_by(run) for run in (sweep / "trials").iterdir()}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs process groups")
@pytest.mark.parametrize("backend", BACKENDS)
def test_a_sweep_that_is_killed_and_grown_has_the_files_of_one_left_alone(
    backend, alone, request, tmp_path
):
    """Left alone on this machine's own workers, whatever disturbed it."""
    if backend == "ray":
        pytest.importorskip("ray")
    chance, out, done = random.Random(request.config.getoption("--kill-seed")), tmp_path / "s", 0
    for stage, wanted in enumerate(STAGES):
        options = [*wanted, *BACKENDS[backend]]
        for came in disturbed(out, options, alone[1][stage], chance):
            done += came
            for run in out.glob("trials/*"):
                assert_sound(run)
        assert ended(begin(out, options, stage)) == 0
    print(f"{done} interruptions of a sweep ({backend}) in {len(STAGES)} stages")
    found, expected = files(out), files(alone[0])
    assert not [name for name in found | expected if found.get(name) != expected.get(name)]
    assert done >= FEWEST


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs process groups")
def test_a_sweep_that_is_grown_before_it_is_done_has_the_results_of_one_left_alone(
    alone, request, tmp_path
):
    chance, out = random.Random(request.config.getoption("--kill-seed") + 1), tmp_path / "s"
    for number, options in enumerate(STAGES[:-1]):
        rows = 1 + int(chance.uniform(0.1, 0.6) * alone[1][number])
        interrupted(out, options, number + 1, rows, chance.choice(SIGNALS))
    assert ended(begin(out, STAGES[-1], 0)) == 0
    for name in TABLES:
        found, wanted = (
            without_times(each / name).drop(columns=["run_dir", "replicas"], errors="ignore")
            for each in (out, alone[0])
        )
        pd.testing.assert_frame_equal(found, wanted)
    runs = [json.loads(file.read_text())["seeds"] for file in out.glob("trials/*/run.json")]
    assert len([*itertools.chain(*runs)]) == 16 * 3  # No seed of a setting was trained twice.
