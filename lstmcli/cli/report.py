"""`lstmcli report`: one page about a run or a sweep."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lstmcli.cli.options import OUTPUT, PATH_OPTION, RUN_PATH


def report(
    directory: Annotated[
        Path,
        typer.Argument(
            help="A run directory or a sweep directory.", show_default=False, **RUN_PATH
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

    It has the answer, the figures, tables that sort, every setting, the provenance and the commands
    that give the same results again. It needs nothing but itself: it opens from the disk and loads
    nothing. A page that lstmcli wrote is replaced, anything else is not.
    """
    from lstmcli.reporting import write_page
    from lstmcli.utils.terminal import escape_unprintable

    typer.echo(f"report: {escape_unprintable(str(write_page.report(directory, output)))}")
