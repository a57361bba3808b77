"""Datasets as files: written, read, refused, and replaced only where lstmcli wrote them."""

import hashlib
import io
import json
import re
import shlex
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from typer.testing import CliRunner

from lstmcli.cli.app import app
from lstmcli.config import Config
from lstmcli.data import arrays as array_files
from lstmcli.data.batching import ContiguousWindows
from lstmcli.data.datasets import open_source, series_to_test, unused_classes
from lstmcli.data.schema import plain
from lstmcli.data.tasks import echo
from lstmcli.utils.errors import FileError, UsageError
from series import bare, draw


@st.composite
def datasets(draw):
    steps, features = draw(st.integers(1, 20)), draw(st.integers(1, 3))
    finite = st.floats(width=32, allow_nan=False, allow_infinity=False)
    inputs = draw(npst.arrays(np.float32, (steps, features), elements=finite | st.integers(0, 1)))
    classes = draw(st.integers(2, 6))
    targets = draw(npst.arrays(np.int32, steps, elements=st.integers(0, classes - 1)))
    return bare(inputs, targets, classes)


@pytest.mark.parametrize("ending", ["npz", "csv"])
@given(series=datasets())
def test_a_dataset_comes_back_from_its_file_to_the_bit(ending, tmp_path_factory, series):
    path = tmp_path_factory.getbasetemp() / f"dataset.{ending}"
    array_files.write(path, series, {"origin": "here"})
    found, metadata = array_files.read(path)
    assert found.numbers.tobytes() == series.numbers.tobytes()
    assert found.numbers.shape == series.numbers.shape
    assert found.targets.tolist() == series.targets.tolist()
    assert (found.classes, metadata["origin"]) == (series.classes, "here")


@pytest.mark.parametrize("ending", ["npz", "csv"])
def test_a_datasets_task_comes_back_with_it_and_so_does_its_floor(ending, tmp_path):
    series = draw(series_length=200, classes=3, noise=0.1)
    array_files.write(tmp_path / f"x.{ending}", series, {})
    found, _ = array_files.read(tmp_path / f"x.{ending}")
    layout = ContiguousWindows(200, 5, 15)
    ours, theirs = (echo.bayes_floor(each, layout) for each in (found, series))
    assert (ours.loss, ours.accuracy, ours.chance) == (theirs.loss, theirs.accuracy, theirs.chance)
    np.testing.assert_array_equal(ours.windows, theirs.windows)


def test_npz_holds_the_contracts_arrays(run):
    run("generate", "x.npz", "--series-length", 100)
    run("generate", "y.npz", "--series-length", 100, "--classes", 3)
    with np.load("x.npz") as two, np.load("y.npz") as three:
        assert set(two) == {"inputs", "targets", "metadata"}
        assert (two["inputs"].shape, three["inputs"].shape) == ((100,), (100, 3))
        metadata = json.loads(str(two["metadata"]))
    assert metadata["task"]["name"] == "echo"
    assert {"seed", "sha256", "floor"} <= set(metadata)


def test_csv_holds_the_contracts_columns_and_its_metadata_lie_beside_it(run, tmp_path):
    run("generate", "x.csv", "--series-length", 100)
    run("generate", "y.csv", "--series-length", 100, "--classes", 3)
    assert (tmp_path / "x.csv").read_text().startswith("input,target\n")
    assert (tmp_path / "y.csv").read_text().startswith("input_0,input_1,input_2,target\n")
    assert json.loads((tmp_path / "y.json").read_text())["task"]["classes"] == 3


@pytest.mark.parametrize("name", ["x.npz", "x.csv"])
def test_a_missing_dataset_is_refused_with_the_command_that_makes_one(name, tmp_path):
    with pytest.raises(FileError, match="no dataset") as caught:
        array_files.read(tmp_path / name)
    assert "lstmcli generate" in caught.value.hint


def test_another_ending_is_wrong_usage(tmp_path):
    with pytest.raises(UsageError, match=r"\.npz or \.csv"):
        array_files.read(tmp_path / "x.parquet")


