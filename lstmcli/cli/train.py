"""`lstmcli train`: trains one model, or several seeds of it at once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
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
    from lstmcli.data.references import Reference
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
    from lstmcli.report import console, words
    from lstmcli.report.terminal import visible
    from lstmcli.runs import metrics, rundir

    saved = rundir.read_config(config_file, "data" not in given) if config_file else None
    config = Config.build(saved, **given)
    style = console.progress_style(progress)
    directory = rundir.create(out, api.label(config), overwrite)
    ctx.with_resource(directory.held())
    with console.waiting("loading TensorFlow", style):
        run = api.prepare(config, directory)
    for note in run.source.notes():
        typer.echo(f"note: {visible(note)}", err=True)
    if dropped := run.source.cut.dropped:
        typer.echo(f"note: {dropped} steps at the rows' ends fill no window: not used", err=True)
    floor = run.floor.loss if run.floor else None
    number = words.one_number(run.source.schema)
    scale = number.scale if number else None
    view = console.TrainingView(style, config.training.epochs, floor, scale)
    try:
        for rows in _epochs(run, ctx.obj, view):
            view.epoch([metrics.as_dict(row) for row in rows])
    finally:
        view.close()
        if as_json:
            results = [metrics.as_dict(row) for row in run.latest.values()]
            status = directory.read_status()["status"]
            print_json({"run": str(directory.path), "status": status, "results": results})
    if failed := api.draw(run):
        typer.echo(f"warning: no figures: {visible(failed)}", err=True)
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
    from lstmcli.report import words
    from lstmcli.report.terminal import visible
    from lstmcli.runs import metrics

    schema = run.source.schema
    for row in run.latest.values():
        typer.echo(f"seed {row.seed}: {words.outcome(schema, metrics.as_dict(row))}")
    references = [] if run.floor else run.references  # The floor says more.
    for each in references:
        name, loss = words.reference(schema, each.name), words.loss(schema, each.loss)
        typer.echo(f"without a network: {name} {loss} in validation")
    _warn(run, references)
    if run.directory.figures.is_dir():
        typer.echo(f"figures: {visible(str(run.directory.figures))}")
    typer.echo(f"run: {visible(str(run.directory.path))}")
    typer.echo(f"next: lstmcli eval {pasteable(run.directory.path)}")


def _warn(run: Run, references: Sequence[Reference]) -> None:
    """Says on standard error which seeds have learned nothing that is worth a network."""
    from lstmcli.experiment import CALMER
    from lstmcli.report import words

    for best in run.best_at:
        if beats := words.unbeaten(best["val_loss"], references):
            found = "none" if best["val_loss"] is None else f"{best['val_loss']:.3g}"
            name = words.reference(run.source.schema, beats.name)
            typer.echo(
                f"warning: seed {best['seed']} does not beat `{name}`, which needs no network: its "
                f"best validation loss is {found} against {beats.loss:.3g}; try more `--epochs`, "
                "or another `--learning-rate`",
                err=True,
            )
    if worse := run.worse_than_chance():
        seeds = ", ".join(map(str, worse))
        typer.echo(
            f"warning: seed {seeds} ends worse than chance: {_chance(run)} has a loss of "
            f"{run.chance:.3g}; {CALMER}",
            err=True,
        )


def _chance(run: Run) -> str:
    """Whose loss `run.chance` is."""
    return "a uniform guess" if run.source.schema.classes else "the mean of the target"
