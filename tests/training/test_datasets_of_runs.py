"""The dataset that a run names: where it is, and whether it is what it was."""

import json
import re
import shutil
from pathlib import Path

import pytest

from lstmcli.training import checkpoint as checkpoints
from records import table


@pytest.fixture
def tree(trained_on_file, tmp_path):
    """A folder `lab` with `data.csv`, its metadata and the run `runs/r` on it."""
    lab = tmp_path / "lab"
    shutil.copytree(trained_on_file.parent, lab, ignore=shutil.ignore_patterns("run"))
    (lab / "runs").mkdir()
    return lab


@pytest.fixture
def lab(tree, run, monkeypatch):
    """The same, trained in it."""
    monkeypatch.chdir(tree)
    run("train", "--data", "data.csv", "--epochs", 1, "--layers", 1, "--out", "runs/r")
    return tree


def test_a_dataset_is_found_from_anywhere_and_after_its_tree_was_moved(run, lab, monkeypatch):
    expected = json.loads(run("eval", "runs/r", "--json").stdout)["results"]
    moved = lab.rename(lab.with_name("moved lab"))
    elsewhere = lab.with_name("elsewhere")
    elsewhere.mkdir()
    for stand, path in ((moved, "runs/r"), (moved / "runs/r", "."), (elsewhere, moved / "runs/r")):
        monkeypatch.chdir(stand)
        for what in (path, Path(path) / "checkpoints/best.safetensors"):
            assert json.loads(run("eval", what, "--json").stdout)["results"] == expected
    run("train", "--config", moved / "runs/r/config.toml", "--out", "again")
    assert table(elsewhere / "again").equals(table(moved / "runs/r"))
    run("eval", "again")


def test_a_dataset_is_found_where_run_directories_are_links_to_elsewhere(run, tree, monkeypatch):
    (tree / "runs").rmdir()
    (tree.parent / "scratch/deep/runs").mkdir(parents=True)
    (tree / "runs").symlink_to(tree.parent / "scratch/deep/runs")
    monkeypatch.chdir(tree)
    run("train", "--data", "data.csv", "--epochs", 1, "--layers", 1, "--out", "runs/r")
    monkeypatch.chdir(tree.parent)
    run("eval", "lab/runs/r")
    run("train", "--config", "lab/runs/r/config.toml", "--out", "again")


def test_a_dataset_named_by_hand_is_looked_for_beside_the_file_and_where_one_stands(run, tree):
    quick = "[training]\nepochs = 1\n[model]\nlayers = 1\n"
    (tree / "hand.toml").write_text(f'[data]\ndata = "data.csv"\n{quick}')
    Path("here.toml").write_text(f'[data]\ndata = "lab/data.csv"\n{quick}')
    (tree / "here.toml").write_text(Path("here.toml").read_text())
    for number, config in enumerate(["lab/hand.toml", "here.toml", "lab/here.toml"]):
        run("train", "--config", config, "--out", f"run-{number}")
    (tree / "data.csv").rename(tree / "new.csv")
    stderr = run("train", "--config", "lab/hand.toml", exit_code=4).stderr
    assert "looked at `lab/data.csv` and at `data.csv`" in stderr
    run("train", "--config", "lab/hand.toml", "--data", "lab/new.csv", "--out", "named")


def test_eval_refuses_a_dataset_that_has_changed_and_scores_it_whole_when_told(run, lab):
    run("generate", "data.csv", "--series-length", 3000, "--classes", 3, "--seed", 9, "--overwrite")
    for what in ("runs/r", "runs/r/checkpoints/last.safetensors"):
        result = run("eval", what, exit_code=4)
        assert "`data.csv` has changed" in result.stderr
        option = re.search(r"hint: `(--data [^`]*)`", result.stderr)[1]
        found = json.loads(run("eval", what, *option.split(), "--json").stdout)
        assert found["results"][0]["labels"] == 3000


def test_a_change_shows_in_a_checkpoint_that_keeps_no_checksum_by_that_of_its_run(run, lab):
    """As earlier versions wrote them; a copy elsewhere cannot be checked, and eval says so."""
    best = Path("runs/r/checkpoints/best.safetensors")
    old = checkpoints.read(best)
    assert (
        old.metadata.pop("data_sha256")
        == json.loads(Path("runs/r/run.json").read_text())["data_sha256"]
    )
    old.write(best)
    run("eval", "runs/r")
    shutil.copy(best, "copy.safetensors")
    run("eval", "copy.safetensors", exit_code=4)  # Its `../../data.csv` leads nowhere from here.
    Path("a/b").mkdir(parents=True)
    shutil.copy(best, "a/b/copy.safetensors")
    assert "note: whether `data.csv` has changed" in run("eval", "a/b/copy.safetensors").stderr
    lines = Path("data.csv").read_text().splitlines()
    Path("data.csv").write_text("\n".join([*lines[:-1], "1,0,0,2"]) + "\n")
    Path("data.json").unlink()
    assert "has changed" in run("eval", "runs/r", exit_code=4).stderr
