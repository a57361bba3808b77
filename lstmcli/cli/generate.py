"""`lstmcli generate`: writes a dataset."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lstmcli.cli.options import Given, Json, Overwrite, with_settings
from lstmcli.cli.output import print_json
from lstmcli.config import DataConfig, RunConfig, TrainingConfig
from lstmcli.errors import UsageError, pasteable
from lstmcli.files import check_writable

if TYPE_CHECKING:
    from lstmcli.data.series import Series


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
    from lstmcli.data import echo, storage
    from lstmcli.streams import Stream, generator

    run = RunConfig(seed=given.pop("seed", RunConfig.seed))
    task = DataConfig(**given)
    storage.check_format(out)
    _check_free(out, overwrite)
    series = echo.generate(task, generator(run.seed, Stream.DATASET))
    floor = _floor(series)
    metadata = {"seed": run.seed, **({"floor": floor} if floor else {})}
    storage.write(out, series, metadata)
    if as_json:
        print_json({"file": str(out), "sha256": series.checksum(), **series.task, **metadata})
        return
    typer.echo(f"wrote {out}: {len(series):,} steps, {series.features} input(s) a step")
    typer.echo(f"task: echo after {task.echo_step} steps, {series.classes} classes")
    if floor:
        typer.echo(
            f"floor: {floor['bayes_loss']:.3g} nats a step, "
            f"accuracy at most {floor['bayes_accuracy']:.5f}, "
            f"in {floor['batch_size']} rows of windows of {floor['bptt']}"
        )
    typer.echo(f"next: lstmcli train --data {pasteable(out)}")


def _check_free(out: Path, overwrite: bool) -> None:
    """Raises UsageError where a file cannot be written, or is there and not to be replaced."""
    from lstmcli.data import storage

    for file in storage.files(out):
        check_writable(file)
    there = [file for file in storage.files(out) if file.exists()]
    if there and not storage.is_ours(out):
        raise UsageError(
            f"`{there[-1]}` is there already, and is not as `lstmcli generate` wrote it: it is "
            "not replaced",
            "choose another name",
        )
    if there and not overwrite:
        raise UsageError(f"`{there[0]}` is there already", "pass `--overwrite` to replace it")


def _floor(series: Series) -> dict[str, Any] | None:
    """The floor in the article's layout, by its metadata's names; `None` if it does not fit."""
    from lstmcli.data.echo import bayes_floor
    from lstmcli.data.series import Layout

    layout = Layout(len(series), TrainingConfig.batch_size, TrainingConfig.bptt)
    floor = bayes_floor(series, layout) if layout.windows else None
    if floor is None:
        return None
    return {
        "batch_size": layout.rows,
        "bptt": layout.bptt,
        "bayes_loss": floor.loss,
        "bayes_accuracy": floor.accuracy,
    }
