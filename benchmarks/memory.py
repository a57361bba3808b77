"""What runs take of the memory, beside what is counted before: `python benchmarks/memory.py`.

Each size is trained for an epoch in a process of its own, whose peak the operating system tells. A
few sizes can be named: `python benchmarks/memory.py wide adam`.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from lstmcli.config import Config
from lstmcli.core import memory_use
from lstmcli.data.datasets import open_source

CUT = {"batch_size": 500, "bptt": 100, "state_size": 2}
SIZES = {
    "smallest": {"series_length": 1000},
    "wide": {"state_size": 3000, "series_length": 75},
    "sgd": {"state_size": 3000, "series_length": 75, "optimizer": "sgd"},
    "adam": {"state_size": 3000, "series_length": 75, "optimizer": "adam"},
    "deep": {"layers": 3, "state_size": 2000, "series_length": 75},
    "seeds": {"state_size": 1000, "series_length": 75, "replicas": 8},
    "halves": {"state_size": 2000, "batch_size": 64, "bptt": 15, "series_length": 960},
    "rows": {"state_size": 64, "batch_size": 2000, "bptt": 100, "series_length": 200_000},
    "rows, deep": {
        "layers": 3, "state_size": 64, "batch_size": 1000, "bptt": 100, "series_length": 100_000
    },
    "steps": {"layers": 3, "state_size": 8, "bptt": 40_000, "series_length": 200_000},
    "classes": {
        "state_size": 64, "batch_size": 32, "bptt": 64, "series_length": 2048, "classes": 20_000
    },
    "echo": {**CUT, "series_length": 20_000_000},
    "parity": {**CUT, "series_length": 20_000_000, "task": "parity"},
    "adding": {**CUT, "series_length": 10_000_000, "bptt": 150, "task": "adding"},
    "series": {
        "state_size": 1, "batch_size": 1000, "bptt": 300, "series_length": 6_000_000, "replicas": 4
    },
    "symbols": {**CUT, "series_length": 20_000_000, "classes": 5, "noise": 0.1},
}  # fmt: skip


def measured(settings):
    """The peak of a run's process, in bytes."""
    options = [word for name, value in settings.items()
               for word in ("--" + name.replace("_", "-"), str(value))]  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        command = ["-m", "lstmcli", "train", *options, "--out", str(Path(folder, "run"))]
        process = subprocess.Popen([sys.executable, *command, "--progress", "none", "--no-cache"],
                                   stdout=subprocess.DEVNULL)  # fmt: skip
        _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{settings} ended with status {status}")
    return usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def main(*names):
    """Measures some sizes, or all of them."""
    print(f"{'size':12} {'counted':>10} {'measured':>10} {'ratio':>7}")
    for name in names or SIZES:
        settings = {"layers": 1, "epochs": 1, **SIZES[name]}
        source = open_source(Config.build(**settings))
        spec = source.spec
        counted = memory_use.needed(source.config, spec.features, spec.outputs)
        del source
        found = measured(settings)
        print(f"{name:12} {counted / 1e9:7.2f} GB {found / 1e9:7.2f} GB {counted / found:7.2f}",
              flush=True)  # fmt: skip


if __name__ == "__main__":
    main(*sys.argv[1:])
