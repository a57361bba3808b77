"""`lstmcli plot`: draws the figures of a run, a sweep or a checkpoint."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lstmcli.cli.help import OUTPUT
from lstmcli.cli.options import PATH_OPTION, RUN_PATH, Json
from lstmcli.cli.output import print_json, say

if TYPE_CHECKING:
    from lstmcli.cli.json_results import PlotResult


def plot(
    path: Annotated[
        Path,
        typer.Argument(
            help="A run directory, a sweep directory or a checkpoint file.",
            metavar="PATH",
            show_default=False,
            **RUN_PATH,
        ),
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            help="Write one figure to this file: .png, .svg or .pdf (default: all, in figures/).",
            rich_help_panel=OUTPUT,
            **PATH_OPTION,
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Draw the figures of a run, a sweep or a checkpoint.

    A run has `loss`, and the best checkpoint's predictions beside the losses (`echo`, `text`,
    `regression`, ...). A sweep has `depth` and `curves`. A checkpoint has its predictions. With
    `--output`, the file's name chooses the figure (`curves.svg`); any other name gives the main
    one.
    """
    from lstmcli.cli import progress
    from lstmcli.reporting import plot as plotting
    from lstmcli.utils import files as file_utils
    from lstmcli.utils.terminal import escape_unprintable

    if output is not None:
        file_utils.check_figure_ending(output)
        file_utils.check_figure_replaceable(output)
    with progress.waiting("drawing", progress.progress_style("auto")):
        drawn = plotting.draw(path)
        files = plotting.save(drawn, output, plotting.folder_of(path))
    for note in drawn.notes:
        say("note", note)
    if as_json:
        result: PlotResult = {"figures": [str(file) for file in files]}
        print_json(result)
        return
    for file in files:
        typer.echo(escape_unprintable(str(file)))
