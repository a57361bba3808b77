"""Damaged files, and ones that promise too much: refused by name."""

import hashlib
import itertools
import json
import os
import random
import shutil
import struct
import subprocess
import sys
import tracemalloc
import zipfile

import numpy as np
import pandas as pd
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file

import damages
from lstmcli.config import DataConfig
from lstmcli.core import compile_cache
from lstmcli.data import arrays as array_files
from lstmcli.data import readers
from lstmcli.training import checkpoint as checkpoints
from lstmcli.utils import files, memory
from lstmcli.utils.errors import FileError
from refusals import assert_refused, parts_of


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


def test_no_cut_takes_away_both_the_format_and_the_checksum(sealed):
    """A file without either passes for an older one, which nothing seals."""
    whole = (sealed / "y.json").read_text()
    half = len(whole) // 2
    for begin, length in itertools.product(range(len(whole)), range(1, half)):
        left = whole[:begin] + whole[begin + length :]
        if '"lstmcli_sha256": "' not in left and '"lstmcli_format"' not in left:
            with pytest.raises(json.JSONDecodeError):
                json.loads(left)


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
    with pytest.raises(FileError, match="but there is memory for 1,000,000 only"):
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


# --- the cache of programs


@pytest.mark.slow
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


@pytest.mark.parametrize("what", ["entry", "seal", "no seal"])
def test_a_damaged_program_is_deleted_from_the_cache(what, tmp_path):
    folder = tmp_path / "xla" / "conditions"
    folder.mkdir(parents=True)
    for name in ("whole.pb", "bad.pb"):
        (folder / name).write_bytes(name.encode() * 99)
    compile_cache.seal(folder)
    bad, seal = folder / "bad.pb", folder / "bad.pb.sha256"
    if what == "no seal":
        seal.unlink()
    else:
        changed = bad if what == "entry" else seal
        changed.write_bytes(damages.flipped(changed.read_bytes(), random.Random(what)))
    compile_cache.check(folder)
    assert sorted(path.name for path in folder.iterdir()) == ["whole.pb", "whole.pb.sha256"]


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
