"""What is said of data in its own language: names, units, characters, and what is no better."""

import io
import json
from collections import Counter
from contextlib import redirect_stdout
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from lstmcli.cli.eval import print_scores
from lstmcli.cli.progress import TrainingView
from lstmcli.core import numpy_lstm
from lstmcli.data.schema import Categorical, Numeric, Schema, plain
from lstmcli.reporting import formatting, text_table
from lstmcli.training import checkpoint
from lstmcli.training import load as loading
from lstmcli.training.metrics import EpochRow
from lstmcli.utils.terminal import escape_unprintable

QUICK = ("--layers", 1, "--epochs", 1, "--progress", "plain")
SCHEMA = Schema(
    "table",
    (Numeric("temp", 20, 5),),
    (Categorical("step", 2, ("low", "high")),),
    Categorical("weather", 3, ("calm", "storm\x1b[31m", " ")),
)


def load(directory):
    return checkpoint.read(loading.find_checkpoint(directory))


@pytest.fixture(scope="module")
def text(run, tmp_path_factory):
    """A run on a text of 2,000 characters with an escape sequence, and what `train` said."""
    directory = tmp_path_factory.mktemp("text")
    words = np.random.default_rng(0).choice(["the cat\n", "a \x1b[1mdog ", "thé "], 1000)
    file = directory / "w.txt"
    file.write_text("".join(words)[:2000])
    out = directory / "run"
    said = run(
        "train", "--data", file, *QUICK, "--batch-size", 4, "--bptt", 8, "--out", out,
    )  # fmt: skip
    return SimpleNamespace(run=out, file=file, said=said)


@pytest.fixture(scope="module")
def weather(run, tmp_path_factory):
    """A run of two seeds on sequences with a class at the end of each."""
    directory = tmp_path_factory.mktemp("weather")
    rng = np.random.default_rng(1)
    lengths = rng.integers(3, 10, 60)
    steps, ends = lengths.sum(), lengths.cumsum() - 1
    starts, scored = np.zeros(steps, bool), np.zeros(steps, bool)
    starts[ends - lengths + 1], scored[ends] = True, True
    arrays = {
        "numbers": rng.normal(size=(steps, 1)).astype(np.float32),
        "symbols": rng.integers(0, 2, (steps, 1)).astype(np.uint8),
        "targets": np.where(scored, rng.integers(0, 3, steps), 0).astype(np.int32),
        "scored": scored,
        "starts": starts,
    }
    file = directory / "weather.npz"
    np.savez(file, **arrays, metadata=np.array(json.dumps({"schema": SCHEMA.to_dict()})))
    out = directory / "run"
    said = run("train", "--data", file, *QUICK, "--replicas", 2, "--out", out)
    return SimpleNamespace(run=out, file=file, lengths=lengths, said=said, **arrays)


@pytest.fixture(scope="module")
def load_of_a_grid(run, tmp_path_factory):
    """A run on one long recording of numbers, around 500 and in steps of about 40."""
    directory = tmp_path_factory.mktemp("grid")
    rng = np.random.default_rng(2)
    inputs = rng.normal(size=(2000, 2)).astype(np.float32)
    targets = np.round(500 + 40 * rng.normal(size=2000), 1)
    file = directory / "grid.npz"
    np.savez(file, inputs=inputs, targets=targets)
    out = directory / "run"
    said = run("train", "--data", file, *QUICK, "--out", out)
    return SimpleNamespace(run=out, file=file, inputs=inputs, targets=targets, said=said)


def probabilities(logits):
    exponentials = np.exp(logits - logits.max(1, keepdims=True))
    return exponentials / exponentials.sum(1, keepdims=True)


# --- predictions


