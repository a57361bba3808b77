"""`lstmcli sweep`: trains every depth with every seed, and says how many layers the task needs."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lstmcli.cli.options import (
    ConfigFile,
    Given,
    Json,
    Overwrite,
    ProgressStyle,
    with_settings,
)
from lstmcli.cli.output import print_json
from lstmcli.config import DEPTHS
from lstmcli.errors import ExitCode, LstmcliError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd

    from lstmcli.sweeps.directory import SweepDirectory
    from lstmcli.sweeps.plan import Plan
    from lstmcli.sweeps.story import Result


@with_settings(
    "model",
    "data",
    "training",
    "run",
    "sweep",
    leave_out={"data", "val_fraction", "replicas", "checkpoint_every"},
    lists={"layers": DEPTHS},
)
def sweep(
    ctx: typer.Context,
    given: Given,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would run.")] = False,
    out: Annotated[
        Path | None,
        typer.Option(help="Sweep directory (default: one that the same sweep finds again)."),
    ] = None,
    config_file: ConfigFile = None,
    overwrite: Overwrite = False,
    progress: ProgressStyle = "auto",
    as_json: Json = False,
) -> None:
    """Train every depth with every seed, and say how many layers the task needs.

    Any setting takes a list (`--state-size 4,8`, `--echo-step 3,6`) or, for whole numbers, a range
    (`--layers 1-5`); every combination is trained with every seed. The same command again finishes
    what is missing, and with more seeds or depths it adds them.
    """
    from lstmcli import api
    from lstmcli.report import console
    from lstmcli.runs.rundir import read_config
    from lstmcli.sweeps import story

    style = console.progress_style(progress)
    plan = api.plan_of(given, read_config(config_file) if config_file else None)
    if dry_run:
        _show_plan(plan, story.find_directory(plan, out, overwrite))
        return
    with story.opened(plan, out, overwrite) as directory:
        left = directory.missing(plan.settings)
        bars = [(each.name, each.config.training.epochs) for each in left]
        with console.SweepView(style, bars) as view:
            for found in story.run(plan, directory):
                epoch = None if found.ended else found.epoch
                view.setting(found.name, epoch, found.solved, found.seeds)
        result = story.conclude(plan, directory)
    if as_json:
        _print_json(result)
    else:
        _print(result, plan, ctx.obj)
    _refuse_failed(result, directory)


def _show_plan(plan: Plan, directory: SweepDirectory) -> None:
    from rich.console import Console
    from rich.table import Table

    from lstmcli.sweeps import story

    table = Table("setting", "parameters", "state", "seeds", "about")
    for setting in plan.settings:
        model = setting.config.model
        table.add_row(
            setting.label,
            f"{setting.parameters:,}",
            str(model.layers * model.state_size * 2),
            str(len(setting.trials)),
            f"{setting.seconds:.0f} s",
        )
    Console().print(table)
    left = directory.missing(plan.settings)
    workers = max(1, min(story.workers(plan.asked), len(left)))
    seconds = max([0.0, *(each.seconds for each in left)])
    seconds = max(seconds, sum(each.seconds for each in left) / workers) + 5
    remaining = sum(len(each.trials) for each in left)
    typer.echo(
        f"{plan.trials} trials, {remaining} to run: about {seconds:.0f} s with {workers} worker(s)"
    )


def _print_json(result: Result) -> None:
    summary = result.summary
    rows = summary.astype(object).where(summary.notna(), None).to_dict("records")
    print_json({"sweep": str(result.directory), "answer": result.answer, "summary": rows})


def _print(result: Result, plan: Plan, argv: Sequence[str]) -> None:
    _print_summary(result.summary, plan.swept)
    for line in result.answers:
        typer.echo(line)
    if more := result.more:
        typer.echo(
            f"{more.seeds} seeds would tell, more likely than not; they take about "
            f"{more.seconds:.0f} s more: {_with_seeds(argv, more.seeds)}"
        )
    typer.echo(f"sweep: {result.directory}")


def _with_seeds(argv: Sequence[str], seeds: int) -> str:
    """The command that was typed, with another number of seeds."""
    kept: list[str] = []
    words = iter(argv)
    for word in words:
        if word == "--seeds":
            next(words, None)
        elif not word.startswith("--seeds=") and word != "--overwrite":
            kept.append(word)
    return shlex.join([*kept, "--seeds", str(seeds)])


def _refuse_failed(result: Result, directory: SweepDirectory) -> None:
    """Raises LstmcliError where trials have no test loss."""
    failed = result.failed
    if len(failed):
        raise LstmcliError(
            f"{len(failed)} of {len(result.trials)} trials failed; the first: "
            f"{failed.error.iloc[0]}",
            f"`{directory.trials}` names each; the same command again runs those that can be "
            "mended, not those that diverged",
            ExitCode.FAILED_TRIALS,
        )


def _print_summary(summary: pd.DataFrame, swept: list[str]) -> None:
    from rich.console import Console
    from rich.table import Table

    others = [name for name in swept if name != "state_size"]
    table = Table("layers", "size", *others, "params", "solved", "test loss", "95 %", "epochs", "p")
    for _, row in summary.iterrows():
        table.add_row(
            f"{row.layers:.0f}",
            f"{row.state_size:.0f}",
            *(
                f"{row[name]:g}" if isinstance(row[name], float) else str(row[name])
                for name in others
            ),
            f"{row.parameters:,.0f}",
            f"{row.solve_rate * row.seeds:.0f}/{row.seeds:.0f}",
            f"{row.iqm:.3g}",
            f"{row.ci_low:.2g}-{row.ci_high:.2g}",
            "-" if row.epochs_to_solve != row.epochs_to_solve else f"{row.epochs_to_solve:.0f}",
            "-" if row.p_value != row.p_value else f"{row.p_value:.2g}",
        )
    Console().print(table)
