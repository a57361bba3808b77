"""Lines a second that `lstmcli predict` takes on one core: `python benchmarks/predict.py`.

Each model has drawn weights. Two files are predicted, one of them ten times as long, in processes
of their own: what is between them is without the start. Peak memory stands beside for both.
"""

import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median

import numpy as np
import pandas as pd

from lstmcli import api
from lstmcli.config import Config
from lstmcli.training import checkpointing, run_dir

SIZES = {"3 x 4": (3, 4, 100_000), "2 x 256": (2, 256, 10_000)}
"""Layers, units, and lines of the longer file."""
TURNS = 3
MEASURED = """
import os, sys, time
os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
from lstmcli.cli.app import app
app(["predict", *sys.argv[1:]], standalone_mode=False)
[peak] = [line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")]
print(time.process_time(), int(peak) / 1024, file=sys.stderr)
"""
"""What is run: peak memory counts from the program's own beginning."""


def make(folder, layers, units, lines):
    """A run on a table of two columns, and two files of other lengths."""
    rng = np.random.default_rng(0)
    table = pd.DataFrame({"x": rng.normal(size=lines), "y": rng.normal(size=lines).cumsum()})
    table.round(4).to_csv(folder / "long.csv", index=False)
    table[: lines // 10].round(4).to_csv(folder / "short.csv", index=False)
    settings = {"data": str(folder / "short.csv"), "target": "y", "horizon": 1}
    config = Config.build(**settings, layers=layers, state_size=units)
    directory = run_dir.create(folder / "run", "", overwrite=False)
    run = api.prepare(api.open_data(config), directory)
    directory.begin(run.config, status="completed", version="0", argv=[], seeds=[0])
    run.best, run.best_changed = run.tensors, True
    checkpointing.save(run)


def predict(folder, name):
    """Seconds of the processor and peak memory in MiB that a file takes, on one core."""
    command = [sys.executable, "-c", MEASURED, folder / "run", folder / name]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return tuple(map(float, done.stderr.split()[-2:]))


def main():
    """Measures each size in turns."""
    print(f"{'model':10} {'lines/s':>9} {'start, s':>9} {'MiB, short':>11} {'MiB, long':>10}")
    for name, (layers, units, lines) in SIZES.items():
        with tempfile.TemporaryDirectory() as place:
            folder = Path(place)
            make(folder, layers, units, lines)
            turns = [
                (predict(folder, "short.csv"), predict(folder, "long.csv")) for _ in range(TURNS)
            ]
        rate = median((lines - lines // 10) / (long[0] - short[0]) for short, long in turns)
        start = median(short[0] - lines // 10 / rate for short, _ in turns)
        peaks = [max(each[part][1] for each in turns) for part in (0, 1)]
        print(f"{name:10} {rate:9,.0f} {start:9.2f} {peaks[0]:11.1f} {peaks[1]:10.1f}")


if __name__ == "__main__":
    main()
