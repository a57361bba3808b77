"""Files that somebody made to do harm: read or refused, and nothing else."""

import json
import pickle
import shutil

import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import load_file, save
from typer.testing import CliRunner

from lstmcli.cli.app import app
from lstmcli.data import arrays as array_files
from lstmcli.sweeps.sweep_dir import SweepDirectory
from lstmcli.training import checkpoint as checkpoints
from refusals import ESCAPE, assert_refused, parts_of


class Evil:
    """Unpickled, it makes a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


@pytest.mark.parametrize("where", ["inputs", "metadata", "whole file", "npy"])
def test_no_pickle_is_ever_read(where, tmp_path):
    evil, path = Evil(tmp_path / "made"), tmp_path / "x.npz"
    arrays = {"inputs": np.zeros(3), "targets": np.zeros(3)}
    if where == "whole file":
        path.write_bytes(pickle.dumps(evil))
    elif where == "npy":
        with path.open("wb") as file:
            np.save(file, np.array([evil], object), allow_pickle=True)
    else:
        np.savez(path, **{**arrays, where: np.array([evil] * 3, object)})
    assert_refused(array_files.read, path, where)
    assert not (tmp_path / "made").exists()
    for read in (checkpoints.read,):
        assert_refused(read, path, where)
    assert not (tmp_path / "made").exists()


def typed(*arguments):
    """What a command gives, whatever its exit code."""
    return CliRunner().invoke(app, [str(each) for each in arguments])


def changed(metadata, path, value):
    """The metadata with a value in another's place, by its path."""
    *parents, last = path.split(".")
    copied = json.loads(json.dumps(metadata))
    place = copied
    for each in parents:
        place = place[int(each)] if isinstance(place, list) else place[each]
    place[int(last) if isinstance(place, list) else last] = value
    return copied


PLACES = [
    "config", "config.model", "config.model.layers", "config.model.state_size",
    "config.training.batch_size", "config.run.replicas", "config.run.seed", "config.data",
    "seeds", "seeds.0", "data_seeds", "features", "classes", "position", "position.epoch", "best",
    "best.0", "best.0.seed", "best.0.val_loss", "schema.target", "schema.symbols", "kind",
    "schema.kind", "schema.target.size", "schema.target.values", "version", "elapsed_seconds",
    "label_counts", "label_counts.0", "data_sha256",
]  # fmt: skip
VALUES = [
    [], {}, "x", -1, 10**12, 10**400, 1.5, True, float("nan"), [[]], ["x"], {"x": 1}, ESCAPE,
    "../../../etc/passwd",
]  # fmt: skip


@pytest.mark.parametrize("place", PLACES)
def test_a_hostile_checkpoint_is_read_or_refused_and_nothing_else(place, sealed, run, tmp_path):
    known = checkpoints.read(sealed / "m.safetensors")
    path = tmp_path / "m.safetensors"
    for value in VALUES:
        metadata = changed(known.metadata, place, value)
        checkpoints.Checkpoint(known.tensors, metadata).write(path)
        for command in (["inspect"], ["inspect", "--json"], ["sample", "--length", 3]):
            result = typed(*command, path)
            assert result.exit_code in (0, 4), (place, value, result.stderr)
            assert result.exit_code == 0 or "m.safetensors" in result.stderr, (place, value)
            assert "\x1b" not in result.output, (place, value)


def test_metadata_nested_without_end_are_refused(sealed, tmp_path):
    known = load_file(sealed / "m.safetensors")
    (tmp_path / "m.safetensors").write_bytes(save(known, {"lstmcli": "[" * 100_000}))
    assert_refused(checkpoints.read, tmp_path / "m.safetensors", "nested")
    text = np.array('{"task":' + "[" * 100_000)
    np.savez(tmp_path / "x.npz", inputs=np.zeros(3), targets=np.zeros(3), metadata=text)
    assert_refused(array_files.read, tmp_path / "x.npz", "nested")
    (tmp_path / "y.csv").write_text("input,target\n0,1\n1,0\n")
    (tmp_path / "y.json").write_text("[" * 100_000)
    assert_refused(array_files.read, tmp_path / "y.csv", "nested")
    assert_refused(parts_of, tmp_path / "y.csv", "nested")


