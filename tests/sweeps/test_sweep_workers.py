"""The workers of a sweep, and that nothing is lost when something dies."""

import itertools
import json
import multiprocessing
import os
import platform
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest
from safetensors.numpy import load_file

from echoing import Invented, echo
from lstmcli.config import Config
from lstmcli.core.runner import Program
from lstmcli.sweeps import grid, ray_cluster, trial
from lstmcli.sweeps import workers as local_workers
from lstmcli.sweeps.shares import program, share
from lstmcli.sweeps.workers import LocalWorkers
from lstmcli.utils import locks, memory
from lstmcli.utils.errors import StoppedError, UsageError
from resumes import assert_same
from sweeping import (
    COMMAND,
    TIMES,
    in_this_process,
    is_alive,
    settings,
    start,
    wait_for,
    without_times,
)


@pytest.mark.slow
def test_a_trial_has_the_bits_of_a_run_of_its_own_whatever_its_worker_trained_before(run, tmp_path):
    """TensorFlow is set up once in a process: a worker does not take another kind of setting."""
    options = ["--layers", "1", *COMMAND[5:]]
    process = start(tmp_path / "s", *options, "--state-size", "4,16", "--jobs", "1", "--seeds", "2")
    _, stderr = process.communicate(timeout=120)
    assert process.returncode == 0, stderr
    found = {}
    for size in ("4", "16"):
        code = "from lstmcli.__main__ import main; main()"
        command = ["train", *options, "--state-size", size, "--seed", "1", "--out", size]
        subprocess.run(
            [sys.executable, "-c", code, *command], check=True, capture_output=True, cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "XLA_FLAGS": ""},
        )  # fmt: skip
        alone = load_file(tmp_path / size / "checkpoints" / "best.safetensors")
        folder = tmp_path / "s" / "trials" / f"1x{size}-seeds-0-1"
        beside = load_file(folder / "checkpoints" / "best.safetensors")
        for name, tensor in alone.items():
            assert tensor[0].tobytes() == beside[name][1].tobytes(), (size, name)
        found[size] = json.loads((folder / "run.json").read_text())["instruction_set"]
    if platform.machine() == "x86_64":
        assert found == {"4": "AVX", "16": "AVX2"}


def test_a_sweep_whose_directory_another_process_holds_is_refused_by_name(swept, run, tmp_path):
    shutil.copytree(swept[0], tmp_path / "s")
    with locks.lock(tmp_path / "s"):
        result = run(*COMMAND, "--seeds", "3", "--out", "s", exit_code=2)
    assert f"process {os.getpid()} since" in result.stderr
    assert "6 trials, 2 to run" in run(*COMMAND, "--seeds", "3", "--out", "s", "--dry-run").stdout


@pytest.mark.slow
def test_two_sweeps_at_once_in_one_directory_are_refused_by_name(swept, run, tmp_path):
    process = start(tmp_path / "s", "--epochs", "100000")
    try:
        wait_for(tmp_path / "s" / "trials" / "2x4-seeds-0-1" / "metrics.csv")
        result = run(*COMMAND, "--epochs", "100000", "--out", "s", exit_code=2)
        assert f"process {process.pid} since" in result.stderr
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
    assert "4 to run" in run(*COMMAND, "--epochs", "100000", "--out", "s", "--dry-run").stdout


@pytest.mark.parametrize(
    ("seconds", "workers", "longest"),
    [([35, 29, 22, 17, 11], 2, 57), ([8, 7, 6, 5, 4], 2, 15), ([9, 1, 1], 3, 9), ([5], 1, 5)],
)
def test_workers_get_shares_that_end_together(seconds, workers, longest):
    jobs = [Invented(str(name), each) for name, each in enumerate(seconds)]
    shares = share(jobs, workers, {each.name: each.name for each in jobs})
    assert max(sum(job.seconds for job in each) for each in shares) == longest
    assert sorted((job for each in shares for job in each), key=jobs.index) == jobs
    assert all(each == sorted(each, key=lambda job: -job.seconds) for each in shares)


