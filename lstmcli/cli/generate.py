"""`lstmcli generate`: writes a dataset."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lstmcli.cli.options import PATH, Given, Json, Overwrite, with_settings
from lstmcli.cli.output import print_json, print_sentence
from lstmcli.config import OF_THE_FILE, RunConfig
from lstmcli.utils.errors import plural, shell_quote

if TYPE_CHECKING:
    from lstmcli.data.schema import Schema
    from lstmcli.data.series import Series

RUN_OPTIONS = {"seed"}
"""The settings of a run that a dataset depends on."""


@with_settings(
    "data",
    "run",
    leave_out={"data", *OF_THE_FILE, *(spec.name for spec in fields(RunConfig))} - RUN_OPTIONS,
)
def generate(
    given: Given,
    out: Annotated[
        Path, typer.Argument(help="The file, ending in .npz or .csv.", metavar="OUT", **PATH)
    ],
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Generate the data of a task, and write it to a file.

    It is one long labelled series or many sequences, with metadata. In the echo task each label is
    the input some steps earlier; `--task` chooses another task. `lstmcli train --data` and
    `lstmcli eval --data` read the file.
    """
    from lstmcli.data.tasks import dataset

    series, metadata = dataset.generate(out, overwrite=overwrite, **given)
    if as_json:
        print_json(_facts(out, series, metadata))
        return
    for line in _lines(out, series, metadata):
        print_sentence(line)
    typer.echo(f"next: lstmcli train --data {shell_quote(out)}")


def _facts(out: Path, series: Series, metadata: dict[str, Any]) -> dict[str, Any]:
    """What `--json` prints."""
    facts = {"file": str(out), "sha256": series.checksum(), **series.task, **metadata}
    if series.starts is not None:
        facts["steps"], facts["sequences"] = len(series), int(series.starts.sum())
    if series.classes:
        facts["classes"] = series.classes
    return facts


def _predicted(schema: Schema) -> str:
    """What the target is."""
    if isinstance(schema.target, tuple):
        [column] = schema.target
        return f"a number with mean {column.mean:.4g}, standard deviation {column.scale:.4g}"
    return f"{schema.target.size} classes"


def _lines(out: Path, series: Series, metadata: dict[str, Any]) -> list[str]:
    """A description of the dataset, line by line."""
    from lstmcli.data import tasks

    task = tasks.TASKS[series.task["name"]]
    sequences = "" if series.starts is None else f" in {series.starts.sum():,} sequences"
    lines = [
        f"wrote {out}: {len(series):,} steps{sequences}, {series.features} "
        f"{plural(series.features, 'input')} per step",
        f"task: {task.describe(series)}, {_predicted(series.schema)}",
    ]
    if floor := metadata.get("floor"):
        lines.append(
            f"Bayes loss (the lowest that any model can expect) of the whole file: "
            f"{floor['bayes_loss']:.3g} nats per step, accuracy at most "
            f"{floor['bayes_accuracy']:.5f}, for {floor['batch_size']} rows and windows of "
            f"{floor['bptt']} steps"
        )
    if baseline := metadata.get("baseline"):
        unit = series.schema.target_kind.bayes_unit
        lines.append(f"baseline: {baseline['loss']:.3g} {unit}, for {baseline['of']}")
    if task.success:
        lines.append(f"solved, by the paper's criterion: {task.success}")
    return lines
