"""A caller may have closed standard input, output or error: the program works all the same."""

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from lstmcli.cli import predict
from lstmcli.utils.errors import LstmcliError

ALL = "<&- >&- 2>&-"


def shell(command, closed, folder):
    line = shlex.join([sys.executable, "-m", "lstmcli", *command.split()])
    shell = ["sh", "-c", f"{line} {closed}"]
    return subprocess.run(shell, cwd=folder, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", ALL])
def test_a_dataset_is_made_with_closed_streams(closed, tmp_path):
    made = shell("generate d.csv --series-length 300", closed, tmp_path)
    assert made.returncode == 0, made.stderr
    first, *rows = (tmp_path / "d.csv").read_text().splitlines()
    assert "target" in first  # Nothing was written into it that belonged to a stream.
    assert all(row.count(",") == first.count(",") for row in rows)


@pytest.mark.parametrize("closed", ["2>&-", ALL])
@pytest.mark.slow
def test_a_run_is_written_with_closed_streams(closed, tmp_path):
    options = "--epochs 1 --series-length 1530 --layers 1 --state-size 2 --out run"
    ended = shell(f"train {options}", closed, tmp_path)
    assert ended.returncode == 0, ended.stderr
    assert {"config.toml", "metrics.csv"} <= {each.name for each in (tmp_path / "run").iterdir()}
    assert shell("inspect run", closed, tmp_path).returncode == 0


def test_predictions_that_nobody_can_read_are_an_error(monkeypatch):
    with open(os.devnull, "w") as nowhere:  # noqa: PTH123
        stream = os.fdopen(os.dup(nowhere.fileno()), "w")  # As `__main__` opens it.
    with stream, monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", stream)
        with pytest.raises(LstmcliError, match="standard output is closed"):
            predict.predict(Path("no-run"), None)