@pytest.mark.parametrize(
    ("seconds", "rates", "workers", "most"),
    [
        ([35, 29, 22, 17, 11], 4, 2, 1),  # 228 seconds each, and nothing compiled twice.
        ([35, 29, 22, 17, 11], 4, 8, 3),
        ([20], 4, 2, 2),  # None is left idle for it.
        ([9, 1], 3, 3, 3),
    ],
)
def test_settings_of_one_program_stay_together_as_far_as_no_worker_is_idle(
    seconds, rates, workers, most
):
    jobs = [Invented(f"{depth} {rate}", each) for depth, each in enumerate(seconds)
            for rate in range(rates)]  # fmt: skip
    programs = {each.name: each.name[0] for each in jobs}
    shares = share(jobs, workers, programs)
    assert sorted((job for each in shares for job in each), key=jobs.index) == jobs
    assert all(shares)
    holders = [sum(any(programs[job.name] == depth for job in each) for each in shares)
               for depth in set(programs.values())]  # fmt: skip
    assert max(holders) == most
    mean = sum(job.seconds for job in jobs) / workers
    assert max(sum(job.seconds for job in each) for each in shares) <= 1.35 * mean
    for each in shares:  # One after the other: what is compiled is used up before the next.
        order = [programs[job.name] for job in each]
        assert sum(a != b for a, b in itertools.pairwise(order)) == len(set(order)) - 1


def test_a_worker_that_helps_takes_what_it_has_compiled():
    waiting = [Invented(name, 1) for name in ("a1", "b1", "b2")]
    programs = {each.name: each.name[0] for each in waiting}
    worker = local_workers.Worker(None, 0, None, [], kind="small", programs={"b"})
    taken = [local_workers._next(worker, waiting, programs).name for _ in range(3)]
    assert taken == ["b1", "b2", "a1"]


def test_learning_rates_and_seeds_share_a_program_and_nothing_else_does():
    base = Config.build(replicas=2)
    lists = {"layers": [1, 2], "learning_rate": [0.1, 0.3]}
    found = [program(each) for each in grid.expand(base, lists, None)]
    assert len(set(found)) == 2
    [one] = grid.expand(base, {"layers": [1]}, None)
    assert program(one) == program(one.with_seeds([5, 6])) in found
    assert program(one) != program(one.with_seeds([5, 6, 7]))


def alive_workers():
    return {child.pid for child in multiprocessing.active_children()}


def test_workers_stay_for_the_next_round_and_end_with_the_sweep(tmp_path, monkeypatch):
    monkeypatch.setattr(local_workers, "_work", echo)
    rounds = [[Invented(f"{each}{now}", each) for each in (3, 2, 1)[:count]]
              for now, count in enumerate((2, 3, 1))]  # fmt: skip
    monkeypatch.setattr(local_workers, "program", lambda setting: setting.name[0])
    before, seen = alive_workers(), []
    with LocalWorkers(tmp_path, 2) as local:
        assert alive_workers() == before
        assert list(local.run([])) == []
        for settings in rounds:
            found = [result for result in local.run(settings) if result]
            assert {setting.name for setting, _ in found} == {each.name for each in settings}
            pids = {setting.name[0]: pid for setting, pid in found}
            seen.append((pids, alive_workers() - before))
        assert [len(alive) for _, alive in seen] == [2, 2, 2]
        assert seen[0][1] == seen[1][1] == seen[2][1]
        for number in ("3", "2"):  # Each went to who had compiled it.
            assert len({pids[number] for pids, _ in seen if number in pids}) == 1
        begun = local.run(rounds[0])
        next(begun)
        begun.close()
        assert alive_workers() == before
        assert len([result for result in local.run(rounds[1]) if result]) == 3
    assert alive_workers() == before


def test_a_worker_that_died_between_rounds_is_replaced(tmp_path, monkeypatch):
    monkeypatch.setattr(local_workers, "_work", echo)
    monkeypatch.setattr(local_workers, "program", lambda setting: setting.name)
    with LocalWorkers(tmp_path, 1) as local:
        first = [result[1] for result in local.run([Invented("a", 1)]) if result]
        os.kill(first[0], signal.SIGKILL)
        local._workers[0].process.join()
        second = [result[1] for result in local.run([Invented("a", 1)]) if result]
    assert first != second


def drain(results, act):
    """All rows of a sweep; `act` is called once a setting is at work."""
    rows, acted = [], 0
    for result in results:
        acted += act(acted)
        if result is not None:
            rows += result[1]
    return rows


