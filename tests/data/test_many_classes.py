"""Predictions of very many classes: the most probable ones, or all, written as they go."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from bad_files import make_run
from lstmcli.cli import predictions_csv
from lstmcli.utils import files

CLASSES = 150


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A run on a table of 150 classes at hours, which begin at midnight."""
    folder = tmp_path_factory.mktemp("many")
    rng = np.random.default_rng(0)
    dates = pd.date_range("2021-01-01", periods=1200, freq="h")
    label = rng.permutation(np.arange(1200) % CLASSES)
    frame = pd.DataFrame({"at": dates, "x": rng.normal(size=1200).round(3), "word": label})
    frame.assign(word=[f"w{each}" for each in label]).to_csv(folder / "t.csv", index=False)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        settings = {"target": "word", "categorical": "word", "batch_size": 4, "bptt": 16}
        make_run(Path("run"), data="t.csv", replicas=2, **settings)
    return folder


def test_of_many_classes_the_ten_most_probable_are_written_or_all(run, folder):
    shown = run("eval", folder / "run", "--predictions", "ten.csv")
    assert "of 150 classes the 10 most probable of each step are written" in shown.stderr
    assert "most probable" not in run("eval", folder / "run").stderr
    run("eval", folder / "run", "--predictions", "all.csv", "--all-classes")
    ten, whole = pd.read_csv("ten.csv"), pd.read_csv("all.csv")
    every = whole.filter(regex="^probability_")
    assert every.shape == (240, CLASSES)
    np.testing.assert_allclose(every.sum(axis=1), 1, rtol=1e-5)
    order = np.argsort(-every.to_numpy(), axis=1, kind="stable")[:, :10]
    names = every.columns.str.removeprefix("probability_").to_numpy()
    places = range(1, 11)
    likely = ten[[f"probability_{place}" for place in places]].to_numpy()
    np.testing.assert_allclose(likely, np.take_along_axis(every.to_numpy(), order, 1), rtol=1e-6)
    found = ten[[f"predicted_{place}" for place in places]].to_numpy()
    different = np.diff(likely, axis=1).all(axis=1)
    np.testing.assert_array_equal(found[different], names[order][different])
    others = ["seed", "step", "row", "x", "label", "at", "file_row"]
    pd.testing.assert_frame_equal(ten[others], whole[others])


@pytest.mark.parametrize("option", [(), ("--all-classes",)])
def test_predictions_in_pieces_and_from_a_file_are_the_same(run, folder, monkeypatch, option):
    run("eval", folder / "run", "--predictions", "whole.csv", *option)
    monkeypatch.setattr(predictions_csv, "CELLS", 70)  # A piece has a step, or seven of them.
    monkeypatch.setattr(files, "LARGEST_ARRAY", 10)
    run("eval", folder / "run", "--predictions", "pieces.csv", *option)
    assert Path("pieces.csv").read_bytes() == Path("whole.csv").read_bytes()
    assert Path("whole.csv").read_text().count(" 00:00:00") == 10


def test_all_classes_of_no_predictions_are_refused(run, folder):
    shown = run("eval", folder / "run", "--all-classes", exit_code=2).stderr
    assert "`--all-classes` has no effect without `--predictions`" in shown


def test_of_the_steps_that_only_warm_up_nothing_is_kept(run, folder, monkeypatch):
    seen = []
    monkeypatch.setattr(predictions_csv, "write", lambda path, scores: seen.extend(scores))
    run("eval", folder / "run", "--predictions", "none.csv", "--all-classes")
    windows = len(seen[0].windows)
    assert windows * 16 >= 1200  # Read from the file's first step on,
    assert len(seen[0].readout) * 16 < 240 + 2 * 16  # and of the test part alone kept.
