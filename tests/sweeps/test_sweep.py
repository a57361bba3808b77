"""The sweep: its grid, its fairness, its tables and its answer."""

import dataclasses
import json

import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import load_file

from lstmcli import api
from lstmcli.config import GROUPS, ONE_IN_A_SWEEP, Config, SweepConfig
from lstmcli.data.datasets import open_source
from lstmcli.sweeps import grid, run, tables, workers
from lstmcli.sweeps import plan as plans
from lstmcli.utils.errors import UsageError
from sweeping import COMMAND, TIMES, in_this_process, invented, settings


@pytest.fixture(autouse=True)
def without_processes(monkeypatch):
    """But for the sweep `swept`, which is there already."""
    monkeypatch.setattr(workers.LocalWorkers, "run", in_this_process)


@pytest.mark.parametrize(
    ("name", "text", "values"),
    [("layers", "1-5", [1, 2, 3, 4, 5]), ("layers", "1,2,4", [1, 2, 4]),
     ("learning_rate", "0.1,0.3", [0.1, 0.3]), ("optimizer", "adam,sgd", ["adam", "sgd"]),
     ("bptt", "5,10-12,5", [5, 10, 11, 12])],
)  # fmt: skip
def test_a_list_of_values_is_read(name, text, values):
    assert grid.parse(name, text) == values


@pytest.mark.parametrize(("name", "text"), [("layers", "one"), ("layers", "5-1"), ("noise", "a")])
def test_a_list_that_cannot_be_read_is_refused_with_an_example(name, text):
    with pytest.raises(UsageError, match=r"takes a list such as"):
        grid.parse(name, text)


def test_the_grid_is_every_combination():
    found = grid.expand(Config.build(), {"layers": [1, 2], "echo_step": [3, 6, 9]}, None)
    assert [(each.keys["layers"], each.keys["echo_step"]) for each in found] == [
        (1, 3), (1, 6), (1, 9), (2, 3), (2, 6), (2, 9),
    ]  # fmt: skip


@pytest.mark.parametrize("match", ["params", "state"])
def test_matching_picks_the_size_that_comes_closest(match):
    for each in grid.expand(Config.build(state_size=8), {"layers": [1, 2, 3, 4, 6]}, match):
        model = each.config.model

        def size(state_size, layers):
            if match == "state":
                return layers * state_size
            above = (layers - 1) * 4 * state_size * (2 * state_size + 1)
            return 4 * state_size * (state_size + 2) + above + 2 * (state_size + 1)

        def distance(state_size, layers=model.layers, size=size):
            return abs(size(state_size, layers) - size(8, 3))

        assert distance(model.state_size) == min(map(distance, range(1, 100)))


def test_matching_says_its_target_the_sizes_and_what_is_more_than_a_tenth_off(run):
    """Counted by hand: a layer has 4 S (inputs + S + 1) parameters, the readout 2 (S + 1)."""

    def count(layers, size):
        return 4 * size * (size + 2) + (layers - 1) * 4 * size * (2 * size + 1) + 2 * (size + 1)

    plan = ["sweep", "--series-length", "1500", "--learning-rate", "0.3", "--dry-run", "--progress",
            "none", "--match"]  # fmt: skip
    shown = run(*plan, "params", "--layers", "1,3,4,6").stderr
    assert (
        f"note: `--match params` chooses the state sizes closest to {count(3, 4)} "
        f"parameters, as many as 3 layers of 4 units have: 1x9 has {count(1, 9)}, "
        f"3x4 has {count(3, 4)}, 4x3 has {count(4, 3)}, 6x3 has {count(6, 3)}\n" in shown
    )
    more, fewer = (100 * abs(count(*each) / count(3, 4) - 1) for each in ((6, 3), (4, 3)))
    far = f"to {count(3, 4)} parameters: 4x3 has {fewer:.0f} % fewer, 6x3 has {more:.0f} % more"
    assert f"note: no state size comes closer {far}; " in shown
    shown = run(*plan, "state", "--layers", "1,2,3", "--state-size", "4").stderr
    assert (
        "closest to 24 numbers of state, as many as 3 layers of 4 units have: 1x12 has 24, "
        in shown
    )
    assert "no state size comes closer" not in shown


def test_a_seed_sees_the_same_data_at_every_depth():
    shallow, deep = (open_source(each.config) for each in settings())
    for epoch in (0, 2):
        for mine, theirs in zip(shallow.training(epoch), deep.training(epoch), strict=True):
            np.testing.assert_array_equal(mine.all("numbers"), theirs.all("numbers"))


