"""The sweep: its grid, its fairness, and that nothing is lost when something dies."""

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from lstmcli import locks
from lstmcli.config import Config
from lstmcli.data.source import open_source
from lstmcli.errors import UsageError
from lstmcli.sweep import cluster, execute, grid, tables

TINY = {"series_length": 1500, "epochs": 3}
COMMAND = ["sweep", "--layers", "1,2", "--seeds", "2", "--series-length", "1500", "--epochs", "3"]
TIMES = ["epoch_seconds", "elapsed_seconds"]


def settings(**more):
    base = Config.build(**{**TINY, "replicas": 2, "checkpoint_every": "1000", **more})
    return grid.expand(base, {"layers": [1, 2]}, None)


def without_times(path):
    table = pd.read_csv(path)
    return table.drop(columns=[name for name in TIMES if name in table])


@pytest.mark.parametrize(
    ("name", "text", "values"),
    [("layers", "1-5", [1, 2, 3, 4, 5]), ("layers", "1,2,4", [1, 2, 4]),
     ("learning_rate", "0.1,0.3", [0.1, 0.3]), ("optimizer", "adam,sgd", ["adam", "sgd"]),
     ("bptt", "5,10-12,5", [5, 10, 11, 12])],
)  # fmt: skip
def test_a_list_of_values_is_read(name, text, values):
    assert grid.parse(name, text) == values


@pytest.mark.parametrize(("name", "text"), [("layers", "one"), ("layers", "5-1"), ("noise", "a")])
def test_a_list_that_cannot_be_read_is_refused_with_an_example(name, text):
    with pytest.raises(UsageError, match=r"takes a list such as"):
        grid.parse(name, text)


def test_the_grid_is_every_combination():
    found = grid.expand(Config.build(), {"layers": [1, 2], "echo_step": [3, 6, 9]}, None)
    assert [(each.keys["layers"], each.keys["echo_step"]) for each in found] == [
        (1, 3), (1, 6), (1, 9), (2, 3), (2, 6), (2, 9),
    ]  # fmt: skip


@pytest.mark.parametrize("match", ["params", "state"])
def test_matching_picks_the_size_that_comes_closest(match):
    for each in grid.expand(Config.build(state_size=8), {"layers": [1, 2, 3, 4, 6]}, match):
        model = each.config.model

        def size(state_size, layers):
            if match == "state":
                return layers * state_size
            above = (layers - 1) * 4 * state_size * (2 * state_size + 1)
            return 4 * state_size * (state_size + 2) + above + 2 * (state_size + 1)

        def distance(state_size, layers=model.layers, size=size):
            return abs(size(state_size, layers) - size(8, 3))

        assert distance(model.state_size) == min(map(distance, range(1, 100)))


def test_a_seed_sees_the_same_data_at_every_depth():
    shallow, deep = (open_source(each.config) for each in settings())
    for epoch in (0, 2):
        for mine, theirs in zip(shallow.training(epoch), deep.training(epoch), strict=True):
            np.testing.assert_array_equal(mine.inputs, theirs.inputs)


def test_a_trial_is_known_by_its_settings_alone():
    one, two = settings()
    assert len({*one.trials.values(), *two.trials.values()}) == 4
    again = settings(device="cpu")[0]
    assert again.trials == one.trials  # Where it runs is no part of it.
    assert settings(noise=0.1)[0].trials != one.trials
    assert one.with_seeds([1]).trials == {1: one.trials[1]}


def test_only_the_missing_seeds_are_left_to_run():
    one, two = settings()
    known = {one.trials[0]: {}, two.trials[0]: {}, two.trials[1]: {}}
    [left] = tables.missing([one, two], known)
    assert (left.keys["layers"], left.config.run.seeds) == (1, [1])


@pytest.fixture(scope="module")
def swept(tmp_path_factory, run):
    """A finished sweep's directory and what it printed as JSON."""
    out = tmp_path_factory.mktemp("sweep") / "s"
    return out, json.loads(run(*COMMAND, "--out", str(out), "--json").stdout)


def test_tables_have_the_contracts_columns(swept):
    out, result = swept
    trials = pd.read_csv(out / "trials.csv")
    assert ",".join(trials) == (
        "trial,layers,state_size,seed,parameters,status,exit_code,epochs,solved,epochs_to_solve,"
        "best_val_loss,test_loss,test_accuracy,bayes_loss,gap,epoch_seconds,error"
    )
    summary = pd.read_csv(out / "summary.csv")
    assert ",".join(summary) == (
        "layers,state_size,parameters,seeds,failed,mean,std,median,iqm,ci_low,ci_high,solve_rate,"
        "solve_low,solve_high,epochs_to_solve,p_value,epoch_seconds"
    )
    curves = pd.read_csv(out / "curves.csv")
    assert list(curves)[:5] == ["layers", "state_size", "epoch", "step", "seed"]
    assert (len(trials), len(summary), len(curves)) == (4, 2, 2 * 2 * 3)
    assert set(result) == {"sweep", "answer", "summary"}
    assert [row["mean"] for row in result["summary"]] == pytest.approx(list(summary["mean"]))
    assert (out / "figures" / "depth.png").stat().st_size > 5000
    assert (out / "figures" / "curves.png").stat().st_size > 5000


def test_a_trial_is_what_train_and_eval_give(swept, run, tmp_path):
    out, _ = swept
    run("train", "--layers", "2", "--seed", "1", *COMMAND[5:], "--out", "one")
    [expected] = json.loads(run("eval", "one", "--json").stdout)["results"]
    trials = pd.read_csv(out / "trials.csv").set_index(["layers", "seed"])
    for column, name in (("test_loss", "loss"), ("gap", "gap"), ("test_accuracy", "accuracy")):
        assert trials[column][2, 1] == pytest.approx(expected[name], rel=1e-6)


