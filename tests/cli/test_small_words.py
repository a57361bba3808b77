"""Words that depend on a name or a number: they are right for each."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from lstmcli.training import config_files, run_dir
from lstmcli.utils.errors import FileError, UsageError


@pytest.mark.parametrize(
    ("name", "option"),
    [("data", "--data"), ("labels", "--labels"), ("val_data", "--val-data")],
)
def test_a_file_that_is_not_where_a_run_had_it_is_asked_for_by_its_own_option(
    name, option, tmp_path
):
    with pytest.raises(FileError, match="does not exist") as caught:
        run_dir.with_paths_from({"data": {name: "lost.csv"}}, tmp_path)
    assert f"`{option} FILE`" in caught.value.hint


def test_a_run_goes_on_with_its_data_in_another_format_and_not_with_another_kind(run):
    """Of a text it is not said that `--target`, which the run has, means nothing there."""
    table = pd.DataFrame({"x": np.arange(400) % 7, "y": np.arange(400) % 5})
    for name in ("a.csv", "a.csv.gz"):
        table.to_csv(name, index=False)
    Path("book.txt").write_text("x,y\n" * 400)
    settings = ["--layers", 1, "--state-size", 4, "--epochs", 1, "--out", "r"]
    run("train", "--data", "a.csv", "--target", "y", *settings)
    error = run("train", "--resume", "r", "--data", "book.txt", "--epochs", 2, exit_code=2).stderr
    assert "error: `--data book.txt` is not what this run is trained on: that is" in error
    assert "hint: leave `--data` out; begin another run with that file" in error
    run("train", "--resume", "r", "--data", "a.csv.gz", "--epochs", 2)
    assert pd.read_csv("r/metrics.csv").epoch.max() == 2


def test_a_task_in_one_file_of_settings_and_data_in_one_before_it_are_refused(tmp_path):
    (tmp_path / "a.toml").write_text('[data]\ndata = "x.csv"\n')
    (tmp_path / "b.toml").write_text('[data]\ntask = "parity"\n')
    files = [tmp_path / "a.toml", tmp_path / "b.toml"]
    with pytest.raises(UsageError, match=r"names a task and .*a\.toml. a file of data"):
        config_files.read(files)
    assert config_files.read(files[1:]).tables["data"] == {"task": "parity"}


def test_one_epoch_and_one_input_are_counted_as_one(run, tmp_path):
    shown = run("generate", "x.npz", "--series-length", 1500).stdout
    assert "1,500 steps, 1 input per step" in shown
    run("train", "--data", "x.npz", "--layers", 1, "--epochs", 1, "--out", "run")
    assert "trained: 1 epoch, " in run("inspect", "run").stdout
