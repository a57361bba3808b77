"""`lstmcli sweep`: trains every depth with every seed, and says how many layers the task needs."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lstmcli.cli.options import ConfigFile, Given, Json, ProgressStyle, with_settings
from lstmcli.cli.output import print_json
from lstmcli.config import Config
from lstmcli.errors import ExitCode, LstmcliError, StoppedError, UsageError

if TYPE_CHECKING:
    import pandas as pd

    from lstmcli.report.console import SweepView
    from lstmcli.sweep.grid import Setting
    from lstmcli.sweep.tables import SweepDirectory

DEPTHS = "1-5"
BACKENDS = ("local", "ray")
MATCHES = ("params", "state")


@with_settings(
    "model",
    "data",
    "training",
    "run",
    leave_out={"data", "val_fraction", "replicas", "checkpoint_every"},
    lists={"layers": DEPTHS},
)
def sweep(
    given: Given,
    seeds: Annotated[int, typer.Option(help="Seeds of each setting, from --seed on.", min=1)] = 8,
    match: Annotated[
        str | None,
        typer.Option(help="Choose the state size so that depths are equal in `params` or `state`."),
    ] = None,
    jobs: Annotated[
        int | None, typer.Option(help="Worker processes (default: one a core).", min=1)
    ] = None,
    backend: Annotated[str, typer.Option(help="local, or ray (a cluster).")] = "local",
    address: Annotated[
        str | None, typer.Option(help="Of the Ray cluster; without it a local one is used.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would run.")] = False,
    out: Annotated[
        Path | None,
        typer.Option(help="Sweep directory (default: one that the same command finds again)."),
    ] = None,
    config_file: ConfigFile = None,
    progress: ProgressStyle = "auto",
    as_json: Json = False,
) -> None:
    """Train every depth with every seed, and say how many layers the task needs.

    Any setting takes a list (`--state-size 4,8`, `--echo-step 3,6`) or, for whole numbers, a range
    (`--layers 1-5`); every combination is trained with every seed. The same command again finishes
    what is missing.
    """
    from lstmcli.report import console
    from lstmcli.sweep import tables

    _check_choice("--match", match, MATCHES)
    _check_choice("--backend", backend, BACKENDS)
    style = console.progress_style(progress)
    settings = _settings(given, config_file, seeds, match)
    directory = tables.SweepDirectory(out or Path("runs") / f"sweep-{_identity(settings)}")
    known = directory.known()
    left = tables.missing(settings, known)
    if dry_run:
        _show_plan(settings, left, jobs)
        return
    _write_config(directory, settings)
    view = console.SweepView(style, [(each.name, each.config.training.epochs) for each in left])
    if left:
        results = _results(left, directory, jobs, backend, address)
        _run(results, left, directory, settings, known, view)
    _report(directory, settings, known, as_json)


def _check_choice(option: str, value: str | None, choices: tuple[str, ...]) -> None:
    if value is not None and value not in choices:
        raise UsageError(f"`{option}` must be one of {', '.join(choices)}, got {value}")


def _settings(
    given: Given, config_file: Path | None, seeds: int, match: str | None
) -> list[Setting]:
    """The grid that the options ask for."""
    from lstmcli.runs.rundir import read_config
    from lstmcli.sweep import grid

    single = {name for name in given if name in grid.FIXED}
    lists = {name: grid.parse(name, text) for name, text in given.items() if name not in single}
    one_value = {
        name: values[0] for name, values in lists.items() if len(values) == 1 and name != "layers"
    }
    base = Config.build(
        read_config(config_file) if config_file else None,
        **{name: given[name] for name in single},
        **one_value,
        replicas=seeds,
        checkpoint_every="1000000",
    )
    if base.data.data is not None:
        raise UsageError(
            f"a sweep draws fresh series, but `{config_file}` names the dataset `{base.data.data}`",
            "take `data` out of its [data] table, or use `lstmcli train --config`",
        )
    return grid.expand(base, {"layers": grid.parse("layers", DEPTHS), **lists}, match)


def _identity(settings: list[Setting]) -> str:
    """A short hash of all trials: the same command finds its directory again."""
    trials = sorted(identity for setting in settings for identity in setting.trials.values())
    return hashlib.sha256(json.dumps(trials).encode()).hexdigest()[:8]


def _show_plan(settings: list[Setting], left: list[Setting], jobs: int | None) -> None:
    from rich.console import Console
    from rich.table import Table

    from lstmcli.sweep.execute import cores

    table = Table("setting", "parameters", "state", "seeds", "about")
    for setting in settings:
        model = setting.config.model
        table.add_row(
            setting.label,
            f"{setting.parameters:,}",
            str(model.layers * model.state_size * 2),
            str(len(setting.trials)),
            f"{setting.seconds:.0f} s",
        )
    Console().print(table)
    workers = min(jobs or len(cores()), max(1, len(left)))
    trials, remaining = (sum(len(each.trials) for each in part) for part in (settings, left))
    seconds = max([0.0, *(each.seconds for each in left)])
    seconds = max(seconds, sum(each.seconds for each in left) / workers) + 5
    typer.echo(
        f"{trials} trials, {remaining} to run: about {seconds:.0f} s with {workers} worker(s)"
    )


def _write_config(directory: SweepDirectory, settings: list[Setting]) -> None:
    import tomli_w

    from lstmcli.files import write_atomically

    table = {"setting": [{"name": each.label, **each.config.to_dict()} for each in settings]}
    try:
        directory.settings.mkdir(parents=True, exist_ok=True)
        write_atomically(directory.config, tomli_w.dumps(table).encode())
    except OSError as error:
        raise UsageError(
            f"cannot write to `{directory.path}`: {error.strerror}",
            "choose a directory of yours with `--out`",
        ) from error


def _results(
    left: list[Setting],
    directory: SweepDirectory,
    jobs: int | None,
    backend: str,
    address: str | None,
) -> Iterator[Any]:
    from lstmcli.sweep import cluster, execute

    workers = jobs or len(execute.cores())
    if backend == "ray":
        return cluster.run_ray(left, directory.settings, workers, address)
    return execute.run_local(left, directory.settings, workers)


def _run(
    results: Iterator[Any],
    left: list[Setting],
    directory: SweepDirectory,
    settings: list[Setting],
    known: dict[str, dict[str, Any]],
    view: SweepView,
) -> None:
    """Runs what is left; each setting's rows are on disk as soon as it ends."""
    from contextlib import closing

    from lstmcli.signals import stop_signals

    ended: set[str] = set()
    with stop_signals() as stopped, view, closing(results):  # type: ignore[type-var]
        for result in results:
            if stopped:
                done = f"{len(known)} of {sum(len(each.trials) for each in settings)}"
                raise StoppedError(
                    f"stopped by {stopped[0].name}: {done} trials are done",
                    "the same command again runs the others",
                    ExitCode(128 + stopped[0]),
                )
            if result is not None:
                setting, rows = result
                known |= {row["trial"]: row for row in rows}
                directory.write_trials(settings, known)
                ended.add(setting.name)
                solved = sum(bool(row["solved"]) for row in rows)
                view.setting(setting.name, None, solved, len(rows))
            else:
                for setting in left:
                    if setting.name not in ended:
                        epoch, solved = directory.progress(setting)
                        view.setting(setting.name, epoch, solved, len(setting.trials))


