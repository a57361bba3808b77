"""What `train` prints: facts about the settings before training, and the results after it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import typer

from lstmcli.cli.output import median_of, print_json, print_sentence, print_table, say
from lstmcli.reporting import formatting
from lstmcli.utils.errors import LstmcliError, plural, shell_quote

if TYPE_CHECKING:
    from lstmcli.cli.json_results import TrainResult, VerifyResult
    from lstmcli.config import Config
    from lstmcli.data.baselines import Baseline
    from lstmcli.data.datasets import Source
    from lstmcli.data.target import Target
    from lstmcli.training.estimate import DataFacts, Preflight
    from lstmcli.training.metrics import EpochRow
    from lstmcli.training.resume_state import ResumeState
    from lstmcli.training.run_dir import RunDirectory
    from lstmcli.training.state import TrainingState


def print_rows(directory: RunDirectory, rows: Sequence[EpochRow]) -> None:
    """A run's status and each seed's last row, as JSON."""
    from lstmcli.training import metrics

    result: TrainResult = {
        "run": str(directory.path),
        "status": directory.read_status()["status"],
        "results": [metrics.as_dict(row) for row in rows],
    }
    print_json(result)


def complete(found: ResumeState, as_json: bool) -> None:
    """Says that a run to be resumed is already complete, and draws its missing figures."""
    from lstmcli.training import metrics

    directory = found.directory
    if not found.is_drawn:
        draw(directory)
    latest = {row.seed: row for row in metrics.read_metrics(directory.metrics)}
    if as_json:
        print_rows(directory, list(latest.values()))
        return
    epochs, asked_for = found.status.get("epochs"), found.config.training.epochs
    early = found.early_stopping if epochs != asked_for else ""
    done = f"{early} ended it after {epochs} of {asked_for} epochs" if early else None
    print_sentence(f"the run is complete: {done or f'{epochs} epochs are done'}")
    _say_where(directory)


def draw(directory: RunDirectory, source: Source | None = None) -> None:
    """Draws a run's figures; warns if that fails."""
    from lstmcli import api

    if failed := api.draw(directory, source):
        say("warning", f"no figures: {failed}")
        again = f"`lstmcli train --resume {shell_quote(directory.path)}`"
        say("hint", f"once that is fixed, {again} draws them")


def verified(epochs: int, differences: Sequence[str], as_json: bool) -> None:
    """Prints whether training the same epochs twice gave the same bits.

    Raises:
        LstmcliError: it did not.
    """
    if as_json:
        same, where = not differences, list(differences)
        result: VerifyResult = {"verified": same, "epochs": epochs, "differences": where}
        print_json(result)
    if differences:
        raise LstmcliError(
            f"{epochs} {plural(epochs, 'epoch')} trained twice: the results differ in "
            f"{len(differences)} {plural(len(differences), 'place')}, first in {differences[0]}",
            "try `--threads 1 --device cpu`, which is the most reproducible",
        )
    if not as_json:
        print_sentence(
            f"verified: {epochs} {plural(epochs, 'epoch')}, trained twice, the second time "
            "interrupted and resumed, gave the same bits"
        )


def _say_where(directory: RunDirectory) -> None:
    from lstmcli.utils.terminal import escape_unprintable

    if any(directory.figures.glob("*.png")):
        typer.echo(f"figures: {escape_unprintable(str(directory.figures))}")
    typer.echo(f"run: {escape_unprintable(str(directory.path))}")
    typer.echo(f"next: lstmcli eval {shell_quote(directory.path)}")


def summarise(run: TrainingState) -> None:
    """Prints each seed's last epoch, and the next command."""
    from lstmcli.reporting import formatting
    from lstmcli.training import metrics

    schema = run.source.schema
    baselines = [] if run.floor else run.baselines.found  # The Bayes loss says more.
    if len(run.latest) > 1:
        _print_seeds(run, baselines)
    else:
        for row in run.latest.values():
            print_sentence(f"seed {row.seed}: {formatting.outcome(schema, metrics.as_dict(row))}")
        _say_what_patience_kept(run)
        for each in baselines:
            name = schema.target_kind.baseline_name(each.name)
            loss = formatting.baseline_loss(schema, each)
            print_sentence(f"baseline: {name} {loss} in validation")
    for best in run.best_epochs:
        if line := formatting.beyond_its_base(schema, best["seed"], best["val_loss"], baselines):
            print_sentence(f"{line} in validation")
    _say_each_number(run)
    for omitted in [] if run.floor else run.baselines.omitted:
        say("note", omitted)
    _warn(run, baselines)
    _say_where(run.directory)


