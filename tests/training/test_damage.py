"""Damaged, hostile, foreign and old files: refused by name, or read for ever; nothing else."""

import hashlib
import json
import os
import pickle
import random
import shutil
import struct
import subprocess
import sys
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file, save
from typer.testing import CliRunner

import damages
from lstmcli.cli.app import app
from lstmcli.config import DataConfig
from lstmcli.core import compile_cache
from lstmcli.data import arrays as array_files
from lstmcli.data import readers, tasks
from lstmcli.sweeps.sweep_dir import SweepDirectory
from lstmcli.training import checkpoint as checkpoints
from lstmcli.utils import files, memory
from lstmcli.utils.errors import ExitCode, FileError, LstmcliError

KEPT = Path(__file__).parents[1] / "kept"
UNSEALED = KEPT / "unsealed"
ESCAPE = "\x1b[31m"


def assert_refused(read, path, what):
    """Whatever the damage: exit code 4 and the file's name, and nothing but a LstmcliError."""
    try:
        read(path)
    except LstmcliError as error:
        found = error
    else:
        pytest.fail(f"was read silently: {what}")
    assert found.exit_code == ExitCode.BAD_FILE, f"{what}: {found.message}"
    assert path.name in found.message, what
    assert len(found.message) < 2000, what


@pytest.fixture(scope="session")
def sealed(tmp_path_factory):
    """Small files as they are written now: `m.safetensors`, `x.npz`, `y.csv` with `y.json`."""
    folder = tmp_path_factory.mktemp("sealed")
    old = checkpoints.read(UNSEALED / "text/checkpoints/last.safetensors")
    old.write(folder / "m.safetensors")
    for name, kept in (("x.npz", "echo.npz"), ("y.csv", "echo.csv")):
        array_files.write(folder / name, *array_files.read(UNSEALED / kept))
    config = DataConfig(task="adding", series_length=3000)
    array_files.write(folder / "z.csv", tasks.generate(config, np.random.default_rng(0)), {})
    return folder


def parts_of(path):
    return readers.read_parts(DataConfig(data=str(path)))


# --- damage


@pytest.mark.parametrize(
    ("name", "damaged", "read"),
    [
        ("m.safetensors", "m.safetensors", checkpoints.read),
        ("x.npz", "x.npz", parts_of),
        ("y.csv", "y.csv", parts_of),
        ("y.csv", "y.json", parts_of),
        ("z.csv", "z.csv", parts_of),
        ("z.csv", "z.json", parts_of),
    ],
)
def test_no_random_damage_is_read(name, damaged, read, sealed, tmp_path, damage_count, damage_seed):
    shutil.copytree(sealed, tmp_path, dirs_exist_ok=True)
    read(tmp_path / name)
    whole = (tmp_path / damaged).read_bytes()
    kinds = damages.KINDS
    if name == "m.safetensors":
        kinds = (*kinds, damages.swapped_tensors)
    for what, content in damages.damages(whole, damage_count, damage_seed, kinds):
        (tmp_path / damaged).write_bytes(content)
        assert_refused(read, tmp_path / name, what)


