"""`lstmcli train`: trains one model, or several seeds of it at once."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lstmcli.cli import ending, showing
from lstmcli.cli.options import (
    ConfigFile,
    Given,
    Json,
    LiveStyle,
    Overwrite,
    ProgressStyle,
    RunOut,
    named_path,
    with_settings,
)
from lstmcli.config import Config

if TYPE_CHECKING:
    from lstmcli.runs.kept import Kept
    from lstmcli.runs.rundir import RunDirectory
    from lstmcli.standing import Run

Resume = Annotated[
    Path | None,
    typer.Option(
        "--resume",
        parser=named_path,
        metavar="RUN",
        help="Go on with the run in this directory, to the same bits as if it had not stopped.",
        rich_help_panel="Run",
    ),
]
Verify = Annotated[
    bool,
    typer.Option(
        "--verify",
        help="Only train the first two epochs twice, once resumed, and compare the bits.",
        rich_help_panel="Run",
    ),
]


@with_settings("model", "data", "training", "run")
def train(
    ctx: typer.Context,
    given: Given,
    out: RunOut = None,
    resume: Resume = None,
    verify: Verify = False,
    config_file: ConfigFile = None,
    overwrite: Overwrite = False,
    progress: ProgressStyle = "auto",
    live: LiveStyle = "auto",
    as_json: Json = False,
) -> None:
    """Train a stack of LSTM layers, and leave a run directory.

    With no options it does the article's experiment. The run directory holds every setting, a table
    with a row for each epoch, and the checkpoints that `lstmcli eval` and `lstmcli inspect` read.
    """
    from lstmcli import api, signals
    from lstmcli.report import console
    from lstmcli.runs import rundir

    style = console.progress_style(progress)
    shown = console.live_style(live, style)
    ctx.with_resource(signals.terminable())
    if verify:
        api.check_alone("verify", {"out": out, "resume": resume, "overwrite": overwrite})
        ending.verified(*api.verify(_config(config_file, given)), as_json)
        return
    if resume:
        api.check_alone("resume", {"out": out, "config": config_file, "overwrite": overwrite})
        directory, found = _found(ctx, resume, given)
        if found.complete:
            ending.complete(found, as_json)
            return
        opened = api.open_data(found.config, found)
    else:
        opened, found = api.open_data(_config(config_file, given)), None
        directory = rundir.create(out, api.label(opened.config), overwrite)
        ctx.with_resource(directory.held())
    with console.waiting("loading TensorFlow", style):
        run = api.prepare(opened, directory, found)
    _brief(run, found, quiet=style == "none")
    _show(ctx, run, style, shown, as_json)


def _config(file: Path | None, given: Given) -> Config:
    from lstmcli.runs import rundir

    saved = rundir.read_config(file, "data" not in given) if file else None
    return Config.build(saved, **given)


def _found(ctx: typer.Context, path: Path, given: Given) -> tuple[RunDirectory, Kept]:
    """The run that is to go on, whose directory is held from now on."""
    from lstmcli import api
    from lstmcli.runs import kept, latest
    from lstmcli.runs.rundir import RunDirectory

    directory = RunDirectory(latest.followed(path))
    ctx.with_resource(api.held_run(directory))
    found = kept.look_up(directory, given)
    api.check_data(found)
    if found.warning:
        _say("warning", found.warning)
    return directory, found


def _brief(run: Run, found: Kept | None, quiet: bool) -> None:
    """What the settings make possible, and what is odd about a run that goes on."""
    showing.brief(run, quiet)
    if found:
        from lstmcli import resuming

        for note in resuming.notes(run, found):
            _say("note", note)
        if found.longer and found.early_stopping and not run.at_work:
            more = "; a larger `--patience` does" if found.config.training.patience else ""
            ended = f"{found.early_stopping} had ended the run"
            _say("note", f"{ended}: more `--epochs` train nothing{more}")


def _say(kind: str, text: str) -> None:
    from lstmcli.report.terminal import visible

    typer.echo(f"{kind}: {visible(text)}", err=True)


def _show(ctx: typer.Context, run: Run, style: str, live: str, as_json: bool) -> None:
    """Trains to the end, shows how it goes, and says how it has ended."""
    from lstmcli import saving
    from lstmcli.runs import metrics

    view, picture = showing.view(run, style, live)
    try:
        for rows in showing.epochs(run, ctx.obj, view, picture):
            view.epoch([metrics.as_dict(row) for row in rows])
    except OSError as error:
        raise saving.broken_off(run, error) from error
    finally:
        view.close()
        if as_json:
            ending.print_rows(run.directory, list(run.latest.values()))
    ending.draw(run.directory, run.source)
    if not as_json:
        ending.summarise(run)
    if picture:
        picture.wait()
