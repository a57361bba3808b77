"""Writing files so that neither a crash nor a full disk nor a power loss takes what was there."""

from __future__ import annotations

import errno
import glob
import math
import os
import re
import tempfile
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lstmcli.errors import UsageError

if TYPE_CHECKING:
    import numpy.typing as npt

NO_SYNC = (errno.EINVAL, errno.ENOTSUP, errno.EBADF, errno.EACCES, errno.EPERM)
"""What a file system says that cannot sync a directory, or a directory that may not be listed."""


PATTERN = re.compile(r"[*?]|\[.+\]")
"""What makes a name one that stands for several files."""
LARGEST_TEXT = 1 << 26
"""Bytes of a file that says what others are."""
LARGEST_ARRAY = 1 << 26
"""Bytes of an array that stays in memory."""


def read_small(path: Path) -> bytes:
    """A file that holds settings or the like, which is small; a hole may seem to be gigabytes.

    Raises:
        OSError: it cannot be read.
        ValueError: it is too large.
    """
    with path.open("rb") as file:
        content = file.read(LARGEST_TEXT + 1)
    if len(content) > LARGEST_TEXT:
        raise ValueError(f"expected at most {LARGEST_TEXT:,} bytes, got more")
    return content


def matching(path: Path) -> list[Path] | None:
    """The files that a folder, or a pattern such as `books/*.txt`, stands for, by their names.

    Returns:
        `None` for a path that is the name of one file, be it there or not.
    """
    if path.is_dir():
        found = [each for each in path.iterdir() if not each.name.startswith(".")]
    elif path.exists() or not PATTERN.search(str(path)):
        return None
    else:
        found = [Path(each) for each in glob.glob(str(path))]  # noqa: PTH207 (it may be absolute)
    return sorted(each for each in found if each.is_file())


def shown(path: Path) -> str:
    """A file's name; of a pattern that of its folder too, as alone it says little."""
    return f"{path.parent.name}/{path.name}" if PATTERN.search(path.name) else path.name


def scratch(shape: tuple[int, ...], dtype: npt.DTypeLike) -> npt.NDArray[Any]:
    """An array to be filled: in memory if it is small, else in a file that goes with it.

    Raises:
        OSError: the disk has no room for it.
    """
    import numpy as np

    size = math.prod(shape) * np.dtype(dtype).itemsize
    if size <= LARGEST_ARRAY:
        return np.empty(shape, dtype)
    handle, name = tempfile.mkstemp(prefix="lstmcli.")
    try:
        with os.fdopen(handle, "wb"):
            if hasattr(os, "posix_fallocate"):  # A full disk would else end the process.
                os.posix_fallocate(handle, 0, size)
        return np.memmap(name, dtype, "r+", shape=shape)
    finally:
        with suppress(OSError):
            Path(name).unlink()


def check_writable(path: Path, hint: str = "choose a file in a directory of yours") -> None:
    """Refuses a file that cannot be written, before work is spent on what goes into it.

    Args:
        path: the file.
        hint: what to do about it.

    Raises:
        UsageError: its directory is not there or not writable, or the name is a directory's or a
            device's.
    """
    folder = path.parent
    if not folder.is_dir():
        why = f"there is no directory `{folder}`"
    elif path.is_dir():
        why = "it is a directory"
    elif path.exists() and not path.is_file():
        why = "it is no ordinary file, and would be replaced by one"
    elif not os.access(folder, os.W_OK | os.X_OK):
        why = f"the directory `{folder}` is not writable"
    else:
        return
    raise UsageError(f"cannot write `{path}`: {why}", hint)


def remove_half_written(*files: Path) -> None:
    """Deletes what processes that were killed while they wrote files have left.

    Args:
        files: those that nobody else writes now; the last part of a path may be a pattern.
    """
    for file in files:
        for half_written in file.parent.glob(f".{file.name}.*"):
            half_written.unlink(missing_ok=True)


def write_atomically(path: Path, *pieces: bytes | memoryview) -> None:
    """As `write_pieces`, of what is there already."""
    write_pieces(path, pieces)


def write_pieces(path: Path, pieces: Iterable[bytes | memoryview]) -> None:
    """Writes a file so that a reader, a crash or a full disk sees the old one or the new one.

    The content goes to a temporary file in the same directory, is synced to the disk, and is then
    renamed over `path`. With the directory synced, too, a power loss after the return keeps the new
    one, and at any time before it one of the two.

    Args:
        path: the file.
        pieces: its content, one after the other, as it comes.

    Raises:
        OSError: the directory cannot be written to, or the disk is full; nothing is left behind.
            It names `path`, not the temporary file.
    """
    try:
        _replace(path, pieces)
    except OSError as error:
        error.filename, error.filename2 = str(path), None
        raise


def append_durably(path: Path, content: bytes) -> None:
    """Appends to a file, all of the content or nothing, and puts it on the disk.

    Raises:
        OSError: the file cannot be written to, or the disk is full; the file is as it was.
    """
    is_new = not path.exists()
    with path.open("ab", buffering=0) as file:
        before = file.tell()
        try:
            _write_all(file.fileno(), content)
            os.fsync(file.fileno())
        except BaseException as error:
            with suppress(OSError):
                file.truncate(before)
            if isinstance(error, OSError):
                error.filename = str(path)
            raise
    if is_new:
        sync_directory(path.parent)


def make_directories(path: Path, exist_ok: bool = True) -> tuple[Path, ...]:
    """Makes a directory and those above it that are not there, so that a power loss keeps them.

    Returns:
        Those that were made, the deepest first.

    Raises:
        OSError: it cannot be made, or is there and may not be; nothing is left behind.
    """
    missing = tuple(each for each in (path, *path.parents) if not each.exists())
    try:
        path.mkdir(parents=True, exist_ok=exist_ok)
    except FileExistsError:
        raise  # Another process was quicker: what is there is its.
    except OSError:
        remove_empty(missing)
        raise
    for folder in missing:
        sync_directory(folder.parent)
    return missing


def remove_empty(folders: tuple[Path, ...]) -> None:
    """Removes directories, the deepest first, up to the first that is not empty."""
    with suppress(OSError):
        for folder in folders:
            folder.rmdir()


def sync_directory(folder: Path) -> None:
    """Puts a directory's names on the disk: without, a power loss may undo a rename in it.

    Where that cannot be done, as on Windows, it is left to the operating system.
    """
    if os.name == "nt":
        return
    try:
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
    except OSError as error:
        if error.errno not in NO_SYNC:
            raise


def _replace(path: Path, pieces: Iterable[bytes | memoryview]) -> None:
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            for piece in pieces:
                file.write(piece)
            file.flush()
            os.fsync(file.fileno())
        temporary.chmod(0o666 & ~_umask())
        temporary.replace(path)
    except BaseException:
        with suppress(OSError):  # The directory may have become one to read only, or have gone.
            temporary.unlink()
        raise
    sync_directory(path.parent)


def _write_all(handle: int, content: bytes) -> None:
    """Writes all of it: the operating system may take a part at a time."""
    left = memoryview(content)
    while left:
        left = left[os.write(handle, left) :]


def _umask() -> int:
    """The process's umask, which can only be read by setting it."""
    mask = os.umask(0)
    os.umask(mask)
    return mask