def _print_seeds(run: TrainingState, baselines: Sequence[Baseline]) -> None:
    """Prints a table: the last epoch of each seed, the median, and the Bayes loss or baselines."""
    target = run.source.schema.target_kind
    rows = [run.latest[seed] for seed in sorted(run.latest)]
    best = {each["seed"]: str(each["epoch"] or "-") for each in run.best_epochs}
    table = {
        f"seed {row.seed}": {**_of_rows(target, [row]), "best epoch": best[row.seed]}
        for row in rows
    }
    table["median"] = _of_rows(target, rows)
    if run.floor:
        table["Bayes loss"] = _losses_of(target, run.floor.loss, _of_validation(run))
    for each in baselines:
        table[target.baseline_name(each.name)] = _losses_of(target, None, each.loss)
    headings = [
        name
        for name, _ in table["median"].items()
        if any(row.get(name, "-") != "-" for row in table.values())
    ] + ["best epoch"]
    cells = [[name, *(row.get(each, "-") for each in headings)] for name, row in table.items()]
    print_table(["", *headings], cells)


def _of_rows(target: Target, rows: Sequence[EpochRow]) -> dict[str, str]:
    """The losses of a seed, or the medians of several, by heading."""
    loss, accuracy, val_loss, excess = (
        median_of(getattr(row, name) for row in rows)
        for name in ("loss", "accuracy", "val_loss", "val_gap")
    )
    beyond = "-" if excess is None else f"{excess:.2g}"
    shown = "-" if accuracy is None else f"{accuracy:.5f}"
    losses = _losses_of(target, loss, val_loss)
    return {**losses, "excess loss": beyond, "training accuracy": shown}


def _losses_of(target: Target, loss: float | None, val_loss: float | None) -> dict[str, str]:
    """Training and validation loss, the latter in a usual unit too."""
    from lstmcli.data.target import six_digits

    familiar = None if val_loss is None else target.familiar(val_loss)
    return {
        "training loss": "-" if loss is None else six_digits(loss),
        "validation loss": "-" if val_loss is None else six_digits(val_loss),
        f"validation {target.measure}": "-" if familiar is None else f"{familiar:.4g}",
    }


def _of_validation(run: TrainingState) -> float | None:
    """The Bayes loss of the validation series."""
    [floor, *_] = run.validation_floors
    return None if floor is None else floor.loss


def _say_each_number(run: TrainingState) -> None:
    """Prints the best seed's validation errors on each of several targets, beside baselines."""
    import pandas as pd

    from lstmcli.cli.eval import print_outputs

    if not run.directory.targets.is_file():
        return
    best = min(run.best_epochs, key=lambda each: (each["val_loss"] is None, each["val_loss"]))
    found = pd.read_csv(run.directory.targets)
    several = len(run.best_epochs) > 1
    print_outputs(found, best["seed"], f"`{run.directory.targets}`", several)


def _say_what_patience_kept(run: TrainingState) -> None:
    """Prints each seed's best epoch, and whether `--patience` ended its training."""
    from lstmcli.reporting import formatting

    patience = run.config.training.patience
    for best, waited in zip(run.best_epochs, run.epochs_since_best, strict=True):
        if patience and waited and best["val_loss"] is not None:
            loss = formatting.loss(run.source.schema, best["val_loss"])
            ended = f", and {waited} more without a better one ended it" * (waited >= patience)
            where = f"seed {best['seed']}: best in epoch {best['epoch']}"
            print_sentence(f"{where}, validation loss {loss}{ended}")


def _warn(run: TrainingState, baselines: Sequence[Baseline]) -> None:
    """Warns of seeds that do not beat the best baseline or chance."""
    from lstmcli.reporting import formatting
    from lstmcli.training.trainer import DIVERGED_HINT

    unbeaten = [
        (best, beats)
        for best in run.best_epochs
        if (beats := formatting.best_unbeaten_baseline(best["val_loss"], baselines))
    ]
    for best, beats in unbeaten[:1]:
        name = run.source.schema.target_kind.baseline_name(beats.name)
        found = formatting.does_not_beat(best["seed"], best["val_loss"], name, beats.loss)
        if len(run.best_epochs) > 1:
            count = f"{len(unbeaten)} of {len(run.best_epochs)} seeds"
            do = "does" if len(unbeaten) == 1 else "do"
            found = f"{count} {do} not beat the baseline `{name}`"
        say("warning", f"{found}; try more `--epochs` or another `--learning-rate`")
    if worse := run.worse_than_chance():
        seeds = ", ".join(map(str, worse))
        guess, loss, _ = run.source.schema.target_kind.chance(run.baselines.found)
        say(
            "warning",
            f"seed {seeds} ends worse than chance: {guess} has a loss of {loss:.3g}; "
            f"{DIVERGED_HINT}",
        )


LONG = 10
"""Compiling is mentioned if it takes at least this many seconds."""
PREDICTS = {
    "change": "predicts the change from the last value",
    "residual": "predicts the residual of a linear autoregression",
}


def briefing_lines(found: Preflight) -> list[str]:
    """Facts about a run before its training, one per line."""
    settings = of_settings(found.config)
    time = f"time: {of_time(found)}"
    time += f"; device: {found.device}" if found.device else ""
    return [settings, *of_data(found.data), of_model(found), time]


