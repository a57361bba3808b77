"""The compiled programs: replicas that do not know of each other, and nothing compiled twice."""

import subprocess
import sys

import numpy as np
import pytest

from lstmcli.config import Config
from lstmcli.core import execution
from lstmcli.core.replica_windows import ReplicaWindows
from lstmcli.core.runner import ChunkSizer, programs_for
from lstmcli.core.train_step import Step
from lstmcli.data.datasets import open_source
from programs import kept_program, started

SHAPES = [
    {"layers": 3},
    {"layers": 2, "bptt": 4, "clip_norm": 0.05},
    {"layers": 4, "state_size": 3, "classes": 4, "optimizer": "adam", "learning_rate": 0.01},
    {"layers": 2, "state_size": 1, "batch_size": 1},
    {"layers": 2, "state_size": 16, "batch_size": 3},  # The layered schedule.
]


def trained(**settings):
    """Everything after an epoch, and all that was measured, with the replica axis first."""
    program, data, tensors = started(kept_program, **settings)
    batch, chunks = ReplicaWindows(data.training(0)), []  # However many: a slow machine makes more.
    for after, measures in program.train(tensors, batch, 0):
        chunks.append(measures._asdict())
    tensors = {name: np.asarray(tensor) for name, tensor in after.items()}
    found = {
        f"train {name}": np.concatenate([chunk[name] for chunk in chunks]).T for name in chunks[0]
    }
    held_out = ReplicaWindows(data.validation())
    found["val loss"] = program.evaluate(tensors, held_out).loss.T
    scores = np.concatenate(list(program.predict(tensors, held_out)))
    found["scores"] = np.moveaxis(scores, -1, 0)
    return found | tensors


def test_a_call_that_reads_out_gives_back_few_numbers_and_the_same_ones(monkeypatch):
    program, data, tensors = started(layers=1)
    whole = np.concatenate(list(program.predict(tensors, ReplicaWindows(data.validation()))))
    monkeypatch.setattr("lstmcli.core.runner.READOUTS", 3 * whole[0].size)
    program, data, tensors = started(layers=1)
    pieces = list(program.predict(tensors, ReplicaWindows(data.validation())))
    assert len(whole) > 3
    assert max(map(len, pieces)) <= 3
    np.testing.assert_array_equal(np.concatenate(pieces), whole)


QUICK = (SHAPES[1], SHAPES[-1])
OTHERS = ("adam", "rmsprop", "sgd")
RATES = (0.3, 0.003)


@pytest.mark.parametrize(
    ("shape", "counts"),
    [
        *((shape, (3,)) for shape in QUICK),
        *(pytest.param(shape, (3, 8), marks=pytest.mark.slow) for shape in SHAPES),
    ],
    ids=str,
)
def test_a_replica_has_the_bits_of_a_run_of_its_own(shape, counts):
    alone = [trained(seed=seed, **shape) for seed in range(3)]
    for replicas in counts:
        together = trained(replicas=replicas, **shape)
        for seed in range(min(replicas, 3)):
            for name, array in alone[seed].items():
                np.testing.assert_array_equal(together[name][seed], array[0], err_msg=name)


@pytest.mark.parametrize("schedule", ["wavefront", "layered"])
def test_a_run_compiles_each_program_once_ragged_ends_included(schedule, monkeypatch):
    monkeypatch.setattr("lstmcli.core.runner.CHUNK_SECONDS", 1e-4)  # 20 windows, several chunks
    programs_for.cache_clear()
    program, data, tensors = started(execution=schedule, bptt=15)
    chunks = 0
    for epoch in range(3):
        for after, _ in program.train(tensors, ReplicaWindows(data.training(epoch)), 20 * epoch):
            chunks += 1
        tensors = {name: np.asarray(tensor) for name, tensor in after.items()}
        program.evaluate(tensors, ReplicaWindows(data.validation()))
    assert chunks > 6
    for compiled in program.programs.compiled[:2]:
        assert compiled.experimental_get_tracing_count() == 1


def test_runs_that_differ_in_their_data_and_seeds_share_what_is_compiled():
    first, *_ = started(layers=2)
    for settings in (
        {"seed": 5}, {"epochs": 7}, {"noise": 0.1}, {"echo_step": 2}, {"learning_rate": 0.1},
        {"learning_rate_decay": 0.9},
    ):  # fmt: skip
        assert started(layers=2, **settings)[0].programs is first.programs
    for settings in ({"optimizer": "sgd"}, {"clip_norm": 1.0}, {"dropout": 0.5}, {"classes": 3}):
        assert started(layers=2, **settings)[0].programs is not first.programs


