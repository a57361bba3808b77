"""A sweep's settings have one order, and a trial is found by what it is, however it is called."""

import json
import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pandas as pd
import pytest
import tomli_w

from lstmcli import api
from lstmcli.sweeps import run as sweep_run
from lstmcli.sweeps import workers
from lstmcli.training import metrics
from lstmcli.utils.errors import FileError, UsageError
from sweeping import epochs, invented

LISTS = {"layers": [2], "echo_step": [2, 3], "learning_rate": [0.1, 0.3], "noise": [0.0, 0.1]}
SINGLE = {"series_length": 300, "epochs": 2}
KEPT = Path(__file__).parents[1] / "kept" / "unsealed" / "sweep"
OF_KEPT = {"layers": [1, 2], "state_size": 2, "series_length": 400, "epochs": 2, "seeds": 2,
           "learning_rate": 0.3}  # fmt: skip


@pytest.fixture(autouse=True)
def without_training(monkeypatch):
    monkeypatch.setattr(workers.LocalWorkers, "run", invented)


def plan(**more):
    return api.plan_of({**LISTS, **SINGLE, **more})


def sweep(out, **more):
    return api.sweep(out, **{**LISTS, **SINGLE, **more})


def in_another_order(sweep):
    """Makes a sweep what an older version could leave: other names, fewer columns, lost rows."""
    for run in sorted((sweep / "trials").iterdir()):
        label, seeds = run.name.split("-seeds-")
        size, echo, noise, rate = (
            label.split("-echo-step-")[0],
            *(
                label.split(f"-{name}-")[1].split("-")[0]
                for name in ("echo-step", "noise", "learning-rate")
            ),
        )
        run.rename(
            run.with_name(
                f"{size}-learning-rate-{rate}-noise-{noise}-echo-step-{echo}-seeds-{seeds}"
            )
        )
    table = pd.read_csv(sweep / "trials.csv").drop(columns=["seconds", "run_dir"])
    names = ["learning_rate", "noise", "echo_step"]
    rest = [name for name in table if name not in names]
    table[[*rest[:3], *names, *rest[3:]]].to_csv(sweep / "trials.csv", index=False)
    (sweep / "curves.csv").unlink()


def curve_rows(sweep):
    """How many rows the tables of all runs have: what `curves.csv` must have."""
    return sum(len(pd.read_csv(file)) for file in (sweep / "trials").glob("*/metrics.csv"))


def test_settings_have_the_order_of_the_config_however_they_are_given():
    one = plan()
    other = api.plan_of(dict(reversed({**LISTS, **SINGLE}.items())))
    assert one.swept == other.swept == ["echo_step", "noise", "learning_rate"]
    assert [each.name for each in one.settings] == [each.name for each in other.settings]
    assert one.settings[0].label == "2x4-echo-step-2-noise-0.0-learning-rate-0.1"
    assert (
        api.plan_of({"clip_norm": [1, 0.5], "learning_rate": 0.3}).settings[0].label
        == "1x4-clip-norm-1.0"
    )


def test_an_old_sweep_is_completed_and_none_of_its_curves_is_lost(tmp_path):
    out = tmp_path / "s"
    sweep(out, seeds=5)
    in_another_order(out)
    result = sweep(out, seeds=6)
    assert len(result.trials) == 8 * 6
    curves = pd.read_csv(out / "curves.csv")
    assert len(curves) == 8 * 6 * 2 == curve_rows(out)
    assert list(curves)[:5] == ["layers", "state_size", "echo_step", "noise", "learning_rate"]
    keys = [*list(curves)[:5], "seed"]
    assert (curves.groupby(keys).size() == 2).all()
    assert list(curves.epoch[:12]) == [1] * 6 + [2] * 6
    assert len(list((out / "trials").iterdir())) == 2 * 8  # Nothing was trained again.
    runs = result.trials.run_dir.unique()
    assert all((out / each / "metrics.csv").is_file() for each in runs)


