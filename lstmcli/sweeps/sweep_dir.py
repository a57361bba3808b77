"""The directory of a sweep. More depths and seeds extend the same sweep."""

from __future__ import annotations

import os
import shutil
import tomllib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tomli_w

from lstmcli.config import PATHS
from lstmcli.sweeps import grid, tables, trial_runs
from lstmcli.sweeps.grid import TrialGroup
from lstmcli.sweeps.placement import Placement
from lstmcli.sweeps.plan import COMPARED, TUNED, Plan, differences, differing, lists_of
from lstmcli.sweeps.tables import Row
from lstmcli.sweeps.trial import Status
from lstmcli.sweeps.trial_runs import Runs, TrialRun
from lstmcli.training import run_dir
from lstmcli.training.run_dir import OUT, ROOT, RUNS, RunDirectory, SweepFiles
from lstmcli.utils.errors import FileError, UsageError
from lstmcli.utils.files import (
    check_writable,
    is_unchanged_page,
    make_directories,
    remove_empty,
    remove_half_written,
    write_atomically,
)
from lstmcli.utils.locks import lock

if TYPE_CHECKING:
    import pandas as pd


@dataclass
class SweepDirectory(SweepFiles):
    """A directory that holds a sweep.

    Attributes:
        rows: the finished trials, by identity.
        elsewhere: of these, the trials reused from a neighbouring sweep: the run of each, and the
            name of its directory here.
        notes: remarks on where the trials are trained.
        placement: which trials are trained on which device.
        look: with `--seeds auto`, the look at which the sweep's answer is given.
    """

    rows: dict[str, Row] = field(default_factory=dict)
    elsewhere: dict[str, tuple[TrialRun, str]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    placement: Placement = field(default_factory=Placement)
    look: int = 0

    def look_up(self, plan: Plan) -> None:
        """Reads the finished trials of this sweep and of its neighbours.

        Raises:
            UsageError: the directory holds another sweep, or files that do not belong to a sweep.
            FileError: its table of trials is damaged.
        """
        self._check(plan)
        columns = grid.key_names(plan.swept)
        planned = {
            (*setting.keys.values(), seed): (identity, setting)
            for setting in plan.settings
            for seed, identity in setting.trials.items()
        }
        wanted = dict(planned.values())
        for row, run in self.with_runs(tables.read_trials(self.trials, columns).values(), columns):
            key = (*(row[name] for name in columns), row["seed"])
            identity, _ = planned.get(key, (row["trial"], None))
            self.rows[identity] = row
            if run is not None:
                row["run_dir"] = run.run_dir
                wanted.pop(identity, None)
        for config in sorted(self.path.parent.glob("*/sweep.toml")):
            if config != self.config:
                self._take_over(SweepDirectory(config.parent), plan, wanted)

    def with_runs(
        self, rows: Iterable[Row], columns: Sequence[str]
    ) -> list[tuple[Row, TrialRun | None]]:
        """Rows of `trials.csv`, each with its run, or `None` if the run is missing.

        Args:
            rows: the rows, as dictionaries by column.
            columns: the columns that identify a setting.
        """
        runs = trial_runs.by_trial(trial_runs.in_folder(self.settings), columns)
        found = []
        for row in rows:
            key = (*(row[name] for name in columns), row["seed"])
            found.append((row, trial_runs.of_row(row, runs.get(key, []))))
        return found

    def _take_over(self, other: SweepDirectory, plan: Plan, wanted: dict[str, TrialGroup]) -> None:
        """Reuses those finished trials of another sweep that are wanted, with their runs."""
        try:
            identity = other.identity()
            swept = lists_of(identity)
            lists = {"layers", "state_size", "match", COMPARED, TUNED}
            lists |= {*swept, *lists_of(plan.identity)}
            if not wanted or set(differing(identity, plan.identity)) - lists:
                return
            columns = grid.key_names([grid.column(name) for name in swept])
            rows = other.with_runs(tables.read_trials(other.trials, columns).values(), columns)
            files = identity["data"].get("data"), identity["training"].get("init_from")
        except (FileError, OSError, ValueError, KeyError, TypeError, AttributeError):
            return  # The other sweep is damaged, which does not matter here.
        for row, run in rows:
            if run is None or run.epochs(row["seed"]) != row["epochs"]:
                continue  # Its learning curve would be incomplete.
            if row["status"] in (Status.TRIED, Status.DROPPED):
                continue
            known = grid.identities(run.config, *files)[row["seed"]]
            if setting := wanted.pop(known, None):
                name = setting.with_seeds(run.config.run.seeds).name
                own = self.rows.get(known, row)
                self.rows[known] = own | setting.keys | {"run_dir": f"{RUNS}/{name}"}
                self.elsewhere[known] = (run, name)

    def identity(self) -> dict[str, Any]:
        """The saved settings that identify the sweep.

        Raises:
            OSError, ValueError: they are damaged or missing.
        """
        try:
            found = tomllib.loads(self.config.read_text("utf-8")).get("sweep")
        except RecursionError as error:
            raise ValueError("it is nested without end") from error
        if not isinstance(found, dict):
            raise ValueError("it has no table `sweep`")
        return found

    def _check(self, plan: Plan) -> None:
        self.check_free()
        if not self.config.is_file():
            return
        try:
            known = self.identity()
        except (OSError, ValueError) as error:
            raise UsageError(
                f"cannot read `{self.config}`: {error}",
                "choose another `--out`, or pass `--overwrite` to delete that sweep",
            ) from error
        if different := differences(known, plan.identity):
            raise UsageError(
                f"`{self.path}` holds another sweep: {'; '.join(different)}",
                "choose another `--out`, or pass `--overwrite` to delete that sweep",
            )

    def check_free(self) -> None:
        """Checks that a sweep may be written here.

        Raises:
            UsageError: it is not a directory, or has files named like a sweep's but holds no sweep.
        """
        if os.path.lexists(self.path) and not self.path.is_dir():
            raise UsageError(f"cannot write to `{self.path}`: it is not a directory", OUT)
        if RunDirectory(self.path).holds_run():
            raise UsageError(f"`{self.path}` holds a run, not a sweep", "choose another `--out`")
        for path in self._written if not self.config.is_file() else ():
            if path.exists():
                raise UsageError(
                    f"`{self.path}` holds no sweep, but has a `{path.name}`",
                    "choose another `--out`",
                )

    @property
    def _written(self) -> list[Path]:
        return [
            self.config, self.settings, self.trials, self.summary, self.curves, self.status,
            self.figures,
        ]  # fmt: skip

    def delete(self) -> None:
        """Deletes the files of the sweep, and nothing else."""
        if not self.config.is_file():
            return
        for path in self._written:
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
        if is_unchanged_page(self.report):
            self.report.unlink()

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Creates the directory, and locks it against other writers for the length of a block.

        Raises:
            UsageError: it cannot be written to, or another process writes to it.
        """
        made = self._make()
        try:
            check_writable(self.config, OUT)
            with lock(self.path):
                yield
        finally:
            remove_empty(made)

    def _make(self) -> tuple[Path, ...]:
        try:
            return make_directories(self.path)
        except OSError as error:
            why = "it is not a directory" if isinstance(error, FileExistsError) else error.strerror
            raise UsageError(f"cannot write to `{self.path}`: {why}", OUT) from error

    def begin(self, plan: Plan) -> None:
        """Writes the sweep's settings, and copies the reused runs of neighbouring sweeps.

        Deletes partly written files of a killed sweep.
        """
        remove_half_written(*self._written, self.figures / "*.png")
        tables = {"sweep": plan.identity, **self._files(plan)}
        write_atomically(self.config, tomli_w.dumps(tables).encode())
        make_directories(self.settings)
        for path, name in dict.fromkeys((run.path, name) for run, name in self.elsewhere.values()):
            shutil.copytree(path, self.settings / name, dirs_exist_ok=True)

    @property
    def neighbours(self) -> dict[Path, int]:
        """The neighbouring sweeps whose trials are reused, and how many of each."""
        return Counter(run.path.parent.parent for run, _ in self.elsewhere.values())

    def _files(self, plan: Plan) -> dict[str, dict[str, str]]:
        """The paths of the input files, relative to here; the identity has only their contents."""
        tables = run_dir.as_seen_from(self.path, plan.base.to_dict())
        found = {
            name: tables[group][name]
            for group, names in PATHS.items()
            for name in names
            if name in tables[group]
        }
        return {"files": found} if found else {}

    def begun(self, swept: Sequence[str]) -> Runs:
        """The existing runs, by trial."""
        return trial_runs.by_trial(trial_runs.in_folder(self.settings), grid.key_names(swept))

    def missing(self, settings: Sequence[TrialGroup], runs: Runs | None = None) -> list[TrialGroup]:
        """What is left to train of some settings. Existing runs continue in their directories.

        Args:
            settings: settings of the sweep.
            runs: the existing runs, if they are known already.
        """
        left = tables.missing(settings, self.rows)
        if left and runs is None:
            runs = self.begun(list(left[0].swept))
        return [part for setting in left for part in _begun(setting, runs or {})]

    def curves_of(self, setting: TrialGroup, left: Sequence[TrialGroup]) -> dict[int, pd.DataFrame]:
        """The rows of `metrics.csv` of each seed of a setting, up to the last trained epoch.

        Args:
            setting: the setting with its seeds.
            left: the part of it that is not finished.
        """
        folders = {
            seed: self.path / self.rows[trial]["run_dir"]
            for seed, trial in setting.trials.items()
            if trial in self.rows
        }
        for part in left:
            folders |= dict.fromkeys(part.config.run.seeds, self.settings / part.name)
        tables = {path: trial_runs.read_curves(path) for path in set(folders.values())}
        return {seed: (own := tables[path])[own.seed == seed] for seed, path in folders.items()}

    def epochs(self, setting: TrialGroup) -> int:
        """How many epochs the run of a setting has completed."""
        epochs = trial_runs.read_curves(self.settings / setting.name).epoch
        return int(epochs.max()) if len(epochs) else 0

    def add(self, rows: Sequence[Row], swept: Sequence[str]) -> pd.DataFrame:
        """Adds the rows of trials that have ended. They are on disk when this returns."""
        self.rows |= {row["trial"]: row for row in rows}
        table = tables.trials_table(self.rows.values(), swept)
        tables.write_csv(self.trials, table)
        return table


def _begun(setting: TrialGroup, runs: Runs) -> list[TrialGroup]:
    """Splits a setting so that each existing run continues with its seeds, longest run first."""
    seeds = setting.config.run.seeds
    found = dict.fromkeys(
        run for seed in seeds for run in runs.get((*setting.keys.values(), seed), [])
    )
    for run in sorted(found, key=lambda each: -len(each.curves)):
        own = run.config.run.seeds
        if seeds[0] <= own[0] and own[-1] <= seeds[-1]:
            before, after = range(seeds[0], own[0]), range(own[-1] + 1, seeds[-1] + 1)
            rest = [setting.with_seeds(each) for each in (before, after) if each]
            parts = [part for each in rest for part in _begun(each, runs)]
            return [setting.with_seeds(own, run.path.name), *parts]
    return [setting]


def default_directory(plan: Plan) -> Path:
    """The directory of a sweep without `--out`: an existing one with the same identity, or new."""
    found = sorted(ROOT.glob("sweep-*/sweep.toml"))
    for config in sorted(found, key=lambda each: each.parent.name != plan.name):
        with suppress(OSError, ValueError, AttributeError):
            if not differing(SweepDirectory(config.parent).identity(), plan.identity):
                return config.parent
    return ROOT / plan.name
