"""What is not bounded by a file's size: it is refused in words, before it fills the memory."""

import gzip

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as parquet
import pytest

from lstmcli import memory
from lstmcli.config import DataConfig
from lstmcli.data import bounded, readers, storage
from lstmcli.data.tables import frames
from lstmcli.errors import FileError

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
    error = refused(path, "more than this machine has room for", target="y")
    assert "take a part of the file" in error.hint
    room(64 * MEGABYTE)  # Four million rows of two numbers of eight bytes.
    assert len(frames.read_table(path)) == 4_000_000


def test_one_cell_of_many_lines_is_refused_before_it_fills_the_memory(tmp_path, room):
    path = compressed(tmp_path / "t.csv.gz", b'x,y\n1,"', *[b"1,2\n" * 500_000] * 4)
    room(4 * MEGABYTE)
    refused(path, "more than this machine has room for", target="y")


@pytest.mark.parametrize("kind", ["numbers", "lists"])
def test_a_parquet_file_is_refused_by_what_it_promises(tmp_path, room, kind, monkeypatch):
    column = np.zeros(2_000_000)
    if kind == "lists":
        column = pa.ListArray.from_arrays(pa.array([0, len(column)], pa.int32()), column)
    parquet.write_table(pa.table({"x": column, "y": column}), tmp_path / "t.parquet")
    assert (tmp_path / "t.parquet").stat().st_size < MEGABYTE / 4
    monkeypatch.setattr(parquet.ParquetFile, "iter_batches", None)  # Nothing of it is read.
    room(8 * MEGABYTE)
    refused(tmp_path / "t.parquet", "32.0 MB at least", target="y")  # Of 8 bytes each.


def test_words_of_a_parquet_file_are_refused_once_they_pass_their_share(tmp_path, room):
    words = pa.array(["w" * 10_000] * 5_000)
    parquet.write_table(pa.table({"x": words, "y": words}), tmp_path / "t.parquet")
    room(40 * MEGABYTE)
    refused(tmp_path / "t.parquet", "more than this machine has room for", target="y")


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
        storage.read(tmp_path / "t.csv")
