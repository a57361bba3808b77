"""Reads and writes the tables of a sweep."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Sequence
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lstmcli.data.tasks.echo import SOLVED_BELOW
from lstmcli.sweeps import grid, trial
from lstmcli.sweeps.grid import TrialGroup
from lstmcli.sweeps.trial import Status, TrialRow
from lstmcli.sweeps.trial_runs import read_curves
from lstmcli.training import metrics
from lstmcli.training.metrics import EpochRow
from lstmcli.training.run_dir import RUNS, RunDirectory
from lstmcli.utils.errors import FileError
from lstmcli.utils.files import write_atomically

if TYPE_CHECKING:
    import pandas as pd

Row = dict[str, Any]
WAITING = "waiting"
DTYPES = {
    "int": "int64", "int | None": "Int64", "bool | None": "boolean", "float": "float64",
    "float | None": "float64", "str": "string", "str | None": "string",
}  # fmt: skip
"""The pandas types of columns, by the types of a row's fields."""


def read_trials(path: Path, columns: Sequence[str] = ()) -> dict[str, Row]:
    """The rows of a `trials.csv` by trial, without the failed ones, which can be run again.

    Args:
        path: the file.
        columns: those that name a setting, which it must have.

    Raises:
        FileError: the file is damaged.
    """
    import pandas as pd

    if not path.is_file():
        return {}
    try:
        table = _typed(pd.read_csv(path))
        table[[*columns, "seed", "epochs"]]
        table = table.astype(object).where(table.notna(), None)
        kept = table[table.status != Status.FAILED]
        return {row["trial"]: row for row in kept.to_dict("records")}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
        why = error if isinstance(error, OSError) else "it is no table of a sweep's trials"
        raise FileError(
            f"`{path}` is damaged: {why}",
            "move it away, and the same command runs its trials again",
        ) from error


def trials_table(rows: Iterable[Row], swept: Sequence[str]) -> pd.DataFrame:
    """The columns of `trials.csv`: by the swept settings, then by depth, then by seed.

    Their types are the same whatever is in them.
    """
    import pandas as pd

    table = _typed(pd.DataFrame(list(rows), columns=trial.columns(list(swept))))
    order = [*swept, *grid.SIZES, "seed"]
    return table.sort_values(list(dict.fromkeys(order)), ignore_index=True)


def _typed(table: pd.DataFrame) -> pd.DataFrame:
    """The columns that a `trials.csv` has, each with its own type; a text that is empty stays so.

    Raises:
        ValueError, TypeError: what is in them is of another type.
    """
    kinds = {grid.column(name): kind.__name__ for name, kind in grid.kinds().items()}
    kinds[grid.HORIZON] = "int"
    kinds |= {spec.name: str(spec.type) for spec in fields(TrialRow)}
    table = table.astype({name: DTYPES[kinds[name]] for name in table if name in kinds})
    return table.fillna({name: "" for name in table if kinds.get(name) == "str"})


def curves_table(
    trials: pd.DataFrame, swept: Sequence[str], sweep: Path, before: pd.DataFrame | None = None
) -> pd.DataFrame:
    """Every `metrics.csv`, with the columns that name the setting before its own.

    By the order of the trials' settings, then by epoch, then by seed.

    Args:
        trials: the columns of `trials.csv`; rows of other seeds are left out.
        swept: the swept columns.
        sweep: the sweep's directory.
        before: the table that was there: of a run that is gone it has the rows.
    """
    import pandas as pd

    keys, parts = grid.key_names(swept), []
    runs = trials.groupby([*keys, "run_dir"], sort=False, dropna=False)
    for (*values, run_dir), own in runs:
        named = dict(zip(keys, values, strict=True))
        part = read_curves(sweep / run_dir) if run_dir else pd.DataFrame()
        if part.empty and before is not None:
            same = (before[keys] == list(values)).all(axis=1)
            part = before[same].drop(columns=keys)
        if part.empty:
            continue
        part = part[part.seed.isin(own.seed)]
        rest = part.drop(columns=[name for name in named if name in part])
        parts.append(pd.concat([pd.DataFrame(named, index=rest.index), rest], axis=1))
    if not parts:
        return pd.DataFrame(columns=list(dict.fromkeys([*keys, *metrics.columns(EpochRow)])))
    whole = pd.concat(parts, ignore_index=True)
    first = whole.groupby(keys, sort=False, dropna=False).ngroup()
    order = pd.DataFrame({"setting": first, "epoch": whole.epoch, "seed": whole.seed})
    order = order.sort_values(["setting", "epoch", "seed"], kind="stable").index
    return whole.loc[order].reset_index(drop=True)


