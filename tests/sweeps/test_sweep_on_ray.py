"""Where a Ray sweep finds its cluster, what it says of one, how it stops, and what it leaves."""

import os
import re
import signal
import socket
import sys
from dataclasses import replace
from types import SimpleNamespace

import pytest

import ray_at_once
from lstmcli import api
from lstmcli.sweeps import ray_cluster, ray_workers, rounds, run, trial
from lstmcli.sweeps.workers import Remaining
from lstmcli.training import checkpoint as checkpoints
from lstmcli.training import metrics
from lstmcli.training.run_dir import RunDirectory
from lstmcli.utils.errors import LstmcliError
from resumes import assert_same
from sweeping import COMMAND, invented, is_alive, settings, start, wait_for
from terminal import Terminal

SAYS_WHEN_IT_WAITS = """
from pathlib import Path
from lstmcli.sweeps import ray_workers
usual = ray_workers.run_ray
def noted(settings, folder, share):
    for each in usual(settings, folder, share):
        (folder.parent / "waits").touch()
        yield each
ray_workers.run_ray = noted
"""


@pytest.fixture
def nobody():
    """An address where nobody listens."""
    pytest.importorskip("ray")
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        yield f"127.0.0.1:{unused.getsockname()[1]}"


@pytest.mark.parametrize("scheme", ["", "ray://"])
def test_an_address_where_nobody_answers_is_an_error_in_words_that_leaves_nothing(
    scheme, nobody, run, tmp_path
):
    on_ray = [*COMMAND, "--backend", "ray", "--out", "s"]
    result = run(*on_ray, "--address", f"{scheme}{nobody}", exit_code=1)
    assert f"there is no Ray cluster at `{scheme}{nobody}`: Connection refused" in result.stderr
    assert not list(tmp_path.iterdir())


@pytest.fixture
def listening():
    """The address of what takes connections, and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        yield f"127.0.0.1:{other.getsockname()[1]}"


def refused(address, match):
    pytest.importorskip("ray")
    with pytest.raises(LstmcliError, match=match), ray_cluster.joined(address, 1):
        pass


def test_what_answers_and_is_no_cluster_is_given_up_in_time(listening, monkeypatch):
    assert ray_cluster.ANSWER_SECONDS + ray_cluster.JOIN_SECONDS < 30
    monkeypatch.setattr(ray_cluster, "JOIN_SECONDS", 0.2)
    refused(listening, "did not answer as one")


def test_a_cluster_that_refuses_is_there_and_said_to_refuse(listening, monkeypatch):
    said = "AuthenticationError: the token is not valid"
    monkeypatch.setattr(ray_cluster, "_tried", lambda address: said)
    refused(listening, "refuses: its token is not known here")


def test_a_cluster_that_was_there_is_passed_over_and_said(nobody, monkeypatch):
    monkeypatch.setenv("RAY_ADDRESS", nobody)
    monkeypatch.setattr("ray._private.utils.read_ray_address", lambda: None)
    address, notes = ray_cluster._choose(None)
    assert address is None
    assert "`RAY_ADDRESS` names a Ray cluster that is not used" in notes[0]
    assert notes[-1] == "a local Ray cluster is started"


def test_a_cluster_that_runs_is_used_and_said(nobody, monkeypatch):
    monkeypatch.setenv("RAY_ADDRESS", nobody)
    monkeypatch.setattr(ray_cluster, "_check", lambda address, asked: None)
    address, [note] = ray_cluster._choose(None)
    assert address == nobody
    assert note == f"the trials run on the Ray cluster at `{nobody}`: `RAY_ADDRESS`"


def test_a_cluster_that_ray_start_has_left_is_found_as_ray_finds_it(monkeypatch):
    """An address by itself is refused by newer clusters, which ask for the user's token."""
    pytest.importorskip("ray")
    monkeypatch.setenv("RAY_ADDRESS", "192.0.2.9:1")
    monkeypatch.setattr("ray._private.utils.read_ray_address", lambda: "192.0.2.2:6379")

    def check(address, asked):
        if asked != "auto":
            raise ray_cluster.NotThereError("nobody there")

    monkeypatch.setattr(ray_cluster, "_check", check)
    address, notes = ray_cluster._choose(None)
    assert address == "auto"
    assert notes[-1].startswith(
        "the trials run on the Ray cluster at `192.0.2.2:6379`: `ray start`"
    )
    with ray_cluster._as_found(address):  # Ray would take what was passed over.
        assert "RAY_ADDRESS" not in os.environ
    assert os.environ["RAY_ADDRESS"] == "192.0.2.9:1"


