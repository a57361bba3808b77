"""Replicas beside runs of their own: what `test_replicas.py` compares."""

import numpy as np
from hypothesis import strategies as st

from lstmcli.config import Config
from lstmcli.core import initialization
from lstmcli.core.replica_windows import ReplicaWindows
from lstmcli.core.runner import Program
from lstmcli.data.datasets import open_source
from lstmcli.utils.rng import Stream, generator


@st.composite
def shapes(draw):
    """The settings of a short run: any schedule, optimizer and clipping, a few windows long."""
    rows, steps = draw(st.integers(1, 16)), draw(st.integers(1, 24))
    windows = draw(st.integers(2, 12))
    task = {
        "series_length": rows * (steps * windows + draw(st.integers(0, steps - 1))) + 1,
        "echo_step": 0,
        "classes": draw(st.sampled_from([2, 2, 3, 4, 7])),
    }
    if draw(st.integers(0, 2)) == 0:  # Sequences: starts, scored steps, and for two a linear head.
        name = draw(st.sampled_from(["adding", "order", "copy"]))
        task = {"task": name, "sequence_length": draw(st.integers(20, 40)), "series_length": 600}
    return {
        **task,
        "layers": draw(st.integers(1, 5)),
        "state_size": draw(st.sampled_from([*range(1, 10), 12, 16, 17, 24, 31, 32, 33, 48])),
        "batch_size": rows,
        "bptt": steps,
        "optimizer": draw(st.sampled_from(["adagrad", "adam", "rmsprop", "sgd"])),
        "clip_norm": draw(st.sampled_from([None, 1.0, 0.05])),
        "execution": draw(st.sampled_from(["auto", "wavefront", "layered"])),
        "learning_rate": draw(st.sampled_from([0.3, 0.01])),
        "learning_rate_decay": draw(st.sampled_from([None, None, 0.5])),
        "dropout": draw(st.sampled_from([None, None, 0.2, 0.5])),
        "replicas": draw(st.sampled_from([2, 3, 4, 5, 8, 9])),
    }


def readied(settings):
    """The program of some settings, and its data."""
    data = open_source(Config.build(**settings))
    return Program(data.config, data.spec, "cpu:0"), data


def results(program, data, seeds, epochs=2):
    """All tensors after some epochs, and all measures, with the replica axis first."""
    config, found = program.config, {}
    rngs = [generator(seed, Stream.WEIGHTS) for seed in seeds]
    features, classes = program.spec.features, program.spec.outputs
    tensors = program.start(initialization.initialise(config.model, features, classes, rngs))
    for epoch in range(epochs):
        batch = ReplicaWindows(data.training(epoch))
        for after, measures in program.train(tensors, batch, epoch * len(batch)):
            for name, column in measures._asdict().items():
                found.setdefault(f"{name} of epoch {epoch}", []).append(column.T)
        tensors = {name: np.asarray(tensor) for name, tensor in after.items()}
    found = {name: np.concatenate(parts, 1) for name, parts in found.items()}
    held_out = ReplicaWindows(data.validation())
    validated = program.evaluate(tensors, held_out)
    found |= {"val_loss": validated.loss.T, "val_accuracy": validated.metric.T}
    return found | tensors


def differing(settings, checked=(0, 1, -1)):
    """What of some replicas differs in any bit from a run of their own: `(seed, name)`."""
    together = results(*readied(settings), range(settings["replicas"]))
    alone = settings | {"replicas": 1}
    program, _ = readied(alone)
    wrong = []
    for seed in sorted({range(settings["replicas"])[index] for index in checked}):
        data = open_source(Config.build(**alone, seed=seed))
        program.config = data.config  # Dropout is drawn from its seed; what is compiled stays.
        own = results(program, data, [seed])
        for name, array in own.items():
            if array[0].tobytes() != together[name][seed].tobytes():
                wrong.append((seed, name))
    return wrong
