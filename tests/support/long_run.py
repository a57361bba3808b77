"""Trains for many epochs in a process of its own, and prints how much memory it had after each.

`python long_run.py RUN '{"epochs": 300}'` trains as `lstmcli train` does, with plain progress on
standard error, and prints `{"resident": [bytes by epoch], "traces": [how often, by program]}`.
"""

import json
import os
import sys
from pathlib import Path

from lstmcli import api
from lstmcli.cli import progress
from lstmcli.config import Config
from lstmcli.training import run_dir, trainer


def resident():
    """Bytes of this process that are in memory."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def traces(program):
    """How often each compiled function was traced."""
    return [each.experimental_get_tracing_count() for each in program.programs.compiled]


def main(path, settings):
    """Trains, and prints what was measured."""
    config = Config.build(**json.loads(settings))
    directory = run_dir.create(Path(path), "run", False)
    run = api.prepare(api.open_data(config), directory)
    view = progress.TrainingView("plain", config.training.epochs, None, None)
    measured = []
    for record in trainer.train(run, ["long_run"]):
        if isinstance(record, trainer.Progress):
            view.windows(record.epoch, record.windows, record.of, record.loss, record.phase)
        else:
            view.log(record)
            measured.append(resident())
    view.close()
    print(json.dumps({"resident": measured, "traces": traces(run.program)}))


if __name__ == "__main__":
    main(*sys.argv[1:])
