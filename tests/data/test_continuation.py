"""A part of a recording follows on what precedes it: held against one pass in NumPy.

The pass is that of `reference.py`, in double precision, over one row from the first step of the
file to the last, with inputs that are made here from the file's text.
"""

import json
import math
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

import lstmcli
from lstmcli import api
from lstmcli.config import DataConfig
from lstmcli.data.batching import continuation, overlapping
from lstmcli.data.readers import read_parts
from lstmcli.training import checkpoint as checkpoints
from reference import autoregression, forward

STEPS = 900
CUTS = 720, 810
"""Where validation and test begin."""
SETTINGS = {
    "layers": 1,
    "state_size": 12,
    "epochs": 3,
    "batch_size": 4,
    "bptt": 16,
    "optimizer": "adam",
    "learning_rate": 0.02,
}


def temperatures(steps):
    """Hours of some days: a daily and a yearly cycle, and what is left to chance."""
    hours, rng = np.arange(steps), np.random.default_rng(0)
    drift = np.convolve(rng.normal(size=steps + 23), np.ones(24) / 8, "valid")
    day, year = (np.sin(2 * np.pi * hours / period) for period in (24, 8766))
    return pd.DataFrame(
        {
            "temp": np.round(12 + 5 * day - 9 * year + drift, 2),
            "wind": np.round(rng.gamma(2, 2, steps), 2),
        }
    )


def of_numbers(horizon):
    def make(folder):
        table = temperatures(STEPS)
        table.to_csv(folder / "data.csv", index=False)
        given = {"data": str(folder / "data.csv"), "target": "temp", "horizon": horizon or None}
        names = ["temp", "wind"] if horizon else ["wind"]
        training = table.iloc[: CUTS[0]]
        inputs = (table[names] - training[names].mean()) / training[names].std(ddof=0)
        targets = np.full(STEPS, np.nan)
        targets[: STEPS - horizon] = table.temp.to_numpy()[horizon:]
        return given, inputs.to_numpy(), targets, CUTS

    return make


def of_classes(folder):
    table = temperatures(STEPS)
    change = table.temp.diff(6).fillna(0)
    table["next"] = np.where(change > 1, "up", np.where(change < -1, "down", "flat"))
    table.to_csv(folder / "data.csv", index=False)
    given = {"data": str(folder / "data.csv"), "target": "next", "inputs": "temp,wind"}
    training = table.iloc[: CUTS[0]][["temp", "wind"]]
    inputs = (table[["temp", "wind"]] - training.mean()) / training.std(ddof=0)
    return given, inputs.to_numpy(), table.next.map({"down": 0, "flat": 1, "up": 2}), CUTS


def of_text(folder):
    rng, words = np.random.default_rng(0), ["the ", "cat ", "sat ", "on ", "a ", "mat. "]
    text = "".join(words[int(i)] for i in rng.integers(0, 6, 400))[: STEPS + 1]
    (folder / "data.txt").write_text(text)
    characters = sorted(set(text))
    codes = np.array([characters.index(each) for each in text])
    # A part of n characters has n - 1 steps: what its first one is, nobody is asked.
    cuts = round(0.8 * len(text)), len(text) - round(0.1 * len(text))
    targets = codes[1:].astype(float)
    targets[[cuts[0] - 1, cuts[1] - 1]] = np.nan
    given = {"data": str(folder / "data.txt")}
    return given, np.eye(len(characters))[codes[:-1]], targets, cuts


KINDS = {
    "the same step": of_numbers(0),
    "one step ahead": of_numbers(1),
    "a day ahead": of_numbers(24),
    "classes": of_classes,
    "text": of_text,
}


def kinds():
    """A horizon and a text; the other kinds are slow."""
    for kind in KINDS:
        marks = () if kind in ("one step ahead", "text") else pytest.mark.slow
        yield pytest.param(kind, marks=marks)