def test_predictions_of_a_text_name_its_characters_and_are_those_of_a_forward_pass(run, text):
    found = json.loads(run("eval", text.run, "--json", "--predictions", "p.csv").stdout)
    table = pd.read_csv("p.csv", keep_default_na=False)
    content = text.file.read_text()
    test, known = content[-200:], sorted(set(content[:1600]))
    shown = {each: {"\n": "\\n", "\x1b": "\\x1b"}.get(each, each) for each in known}
    names = [f"probability_{shown[each]}" for each in known]
    assert list(table) == ["step", "row", "character", "label", *names]

    assert table.character.tolist() == [shown[each] for each in test[:-1]]
    assert table.label.tolist() == [shown[each] for each in test[1:]]

    model = load(text.run)
    network = numpy_lstm.network(model.tensors, 0, model.schema.spec(False, False))
    state, expected = numpy_lstm.zero_state(network, 1), []
    for character in content[:-1]:  # All that precedes the part is read before it.
        logits, state = numpy_lstm.step(network, state, np.array([[known.index(character)]]))
        expected.append(probabilities(logits)[0])
    np.testing.assert_allclose(table[names], expected[-199:], rtol=1e-3, atol=1e-6)

    chosen = [row[f"probability_{row['label']}"] for _, row in table.iterrows()]
    [result] = found["results"]
    assert result["loss"] == pytest.approx(-np.log(chosen).mean(), rel=1e-6)
    assert 2 ** result["bits_per_character"] == pytest.approx(np.exp(result["loss"]))
    assert result["labels"] == len(table) == 199


def test_predictions_of_sequences_have_each_step_once_with_names_and_units(run, weather):
    options = ["--data", weather.file, "--json", "--predictions", "p.csv"]
    results = json.loads(run("eval", weather.run, *options).stdout)["results"]
    table = pd.read_csv("p.csv", keep_default_na=False)
    classes = ["calm", "storm\\x1b[31m", " "]
    names = [f"probability_{each}" for each in classes]
    columns = ["seed", "sequence", "step", "temp", "input_step", "label", *names]
    assert list(table) == columns

    model = load(weather.run)
    for replica, (seed, own) in enumerate(table.groupby("seed")):
        assert own.sequence.tolist() == np.repeat(np.arange(60), weather.lengths).tolist()
        assert own.step.tolist() == [step for n in weather.lengths for step in range(n)]
        np.testing.assert_allclose(own.temp, 20 + 5 * weather.numbers[:, 0], atol=1e-5)
        assert own.input_step.tolist() == [["low", "high"][s] for s in weather.symbols[:, 0]]
        labels = [classes[t] for t in weather.targets]
        expected = [n if s else "" for n, s in zip(labels, weather.scored, strict=True)]
        assert own.label.tolist() == expected

        network = numpy_lstm.network(model.tensors, replica, SCHEMA.spec(True, True))
        given = []
        for step, start in enumerate(weather.starts):
            state = numpy_lstm.zero_state(network, 1) if start else state  # noqa: F821
            place = slice(step, step + 1)
            logits, state = numpy_lstm.step(
                network, state, weather.symbols[place], weather.numbers[place]
            )
            given.append(probabilities(logits)[0])
        np.testing.assert_allclose(own[names], given, rtol=1e-3, atol=1e-6)
        last = np.array(given)[weather.scored, weather.targets[weather.scored]]
        assert results[seed]["loss"] == pytest.approx(-np.log(last).mean(), rel=1e-4)
        assert results[seed]["labels"] == 60