def kill_a_worker(times, folder):
    """Kills the worker of the first setting that has begun, up to some number of times."""

    def act(done):
        begun = list(Path(folder).glob("2x4*/run.json"))
        if (
            done >= times
            or not begun
            or json.loads(begun[0].read_text()).get("status") != "running"
        ):
            return 0
        begun[0].unlink()
        for child in multiprocessing.active_children():
            os.kill(child.pid, signal.SIGKILL)
        return 1

    return act


@pytest.mark.slow
@pytest.mark.parametrize(("times", "status"), [(1, "completed"), (2, "failed")])
def test_a_worker_that_dies_costs_its_own_setting_one_retry(times, status, tmp_path, swept):
    both = [each for each in settings(epochs=300) if each.keys["layers"] == 2]
    with LocalWorkers(tmp_path, 1) as local:
        rows = drain(local.run(both), kill_a_worker(times, tmp_path))
    assert [row["status"] for row in rows] == [status] * 2
    assert ("SIGKILL" in rows[0]["error"]) == (status == "failed")


@pytest.mark.parametrize(
    ("code", "now", "said"),
    [
        (
            -signal.SIGKILL,
            3,
            "it died twice (SIGKILL, by the system's memory guard: fewer `--jobs` ",
        ),
        (-signal.SIGKILL, 2, "it died twice (SIGKILL, which memory guards send too)"),
        (-signal.SIGSEGV, 3, "it died twice (SIGSEGV)"),
        (7, 3, "it died twice (exit code 7)"),
    ],
)
def test_a_worker_that_the_memory_guard_has_killed_is_said_to_be(
    code, now, said, tmp_path, monkeypatch
):
    monkeypatch.setattr(memory, "VMSTAT", counts := tmp_path / "vmstat")
    counts.write_text("nr_free_pages 7\noom_kill 2\n")
    ended = SimpleNamespace(join=int, exitcode=code)
    worker = local_workers.Worker(ended, 0, None, [])
    counts.write_text(f"nr_free_pages 7\noom_kill {now}\n")
    assert local_workers._died(settings()[0], worker)[0]["error"].startswith(
        f"its worker was lost: {said}"
    )


@pytest.mark.slow
def test_a_worker_is_replaced_before_its_programs_fill_its_memory_maps(monkeypatch, tmp_path):
    monkeypatch.setattr(local_workers, "MOST_SETTINGS", 1)
    seen = set()

    def look(done):
        seen.update(child.pid for child in multiprocessing.active_children())
        return 0

    with LocalWorkers(tmp_path, 1) as local:
        rows = drain(local.run(settings()), look)
    assert [row["status"] for row in rows] == ["completed"] * 4
    assert len(seen) == 2


def test_a_setting_that_the_worker_of_a_killed_sweep_is_still_at_is_left_to_it(tmp_path):
    setting = settings()[0]
    file = tmp_path / "trial" / "metrics.csv"
    file.parent.mkdir()
    file.write_text("the other's")
    with locks.lock(file.parent):
        rows = local_workers.attempt(setting, file.parent)
        assert [(row["status"], row["exit_code"]) for row in rows] == [("failed", 2)] * 2
        assert f"process {os.getpid()}" in rows[0]["error"]
        assert file.read_text() == "the other's"
    assert {row["status"] for row in local_workers.attempt(setting, file.parent)} == {"completed"}


