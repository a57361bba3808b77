"""The verbs for Python give what the commands give."""

import json
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import lstmcli
from lstmcli.config import Config
from lstmcli.signatures import in_keywords
from lstmcli.sweeps import grid
from lstmcli.training import run_dir
from lstmcli.utils import memory
from lstmcli.utils.errors import FileError, LstmcliError, UsageError

SMALL = {"series_length": 1530, "epochs": 3, "layers": 2}


def test_importing_the_package_loads_neither_tensorflow_nor_pandas(python):
    code = "import lstmcli, sys; print({'tensorflow', 'pandas', 'numpy'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], **python, capture_output=True, check=True)
    assert done.stdout.strip() == "set()"


def test_the_verbs_stay_what_they_are_when_rooms_of_the_house_are_loaded():
    import lstmcli.sweeps.run

    assert all(callable(getattr(lstmcli, name)) for name in lstmcli.__all__)
    with pytest.raises(AttributeError, match="no attribute `tarin`"):
        _ = lstmcli.tarin


def test_train_leaves_what_the_command_leaves(trained, tmp_path):
    run = lstmcli.train(tmp_path / "r", replicas=3, **SMALL)
    times = ["epoch_seconds", "elapsed_seconds"]
    expected = pd.read_csv(trained / "metrics.csv").drop(columns=times)
    pd.testing.assert_frame_equal(run.metrics.drop(columns=times), expected)
    assert json.loads((run.directory / "run.json").read_text())["status"] == "completed"
    assert run.checkpoint.seeds == [0, 1, 2]
    with pytest.raises(UsageError, match="already holds a run"):
        lstmcli.train(tmp_path / "r", **SMALL)
    lstmcli.train(tmp_path / "r", overwrite=True, replicas=3, **SMALL)


def test_evaluate_scores_what_the_command_scores(trained, run):
    found = lstmcli.evaluate(trained)
    expected = json.loads(run("eval", trained, "--json").stdout)
    assert [score.loss for score in found.scores] == [row["loss"] for row in expected["results"]]
    assert (str(found.checkpoint), found.data) == (expected["checkpoint"], "test stream")
    assert found.checkpoint == run_dir.RunDirectory(trained).best


@pytest.mark.parametrize("name", ["layers", "state_size", "epochs", "seed", "replicas", "laiers"])
def test_evaluate_refuses_what_a_trained_model_has_once_and_for_all(trained, name):
    with pytest.raises(UsageError, match=f"`{name}` cannot be set"):
        lstmcli.evaluate(trained, **{name: 2})


def test_a_run_stands_for_its_directory_and_a_dataset_may_be_a_path(tmp_path):
    lstmcli.generate(tmp_path / "x.npz", series_length=1500)
    run = lstmcli.train(layers=1, epochs=1, data=tmp_path / "x.npz")
    assert lstmcli.evaluate(run, data=tmp_path / "x.npz").scores
    assert lstmcli.evaluate(run).data.endswith("x.npz (test part)")


@pytest.mark.parametrize(
    ("verb", "given", "message", "hint"),
    [
        ("train", {"batch_size": 0}, "`batch_size=` must be at least 1, got 0", None),
        ("train", {"other_device": True}, "`other_device=True` has no effect without `resume=`",
         "leave `other_device=True` out"),
        ("train", {"target": "y"}, "`target=` has no effect without `data=`",
         "leave `target=` out, or name a dataset with `data=`"),
        ("train", {"data": "y.csv", "target": "y"}, "`y.csv` has no column that could be",
         "to predict `y` from what it was before, pass `horizon=1`"),
        ("sweep", {"layers": [1], "jobs": 0}, "`jobs=` must be at least 1, got 0", None),
        ("sweep", {"tune": {"learning_rate": [0.1]}}, "`tune=` takes several values",
         "`learning_rate=0.1` sets it for all trials"),
        ("generate", {"path": "x.npz", "noise": 3}, "`noise=` must be below 1, got 3", None),
        ("evaluate", {"checkpoint": "nowhere"}, "there is no checkpoint `nowhere`",
         "`lstmcli.train()` makes one"),
        ("forecast", {"checkpoint": "nowhere", "steps": 0}, "`steps=` must be at least 1", None),
        ("plot", {"path": "run", "output": "x.txt"}, "`output=` must end with .png", "the ending"),
    ],
)  # fmt: skip
def test_errors_in_python_speak_of_keywords(verb, given, message, hint):
    Path("y.csv").write_text("y\n" + "1\n2\n" * 300)
    with pytest.raises(LstmcliError) as raised:
        getattr(lstmcli, verb)(**given)
    error = raised.value
    assert error.message.startswith(message)
    assert str(error) == error.message
    assert (error.hint or "").startswith(hint or "")
    assert getattr(error, "__notes__", []) == ([f"hint: {error.hint}"] if hint else [])