def test_a_trial_is_known_by_its_settings_alone():
    one, two = settings()
    assert len({*one.trials.values(), *two.trials.values()}) == 4
    again = settings(device="cpu")[0]
    assert again.trials == one.trials  # Where it runs is no part of it.
    assert settings(noise=0.1)[0].trials != one.trials
    assert one.with_seeds([1]).trials == {1: one.trials[1]}


def test_only_the_missing_seeds_are_left_to_run():
    one, two = settings()
    known = {one.trials[0]: {}, two.trials[0]: {}, two.trials[1]: {}}
    [left] = tables.missing([one, two], known)
    assert (left.keys["layers"], left.config.run.seeds) == (1, [1])


def test_tables_have_the_contracts_columns(swept):
    out, result = swept
    trials = pd.read_csv(out / "trials.csv")
    assert ",".join(trials) == (
        "trial,layers,state_size,seed,parameters,status,exit_code,epochs,solved,epochs_to_solve,"
        "best_val_loss,test_loss,test_accuracy,bayes_loss,gap,epoch_seconds,error,chance,replicas,"
        "reference,reference_loss,seconds,run_dir"
    )
    summary = pd.read_csv(out / "summary.csv")
    assert ",".join(summary) == (
        "layers,state_size,parameters,seeds,failed,mean,std,median,iqm,ci_low,ci_high,solve_rate,"
        "solve_low,solve_high,epochs_to_solve,p_value,epoch_seconds,ratio,ratio_low,ratio_high,"
        "bound,enough,reference,reference_loss"
    )
    curves = pd.read_csv(out / "curves.csv")
    assert list(curves)[:5] == ["layers", "state_size", "epoch", "step", "seed"]
    assert (len(trials), len(summary), len(curves)) == (4, 2, 2 * 2 * 3)
    assert set(result) == {"sweep", "answer", "summary", "best", "parts"}
    assert [row["mean"] for row in result["summary"]] == pytest.approx(list(summary["mean"]))
    assert (out / "figures" / "depth.png").stat().st_size > 5000
    assert (out / "figures" / "curves.png").stat().st_size > 5000


def test_a_trial_is_what_train_and_eval_give(swept, run, tmp_path):
    out, _ = swept
    run("train", "--layers", "2", "--seed", "1", *COMMAND[5:], "--out", "one")
    [expected] = json.loads(run("eval", "one", "--json").stdout)["results"]
    trials = pd.read_csv(out / "trials.csv").set_index(["layers", "seed"])
    for column, name in (("test_loss", "loss"), ("gap", "gap"), ("test_accuracy", "accuracy")):
        assert trials[column][2, 1] == pytest.approx(expected[name], rel=1e-6)


def test_a_dry_run_shows_the_plan_and_leaves_nothing(run, tmp_path):
    shown = run(*COMMAND, "--match", "params", "--dry-run").stdout
    assert "4 trials, 4 to run" in shown
    assert "1x9" in shown  # 416 parameters, next to 394
    assert not list(tmp_path.iterdir())


def test_until_solved_stops_each_seed_on_evidence_of_its_own(run, tmp_path):
    """A seed stops where it would alone, though the others go on; and what it keeps is the same."""
    options = ["--layers", "1", "--until-solved", "--epochs", "60", "--learning-rate", "0.3"]
    run("sweep", *options, "--seeds", "3", "--out", "s")
    trials = pd.read_csv(tmp_path / "s" / "trials.csv").set_index("seed")
    assert trials.solved.all()
    assert trials.epochs.max() < 30
    assert (trials.epochs >= trials.epochs_to_solve + 1).all()  # A second epoch confirms.
    early = trials.epochs.idxmin()
    assert trials.epochs[early] < trials.epochs.max()
    run("train", *options, "--seed", early, "--out", "alone")
    alone = pd.read_csv("alone/metrics.csv")
    beside = pd.read_csv(next((tmp_path / "s" / "trials").glob("*/metrics.csv")))
    pd.testing.assert_frame_equal(
        alone.drop(columns=TIMES, errors="ignore"),
        beside[beside.seed == early].drop(columns=TIMES, errors="ignore").reset_index(drop=True),
    )
    ours = load_file("alone/checkpoints/last.safetensors")
    theirs = load_file(next((tmp_path / "s" / "trials").glob("*/checkpoints/last.safetensors")))
    for name, tensor in ours.items():
        assert tensor[0].tobytes() == theirs[name][early].tobytes(), name


