"""What a run goes on with: more patience, its own data and no other."""

import re
import shlex
import tomllib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from lstmcli.training import checkpoint

# What it learns is too little to be better than in its first epoch.
STUCK = ("--layers", 1, "--state-size", 3, "--learning-rate", 1e-30, "--epochs", 20)


@pytest.fixture(scope="module")
def stopped(run, tmp_path_factory):
    """The directory of a run that a patience of 1 has ended after two epochs, `data.txt` beside."""
    folder = tmp_path_factory.mktemp("stopped")
    (folder / "data.txt").write_text("the cat sat on a mat. " * 40)
    (folder / "other.txt").write_text("a mat sat on the cat. " * 40)
    run("train", "--data", folder / "data.txt", *STUCK, "--patience", 1, "--out", folder / "run")
    return folder / "run"


def test_a_run_of_other_data_is_refused_as_that_though_it_is_complete(run, stopped):
    other = stopped.parent / "other.txt"
    before = (stopped / "run.json").read_bytes()
    shown = run("train", "--resume", stopped, "--data", other, exit_code=2).stderr
    assert (
        f"error: `--data {other}` is not what this run is trained on: that is `../data.txt`"
        in shown
    )
    hint = re.search("`lstmcli (.*)` begins a new run with its settings and its weights", shown)
    assert run(*shlex.split(hint[1]), "--out", "new").stdout.endswith("next: lstmcli eval new\n")
    new = tomllib.loads(Path("new/config.toml").read_text())
    assert new["model"]["state_size"] == 3
    assert Path("new", new["data"]["data"]).samefile(other)
    run("train", "--resume", stopped, "--data", other, "--epochs", 30, exit_code=2)
    assert (stopped / "run.json").read_bytes() == before
    assert (
        "complete"
        in run("train", "--resume", stopped, "--data", stopped.parent / "data.txt").stdout
    )


def test_more_patience_goes_on_as_if_it_had_been_there_from_the_start(run, stopped):
    data = stopped.parent / "data.txt"
    shown = run("train", "--resume", stopped, "--patience", 3).stdout
    assert "complete" not in shown
    run("train", "--data", data, *STUCK, "--patience", 3, "--out", "at once")
    ours, theirs = (
        checkpoint.read(Path(each, "checkpoints/last.safetensors")).tensors
        for each in (stopped, "at once")
    )
    assert ours.keys() == theirs.keys()
    for name, tensor in theirs.items():
        np.testing.assert_array_equal(ours[name], tensor)
    assert list(pd.read_csv(stopped / "metrics.csv").epoch) == [1, 2, 3, 4]
    assert "patience = 3" in (stopped / "config.toml").read_text()
    assert "ended it after 4 of 20 epochs" in run("train", "--resume", stopped).stdout


def test_without_any_patience_a_run_that_stopped_early_goes_on_to_its_last_epoch(run, stopped):
    assert "complete" not in run("train", "--resume", stopped, "--patience", 0).stdout
    assert list(pd.read_csv(stopped / "metrics.csv").epoch) == list(range(1, 21))
    assert "20 epochs are done" in run("train", "--resume", stopped).stdout
