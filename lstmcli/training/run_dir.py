"""The run directory and that of a sweep: what their files are called, but for `utils/kinds.py`."""

from __future__ import annotations

import itertools
import json
import os
import time
import tomllib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import tomli_w

from lstmcli.config import PATHS, Config
from lstmcli.training import run_status
from lstmcli.utils import files, kinds
from lstmcli.utils.errors import FileError, UsageError, shell_quote
from lstmcli.utils.files import (
    check_writable,
    delete_figures,
    is_unchanged_page,
    make_directories,
    read_small,
    remove_empty,
    remove_half_written,
    write_atomically,
)
from lstmcli.utils.locks import HOLDER, DirectoryLock
from lstmcli.utils.settings import option_name

ROOT = Path("runs")
REPORT = "report.html"
"""The page of a run or a sweep, in its directory."""
OUT = "choose a directory that you can write to with `--out`"
WRITTEN_BY_A_RUN = {"status", "version", "argv", "seeds"}
"""What `run.json` has from the start: one without them is somebody else's."""
FIGURES = "figures"
"""Where `run.json` has the names of a run's figures, once all of them are drawn."""
SETTINGS = "settings"
"""Where `run.json` has what `config.toml` says: a resume reads it there, as it is written first."""


@dataclass(frozen=True)
class RunDirectory:
    """A directory that holds a run.

    Attributes:
        path: where.
        made: which directories were made for it, the deepest first.
        overwrite: whether a run that is there already may be deleted.
        moves_to: where the files will lie in the end, if not here; this machine may not have it.
    """

    path: Path
    made: tuple[Path, ...] = ()
    overwrite: bool = False
    moves_to: Path | None = None

    @property
    def base(self) -> Path:
        """From where the paths in its files lead."""
        return self.moves_to or self.path

    @property
    def config(self) -> Path:
        """Every setting, resolved."""
        return self.path / "config.toml"

    @property
    def status(self) -> Path:
        """What happened: status, version, arguments, times."""
        return self.path / kinds.RUN_RECORD

    @property
    def metrics(self) -> Path:
        """A row for each epoch and seed."""
        return self.path / "metrics.csv"

    @property
    def steps(self) -> Path:
        """A row for each logged window and seed."""
        return self.path / "steps.csv"

    @property
    def targets(self) -> Path:
        """Of several numbers that are predicted, the errors of each in validation."""
        return self.path / "targets.csv"

    @property
    def data(self) -> Path:
        """What was given from memory, as a table."""
        return self.path / "data.parquet"

    @property
    def last(self) -> Path:
        """The newest checkpoint."""
        return self.path / "checkpoints" / "last.safetensors"

    @property
    def previous(self) -> Path:
        """The one before it."""
        return self.path / "checkpoints" / "previous.safetensors"

    @property
    def damaged(self) -> Path:
        """A newest checkpoint that could not be read when the run was resumed."""
        return self.path / "checkpoints" / "damaged.safetensors"

    @property
    def best(self) -> Path:
        """Each seed's checkpoint of its lowest validation loss."""
        return self.path / "checkpoints" / "best.safetensors"

    @property
    def figures(self) -> Path:
        """The pictures that `train` leaves."""
        return self.path / "figures"

    @property
    def tensorboard(self) -> Path:
        """TensorBoard's event files, a directory for each seed."""
        return self.path / "tensorboard"

    @property
    def written(self) -> list[Path]:
        """All that a run writes; what tells that it is a run's comes last."""
        checkpoints = [self.last, self.previous, self.damaged, self.best]
        tables = [self.data, self.metrics, self.steps, self.targets]
        return [*checkpoints, self.config, *tables, self.status]

    @property
    def report(self) -> Path:
        """The page about it."""
        return self.path / REPORT

    @cached_property
    def directory_lock(self) -> DirectoryLock:
        """What keeps others from writing here."""
        return DirectoryLock(self.path)

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Keeps all others from writing here; may be used again within.

        Directories that were made for a run, and hold nothing in the end, are removed.

        Raises:
            UsageError: somebody else writes here.
        """
        try:
            with self.directory_lock.hold():
                yield
        finally:
            remove_empty(self.made)

    @contextmanager
    def cleanup_on_error(self) -> Iterator[None]:
        """Removes the directories made for a run that does not come to its beginning."""
        try:
            yield
        except BaseException:
            remove_empty(self.made)
            raise

    def check_free(self) -> None:
        """Checks that what a run would delete here is a run's, and may be deleted.

        Raises:
            UsageError: it is not.
        """
        if not self.status.exists():
            if SweepFiles(self.path).config.is_file():
                raise UsageError(
                    f"`{self.path}` holds a sweep, not a run", "choose another `--out`"
                )
            for file in self.written:
                if file.exists():
                    raise UsageError(
                        f"`{file}` would be replaced, and is of no run of lstmcli",
                        "choose another `--out`: a directory of its own",
                    )
            return
        if not self.holds_run():
            raise UsageError(
                f"`{self.status}` was not written by lstmcli", "choose another `--out`"
            )
        if not self.overwrite:
            raise UsageError(
                f"`{self.path}` already holds a run",
                f"`lstmcli train --resume {shell_quote(self.path)}` goes on with it; else choose "
                "another `--out`, or pass `--overwrite` to delete that run",
            )

    def begin(self, config: Config, **status: Any) -> None:
        """Begins a run: deletes the one that is there, and points `runs/latest` here.

        Args:
            config: what `config.toml` says from now on.
            status: what `run.json` says.

        Raises:
            UsageError: what is there may not be deleted.
        """
        self.check_free()
        _delete(self)
        self._write(config, status)
        point_latest(self.path, ROOT)

    def go_on(self, config: Config, **changes: Any) -> None:
        """Goes on with the run that is there; arguments as `begin` has them."""
        self._write(config, self.read_status() | changes)

    def _write(self, config: Config, status: dict[str, Any]) -> None:
        settings = self.settings(config)
        self._write_status({**status, SETTINGS: settings})  # First: it tells whose the rest is.
        make_directories(self.last.parent)
        write_atomically(self.config, tomli_w.dumps(settings).encode())

    def settings(self, config: Config) -> dict[str, dict[str, Any]]:
        """Every setting, as the run's files keep it: paths lead from its directory."""
        return as_seen_from(self.base, config.to_dict())

    def read_status(self) -> dict[str, Any]:
        """What `run.json` says.

        Raises:
            FileError: it is missing or damaged.
        """
        return run_status.read(self.status)

    def update_status(self, **changes: Any) -> None:
        """Sets fields of `run.json`.

        Raises:
            OSError: it is gone, as where somebody has deleted the directory.
            FileError: it is damaged.
        """
        self.status.stat()
        self._write_status(self.read_status() | changes)

    def remove_half_written(self) -> None:
        """Deletes what a process that was killed while it wrote has left."""
        remove_half_written(*self.written, self.figures / "*.png", self.path / HOLDER)

    def holds_run(self) -> bool:
        """Whether there is a run of lstmcli here."""
        try:
            return self.read_status().keys() >= WRITTEN_BY_A_RUN
        except FileError:
            return False

    def _write_status(self, status: dict[str, Any]) -> None:
        write_atomically(self.status, f"{json.dumps(status, indent=2)}\n".encode())


