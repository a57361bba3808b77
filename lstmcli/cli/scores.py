"""What `lstmcli eval` says of scores: figures beside their floor or baselines, and confusions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import typer

from lstmcli.cli.output import print_table
from lstmcli.report import words

if TYPE_CHECKING:
    import pandas as pd

    from lstmcli.columns import Schema
    from lstmcli.data.baselines import Baseline
    from lstmcli.data.echo import Floor
    from lstmcli.scoring import Score

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
    from lstmcli.report import outputs as each

    rows = each.beside_baselines(outputs, seed)
    headings, cells = each.table(rows)
    note = each.shown(cells, rows, where)
    typer.echo(
        "each number, in its own units"
        + (f", of seed {seed}, which has the lowest loss" if several else "")
        + (f" ({note})" if note else "")
        + ":"
    )
    print_table(headings, cells)
    if said := each.unbeaten(rows):
        typer.echo(said)


def counted(score: Score) -> str:
    """What was scored: `characters`, `sequences` (one step of each), `labels` or `targets`."""
    import numpy as np

    series = score.windows.series
    if score.schema.kind == "text":
        return "characters"
    if series.starts is not None and series.scored is not None:
        begins = series.bounds()[:-1]
        if (np.add.reduceat(series.scored.astype(np.int64), begins) == 1).all():
            return "sequences"
    return "labels" if score.classes else "targets"


def _print_beside_floor(score: Score, floor: Floor) -> None:
    gap = floor.gap(score.loss)
    unit = counted(score) if score.labels != 1 else counted(score).removesuffix("s")
    typer.echo(f"seed {score.seed}: {score.labels:,} {unit}")
    typer.echo(f"  loss     {words.six_digits(score.loss)}  floor   {floor.loss:.6f}  (expected)")
    typer.echo(f"  oracle   {floor.oracle:.6f}  gap     {gap:.2g}  (on these labels)")
    if score.accuracy is not None:
        typer.echo(f"  accuracy {score.accuracy:.5f}   ceiling {floor.accuracy:.5f}")
    elif score.rmse is not None and score.mae is not None:
        units = f"(in units of {words.target(score.schema)})"
        typer.echo(f"  rmse     {score.rmse:<8.6g}  mae     {score.mae:.6g}  {units}")


def _print_beside_baselines(scores: Sequence[Score], baselines: Sequence[Baseline]) -> None:
    """A table: a row for each seed, then one for each baseline."""
    schema, unit = scores[0].schema, counted(scores[0])
    typer.echo(f"target: {_target(schema)}")
    own = [
        (
            f"seed {each.seed}",
            words.figures(schema, each.loss, each.accuracy, each.mae),
            each.labels,
        )
        for each in scores
    ]
    without = [
        (
            words.baseline(schema, each.name),
            words.baseline_figures(schema, each),
            None,
        )
        for each in baselines
    ]
    rows = [
        [name, *figures.values(), "-" if count is None else f"{count:,}"]
        for name, figures, count in [*own, *without]
    ]
    print_table(["", *own[0][1], unit], rows)


def _target(schema: Schema) -> str:
    """What was to be predicted, and in which units the figures are."""
    name = words.target(schema)
    if schema.classes is not None:
        kind = "characters" if schema.kind == "text" else "classes"
        return f"{name}, one of {schema.classes:,} {kind}"
    count = schema.signature(False, False).outputs
    units = f", the mean of all {count}" if count > 1 else "; rmse and mae in its own units"
    return f"{name} (loss: squared error of the standardised {words.learned(schema)}{units})"


def _print_unbeaten(score: Score, baselines: Sequence[Baseline]) -> None:
    """Says what a model adds to its base, and where it knows nothing that needs no network."""
    if line := words.beyond_its_base(score.schema, score.seed, score.loss, baselines):
        typer.echo(line)
    if best := words.best_unbeaten_baseline(score.loss, baselines):
        name = words.baseline(score.schema, best.name)
        typer.echo(
            f"seed {score.seed} does not beat `{name}`, which needs no network: loss "
            f"{words.six_digits(score.loss)} against {words.six_digits(best.loss)}"
        )


def _print_confusion(score: Score, whose: str = "") -> None:
    """A small table of all labels; of many, the pairs that were confused most often."""
    from lstmcli.columns import Categorical

    counts, target = score.confusion, score.schema.target
    if not isinstance(target, Categorical) or not counts.size:
        return
    if len(counts) <= 2 and target.values is None:
        return
    names = [words.value(score.schema, target, label) for label in range(len(counts))]
    kind = "characters" if score.schema.kind == "text" else "labels"
    if len(counts) <= LARGEST_TABLE:
        typer.echo(f"{whose}{kind} (rows) and what they were taken for:")
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
        typer.echo(f"{whose}no {kind[:-1]} was taken for another")
        return
    typer.echo(
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
