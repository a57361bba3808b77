"""A process is set up once, from the settings that its programs are made with."""

import itertools
import json
import signal
import time
from pathlib import Path

import pytest

import kinds
from forking import Command
from lstmcli import api
from lstmcli.config import Config
from lstmcli.core import execution
from lstmcli.data.datasets import open_source
from lstmcli.training import resume_state, run_dir, trainer
from lstmcli.training.run_dir import RunDirectory
from resumes import assert_same, rows

SIZES = (
    {"state_size": 4},
    {"state_size": 8, "batch_size": 16, "bptt": 8},  # The largest of the wavefront schedule,
    {"state_size": 8, "batch_size": 17, "bptt": 8},  # and the smallest of the layered one.
    {"state_size": 32},  # As many numbers as one thread takes, with 32 rows,
    {"state_size": 33},  # and one more.
    {"state_size": 300, "bptt": 8, "batch_size": 40},  # Halves.
)
OTHERS = ({}, {"replicas": 3, "dropout": 0.2, "patience": 2})


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    kinds.write(folder)
    return folder


@pytest.fixture
def set_up(monkeypatch):
    """What a process was set up for: instruction set, threads, row parts; and what asked for it."""
    asked = []
    monkeypatch.setattr(execution, "set_up", lambda *given: asked.append(given))
    return asked


def meant(config, features):
    return (
        *execution.plan(config, features).process,
        execution.plan(config, features).row_parts,
    )


def as_a_new_process(monkeypatch):
    """Lets `execution.set_up` find what it finds before TensorFlow is loaded."""
    monkeypatch.delitem(execution.sys.modules, "lstmcli.core.tensorflow", raising=False)
    for name in ("XLA_FLAGS", "TF_XLA_FLAGS"):
        monkeypatch.setenv(name, "")
        monkeypatch.setenv(f"LSTMCLI_GIVEN_{name}", "")


@pytest.mark.parametrize("kind", kinds.KINDS)
def test_a_process_is_set_up_for_the_programs_that_it_compiles(kind, files, set_up):
    for number, (size, other) in enumerate(itertools.product(SIZES, OTHERS)):
        config = Config.build(**kinds.settings(kind, files), **size, **other, layers=1)
        directory = run_dir.create(Path(f"run-{number}"), "", overwrite=False)
        run = api.prepare(api.open_data(config), directory)
        program, (given, features, before) = run.program, set_up.pop()
        assert meant(given, features) == meant(program.config, program.spec.features)
        assert (given, before) == (run.config, None)


def test_weights_to_begin_with_change_nothing_of_how_a_process_is_set_up(files, set_up, trained):
    settings = kinds.settings("echo", files) | {"layers": 2, "init_from": str(trained)}
    opened = api.open_data(Config.build(**settings, replicas=3))
    run = api.prepare(opened, run_dir.create(Path("a"), "", False))
    assert set_up.pop()[0] == run.program.config


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_how_a_run_is_computed_cannot_be_asked_of_settings_that_are_not_resolved(size):
    config = Config.build(**size, data="x.csv")
    if "batch_size" not in size:
        with pytest.raises(ValueError, match="`batch_size` is not resolved"):
            execution.plan(config, 1)
    with pytest.raises(ValueError, match="is not resolved"):
        assert Config.build(state_size=512, batch_size=64).training.steps


@pytest.mark.parametrize(
    ("recorded", "taken"), [("AVX", "AVX"), ("AVX2", "AVX2"), (None, None), ("X --evil", None)]
)
def test_a_run_goes_on_with_the_instruction_set_that_it_recorded(
    recorded, taken, files, set_up, monkeypatch
):
    """An older version recorded another one than its programs ask for now."""
    config = Config.build(**kinds.settings("sequences", files), layers=1, state_size=8, epochs=2)
    run = api.prepare(api.open_data(config), run_dir.create(Path("run"), "", overwrite=False))
    trainer._begin(run, [])
    status = {**run.directory.read_status(), "instruction_set": recorded, "threads": 1}
    run.directory.update_status(**status)
    found = resume_state.load_resume_state(RunDirectory(Path("run")), {})
    api._load(api.open_data(found.config), found)
    given, features, before = set_up.pop()
    plan = execution.plan(given, features)
    assert (plan.threads, plan.replicas_at_once, plan.schedule) == (1, True, "layered")
    monkeypatch.undo()
    as_a_new_process(monkeypatch)
    execution.set_up(given, features, before)
    assert execution.flag(execution.MAX_ISA) == (taken or "AVX2")