def read_config(path: Path) -> dict[str, Any]:
    """Reads a TOML file of settings.

    Raises:
        UsageError: it is missing or is not TOML.
    """
    try:
        return tomllib.loads(read_small(path).decode("utf-8"))
    except (OSError, ValueError, RecursionError) as error:  # Nested without end, it is no setting.
        wrong = kinds.mismatch(path, kinds.SETTINGS)
        own = RunDirectory(path if path.is_dir() else kinds.directory_of(path) or path).config
        raise UsageError(
            wrong or f"cannot read the configuration `{path}`: {_why(error)}",
            f"`--config {shell_quote(own)}` names the settings of that run"
            if own != path and own.is_file()
            else "a run directory's `config.toml` is one to start from",
        ) from error


def _why(error: Exception) -> str:
    """Why a text cannot be read, in words."""
    if isinstance(error, UnicodeDecodeError):
        return f"expected text in UTF-8, got `0x{error.object[error.start]:02x}`"
    return str(getattr(error, "strerror", None) or error)


def create(path: Path | None, label: str, overwrite: bool) -> RunDirectory:
    """Finds a directory that a run may use, and makes it; `begin` writes the first file.

    Args:
        path: where; by default `runs/<date>-<time>-<label>`.
        label: what the run is, for the default name.
        overwrite: whether a run that is there already may be deleted.

    Raises:
        UsageError: it holds a run already, is being written to, or cannot be made.
    """
    try:
        made = _make(follow_latest(path), overwrite) if path else _make_unused(label)
    except OSError as error:
        why = "it is not a directory" if isinstance(error, FileExistsError) else error.strerror
        raise UsageError(f"cannot write to `{path or ROOT}`: {why}", OUT) from error
    with made.cleanup_on_error():
        check_writable(made.status, OUT)
        # Who writes here is to be named, not the run that is being written.
        with made.directory_lock.hold():
            made.check_free()
    return made


def _make(path: Path, overwrite: bool) -> RunDirectory:
    return RunDirectory(path, make_directories(path), overwrite)


