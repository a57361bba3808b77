"""Tables that cannot be read, and options that do not fit them: cause, way out and exit code."""

import gzip

import numpy as np
import pandas as pd
import pytest

from lstmcli.config import DataConfig
from lstmcli.data.schema import Numeric, Schema
from lstmcli.data.table.load import read_parts, read_whole
from lstmcli.utils.errors import FileError, UsageError

FILE, USAGE = (FileError, 4), (UsageError, 2)


def rows(line, count=20, header="x,target"):
    """A table whose lines follow from their number, from 0 on."""
    return "\n".join([header, *(line(number) for number in range(count))]) + "\n"


def good(number):
    return f"{number * number % 7},{number * 3 % 11}"


def with_line(line, text, header="x,target", row=good):
    """A good table but for one line, the header's being 1."""
    lines = rows(row, header=header).splitlines()
    lines[line - 1] = text
    return "\n".join(lines) + "\n"


def grouped(number):
    return f"{number % 7},{number * 3 % 11},{number // 2}"


GOOD, GROUPED = rows(good), rows(grouped, header="x,target,g")
WORDS = [f"w{number}" for number in range(30)]

BAD = {
    # The file.
    "not there": (None, {}, FILE, "there is no such file", "name the file"),
    "directory": ("directory", {}, FILE, "the folder `t.csv` has no file", "check the name"),
    "empty": ("", {}, FILE, "is empty", "first line names its columns"),
    "blank lines only": ("\n\n", {}, FILE, "is empty", "first line names its columns"),
    "header only": ("x,target\n", {}, FILE, "has no rows", "each line below is a step"),
    "no header": (
        "1,2\n3,4\n",
        {},
        FILE,
        "line 1: expected the columns' names",
        "pass `--no-header`",
    ),
    "long row": (with_line(5, "1,2,3"), {}, FILE, "line 5: expected 2 cells", "quote a cell"),
    "long rows": ("x,target\n1,2,3\n4,5,6\n", {}, FILE, "more cells than its first", "name every"),
    "short row": (with_line(6, "1"), {}, FILE, "line 6: expected 2 cells", "correct the line"),
    "short row after a quoted comma": (
        with_line(6, '"a,b",1', "w,x,target", lambda number: f"a,{good(number)}"),
        {},
        FILE,
        "line 6: expected 3 cells, as the first line has, got 2",
        "correct the line",
    ),
    "open quote": (with_line(7, '"1,2'), {}, FILE, "line 7 or below: a quote", "close it"),
    "open quote in the names": ('"x,target\n1,2\n', {}, FILE, "goes on in the next", "close each"),
    "not UTF-8": (
        with_line(4, "\xff,2").encode("latin-1"),
        {},
        FILE,
        "line 4, byte 17 (from 0 on): expected UTF-8 text",
        "--encoding windows-1252",
    ),
    "header not UTF-8": (
        "h\xf6he,target\n1,2\n".encode("latin-1"),
        {},
        FILE,
        "line 1, byte 1 (from 0 on): expected UTF-8 text",
        "--encoding windows-1252",
    ),
    "UTF-16": (GOOD.encode("utf-16"), {}, FILE, "expected UTF-8 text", "--encoding utf-16"),
    "zero bytes in a number": (
        with_line(3, "1\0,2"),
        {},
        FILE,
        "line 3, column `x`: expected",
        "zero bytes",
    ),
    "damaged gz": (gzip.compress(GOOD.encode())[:-9], {}, FILE, "is damaged", "save it again"),
    "no gz": (GOOD.encode(), {"data": "t.csv.gz"}, FILE, "is not a table or is damaged", "save it"),
    "damaged parquet": (b"PAR1" * 9, {"data": "t.parquet"}, FILE, "is damaged", "save it again"),
    "other format": (GOOD, {"data": "t.xlsx"}, USAGE, "a table's name ends in .csv", "save it as"),
    # Names of columns.
    "name twice": (
        "x,x,target\n1,2,3\n",
        {},
        FILE,
        "columns 1 and 2 are both called `x`",
        "a different name",
    ),
    "name twice but for spaces": (
        "x,y, x ,target\n1,2,3,4\n",
        {},
        FILE,
        "columns 1 and 3",
        "a different name",
    ),
    "column without a name": (
        rows(lambda n: f"{good(n)},1", header="x,target,"),
        {},
        FILE,
        "column 3 has no name",
        "take the comma",
    ),
    "no target": (
        rows(good, header="x,y"),
        {},
        USAGE,
        "has no column `target`",
        "one of its columns: `x`, `y`",
    ),
    "target not there": (
        GOOD,
        {"target": "Targte"},
        USAGE,
        "`--target`:",
        "did you mean `target`?",
    ),
    "input not there": (
        GOOD,
        {"inputs": "x,zz"},
        USAGE,
        "no column `zz`",
        "its columns are `x`, `target`",
    ),
    "input near": (
        rows(good, header="temp,target"),
        {"inputs": "tmp"},
        USAGE,
        "no column `tmp`",
        "mean `temp`?",
    ),
    "group not there": (GOOD, {"group": "g"}, USAGE, "`--group`: ", "its columns are"),
    "categorical not there": (
        GOOD,
        {"categorical": "y"},
        USAGE,
        "`--categorical`: ",
        "its columns",
    ),
    "categorical not used": (
        GROUPED,
        {"inputs": "x", "categorical": "g"},
        USAGE,
        "`--categorical g` has no effect",
        "leave `g` out",
    ),
    "input twice": (GOOD, {"inputs": "x, x"}, USAGE, "`--inputs` names `x` twice", "once"),
    "no name between commas": (
        GOOD,
        {"inputs": " , "},
        USAGE,
        "names no column",
        "leave `--inputs` out",
    ),
    "target and group": (
        GOOD,
        {"group": "target"},
        USAGE,
        "both `--target` and `--group`",
        "another",
    ),
    "group given": (
        GROUPED,
        {"inputs": "x,g", "group": "g"},
        USAGE,
        "is the `--group`",
        "leave `g` out",
    ),
    "target given": (GOOD, {"inputs": "x,target"}, USAGE, "at the same step", "`--horizon 1`"),
    "nothing given": (
        rows(str, header="target"),
        {},
        USAGE,
        "no column that could be given",
        "`--horizon 1`",
    ),
    # Cells.
    "many empty cells": (
        rows(lambda n: f"{n % 7 if n % 4 else ''},{n}"),
        {},
        FILE,
        "column `x`: 5 of 20 cells (25%) are empty, which is more than is filled",
        "`--missing ffill` fills them",
    ),
    "many empty words": (
        rows(lambda n: f"{'ab'[n % 2] if n % 4 else '?'},{n}"),
        {},
        FILE,
        "column `x`: 5 of 20 cells (25%) are empty",
        "`--missing zero`",
    ),
    "infinity": (
        with_line(5, "-inf,2"),
        {},
        FILE,
        "line 5, column `x`: expected a finite 32-bit number",
        "correct it",
    ),
    "infinite target": (
        with_line(5, "1,inf"),
        {},
        FILE,
        "column `target`: expected a finite",
        "correct it",
    ),
    "infinity that would be filled": (
        with_line(5, "inf,2"),
        {"missing": "ffill"},
        FILE,
        "expected a finite 32-bit number",
        "leave the cell empty",
    ),
    "too large": (
        with_line(5, "1e39,2"),
        {},
        FILE,
        "32-bit number (below 3.4e38), got `1e39`",
        "correct it",
    ),
    "word among numbers": (
        with_line(9, "warm,2"),
        {},
        FILE,
        "line 9, column `x`: expected a number, got `warm`",
        "`--categorical x`",
    ),
    "word among targets": (
        with_line(9, "1,high"),
        {},
        FILE,
        "got `high`",
        "`--categorical target`",
    ),
    "after a blank line": ("x,target\n1,2\n\nwarm,3\n", {}, FILE, "line 4, column `x`", "correct"),
    "dates": (
        rows(lambda n: f"2024-01-{n + 1:02},{good(n)}", header="day,x,target"),
        {"inputs": "day"},
        FILE,
        "line 2, column `day`: expected a number or a word, not a date",
        "`--inputs` with some of `x,target`",
    ),
    "times": (
        rows(lambda n: f"{n:02}:30,{n}"),
        {"inputs": "x"},
        FILE,
        "not a date or a time, got `00:30`",
        "the hour",
    ),
    "no cell in a column": (
        rows(lambda n: f",{n}"),
        {"inputs": "x"},
        FILE,
        "it has no value in any row",
        "leave it out",
    ),
    "no cell in training": (
        rows(lambda n: f"{n if n > 17 else ''},{n}"),
        {"missing": "ffill"},
        FILE,
        "no value in the training",
        "leave",
    ),
    "words that hardly stand twice": (
        rows(lambda n: f"w{n},{n}", 40),
        {"inputs": "x"},
        FILE,
        "32 different words in 32 steps",
        "name the other columns",
    ),
    # Targets.
    "one class": (
        rows(lambda n: f"{n},{'ab'[n > 17]}"),
        {},
        FILE,
        "got `a` alone",
        "choose another",
    ),
    "constant target": (
        rows(lambda n: f"{n},0.1"),
        {},
        FILE,
        "the target is always 0.1",
        "choose another",
    ),
    "no target in training": (
        rows(lambda n: f"{n},{n if n > 16 else ''}"),
        {},
        FILE,
        "no step of the training",
        "fill",
    ),
    "numbers as classes": (
        rows(lambda n: f"{n},{n / 7}", 40),
        {"categorical": "target"},
        USAGE,
        "32 different words",
        "`--categorical`",
    ),
    "no target in validation": (
        rows(lambda n: f"{n},{'' if n in (16, 17) else n}"),
        {},
        FILE,
        "the validation part of",
        "`--val-data`",
    ),
    "no target in test": (
        rows(lambda n: f"{n},{n if n < 18 else ''}"),
        {},
        FILE,
        "the test part of",
        "--test-fraction",
    ),
    "class of test alone": (
        rows(lambda n: f"{n},{'abc'[(n > 17) * 2 or n % 2]}"),
        {},
        FILE,
        "the test part of",
        "`--test-data`",
    ),
    # Parts and sequences.
    "horizon beyond the table": (
        GOOD,
        {"horizon": 20},
        USAGE,
        "the table has 20 steps",
        "below 20",
    ),
    "horizon beyond sequences": (
        GROUPED,
        {"horizon": 2, "group": "g"},
        USAGE,
        "the longest sequence has 2 steps",
        "below 2",
    ),
    "horizon beyond the test part": (
        GOOD,
        {"horizon": 2},
        FILE,
        "the test part of",
        "--test-fraction",
    ),
    "too short": (
        rows(good, 4),
        {},
        FILE,
        "the validation part of `t.csv` has no step",
        "`--val-fraction`",
    ),
    "two sequences": (
        rows(lambda n: f"{good(n)},{n // 10}", header="x,target,g"),
        {"group": "g"},
        FILE,
        "has 2 sequences (column `g`), too few for 3 parts",
        "`--val-data` and `--test-data`",
    ),
    "sequence without a name": (
        with_line(3, "1,2,", "x,target,g", grouped),
        {"group": "g"},
        FILE,
        "line 3, column `g`",
        "belongs to",
    ),
}


