"""Event files, read back with TensorBoard's own readers."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

import lstmcli
from lstmcli import api
from lstmcli.config import Config
from lstmcli.sweeps import trial
from lstmcli.training import metric_logging
from lstmcli.training.metric_logging import CSVLogger
from lstmcli.training.metrics import EpochRow, columns
from lstmcli.training.run_dir import RunDirectory
from lstmcli.training.tensorboard_logging import TensorBoardLogger
from lstmcli.utils.errors import UsageError
from many_runs import write_run
from sweeping import settings

SMALL = {"series_length": 1530, "layers": 1, "epochs": 3}
SCALARS = [name for name in columns(EpochRow) if name not in ("epoch", "seed")]
pytestmark = pytest.mark.filterwarnings("ignore")  # TensorBoard's own.


def curves(directory, seed):
    """What TensorBoard reads of a seed: for each tag, value by step; and the accumulator."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    found = EventAccumulator(str(Path(directory, "tensorboard", f"seed-{seed}")))
    found.Reload()
    tags = found.Tags()["scalars"]
    return {tag: [(each.step, each.value) for each in found.Scalars(tag)] for tag in tags}, found


def assert_same(directory, seed):
    table = pd.read_csv(Path(directory, "metrics.csv"))
    table = table[table.seed == seed].astype("float32")
    scalars, _ = curves(directory, seed)
    known = [name for name in SCALARS if table[name].notna().any()]
    assert sorted(scalars) == sorted(known)
    for name in known:
        assert scalars[name] == list(zip(table.epoch, table[name], strict=True)), name


@pytest.fixture(scope="module")
def logged(tmp_path_factory):
    """A run of two seeds with event files. Not to be written to."""
    out = tmp_path_factory.mktemp("logged") / "run"
    return lstmcli.train(out, replicas=2, tensorboard=True, **SMALL).directory


def test_every_column_of_the_metrics_is_a_scalar_and_each_seed_a_run(logged):
    assert sorted(path.name for path in (logged / "tensorboard").iterdir()) == ["seed-0", "seed-1"]
    for seed in (0, 1):
        assert_same(logged, seed)


def test_the_settings_are_there_as_text_and_as_hparams(logged):
    from tensorboard.plugins.hparams import metadata

    _, found = curves(logged, 1)
    [text] = found.Tensors("settings")
    assert "| model.layers | 1 |" in text.tensor_proto.string_val[0].decode()
    plugin = found.PluginTagToContent("hparams")
    start = metadata.parse_session_start_info_plugin_data(plugin[metadata.SESSION_START_INFO_TAG])
    assert start.hparams["layers"].number_value == 1
    assert start.hparams["optimizer"].string_value == "adagrad"
    end = metadata.parse_session_end_info_plugin_data(plugin[metadata.SESSION_END_INFO_TAG])
    assert end.status == 1  # STATUS_SUCCESS


def test_a_run_with_event_files_has_the_bits_of_one_without(logged):
    plain = lstmcli.train("plain", replicas=2, **SMALL).directory
    times = ["epoch_seconds", "elapsed_seconds"]
    tables = [pd.read_csv(path / "metrics.csv").drop(columns=times) for path in (plain, logged)]
    assert tables[0].equals(tables[1])
    assert not (plain / "tensorboard").exists()
    assert "tensorboard" not in (plain / "config.toml").read_text()


def test_a_resumed_run_goes_on_without_a_doubled_step():
    """Killed after the rows of its second epoch, and before the checkpoint that would have them."""
    lstmcli.train("run", tensorboard=True, **{**SMALL, "epochs": 1})
    rows = TensorBoardLogger(RunDirectory(Path("run")), {})
    rows.log([EpochRow(2, 40, 0, 9.0, 0.5, 9.0, 0.5, None, 0.3, 1.0, 0.5, 1.0)], [])  # And no more.
    assert curves("run", 0)[0]["loss"][1] == (2, 9.0)
    lstmcli.train(resume="run", epochs=3)
    assert_same("run", 0)
    assert [step for step, _ in curves("run", 0)[0]["loss"]] == [1, 2, 3]
    assert len(list(Path("run/tensorboard/seed-0").iterdir())) == 3


def test_a_run_that_is_given_event_files_when_it_goes_on_has_all_of_its_epochs():
    lstmcli.train("run", **{**SMALL, "epochs": 2})
    lstmcli.train(resume="run", epochs=3, tensorboard=True)
    assert_same("run", 0)


def test_overwriting_a_run_takes_its_event_files_away_and_no_others():
    run = write_run(Path("run"), [0.5])
    ours = run.tensorboard / "seed-0" / "events.out.tfevents.1.0000"
    notes = run.tensorboard / "notes.txt"
    ours.parent.mkdir(parents=True)
    ours.touch()
    notes.touch()
    lstmcli.train("run", overwrite=True, **{**SMALL, "epochs": 1})
    assert not ours.exists()
    assert notes.exists()


def test_a_sweeps_trials_have_event_files_and_it_is_the_same_sweep_as_without():
    plans = [api.plan_of({"layers": "1,2", "tensorboard": asked}) for asked in (True, False)]
    assert all(each.config.run.tensorboard for each in plans[0].settings)
    assert plans[0].identity == plans[1].identity
    [first, _] = settings(tensorboard=True)
    trial.run(first, Path("sweep/trials/first"))
    for seed in (0, 1):
        assert_same("sweep/trials/first", seed)


def test_without_tensorboard_installed_it_is_said_before_anything_is_made(monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "tensorboard" else find(name)
    )
    for verb in (lstmcli.train, lstmcli.sweep):
        with pytest.raises(UsageError, match="needs the package tensorboard"):
            verb(tensorboard=True)
    assert not Path("runs").exists()


@pytest.mark.slow
def test_without_event_files_tensorboard_is_not_loaded(python):
    run = write_run(Path("run"), [0.5])
    assert [type(each) for each in metric_logging.of_run(Config.build(), run)] == [CSVLogger]
    look = "import sys, lstmcli.training.metric_logging; print('tensorboard' in sys.modules)"
    command = [sys.executable, "-c", look]
    assert subprocess.run(command, capture_output=True, check=True, **python).stdout == "False\n"
