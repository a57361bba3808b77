"""`lstmcli eval`: scores a checkpoint on series that it has not seen."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lstmcli.cli.options import PATH_OPTION, CheckpointPath, Given, Json, with_settings
from lstmcli.cli.output import median_of, print_json, print_sentence, print_table, say
from lstmcli.config import OF_THE_CHECKPOINT
from lstmcli.reporting import formatting
from lstmcli.utils.errors import UsageError

if TYPE_CHECKING:
    import pandas as pd

    from lstmcli.api import Evaluation
    from lstmcli.data.baselines import Baseline
    from lstmcli.training.evaluate import Score


@with_settings("data", "run", leave_out=OF_THE_CHECKPOINT, show_defaults=False)
def evaluate(
    given: Given,
    checkpoint: CheckpointPath,
    predictions: Annotated[
        Path | None,
        typer.Option(
            help="Write input, label and probabilities of each step to this CSV file.",
            **PATH_OPTION,
        ),
    ] = None,
    all_classes: Annotated[
        bool,
        typer.Option(
            "--all-classes",
            help="With --predictions: write all probabilities, even of more than 100 classes.",
        ),
    ] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace a predictions file that is already there.")
    ] = False,
    ahead: Annotated[
        int | None,
        typer.Option(
            help="Score forecasts up to this many steps ahead, from many steps of the test part.",
            metavar="STEPS",
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
    """Score a trained model on data that it has not seen.

    The data is the test part of the training file, another dataset (`--data`) or, for a generated
    task, a new series. Of a run directory each seed's best checkpoint is scored. Of a sweep it is
    the best trial: the seed with the lowest validation loss at the depth that the answer names.
    Task settings are the checkpoint's, unless given.
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
    data, path = escape_unprintable(found.data), escape_unprintable(str(found.checkpoint))
    about = [f"data: {data}", f"checkpoint: {path}, {_epochs(found)}"]
    print_scores(found.scores, found.baselines, found.outputs, about)


def _epochs(found: Evaluation) -> str:
    """How many epochs the models were trained for: `epoch 7`, or `epochs 3 to 9 of its seeds`."""
    first, last = min(found.epochs), max(found.epochs)
    return f"epoch {first}" if first == last else f"epochs {first} to {last} of its seeds"


def _as_dict(found: Evaluation) -> dict[str, Any]:
    """What `--json` prints; `references` are the baselines, if there are any."""
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
    """The errors on each of several targets, of a seed's model or of a baseline."""
    if outputs is None:
        return {}
    own = outputs.seed.isna() & (outputs.predictor == name) if name else outputs.seed == seed
    return {"outputs": outputs[own].drop(columns=["seed", "predictor"]).to_dict("records")}


def _result(score: Score) -> dict[str, Any]:
    """A score under the column names of the CSV files, and its target's own measures."""
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


LARGEST_TABLE = 12  # labels, in a confusion matrix that can still be read
MOST_CONFUSED = 10


def print_scores(
    scores: Sequence[Score],
    baselines: Sequence[Baseline],
    outputs: pd.DataFrame | None = None,
    about: Sequence[str] = (),
) -> None:
    """Prints how good the models are, then each seed's figures and the baselines.

    Args:
        scores: one for each seed.
        baselines: scored on the same steps. They are left out where the Bayes loss is known.
        outputs: the errors on each target, where there are several.
        about: lines about what was scored, printed below the first one.
    """
    for line in [*_answer(scores, baselines), *about]:
        print_sentence(line)
    _print_table(scores, baselines)
    best = min(scores, key=lambda score: score.loss)
    if outputs is not None:
        print_outputs(outputs, best.seed, "`--json`", several=len(scores) > 1)
    # Seeds of one model confuse much the same.
    _print_confusion(best, f"seed {best.seed}, of the lowest loss: " if scores[1:] else "")


def _answer(scores: Sequence[Score], baselines: Sequence[Baseline]) -> list[str]:
    """How many seeds solve the task or, where the Bayes loss is not known, beat the baselines."""
    from lstmcli.data.target import six_digits

    score = scores[0]
    if score.floor:
        floors = [each.floor for each in scores if each.floor]
        solved = [floor.solved(each.loss) for each, floor in zip(scores, floors, strict=True)]
        excess = [floor.gap(each.loss) for each, floor in zip(scores, floors, strict=True)]
        return [
            f"{_how_many(solved, scores, 'solve')} the task: {_median(scores)}excess loss "
            f"{median(excess):.2g} (solved is below {score.floor.line:.2g})"
        ]
    said = [
        line
        for each in scores
        if (line := formatting.beyond_its_base(each.schema, each.seed, each.loss, baselines))
    ]
    if not baselines:
        return said
    best = min(baselines, key=lambda each: each.loss)
    beaten = [each.loss < best.loss for each in scores]
    return [
        f"{_how_many(beaten, scores, 'beat')} `{score.target.baseline_name(best.name)}`, the best "
        f"baseline: {_median(scores)}loss {six_digits(median(each.loss for each in scores))} "
        f"against {six_digits(best.loss)}",
        *said,
    ]


