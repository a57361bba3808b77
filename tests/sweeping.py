"""What the tests of sweeps share: a small one, and a process that runs it."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd

from lstmcli.config import Config
from lstmcli.sweeps import grid

TINY = {"series_length": 1500, "epochs": 3}
COMMAND = ["sweep", "--layers", "1,2", "--seeds", "2", "--series-length", "1500", "--epochs", "3"]
TIMES = ["epoch_seconds", "elapsed_seconds"]


def settings(**more):
    base = Config.build(**{**TINY, "replicas": 2, "checkpoint_every": "1000", **more})
    return grid.expand(base, {"layers": [1, 2]}, None)


def without_times(path):
    table = pd.read_csv(path)
    return table.drop(columns=[name for name in TIMES if name in table])


def start(out, *more, first=""):
    """A sweep in a process group of its own.

    Args:
        out: its directory.
        more: options.
        first: Python that the process begins with.
    """
    code = f"{first}\nfrom lstmcli.__main__ import main; main()"
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent)}
    return subprocess.Popen(
        [sys.executable, "-c", code, *COMMAND, "--out", str(out), *more],
        env=environment, start_new_session=True, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def is_alive(group):
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def wait_for(path, seconds=120):
    deadline = time.monotonic() + seconds
    while not path.exists():
        assert time.monotonic() < deadline, f"{path} never came"
        time.sleep(0.05)
