"""Which device a run uses: by choice against a substituted list, and for real on two CPUs."""

import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from lstmcli.config import Config
from lstmcli.core import device, execution, gpu
from lstmcli.core.programs import ChunkProgram
from lstmcli.core.tensorflow import tf
from lstmcli.data.datasets import open_source
from lstmcli.training import estimate, run_dir, trainer
from lstmcli.utils.errors import DeviceError
from machines import Machine


@pytest.fixture
def machine(monkeypatch):
    """`machine(gpus=2)`: what TensorFlow is made to see."""
    return lambda gpus, cores=2: Machine(monkeypatch, gpus, cores)


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
    assert ("pip install '.[gpu]'" in caught.value.hint) == requested.startswith("gpu")


TEXT = {
    "task": "echo", "state_size": 256, "layers": 2, "batch_size": 64, "bptt": 64,
    "series_length": 9000,
}  # fmt: skip
"""Of a size at which a GPU is much the faster one."""
MIDDLE = {"state_size": 128, "layers": 1, "batch_size": 32, "bptt": 32, "series_length": 9000}
"""Of one at which it depends on the CPU."""


def chosen(requested="auto", why="asked for", **settings):
    source = open_source(Config.build(device=requested, **settings))
    return device.choose(source.config, source.spec, why=why)


@pytest.mark.parametrize(
    ("settings", "cores", "name", "reason"),
    [
        ({}, 2, "cpu:0", "a GPU is there; at this size it would be some 13 times slower"),
        ({"replicas": 8}, 2, "cpu:0", "a GPU is there; at this size it would be some .* slower"),
        ({"replicas": 128}, 2, "cpu:0", "a GPU is there; at this size it would hardly be faster"),
        (TEXT, 2, "gpu:0", "at this size the CPU would be some 24 times slower"),
        (TEXT, 16, "gpu:0", "at this size the CPU would be some .* times slower"),
        (MIDDLE, 2, "gpu:0", "at this size the CPU would be some 2.* times slower"),
        (MIDDLE, 16, "cpu:0", "a GPU is there; at this size it would hardly be faster"),
    ],
)
def test_auto_means_the_faster_device_at_a_size_and_says_why(
    machine, settings, cores, name, reason
):
    machine(gpus=1, cores=cores)
    found = chosen(**settings)
    assert found.name == name
    assert re.fullmatch(reason, found.reason)


@pytest.mark.parametrize("settings", [{}, TEXT])
def test_where_no_gpu_is_there_is_nothing_to_say(machine, settings):
    machine(gpus=0)
    assert chosen(**settings) == ("cpu:0", None)


def test_a_device_that_is_asked_for_is_taken_whatever_its_speed(machine):
    machine(gpus=2)
    reason = "asked for; at this size the CPU would be some 13 times faster"
    assert chosen("gpu") == ("gpu:0", reason)
    assert chosen("gpu:1", why="as the run began")[1].startswith("as the run began; ")
    assert chosen("cpu", **TEXT) == (
        "cpu:0", "asked for; a GPU is there; at this size it would be some 24 times faster"
    )  # fmt: skip


@pytest.mark.parametrize("requested", ["auto", "cpu"])
def test_a_run_on_the_cpu_takes_no_gpus_memory(machine, requested):
    found = machine(gpus=1)
    device.available()
    assert (found.visible, found.started) == (found.gpus, 0)
    assert chosen(requested).name == "cpu:0"
    assert (found.visible, found.started) == ([], 0)


def test_a_process_that_took_the_cpu_says_so_where_a_gpu_would_be_faster(machine):
    machine(gpus=1)
    chosen()
    assert chosen(**TEXT) == (
        "cpu:0",
        "an earlier run in this process chose the CPU, and a process cannot change that; "
        "a GPU is there; at this size it would be some 24 times faster",
    )
    with pytest.raises(DeviceError) as caught:
        chosen("gpu")
    assert "start another process" in caught.value.hint


@pytest.mark.parametrize("settings", [{}, TEXT])
def test_threads_and_row_parts_are_of_the_cpu_alone(settings):
    config = open_source(Config.build(**settings)).config
    on_cpu, on_gpu = (execution.plan(config, 1, name) for name in ("cpu:0", "gpu:1"))
    assert (on_cpu.threads, on_cpu.row_parts) == ((None, 4) if settings else (1, 1))
    assert on_gpu == replace(on_cpu, threads=None, row_parts=1, replicas_at_once=False)
    assert execution.plan(config.replaced(threads=3), 1, "gpu:0").threads == 3


NVIDIA_SMI = """#!/bin/sh
echo '4242, /usr/bin/python3.12, 141359'
echo '4243, [Not Found], [N/A]'
echo 'no answer'
"""


@pytest.fixture
def driver(tmp_path, monkeypatch):
    """A driver's program, which knows of two processes."""
    program = tmp_path / "bin" / "nvidia-smi"
    program.parent.mkdir()
    program.write_text(NVIDIA_SMI)
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent), prepend=os.pathsep)


HELD = "used by process 4242 (python3.12) with 141,359 MiB, process 4243 ([Not Found])"


def test_a_gpu_that_is_full_is_an_error_with_who_holds_it(machine, driver, run, monkeypatch):
    def full():
        raise tf.errors.InternalError(None, None, "CUDA_ERROR_OUT_OF_MEMORY: out of memory\nmore")

    machine(gpus=1)
    monkeypatch.setattr(tf.config, "list_logical_devices", full)
    said = run("train", "--device", "gpu", "--out", "run", exit_code=3).stderr
    error = f"error: `gpu:0` cannot be used: CUDA_ERROR_OUT_OF_MEMORY: out of memory; it is {HELD}"
    assert said.splitlines()[-2:] == [
        error, "hint: `nvidia-smi` shows its processes; `--device cpu` works without it"
    ]  # fmt: skip
    assert not Path("run").exists()


