"""What `lstmcli train` says of a run that has ended."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import typer

from lstmcli.cli.output import print_json
from lstmcli.errors import LstmcliError, pasteable

if TYPE_CHECKING:
    from lstmcli.data.baselines import Baseline
    from lstmcli.data.source import Source
    from lstmcli.runs.kept import Kept
    from lstmcli.runs.metrics import EpochRow
    from lstmcli.runs.rundir import RunDirectory
    from lstmcli.standing import Run


def print_rows(directory: RunDirectory, rows: Sequence[EpochRow]) -> None:
    """A run's status and each seed's last row, as JSON."""
    from lstmcli.runs import metrics

    results = [metrics.as_dict(row) for row in rows]
    status = directory.read_status()["status"]
    print_json({"run": str(directory.path), "status": status, "results": results})


def complete(found: Kept, as_json: bool) -> None:
    """Says of a run that was to be resumed that it is complete; draws what figures it lacks."""
    from lstmcli.runs import metrics

    directory = found.directory
    if not found.is_drawn:
        draw(directory)
    latest = {row.seed: row for row in metrics.read(directory.metrics)}
    if as_json:
        print_rows(directory, list(latest.values()))
        return
    epochs, asked_for = found.status.get("epochs"), found.config.training.epochs
    early = found.early_stopping if epochs != asked_for else ""
    done = f"{early} ended it after {epochs} of {asked_for} epochs" if early else None
    typer.echo(f"the run is complete: {done or f'{epochs} epochs are done'}")
    _say_where(directory)


def draw(directory: RunDirectory, source: Source | None = None) -> None:
    """Draws a run's figures; a warning says what went wrong with them."""
    from lstmcli import api
    from lstmcli.report.terminal import visible

    if failed := api.draw(directory, source):
        typer.echo(f"warning: no figures: {visible(failed)}", err=True)
        again = f"`lstmcli train --resume {pasteable(directory.path)}`"
        typer.echo(f"hint: once that is mended, {again} draws them", err=True)


def verified(epochs: int, differences: Sequence[str], as_json: bool) -> None:
    """Says whether epochs that were trained twice gave the same bits.

    Raises:
        LstmcliError: they did not.
    """
    if as_json:
        same = not differences
        print_json({"verified": same, "epochs": epochs, "differences": list(differences)})
    if differences:
        raise LstmcliError(
            f"{epochs} epochs trained twice differ in {len(differences)} places, first in "
            f"{differences[0]}",
            "`--threads 1` and `--device cpu` leave least to chance",
        )
    if not as_json:
        typer.echo(
            f"verified: {epochs} epochs trained twice, the second time broken off and resumed, "
            "gave the same bits"
        )


def _say_where(directory: RunDirectory) -> None:
    from lstmcli.report.terminal import visible

    if any(directory.figures.glob("*.png")):
        typer.echo(f"figures: {visible(str(directory.figures))}")
    typer.echo(f"run: {visible(str(directory.path))}")
    typer.echo(f"next: lstmcli eval {pasteable(directory.path)}")


def summarise(run: Run) -> None:
    """Each seed's last epoch, and what to type next."""
    from lstmcli.report import words
    from lstmcli.runs import metrics

    schema = run.source.schema
    for row in run.latest.values():
        typer.echo(f"seed {row.seed}: {words.outcome(schema, metrics.as_dict(row))}")
    _say_what_patience_kept(run)
    baselines = [] if run.floor else run.baselines.found  # The floor says more.
    for each in baselines:
        name, loss = words.baseline(schema, each.name), words.baseline_loss(schema, each)
        typer.echo(f"without a network: {name} {loss} in validation")
    for best in run.best_at:
        if line := words.beyond_its_base(schema, best["seed"], best["val_loss"], baselines):
            typer.echo(f"{line} in validation")
    _say_each_number(run)
    for omitted in [] if run.floor else run.baselines.omitted:
        typer.echo(f"note: {omitted}", err=True)
    _warn(run, baselines)
    _say_where(run.directory)


def _say_each_number(run: Run) -> None:
    """The validation of each of several numbers: of the best seed, beside what needs no network."""
    import pandas as pd

    from lstmcli.cli.scores import print_outputs

    if not run.directory.targets.is_file():
        return
    best = min(run.best_at, key=lambda each: (each["val_loss"] is None, each["val_loss"]))
    found = pd.read_csv(run.directory.targets)
    several = len(run.best_at) > 1
    print_outputs(found, best["seed"], f"`{run.directory.targets}`", several)


def _say_what_patience_kept(run: Run) -> None:
    """Says which epoch counts of a seed that has waited for a better one, and how long it did."""
    from lstmcli.report import words

    patience = run.config.training.patience
    for best, waited in zip(run.best_at, run.waited, strict=True):
        if patience and waited and best["val_loss"] is not None:
            loss = words.loss(run.source.schema, best["val_loss"])
            ended = f", and {waited} more without a better one ended it" * (waited >= patience)
            where = f"seed {best['seed']}: best in epoch {best['epoch']}"
            typer.echo(f"{where}, validation {loss}{ended}")


def _warn(run: Run, baselines: Sequence[Baseline]) -> None:
    """Says on standard error which seeds have learned nothing that is worth a network."""
    from lstmcli.experiment import CALMER
    from lstmcli.report import words

    for best in run.best_at:
        if beats := words.best_unbeaten_baseline(best["val_loss"], baselines):
            name = words.baseline(run.source.schema, beats.name)
            unbeaten = words.does_not_beat(best["seed"], best["val_loss"], name, beats.loss)
            typer.echo(
                f"warning: {unbeaten}; try more `--epochs`, or another `--learning-rate`", err=True
            )
    if worse := run.worse_than_chance():
        seeds = ", ".join(map(str, worse))
        guess, loss = words.chance(run.source.schema, run.baselines.found)
        typer.echo(
            f"warning: seed {seeds} ends worse than chance: {guess} has a loss of {loss:.3g}; "
            f"{CALMER}",
            err=True,
        )
