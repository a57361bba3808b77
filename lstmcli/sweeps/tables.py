"""The files of a sweep directory, and what is in them already."""

from __future__ import annotations

import csv
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lstmcli.data.echo import Floor
from lstmcli.files import write_atomically
from lstmcli.sweep import trial
from lstmcli.sweep.grid import Setting

if TYPE_CHECKING:
    import pandas as pd

KEPT = ("completed", "diverged")
"""A trial with one of these statuses is not run again: it would end the same."""


@dataclass(frozen=True)
class SweepDirectory:
    """A directory that holds a sweep."""

    path: Path

    @property
    def config(self) -> Path:
        """The settings and the lists."""
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

    def known(self) -> dict[str, dict[str, Any]]:
        """The rows that an earlier command finished, by trial."""
        import pandas as pd

        if not self.trials.is_file():
            return {}
        table = pd.read_csv(self.trials)
        table = table.astype(object).where(table.notna(), None)
        kept = table[table.status.isin(KEPT)]
        return {row["trial"]: row for row in kept.to_dict("records")}

    def write_trials(
        self, settings: Sequence[Setting], rows: dict[str, dict[str, Any]]
    ) -> pd.DataFrame:
        """Writes the rows that are there, in the order of the grid."""
        import pandas as pd

        order = [identity for setting in settings for identity in setting.trials.values()]
        swept = list(settings[0].swept)
        table = pd.DataFrame(
            [rows[identity] for identity in order if identity in rows], columns=trial.columns(swept)
        )
        for name in ("epochs_to_solve", "solved"):
            table[name] = table[name].astype("Int64" if name == "epochs_to_solve" else "boolean")
        write_csv(self.trials, table)
        return table

    def write_curves(self, settings: Sequence[Setting]) -> pd.DataFrame:
        """Gathers every `metrics.csv`, with the columns that name the setting before its own."""
        import pandas as pd

        parts = []
        for setting in settings:
            files = sorted(self.settings.glob(f"{setting.label}-seeds-*/metrics.csv"))
            if files:
                part = pd.concat([pd.read_csv(file) for file in files])
                part = part[part.seed.isin(setting.trials)].drop_duplicates(["epoch", "seed"])
                for place, (name, value) in enumerate(setting.keys.items()):
                    part.insert(place, name, value)
                parts.append(part)
        table = pd.concat(parts) if parts else pd.DataFrame()
        write_csv(self.curves, table)
        return table

    def progress(self, setting: Setting) -> tuple[int, int]:
        """Epochs that a setting has completed so far, and how many of its seeds have solved it."""
        path = self.settings / setting.name / "metrics.csv"
        if not path.is_file():
            return 0, 0
        epoch, solved = 0, set()
        chance = math.log(setting.config.data.classes)
        with path.open(newline="") as file:
            for row in csv.DictReader(file):
                if None in row.values():
                    break  # A line that is being written.
                epoch = int(row["epoch"])
                floor = Floor(float(row["bayes_loss"]), 1, chance)
                if floor.solved(float(row["val_loss"])):
                    solved.add(row["seed"])
        return epoch, len(solved)


def write_csv(path: Path, table: pd.DataFrame) -> None:
    """Writes a table whole or not at all."""
    write_atomically(path, table.to_csv(index=False).encode())


def missing(settings: Sequence[Setting], known: dict[str, dict[str, Any]]) -> list[Setting]:
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