def test_who_holds_a_gpu_is_left_out_where_no_driver_tells(monkeypatch):
    monkeypatch.setenv("PATH", "nowhere")
    assert gpu.holders() == ""


def test_who_holds_a_gpu_is_somebody_else(driver, monkeypatch):
    assert gpu.holders() == HELD.removeprefix("used by ")
    monkeypatch.setattr(os, "getpid", lambda: 4242)
    assert gpu.holders() == "process 4243 ([Not Found])"


@pytest.mark.parametrize(
    ("version", "found"),
    [
        ("NVRM version: NVIDIA UNIX x86_64 Kernel Module  580.65.06  Sun Jul 27\n", "580.65.06"),
        ("NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  570.124.06  Release\n",
         "570.124.06"),
        ("something else", None),
    ],
)  # fmt: skip
def test_the_drivers_version_is_what_linux_says(version, found, tmp_path, monkeypatch):
    monkeypatch.setattr(gpu, "DRIVER", tmp_path / "version")
    assert gpu.driver() is None
    gpu.DRIVER.write_text(version)
    assert gpu.driver() == found


def test_memory_of_a_gpu_grows_with_need_unless_the_user_says_otherwise(monkeypatch):
    monkeypatch.delenv("TF_FORCE_GPU_ALLOW_GROWTH", raising=False)
    execution.set_defaults()
    assert os.environ["TF_FORCE_GPU_ALLOW_GROWTH"] == "true"
    monkeypatch.setenv("TF_FORCE_GPU_ALLOW_GROWTH", "false")
    execution.set_defaults()
    assert os.environ["TF_FORCE_GPU_ALLOW_GROWTH"] == "false"


def out_of_memory_after(windows, monkeypatch):
    """Lets TensorFlow have no memory for the calls after so many windows."""
    usual, done = ChunkProgram.train, []

    def train(self, tensors, parts, count, *rest):
        if sum(done) >= windows:
            raise tf.errors.ResourceExhaustedError(None, None, "OOM when allocating tensor")
        done.append(count)
        return usual(self, tensors, parts, count, *rest)

    monkeypatch.setattr(ChunkProgram, "train", train)


SMALL = ("--series-length", "1530", "--layers", "1", "--epochs", "3")


def test_out_of_memory_names_the_window_and_says_that_the_checkpoint_stands(run, monkeypatch):
    with monkeypatch.context() as small:
        out_of_memory_after(25, small)
        said = run("train", *SMALL, "--out", "run", exit_code=1).stderr
    assert said.splitlines()[-2:] == [
        "error: out of memory on `cpu:0` with a window of 5 rows (`--batch-size`) x 15 steps "
        "(`--bptt`); the last checkpoint stands",
        "hint: `lstmcli train --resume run` goes on from it where there is more room; a smaller "
        "`--batch-size` or `--bptt` needs less",
    ]
    assert json.loads(Path("run/run.json").read_text())["status"] == "failed"
    assert Path("run/checkpoints/last.safetensors").is_file()


def test_out_of_memory_before_a_checkpoint_names_who_else_holds_the_gpu(driver, machine):
    error = gpu.out_of_memory("gpu:0", 128, 64)
    assert error.exit_code == 3
    assert error.message == (
        "out of memory on `gpu:0` with a window of 128 rows (`--batch-size`) x 64 steps "
        f"(`--bptt`), while it is also {HELD}"
    )


@pytest.mark.parametrize(
    ("requested", "settings", "expected"),
    [("auto", {}, "cpu:0"), ("auto", TEXT, "gpu:0"), ("gpu:1", {}, "gpu:1")],
)
def test_run_json_holds_the_device_and_why(machine, tmp_path, requested, settings, expected):
    machine(gpus=2)
    directory = run_dir.create(tmp_path / "run", "", overwrite=False)
    small = {"series_length": 150} | settings
    run = trainer.prepare(Config.build(device=requested, **small), directory)
    assert run.program.device == expected
    trainer._begin(run, [])
    status = run.directory.read_status()
    assert status["device"] == expected
    assert "at this size" in status["device_reason"]
    assert status.get("gpu", {}).get("card") == ("NVIDIA Made-Up" if "gpu" in expected else None)


def test_train_says_which_device_it_took_and_why(machine, run):
    machine(gpus=1)
    said = run("train", *SMALL, "--out", "run").stderr
    assert re.search(
        r"^time: .*; device: cpu:0 \(a GPU is there; at this size it would be some \d+ times "
        r"slower\)$", said, re.MULTILINE
    )  # fmt: skip


def test_train_says_nothing_of_devices_where_no_gpu_is_there(machine, run):
    machine(gpus=0)
    assert "device" not in run("train", *SMALL, "--out", "run").stderr


def test_the_time_that_is_told_is_that_of_the_device():
    """Twenty epochs of the article take 7.6 s on the GPU that was tried, and 0.6 s on its CPU."""
    source = open_source(Config.build())
    data = estimate.of_data(source, None, [])
    slow, fast = (
        estimate.of_config(source.config, source.spec, data, 80, name).training / 20
        for name in ("gpu:0", "cpu:0")
    )
    assert 0.379 < slow < 0.379 * 1.7  # With its validation.
    assert 0.032 < fast < 0.032 * 2


def test_devices_lists_what_there_is_and_which_is_taken(machine, run):
    found = machine(gpus=2)
    assert run("devices").stdout.splitlines() == [
        "cpu:0  (auto, for small models)", "gpu:0  (auto, for larger ones)", "gpu:1"
    ]  # fmt: skip
    assert found.started == 0
    machine(gpus=0)
    assert run("devices").stdout == "cpu:0  (auto)\n"


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