def _report(
    directory: SweepDirectory,
    settings: list[Setting],
    known: dict[str, dict[str, Any]],
    as_json: bool,
) -> None:
    """Writes the tables and figures, and says the answer."""
    from lstmcli.report import figures
    from lstmcli.sweep import statistics, tables

    trials = directory.write_trials(settings, known)
    swept = list(settings[0].swept)
    summary = statistics.summarise(trials, swept)
    tables.write_csv(directory.summary, summary)
    curves = directory.write_curves(settings)
    answers = statistics.answers(trials, summary, swept)
    figures.write_sweep(directory.figures, trials, summary, curves, swept)
    if as_json:
        rows = summary.astype(object).where(summary.notna(), None).to_dict("records")
        print_json({"sweep": str(directory.path), "answer": "; ".join(answers), "summary": rows})
    else:
        _print_summary(summary, swept)
        for line in answers:
            typer.echo(line)
        typer.echo(f"sweep: {directory.path}")
    lost = trials[trials.test_loss.isna()]
    if len(lost):
        raise LstmcliError(
            f"{len(lost)} of {len(trials)} trials failed; the first: {lost.error.iloc[0]}",
            f"`{directory.trials}` names each; the same command again runs the failed ones",
            ExitCode.FAILED_TRIALS,
        )


def _print_summary(summary: pd.DataFrame, swept: list[str]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("layers", "size", *swept, "params", "solved", "test loss", "95 %", "epochs", "p")
    for _, row in summary.iterrows():
        table.add_row(
            f"{row.layers:.0f}",
            f"{row.state_size:.0f}",
            *(
                f"{row[name]:g}" if isinstance(row[name], float) else str(row[name])
                for name in swept
            ),
            f"{row.parameters:,.0f}",
            f"{row.solve_rate * row.seeds:.0f}/{row.seeds:.0f}",
            f"{row.iqm:.3g}",
            f"{row.ci_low:.2g}-{row.ci_high:.2g}",
            "-" if row.epochs_to_solve != row.epochs_to_solve else f"{row.epochs_to_solve:.0f}",
            "best" if row.p_value != row.p_value else f"{row.p_value:.2g}",
        )
    Console().print(table)