def of_settings(config: Config) -> str:
    """What is trained and how, with what follows from the data filled in."""
    model, training = config.model, config.training
    said = [
        f"{model.layers:,} layer{'s' * (model.layers != 1)} of "
        f"{model.state_size:,} unit{'s' * (model.state_size != 1)}",
        f"{training.optimizer} at {training.learning_rate:g}",
        f"gradient norm up to {training.clip_norm:g}" if training.clip_norm else "",
        _epochs(training.epochs),
        f"patience {training.patience:,}" if training.patience else "",
        PREDICTS.get(config.data.predict or "", ""),
    ]
    return "settings: " + ", ".join(filter(None, said))


def _epochs(count: int) -> str:
    return f"{count:,} epoch{'s' * (count != 1)}"


def of_data(data: DataFacts) -> list[str]:
    """Facts about the data and its windows."""
    return [_labels(data), _reach(data), _losses(data)]


def data_warning(data: DataFacts) -> str | None:
    """A warning that the task cannot be learned with these windows; `None` if it can."""
    if data.outside is None or data.outside < 1:
        return None
    return (
        f"every label depends on an input before its window of {_steps(data.bptt)}, which "
        "truncated backpropagation does not reach; try a larger `--bptt`"
    )


def outside_share(part: float | None) -> str:
    """A share as a percentage, 0 % and 100 % only if it is exactly that; `-` if not known."""
    if part is None:
        return "-"
    percent = 100 * part
    if 0 < percent < 1:
        return "<1 %"
    return ">99 %" if 99 < percent < 100 else f"{percent:.0f} %"


def of_time(found: Preflight) -> str:
    """`about 10 s of training for 100 epochs, and some seconds to compile and draw`."""
    epochs = _epochs(found.epochs)
    seeds = f" of {found.seeds:,} seeds" if found.seeds > 1 else ""
    which = f"{epochs}{seeds}"
    if found.done:
        which = f"the {which} that {'are' if found.epochs != 1 else 'is'} left"
    if not found.epochs:
        return "none: no epoch is left"
    seconds = duration(max(1.0, found.training))
    if found.compiling < LONG:
        return f"about {seconds} of training for {which}, and some seconds to compile and draw"
    compiling = duration(found.compiling)
    return f"about {seconds} of training for {which}, and {compiling} to compile"


def going_on(epoch: int, window: int, windows: int) -> str:
    """Where a resumed run continues.

    Args:
        epoch: epochs completed.
        window: windows completed of the next epoch.
        windows: windows of an epoch.
    """
    if window:
        return f"resuming within epoch {epoch + 1:,}, after window {window:,} of {windows:,}"
    return f"resuming after epoch {epoch:,}" if epoch else "resuming before the first epoch"


def duration(seconds: float) -> str:
    """`8 s`, `3 min`, `2.5 h`: an estimate, rounded."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


def of_model(found: Preflight) -> str:
    """Parameters against labels."""
    labels = found.data.labels / found.parameters
    each = f"{labels:,.0f}" if labels >= 10 else f"{labels:.2g}"
    return f"model: {found.parameters:,} parameters, {each} labels per epoch and parameter"


def _labels(data: DataFacts) -> str:
    """How the data is cut."""
    text = (
        f"data: {data.labels:,} labels per epoch, in {data.windows:,} windows of "
        f"{data.rows:,} rows x {_steps(data.bptt)}, one update each"
    )
    if data.dropped:
        text += f" ({data.dropped:,} steps left over at the rows' ends are not used)"
    return text


def _reach(data: DataFacts) -> str:
    """The share of labels that depend on inputs before their window, or how far gradients go."""
    longest = ""
    if data.longest is not None:
        longest = f"; the longest sequence has {_steps(data.longest)}"
    if data.outside is None:
        return f"reach: gradients go back to the start of a window, {_steps(data.bptt)} at most" + (
            longest
        )
    if data.outside == 0:
        return f"reach: every label depends only on inputs in its window{longest}"
    counted = ""
    if data.longest is None:  # The same steps of every window.
        counted = f" ({data.outside * data.bptt:.0f} of {_steps(data.bptt)})"
    return (
        f"reach: {outside_share(data.outside)} of the labels{counted} depend on inputs before "
        f"their window, beyond the reach of truncated backpropagation{longest}"
    )


def _losses(data: DataFacts) -> str:
    """The loss of chance, and the Bayes loss or that of the best baseline."""
    from lstmcli.training.estimate import BAYES_LOSS

    target = data.schema.target_kind
    unit = "" if target.familiar(1.0) is not None else f" {target.unit}"
    chance = formatting.loss(data.schema, data.chance.loss)
    said = f"loss: {chance}{unit} is chance ({data.chance.name})"
    if data.best is None:
        return said
    loss = formatting.loss(data.schema, data.best.loss)
    if data.best.name.startswith(BAYES_LOSS):
        return f"{said}; {loss} is the {data.best.name}, the lowest that any model can expect"
    name = target.baseline_name(data.best.name)
    return f"{said}; {loss} is the best baseline ({name}), which needs no network"


def _steps(count: int) -> str:
    return f"{count:,} step{'s' if count != 1 else ''}"