def read_curves_table(path: Path, swept: Sequence[str]) -> pd.DataFrame | None:
    """The `curves.csv` that is there; `None` where it is none of such a sweep."""
    import pandas as pd

    try:
        found = pd.read_csv(path)
        return found if {*grid.key_names(swept), "seed", "epoch"} <= set(found) else None
    except (OSError, ValueError):
        return None


def check_curves(
    trials: pd.DataFrame, curves: pd.DataFrame, swept: Sequence[str], path: Path
) -> None:
    """Checks that the curves have each epoch of each trial, and no other.

    Args:
        trials: the columns of `trials.csv`.
        curves: the columns of `curves.csv`.
        swept: the swept columns.
        path: of `curves.csv`.

    Raises:
        FileError: they differ.
    """
    keys = [*grid.key_names(swept), "seed"]
    ended = trials[trials.status != Status.FAILED].set_index(keys)
    found = curves.groupby(keys).size().reindex(ended.index, fill_value=0)
    if len(wrong := ended[found.to_numpy() != ended.epochs.to_numpy()]):
        first = wrong.iloc[0]
        names = dict(zip(keys, first.name, strict=True))
        seed = names.pop("seed")
        raise FileError(
            f"`{path}` and `{path.with_name('trials.csv')}` differ in {len(wrong)} of "
            f"{len(trials)} trials; the first: seed {seed} of {grid.label(**names)} was trained "
            f"for {first.epochs} epochs, and its curve has {found[first.name]}",
            f"put `{path.parent / (first.run_dir or RUNS)}` back as it was; or delete the lines of "
            "these trials from `trials.csv`, and the same command trains them again",
        )


def write_csv(path: Path, table: pd.DataFrame) -> None:
    """Writes a table whole or not at all."""
    write_atomically(path, table.to_csv(index=False).encode())


def missing(settings: Sequence[TrialGroup], known: dict[str, Row]) -> list[TrialGroup]:
    """What is left to do: each setting with the runs of consecutive seeds that have no row."""
    left = []
    for setting in settings:
        run: list[int] = []
        for seed, identity in setting.trials.items():
            if identity not in known:
                run.append(seed)
            elif run:
                left.append(setting.with_seeds(run))
                run = []
        if run:
            left.append(setting.with_seeds(run))
    return left


class MetricsTail:
    """Looks at a run as it goes on, and reads each line of its table once.

    Args:
        folder: the run's directory, which need not be there yet.
        baseline: the chance loss, which with the Bayes loss says what counts as solved; `None`
            where the Bayes loss is not known.

    Attributes:
        epoch: epochs completed so far.
        solved: seeds whose validation has solved the task.
        lowest: the lowest validation loss of any seed; infinite before there is one.
    """

    def __init__(self, folder: Path, baseline: float | None) -> None:
        self._run, self._baseline = RunDirectory(folder), baseline
        self._file = 0
        self._before = 0
        self._forget()

    def _forget(self) -> None:
        """Begins at the first line."""
        self._read = 0
        self._columns: list[str] = []
        self.epoch = 0
        self.solved: set[str] = set()
        self.lowest = math.inf

    @property
    def phase(self) -> str:
        """`waiting`, `compiling` (until the first epoch's end) or `training`.

        A run that goes on waits until it has an epoch more than it had.
        """
        if self.epoch > self._before:
            return "training"
        return "compiling" if self._run.status.is_file() and not self._before else WAITING

    def begin(self) -> None:
        """Takes in what is there already."""
        self.look()
        self._before = self.epoch

    def look(self) -> None:
        """Takes in the lines that have come since the last look."""
        try:
            found = self._run.metrics.stat()
            if found.st_ino != self._file or found.st_size < self._read:
                self._before *= not self._file  # A trial that failed before is trained anew.
                self._forget()
            self._file = found.st_ino
            with self._run.metrics.open("rb") as file:
                file.seek(self._read)
                lines = file.read()
        except FileNotFoundError:  # Not yet, or just deleted.
            return
        whole = lines[: lines.rfind(b"\n") + 1]  # The last one may be half written.
        self._read += len(whole)
        for cells in csv.reader(whole.decode().splitlines()):
            if self._columns:
                self._take(dict(zip(self._columns, cells, strict=True)))
            else:
                self._columns = cells

    def _take(self, row: dict[str, str]) -> None:
        self.epoch = int(row["epoch"])
        self.lowest = min(self.lowest, float(row["val_loss"] or "inf"))
        if self._baseline is None or not row["val_gap"]:
            return
        way = self._baseline - float(row["bayes_loss"] or 0)
        if float(row["val_gap"]) < SOLVED_BELOW * way:
            self.solved.add(row["seed"])
