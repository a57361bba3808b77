"""The cache of compiled programs: private to the user, and never believed where it is damaged.

TensorFlow runs the machine code in an entry as it finds it, or gives up on a run whose entry it
cannot read. So each entry has its SHA-256 in a file beside it, and one that does not match is
deleted before TensorFlow looks: it is compiled anew. An entry whose process was killed before its
checksum was written goes the same way.
"""

from __future__ import annotations

import hashlib
import os
import stat
from contextlib import suppress
from pathlib import Path

from lstmcli.files import write_atomically

ENTRIES = "*.pb"
MOST_BYTES = 256 * 2**20
"""Of all entries, as they are read when a run begins: beyond, the oldest go."""


def directory() -> Path | None:
    """The user's cache directory; `None` if it cannot be made, or others could write to it.

    Whoever can write to it can make this user run code of theirs.
    """
    import platformdirs

    path = Path(platformdirs.user_cache_dir("lstmcli")) / "xla"
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        known = path.stat()
    except OSError:
        return None
    mine = not hasattr(os, "getuid") or known.st_uid == os.getuid()
    private = os.name == "nt" or not known.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    return path if mine and private else None


def check(folder: Path) -> None:
    """Deletes the entries that are not as they were sealed, and the oldest of too many."""
    with suppress(OSError):
        entries = sorted(folder.glob(ENTRIES), key=lambda each: -each.stat().st_mtime)
        room = MOST_BYTES
        for entry in entries:
            room -= entry.stat().st_size
            if room < 0 or not _is_whole(entry):
                entry.unlink(missing_ok=True)
                _seal_of(entry).unlink(missing_ok=True)


def seal(folder: Path) -> None:
    """Writes the checksums of the entries that have none yet."""
    with suppress(OSError):  # A disk that is full: the entry is compiled again the next time.
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
