"""`lstmcli report`: one page about a run or a sweep."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lstmcli.cli.help import OUTPUT
from lstmcli.cli.options import PATH_OPTION, RUN_PATH


def report(
    directory: Annotated[
        Path,
        typer.Argument(
            help="A run directory or a sweep directory.",
            metavar="DIRECTORY",
            show_default=False,
            **RUN_PATH,
        ),
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            help="The file (default: report.html in the directory).",
            rich_help_panel=OUTPUT,
            **PATH_OPTION,
        ),
    ] = None,
) -> None:
    """Write one HTML page about a run or a sweep.

    It has the answer, the figures, sortable tables, all settings, the provenance and the commands
    that reproduce the results. It is a single file that loads nothing from elsewhere. A page that
    lstmcli wrote is replaced; any other file is not.
    """
    from lstmcli.reporting import write_page
    from lstmcli.utils.terminal import escape_unprintable

    typer.echo(f"report: {escape_unprintable(str(write_page.report(directory, output)))}")