@pytest.mark.parametrize(
    ("content", "options", "kind", "message", "hint"), BAD.values(), ids=BAD.keys()
)
def test_a_bad_table_is_refused_with_its_cause_and_the_way_out(
    tmp_path, content, options, kind, message, hint
):
    name = "t.csv.gz" if isinstance(content, bytes) and content[:2] == b"\x1f\x8b" else "t.csv"
    options = {"data": name, **options}
    if content == "directory":
        (tmp_path / name).mkdir()
    elif content is not None:
        content = content if isinstance(content, bytes) else content.encode()
        (tmp_path / options["data"]).write_bytes(content)
    expect(kind, message, hint, read_parts, DataConfig(**options))


OTHER = {
    "other columns": (
        rows(good, header="y,target"),
        "no column `x`, which the training",
        "columns are `y`",
    ),
    "words for numbers": (
        rows(lambda n: f"a,{n}"),
        "line 2, column `x`: expected a number, got `a`",
        "correct",
    ),
    "truth for numbers": (
        rows(lambda n: f"True,{n}"),
        "column `x`: expected a number, got `True`",
        "correct",
    ),
    "no target": (rows(lambda n: f"{n},"), "has no step that is scored", "take another file"),
    "far away": (
        with_line(4, "1e38,1"),
        "line 4, column `x`: expected a number like",
        "correct it",
    ),
    "not there": (None, "there is no such file", "name the file"),
}


