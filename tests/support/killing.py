"""Shared by tests that kill runs: when to kill them, and checks of what they leave."""

import time
from pathlib import Path

from lstmcli.training import checkpoint as checkpoints
from lstmcli.training.metrics import EpochRow, StepRow, columns
from lstmcli.training.run_dir import RunDirectory
from resumes import rows

OFTEN = "from lstmcli.sweeps import plan; plan.CHECKPOINTS = '0s'"


def assert_sound(path):
    """After any kill: checkpoints can be read, and no row is torn but perhaps the last."""
    directory = RunDirectory(path)
    for file in (directory.last, directory.previous, directory.best):
        if file.exists():
            checkpoints.read(file)
    for file, kind in ((directory.metrics, EpochRow), (directory.steps, StepRow)):
        lines = file.read_bytes().split(b"\r\n")[:-1] if file.exists() else []
        assert all(line.count(b",") == len(columns(kind)) - 1 for line in lines)


def assert_no_row_twice(path):
    for name in ("metrics.csv", "steps.csv"):
        keys = [tuple(row[:3]) for row in rows(path / name)]
        assert len(keys) == len(set(keys))
    epochs = [int(row[0]) for row in rows(path / "metrics.csv")]
    assert epochs == sorted(epochs)


def newest(path):
    """When something last changed in a run directory."""
    try:
        return max(each.stat().st_mtime_ns for each in path.rglob("*"))
    except (OSError, ValueError):  # Nothing yet, or gone just now.
        return 0


def some_time(chance, run, path, ended):
    """Waits: mostly until a run writes and a little longer, sometimes any time from its start."""
    if chance.random() < 0.2:
        time.sleep(chance.uniform(0, 3))
        return
    before, until = newest(path / "checkpoints"), time.monotonic() + 60
    while newest(path / "checkpoints") == before and time.monotonic() < until and not ended(run):
        time.sleep(0.005)
    time.sleep(chance.uniform(0, 0.4))


def is_over(run):
    """Whether a process has ended; it is not waited for."""
    try:
        state = Path(f"/proc/{run.number}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return True
    return state == "Z"


def lines(sweep):
    """How many rows the trials of a sweep have written."""
    return sum(file.read_bytes().count(b"\n") for file in sweep.glob("trials/*/metrics.csv"))
