"""A window's rows in two halves: nothing but the last bits differs, and no bit by chance.

The gradient itself is compared with automatic differentiation in `test_model.py`.
"""

import threading
from dataclasses import replace

import numpy as np
import pytest

import replicas
from lstmcli.config import Config
from lstmcli.core import execution
from lstmcli.core import runner as program_module
from lstmcli.core.at_once import CallsAtOnce
from lstmcli.core.programs import ChunkProgram, SplitBatchProgram
from lstmcli.core.replica_windows import ReplicaWindows
from lstmcli.core.train_step import Constants, Step
from lstmcli.data.datasets import open_source
from programs import started

SIZE = {"layers": 2, "state_size": 12, "batch_size": 8, "bptt": 6, "series_length": 600}
SHAPES = [
    {},
    {"batch_size": 7, "optimizer": "adam", "learning_rate": 0.01, "clip_norm": 0.05},
    {"task": "adding", "sequence_length": 20, "dropout": 0.3, "learning_rate": 0.05},
]
SOME = [pytest.param(SHAPES[1], marks=pytest.mark.slow), SHAPES[2]]


def halve_all(monkeypatch):
    """Makes every size one that is trained in halves, whatever threads this process has."""
    plan = execution.plan

    def halved(config, features, device="cpu"):
        found = plan(config, features, device)
        return replace(found, splits_batch=device.startswith("cpu"))

    monkeypatch.setattr(execution, "plan", halved)
    monkeypatch.setattr(program_module, "threads", lambda: 2)


@pytest.fixture
def halved(monkeypatch):
    halve_all(monkeypatch)


def results(**settings):
    """Everything after an epoch, all that was measured, and what is predicted."""
    program, data = replicas.readied(settings)
    found = replicas.results(program, data, [0], 1)
    weights = {name: value for name, value in found.items() if name.startswith(("lstm", "dense"))}
    read = program.predict(weights, ReplicaWindows(data.validation()))
    return found | {"readout": np.concatenate(list(read))}


@pytest.mark.parametrize("shape", SOME, ids=str)
def test_halves_train_and_score_as_whole_batches_do(shape, monkeypatch):
    whole = results(**SIZE | shape)
    halve_all(monkeypatch)
    found = results(**SIZE | shape)
    assert found.keys() == whole.keys()
    for name, expected in whole.items():
        assert found[name].shape == expected.shape, name
        np.testing.assert_allclose(found[name], expected, atol=2e-5, rtol=1e-4, err_msg=name)


def test_it_makes_no_difference_which_half_is_ready_first(halved, monkeypatch):
    at_once = results(**SIZE)
    for order in ((0, 1), (1, 0)):

        def one_after_the_other(calls, call, count, order=order):
            found = {which: call(which) for which in order if which < count}
            return [found[which] for which in range(count)]

        monkeypatch.setattr(CallsAtOnce, "map", one_after_the_other)
        for name, array in results(**SIZE).items():
            np.testing.assert_array_equal(array, at_once[name], err_msg=name)


@pytest.mark.parametrize("shape", SOME, ids=str)
def test_a_replica_in_halves_has_the_bits_of_a_run_of_its_own(halved, shape):
    assert replicas.differing({**SIZE, **shape, "replicas": 3}) == []


@pytest.mark.parametrize(("rows", "shapes"), [(8, 1), pytest.param(7, 2, marks=pytest.mark.slow)])
def test_each_program_is_compiled_once_for_each_size_of_a_half(halved, rows, shapes):
    program_module.programs_for.cache_clear()
    program, data, tensors = started(**SIZE | {"batch_size": rows})
    for epoch in range(2):
        batch = ReplicaWindows(data.training(epoch))
        for after, _ in program.train(tensors, batch, epoch * len(batch)):
            pass
        tensors = {name: np.asarray(tensor) for name, tensor in after.items()}
        program.evaluate(tensors, ReplicaWindows(data.validation()))
    gradient, update, evaluate, _ = program.programs.compiled
    traced = [each.experimental_get_tracing_count() for each in (gradient, update, evaluate)]
    assert traced == [shapes, 1, shapes]


@pytest.mark.parametrize("on_this_thread", [True, False])
def test_what_fails_in_either_half_is_raised(halved, on_this_thread, monkeypatch):
    program, data, tensors = started(**SIZE)
    gradient, here = program.programs._gradient, threading.get_ident()

    def failing(*arguments):
        if (threading.get_ident() == here) == on_this_thread:
            raise ArithmeticError("in one half")
        return gradient(*arguments)

    monkeypatch.setattr(program.programs, "_gradient", failing)  # Other tests have them, too.
    with pytest.raises(ArithmeticError, match="in one half"):
        next(program.train(tensors, ReplicaWindows(data.training(0)), 0))


@pytest.mark.parametrize(
    ("settings", "expected"),
    [({}, True), ({"state_size": 512, "batch_size": 32}, False),
     ({"state_size": 512, "batch_size": 16}, False), ({"state_size": 32}, False),
     ({"bptt": 16}, False), ({"batch_size": 16}, False)],
)  # fmt: skip
def test_long_windows_of_many_rows_and_units_are_halved(settings, expected):
    large = {"state_size": 64, "batch_size": 64, "bptt": 64}
    assert execution.plan(Config.build(**large | settings), 1).splits_batch == expected


@pytest.mark.parametrize(
    ("size", "device", "expected"),
    [(256, "cpu:0", False), (512, "cpu:0", True), (512, "gpu:0", False)],
)
def test_the_units_of_large_layers_come_first_on_the_cpu(size, device, expected):
    config = Config.build(state_size=size, batch_size=32, bptt=64)
    assert execution.plan(config, 1, device).units_first == expected
    assert (
        Step(Constants.of(config, open_source(config).spec, device)).schedule.units_first
        == expected
    )


@pytest.mark.parametrize(
    ("device", "threads", "programs"),
    [("cpu:0", 2, SplitBatchProgram), ("cpu:0", 1, ChunkProgram), ("gpu:0", 2, ChunkProgram)],
)
def test_halves_need_two_threads_of_the_cpu(halved, device, threads, programs, monkeypatch):
    monkeypatch.setattr(program_module, "threads", lambda: threads)
    config = Config.build(**SIZE)
    spec = open_source(config).spec
    assert isinstance(program_module.Program(config, spec, device).programs, programs)
