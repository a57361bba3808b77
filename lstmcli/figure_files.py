"""A figure as a file: its ending, the mark that lstmcli leaves in it, and what may be replaced."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from lstmcli.errors import UsageError
from lstmcli.files import check_writable

MARK = "lstmcli"
MARKED: dict[str, tuple[dict[str, str | None], bytes]] = {
    ".png": ({"Software": MARK}, b"tEXtSoftware\0lstmcli"),
    ".svg": ({"Creator": MARK, "Date": None}, b"<dc:title>lstmcli</dc:title>"),
    ".pdf": (
        {"Creator": MARK, "Producer": None, "CreationDate": None},
        b"/Creator (lstmcli)",
    ),
}
"""For each ending what matplotlib writes of a file, without a date, so that the same data gives the
same bytes, and the bytes by which it is known again."""


def check_ending(path: Path) -> None:
    """Raises UsageError where a file's ending is not one of a figure's."""
    if path.suffix.lower() not in MARKED:
        *others, last = MARKED
        raise UsageError(
            f"`--output` must end with {', '.join(others)} or {last}, got `{path.name}`",
            "the ending chooses the kind of file",
        )


def check_replaceable(path: Path) -> None:
    """Checks that a figure can be written, and replaces nothing but a figure of lstmcli.

    Raises:
        UsageError: the file cannot be written, or holds something else.
    """
    check_writable(path)
    if path.is_file() and path.stat().st_size and not is_ours(path):
        raise UsageError(
            f"`{path}` is there already and is no figure of lstmcli", "choose another name for it"
        )


def is_ours(path: Path) -> bool:
    """Whether a file is a figure that lstmcli has written, as its mark says."""
    _, mark = MARKED.get(path.suffix.lower(), ({}, None))
    return mark is not None and path.is_file() and mark in path.read_bytes()


def delete_figures(folder: Path) -> None:
    """Deletes the figures of lstmcli in a folder, and the folder if nothing else is in it."""
    for path in folder.glob("*.*"):
        if is_ours(path):
            path.unlink()
    with suppress(OSError):  # What else is in it stays.
        folder.rmdir()