@pytest.fixture(scope="module", params=kinds())
def trained(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("continuation")
    given, inputs, targets, cuts = KINDS[request.param](folder)
    run = lstmcli.train(out=folder / "run", **given, **SETTINGS)
    targets = np.asarray(targets, float)
    last = np.roll(targets, given.get("horizon") or 0)  # The parts begin later than a horizon.
    return SimpleNamespace(run=run, inputs=inputs, targets=targets, last=last, cuts=cuts)


def one_pass(path, inputs):
    """The outputs of a checkpoint's network at each step of a file, in one row: `[steps, C]`."""
    model = checkpoints.read(Path(path))
    weights = {name: array[0].astype(float) for name, array in model.tensors.items()}
    size, layers = model.config.model.state_size, model.config.model.layers
    state = np.zeros((layers, 2, 1, size))
    return forward(weights, state, inputs[:, None], layers)[0][:, 0], model


def figures(outputs, trained, model, begin, end):
    """Loss, and RMSE and MAE for numbers, over the steps of a part whose target is known."""
    part = slice(begin, end)
    known = ~np.isnan(trained.targets[part])
    outputs, targets = outputs[part][known], trained.targets[part][known]
    if model.schema.classes:
        largest = outputs.max(1)
        log_sum = np.log(np.exp(outputs - largest[:, None]).sum(1)) + largest
        return {"loss": (log_sum - outputs[np.arange(len(outputs)), targets.astype(int)]).mean()}
    [column] = model.schema.target
    base = {"level": np.full(len(trained.last), column.mean), "change": trained.last}
    if model.schema.autoregression is not None:
        last = column.standardised(trained.last)[:, None]
        linear = autoregression(model.schema.autoregression, trained.inputs, last)
        base["residual"] = column.in_units(linear[:, 0])
    base = base[model.schema.predicts][part][known]
    errors = outputs[:, 0] * column.scale + base - targets
    rmse = math.sqrt(np.mean(errors**2))
    loss = (rmse / column.scale) ** 2
    return {"loss": loss, "rmse": rmse, "mae": np.abs(errors).mean()}


def test_eval_is_one_pass_through_the_file(trained):
    outputs, model = one_pass(
        trained.run.directory / "checkpoints/best.safetensors", trained.inputs
    )
    expected = figures(outputs, trained, model, trained.cuts[1], None)
    [score] = api.evaluate(trained.run).scores
    assert score.labels == (~np.isnan(trained.targets[trained.cuts[1] :])).sum()
    for name, value in expected.items():
        assert getattr(score, name) == pytest.approx(value, rel=1e-5), name


def test_validation_in_rows_with_a_warm_up_is_within_a_thousandth_of_one_pass(trained, capsys):
    outputs, model = one_pass(
        trained.run.directory / "checkpoints/last.safetensors", trained.inputs
    )
    expected = figures(outputs, trained, model, *trained.cuts)["loss"]
    found = trained.run.metrics.val_loss.iloc[-1]
    print(f"validation {found:.7g}, one pass {expected:.7g}: {abs(found / expected - 1):.2g}")
    assert found == pytest.approx(expected, rel=1e-3)


def test_without_a_validation_part_the_last_checkpoint_is_the_best(run):
    temperatures(200).to_csv("t.csv", index=False)
    options = ["--data", "t.csv", "--target", "temp", "--epochs", 2, "--bptt", 10, "--layers", 1]
    shares = ["--val-fraction", 0, "--test-fraction", 0]
    said = run("train", *options, *shares, "--out", "all").stderr
    assert "no part is held out for validation" in said
    assert pd.read_csv("all/metrics.csv").val_loss.isna().all()
    last, best = (
        checkpoints.read(Path(f"all/checkpoints/{k}.safetensors")) for k in ("last", "best")
    )
    assert best.epochs == [2]
    assert all((last.tensors[name] == array).all() for name, array in best.tensors.items())
    assert "there is no test part" in run("eval", "all", exit_code=2).stderr
    assert (
        json.loads(run("eval", "all", "--data", "t.csv", "--json").stdout)["results"][0]["labels"]
        == 200
    )


@pytest.mark.parametrize("kind", ["table", "text"])
def test_parts_in_files_of_their_own_that_continue_are_read_as_those_of_one_file(kind):
    if kind == "table":
        whole, ending = temperatures(400).to_csv(index=False).splitlines(keepends=True), "csv"
        head, whole, options = whole[0], whole[1:], {"target": "temp"}
    else:
        whole, head, ending, options = "".join(map(str, range(300))), "", "txt", {}
    cuts = [0, *(round(share * len(whole)) for share in (0.8, 0.9, 1))]
    names = ["data", "val_data", "test_data"]
    for name, begin, end in zip(names, cuts, cuts[1:], strict=False):
        Path(f"{name}.{ending}").write_text(head + "".join(whole[begin:end]))
    Path(f"one.{ending}").write_text(head + "".join(whole))
    apart = {name: f"{name}.{ending}" for name in names}
    one, _ = read_parts(DataConfig(data=f"one.{ending}", **options))
    several, _ = read_parts(DataConfig(**apart, continues=True, **options))
    for part, wanted in zip(several[1:], one[1:], strict=True):
        before, expected = (
            each.recording.cut(slice(0, each.offset + len(each))) for each in (part, wanted)
        )
        assert (part.offset, len(part)) == (wanted.offset, len(wanted))
        for name in ("numbers", "symbols", "targets"):
            np.testing.assert_array_equal(getattr(before, name), getattr(expected, name))


@pytest.mark.slow
def test_a_file_that_continues_the_training_data_is_scored_as_the_end_of_one_file(run):
    """The same steps in one file or in two; without the option the second begins from nothing."""
    table = temperatures(400)
    table.to_csv("t.csv", index=False)
    table[:320].to_csv("a.csv", index=False)
    table[320:360].to_csv("b.csv", index=False)
    table[360:].to_csv("c.csv", index=False)
    options = ["--target", "temp", "--epochs", 1, "--bptt", 10, "--batch-size", 4, "--layers", 1]
    files = ["--data", "a.csv", "--val-data", "b.csv", "--test-data", "c.csv"]
    run("train", "--data", "t.csv", *options, "--out", "one")
    run("train", *files, "--continues", *options, "--out", "two")
    run("train", *files, *options, "--out", "blind")
    losses = [pd.read_csv(f"{name}/metrics.csv").val_loss[0] for name in ("one", "two", "blind")]
    assert losses[1] == pytest.approx(losses[0], rel=1e-6)
    assert losses[2] != pytest.approx(losses[0], rel=1e-4)
    found = [json.loads(run("eval", name, "--json").stdout) for name in ("one", "two", "blind")]
    one, two, blind = (each["results"][0] for each in found)
    assert two["loss"] == pytest.approx(one["loss"], rel=1e-6)
    assert blind["loss"] != pytest.approx(one["loss"], rel=1e-4)
    assert one["labels"] == blind["labels"] == 40
    assert found[1]["data"].endswith("c.csv")
    table[320:].to_csv("d.csv", index=False)
    given = json.loads(run("eval", "two", "--data", "d.csv", "--continues", "--json").stdout)
    both = given["results"][0]["loss"]
    assert both == pytest.approx((losses[1] + two["loss"]) / 2, rel=1e-4)


def test_parts_are_different_files(run):
    Path("a.txt").write_text("to be or not to be. " * 40)
    Path("copy.txt").write_text("to be or not to be. " * 40)
    for part in (["--val-data", "a.txt"], ["--test-data", "copy.txt"]):
        said = run("train", "--data", "a.txt", *part, exit_code=2).stderr
        assert "are the same file: parts must not share steps" in said


@pytest.mark.parametrize(("steps", "rows", "bptt"), [(959, 32, 5), (130, 2, 64), (77, 1, 8)])
def test_training_reads_every_label(steps, rows, bptt):
    """Each epoch; a single row leaves one end out, and the other one in the next epoch."""
    read = [set(overlapping(steps, rows, bptt, turn).places(0, 99).ravel()) for turn in (0, 1)]
    assert read[0] | read[1] >= set(range(steps))
    assert rows == 1 or read[0] >= set(range(steps))


@pytest.mark.parametrize("rows", [1, 3, 32])
@pytest.mark.parametrize("part", [slice(0, 7), slice(90, 300), slice(1000, 1900)])
def test_each_step_of_a_part_is_scored_once_after_its_warm_up(part, rows):
    cut = continuation(part, rows, 16, 256)
    places = cut.places(0, cut.windows)
    assert sorted(places[cut.scored(places)]) == list(range(part.start, part.stop))
    for row in places:
        there = row[row >= 0]
        assert (np.diff(there) == 1).all()
        scored = there[there >= cut.counted[list(cut.begins).index(there[0])]] if len(there) else []
        if len(scored):
            assert scored[0] - there[0] >= min(256, scored[0])
