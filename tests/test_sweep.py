"""The sweep: its grid, its fairness, and that nothing is lost when something dies."""

import dataclasses
import errno
import json
import multiprocessing
import os
import platform
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import load_file

from lstmcli import locks
from lstmcli.config import GROUPS, Config, SweepConfig
from lstmcli.data.source import open_source
from lstmcli.errors import UsageError
from lstmcli.runs import metrics
from lstmcli.sweeps import cluster, execute, grid, story, tables
from lstmcli.sweeps import directory as sweep_directory
from lstmcli.sweeps import plan as plans
from lstmcli.sweeps.trial import TrialRow

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
        "best_val_loss,test_loss,test_accuracy,bayes_loss,gap,epoch_seconds,error,chance,replicas"
    )
    summary = pd.read_csv(out / "summary.csv")
    assert ",".join(summary) == (
        "layers,state_size,parameters,seeds,failed,mean,std,median,iqm,ci_low,ci_high,solve_rate,"
        "solve_low,solve_high,epochs_to_solve,p_value,epoch_seconds,ratio,ratio_low,ratio_high,"
        "bound,enough"
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


def test_until_solved_stops_each_seed_on_evidence_of_its_own(run, tmp_path):
    """A seed stops where it would alone, though the others go on; and what it keeps is the same."""
    options = ["--layers", "1", "--until-solved", "--epochs", "60"]
    run("sweep", *options, "--seeds", "3", "--out", "s")
    trials = pd.read_csv(tmp_path / "s" / "trials.csv").set_index("seed")
    assert trials.solved.all()
    assert trials.epochs.max() < 30
    assert (trials.epochs >= trials.epochs_to_solve + 1).all()  # A second epoch confirms.
    early = trials.epochs.idxmin()
    assert trials.epochs[early] < trials.epochs.max()
    run("train", *options, "--seed", early, "--out", "alone")
    alone = pd.read_csv("alone/metrics.csv")
    beside = pd.read_csv(next((tmp_path / "s" / "trials").glob("*/metrics.csv")))
    pd.testing.assert_frame_equal(
        alone.drop(columns=TIMES),
        beside[beside.seed == early].drop(columns=TIMES).reset_index(drop=True),
    )
    ours = load_file("alone/checkpoints/last.safetensors")
    theirs = load_file(next((tmp_path / "s" / "trials").glob("*/checkpoints/last.safetensors")))
    for name, tensor in ours.items():
        assert tensor[0].tobytes() == theirs[name][early].tobytes(), name


LISTS = {
    "layers": "1,2", "state-size": "2,3", "forget-bias": "0,1", "series-length": "150,300",
    "echo-step": "1,2", "classes": "2,3", "noise": "0,0.1", "bptt": "5,15", "batch-size": "2,5",
    "epochs": "1,2", "optimizer": "adagrad,adam", "learning-rate": "0.1,0.3", "clip-norm": "1,2",
}  # fmt: skip


def test_every_setting_that_a_sweep_takes_as_a_list_is_tried_below():
    own = {spec.name for spec in dataclasses.fields(SweepConfig)}
    fixed = {"val_fraction", *grid.FIXED, *own}
    settings = {spec.name for group in GROUPS.values() for spec in dataclasses.fields(group)}
    assert {name.replace("-", "_") for name in LISTS} == settings - fixed


@pytest.mark.parametrize("name", sorted(LISTS))
def test_a_swept_setting_has_its_column_its_figures_and_its_answer(name, monkeypatch, tmp_path):
    """Its trials are not trained: tables, answer and figures are what is tried."""
    monkeypatch.setattr(execute, "run_local", invented)
    single = {"series_length": 300, "epochs": 2}
    lists = {"layers": [1, 2]}
    key = name.replace("-", "_")
    single.pop(key, None)
    lists[key] = grid.parse(key, LISTS[name])
    plan = plans.make({}, {**{n: [v] for n, v in single.items()}, **lists}, SweepConfig(seeds=6))
    with story.opened(plan, tmp_path / "s") as directory:
        for _ in story.run(plan, directory):
            pass
        result = story.conclude(plan, directory)
    groups = 1 if key == "layers" else 2
    assert len(result.answers) == groups
    assert all("enough" in sentence for sentence in result.answers)
    for table in (result.trials, result.summary, pd.read_csv(directory.curves)):
        assert table.columns.is_unique
        assert table[grid.column(key)].nunique() == 2
    assert list(result.trials.seed) == [*range(6)] * (2 * groups)
    assert len(list(directory.figures.iterdir())) == 2


def invented(settings, folder, jobs):
    """Stands in for `execute.run_local`: rows and curves without training."""
    for setting in settings:
        (folder / setting.name).mkdir(parents=True)
        table = [
            metrics.EpochRow(epoch, epoch, seed, 0.1, 1, 0.001, 1, 0.0002, 0.3, 1, 1, epoch, 0.0008)
            for epoch in (1, 2)
            for seed in setting.trials
        ]
        metrics.append(folder / setting.name / "metrics.csv", table)
        yield (
            setting,
            [
                setting.keys
                | vars(
                    TrialRow(
                        trial, seed, setting.parameters, "completed", 0, 2, True, 1, 0.001,
                        0.001 + 0.0001 * seed, 1.0, 0.0002, 0.0008, 0.1, "", 0.69, 6,
                    )
                )
                for seed, trial in setting.trials.items()
            ],
        )  # fmt: skip


def test_until_solved_does_not_change_the_verdict(run):
    """A run once stopped when validation crossed the line, and its test loss then missed it."""
    options = ["--layers", "1-2", "--seeds", "5", "--epochs", "20", "--series-length", "8000"]
    answers = [
        json.loads(run("sweep", *options, *more, "--json").stdout)["answer"]
        for more in ([], ["--until-solved"])
    ]
    first, second = (text.split(",")[0].split(";")[0] for text in answers)
    assert first == second


def test_more_seeds_and_depths_extend_a_sweep_and_nothing_is_thrown_away(swept, run, tmp_path):
    out = tmp_path / "s"
    shutil.copytree(swept[0], out)
    before = pd.read_csv(out / "trials.csv")
    kept = {path: path.stat().st_mtime_ns for path in out.rglob("metrics.csv")}
    more = [*COMMAND[:1], "--layers", "1-3", "--seeds", "3", *COMMAND[5:], "--out", str(out)]
    run(*more)
    trials = pd.read_csv(out / "trials.csv")
    assert len(trials) == 9
    pd.testing.assert_frame_equal(trials.merge(before[["trial"]]), before, check_dtype=False)
    assert {path: path.stat().st_mtime_ns for path in kept} == kept
    fewer = [*COMMAND[:1], "--layers", "1", "--seeds", "1", *COMMAND[5:], "--out", str(out)]
    run(*fewer)
    assert len(pd.read_csv(out / "trials.csv")) == 9
    assert len(pd.read_csv(out / "summary.csv")) == 3
    assert len(pd.read_csv(out / "curves.csv")) == 9 * 3


def test_another_sweep_is_refused_by_the_settings_that_differ(swept, run):
    tables = {path: path.read_bytes() for path in swept[0].glob("*.*")}
    command = [*COMMAND, "--learning-rate", "0.1", "--out", str(swept[0])]
    result = run(*command, exit_code=2)
    assert "`--learning-rate` 0.3 there, 0.1 here" in result.stderr
    result = run(*COMMAND, "--noise", "0,0.1", "--out", str(swept[0]), exit_code=2)
    assert "`--noise` 0.0 there, 0.0,0.1 here" in result.stderr
    assert {path: path.read_bytes() for path in swept[0].glob("*.*")} == tables


def test_overwriting_a_sweep_deletes_what_a_sweep_wrote_and_nothing_else(swept, run, tmp_path):
    out = tmp_path / "s"
    shutil.copytree(swept[0], out)
    (out / "notes.txt").write_text("mine")
    run(*COMMAND, "--learning-rate", "0.1", "--out", str(out), "--overwrite")
    assert (out / "notes.txt").read_text() == "mine"
    assert set(pd.read_csv(out / "curves.csv").learning_rate) == {0.1}


def test_a_directory_with_tables_of_ones_own_is_not_made_a_sweeps(run, tmp_path):
    (tmp_path / "trials.csv").write_text("mine")
    for more in ([], ["--overwrite"]):
        run(*COMMAND, "--out", ".", *more, exit_code=2)
    assert [path.name for path in tmp_path.iterdir()] == ["trials.csv"]


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
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent), "XLA_FLAGS": ""},
        )  # fmt: skip
        alone = load_file(tmp_path / size / "checkpoints" / "best.safetensors")
        folder = tmp_path / "s" / "trials" / f"1x{size}-seeds-0-1"
        beside = load_file(folder / "checkpoints" / "best.safetensors")
        for name, tensor in alone.items():
            assert tensor[0].tobytes() == beside[name][1].tobytes(), (size, name)
        found[size] = json.loads((folder / "run.json").read_text())["instruction_set"]
    if platform.machine() == "x86_64":
        assert found == {"4": "AVX", "16": "AVX2"}


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


