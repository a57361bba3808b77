"""The run directory: the only place that spells the names of its files."""

from __future__ import annotations

import json
import os
import shutil
import time
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tomli_w

from lstmcli.config import Config
from lstmcli.errors import FileError, UsageError
from lstmcli.files import check_writable, write_atomically

ROOT = Path("runs")


@dataclass(frozen=True)
class RunDirectory:
    """A directory that holds a run.

    Attributes:
        path: where.
        made: which directories were made for it, the deepest first.
    """

    path: Path
    made: tuple[Path, ...] = ()

    @property
    def config(self) -> Path:
        """Every setting, resolved."""
        return self.path / "config.toml"

    @property
    def status(self) -> Path:
        """What happened: status, version, arguments, times."""
        return self.path / "run.json"

    @property
    def metrics(self) -> Path:
        """A row for each epoch and seed."""
        return self.path / "metrics.csv"

    @property
    def steps(self) -> Path:
        """A row for each logged window and seed."""
        return self.path / "steps.csv"

    @property
    def last(self) -> Path:
        """The newest checkpoint."""
        return self.path / "checkpoints" / "last.safetensors"

    @property
    def best(self) -> Path:
        """Each seed's checkpoint of its lowest validation loss."""
        return self.path / "checkpoints" / "best.safetensors"

    @contextmanager
    def given_back(self) -> Iterator[None]:
        """Removes the directories made for a run that does not come to its beginning."""
        try:
            yield
        except BaseException:
            with suppress(OSError):  # What is not empty stays.
                for folder in self.made:
                    folder.rmdir()
            raise

    def begin(self, config: Config, **status: Any) -> None:
        """Begins a run: deletes the one that is there, and points `runs/latest` here.

        Args:
            config: what `config.toml` says from now on.
            status: what `run.json` says.
        """
        _delete(self)
        self.last.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(self.config, tomli_w.dumps(config.to_dict()).encode())
        self._write_status(status)
        _point_latest(self.path)

    def read_status(self) -> dict[str, Any]:
        """What `run.json` says."""
        status: dict[str, Any] = json.loads(self.status.read_text())
        return status

    def update_status(self, **changes: Any) -> None:
        """Sets fields of `run.json`."""
        self._write_status(self.read_status() | changes)

    def _write_status(self, status: dict[str, Any]) -> None:
        write_atomically(self.status, f"{json.dumps(status, indent=2)}\n".encode())


def read_config(path: Path) -> dict[str, Any]:
    """Reads a TOML file of settings.

    Raises:
        UsageError: it is missing or is not TOML.
    """
    try:
        return tomllib.loads(path.read_text())
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UsageError(
            f"cannot read the configuration `{path}`: {error}",
            "a run directory's `config.toml` is one to start from",
        ) from error


def create(path: Path | None, label: str, overwrite: bool) -> RunDirectory:
    """Finds a directory that a run may use, and makes it; `begin` writes the first file.

    Args:
        path: where; by default `runs/<date>-<time>-<label>`.
        label: what the run is, for the default name.
        overwrite: whether a run that is there already may be deleted.

    Raises:
        UsageError: it holds a run already, or cannot be made.
    """
    path = path or _unused(ROOT / f"{time.strftime('%Y-%m-%d-%H%M%S')}-{label}")
    directory = RunDirectory(
        path, tuple(each for each in (path, *path.parents) if not each.exists())
    )
    try:
        if directory.status.exists() and not overwrite:
            raise UsageError(
                f"`{path}` already holds a run",
                "choose another `--out`, or pass `--overwrite` to delete that run",
            )
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(
            f"cannot write to `{path}`: {error.strerror}",
            "choose a directory of yours with `--out`",
        ) from error
    check_writable(directory.status)
    return directory


def _unused(path: Path) -> Path:
    candidate, number = path, 2
    while candidate.exists():
        candidate, number = path.with_name(f"{path.name}-{number}"), number + 1
    return candidate


def _delete(directory: RunDirectory) -> None:
    """Deletes what a run has written, and nothing else."""
    for file in (directory.status, directory.config, directory.metrics, directory.steps):
        file.unlink(missing_ok=True)
    shutil.rmtree(directory.last.parent, ignore_errors=True)


def _point_latest(path: Path) -> None:
    """Points `latest` at a new run under `runs`; a file system without links goes without."""
    if path.parent != ROOT:
        return
    link, temporary = ROOT / "latest", ROOT / f".latest-{os.getpid()}"
    try:
        temporary.unlink(missing_ok=True)
        temporary.symlink_to(path.name)
        temporary.replace(link)
    except OSError:
        temporary.unlink(missing_ok=True)


def find_checkpoint(path: Path) -> Path:
    """The checkpoint that a path names: itself, or the best (else the last) of a run directory.

    Raises:
        FileError: there is none.
    """
    if not path.is_dir():
        return path
    run = RunDirectory(path)
    for candidate in (run.best, run.last):
        if candidate.is_file():
            return candidate
    raise FileError(
        f"the directory `{path}` holds no checkpoint", "`lstmcli train` makes one, in `runs/latest`"
    )
