"""Checkpoints: what is in them, and what is refused as one."""

import errno
import json
import os
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from safetensors import safe_open
from safetensors.numpy import save_file

from lstmcli.config import Config
from lstmcli.data.datasets import open_source
from lstmcli.data.tasks import echo
from lstmcli.training import checkpoint as checkpoints
from lstmcli.training import run_dir, trainer
from lstmcli.utils.errors import FileError
from lstmcli.utils.files import write_atomically
from lstmcli.utils.rng import Stream
from records import assert_same_bits, replay, tensors


def test_checkpoint_tensors_have_the_contracts_names_and_shapes(trained):
    replicas, layers, rows, size, classes = 3, 2, 5, 4, 2
    weights = {"dense.kernel": (replicas, size, classes), "dense.bias": (replicas, classes)}
    for layer, inputs in enumerate([1, size]):
        weights[f"lstm.{layer}.kernel"] = (replicas, inputs, 4 * size)
        weights[f"lstm.{layer}.recurrent_kernel"] = (replicas, size, 4 * size)
        weights[f"lstm.{layer}.bias"] = (replicas, 4 * size)
    slots = {f"optimizer.accumulator.{name}": shape for name, shape in weights.items()}
    expected = weights | slots | {"state": (replicas, layers, 2, rows, size)}
    for which in ("last", "best"):
        found = tensors(trained, which)
        assert {name: array.shape for name, array in found.items()} == expected
        assert {array.dtype for array in found.values()} == {np.dtype(np.float32)}


def test_checkpoint_metadata_hold_config_position_seeds_and_the_next_epochs_stream(trained):
    with safe_open(trained / "checkpoints" / "last.safetensors", framework="np") as file:
        metadata = json.loads(file.metadata()["lstmcli"])
    config = Config.build(metadata["config"])
    assert metadata["position"] == {"epoch": 3, "window": 0, "step": 60}
    assert metadata["seeds"] == [0, 1, 2]
    source = open_source(config)
    for seed, stream in zip(metadata["seeds"], metadata["streams"]["training"], strict=True):
        sequence = np.random.SeedSequence(stream["entropy"], spawn_key=stream["spawn_key"])
        resumed = np.random.Generator(getattr(np.random, stream["bit_generator"])(sequence))
        series = echo.generate(config.data, resumed)
        assert series.checksum() == source.draw(seed, Stream.TRAINING, 3).checksum()


def test_best_checkpoint_is_each_seeds_lowest_validation_loss(trained):
    best = checkpoints.read(trained / "checkpoints" / "best.safetensors").metadata["best"]
    rows = pd.read_csv(trained / "metrics.csv")
    for each in best:
        own = rows[rows.seed == each["seed"]]
        lowest = own.loc[own.val_loss.idxmin()]
        assert (each["epoch"], each["val_loss"]) == (lowest.epoch, lowest.val_loss)


def test_best_checkpoint_of_one_seed_stands_at_the_epoch_of_its_tensors(tmp_path):
    config = Config.build(series_length=150, epochs=3, layers=1)
    prepared = trainer.prepare(config, run_dir.create(tmp_path / "run", "", overwrite=False))
    for rows in trainer.train(prepared):
        if isinstance(rows, list):
            # As if no later epoch were as good.
            prepared.best_epochs[0]["val_loss"] = 0.0
    best = checkpoints.read(tmp_path / "run" / "checkpoints" / "best.safetensors")
    assert best.metadata["position"] == {"epoch": 1, "window": 0, "step": 2}
    assert best.metadata["streams"]["training"][0]["spawn_key"][-1] == 1
    expected, _ = replay(config, epochs=1)
    assert_same_bits(best.tensors, expected)


def test_a_checkpoint_comes_back_from_its_file_to_the_bit(trained, tmp_path):
    first = checkpoints.read(trained / "checkpoints" / "last.safetensors")
    first.write(tmp_path / "again.safetensors")
    second = checkpoints.read(tmp_path / "again.safetensors")
    assert_same_bits(second.tensors, first.tensors)
    assert second.metadata == first.metadata


@pytest.fixture
def bad(tmp_path):
    return tmp_path / "bad.safetensors"


@pytest.mark.parametrize("length", [0, 7, 8, 100, -1])
def test_a_truncated_checkpoint_is_refused(run, trained, bad, length):
    bad.write_bytes((trained / "checkpoints" / "last.safetensors").read_bytes()[:length])
    assert str(bad) in run("inspect", bad, exit_code=4).stderr


def test_a_checkpoint_with_a_damaged_byte_in_its_header_is_refused_or_read(trained, bad):
    """Whatever the damage: a checkpoint or a FileError, and nothing else."""
    whole = (trained / "checkpoints" / "last.safetensors").read_bytes()
    header = 8 + int.from_bytes(whole[:8], "little")
    refused = 0
    for position in range(0, header, 7):
        bad.write_bytes(whole[:position] + bytes([whole[position] ^ 1]) + whole[position + 1 :])
        try:
            checkpoints.read(bad)
        except FileError:
            refused += 1
    assert refused > header / 7 / 3


def no_dense(arrays):
    del arrays["dense.bias"]


def other_size(arrays):
    arrays["lstm.1.kernel"] = arrays["lstm.1.kernel"][:, :3]


def no_slot(arrays):
    del arrays["optimizer.accumulator.lstm.0.bias"]


def other_batch(arrays):
    arrays["state"] = arrays["state"][:, :, :, :2]


@pytest.mark.parametrize("damage", [no_dense, other_size, no_slot, other_batch])
def test_a_checkpoint_whose_tensors_do_not_fit_its_config_is_refused(run, trained, bad, damage):
    found = checkpoints.read(trained / "checkpoints" / "last.safetensors")
    damage(found.tensors)
    found.write(bad)
    assert str(bad) in run("eval", bad, exit_code=4).stderr


def test_a_safetensors_file_of_somebody_else_is_refused(run, bad):
    save_file({"weight": np.zeros(3, np.float32)}, bad)
    assert "not a checkpoint of lstmcli" in run("inspect", bad, exit_code=4).stderr


def test_a_checkpoint_of_another_format_is_refused_by_its_number(run, trained, bad):
    found = checkpoints.read(trained / "checkpoints" / "last.safetensors")
    save_file(found.tensors, bad, {"lstmcli": json.dumps({**found.metadata, "format": 99})})
    assert "99" in run("inspect", bad, exit_code=4).stderr


def test_a_full_disk_keeps_the_old_file_and_leaves_nothing_behind(tmp_path, monkeypatch):
    def full(handle):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    file = tmp_path / "last.safetensors"
    file.write_bytes(b"old")
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_atomically(file, b"new")
    assert [path.name for path in tmp_path.iterdir()] == ["last.safetensors"]
    assert file.read_bytes() == b"old"


@pytest.mark.parametrize("call", ["mkstemp", "fsync", "replace"])
def test_an_error_in_writing_names_the_file_that_was_asked_for(call, tmp_path, monkeypatch):
    def denied(*arguments, **keywords):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), ".other.tmp", 0, ".third")

    owner = {"mkstemp": tempfile, "fsync": os, "replace": Path}[call]
    monkeypatch.setattr(owner, call, denied)
    with pytest.raises(OSError, match="Permission denied") as caught:
        write_atomically(tmp_path / "p.csv", b"new")
    assert caught.value.filename == str(tmp_path / "p.csv")
    assert ".other.tmp" not in str(caught.value)
    assert ".third" not in str(caught.value)
    assert not list(tmp_path.iterdir())
