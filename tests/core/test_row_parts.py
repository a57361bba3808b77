"""A window's rows in parts: nothing but the last bits differs, and no bit by chance.

Here 4 and 8 parts share the test machine's cores, however few these are.

The gradient itself is compared with automatic differentiation in `test_model.py`.
"""

import subprocess
import sys
import threading
from dataclasses import replace

import numpy as np
import pytest

import replicas
from lstmcli.config import Config
from lstmcli.core import execution
from lstmcli.core import runner as program_module
from lstmcli.core.at_once import CallsAtOnce
from lstmcli.core.programs import ChunkProgram, SplitBatchProgram, _divided
from lstmcli.core.replica_windows import ReplicaWindows
from lstmcli.core.train_step import Constants, Step
from lstmcli.data.datasets import open_source
from programs import started

SIZE = {"layers": 2, "state_size": 12, "batch_size": 8, "bptt": 6, "series_length": 600}
LARGE = {
    "layers": 2, "state_size": 128, "batch_size": 128, "bptt": 32, "series_length": 20480,
    "epochs": 1,
}  # fmt: skip
"""Of a size whose rows are divided by the rule."""
SHAPES = [
    {},
    {"batch_size": 7, "optimizer": "adam", "learning_rate": 0.01, "clip_norm": 0.05},
    {"task": "adding", "sequence_length": 20, "dropout": 0.3, "learning_rate": 0.05},
]
SOME = [pytest.param(SHAPES[1], marks=pytest.mark.slow), SHAPES[2]]


def divide_all(monkeypatch, parts):
    """Makes every size one that is trained in parts, whatever threads this process has."""
    plan = execution.plan

    def divided(config, features, device="cpu"):
        found = plan(config, features, device)
        return replace(found, row_parts=parts if device.startswith("cpu") else 1)

    monkeypatch.setattr(execution, "plan", divided)
    monkeypatch.setattr(program_module, "threads", lambda: parts)


@pytest.fixture(params=[2, 4, pytest.param(7, marks=pytest.mark.slow)])
def parts(request, monkeypatch):
    divide_all(monkeypatch, request.param)
    return request.param


@pytest.fixture
def halved(monkeypatch):
    divide_all(monkeypatch, 2)


def results(**settings):
    """Everything after an epoch, all that was measured, and what is predicted."""
    program, data = replicas.readied(settings)
    found = replicas.results(program, data, [0], 1)
    weights = {name: value for name, value in found.items() if name.startswith(("lstm", "dense"))}
    read = program.predict(weights, ReplicaWindows(data.validation()))
    return found | {"readout": np.concatenate(list(read))}


@pytest.mark.parametrize(
    ("shape", "count"),
    [(SHAPES[2], 2), (SHAPES[1], 4), *(pytest.param(shape, count, marks=pytest.mark.slow)
     for shape, count in [(SHAPES[1], 2), (SHAPES[1], 7), (SHAPES[2], 8)])],
    ids=str,
)  # fmt: skip
def test_parts_train_and_score_as_whole_batches_do(shape, count, monkeypatch):
    whole = results(**SIZE | shape)
    divide_all(monkeypatch, count)
    found = results(**SIZE | shape)
    assert found.keys() == whole.keys()
    for name, expected in whole.items():
        assert found[name].shape == expected.shape, name
        np.testing.assert_allclose(found[name], expected, atol=2e-5, rtol=1e-4, err_msg=name)


def test_it_makes_no_difference_which_part_is_ready_first(parts, monkeypatch):
    at_once = results(**SIZE)
    for order in (list(range(parts)), list(range(parts))[::-1]):

        def one_after_the_other(calls, call, count, order=order):
            found = {which: call(which) for which in order if which < count}
            return [found[which] for which in range(count)]

        monkeypatch.setattr(CallsAtOnce, "map", one_after_the_other)
        for name, array in results(**SIZE).items():
            np.testing.assert_array_equal(array, at_once[name], err_msg=name)


@pytest.mark.parametrize("shape", SOME, ids=str)
def test_a_replica_in_parts_has_the_bits_of_a_run_of_its_own(parts, shape):
    assert replicas.differing({**SIZE, **shape, "replicas": 3}) == []


