"""Sweeps on data of one's own, and of tasks beside echo."""

import itertools
import json
import shutil
import tomllib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from lstmcli import api
from lstmcli.cli.progress import SweepView
from lstmcli.data.datasets import open_source
from lstmcli.data.schema import Categorical, Numeric
from lstmcli.data.target import NumberTarget, TextTarget
from lstmcli.sweeps import conclusion, summary, trial, workers
from lstmcli.sweeps.data_info import NATS, check_unchanged
from lstmcli.sweeps.tables import MetricsTail
from lstmcli.training.metrics import EpochRow, append_metrics
from lstmcli.training.run_dir import RunDirectory
from lstmcli.utils.errors import FileError, UsageError
from sweeping import epochs, in_this_process

FAST = ["--optimizer", "adam", "--learning-rate", "0.02", "--bptt", "6", "--jobs", "1"]
ON_TEXT = ["--layers", "1,2", "--seeds", "2", "--state-size", "6", "--epochs", "2", *FAST]


@pytest.fixture(scope="module", autouse=True)
def without_processes():
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(workers.LocalWorkers, "run", in_this_process)
        yield


def write_text(path, characters="abc", length=1200):
    """Each character follows from the one before, but for one step in five."""
    rng = np.random.default_rng(0)
    steps = np.where(rng.random(length) < 0.8, 1, rng.integers(0, 3, length))
    path.write_text("".join(characters[place] for place in np.cumsum(steps) % 3))


def write_sequences(path, mean=100.0, scale=10.0, sequences=40):
    """The target of a sequence, at its last step, is what it begins with; in units of its own."""
    rng, length = np.random.default_rng(0), 4
    numbers = rng.normal(size=(sequences * length, 2)).astype(np.float32)
    first, last = (np.arange(sequences * length) % length == at for at in (0, length - 1))
    targets = np.zeros((sequences * length, 1), np.float32)
    targets[last, 0] = mean + scale * numbers[first, 0]
    np.savez(path, numbers=numbers, targets=targets, scored=last, starts=first)


@pytest.fixture(scope="module")
def on_text(tmp_path_factory, run):
    """The folder of a text and of a sweep on it, and its JSON. Not to be written to."""
    folder = tmp_path_factory.mktemp("on_text")
    write_text(folder / "book.txt")
    done = run("sweep", "--data", folder / "book.txt", *ON_TEXT, "--out", folder / "s", "--json")
    return folder, json.loads(done.stdout)


def test_a_trial_on_a_text_is_what_train_and_eval_give(on_text, run):
    folder, _ = on_text
    model = ["--layers", "2", "--state-size", "6", "--epochs", "2", *FAST[:6], "--seed", "1"]
    run("train", "--data", folder / "book.txt", *model, "--out", "one")
    [expected] = api.evaluate("one").scores
    trials = pd.read_csv(folder / "s" / "trials.csv").set_index(["layers", "seed"])
    row = trials.loc[2, 1]
    assert row.test_loss == pytest.approx(expected.loss, rel=1e-6)
    assert row.test_accuracy == pytest.approx(expected.accuracy, rel=1e-6)
    assert row.chance == pytest.approx(np.log(3))
    assert trials[["solved", "bayes_loss", "gap", "epochs_to_solve"]].isna().all(axis=None)


def test_the_reference_value_is_the_bigram_models_loss_on_the_test_part(on_text):
    """Counted here character by character, with the label frequencies as one observation."""
    folder, _ = on_text
    text = (folder / "book.txt").read_text()
    training, test = text[:960], text[1080:]
    seen, pairs = dict.fromkeys("abc", 1.0), {}
    for before, after in itertools.pairwise(training):
        seen[after] += 1
        pairs[before, after] = pairs.get((before, after), 0) + 1
    losses = []
    for before, after in itertools.pairwise(test):
        all_after = sum(pairs.get((before, each), 0) for each in "abc")
        prior = seen[after] / sum(seen.values())
        losses.append(-np.log((pairs.get((before, after), 0) + prior) / (all_after + 1)))
    trials = pd.read_csv(folder / "s" / "trials.csv")
    assert set(trials.reference) == {"bigrams"}
    assert trials.reference_loss.to_numpy() == pytest.approx(np.full(4, np.mean(losses)))
    summary = pd.read_csv(folder / "s" / "summary.csv")
    assert list(summary)[-2:] == ["reference", "reference_loss"]
    assert {"reference", "reference_loss"} < set(trials)
    assert summary.reference_loss[0] == trials.reference_loss[0]


