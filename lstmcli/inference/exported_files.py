"""Exported models as files: written completely or not at all; only such files are overwritten."""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import tempfile
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from lstmcli.training.keras_weights import DESCRIPTION
from lstmcli.utils import files
from lstmcli.utils.errors import UsageError

MARK = "lstmcli_export"
"""What the description of a model is called in each kind of file."""
EXTRA = "assets.extra"
"""A SavedModel's folder for files of which TensorFlow takes no notice."""


def check_free(out: Path, is_directory: bool, overwrite: bool) -> None:
    """Checks that a model can be written, and overwrites only another one of lstmcli.

    Raises:
        UsageError: it cannot be written, or would overwrite something else.
    """
    if not is_directory:
        files.check_replaceable(out, _is_own_file, "is not an exported model", overwrite)
        return
    if not out.is_dir():
        files.check_writable(out)
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return
    if not _is_own_directory(out):
        raise UsageError(
            f"`{out}` already exists and is not an exported model", "choose another name for it"
        )
    if not overwrite:
        raise UsageError(
            f"`{out}` already exists", "choose another name, or pass `--overwrite` to replace it"
        )


def _is_own_file(path: Path) -> bool:
    return MARK.encode() in path.read_bytes()


def _is_own_directory(path: Path) -> bool:
    """Whether a directory holds an unchanged export of lstmcli, and nothing else."""
    try:
        known = json.loads(files.read_small(path / EXTRA / DESCRIPTION))["sha256"]
        return bool(known == _digests(path))
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return False


def _digests(folder: Path) -> dict[str, str]:
    """SHA-256 of each file of a model but its description, by its path."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_file() and name != f"{EXTRA}/{DESCRIPTION}":
            with path.open("rb") as file:
                found[name] = hashlib.file_digest(file, "sha256").hexdigest()
    return found


def write_keras(out: Path, content: bytes, description: Mapping[str, Any]) -> None:
    """Writes a `.keras` file with the description in it, which Keras ignores."""
    buffer = io.BytesIO(content)
    with zipfile.ZipFile(buffer, "a") as archive:
        archive.writestr(DESCRIPTION, json.dumps(description))
    files.write_atomically(out, buffer.getvalue())


def write_tensors(
    out: Path, tensors: Mapping[str, npt.NDArray[Any]], description: Mapping[str, Any]
) -> None:
    """Writes a `.safetensors` file with the description among its metadata."""
    from safetensors.numpy import save

    contiguous = {name: np.ascontiguousarray(tensor) for name, tensor in tensors.items()}
    files.write_atomically(out, save(contiguous, {MARK: json.dumps(description)}))


def write_directory(
    out: Path, fill: Callable[[Path], object], description: Mapping[str, Any]
) -> None:
    """Writes a directory next to `out`, syncs it to disk, and renames it to `out`.

    An existing one is moved away first, and deleted afterwards.

    Raises:
        OSError: it cannot be written; nothing is left behind.
    """
    work = Path(tempfile.mkdtemp(prefix=f".{out.name}.", dir=out.parent))
    try:
        made, before = work / "made", work / "before"
        made.mkdir()
        fill(made)
        extra = made / EXTRA
        extra.mkdir(exist_ok=True)
        known = json.dumps({**description, "sha256": _digests(made)})
        (extra / DESCRIPTION).write_text(known, encoding="utf-8")
        _sync(made)
        if out.exists():
            out.rename(before)
        made.rename(out)
        files.sync_directory(out.parent)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _sync(folder: Path) -> None:
    """Syncs a directory and all that is in it to disk."""
    for path in [*folder.rglob("*"), folder]:
        if path.is_dir():
            files.sync_directory(path)
        else:
            with path.open("rb") as file:
                os.fsync(file.fileno())