def test_what_was_begun_goes_on_in_its_own_directory_whatever_it_is_called(tmp_path):
    out = tmp_path / "s"
    sweep(out, seeds=5)
    in_another_order(out)
    pd.read_csv(out / "trials.csv")[:0].to_csv(out / "trials.csv", index=False)
    found = sweep_run.find_directory(wanted := plan(seeds=8), out)
    left = found.missing(wanted.settings)
    names = [each.name for each in left]
    assert names[:2] == [
        "2x4-learning-rate-0.1-noise-0.0-echo-step-2-seeds-0-4",
        "2x4-echo-step-2-noise-0.0-learning-rate-0.1-seeds-5-7",
    ]
    assert [list(each.trials) for each in left[:2]] == [[0, 1, 2, 3, 4], [5, 6, 7]]
    assert len(left) == 16
    of_seeds = {(each.label, seed) for each in left for seed in each.trials}
    assert len(of_seeds) == 8 * 8 == sum(len(each.trials) for each in left)


def test_a_sweep_beside_an_old_one_takes_its_trials_over_with_their_curves(tmp_path):
    sweep(tmp_path / "old", seeds=5)
    in_another_order(tmp_path / "old")
    lost = sorted((tmp_path / "old" / "trials").iterdir())[0]
    shutil.rmtree(lost)
    found = sweep_run.find_directory(plan(seeds=5), tmp_path / "new")
    assert found.neighbours == {tmp_path / "old": 35}
    assert [list(each.trials) for each in found.missing(plan(seeds=5).settings)] == [[*range(5)]]
    sweep(tmp_path / "new", seeds=5)
    assert len(pd.read_csv(tmp_path / "new" / "curves.csv")) == 8 * 5 * 2


def test_trials_whose_curves_are_gone_are_an_error_and_the_hint_mends_it(tmp_path):
    out = tmp_path / "s"
    sweep(out, seeds=5)
    run = out / "trials" / "2x4-echo-step-3-noise-0.1-learning-rate-0.3-seeds-0-4"
    run.rename(tmp_path / "away")
    sweep(out, seeds=5)  # The rows that were in `curves.csv` stay.
    assert len(pd.read_csv(out / "curves.csv")) == 8 * 5 * 2
    (out / "curves.csv").unlink()
    with pytest.raises(FileError, match=r"differ in 5 of 40 trials; the first: seed 0 of 2x4-ec"):
        sweep(out, seeds=5)
    assert len(pd.read_csv(out / "curves.csv")) == 7 * 5 * 2  # All that there is was written.
    (tmp_path / "away").rename(run)
    sweep(out, seeds=5)
    cut = (run / "metrics.csv").read_text().splitlines(keepends=True)[:-1]
    (run / "metrics.csv").write_text("".join(cut))
    with pytest.raises(
        FileError, match=r"in 1 of 40 .* seed 4 .* for 2 epochs, and .* has 1"
    ) as told:
        sweep(out, seeds=5)
    assert "delete the lines of these trials from `trials.csv`" in told.value.hint
    table = pd.read_csv(out / "trials.csv", dtype=str)
    gone = (table.run_dir == f"trials/{run.name}") & (table.seed == "4")
    table[~gone].to_csv(out / "trials.csv", index=False)
    sweep(out, seeds=5)
    assert len(pd.read_csv(out / "curves.csv")) == 8 * 5 * 2


def test_a_run_that_a_grown_sweep_has_twice_is_counted_once(tmp_path):
    """Stopped, and begun again under another name, as older versions did."""
    out = tmp_path / "s"
    sweep(out, seeds=5)
    run = sorted((out / "trials").iterdir())[0]
    shutil.copytree(run, run.with_name("an-orphan"))
    [setting] = [each for each in plan(seeds=5).settings if each.name == run.name]
    (run.with_name("an-orphan") / "metrics.csv").unlink()
    metrics.append_metrics(run.with_name("an-orphan") / "metrics.csv", epochs(setting, 1))
    result = sweep(out, seeds=5)
    assert len(pd.read_csv(out / "curves.csv")) == 8 * 5 * 2
    assert "trials/an-orphan" not in set(result.trials.run_dir)


def without(settings, *names):
    return {
        group: {name: value for name, value in table.items() if name not in names}
        if isinstance(table, dict) else table
        for group, table in settings.items()
    }  # fmt: skip