def test_the_answer_names_the_best_that_needs_no_network(on_text, run):
    folder, _ = on_text
    again = ["sweep", "--data", folder / "book.txt", *ON_TEXT, "--out", folder / "s"]
    lines = run(*again).stdout.splitlines()
    loss = pd.read_csv(folder / "s" / "trials.csv").reference_loss[0]
    assert {path.name for path in (folder / "s" / "figures").iterdir()} == {
        "depth.png",
        "curves.png",
    }
    told = " ".join(line.strip() for line in lines)
    assert f"igrams: {loss / np.log(2):.3g} bits" in told


@pytest.mark.slow
def test_a_moved_file_finds_its_sweep_again_and_a_run_of_it_finds_the_file(on_text, run, tmp_path):
    folder, told = on_text
    shutil.copytree(folder / "s", tmp_path / "else" / "s")
    shutil.copy(folder / "book.txt", tmp_path / "moved.txt")
    again = ["sweep", "--data", "moved.txt", *ON_TEXT, "--out", "else/s"]
    assert "4 trials, 0 to run" in run(*again, "--dry-run").stdout
    assert json.loads(run(*again, "--json").stdout)["summary"] == told["summary"]
    saved = tomllib.loads(Path("else/s/sweep.toml").read_text())
    assert saved["files"] == {"data": "../../moved.txt"}
    run(*again[:3], "--layers", "3", *ON_TEXT[2:], "--out", "else/s")
    assert len(pd.read_csv("else/s/trials.csv")) == 6
    assert len(api.evaluate("else/s/trials/3x6-seeds-0-1").scores) == 2


def test_a_changed_file_is_another_sweep_and_refused_with_words(on_text, run, tmp_path):
    folder, _ = on_text
    changed = tmp_path / "book.txt"
    changed.write_text((folder / "book.txt").read_text()[:-1] + "a")
    result = run("sweep", "--data", changed, *ON_TEXT, "--out", folder / "s", exit_code=2)
    assert "the content of `--data` has changed: SHA-256" in result.stderr
    write_text(changed, "xyz")  # The same numbers under other names.
    run("sweep", "--data", changed, *ON_TEXT, "--out", folder / "s", exit_code=2)
    result = run("sweep", "--layers", "1", "--out", folder / "s", exit_code=2)
    assert "`--data` a file there, not set here" in result.stderr


def test_a_file_that_changes_while_a_sweep_runs_is_not_trained_on(tmp_path):
    write_text(Path("book.txt"))
    plan = api.plan_of({"learning_rate": 0.003, "data": "book.txt", "layers": 1, "seeds": 2})
    write_text(Path("book.txt"), length=1300)
    with pytest.raises(FileError, match="has changed since the sweep began"):
        check_unchanged(open_source(plan.base), plan.settings[0].material.digest)
    rows = workers.attempt(plan.settings[0], tmp_path / "r")
    assert "has changed since the sweep began" in rows[0]["error"]


def test_workers_find_a_file_wherever_they_stand(tmp_path, monkeypatch):
    write_text(Path("book.txt"))
    plan = api.plan_of(
        {
            "learning_rate": 0.003,
            "data": Path("book.txt"),
            "layers": 1,
            "epochs": 1,
            "seeds": 1,
            "bptt": 5,
        }
    )
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    [row] = trial.run(plan.settings[0], tmp_path / "r")
    assert row["status"] == "completed"
    assert tomllib.loads((tmp_path / "r" / "config.toml").read_text())["data"]["data"] == (
        "../book.txt"
    )


@pytest.fixture(scope="module")
def on_sequences(tmp_path_factory, run):
    """The JSON and the trials of a sweep on sequences with a number to predict."""
    folder = tmp_path_factory.mktemp("on_sequences")
    write_sequences(folder / "data.npz")
    options = [
        "--layers",
        "1,2",
        "--state-size",
        "4",
        "--seeds",
        "5",
        "--epochs",
        "40",
        *FAST[:4],
        "--bptt",
        "4",
    ]
    more = ["--patience", "3", "--margin", "0.2", "--out", folder / "s", "--json"]
    told = json.loads(run("sweep", "--data", folder / "data.npz", *options, *more).stdout)
    return folder, told, pd.read_csv(folder / "s" / "trials.csv")


