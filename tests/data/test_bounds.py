"""What is not bounded by a file's size: it is refused in words, before it fills the memory."""

import gzip
import json
import shutil
import struct
import tracemalloc

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as parquet
import pytest

from lstmcli import model_spec
from lstmcli.config import DataConfig, ModelConfig
from lstmcli.core import initialization
from lstmcli.data import arrays, bounded, readers
from lstmcli.data.table import files
from lstmcli.data.tasks import parity
from lstmcli.training import checkpoint as checkpoints
from lstmcli.utils import memory
from lstmcli.utils.errors import FileError

MEGABYTE = 1_000_000


@pytest.fixture
def room(monkeypatch):
    """Gives the machine some memory that is free, and bytes of it to a file."""

    def give(kept):
        monkeypatch.setattr(memory, "free", lambda: kept * memory.SHARE)

    return give


def refused(path, *words, **settings):
    with pytest.raises(FileError) as caught:
        readers.read_parts(DataConfig(data=str(path), **settings))
    for word in (str(path), *words):
        assert word in caught.value.message
    assert "--series-length" not in (caught.value.hint or "")
    assert len(caught.value.message) < 500
    return caught.value


def compressed(path, *pieces):
    with gzip.open(path, "wb", compresslevel=1) as file:
        for piece in pieces:
            file.write(piece)
    return path


