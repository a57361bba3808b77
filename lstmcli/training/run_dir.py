"""The directories of runs and sweeps: their files' names, except those in `utils/kinds.py`."""

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
"""The report page of a run or a sweep."""
OUT = "choose a directory that you can write to with `--out`"
WRITTEN_BY_A_RUN = {"status", "version", "argv", "seeds"}
"""Fields that every `run.json` of lstmcli has from the start."""
FIGURES = "figures"
"""Field of `run.json` with the names of a run's figures, set once all of them are drawn."""
SETTINGS = "settings"
"""Field of `run.json` with the settings. A resume reads them there, since it is written first."""


@dataclass(frozen=True)
class RunDirectory:
    """The directory of a run.

    Attributes:
        path: the directory.
        made: the directories created for it, the deepest first.
        overwrite: whether an existing run may be deleted.
        moves_to: the final location of the files, if not here; it may not exist on this machine.
    """

    path: Path
    made: tuple[Path, ...] = ()
    overwrite: bool = False
    moves_to: Path | None = None

    @property
    def base(self) -> Path:
        """The directory that paths in the run's files are relative to."""
        return self.moves_to or self.path

    @property
    def config(self) -> Path:
        """All settings, resolved."""
        return self.path / "config.toml"

    @property
    def status(self) -> Path:
        """The run's record: status, version, arguments, times."""
        return self.path / kinds.RUN_RECORD

    @property
    def metrics(self) -> Path:
        """A row per epoch and seed."""
        return self.path / "metrics.csv"

    @property
    def steps(self) -> Path:
        """A row per logged window and seed."""
        return self.path / "steps.csv"

    @property
    def targets(self) -> Path:
        """The validation errors of each target, if several numbers are predicted."""
        return self.path / "targets.csv"

    @property
    def data(self) -> Path:
        """Data that was given in memory, as a table."""
        return self.path / "data.parquet"

    @property
    def last(self) -> Path:
        """The newest checkpoint."""
        return self.path / "checkpoints" / "last.safetensors"

    @property
    def previous(self) -> Path:
        """The checkpoint before the newest one."""
        return self.path / "checkpoints" / "previous.safetensors"

    @property
    def damaged(self) -> Path:
        """A newest checkpoint that could not be read during a resume."""
        return self.path / "checkpoints" / "damaged.safetensors"

    @property
    def best(self) -> Path:
        """Each seed's checkpoint at its lowest validation loss."""
        return self.path / "checkpoints" / "best.safetensors"

    @property
    def figures(self) -> Path:
        """The figures that `train` draws."""
        return self.path / "figures"

    @property
    def tensorboard(self) -> Path:
        """TensorBoard's event files, a directory for each seed."""
        return self.path / "tensorboard"

    @property
    def written(self) -> list[Path]:
        """Everything that a run writes; the file that identifies it as a run comes last."""
        checkpoints = [self.last, self.previous, self.damaged, self.best]
        tables = [self.data, self.metrics, self.steps, self.targets]
        return [*checkpoints, self.config, *tables, self.status]

    @property
    def report(self) -> Path:
        """The report page."""
        return self.path / REPORT

    @cached_property
    def directory_lock(self) -> DirectoryLock:
        """The lock against other writers."""
        return DirectoryLock(self.path)

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Locks the directory against other writers; may be nested.

        At the end, directories that were created for the run and are still empty are removed.

        Raises:
            UsageError: another process writes to it.
        """
        try:
            with self.directory_lock.hold():
                yield
        finally:
            remove_empty(self.made)

    @contextmanager
    def cleanup_on_error(self) -> Iterator[None]:
        """Removes the directories created for a run if it does not start."""
        try:
            yield
        except BaseException:
            remove_empty(self.made)
            raise

    def check_free(self) -> None:
        """Checks that everything a new run would delete belongs to a run and may be deleted.

        Raises:
            UsageError: it does not, or must not be deleted.
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
        """Starts a run: deletes an existing one, and points `runs/latest` here.

        Args:
            config: the settings for `config.toml`.
            status: the fields of `run.json`.

        Raises:
            UsageError: the existing files must not be deleted.
        """
        self.check_free()
        _delete(self)
        self._write(config, status)
        point_latest(self.path, ROOT)

    def go_on(self, config: Config, **changes: Any) -> None:
        """Resumes the run of this directory; takes the same arguments as `begin`."""
        self._write(config, self.read_status() | changes)

    def _write(self, config: Config, status: dict[str, Any]) -> None:
        settings = self.settings(config)
        self._write_status({**status, SETTINGS: settings})  # First, since it identifies the rest.
        make_directories(self.last.parent)
        write_atomically(self.config, tomli_w.dumps(settings).encode())

    def settings(self, config: Config) -> dict[str, dict[str, Any]]:
        """All settings as the run's files store them, with paths relative to its directory."""
        return as_seen_from(self.base, config.to_dict())

    def read_status(self) -> dict[str, Any]:
        """The content of `run.json`.

        Raises:
            FileError: the file is missing or damaged.
        """
        return run_status.read(self.status)

    def update_status(self, **changes: Any) -> None:
        """Sets fields of `run.json`.

        Raises:
            OSError: the file is gone, for example because the directory was deleted.
            FileError: the file is damaged.
        """
        self.status.stat()
        self._write_status(self.read_status() | changes)

    def remove_half_written(self) -> None:
        """Deletes incomplete files of a process that was killed while writing."""
        remove_half_written(*self.written, self.figures / "*.png", self.path / HOLDER)

    def holds_run(self) -> bool:
        """Whether this directory holds a run of lstmcli."""
        try:
            return self.read_status().keys() >= WRITTEN_BY_A_RUN
        except FileError:
            return False

    def _write_status(self, status: dict[str, Any]) -> None:
        write_atomically(self.status, f"{json.dumps(status, indent=2)}\n".encode())