@pytest.mark.parametrize("ending", ["npz", "csv"])
def test_a_file_cut_off_anywhere_is_refused(ending, tmp_path):
    path = tmp_path / f"x.{ending}"
    series = bare(np.float32([[0.25], [1.5], [-3]]), np.int32([0, 1, 1]), 2)
    array_files.write(path, series, {})
    whole = path.read_bytes()
    for length in range(len(whole.rstrip())):
        path.write_bytes(whole[:length])
        with pytest.raises(FileError):
            array_files.read(path)


def test_an_npz_with_any_byte_damaged_is_refused_or_still_the_same(tmp_path):
    path = tmp_path / "x.npz"
    series = draw(series_length=100)
    array_files.write(path, series, {})
    whole = path.read_bytes()
    refused = 0
    for position in range(len(whole)):
        path.write_bytes(whole[:position] + bytes([whole[position] ^ 0x55]) + whole[position + 1 :])
        try:
            found, _ = array_files.read(path)
        except FileError:
            refused += 1
        else:
            assert found.checksum() == series.checksum()
    assert refused > len(whole) / 2


def test_a_csv_that_was_changed_does_not_match_its_checksum(tmp_path):
    path = tmp_path / "x.csv"
    array_files.write(path, draw(series_length=100), {})
    path.write_text(path.read_text().replace("1,0", "1,1", 1))
    with pytest.raises(FileError, match="checksum"):
        array_files.read(path)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("x,y\n1,0\n", "columns"),
        ("input,label\n1,0\n", "columns"),
        ("target,input\n1,0\n", "columns"),
        ("input_0,input_2,target\n1,0,0\n", "columns"),
        ("input,target\n", "no steps"),
        ("", "damaged"),
        ("input,target\n1,0,2\n0,1,2\n", "more cells"),
        ("input,target\n1,-1\n", r"line 2, column `target`: .*from 0 on, got `-1`"),
        ("input,target\n1,0\n1,0.5\n", r"line 3, column `target`: .*whole.*, got `0\.5`"),
        ("input,target\n1,\n0,1\n", "line 2, column `target`: .*, got an empty cell"),
        ("input,target\n1\n0,1\n", "line 2, column `target`: .*, got an empty cell"),
        ("input,target\n1,0\n\n  \n,1\n", "line 5, column `input`: .*, got an empty cell"),
        ("input,target\n1,one\n", "line 2, column `target`: .*, got `one`"),
        ("\ninput,target\n1,0\nhigh,1\n", "line 4, column `input`: .*finite.*, got `high`"),
        ("input_0,input_1,target\n1,1,0\n1,-inf,0\n", "line 3, column `input_1`: .*got `-inf`"),
        ("input,target\nnan,1\n", "line 2, column `input`: .*finite.*, got `nan`"),
        ("input,target\n1e99,1\n", "line 2, column `input`: .*finite.*, got `1e99`"),
        ('input,target\n"1",0\n"x\ny",1\n', "line 4, column `input`"),
        ("input,target\n1,0\n1,3000000000\n", "line 3.* `3000000000` makes 3,000,000,001 classes"),
    ],
)
def test_a_csv_that_is_no_dataset_is_refused_by_what_is_wrong(text, complaint, tmp_path):
    path = tmp_path / "x.csv"
    path.write_text(text)
    with pytest.raises(FileError, match=complaint):
        array_files.read(path)


def npz(path, **arrays):
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    path.write_bytes(buffer.getvalue())