@pytest.mark.parametrize(
    ("typed", "called"),
    [
        ("`lstmcli train --resume 'a run'`", "`lstmcli.train(resume='a run')`"),
        ("`lstmcli eval RUN --data x.csv`", "`lstmcli.evaluate(RUN, data='x.csv')`"),
        ("pass `--overwrite` or `--epochs 20`", "pass `overwrite=True` or `epochs=20`"),
        ("`lstmcli inspect RUN`, `--config FILE`, `-1`", None),
        ("`lstmcli eval RUN --predictions p.csv`", None),
        ("`--data it's`", None),
    ],
)
def test_words_of_the_command_line_are_calls_in_python(typed, called):
    verbs = {name: getattr(lstmcli, name) for name in lstmcli.__all__}
    assert in_keywords(typed, verbs) == (called or typed)


@pytest.mark.parametrize("name", lstmcli.__all__)
def test_another_process_can_be_given_a_verb(name):
    verb = getattr(lstmcli, name)
    assert verb.__name__ == name
    assert pickle.loads(pickle.dumps(verb)) is verb


def test_numpys_numbers_are_numbers():
    config = Config.build(layers=np.int64(2), learning_rate=np.float32(0.5))
    assert (config.model.layers, config.training.learning_rate) == (2, 0.5)
    assert type(config.model.layers) is int
    assert grid.values("layers", np.arange(1, 3)) == [1, 2]
    with pytest.raises(UsageError, match="must be finite"):
        Config.build(learning_rate=np.float32("nan"))


@pytest.mark.parametrize(
    "wrong",
    [{"layers": []}, {"clip_norm": [None, 1.0]}, {"replicas": 4}, {"checkpoint_every": "5"},
     {"match": "size"}, {"margin": 2}],
)  # fmt: skip
def test_sweep_refuses_what_it_has_no_use_for(wrong, tmp_path):
    with pytest.raises(UsageError):
        lstmcli.sweep(**wrong)
    assert not list(tmp_path.iterdir())


def test_generate_writes_the_series_that_it_returns(tmp_path):
    series, metadata = lstmcli.generate("bits.npz", series_length=300, seed=3)
    with np.load("bits.npz") as file:
        np.testing.assert_array_equal(file["targets"], series.targets)
    assert metadata["seed"] == 3
    with pytest.raises(UsageError, match="already exists"):
        lstmcli.generate("bits.npz")
    with pytest.raises(FileError, match="there is no checkpoint"):
        lstmcli.evaluate("bits", data="bits.npz")


UNGUARDED = """
import multiprocessing
from lstmcli.sweeps import workers

if __name__ == "__mp_main__":  # What a process is called that runs this again.
    print("again", flush=True)
with workers._no_main_module():
    process = multiprocessing.get_context("spawn").Process(target=print, args=("worked",))
    process.start()
process.join()
print(process.exitcode, __name__)
"""


def test_a_worker_does_not_run_its_parents_main_module_again(python, tmp_path):
    (tmp_path / "script.py").write_text(UNGUARDED)
    command = [sys.executable, "script.py"]
    done = subprocess.run(command, **python, cwd=tmp_path, capture_output=True, check=True)
    assert done.stdout == "worked\n0 __main__\n"


@pytest.mark.slow
def test_a_script_without_a_guard_can_sweep(python, tmp_path):
    """A worker that ran its parent's main module again would begin another sweep."""
    (tmp_path / "script.py").write_text(
        "import lstmcli\n"
        "small = {'seeds': 2, 'epochs': 2, 'series_length': 1500, 'learning_rate': 1}\n"
        "found = lstmcli.sweep(layers=[1, 2], **small)\n"
        "print(len(found.trials), found.answer)\n"
    )
    done = subprocess.run(
        [sys.executable, "script.py"], **python, cwd=tmp_path, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("4 no depth solves it")
    assert done.stdout.count("\n") == 1


def test_a_process_without_room_for_a_program_is_told_before_it_crashes(monkeypatch, tmp_path):
    few = tmp_path / "max_map_count"
    few.write_text("100\n")
    monkeypatch.setattr(memory, "MOST_MAPS", few)
    monkeypatch.setattr(memory, "MAPS", few.with_name("maps"))
    lstmcli.train(**SMALL, out="fits")  # Where nobody says how many there are.
    memory.MAPS.write_text("a map\n" * 91)
    with pytest.raises(LstmcliError, match="as many compiled programs as Linux allows: 100 mem"):
        lstmcli.train(**SMALL, out="run")
    assert not (tmp_path / "run").exists()
    memory.MAPS.write_text("a map\n" * 90)
    lstmcli.train(**SMALL, out="run")
