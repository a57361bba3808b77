"""What the tests of probes share: checkpoints whose weights are made by hand or at random."""

from pathlib import Path

import numpy as np

from lstmcli import model_spec
from lstmcli.config import Config
from lstmcli.data import datasets
from lstmcli.probes.networks import TracedRun, probe_data_of
from lstmcli.training.checkpoint import Checkpoint
from lstmcli.training.load import LoadedCheckpoint


def subject(weights, steps=50_000, **settings):
    """Networks with these weights `[R, …]`, and the test series of their settings."""
    config = datasets.open_source(Config.build(**settings)).config
    schema = datasets.Source(config).schema
    metadata = {
        "config": config.to_dict(),
        "seeds": config.run.seeds,
        "features": len(schema.numbers) + sum(each.size for each in schema.symbols),
        "classes": schema.classes or len(schema.target),
        "schema": schema.to_dict(),
    }
    model = Checkpoint(weights, metadata)
    return probe_data_of(LoadedCheckpoint(Path("by hand"), model, config, None, None), steps)


def drawn(config, features, outputs, seed=0, dtype=np.float32):
    """Random weights of some size, `[R, …]`."""
    rng = np.random.default_rng(seed)
    shapes = model_spec.shapes(config.model, features, outputs)
    return {
        name: rng.normal(0, 0.7, (config.run.replicas, *shape)).astype(dtype)
        for name, shape in shapes.items()
    }


def delay_line(units, features=1):
    """One layer as a delay line: unit j has the input j steps ago, or its image under tanh.

    The input gate and the output gate are open, the forget gate is shut.
    """
    kernel, recurrent = np.zeros((features, 4, units)), np.zeros((units, 4, units))
    bias = np.zeros((4, units))
    bias[[0, 3]], bias[1] = 30, -30
    kernel[:, 2, 0], bias[2, 0] = 2, -1
    for unit in range(1, units):
        recurrent[unit - 1, 2, unit] = 2
    arrays = {
        "lstm.0.kernel": kernel.reshape(features, -1),
        "lstm.0.recurrent_kernel": recurrent.reshape(units, -1),
        "lstm.0.bias": bias.ravel(),
        "dense.kernel": np.zeros((units, 2)),
        "dense.bias": np.zeros(2),
    }
    return {name: array[None].astype(np.float32) for name, array in arrays.items()}


def run_of(found):
    """What the first network, trained, did."""
    return next(iter(found.runs(["trained"])))


__all__ = ["TracedRun", "delay_line", "drawn", "run_of", "subject"]