def test_predictions_of_numbers_are_in_their_own_units_and_give_rmse_and_mae(run, load_of_a_grid):
    found = json.loads(run("eval", load_of_a_grid.run, "--json", "--predictions", "p.csv").stdout)
    table = pd.read_csv("p.csv")
    assert list(table) == ["step", "row", "input_0", "input_1", "target", "predicted"]
    used = found["results"][0]["labels"]
    assert len(table) == used > 100
    rows = table.row.max() + 1
    expected = load_of_a_grid.targets[-200:][: 200 // rows * rows].reshape(rows, -1)
    expected = expected[:, : used // rows].ravel()
    assert table.target.tolist() == expected.tolist()  # 500.2, and not 500.200012.

    [result] = found["results"]
    errors = table.predicted - table.target
    assert result["rmse"] == pytest.approx(np.sqrt((errors**2).mean()), rel=1e-4)
    assert result["mae"] == pytest.approx(errors.abs().mean(), rel=1e-4)
    assert result["accuracy"] is None
    deviation = load_of_a_grid.targets[:1600].std()
    assert result["rmse"] / np.sqrt(result["loss"]) == pytest.approx(deviation, rel=1e-5)


def test_predictions_replace_predictions_of_sequences_and_no_table_that_begins_like_them(
    run, weather
):
    run("eval", weather.run, "--predictions", "p.csv")
    run("eval", weather.run, "--predictions", "p.csv", "--overwrite")
    Path("mine.csv").write_text("sequence,step,load\n0,0,1\n")
    run("eval", weather.run, "--predictions", "mine.csv", "--overwrite", exit_code=2)
    assert Path("mine.csv").read_text() == "sequence,step,load\n0,0,1\n"


# --- what eval prints


def row_of(text, name):
    """The cells of a printed table's row."""
    [*_, line] = [line for line in text.splitlines() if line.startswith(name)]
    return line.removeprefix(name).split()


def test_eval_of_a_text_gives_bits_and_perplexity_beside_its_baselines(run, text):
    said = run("eval", text.run).stdout
    found = json.loads(run("eval", text.run, "--json").stdout)
    loss, bits, perplexity, accuracy, count = map(float, row_of(said, "seed 0 "))
    assert loss == pytest.approx(found["results"][0]["loss"], abs=1e-6)
    assert perplexity == pytest.approx(2**bits, rel=1e-3)
    assert (accuracy, count) == (pytest.approx(found["results"][0]["accuracy"], abs=1e-5), 199)

    content = text.file.read_text()
    training = Counter(content[1:1600])
    total = sum(training.values()) + len(training)
    expected = -np.mean([np.log((training[each] + 1) / total) for each in content[-199:]])
    assert float(row_of(said, "character frequencies")[0]) == pytest.approx(expected, abs=1e-6)
    assert [each["name"] for each in found["references"]] == [
        "character frequencies",
        "bigrams",
        "5-grams",
    ]
    assert found["references"][0]["loss"] == pytest.approx(expected)

    assert "seed 0 does not beat `5-grams`" in said
    assert "\x1b" not in said


def test_eval_of_labels_at_the_ends_counts_sequences_and_names_the_classes(run, weather):
    said = run("eval", weather.run, "--data", weather.file).stdout
    assert "target: weather, one of 3 classes" in said
    assert row_of(said, "seed 1 ")[-1] == "60"
    assert "sequences\n" in said
    before, *tables = said.split("confusion matrix (labels: rows true, columns predicted):\n")
    losses = [float(row_of(said, f"seed {seed} ")[0]) for seed in (0, 1)]
    assert before.endswith(f"seed {np.argmin(losses)}, of the lowest loss: ")
    assert len(tables) == 1
    for table in tables:
        heading, *lines = table.splitlines()[:4]
        assert heading.split() == ["label", "calm", "storm\\x1b[31m", "'", "'"]
        counts = [sum(int(n) for n in line.rsplit(maxsplit=3)[1:]) for line in lines]
        of_each = np.bincount(weather.targets[weather.scored], minlength=3)
        assert counts == of_each.tolist()
        assert [line.rsplit(maxsplit=3)[0].strip() for line in lines] == [
            "calm",
            "storm\\x1b[31m",
            "' '",
        ]
    assert "\x1b" not in said


def test_eval_of_numbers_gives_references_as_rmse_in_units(run, load_of_a_grid):
    said = run("eval", load_of_a_grid.run, "--predictions", "p.csv").stdout
    predictions = pd.read_csv("p.csv")
    mean = load_of_a_grid.targets[:1600].mean()
    expected = np.sqrt(((predictions.target - mean) ** 2).mean())
    _, rmse, mae, count = row_of(said, "mean ")
    assert (float(rmse), count) == (pytest.approx(expected, rel=1e-5), "-")
    assert float(mae) == pytest.approx((predictions.target - mean).abs().mean(), rel=1e-4)
    assert float(row_of(said, "seed 0 ")[1]) == pytest.approx(
        np.sqrt(((predictions.predicted - predictions.target) ** 2).mean()), rel=1e-4
    )


def test_of_sixty_classes_the_ten_most_confused_pairs_are_named_and_cut_to_a_width():
    confusion = np.diag(np.full(60, 100))
    confusion[7, 8], confusion[9, 1] = 30, 300
    names = [f"{number}-{'x' * 50}" for number in range(60)]
    schema = Schema("table", (), (), Categorical("animal", 60, tuple(names)))
    score = SimpleNamespace(
        seed=0, schema=schema, floor=None, loss=2.0, accuracy=0.5, mae=None, labels=6330,
        target=schema.target_kind, confusion=confusion,
        windows=SimpleNamespace(series=SimpleNamespace(has_sequences=False, scored=None)),
    )  # fmt: skip
    with redirect_stdout(io.StringIO()) as said:
        print_scores([score], [])
    *_, heading, first, second = said.getvalue().splitlines()
    assert heading.split() == ["true", "predicted", "count", "share"]
    assert [each[:2] for each in first.split()] == ["9-", "1-", "30", "75"]
    assert second.split()[2:] == ["30", "23.1%"]
    assert max(map(len, said.getvalue().splitlines())) <= 100


def test_eval_and_train_show_several_seeds_as_a_table_with_their_median(run, weather):
    found = json.loads(run("eval", weather.run, "--data", weather.file, "--json").stdout)["results"]
    said = run("eval", weather.run, "--data", weather.file).stdout
    middle = np.median([each["loss"] for each in found])
    assert float(row_of(said, "median ")[0]) == pytest.approx(middle, abs=1e-6)
    assert (
        said.splitlines()[0]
        .split(" the best baseline: median loss ")[1]
        .startswith(f"{middle:.6f} against ")
    )
    rows = pd.read_csv(weather.run / "metrics.csv").groupby("seed").last()
    losses = [float(cell) for cell in row_of(weather.said.stdout, "median ")[:2]]
    assert losses == pytest.approx(rows[["loss", "val_loss"]].median().tolist(), abs=1e-6)


def test_each_loss_stands_beside_the_bayes_loss_of_its_own_part():
    """0.004 of the training part; in validation the best predictor loses 0.5 - 0.47 = 0.03."""
    row = {"loss": 0.4, "accuracy": None, "val_loss": 0.5, "bayes_loss": 0.004, "val_gap": 0.47}
    assert formatting.outcome(plain(1, 2), row) == (
        "training loss 0.4 (Bayes loss 0.004), validation loss 0.5 (Bayes loss 0.03)"
    )


def test_inspect_shows_the_numbers_of_a_state_only_where_they_are_asked_for(run, weather):
    said = run("inspect", weather.run).stdout
    assert said.splitlines()[0].startswith("model: ")
    assert "seed 1, layer 0, c:" not in said
    assert "seed 1, layer 0, c:" in run("inspect", weather.run, "--state").stdout


# --- train


def test_train_ends_with_what_the_validation_costs_without_a_network_and_warns(text):
    said, warned = text.said.stdout, text.said.stderr
    assert "baseline: character frequencies " in said
    [line] = [line for line in said.splitlines() if line.startswith("seed 0")]
    nats, bits = line.split("loss ")[1].split(", ")[0].split(" (")
    assert float(bits.removesuffix(" bits/char)")) == pytest.approx(float(nats) / np.log(2), 0.01)
    assert "warning: seed 0 does not beat the baseline `5-grams`" in warned
    assert "acc 0." in warned


def test_train_on_numbers_shows_the_error_in_units_and_no_accuracy(load_of_a_grid):
    said, progress = load_of_a_grid.said.stdout, load_of_a_grid.said.stderr
    deviation = load_of_a_grid.targets[:1600].std()
    provenance = json.loads((load_of_a_grid.run / "run.json").read_text())
    assert provenance["target"] == ["target"]
    training = load(load_of_a_grid.run).config.training
    assert (provenance["classes"], provenance["rows"]) == (None, training.rows)
    assert provenance["steps"] == training.steps
    val_loss = pd.read_csv(load_of_a_grid.run / "metrics.csv").val_loss.iloc[-1]
    expected = np.sqrt(val_loss) * deviation
    [line] = [line for line in progress.splitlines() if line.startswith("epoch 1/1")]
    assert float(line.split("val rmse ")[1].split()[0]) == pytest.approx(expected, rel=1e-3)
    assert "acc" not in line
    assert f"(rmse {expected:.3g})" in said
    assert "baseline: mean " in said


def test_a_seed_that_beats_the_baselines_is_not_warned_of():
    references = [SimpleNamespace(loss=2.0), SimpleNamespace(loss=1.5)]
    assert formatting.best_unbeaten_baseline(1.4, references) is None
    for loss in (1.5, 1.7, float("nan"), None):
        assert formatting.best_unbeaten_baseline(loss, references) is references[1]
    assert formatting.best_unbeaten_baseline(1.4, []) is None


def test_the_progress_of_numbers_without_one_unit_has_no_empty_place(capsys):
    row = EpochRow(1, 9, 0, 1.5, None, 4.0, None, None, 0.1, 1.0, 0.1, 0.1)
    for scale, expected in ((None, "epoch 1/2  loss 1.50000  0.10 s\n"),
                            (3.0, "epoch 1/2  loss 1.50000  val rmse 6  0.10 s\n")):  # fmt: skip
        view = TrainingView("plain", 2, None, scale)
        view.log([row])
        view.close()
        assert capsys.readouterr().err == expected


# --- inspect


def test_inspect_shows_columns_by_name_with_their_values_and_scales(run, weather):
    said = run("inspect", weather.run).stdout
    assert "input: temp, a number (mean 20, scale 5)\n" in said
    assert "input: step, one of 2: low, high\n" in said
    assert "target: weather, one of 3: calm, storm\\x1b[31m, ' '\n" in said
    assert "weather.npz" in said
    assert "the softmax [" in said
    found = json.loads(run("inspect", weather.run, "--json").stdout)
    assert Schema.from_dict(found["schema"]) == SCHEMA


def test_inspect_quotes_the_characters_of_a_text(run, text):
    said = run("inspect", text.run).stdout
    assert r"input: character, one of 15: '\n', '\x1b', ' ', '1', '[' and 10 others" in said


def test_inspect_shows_the_scale_of_a_target_of_numbers_and_its_linear_head(run, load_of_a_grid):
    said = run("inspect", load_of_a_grid.run).stdout
    training = load_of_a_grid.targets[:1600]
    [line] = [line for line in said.splitlines() if line.startswith("target: ")]
    mean, scale = line.removesuffix(")").split("(mean ")[1].split(", scale ")
    assert (float(mean), float(scale)) == pytest.approx((training.mean(), training.std()), 1e-5)
    assert "the linear head [" in said
    assert "softmax" not in said


def test_inspect_names_a_checkpoint_of_the_time_before_schemas(run, text):
    model = load(text.run)
    del model.metadata["schema"]
    model.write(Path("old.safetensors"))
    said = run("inspect", "old.safetensors").stdout
    assert f"target: target, one of {model.metadata['classes']}: 0, 1, 2, 3, 4 and" in said
    assert f"input: and {model.metadata['features'] - 12} others" in said or (
        model.metadata["features"] <= 12
    )


# --- names


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("\x1b[31mred\x07", r"\x1b[31mred\x07"),
        ("a\u202eb\ud800", r"a\u202eb\ud800"),
        ("two\nlines\u2028", r"two\nlines\u2028"),
        ("été 中文 🙂", "été 中文 🙂"),
    ],
)
def test_what_does_not_print_is_escaped_and_all_else_stays(given, shown):
    assert escape_unprintable(given) == shown
    assert shown.encode()


def test_a_name_is_never_nothing_and_never_long(monkeypatch):
    assert formatting.name("") == "''"
    assert formatting.name("a ") == "'a '"
    assert formatting.name("'", quoted=True) == '"\'"'
    assert formatting.name("x" * 100) == "x" * 21 + "..."
    monkeypatch.setattr("sys.stdout", io.TextIOWrapper(io.BytesIO(), "latin-1"))
    assert formatting.name("é€") == r"\xe9\u20ac"


def test_a_table_with_wide_characters_stays_in_line():
    lines = text_table.render_table(
        ["label", "count"], [["中文", "1"], ["abcd", "22"]], None
    ).splitlines()
    assert lines == ["label  count", "中文       1", "abcd      22"]


def test_a_row_whose_loss_is_not_a_number_is_said_without_it():
    row = {"loss": None, "accuracy": None, "val_loss": 0.5, "bayes_loss": None}
    assert formatting.outcome(plain(1, 2), row) == "training loss -, validation loss 0.5"
