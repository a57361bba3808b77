"""Writing a file whole or not at all."""

from __future__ import annotations

import hashlib
import os
import tempfile
from pathlib import Path

from lstmcli.errors import UsageError

SEAL = "<!-- written by lstmcli; SHA-256 of all above: {} -->\n"


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


def sealed(text: str) -> bytes:
    """A page with a last line that tells, for ever, whether it is still as lstmcli wrote it."""
    content = text.encode()
    return content + SEAL.format(hashlib.sha256(content).hexdigest()).encode()


def is_sealed(path: Path) -> bool:
    """Whether a file is one that `sealed` made, unchanged: it may be replaced and deleted."""
    if not path.is_file():
        return False
    written = path.read_bytes()
    content = written[: written.rfind(b"\n", 0, -1) + 1]
    return written == content + SEAL.format(hashlib.sha256(content).hexdigest()).encode()


def write_atomically(path: Path, content: bytes) -> None:
    """Writes a file so that a reader, a crash or a full disk sees the old one or the new one.

    The content goes to a temporary file in the same directory, is synced to the disk, and is then
    renamed over `path`.

    Raises:
        OSError: the directory cannot be written to, or the disk is full; nothing is left behind.
            It names `path`, not the temporary file.
    """
    try:
        _replace(path, content)
    except OSError as error:
        error.filename, error.filename2 = str(path), None
        raise


def _replace(path: Path, content: bytes) -> None:
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.chmod(0o666 & ~_umask())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _umask() -> int:
    """The process's umask, which can only be read by setting it."""
    mask = os.umask(0)
    os.umask(mask)
    return mask