def read_config(path: Path) -> dict[str, Any]:
    """Reads a TOML file of settings.

    Raises:
        UsageError: the file is missing or is not TOML.
    """
    try:
        return tomllib.loads(read_small(path).decode("utf-8"))
    except (OSError, ValueError, RecursionError) as error:  # Deep nesting raises RecursionError.
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
    """Creates or reuses a directory for a run; `begin` writes its first file.

    Args:
        path: the directory; by default `runs/<date>-<time>-<label>`.
        label: a label of the run for the default name.
        overwrite: whether an existing run may be deleted.

    Raises:
        UsageError: it holds a run already, is being written to, or cannot be created.
    """
    try:
        made = _make(follow_latest(path), overwrite) if path else _make_unused(label)
    except OSError as error:
        why = "it is not a directory" if isinstance(error, FileExistsError) else error.strerror
        raise UsageError(f"cannot write to `{path or ROOT}`: {why}", OUT) from error
    with made.cleanup_on_error():
        check_writable(made.status, OUT)
        # First the lock: its error names the writer, not the unfinished run.
        with made.directory_lock.hold():
            made.check_free()
    return made


def _make(path: Path, overwrite: bool) -> RunDirectory:
    return RunDirectory(path, make_directories(path), overwrite)


def _make_unused(label: str) -> RunDirectory:
    """Creates an unused directory atomically, since another run may start at the same time."""
    begun = f"{time.strftime('%Y-%m-%d-%H%M%S')}-{label}"
    for number in itertools.count(1):
        path = ROOT / (begun if number == 1 else f"{begun}-{number}")
        with suppress(FileExistsError):
            return RunDirectory(path, make_directories(path, exist_ok=False))
    raise AssertionError("unreachable")