def test_a_damaged_table_of_trials_is_said_and_kept(swept, run, tmp_path):
    shutil.copytree(swept[0], tmp_path / "s")
    (tmp_path / "s" / "trials.csv").write_text("trial,layers\n1")
    result = run(*COMMAND, "--out", "s", exit_code=4)
    assert "`s/trials.csv` is damaged" in result.stderr
    assert (tmp_path / "s" / "trials.csv").read_text() == "trial,layers\n1"


def test_a_trial_that_a_sweep_beside_it_has_finished_is_not_run_twice(swept, run, tmp_path):
    shutil.copytree(swept[0], tmp_path / "one")
    other = ["sweep", "--layers", "1,2", "--noise", "0,0.1", *COMMAND[3:], "--out", "two"]
    assert "8 trials, 4 to run" in run(*other, "--dry-run").stdout
    run(*other)
    mine = pd.read_csv("two/trials.csv")
    theirs = pd.read_csv("one/trials.csv")
    both = mine[mine.noise == 0].drop(columns="noise").reset_index(drop=True)
    pd.testing.assert_frame_equal(both, theirs)
    assert len(pd.read_csv("two/curves.csv")) == 8 * 3


def test_an_undecided_sweep_names_the_command_that_would_tell(swept, run):
    shown = run(*COMMAND, "--out", str(swept[0])).stdout
    assert "the data cannot tell" in shown
    [command] = re.findall(r"lstmcli sweep .*", shown)
    assert command.endswith("--layers 1,2 --seeds 5")
    assert run(*shlex.split(command)[1:], "--dry-run").stdout.count("10 trials, 6 to run") == 1


