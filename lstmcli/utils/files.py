"""Writing files so that neither a crash nor a full disk nor a power loss takes what was there.

And how lstmcli knows its own files again: by a checksum within a page or a table, by the mark in a
figure. That checksum is the SHA-256 of all bytes of the file, with zeros in the place of its own
digits. So a flipped bit anywhere, a lost end or a swapped block shows, even one that no reader
would have noticed. It does not protect against anyone who means harm: whoever can write a file can
write its checksum too.
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

from lstmcli.utils.errors import FileError, UsageError, listed

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


Bytes: TypeAlias = bytes | memoryview
CHECKSUM_DIGITS = 64
BLANK_CHECKSUM = "0" * CHECKSUM_DIGITS
"""What stands in the seal's place before it is known."""
PAGE_MARK = "<!-- written by lstmcli; SHA-256 of this page: "


def with_checksum(part: bytes, mark: bytes, rest: Iterable[Bytes] = ()) -> bytes:
    """Writes a file's checksum into the part of it that has the place for it.

    Args:
        part: it, with `BLANK` after the mark.
        mark: what stands before the seal.
        rest: all else in the file, in an order of the caller's own.
    """
    place = _checksum_place(part, mark)
    return part[: place.start] + _checksum(part, place, rest) + part[place.stop :]


def matches_checksum(part: bytes, mark: bytes, rest: Iterable[Bytes] = ()) -> bool | None:
    """Whether a file is as it was sealed; `None` where it has no seal. Arguments as above."""
    if mark not in part:
        return None
    place = _checksum_place(part, mark)
    return part[place] == _checksum(part, place, rest)


def page_with_checksum(text: str) -> bytes:
    """A page of HTML with a last line that tells, for ever, whether it is as lstmcli wrote it."""
    return with_checksum(f"{text}{PAGE_MARK}{BLANK_CHECKSUM} -->\n".encode(), PAGE_MARK.encode())


def is_unchanged_page(path: Path) -> bool:
    """Whether a file is one that `sealed_page` made, unchanged: it may be replaced and deleted."""
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
"""For each ending what matplotlib writes of a file, without a date, so that the same data gives the
same bytes, and the bytes by which it is known again."""


def check_figure_ending(path: Path) -> None:
    """Raises UsageError where a file's ending is not one of a figure's."""
    if path.suffix.lower() not in FIGURE_MARKS:
        *others, last = FIGURE_MARKS
        raise UsageError(
            f"`--output` must end with {', '.join(others)} or {last}, got `{path.name}`",
            "the ending chooses the kind of file",
        )


def check_replaceable(
    path: Path,
    is_own: Callable[[Path], bool],
    otherwise: str,
    overwrite: bool = True,
    hint: str = "choose another name for it",
) -> None:
    """Checks that a file can be written, and replaces nothing but what lstmcli wrote there.

    Args:
        path: the file.
        is_own: whether it is of lstmcli, and may be replaced.
        otherwise: what is said of one that is not: `holds no probe`.
        overwrite: whether one that is may be replaced.
        hint: what to do about one that is not.

    Raises:
        UsageError: the file cannot be written, or is not to be replaced.
    """
    check_writable(path)
    if not path.is_file() or not path.stat().st_size:
        return
    if not is_own(path):
        raise UsageError(f"`{path}` is there already and {otherwise}", hint)
    if not overwrite:
        raise UsageError(
            f"`{path}` is there already", "choose another name, or pass `--overwrite` to replace it"
        )


def check_figure_replaceable(path: Path) -> None:
    """Checks that a figure can be written, and replaces nothing but a figure of lstmcli.

    Raises:
        UsageError: the file cannot be written, or holds something else.
    """
    check_replaceable(path, is_own_figure, "is no figure of lstmcli")


def is_own_figure(path: Path) -> bool:
    """Whether a file is a figure that lstmcli has written, as its mark says."""
    _, mark = FIGURE_MARKS.get(path.suffix.lower(), ({}, None))
    return mark is not None and path.is_file() and mark in path.read_bytes()


def delete_figures(folder: Path) -> None:
    """Deletes the figures of lstmcli in a folder, and the folder if nothing else is in it."""
    if folder.is_symlink():
        folder.unlink()  # Where it leads is not of this directory.
        return
    for path in folder.glob("*.*"):
        if is_own_figure(path):
            path.unlink()
    with suppress(OSError):  # What else is in it stays.
        folder.rmdir()


def files_with_endings(path: Path, endings: Sequence[str]) -> list[Path] | None:
    """The files that are read as one, in the order of their names.

    Args:
        path: a folder or a pattern, in which other files are left out.
        endings: how the names end of those that are meant.

    Returns:
        `None` for a path that is one file's own name.

    Raises:
        FileError: there is none.
    """
    found = matching(path)
    if found is None:
        return None
    wanted = [each for each in found if each.name.endswith(tuple(endings))]
    if not wanted:
        what = f"the folder `{path}` has no file" if path.is_dir() else f"there is no file `{path}`"
        raise FileError(
            f"{what} whose name ends in {', '.join(endings)}",
            "check the name; a folder's own folders are not looked into",
        )
    return wanted


def said_of_several(path: Path, paths: Sequence[Path], what: str) -> str:
    """Says which files are read, and as what, in words."""
    count = f"{len(paths):,} file{'s' * (len(paths) != 1)}"
    return f"`{path}` is {count}, {what}: {listed([f'`{each.name}`' for each in paths])}"
