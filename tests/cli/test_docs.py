"""The papers are true: the README's commands can be typed and run, the examples too.

Running them takes minutes and is slow therefore; that each can be typed is looked at in a second.
"""

import html
import json
import os
import re
import runpy
import shlex
import subprocess
import sys
import tomllib
from dataclasses import fields
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import jsonschema
import pandas as pd
import pytest

import docs_run
import lstmcli
import screenshots
from command_lines import COMMANDS, OF_ALL, in_shell, options_of, parses
from lstmcli import api
from lstmcli.config import Config, SweepConfig
from lstmcli.training.metrics import EpochRow

ROOT = Path(__file__).parents[2]
QUICK = ["--epochs", "2", "--series-length", "3000"]
SWEEP = ["--dry-run"]  # test_sweep.py runs sweeps.


README = (ROOT / "README.md").read_text()
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]


def readme_commands(text=README):
    lines = (command for line in docs_run.commands(text) for command in in_shell(line))
    return [shlex.split(line)[1:] for line in lines]


def shorter(command):
    """A command of the README, with what makes it take less time."""
    if "--resume" in command:  # Of a run that was made shorter.
        return [*command[:3], *(["--epochs", "3"] if "--epochs" in command else [])]
    if command[0] == "train" and "--sequence-length" not in command:
        on_file = {"--data", "--config"} & set(command)
        return [*command, *(QUICK[:2] if on_file else QUICK)]
    if command[0] == "sweep":  # One with a directory is reported on later.
        return [*command, *(QUICK[:2] if "--out" in command else SWEEP)]
    return command


@pytest.mark.parametrize("page", PAGES, ids=[str(page.relative_to(ROOT)) for page in PAGES])
def test_the_commands_and_options_of_a_page_exist(page):
    text = page.read_text()
    for line in docs_run.commands(text):
        for command in in_shell(line):
            parses(command)
    for quoted in re.findall(r"`(lstmcli [^`]+)`", text):
        assert quoted.split()[1] in {*COMMANDS, "COMMAND", *OF_ALL}, quoted
    known = set().union(*map(options_of, COMMANDS))
    for option in re.findall(r"`(--[a-z][a-z-]+)", text):
        assert option in known | OF_ALL, option


def test_a_command_is_found_in_a_line_of_a_shell():
    line = "A=1 .venv/bin/lstmcli predict r x.csv | head -3 && cat y; lstmcli runs > 'a b' 2>&1"
    assert list(in_shell(line)) == ["lstmcli predict r x.csv", "lstmcli runs"]
    assert not list(in_shell("pip install lstmcli"))


@pytest.mark.slow
@pytest.mark.parametrize("page", docs_run.pages(), ids=lambda page: page.stem)
def test_the_outputs_of_a_page_are_what_is_printed(page):
    text = page.read_text()
    assert not docs_run.differences(text, docs_run.run_page(text)), "`make docs-run` writes them"


def test_a_stale_word_of_a_page_is_found_and_another_time_is_not():
    old = "| seed 0: loss 0.581, 3 epochs  1.25 s\nrun: 2026-11-28-120000 in 0:17\n"
    assert not docs_run.differences(old, old.replace("1.25 s", "8 s").replace("0:17", "1:17"))
    assert not docs_run.differences(
        old, old.replace("0.581", "0.575").replace("epochs  ", "epochs ")
    )
    assert not docs_run.differences(old, old.replace("28-120000", "29-130000"))
    assert docs_run.differences(old, old.replace("seed", "sead"))
    assert docs_run.differences(old, old.replace("0.581", "0.60"))
    assert docs_run.differences(old, old.replace("3 epochs", "4 epochs"))
    assert docs_run.differences("loss 0.00032\n", "loss 0.00035\n")
    assert not docs_run.differences("loss 3.2e-04\n", "loss 3.3e-04\n")
    assert docs_run.differences(old, old + "more\n") == [("", "more")]
    assert docs_run.differences(old, "more\n" + old) == [("", "more")]


def test_a_page_is_run_and_its_outputs_are_written():
    page = """# Page
<!-- $ echo one > file -->
```console
$ cat file \\
    file
stale
$ python -c "print(2)"
```
```pycon
>>> a = 3
>>> for each in range(2):
...     print(a + each)
...
stale
>>> a
```
```sh
rm -rf everything
```
"""
    new = docs_run.run_page(page)
    assert new == (
        page.replace("    file\nstale\n", "    file\none\none\n")
        .replace('print(2)"\n', 'print(2)"\n2\n')
        .replace("...\nstale\n>>> a\n", "...\n3\n4\n>>> a\n3\n")
    )
    assert docs_run.run_page(new) == new


