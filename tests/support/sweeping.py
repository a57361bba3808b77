"""What the tests of sweeps share: a small one, and a process that runs it."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd

from lstmcli.config import Config
from lstmcli.sweeps import grid, workers
from lstmcli.sweeps.trial import TrialRow
from lstmcli.training import metrics
from lstmcli.training.run_dir import RunDirectory

TINY = {"series_length": 1500, "epochs": 3}
COMMAND = ["sweep", "--layers", "1,2", "--seeds", "2", "--series-length", "1500", "--epochs", "3",
           "--learning-rate", "0.3"]  # fmt: skip
TIMES = ["epoch_seconds", "elapsed_seconds", "seconds"]


def settings(**more):
    base = Config.build(**{**TINY, "replicas": 2, "checkpoint_every": "1000", **more})
    return grid.expand(base, {"layers": [1, 2]}, None)


def without_times(path):
    table = pd.read_csv(path)
    return table.drop(columns=[name for name in TIMES if name in table])


def start(out, *more, first="", command=COMMAND, **environment):
    """A sweep in a process group of its own.

    Args:
        out: its directory.
        more: options.
        first: Python that the process begins with.
        command: what it is asked.
        environment: what is in it besides.
    """
    code = f"{first}\nfrom lstmcli.__main__ import main; main()"
    support = Path(__file__).parent
    found = {"PYTHONPATH": f"{support.parents[1]}:{support}", **environment}
    return subprocess.Popen(
        [sys.executable, "-c", code, *command, "--out", str(out), *more],
        env={**os.environ, **found}, start_new_session=True, stderr=subprocess.PIPE, text=True,
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


def in_this_process(self, settings):
    """Stands in for `LocalWorkers.run` where processes are not the point."""
    for setting in settings:
        yield setting, workers.attempt(setting, self.folder / setting.name)


def invented(self, settings):
    """Stands in for `LocalWorkers.run`: rows and curves without training."""
    for setting in settings:
        run = RunDirectory(self.folder / setting.name)
        run.path.mkdir(parents=True, exist_ok=True)
        begun = {"status": "completed", "version": "0", "argv": [], "seeds": list(setting.trials)}
        run.status.write_text(json.dumps(begun | {"settings": run.settings(setting.config)}))
        run.metrics.unlink(missing_ok=True)
        metrics.append_metrics(run.metrics, epochs(setting, 2))
        yield setting, [row(setting, seed) for seed in setting.trials]


def with_losses(loss):
    """Stands in for `LocalWorkers.run`: rows and curves of given losses, paused where they are to.

    Args:
        loss: of a setting, a seed and an epoch; training, validation and test losses are equal.
    """

    def run(self, settings):
        for setting in settings:
            place, last = RunDirectory(self.folder / setting.name), setting.config.training.epochs
            place.path.mkdir(parents=True, exist_ok=True)
            begun = {"status": "completed", "version": "0", "argv": []}
            begun |= {"seeds": list(setting.trials), "settings": place.settings(setting.config)}
            place.status.write_text(json.dumps(begun))
            place.metrics.unlink(missing_ok=True)
            end = setting.until or last
            metrics.append_metrics(place.metrics, [
                metrics.EpochRow(
                    epoch, epoch, seed, now, 1, now, 1, 0.0, 0.3, 1, 1, epoch, now
                )
                for epoch in range(1, end + 1)
                for seed in setting.trials
                for now in [loss(setting, seed, epoch)]
            ])  # fmt: skip
            yield setting, [
                setting.keys | vars(TrialRow(
                    setting.trials[seed], seed, setting.parameters,
                    "tried" if setting.tuning else "completed", 0, last, False, None,
                    min(loss(setting, seed, epoch) for epoch in range(1, last + 1)),
                    None if setting.tuning else loss(setting, seed, last), 1.0, 0.0,
                    loss(setting, seed, last), 0.1, "", 0.69, len(setting.trials),
                    "a uniform guess", 0.69, 2.0, setting.run_dir,
                ))
                for seed in setting.trials
            ] * (end == last)  # fmt: skip

    return run


def epochs(setting, count):
    """Rows of `metrics.csv`, as they would be had the setting been trained."""
    return [
        metrics.EpochRow(epoch, epoch, seed, 0.1, 1, 0.001, 1, 0.0002, 0.3, 1, 1, epoch, 0.0008)
        for epoch in range(1, count + 1)
        for seed in setting.trials
    ]


def row(setting, seed):
    trained = TrialRow(
        setting.trials[seed], seed, setting.parameters, "completed", 0, 2, True, 1, 0.001,
        0.001 + 0.0001 * seed, 1.0, 0.0002, 0.0008, 0.1, "", 0.69, 6, seconds=2.0,
        run_dir=setting.run_dir,
    )  # fmt: skip
    return setting.keys | vars(trained)
