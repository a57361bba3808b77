"""`lstmcli probe`: what each layer remembers, how far gradients reach, what each layer is for."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lstmcli.cli.help import OUTPUT
from lstmcli.cli.options import (
    PATH_OPTION,
    RUN_PATH,
    Given,
    Json,
    own_option,
    with_settings,
)
from lstmcli.cli.output import print_json, print_sentence, say
from lstmcli.config import OF_TENSORFLOW, OF_THE_CHECKPOINT, ProbeConfig
from lstmcli.utils.files import check_replaceable, write_atomically
from lstmcli.utils.terminal import escape_unprintable

if TYPE_CHECKING:
    import pandas as pd

    from lstmcli.cli.json_results import ProbeOfCheckpoint, ProbeResult
    from lstmcli.probes.run import Probe


@with_settings("data", "run", leave_out=(*OF_THE_CHECKPOINT, *OF_TENSORFLOW), show_defaults=False)
def probe(
    given: Given,
    checkpoint: Annotated[
        list[Path],
        typer.Argument(
            metavar="CHECKPOINT",
            help="Checkpoint files or run directories; several are compared.",
            show_default=False,
            **RUN_PATH,
        ),
    ],
    gradient: Annotated[
        bool, typer.Option("--gradient", help="Measure how far gradients reach instead.")
    ] = False,
    ablate: Annotated[
        bool,
        typer.Option(
            "--ablate",
            help="Measure the loss without a layer's carried state, or without a unit, instead.",
        ),
    ] = False,
    lags: Annotated[int, own_option(ProbeConfig, "lags")] = ProbeConfig.lags,
    steps: Annotated[int, own_option(ProbeConfig, "steps")] = ProbeConfig.steps,
    output: Annotated[
        Path | None,
        typer.Option(
            help="Write a figure to this file: .png, .svg or .pdf.",
            rich_help_panel=OUTPUT,
            **PATH_OPTION,
        ),
    ] = None,
    csv: Annotated[
        Path | None,
        typer.Option(
            help="Write all numbers to this CSV file.", rich_help_panel=OUTPUT, **PATH_OPTION
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Measure what each layer remembers of earlier inputs.

    For each lag, a ridge regression recovers the input from each layer's h and c. It is scored on
    steps that it was not fitted to: R squared for numbers, bits for symbols. The sum over the lags
    is the memory capacity (Jaeger 2001), shown beside that of the untrained network. TensorFlow is
    not needed.
    """
    from lstmcli import api
    from lstmcli.cli import probe_tables
    from lstmcli.reporting.figures import probe as probe_figures
    from lstmcli.reporting.figures import style
    from lstmcli.utils import files
    from lstmcli.utils.terminal import escape_unprintable

    if output is not None:
        files.check_figure_ending(output)
        files.check_figure_replaceable(output)
    if csv is not None:
        check_replaceable(csv, _is_ours, "holds no probe's table")
    asked: dict[str, Any] = {"gradient": gradient, "ablate": ablate, "lags": lags, "steps": steps}
    found = [api.probe(each, **asked, **given) for each in checkpoint]
    for note in dict.fromkeys(note for each in found for note in each.subject.notes):
        say("note", note)
    if csv is not None:
        write_table(csv, found)
    if output is not None:
        style.save(probe_figures.probe_figure(found), output)
    if as_json:
        result: ProbeResult = {"probes": [_as_dict(each) for each in found]}
        print_json(result)
        return
    for each in found:
        if len(found) > 1:
            typer.echo(f"checkpoint: {escape_unprintable(str(each.subject.checkpoint))}")
        probe_tables.PRINT[each.kind](each)
        print_sentence(f"data: {escape_unprintable(each.subject.data)}")
        if len(found) == 1:
            typer.echo(f"checkpoint: {escape_unprintable(str(each.subject.checkpoint))}")


def _as_dict(found: Probe) -> ProbeOfCheckpoint:
    """What `--json` prints for a checkpoint, under the column names of the CSV file."""
    return {
        "checkpoint": str(found.subject.checkpoint),
        "data": found.subject.data,
        "probe": found.kind,
        "results": _rows(found.table),
    }


def _rows(table: pd.DataFrame) -> list[dict[str, Any]]:
    known = table.astype(object).where(table.notna(), None)
    rows: list[dict[str, Any]] = known.to_dict("records")
    return rows


HEADERS = (["seed", "network", "layer"], ["seed", "layer", "zeroed"])
"""The columns that follow the checkpoint's, for each kind of probe."""


def _is_ours(path: Path) -> bool:
    try:
        with path.open(encoding="utf-8", newline="") as file:
            names = next(csv.reader(file), [])
    except (UnicodeDecodeError, csv.Error):
        return False
    names = names[1:] if names[:1] == ["checkpoint"] else names
    return names[:3] in HEADERS


def write_table(path: Path, found: Sequence[Probe]) -> None:
    """Writes the tables of probes, one after the other.

    Raises:
        OSError: the file cannot be written.
    """
    import pandas as pd

    tables = [each.table.copy() for each in found]
    if len(found) > 1:
        for table, each in zip(tables, found, strict=True):
            table.insert(0, "checkpoint", escape_unprintable(str(each.subject.checkpoint)))
    write_atomically(path, pd.concat(tables).to_csv(index=False).encode())
