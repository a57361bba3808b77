"""Run directories made without training: random weights and invented losses."""

import numpy as np

from lstmcli.core import initialization
from lstmcli.data.datasets import open_source
from lstmcli.training import metrics, run_dir
from lstmcli.training.checkpoint import Checkpoint
from lstmcli.training.metrics import EpochRow

LINES = 300

RUNS = {
    "text": {"data": "text.txt"},
    "classes": {"data": "table.csv", "target": "state", "bptt": 10, "batch_size": 2},
    "regression": {
        "data": "table.csv",
        "target": "level of $a$ tank behind the second hall (cm)",
        "horizon": 1,
        "bptt": 10,
        "batch_size": 2,
    },
    "adding": {"task": "adding", "sequence_length": 11, "series_length": 1200},
    "order": {"task": "order", "sequence_length": 12, "series_length": 1200},
    "copy": {"task": "copy", "sequence_length": 3, "series_length": 1200},
    "echo": {"classes": 5, "series_length": 1500},
}


def in_folder(settings, folder):
    return {"data": str(folder / settings["data"])} if "data" in settings else {}


def make(out, config, factor=2):
    """A run's files, with weights that are drawn, times a factor, and losses that are made up."""
    source = open_source(config)
    config, spec = source.config, source.spec
    rng = np.random.default_rng(1)
    drawn = initialization.initialise(config.model, spec.features, spec.outputs, [rng])
    tensors = {name: factor * tensor for name, tensor in drawn.items()}
    tensors["state"] = initialization.zero_state(config.model, 1, config.training.rows)
    directory = run_dir.create(out, "", overwrite=False)
    schema = source.schema
    status = {"version": "0", "argv": [], "seeds": [0], "status": "completed"}
    directory.begin(config, **status, classes=schema.classes, target=[])
    rows = [
        EpochRow(epoch, 10 * epoch, 0, 2 / epoch, 0.5, 3 / epoch, 0.5, None, 0.1, 1, 1, epoch)
        for epoch in (1, 2)
    ]
    metrics.append_metrics(directory.metrics, rows)
    metadata = {
        "version": "0",
        "kind": "best",
        "config": directory.settings(config),
        "seeds": [0],
        "data_seeds": [0],
        "features": spec.features,
        "classes": spec.outputs,
        "schema": schema.to_dict(),
        "position": {"epoch": 2, "window": 0, "step": 20},
        "best": [{"seed": 0, "epoch": 2, "val_loss": 1.5}],
        "streams": {},
        "elapsed_seconds": 1.0,
        "data_sha256": source.file_checksums,
    }
    Checkpoint(tensors, metadata).write(directory.best)
