"""Finds the run of each trial by its settings, whatever the name of its directory."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lstmcli.config import Config
from lstmcli.sweeps import grid
from lstmcli.training import run_dir
from lstmcli.training.run_dir import RUNS, SETTINGS, RunDirectory
from lstmcli.utils.errors import LstmcliError

if TYPE_CHECKING:
    import pandas as pd

Key = tuple[Any, ...]
"""Identifies a trial within its sweep: the values of its setting's columns, and the seed."""


@dataclass(frozen=True)
class TrialRun:
    """A run directory of a sweep.

    Attributes:
        path: the directory.
        config: its settings.
    """

    path: Path
    config: Config

    @property
    def run_dir(self) -> str:
        """Its path relative to the sweep's directory."""
        return f"{RUNS}/{self.path.name}"

    @cached_property
    def curves(self) -> pd.DataFrame:
        """Its `metrics.csv`, as returned by `read_curves`."""
        return read_curves(self.path)

    def epochs(self, seed: int) -> int:
        """How many epochs of a seed it has completed."""
        return int((self.curves.seed == seed).sum())

    def key(self, columns: Sequence[str], seed: int) -> Key:
        """The key of a seed's trial."""
        values = (self.config.value(grid.setting_of(each)) for each in columns)
        return (*values, seed)


Runs = Mapping[Key, list[TrialRun]]
"""Runs by trial. A trial may have several, as a sweep can be stopped and extended."""


def read_curves(path: Path) -> pd.DataFrame:
    """A run's `metrics.csv`, without partly written rows; empty if there is none."""
    import pandas as pd

    try:
        found = pd.read_csv(RunDirectory(path).metrics)
        return found[found.elapsed_seconds.notna()]
    except (OSError, ValueError, AttributeError):
        return pd.DataFrame({"epoch": [], "seed": []})


def in_folder(folder: Path) -> list[TrialRun]:
    """The runs in a folder, by name. Damaged runs and other directories are skipped."""
    found = ((path, _config(RunDirectory(path))) for path in sorted(folder.glob("*/")))
    return [TrialRun(path, config) for path, config in found if config is not None]


def _config(directory: RunDirectory) -> Config | None:
    with suppress(OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError,
                  LstmcliError):  # fmt: skip
        status = directory.read_status()
        saved = status[SETTINGS] if SETTINGS in status else run_dir.read_config(directory.config)
        return Config.build(saved)
    return None


def by_trial(runs: Iterable[TrialRun], columns: Sequence[str]) -> Runs:
    """The runs of each trial.

    Args:
        runs: runs of one sweep.
        columns: the columns that identify a setting.
    """
    found: dict[Key, list[TrialRun]] = {}
    for run in runs:
        for seed in run.config.run.seeds:
            found.setdefault(run.key(columns, seed), []).append(run)
    return found


def of_row(row: dict[str, Any], runs: Sequence[TrialRun]) -> TrialRun | None:
    """The run of a row of `trials.csv`, among those with its setting and seed."""

    def fits(run: TrialRun) -> tuple[bool, bool, int]:
        epochs = run.epochs(row["seed"])
        return epochs == row["epochs"], run.run_dir == row.get("run_dir"), epochs

    return max(runs, key=fits, default=None) if len(runs) != 1 else runs[0]
