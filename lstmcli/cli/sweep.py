"""`lstmcli sweep`: trains every depth with every seed, and says how many layers are enough."""

from __future__ import annotations

import shlex
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lstmcli.cli.help import OUTPUT
from lstmcli.cli.options import (
    PATH,
    ConfigFile,
    Given,
    Json,
    Overwrite,
    ProgressStyle,
    with_settings,
)
from lstmcli.cli.output import print_json, print_sentence, print_table, say
from lstmcli.config import DEPTHS, NOT_SWEPT
from lstmcli.utils.errors import ExitCode, LstmcliError, StoppedError, plural, shell_quote
from lstmcli.utils.settings import option_name

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from lstmcli.cli.json_results import PlannedSetting, SweepPlan, SweepResult
    from lstmcli.sweeps.plan import Plan
    from lstmcli.sweeps.run import Result
    from lstmcli.sweeps.sweep_dir import SweepDirectory


@with_settings(
    "model",
    "data",
    "training",
    "run",
    "sweep",
    leave_out=NOT_SWEPT,
    lists={"layers": DEPTHS},
)
def sweep(
    ctx: typer.Context,
    given: Given,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run",
            help="Only show what would be trained, and about how long it takes.",
            rich_help_panel="Sweep",
        ),
    ] = False,
    compare: Annotated[
        str | None,
        typer.Option(
            metavar="NAME=V,V,…",
            help="Compare values of another setting instead of depths: `state-size=4,8,16`.",
            rich_help_panel="Sweep",
        ),
    ] = None,
    tune: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=V,V,…",
            help="Setting to tune for each depth by validation loss, and the values to try "
            "(default: some learning rates, unless --learning-rate is given).",
            rich_help_panel="Sweep",
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Sweep directory (default: in runs/, the same for the same sweep).",
            rich_help_panel=OUTPUT,
            metavar="DIR",
            **PATH,
        ),
    ] = None,
    config_file: ConfigFile = None,
    overwrite: Overwrite = False,
    progress: ProgressStyle = "auto",
    as_json: Json = False,
) -> None:
    """Train several depths and seeds; say how many layers are enough.

    Most settings take a list (`--state-size 4,8`) or a range of whole numbers (`--layers 1-5`);
    every combination is trained with every seed. Settings of a file take one value, except
    `--horizon 1,6,24`. The same command again trains what is missing; more seeds or depths extend
    the sweep.
    """
    from lstmcli import api
    from lstmcli.cli import progress as screens
    from lstmcli.sweeps import rounds, run
    from lstmcli.training import config_files
    from lstmcli.utils import signals

    ctx.with_resource(signals.terminable())
    style = screens.progress_style(progress)
    files = config_files.read(config_file or [])
    tables = files.tables if "data" in given else files.found()
    plan = api.plan_of(given, tables, compare, tune or None)
    for note in plan.notes:
        say("note", note)
    if dry_run:
        place = run.find_directory(plan, out, overwrite)
        _say_neighbours(place)
        _brief(plan, quiet=style == "none")
        _show_plan(plan, place, as_json)
        return
    with run.opened(plan, out, overwrite) as directory:
        _say_neighbours(directory)
        for note in directory.notes:
            say("note", note)
        left = rounds.ahead(plan, directory)
        bars = [(each.shown, each.config.training.epochs) for each, _ in left]
        style = style if rounds.may_train(plan, directory) else "none"
        with (
            _hint_to_continue(ctx.obj),
            screens.SweepView(style, bars) as view,
        ):
            for found in run.run(plan, directory):
                view.setting(**vars(found), ended=found.ended)
        result = api.conclude(plan, directory)
    if as_json:
        _print_json(result)
    else:
        _print(result, ctx.obj)
    _refuse_failed(result, directory, ctx.obj)


@contextmanager
def _hint_to_continue(argv: Sequence[str]) -> Iterator[None]:
    """Adds to an interrupted sweep's error the command that continues it."""
    try:
        yield
    except StoppedError as error:
        error.hint = f"`{_with(argv)}` continues the sweep where it stopped"
        raise


def _say_neighbours(directory: SweepDirectory) -> None:
    """Notes how many finished trials are reused from which other sweeps."""
    for place, count in directory.neighbours.items():
        say("note", f"{count} finished trials are reused from `{place}`")


def _brief(plan: Plan, quiet: bool) -> None:
    """Prints the facts that all settings share, and warns of settings that cannot be learned."""
    from lstmcli.cli import run_summary

    data = [setting.material.facts for setting in plan.settings]
    told = [run_summary.of_data(each) for each in data]
    for line in [] if quiet else told[0]:
        if all(line in lines for lines in told):
            say(*line.split(": ", 1))
    for hopeless in dict.fromkeys(filter(None, map(run_summary.data_warning, data))):
        say("warning", hopeless)


