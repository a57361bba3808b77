"""Whole commands as a user meets them, in processes, beside what nothing can be faster than."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import pandas as pd

ROOT = Path(__file__).parent.parent


def show(rows: list[dict]) -> None:
    """Prints rows as they come."""
    print(pd.DataFrame(rows).to_string(index=False, float_format="{:.4g}".format), flush=True)


def beside_the_first(rows: list[dict]) -> None:
    """Adds each row's seconds and memory relative to the first's."""
    for row in rows:
        row["times_the_first"] = row["seconds"] / rows[0]["seconds"]
        row["peak_times_the_first"] = row["peak_mib"] / rows[0]["peak_mib"]


def processes(title: str, commands: dict[str, list[str]], rounds: int) -> list[dict]:
    """Whole processes in turns: median seconds and peak memory, relative to the first."""
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in commands}
    for _ in range(rounds):
        for name, command in commands.items():
            found[name].append(whole(command))
    rows = []
    for name, runs in found.items():
        seconds, mebibytes = (statistics.median(column) for column in zip(*runs, strict=True))
        rows.append({"what": title, "who": name, "seconds": seconds, "peak_mib": mebibytes})
    beside_the_first(rows)
    show(rows)
    return rows


def whole(command: list[str]) -> tuple[float, float]:
    """A process from start to end: seconds, and the largest MiB that it held (its children not)."""
    with tempfile.TemporaryDirectory() as folder:
        begun = time.perf_counter()
        child = subprocess.Popen(
            command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        if child.returncode:
            raise RuntimeError(f"{' '.join(command)} failed with {child.returncode}")
        return time.perf_counter() - begun, usage.ru_maxrss / 1024


AT_ONE_RATE = ["--learning-rate", "0.3", "--seeds", "8"]
"""What a sweep was before it tuned its learning rate: 40 trials."""


def whole_commands(rounds: int) -> list[dict]:
    """Commands as a user meets them, beside the imports that nothing can be faster than."""
    lstmcli = [str(Path(sys.executable).parent / "lstmcli")]
    tensorflow = [sys.executable, "-c", "import tensorflow"]
    light = [sys.executable, "-c", "import typer, rich"]
    rows = processes("start-up", {"import typer, rich": light, "--help": [*lstmcli, "--help"]}, 7)
    train = {"import tensorflow": tensorflow, "train --layers 3": [*lstmcli, "train"]}
    rows += processes("the article's run", train, rounds + 1)
    sweep = [*lstmcli, "sweep"]
    sweeps = {
        "import tensorflow": tensorflow,
        "sweep at one rate": [*sweep, *AT_ONE_RATE],
        "sweep": sweep,
        "sweep at one rate --jobs 1": [*sweep, *AT_ONE_RATE, "--jobs", "1"],
        "sweep at one rate --backend ray": [*sweep, *AT_ONE_RATE, "--backend", "ray"],
    }
    return rows + processes("a sweep", sweeps, 1)


def on_a_terminal(rounds: int) -> list[dict]:
    """The article's run on a pseudo-terminal with the live view, beside one with the bar alone."""
    found: dict[str, list[float]] = {"off": [], "auto": []}
    for _ in range(rounds):
        for live, runs in found.items():
            runs.append(epoch_seconds(live))
    rows = [
        {"what": "live view", "who": f"--live {live}", "seconds": statistics.median(runs)}
        for live, runs in found.items()
    ]
    for row in rows:
        row["times_the_first"] = row["seconds"] / rows[0]["seconds"]
    show(rows)
    return rows


def epoch_seconds(live: str) -> float:
    """From the first epoch's end to the last's, of a run on a pseudo-terminal of 80 x 24."""
    import fcntl
    import pty
    import struct
    import termios
    import threading

    with tempfile.TemporaryDirectory() as folder:
        master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
        command = [sys.executable, "-m", "lstmcli", "train", "--live", live, "--out", "run"]
        environment = {**os.environ, "TERM": "xterm-256color", "PYTHONPATH": str(ROOT)}
        child = subprocess.Popen(
            command, cwd=folder, stdin=slave, stdout=slave, stderr=slave, env=environment
        )
        os.close(slave)
        reader = threading.Thread(target=drain, args=(master,))
        reader.start()
        if child.wait():
            raise RuntimeError(f"{' '.join(command)} failed with {child.returncode}")
        reader.join()
        elapsed = pd.read_csv(Path(folder) / "run" / "metrics.csv").elapsed_seconds
    return float(elapsed.iloc[-1] - elapsed.iloc[0])


def drain(master: int) -> None:
    """Reads what a pseudo-terminal shows until it is closed."""
    with suppress(OSError):
        while os.read(master, 65536):
            pass
    os.close(master)


def pictures() -> list[dict]:
    """Page and figure of a sweep of 40 trials, and probes, beside the imports that they need."""
    lstmcli = [str(Path(sys.executable).parent / "lstmcli")]
    with tempfile.TemporaryDirectory() as folder:
        short = [*AT_ONE_RATE, "--epochs", "3", "--series-length", "2000", "--out", folder]
        subprocess.run([*lstmcli, "sweep", *short], check=True, capture_output=True)
        commands = {
            "import matplotlib, pandas": [sys.executable, "-c", "import matplotlib, pandas"],
            "report of 40 trials": [*lstmcli, "report", folder],
            "plot of 40 trials": [*lstmcli, "plot", folder],
        }
        rows = processes("a page, a figure", commands, 7)
        models = {"3 x 4": [], "3 x 256": ["--state-size", "256"]}
        commands = {"import numpy": [sys.executable, "-c", "import numpy"]}
        for name, size in models.items():
            run = str(Path(folder) / name)
            brief = ["--epochs", "1", "--series-length", "2000", "--out", run]
            subprocess.run([*lstmcli, "train", *size, *brief], check=True, capture_output=True)
            commands[f"probe {name}, 50,000 steps"] = [
                *lstmcli,
                "probe",
                run,
                "--series-length",
                "50000",
            ]
        return rows + processes("a probe", commands, 3)
