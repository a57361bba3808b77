"""The directory of a sweep stands for its best trial: of the depth that the answer is about."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import load_file

from drawn_trials import trials
from lstmcli.sweeps import summary
from sweeping import COMMAND


def best_trial(losses, validated):
    """The best trial of settings whose test and validation losses, by depth and seed, are given."""
    table = trials(losses)
    table["best_val_loss"] = np.concatenate([validated[depth] for depth in losses])
    table["run_dir"] = "trials/" + table.layers.astype(str)
    return summary.best_trial(summary.summarize(table, [], 0.01)[1])


def test_the_seed_is_chosen_by_validation_of_the_depth_that_the_answer_is_about():
    """The lowest test loss of all, 0.01, and the lowest validation, 0.05, are of other trials."""
    losses = {1: [0.30, 0.31, 0.32, 0.33, 0.30], 2: [0.10, 0.11, 0.12, 0.13, 0.01]}
    validated = {1: [0.05] * 5, 2: [0.3, 0.2, 0.1, 0.4, 0.5]}
    assert best_trial(losses, validated) == ("trials/2", 2)
    assert best_trial(losses, {1: [0.05] * 5, 2: [np.nan] * 5}) == ("trials/2", 0)
    assert best_trial({1: [np.nan] * 5}, {1: [np.nan] * 5}) is None


@pytest.fixture(scope="module")
def chosen(swept):
    """The row of `trials.csv` that is to be chosen: two seeds can support no claim."""
    table = pd.read_csv(swept[0] / "trials.csv")
    middle = table.groupby("layers").test_loss.mean()  # Of two seeds none is cut off.
    return table[table.layers == middle.idxmin()].sort_values("best_val_loss").iloc[0]


def test_a_sweep_ends_with_its_best_trial_and_the_command_that_scores_it(swept, run, chosen):
    out, result = swept
    assert result["best"] == {"run": str(out / chosen.run_dir), "seed": chosen.seed}
    shown = run("sweep", *COMMAND[1:], "--out", out).stdout.splitlines()
    best = f"best: {out / chosen.run_dir}, seed {chosen.seed} (lowest validation loss)"
    assert shown[-2:] == [best, f"next: lstmcli eval {out}"]


def test_eval_of_a_sweep_scores_its_best_trial_alone_wherever_it_has_been_moved(
    swept, run, chosen, tmp_path
):
    moved = tmp_path / "elsewhere" / "s"
    shutil.copytree(swept[0], moved)
    scored = run("eval", moved, "--json")
    [found] = json.loads(scored.stdout)["results"]
    assert (found["seed"], found["loss"]) == (chosen.seed, pytest.approx(chosen.test_loss, 1e-6))
    trial = moved / chosen.run_dir
    assert f"seed {chosen.seed} of `{trial}` is the sweep's best trial" in scored.stderr
    beside = {each["seed"]: each for each in results(run, trial)}
    assert found == beside[chosen.seed]  # To the bit, though trained and scored side by side.
    assert len(beside) == 2


def results(run, path):
    return json.loads(run("eval", path, "--json").stdout)["results"]


def test_what_else_reads_a_checkpoint_takes_that_trial_too(swept, run, chosen, tmp_path):
    out, _ = swept
    shown = json.loads(run("inspect", out, "--json").stdout)
    assert (shown["seeds"], len(shown["best"])) == ([chosen.seed], 1)
    assert list(shown["state"]) == [str(chosen.seed)]
    told = run("probe", out, "--steps", "600", "--json")
    assert "is the sweep's best trial" in told.stderr
    begin = ["--layers", chosen.layers, "--series-length", "300", "--epochs", "1"]
    run("train", *begin, "--learning-rate", "1e-30", "--init-from", out, "--out", "on")
    theirs = load_file(out / chosen.run_dir / "checkpoints" / "best.safetensors")
    ours = load_file(tmp_path / "on" / "checkpoints" / "last.safetensors")
    at = list(range(2)).index(chosen.seed)
    np.testing.assert_array_equal(ours["dense.kernel"][0], theirs["dense.kernel"][at])


def add_a_trial(out):
    """As a sweep that grows has it, until it comes to its answer."""
    table = pd.read_csv(out / "trials.csv")
    more = table.assign(seed=table.seed + 2, trial=table.trial + "x")
    pd.concat([table, more]).to_csv(out / "trials.csv", index=False)


def record(out, change):
    known = json.loads((out / "sweep.json").read_text())
    change(known)
    (out / "sweep.json").write_text(json.dumps(known))


@pytest.mark.parametrize(
    ("change", "error"),
    [
        (lambda out: (out / "sweep.json").unlink(), "has not ended: its best trial is not known"),
        (add_a_trial, "has not ended: its best trial is not known"),
        (lambda out: record(out, lambda known: known.pop("best")), "does not say which trial"),
        (lambda out: (out / "sweep.json").write_text("[]"), "does not say which trial"),
        (lambda out: (out / "sweep.json").write_text("{"), "does not say which trial"),
        (lambda out: record(out, lambda known: known.update(best=None)), "no trial of the sweep"),
        (lambda out: record(out, lambda known: known.update(best=3)), "does not say which trial"),
        (lambda out: record(out, lambda known: known["best"].update(seed=9)), "no model of seed 9"),
        (lambda out: [shutil.rmtree(out / "trials")], "which is not there"),
    ],
    ids=["begun", "grown", "old", "list", "cut", "failed", "number", "seed", "gone"],
)
def test_a_sweep_whose_best_trial_is_not_known_says_so(change, error, swept, run, tmp_path):
    out = tmp_path / "s"
    shutil.copytree(swept[0], out)
    change(out)
    for command in ("eval", "inspect"):
        assert error in run(command, out, exit_code=4).stderr
