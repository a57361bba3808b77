"""lstmcli on a GPU: skipped where there is none, run by `make test-gpu`.

It was written on a machine without a GPU, after what was seen once on an NVIDIA H200: it has never
been run on one. What fails here first may be the test.
"""

import json
import os
import subprocess
import sys
import time

import numpy as np
import pytest
from safetensors.numpy import load_file

import kinds
import lstmcli
from lstmcli.core import execution
from resumes import left_by

ARTICLE = ["train", "--layers", "3", "--device", "gpu", "--progress", "none"]
SMALL = {"layers": 2, "epochs": 3}
MEBIBYTES = ("--query-gpu=memory.used", "--format=csv,noheader,nounits", "--id=0")


def is_there():
    """Whether TensorFlow sees a GPU; it is asked only where there is a driver."""
    if not execution.may_have_gpu():
        return False
    from lstmcli.core import device

    return "gpu:0" in device.available()


pytestmark = pytest.mark.skipif(not is_there(), reason="no GPU is here")


@pytest.fixture(scope="module", autouse=True)
def on_the_gpu_first(tmp_path_factory):
    """A run on the GPU: a process that began with the CPU would stay there."""
    folder = tmp_path_factory.mktemp("gpu") / "run"
    return lstmcli.train(folder, device="gpu", series_length=3000, **SMALL).directory


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    kinds.write(folder)
    return folder


def start(folder, *arguments, **environment):
    """A command in a process of its own, whose memory on the GPU goes with it."""
    return subprocess.Popen(
        [sys.executable, "-m", "lstmcli", *map(str, arguments)], cwd=folder, text=True,
        env={**os.environ, **environment}, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def done(process):
    out, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors
    return out


def last_losses(run):
    table = run.metrics
    return table[table.epoch == table.epoch.max()].sort_values("seed").loss.to_numpy()


def test_run_json_names_the_card_and_its_versions(on_the_gpu_first):
    status = json.loads((on_the_gpu_first / "run.json").read_text())
    assert status["device"] == "gpu:0"
    assert status["device_reason"].startswith("asked for; ")
    assert {"card", "driver", "cuda", "cudnn"} <= status["gpu"].keys()


@pytest.mark.parametrize("optimizer", ["adagrad", "adam", "rmsprop", "sgd"])
@pytest.mark.parametrize("kind", kinds.KINDS)
def test_the_loss_is_that_of_the_cpu(kind, optimizer, files, tmp_path):
    settings = kinds.settings(kind, files) | SMALL | {"optimizer": optimizer}
    settings |= {"learning_rate": 0.1 if optimizer in ("adagrad", "sgd") else 0.003}
    found = [
        last_losses(lstmcli.train(tmp_path / device, device=device, **settings))
        for device in ("gpu", "cpu")
    ]
    np.testing.assert_allclose(*found, rtol=1e-4, atol=1e-5)


def test_a_run_gives_the_same_bits_twice(tmp_path):
    small = ("--layers", 2, "--series-length", 5000, "--device", "gpu")
    assert "verified: 2 epochs" in done(start(tmp_path, "train", "--verify", *small))


def test_a_resumed_run_has_the_bits_of_one_left_alone(tmp_path):
    settings = {"series_length": 3000, "layers": 2, "device": "gpu"}
    lstmcli.train(tmp_path / "whole", epochs=4, **settings)
    lstmcli.train(tmp_path / "broken", epochs=2, **settings)
    lstmcli.train(resume=tmp_path / "broken", epochs=4)
    whole, broken = (left_by(tmp_path / name) for name in ("whole", "broken"))
    tensors = [name for name in whole if " " in name]
    assert tensors
    assert all(whole[name] == broken[name] for name in tensors)


def test_replicas_have_the_losses_of_runs_of_their_own(tmp_path):
    """Whether they have the bits is not promised on a GPU, and said (`-rP`)."""
    settings = {"series_length": 3000, "device": "gpu", **SMALL}
    together = lstmcli.train(tmp_path / "all", replicas=8, **settings)
    alone = [lstmcli.train(tmp_path / f"{seed}", seed=seed, **settings) for seed in (0, 7)]
    losses = np.concatenate([last_losses(each) for each in alone])
    print("equal to the bit:", (last_losses(together)[[0, 7]] == losses).all())
    np.testing.assert_allclose(last_losses(together)[[0, 7]], losses, rtol=1e-4)


def used():
    """MiB of the first GPU, by whomever."""
    asked = ["nvidia-smi", *MEBIBYTES]
    return int(subprocess.run(asked, capture_output=True, text=True, check=True).stdout)


def test_the_articles_model_takes_less_than_a_gibibyte(tmp_path):
    before = used()
    process = start(tmp_path, *ARTICLE, "--epochs", 1000, "--out", "run")
    try:
        deadline = time.monotonic() + 180
        while not (tmp_path / "run" / "metrics.csv").exists() and time.monotonic() < deadline:
            time.sleep(1)
        time.sleep(2)
        assert process.poll() is None
        assert 0 < used() - before < 1024
    finally:
        process.kill()
        process.communicate()


def test_two_processes_share_a_gpu(tmp_path):
    both = [start(tmp_path, *ARTICLE, "--epochs", 3, "--out", name) for name in ("one", "two")]
    for process in both:
        done(process)
    one, two = (
        load_file(tmp_path / name / "checkpoints" / "last.safetensors") for name in ("one", "two")
    )
    assert all(one[name].tobytes() == two[name].tobytes() for name in one)


def test_what_a_gpu_has_trained_is_used_without_one(on_the_gpu_first, tmp_path):
    hidden = {"CUDA_VISIBLE_DEVICES": "-1"}
    series = tmp_path / "series.csv"
    done(start(tmp_path, "generate", series, "--series-length", 300, **hidden))
    found = [
        json.loads(done(start(tmp_path, "eval", on_the_gpu_first, "--data", series, "--json", *on)))
        for on in (["--device", "gpu"], ["--device", "cpu"])
    ]
    on_gpu, on_cpu = (each["results"][0]["loss"] for each in found)
    assert on_gpu == pytest.approx(on_cpu, rel=1e-4)
    predicted = done(start(tmp_path, "predict", on_the_gpu_first, series, **hidden))
    assert len(predicted.splitlines()) == 301


def test_auto_leaves_the_articles_model_to_the_cpu(tmp_path):
    process = start(tmp_path, "train", "--epochs", 1, "--out", "run")
    said = process.communicate(timeout=300)[1]
    assert "device: cpu:0 (a GPU is there; at this size it would be some" in said
