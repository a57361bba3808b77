"""The processes of `data.py`: contenders in turns, and a training that is stopped."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
Run = list[dict]


def environment(source: Path = ROOT, **variables: str) -> dict[str, str]:
    """The variables of a process that finds the lstmcli in a directory."""
    return os.environ | {"PYTHONPATH": str(source)} | variables


def contender(script: str, name: str, size: dict, source: Path = ROOT, **variables: str) -> Run:
    """Runs one contender in a fresh folder, and gives its lines.

    Args:
        script: `contenders.py` or `data_contenders.py`.
        name: of a function in it.
        size: what the function is given.
        source: the directory in which lstmcli is found.
        variables: of the process.
    """
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, str(HERE / script), name, json.dumps(size)]
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            check=False,
            cwd=folder,
            env=environment(source, **variables),
        )
    if done.returncode:
        raise RuntimeError(f"{name} failed:\n{done.stderr}")
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]


def turns(who: list[str], task: str, sizes: list[dict]) -> dict[str, list[Run]]:
    """Every contender of `data_contenders.py` with every size, one after the other."""
    found: dict[str, list[Run]] = {name: [] for name in who}
    for size in sizes:
        for name, runs in found.items():
            runs.append(contender("data_contenders.py", f"{name}_{task}", size))
    return found


STOPPED = ["--layers", "2", "--state-size", "64", "--batch-size", "64", "--bptt", "64",
           "--optimizer", "adam", "--learning-rate", "0.002", "--epochs", "100000",
           "--no-cache", "--progress", "none"]  # fmt: skip
"""Settings of the training that is stopped."""


def peak_of_training(data: Path, seconds: float) -> int:
    """The most bytes that `lstmcli train` holds until a SIGINT has stopped it.

    Args:
        data: the text.
        seconds: from the start of training, compilation included, to the SIGINT.

    Raises:
        RuntimeError: there was no update before it.
    """
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "lstmcli", "train", "--data", str(data), *STOPPED]
        process = subprocess.Popen(
            [*command, "--out", "run"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            cwd=folder,
            env=environment(),
        )
        peak, stop = 0, float("inf")
        begun = Path(folder) / "run/run.json"
        while process.poll() is None:
            peak = max(peak, high_water(process.pid))
            if stop == float("inf") and begun.exists():
                stop = time.monotonic() + seconds
            if time.monotonic() >= stop:
                process.send_signal(signal.SIGINT)
                stop += 3600
            time.sleep(0.02)
        said = process.stderr.read() if process.stderr else ""
    windows = re.search(r"in epoch (\d+), after window (\d+)", said)
    if windows is None or windows.groups() == ("1", "0"):
        raise RuntimeError(f"training on {data.name} did not get to its first update:\n{said}")
    return peak


def high_water(process: int) -> int:
    """The most bytes that a process has held so far; 0 once it is gone."""
    with suppress(OSError):
        found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{process}/status").read_text())
        return int(found[1]) * 1024 if found else 0
    return 0
