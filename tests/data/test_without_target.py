"""Further files of a table's model: what needs a target, and what does without."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import lstmcli
from bad_files import make_run


@pytest.fixture
def tables():
    """A run on a table, and another file with and without the column that the run predicts."""
    values = np.random.default_rng(0).normal(size=(2500, 3))
    frame = pd.DataFrame(values, columns=["x", "y", "goal"])
    for name, rows in (("table", frame[:1000]), ("with", frame[1000:])):
        rows.to_csv(f"{name}.csv", index=False)
    frame[1000:].drop(columns="goal").to_csv("without.csv", index=False)
    frame[1000:].assign(goal=np.nan).to_csv("empty.csv", index=False)
    make_run(Path("run"), data="table.csv", target="goal", batch_size=4, bptt=16)


def test_a_probe_needs_no_target_where_none_is_asked_for(tables, run):
    expected = lstmcli.probe("run", "with.csv", lags=5).table
    for name in ("without.csv", "empty.csv"):
        pd.testing.assert_frame_equal(lstmcli.probe("run", name, lags=5).table, expected)
    for asked in ("--gradient", "--ablate"):
        found = run("probe", "run", asked, "--data", "without.csv", exit_code=4).stderr
        assert "`without.csv` has no column `goal`, the target" in found


def test_nothing_can_be_scored_without_a_target(tables, run):
    found = run("eval", "run", "--data", "without.csv", exit_code=4).stderr
    assert "the target: there is nothing to score a prediction by" in found
    found = run("eval", "run", "--data", "empty.csv", exit_code=4).stderr
    assert "`empty.csv` has no step whose target is known to the model" in found
    without = pd.read_csv("without.csv").drop(columns="y")
    without.to_csv("without.csv", index=False)
    found = run("probe", "run", "--data", "without.csv", exit_code=4).stderr
    assert "`without.csv` has no column `y`, which the training part has" in found
