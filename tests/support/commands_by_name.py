"""Every command that writes names, in one process: prints what they wrote, without times.

`python tests/support/commands_by_name.py`, in an empty directory; `test_sweep_order.py` compares
two.
"""

import contextlib
import hashlib
import io
import json
import re
import sys
from pathlib import Path

import pandas as pd
from typer.testing import CliRunner

from lstmcli.cli.app import app
from lstmcli.sweeps import workers
from sweeping import TIMES, invented

TRAIN = ["--series-length", "150", "--layers", "1", "--epochs", "2", "--no-cache"]
SWEPT = ["--echo-step", "2,3", "--noise", "0,0.1", "--learning-rate", "0.1,0.3"]
SWEEP = ["sweep", "--layers", "1,2", *SWEPT, "--series-length", "300", "--epochs", "2"]
COMMANDS = [
    "generate echo.csv --series-length 200 --classes 3",
    "generate adding.npz --task adding --series-length 500",
    "train --replicas 2 --out r --progress none " + " ".join(TRAIN),
    "train --resume r --state-size 9 --learning-rate 1 --forget-bias 3 --echo-step 5",
    "train --horizon 3 --target x --group y --missing zero",
    "eval r --predictions p.csv",
    "eval r --horizon 3 --target x --group y",
    "inspect r --json",
    " ".join([*SWEEP, "--dry-run", "--json"]),
    " ".join([*SWEEP, "--seeds", "5", "--out", "s", "--progress", "none"]),
    " ".join([*SWEEP, "--match", "params", "--optimizer", "sgd", "--out", "s"]),
    "eval s",
]
NOT_THE_SAME = {".html", ".json", ".safetensors", ".svg", ".png"}
"""Kinds of files that hold times."""

SPENT = re.compile(r'\b\d+(\.\d+)? (ms|s)\b|(?<="elapsed_seconds": )[\d.e-]+')
"""The times in what commands say: a model's description has how long it was trained."""


def content(path):
    if path.suffix == ".csv" and path.stat().st_size:
        return pd.read_csv(path).drop(columns=TIMES, errors="ignore").to_csv(index=False)
    return "" if path.suffix in NOT_THE_SAME else hashlib.sha256(path.read_bytes()).hexdigest()


def main():
    workers.LocalWorkers.run = invented
    said = {}
    for command in COMMANDS:
        with contextlib.redirect_stderr(io.StringIO()):
            done = CliRunner().invoke(app, command.split())
        if done.exception and not isinstance(done.exception, SystemExit):
            raise done.exception
        said[command] = [done.exit_code, SPENT.sub("", done.output)]
    files = {str(path): content(path) for path in sorted(Path().rglob("*")) if path.is_file()}
    json.dump({"said": said, "files": files}, sys.stdout)


if __name__ == "__main__":
    main()