def test_a_trial_that_was_stopped_goes_on_where_it_stood_and_gives_the_same_row(
    monkeypatch, tmp_path
):
    """The epochs before are not trained again, and count in the row all the same."""
    setting, trained, usual = settings(epochs=4)[0], [], Program.train

    def train(program, tensors, batch, step, first):
        trained.append((step - first) // len(batch) + 1)
        if trained == [1, 2, 3]:
            signal.raise_signal(signal.SIGTERM)
        return usual(program, tensors, batch, step, first)

    monkeypatch.setattr(Program, "train", train)
    with pytest.raises(StoppedError):
        trial.run(setting, tmp_path / "stopped")
    stopped = trial.run(setting, tmp_path / "stopped")
    assert trained == [1, 2, 3, 3, 4]
    alone = trial.run(setting, tmp_path / "alone")
    assert trained[5:] == [1, 2, 3, 4]
    assert [row["epochs"] for row in stopped] == [4, 4]
    for row, other in zip(stopped, alone, strict=True):
        assert row | dict.fromkeys(TIMES) == other | dict.fromkeys(TIMES)
    assert_same(tmp_path / "alone", tmp_path / "stopped")


def test_failed_trials_end_the_sweep_with_exit_code_6(run, tmp_path, monkeypatch):
    monkeypatch.setattr(local_workers.LocalWorkers, "run", in_this_process)
    wild = ["--optimizer", "sgd", "--learning-rate", "3.4e38"]
    for _ in range(2):  # The same command again says the same.
        result = run(*COMMAND, *wild, "--out", "s", exit_code=6)
        assert "4 of 4 trials failed" in result.stderr
        assert "1 layer all 2 seeds diverged" in result.stdout
    assert set(pd.read_csv(tmp_path / "s" / "trials.csv").status) == {"diverged"}


@pytest.mark.slow
def test_after_kill_9_the_same_command_runs_only_what_is_missing(swept, run, tmp_path):
    out = tmp_path / "s"
    process = start(out, "--jobs", "1")
    wait_for(out / "trials.csv")
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    first = pd.read_csv(out / "trials.csv")
    assert len(first) == 2
    kept = next(out.glob("trials/2x4*/metrics.csv")).stat().st_mtime_ns
    run(*COMMAND, "--out", str(out))
    assert next(out.glob("trials/2x4*/metrics.csv")).stat().st_mtime_ns == kept
    for name in ("trials.csv", "summary.csv", "curves.csv"):
        pd.testing.assert_frame_equal(without_times(out / name), without_times(swept[0] / name))


@pytest.mark.parametrize(
    ("number", "code"),
    [(signal.SIGINT, 130), pytest.param(signal.SIGTERM, 143, marks=pytest.mark.slow)],
)
def test_a_signal_stops_all_workers_and_says_how_to_go_on(number, code, tmp_path):
    out = tmp_path / "s"
    process = start(out, "--epochs", "100000", "--overwrite")
    wait_for(out / "trials" / "2x4-seeds-0-1" / "metrics.csv")
    os.killpg(process.pid, number) if number == signal.SIGINT else process.send_signal(number)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == code
    again = f"lstmcli {shlex.join(COMMAND)} --out {out} --epochs 100000"
    assert f"hint: `{again}` continues the sweep" in stderr
    deadline = time.monotonic() + 5  # multiprocessing's own helper may take a moment.
    while is_alive(process.pid):
        assert time.monotonic() < deadline, "a worker outlived the sweep"
        time.sleep(0.05)


@pytest.mark.parametrize("after", [0.0, 0.3])
def test_ctrl_c_while_workers_start_shows_no_traceback(after, tmp_path):
    process = start(tmp_path / "s", "--epochs", "100000")
    wait_for(tmp_path / "s" / "sweep.toml")
    time.sleep(after)
    os.killpg(process.pid, signal.SIGINT)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 130, stderr
    assert "Traceback" not in stderr


@pytest.mark.slow
def test_a_killed_sweep_leaves_no_workers_and_is_finished_by_the_same_command(run, tmp_path):
    options = ["--epochs", "100000", "--jobs", "2"]
    process = start(tmp_path / "s", *options)
    for name in ("1x4", "2x4"):
        wait_for(tmp_path / "s" / "trials" / f"{name}-seeds-0-1" / "metrics.csv")
    process.kill()  # The parent alone.
    process.communicate()
    deadline = time.monotonic() + 20
    while is_alive(process.pid):
        assert time.monotonic() < deadline, "a worker outlived the sweep"
        time.sleep(0.05)
    table = tmp_path / "s" / "trials" / "1x4-seeds-0-1" / "metrics.csv"
    with locks.lock(table.parent):
        pass


def test_an_address_without_ray_is_refused(run):
    assert "no effect" in run(*COMMAND, "--address", "x", exit_code=2).stderr


def test_ray_is_asked_for_by_name_where_it_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with (
        pytest.raises(UsageError, match="Ray, which is not installed"),
        ray_cluster.joined(None, 1),
    ):
        pass
