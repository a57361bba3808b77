"""What `train` shows on the screen before and while it trains."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from lstmcli.experiment import Progress
    from lstmcli.report.console import TrainingView
    from lstmcli.report.live import Panel
    from lstmcli.report.window import Window
    from lstmcli.runs.metrics import EpochRow
    from lstmcli.standing import Run

    Picture = Panel | Window


def brief(run: Run, quiet: bool) -> None:
    """Says on standard error what the settings make possible, and what is odd."""
    from lstmcli import preflight
    from lstmcli.report import briefing, terminal

    for note in run.source.notes():
        typer.echo(f"note: {terminal.visible(note)}", err=True)
    data = preflight.of_data(run.source, run.floor, run.baselines.found)
    begun = run.within.windows if run.within else 0
    done = run.epoch + begun / data.windows
    found = preflight.of_config(run.config, run.program.signature, data, done)
    columns = terminal.width(sys.stderr)
    for line in [] if quiet else briefing.lines(found):
        typer.echo(briefing.folded(line, columns), err=True)
    if run.resumed and not quiet:
        typer.echo(briefing.going_on(run.epoch, begun, data.windows), err=True)
    if hopeless := briefing.warning(data):
        typer.echo(f"warning: {hopeless}", err=True)


def view(run: Run, style: str, live: str) -> tuple[TrainingView, Picture | None]:
    """The bar, and what is drawn of the run.

    Args:
        run: what is to be trained.
        style: as `console.progress_style` gives it.
        live: as `console.live_style` gives it.
    """
    from lstmcli.report import console, terminal, words
    from lstmcli.report.live import Panel

    floor = run.floor.loss if run.floor else None
    number = words.one_number(run.source.schema)
    panel = Panel(floor, terminal.ascii_only(sys.stderr)) if live == "strips" else None
    scale = number.scale if number else None
    bar = console.TrainingView(style, run.config.training.epochs, floor, scale, panel)
    if live != "window":
        return bar, panel
    from lstmcli.report.window import Window

    return bar, Window(floor)


def epochs(
    run: Run, argv: list[str], bar: TrainingView, picture: Picture | None
) -> Iterator[list[EpochRow]]:
    """Trains to the end; shows progress within an epoch, and yields each epoch's rows."""
    from lstmcli.experiment import Progress, train
    from lstmcli.glimpse import Watch
    from lstmcli.report.glimpses import Moment

    watch = Watch(run) if picture else None
    before = None
    for record in train(run, argv):
        if not isinstance(record, Progress):
            yield record
            continue
        bar.windows(record.epoch, record.windows, record.of, record.loss, record.phase)
        if watch and picture and record.tensors is not None:
            picture.add(record.epoch - 1 + record.windows / record.of, _since(before, record))
            if watch.due:
                moment = Moment(record.epoch, record.windows, record.of)
                picture.show(watch.look(record.tensors, moment))
        before = record


def _since(before: Progress | None, now: Progress) -> float:
    """The mean loss of the windows since the record before, if that is of the same epoch.

    Of windows with as many labels each; else it is near that.
    """
    if before is None or before.epoch != now.epoch or not before.windows:
        return now.loss
    lost = now.loss * now.windows - before.loss * before.windows
    return lost / (now.windows - before.windows) if lost > 0 else now.loss