def _delete(directory: RunDirectory) -> None:
    """Deletes the files that a run has written, and nothing else."""
    if directory.last.parent.is_symlink():
        directory.last.parent.unlink()  # The target of a link is not ours.
    directory.remove_half_written()
    delete_figures(directory.figures)
    for file in directory.written:
        file.unlink(missing_ok=True)
    for file in directory.tensorboard.glob("seed-*/events.out.tfevents.*"):
        file.unlink()
    for folder in (*directory.tensorboard.glob("seed-*"), directory.tensorboard):
        with suppress(OSError):  # Other files stay.
            folder.rmdir()
    with suppress(OSError):
        directory.last.parent.rmdir()
    if is_unchanged_page(directory.report):
        directory.report.unlink()


def point_latest(path: Path, root: Path) -> None:
    """Points `latest` to a new run in `runs`, if the file system has links."""
    if path.parent != root:
        return
    link, temporary = root / "latest", root / f".latest-{os.getpid()}"
    if link.exists() and not link.is_symlink():
        return  # It belongs to somebody else.
    try:
        temporary.unlink(missing_ok=True)
        temporary.symlink_to(path.name)
        temporary.replace(link)
    except OSError:
        temporary.unlink(missing_ok=True)


def follow_latest(path: Path) -> Path:
    """The current target of a link; another process may change it."""
    try:
        real = path.resolve(strict=True) if path.is_symlink() else path
    except (OSError, RuntimeError):  # It leads nowhere, or to itself.
        real = path
    if real == path:
        return path
    here = Path.cwd().resolve()
    return real.relative_to(here) if real.is_relative_to(here) else real


def path_from_folder(folder: Path, path: str) -> str:
    """A path relative to a folder, with links resolved."""
    file = Path(path)
    try:
        return os.path.relpath(file.parent.resolve() / file.name, folder.resolve())
    except ValueError:  # On another drive.
        return str(file.absolute())


def with_paths_from(saved: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Settings from a file, with the paths of their files relative to the current directory.

    Args:
        saved: the settings.
        folder: the folder of the file, or the run directory of a checkpoint. Paths are looked up
            there first, then in the current directory, which a hand-written file may mean.

    Raises:
        FileError: data is in neither place. Initial weights may be missing; the code that reads
            them checks.
    """
    return _with_paths(saved, lambda path, name: str(_found(path, folder, name)))


def as_seen_from(folder: Path, saved: Mapping[str, Any]) -> dict[str, Any]:
    """Settings with the paths of their files relative to a folder."""
    return _with_paths(saved, lambda path, _: path_from_folder(folder, path))


def with_absolute_paths(config: Config) -> Config:
    """The settings with absolute paths."""
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
    """A path relative to the current directory if it is inside, else absolute; without `..`."""
    whole = Path(os.path.normpath(path))
    return whole.relative_to(Path.cwd()) if whole.is_relative_to(Path.cwd()) else whole


RUNS = "trials"
"""The folder of a sweep's run directories."""


@dataclass
class SweepFiles:
    """The files of a sweep.

    Attributes:
        path: the directory.
    """

    path: Path

    @property
    def config(self) -> Path:
        """The settings of the sweep, which identify it."""
        return self.path / kinds.SWEEP_RECORD

    @property
    def settings(self) -> Path:
        """A run directory for each combination of settings."""
        return self.path / RUNS

    @property
    def trials(self) -> Path:
        """A row per combination of settings and seed."""
        return self.path / "trials.csv"

    @property
    def summary(self) -> Path:
        """A row per combination of settings."""
        return self.path / "summary.csv"

    @property
    def curves(self) -> Path:
        """Every epoch of every trial."""
        return self.path / "curves.csv"

    @property
    def status(self) -> Path:
        """The result: the answer, and the trials that it is based on."""
        return self.path / "sweep.json"

    @property
    def report(self) -> Path:
        """The report page."""
        return self.path / REPORT

    @property
    def figures(self) -> Path:
        """The figures."""
        return self.path / "figures"


def holds_records(path: Path) -> bool:
    """Whether a directory looks like a run's or a sweep's, by file names alone."""
    return RunDirectory(path).status.is_file() or SweepFiles(path).config.is_file()
