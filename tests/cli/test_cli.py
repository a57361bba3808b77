"""The commands as a user meets them: help, results, errors, exit codes."""

import csv
import errno
import json
import os
import re
import shlex
import subprocess
import sys
import tomllib
from dataclasses import fields
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import typer

from command_lines import parses
from lstmcli import __version__
from lstmcli.cli import inspect
from lstmcli.cli.app import app
from lstmcli.cli.help import EXAMPLES
from lstmcli.config import GROUPS, DataConfig
from lstmcli.data.batching import ContiguousWindows
from lstmcli.data.tasks import echo
from lstmcli.utils.rng import Stream, generator

COMMANDS = typer.main.get_command(app).commands
RESULT = ["seed", "loss", "accuracy", "bayes_loss", "bayes_accuracy", "gap", "labels"]


# --- help


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_and_each_of_its_options_has_help(run, name):
    text = run(name, "--help-all").stdout
    assert COMMANDS[name].help.splitlines()[0] in " ".join(text.split())
    for parameter in COMMANDS[name].params:
        assert parameter.name == "help" or parameter.help, parameter.name
        assert parameter.param_type_name == "argument" or max(parameter.opts, key=len) in text
    assert not re.search(r"<(int|float|str|path|bool)>", text, re.IGNORECASE)


def panels(text):
    """The options under each heading of a help text."""
    found = {}
    for group in text.split("\n\n"):
        heading, *lines = group.splitlines()
        names = re.findall(r"^  (?:-h, )?--([a-z-]+)", "\n".join(lines), re.MULTILINE)
        if names:
            found[heading.rstrip(":")] = names
    return found


def test_all_options_stand_by_what_they_are_about_and_the_usual_ones_are_some_of_them(run):
    usual, whole = (panels(run("train", option).stdout) for option in ("--help", "--help-all"))
    headings = ["Data from a file", "Generated data", "Model", "Training", "Run", "Output"]
    assert list(usual) == list(whole) == headings
    source = {spec.name: spec.metadata.get("source") for spec in fields(DataConfig)}
    drawn = [name.replace("_", "-") for name in source if source[name] == "drawn"]
    assert whole["Generated data"] == [*drawn, "data-seed"]
    assert usual["Output"] == ["out", "overwrite", "json", "help-all", "help"]
    names = {name for group in GROUPS.values() for name in (it.name for it in fields(group))}
    every = {name for some in whole.values() for name in some}
    assert {name.replace("_", "-") for name in names} <= every | {"cache"}
    for heading, some in usual.items():
        assert [name for name in whole[heading] if name in some] == some
    assert 20 <= sum(map(len, usual.values())) <= 26


@pytest.fixture
def shown(monkeypatch, capsys):
    """What a screen of some width shows."""

    def show(columns, *arguments):
        monkeypatch.setenv("COLUMNS", str(columns))
        assert typer.main.get_command(app).main(arguments, standalone_mode=False) == 0
        return capsys.readouterr().out

    return show


def test_help_is_short_on_a_narrow_screen_and_uses_a_wide_one(shown):
    narrow, wide = (shown(columns, "train", "--help").splitlines() for columns in (80, 200))
    assert max(map(len, narrow)) < 80 < max(map(len, wide)) <= 120
    assert len(wide) < len(narrow) <= 56


def test_each_command_has_its_whole_line_at_80_columns(shown):
    text = shown(80, "--help")
    for name, command in COMMANDS.items():
        assert f"  {name:8}  {command.help.splitlines()[0]}\n" in text


@pytest.mark.parametrize("name", COMMANDS)
def test_help_shows_examples_that_can_be_typed(run, name):
    lines = run(name, "--help").stdout.splitlines()
    typed = [line.strip() for line in lines if line.startswith("  lstmcli ")]
    assert typed == list(EXAMPLES[name])
    for line in typed:
        assert line.startswith(f"lstmcli {name}")
        parses(line.partition(" > ")[0])


def test_no_command_at_all_shows_the_help_and_no_error(run):
    result = run(exit_code=2)
    assert "generate" in result.output
    assert "error:" not in result.output


def test_version_is_the_packages(run):
    assert run("--version").stdout == f"lstmcli {__version__}\n"


WATCHED = """
import atexit, sys
heavy = {"tensorflow", "keras"}
atexit.register(lambda: print("loaded", *sorted(heavy & sys.modules.keys()), file=sys.stderr))
from lstmcli.__main__ import main; main()
"""


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["train", "--help"],
        ["generate", "x.csv"],
        ["inspect", "{run}"],
        ["plot", "{run}", "--output", "x.svg"],
        ["report", "{run}", "--output", "x.html"],
        ["runs", "{run}"],
        ["train", "--layers", "0"],
    ],
)
def test_what_needs_no_tensorflow_loads_none(arguments, python, trained):
    command = [sys.executable, "-c", WATCHED, *(each.format(run=trained) for each in arguments)]
    done = subprocess.run(command, capture_output=True, check=False, **python)
    assert done.returncode == (2 if "0" in arguments else 0)
    assert done.stderr.splitlines()[-1] == "loaded"


