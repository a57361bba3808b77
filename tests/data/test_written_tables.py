"""Tables as people's programs write them: what parts their columns, and how numbers look."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from lstmcli.config import DataConfig
from lstmcli.data.table.load import read_parts
from lstmcli.utils.errors import FileError

X = np.random.default_rng(0).normal(2000, 900, 60).round(2)
FRAME = pd.DataFrame({"x": X, "w": list("ab") * 30, "target": (X * 7 % 13).round(2)})


def german(frame):
    rows = frame.to_csv(sep=";", decimal=",", index=False).splitlines()
    rows[1:] = [
        ";".join([f"{x:,.2f}".translate(str.maketrans(",.", ".,")), *line.split(";")[1:]])
        for x, line in zip(frame.x, rows[1:], strict=True)
    ]
    return "\n".join(rows)


def quoted_thousands(frame):
    return frame.assign(x=[f"{x:,.2f}" for x in frame.x]).to_csv(index=False)


WRITTEN = {
    "semicolons": (FRAME.to_csv(sep=";", index=False), "separated by semicolons"),
    "decimal commas": (FRAME.to_csv(sep=";", decimal=",", index=False), "for decimal points"),
    "thousands with points": (german(FRAME), "for decimal points"),
    "tabs": (FRAME.to_csv(sep="\t", index=False), "separated by tabs"),
    "bars": (FRAME.to_csv(sep="|", index=False), "separated by bars"),
    "quoted thousands": (quoted_thousands(FRAME), None),
    "quoted decimal commas": (FRAME.to_csv(decimal=",", index=False), None),
    "quoted": (FRAME.to_csv(quoting=1, index=False), None),
    "comments": (
        "# from a station\n# in mm, daily\n" + FRAME.to_csv(index=False),
        "2 comment lines",
    ),
}


@pytest.mark.parametrize(("text", "said"), WRITTEN.values(), ids=WRITTEN.keys())
def test_the_same_table_is_read_however_it_is_written(text, said):
    FRAME.to_csv("plain.csv", index=False)
    expected, _ = read_parts(DataConfig(data="plain.csv"))
    Path("t.csv").write_text(text)
    found, notes = read_parts(DataConfig(data="t.csv"))
    assert found.training.schema == expected.training.schema
    for ours, theirs in zip(found, expected, strict=True):
        assert ours.checksum() == theirs.checksum()
    assert (said is None and notes == []) or said in notes[0]


def test_a_table_without_names_has_its_columns_counted():
    FRAME.to_csv("t.csv", index=False, header=False)
    parts, _ = read_parts(DataConfig(data="t.csv", no_header=True, target="2"))
    assert [column.name for column in parts.training.schema.numbers] == ["0"]
    assert sum(map(len, parts)) == len(FRAME)
    FRAME.to_csv("plain.csv", index=False)
    expected, _ = read_parts(DataConfig(data="plain.csv"))
    assert parts.training.checksum() == expected.training.checksum()


@pytest.mark.parametrize("separator", [";", "\t"])
def test_errors_name_lines_and_cells_of_such_files(separator):
    lines = FRAME.to_csv(sep=separator, index=False).splitlines()
    lines[40] = separator.join(["much", "a", "1"])
    Path("t.csv").write_text("\n".join(["# a comment", *lines]))
    with pytest.raises(FileError, match="line 42, column `x`: expected a number, got `much`"):
        read_parts(DataConfig(data="t.csv"))
    lines[40] = "1"
    Path("t.csv").write_text("\n".join(["# a comment", *lines]))
    with pytest.raises(FileError, match="line 42: expected 3 cells"):
        read_parts(DataConfig(data="t.csv"))


def test_a_file_that_ends_in_tsv_is_a_table():
    FRAME.to_csv("t.tsv", index=False, sep="\t")
    FRAME.to_csv("plain.csv", index=False)
    found, expected = (read_parts(DataConfig(data=name))[0] for name in ("t.tsv", "plain.csv"))
    assert found.training.checksum() == expected.training.checksum()


@pytest.mark.parametrize(
    ("cell", "is_measured"), [("{}%", True), ("$1,{}.5", True), ("{} kWh", True), ("run {}", False)]
)
def test_numbers_with_a_unit_are_called_so(cell, is_measured):
    frame = pd.concat([FRAME] * 5)
    cells = [cell.format(100 + index % 200) for index in range(len(frame))]
    frame.assign(x=cells).to_csv("t.csv", index=False)
    with pytest.raises(FileError) as caught:
        read_parts(DataConfig(data="t.csv"))
    assert ("` is a number with a unit, remove" in caught.value.hint) == is_measured
