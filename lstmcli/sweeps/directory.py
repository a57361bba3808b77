"""The directory of a sweep: one sweep, which more depths and more seeds extend."""

from __future__ import annotations

import os
import shutil
import tomllib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import tomli_w

from lstmcli.errors import FileError, UsageError
from lstmcli.files import check_writable, write_atomically
from lstmcli.locks import held
from lstmcli.runs import paths
from lstmcli.runs.rundir import OUT
from lstmcli.sweeps import grid, tables
from lstmcli.sweeps.grid import Setting
from lstmcli.sweeps.plan import Plan, differences
from lstmcli.sweeps.tables import Row

if TYPE_CHECKING:
    import pandas as pd


@dataclass
class SweepDirectory:
    """A directory that holds a sweep.

    Attributes:
        path: where.
        rows: the trials that are finished, by their identity.
        elsewhere: of these, the ones that a sweep beside this one has: their setting, and the run
            directory that they were a part of.
    """

    path: Path
    rows: dict[str, Row] = field(default_factory=dict)
    elsewhere: dict[str, tuple[Setting, Path | None]] = field(default_factory=dict)

    @property
    def config(self) -> Path:
        """What makes it one sweep."""
        return self.path / "sweep.toml"

    @property
    def settings(self) -> Path:
        """A run directory for each setting."""
        return self.path / "trials"

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
    def figures(self) -> Path:
        """The pictures."""
        return self.path / "figures"

    def look_up(self, plan: Plan) -> None:
        """Reads the trials that are finished, here and in the sweeps beside this one.

        Raises:
            UsageError: the directory holds another sweep, or files that are no sweep's.
            FileError: its table of trials is damaged.
        """
        self._check(plan)
        self.rows = tables.read_trials(self.trials)
        wanted = {
            identity: setting
            for setting in plan.settings
            for identity in setting.trials.values()
            if identity not in self.rows
        }
        for config in sorted(self.path.parent.glob("*/sweep.toml")):
            other = SweepDirectory(config.parent)
            for identity, row in other._readable().items():
                if setting := wanted.pop(identity, None):
                    self.rows[identity] = row | setting.keys
                    self.elsewhere[identity] = (setting, other._run_of(row))

    def _readable(self) -> dict[str, Row]:
        """The finished trials of a sweep that may be damaged."""
        try:
            return tables.read_trials(self.trials)
        except FileError:
            return {}

    def _run_of(self, row: Row) -> Path | None:
        """The run directory that a trial was a part of."""
        names = list(row)
        keys = {name: row[name] for name in names[1 : names.index("seed")]}
        for folder in self.settings.glob(f"{grid.label(**keys)}-seeds-*"):
            first, last = map(int, folder.name.rsplit("-", 2)[1:])
            if first <= row["seed"] <= last:
                return folder
        return None

    def _check(self, plan: Plan) -> None:
        self.check_free()
        if not self.config.is_file():
            return
        try:
            known = tomllib.loads(self.config.read_text())
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            raise UsageError(
                f"cannot read `{self.config}`: {error}",
                "choose another `--out`, or pass `--overwrite` to delete that sweep",
            ) from error
        if different := differences(known.get("sweep", {}), plan.identity):
            raise UsageError(
                f"`{self.path}` holds another sweep: {'; '.join(different)}",
                "choose another `--out`, or pass `--overwrite` to delete that sweep",
            )

    def check_free(self) -> None:
        """Refuses what is no directory, and one with files of a sweep's names that are no sweep's.

        Raises:
            UsageError: it is one of these.
        """
        if os.path.lexists(self.path) and not self.path.is_dir():
            raise UsageError(f"cannot write to `{self.path}`: it is no directory", OUT)
        for path in self._written if not self.config.is_file() else ():
            if path.exists():
                raise UsageError(
                    f"`{self.path}` holds no sweep, but has a `{path.name}`",
                    "choose another `--out`",
                )

    @property
    def _written(self) -> list[Path]:
        return [
            self.config, self.settings, self.trials, self.summary, self.curves, self.figures
        ]  # fmt: skip

    def delete(self) -> None:
        """Deletes the sweep that is there, and nothing else."""
        if not self.config.is_file():
            return
        for path in self._written:
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Makes the directory and keeps all others from writing here, for the length of a block.

        Raises:
            UsageError: it cannot be written to, or somebody else writes here.
        """
        made = [each for each in (self.path, *self.path.parents) if not each.exists()]
        try:
            self._make()
            with held(self.path):
                yield
        finally:
            with suppress(OSError):  # What is not empty stays.
                for folder in made:
                    folder.rmdir()

    def _make(self) -> None:
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            why = "it is no directory" if isinstance(error, FileExistsError) else error.strerror
            raise UsageError(f"cannot write to `{self.path}`: {why}", OUT) from error
        check_writable(self.config, OUT)

    def begin(self, plan: Plan) -> None:
        """Writes what the sweep is, and takes over what sweeps beside it have finished."""
        tables = {"sweep": plan.identity, **self._files(plan)}
        write_atomically(self.config, tomli_w.dumps(tables).encode())
        self.settings.mkdir(parents=True, exist_ok=True)
        for setting, folder in self.elsewhere.values():
            if folder is not None:
                seeds = folder.name.rsplit("-seeds-", 1)[1]
                shutil.copytree(
                    folder, self.settings / f"{setting.label}-seeds-{seeds}", dirs_exist_ok=True
                )

    def _files(self, plan: Plan) -> dict[str, dict[str, str]]:
        """Where the files of a sweep lie, from here; an identity knows them by their contents."""
        tables = paths.as_from(self.path, plan.base.to_dict())
        found = {
            name: tables[group][name]
            for group, names in paths.PATHS.items()
            for name in names
            if name in tables[group]
        }
        return {"files": found} if found else {}

    def missing(self, settings: Sequence[Setting]) -> list[Setting]:
        """What is left to do of some settings."""
        return tables.missing(settings, self.rows)

    def add(self, rows: Sequence[Row], swept: Sequence[str]) -> pd.DataFrame:
        """Takes in the rows of trials that have ended; they are on disk when this returns."""
        self.rows |= {row["trial"]: row for row in rows}
        table = tables.trials_table(self.rows.values(), swept)
        tables.write_csv(self.trials, table)
        return table
