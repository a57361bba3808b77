"""The cache of compiled programs: private to the user, and checked for damage before use.

TensorFlow runs the machine code of an entry unchecked, and fails if it cannot read the entry. So
each entry's SHA-256 is in a file next to it. An entry that does not match is deleted before
TensorFlow reads it, and compiled again; so is one whose process was killed before the checksum was
written.

TensorFlow identifies an entry by the program's graph only, and would run one that was compiled for
another instruction set. So each set of conditions has its own directory.
"""

from __future__ import annotations

import hashlib
import os
import stat
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from lstmcli.utils.files import write_atomically

ENTRIES = "*.pb"
MOST_BYTES = 256 * 2**20
"""Limit for all entries together; beyond it the least recently used ones are deleted."""
ABANDONED = 24 * 3600
"""Seconds after which a half-written file or an empty directory is no longer in use."""


def directory(conditions: Sequence[str]) -> Path | None:
    """The directory of the programs compiled under some conditions.

    Args:
        conditions: everything that the compiled code depends on, besides the program's graph.

    Returns:
        `None` if it cannot be made, or is not private.
    """
    if (private := root()) is None:
        return None
    return _private(private / hashlib.sha256("\n".join(conditions).encode()).hexdigest()[:16])


def root() -> Path | None:
    """The user's cache directory; `None` if it cannot be made, or others can write to it.

    Whoever can write to it can make this user run their code.
    """
    import platformdirs

    return _private(Path(platformdirs.user_cache_dir("lstmcli")) / "xla")


def _private(path: Path) -> Path | None:
    """The directory, made if needed; `None` if others can write to it."""
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        known = path.stat()
    except OSError:
        return None
    mine = not hasattr(os, "getuid") or known.st_uid == os.getuid()
    private = os.name == "nt" or not known.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    return path if mine and private else None


def check(folder: Path) -> None:
    """Deletes damaged entries of a directory, and the least recently used ones beyond MOST_BYTES.

    The remaining entries of the directory count as used now; the limit is for all directories.
    """
    with suppress(OSError):
        for entry in folder.glob(ENTRIES):
            if _is_whole(entry):
                os.utime(entry)
            else:
                _delete(entry)
        room = MOST_BYTES
        for entry in sorted(_entries(folder.parent), key=lambda each: -each.stat().st_mtime):
            room -= entry.stat().st_size
            if room < 0:
                _delete(entry)
        _tidy(folder.parent)


def _entries(every: Path) -> Iterator[Path]:
    """The entries of all directories, and of older versions, which had only one."""
    yield from every.glob(ENTRIES)
    yield from every.glob(f"*/{ENTRIES}")


def _tidy(every: Path) -> None:
    """Deletes the half-written files of killed processes, and empty directories."""
    for path in every.glob("*/*"):
        if path.suffix not in (".pb", ".sha256") and _is_abandoned(path):
            path.unlink(missing_ok=True)
    for path in every.iterdir():
        if path.is_dir() and _is_abandoned(path):
            with suppress(OSError):  # It is not empty.
                path.rmdir()


def _is_abandoned(path: Path) -> bool:
    return time.time() - path.stat().st_mtime > ABANDONED


def _delete(entry: Path) -> None:
    entry.unlink(missing_ok=True)
    _seal_of(entry).unlink(missing_ok=True)


def seal(folder: Path) -> None:
    """Writes the checksums of the entries that have none yet."""
    with suppress(OSError):  # If the disk is full, the entry is compiled again next time.
        for entry in folder.glob(ENTRIES):
            if not _seal_of(entry).exists():
                write_atomically(_seal_of(entry), _checksum(entry).encode())


def _is_whole(entry: Path) -> bool:
    try:
        return _seal_of(entry).read_bytes() == _checksum(entry).encode()
    except OSError:
        return False


def _seal_of(entry: Path) -> Path:
    return entry.with_name(f"{entry.name}.sha256")


def _checksum(entry: Path) -> str:
    with entry.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
