"""What a run leaves behind, as tests of runs read it: tables, tensors, and a bare training loop."""

import numpy as np
import pandas as pd
from safetensors.numpy import load_file

from lstmcli.core import initialization
from lstmcli.core.replica_windows import ReplicaWindows
from lstmcli.core.runner import Program
from lstmcli.data.datasets import open_source
from lstmcli.utils.rng import Stream, generator

TIMES = ["epoch_seconds", "elapsed_seconds"]


def table(directory, name="metrics.csv"):
    """A table as text, so that equal means equal to the bit; times left out."""
    return pd.read_csv(directory / name, dtype=str).drop(columns=TIMES, errors="ignore")


def tensors(directory, which="last"):
    return now(load_file(directory / "checkpoints" / f"{which}.safetensors"))


def now(tensors):
    """A checkpoint's tensors without those that a resume alone needs."""
    resumed = ("best.", "begun.")
    return {name: array for name, array in tensors.items() if not name.startswith(resumed)}


def assert_same_bits(found, expected):
    assert found.keys() == expected.keys()
    for name, array in expected.items():
        assert found[name].tobytes() == array.tobytes(), name


def replay(config, epochs, windows=0):
    """Training alone, as a loop over `Program.train`: the tensors at a position, and measures."""
    source = open_source(config)
    spec = source.spec
    program = Program(source.config, spec, "cpu:0")
    rngs = [generator(seed, Stream.WEIGHTS) for seed in config.run.seeds]
    now = program.start(initialization.initialise(config.model, spec.features, spec.outputs, rngs))
    measured = []
    for epoch in range(epochs + (windows > 0)):
        batch = ReplicaWindows(source.training(epoch))
        now["state"] = np.zeros_like(now["state"])
        done = 0
        for trained, seen in program.train(now, batch, epoch * len(batch)):
            measured.append(seen)
            done += len(seen.loss)
            if epoch == epochs and done == windows:
                break
        now = {name: np.array(tensor) for name, tensor in trained.items()}
    columns = (np.concatenate(column) for column in zip(*measured, strict=True))
    return now, [np.asarray(column, np.float32) for column in columns]
