"""A directory of a thousand runs, and how long `lstmcli runs` takes to list them."""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

from commands import processes

from lstmcli.config import Config
from lstmcli.training import metrics
from lstmcli.training.metrics import EpochRow
from lstmcli.training.run_dir import RunDirectory

RUNS, EPOCHS = 1000, 100


def make(folder: Path, count: int = RUNS) -> None:
    """Writes the records that runs of the article's length leave, with losses that are made up."""
    rows = [
        EpochRow(each, 666 * each, 0, 1 / each, 0.9, 1 / each, 0.9, 0.0002, 0.3, 1.0, 0.04, each, 0)
        for each in range(1, EPOCHS + 1)
    ]
    for number in range(count):
        run = RunDirectory(folder / f"2026-11-27-{number:06}-echo-3x4")
        run.path.mkdir(parents=True)
        settings = Config.build(layers=1 + number % 5).to_dict()
        status = {"status": "completed", "version": "0", "argv": [], "seeds": [0]}
        known = status | {"elapsed_seconds": 9.0, "started": "2026-11-27T12:00:00+00:00"}
        run.status.write_text(json.dumps({**known, "settings": settings}))
        metrics.append_metrics(run.metrics, rows)


def listing(rounds: int) -> list[dict]:
    """`lstmcli runs` of a thousand runs of a hundred epochs, beside one of none."""
    lstmcli = str(Path(sys.executable).parent / "lstmcli")
    with tempfile.TemporaryDirectory() as folder:
        make(Path(folder, "runs"))
        Path(folder, "none").mkdir()
        commands = {
            "runs, of none": [lstmcli, "runs", f"{folder}/none"],
            f"runs, of {RUNS:,}": [lstmcli, "runs", f"{folder}/runs"],
        }
        return processes("a listing", commands, rounds)


if __name__ == "__main__":
    listing(7)
