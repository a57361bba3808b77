"""Exact resume: a run that was interrupted ends as one that was left alone, to the bit."""

import itertools
from pathlib import Path

import numpy as np
import pytest
import resumes
from resumes import assert_same, begun, resumed, torn_off

from lstmcli import experiment
from lstmcli.core import pace
from lstmcli.core.program import Program
from lstmcli.errors import DivergedError

TINY = {"series_length": 900, "layers": 1, "epochs": 3}  # 12 windows


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A text, and a table of sequences, whose order is drawn for each epoch."""
    folder, rng = tmp_path_factory.mktemp("files"), np.random.default_rng(0)
    (folder / "book.txt").write_text(" ".join(rng.choice(["ab", "abc", "c", "bca"], 800)))
    with (folder / "table.csv").open("w") as file:
        file.write("sensor,x,y\n")
        for sensor, length in enumerate(rng.integers(5, 15, 60)):
            values = rng.normal(size=length)
            for x, y in zip(values, values.cumsum(), strict=True):
                file.write(f"{sensor},{x:.4f},{y:.4f}\n")
    return folder


@pytest.fixture
def quick(monkeypatch):
    """Compiles the program of some settings once, and calls it for one window at a time."""
    compiled, usual = {}, Program

    def program(config, signature, where):
        key = (config.model, config.data, config.run.seeds[-1], pace.GROWTH)
        if key not in compiled:
            compiled[key] = usual(config, signature, where)
        return compiled[key]

    monkeypatch.setattr(experiment, "Program", program)


KINDS = {
    "one": {"series_length": 1500, "layers": 2, "epochs": 3},
    "solved one by one": {
        "series_length": 1500, "layers": 1, "replicas": 3, "echo_step": 1, "epochs": 14,
        "until_solved": True, "optimizer": "adam", "learning_rate": 0.03,
    },
    "layered with dropout and decay": {
        "series_length": 900, "layers": 2, "replicas": 2, "schedule": "layered", "epochs": 3,
        "dropout": 0.3, "learning_rate_decay": 0.5, "optimizer": "rmsprop",
        "learning_rate": 0.01,
    },
    "sequences with adam and clipping": {
        "task": "order", "sequence_length": 20, "series_length": 1500, "replicas": 2, "layers": 1,
        "epochs": 3, "optimizer": "adam", "learning_rate": 0.02, "clip_norm": 0.5, "bptt": 8,
    },
    "text with patience": {
        "data": "book.txt", "layers": 1, "replicas": 3, "epochs": 8, "patience": 1,
        "optimizer": "adam", "learning_rate": 0.2, "bptt": 10, "batch_size": 20,
    },
    "sequences of a table": {
        "data": "table.csv", "target": "y", "group": "sensor", "layers": 1, "state_size": 6,
        "epochs": 3, "replicas": 2, "batch_size": 4, "bptt": 6,
    },
    "seeds that diverge": {
        "series_length": 900, "layers": 2, "replicas": 4, "epochs": 3, "optimizer": "sgd",
        "learning_rate": 1e38,
    },
}  # fmt: skip


def finish(run):
    """Trains to the end; whether it diverged."""
    try:
        for _ in experiment.train(run):
            pass
    except DivergedError:
        return True
    return False


@pytest.mark.parametrize("kind", KINDS)
def test_a_run_torn_off_again_and_again_ends_with_the_bits_of_one_left_alone(
    kind, files, quick, monkeypatch
):
    """Some windows at a time, at all of which the one torn off could go on."""
    settings = dict(KINDS[kind])
    if "data" in settings:
        settings["data"] = str(files / settings["data"])
    diverged = finish(begun(Path("alone"), **settings))
    monkeypatch.setattr(pace, "GROWTH", 1)  # The one left alone went many at once.
    run, times, ended = begun(Path("torn"), **settings, checkpoint_every="0s"), 0, False
    for records in itertools.cycle([7, 12, 5, 31]):
        try:
            ended = torn_off(run, records)
        except DivergedError:
            ended = True
            assert diverged
        if ended:
            break
        run, times = resumed(Path("torn")), times + 1
    assert times > 2
    assert_same("alone", "torn")
    if kind in ("solved one by one", "text with patience"):
        ends = {}
        for epoch, _, seed, *_ in resumes.rows(Path("torn/metrics.csv")):
            ends[seed] = epoch
        assert len(set(ends.values())) > 1, "all seeds ended at once: nothing was shown of that"
