"""`lstmcli eval`: scores a checkpoint on series that it has not seen."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lstmcli.cli.options import PATH_OPTION, CheckpointPath, Given, Json, with_settings
from lstmcli.cli.output import print_json, print_sentence, print_table, say
from lstmcli.config import OF_THE_CHECKPOINT
from lstmcli.reporting import formatting
from lstmcli.utils.errors import UsageError

if TYPE_CHECKING:
    import pandas as pd

    from lstmcli.api import Evaluation
    from lstmcli.data.baselines import Baseline
    from lstmcli.data.tasks.echo import BayesLoss
    from lstmcli.training.evaluate import Score


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
    ahead: Annotated[
        int | None,
        typer.Option(
            help="Forecast so many steps ahead instead, from many steps of the test part.",
            show_default=False,
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            help="With --ahead, write a figure to this file: .png, .svg or .pdf.", **PATH_OPTION
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Score a checkpoint or a run directory on a fresh series, or on a dataset.

    The fresh series comes from a stream of its own, which neither training nor validation saw. Of a
    run directory, each seed's best checkpoint counts; of a sweep's, its best trial alone: of the
    depth that its answer is about, the seed with the lowest validation loss. Settings of the task
    are the checkpoint's, unless given.
    """
    from lstmcli import api
    from lstmcli.cli import backtest
    from lstmcli.cli import predictions_csv as table
    from lstmcli.utils.terminal import escape_unprintable

    if ahead is not None:
        if predictions is not None:
            raise UsageError(
                "`--predictions` has no effect with `--ahead`", "leave one of them out"
            )
        backtest.run(checkpoint, given, ahead, output, as_json)
        return
    if output is not None:
        raise UsageError("`--output` has no effect without `--ahead`", "leave `--output` out")
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
        say("note", note)
    if predictions is not None:
        table.write(predictions, found.scores)
    if as_json:
        print_json(_as_dict(found))
        return
    typer.echo(f"checkpoint: {escape_unprintable(str(found.checkpoint))}, {_epochs(found)}")
    print_sentence(f"data: {escape_unprintable(found.data)}")
    print_scores(found.scores, found.baselines, found.outputs)


def _epochs(found: Evaluation) -> str:
    """After how many epochs the models were kept: `epoch 7`, or `epochs 3 to 9`."""
    first, last = min(found.epochs), max(found.epochs)
    return f"epoch {first}" if first == last else f"epochs {first} to {last} of its seeds"


