"""`lstmcli train`: trains one model, or several seeds of it at once."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lstmcli.cli.options import (
    RUN_PATH,
    ConfigFile,
    Given,
    Json,
    LiveStyle,
    Overwrite,
    ProgressStyle,
    RunOut,
    with_settings,
)
from lstmcli.cli.output import say
from lstmcli.config import Config

if TYPE_CHECKING:
    from lstmcli.cli.live import Panel
    from lstmcli.cli.live_window import Window
    from lstmcli.cli.progress import TrainingView
    from lstmcli.training.config_files import ConfigFiles
    from lstmcli.training.metric_logging import MetricLogger
    from lstmcli.training.metrics import EpochRow
    from lstmcli.training.resume_state import ResumeState
    from lstmcli.training.run_dir import RunDirectory
    from lstmcli.training.state import TrainingState
    from lstmcli.training.trainer import Progress

    Picture = Panel | Window

Resume = Annotated[
    Path | None,
    typer.Option(
        "--resume",
        metavar="RUN",
        **RUN_PATH,
        help="Continue this run exactly where it stopped.",
        rich_help_panel="Run",
    ),
]
OtherDevice = Annotated[
    bool,
    typer.Option(
        "--other-device",
        help="With --resume: allow another --device; the last bits will differ.",
        rich_help_panel="Run",
    ),
]
Verify = Annotated[
    bool,
    typer.Option(
        "--verify",
        help="Only train two epochs twice, once with a resume, and compare every bit.",
        rich_help_panel="Run",
    ),
]

PrintConfig = Annotated[
    bool,
    typer.Option(
        "--print-config",
        help="Only print all settings as TOML, and where each comes from.",
        rich_help_panel="Run",
    ),
]


@with_settings("model", "data", "training", "run")
def train(
    ctx: typer.Context,
    given: Given,
    out: RunOut = None,
    resume: Resume = None,
    other_device: OtherDevice = False,
    verify: Verify = False,
    config_file: ConfigFile = None,
    print_config: PrintConfig = False,
    overwrite: Overwrite = False,
    progress: ProgressStyle = "auto",
    live: LiveStyle = "auto",
    as_json: Json = False,
) -> None:
    """Train a stack of LSTM layers, and write a run directory.

    It holds all settings, a table of losses by epoch, and the checkpoints that other commands read.
    Without options this is the article's experiment.
    """
    from lstmcli import api
    from lstmcli.cli import progress as screens
    from lstmcli.cli import run_summary
    from lstmcli.training import config_files, run_dir
    from lstmcli.utils import signals

    api.check_resumed(other_device, resume)
    if resume:
        api.check_alone("resume", {"out": out, "config": config_file, "overwrite": overwrite})
    files = config_files.read(config_file or [])
    if print_config:
        api.check_alone("print_config", {"resume": resume, "verify": verify, "out": out})
        opened = api.open_data(_config(files, given))
        show_config(config_files.with_origins(opened.config, files, given), as_json)
        return
    style = screens.progress_style(progress)
    shown = screens.live_style(live, style)
    ctx.with_resource(signals.terminable())
    if verify:
        api.check_alone("verify", {"out": out, "resume": resume, "overwrite": overwrite})
        run_summary.verified(*api.verify(_config(files, given)), as_json)
        return
    if resume:
        directory, found = _found(ctx, resume, given, other_device)
        if found.complete:
            run_summary.complete(found, as_json)
            return
        opened = api.open_data(found.config, found)
    else:
        opened, found = api.open_data(_config(files, given)), None
        directory = run_dir.create(out, api.label(opened.config), overwrite)
        ctx.with_resource(directory.lock())
    with screens.waiting("loading TensorFlow", style):
        run = api.prepare(opened, directory, found)
    _brief(run, found, quiet=style == "none")
    _show(ctx, run, style, shown, as_json)


def _config(files: ConfigFiles, given: Given) -> Config:
    saved = files.tables if "data" in given else files.found()
    return Config.build(saved, **given)


def show_config(known: dict[str, dict[str, tuple[Any, str]]], as_json: bool) -> None:
    """Prints settings as TOML that `--config` reads, each with its origin as a comment."""
    import tomli_w

    from lstmcli.cli.output import print_json
    from lstmcli.utils.terminal import escape_unprintable

    if as_json:
        print_json(
            {
                group: {
                    name: {"value": value, "from": origin}
                    for name, (value, origin) in table.items()
                }
                for group, table in known.items()
            }
        )
        return
    for number, (group, table) in enumerate(known.items()):
        typer.echo("\n" * (number > 0) + f"[{group}]")
        for name, (value, origin) in table.items():
            line = tomli_w.dumps({name: value}).rstrip()
            typer.echo(f"{line}  # {escape_unprintable(origin)}")


def _found(
    ctx: typer.Context, path: Path, given: Given, other_device: bool
) -> tuple[RunDirectory, ResumeState]:
    """The run to be resumed, with its directory locked."""
    from lstmcli import api
    from lstmcli.training import resume_state, run_dir
    from lstmcli.training.run_dir import RunDirectory

    directory = RunDirectory(run_dir.follow_latest(path))
    ctx.with_resource(api.held_run(directory))
    found = resume_state.load_resume_state(directory, given, other_device)
    api.check_data(found)
    if found.warning:
        say("warning", found.warning)
    return directory, found


def _brief(run: TrainingState, found: ResumeState | None, quiet: bool) -> None:
    """Prints facts about the run, and notes about a resumed one."""
    say_brief(run, quiet)
    if found:
        from lstmcli.training import resume

        for note in resume.notes(run, found):
            say("note", note)
        if found.longer and found.early_stopping and not run.active_replicas:
            more = "; give a larger `--patience`" if found.config.training.patience else ""
            ended = f"{found.early_stopping} had ended the run"
            say("note", f"{ended}: more `--epochs` have no effect{more}")


def _show(ctx: typer.Context, run: TrainingState, style: str, live: str, as_json: bool) -> None:
    """Trains to the end, with the progress on the screen, and prints the results."""
    from lstmcli.cli import run_summary
    from lstmcli.training import checkpointing

    view, picture = training_view(run, style, live)
    screen: MetricLogger = view
    try:
        for rows in shown_epochs(run, ctx.obj, view, picture):
            screen.log(rows, [])
    except OSError as error:
        raise checkpointing.write_error(run, error) from error
    finally:
        view.close()
        if as_json:
            run_summary.print_rows(run.directory, list(run.latest.values()))
    run_summary.draw(run.directory, run.source)
    if not as_json:
        run_summary.summarise(run)
    if picture:
        picture.wait()


def say_brief(run: TrainingState, quiet: bool) -> None:
    """Prints notes, warnings and facts about a run on standard error, before its training."""
    from lstmcli.cli import run_summary
    from lstmcli.core import execution
    from lstmcli.training import estimate

    for note in run.source.notes():
        say("note", note)
    data = estimate.of_data(run.source, run.floor, run.baselines.found)
    begun = run.within.windows if run.within else 0
    done = run.epoch + begun / data.windows
    where, cores = run.program.device, execution.cores()
    found = estimate.of_config(
        run.config, run.program.spec, data, done, where, run.device_reason, cores
    )
    for line in [] if quiet else run_summary.briefing_lines(found):
        say(*line.split(": ", 1))
    if run.resumed and not quiet:
        typer.echo(run_summary.going_on(run.epoch, begun, data.windows), err=True)
    if hopeless := run_summary.data_warning(data):
        say("warning", hopeless)


def training_view(run: TrainingState, style: str, live: str) -> tuple[TrainingView, Picture | None]:
    """The progress bar, and the live view.

    Args:
        run: what is to be trained.
        style: as `progress.progress_style` gives it.
        live: as `progress.live_style` gives it.
    """
    from lstmcli.cli import progress
    from lstmcli.cli.live import Panel
    from lstmcli.utils import terminal

    floor = run.floor.loss if run.floor else None
    panel = Panel(floor, terminal.ascii_only(sys.stderr)) if live == "strips" else None
    scale = run.source.schema.target_kind.in_units(1.0)
    bar = progress.TrainingView(style, run.config.training.epochs, floor, scale, panel)
    if live != "window":
        return bar, panel
    from lstmcli.cli.live_window import Window

    return bar, Window(floor)


def shown_epochs(
    run: TrainingState, argv: list[str], bar: TrainingView, picture: Picture | None
) -> Iterator[list[EpochRow]]:
    """Trains to the end, shows the progress within epochs, and yields each epoch's rows."""
    from lstmcli.reporting.predictions import PredictionPreview, TrainingPosition
    from lstmcli.training.trainer import Progress, train

    watch = PredictionPreview(run) if picture else None
    before = None
    for record in train(run, argv):
        if not isinstance(record, Progress):
            yield record
            continue
        bar.windows(record.epoch, record.windows, record.of, record.loss, record.phase)
        if watch and picture and record.tensors is not None:
            picture.add(record.epoch - 1 + record.windows / record.of, _since(before, record))
            if watch.due:
                moment = TrainingPosition(record.epoch, record.windows, record.of)
                picture.show(watch.look(record.tensors, moment))
        before = record


def _since(before: Progress | None, now: Progress) -> float:
    """The mean loss of the windows since the previous record, if that is of the same epoch.

    It is exact if all windows have the same number of labels, and otherwise approximate.
    """
    if before is None or before.epoch != now.epoch or not before.windows:
        return now.loss
    lost = now.loss * now.windows - before.loss * before.windows
    return lost / (now.windows - before.windows) if lost > 0 else now.loss