@pytest.mark.parametrize(
    "text",
    [
        "a = " + "[" * 50_000,
        "[model]\nlayers = " + "9" * 5_000,
        "[model]\nlayers = 1e999",
        "[model]\nlayers = 1979-05-27",
        "model = 3",
        "[[model]]\nlayers = 1",
        '[model]\nlayers = "__import__(\\"os\\")"',
        "[run]\nreplicas = -1",
        f"[{'x' * 10}]\n" * 2,
        "\ufeff[model]",
    ],
)
def test_a_hostile_config_is_refused_as_wrong_usage(text, run, tmp_path):
    (tmp_path / "c.toml").write_text(text)
    stderr = run("train", "--config", "c.toml", "--out", "r", exit_code=2).stderr
    assert not (tmp_path / "r").exists()
    assert "\x1b" not in stderr


def test_overwriting_never_follows_a_link_out_of_a_run_or_a_sweep(kept, run, tmp_path):
    outside = tmp_path / "outside"
    shutil.copytree(kept / "run", outside)
    before = {path: path.read_bytes() for path in outside.rglob("*") if path.is_file()}
    for name in ("checkpoints", "metrics.csv", "config.toml"):
        place = kept / "run" / name
        shutil.rmtree(place) if place.is_dir() else place.unlink()
        place.symlink_to(outside / name)
    options = ["--series-length", 300, "--epochs", 1, "--layers", 1, "--state-size", 2]
    run("train", *options, "--out", kept / "run", "--overwrite")
    assert {path: path.read_bytes() for path in before} == before
    assert not (kept / "run/checkpoints").is_symlink()
    shutil.rmtree(kept / "sweep/trials")
    (kept / "sweep/trials").symlink_to(outside)
    SweepDirectory(kept / "sweep").delete()
    assert {path: path.read_bytes() for path in before} == before


def test_what_a_file_holds_never_reaches_the_terminal_raw(sealed, run, tmp_path):
    """Names of columns and values, a version, and a file's own name: in tables and in errors."""
    known = checkpoints.read(sealed / "m.safetensors")
    path = tmp_path / f"m{ESCAPE}.safetensors"
    metadata = known.metadata
    for place in ("version", "schema.target.name", "schema.symbols.0.name", "config.data.data"):
        metadata = changed(metadata, place, f"x{ESCAPE}")
    values = [f"{ESCAPE}{value}" for value in metadata["schema"]["target"]["values"]]
    metadata = changed(metadata, "schema.target.values", values)
    checkpoints.Checkpoint(known.tensors, metadata).write(path)
    for command in (["inspect"], ["inspect", "--json"], ["eval"], ["sample", "--length", 3]):
        result = typed(*command, path)
        shown = result.stderr if command[0] == "sample" else result.output  # Text goes to a pipe.
        assert "\x1b" not in shown, command
    path.write_bytes(path.read_bytes()[:-1])
    assert "\x1b" not in run("inspect", path, exit_code=4).stderr
    frame = pd.DataFrame(
        {f"a{ESCAPE}": range(2000), "b": [f"{ESCAPE}{i % 2}" for i in range(2000)]}
    )
    frame.to_csv("t.csv", index=False)
    options = ["--epochs", 1, "--layers", 1, "--state-size", 2]
    for result in (
        run("train", "--data", "t.csv", "--target", "b", *options, "--out", "r"),
        run("train", "--data", "t.csv", "--target", "c", *options, "--out", "q", exit_code=2),
        run("inspect", "r"),
        run("eval", "r"),
    ):
        assert "\x1b" not in result.output