@pytest.mark.slow
def test_a_screenshot_shows_the_frame_with_a_few_wrong_and_fetches_no_font(tmp_path, monkeypatch):
    bar, back = "\x1b[38;5;197m━━\x1b[0m", "\r\x1b[2K\x1b[1A\x1b[2K"
    frames = [f"epoch {n} {bar}\r\n{wrong} of 75 wrong" for n, wrong in enumerate([39, 9, 0])]
    frame = screenshots.frame_of(back.join(["loading", *frames]))
    assert frame == frames[1]
    monkeypatch.setattr(screenshots, "IMAGES", tmp_path)
    screenshots.write_svg("live", "lstmcli train", frame)
    drawn = (tmp_path / "live.svg").read_text()
    shown = html.unescape(re.sub(r"<[^>]*>", "", drawn)).replace("\xa0", " ")
    for text in ("lstmcli train", "epoch 1 ", "9 of 75 wrong"):
        assert text in shown
    assert "font-face" not in drawn


def test_the_readmes_commands_run_one_after_the_other(run, tmp_path):
    subprocess.run([sys.executable, ROOT / "examples" / "room.py"], check=True)
    (tmp_path / "book.txt").write_text(README)
    commands = [command for command in readme_commands() if "COMMAND" not in command]
    commands = list(map(list, dict.fromkeys(map(tuple, commands))))  # A hidden one comes twice.
    assert len(commands) >= 10
    for command in commands:
        run(*shorter(command))


def readmes_python():
    """What the README's block of Python says first, and its last expression."""
    [block] = re.findall(r"```python\n(import lstmcli\n.*?)```", README, re.DOTALL)
    *lines, last = block.strip().splitlines()
    return "\n".join(lines), last.split("  #")[0]


def test_the_readmes_python_asks_for_what_exists(monkeypatch, tmp_path):
    columns = [spec.name for spec in fields(EpochRow)]
    rows = pd.DataFrame({name: [0.5, 0.25] for name in columns}).assign(seed=[0, 1])
    rows.to_csv(tmp_path / "metrics.csv")

    def train(**settings):
        Config.build(**settings)
        return api.TrainedRun(tmp_path)

    def sweep(layers, **settings):
        names = {spec.name for spec in fields(SweepConfig)}
        swept = {name: settings.pop(name) for name in names & settings.keys()}
        SweepConfig(**swept)
        for depth in layers:
            Config.build(layers=depth, **settings)
        return SimpleNamespace(answer="enough")

    monkeypatch.setattr(lstmcli, "train", train)
    monkeypatch.setattr(lstmcli, "sweep", sweep)
    lines, last = readmes_python()
    names = {}
    exec(lines, names)
    assert eval(last, names) == "enough"
    monkeypatch.setattr(sys, "argv", ["from_python.py", "3"])
    runpy.run_path(str(ROOT / "examples" / "from_python.py"))


@pytest.mark.slow
def test_the_readmes_python_runs(monkeypatch):
    for verb in ("train", "sweep"):
        monkeypatch.setattr(api, verb, partial(getattr(api, verb), series_length=1500))
    lines, last = readmes_python()
    names = {}
    exec(lines, names)
    assert len(names["run"].metrics) == 4 * 10
    assert "enough" in eval(last, names)


@pytest.fixture
def environment(tmp_path):
    """The program that is under test, as `lstmcli` and `python` on the path."""
    script = tmp_path / "bin" / "lstmcli"
    script.parent.mkdir()
    entry = "from lstmcli.__main__ import main; main()"
    script.write_text(f"#!/bin/sh\nexec {shlex.quote(sys.executable)} -c '{entry}' \"$@\"\n")
    script.chmod(0o755)
    path = os.pathsep.join([str(script.parent), os.environ["PATH"]])
    return {**os.environ, "PATH": path, "PYTHONPATH": str(ROOT)}


