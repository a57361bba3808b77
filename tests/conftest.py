"""What the tests share: the program run in this process, and small runs that are there already."""

import functools
import io
import json
import os
import re
import signal
import subprocess
import sys
import traceback
from pathlib import Path

import pytest
from hypothesis import settings
from matplotlib.figure import Figure
from typer import testing
from typer.testing import CliRunner

from lstmcli.cli.app import app
from lstmcli.reporting.figures import style
from lstmcli.utils.files import FIGURE_MARKS, write_atomically
from sweeping import COMMAND

ROOT = Path(__file__).parent.parent
SMALL = ("--series-length", "1530", "--epochs", "3", "--layers", "2")  # 20 windows, 30 steps over

# The commands are made of their signatures once, as in a process: that takes longer than most.
testing._get_command = functools.cache(testing._get_command)
signal.signal(signal.SIGINT, signal.default_int_handler)  # A shell's background job has none.


def pytest_configure(config):
    """What hypothesis draws is the same each time, but where a seed is named: `make torture`."""
    seeded = config.getoption("--hypothesis-seed") is not None
    settings.register_profile("lstmcli", deadline=None, derandomize=not seeded)
    settings.load_profile("lstmcli")


def pytest_addoption(parser):
    parser.addoption(
        "--replica-examples", type=int, default=6, help="settings that test_replicas.py tries"
    )
    parser.addoption(
        "--kills", type=int, default=6, help="how often test_kills_of_every_kind.py kills a run"
    )
    parser.addoption("--kill-seed", type=int, default=0, help="draws the runs and the moments")
    parser.addoption("--long-run", type=int, default=0, help="1: test_long_runs.py trains longer")
    parser.addoption(
        "--damages", type=int, default=20, help="random damages that each test of damage tries"
    )
    parser.addoption(
        "--fuzz-examples", type=int, default=100, help="files that test_fuzz.py gives each reader"
    )
    parser.addoption("--damage-seed", type=int, default=0, help="from which they are drawn")


@pytest.fixture(scope="session")
def replica_examples(request):
    return request.config.getoption("--replica-examples")


@pytest.fixture(scope="session")
def kills(request):
    return request.config.getoption("--kills")


@pytest.fixture(scope="session")
def few_kills(kills):
    """Of one kind of run: those of every kind together are many more."""
    return max(2, kills // 20)


@pytest.fixture(scope="session")
def long_run(request):
    return bool(request.config.getoption("--long-run"))


@pytest.fixture(scope="session")
def damage_count(request):
    return request.config.getoption("--damages")


@pytest.fixture(scope="session")
def fuzz_examples(request):
    return request.config.getoption("--fuzz-examples")


@pytest.fixture(scope="session")
def damage_seed(request):
    return request.config.getoption("--damage-seed")


@pytest.fixture(autouse=True)
def inside_tmp_path(tmp_path, monkeypatch):
    """Relative paths, `runs/` among them, end up in the test's own directory."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="session")
def blank_figure():
    """The bytes of a figure of lstmcli in which nothing is drawn."""
    content = io.BytesIO()
    Figure(figsize=(0.1, 0.1)).savefig(content, format="png", metadata=FIGURE_MARKS[".png"][0])
    return content.getvalue()


@pytest.fixture(autouse=True)
def quick_figures(request, monkeypatch, blank_figure):
    """Figures are made, and rendered only where they count: that takes as long as a small run."""
    if "figures" not in request.keywords:
        render = style.save

        def save(figure, path):
            if path.suffix.lower() == ".png":
                write_atomically(path, blank_figure)
            else:
                render(figure, path)

        monkeypatch.setattr(style, "save", save)


@pytest.fixture(scope="session")
def run():
    """`run("train", "--epochs", 1)` as a user would type it; fails on another exit code."""

    def invoke(*arguments, exit_code=0):
        result = CliRunner().invoke(app, [str(argument) for argument in arguments])
        if result.exit_code != exit_code:
            trace = "".join(traceback.format_exception(result.exception))
            pytest.fail(f"exit code {result.exit_code}, not {exit_code}:\n{result.output}\n{trace}")
        return result

    return invoke


@pytest.fixture(scope="session")
def small():
    """The options of the small run `trained`, but for its three replicas."""
    return SMALL


@pytest.fixture(scope="session")
def trained(run, tmp_path_factory):
    """The directory of a small finished run of the seeds 0, 1 and 2. Not to be written to."""
    directory = tmp_path_factory.mktemp("trained") / "run"
    run("train", *SMALL, "--replicas", 3, "--out", directory)
    return directory


@pytest.fixture(scope="session")
def trained_on_file(run, tmp_path_factory):
    """A run on a dataset of three classes, `data.csv` beside it. Not to be written to."""
    directory = tmp_path_factory.mktemp("trained_on_file")
    data = directory / "data.csv"
    run("generate", data, "--series-length", 3000, "--classes", 3, "--echo-step", 1)
    run("train", "--data", data, "--epochs", 2, "--layers", 1, "--out", directory / "run")
    return directory / "run"


@pytest.fixture(scope="session")
def python():
    """Keywords for a subprocess in Python that imports the package under test."""
    ours = re.compile("(LSTMCLI_GIVEN_)?(TF_)?XLA_FLAGS|TF_OVERRIDE_GLOBAL_THREADPOOL")
    known = {name: value for name, value in os.environ.items() if not ours.fullmatch(name)}
    return {"env": {**known, "PYTHONPATH": str(ROOT)}, "text": True}


@pytest.fixture
def forks(python, tmp_path):
    """What forks a process for each command line: see `forks.py`."""
    command, pipe = [sys.executable, str(ROOT / "tests" / "support" / "forks.py")], subprocess.PIPE
    process = subprocess.Popen(command, stdin=pipe, stdout=pipe, cwd=tmp_path, bufsize=1, **python)
    yield process
    process.stdin.close()
    process.stdout.close()
    process.wait()


@pytest.fixture(scope="session")
def swept(tmp_path_factory, run):
    """A finished sweep's directory and what it printed as JSON. Not to be written to."""
    out = tmp_path_factory.mktemp("sweep") / "s"
    return out, json.loads(run(*COMMAND, "--out", str(out), "--json").stdout)
