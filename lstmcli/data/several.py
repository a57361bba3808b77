"""Several files as one dataset: a folder of them, or a pattern such as `books/*.txt`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from lstmcli import files
from lstmcli.errors import FileError, listed


def files_of(path: Path, endings: Sequence[str]) -> list[Path] | None:
    """The files that are read as one, in the order of their names.

    Args:
        path: a folder or a pattern, in which other files are left out.
        endings: how the names end of those that are meant.

    Returns:
        `None` for a path that is one file's own name.

    Raises:
        FileError: there is none.
    """
    found = files.matching(path)
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


def joined(path: Path, paths: Sequence[Path], what: str) -> str:
    """Says which files are read, and as what, in words."""
    count = f"{len(paths):,} file{'s' * (len(paths) != 1)}"
    return f"`{path}` is {count}, {what}: {listed([f'`{each.name}`' for each in paths])}"
