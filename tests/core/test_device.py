"""Which device a run uses: by choice against a substituted list, and for real on two CPUs."""

import subprocess
import sys

import pytest

from lstmcli.config import Config
from lstmcli.core import device
from lstmcli.core.tensorflow import tf
from lstmcli.training import run_dir, trainer
from lstmcli.utils.errors import DeviceError


@pytest.fixture
def machine(monkeypatch):
    """`machine(gpus=2)`: what TensorFlow is made to see; gives the calls that hide devices."""
    hidden = []

    def substitute(gpus):
        counts = {"CPU": 1, "GPU": gpus}
        monkeypatch.setattr(
            tf.config,
            "list_logical_devices",
            lambda kind: [f"/device:{kind}:{index}" for index in range(counts[kind])],
        )
        monkeypatch.setattr(tf.config, "set_visible_devices", lambda *what: hidden.append(what))
        return hidden

    return substitute


@pytest.mark.parametrize(
    ("requested", "gpus", "expected"),
    [
        ("auto", 0, "cpu:0"),
        ("auto", 2, "gpu:0"),
        ("cpu", 2, "cpu:0"),
        ("cpu:0", 0, "cpu:0"),
        ("gpu", 1, "gpu:0"),
        ("gpu:1", 2, "gpu:1"),
    ],
)
def test_a_request_means_this_device(machine, requested, gpus, expected):
    machine(gpus)
    assert device.resolve(requested) == expected


@pytest.mark.parametrize(
    ("requested", "gpus", "seen"),
    [("gpu", 0, "cpu:0"), ("gpu:1", 1, "cpu:0, gpu:0"), ("cpu:1", 1, "cpu:0, gpu:0")],
)
def test_a_device_that_is_not_there_is_an_error_that_names_those_that_are(
    machine, requested, gpus, seen
):
    machine(gpus)
    with pytest.raises(DeviceError, match=f"`{requested}`.* sees {seen}$") as caught:
        device.resolve(requested)
    assert caught.value.exit_code == 3
    assert ("pip install 'lstmcli[gpu]'" in caught.value.hint) == requested.startswith("gpu")


def test_a_run_on_the_cpu_takes_no_gpus_memory(machine):
    hidden = machine(gpus=1)
    device.resolve("auto")
    assert hidden == []
    device.resolve("cpu")
    assert hidden == [([], "GPU")]


@pytest.mark.parametrize(("requested", "chosen"), [("auto", "gpu:0"), ("gpu:1", "gpu:1")])
def test_the_devices_name_reaches_the_program(machine, tmp_path, requested, chosen):
    machine(gpus=2)
    directory = run_dir.create(tmp_path / "run", "", overwrite=False)
    run = trainer.prepare(Config.build(device=requested, series_length=150), directory)
    assert run.program.device == chosen


def test_devices_lists_what_there_is_and_which_is_taken(machine, run):
    machine(gpus=2)
    assert run("devices").stdout.splitlines() == ["cpu:0", "gpu:0  (auto)", "gpu:1"]


PLACEMENT = """
from lstmcli.core.tensorflow import tf
tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * 2
)
from pathlib import Path
from lstmcli.training import trainer
from lstmcli.config import Config
from lstmcli.core.replica_windows import ReplicaWindows
from lstmcli.training import run_dir

for name in ("cpu:0", "cpu:1"):
    config = Config.build(device=name, series_length=150, layers=1)
    run = trainer.prepare(config, run_dir.create(Path(name), "", overwrite=False))
    batch = ReplicaWindows(run.source.training(0))
    *_, (tensors, _) = run.program.train(run.tensors, batch, 0)
    print(name, *sorted({tensor.device[-5:].lower() for tensor in tensors.values()}))
"""


@pytest.mark.slow
def test_training_runs_on_the_device_that_was_asked_for(python, tmp_path):
    """On two logical CPU devices: every tensor of the result lies where it should."""
    done = subprocess.run(
        [sys.executable, "-c", PLACEMENT], cwd=tmp_path, capture_output=True, check=False, **python
    )
    assert done.stdout.splitlines() == ["cpu:0 cpu:0", "cpu:1 cpu:1"], done.stderr
