"""`lstmcli probe`: which layer remembers what, how far gradients reach, what a layer is for."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lstmcli.cli.options import OUTPUT, PATH, PATH_OPTION, Given, Json, with_settings
from lstmcli.cli.output import print_json
from lstmcli.config import OF_TENSORFLOW, OF_THE_CHECKPOINT, ProbeConfig

if TYPE_CHECKING:
    import pandas as pd

    from lstmcli.probes.story import Probe


def _option(name: str) -> Any:
    [spec] = [each for each in fields(ProbeConfig) if each.name == name]
    return typer.Option(help=spec.metadata["help"])


@with_settings("data", "run", leave_out=(*OF_THE_CHECKPOINT, *OF_TENSORFLOW), show_defaults=False)
def probe(
    given: Given,
    checkpoint: Annotated[
        list[Path],
        typer.Argument(
            metavar="CHECKPOINT",
            help="Checkpoint files or run directories, to be looked at beside each other.",
            show_default=False,
            **PATH,
        ),
    ],
    gradient: Annotated[
        bool, typer.Option("--gradient", help="Ask instead how far the gradient reaches.")
    ] = False,
    ablate: Annotated[
        bool,
        typer.Option(
            "--ablate",
            help="Ask instead what is lost without a layer's carried state, and without a unit.",
        ),
    ] = False,
    lags: Annotated[int, _option("lags")] = ProbeConfig.lags,
    steps: Annotated[int, _option("steps")] = ProbeConfig.steps,
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
            help="Write all figures to this CSV file.", rich_help_panel=OUTPUT, **PATH_OPTION
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Tell which layer remembers what: how much a linear readout knows of earlier inputs.

    A ridge regression recovers the input so many steps ago from each layer's h and c, judged on
    steps that it was not fitted on: R squared for numbers, bits for symbols. The sum over the steps
    is the memory capacity (Jaeger 2001), shown beside that of the untrained network. TensorFlow is
    not needed.
    """
    from lstmcli import api, figure_files
    from lstmcli.cli import probed
    from lstmcli.probes import drawing
    from lstmcli.report.figures import canvas
    from lstmcli.report.terminal import visible

    if output is not None:
        figure_files.check_ending(output)
        figure_files.check_replaceable(output)
    if csv is not None:
        probed.check_replaceable(csv)
    asked: dict[str, Any] = {"gradient": gradient, "ablate": ablate, "lags": lags, "steps": steps}
    found = [api.probe(each, **asked, **given) for each in checkpoint]
    for note in dict.fromkeys(note for each in found for note in each.subject.notes):
        typer.echo(f"note: {visible(note)}", err=True)
    if csv is not None:
        probed.write(csv, found)
    if output is not None:
        canvas.save(drawing.figure(found), output)
    if as_json:
        print_json({"probes": [_as_dict(each) for each in found]})
        return
    for each in found:
        typer.echo(f"checkpoint: {visible(str(each.subject.checkpoint))}")
        typer.echo(f"data: {visible(each.subject.data)}")
        probed.PRINT[each.kind](each)


def _as_dict(found: Probe) -> dict[str, Any]:
    """What `--json` prints of a checkpoint, by the names of the CSV file's columns."""
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
