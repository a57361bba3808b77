"""`lstmcli generate`: writes a dataset."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lstmcli.cli.options import Given, Json, Overwrite, with_settings
from lstmcli.cli.output import print_json
from lstmcli.config import RunConfig
from lstmcli.errors import pasteable

if TYPE_CHECKING:
    pass


RUN_OPTIONS = {"seed"}
"""All that a dataset has to do with a run."""


@with_settings(
    "data",
    "run",
    leave_out={"data", "val_fraction", *(spec.name for spec in fields(RunConfig))} - RUN_OPTIONS,
)
def generate(
    given: Given,
    out: Annotated[Path, typer.Argument(help="The file: .npz or .csv, by its ending.")],
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Write an echo dataset: a long labelled series, with its metadata.

    The label at each step is the input some steps before. `lstmcli train --data` and
    `lstmcli eval --data` read the file back.
    """
    from lstmcli.data import dataset

    series, metadata = dataset.generate(out, overwrite=overwrite, **given)
    floor = metadata.get("floor")
    if as_json:
        print_json({"file": str(out), "sha256": series.checksum(), **series.task, **metadata})
        return
    typer.echo(f"wrote {out}: {len(series):,} steps, {series.features} input(s) a step")
    typer.echo(f"task: echo after {series.task['echo_step']} steps, {series.classes} classes")
    if floor:
        typer.echo(
            f"floor: {floor['bayes_loss']:.3g} nats a step, "
            f"accuracy at most {floor['bayes_accuracy']:.5f}, "
            f"in {floor['batch_size']} rows of windows of {floor['bptt']}"
        )
    typer.echo(f"next: lstmcli train --data {pasteable(out)}")
