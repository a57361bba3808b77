"""Locks on directories: one process at a time writes to a directory.

The operating system holds the lock and releases it when the process ends, however it ends. The lock
files are deleted on release; those that a killed process leaves behind lock nobody out.
"""

from __future__ import annotations

import json
import os
import shlex
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from lstmcli.utils.errors import UsageError
from lstmcli.utils.files import write_atomically

if TYPE_CHECKING:
    from filelock import FileLock

LOCK = ".lstmcli.lock"
HOLDER = ".lstmcli.lock.json"  # A separate file, as opening the lock's own may empty it.
PATIENCE = 0.2  # Seconds: enough for the holder to write HOLDER.


def lock(directory: Path) -> AbstractContextManager[None]:
    """Locks a directory for the length of a block.

    Raises:
        UsageError: it is locked already, by this process or another.
    """
    return DirectoryLock(directory).hold()


def is_held(directory: Path) -> bool:
    """Whether a directory is locked; the lock files of a killed process do not count."""
    from filelock import FileLock, Timeout

    if not (directory / LOCK).exists():
        return False
    mine = FileLock(directory / LOCK, timeout=0)
    try:
        mine.acquire()
    except (Timeout, OSError):  # It is locked, or belongs to another user.
        return True
    mine.release()
    return False


class DirectoryLock:
    """The lock of a directory; the same object may be locked again while it is held."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    @contextmanager
    def hold(self) -> Iterator[None]:
        """Locks the directory for the length of a block.

        Raises:
            UsageError: somebody else has locked it.
        """
        self._take()
        try:
            if self._lock.lock_counter == 1:
                write_atomically(self._directory / HOLDER, json.dumps(_myself()).encode())
            yield
        finally:
            self._give_back()

    @cached_property
    def _lock(self) -> FileLock:
        from filelock import FileLock  # Late, as most commands lock nothing.

        return FileLock(self._directory / LOCK, timeout=PATIENCE, thread_local=False)

    def _take(self) -> None:
        from filelock import Timeout

        try:
            self._lock.acquire()
        except Timeout as error:
            raise UsageError(
                f"{self._holder()} is writing to `{self._directory}`",
                "wait until it has ended, or use another directory",
            ) from error

    def _give_back(self) -> None:
        if self._lock.lock_counter == 1:
            for name in (HOLDER, LOCK):  # While still locked, so that they are nobody else's.
                with suppress(OSError):  # Windows keeps a file that is open.
                    (self._directory / name).unlink()
        self._lock.release()

    def _holder(self) -> str:
        """Who has locked it, in words."""
        try:
            holder = json.loads((self._directory / HOLDER).read_text())
            return f"process {holder['pid']} since {holder['since']} (`{holder['command']}`)"
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            return "another process"


def _myself() -> dict[str, int | str]:
    """What other processes are told about this one."""
    program = Path(sys.argv[0])
    name = "lstmcli" if program.name == "__main__.py" else program.name
    return {
        "pid": os.getpid(),
        "since": datetime.now().astimezone().isoformat(" ", "seconds"),
        "command": shlex.join([name, *sys.argv[1:]]),
    }