@pytest.mark.parametrize(
    "optimizer", ["adagrad", *(pytest.param(each, marks=pytest.mark.slow) for each in OTHERS)]
)
def test_learning_rates_share_one_program_and_have_the_bits_of_one_compiled_for_each(
    optimizer, monkeypatch
):
    class CompiledIn(Step):
        """The program of one rate, as a constant of it."""

        def update(self, *arguments):
            return super().update(*arguments[:-1], RATES[1])

    def after_an_epoch(rate):
        program, data, tensors = started(
            layers=1, bptt=5, series_length=600, optimizer=optimizer, learning_rate=rate
        )
        *_, (after, _) = program.train(tensors, ReplicaWindows(data.training(0)), 0)
        return program.programs, {name: np.asarray(tensor) for name, tensor in after.items()}

    programs_for.cache_clear()
    (one, first), (other, second) = map(after_an_epoch, RATES)
    assert one is other
    assert one.compiled[0].experimental_get_tracing_count() == 1
    assert not np.array_equal(first["dense.kernel"], second["dense.kernel"])
    programs_for.cache_clear()
    monkeypatch.setattr("lstmcli.core.runner.Step", CompiledIn)
    _, alone = after_an_epoch(RATES[1])
    programs_for.cache_clear()  # No other test is to meet a program with a rate in it.
    for name, array in alone.items():
        np.testing.assert_array_equal(second[name], array, err_msg=name)


def test_chunks_change_nothing(monkeypatch):
    whole = trained(**SHAPES[1])
    monkeypatch.setattr("lstmcli.core.runner.CHUNK_SECONDS", 1e-4)
    program, data, tensors = started(**SHAPES[1])
    for after, _ in program.train(tensors, ReplicaWindows(data.training(0)), 0):
        pass
    for name, tensor in after.items():
        np.testing.assert_array_equal(tensor, whole[name], err_msg=name)


@pytest.mark.parametrize(
    ("settings", "schedule", "threads"),
    [({}, "wavefront", 1), ({"state_size": 256}, "layered", None),
     ({"state_size": 8, "batch_size": 16}, "wavefront", 1),
     ({"state_size": 8, "batch_size": 17}, "layered", 1),
     ({"state_size": 64, "batch_size": 16}, "layered", 1),
     ({"state_size": 64, "batch_size": 17}, "layered", None),
     ({"state_size": 511, "batch_size": 2}, "layered", 1),
     ({"state_size": 512, "batch_size": 1}, "layered", None),
     ({"classes": 30}, "layered", 1), ({"execution": "layered"}, "layered", 1),
     ({"threads": 3}, "wavefront", 3)],
)  # fmt: skip
def test_schedule_and_threads_follow_from_the_size_unless_named(settings, schedule, threads):
    source = open_source(Config.build(**settings))
    config, features = source.config, source.spec.features
    assert execution.plan(config, features).schedule == schedule
    assert execution.plan(config, features).threads == threads


@pytest.mark.slow
def test_compiled_programs_are_kept_in_a_private_directory_unless_told_not_to(tmp_path, python):
    home = {**python["env"], "XDG_CACHE_HOME": str(tmp_path / "cache"), "HOME": str(tmp_path)}
    entry = [sys.executable, "-c", "from lstmcli.__main__ import main; main()"]
    short = ["train", "--epochs", "1", "--series-length", "300", "--overwrite", "--out", "run"]

    def train(*more):
        done = subprocess.run(
            [*entry, *short, *more], env=home, cwd=tmp_path, check=True, capture_output=True,
            text=True,
        )  # fmt: skip
        assert "Error" not in done.stderr
        return sorted(path.name for path in tmp_path.rglob("cache/**/*.pb"))

    assert train("--no-cache") == []
    kept = train()
    assert len(kept) >= 2
    assert set(kept) <= set(train())  # TensorFlow's key for a program may differ between processes.
    now = train()
    assert train("--learning-rate", "0.07") == now
    [folder] = {path.parent for path in tmp_path.rglob("*.pb")}
    assert folder.stat().st_mode & 0o077 == 0
    folder.chmod(0o777)
    for file in folder.iterdir():
        file.unlink()
    assert train() == []  # Whoever can write there could make this user run their code.


def paced(monkeypatch, length, fixed, each, calls=10):
    """How many windows each call goes, of a program that takes so many seconds for them."""
    now, gone = [0.0], []
    monkeypatch.setattr("lstmcli.core.runner.time.monotonic", lambda: now[0])
    pace = ChunkSizer(length)
    for _ in range(calls):
        gone.append(pace.windows)
        with pace.call(pace.windows):
            now[0] += fixed + each * pace.windows
    return gone


@pytest.mark.parametrize(
    ("fixed", "each", "last"),
    [
        (0.0, 0.0099, 40),  # 0.4 s a call, so that the bar moves.
        (0.5, 0.001, 100),  # A call for each of many seeds: a window more costs next to none.
        (0.0, 5.0, 1),
    ],
)
def test_a_call_goes_as_far_as_it_is_worth(fixed, each, last, monkeypatch):
    assert paced(monkeypatch, 100, fixed, each)[-1] == last
