"""`lstmcli eval`: scores a checkpoint on series that it has not seen."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lstmcli.cli.options import CheckpointPath, Given, Json, with_settings
from lstmcli.cli.output import print_json, print_table
from lstmcli.config import OF_THE_CHECKPOINT
from lstmcli.errors import UsageError
from lstmcli.files import check_writable, write_atomically

if TYPE_CHECKING:
    import pandas as pd

    from lstmcli.scoring import Score

LARGEST_TABLE = 12  # labels of which a table of all pairs can still be read
MOST_CONFUSED = 10


@with_settings("data", "run", leave_out=OF_THE_CHECKPOINT, show_defaults=False)
def evaluate(
    given: Given,
    checkpoint: CheckpointPath,
    predictions: Annotated[
        Path | None,
        typer.Option(help="Write each step's input, label and probabilities to this CSV file."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Score a checkpoint or a run directory on a fresh series, or on a dataset.

    The fresh series comes from a stream of its own, which neither training nor validation saw. Of a
    run directory, each seed's best checkpoint counts. Settings of the task are the checkpoint's,
    unless given.
    """
    from lstmcli import api

    if predictions is not None:
        _check_replaceable(predictions)
    found = api.evaluate(checkpoint, **given)
    for note in found.notes:
        typer.echo(f"note: {note}", err=True)
    if predictions is not None:
        _write_predictions(predictions, found.scores)
    if as_json:
        results = [_result(each) for each in found.scores]
        print_json({"checkpoint": str(found.checkpoint), "data": found.data, "results": results})
        return
    typer.echo(f"checkpoint: {found.checkpoint}\ndata: {found.data}")
    for each in found.scores:
        _print(each)


def _check_replaceable(path: Path) -> None:
    """Raises UsageError where predictions cannot be written, or would replace something else."""
    check_writable(path)
    begins = path.read_bytes()[:9] if path.is_file() else b""
    if begins not in (b"", b"step,row,", b"seed,step"):
        raise UsageError(
            f"`{path}` is there already and holds no predictions", "choose another name for them"
        )


def _result(score: Score) -> dict[str, Any]:
    """A score by the names of the CSV files' columns."""
    floor = score.floor
    return {
        "seed": score.seed,
        "loss": score.loss,
        "accuracy": score.accuracy,
        "bayes_loss": floor and floor.loss,
        "bayes_accuracy": floor and floor.accuracy,
        "gap": floor and floor.gap(score.loss),
        "labels": int(score.windows.targets.size),
    }


def _print(score: Score) -> None:
    typer.echo(f"seed {score.seed}: {score.windows.targets.size:,} labels")
    if score.floor is None:
        typer.echo(f"  loss     {_loss(score.loss)}\n  accuracy {score.accuracy:.5f}")
    else:
        floor, gap = score.floor, score.floor.gap(score.loss)
        typer.echo(f"  loss     {_loss(score.loss)}  floor   {floor.loss:.6f}  (expected)")
        typer.echo(f"  oracle   {floor.oracle:.6f}  gap     {gap:.2g}  (on these labels)")
        typer.echo(f"  accuracy {score.accuracy:.5f}   ceiling {floor.accuracy:.5f}")
    if score.log_probabilities.shape[-1] > 2:
        _print_confusion(score)


def _loss(loss: float) -> str:
    return f"{loss:.6f}" if loss < 1000 else f"{loss:.3g}"


def _print_confusion(score: Score) -> None:
    """A small table of all labels; of many, the pairs that were confused most often."""
    counts = score.confusion()
    if len(counts) <= LARGEST_TABLE:
        typer.echo("labels (rows) and what they were taken for:")
        rows = [[str(label), *(f"{n:,}" for n in row)] for label, row in enumerate(counts)]
        print_table(["label", *map(str, range(len(counts)))], rows)
        return
    totals = counts.sum(1)
    pairs = [
        [str(label), str(guess), f"{count:,}", f"{count / totals[label]:.1%}"]
        for label, guess, count in _most_confused(counts)
    ]
    if not pairs:
        typer.echo("no label was taken for another")
        return
    typer.echo("labels that were taken for another most often, and the share of the label's steps:")
    print_table(["label", "taken for", "count", "share"], pairs)


def _most_confused(counts: Any) -> list[tuple[int, int, int]]:
    """Label, what it was taken for, and how often, of the most frequent mistakes."""
    import numpy as np

    mistakes = counts.copy()
    np.fill_diagonal(mistakes, 0)
    order = np.argsort(-mistakes, axis=None, kind="stable")[:MOST_CONFUSED]
    found = [divmod(int(place), len(counts)) for place in order]
    return [(*pair, int(mistakes[pair])) for pair in found if mistakes[pair]]


def _write_predictions(path: Path, scores: list[Score]) -> None:
    import pandas as pd

    frame = pd.concat([_predictions(each) for each in scores])
    if len(scores) == 1:
        frame = frame.drop(columns="seed")
    write_atomically(path, frame.to_csv(index=False).encode())


def _predictions(score: Score) -> pd.DataFrame:
    """A row for each step of each row of the series, in the series' order."""
    import numpy as np
    import pandas as pd

    windows, bptt, rows, classes = score.log_probabilities.shape

    def along_rows(values: Any) -> Any:
        """`[windows, bptt, rows, …]` -> `[rows * windows * bptt, …]`."""
        return np.moveaxis(values, 2, 0).reshape(rows * windows * bptt, *values.shape[3:])

    inputs = along_rows(score.windows.inputs)
    one_hot = inputs.shape[1] > 1 and bool(
        (inputs.sum(1) == 1).all() and (inputs.max(1) == 1).all()
    )
    columns = {
        "seed": score.seed,
        "step": np.tile(np.arange(windows * bptt), rows),
        "row": np.repeat(np.arange(rows), windows * bptt),
    }
    if inputs.shape[1] == 1 or one_hot:
        columns["input"] = inputs.argmax(1) if one_hot else inputs[:, 0]
    else:
        columns |= {f"input_{feature}": inputs[:, feature] for feature in range(inputs.shape[1])}
    columns["label"] = along_rows(score.windows.targets)
    probabilities = np.exp(along_rows(score.log_probabilities))
    columns |= {f"probability_{label}": probabilities[:, label] for label in range(classes)}
    return pd.DataFrame(columns)
