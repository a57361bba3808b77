"""Runs compared side by side: the settings that differ, the final losses, and all curves."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lstmcli.config import DEFAULTS
from lstmcli.reporting import run_table, runs
from lstmcli.reporting.runs import DAMAGED, Row
from lstmcli.training import load, metrics, run_dir
from lstmcli.training.run_dir import RunDirectory
from lstmcli.utils.errors import FileError

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

ENDS = {
    "training loss": "loss",
    "validation loss": "val_loss",
    "accuracy": "accuracy",
    "validation accuracy": "val_accuracy",
}
"""What is shown of the last epoch, as a mean over the seeds: columns of `metrics.csv`."""
NEITHER = ("data_seed", "checkpoint_every", "cache")
"""Settings that do not affect what is learned."""


@dataclass(frozen=True)
class SideBySide:
    """Runs to compare.

    Attributes:
        rows: as `runs.read` gives them; of a sweep its best trial's run.
        settings: those that differ, by name: a value for each run, `None` where it is off.
        ends: the final losses, likewise.
        notes: which trials represent sweeps.
    """

    rows: list[Row]
    settings: dict[str, list[Any]]
    ends: dict[str, list[Any]]
    notes: list[str]

    @property
    def names(self) -> list[str]:
        """What to call them."""
        return [row["name"] for row in self.rows]

    def table(self) -> tuple[list[str], list[list[str]]]:
        """Headings and cells: a row for each setting and each end, a column for each run."""
        told = {**self.settings, **self.ends}
        known = {name: values for name, values in told.items() if set(map(str, values)) != {"None"}}
        cells = [[name, *(run_table.text(each) for each in known[name])] for name in known]
        return ["", *self.names], cells


def read(paths: Sequence[Path]) -> SideBySide:
    """Reads some runs.

    Raises:
        FileError: one is damaged.
    """
    rows, notes = [], []
    for path in map(run_dir.follow_latest, paths):
        trial = load.best_trial(path)
        if trial:
            notes.append(trial.note)
        row = runs.read(trial.run if trial else path)
        if row["status"] == DAMAGED:
            raise FileError(row["error"], "leave it out; `lstmcli runs` lists the others")
        rows.append(row)
    ends = [_ends(row) for row in rows]
    return SideBySide(
        rows, differing(rows), {name: [e[name] for e in ends] for name in ends[0]}, notes
    )


def differing(rows: Sequence[Row]) -> dict[str, list[Any]]:
    """The settings in which runs differ."""
    found = {}
    for name in DEFAULTS:
        values = [row.get("epochs_planned" if name == "epochs" else name) for row in rows]
        if name not in NEITHER and len(set(map(str, values))) > 1:
            found[name] = values
    return found


def _ends(row: Row) -> dict[str, Any]:
    found = runs.curve_ends(RunDirectory(Path(row["run"])).metrics)
    last = list(found.last.values())
    best = found.best or {}
    return {
        "status": row["status"],
        "epochs": row["epochs"],
        **{title: _mean(last, column) for title, column in ENDS.items()},
        "best validation loss": row["val_loss"],
        "in epoch": int(best["epoch"]) if best else None,
        "excess loss": row["excess"],
        "of baseline": row["ratio"],
        "seconds": row["seconds"],
    }


def _mean(rows: Sequence[Mapping[str, str]], column: str) -> float | None:
    values = [float(row[column]) for row in rows if row.get(column)]
    return math.fsum(values) / len(values) if values else None


def figure(compared: SideBySide) -> Figure:
    """The validation losses of all runs by epoch.

    Raises:
        FileError: a table is damaged, or no run has an epoch.
    """
    from lstmcli.reporting.figures.loss import compared_figure

    curves: list[tuple[str, pd.DataFrame]] = []
    for row, label in zip(compared.rows, _labels(compared), strict=True):
        epochs = metrics.read_epochs(RunDirectory(Path(row["run"])).metrics)
        if not epochs.empty:
            curves.append((label, epochs))
    if not curves:
        raise FileError("no run has completed an epoch", "wait until one has")
    return compared_figure(curves)


def _labels(compared: SideBySide) -> list[str]:
    """The curves' labels: the settings that differ if these are few, else the runs' names."""
    if not 0 < len(compared.settings) <= 2:
        return compared.names
    texts = {
        name: [run_table.text(each) for each in values]
        for name, values in compared.settings.items()
    }
    labels = [
        ", ".join(f"{name.replace('_', ' ')} {texts[name][number]}" for name in texts)
        for number in range(len(compared.rows))
    ]
    return labels if len(set(labels)) == len(labels) else compared.names
