"""Writing files atomically and durably: no crash, full disk or power loss destroys the old content.

lstmcli recognises its own files: pages and tables by a checksum in them, figures by a mark. The
checksum is the SHA-256 of all bytes of the file, with zeros in place of its own digits. It detects
a flipped bit, a missing end or a swapped block, even where no reader would notice. It does not
protect against intent: whoever can write a file can write its checksum too.
"""

from __future__ import annotations

import errno
import glob
import hashlib
import math
import os
import re
import tempfile
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from lstmcli.utils.errors import FileError, UsageError, listed, plural

if TYPE_CHECKING:
    import numpy.typing as npt

NO_SYNC = (errno.EINVAL, errno.ENOTSUP, errno.EBADF, errno.EACCES, errno.EPERM)
"""Errors of a file system that cannot sync a directory, or of a directory that may not be read."""


PATTERN = re.compile(r"[*?]|\[.+\]")
"""What makes a name a pattern for several files."""
LARGEST_TEXT = 1 << 26
"""Most bytes of a file of settings or descriptions."""
LARGEST_ARRAY = 1 << 26
"""Most bytes of an array that is kept in memory."""


def read_small(path: Path) -> bytes:
    """The content of a small file, such as one of settings; a sparse file could be gigabytes long.

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
    """The files in a folder, or of a pattern such as `books/*.txt`, sorted by name.

    Returns:
        `None` for the path of a single file, whether it exists or not.
    """
    if path.is_dir():
        found = [each for each in path.iterdir() if not each.name.startswith(".")]
    elif path.exists() or not PATTERN.search(str(path)):
        return None
    else:
        found = [Path(each) for each in glob.glob(str(path))]  # noqa: PTH207 (it may be absolute)
    return sorted(each for each in found if each.is_file())


def shown(path: Path) -> str:
    """A file's name; of a pattern also the folder's, as the pattern alone says little."""
    return f"{path.parent.name}/{path.name}" if PATTERN.search(path.name) else path.name


def scratch(shape: tuple[int, ...], dtype: npt.DTypeLike) -> npt.NDArray[Any]:
    """An uninitialised array: in memory if it is small, else in a file that is deleted with it.

    Raises:
        OSError: the disk has too little room.
    """
    import numpy as np

    size = math.prod(shape) * np.dtype(dtype).itemsize
    if size <= LARGEST_ARRAY:
        return np.empty(shape, dtype)
    handle, name = tempfile.mkstemp(prefix="lstmcli.")
    try:
        with os.fdopen(handle, "wb"):
            if hasattr(os, "posix_fallocate"):  # Otherwise a full disk would kill the process.
                os.posix_fallocate(handle, 0, size)
        return np.memmap(name, dtype, "r+", shape=shape)
    finally:
        with suppress(OSError):
            Path(name).unlink()


def check_writable(
    path: Path, hint: str = "choose a file in a directory that you can write to"
) -> None:
    """Checks that a file can be written, before its content is computed.

    Args:
        path: the file.
        hint: what to do if it cannot.

    Raises:
        UsageError: its directory does not exist or is not writable, or the path is a directory or
            a device.
    """
    folder = path.parent
    if not folder.is_dir():
        why = f"there is no directory `{folder}`"
    elif path.is_dir():
        why = "it is a directory"
    elif path.exists() and not path.is_file():
        why = "it is not a regular file, and would be replaced by one"
    elif not os.access(folder, os.W_OK | os.X_OK):
        why = f"the directory `{folder}` is not writable"
    else:
        return
    raise UsageError(f"cannot write `{path}`: {why}", hint)


def remove_half_written(*files: Path) -> None:
    """Deletes the temporary files of processes that were killed while writing.

    Args:
        files: the files that were written, and that nobody writes now; a name may be a pattern.
    """
    for file in files:
        for half_written in file.parent.glob(f".{file.name}.*"):
            half_written.unlink(missing_ok=True)


def write_atomically(path: Path, *pieces: bytes | memoryview) -> None:
    """As `write_pieces`, for content that is in memory."""
    write_pieces(path, pieces)


def write_pieces(path: Path, pieces: Iterable[bytes | memoryview]) -> None:
    """Writes a file atomically: at any time there is either the old file or the new one.

    The content goes to a temporary file in the same directory, is synced to the disk, and is then
    renamed to `path`. The directory is synced too: after the return, a power loss keeps the new
    file.

    Args:
        path: the file.
        pieces: the content, in order.

    Raises:
        OSError: the directory is not writable, or the disk is full; nothing is left behind. The
            error names `path`, not the temporary file.
    """
    try:
        _replace(path, pieces)
    except OSError as error:
        error.filename, error.filename2 = str(path), None
        raise


def append_durably(path: Path, content: bytes) -> None:
    """Appends all of the content to a file or nothing, and syncs it to the disk.

    Raises:
        OSError: the file is not writable, or the disk is full; the file is unchanged.
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
    """Makes a directory and its missing parents, and syncs them to the disk.

    Returns:
        The new directories, the deepest first.

    Raises:
        OSError: it cannot be made, or it exists and `exist_ok` is false; nothing is left behind.
    """
    missing = tuple(each for each in (path, *path.parents) if not each.exists())
    try:
        path.mkdir(parents=True, exist_ok=exist_ok)
    except FileExistsError:
        raise  # Another process was quicker, and the directory is its own.
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
    """Syncs a directory to the disk; otherwise a power loss may undo a rename in it.

    Does nothing where that is not possible, as on Windows.
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
        with suppress(OSError):  # The directory may have become read-only, or have gone.
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


Bytes: TypeAlias = bytes | memoryview
CHECKSUM_DIGITS = 64
BLANK_CHECKSUM = "0" * CHECKSUM_DIGITS
"""The placeholder of a checksum."""
PAGE_MARK = "<!-- written by lstmcli; SHA-256 of this page: "


def with_checksum(part: bytes, mark: bytes, rest: Iterable[Bytes] = ()) -> bytes:
    """A part of a file with the file's checksum in it.

    Args:
        part: the part, with `BLANK_CHECKSUM` after the mark.
        mark: the bytes before the checksum.
        rest: the rest of the file, in any fixed order.
    """
    place = _checksum_place(part, mark)
    return part[: place.start] + _checksum(part, place, rest) + part[place.stop :]


def matches_checksum(part: bytes, mark: bytes, rest: Iterable[Bytes] = ()) -> bool | None:
    """Whether a file matches its checksum; `None` if it has none. Arguments of `with_checksum`."""
    if mark not in part:
        return None
    place = _checksum_place(part, mark)
    return part[place] == _checksum(part, place, rest)


def page_with_checksum(text: str) -> bytes:
    """An HTML page with a checksum in its last line."""
    return with_checksum(f"{text}{PAGE_MARK}{BLANK_CHECKSUM} -->\n".encode(), PAGE_MARK.encode())


def is_unchanged_page(path: Path) -> bool:
    """Whether a file is an unchanged page of `page_with_checksum`, which may be replaced."""
    return path.is_file() and matches_checksum(path.read_bytes(), PAGE_MARK.encode()) is True


def _checksum_place(part: bytes, mark: bytes) -> slice:
    begin = part.rindex(mark) + len(mark)
    return slice(begin, begin + CHECKSUM_DIGITS)


def _checksum(part: bytes, place: slice, rest: Iterable[Bytes]) -> bytes:
    digest = hashlib.sha256(part[: place.start] + BLANK_CHECKSUM.encode() + part[place.stop :])
    for each in rest:
        digest.update(each)
    return digest.hexdigest().encode()


FIGURE_MARK = "lstmcli"
FIGURE_MARKS: dict[str, tuple[dict[str, str | None], bytes]] = {
    ".png": ({"Software": FIGURE_MARK}, b"tEXtSoftware\0lstmcli"),
    ".svg": ({"Creator": FIGURE_MARK, "Date": None}, b"<dc:title>lstmcli</dc:title>"),
    ".pdf": (
        {"Creator": FIGURE_MARK, "Producer": None, "CreationDate": None},
        b"/Creator (lstmcli)",
    ),
}
"""For each ending: matplotlib's metadata, without a date so that equal data gives equal bytes, and
the bytes that identify a figure of lstmcli."""


def check_figure_ending(path: Path) -> None:
    """Raises UsageError if a file's ending is not that of a figure."""
    if path.suffix.lower() not in FIGURE_MARKS:
        *others, last = FIGURE_MARKS
        raise UsageError(
            f"`--output` must end with {', '.join(others)} or {last}, got `{path.name}`",
            "the ending decides the file format",
        )