@pytest.mark.parametrize("name", ["m.safetensors", "x.npz", "y.csv"])
def test_every_bit_of_a_file_counts(name, sealed, tmp_path):
    read = checkpoints.read if name == "m.safetensors" else array_files.read
    shutil.copytree(sealed, tmp_path, dirs_exist_ok=True)
    for file in (name, "y.json") if name == "y.csv" else (name,):
        whole = (tmp_path / file).read_bytes()
        for position in range(0, len(whole), 1 + len(whole) // 200):
            flipped = bytes([whole[position] ^ (1 << position % 8)])
            (tmp_path / file).write_bytes(whole[:position] + flipped + whole[position + 1 :])
            assert_refused(read, tmp_path / name, f"{file}, byte {position}")
        (tmp_path / file).write_bytes(whole)
    read(tmp_path / name)


def test_swapped_arrays_of_a_dataset_are_noticed(sealed, tmp_path):
    with np.load(sealed / "x.npz") as file:
        arrays = dict(file)
    arrays["inputs"], arrays["targets"] = (
        arrays["targets"].astype(np.float32),
        arrays["inputs"].astype(np.int32),
    )
    np.savez_compressed(tmp_path / "x.npz", **arrays)
    assert_refused(array_files.read, tmp_path / "x.npz", "swapped arrays")


def test_a_damaged_dataset_is_noticed_where_it_is_read_as_anybodys_table(sealed, tmp_path):
    shutil.copytree(sealed, tmp_path, dirs_exist_ok=True)
    config = DataConfig(data=str(tmp_path / "y.csv"), target="target")
    readers.read_parts(config)
    text = (tmp_path / "y.csv").read_text()
    (tmp_path / "y.csv").write_text(text.replace("1,0,0,1", "1,0,0,2", 1))
    with pytest.raises(FileError, match="does not match the checksum"):
        readers.read_parts(config)


def test_a_strangers_json_beside_a_table_is_none_of_ours(tmp_path):
    pd.DataFrame({"a": range(2000), "b": range(2000)}).to_csv(tmp_path / "t.csv", index=False)
    (tmp_path / "t.json").write_text('{"format": "csv", "checksum": "none", "sha256": "x"}')
    readers.read_parts(DataConfig(data=str(tmp_path / "t.csv"), target="b"))


@pytest.mark.parametrize("command", ["inspect", "eval", "sample", "train"])
def test_a_flipped_bit_ends_a_command_with_exit_code_4_and_the_files_name(
    command, run, sealed, tmp_path
):
    content = bytearray((sealed / "m.safetensors").read_bytes())
    content[-10] ^= 4
    bad = tmp_path / "bad.safetensors"
    bad.write_bytes(content)
    given = ["--init-from", bad, "--series-length", 500] if command == "train" else [bad]
    stderr = run(command, *given, exit_code=4).stderr
    assert "bad.safetensors" in stderr
    assert "do not match its checksum" in stderr


def test_a_sealed_checkpoint_is_an_ordinary_safetensors_file(sealed):
    tensors = load_file(sealed / "m.safetensors")
    found = checkpoints.read(sealed / "m.safetensors")
    assert tensors.keys() == found.tensors.keys()
    content = (sealed / "m.safetensors").read_bytes()
    with safe_open(sealed / "m.safetensors", framework="np") as file:
        seal = file.metadata()["sha256"]
    blanked = content.replace(seal.encode(), files.BLANK_CHECKSUM.encode())
    assert hashlib.sha256(blanked).hexdigest() == seal


def test_a_sealed_npz_is_an_ordinary_zip_archive_of_arrays(sealed):
    with np.load(sealed / "x.npz", allow_pickle=False) as file:
        assert set(file) == {"inputs", "targets", "metadata"}
    with zipfile.ZipFile(sealed / "x.npz") as archive:
        assert archive.testzip() is None


# --- files of other versions


@pytest.fixture
def kept(tmp_path):
    """A copy of the kept files, where they may be written to."""
    shutil.copytree(UNSEALED, tmp_path / "kept")
    return tmp_path / "kept"


@pytest.mark.parametrize(
    ("name", "steps", "checksum"),
    [
        ("echo.npz", 1000, "e7ecfe86ccaaa5d478cc9d8dc801a8b97b7d16b2e04b00c8ea4f3b6b76a90c54"),
        ("echo.csv", 200, "6018b8870d2916796df65662bf2f1676c7466f932d3015ca8a5ce5391665394e"),
        ("adding.npz", 212, "d55261a434898fe5d783f91aa3a44ca01496ee7ab975724c70a02cdeebedd3be"),
    ],
)
@pytest.mark.parametrize("folder", ["unsealed", "sealed"])
def test_a_kept_dataset_is_read_for_ever(folder, name, steps, checksum):
    series, metadata = array_files.read(KEPT / folder / name)
    assert (len(series), series.checksum()) == (steps, checksum)
    assert metadata["seed"] in (3, 4, 5)


@pytest.mark.parametrize(
    ("checkpoint", "losses"),
    [
        ("unsealed/run", [0.682867731253306, 0.6494013377030691]),
        ("unsealed/run/checkpoints/last.safetensors", [0.682867731253306, 0.6494013377030691]),
        ("unsealed/text", [0.7128133993125982]),
        ("sealed/text.safetensors", [0.7128133993125982]),
    ],
)
def test_a_kept_checkpoint_is_scored_as_ever(checkpoint, losses, run):
    command = ["eval", KEPT / checkpoint, "--json"]
    if checkpoint.startswith("sealed"):
        command += ["--data", KEPT / "unsealed/text.txt"]
        expected = json.loads(
            run("eval", UNSEALED / "text", *command[2:]).stdout
        )["results"]  # fmt: skip
        losses = [row["loss"] for row in expected]
    found = [row["loss"] for row in json.loads(run(*command).stdout)["results"]]
    assert found == pytest.approx(losses, rel=1e-5)


def test_a_kept_run_can_be_begun_from_and_its_settings_taken_over(kept, run):
    run("inspect", kept / "run")
    command = ["train", "--config", kept / "run/config.toml", "--init-from", kept / "run"]
    run(*command, "--epochs", 1, "--out", "again")
    assert len(pd.read_csv("again/metrics.csv")) == 2


def test_a_kept_sweep_gives_its_answer_and_is_extended(kept, run):
    command = [
        "sweep", "--layers", "1,2", "--series-length", 400, "--epochs", 2, "--state-size", 2,
        "--out", kept / "sweep",
    ]  # fmt: skip
    before = pd.read_csv(kept / "sweep/trials.csv")
    shown = json.loads(run(*command, "--seeds", 2, "--json").stdout)
    assert "no depth is better than a uniform guess" in shown["answer"]
    run(*command, "--seeds", 3, "--jobs", 1)
    after = pd.read_csv(kept / "sweep/trials.csv")
    assert len(after) == 6
    assert set(before.trial) < set(after.trial)
    merged = before.merge(after, on="trial")
    assert merged.test_loss_x.tolist() == merged.test_loss_y.tolist()


def test_files_of_a_newer_format_are_refused_by_its_number(sealed, tmp_path, monkeypatch):
    found = checkpoints.read(sealed / "m.safetensors")
    with monkeypatch.context() as patch:
        patch.setattr(checkpoints, "FORMAT", 7)
        found.write(tmp_path / "m.safetensors")
        patch.setattr("lstmcli.data.csv_series.SIDECAR_FORMAT", 8)
        for name, kept in (("x.npz", "echo.npz"), ("y.csv", "echo.csv")):
            array_files.write(tmp_path / name, *array_files.read(UNSEALED / kept))
    for read, name, number in (
        (checkpoints.read, "m.safetensors", 7),
        (array_files.read, "x.npz", 8),
        (array_files.read, "y.csv", 8),
    ):
        with pytest.raises(
            FileError, match=rf"{name}` has \w+ format {number}, expected 1"
        ) as caught:
            read(tmp_path / name)
        assert "--upgrade" in caught.value.hint


# --- promises that a file cannot keep


def npy(shape, data=b"", dtype="<f4"):
    header = f"{{'descr': '{dtype}', 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + data


def archive_of(path, compression=zipfile.ZIP_DEFLATED, **members):
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in members.items():
            archive.writestr(f"{name}.npy", content)
    return path


def lying_zip(path):
    """A member whose directory says that it becomes a terabyte."""
    archive_of(path, inputs=npy((2**38,), bytes(100)), targets=npy((3,), bytes(12)))
    content = bytearray(path.read_bytes())
    at = content.index(b"PK\x01\x02") + 24
    content[at : at + 4] = struct.pack("<I", 2**32 - 2)
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(
    "make",
    [
        lambda p: archive_of(p, inputs=npy((2**40,), bytes(100)), targets=npy((3,), bytes(12))),
        lambda p: archive_of(p, inputs=npy((2**62, 2**62), b""), targets=npy((3,), bytes(12))),
        lambda p: archive_of(p, inputs=npy((-1,), bytes(12)), targets=npy((3,), bytes(12))),
        lambda p: archive_of(p, inputs=npy((3,), b"", "<f4000000000"), targets=npy((3,))),
        lambda p: archive_of(
            p, zipfile.ZIP_BZIP2, inputs=npy((10**7,), bytes(4 * 10**7)), targets=npy((10**7,))
        ),
        lying_zip,
        lambda p: p.write_bytes(npy((2**44,), bytes(100))) and p,
    ],
)  # fmt: skip
def test_an_npz_that_promises_terabytes_allocates_none(make, tmp_path):
    path = make(tmp_path / "x.npz")
    tracemalloc.start()
    try:
        assert_refused(array_files.read, path, "promises")
        assert tracemalloc.get_traced_memory()[1] < 50 * 2**20
    finally:
        tracemalloc.stop()


def test_arrays_beyond_the_machines_memory_are_refused_and_zeros_are_not(tmp_path, monkeypatch):
    arrays = {"inputs": np.zeros(10**6, np.float32), "targets": np.zeros(10**6, np.int8)}
    np.savez_compressed(tmp_path / "x.npz", **arrays)
    assert (tmp_path / "x.npz").stat().st_size < 50_000
    assert len(array_files.read(tmp_path / "x.npz")[0]) == 10**6
    monkeypatch.setattr(memory, "free", lambda: 10**6 * memory.SHARE)
    with pytest.raises(FileError, match="and this machine has room for 1,000,000"):
        array_files.read(tmp_path / "x.npz")


def safetensors_of(header, data=b"", length=None):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + data


TENSOR = {"dtype": "F32", "shape": [2**40], "data_offsets": [0, 2**42]}


@pytest.mark.parametrize(
    "content",
    [
        safetensors_of(b"{}", length=2**63),
        safetensors_of(b"{}", length=2**40),
        safetensors_of({"state": TENSOR, "__metadata__": {"lstmcli": "{}"}}, bytes(100)),
        safetensors_of({"state": {**TENSOR, "data_offsets": [0, 100]}}, bytes(100)),
        safetensors_of({"state": {**TENSOR, "shape": [2**63, 2**63]}}, bytes(100)),
        safetensors_of(b'{"a":' * 100_000),
        safetensors_of(b"\xff\xfe"),
    ],
)
def test_a_checkpoint_that_promises_terabytes_allocates_none(content, tmp_path):
    (tmp_path / "m.safetensors").write_bytes(content)
    tracemalloc.start()
    try:
        assert_refused(checkpoints.read, tmp_path / "m.safetensors", "promises")
        assert tracemalloc.get_traced_memory()[1] < 50 * 2**20
    finally:
        tracemalloc.stop()


# --- hostile content


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


def test_a_damaged_program_in_the_cache_is_compiled_again(python, tmp_path):
    """TensorFlow itself ends such a run with an error, or runs what it finds."""
    python["env"]["XDG_CACHE_HOME"] = str(tmp_path / "cache")
    code = "from lstmcli.__main__ import main; main()"
    options = ["--series-length", "300", "--epochs", "1", "--layers", "1", "--state-size", "2"]

    def train(out):
        done = subprocess.run(
            [sys.executable, "-c", code, "train", *options, "--out", out],
            cwd=tmp_path, capture_output=True, check=False, **python,
        )  # fmt: skip
        assert (done.returncode, "Error" in done.stderr) == (0, False), done.stderr
        return {
            name: array.tobytes()
            for name, array in load_file(tmp_path / out / "checkpoints/last.safetensors").items()
        }

    first = train("a")
    entries = list((tmp_path / "cache").rglob("*.pb"))
    assert len(entries) >= 2
    damaged = {}
    for entry in entries:
        content = damages.flipped(entry.read_bytes(), random.Random(entry.name))
        damaged[entry] = content[: -len(content) // 2]
        entry.write_bytes(damaged[entry])
    assert train("b") == first
    left = {entry: entry.read_bytes() for entry in (tmp_path / "cache").rglob("*.pb")}
    assert not set(left.values()) & set(damaged.values())
    for entry, content in left.items():
        seal = entry.with_name(f"{entry.name}.sha256").read_text()
        assert seal == hashlib.sha256(content).hexdigest()


def test_of_a_cache_that_has_grown_too_large_the_oldest_go(tmp_path, monkeypatch):
    monkeypatch.setattr(compile_cache, "MOST_BYTES", 250)
    names = ["0.pb", "older/1.pb", "used/2.pb", "newer/3.pb"]  # The first one of an older version.
    for time, name in enumerate(names):
        entry, content = tmp_path / name, bytes([time]) * 100
        entry.parent.mkdir(exist_ok=True)
        entry.write_bytes(content)
        entry.with_name(f"{entry.name}.sha256").write_text(hashlib.sha256(content).hexdigest())
        os.utime(entry, (time, time))
    (tmp_path / "used/unsealed.pb").write_bytes(b"")
    for name in ("newer/half-written.tmp", "used/being-written.tmp"):
        (tmp_path / name).write_bytes(b"")
    os.utime(tmp_path / "newer/half-written.tmp", (0, 0))
    compile_cache.check(tmp_path / "used")
    left = [str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()]
    assert sorted(left) == [
        "newer/3.pb", "newer/3.pb.sha256", "used/2.pb", "used/2.pb.sha256", "used/being-written.tmp"
    ]  # fmt: skip
    assert compile_cache.ABANDONED > 3600
    os.utime(tmp_path / "older", (0, 0))
    compile_cache.check(tmp_path / "used")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["newer", "used"]