def make_older(sweep, *names):
    """Takes settings from a sweep's files, as if they were newer than it."""
    known = tomllib.loads((sweep / "sweep.toml").read_text())
    known["sweep"] = without(known["sweep"], *names)
    (sweep / "sweep.toml").write_text(tomli_w.dumps(known))
    for run in (sweep / "trials").iterdir():
        status = json.loads((run / "run.json").read_text())
        status["settings"] = without(status["settings"], *names)
        (run / "run.json").write_text(json.dumps(status))
    table = pd.read_csv(sweep / "trials.csv")
    table["trial"] = [f"older-{row}" for row in table.index]
    table.to_csv(sweep / "trials.csv", index=False)


def test_a_sweep_that_is_older_than_a_setting_is_extended_and_taken_over(tmp_path):
    newer = ("forget_bias", "until_solved", "classes", "val_fraction")
    sweep(None, seeds=5)
    [out] = Path("runs").glob("sweep-*")
    renamed = out.rename(out.with_name("sweep-older"))
    make_older(renamed, *newer)
    before = curve_rows(renamed)
    result = sweep(None, seeds=6)
    assert result.directory == renamed
    assert curve_rows(renamed) == before * 6 / 5
    assert (result.trials.trial.str.startswith("older-")).sum() == 8 * 5
    with pytest.raises(UsageError, match=r"`--forget-bias` 1.0 there, 2.0 here"):
        sweep(renamed, forget_bias=2.0)
    beside = sweep_run.find_directory(plan(seeds=5, noise=[0.0]), Path("runs/beside"))
    assert beside.neighbours == {renamed: 4 * 5}


def test_a_sweep_of_an_older_version_is_extended(tmp_path):
    """It was made before runs kept their settings in `run.json`."""
    out = tmp_path / "kept"
    shutil.copytree(KEPT, out)
    before = pd.read_csv(out / "trials.csv")
    result = api.sweep(out, **{**OF_KEPT, "seeds": 3})
    assert len(result.trials) == 6
    again = pd.read_csv(out / "trials.csv").merge(before[["trial"]])[list(before)]
    pd.testing.assert_frame_equal(again, before)
    curves = pd.read_csv(out / "curves.csv")
    old = curves[curves.seed < 2].reset_index(drop=True)
    pd.testing.assert_frame_equal(old, pd.read_csv(KEPT / "curves.csv"), check_dtype=False)


def test_the_types_of_trials_are_the_same_whatever_is_missing(tmp_path):
    wanted = plan(seeds=5)
    with sweep_run.opened(wanted, tmp_path / "s") as directory:
        whole = sweep(tmp_path / "t", seeds=5).trials
        rows = [
            setting.keys | {"trial": trial, "seed": seed, "parameters": 1, "status": "failed",
                            "exit_code": 1, "epochs": 0, "error": "it failed"}
            for setting in wanted.settings for seed, trial in setting.trials.items()
        ]  # fmt: skip
        failed = directory.add(rows, wanted.swept)
    assert dict(failed.dtypes) == dict(whole.dtypes)
    assert set(whole.error) == {""}
    assert dict(sweep(tmp_path / "t", seeds=5).trials.dtypes) == dict(whole.dtypes)  # Read back.


@pytest.mark.slow
def test_what_commands_write_does_not_depend_on_pythons_hash_seed(tmp_path):
    tests = Path(__file__).parents[1]
    at_work = []
    for seed in ("0", "1"):
        folder = tmp_path / seed
        folder.mkdir()
        command = [sys.executable, str(tests / "support" / "commands_by_name.py")]
        names = {"PYTHONPATH": f"{tests.parent}:{tests / 'support'}", "PYTHONHASHSEED": seed}
        at_work.append(
            subprocess.Popen(
                command, cwd=folder, stdout=subprocess.PIPE, text=True, env={**os.environ, **names}
            )
        )
    found = [json.loads(process.communicate()[0]) for process in at_work]
    assert found[0]["said"] == found[1]["said"]
    assert found[0]["files"] == found[1]["files"]
