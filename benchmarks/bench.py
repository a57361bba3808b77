"""`make bench`: lstmcli beside what a user might take instead, in one run.

Contenders take turns, each in a process of its own, so that a drift of the machine meets all of
them; what counts is the median of the epochs after the first, and its ratio to lstmcli's. The final
loss stands beside each time, so that a fast wrong answer shows. Peers that are not installed are
left out. Writes `benchmarks/results.csv`, which `docs/benchmarks.md` quotes.
"""

from __future__ import annotations

import argparse
import importlib.util
import itertools
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import pandas as pd
from commands import beside_the_first, on_a_terminal, pictures, show, whole_commands

from many_runs import listing

HERE = Path(__file__).parent
ARTICLE = {"layers": 3, "state": 4, "rows": 5, "steps": 15, "length": 50_000}
MIDDLE = [
    (3, 8, 5, 15, 200),
    (3, 32, 32, 32, 60),
    (3, 64, 64, 64, 24),
    (3, 128, 64, 64, 12),
    (1, 256, 64, 64, 12),
    (1, 512, 32, 64, 10),
    (2, 512, 16, 64, 8),
    (1, 1024, 16, 32, 8),
]
"""Layers, units, rows, steps of a window, windows."""

GRID = (8, 16, 32, 64, 128, 256, 512), (5, 16, 64)
"""Units and rows."""

LARGE = {"layers": 3, "state": 256, "rows": 64, "steps": 64, "length": 32_768, "threads": 2}


def processor() -> str:
    """The processor's name, as ratios depend on it."""
    with suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        known = dict(line.split(":", 1) for line in lines if ":" in line)
        known = {name.strip(): value.strip() for name, value in known.items()}
        name, family = known.get("model name"), known.get("cpu family")
        return f"{name} (family {family}), {os.cpu_count()} cores"
    return platform.processor()


def contenders(size: dict, names: list[str]) -> list[str]:
    """The contenders that are installed."""
    module = {"keras_jit": "keras"}
    return [name for name in names if importlib.util.find_spec(module.get(name, name))]


def epochs(name: str, size: dict) -> list[dict]:
    """Runs one contender, and gives its epochs' lines."""
    command = [sys.executable, str(HERE / "contenders.py"), name, json.dumps(size)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{name} failed:\n{done.stderr}")
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]


def limit(size: dict) -> list[dict]:
    """The plain C loop, where there is a compiler."""
    with tempfile.TemporaryDirectory() as folder:
        program = Path(folder) / "limit"
        sizes = [f"-DLAYERS={size['layers']}", f"-DSTATE={size['state']}"]
        flags = ["-O3", "-march=native", "-ffast-math", *sizes]
        compiler = ["cc", *flags, str(HERE / "limit.c"), "-o", str(program), "-lm"]
        subprocess.run(compiler, check=True)
        lines = subprocess.run([program, "20"], capture_output=True, text=True, check=True).stdout
    table = [line.split() for line in lines.splitlines()]
    return [{"loss": float(loss), "window": float(us) / 1e6} for _, loss, us in table]


def compare(
    title: str,
    size: dict,
    names: list[str],
    rounds: int,
    of: Callable[[list[float]], float] = statistics.median,
) -> list[dict]:
    """Lets contenders take turns; a row for each, relative to the first."""
    found: dict[str, list[list[dict]]] = {name: [] for name in contenders(size, names)}
    if "limit" in names and shutil.which("cc"):
        found["limit"] = []
    for _ in range(rounds):
        for name, runs in found.items():
            runs.append(limit(size) if name == "limit" else epochs(name, size))
    replicas = size.get("replicas", 1)
    rows = [summarise(title, name, runs, replicas, of) for name, runs in found.items()]
    for row in rows:
        row["lstmcli_ratio"] = rows[0]["us_per_window"] / row["us_per_window"]
    show(rows)
    return rows