@pytest.fixture
def at_once(monkeypatch):
    """Tasks and the actor are called in this process, and nothing is trained."""

    def attempt(setting, directory, moves_to, contents):
        [(_, rows)] = invented(SimpleNamespace(folder=directory.parent), [setting])
        return rows

    def mailbox(ray):
        return SimpleNamespace(remote=lambda files: ray_at_once.Actor(ray_workers.Mailbox(files)))

    monkeypatch.setitem(sys.modules, "ray", ray_at_once)
    monkeypatch.setattr(ray_workers, "_beside", mailbox)
    monkeypatch.setattr(ray_workers, "attempt", attempt)


def test_tasks_give_their_rows_and_their_files_and_one_that_dies_is_lost(
    at_once, tmp_path, monkeypatch
):
    one, two = settings()
    usual = ray_workers.attempt

    def attempt(setting, *where):
        if setting.name == two.name:
            raise ray_at_once.exceptions.RayError("its node is gone")
        return usual(setting, *where)

    monkeypatch.setattr(ray_workers, "attempt", attempt)
    found = {
        given[0].name: given[1] for given in ray_workers.run_ray([one, two], tmp_path) if given
    }
    assert [row["status"] for row in found[one.name]] == ["completed"] * 2
    assert found[two.name] == trial.lost(two, "its node is gone")
    _ = [*invented(SimpleNamespace(folder=tmp_path / "alone"), [one])]
    for name in ("metrics.csv", "run.json"):
        here, alone = (each / one.name / name for each in (tmp_path, tmp_path / "alone"))
        assert here.read_bytes() == alone.read_bytes()


def test_reports_that_were_not_fetched_in_time_are_one_and_a_rerun_task_begins_with_all(tmp_path):
    box, last = ray_workers.Mailbox({"a": {"run.json": b"old"}}), "checkpoints/last.safetensors"
    box.report("a", ray_workers.Report({"run.json", "metrics.csv", last}, {"metrics.csv": b"1"}))
    box.report("a", ray_workers.Report({"run.json", "metrics.csv"}, {"run.json": b"new"}))
    assert box.files("a") == {"run.json": b"new", "metrics.csv": b"1"}
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / last).write_bytes(b"that the task has not")
    (tmp_path / ".config.toml.5qrni0ns").write_bytes(b"half of what a killed sweep")
    ray_workers._write(tmp_path, box.fetch()["a"])
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()} == {
        "run.json": b"new",
        "metrics.csv": b"1",
    }
    assert not (tmp_path / last).exists()
    assert box.fetch() == {}
    box.forget("a")
    assert box.files("a") == {}


@pytest.mark.slow
def test_sigterm_stops_a_ray_sweep_as_a_local_one(tmp_path):
    """As Slurm sends it; Ray has a handler of its own, which dumps the stack."""
    pytest.importorskip("ray")
    out = tmp_path / "s"
    on_ray = ["--epochs", "100000", "--backend", "ray", "--address", "local"]
    process = start(out, *on_ray, first=SAYS_WHEN_IT_WAITS)
    wait_for(out / "waits", 240)
    process.send_signal(signal.SIGTERM)
    _, stderr = process.communicate(timeout=120)
    assert process.returncode == 143, stderr
    assert "error: stopped by SIGTERM: 0 trials are done" in stderr
    assert "continues the sweep where it stopped" in stderr
    assert "stack trace" not in stderr.lower()
    assert "Traceback" not in stderr
    if is_alive(process.pid):
        os.killpg(process.pid, signal.SIGKILL)


LONG = ["--layers", "1", "--seeds", "1", "--series-length", "300", "--epochs", "1000",
        "--learning-rate", "0.3"]  # fmt: skip


@pytest.mark.slow
def test_a_ray_sweep_shows_its_epochs_and_goes_on_after_ctrl_c_with_the_same_bits(
    python, tmp_path, monkeypatch
):
    pytest.importorskip("ray")
    monkeypatch.chdir(tmp_path)
    known = {name: value for name, value in python["env"].items() if name != "NO_COLOR"}
    asked = ["sweep", *LONG, "--jobs", "1"]
    on_ray = [*asked, "--backend", "ray", "--address", "local", "--out", tmp_path / "s"]
    with Terminal(*on_ray, columns=100, env=known | {"TERM": "xterm-256color"}) as terminal:
        terminal.until(r"1x4-seeds-0-0 +training[^\0]*left", seconds=240)
        terminal.type("\x03")
        terminal.until(seconds=60)
    assert terminal.code == 130
    assert "continues the sweep where it stopped" in re.sub(r"\s+", " ", str(terminal.screen))
    stood = {run.name: checkpoints.read(RunDirectory(run).last).metadata["position"]["epoch"]
             for run in (tmp_path / "s/trials").glob("1x4*")}  # fmt: skip
    assert 0 < stood["1x4-seeds-0-0"] < 1000
    first = metrics.read_metrics(RunDirectory(tmp_path / "s/trials/1x4-seeds-0-0").metrics)[0]
    for out, options in (("s", ["--backend", "ray", "--address", "local"]), ("alone", [])):
        process = start(tmp_path / out, "--jobs", "1", *options, command=["sweep", *LONG])
        _, stderr = process.communicate(timeout=300)
        assert process.returncode == 0, stderr
    name = "trials/1x4-seeds-0-0"
    assert_same(tmp_path / "s" / name, tmp_path / "alone" / name)
    went_on = metrics.read_metrics(RunDirectory(tmp_path / "s/trials/1x4-seeds-0-0").metrics)[0]
    assert went_on == first  # With the seconds that it took then.


