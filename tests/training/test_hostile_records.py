"""Records of a run that hold something else: `report` and `plot` say which file, and where."""

import json
import shutil
from pathlib import Path

import pytest

RUN = Path(__file__).parents[1] / "kept/unsealed/run"
DEEP = '{"a":' * 200_000


@pytest.fixture
def copied(tmp_path):
    return shutil.copytree(RUN, tmp_path / "run")


@pytest.mark.parametrize(
    ("changes", "place"),
    [
        ({"epochs": "two"}, "expected a whole number from 0 on as `epochs`, got "),
        ({"seeds": [0, "one"]}, "expected a whole number as `seeds[1]`, got "),
        ({"elapsed_seconds": [1]}, "expected a number as `elapsed_seconds`, got [1]"),
        ({"references": [{"name": "mean"}]}, "as `references[0].loss`, got null"),
        ({"libraries": {"numpy": 2}}, "expected text as `libraries.numpy`, got 2"),
    ],
)
def test_a_field_of_another_kind_is_named_with_its_file(run, copied, changes, place):
    status = json.loads((copied / "run.json").read_text())
    (copied / "run.json").write_text(json.dumps(status | changes))
    said = run("report", copied, exit_code=4).stderr
    assert f"`{copied}/run.json` is damaged: " in said
    assert place in said
    assert not (copied / "report.html").exists()


@pytest.mark.parametrize("text", [DEEP, "[" * 200_000, "[1, 2]", '{"status": 1'])
def test_a_status_that_is_no_table_is_refused(run, copied, text):
    (copied / "run.json").write_text(text)
    assert f"`{copied}/run.json` is damaged: " in run("report", copied, exit_code=4).stderr


@pytest.mark.parametrize("command", ["report", "plot"])
@pytest.mark.parametrize(
    ("column", "cell", "place"),
    [
        (3, "much", "line 3, column `loss`: expected a number, got `much`"),
        (0, "", "line 3, column `epoch`: expected a whole number, got an empty cell"),
        (2, "0.5", "line 3, column `seed`: expected a whole number, got `0.5`"),
    ],
)
def test_a_cell_that_is_no_number_is_named_by_line_and_column(
    run, copied, command, column, cell, place
):
    lines = (copied / "metrics.csv").read_text().splitlines()
    cells = lines[2].split(",")
    cells[column] = cell
    lines[2] = ",".join(cells)
    (copied / "metrics.csv").write_text("\n".join([*lines, ""]))
    said = run(command, copied, exit_code=4).stderr
    assert f"`{copied}/metrics.csv` is damaged: {place}" in said
