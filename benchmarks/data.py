"""`make bench-data`: lstmcli on text and tables beside PyTorch, Keras and pandas, in one run.

Contenders take turns, each in a process of its own. A row is one contender's median or mean; in
lstmcli's rows stands how it compares with the best peer (`ratio`: below 1 is better; for an
accuracy the points that are missing), the bound that it must keep and the one that is aimed at.
Takes a quarter of an hour on a quiet machine. Writes `benchmarks/data_results.csv`.

Text: the two epochs of a run give all three of its figures, the second one the time. Both sides
have the same windows, carried state and Adam, without clipping; not the same initial weights (see
`data_contenders.py`). Tables: the checkpoint with the lowest validation loss is tested.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import data_files
import pandas as pd
from bench import processor
from data_processes import HERE, Run, contender, environment, peak_of_training, turns

BUSY = 0.7
"""The load above which a comparison on all cores says little: PyTorch's threads lose the most."""

Rows = list[dict]


def rows_of(
    what: str,
    values: dict[str, float],
    unit: str,
    must: float,
    aim: float,
    compare: Callable[[float, list[float]], float] = lambda mine, peers: mine / min(peers),
) -> Rows:
    """A row for each contender; the first one is lstmcli, and is compared with the others."""
    rows: Rows = [
        {"what": what, "who": who, "value": value, "unit": unit} for who, value in values.items()
    ]
    mine, *peers = values.values()
    ratio = compare(mine, peers)
    verdict = "aim" if ratio <= aim else "must" if ratio <= must else "missed"
    rows[0] |= {"ratio": ratio, "must": must, "aim": aim, "reached": verdict}
    show(rows)
    return rows


def show(rows: Rows) -> None:
    """Prints rows as they come."""
    print(pd.DataFrame(rows).to_string(index=False, float_format="{:.4g}".format), flush=True)


def text_beside_torch(folder: Path, quick: bool) -> Rows:
    """Time, quality and memory of the same 400 updates on a text, three seeds."""
    length, units = (60_000, 32) if quick else (1_025_000, 256)
    data_files.text(folder / "text.txt", length)
    size = {"data": str(folder / "text.txt"), "layers": 2, "units": units, "rows": 64, "steps": 64,
            "epochs": 2, "rate": 0.002, "threads": 2}  # fmt: skip
    sizes = [size | {"seed": seed} for seed in range(1 if quick else 3)]
    found = turns(["lstmcli", "torch"], "text", sizes)
    what = f"text, 2 x {units}, batch 64, 64 steps, Adam"
    update = {name: median(runs, "update", slice(1, None)) for name, runs in found.items()}
    bits = {name: mean(runs, "bits") for name, runs in found.items()}
    peak = {name: median(runs, "peak_mib", slice(-1, None)) for name, runs in found.items()}
    return [
        *rows_of(what, update, "seconds per update", 1.0, 0.8),
        *rows_of(what, bits, "validation bits per character", 1.01, 1.005),
        *rows_of(what, peak, "MiB, peak", 1.2, 1.0),
    ]


def text_beside_keras(folder: Path, quick: bool) -> Rows:
    """Seconds per update beside `fit`, as it is by default and compiled by XLA."""
    length, units = (60_000, 32) if quick else (256_000, 128)
    data_files.text(folder / "short.txt", length)
    size = {"data": str(folder / "short.txt"), "layers": 2, "units": units, "rows": 64, "steps": 64,
            "epochs": 3, "rate": 0.002, "threads": 2, "seed": 0}  # fmt: skip
    names = ["lstmcli", "keras", "keras_jit"]
    found = turns(names, "text", [size] * (1 if quick else 2))
    update = {name: median(runs, "update", slice(1, None)) for name, runs in found.items()}
    what = f"text, 2 x {units}, batch 64, 64 steps, Adam, beside Keras"
    return rows_of(what, update, "seconds per update", 0.5, 0.3)


def median(runs: list[Run], column: str, epochs: slice) -> float:
    """The median of some epochs of all runs."""
    return statistics.median(line[column] for run in runs for line in run[epochs])


def mean(runs: list[Run], column: str) -> float:
    """The mean of the runs' last lines."""
    return statistics.fmean(run[-1][column] for run in runs)


def large_text(folder: Path, quick: bool) -> Rows:
    """Memory for a large text, above that for a tiny one, in copies of the file."""
    seconds, sizes = (3, (50_000, 5_000_000)) if quick else (20, (50_000, 100_000_000))
    peaks = []
    for length in sizes:
        data_files.text(folder / f"{length}.txt", length)
        peaks.append(peak_of_training(folder / f"{length}.txt", seconds))
    tiny, large = peaks
    copies = (large - tiny) / sizes[1]
    what = f"a text of {sizes[1] // 1_000_000} MB"
    unit = "copies of the file, peak above a text of 50 kB"
    return rows_of(what, {"lstmcli": copies}, unit, 3.0, 1.5, lambda mine, _: mine)


