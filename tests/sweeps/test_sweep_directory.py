"""The directory of a sweep: one sweep, which more depths and seeds extend."""

import errno
import json
import re
import shlex
import shutil
from pathlib import Path

import pandas as pd
import pytest

from lstmcli.sweeps import sweep_dir as sweep_directory
from lstmcli.sweeps import workers
from sweeping import COMMAND, in_this_process


@pytest.fixture(autouse=True)
def without_processes(monkeypatch):
    monkeypatch.setattr(workers.LocalWorkers, "run", in_this_process)


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


def test_a_damaged_table_of_trials_is_said_and_kept(swept, run, tmp_path):
    shutil.copytree(swept[0], tmp_path / "s")
    (tmp_path / "s" / "trials.csv").write_text("trial,layers\n1")
    result = run(*COMMAND, "--out", "s", exit_code=4)
    assert "`s/trials.csv` is damaged" in result.stderr
    assert (tmp_path / "s" / "trials.csv").read_text() == "trial,layers\n1"


def test_a_trial_that_a_sweep_beside_it_has_finished_is_not_run_twice(swept, run, tmp_path):
    shutil.copytree(swept[0], tmp_path / "one")
    other = ["sweep", "--layers", "1,2", "--noise", "0,0.1", *COMMAND[3:], "--out", "two"]
    shown = run(*other, "--dry-run")
    assert "8 trials, 4 to run" in shown.stdout
    assert "note: 4 finished trials are reused from `one`" in shown.stderr
    run(*other)
    mine = pd.read_csv("two/trials.csv")
    theirs = pd.read_csv("one/trials.csv")
    both = mine[mine.noise == 0].drop(columns=["noise", "run_dir"]).reset_index(drop=True)
    pd.testing.assert_frame_equal(both, theirs.drop(columns="run_dir"))
    assert all(Path("two", each, "metrics.csv").is_file() for each in mine.run_dir)
    assert len(pd.read_csv("two/curves.csv")) == 8 * 3


def test_a_sweep_that_could_not_begin_can_begin_later(run, tmp_path, monkeypatch):
    def full(path, content):
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    with monkeypatch.context() as patched:
        patched.setattr(sweep_directory, "write_atomically", full)
        run(*COMMAND, "--out", "s", exit_code=1)
    assert not (tmp_path / "s").exists()
    run(*COMMAND, "--out", "s")


def test_the_same_command_again_runs_nothing(swept, run):
    out, result = swept
    before = {path: path.stat().st_mtime_ns for path in out.rglob("metrics.csv")}
    assert json.loads(run(*COMMAND, "--out", str(out), "--json").stdout) == result
    assert {path: path.stat().st_mtime_ns for path in out.rglob("metrics.csv")} == before


def test_what_a_sweep_that_was_killed_left_half_written_goes(swept, run, tmp_path):
    out = tmp_path / "s"
    shutil.copytree(swept[0], out)
    left = [out / ".curves.csv.k3x", out / ".sweep.json.k3x", out / "figures/.curves.png.k3x"]
    for path in (*left, out / ".notes"):
        path.write_text("half")
    run(*COMMAND, "--out", str(out))
    assert [path.exists() for path in (*left, out / ".notes")] == [False, False, False, True]


def test_an_undecided_sweep_names_the_command_that_would_tell(swept, run):
    shown = run(*COMMAND, "--out", str(swept[0])).stdout
    assert "the data cannot tell" in shown
    [command] = re.findall(r"lstmcli sweep .*", shown)
    assert command.endswith("--layers 1,2 --seeds 5")
    assert run(*shlex.split(command)[1:], "--dry-run").stdout.count("10 trials, 6 to run") == 1
