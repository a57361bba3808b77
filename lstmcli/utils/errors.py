"""The errors that users see, each with its exit code."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from enum import IntEnum
from pathlib import Path


class ExitCode(IntEnum):
    """The program's exit codes: a contract with scripts that call it."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    NO_DEVICE = 3
    BAD_FILE = 4
    DIVERGED = 5
    FAILED_TRIALS = 6
    INTERRUPTED = 130
    TERMINATED = 143


class LstmcliError(Exception):
    """An error that a user can understand and fix.

    Args:
        message: what was expected and what was got; lower case, no full stop.
        hint: the next thing to do, with the command to type where there is one.
        exit_code: the exit code of the process.
    """

    def __init__(
        self, message: str, hint: str | None = None, exit_code: ExitCode = ExitCode.FAILED
    ) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.exit_code = exit_code


class UsageError(LstmcliError):
    """A setting or an option has an invalid value."""

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message, hint, ExitCode.USAGE)


class DeviceError(LstmcliError):
    """The requested device is not on this machine."""

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message, hint, ExitCode.NO_DEVICE)


class OutOfMemoryError(LstmcliError):
    """A device has too little memory for the computation."""


class FileError(LstmcliError):
    """A dataset or a checkpoint is missing, damaged or does not fit."""

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message, hint, ExitCode.BAD_FILE)


class DivergedError(LstmcliError):
    """The training loss became NaN or infinite."""

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message, hint, ExitCode.DIVERGED)


class StoppedError(LstmcliError):
    """A signal stopped the run after its checkpoint was written."""


def install(extra: str) -> str:
    """The command that installs an optional dependency, for a hint."""
    return f"`pip install '.[{extra}]'` in lstmcli's source directory"


def plural(count: float, word: str) -> str:
    """`1 seed`, `2 seeds`."""
    return word if count == 1 else f"{word}s"


def describe_os_error(error: OSError) -> str:
    """The operating system's error about a file, in this program's words."""
    where = f" `{error.filename}`" if error.filename else ""
    return f"cannot read or write{where}: {error.strerror or error}"


def listed(names: Sequence[str], most: int = 5) -> str:
    """The first names, and how many more there are."""
    more = f" and {len(names) - most:,} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def shell_quote(path: Path | str) -> str:
    """A path quoted for a shell, and not mistaken for an option: for a command to be typed."""
    text = str(path)
    return shlex.quote(f"./{text}" if text.startswith("-") else text)
