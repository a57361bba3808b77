"""What the terminal can show, and a way to it that nothing turns away."""

from __future__ import annotations

import locale
import os
import re
import shutil
import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console


def is_terminal(stream: IO[str]) -> bool:
    """Whether a stream shows on a terminal that understands escape sequences."""
    return stream.isatty() and os.environ.get("TERM") not in ("dumb", "unknown")


def shows_colour(stream: IO[str]) -> bool:
    """Whether colours are understood there, and wanted (no-color.org)."""
    return is_terminal(stream) and not os.environ.get("NO_COLOR")


def ascii_only(stream: IO[str]) -> bool:
    """Whether other characters than ASCII would come out garbled.

    In the C locale Python writes UTF-8 all the same (PEP 540): the locale counts there.
    """
    encodings = [getattr(stream, "encoding", None) or "utf-8"]
    if sys.flags.utf8_mode:
        encodings.append(locale.getencoding())
    return not all(encoding.lower().startswith("utf") for encoding in encodings)


def width(stream: IO[str]) -> int | None:
    """Columns of the terminal that a stream shows on; `None` for a file or a pipe."""
    return shutil.get_terminal_size().columns if stream.isatty() else None


def escape_unprintable(text: str) -> str:
    r"""A text from a file, on one line and harmless: what does not print is escaped as in Python.

    A control character (`\x1b`) would else be obeyed, and one that turns the direction around
    believed.
    """
    return "".join(
        each if each.isprintable() else each.encode("unicode_escape", "surrogatepass").decode()
        for each in text
    )


COMMAND = re.compile(r"`[^`]*`")
"""What somebody may copy: a command, an option or a path."""


def wrapped(text: str, columns: int | None, indent: str = "") -> str:
    """A text broken between words where it is wider than a terminal.

    What stands in backticks stays on one line, even one that is too long: pasted in two pieces, a
    command would run without its end.

    Args:
        text: on one line.
        columns: of the terminal; `None` for a pipe, where lines stay whole.
        indent: before each further line.
    """
    if not columns or len(text) <= columns:
        return text
    joined = COMMAND.sub(lambda command: command[0].replace(" ", "\0"), text)
    return textwrap.fill(
        joined,
        columns,
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    ).replace("\0", " ")


@contextmanager
def console() -> Iterator[Console]:
    """A console on standard error, by a descriptor of its own.

    What native code writes is held back by turning descriptor 2 away for a while (see
    `core.tensorflow`); a bar goes on moving meanwhile.
    """
    from rich.console import Console

    try:
        descriptor = os.dup(sys.stderr.fileno())
    except (AttributeError, OSError):  # It stands for standard error, and has no descriptor.
        yield Console(stderr=True, highlight=False)
        return
    encoding = "ascii" if ascii_only(sys.stderr) else "utf-8"
    with open(descriptor, "w", encoding=encoding, errors="replace") as file:  # noqa: PTH123
        yield Console(file=file, highlight=False)
