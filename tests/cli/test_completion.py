"""What shells complete: in a real bash, and in a real zsh and fish where these are installed."""

import os
import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from command_lines import COMMANDS
from lstmcli.config import OPTIMIZERS

ENTRY = "import sys; sys.argv[0] = 'lstmcli'; from lstmcli.__main__ import main; main()"


@pytest.fixture
def environment(python, tmp_path):
    """`lstmcli` on the path, and a home in which no shell has settings."""
    script = tmp_path / "bin" / "lstmcli"
    script.parent.mkdir()
    script.write_text(
        f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -c {shlex.quote(ENTRY)} "$@"\n'
    )
    script.chmod(0o755)
    path = os.pathsep.join([str(script.parent), os.environ["PATH"]])
    return {**python["env"], "PATH": path, "HOME": str(tmp_path)}


@pytest.fixture
def runs():
    for name, file in (("first", "run.json"), ("second", "run.json"), ("deep", "sweep.toml")):
        Path("runs", name).mkdir(parents=True)
        Path("runs", name, file).touch()
    Path("runs", "no-run").mkdir()
    Path("readme.txt").touch()


def spoken(command, environment, **more):
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, check=True, timeout=60, **more
    )
    assert done.stderr == ""
    return done.stdout.splitlines()


IN_BASH = {
    "lstmcli s": "sweep sample",
    "lstmcli --ver": "--version",
    "lstmcli train --la": "--layers --labels",
    "lstmcli train --optimizer ": " ".join(OPTIMIZERS),
    "lstmcli train --device ": "auto cpu gpu",
    "lstmcli sweep --optimizer adam,s": "adam,sgd",
    "lstmcli export --format k": "keras",
    "lstmcli train --help": "--help-all --help",
    "lstmcli sweep --layers 1-3 --backend l": "local",
    "lstmcli train --progress p": "plain",
    "lstmcli eval ": "runs/deep runs/first runs/second",
    "lstmcli train --resume runs/f": "runs/first",
    "lstmcli probe runs/first runs/s": "runs/second",
    "lstmcli plot nowhere": "",  # There bash completes files.
}


def test_bash_completes_commands_options_choices_and_runs(environment, runs):
    lines = ['eval "$(lstmcli --show-completion)"']
    for typed in IN_BASH:
        *words, last = typed.split(" ")
        typing = " ".join([*words, shlex.quote(last)])
        lines.append(f"COMP_WORDS=({typing}) COMP_CWORD={len(words)}; _lstmcli_completion lstmcli")
        lines.append('echo "${COMPREPLY[*]}"')
    found = spoken(["bash", "--norc", "-c", "\n".join(lines)], environment)
    assert dict(zip(IN_BASH, found, strict=True)) == IN_BASH


ZSH = """
compdef() { : }
_files() { print files }
_arguments() { local list=${1#*: :}; print -rl -- ${(Q)${(z)list//[()]/ }} }
eval "$(lstmcli --show-completion)"
words=(%s) CURRENT=%d
_lstmcli_completion
"""
"""What is zsh's own says what it is asked for."""


@pytest.mark.skipif(not shutil.which("zsh"), reason="there is no zsh here")
@pytest.mark.parametrize(
    ("typed", "completed"),
    [
        ("lstmcli s", ["sweep", "sample"]),
        ("lstmcli train --la", ["--layers", "--labels"]),
        ("lstmcli train --optimizer a", ["adagrad", "adam"]),
        ("lstmcli train --device ", ["auto", "cpu", "gpu"]),
        ("lstmcli eval ", ["runs/deep", "runs/first", "runs/second"]),
        ("lstmcli plot nowhere", ["files"]),
    ],
)
def test_zsh_completes_commands_options_choices_and_runs(environment, runs, typed, completed):
    words = typed.split(" ")
    script = ZSH % (" ".join(map(shlex.quote, words)), len(words))
    assert spoken(["zsh", "-f", "-c", script], environment) == completed


@pytest.mark.skipif(not shutil.which("fish"), reason="there is no fish here")
@pytest.mark.parametrize(
    ("typed", "completed"),
    [
        ("lstmcli s", ["sample", "sweep"]),
        ("lstmcli train --la", ["--labels", "--layers"]),
        ("lstmcli train --optimizer a", ["adagrad", "adam"]),
        ("lstmcli train --device ", ["auto", "cpu", "gpu"]),
        ("lstmcli eval runs/", ["runs/deep", "runs/first", "runs/second"]),
    ],
)
def test_fish_completes_commands_options_and_runs(environment, runs, typed, completed):
    script = f"lstmcli --show-completion | source; complete -C {shlex.quote(typed)}"
    assert sorted(spoken(["fish", "--no-config", "-c", script], environment)) == completed


HEAVY = ("tensorflow", "numpy", "pandas", "rich", "pydantic")


def test_a_completion_loads_the_command_that_is_typed_and_nothing_heavy(environment):
    asked = {"_LSTMCLI_COMPLETE": "complete_bash", "COMP_WORDS": "lstmcli eval --da"}
    look = (
        "import atexit, sys\n"
        f"unwanted = {{*{HEAVY}, 'lstmcli.cli.train'}}\n"
        "atexit.register(lambda: print('loaded:', *(unwanted & set(sys.modules))))\n"
    )
    done = spoken([sys.executable, "-c", look + ENTRY], environment | asked | {"COMP_CWORD": "2"})
    assert done == ["--data", "--data-seed", "loaded:"]


def test_no_command_loads_anything_heavy_before_it_runs(environment):
    look = (
        "import sys, typer\nfrom lstmcli.cli.app import app\n"
        "names = [*map(str, typer.main.get_command(app).commands.values())]\n"
        f"print(len(names), {{*{HEAVY}}} & set(sys.modules))"
    )
    assert spoken([sys.executable, "-c", look], environment) == [f"{len(COMMANDS)} set()"]


@pytest.mark.slow
def test_a_completion_takes_less_than_three_tenths_of_a_second(environment):
    """Of the processor's time: others may be at work on this machine."""
    asked = {"_LSTMCLI_COMPLETE": "complete_bash", "COMP_CWORD": "2"}
    seconds = []
    for name in COMMANDS:
        given = environment | asked | {"COMP_WORDS": f"lstmcli {name} --"}
        before, begun = os.times(), time.perf_counter()
        assert "--help" in spoken(["lstmcli"], given)
        after, wall = os.times(), time.perf_counter() - begun
        used = after.children_user + after.children_system
        used -= before.children_user + before.children_system
        seconds.append(min(used, wall))
    assert sorted(seconds)[len(seconds) // 2] < 0.3, seconds
