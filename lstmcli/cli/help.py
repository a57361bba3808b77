"""`--help`: examples, and the options that people use; `--help-all`: all options."""

from __future__ import annotations

from copy import copy
from typing import Any

import typer

WIDEST = 120
"""The most columns that help uses: longer lines are hard to read."""
NAMES, WIDEST_NAMES = 21, 34
"""Columns for option names, on a narrow and on a wide screen; longer names have their own line."""

ARGUMENTS, OPTIONS, OUTPUT = "Arguments", "Options", "Output"
FILE, GENERATED = "Data from a file", "Generated data"
PANELS = (ARGUMENTS, OPTIONS, "Sweep", FILE, GENERATED, "Model", "Training", "Run", OUTPUT)
"""The headings, in order; an option without one is under `Options`."""

MANY = 30
"""If a command has more options, `--help` shows only the usual ones."""
USUAL = frozenset(
    {
        *("data", "target", "inputs", "horizon", "task", "echo_step", "layers", "state_size"),
        *("epochs", "batch_size", "bptt", "optimizer", "learning_rate", "dropout", "patience"),
        *("seed", "replicas", "device", "resume", "out", "overwrite", "as_json"),
        *("seeds", "tune", "compare", "jobs", "dry_run"),
        *("help", "help_all"),
    }
)
"""The options that most people use, by parameter name."""

EXAMPLES = {
    "generate": ("lstmcli generate echo.npz --noise 0.1",),
    "train": (
        "lstmcli train --layers 2 --epochs 5",
        "lstmcli train --data load.csv --target load --horizon 24",
    ),
    "eval": ("lstmcli eval runs/latest",),
    "sweep": (
        "lstmcli sweep --layers 1-3 --epochs 20",
        "lstmcli sweep --layers 1-3 --data load.csv --target load --horizon 24",
    ),
    "plot": ("lstmcli plot runs/latest --output loss.png",),
    "report": ("lstmcli report runs/latest",),
    "probe": ("lstmcli probe runs/latest",),
    "inspect": ("lstmcli inspect runs/latest",),
    "predict": ("lstmcli predict runs/latest load.csv > predictions.csv",),
    "forecast": ("lstmcli forecast runs/latest --steps 24",),
    "sample": ("lstmcli sample runs/latest --length 200",),
    "export": ("lstmcli export runs/latest model.keras",),
    "runs": ("lstmcli runs --sort val_loss",),
    "devices": ("lstmcli devices",),
}
"""Examples in help. `load.csv` stands for the user's own table, with a column `load`."""


def write_examples(command: Any, formatter: Any) -> None:
    """Writes the examples of a command."""
    examples = EXAMPLES[command.name]
    with formatter.section("Examples" if examples[1:] else "Example"):
        for line in examples:
            formatter.write(f"{'':{formatter.current_indent}}{line}\n")


def write_options(command: Any, ctx: Any, formatter: Any) -> None:
    """Writes the arguments and the options of a command, aligned alike under all headings."""
    panels: dict[str, list[tuple[str, str]]] = {name: [] for name in PANELS}
    parameters = command.get_params(ctx)
    shown = [each for each in parameters if ctx.meta.get("help_all") or _is_usual(each, parameters)]
    for parameter in shown:
        names, text = parameter.get_help_record(ctx)
        if parameter.param_type_name == "argument":
            names = parameter.metavar
        elif parameter.name == "help_all" and len(shown) < len(parameters):
            text = f"Show all options, {len(parameters) - len(shown)} more."
        panels[_panel(parameter, panels)].append((names, text))
    widest = max(len(names) for records in panels.values() for names, _ in records)
    column = min(widest, WIDEST_NAMES if formatter.width >= WIDEST_NAMES * 3 else NAMES)
    for heading, records in panels.items():
        if records:
            with formatter.section(heading):
                rows = [(names.ljust(column), text) for names, text in records]
                formatter.write_dl(rows, column)


def _is_usual(parameter: Any, parameters: list[Any]) -> bool:
    is_argument = parameter.param_type_name == "argument"
    return len(parameters) <= MANY or is_argument or parameter.name in USUAL


def _panel(parameter: Any, panels: dict[str, list[tuple[str, str]]]) -> str:
    """The heading of a parameter; the help options are under the last one."""
    if parameter.param_type_name == "argument":
        return ARGUMENTS
    if parameter.name in ("help", "help_all"):
        return OUTPUT if panels[OUTPUT] else OPTIONS
    return getattr(parameter, "rich_help_panel", None) or OPTIONS


def help_all(help_option: Any) -> Any:
    """The option `--help-all`, made from a command's `--help`."""
    option = copy(help_option)
    option.name, option.opts = "help_all", ["--help-all"]
    option.help, option.callback = "Show all options and exit.", _show_all
    return option


def _show_all(ctx: Any, parameter: Any, wanted: bool) -> None:
    if wanted and not ctx.resilient_parsing:
        ctx.meta["help_all"] = True
        typer.echo(ctx.get_help())
        ctx.exit()