def check_replaceable(
    path: Path,
    is_own: Callable[[Path], bool],
    otherwise: str,
    overwrite: bool = True,
    hint: str = "choose another name for it",
) -> None:
    """Checks that a file can be written, and that it replaces only a file of lstmcli.

    Args:
        path: the file.
        is_own: whether a file was written by lstmcli.
        otherwise: the error's words for a file that was not: `holds no probe`.
        overwrite: whether a file of lstmcli may be replaced.
        hint: what to do about any other file.

    Raises:
        UsageError: the file cannot be written, or must not be replaced.
    """
    check_writable(path)
    if not path.is_file() or not path.stat().st_size:
        return
    if not is_own(path):
        raise UsageError(f"`{path}` already exists and {otherwise}", hint)
    if not overwrite:
        raise UsageError(
            f"`{path}` already exists", "choose another name, or pass `--overwrite` to replace it"
        )


def check_figure_replaceable(path: Path) -> None:
    """Checks that a figure can be written, and that it replaces only a figure of lstmcli.

    Raises:
        UsageError: the file cannot be written, or holds something else.
    """
    check_replaceable(path, is_own_figure, "is not a figure of lstmcli")


def is_own_figure(path: Path) -> bool:
    """Whether a file has the mark of a figure that lstmcli wrote."""
    _, mark = FIGURE_MARKS.get(path.suffix.lower(), ({}, None))
    return mark is not None and path.is_file() and mark in path.read_bytes()


def delete_figures(folder: Path) -> None:
    """Deletes the figures of lstmcli in a folder, and the folder if nothing else is in it."""
    if folder.is_symlink():
        folder.unlink()  # Its target does not belong to this directory.
        return
    for path in folder.glob("*.*"):
        if is_own_figure(path):
            path.unlink()
    with suppress(OSError):  # It holds other files.
        folder.rmdir()


def files_with_endings(path: Path, endings: Sequence[str]) -> list[Path] | None:
    """The files of a folder or a pattern that have certain endings, sorted by name.

    Args:
        path: a folder or a pattern.
        endings: the endings; other files are ignored.

    Returns:
        `None` for the path of a single file.

    Raises:
        FileError: there is no such file.
    """
    found = matching(path)
    if found is None:
        return None
    wanted = [each for each in found if each.name.endswith(tuple(endings))]
    if not wanted:
        what = f"the folder `{path}` has no file" if path.is_dir() else f"there is no file `{path}`"
        raise FileError(
            f"{what} whose name ends in {', '.join(endings)}",
            "check the name; subfolders are not searched",
        )
    return wanted


def said_of_several(path: Path, paths: Sequence[Path], what: str) -> str:
    """A sentence that says which files are read, and as what."""
    count = f"{len(paths):,} {plural(len(paths), 'file')}"
    return f"`{path}` is {count}, {what}: {listed([f'`{each.name}`' for each in paths])}"