def test_numbers_are_tested_in_squared_error_beside_the_mean(on_sequences):
    folder, told, trials = on_sequences
    with np.load(folder / "data.npz") as file:
        answers = file["targets"][file["scored"], 0].astype(float)
    assert set(trials.reference) == {"linear autoregression"}  # It is linear, and found to be.
    assert (trials.chance == 1).all()
    assert trials.test_accuracy.isna().all()
    assert 0 <= trials.reference_loss[0] < 1e-3
    assert "in squared error" in told["answer"]
    assert "nats" not in told["answer"]
    row = min(told["summary"], key=lambda each: each["mean"])
    if f"{row['iqm']:.3g} in squared error" in told["answer"]:
        rmse = float(told["answer"].split("(RMSE ")[1].split(" ")[0])
        assert rmse == pytest.approx(np.sqrt(row["iqm"]) * answers.std(), rel=0.15)


def test_a_seed_that_waits_long_enough_stops_while_others_go_on(on_sequences):
    folder, _, trials = on_sequences
    for _, row in trials.iterrows():
        curves = pd.read_csv(folder / "s" / "trials" / f"{row.layers}x4-seeds-0-4" / "metrics.csv")
        mine = curves[curves.seed == row.seed]
        best = int(mine.epoch[mine.val_loss.idxmin()])
        assert len(mine) == row.epochs == min(40, best + 3)
    assert trials.epochs.nunique() > 1


def test_parameters_are_matched_with_the_features_and_outputs_of_the_data():
    write_sequences(Path("data.npz"))
    plan = api.plan_of(
        {
            "learning_rate": 0.003,
            "data": "data.npz",
            "layers": "1-3",
            "state_size": 8,
            "match": "params",
        }
    )

    def size(layers, units):  # Two inputs, one output.
        return sum(4 * units * ((units if layer else 2) + units + 1) for layer in range(layers)) + (
            units + 1
        )

    for setting in plan.settings:
        model = setting.config.model
        assert setting.parameters == size(model.layers, model.state_size)
        distances = [abs(size(model.layers, units) - size(1, 8)) for units in range(1, 60)]
        assert distances[model.state_size - 1] == min(distances)


def test_a_dataset_is_opened_once_for_a_whole_plan(monkeypatch):
    from lstmcli.data import readers

    write_text(Path("book.txt"))
    opened, read = [], readers.read_parts
    monkeypatch.setattr(
        readers, "read_parts", lambda *given: opened.append(given[0].data) or read(*given)
    )
    plan = api.plan_of({"learning_rate": 0.003, "data": "book.txt", "layers": "1-3", "bptt": "5,9"})
    assert (len(plan.settings), opened) == (6, ["book.txt"])
    rows = {each.config.training.batch_size for each in plan.settings}
    assert rows == {32, 27}  # 32 x 6 windows of 5, 27 x 4 of 9: few of 959 steps are read twice.
    windows = {each.config.training.bptt: each.material.facts.windows for each in plan.settings}
    assert windows == {5: 6, 9: 4}


def test_what_is_about_a_file_has_one_value(run):
    write_text(Path("book.txt"))
    result = run("sweep", "--data", "book.txt", "--val-fraction", "0.1,0.2", exit_code=2)
    assert "`--val-fraction` has one value in a sweep, got '0.1,0.2'" in result.stderr
    plan = api.plan_of(
        {"learning_rate": 0.003, "data": "book.txt", "val_fraction": "0.2", "test_fraction": "0.3"}
    )
    assert (plan.base.data.val_fraction, plan.base.data.test_fraction) == (0.2, 0.3)
    parted = api.plan_of({"learning_rate": 0.003, "data": "book.txt", "val_fraction": 0.3})
    assert parted.name != plan.name