@pytest.mark.parametrize(
    ("arrays", "complaint"),
    [
        ({"inputs": np.zeros(3)}, "targets"),
        ({"inputs": np.zeros(3), "targets": np.zeros(4)}, r"\[3\] and \[4\]"),
        ({"inputs": np.zeros((3, 1, 1)), "targets": np.zeros(3)}, r"\[3, 1, 1\]"),
        ({"inputs": np.zeros(3), "targets": np.int8([0, 1, -1])}, "step 2 .* of `targets`.*`-1`"),
        ({"inputs": np.zeros(3), "targets": np.array(["0", "a", "b"])}, "of `targets`.*got `0`"),
        ({"inputs": np.array(["a"]), "targets": np.zeros(1)}, "step 0 .* of `inputs`: .*got `a`"),
        (
            {"inputs": np.float64([[0, 1], [2, np.inf]]), "targets": np.zeros(2)},
            "step 1 .* of `inputs`, column 1: .*finite.*got `inf`",
        ),
        ({"inputs": np.zeros(1), "targets": np.zeros(1), "metadata": np.array("{")}, "damaged"),
        ({"inputs": np.zeros(1), "targets": np.zeros(1), "metadata": np.array("[1]")}, "damaged"),
        (
            {"inputs": np.zeros(1), "targets": np.full(1, 2), "metadata": '{"classes": 2}'},
            "2 classes",
        ),
        (
            {"inputs": np.zeros(1), "targets": np.zeros(1), "metadata": '{"classes": "two"}'},
            "'two' classes",
        ),
    ],
)
def test_an_npz_that_is_no_dataset_is_refused_by_what_is_wrong(arrays, complaint, tmp_path):
    npz(tmp_path / "x.npz", **arrays)
    with pytest.raises(FileError, match=complaint):
        array_files.read(tmp_path / "x.npz")


def test_an_npz_of_bare_arrays_is_a_dataset_of_a_stranger(tmp_path):
    npz(tmp_path / "x.npz", inputs=np.array([0.5, 2, 3]), targets=np.array([0, 2, 1]))
    series, metadata = array_files.read(tmp_path / "x.npz")
    assert (series.classes, series.features, metadata) == (3, 1, {})


@pytest.mark.parametrize("steps", [3, 600])
def test_labels_make_no_more_classes_than_there_are_steps(steps, tmp_path):
    targets = np.zeros(steps, int)
    targets[1] = steps - 1
    npz(tmp_path / "most.npz", inputs=np.zeros(steps), targets=targets)
    assert array_files.read(tmp_path / "most.npz")[0].classes == steps
    targets[1] = 1_000_000
    npz(tmp_path / "x.npz", inputs=np.zeros(steps), targets=targets)
    with pytest.raises(FileError, match=rf"step 1 .*1,000,001 classes.* {steps} steps, with 2 "):
        array_files.read(tmp_path / "x.npz")


def test_classes_without_a_label_are_named_and_of_many_the_first():
    def series(*labels, classes):
        return bare(np.zeros((len(labels), 1), np.float32), np.int32(labels), classes)

    assert unused_classes("x", series(0, 1, classes=2)) is None
    assert unused_classes("x", series(0, classes=2), series(1, classes=2)) is None
    assert unused_classes("x", series(1, 2, classes=3)).startswith("class 0 never occurs in x")
    many = unused_classes("x", series(0, 1000, classes=1001))
    assert many.startswith("classes 1, 2, 3, 4, 5 and 994 more never occur")


@pytest.mark.parametrize(
    ("steps", "fraction", "part", "length"),
    [(600, 0.1, "validation", 60), (600, 0.8, "training", 60), (140, 0.5, "training", 56)],
)
def test_a_part_that_is_too_short_is_named_with_its_file_and_a_fraction_that_helps(
    steps, fraction, part, length, tmp_path
):
    path = str(tmp_path / "x.csv")
    array_files.write(tmp_path / "x.csv", draw(series_length=steps), {})
    with pytest.raises(FileError) as caught:
        open_source(Config.build(data=path, val_fraction=fraction))
    for words in (f"the {part} part of `{path}`", f"{length} of", f"{steps} steps", "75"):
        assert words in caught.value.message
    assert f"`--val-fraction {fraction}`" in caught.value.message
    advised = re.search(r"--val-fraction ([\d.]+)", caught.value.hint)
    assert bool(advised) == (part == "validation")
    if advised:
        given = {"val_fraction": float(advised[1]), "test_fraction": float(advised[1])}
        source = open_source(Config.build(data=path, **given))
        assert min(map(len, source.splits)) >= 75


