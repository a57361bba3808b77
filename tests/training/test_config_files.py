"""Settings from several files: who has the last word, and what `--print-config` says of it."""

import json
import tomllib
from pathlib import Path

import pytest

from lstmcli import api
from lstmcli.config import Config
from lstmcli.training import config_files
from lstmcli.utils.errors import FileError, UsageError


def write(path, text):
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_text(text)
    return Path(path)


def printed(run, *options):
    """The settings that are printed, and behind which words each stands."""
    text = run("train", *options, "--print-config").stdout
    lines = [line.partition("  # ") for line in text.splitlines() if " = " in line]
    return tomllib.loads(text), {line.split(" = ")[0]: origin for line, _, origin in lines}


def test_of_several_files_the_later_wins_and_options_beat_them_all(run):
    write("one.toml", "[model]\nlayers = 1\nstate_size = 5\n[training]\nepochs = 9\n")
    write("two.toml", "[model]\nlayers = 2\n[run]\nseed = 7\n")
    files = ["--config", "one.toml", "--config", "two.toml"]
    found, origins = printed(run, *files, "--epochs", 3)
    assert found["model"] == {"layers": 2, "state_size": 5, "forget_bias": 1.0}
    assert (found["training"]["epochs"], found["run"]["seed"]) == (3, 7)
    assert origins["layers"] == "two.toml"
    assert origins["state_size"] == "one.toml"
    assert origins["epochs"] == "--epochs"
    assert origins["bptt"] == "default"
    turned, _ = printed(run, *files[2:], *files[:2])
    assert turned["model"]["layers"] == 1


def test_what_is_printed_is_what_would_be_trained_and_can_be_taken_back(run):
    found, origins = printed(run, "--echo-step", 5, "--optimizer", "adam", "--patience", 0)
    config = Config.build(echo_step=5, optimizer="adam", patience=0)
    assert found == api.open_data(config).config.to_dict()
    assert set(origins) == {name for table in found.values() for name in table}
    text = run("train", "--echo-step", 5, "--optimizer", "adam", "--print-config").stdout
    write("saved.toml", text)
    again, origins = printed(run, "--config", "saved.toml")
    assert again == tomllib.loads(text)
    assert set(origins.values()) == {"saved.toml"}
    assert not Path("runs").exists()


def test_settings_that_follow_from_a_file_are_printed_as_it_makes_them(run):
    table = "t,y\n" + "".join(f"{i},{i % 7}\n" for i in range(3000))
    write("far/data.csv", table)
    write("far/settings.toml", '[data]\ndata = "data.csv"\ntarget = "y"\n')
    found, origins = printed(run, "--config", "far/settings.toml", "--layers", 2)
    assert found["data"]["data"] == "far/data.csv"
    assert origins["data"] == "far/settings.toml"
    assert origins["state_size"] == origins["epochs"] == "default for this data"
    assert found["model"]["layers"] == 2
    asked = ["train", "--config", "far/settings.toml", "--print-config", "--json"]
    known = json.loads(run(*asked).stdout)
    assert known["data"]["target"] == {"value": "y", "from": "far/settings.toml"}


def test_a_path_leads_from_its_own_file_and_one_that_is_replaced_is_not_looked_for():
    first = write("a/one.toml", '[data]\ndata = "gone.csv"\nval_data = "val.csv"\n')
    second = write("b/two.toml", '[data]\ndata = "here.csv"\n')
    write("b/here.csv", "x\n1\n")
    write("a/val.csv", "x\n1\n")
    found = config_files.read([first, second]).found()["data"]
    assert found == {"data": "b/here.csv", "val_data": "a/val.csv"}
    with pytest.raises(FileError, match=r"gone\.csv"):
        config_files.read([second, first]).found()


def test_a_runs_own_settings_are_all_there_is_to_say(run):
    whole, _ = printed(run, "--layers", 5)
    write("whole.toml", run("train", "--layers", 5, "--print-config").stdout)
    write("clip.toml", "[training]\nclip_norm = 1.0\npatience = 3\n")
    found, _ = printed(run, "--config", "clip.toml", "--config", "whole.toml")
    assert found == whole
    found, origins = printed(run, "--config", "whole.toml", "--config", "clip.toml")
    assert found["training"]["clip_norm"] == 1.0
    assert origins["clip_norm"] == "clip.toml"


@pytest.mark.parametrize("text", ["layers = 3\n", "[modle]\nlayers = 3\n", "model = 3\n"])
def test_what_is_no_table_of_settings_is_refused_wherever_it_stands(text):
    good = write("good.toml", "[model]\nlayers = 2\n")
    bad = write("bad.toml", text)
    for files in ([good, bad], [bad, good]):
        with pytest.raises(UsageError):
            Config.build(config_files.read(files).found())


@pytest.mark.slow
def test_a_runs_config_and_an_option_train_another_one(run, small):
    run("train", *small, "--epochs", 1)
    before = Path("runs/latest").resolve()
    run("train", "--config", "runs/latest/config.toml", "--layers", 4)
    after = Path("runs/latest").resolve()
    assert before != after
    tables = [tomllib.loads((path / "config.toml").read_text()) for path in (before, after)]
    assert tables[1]["model"].pop("layers") == 4
    assert tables[0]["model"].pop("layers") == 2
    assert tables[0] == tables[1]