def test_a_runs_files_that_move_name_its_data_from_where_they_will_lie(run, tmp_path):
    """As a task of a cluster trains in a folder of its own, on a machine that has no other."""
    (tmp_path / "book.txt").write_text("to be or not to be, " * 300)
    small = {"layers": "1", "seeds": 1, "epochs": 1, "bptt": 5}
    plan = api.plan_of({**small, "data": str(tmp_path / "book.txt")})
    home = tmp_path / "sweep" / "trials" / plan.settings[0].name
    rows = trial.run(plan.settings[0], tmp_path / "deep" / "down" / "there", home)
    assert [row["status"] for row in rows] == ["completed"]
    home.parent.mkdir(parents=True)
    (tmp_path / "deep" / "down" / "there").rename(home)
    assert 'data = "../../../book.txt"' in (home / "config.toml").read_text()
    run("eval", str(home))
    run("train", "--resume", str(home), "--epochs", "2")


def test_settings_that_came_to_no_result_are_called_what_they_are():
    setting = settings()[0]
    failed, lost = trial.failed(setting, "no room", 1), trial.lost(setting, "it died twice")
    said = trial.failed(setting, lost[0]["error"], 1)  # By a library, in the same words.
    done = [{**row, "status": "completed", "solved": True} for row in failed]
    diverged = [{**row, "status": "diverged"} for row in failed]
    for rows, ending in ((failed, "failed"), (said, "failed"), (lost, "lost"), (done, "done"),
                         (diverged, "diverged"), (failed[:1] + done[1:], "done")):  # fmt: skip
        progress = run._ended(setting, rows, None)
        assert (progress.phase, progress.ended) == (ending, True)


def test_the_time_left_follows_from_what_settings_took_and_the_sizes_of_the_others(monkeypatch):
    now = [0.0]
    monkeypatch.setattr("lstmcli.sweeps.workers.time.monotonic", lambda: now[0])
    small, large = settings()
    compiling, training = small.preflight.compiling, small.preflight.training
    clock = Remaining([(small, 1.0), (large, 1.0)])
    assert clock.seconds is None
    clock.note(small.name, 0.5)  # Of a sweep that was stopped.
    now[0] = 10.0
    clock.note(small.name, 0.75)
    factor = 10 / (compiling + 0.25 * training)
    left = 0.25 * training + large.seconds
    assert clock.seconds == pytest.approx(factor * left)
    clock.note(small.name, 1)
    assert clock.seconds == pytest.approx(10 / (compiling + 0.5 * training) * large.seconds)
    clock.note(large.name, 1)
    assert clock.seconds == 0


def test_settings_that_share_a_program_compile_it_once(monkeypatch):
    now = [0.0]
    monkeypatch.setattr("lstmcli.sweeps.workers.time.monotonic", lambda: now[0])
    asked = {"layers": [2], "seeds": 4, "series_length": 1500}
    plan = api.plan_of(asked, tune={"learning_rate": [0.1, 0.3, 1.0]})
    left = [(replace(each, tuning=True), 1.0) for each in plan.settings]
    known, first = left[0][0].preflight, left[0][0].shown
    compiling, training = known.compiling, known.training
    clock = Remaining(left)
    clock.note(first, 0.0)
    now[0] = 10.0
    clock.note(first, 1)
    assert clock.seconds == pytest.approx(10 / (compiling + training) * 2 * training)
    _, alone = run.forecast(replace(plan, asked=replace(plan.asked, jobs=1)), left)
    assert alone == pytest.approx(compiling + 3 * training + run.START_SECONDS / 2)
    _, both = run.forecast(replace(plan, asked=replace(plan.asked, jobs=2)), left)
    assert both == pytest.approx(compiling + 1.5 * training + run.START_SECONDS / 2)


def test_rates_that_may_all_stop_are_expected_to_be_trained_for_less():
    asked = {"layers": [2], "seeds": 4, "series_length": 1500, "epochs": 100}
    rates = {"learning_rate": [0.03, 0.1, 0.3, 1.0]}
    shares = {}
    for until_solved in (False, True):
        plan = api.plan_of({**asked, "until_solved": until_solved}, tune=rates)
        [(_, shares[until_solved]), *_] = rounds.ahead(plan, run.find_directory(plan, None))
    assert shares[True] == pytest.approx((2 + 2 * 0.25) / 4)
    assert shares[False] == pytest.approx((0.25 * shares[True]) ** 0.5)