def test_the_same_command_again_runs_nothing(swept, run):
    out, result = swept
    before = {path: path.stat().st_mtime_ns for path in out.rglob("metrics.csv")}
    assert json.loads(run(*COMMAND, "--out", str(out), "--json").stdout) == result
    assert {path: path.stat().st_mtime_ns for path in out.rglob("metrics.csv")} == before


def test_a_dry_run_shows_the_plan_and_leaves_nothing(run, tmp_path):
    shown = run(*COMMAND, "--match", "params", "--dry-run").stdout
    assert "4 trials, 4 to run" in shown
    assert "1x9" in shown  # 416 parameters, next to 394
    assert not list(tmp_path.iterdir())


def test_until_solved_stops_early(run, tmp_path):
    run("sweep", "--layers", "1", "--seeds", "2", "--until-solved", "--out", "s")
    trials = pd.read_csv(tmp_path / "s" / "trials.csv")
    assert trials.solved.all()
    assert trials.epochs.max() < 20
    assert trials.epochs.max() == trials.epochs_to_solve.max()


@pytest.mark.parametrize(
    ("seconds", "workers", "longest"),
    [([35, 29, 22, 17, 11], 2, 57), ([8, 7, 6, 5, 4], 2, 15), ([9, 1, 1], 3, 9), ([5], 1, 5)],
)
def test_workers_get_shares_that_end_together(seconds, workers, longest):
    @dataclass(frozen=True)
    class Job:
        seconds: int

    jobs = [Job(each) for each in seconds]
    shares = execute.share(jobs, workers)
    assert max(sum(job.seconds for job in each) for each in shares) == longest
    assert sorted((job for each in shares for job in each), key=jobs.index) == jobs
    assert all(each == sorted(each, key=lambda job: -job.seconds) for each in shares)


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


@pytest.mark.parametrize(("times", "status"), [(1, "completed"), (2, "failed")])
def test_a_worker_that_dies_costs_its_own_setting_one_retry(times, status, tmp_path, swept):
    both = [each for each in settings(epochs=2000) if each.keys["layers"] == 2]
    rows = drain(execute.run_local(both, tmp_path, 1), kill_a_worker(times, tmp_path))
    assert [row["status"] for row in rows] == [status] * 2
    assert ("SIGKILL" in rows[0]["error"]) == (status == "failed")


def test_a_setting_that_the_worker_of_a_killed_sweep_is_still_at_is_left_to_it(tmp_path):
    setting = settings()[0]
    file = tmp_path / "trial" / "metrics.csv"
    file.parent.mkdir()
    file.write_text("the other's")
    with locks.held(file.parent):
        rows = execute.attempt(setting, file.parent)
        assert [(row["status"], row["exit_code"]) for row in rows] == [("failed", 2)] * 2
        assert f"process {os.getpid()}" in rows[0]["error"]
        assert file.read_text() == "the other's"
    assert {row["status"] for row in execute.attempt(setting, file.parent)} == {"completed"}


def test_failed_trials_end_the_sweep_with_exit_code_6(run, tmp_path):
    wild = ["--optimizer", "sgd", "--learning-rate", "3.4e38"]
    result = run(*COMMAND, *wild, "--out", "s", exit_code=6)
    assert "4 of 4 trials failed" in result.stderr
    assert set(pd.read_csv(tmp_path / "s" / "trials.csv").status) == {"diverged"}


def start(out, *more):
    """A sweep in a process group of its own."""
    code = "from lstmcli.cli.app import main; main()"
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent)}
    return subprocess.Popen(
        [sys.executable, "-c", code, *COMMAND, "--out", str(out), *more],
        env=environment, start_new_session=True, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def _is_alive(group):
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def wait_for(path, seconds=120):
    deadline = time.monotonic() + seconds
    while not path.exists():
        assert time.monotonic() < deadline, f"{path} never came"
        time.sleep(0.05)


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


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_stops_all_workers_and_says_how_to_go_on(number, code, tmp_path):
    out = tmp_path / "s"
    process = start(out, "--epochs", "100000")
    wait_for(out / "trials" / "2x4-seeds-0-1" / "metrics.csv")
    os.killpg(process.pid, number) if number == signal.SIGINT else process.send_signal(number)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == code
    assert "the same command again runs the others" in stderr
    deadline = time.monotonic() + 5  # multiprocessing's own helper may take a moment.
    while _is_alive(process.pid):
        assert time.monotonic() < deadline, "a worker outlived the sweep"
        time.sleep(0.05)


def test_ray_is_asked_for_by_name_where_it_is_missing(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(UsageError, match="Ray, which is not installed"):
        next(iter(cluster.run_ray(settings(), tmp_path, 1, None)))


def test_ray_on_two_nodes_survives_the_loss_of_one(swept, tmp_path):
    """A script of its own: Ray wants a fresh process, and its warnings are not ours."""
    pytest.importorskip("ray")
    script = Path(__file__).parent / "ray_loses_a_node.py"
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent)}
    done = subprocess.run(
        [sys.executable, str(script), str(tmp_path)],
        check=False, env=environment, capture_output=True, text=True, timeout=400,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout.splitlines()[-1])
    assert result["nodes"] == [2, 1]
    expected = pd.read_csv(swept[0] / "trials.csv")
    found = pd.DataFrame(result["rows"]).sort_values(["layers", "seed"])
    assert list(found.status) == ["completed"] * 4
    assert list(found.test_loss) == list(expected.test_loss)
    assert len(list(tmp_path.glob("*/checkpoints/best.safetensors"))) == 2
