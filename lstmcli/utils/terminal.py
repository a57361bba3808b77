"""What the terminal can show, and a console on it that redirection does not affect."""

from __future__ import annotations

import locale
import os
import re
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console


def is_terminal(stream: IO[str]) -> bool:
    """Whether a stream is a terminal that understands escape sequences."""
    return stream.isatty() and os.environ.get("TERM") not in ("dumb", "unknown")


def shows_colour(stream: IO[str]) -> bool:
    """Whether a stream supports colours, and the user wants them (no-color.org)."""
    return is_terminal(stream) and not os.environ.get("NO_COLOR")


def ascii_only(stream: IO[str]) -> bool:
    """Whether characters other than ASCII would be garbled.

    In the C locale Python writes UTF-8 nevertheless (PEP 540); there the locale decides.
    """
    encodings = [getattr(stream, "encoding", None) or "utf-8"]
    if sys.flags.utf8_mode:
        encodings.append(locale.getencoding())
    return not all(encoding.lower().startswith("utf") for encoding in encodings)


def width(stream: IO[str]) -> int | None:
    """Columns of a stream's terminal; `None` for a file or a pipe."""
    return shutil.get_terminal_size().columns if stream.isatty() else None


def escape_unprintable(text: str) -> str:
    r"""A text on one line, with unprintable characters escaped as in Python.

    Otherwise a text from a file could control the terminal (`\x1b`) or reverse the direction of
    what it shows.
    """
    return "".join(
        each if each.isprintable() else each.encode("unicode_escape", "surrogatepass").decode()
        for each in text
    )


COMMAND = re.compile(r"`[^`]*`")
"""Text that a user may copy: a command, an option or a path."""


def wrapped(text: str, columns: int | None, indent: str = "") -> str:
    """A text wrapped between words to the width of a terminal.

    Text in backticks stays on one line, even if that is too long: a command pasted in two pieces
    would run without its end.

    Args:
        text: on one line.
        columns: of the terminal; `None` for a pipe, where lines stay whole.
        indent: before each further line.
    """
    if not columns or cells_of(text) <= columns:
        return text
    first, *words = COMMAND.sub(lambda command: command[0].replace(" ", "\0"), text).split(" ")
    lines, room = [first], columns - len(indent)
    for word in words:
        goes_on = cells_of(f"{lines[-1]} {word}") <= columns
        if goes_on or (lines == [first] and cells_of(word) > room):
            lines[-1] += f" {word}"  # Too long for any line, it begins behind a label all the same.
        else:
            lines.append(f"{indent}{word}")
    return "\n".join(lines).replace("\0", " ")


def cells_of(text: str) -> int:
    """Columns of the terminal that a text takes: a Chinese character has two, an accent none."""
    if text.isascii():
        return len(text)
    from rich.cells import cell_len

    return cell_len(text)


@contextmanager
def console() -> Iterator[Console]:
    """A console on standard error with its own descriptor.

    `core.tensorflow` redirects descriptor 2 for a while to hold back what native code writes; a
    progress bar on this console keeps moving meanwhile.
    """
    from rich.console import Console

    try:
        descriptor = os.dup(sys.stderr.fileno())
    except (AttributeError, OSError):  # Standard error is replaced by an object without one.
        yield Console(stderr=True, highlight=False)
        return
    encoding = "ascii" if ascii_only(sys.stderr) else "utf-8"
    with open(descriptor, "w", encoding=encoding, errors="replace") as file:  # noqa: PTH123
        yield Console(file=file, highlight=False)
