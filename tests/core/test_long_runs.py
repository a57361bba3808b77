"""Runs of many epochs: memory does not grow, and nothing is compiled anew.

The suite trains some hundred epochs; `--long-run 1` trains 2,000 of echo and 100 of a text.
"""

import csv
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

SCRIPT = Path(__file__).parents[1] / "support" / "long_run.py"
WARM = 0.1
"""Share of the epochs before memory is held against: allocators fill their pools."""
GROWTH = 1.02
"""Of the highest of the last tenth over the highest of the first."""
TINY = {"series_length": 750, "layers": 1, "state_size": 4, "checkpoint_every": "50"}


def trained(python, **settings):
    """What a long run measured."""
    command = [sys.executable, str(SCRIPT), "run", json.dumps(settings)]
    done = subprocess.run(command, capture_output=True, check=False, **python)
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout)


def growth(resident):
    """The highest of the last tenth, in the highest of the first tenth after warming up."""
    epochs = len(resident)
    begin, tenth = round(WARM * epochs), epochs // 10
    return max(resident[-tenth:]) / max(resident[begin : begin + tenth])


def rows(name):
    """How many rows a table of the run has."""
    with (Path("run") / name).open(newline="") as file:
        return sum(1 for _ in csv.DictReader(file))


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="Linux tells a process's memory")
@pytest.mark.parametrize("kind", ["echo", "text"])
def test_a_long_run_needs_no_more_memory_at_its_end_and_compiles_once(kind, python, long_run):
    epochs = {"echo": 2000 if long_run else 300, "text": 100 if long_run else 30}[kind]
    settings = {**TINY, "epochs": epochs}
    if kind == "text":
        del settings["series_length"]
        letters = np.random.default_rng(0).choice(list("abcdefgh \n"), 60_000)
        Path("text.txt").write_text("".join(letters))
        settings |= {"data": "text.txt", "state_size": 16, "optimizer": "adam", "patience": 0}
    found = trained(python, **settings)
    assert len(found["resident"]) == epochs
    assert growth(found["resident"]) < GROWTH
    assert max(found["traces"]) == 1
    assert rows("metrics.csv") == epochs
    per_epoch = -(-rows("steps.csv") // epochs)
    assert rows("steps.csv") == per_epoch * epochs
