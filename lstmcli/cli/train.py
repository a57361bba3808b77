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
from lstmcli.errors import pasteable

if TYPE_CHECKING:
    from lstmcli.recording import Run
    from lstmcli.report.console import TrainingView
    from lstmcli.runs.metrics import EpochRow


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
    from lstmcli import api
    from lstmcli.report import console
    from lstmcli.runs import metrics, rundir

    saved = rundir.read_config(config_file, "data" not in given) if config_file else None
    config = Config.build(saved, **given)
    style = console.progress_style(progress)
    directory = rundir.create(out, api.label(config), overwrite)
    ctx.with_resource(directory.held())
    with console.waiting("loading TensorFlow", style):
        run = api.prepare(config, directory)
    for note in run.source.notes():
        typer.echo(f"note: {note}", err=True)
    if dropped := run.source.cut.dropped:
        typer.echo(f"note: {dropped} steps at the rows' ends fill no window: not used", err=True)
    floor = run.floor.loss if run.floor else None
    view = console.TrainingView(style, config.training.epochs, floor)
    try:
        for rows in _epochs(run, ctx.obj, view):
            view.epoch([metrics.as_dict(row) for row in rows])
    finally:
        view.close()
        if as_json:
            results = [metrics.as_dict(row) for row in run.latest.values()]
            status = directory.read_status()["status"]
            print_json({"run": str(directory.path), "status": status, "results": results})
    if not as_json:
        _summarise(run)


def _epochs(run: Run, argv: list[str], view: TrainingView) -> Iterator[list[EpochRow]]:
    """Trains to the end; shows progress within an epoch, and yields each epoch's rows."""
    from lstmcli.experiment import Progress, train

    for record in train(run, argv):
        if isinstance(record, Progress):
            view.windows(record.epoch, record.windows, record.of, record.loss, record.phase)
        else:
            yield record


def _summarise(run: Run) -> None:
    """Each seed's last epoch, and what to type next."""
    from lstmcli.experiment import CALMER

    directory = run.directory
    for row in run.latest.values():
        known = "" if row.bayes_loss is None else f", floor {row.bayes_loss:.3g}"
        accuracy = "" if row.accuracy is None else f", accuracy {row.accuracy:.5f}"
        typer.echo(
            f"seed {row.seed}: loss {row.loss:.3g}, validation {row.val_loss:.3g}{known}{accuracy}"
        )
    for reference in run.references:
        typer.echo(f"without a network: {reference.name} {reference.loss:.3g} in validation")
    if worse := run.worse_than_chance():
        seeds = ", ".join(map(str, worse))
        typer.echo(
            f"warning: seed {seeds} ends worse than chance: a uniform guess has a loss of "
            f"{run.chance:.3g}; {CALMER}",
            err=True,
        )
    typer.echo(f"run: {directory.path}")
    typer.echo(f"next: lstmcli eval {pasteable(directory.path)}")
