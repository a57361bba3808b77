"""Directories of runs and sweeps as the program leaves them, without any training."""

import csv
import json

import tomli_w

from lstmcli.config import Config
from lstmcli.training import metrics
from lstmcli.training.metrics import EpochRow
from lstmcli.training.run_dir import RunDirectory, SweepFiles

STARTED = "2026-11-27T12:{:02}:00+00:00"


def write_run(path, losses, status="completed", number=0, seeds=(0,), more=(), **settings):
    """A run's records: validation losses by epoch (each seed's a little higher), made up."""
    run = RunDirectory(path)
    run.path.mkdir(parents=True)
    config = Config.build(**{"epochs": len(losses), **settings})
    rows = [
        EpochRow(
            epoch, 666 * epoch, seed, 2 * loss + seed / 8, 0.5, loss + seed / 8, 0.75, 0.125, 0.3,
            1.0, 0.5, epoch / 2, loss + seed / 8 - 0.0625,
        )
        for epoch, loss in enumerate(losses, 1)
        for seed in seeds
    ]  # fmt: skip
    known = {"status": status, "version": "0", "argv": [], "seeds": list(seeds), "classes": 2}
    known |= {"started": STARTED.format(number), "settings": config.to_dict(), **dict(more)}
    run.status.write_text(json.dumps(known))
    metrics.append_metrics(run.metrics, rows)
    return run


def write_sweep(path, trials):
    """A sweep's records.

    Args:
        path: its directory.
        trials: layers, seed, best validation loss, test loss and gap of each.
    """
    files = SweepFiles(path)
    files.settings.mkdir(parents=True)
    identity = {"model": {"state_size": 4}, "data": {"echo_step": 3}, "swept": {}}
    files.config.write_text(tomli_w.dumps({"sweep": identity}))
    names = ["layers", "state_size", "seed", "epochs", "best_val_loss", "test_loss", "gap"]
    with files.trials.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([*names, "reference_loss", "seconds", "run_dir"])
        for layers, seed, *losses in trials:
            writer.writerow([layers, 4, seed, 7, *losses, "", 1.5, f"trials/{layers}"])
    return files