def test_until_solved_without_a_floor_is_refused_before_anything_trains(run, tmp_path):
    write_text(Path("book.txt"))
    result = run("sweep", "--data", "book.txt", "--until-solved", "--out", "s", exit_code=2)
    assert "the Bayes loss is known only for the echo task" in result.stderr
    assert "`book.txt`" in result.stderr
    assert not (tmp_path / "s").exists()


def test_a_sweep_may_begin_with_the_weights_of_one_model_and_knows_them_by_content(run, tmp_path):
    small = ["--series-length", "300", "--epochs", "1", "--state-size", "3", "--bptt", "5"]
    run("train", *small, "--layers", "1", "--out", "one")
    run("train", *small, "--layers", "1", "--replicas", "2", "--out", "two")
    plan = api.plan_of({"learning_rate": 0.3, "layers": 1, "state_size": 3, "init_from": "one"})
    shutil.copytree("one", "moved")
    assert (
        api.plan_of({"learning_rate": 0.3, "layers": 1, "state_size": 3, "init_from": "moved"}).name
        == plan.name
    )
    assert api.plan_of({"learning_rate": 0.3, "layers": 1, "state_size": 3}).name != plan.name
    with pytest.raises(UsageError, match="holds the models of 2 seeds, expected one"):
        api.plan_of({"learning_rate": 0.3, "layers": 1, "state_size": 3, "init_from": "two"})
    with pytest.raises(FileError, match="is another model"):
        api.plan_of({"learning_rate": 0.3, "layers": "1-2", "state_size": 3, "init_from": "one"})


ADDING = {"task": "adding", "sequence_length": 11, "series_length": 600, "learning_rate": 0.3}


def test_a_drawn_task_is_held_against_its_own_baseline(tmp_path):
    plan = api.plan_of({**ADDING, "layers": 1, "epochs": 1, "seeds": 2})
    rows = pd.DataFrame(trial.run(plan.settings[0], tmp_path / "r"))
    assert set(rows.reference) == {"the mean of the target"}
    assert set(rows.reference_loss) == {1.0}
    assert (rows.bayes_loss == 0).all()
    assert rows.gap.to_numpy() == pytest.approx(rows.test_loss.to_numpy())
    assert rows.solved.tolist() == [False, False]
    assert summary.summarize(rows, [], 0.02)[1][0].margin == pytest.approx(0.02)


def test_sequences_of_the_default_length_are_the_same_sweep_as_of_that_length():
    default = api.plan_of({"task": "adding", "series_length": 600, "learning_rate": 0.3})
    assert api.plan_of({**ADDING, "sequence_length": 100}).name == default.name
    assert api.plan_of(ADDING).name != default.name


LOSSES = {1: [2.0, 2.1, 2.2, 2.3, 2.4], 2: [1.0, 1.01, 1.02, 1.03, 1.04]}


def trials_of(losses, reference="bigrams", loss=1.5, chance=4.0):
    rows = [
        {
            "layers": layers, "state_size": 4, "seed": seed, "parameters": 9, "replicas": 5,
            "status": "completed", "solved": None, "epochs_to_solve": None, "test_loss": each,
            "bayes_loss": None, "gap": None, "chance": chance, "epoch_seconds": 1.0,
            "reference": reference, "reference_loss": loss,
        }
        for layers, column in losses.items()
        for seed, each in enumerate(column)
    ]  # fmt: skip
    return pd.DataFrame(rows).astype({"solved": "boolean", "epochs_to_solve": float})


def judged(losses, unit=NATS, margin=0.02, **more):
    _, [verdict] = summary.summarize(trials_of(losses, **more), [], margin)
    return verdict, conclusion.sentence(verdict, unit)


def test_without_a_floor_the_margin_is_a_part_of_what_the_reference_loses():
    verdict, text = judged(
        {**LOSSES, 3: LOSSES[2]}, TextTarget((Categorical("next character", 2),))
    )
    assert verdict.margin == pytest.approx(0.02 * 1.5)
    assert text.startswith(
        "2 layers are enough: the test loss is 1.02 nats (1.47 bits per character), and no other "
        "depth is better by more than the margin of 0.03 nats (2 % of what bigrams lose); "
    )
    assert "1 of 3 depths does not beat bigrams (1.5 nats)" in text
    assert "solve" not in text


