"""`lstmcli plot`: draws what a run, a sweep or a checkpoint has to show."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lstmcli.cli.options import OUTPUT, PATH_OPTION, RUN_PATH, Json
from lstmcli.cli.output import print_json, say


def plot(
    path: Annotated[
        Path,
        typer.Argument(
            help="A run directory, a sweep directory or a checkpoint file.",
            show_default=False,
            **RUN_PATH,
        ),
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            help="One figure into this file: .png, .svg or .pdf (default: all into `figures/`).",
            rich_help_panel=OUTPUT,
            **PATH_OPTION,
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Draw a run's losses and predictions, or a sweep's depths and curves.

    Of a run: `loss`, and beside the losses what the best checkpoint makes of the validation series
    (`echo`, `text`, `regression`, ...). Of a sweep: `depth` and `curves`. Of a checkpoint: what it
    makes of the series. `--output` takes the figure that the file is named after (`curves.svg`),
    else the one that says most.
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
        print_json({"figures": [str(file) for file in files]})
        return
    for file in files:
        typer.echo(escape_unprintable(str(file)))