def _show_plan(plan: Plan, directory: SweepDirectory, as_json: bool) -> None:
    from lstmcli.cli.run_summary import outside_share
    from lstmcli.sweeps import grid, rounds, run, tuning

    settings: list[PlannedSetting] = [
        {
            "setting": setting.label,
            "parameters": setting.parameters,
            "labels": setting.material.facts.labels,
            "outside": setting.material.facts.outside,
            "state": setting.config.model.layers * setting.config.model.state_size * 2,
            "seeds": tuning.SEEDS if plan.tuned else len(setting.trials),
            "seconds": round(setting.seconds),
        }
        for setting in plan.settings
    ]
    left = rounds.ahead(plan, directory)
    workers, seconds = run.forecast(plan, left)
    remaining = sum(len(each.trials) for each, _ in left)
    if as_json:
        result: SweepPlan = {
            "sweep": str(directory.path),
            "settings": settings,
            "trials": plan.trials,
            "to_run": remaining,
            "seconds": round(seconds),
        }
        print_json(result)
        return
    shares = [
        {"outside": outside_share(setting.material.facts.outside)} for setting in plan.settings
    ]
    rows = [
        [*map(str, (row | shown).values())] for row, shown in zip(settings, shares, strict=True)
    ]
    headings = ["setting", "parameters", "labels", "beyond bptt", "state", "seeds", "seconds"]
    print_table(headings, rows)
    if plan.tuned:
        words = " and ".join(grid.words(name) for name in plan.tuned)
        print_sentence(
            f"these seeds choose the {words}; {plan.looks[0]} others are compared at the best value"
        )
    count = plural(workers, "worker")
    print_sentence(
        f"{plan.trials} trials, {remaining} to run: about {seconds:.0f} s with {workers} {count}"
    )
    if len(plan.looks) > 1:
        _, most = run.forecast(plan, rounds.ahead(plan, directory, -1))
        print_sentence(
            f"where these seeds do not decide, up to {plan.looks[-1]} are compared: about "
            f"{most:.0f} s in all"
        )


def _print_json(result: Result) -> None:
    summary, best = result.summary, result.best
    printed: SweepResult = {
        "sweep": str(result.directory),
        "answer": result.answer,
        "summary": summary.astype(object).where(summary.notna(), None).to_dict("records"),
        "best": {"run": str(best.run), "seed": best.seed} if best else None,
        "parts": [part.record for part in result.parts],
    }
    print_json(printed)


def _print(result: Result, argv: Sequence[str]) -> None:
    from lstmcli.cli import answer_text, run_summary
    from lstmcli.utils.terminal import escape_unprintable

    answer_text.print_answers(result.parts)
    typer.echo()
    longer = {name: text for part in result.parts for name, text in part.longer.items()}
    if longer:
        tuned = [f"{name}={text}" for name, text in longer.items()]
        typer.echo(f"more values: {_with(argv, tune=tuned)}")
    if more := result.more:
        several = len(more.layers) > 1  # Else the command names it already.
        depths = {"layers": ",".join(map(str, more.layers))} if several else {}
        seconds = run_summary.duration(more.seconds)
        print_sentence(f"{more.seeds} seeds may be enough to tell, in about {seconds} more:")
        typer.echo(f"  {_with(argv, **depths, seeds=str(more.seeds))}")
    typer.echo(f"sweep: {escape_unprintable(str(result.directory))}")
    if best := result.best:
        validated = result.trials.best_val_loss.notna().any()
        why = "lowest validation loss" if validated else "the first: there is no validation part"
        typer.echo(f"best: {escape_unprintable(str(best.run))}, seed {best.seed} ({why})")
        typer.echo(f"next: lstmcli eval {shell_quote(result.directory)}")


def _with(argv: Sequence[str], **settings: str | Sequence[str]) -> str:
    """The command that was typed, with some settings replaced and without `--overwrite`."""
    replaced = {
        option_name(name): [value] if isinstance(value, str) else value
        for name, value in settings.items()
    }
    kept: list[str] = []
    words = iter(argv)
    for word in words:
        name = word.partition("=")[0]
        if name in replaced:
            if word == name:
                next(words, None)
        elif word != "--overwrite":
            kept.append(word)
    more = ((name, value) for name, values in replaced.items() for value in values)
    return shlex.join([*kept, *(word for option in more for word in option)])


def _refuse_failed(result: Result, directory: SweepDirectory, argv: Sequence[str]) -> None:
    """Raises LstmcliError if trials have no test loss."""
    failed = result.failed
    if len(failed):
        raise LstmcliError(
            f"{len(failed)} of {len(result.trials)} trials failed; the first: "
            f"{failed.error.iloc[0]}",
            f"`{directory.trials}` lists them; `{_with(argv)}` runs them again, except those that "
            "diverged",
            ExitCode.FAILED_TRIALS,
        )