def test_numbers_are_told_in_squared_error_and_in_the_targets_units():
    """sqrt(0.0625) is a quarter of a scale of 12."""
    low = [0.0625] * 5
    unit = NumberTarget((Numeric("y", scale=12.0),))
    _, text = judged({1: low, 2: low}, unit, reference="last value", loss=0.3, chance=1.0)
    assert text.startswith(
        "1 layer is enough: the test loss is 0.0625 in squared error (RMSE 3 in the target's "
        "units), and no other depth is better by more than the margin of 0.006 in squared error "
        "(2 % of what the last value loses)"
    )
    assert "nats" not in text


def test_nothing_is_enough_where_nothing_beats_the_reference():
    verdict, text = judged(LOSSES, loss=0.9)
    assert text.startswith(
        "no depth is better than bigrams (0.9 nats) by more than the margin of 0.018 nats (2 % of "
        "what bigrams lose); 2 layers have the lowest loss, with a test loss of 1.02"
    )
    assert not verdict.better_than_a_guess


def test_a_test_part_that_is_harder_than_chance_still_tells_depths_apart():
    """The mean of training loses 3 where the test part has moved: 2.0 and 1.0 are both below."""
    _, text = judged(LOSSES, reference="mean", loss=3.0, chance=1.0)
    assert text.startswith("2 layers are enough")
    assert "1 layer is worse" in text


def test_a_sweep_whose_trials_all_failed_says_so():
    table = trials_of(LOSSES, reference=None, loss=None).astype({"reference_loss": float})
    table[["test_loss", "chance"]] = None
    _, [verdict] = summary.summarize(table.assign(status="failed"), [], 0.01)
    assert conclusion.sentence(verdict).startswith("no trial ended with a loss")


@pytest.mark.parametrize(
    ("solved", "lowest", "shown"), [(None, 1.5, "best 1.5"), (None, np.inf, ""), (2, 1.5, "2/4")]
)
def test_the_lowest_loss_is_shown_where_nobody_can_know_what_is_solved(
    solved, lowest, shown, capsys
):
    with SweepView("plain", [("1x4", 3)]) as view:
        view.setting("1x4", "done", 3, solved, 4, lowest, ended=True)
    assert f"1 of 1  1x4  done  {shown}".rstrip() in capsys.readouterr().err


def test_a_run_that_goes_on_waits_until_it_has_an_epoch_more(tmp_path):
    [setting] = api.plan_of({"layers": 1, "seeds": 1, "learning_rate": 0.3}).settings
    append_metrics(tmp_path / "metrics.csv", epochs(setting, 2))
    (tmp_path / "run.json").write_text("{}")
    watch = MetricsTail(tmp_path, None)
    watch.begin()
    assert (watch.epoch, watch.phase) == (2, "waiting")
    append_metrics(tmp_path / "metrics.csv", epochs(setting, 3)[2:])
    watch.look()
    assert (watch.epoch, watch.phase) == (3, "training")


def test_a_trial_that_is_trained_anew_is_watched_from_its_first_line(tmp_path):
    """What a failed trial has left is deleted by the worker while the sweep looks on."""
    table = RunDirectory(tmp_path).metrics

    def write(*losses):
        table.unlink(missing_ok=True)
        rows = (EpochRow(i, i, 0, 1, 1, loss, 1, None, 0.1, 1, 1, i) for i, loss in losses)
        append_metrics(table, rows)

    watch = MetricsTail(tmp_path, None)
    write((1, 0.5), (2, 0.25), (3, 0.75))
    watch.look()
    assert (watch.epoch, watch.lowest, watch.solved) == (3, 0.25, set())
    write((1, 0.9))
    watch.look()
    assert (watch.epoch, watch.lowest) == (1, 0.9)


def test_a_sweep_takes_its_settings_from_a_runs_file(run, tmp_path):
    write_text(Path("book.txt"))
    (tmp_path / "r").mkdir()
    Path("r/config.toml").write_text('[data]\ndata = "../book.txt"\nval_fraction = 0.2\n')
    told = json.loads(run("sweep", "--config", "r/config.toml", "--dry-run", "--json").stdout)
    plan = api.plan_of({"data": "book.txt", "val_fraction": 0.2})
    assert Path(told["sweep"]).name == plan.name