def _make_unused(label: str) -> RunDirectory:
    """Makes a directory that nobody else has, as making it says: another run may begin now too."""
    begun = f"{time.strftime('%Y-%m-%d-%H%M%S')}-{label}"
    for number in itertools.count(1):
        path = ROOT / (begun if number == 1 else f"{begun}-{number}")
        with suppress(FileExistsError):
            return RunDirectory(path, make_directories(path, exist_ok=False))
    raise AssertionError("unreachable")


def _delete(directory: RunDirectory) -> None:
    """Deletes what a run has written, and nothing else."""
    if directory.last.parent.is_symlink():
        directory.last.parent.unlink()  # Where it leads is not of this directory.
    directory.remove_half_written()
    delete_figures(directory.figures)
    for file in directory.written:
        file.unlink(missing_ok=True)
    for file in directory.tensorboard.glob("seed-*/events.out.tfevents.*"):
        file.unlink()
    for folder in (*directory.tensorboard.glob("seed-*"), directory.tensorboard):
        with suppress(OSError):  # What else is in it stays.
            folder.rmdir()
    with suppress(OSError):
        directory.last.parent.rmdir()
    if is_unchanged_page(directory.report):
        directory.report.unlink()


def point_latest(path: Path, root: Path) -> None:
    """Points `latest` at a new run under `runs`; a file system without links goes without."""
    if path.parent != root:
        return
    link, temporary = root / "latest", root / f".latest-{os.getpid()}"
    if link.exists() and not link.is_symlink():
        return  # Somebody else's.
    try:
        temporary.unlink(missing_ok=True)
        temporary.symlink_to(path.name)
        temporary.replace(link)
    except OSError:
        temporary.unlink(missing_ok=True)


def follow_latest(path: Path) -> Path:
    """Where a link leads now: it may lead elsewhere while somebody writes there."""
    try:
        real = path.resolve(strict=True) if path.is_symlink() else path
    except (OSError, RuntimeError):  # It leads nowhere, or to itself.
        real = path
    if real == path:
        return path
    here = Path.cwd().resolve()
    return real.relative_to(here) if real.is_relative_to(here) else real


def path_from_folder(folder: Path, path: str) -> str:
    """A path that leads from a folder to a file, wherever links have led so far."""
    file = Path(path)
    try:
        return os.path.relpath(file.parent.resolve() / file.name, folder.resolve())
    except ValueError:  # On another drive.
        return str(file.absolute())


def with_paths_from(saved: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Settings from a file, with the paths of their files as they are found from here.

    Args:
        saved: the settings.
        folder: where the file lies, or the run directory of a checkpoint: looked from first. The
            other place is where one stands, as a hand-written file may mean that.

    Raises:
        FileError: data is in neither. Weights to begin with may be gone: whoever needs them looks.
    """
    return _with_paths(saved, lambda path, name: str(_found(path, folder, name)))


def as_seen_from(folder: Path, saved: Mapping[str, Any]) -> dict[str, Any]:
    """Settings with the paths of their files as they lead from a folder."""
    return _with_paths(saved, lambda path, _: path_from_folder(folder, path))


def with_absolute_paths(config: Config) -> Config:
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
        f"the file `{path}` does not exist: looked at {looked}",
        f"pass `{option_name(name)} FILE` with its new path",
    )


def _shown(path: Path) -> Path:
    """A path from where one stands if it is below, else whole; without `..` in it."""
    whole = Path(os.path.normpath(path))
    return whole.relative_to(Path.cwd()) if whole.is_relative_to(Path.cwd()) else whole


RUNS = "trials"
"""The folder of a sweep's run directories."""


@dataclass
class SweepFiles:
    """The files of a sweep's directory.

    Attributes:
        path: the directory.
    """

    path: Path

    @property
    def config(self) -> Path:
        """What makes it one sweep."""
        return self.path / kinds.SWEEP_RECORD

    @property
    def settings(self) -> Path:
        """A run directory for each setting."""
        return self.path / RUNS

    @property
    def trials(self) -> Path:
        """A row for each setting and seed."""
        return self.path / "trials.csv"

    @property
    def summary(self) -> Path:
        """A row for each setting."""
        return self.path / "summary.csv"

    @property
    def curves(self) -> Path:
        """Every epoch of every trial."""
        return self.path / "curves.csv"

    @property
    def status(self) -> Path:
        """What it has come to: the answer, and of which trials."""
        return self.path / "sweep.json"

    @property
    def report(self) -> Path:
        """The page about it."""
        return self.path / REPORT

    @property
    def figures(self) -> Path:
        """The pictures."""
        return self.path / "figures"


def holds_records(path: Path) -> bool:
    """Whether a directory looks like a run's or a sweep's, without reading what is in it."""
    return RunDirectory(path).status.is_file() or SweepFiles(path).config.is_file()
