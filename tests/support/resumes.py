"""Runs that are interrupted and go on, beside ones left alone: what tests of resuming share."""

import csv
from pathlib import Path

import numpy as np

from lstmcli.config import Config
from lstmcli.training import checkpoint as checkpoints
from lstmcli.training import resume_state, run_dir, trainer
from lstmcli.training.run_dir import RunDirectory

TIMES = ("epoch_seconds", "elapsed_seconds")


def begun(path, **settings):
    """A run that is about to begin."""
    return trainer.prepare(Config.build(**settings), run_dir.create(path, "", overwrite=False))


def resumed(path, **given):
    """The run of a directory, as it is about to go on."""
    found = resume_state.load_resume_state(RunDirectory(path), given)
    return trainer.prepare(found.config, found.directory, kept=found)


def torn_off(run, records):
    """Trains until a run has told so much, and no further; whether that was its end."""
    training = trainer.train(run)
    for _ in range(records):
        if next(training, None) is None:
            return True
    training.close()
    return False


def rows(path):
    """A table without its columns of times."""
    with path.open(newline="") as file:
        table = csv.reader(file, strict=True)
        names = next(table)
        times = [names.index(name) for name in TIMES if name in names]
        return [[cell for at, cell in enumerate(row) if at not in times] for row in table]


def left_by(path):
    """All that a run leaves, but for times and for when it made its checkpoints."""
    directory, found = RunDirectory(Path(path)), {}
    for file in (directory.last, directory.best):
        if not file.exists():
            continue
        saved = checkpoints.read(file)
        for name, array in saved.tensors.items():
            found[f"{file.name} {name}"] = (array.shape, array.tobytes())
            assert np.isfinite(array).all(), name
        metadata = {**saved.metadata, "elapsed_seconds": 0}
        metadata.pop("tables", None)  # Their lengths depend on how long times are in digits.
        metadata["config"]["training"].pop("checkpoint_every")
        metadata["config"]["run"].pop("cache")
        found[file.name] = metadata
    for file in (directory.metrics, directory.steps):
        found[file.name] = rows(file) if file.exists() else None
    status = directory.read_status()
    found["run.json"] = [status.get(name) for name in ("status", "epochs", "worse_than_chance")]
    return found


def assert_same(path, other):
    """Compares what two runs have left, and names what differs."""
    first, second = left_by(path), left_by(other)
    assert first.keys() == second.keys()
    assert not [name for name, value in first.items() if value != second[name]]
