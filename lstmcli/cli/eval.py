"""`lstmcli eval`: scores a checkpoint on series that it has not seen."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lstmcli.cli.options import PATH_OPTION, CheckpointPath, Given, Json, with_settings
from lstmcli.cli.output import print_json
from lstmcli.config import OF_THE_CHECKPOINT
from lstmcli.errors import UsageError

if TYPE_CHECKING:
    import pandas as pd

    from lstmcli.api import Evaluation
    from lstmcli.columns import Schema
    from lstmcli.data.baselines import Baseline
    from lstmcli.scoring import Score


@with_settings("data", "run", leave_out=OF_THE_CHECKPOINT, show_defaults=False)
def evaluate(
    given: Given,
    checkpoint: CheckpointPath,
    predictions: Annotated[
        Path | None,
        typer.Option(
            help="Write each step's input, label and probabilities to this CSV file.", **PATH_OPTION
        ),
    ] = None,
    all_classes: Annotated[
        bool,
        typer.Option(
            "--all-classes",
            help="Write all probabilities, and not the ten largest where there are above 100.",
        ),
    ] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace predictions that are there already.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Score a checkpoint or a run directory on a fresh series, or on a dataset.

    The fresh series comes from a stream of its own, which neither training nor validation saw. Of a
    run directory, each seed's best checkpoint counts; of a sweep's, its best trial alone: of the
    depth that its answer is about, the seed with the lowest validation loss. Settings of the task
    are the checkpoint's, unless given.
    """
    from lstmcli import api
    from lstmcli.cli import predictions as table
    from lstmcli.cli.scores import print_scores
    from lstmcli.report.terminal import visible

    if predictions is not None:
        table.check_free(predictions, overwrite)
    for name, typed in (("--overwrite", overwrite), ("--all-classes", all_classes)):
        if typed and predictions is None:
            raise UsageError(
                f"`{name}` has no effect without `--predictions`", f"leave `{name}` out"
            )
    keep = predictions is not None
    found = api.evaluate(checkpoint, keep=keep, all_classes=all_classes, **given)
    for note in found.notes:
        typer.echo(f"note: {visible(note)}", err=True)
    if predictions is not None:
        table.write(predictions, found.scores)
    if as_json:
        print_json(_as_dict(found))
        return
    typer.echo(f"checkpoint: {visible(str(found.checkpoint))}, {_epochs(found)}")
    typer.echo(f"data: {visible(found.data)}")
    print_scores(found.scores, found.baselines, found.outputs)


def _epochs(found: Evaluation) -> str:
    """After how many epochs the models were kept: `epoch 7`, or `epochs 3 to 9`."""
    first, last = min(found.epochs), max(found.epochs)
    return f"epoch {first}" if first == last else f"epochs {first} to {last} of its seeds"


def _as_dict(found: Evaluation) -> dict[str, Any]:
    """What `--json` prints; baselines, as `references`, only where there are any."""
    from lstmcli.report import words

    results = [_result(each) | _of_each(found.outputs, each.seed) for each in found.scores]
    known = {"checkpoint": str(found.checkpoint), "data": found.data, "results": results}
    schema = found.scores[0].schema
    baselines = [
        {
            "name": words.baseline(schema, each.name),
            "loss": each.loss,
            "accuracy": each.accuracy,
            **(_errors(schema, each) if schema.classes is None else {}),
            **({"bits_per_character": each.loss / math.log(2)} if schema.kind == "text" else {}),
            **_of_each(found.outputs, None, each.name),
        }
        for each in found.baselines
    ]
    beside = {"references": baselines} if baselines else {}
    return {**known, **beside, "epochs": found.epochs}


def _of_each(
    outputs: pd.DataFrame | None, seed: int | None, name: str | None = None
) -> dict[str, Any]:
    """The errors of each of several numbers, of a seed's model or of a baseline."""
    if outputs is None:
        return {}
    own = outputs.seed.isna() & (outputs.predictor == name) if name else outputs.seed == seed
    return {"outputs": outputs[own].drop(columns=["seed", "predictor"]).to_dict("records")}


def _errors(schema: Schema, baseline: Baseline) -> dict[str, float | None]:
    from lstmcli.report import words

    return {
        "rmse": words.rmse(schema, baseline.loss),
        "mae": words.mae(schema, baseline.mae),
    }


def _result(score: Score) -> dict[str, Any]:
    """A score by the names of the CSV files' columns, and what its target has beyond them."""
    floor = score.floor
    result = {
        "seed": score.seed,
        "loss": score.loss,
        "accuracy": score.accuracy,
        "bayes_loss": floor and floor.loss,
        "bayes_accuracy": floor and floor.accuracy if score.classes else None,
        "gap": floor and floor.gap(score.loss),
        "labels": score.labels,
    }
    if not score.classes:
        result |= {"rmse": score.rmse, "mae": score.mae}
    if score.schema.kind == "text":
        result["bits_per_character"] = score.bits_per_character
    return result
