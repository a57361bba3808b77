"""The tables of a sweep, and what is in them already."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lstmcli.data.echo import SOLVED_BELOW
from lstmcli.errors import FileError
from lstmcli.files import write_atomically
from lstmcli.runs import metrics
from lstmcli.runs.metrics import EpochRow
from lstmcli.runs.rundir import RunDirectory
from lstmcli.sweeps import grid, trial
from lstmcli.sweeps.grid import Setting
from lstmcli.sweeps.trial import Status

if TYPE_CHECKING:
    import pandas as pd

Row = dict[str, Any]
WHOLE = ("epochs_to_solve", "replicas")
"""Columns of whole numbers that may be empty."""


def read_trials(path: Path) -> dict[str, Row]:
    """The rows of a `trials.csv` by trial, without the failed ones, which can be run again.

    Raises:
        FileError: the file is damaged.
    """
    import pandas as pd

    if not path.is_file():
        return {}
    try:
        table = pd.read_csv(path)
        table = table.astype(object).where(table.notna(), None)
        kept = table[table.status != Status.FAILED]
        return {row["trial"]: row for row in kept.to_dict("records") if row["seed"] is not None}
    except (OSError, ValueError, KeyError, AttributeError) as error:
        why = error if isinstance(error, OSError) else "it is no table of a sweep's trials"
        raise FileError(
            f"`{path}` is damaged: {why}",
            "move it away, and the same command runs its trials again",
        ) from error


def trials_table(rows: Iterable[Row], swept: Sequence[str]) -> pd.DataFrame:
    """The columns of `trials.csv`: by the swept settings, then by depth, then by seed."""
    import pandas as pd

    table = pd.DataFrame(list(rows), columns=trial.columns(list(swept)))
    for name in WHOLE:
        table[name] = table[name].astype("Int64")
    table["solved"] = table["solved"].astype("boolean")
    order = [*swept, *grid.SIZES, "seed"]
    return table.sort_values(list(dict.fromkeys(order)), ignore_index=True)


def curves_table(trials: pd.DataFrame, swept: Sequence[str], folder: Path) -> pd.DataFrame:
    """Every `metrics.csv`, with the columns that name the setting before its own.

    Args:
        trials: the columns of `trials.csv`; rows of other seeds are left out.
        swept: the swept columns.
        folder: where the settings have their run directories.
    """
    import pandas as pd

    parts, keys = [], grid.key_names(swept)
    for values, own in trials.groupby(keys, sort=False, dropna=False):
        named = dict(zip(keys, values, strict=True))
        files = sorted(folder.glob(f"{grid.label(**named)}-seeds-*/metrics.csv"))
        if files:
            part = pd.concat([pd.read_csv(file) for file in files])
            part = part[part.seed.isin(own.seed)].drop_duplicates(["epoch", "seed"])
            rest = part.drop(columns=[name for name in named if name in part])
            before = pd.DataFrame(named, index=rest.index)
            parts.append(pd.concat([before, rest], axis=1))
    if parts:
        return pd.concat(parts, ignore_index=True)
    return pd.DataFrame(columns=list(dict.fromkeys([*keys, *metrics.columns(EpochRow)])))


def write_csv(path: Path, table: pd.DataFrame) -> None:
    """Writes a table whole or not at all."""
    write_atomically(path, table.to_csv(index=False).encode())


def missing(settings: Sequence[Setting], known: dict[str, Row]) -> list[Setting]:
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


class Watch:
    """Looks at a run as it goes on, and reads each line of its table once.

    Args:
        folder: the run's directory, which need not be there yet.
        baseline: the loss from which the way to the floor leads; `None` where there is no floor.

    Attributes:
        epoch: epochs completed so far.
        solved: seeds whose validation has solved the task.
        lowest: the lowest validation loss of any seed; infinite before there is one.
    """

    def __init__(self, folder: Path, baseline: float | None) -> None:
        self._run, self._baseline = RunDirectory(folder), baseline
        self._file = 0
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
        """`waiting`, `compiling` (until the first epoch's end) or `training`."""
        if self.epoch:
            return "training"
        return "compiling" if self._run.status.is_file() else "waiting"

    def look(self) -> None:
        """Takes in the lines that have come since the last look."""
        try:
            found = self._run.metrics.stat()
            if found.st_ino != self._file or found.st_size < self._read:
                self._forget()  # A trial that failed before is trained anew.
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
        self.lowest = min(self.lowest, float(row["val_loss"]))
        if self._baseline is None or not row["val_gap"]:
            return
        way = self._baseline - float(row["bayes_loss"] or 0)
        if float(row["val_gap"]) < SOLVED_BELOW * way:
            self.solved.add(row["seed"])
