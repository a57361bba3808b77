"""`lstmcli train`: trains one model, or several seeds of it at once."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import typer

from lstmcli.cli.options import (
    ConfigFile,
    Given,
    Json,
    Overwrite,
    ProgressStyle,
    RunOut,
    with_settings,
)
from lstmcli.cli.output import print_json
from lstmcli.config import Config

if TYPE_CHECKING:
    from lstmcli.experiment import Run
    from lstmcli.report.console import TrainingView
    from lstmcli.runs.metrics import EpochRow
    from lstmcli.runs.rundir import RunDirectory


@with_settings("model", "data", "training", "run")
def train(
    ctx: typer.Context,
    given: Given,
    out: RunOut = None,
    config_file: ConfigFile = None,
    overwrite: Overwrite = False,
    progress: ProgressStyle = "auto",
    as_json: Json = False,
) -> None:
    """Train a stack of LSTM layers, and leave a run directory.

    With no options it does the article's experiment. The run directory holds every setting, a table
    with a row for each epoch, and the checkpoints that `lstmcli eval` and `lstmcli inspect` read.
    """
    from lstmcli.report import console
    from lstmcli.runs import metrics, rundir

    saved = rundir.read_config(config_file) if config_file else None
    config = Config.build(saved, **given)
    label = f"echo-{config.model.layers}x{config.model.state_size}"
    style = console.progress_style(progress)
    directory = rundir.create(out, label, overwrite)
    with directory.given_back(), console.waiting("loading TensorFlow", style):
        run = _prepare(config, directory)
    if dropped := run.source.layout.dropped:
        typer.echo(f"note: {dropped} steps at the rows' ends fill no window: not used", err=True)
    floor = run.floor.loss if run.floor else None
    view = console.TrainingView(style, config.training.epochs, floor)
    rows: list[EpochRow] = []
    try:
        for rows in _epochs(run, ctx.obj, view):
            view.epoch([metrics.as_dict(row) for row in rows])
    finally:
        view.close()
        if as_json:
            results = [metrics.as_dict(row) for row in rows]
            status = directory.read_status()["status"]
            print_json({"run": str(directory.path), "status": status, "results": results})
    if not as_json:
        _summarise(rows, directory)


def _prepare(config: Config, directory: RunDirectory) -> Run:
    """Loads TensorFlow and, meanwhile, the data; then readies the run."""
    from lstmcli.core import environment
    from lstmcli.data import source

    environment.use_cache(config)
    with environment.loading():
        opened = source.open_source(config)
    from lstmcli import experiment

    return experiment.prepare(config, directory, opened)


def _epochs(run: Run, argv: list[str], view: TrainingView) -> Iterator[list[EpochRow]]:
    """Trains to the end; shows progress within an epoch, and yields each epoch's rows."""
    from lstmcli.experiment import Progress, train

    for record in train(run, argv):
        if isinstance(record, Progress):
            view.windows(record.epoch, record.windows, record.of, record.loss, record.phase)
        else:
            yield record


def _summarise(rows: list[EpochRow], directory: RunDirectory) -> None:
    for row in rows:
        floor = "" if row.bayes_loss is None else f" floor {row.bayes_loss:.3g},"
        typer.echo(
            f"seed {row.seed}: loss {row.loss:.3g}, validation {row.val_loss:.3g},{floor} "
            f"accuracy {row.accuracy:.5f}"
        )
    typer.echo(f"run: {directory.path}")
    typer.echo(f"next: lstmcli eval {directory.path}")
