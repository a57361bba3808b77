"""A run of a GPU that is resumed: on its own device, or on another one if that is asked for.

There is no GPU here: the run is the CPU's, and `run.json` is made to say something else.
"""

import shutil

import pytest

import lstmcli
from lstmcli.training import resume
from lstmcli.training.run_dir import RunDirectory
from lstmcli.utils.errors import UsageError

GPU = {"card": "NVIDIA H200", "driver": "580.65.06", "cuda": "12.5.1", "cudnn": "9"}


@pytest.fixture
def of_a_gpu(trained, tmp_path):
    """A run of three epochs that says it was a GPU's."""
    shutil.copytree(trained, tmp_path / "run")
    directory = RunDirectory(tmp_path / "run")
    directory.update_status(device="gpu:0", gpu=GPU, device_reason="asked for")
    return directory


def test_another_device_is_refused_and_what_allows_it_is_named(of_a_gpu, run):
    said = run("train", "--resume", "run", "--device", "cpu", "--epochs", 4, exit_code=2).stderr
    assert said.splitlines() == [
        "error: `--device` is gpu:0 in this run, got cpu",
        "hint: leave `--device` out, or pass `--other-device` too: its bits will differ then",
    ]


def test_a_gpu_that_is_gone_is_an_error_that_names_how_to_do_without(of_a_gpu, run):
    said = run("train", "--resume", "run", "--epochs", 4, exit_code=3).stderr
    assert "error: there is no device `gpu:0`; TensorFlow sees cpu:0\n" in said
    assert said.endswith(
        "hint: `lstmcli train --resume run --device cpu --other-device` goes on with it without a "
        "GPU: its bits will differ\n"
    )


def test_a_run_of_a_gpu_goes_on_with_the_cpu_where_that_is_asked_for(of_a_gpu, run):
    asked = ("--epochs", 4, "--device", "cpu", "--other-device")
    said = run("train", "--resume", "run", *asked).stderr
    assert (
        "note: the run began with device gpu:0, and goes on with cpu:0: bits will differ\n" in said
    )
    status = of_a_gpu.read_status()
    assert (status["device"], status["gpu"], status["device_reason"]) == ("cpu:0", None, None)
    assert status["resumed"][-1]["changed"] == ["device"]
    assert status["epochs"] == 4
    said = run("train", "--resume", "run", "--epochs", 5).stderr  # It is the CPU's from now on.
    assert "device" not in said


def test_python_asks_for_another_device_likewise(of_a_gpu):
    with pytest.raises(UsageError, match="is gpu:0 in this run"):
        lstmcli.train(resume=of_a_gpu.path, device="cpu", epochs=4)
    with pytest.raises(UsageError, match="`other_device=True` has no effect without `device=`"):
        lstmcli.train(resume=of_a_gpu.path, other_device=True)
    with pytest.raises(UsageError, match="`other_device=True` has no effect without `resume=`"):
        lstmcli.train(other_device=True)


OTHER = GPU | {"card": "NVIDIA A100"}


@pytest.mark.parametrize(
    ("before", "now", "changed"),
    [
        ({"device": "gpu:0", "gpu": GPU}, {"device": "gpu:1", "gpu": GPU}, []),
        ({"device": "gpu:0", "gpu": GPU}, {"device": "gpu:0", "gpu": OTHER}, ["card"]),
        ({"device": "gpu:0"}, {"device": "gpu:0", "gpu": GPU}, []),
        ({"device": "cpu:0"}, {"device": "gpu:0", "gpu": GPU}, ["device"]),
        ({"device": "gpu:0", "gpu": GPU}, {"device": "cpu:0"}, ["device"]),
    ],
)
def test_a_gpu_of_the_same_kind_is_no_change(before, now, changed):
    assert [name for name, _, _ in resume.changes(before, now)] == changed
