"""A run directory's checkpoint and tables have to be that run's own."""

import json
import shutil

import pytest

from lstmcli.api import TrainedRun


@pytest.fixture(scope="module")
def other(run, small, tmp_path_factory):
    """A run that differs from `trained` in its seeds. Not to be written to."""
    directory = tmp_path_factory.mktemp("other") / "run"
    run("train", *small, "--replicas", 3, "--seed", 7, "--out", directory)
    return directory


@pytest.fixture
def mixed(trained, other, tmp_path):
    """A run directory with the checkpoints of another run."""
    copy = shutil.copytree(trained, tmp_path / "mine")
    for file in (other / "checkpoints").iterdir():
        shutil.copy(file, copy / "checkpoints")
    return copy


@pytest.mark.parametrize(
    "command",
    ["eval", "plot", "report", "inspect", "probe", "train --init-from", "train --resume"],
)
def test_a_run_with_the_checkpoints_of_another_is_refused(mixed, run, command):
    error = run(*command.split(), mixed, exit_code=4).stderr
    assert f"is of another run than `{mixed / 'run.json'}`" in error.replace("\n", " ")


def test_the_same_checkpoint_named_as_a_file_is_taken(mixed, run):
    run("inspect", mixed / "checkpoints/best.safetensors")
    run("eval", mixed / "checkpoints/best.safetensors")


def test_a_run_on_a_file_is_told_from_one_on_another_file(trained_on_file, run, tmp_path):
    data = tmp_path / "data.csv"
    run("generate", data, "--series-length", 3000, "--classes", 3, "--echo-step", 1, "--seed", 7)
    run("train", "--data", data, "--epochs", 2, "--layers", 1, "--out", "other")
    run("inspect", "other")
    shutil.copy(trained_on_file / "checkpoints/best.safetensors", tmp_path / "other/checkpoints")
    assert "another run" in run("inspect", "other", exit_code=4).stderr


def test_a_run_whose_settings_were_not_kept_is_read_as_ever(mixed, run):
    status = json.loads((mixed / "run.json").read_text())
    del status["settings"]
    (mixed / "run.json").write_text(json.dumps(status))
    run("inspect", mixed)


def test_more_epochs_do_not_make_another_run(trained, run, tmp_path):
    copy = shutil.copytree(trained, tmp_path / "r")
    status = json.loads((copy / "run.json").read_text())
    status["settings"]["training"]["epochs"] += 5
    (copy / "run.json").write_text(json.dumps(status))
    run("inspect", copy)
    assert TrainedRun(copy).checkpoint.seeds == [0, 1, 2]


def test_with_both_checkpoints_damaged_the_best_is_offered_for_a_new_run(trained, run, tmp_path):
    copy = shutil.copytree(trained, tmp_path / "r")
    for name in ("last", "previous"):
        (copy / f"checkpoints/{name}.safetensors").write_bytes(b"damaged")
    hint = run("train", "--resume", copy, "--epochs", 9, exit_code=4).stderr.split("hint: ")[1]
    begun = f"lstmcli train --init-from {copy / 'checkpoints/best.safetensors'}"
    assert f"`{begun}`" in hint


# --- a run that has not come to its end


def test_eval_says_of_which_epoch_it_is_and_whether_the_run_is_complete(trained, run, tmp_path):
    best = json.loads(run("inspect", trained, "--json").stdout)["best"]
    epochs = [each["epoch"] for each in best]
    whole = run("eval", trained, "--json")
    assert json.loads(whole.stdout)["epochs"] == epochs
    assert "not complete" not in whole.stderr
    copy = shutil.copytree(trained, tmp_path / "r")
    status = json.loads((copy / "run.json").read_text()) | {"status": "running"}
    status["settings"]["training"]["epochs"] = 9
    (copy / "run.json").write_text(json.dumps(status))
    said = run("eval", copy)
    rows = (copy / "metrics.csv").read_text().splitlines()
    done = rows[-1].split(",")[0]
    assert f"note: the run is not complete ({done} of 9 epochs)" in said.stderr
    [shown] = [line for line in said.stdout.splitlines() if line.startswith("checkpoint: ")]
    assert f"epoch {epochs[0]}" in shown or f"epochs {min(epochs)} to {max(epochs)}" in shown
    assert "not complete" not in run("eval", copy / "checkpoints/best.safetensors").stderr