def test_a_dataset_that_is_too_short_to_be_scored_is_named(tmp_path):
    array_files.write(tmp_path / "x.npz", draw(series_length=74), {})
    with pytest.raises(FileError, match=r"x\.npz` is too short: it has 74 steps"):
        series_to_test(Config.build(batch_size=5, bptt=15), tmp_path / "x.npz", plain(1, 2))


# --- whose files they are


def as_first_written(folder):
    """Datasets byte for byte as the first version wrote them; npz, and csv with its metadata."""
    task = {"name": "echo", "series_length": 4, "echo_step": 1, "classes": 2, "noise": 0.0}
    inputs, targets = np.float32([1, 0, 1, 1]), np.int32([0, 1, 0, 1])
    digest = hashlib.sha256(inputs.tobytes() + targets.tobytes()).hexdigest()
    text = json.dumps({"task": task, "classes": 2, "sha256": digest, "seed": 0}, indent=2)
    npz(folder / "x.npz", inputs=inputs, targets=targets, metadata=np.array(text))
    (folder / "y.csv").write_text("input,target\n1,0\n0,1\n1,0\n1,1\n")
    (folder / "y.json").write_text(text)


@pytest.mark.parametrize("name", ["x.npz", "y.csv"])
def test_a_dataset_that_lstmcli_wrote_is_replaced_when_asked(name, run, tmp_path):
    as_first_written(tmp_path)
    assert "--overwrite" in run("generate", name, "--series-length", 100, exit_code=2).stderr
    run("generate", name, "--series-length", 100, "--overwrite")
    assert len(array_files.read(tmp_path / name)[0]) == 100
    run("generate", name, "--series-length", 90, "--overwrite")


def strangers_files(folder):
    """Files that lstmcli did not write, or not as they are, by a name to generate over them."""
    as_first_written(folder)
    ours = (folder / "y.json").read_text()
    npz(folder / "bare.npz", inputs=np.zeros(3), targets=np.zeros(3))
    npz(folder / "theirs.npz", inputs=np.zeros(3), targets=np.zeros(3), metadata='{"task": {}}')
    (folder / "no.npz").write_bytes((folder / "x.npz").read_bytes()[:-9])
    (folder / "bare.csv").write_text("input,target\n1,0\n")
    (folder / "broken.csv").write_text("date,price\nmonday,3\n")
    (folder / "theirs.csv").write_text("input,target\n1,0\n")
    (folder / "theirs.json").write_text('{"name": "theirs", "version": "1.0.0"}')
    (folder / "beside.json").write_text('["mine"]')
    (folder / "edited.csv").write_text("input,target\n1,0\n0,1\n1,0\n1,0\n")
    (folder / "edited.json").write_text(ours)
    return ["bare.npz", "theirs.npz", "no.npz", "bare.csv", "broken.csv", "theirs.csv",
            "beside.csv", "edited.csv"]  # fmt: skip


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def test_a_file_that_lstmcli_did_not_write_is_not_replaced_and_nor_is_one_beside_it(run, tmp_path):
    names = strangers_files(tmp_path)
    before = contents(tmp_path)
    for name in names:
        for options in ([], ["--overwrite"]):
            result = run("generate", name, "--series-length", 100, *options, exit_code=2)
            assert "--overwrite" not in result.stderr
            assert "`lstmcli generate` did not write it" in result.stderr
    assert contents(tmp_path) == before


def test_no_hint_about_a_dataset_harms_a_file_that_is_there(run, tmp_path):
    """Each command that a hint names is typed, with every file in reach."""
    names = strangers_files(tmp_path)
    before = contents(tmp_path)
    typed = []
    for name in [*names, "a name with blanks.npz"]:
        result = CliRunner().invoke(app, ["train", "--data", name, "--epochs", "1"])
        assert result.exit_code in (2, 4)
        typed += re.findall(r"`(lstmcli [^`]*)`", result.stderr.partition("hint: ")[2])
    assert typed
    for command in typed:
        assert CliRunner().invoke(app, shlex.split(command)[1:]).exit_code in (0, 2, 4)
    assert before.items() <= contents(tmp_path).items()
    assert Path("a name with blanks.npz").exists()