def _how_many(success: Sequence[bool], scores: Sequence[Score], verb: str) -> str:
    """`seed 0 does not beat`, `2 of 3 seeds solve`."""
    if len(scores) == 1:
        return f"seed {scores[0].seed} {f'{verb}s' if success[0] else f'does not {verb}'}"
    count = sum(success)
    return f"{count or 'none'} of {len(scores)} seeds {verb}{'s' if count < 2 else ''}"


def _median(scores: Sequence[Score]) -> str:
    return "median " if len(scores) > 1 else ""


def print_outputs(outputs: pd.DataFrame, seed: int, where: str, several: bool = False) -> None:
    """Prints the errors on each of several targets, beside the best baseline's.

    Args:
        outputs: the columns of `targets.csv`.
        seed: whose errors are shown.
        where: where the whole table is, in words.
        several: whether there are other seeds.
    """
    from lstmcli.reporting import formatting

    rows = formatting.beside_baselines(outputs, seed)
    headings, cells = formatting.outputs_table(rows)
    note = formatting.said_of_rows_left_out(cells, rows, where)
    print_sentence(
        "errors on each target, in its own units"
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


def _print_table(scores: Sequence[Score], baselines: Sequence[Baseline]) -> None:
    """A row for each seed and for the median, then the Bayes loss or the baselines."""
    schema, target = scores[0].schema, scores[0].target
    if not scores[0].floor or target.familiar(1.0) is not None:
        print_sentence(f"target: {formatting.target(schema)}{target.described}")
    rows = {f"seed {each.seed}": _figures([each]) for each in scores}
    if len(scores) > 1:
        rows["median"] = _figures(scores)
    headings = [*next(iter(rows.values()))]
    if floor := scores[0].floor:
        accuracy = target.accuracy(floor.accuracy)
        rows["Bayes loss (expected)"] = target.figures(floor.loss, accuracy, None)
    else:
        for each in baselines:
            name = target.baseline_name(each.name)
            rows[name] = formatting.baseline_figures(schema, each)
    cells = [[name, *(row.get(each, "-") for each in headings)] for name, row in rows.items()]
    print_table(["", *headings], cells)
    if floor:
        print_sentence(
            "Bayes loss: the loss of the best possible predictor on the same labels; excess loss: "
            "the model's loss minus that"
        )


def _figures(scores: Sequence[Score]) -> dict[str, str]:
    """The figures of one seed, or the medians of several, by heading."""
    from lstmcli.data.target import six_digits

    floors = [(each.floor, each.loss) for each in scores if each.floor]
    count, counts = counted(scores[0]), {each.labels for each in scores}
    beyond = {}
    if floors:
        beyond = {
            "Bayes loss": six_digits(median(floor.oracle for floor, _ in floors)),
            "excess loss": f"{median(floor.gap(loss) for floor, loss in floors):.2g}",
        }
    return {
        **scores[0].target.figures(
            median(each.loss for each in scores),
            median_of(each.accuracy for each in scores),
            median_of(each.mae for each in scores),
        ),
        **beyond,
        count: f"{counts.pop():,}" if len(counts) == 1 else "-",
    }


def _print_confusion(score: Score, whose: str = "") -> None:
    """A confusion matrix; where there are many labels, the most frequent confusions."""
    from lstmcli.data.schema import Categorical

    counts, column, kind = score.confusion, score.schema.target, score.schema.target_kind.counted
    if not isinstance(column, Categorical) or not counts.size:
        return
    if len(counts) <= 2 and column.values is None:
        return
    names = [formatting.value(score.schema, column, label) for label in range(len(counts))]
    if len(counts) <= LARGEST_TABLE:
        print_sentence(f"{whose}confusion matrix ({kind}: rows true, columns predicted):")
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
        print_sentence(f"{whose}every {kind[:-1]} was predicted correctly")
        return
    print_sentence(
        f"{whose}most frequent confusions, and their share of the steps with that true {kind[:-1]}:"
    )
    print_table(["true", "predicted", "count", "share"], pairs)


def _most_confused(counts: Any) -> list[tuple[int, int, int]]:
    """The most frequent mistakes: true label, predicted label, count."""
    import numpy as np

    mistakes = counts.copy()
    np.fill_diagonal(mistakes, 0)
    order = np.argsort(-mistakes, axis=None, kind="stable")[:MOST_CONFUSED]
    found = [divmod(int(place), len(counts)) for place in order]
    return [(*pair, int(mistakes[pair])) for pair in found if mistakes[pair]]
