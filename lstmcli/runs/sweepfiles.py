"""The files of a sweep: the only place that spells their names."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from lstmcli.runs.rundir import REPORT

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
        return self.path / "sweep.toml"

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