LISTS = {
    "layers": "1,2", "state-size": "2,3", "forget-bias": "0,1", "series-length": "150,300",
    "echo-step": "1,2", "classes": "2,3", "noise": "0,0.1", "bptt": "5,15", "batch-size": "2,5",
    "epochs": "1,2", "optimizer": "adagrad,adam", "learning-rate": "0.1,0.3", "clip-norm": "1,2",
    "dropout": "0.1,0.5", "patience": "1,2", "learning-rate-decay": "0.9,1", "decay-from": "2,3",
    "bits": "2,3", "sequence-length": "11,12", "order-symbols": "2,3",
    "horizon": "1,2",
}  # fmt: skip
BESIDE = {
    "decay-from": {"learning_rate_decay": 0.9},
    "bits": {"task": "parity"},
    "sequence-length": {"task": "adding"},
    "order-symbols": {"task": "order"},
    "horizon": {"data": "walk.csv", "target": "y", "series_length": None},
}
"""What a setting has an effect with."""


def test_every_setting_that_a_sweep_takes_as_a_list_is_tried_below():
    own = {spec.name for spec in dataclasses.fields(SweepConfig)}
    fixed = {*ONE_IN_A_SWEEP, *own}
    settings = {spec.name for group in GROUPS.values() for spec in dataclasses.fields(group)}
    assert {name.replace("-", "_") for name in LISTS} == settings - fixed


@pytest.mark.parametrize("name", sorted(LISTS))
def test_a_swept_setting_has_its_column_its_figures_and_its_answer(name, monkeypatch, tmp_path):
    """Its trials are not trained: tables, answer and figures are what is tried."""
    monkeypatch.setattr(workers.LocalWorkers, "run", invented)
    single = {"series_length": 300, "epochs": 2}
    lists = {"layers": [1, 2]}
    key = name.replace("-", "_")
    single.pop(key, None)
    lists[key] = grid.parse(key, LISTS[name])
    beside = {**single, **BESIDE.get(name, {})}
    beside = {key: value for key, value in beside.items() if value is not None}
    walk = np.random.default_rng(0).normal(size=300).cumsum()
    pd.DataFrame({"y": walk}).to_csv("walk.csv", index=False)
    plan = plans.make(beside, lists, SweepConfig(seeds=6), tuned={})
    with run.opened(plan, tmp_path / "s") as directory:
        for _ in run.run(plan, directory):
            pass
        result = api.conclude(plan, directory)
    groups = 1 if key == "layers" else 2
    assert len(result.answers) == groups
    assert all("enough" in sentence for sentence in result.answers)
    for table in (result.trials, result.summary, pd.read_csv(directory.curves)):
        assert table.columns.is_unique
        assert table[grid.column(key)].nunique() == 2
    assert list(result.trials.seed) == [*range(6)] * (2 * groups)
    assert len(list(directory.figures.iterdir())) == 2


@pytest.mark.slow
def test_until_solved_does_not_change_the_verdict(run):
    """A run once stopped when validation crossed the line, and its test loss then missed it."""
    options = ["--layers", "1-2", "--seeds", "5", "--epochs", "20", "--series-length", "8000",
               "--learning-rate", "0.3"]  # fmt: skip
    answers = [
        json.loads(run("sweep", *options, *more, "--json").stdout)["answer"]
        for more in ([], ["--until-solved"])
    ]
    first, second = (text.split(",")[0].split(";")[0] for text in answers)
    assert first == second


@pytest.mark.slow
def test_losses_far_above_chance_are_called_so_in_train_and_sweep(run, tmp_path):
    wild = [*COMMAND[5:], "--optimizer", "sgd", "--learning-rate", "1e30"]
    result = run("train", "--layers", "1", *wild, "--out", "r")
    assert "seed 0 ends worse than chance: a uniform guess has a loss of 0.693" in result.stderr
    assert json.loads((tmp_path / "r" / "run.json").read_text())["worse_than_chance"] == [0]
    answer = json.loads(run(*COMMAND[:5], *wild, "--out", "s", "--json").stdout)["answer"]
    assert "ended worse than chance" in answer
    assert set(pd.read_csv(tmp_path / "s" / "trials.csv").status) == {"worse than chance"}


def test_a_plan_can_be_had_as_json(run):
    plan = json.loads(run(*COMMAND, "--dry-run", "--json").stdout)
    assert (plan["trials"], plan["to_run"]) == (4, 4)
    assert [row["parameters"] for row in plan["settings"]] == [106, 250]
