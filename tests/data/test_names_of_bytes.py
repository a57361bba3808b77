"""A file may have a name that is not UTF-8, which no record of a run can hold."""

import os
from pathlib import Path

import pytest
from typer.testing import CliRunner

from lstmcli.cli.app import app

NAME = os.fsdecode(b"caf\xe9.csv")


@pytest.mark.parametrize("command", ["train", "sweep"])
@pytest.mark.parametrize("option", ["--data", "--val-data"])
def test_a_data_file_whose_name_is_not_utf_8_is_refused_first(
    command, option, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    for name in (NAME, "t.csv"):
        Path(name).write_text("a,target\n" + "1,2\n2,3\n" * 50)
    main = [] if option == "--data" else ["--data", "t.csv"]
    found = CliRunner().invoke(app, [command, *main, option, NAME, "--out", "run"])
    assert found.exit_code == 4
    assert rf"error: `{option}`: the name `caf\xe9.csv` is not UTF-8" in found.stderr
    assert "hint: rename the file" in found.stderr
    assert not Path("run").exists()


def test_another_text_that_is_not_utf_8_is_wrong_usage(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = CliRunner().invoke(app, ["train", "--data", "t.csv", "--target", os.fsdecode(b"\xe9")])
    assert found.exit_code == 2
    assert r"`--target` must be UTF-8, got `\xe9`" in found.stderr