def test_losses_far_above_chance_are_called_so_in_train_and_sweep(run, tmp_path):
    wild = [*COMMAND[5:], "--optimizer", "sgd", "--learning-rate", "1e30"]
    result = run("train", "--layers", "1", *wild, "--out", "r")
    assert "seed 0 ends worse than chance: a uniform guess has a loss of 0.693" in result.stderr
    assert json.loads((tmp_path / "r" / "run.json").read_text())["worse_than_chance"] == [0]
    answer = json.loads(run(*COMMAND[:5], *wild, "--out", "s", "--json").stdout)["answer"]
    assert "ended worse than chance" in answer
    assert set(pd.read_csv(tmp_path / "s" / "trials.csv").status) == {"worse than chance"}


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
    for _ in range(2):  # The same command again says the same.
        result = run(*COMMAND, *wild, "--out", "s", exit_code=6)
        assert "4 of 4 trials failed" in result.stderr
        assert "with 1 layer all 2 seeds diverged" in result.stdout
    assert set(pd.read_csv(tmp_path / "s" / "trials.csv").status) == {"diverged"}


def start(out, *more):
    """A sweep in a process group of its own."""
    code = "from lstmcli.__main__ import main; main()"
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


@pytest.mark.parametrize("after", [0.0, 0.3])
def test_ctrl_c_while_workers_start_shows_no_traceback(after, tmp_path):
    process = start(tmp_path / "s", "--epochs", "100000")
    wait_for(tmp_path / "s" / "sweep.toml")
    time.sleep(after)
    os.killpg(process.pid, signal.SIGINT)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 130, stderr
    assert "Traceback" not in stderr


def test_a_killed_sweep_leaves_no_workers_and_is_finished_by_the_same_command(run, tmp_path):
    options = ["--epochs", "100000", "--jobs", "2"]
    process = start(tmp_path / "s", *options)
    for name in ("1x4", "2x4"):
        wait_for(tmp_path / "s" / "trials" / f"{name}-seeds-0-1" / "metrics.csv")
    process.kill()  # The parent alone.
    process.communicate()
    deadline = time.monotonic() + 20
    while _is_alive(process.pid):
        assert time.monotonic() < deadline, "a worker outlived the sweep"
        time.sleep(0.05)
    table = tmp_path / "s" / "trials" / "1x4-seeds-0-1" / "metrics.csv"
    with locks.held(table.parent):
        pass


def test_a_sweep_that_could_not_begin_can_begin_later(run, tmp_path, monkeypatch):
    def full(path, content):
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    with monkeypatch.context() as patched:
        patched.setattr(sweep_directory, "write_atomically", full)
        run(*COMMAND, "--out", "s", exit_code=1)
    assert not (tmp_path / "s").exists()
    run(*COMMAND, "--out", "s")


def test_a_plan_can_be_had_as_json(run):
    plan = json.loads(run(*COMMAND, "--dry-run", "--json").stdout)
    assert (plan["trials"], plan["to_run"]) == (4, 4)
    assert [row["parameters"] for row in plan["settings"]] == [106, 250]


def test_an_address_without_ray_is_refused(run):
    assert "no effect" in run(*COMMAND, "--address", "x", exit_code=2).stderr


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