# --- train


def test_train_results_go_to_standard_output_and_a_line_an_epoch_to_standard_error(run):
    options = ["--series-length", 1507, "--epochs", 3, "--layers", 1]
    result = run("train", *options, "--json", "--progress", "plain", "--out", "run")
    _, data, *lines = result.stderr.splitlines()
    assert "7 steps left over at the rows' ends are not used" in data
    assert [line[:9] for line in lines[4:]] == [f"epoch {n}/3" for n in (1, 2, 3)]
    found = json.loads(result.stdout)
    assert (found["run"], found["status"]) == ("run", "completed")
    with Path("run/metrics.csv").open(newline="") as file:
        last = list(csv.DictReader(file))[-1]
    [row] = found["results"]
    assert list(row) == list(last)
    assert {name: float(cell) for name, cell in last.items()} == row


def test_train_without_progress_says_nothing_and_ends_with_where_things_are_and_what_is_next(run):
    Path("runs").mkdir()
    Path("runs/latest").symlink_to("older")
    options = ["--series-length", 150, "--epochs", 1, "--layers", 1]
    result = run("train", *options, "--progress", "none")
    [directory] = [path for path in Path("runs").iterdir() if not path.is_symlink()]
    assert re.fullmatch(r"\d{4}-\d\d-\d\d-\d{6}-echo-1x4", directory.name)
    assert Path("runs/latest").readlink() == Path(directory.name)
    assert result.stderr == ""
    assert f"run: {directory}\n" in result.stdout
    assert f"next: lstmcli eval {directory}\n" in result.stdout
    assert "epoch 1/1" not in result.stdout


def test_a_runs_config_trains_the_same_thing_again_and_an_option_beats_it(run, trained):
    run("train", "--config", trained / "config.toml", "--epochs", 2, "--out", "again")
    times = ["epoch_seconds", "elapsed_seconds"]
    first, second = (
        pd.read_csv(directory / "metrics.csv", dtype=str).drop(columns=times)
        for directory in (trained, Path("again"))
    )
    assert second.epoch.max() == "2"
    assert second.equals(first[first.epoch <= "2"])


# --- eval


@pytest.fixture(scope="module")
def scored(run, trained, tmp_path_factory):
    """What `eval` says of the small run, as JSON, and its predictions."""
    path = tmp_path_factory.mktemp("scored") / "predictions.csv"
    result = run("eval", trained, "--json", "--predictions", path)
    return json.loads(result.stdout), pd.read_csv(path)


def test_eval_gives_the_contracts_keys_for_each_seed(scored, trained):
    found, _ = scored
    assert list(found) == ["checkpoint", "data", "results", "epochs"]
    assert found["checkpoint"] == str(trained / "checkpoints" / "best.safetensors")
    assert [list(result) for result in found["results"]] == [RESULT] * 3
    for seed, result in enumerate(found["results"]):
        assert (result["seed"], result["labels"]) == (seed, 1500)
        drawn = echo.generate(DataConfig(series_length=1530), generator(seed, Stream.TEST))
        floor = echo.bayes_floor(drawn, ContiguousWindows(1530, 5, 15))
        assert result["bayes_loss"] == floor.loss
        assert result["gap"] == pytest.approx(result["loss"] - floor.oracle)
        assert 0.3 < result["loss"] < 0.8


def test_predictions_hold_the_test_series_in_its_order(scored):
    _, predictions = scored
    names = ["seed", "step", "row", "input", "label", "probability_0", "probability_1"]
    assert list(predictions) == names
    task = DataConfig(series_length=1530)
    for seed, own in predictions.groupby("seed"):
        series = echo.generate(task, generator(seed, Stream.TEST))
        for name, values in (("input", series.numbers[:, 0]), ("label", series.targets)):
            expected = values.reshape(5, 306)[:, :300].ravel()
            np.testing.assert_array_equal(own[name], expected)
        assert own.row.tolist() == np.repeat(range(5), 300).tolist()
        assert own.step.tolist() == list(range(300)) * 5


def test_eval_figures_can_be_recomputed_from_its_predictions(scored):
    found, predictions = scored
    for result in found["results"]:
        own = predictions[predictions.seed == result["seed"]]
        probabilities = own[["probability_0", "probability_1"]].to_numpy()
        np.testing.assert_allclose(probabilities.sum(1), 1, atol=1e-6)
        chosen = probabilities[np.arange(len(own)), own.label]
        assert -np.log(chosen).mean() == pytest.approx(result["loss"], rel=1e-6)
        assert (probabilities.argmax(1) == own.label).mean() == result["accuracy"]