def summarise(
    title: str,
    name: str,
    runs: list[list[dict]],
    replicas: int,
    of: Callable[[list[float]], float] = statistics.median,
) -> dict:
    """Microseconds per window and replica, the first epoch's surplus, the last loss.

    The time is that `of` the epochs after the first: their median, unless told otherwise.
    """
    steady = of([line["window"] for run in runs for line in run[1:]])
    mine = replicas if name == "lstmcli" else 1
    return {
        "what": title,
        "who": name,
        "us_per_window": steady / mine * 1e6,
        "first_over_steady": statistics.median(run[0]["window"] for run in runs) / steady,
        "final_loss": statistics.median(run[-1]["loss"] for run in runs),
    }


def growth(rounds: int) -> list[dict]:
    """How lstmcli's cost grows with layers, units and replicas, from the article's size."""
    cases = [("layers", value) for value in range(1, 9)]
    cases += [("state", value) for value in (4, 8, 16, 32, 64, 128, 256, 512)]
    cases += [("replicas", value) for value in (1, 2, 3, 4, 8, 12, 16, 32)]
    rows = []
    for key, value in cases:
        length = 50_000 if key != "state" or value <= 32 else 7_500
        size = {**ARTICLE, "length": length, "threads": 2, key: value}
        runs = [epochs("lstmcli", size) for _ in range(rounds)]
        row = summarise(f"growth with {key}", str(value), runs, 1)
        rows.append(row)
    for row in rows:
        base = next(each for each in rows if each["what"] == row["what"])
        row["lstmcli_ratio"] = row["us_per_window"] / base["us_per_window"]
    show(rows)
    return rows


def crossover(rounds: int) -> list[dict]:
    """Both schedules at the sizes between which `auto` changes from one to the other."""
    rows = []
    for units in (4, 8, 12, 16):
        found: dict[str, list[list[dict]]] = {"wavefront": [], "layered": []}
        for _ in range(rounds):
            for name, runs in found.items():
                size = {**ARTICLE, "state": units, "settings": {"execution": name}}
                runs.append(epochs("lstmcli", size))
        title = f"schedules, {units} units"
        rows += [summarise(title, name, runs, 1) for name, runs in found.items()]
    show(rows)
    return rows