def _as_dict(found: Evaluation) -> dict[str, Any]:
    """What `--json` prints; baselines, as `references`, only where there are any."""
    results = [_result(each) | _of_each(found.outputs, each.seed) for each in found.scores]
    known = {"checkpoint": str(found.checkpoint), "data": found.data, "results": results}
    target = found.scores[0].target
    baselines = [
        {
            "name": target.baseline_name(each.name),
            "loss": each.loss,
            "accuracy": each.accuracy,
            **target.errors(each.loss, each.mae),
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


def _result(score: Score) -> dict[str, Any]:
    """A score by the names of the CSV files' columns, and what its target has beyond them."""
    floor = score.floor
    return {
        "seed": score.seed,
        "loss": score.loss,
        "accuracy": score.accuracy,
        "bayes_loss": floor and floor.loss,
        "bayes_accuracy": floor and score.target.accuracy(floor.accuracy),
        "gap": floor and floor.gap(score.loss),
        "labels": score.labels,
        **score.errors,
    }


LARGEST_TABLE = 12  # labels of which a table of all pairs can still be read
MOST_CONFUSED = 10


def print_scores(
    scores: Sequence[Score],
    baselines: Sequence[Baseline],
    outputs: pd.DataFrame | None = None,
) -> None:
    """Prints each seed's figures beside what they are to be held against, and what was confused.

    Where no floor is known, that is of the best seed alone.

    Args:
        scores: one for each seed.
        baselines: what the same steps cost without a network. They are left out where the floor is
            known, which says more.
        outputs: of several numbers that are predicted, the errors of each.
    """
    if not all(each.floor for each in scores):
        _print_beside_baselines(scores, baselines)
    best = min(scores, key=lambda score: score.loss)
    for each in scores:
        if each.floor:
            _print_beside_floor(each, each.floor)
            _print_confusion(each)
        else:
            _print_unbeaten(each, baselines)
    if outputs is not None:
        print_outputs(outputs, best.seed, "`--json`", several=len(scores) > 1)
    if not best.floor:  # Seeds of one model confuse much the same.
        _print_confusion(best, f"seed {best.seed}, of the lowest loss: " if scores[1:] else "")


def print_outputs(outputs: pd.DataFrame, seed: int, where: str, several: bool = False) -> None:
    """Prints the errors of each of several numbers, beside the best that needs no network.

    Args:
        outputs: the columns of `targets.csv`.
        seed: whose.
        where: where all of them are, in words.
        several: whether there are other seeds.
    """
    from lstmcli.reporting import formatting

    rows = formatting.beside_baselines(outputs, seed)
    headings, cells = formatting.outputs_table(rows)
    note = formatting.said_of_rows_left_out(cells, rows, where)
    print_sentence(
        "each number, in its own units"
        + (f", of seed {seed}, which has the lowest loss" if several else "")
        + (f" ({note})" if note else "")
        + ":"
    )
    print_table(headings, cells)
    if said := formatting.unbeaten_outputs(rows):
        print_sentence(said)


def counted(score: Score) -> str:
    """What was scored: `characters`, `sequences` (one step of each), `labels` or `targets`."""
    import numpy as np

    series = score.windows.series
    if series.has_sequences and series.scored is not None:
        begins = series.bounds()[:-1]
        if (np.add.reduceat(series.scored.astype(np.int64), begins) == 1).all():
            return "sequences"
    return score.target.counted


def _print_beside_floor(score: Score, floor: BayesLoss) -> None:
    from lstmcli.data.target import six_digits

    gap = floor.gap(score.loss)
    unit = counted(score) if score.labels != 1 else counted(score).removesuffix("s")
    print_sentence(f"seed {score.seed}: {score.labels:,} {unit}")
    typer.echo(f"  loss     {six_digits(score.loss)}  floor   {floor.loss:.6f}  (expected)")
    typer.echo(f"  oracle   {floor.oracle:.6f}  gap     {gap:.2g}  (on these labels)")
    if score.accuracy is not None:
        typer.echo(f"  accuracy {score.accuracy:.5f}   ceiling {floor.accuracy:.5f}")
    elif score.rmse is not None and score.mae is not None:
        units = f"(in units of {formatting.target(score.schema)})"
        typer.echo(f"  rmse     {score.rmse:<8.6g}  mae     {score.mae:.6g}  {units}")


def _print_beside_baselines(scores: Sequence[Score], baselines: Sequence[Baseline]) -> None:
    """A table: a row for each seed, then one for each baseline."""
    schema, target, unit = scores[0].schema, scores[0].target, counted(scores[0])
    print_sentence(f"target: {formatting.target(schema)}{target.described}")
    own = [
        (
            f"seed {each.seed}",
            target.figures(each.loss, each.accuracy, each.mae),
            each.labels,
        )
        for each in scores
    ]
    without = [
        (
            target.baseline_name(each.name),
            formatting.baseline_figures(schema, each),
            None,
        )
        for each in baselines
    ]
    rows = [
        [name, *figures.values(), "-" if count is None else f"{count:,}"]
        for name, figures, count in [*own, *without]
    ]
    print_table(["", *own[0][1], unit], rows)


def _print_unbeaten(score: Score, baselines: Sequence[Baseline]) -> None:
    """Says what a model adds to its base, and where it knows nothing that needs no network."""
    from lstmcli.data.target import six_digits

    if line := formatting.beyond_its_base(score.schema, score.seed, score.loss, baselines):
        print_sentence(line)
    if best := formatting.best_unbeaten_baseline(score.loss, baselines):
        name = score.target.baseline_name(best.name)
        print_sentence(
            f"seed {score.seed} does not beat `{name}`, which needs no network: loss "
            f"{six_digits(score.loss)} against {six_digits(best.loss)}"
        )


def _print_confusion(score: Score, whose: str = "") -> None:
    """A small table of all labels; of many, the pairs that were confused most often."""
    from lstmcli.data.schema import Categorical

    counts, column, kind = score.confusion, score.schema.target, score.schema.target_kind.counted
    if not isinstance(column, Categorical) or not counts.size:
        return
    if len(counts) <= 2 and column.values is None:
        return
    names = [formatting.value(score.schema, column, label) for label in range(len(counts))]
    if len(counts) <= LARGEST_TABLE:
        print_sentence(f"{whose}{kind} (rows) and what they were taken for:")
        rows = [[name, *(f"{n:,}" for n in row)] for name, row in zip(names, counts, strict=True)]
        print_table([kind[:-1], *names], rows)
        return
    _print_most_confused(counts, names, whose, kind)


def _print_most_confused(counts: Any, names: Sequence[str], whose: str, kind: str) -> None:
    totals = counts.sum(1)
    pairs = [
        [names[label], names[guess], f"{count:,}", f"{count / totals[label]:.1%}"]
        for label, guess, count in _most_confused(counts)
    ]
    if not pairs:
        print_sentence(f"{whose}no {kind[:-1]} was taken for another")
        return
    print_sentence(
        f"{whose}{kind} that were taken for another most often, and the share of the "
        f"{kind[:-1]}'s steps:"
    )
    print_table([kind[:-1], "taken for", "count", "share"], pairs)


def _most_confused(counts: Any) -> list[tuple[int, int, int]]:
    """Label, what it was taken for, and how often, of the most frequent mistakes."""
    import numpy as np

    mistakes = counts.copy()
    np.fill_diagonal(mistakes, 0)
    order = np.argsort(-mistakes, axis=None, kind="stable")[:MOST_CONFUSED]
    found = [divmod(int(place), len(counts)) for place in order]
    return [(*pair, int(mistakes[pair])) for pair in found if mistakes[pair]]