@pytest.mark.parametrize("script", sorted((ROOT / "examples").glob("*.sh")), ids=lambda it: it.stem)
def test_the_commands_of_an_example_exist(script, tmp_path):
    """The script runs, with an `lstmcli` that notes what it is asked for."""
    for name, body in [("lstmcli", 'printf "%s\\0" "$@" "" >> commands'), ("python", "cat")]:
        (tmp_path / name).write_text(f"#!/bin/sh\n{body}\n")
        (tmp_path / name).chmod(0o755)
    path = os.pathsep.join([str(tmp_path), os.environ["PATH"]])
    command = ["sh", str(script), *QUICK]
    subprocess.run(command, env={**os.environ, "PATH": path}, cwd=tmp_path, check=True)
    asked = (tmp_path / "commands").read_text().removesuffix("\0\0").split("\0\0")
    assert any("3000" in each for each in asked)
    for each in asked:
        parses(shlex.join(["lstmcli", *each.split("\0")]))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["article.sh", "longer_echo.sh"])
def test_example_script_runs(name, environment, tmp_path):
    command = ["sh", str(ROOT / "examples" / name), *QUICK]
    subprocess.run(command, env=environment, cwd=tmp_path, check=True, capture_output=True)
    assert list(tmp_path.glob("*/checkpoints/best.safetensors"))


def test_example_of_a_sweep_plans_thirty_settings(environment, tmp_path):
    command = ["sh", str(ROOT / "examples" / "depth_and_echo.sh"), "--dry-run"]
    done = subprocess.run(
        command, env=environment, cwd=tmp_path, check=True, capture_output=True, text=True
    )
    assert "240 trials, 240 to run" in done.stdout


@pytest.mark.slow
def test_examples_of_papers_train_and_sweep(environment, tmp_path):
    scripts = [("forget_bias.sh", ["--dry-run"]), ("temporal_order.sh", ["--epochs", "1"])]
    for name, shorter in scripts:
        command = ["sh", str(ROOT / "examples" / name), *shorter]
        subprocess.run(command, env=environment, cwd=tmp_path, check=True, capture_output=True)
    assert (tmp_path / "temporal-order" / "run.json").exists()


@pytest.mark.slow
def test_example_of_what_layers_do_trains_and_probes_three_depths(environment, tmp_path):
    command = ["sh", str(ROOT / "examples" / "what_layers_do.sh"), *QUICK, "--replicas", "2"]
    done = subprocess.run(
        command, env=environment, cwd=tmp_path, check=True, capture_output=True, text=True
    )
    assert done.stdout.count("holds: the lags at which") == 3
    assert (tmp_path / "what_layers_do.png").stat().st_size > 5000


@pytest.mark.slow
def test_example_from_python_prints_every_seed(environment, tmp_path):
    command = [sys.executable, str(ROOT / "examples" / "from_python.py"), "1"]
    done = subprocess.run(
        command, env=environment, cwd=tmp_path, check=True, capture_output=True, text=True
    )
    assert re.findall(r"^seed (\d): [\d.]+ nats", done.stdout, re.MULTILINE) == list("0123")


def test_what_a_run_has_written_fits_the_schema_in_the_reference(trained):
    schema = json.loads((ROOT / "docs" / "reference" / "schemas" / "run.json").read_text())
    status = json.loads((trained / "run.json").read_text())
    jsonschema.validate(status, schema)
    for name, wrong in {"seeds": ["0"], "version": 1, "epochs": -1}.items():
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate({**status, name: wrong}, schema)


def test_no_hint_names_a_package_that_is_not_there():
    """lstmcli is installed from its source; what comes with it are its extras."""
    code = "".join(file.read_text() for file in (ROOT / "lstmcli").rglob("*.py"))
    assert set(re.findall(r"pip install [^{` ]+", code)) == {"pip install '.["}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    named = set(re.findall(r"\binstall\([\"'](\w+)[\"']\)", code))
    assert named == {"gpu", "onnx", "ray", "tensorboard"}
    assert named <= set(project["optional-dependencies"])


def test_no_paper_or_program_names_a_path_of_a_machine():
    named = re.compile(r"/(?:root|home|work|tmp/dev)/")
    folders = (ROOT / name for name in ("docs", "lstmcli", "examples", "benchmarks", "tests"))
    files = [*ROOT.glob("*.*"), *(file for folder in folders for file in folder.rglob("*.*"))]
    texts = [file for file in files if file.suffix in {".md", ".toml", ".py", ".sh", ".c"}]
    assert len(texts) > 50
    assert not [str(file) for file in texts if named.search(file.read_text())]