@pytest.mark.parametrize("name", ["t.csv", "t.csv.gz"])
@pytest.mark.parametrize("settings", [{}, {"target": "target"}])
def test_a_line_without_end_is_refused_where_it_begins(tmp_path, name, settings):
    endless = b"x," * (bounded.LONGEST_LINE // 2 + 1)
    for line, before in ((1, b""), (3, b"x,target\n1,2\n")):
        path = tmp_path / name
        (
            compressed(path, before, endless)
            if name[-1] == "z"
            else path.write_bytes(before + endless)
        )
        refused(path, f"line {line}: expected a line of at most 4,194,304", **settings)


def test_rows_without_number_are_refused_once_they_pass_their_share_of_the_memory(tmp_path, room):
    path = compressed(tmp_path / "t.csv.gz", b"x,y\n", *[b"1,2\n" * 500_000] * 8)
    room(16 * MEGABYTE)
    error = refused(path, "is too large for this machine", target="y")
    assert "use a part of the file" in error.hint
    room(64 * MEGABYTE)  # Four million rows of two numbers of eight bytes.
    assert len(files.read_table(path)) == 4_000_000


def test_one_cell_of_many_lines_is_refused_before_it_fills_the_memory(tmp_path, room):
    path = compressed(tmp_path / "t.csv.gz", b'x,y\n1,"', *[b"1,2\n" * 500_000] * 4)
    room(4 * MEGABYTE)
    refused(path, "is too large for this machine", target="y")


@pytest.mark.parametrize("kind", ["numbers", "lists"])
def test_a_parquet_file_is_refused_by_what_it_promises(tmp_path, room, kind, monkeypatch):
    column = np.zeros(2_000_000)
    if kind == "lists":
        column = pa.ListArray.from_arrays(pa.array([0, len(column)], pa.int32()), column)
    parquet.write_table(pa.table({"x": column, "y": column}), tmp_path / "t.parquet")
    assert (tmp_path / "t.parquet").stat().st_size < MEGABYTE / 4
    monkeypatch.setattr(parquet.ParquetFile, "iter_batches", None)  # Nothing of it is read.
    room(8 * MEGABYTE)
    refused(tmp_path / "t.parquet", "at least 32.0 MB", target="y")  # Of 8 bytes each.


def test_words_of_a_parquet_file_are_refused_once_they_pass_their_share(tmp_path, room):
    words = pa.array(["w" * 10_000] * 5_000)
    parquet.write_table(pa.table({"x": words, "y": words}), tmp_path / "t.parquet")
    room(40 * MEGABYTE)
    refused(tmp_path / "t.parquet", "is too large for this machine", target="y")


@pytest.mark.parametrize("pieces", [1, 7, 1 << 20])
@pytest.mark.parametrize(
    "columns",
    [
        {"x": [*range(20)], "y": [0.5, *range(19)]},
        {"x": ["", *range(19)], "y": [True, False] * 10},
        {"x": [f"w{n}" for n in range(20)], "y": [""] * 10 + [*range(10)]},
        {"x": [""] * 20, "y": [*range(10), *"abcdefghij"]},
        {"x": [2**53 + 1] * 20, "y": [2**62] * 10 + [-1] * 10},
    ],
)
def test_a_table_read_in_pieces_is_as_pandas_reads_it(tmp_path, monkeypatch, pieces, columns):
    path = tmp_path / "t.csv"
    pd.DataFrame(columns).to_csv(path, index=False)
    monkeypatch.setattr(bounded, "CELLS", 2 * pieces)
    with path.open() as file:
        found = bounded.read_csv(path, file, 2)
    expected = pd.read_csv(path)
    assert found.columns.tolist() == expected.columns.tolist()
    assert found.index.equals(expected.index)
    for name in expected:
        assert list(map(str, found[name].astype(object))) == list(map(str, expected[name]))


# --- long cells

LONG = "w" * 131_073


@pytest.mark.parametrize(
    ("text", "place"),
    [
        (f"x,y\n1,2\n3,{LONG}\n", "line 3, column 2"),
        (f"x,y\n1,2\n{LONG},4\n5,6\n", "line 3, column 1"),
        (f"x,{LONG}\n1,2\n", "line 1, column 2"),
        ('x,y\n1,2\n3,"' + "1,2\n" * 40_000 + '"\n', "line 3, column 2"),
        (f"x,y\n1,2\n{LONG}\n", "line 3, column 1"),
    ],
)
@pytest.mark.parametrize("name", ["t.csv", "t.csv.gz"])
def test_a_cell_that_is_too_long_is_named_by_line_and_column(tmp_path, name, text, place):
    path = tmp_path / name
    path.write_bytes(text.encode() if name == "t.csv" else gzip.compress(text.encode()))
    error = refused(path, place, "131,072 characters", target="x")
    assert error.exit_code == 4


def test_a_dataset_with_a_cell_that_is_too_long_is_refused_with_its_line(tmp_path):
    (tmp_path / "t.csv").write_text(f"input,target\n1,0\n{LONG},1\n")
    with pytest.raises(FileError, match="line 3, column 1: expected a cell of at most 131,072"):
        arrays.read(tmp_path / "t.csv")


# --- files that are holes


@pytest.mark.parametrize("name", ["m.safetensors", "x.npz"])
def test_a_file_that_is_larger_than_the_free_memory_is_not_read(tmp_path, monkeypatch, name):
    path = tmp_path / name
    with path.open("wb") as file:
        file.write(struct.pack("<Q", 90_000_000) if name[0] == "m" else b"PK")
        file.truncate(10**9)  # Without a byte on the disk.
    monkeypatch.setattr(memory, "free", lambda: 10**8)
    read = checkpoints.read if name[0] == "m" else arrays.read
    with pytest.raises(FileError, match=r"has 1\.0 GB, but only 0\.1 GB of memory is free"):
        read(path)


def test_a_header_that_is_longer_than_the_format_allows_is_not_read(tmp_path):
    path = tmp_path / "m.safetensors"
    with path.open("wb") as file:
        file.write(struct.pack("<Q", 6 * 10**9))
        file.truncate(6 * 10**9 + 8)
    tracemalloc.start()
    try:
        with pytest.raises(FileError, match=r"6,000,000,000 bytes, and the format .* 100,000,000"):
            checkpoints.read(path)
        assert tracemalloc.get_traced_memory()[1] < MEGABYTE
    finally:
        tracemalloc.stop()


def test_a_text_is_refused_once_it_passes_its_share_of_the_memory(tmp_path, room):
    path = tmp_path / "t.txt"
    with path.open("wb") as file:
        file.write(b"ab")
        file.truncate(10**9)
    room(4 * MEGABYTE)
    refused(path, "is too large for this machine")


# --- weights that are no numbers


@pytest.fixture(scope="module")
def diverged(trained, tmp_path_factory):
    """A run whose checkpoints hold weights that are not finite, of one of its seeds."""
    path = tmp_path_factory.mktemp("diverged") / "run"
    shutil.copytree(trained, path)
    for file in (path / "checkpoints").iterdir():
        model = checkpoints.read(file)
        name = "lstm.1.kernel"
        model.tensors[name] = model.tensors[name].copy()
        model.tensors[name][1, 2, 3] = np.nan
        model.write(file)
    return path


@pytest.mark.parametrize(
    "command",
    [
        ["eval"],
        ["eval", "--predictions", "p.csv"],
        ["sample"],
        ["probe"],
        ["probe", "--gradient"],
        ["train", "--epochs", 5, "--resume"],
        ["train", "--layers", 2, "--epochs", 1, "--out", "new", "--init-from"],
        ["sweep", "--layers", 2, "--epochs", 1, "--out", "new", "--init-from"],
    ],
)
def test_weights_that_are_not_finite_are_refused_by_every_command(run, diverged, command, tmp_path):
    result = run(*command, diverged, exit_code=4)
    assert "the weights of seed 1 in `" in result.stderr
    assert "are not finite: its training diverged" in result.stderr
    assert result.stdout == ""
    assert list(tmp_path.iterdir()) == []


def test_a_checkpoint_of_weights_that_are_not_finite_is_not_drawn_and_is_inspected(run, diverged):
    best = diverged / "checkpoints/best.safetensors"
    assert "are not finite" in run("plot", best, exit_code=4).stderr
    result = run("inspect", best)
    assert result.stderr.startswith("warning: the weights of seed 1 in `")
    assert "lstm.1" in result.stdout
    assert json.loads(run("inspect", best, "--json").stdout)["seeds"] == [0, 1, 2]


def peak(make):
    """What something takes at most, in bytes, and what it makes."""
    tracemalloc.start()
    made = make()
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return most, made


@pytest.mark.parametrize(("steps", "bits"), [(1, 1), (9, 1), (9, 8), (50, 9), (50, 51), (20, 333)])
def test_parity_is_drawn_in_pieces_as_it_would_be_whole(steps, bits, monkeypatch):
    monkeypatch.setattr(parity, "PIECE", 7)
    config = DataConfig(task="parity", series_length=steps, bits=bits)
    found = parity.generate(config, np.random.default_rng(5))
    drawn = np.random.default_rng(5).integers(0, 2, steps + bits - 1)
    assert found.numbers[:, 0].tolist() == drawn[bits - 1 :].tolist()
    runs = np.lib.stride_tricks.sliding_window_view(drawn, bits)
    assert found.targets.tolist() == (runs.sum(1) % 2).tolist()


def test_bits_before_a_series_take_no_memory():
    config = DataConfig(task="parity", series_length=1000, bits=20_000_000)
    most, _ = peak(lambda: parity.generate(config, np.random.default_rng(0)))
    assert most < 20 * MEGABYTE


def test_weights_are_drawn_in_the_memory_that_they_take_and_as_they_would_be_whole():
    model, features, classes = ModelConfig(layers=2, state_size=700), 3, 5
    most, found = peak(
        lambda: initialization.initialise(
            model, features, classes, [np.random.default_rng(seed) for seed in (0, 1)]
        )
    )
    numbers = 2 * model_spec.count(model, features, classes)
    assert numbers == sum(array.size for array in found.values())
    assert most < 4 * numbers + 20 * MEGABYTE
    rng, limit = np.random.default_rng(1), np.sqrt(6 / (features + 5 * 700))
    whole = rng.uniform(-limit, limit, (features + 700, 4 * 700)).astype(np.float32)
    assert np.array_equal(found["lstm.0.kernel"][1], whole[:features])
    assert np.array_equal(found["lstm.0.recurrent_kernel"][1], whole[features:])