@pytest.mark.parametrize(
    ("count", "rows", "shapes"), [(2, 8, 1), pytest.param(4, 7, 2, marks=pytest.mark.slow)]
)
def test_each_program_is_compiled_once_for_each_size_of_a_part(count, rows, shapes, monkeypatch):
    divide_all(monkeypatch, count)
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
def test_what_fails_in_either_part_is_raised(halved, on_this_thread, monkeypatch):
    program, data, tensors = started(**SIZE)
    gradient, here = program.programs._gradient, threading.get_ident()

    def failing(*arguments):
        if (threading.get_ident() == here) == on_this_thread:
            raise ArithmeticError("in one part")
        return gradient(*arguments)

    monkeypatch.setattr(program.programs, "_gradient", failing)  # Other tests have them, too.
    with pytest.raises(ArithmeticError, match="in one part"):
        next(program.train(tensors, ReplicaWindows(data.training(0)), 0))


@pytest.mark.parametrize(
    ("settings", "expected"),
    [({}, 2), ({"state_size": 128}, 4), ({"state_size": 256, "batch_size": 512}, 32),
     ({"state_size": 512}, 8), ({"state_size": 512, "batch_size": 16}, 2),
     ({"state_size": 513}, 1), ({"state_size": 32}, 1), ({"bptt": 16}, 1), ({"batch_size": 16}, 1),
     ({"state_size": 8, "batch_size": 16, "execution": "wavefront"}, 1)],
)  # fmt: skip
def test_long_windows_of_many_rows_and_units_are_divided(settings, expected):
    large = {"state_size": 64, "batch_size": 64, "bptt": 64}
    assert execution.plan(Config.build(**large | settings), 1).row_parts == expected


@pytest.mark.parametrize(("threads", "expected"), [(2, 2), (3, 3), (4, 4), (16, 4)])
def test_there_are_no_more_parts_than_threads(threads, expected, monkeypatch):
    monkeypatch.setattr(program_module, "threads", lambda: threads)
    config = Config.build(state_size=128, batch_size=64, bptt=64, threads=threads)
    program = program_module.Program(config, open_source(config).spec, "cpu:0")
    ends = [rows.shape[0] for rows in _divided(np.zeros(64), 0, expected)]
    assert program.programs._count == expected
    assert sum(ends) == 64
    assert max(ends) - min(ends) <= 1


@pytest.mark.parametrize(
    ("layers", "size", "rows", "device", "expected"),
    [(3, 767, 32, "cpu:0", False), (3, 768, 32, "cpu:0", True), (1, 128, 32, "cpu:0", True),
     (1, 127, 32, "cpu:0", False), (1, 256, 16, "cpu:0", False), (1, 512, 16, "cpu:0", True),
     (1, 512, 5, "cpu:0", False),
     (1, 512, 32, "gpu:0", False)],
)  # fmt: skip
def test_the_units_of_large_layers_come_first_on_the_cpu(layers, size, rows, device, expected):
    config = Config.build(layers=layers, state_size=size, batch_size=rows, bptt=64)
    assert execution.plan(config, 1, device).units_first == expected
    assert (
        Step(Constants.of(config, open_source(config).spec, device)).schedule.units_first
        == expected
    )


@pytest.mark.parametrize(
    ("device", "threads", "programs"),
    [("cpu:0", 2, SplitBatchProgram), ("cpu:0", 1, ChunkProgram), ("gpu:0", 2, ChunkProgram)],
)
def test_parts_need_two_threads_of_the_cpu(halved, device, threads, programs, monkeypatch):
    monkeypatch.setattr(program_module, "threads", lambda: threads)
    config = Config.build(**SIZE)
    spec = open_source(config).spec
    assert isinstance(program_module.Program(config, spec, device).programs, programs)


@pytest.mark.slow
@pytest.mark.parametrize("threads", [4, 8])
def test_training_on_more_threads_than_cores_repeats_and_resumes_to_the_bit(threads, tmp_path):
    config = Config.build(**LARGE)
    assert execution.plan(config, 1).row_parts >= threads
    options = [f"--{name.replace('_', '-')}={value}" for name, value in LARGE.items()]
    command = [sys.executable, "-m", "lstmcli", "train", *options, "--verify", "--no-cache"]
    command.append(f"--threads={threads}")
    told = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert told.returncode == 0, told.stderr
    assert "gave the same bits" in " ".join(told.stdout.split())
