"""The figures of a sweep's directory, from its tables."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from lstmcli.config import Config
from lstmcli.errors import LstmcliError
from lstmcli.pictures import tables
from lstmcli.report import words
from lstmcli.report.figures.sweep import PER_STEP, sweep_figures
from lstmcli.runs import checkpoint as checkpoints
from lstmcli.runs import finding, rundir
from lstmcli.runs.rundir import RunDirectory
from lstmcli.runs.sweepfiles import SweepFiles

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SIZES = ["layers", "state_size"]


def figures_of_sweep(path: Path) -> dict[str, Figure]:
    """The figures `depth` and `curves` of a sweep's directory; none before its first result.

    Raises:
        FileError: a table is damaged.
    """
    files = SweepFiles(path)
    trials = tables.read(files.trials, [*SIZES, "seed", "test_loss", "gap", "epochs", "bayes_loss"])
    summary = tables.read(files.summary, [*SIZES, "seeds", "iqm", "ci_low", "ci_high"])
    curves = tables.read(files.curves, [*SIZES, "seed", "epoch", "val_loss", "bayes_loss"])
    if summary.empty or curves.empty:
        return {}
    names = list(trials)
    swept = names[names.index("state_size") + 1 : names.index("seed")]
    task, unit = _words(files, swept)
    return sweep_figures(trials, summary, curves, swept, task, unit)


def _words(files: SweepFiles, swept: Sequence[str]) -> tuple[str, str]:
    """What was learned, and what losses are in: as the first trial that is there knows it."""
    for folder in sorted(files.settings.glob("*/")):
        run = RunDirectory(folder)
        with suppress(LstmcliError):
            config = Config.build(rundir.read_config(run.config))
            schema = checkpoints.read(finding.find_checkpoint(folder)).schema
            return words.task(config.data, swept), words.loss_unit(schema)
    return "", PER_STEP