@pytest.mark.parametrize(("content", "message", "hint"), OTHER.values(), ids=OTHER.keys())
def test_a_part_of_another_file_must_fit_the_training_part(tmp_path, content, message, hint):
    (tmp_path / "t.csv").write_text(rows(lambda n: f"{n % 2 * 1e-9},{n}"))
    if content is not None:
        (tmp_path / "val.csv").write_text(content)
    expect(FILE, message, hint, read_parts, DataConfig(data="t.csv", val_data="val.csv"))


def test_words_of_a_part_must_have_one_in_common_with_the_training_part(tmp_path):
    (tmp_path / "t.csv").write_text(rows(lambda n: f"{'ab'[n % 2]},{n}"))
    (tmp_path / "val.csv").write_text(rows(lambda n: f"{n},{n}"))
    config = DataConfig(data="t.csv", test_data="val.csv")
    expect(
        FILE,
        "one of the training part's words (`a`, `b`), got `0`",
        "same words",
        read_parts,
        config,
    )


PARQUET = {
    "many empty cells": ({"x": [1.0, None] * 10}, "10 of 20 cells (50%) are empty", "ffill"),
    "dates": (
        {"x": pd.date_range("2024", periods=20)},
        "row 1 (from 1 on), column `x`",
        "the weekday",
    ),
    "days": ({"x": [pd.Timestamp("2024").date()] * 20}, "not a date or a time", "the weekday"),
    "lists": ({"x": [[1, 2]] * 20}, "got lists or the like", "leave it out"),
    "no rows": ({"x": []}, "has no rows", "each line below"),
}


@pytest.mark.parametrize(("columns", "message", "hint"), PARQUET.values(), ids=PARQUET.keys())
def test_a_bad_parquet_table_is_refused_by_its_row(tmp_path, columns, message, hint):
    frame = pd.DataFrame({**columns, "target": np.arange(float(len(columns["x"])))})
    frame.to_parquet(tmp_path / "t.parquet")
    expect(FILE, message, hint, read_parts, DataConfig(data="t.parquet", inputs="x"))


def test_a_whole_table_without_a_known_target_is_refused(tmp_path):
    (tmp_path / "t.csv").write_text(rows(lambda n: f"{n},"))
    schema = Schema("table", (Numeric("x"),), (), (Numeric("target"),))
    expect(
        FILE,
        "no step whose target",
        "fill its column",
        read_whole,
        tmp_path / "t.csv",
        schema,
        DataConfig(),
    )


def expect(kind, message, hint, function, *arguments):
    """The function fails with this error, and says so."""
    error_class, exit_code = kind
    with pytest.raises(error_class) as caught:
        function(*arguments)
    assert caught.value.exit_code == exit_code
    assert message in caught.value.message
    assert hint in (caught.value.hint or "")
