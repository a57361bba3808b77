"""CSV tables in encodings other than UTF-8 are what they are in UTF-8."""

import gzip
from pathlib import Path

import numpy as np
import pytest

from lstmcli.config import DataConfig
from lstmcli.data.readers import read_parts
from lstmcli.utils.errors import FileError, UsageError

ROWS = "".join(f"{step % 7},{('süß', 'naïve')[step % 2]},{step % 5}\n" for step in range(100))
TABLE = "größe,wort,target\n" + ROWS


def parts_of(content, name="t.csv", **options):
    Path(name).write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    return read_parts(DataConfig(data=name, **options))[0]


@pytest.mark.parametrize("name", ["t.csv", "t.csv.gz"])
@pytest.mark.parametrize("encoding", ["windows-1252", "utf-16", "utf-16-le", "utf-8-sig"])
def test_a_table_in_another_encoding_is_what_it_is_in_utf_8(encoding, name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    expected = parts_of(TABLE.encode())
    found = parts_of(TABLE.encode(encoding), name, encoding=encoding)
    for one, other in zip(expected, found, strict=True):
        assert one.schema == other.schema
        assert np.array_equal(one.numbers, other.numbers)
        assert np.array_equal(one.targets, other.targets)


@pytest.mark.parametrize("name", ["t.csv", "t.csv.gz"])
def test_the_error_names_line_byte_and_encoding(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    content = TABLE.replace("größe", "size").replace("süß", "sweet").encode("windows-1252")
    with pytest.raises(FileError) as caught:
        parts_of(content, name)
    at = content.index(b"\xef")
    line = content[:at].count(b"\n") + 1
    assert f"line {line}, byte {at} (from 0 on): expected UTF-8 text" in caught.value.message
    assert "`--encoding windows-1252`" in caught.value.hint
    parts_of(content, name, encoding="windows-1252")


def test_a_byte_beyond_the_first_block_is_found(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    content = b"a,target\n" + b"1,2\n2,3\n" * 200_000 + b"\x92,2\n"
    with pytest.raises(FileError, match=rf"line 400002, byte {len(content) - 4} "):
        parts_of(content)


def test_a_cell_is_shown_as_it_is_in_its_encoding(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    content = ("a,target\n" + "1,2\n2,3\n" * 50 + "süß,2\n").encode("utf-16")
    with pytest.raises(FileError, match="line 102, column `a`: expected a number, got `süß`"):
        parts_of(content, encoding="utf-16", inputs="a")


@pytest.mark.parametrize("name", ["t.parquet", "t.npz"])
def test_what_is_no_text_has_no_encoding(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match="`--encoding` has no effect"):
        parts_of(b"", name, encoding="utf-16")
