"""`lstmcli runs`: lists runs and sweeps, or compares some side by side."""

from __future__ import annotations

import csv
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lstmcli.cli.help import OUTPUT
from lstmcli.cli.options import PATH_OPTION, RUN_PATH, Json
from lstmcli.cli.output import print_json, print_sentence, print_table, say
from lstmcli.utils.errors import UsageError

if TYPE_CHECKING:
    from lstmcli.cli.json_results import RunsCompared, RunsResult
    from lstmcli.reporting.runs import Row
    from lstmcli.reporting.side_by_side import SideBySide

MOST_NOTES = 3
"""Damaged directories that get a note each; JSON has all."""


def runs(
    paths: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="DIR or RUN",
            help="Directories to search (default: runs); or two or more runs to compare.",
            show_default=False,
            **RUN_PATH,
        ),
    ] = None,
    sort: Annotated[
        str | None,
        typer.Option(
            metavar="COLUMN",
            help="Sort by a column or setting: `val_loss`; `-val_loss`: largest first (default: "
            "newest first).",
        ),
    ] = None,
    where: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=VALUE",
            help="Only runs for which this is true: `status=completed`; can be repeated.",
        ),
    ] = None,
    columns: Annotated[
        str | None,
        typer.Option(metavar="NAMES", help="Columns and settings to show: `name,layers,val_loss`."),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            help="Draw the curves of the compared runs to this file: .png, .svg or .pdf.",
            rich_help_panel=OUTPUT,
            **PATH_OPTION,
        ),
    ] = None,
    as_csv: Annotated[
        bool,
        typer.Option("--csv", help="Print the table as CSV.", rich_help_panel=OUTPUT),
    ] = False,
    as_json: Json = False,
) -> None:
    """List runs and sweeps, or compare some side by side.

    The newest comes first. Two or more runs are compared: the settings that differ, and the final
    losses. A sweep stands for its best trial. A narrow screen shows only columns that differ.
    """
    from lstmcli.reporting import run_table
    from lstmcli.reporting import runs as reading

    if as_csv and as_json:
        raise UsageError("`--csv` has no effect with `--json`", "leave one of them out")
    places = paths or [Path("runs")]
    if len(places) > 1 and all(map(reading.is_run, places)):
        _refuse({"--sort": sort, "--where": where, "--columns": columns}, "runs side by side")
        _show_side_by_side(places, output, as_csv, as_json)
        return
    _refuse({"--output": output}, "a list of runs: it draws runs that are named one by one")
    rows = reading.listed_in(places) if paths or places[0].is_dir() else []
    names = [] if columns is None else columns.replace(" ", "").split(",")
    run_table.check_names(names, rows, "--columns")
    chosen = run_table.where(rows, where or [])
    if sort is not None:
        chosen = run_table.in_order(chosen, sort)
    if as_json:
        result: RunsResult = {"runs": [_named(row, names) for row in chosen]}
        print_json(result)
    elif as_csv:
        shown = names or list(reading.COLUMNS)
        _print_csv(shown, [[row.get(name) for name in shown] for row in chosen])
    else:
        _print(chosen, names, places, filtered=bool(where))
    _say_damaged(chosen)


def _refuse(given: dict[str, Any], beside: str) -> None:
    for option, value in given.items():
        if value not in (None, []):
            raise UsageError(f"`{option}` has no effect on {beside}", f"leave `{option}` out")


def _named(row: Row, names: Sequence[str]) -> Row:
    """Some columns of a run, or all of them."""
    return {name: row.get(name) for name in names} if names else row


def _print(
    rows: Sequence[Row], names: Sequence[str], places: Sequence[Path], filtered: bool
) -> None:
    from lstmcli.reporting import run_table
    from lstmcli.utils import terminal

    if not rows:
        where = ", ".join(f"`{place}`" for place in places)
        say("note", f"{'no such run' if filtered else 'no run'} in {where}")
        return
    width = None if names else terminal.width(sys.stdout)  # Columns asked for are never left out.
    shown, same = run_table.fitting(run_table.cells(rows, names), width)
    print_table(list(shown), list(zip(*shown.values(), strict=True)))
    if same:
        print_sentence("all: " + ", ".join(f"{name} {text}" for name, text in same.items()))


def _say_damaged(rows: Sequence[Row]) -> None:

    damaged = [row for row in rows if row["error"]]
    for row in damaged[:MOST_NOTES]:
        say("note", f"{row['name']}: {row['error']}")
    if len(damaged) > MOST_NOTES:
        say("note", f"{len(damaged)} directories are damaged; `--json` lists all")


def _print_csv(names: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(names)
    writer.writerows([_cell(each) for each in row] for row in rows)


def _cell(value: Any) -> Any:
    from lstmcli.reporting import run_table

    return run_table.text(value) if isinstance(value, list | bool) else value


def _show_side_by_side(
    paths: Sequence[Path], output: Path | None, as_csv: bool, as_json: bool
) -> None:
    from lstmcli.reporting import side_by_side
    from lstmcli.utils import files

    if output is not None:
        files.check_figure_ending(output)
        files.check_figure_replaceable(output)
    found = side_by_side.read(paths)
    for note in found.notes:
        say("note", note)
    if output is not None:
        from lstmcli.reporting.figures import style

        style.save(side_by_side.figure(found), output)
    if as_json:
        runs = [row["run"] for row in found.rows]
        result: RunsCompared = {"runs": runs, "settings": found.settings, "ends": found.ends}
        print_json(result)
    elif as_csv:
        told = {**found.settings, **found.ends}
        _print_csv(["name", *found.names], [[name, *values] for name, values in told.items()])
    else:
        _print_side_by_side(found)


def _print_side_by_side(found: SideBySide) -> None:
    headings, cells = found.table()
    print_table(headings, cells)
    if not found.settings:
        print_sentence("no setting differs")
