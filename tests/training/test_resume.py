"""Exact resume: a run that was interrupted ends as one that was left alone, to the bit."""

import csv
import itertools
import json
import shutil
import signal
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

import lstmcli
import resumes
from lstmcli.core import runner
from lstmcli.core.runner import Program
from lstmcli.training import checkpoint as checkpoints
from lstmcli.training import trainer, verify
from lstmcli.utils.errors import DivergedError, StoppedError
from resumes import assert_same, begun, left_by, resumed, rows, torn_off


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

    def program(config, spec, where):
        key = (config.model, config.data, config.run.seeds[-1], runner.GROWTH)
        if key not in compiled:
            compiled[key] = usual(config, spec, where)
        return compiled[key]

    monkeypatch.setattr(trainer, "Program", program)


KINDS = {
    "one": {"series_length": 1500, "layers": 2, "epochs": 3},
    "solved one by one": {
        "series_length": 1500, "layers": 1, "replicas": 3, "echo_step": 1, "epochs": 14,
        "until_solved": True, "optimizer": "adam", "learning_rate": 0.03,
    },
    "layered with dropout and decay": {
        "series_length": 900, "layers": 2, "replicas": 2, "execution": "layered", "epochs": 3,
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
        for _ in trainer.train(run):
            pass
    except DivergedError:
        return True
    return False


QUICK = ("one", "layered with dropout and decay", "sequences of a table")
"""Kinds that `make test` tries, too."""


@pytest.mark.parametrize(
    "kind", [pytest.param(kind, marks=[] if kind in QUICK else pytest.mark.slow) for kind in KINDS]
)
def test_a_run_torn_off_again_and_again_ends_with_the_bits_of_one_left_alone(
    kind, files, quick, monkeypatch
):
    """Some windows at a time, at all of which the one torn off could go on."""
    settings = dict(KINDS[kind])
    if "data" in settings:
        settings["data"] = str(files / settings["data"])
    diverged = finish(begun(Path("alone"), **settings))
    monkeypatch.setattr(runner, "GROWTH", 1)  # The one left alone went many at once.
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


# --- what a run says of itself


def stop_within(run, epoch):
    """Trains until Ctrl-C, in the middle of an epoch."""
    for record in trainer.train(run):
        if isinstance(record, trainer.Progress) and record.epoch == epoch:
            signal.raise_signal(signal.SIGINT)


@pytest.fixture(scope="module")
def half(tmp_path_factory, run):
    """A run of three epochs that a signal stopped within its second one. Not to be written to."""
    folder = tmp_path_factory.mktemp("half")
    options = {"series_length": 900, "layers": 1, "epochs": 3}
    with pytest.raises(StoppedError) as stopped:
        stop_within(begun(folder / "run", **options), epoch=2)
    assert stopped.value.exit_code == 130
    assert "lstmcli train --resume" in stopped.value.hint
    for _ in trainer.train(begun(folder / "alone", **options)):
        pass
    return folder


@pytest.fixture
def copied(half, tmp_path):
    """A copy of it in `run`, beside the same run left alone."""
    shutil.copytree(half / "run", "run")
    shutil.copytree(half / "alone", "alone")


def threads_of(folder):
    """A process has as many as the first of its runs needed."""
    return json.loads(Path(folder, "run.json").read_text())["threads"]


def test_a_stopped_run_goes_on_by_the_command_in_its_hint(copied, run):
    status = json.loads(Path("run/run.json").read_text())
    assert status["status"] == "interrupted"
    assert checkpoints.read(Path("run/checkpoints/last.safetensors")).metadata["position"]["window"]
    result = json.loads(run("train", "--resume", "run", "--json").stdout)
    assert (result["status"], result["results"][0]["epoch"]) == ("completed", 3)
    assert_same("alone", "run")
    now = json.loads(Path("run/run.json").read_text())
    assert now["argv"] == status["argv"]
    assert [again["epoch"] for again in now["resumed"]] == [1]


def test_rows_that_no_checkpoint_counts_are_neither_kept_nor_repeated(copied, run):
    """As a kill leaves them: a whole row, and a torn one."""
    whole = Path("alone/metrics.csv").read_bytes().splitlines(keepends=True)
    assert Path("run/metrics.csv").read_bytes().count(b"\n") == 2
    with Path("run/metrics.csv").open("ab") as file:
        file.write(whole[2] + whole[3][:20])
    run("train", "--resume", "run")
    assert_same("alone", "run")


def test_a_table_that_has_lost_rows_is_refused_by_name(copied, run):
    Path("run/metrics.csv").write_bytes(Path("run/metrics.csv").read_bytes()[:-9])
    assert "`run/metrics.csv` has lost rows" in run("train", "--resume", "run", exit_code=4).stderr


def test_the_checkpoint_before_a_damaged_one_is_taken_with_a_warning(copied, run):
    last = Path("run/checkpoints/last.safetensors")
    last.write_bytes(last.read_bytes()[:-50])
    assert "warning: `run/checkpoints/last" in run("train", "--resume", "run").stderr
    assert_same("alone", "run")


def test_a_resume_that_is_refused_changes_nothing(copied, run):
    """The damaged checkpoint keeps its name, and no table is cut back for the sake of another."""
    last, steps = Path("run/checkpoints/last.safetensors"), Path("run/steps.csv")
    last.write_bytes(last.read_bytes()[:-50])
    Path("run/metrics.csv").unlink()
    with steps.open("ab") as file:
        file.write(b"2,300,0,")
    before = {file: file.read_bytes() for file in Path("run").rglob("*") if file.is_file()}
    assert "has lost rows" in run("train", "--resume", "run", exit_code=4).stderr
    assert before == {file: file.read_bytes() for file in Path("run").rglob("*") if file.is_file()}


def test_early_stopping_is_named_as_what_ended_a_run(run):
    """With a rate that changes nothing, the second epoch is not better than the first."""
    options = ["--series-length", 900, "--layers", 1, "--learning-rate", 1e-30, "--epochs", 30]
    result = run("train", *options, "--patience", 1, "--out", "run")
    with Path("run/metrics.csv").open(newline="") as table:
        best = float(next(csv.DictReader(table))["val_loss"])
    ended = "and 1 more without a better one ended it"
    assert (
        f"seed 0: best in epoch 1, validation loss {best:.3g}, {ended}"
        in result.stdout.splitlines()
    )
    result = run("train", "--resume", "run")
    assert "complete: `--patience` ended it after 2 of 30 epochs" in result.stdout
    result = run("train", "--resume", "run", "--epochs", 40)
    assert "note: `--patience` had ended the run: more `--epochs` have no effect" in result.stderr
    assert len(resumes.rows(Path("run/metrics.csv"))) == 2


def test_a_best_that_is_newer_or_missing_is_made_again(copied, run):
    shutil.copy("alone/checkpoints/best.safetensors", "run/checkpoints/best.safetensors")
    run("train", "--resume", "run")
    assert_same("alone", "run")


def test_with_all_checkpoints_damaged_nothing_is_changed(copied, run):
    for name in ("last", "previous"):
        Path(f"run/checkpoints/{name}.safetensors").write_bytes(b"x")
    before = Path("run/metrics.csv").read_bytes()
    assert "safetensors" in run("train", "--resume", "run", exit_code=4).stderr
    assert Path("run/metrics.csv").read_bytes() == before


def test_a_run_killed_before_its_first_checkpoint_begins_again(copied, run):
    shutil.rmtree("run/checkpoints")
    Path("run/config.toml").unlink()
    run("train", "--resume", "run")
    assert_same("alone", "run")
    assert Path("run/config.toml").read_text() == Path("alone/config.toml").read_text()


def test_a_complete_run_says_so_and_goes_on_with_more_epochs(copied, run):
    before = left_by("alone")
    assert "the run is complete: 3 epochs are done" in run("train", "--resume", "alone").stdout
    assert json.loads(run("train", "--resume", "alone", "--json").stdout)["status"] == "completed"
    assert left_by("alone") == before
    error = run("train", "--resume", "alone", "--epochs", 2, exit_code=2).stderr
    assert "`--epochs` is 3 in this run, got 2" in error
    run("train", "--resume", "run", "--epochs", 5)
    run("train", "--resume", "alone", "--epochs", 5)
    assert_same("alone", "run")
    whole = lstmcli.train("whole", series_length=900, layers=1, epochs=5)
    assert_same(whole.directory, "run")
    assert "epochs = 5" in Path("run/config.toml").read_text()
    assert lstmcli.train(resume="run").directory == Path("run")


@pytest.mark.parametrize(
    ("option", "value", "has"),
    [
        ("--learning-rate", 0.1, "is 0.3"),
        ("--layers", 2, "is 1"),
        ("--threads", 99, "is {threads}"),
        ("--execution", "layered", "is wavefront"),
        ("--clip-norm", 3, "was not given"),
        ("--seed", 1, "is 0"),
        ("--data", "x.csv", "was not given"),
    ],
)
def test_a_setting_that_contradicts_the_run_is_refused_by_name(copied, run, option, value, has):
    before = left_by("run")
    error = run("train", "--resume", "run", option, value, exit_code=2).stderr
    has = has.format(threads=threads_of("run"))
    assert f"error: `{option}` {has}" in error
    assert left_by("run") == before


@pytest.mark.parametrize("option", ["--execution", "--schedule"])
def test_settings_that_the_run_has_or_that_no_bit_depends_on_are_taken(copied, run, option):
    run(
        "train", "--resume", "run", "--layers", 1, "--threads", threads_of("run"),
        f"{option}=wavefront", "--device", "cpu", "--checkpoint-every", "2s", "--no-cache",
    )  # fmt: skip
    assert_same("alone", "run")


@pytest.mark.parametrize("other", [["--out", "x"], ["--overwrite"], ["--config", "x.toml"]])
def test_what_has_no_effect_beside_resume_is_refused(copied, run, other):
    error = run("train", "--resume", "run", *other, exit_code=2).stderr
    assert f"`{other[0]}` has no effect with `--resume`" in error


def test_what_is_no_run_is_refused_and_left_alone(run):
    Path("mine").mkdir()
    for path, said in (("mine", "is an empty directory"), ("nowhere", "holds no run")):
        assert said in run("train", "--resume", path, exit_code=4).stderr
    assert not list(Path("mine").iterdir())
    assert not Path("nowhere").exists()


def test_a_run_in_a_directory_that_is_asked_for_is_offered_to_be_resumed(copied, run):
    error = run("train", "--out", "run", exit_code=2).stderr
    assert "`lstmcli train --resume run`" in error


def test_data_that_has_changed_is_refused_and_data_that_has_moved_is_found(run):
    run("generate", "bits.csv", "--series-length", 2000)
    options = ["--data", "bits.csv", "--layers", 1]
    run("train", *options, "--epochs", 2, "--out", "alone")
    run("train", *options, "--epochs", 1, "--out", "run")
    whole = Path("bits.csv").read_text()
    lines = whole.splitlines(keepends=True)
    Path("bits.csv").write_text("".join([*lines[:-1], lines[-2]]))
    if lines[-1] != lines[-2]:
        error = run("train", "--resume", "run", "--epochs", 2, exit_code=4).stderr
        assert "`bits.csv` has changed since the run began" in error
    Path("bits.csv").unlink()
    Path("elsewhere.csv").write_text(whole)
    assert "--data FILE" in run("train", "--resume", "run", "--epochs", 2, exit_code=4).stderr
    run("train", "--resume", "run", "--epochs", 2, "--data", "elsewhere.csv")
    first, second = (load_file(f"{name}/checkpoints/last.safetensors") for name in ("alone", "run"))
    assert all(first[name].tobytes() == second[name].tobytes() for name in first)


def test_what_the_bits_depend_on_is_kept_and_a_change_of_it_is_said(copied, run):
    path = Path("run/run.json")
    status = json.loads(path.read_text())
    assert {"machine", "processor", "libraries", "threads", "instruction_set"} <= status.keys()
    assert (status["schedule"], status["device"]) == ("wavefront", "cpu:0")
    status["libraries"]["tensorflow"] = "2.0.0"
    status["processor"] = "another"
    path.write_text(json.dumps(status))
    error = run("train", "--resume", "run").stderr
    assert "note: the run began with tensorflow 2.0.0, and goes on with" in error
    assert "note: the run began with processor another" in error


def spoil(run):
    """Trains an epoch, puts an infinite number into the weights, and goes on."""
    for record in trainer.train(run):
        if isinstance(record, list):
            run.tensors["dense.bias"] = np.full_like(run.tensors["dense.bias"], np.inf)


def test_a_run_that_diverges_stops_and_keeps_what_was_finite(tmp_path):
    """Checkpoints were not due: what was best is on disk all the same."""
    with pytest.raises(DivergedError, match="epoch 2") as error:
        spoil(begun(Path("run"), series_length=900, layers=1, epochs=9, checkpoint_every="9"))
    assert "--clip-norm" in error.value.hint
    assert json.loads(Path("run/run.json").read_text())["status"] == "diverged"
    saved = checkpoints.read(Path("run/checkpoints/best.safetensors"))
    assert saved.metadata["position"]["epoch"] == 1
    assert all(np.isfinite(array).all() for array in saved.tensors.values())


VERIFY = ["train", "--verify", "--layers", 1, "--series-length", 900]


@pytest.fixture
def resumed_here(monkeypatch):
    """Has `--verify` resume in this process, and do something with what that has left."""

    def resume_here(afterwards=lambda directory: None):
        def resume(directory):
            for _ in trainer.train(resumed(directory.path)):
                pass
            afterwards(directory)

        monkeypatch.setattr(verify, "_resume", resume)

    return resume_here


@pytest.mark.parametrize("where", ["here", pytest.param("new process", marks=pytest.mark.slow)])
def test_verify_says_that_the_bits_are_the_same_and_leaves_nothing(where, run, resumed_here):
    if where == "here":
        resumed_here()
    before = sorted(Path().iterdir())
    assert "verified: 2 epochs, trained twice" in run(*VERIFY).stdout
    assert "verified: 1 epoch, trained twice" in run(*VERIFY, "--epochs", 1).stdout
    assert sorted(Path().iterdir()) == before
    assert "has no effect" in run(*VERIFY, "--out", "x", exit_code=2).stderr


def test_verify_names_the_tensor_that_differs(run, resumed_here):
    def change(directory):
        saved = checkpoints.read(directory.last)
        saved.tensors["dense.bias"] = -saved.tensors["dense.bias"]
        saved.write(directory.last)

    resumed_here(change)
    result = run(*VERIFY, "--json", exit_code=1)
    assert "differ in" in result.stderr
    assert json.loads(result.stdout)["differences"] == ["`dense.bias` in `last.safetensors`"]


@pytest.mark.slow
def test_verify_resumes_in_a_new_process_and_names_what_differs(run, monkeypatch):
    """Whose instruction set is another one: this one has TensorFlow loaded, and keeps its own."""
    monkeypatch.setenv("LSTMCLI_GIVEN_XLA_FLAGS", "--xla_cpu_max_isa=SSE4_2")
    result = run(*VERIFY, "--json", exit_code=1)
    assert "differ in" in result.stderr
    assert "`instruction_set` in `run.json`" in json.loads(result.stdout)["differences"]


def test_verify_says_why_a_run_does_not_go_on(run, monkeypatch):
    usual = verify._resume

    def damaged(directory):
        directory.last.write_bytes(b"x")
        directory.previous.unlink(missing_ok=True)
        usual(directory)

    monkeypatch.setattr(verify, "_resume", damaged)
    error = run(*VERIFY, exit_code=4).stderr
    assert "does not continue: `" in error
    assert "last.safetensors` is not a checkpoint" in error


def test_a_run_resumed_through_a_link_stays_where_it_is_when_the_link_moves(monkeypatch):
    settings = {"series_length": 900, "layers": 1}
    for name in ("mine", "other"):
        lstmcli.train(name, epochs=1, **settings)
    link, before = Path("latest"), left_by("other")
    link.symlink_to("mine")
    validate = trainer._validate

    def moved(*arguments):
        link.unlink()
        link.symlink_to("other")
        return validate(*arguments)

    monkeypatch.setattr(trainer, "_validate", moved)
    assert lstmcli.train(resume=link, epochs=2).directory == Path("mine")
    assert left_by("other") == before
    assert rows(Path("mine/metrics.csv"))[-1][0] == "2"


def test_a_run_that_overwrites_through_a_link_leaves_the_link(monkeypatch):
    settings = {"series_length": 900, "layers": 1, "epochs": 1}
    run = lstmcli.train(**settings)
    lstmcli.train("runs/latest", overwrite=True, seed=3, **settings)
    assert Path("runs/latest").resolve() == run.directory.resolve()
    assert rows(run.directory / "metrics.csv")[0][2] == "3"