def grid() -> list[dict]:
    """What `auto` chooses beside the best, over sizes: schedules, on one thread and on two."""
    rows = []
    for units, batch in itertools.product(*GRID):
        windows = max(6, min(200, 2_000_000 // (units * (units + 64) * batch // 64)))
        size = {"layers": 2, "state": units, "rows": batch, "steps": 32, "epochs": 3}
        size["length"] = batch * 32 * windows
        choices = [("layered", 1), ("layered", 2)]
        if units <= 16:
            choices.insert(0, ("wavefront", 1))
        found = {f"{name}, {threads}": size | {"settings": {"execution": name, "threads": threads}}
                 for name, threads in choices} | {"auto": size}  # fmt: skip
        title = f"2 x {units}, batch {batch}, 32 steps"
        mine = [summarise(title, name, [epochs("lstmcli", each)], 1)
                for name, each in found.items()]  # fmt: skip
        best = min(row["us_per_window"] for row in mine)
        rows += [row | {"times_the_best": row["us_per_window"] / best} for row in mine]
        show(rows[-len(mine) :])
    return rows


def sizes(rounds: int) -> list[dict]:
    """The sizes of `grid` beside PyTorch on two threads; the best epoch of each."""
    rows = []
    for units, batch in itertools.product(*GRID):
        windows = max(6, min(100, 1_000_000 // (units * (units + 64) * batch // 64)))
        size = {"layers": 2, "state": units, "rows": batch, "steps": 32, "epochs": 3, "threads": 2}
        size["length"] = batch * 32 * windows
        title = f"best of 2 x {units}, batch {batch}, 32 steps"
        rows += compare(title, size, ["lstmcli", "torch"], rounds, min)
    return rows


def middle(rounds: int) -> list[dict]:
    """The sizes between the article's and the large one, beside PyTorch on two threads."""
    rows = []
    for layers, units, batch, steps, windows in MIDDLE:
        title = f"{layers} x {units}, batch {batch}, {steps} steps"
        size = {"layers": layers, "state": units, "rows": batch, "steps": steps, "threads": 2}
        size["length"] = batch * steps * windows
        rows += compare(title, size, ["lstmcli", "torch"], rounds)
    return rows


def company(rounds: int) -> list[dict]:
    """What eight replicas of the layered schedule cost beside one: compiling, memory, a window."""
    size = {"layers": 5, "state": 64, "rows": 16, "steps": 32, "length": 20_000}
    found: dict[int, list[list[dict]]] = {1: [], 8: []}
    for _ in range(rounds):
        for replicas, runs in found.items():
            runs.append(epochs("lstmcli", {**size, "replicas": replicas}))
    rows = []
    for replicas, runs in found.items():
        row = summarise("replicas of 5 x 64", "lstmcli", runs, replicas) | {
            "who": f"R = {replicas}"
        }
        steady = [statistics.median(line["seconds"] for line in run[1:]) for run in runs]
        compiling = (run[0]["seconds"] - each for run, each in zip(runs, steady, strict=True))
        row["seconds"] = statistics.median(compiling)
        row["peak_mib"] = statistics.median(run[-1]["peak_mib"] for run in runs)
        rows.append(row)
    beside_the_first(rows)
    show(rows)
    return rows


def draw_growth(table: pd.DataFrame) -> None:
    """Draws how the cost grows: `benchmarks/growth.png`, which `docs/benchmarks.md` shows."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import LogLocator, StrMethodFormatter

    figure = Figure(figsize=(9, 3.2), dpi=130, layout="constrained")
    figure.suptitle(
        "Time to train on a window of 15 steps, per replica (3 layers of 4 units if not varied)",
        fontsize=11,
    )
    names = {"layers": "layers", "state": "units per layer", "replicas": "replicas"}
    for axes, (key, name) in zip(figure.subplots(1, 3), names.items(), strict=True):
        rows = table[table.what == f"growth with {key}"]
        values = rows.who.astype(int)
        times = rows.us_per_window / (values if key == "replicas" else 1)
        axes.loglog(values, times, "o-", markersize=4)
        axes.set_xticks(2 ** np.arange(values.min().item().bit_length() - 1, 10))
        axes.set_xlim(values.min() / 1.2, values.max() * 1.2)
        axes.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
        axes.yaxis.set_major_locator(LogLocator(subs=(1.0,) if key == "state" else (1.0, 2.0, 5.0)))
        axes.yaxis.set_major_formatter(StrMethodFormatter("{x:,g}"))
        if key != "state":
            axes.set_ylim(10, 200)
        axes.minorticks_off()
        axes.grid(axis="y", color="0.9")
        axes.set_xlabel(name)
        axes.spines[["top", "right"]].set_visible(False)
    figure.axes[0].set_ylabel("microseconds")
    figure.savefig(HERE / "growth.png", metadata={"Software": None})


def main() -> None:
    """Run all of it, or `--quick` for the comparison at the article's size alone."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="only the article's size")
    parser.add_argument("--rounds", type=int, default=2, help="turns of each contender")
    parser.add_argument("--draw", action="store_true", help="only growth.png, of results.csv")
    arguments = parser.parse_args()
    if arguments.draw:
        draw_growth(pd.read_csv(HERE / "results.csv"))
        return
    quick, rounds = arguments.quick, arguments.rounds
    print(f"{processor()}, Python {platform.python_version()}")
    everyone = ["lstmcli", "limit", "jax", "torch", "keras_jit", "keras"]
    rows = compare("article, R = 1", ARTICLE, everyone, rounds)
    if not quick:
        rows += compare("article, R = 8", {**ARTICLE, "replicas": 8}, ["lstmcli", "limit"], rounds)
        peers = ["lstmcli", "torch", "jax", "keras"]
        rows += compare("3 x 256, batch 64, 64 steps", LARGE, peers, rounds)
        rows += middle(rounds)
        rows += company(rounds)
        rows += crossover(1)
        rows += grid()
        rows += sizes(rounds + 1)
        rows += growth(1)
        rows += whole_commands(rounds)
        rows += on_a_terminal(3 * rounds)
        rows += pictures()
        rows += listing(7)
    table = pd.DataFrame(rows)
    table.to_csv(HERE / "results.csv", index=False, float_format="%.6g")
    if not quick:
        draw_growth(table)


if __name__ == "__main__":
    main()