def test_programs_are_kept_in_a_private_directory_for_each_instruction_set(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))

    def kept_in(**settings):
        as_a_new_process(monkeypatch)
        execution.set_up(open_source(Config.build(series_length=300, **settings)).config, 1)
        found = execution.flag(execution.CACHE, "TF_XLA_FLAGS")
        return found and Path(found)

    assert kept_in(cache=False) is None
    folder = kept_in()
    assert folder.stat().st_mode & 0o077 == 0
    assert folder.is_relative_to(tmp_path / "cache")
    assert kept_in(epochs=7) == folder
    assert kept_in(execution="layered") != folder
    folder.parent.chmod(0o777)
    assert kept_in() is None  # Whoever can write there could make this user run their code.


@pytest.mark.slow
def test_bits_depend_on_no_kill_and_on_nothing_that_the_cache_of_programs_holds(forks, files):
    """Sequences; no cache, an empty one, a full one, and one that a neighbour has filled."""
    command = ["train", *kinds.options(kinds.settings("sequences", files)), "--layers", 1]
    command += ["--state-size", 8, "--epochs", 10, "--progress", "none"]
    other = {"XLA_FLAGS": f"{execution.MAX_ISA}=AVX"}

    def train(cache, *arguments, kill_at=None, **flags):
        home = {"XDG_CACHE_HOME": str(Path(cache).absolute()), **flags}
        run = Command(forks, *arguments, environment=home)
        while kill_at and not kill_at.exists():
            time.sleep(0.005)
        if kill_at:
            run.kill()
        code = -signal.SIGKILL if kill_at else 0
        assert run.wait() == code, Path("output.txt").read_text()
        return {path.parent for path in Path(cache).rglob("*.pb")}

    assert train("unused", *command, "--out", "none", "--no-cache") == set()
    assert len(mine := train("mine", *command, "--out", "empty")) == 1
    last = Path("killed/checkpoints/last.safetensors")
    train("mine", *command, "--out", "killed", "--checkpoint-every", "0s", kill_at=last)
    assert train("mine", "train", "--resume", "killed") == mine
    assert len(theirs := train("theirs", *command, "--out", "other", **other)) == 1
    assert len(train("theirs", *command, "--out", "beside")) == 2
    assert {each.name for each in mine} & {each.name for each in theirs} == set()
    assert "bits may differ" not in Path("output.txt").read_text()
    for run in ("empty", "killed", "beside"):
        assert_same("none", run)
    known = [json.loads(Path(name, "run.json").read_text()) for name in ("none", "other")]
    assert [each["schedule"] for each in known] == ["layered", "layered"]
    assert [each["instruction_set"] for each in known] == ["AVX2", "AVX"]
    assert rows(Path("other/metrics.csv")) != rows(Path("none/metrics.csv"))


@pytest.mark.parametrize(
    ("settings", "recorded", "expected"),
    [({}, 1, None), ({}, 2, 2), ({"threads": 1}, 1, 1),
     ({"state_size": 256, "batch_size": 64, "bptt": 64}, 2, 2)],
)  # fmt: skip
def test_a_run_goes_on_with_its_threads_or_with_those_that_follow_from_its_settings(
    settings, recorded, expected, tmp_path
):
    """Replicas of small models share the cores again, which `--threads 1` would forbid."""
    config = Config.build(**{"batch_size": 5, "bptt": 15, "replicas": 8} | settings)
    status = {"threads": recorded, "schedule": "layered", "device": "cpu:0"}
    directory = RunDirectory(tmp_path)
    kept = resume_state.ResumeState(directory, status, config, None, None, longer=False)
    assert kept.exact(config).run.threads == expected
