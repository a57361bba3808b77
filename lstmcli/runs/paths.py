"""Paths in a run's files: they lead from its directory, so that a tree of folders can be moved."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from lstmcli import files
from lstmcli.config import Config
from lstmcli.errors import FileError
from lstmcli.settings import option_name

PATHS = {"data": ("data", "val_data", "test_data", "labels"), "training": ("init_from",)}
"""The settings that name files, by group."""


def from_folder(folder: Path, path: str) -> str:
    """A path that leads from a folder to a file, wherever links have led so far."""
    file = Path(path)
    try:
        return os.path.relpath(file.parent.resolve() / file.name, folder.resolve())
    except ValueError:  # On another drive.
        return str(file.absolute())


def with_data_from(saved: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Settings from a file, with the paths of their files as they are found from here.

    Args:
        saved: the settings.
        folder: where the file lies, or the run directory of a checkpoint: looked from first. The
            other place is where one stands, as a hand-written file may mean that.

    Raises:
        FileError: data is in neither. Weights to begin with may be gone: whoever needs them looks.
    """
    return _with_paths(saved, lambda path, name: str(_found(path, folder, name)))


def as_from(folder: Path, saved: Mapping[str, Any]) -> dict[str, Any]:
    """Settings with the paths of their files as they lead from a folder."""
    return _with_paths(saved, lambda path, _: from_folder(folder, path))


def absolute(config: Config) -> Config:
    """The settings with paths that lead to their files from everywhere."""
    changed: dict[str, Any] = {}
    for group, names in PATHS.items():
        table = getattr(config, group)
        given = {
            name: str(Path(path).absolute()) for name in names if (path := getattr(table, name))
        }
        changed[group] = replace(table, **given)
    return replace(config, **changed)


def _with_paths(saved: Mapping[str, Any], change: Callable[[str, str], str]) -> dict[str, Any]:
    tables = dict(saved)
    for group, names in PATHS.items():
        table = tables.get(group)
        if isinstance(table, Mapping):
            tables[group] = {
                name: change(value, name) if name in names and isinstance(value, str) else value
                for name, value in table.items()
            }
    return tables


def _found(path: str, folder: Path, name: str) -> Path:
    places = [_shown(place / path) for place in (folder.resolve(), Path.cwd())]
    for place in places:
        if place.exists() or files.matching(place):
            return place
    if name not in PATHS["data"]:
        return places[0]
    looked = " and at ".join(f"`{place}`" for place in dict.fromkeys(places))
    raise FileError(
        f"the file `{path}` is not there: looked at {looked}",
        f"pass `{option_name(name)} FILE` with the place where it is now",
    )


def _shown(path: Path) -> Path:
    """A path from where one stands if it is below, else whole; without `..` in it."""
    whole = Path(os.path.normpath(path))
    return whole.relative_to(Path.cwd()) if whole.is_relative_to(Path.cwd()) else whole