def first_update(folder: Path, quick: bool) -> Rows:
    """Seconds from the command to the first updates on a large table."""
    rows = 60_000 if quick else 1_000_000
    path = folder / "table.csv"
    data_files.table(path, rows)
    settings = {"data": str(path), "target": "c9", "batch_size": 64, "layers": 2, "state_size": 64,
                "optimizer": "adam", "learning_rate": 0.002}  # fmt: skip
    peers = {
        "pandas.read_csv": f"import pandas; pandas.read_csv({str(path)!r})",
        "import tensorflow": "import tensorflow",
    }
    found: dict[str, list[float]] = {}
    for turn in range(1 if quick else 2):
        cache = str(folder / f"cache-{turn}")
        for name in ("lstmcli, compiled anew", "lstmcli, compiled before"):
            begun = time.perf_counter()
            size = {"settings": settings}
            contender("data_contenders.py", "lstmcli_first_update", size, XDG_CACHE_HOME=cache)
            found.setdefault(name, []).append(time.perf_counter() - begun)
        for name, code in peers.items():
            found.setdefault(name, []).append(seconds_of(code, folder))
    anew, before, *parts = (statistics.median(each) for each in found.values())
    what, unit = f"a table of {rows:,} rows and 10 columns", "seconds to the first updates"
    both = {"pandas.read_csv + import tensorflow": sum(parts)}
    return [
        *rows_of(what, {"lstmcli, compiled anew": anew, **both}, unit, 1.5, 1.2),
        *rows_of(what, {"lstmcli, compiled before": before, **both}, unit, 1.5, 1.2),
    ]


def seconds_of(code: str, folder: Path) -> float:
    """A Python process from start to end."""
    begun = time.perf_counter()
    command = [sys.executable, "-c", code]
    subprocess.run(command, check=True, capture_output=True, cwd=folder, env=environment())
    return time.perf_counter() - begun


def motions(folder: Path, quick: bool) -> Rows:
    """Sequence classification: BasicMotions, a label at each sequence's last step."""
    for part in ("TRAIN", "TEST"):
        data_files.motions(part, folder / f"motions_{part}.csv")
    settings = {"data": str(folder / "motions_TRAIN.csv"), "group": "sequence", "target": "label",
                "test_data": str(folder / "motions_TEST.csv"), "layers": 1, "state_size": 32,
                "batch_size": 12, "bptt": 100, "optimizer": "adam", "learning_rate": 0.01,
                "epochs": 10 if quick else 60}  # fmt: skip
    found = beside_torch(settings, quick)
    accuracy = {name: 100 * over_seeds(runs, "accuracy") for name, runs in found.items()}
    what = "BasicMotions, 1 x 32, Adam, 36 sequences"
    return rows_of(
        what, accuracy, "% right in the test part", 2.0, 0.0, lambda mine, peers: max(peers) - mine
    )


def sunspots(folder: Path, quick: bool) -> Rows:
    """Regression: the next year's sunspots."""
    data_files.sunspots(folder / "sunspots.csv")
    settings = {"data": str(folder / "sunspots.csv"), "target": "SUNACTIVITY", "horizon": 1,
                "inputs": "SUNACTIVITY", "val_fraction": 0.2, "test_fraction": 0.2, "layers": 1,
                "state_size": 16, "batch_size": 1, "bptt": 15, "optimizer": "adam",
                "learning_rate": 0.01, "epochs": 10 if quick else 100}  # fmt: skip
    found = beside_torch(settings, quick)
    errors = {name: over_seeds(runs, "rmse") for name, runs in found.items()}
    what = "sunspots, a year ahead, 1 x 16, Adam"
    return rows_of(what, errors, "RMSE in the test part, in sunspots", 1.03, 1.0)


def beside_torch(settings: dict, quick: bool) -> dict[str, list[Run]]:
    """A table's models, of five seeds."""
    size = {"settings": settings, "seeds": 2 if quick else 5}
    return turns(["lstmcli", "torch"], "table", [size])


def over_seeds(runs: list[Run], column: str) -> float:
    """The mean of all lines, each of which is a seed's."""
    return statistics.fmean(line[column] for run in runs for line in run)


def main() -> None:
    """Run all of it, or `--quick`: all of it at small sizes, whose figures say nothing."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small sizes: does all of it run?")
    quick = parser.parse_args().quick
    print(f"{processor()}, Python {platform.python_version()}")
    if (load := os.getloadavg()[0]) > BUSY:
        print(f"note: others use this machine (load {load:.1f}): two threads wait for each other")
    parts = (text_beside_torch, text_beside_keras, large_text, first_update, motions, sunspots)
    rows: Rows = []
    with tempfile.TemporaryDirectory() as folder:
        for part in parts:
            rows += part(Path(folder), quick)
    if not quick:
        table = pd.DataFrame(rows)
        table.to_csv(HERE / "data_results.csv", index=False, float_format="%.6g")


if __name__ == "__main__":
    main()
