"""A directory that one process at a time writes to.

The lock is the operating system's: it ends with its process, however that ends. The files that it
needs are taken away when it is given back; what a killed process leaves of them locks nobody out.
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
HOLDER = ".lstmcli.lock.json"  # Apart, as opening the lock's own file may empty it.
PATIENCE = 0.2  # seconds: enough for a holder that has only begun to write who it is


def lock(directory: Path) -> AbstractContextManager[None]:
    """Holds a directory for the length of a block.

    Raises:
        UsageError: somebody else, in this process or another, holds it.
    """
    return DirectoryLock(directory).hold()


def is_held(directory: Path) -> bool:
    """Whether somebody holds a directory: what a killed process has left holds nothing."""
    from filelock import FileLock, Timeout

    if not (directory / LOCK).exists():
        return False
    mine = FileLock(directory / LOCK, timeout=0)
    try:
        mine.acquire()
    except (Timeout, OSError):  # It is held, or this is not the user whom it is of.
        return True
    mine.release()
    return False


class DirectoryLock:
    """The lock of a directory; whoever has this object may take it again while it is held."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    @contextmanager
    def hold(self) -> Iterator[None]:
        """Holds the directory for the length of a block.

        Raises:
            UsageError: somebody else holds it.
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
        from filelock import FileLock  # Most commands lock nothing.

        return FileLock(self._directory / LOCK, timeout=PATIENCE, thread_local=False)

    def _take(self) -> None:
        from filelock import Timeout

        try:
            self._lock.acquire()
        except Timeout as error:
            raise UsageError(
                f"`{self._directory}` is being written to by {self._holder()}",
                "wait until it has ended, or work in another directory",
            ) from error

    def _give_back(self) -> None:
        if self._lock.lock_counter == 1:
            for name in (HOLDER, LOCK):  # Before it is free, so that it is nobody else's.
                with suppress(OSError):  # Windows keeps a file that is open.
                    (self._directory / name).unlink()
        self._lock.release()

    def _holder(self) -> str:
        """Who holds it, in words."""
        try:
            holder = json.loads((self._directory / HOLDER).read_text())
            return f"process {holder['pid']} since {holder['since']} (`{holder['command']}`)"
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            return "another process"


def _myself() -> dict[str, int | str]:
    """What others are told of this process."""
    program = Path(sys.argv[0])
    name = "lstmcli" if program.name == "__main__.py" else program.name
    return {
        "pid": os.getpid(),
        "since": datetime.now().astimezone().isoformat(" ", "seconds"),
        "command": shlex.join([name, *sys.argv[1:]]),
    }