def test_eval_takes_a_checkpoint_file_and_settings_of_the_task(run, trained):
    last = trained / "checkpoints" / "last.safetensors"
    found = json.loads(run("eval", last, "--echo-step", 0, "--json").stdout)
    assert found["checkpoint"] == str(last)
    assert [result["bayes_loss"] for result in found["results"]] == [0, 0, 0]


def test_eval_scores_the_test_part_of_a_dataset_and_shows_who_was_taken_for_whom(
    run, trained_on_file
):
    result = run("eval", trained_on_file, "--predictions", "p.csv")
    assert "(test part)" in result.stdout
    predictions = pd.read_csv("p.csv")
    data = pd.read_csv(trained_on_file.parent / "data.csv").tail(300)
    assert predictions.label.tolist() == data.target.tolist()
    symbols = data[["input_0", "input_1", "input_2"]].to_numpy().argmax(1)
    assert predictions.input.tolist() == symbols.tolist()

    guesses = predictions.filter(like="probability").to_numpy().argmax(1)
    expected = pd.crosstab(predictions.label, guesses).reindex(columns=range(3), fill_value=0)
    printed = [re.findall(r"\d+", line) for line in result.stdout.splitlines()]
    for label, counts in expected.iterrows():
        assert [str(label), *map(str, counts)] in printed


def test_eval_scores_a_dataset_whole(run, trained_on_file):
    data = trained_on_file.parent / "data.csv"
    found = json.loads(run("eval", trained_on_file, "--data", data, "--json").stdout)
    assert found["data"] == str(data)
    assert found["results"][0]["labels"] == 3000


def test_eval_replaces_predictions_when_asked_and_no_other_file(run, trained_on_file):
    Path("mine.csv").write_text("input,target\n1,0\n")
    stderr = run("eval", trained_on_file, "--predictions", "mine.csv", exit_code=2).stderr
    assert "`mine.csv` already exists" in stderr
    assert Path("mine.csv").read_text() == "input,target\n1,0\n"
    Path("new.csv").touch()
    run("eval", trained_on_file, "--predictions", "new.csv")
    run("eval", trained_on_file, "--predictions", "new.csv", exit_code=2)
    run("eval", trained_on_file, "--predictions", "new.csv", "--overwrite")
    os.mkfifo("device")
    run("eval", trained_on_file, "--predictions", "device", exit_code=2)
    assert not Path("device").is_file()


def test_predictions_that_cannot_be_written_are_named_as_they_were_asked_for(
    run, trained_on_file, monkeypatch
):
    def full(handle):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    stderr = run("eval", trained_on_file, "--predictions", "p.csv", exit_code=1).stderr
    assert "cannot read or write `p.csv`: No space left" in stderr


# --- datasets


def dataset(path, labels):
    lines = [f"{step % 2},{label}" for step, label in enumerate(labels)]
    Path(path).write_text("\n".join(["input,target", *lines, ""]))


def test_a_class_without_a_label_is_said_in_train_and_eval(run):
    dataset("x.csv", [1, 2] * 400)
    note = "note: class 0 never occurs in `x.csv"
    quick = ["--epochs", 1, "--layers", 1, "--out", "run"]
    assert note in run("train", "--data", "x.csv", *quick).stderr
    assert note in run("eval", "run").stderr
    assert note in run("eval", "run", "--data", "x.csv").stderr


def test_until_solved_is_refused_where_it_is_not_known_what_solved_is(run):
    dataset("x.csv", [0, 1] * 400)
    error = run("train", "--data", "x.csv", "--until-solved", "--out", "run", exit_code=2).stderr
    assert "`--until-solved` has no effect" in error
    assert not Path("run").exists()
    run("generate", "ours.npz", "--series-length", 1000)
    quick = ["--epochs", 1, "--layers", 1]
    run("train", "--data", "ours.npz", "--until-solved", *quick, "--out", "run")
    Path("mine.toml").write_text('[data]\ndata = "x.csv"\n[training]\nuntil_solved = true\n')
    run("train", "--config", "mine.toml", *quick, "--out", "mine", exit_code=2)


def test_the_config_of_a_run_on_a_dataset_says_nothing_of_drawn_series(run, trained_on_file):
    saved = tomllib.loads((trained_on_file / "config.toml").read_text())
    fractions = {"val_fraction": 0.1, "test_fraction": 0.1, "split_seed": 0}
    assert saved["data"] == {"data": "../data.csv", **fractions}
    run("train", "--config", trained_on_file / "config.toml", "--epochs", 1, "--out", "again")


# --- what is to be pasted


