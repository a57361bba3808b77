"""A folder or a pattern, such as `books/*.txt`, as data; labels that another table has."""

import math
import shutil
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from lstmcli import api
from lstmcli.config import Config, DataConfig
from lstmcli.data import readers
from lstmcli.data.datasets import open_source
from lstmcli.training import checkpoint
from lstmcli.utils.errors import FileError, UsageError
from reference import forward

WORDS = ["the ", "cat ", "sat ", "on ", "a ", "mat. "]
TINY = ("--layers", 1, "--state-size", 3, "--epochs", 1)


def texts(folder="books", count=3):
    """Writes some texts; returns them in the order of their names."""
    rng = np.random.default_rng(0)
    Path(folder).mkdir()
    found = ["".join(WORDS[int(i)] for i in rng.integers(0, 6, 90)) for _ in range(count)]
    for number, text in enumerate(found):
        Path(folder, f"{number}.txt").write_text(text)
    Path(folder, "about.md").write_text("none of the texts")
    Path(folder, ".hidden.txt").write_text("neither")
    return found


def walks(folder="walks", count=24, name="walk_{}.csv"):
    """Writes sequences of two columns, and their labels beside the folder."""
    rng = np.random.default_rng(1)
    Path(folder).mkdir()
    frames = {}
    for number in range(1, count + 1):
        frames[number] = pd.DataFrame(
            rng.normal(size=(5 + number % 4, 2)).round(2), columns=["x", "y"]
        )
        frames[number].to_csv(Path(folder, name.format(number)), index=False)
    labels = pd.DataFrame(
        {"name": [f"walk_{each}" for each in frames], "went": ["in", "out"] * (count // 2)}
    )
    labels.to_csv("targets.csv", index=False)
    return frames, labels


LABELLED = {"data": "walks", "labels": "targets.csv"}


def read(**options):
    return readers.read_parts(DataConfig(**options))


# --- texts


@pytest.mark.parametrize("name", ["books", "books/*.txt", "books/?.*"])
def test_several_texts_are_one_that_begins_anew_at_each(name):
    each = texts()
    parts, notes = read(data=name)
    whole, length = "".join(each), sum(map(len, each))
    cuts = [0, length - 2 * round(length / 10), length - round(length / 10), length]
    vocabulary = sorted(set(whole[: cuts[1]]))
    begins = np.cumsum([0, *map(len, each)])[:-1]
    for part, begin, end in zip(parts, cuts[:-1], cuts[1:], strict=True):
        given = [vocabulary[code] for code in part.symbols[:, 0]]
        assert "".join(given) == whole[begin : end - 1]
        scored = part.scored
        expected = [place + 1 not in begins for place in range(begin, end - 1)]
        np.testing.assert_array_equal(scored, expected)
        np.testing.assert_array_equal(part.starts, np.isin(np.arange(begin, end - 1), begins))
        assert part.is_recording
    said = f"`{name}` is 3 files, one text after the other: `0.txt`, `1.txt`, `2.txt`"
    assert said in notes


def test_one_text_of_a_folder_is_read_as_that_text_alone():
    texts(count=1)
    alone, one = (read(data=name)[0].training for name in ("books", "books/0.txt"))
    np.testing.assert_array_equal(alone.symbols, one.symbols)
    assert one.starts is None
    assert alone.scored.all()


def test_texts_of_a_part_may_be_several_where_the_main_one_is_a_single():
    texts()
    Path("more").mkdir()
    for name in ("a", "b"):
        Path("more", f"{name}.txt").write_text("the cat sat on a mat. " * 20)
    source = open_source(Config.build(data="books/0.txt", val_data="more"))
    windows = [source.training(0)[0], source.validation()[0], source.test()[0]]
    for each in windows:  # One program serves them all.
        assert each.take(0, 1).keys() == {"symbols", "targets", "scored", "starts"}
    assert windows[1].series.starts.sum() == 2
    assert windows[0].series.starts.sum() == windows[2].series.starts.sum() == 0


@pytest.mark.slow
def test_a_model_of_several_texts_is_scored_as_by_a_pass_that_begins_anew_at_each(run):
    each = texts()
    settings = ("--bptt", 16, "--batch-size", 4, "--optimizer", "adam", "--learning-rate", 0.02)
    shown = run("train", "--data", "books/*.txt", *TINY, *settings, "--out", "run")
    assert "books/*.txt" in shown.output
    model = checkpoint.read(Path("run/checkpoints/best.safetensors"))
    names = list(model.schema.symbols[0].values)
    parameters = {name: tensor[0].astype(float) for name, tensor in model.tensors.items()}
    losses = []
    for text in each:
        codes = np.array([names.index(character) for character in text])
        inputs = np.eye(len(names))[codes[:-1]][:, None]
        logits, _ = forward(parameters, np.zeros((1, 2, 1, 3)), inputs, 1)
        logits -= np.log(np.exp(logits).sum(-1, keepdims=True))
        losses.append(-logits[np.arange(len(codes) - 1), 0, codes[1:]])
    score = api.evaluate("run", "books/*.txt").scores[0]
    assert score.labels == sum(len(text) - 1 for text in each)
    assert math.isclose(score.loss, np.concatenate(losses).mean(), rel_tol=1e-5)
    part = np.concatenate(losses)  # The test part: the last characters, all of the last text.
    held = round(sum(map(len, each)) / 10) - 1
    test = api.evaluate("run").scores[0]
    assert test.labels == held
    assert math.isclose(test.loss, part[-held:].mean(), rel_tol=1e-5)
    # A run knows its files again, wherever it stands, and notices what is not as it was.
    run("train", "--resume", "run", "--epochs", 2)
    Path("books/1.txt").rename("1.txt")
    message = run("train", "--resume", "run", "--epochs", 3, exit_code=4).stderr
    assert "has changed since the run began" in message
    shutil.rmtree("books")
    assert "does not exist" in run("train", "--resume", "run", "--epochs", 3, exit_code=4).stderr


# --- tables


def test_each_file_of_a_folder_is_a_sequence_with_the_label_of_its_name():
    frames, labels = walks()
    parts, notes = read(**LABELLED)
    assert notes[0].startswith("`walks` is 24 files, each a sequence: `walk_1.csv`, `walk_10.csv`")
    went = dict(zip(labels.name, labels.went, strict=True))
    seen = []
    for part in parts:
        bounds = part.bounds()
        for begin, end in pairwise(bounds):
            name = part.labels["file"][begin]
            frame = frames[int(name.split("_")[1])]
            x, y = part.schema.numbers
            np.testing.assert_allclose(x.in_units(part.numbers[begin:end, 0]), frame.x, atol=1e-5)
            np.testing.assert_allclose(y.in_units(part.numbers[begin:end, 1]), frame.y, atol=1e-5)
            np.testing.assert_array_equal(
                part.labels["file_row"][begin:end], np.arange(1, len(frame) + 1)
            )
            assert list(np.flatnonzero(part.scored[begin:end])) == [len(frame) - 1]
            assert part.schema.target.label(part.targets[end - 1]) == went[name]
            seen.append(name)
    assert sorted(seen) == sorted(labels.name)


def test_labels_may_go_by_the_number_of_a_file_and_names_may_stand_behind_a_hash():
    frames, _ = walks(name="RSS_{}.csv")
    for path in Path("walks").iterdir():
        path.write_text("#x, y\n" + path.read_text().partition("\n")[2])
    Path("walks/targets.csv").write_text(
        "#ID, class\n" + "".join(f"{number},{1 - 2 * (number % 2)}\n" for number in frames)
    )
    options = {"labels": "walks/targets.csv", "categorical": "class"}
    parts, notes = read(data="walks/RSS_*.csv", **options)
    beside, _ = read(data="walks", **options)  # The table of the labels is no sequence.
    assert beside.training.checksum() == parts.training.checksum()
    assert (
        "labels of `walks/targets.csv` are found by the numbers in the names of the files" in notes
    )
    assert [column.name for column in parts.training.schema.numbers] == ["x", "y"]
    ends = parts.training.bounds()[1:] - 1
    odd = [int(name[4:]) % 2 for name in parts.training.labels["file"][ends]]
    assert [parts.training.schema.target.label(each) for each in parts.training.targets[ends]] == [
        "-1" if each else "1" for each in odd
    ]


def test_labels_join_the_sequences_of_one_table_too():
    frames, labels = walks()
    one = pd.concat([frame.assign(who=f"walk_{number}") for number, frame in frames.items()])
    one.to_csv("one.csv", index=False)
    labels.rename(columns={"name": "other"}).assign(who=labels.name).to_csv(
        "targets.csv", index=False
    )
    parts, _ = read(data="one.csv", group="who", labels="targets.csv", target="went")
    split, _ = read(**LABELLED | {"labels": "targets.csv", "target": "went", "group": "who"})
    assert sum(map(len, parts)) == sum(map(len, split)) == len(one)
    assert set(parts.test.labels["who"]) <= set(labels.name)
    assert parts.training.scored.sum() == len(parts.training.bounds()) - 1


def test_files_without_a_label_are_not_scored_and_said():
    _, labels = walks()
    labels.iloc[:-2].to_csv("targets.csv", index=False)
    parts, notes = read(**LABELLED)
    assert "`targets.csv` has no label for `walk_23`, `walk_24`: not scored" in notes
    assert sum(part.scored.sum() for part in parts) == 22


def test_files_with_a_target_of_their_own_are_sequences_of_it():
    frames, _ = walks()
    parts, _ = read(data="walks/*.csv", target="y", horizon=1)
    assert sum(len(part.bounds()) - 1 for part in parts) == 24
    assert sum(part.scored.sum() for part in parts) == sum(
        len(each) - 1 for each in frames.values()
    )


@pytest.mark.parametrize(
    ("change", "options", "error", "message"),
    [
        (
            {"walk_3.csv": "x,y,z\n1,2,3\n"},
            {},
            FileError,
            "has a column `z` and `walks/walk_1.csv` has none",
        ),
        (
            {"walk_3.csv": "x,y\n1,2\n3,four\n"},
            {},
            FileError,
            "`walks/walk_3.csv`, line 3, column `y`",
        ),
        ({"walk_3.csv": "x,y\n1\n"}, {}, FileError, "`walks/walk_3.csv`, line 2: expected 2 cells"),
        ({"../targets.csv": "n,went\na,1\na,2\n"}, {}, FileError, "a name that no other row has"),
        ({"../targets.csv": "n,went\na,1\nb,2\n"}, {}, FileError, "such as `walk_1`, got `a`"),
        ({"../targets.csv": "n,a,b\nwalk_1,1,2\n"}, {}, UsageError, "it is not said which column"),
        ({"../targets.csv": "n,y\nwalk_1,1\n"}, {}, UsageError, "have a column `y`"),
        ({}, {"target": "gone"}, UsageError, "`targets.csv` has no column `gone`"),
        ({}, {"horizon": 1}, UsageError, "`--horizon` has no effect with `--labels`"),
        ({}, {"labels": "gone.csv"}, FileError, "cannot read the table `gone.csv`"),
        ({"note.txt": "a text"}, {}, UsageError, "`walks` has both texts and tables"),
        ({}, {"data": "walks/*.parquet"}, FileError, "there is no file `walks/*.parquet`"),
        ({}, {"val_data": "walks/walk_1.csv"}, UsageError, "are the same file"),
    ],
)
def test_files_and_labels_that_do_not_fit_are_refused(change, options, error, message):
    walks()
    for name, content in change.items():
        Path("walks", name).write_text(content)
    with pytest.raises(error) as found:
        read(**LABELLED | options)
    assert message in found.value.message


@pytest.mark.slow
def test_a_model_of_labelled_files_is_scored_on_others(run):
    walks()
    given = [f"--{name}={value}" for name, value in LABELLED.items()]
    run("train", *given, *TINY, "--out", "run")
    run("eval", "run", "--predictions", "p.csv")
    assert set(pd.read_csv("p.csv").columns) >= {"file", "file_row", "probability_in", "label"}
    Path("run").rename("moved")
    Path("later").mkdir()
    shutil.move("walks/walk_1.csv", "later/walk_1.csv")
    shown = run("eval", "moved", "--data", "later", "--labels", "targets.csv").stdout
    lines = shown.splitlines()
    at = next(place for place, line in enumerate(lines) if line.startswith("seed 0  "))
    heading, seed = (line.split() for line in lines[at - 1 : at + 1])
    assert (heading[-1], seed[:2], seed[-1]) == ("sequences", ["seed", "0"], "1")
