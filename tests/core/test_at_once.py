"""Several calls at once, and replicas on as many cores as there are: the bits stay the same."""

import json
import subprocess
import sys
import threading
from pathlib import Path

import pytest

import replicas
from lstmcli.config import Config
from lstmcli.core import execution, memory_use, pace
from lstmcli.core.at_once import CallsAtOnce
from lstmcli.model_spec import ModelSpec

THREE = CallsAtOnce(["cpu:0"] * 3)


def test_calls_are_made_at_once_and_their_results_stand_in_order():
    all_here = threading.Barrier(3, timeout=30)

    def call(index):
        if index < 3:
            all_here.wait()  # One thread alone would wait for ever.
        return index**2

    assert THREE.map(call, 7) == [0, 1, 4, 9, 16, 25, 36]
    assert CallsAtOnce(["cpu:0"]).map(lambda index: -index, 3) == [0, -1, -2]


@pytest.mark.parametrize("failing", [0, 2])
def test_what_fails_is_raised_when_all_calls_have_ended(failing):
    ended = []

    def call(index):
        if index == failing:
            raise ArithmeticError("in one call")
        ended.append(index)

    with pytest.raises(ArithmeticError, match="in one call"):
        THREE.map(call, 3)
    assert sorted(ended) == [index for index in range(3) if index != failing]


ON_CORES = """
import hashlib, json, sys
from lstmcli.core import execution

execution.cores = lambda: int(sys.argv[1])
from lstmcli.config import Config
from lstmcli.core import device
from lstmcli.core.runner import Program
from lstmcli.data.datasets import open_source

sys.path.append(sys.argv[3])
import replicas

for settings in json.loads(sys.argv[2]):
    data = open_source(Config.build(**settings))
    name = device.choose(data.config, data.spec).name
    program = Program(data.config, data.spec, name)
    found = replicas.results(program, data, range(settings["replicas"]))
    bits = hashlib.sha256(b"".join(found[name].tobytes() for name in sorted(found)))
    at_once = len(device.devices_at_once(name))
    print(json.dumps([bits.hexdigest(), name, device.available(), device.threads(), at_once]))
"""
SMALL = {"batch_size": 4, "bptt": 6, "series_length": 300}
LAYERED = {**SMALL, "layers": 2, "state_size": 24, "replicas": 5}
KINDS = [
    LAYERED,
    {**LAYERED, "dropout": 0.2, "optimizer": "adam", "learning_rate": 0.01, "replicas": 3},
    {"layers": 2, "task": "adding", "sequence_length": 20, "series_length": 300, "batch_size": 4,
     "bptt": 10, "replicas": 3},
    {**SMALL, "layers": 1, "replicas": 17},
]  # fmt: skip
"""The layered schedule; dropout; the wavefront with starts in a row; groups of replicas in it."""


@pytest.fixture(scope="module")
def on_cores(python):
    def found(cores, kinds):
        given = [str(cores), json.dumps(kinds), str(Path(replicas.__file__).parent)]
        command = [sys.executable, "-c", ON_CORES, *given]
        done = subprocess.run(command, capture_output=True, check=False, **python)
        assert done.returncode == 0, done.stderr
        return [json.loads(line) for line in done.stdout.splitlines()]

    return found


@pytest.mark.parametrize(
    ("cores", "kinds"), [(4, KINDS[:1]), pytest.param(8, KINDS, marks=pytest.mark.slow)]
)
def test_replicas_have_the_same_bits_on_one_core_and_on_many(on_cores, cores, kinds):
    """Each core has a thread and a part of the CPU of its own, of which a user sees nothing."""
    alone, at_once = on_cores(1, kinds), on_cores(cores, kinds)
    assert [bits for bits, *_ in at_once] == [bits for bits, *_ in alone]
    assert [said for _, *said in alone] == [["cpu:0", ["cpu:0"], 1, 1]] * len(kinds)
    assert [said for _, *said in at_once] == [["cpu:0", ["cpu:0"], 1, cores]] * len(kinds)


@pytest.mark.parametrize(
    ("settings", "expected"),
    [({}, True), ({"state_size": 64}, True), ({"state_size": 256, "batch_size": 16}, False),
     ({"threads": 1}, False), ({"threads": 2}, False)],
)  # fmt: skip
def test_replicas_of_small_models_share_the_cores_unless_threads_are_named(settings, expected):
    config = Config.build(**{"batch_size": 5, "bptt": 15, "replicas": 8} | settings)
    assert execution.plan(config, 1).replicas_at_once == expected
    assert not execution.plan(config, 1, "gpu:0").replicas_at_once


def test_time_and_memory_are_counted_for_the_replicas_that_are_computed_at_once(monkeypatch):
    config = Config.build(state_size=64, batch_size=5, bptt=2000, replicas=8)
    spec = ModelSpec(1, (), 2)
    each = pace.window_seconds(config.replaced(replicas=1), spec, "cpu", cores=4)
    assert pace.window_seconds(config, spec, "cpu", cores=4) == pytest.approx(2 * each)
    needed = {}
    for cores in (1, 4):
        monkeypatch.setattr(execution, "cores", lambda cores=cores: cores)
        needed[cores] = memory_use.needed(config, 1, 2)
    assert needed[4] > needed[1] + 3 * 4 * 2000 * 5 * 64 * 7 * 3


@pytest.mark.parametrize(
    ("replicas", "cores", "together", "calls"),
    [(1, 1, 1, 1), (2, 1, 1, 2), (3, 1, 4, 1), (5, 1, 8, 1), (12, 1, 4, 3), (16, 1, 8, 2),
     (2, 2, 1, 1), (4, 2, 4, 1), (8, 2, 4, 1), (16, 2, 8, 1), (8, 8, 1, 1)],
)  # fmt: skip
def test_replicas_lie_side_by_side_where_that_is_faster_than_on_cores_of_their_own(
    replicas, cores, together, calls
):
    assert execution.side_by_side(replicas, cores) == (together, calls)


def test_a_window_of_side_by_side_replicas_is_timed_by_the_calls_that_a_core_makes():
    spec = ModelSpec(1, (), 2)

    def time(replicas, cores, **settings):
        config = Config.build(replicas=replicas, batch_size=5, bptt=15, **settings)
        return pace.window_seconds(config, spec, "cpu", cores)

    assert time(16, 2) == time(8, 1) == time(16, 1) / 2
    assert time(8, 2) == time(4, 1) < time(8, 1)
    assert time(8, 2, threads=1) == time(8, 1)