def pasted(text, word):
    """The command after a word, as a shell would take it apart."""
    [line] = [line for line in text.splitlines() if line.startswith(word)]
    command = re.search(r"`(.*)`", line)
    return shlex.split(command[1] if command else line.removeprefix(word))[1:]


@pytest.mark.parametrize("name", ["rün 1", "it's; $HOME", "-r"])
def test_every_command_that_is_shown_can_be_pasted(run, name):
    quick = ["--epochs", 1, "--layers", 1]
    made = run("generate", "--series-length", 1000, "--", f"{name}.npz").stdout
    trained = run(*pasted(made, "next: "), *quick, f"--out={name}").stdout
    assert f"data: {name}.npz" in run(*pasted(trained, "next: ")).stdout
    missing = run("train", f"--data={name}-2.npz", exit_code=4).stderr
    run(*pasted(missing, "hint: "), "--series-length", 100)


def test_the_program_runs_as_a_module(python):
    command = [sys.executable, "-m", "lstmcli", "--version"]
    done = subprocess.run(command, capture_output=True, check=True, **python)
    assert done.stdout == f"lstmcli {__version__}\n"


# --- generate, inspect, devices


def test_generate_says_what_it_wrote(run):
    found = json.loads(run("generate", "x.npz", "--json").stdout)
    assert found["floor"]["bayes_loss"] == pytest.approx(2.0210560570848535e-04)
    assert {"file", "sha256", "seed", "series_length", "echo_step", "classes", "noise"} <= set(
        found
    )
    text = run("generate", "y.csv", "--classes", 3, "--echo-step", 5).stdout
    assert "50,000 steps, 3 inputs per step" in text
    assert "echo after 5 steps, 3 classes" in text
    assert "next: lstmcli train --data y.csv" in text


def test_generate_needs_no_room_for_a_window_and_gives_a_floor_only_where_it_means_something(run):
    result = run("generate", "x.csv", "--series-length", 60)
    assert "60 steps" in result.stdout
    assert "Bayes loss" not in result.stdout
    assert "floor" not in json.loads(Path("x.json").read_text())


def test_generate_leaves_the_metadata_of_another_dataset_alone(run):
    Path("x.json").write_text("mine")
    assert "`x.json`" in run("generate", "x.csv", exit_code=2).stderr
    assert Path("x.json").read_text() == "mine"
    assert not Path("x.csv").exists()


def test_inspect_says_how_long_the_tensors_of_a_checkpoint_were_trained(run, trained):
    best, last = (
        run("inspect", trained / "checkpoints" / f"{which}.safetensors").stdout
        for which in ("best", "last")
    )
    assert "trained: each seed to the epoch of its lowest validation loss" in best
    assert "seed 2: lowest validation loss" in best
    assert "trained: 3 epochs, 60 windows" in last


def test_inspect_shows_the_articles_network(run, trained):
    text = run("inspect", trained).stdout
    for words in ("lstm.0", "lstm.1", "dense", "250", "[2, 2, 5, 4]", "[1, 16]", "15 steps"):
        assert words in text
    assert "seed 2, layer 1, h:" not in text
    assert "seed 2, layer 1, h:" in run("inspect", trained, "--state").stdout


def test_inspect_as_json_counts_parameters_and_gives_the_state(run, trained):
    found = json.loads(run("inspect", trained, "--json").stdout)
    # 4 S (F + S + 1), 4 S (2 S + 1), (S + 1) C
    assert [layer["parameters"] for layer in found["layers"]] == [96, 144, 10]
    assert found["parameters"] == 250
    assert np.shape(found["state"]["2"]) == (2, 2, 5, 4)
    assert found["config"]["data"]["series_length"] == 1530
    assert found["position"] == {"epoch": 3, "window": 0, "step": 60}


def test_devices_lists_this_machines_as_json(run):
    found = json.loads(run("devices", "--json").stdout)
    assert "cpu:0" in found["devices"]
    assert found["auto"] in found["devices"]


# --- errors


def test_only_debug_shows_a_traceback(run):
    quiet = run("inspect", "none", exit_code=4)
    loud = run("inspect", "none", "--debug", exit_code=4)
    also = run("--debug", "inspect", "none", exit_code=4)
    assert "Traceback" not in quiet.output
    assert "Traceback (most recent call last)" in loud.stderr
    assert loud.stderr == also.stderr
    assert loud.stderr.endswith(quiet.stderr)


def test_an_error_in_the_program_itself_is_still_no_traceback(run, trained, monkeypatch):
    def broken(description):
        raise ZeroDivisionError("by chance")

    monkeypatch.setattr(inspect, "_print_layers", broken)
    result = run("inspect", trained, exit_code=1)
    assert result.stderr.startswith("error: unexpected error: ZeroDivisionError: by chance\n")
    assert "hint: `--debug`" in result.stderr
    assert "Traceback" not in result.stderr
