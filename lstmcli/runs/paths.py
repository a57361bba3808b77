"""Paths in a run's files: they lead from its directory, so that a tree of folders can be moved."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lstmcli.errors import FileError


def from_folder(folder: Path, path: str) -> str:
    """A path that leads from a folder to a file, wherever links have led so far."""
    file = Path(path)
    try:
        return os.path.relpath(file.parent.resolve() / file.name, folder.resolve())
    except ValueError:  # On another drive.
        return str(file.absolute())


def with_data_from(saved: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Settings from a file, with the path of their dataset as it is found from here.

    Args:
        saved: the settings.
        folder: where the file lies, or the run directory of a checkpoint: looked from first. The
            other place is where one stands, as a hand-written file may mean that.

    Raises:
        FileError: the dataset is in neither.
    """
    group = saved.get("data")
    data = group.get("data") if isinstance(group, Mapping) else None
    if not isinstance(group, Mapping) or not isinstance(data, str):
        return dict(saved)
    places = [_shown(place / data) for place in (folder.resolve(), Path.cwd())]
    for place in places:
        if place.is_file():
            return {**saved, "data": {**group, "data": str(place)}}
    looked = " and at ".join(f"`{place}`" for place in dict.fromkeys(places))
    raise FileError(
        f"the dataset `{data}` is not there: looked at {looked}",
        "pass `--data FILE` with the place where it is now",
    )


def _shown(path: Path) -> Path:
    """A path from where one stands if it is below, else whole; without `..` in it."""
    whole = Path(os.path.normpath(path))
    return whole.relative_to(Path.cwd()) if whole.is_relative_to(Path.cwd()) else whole
