"""The commands' options: one for each setting of the config, and a few of their own.

A setting's option takes its name, type, default and help from its dataclass; nothing is
repeated here.
"""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import Field, fields
from pathlib import Path
from typing import Annotated, Any

import typer

from lstmcli.cli.completion import one_of, run_directories
from lstmcli.cli.help import FILE, GENERATED, OUTPUT
from lstmcli.config import GROUPS, ONE_IN_A_SWEEP, PATHS, SweepConfig
from lstmcli.utils.errors import UsageError
from lstmcli.utils.settings import Settings, option_name, setting_types

OPTION_GROUPS: dict[str, type[Settings]] = {**GROUPS, "sweep": SweepConfig}
SINGLE = ("run", "sweep")
"""Groups whose settings are never lists."""

Given = dict[str, Any]
"""The settings that were typed, by name. The others come from a file or are defaults."""


def named_path(text: str) -> Path:
    """A path that was typed.

    Raises:
        UsageError: it is empty (which `Path` takes for `.`), or no file can have this name.
    """
    if not text:
        raise UsageError("expected the name of a file or a directory, got an empty one")
    if "\0" in text:
        raise UsageError(f"expected the name of a file or a directory, got {text!r}")
    return Path(text)


def choices(names: Collection[str]) -> dict[str, Any]:
    """Arguments for an option with a few choices: help shows them, and a shell completes them."""
    return {"metavar": "|".join(names), "autocompletion": one_of(names)}


PATH: dict[str, Any] = {"parser": named_path}
"""Arguments for an argument that is a path."""
PATH_OPTION: dict[str, Any] = {**PATH, "metavar": "FILE"}
"""Arguments for an option that is a path."""

RUN_PATH: dict[str, Any] = {**PATH, "autocompletion": run_directories}
"""Arguments for an argument that is a run's directory, which a shell completes."""

CheckpointPath = Annotated[
    Path,
    typer.Argument(
        help="A checkpoint file, or the directory of a run or a sweep.",
        metavar="CHECKPOINT",
        show_default=False,
        **RUN_PATH,
    ),
]
ConfigFile = Annotated[
    list[Path] | None,
    typer.Option(
        "--config",
        help="TOML file of settings, which options override.",
        rich_help_panel="Run",
        **PATH_OPTION,
    ),
]
RunOut = Annotated[
    Path | None,
    typer.Option(
        "--out",
        help="Run directory (default: a new one in runs/).",
        rich_help_panel=OUTPUT,
        metavar="DIR",
        **PATH,
    ),
]
Overwrite = Annotated[
    bool,
    typer.Option("--overwrite", help="Replace what is already there.", rich_help_panel=OUTPUT),
]
ProgressStyle = Annotated[
    str,
    typer.Option(
        "--progress",
        help="A bar (rich), a line per epoch (plain) or none; auto: a bar on a terminal.",
        rich_help_panel=OUTPUT,
        **choices(("auto", "rich", "plain", "none")),
    ),
]
LiveStyle = Annotated[
    str,
    typer.Option(
        "--live",
        help="Show the loss and some predictions below the bar (auto), in a window, or not (off).",
        rich_help_panel=OUTPUT,
        **choices(("auto", "off", "window")),
    ),
]
Json = Annotated[
    bool,
    typer.Option("--json", help="Print the result as one JSON object.", rich_help_panel=OUTPUT),
]


def with_settings(
    *groups: str,
    leave_out: Collection[str] = (),
    show_defaults: bool = True,
    lists: Mapping[str, str] | None = None,
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Gives a command an option for each setting of some groups.

    The command has a parameter `given: Given`, which receives the settings that were typed; it may
    have a `ctx: typer.Context` too.

    Args:
        groups: names of tables of the config.
        leave_out: settings that the command has no use for.
        show_defaults: whether the defaults of the config are the command's too.
        lists: makes every setting a list of values, given as a text; its entries are the defaults
            that differ from the config's. Settings of SINGLE groups stay single.
    """
    wanted = [
        _parameter(group, spec, kind, optional, show_defaults, None if group in SINGLE else lists)
        for group in groups
        for spec, kind, optional in setting_types(OPTION_GROUPS[group])
        if spec.name not in leave_out
    ]

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        signature = inspect.signature(command, eval_str=True)
        own = [each for each in signature.parameters.values() if each.name not in ("given", "ctx")]
        context_wanted = "ctx" in signature.parameters
        context = inspect.Parameter("ctx", inspect.Parameter.KEYWORD_ONLY, annotation=typer.Context)

        @functools.wraps(command)
        def run(ctx: typer.Context, **values: Any) -> None:
            settings = {each.name: values.pop(each.name) for each in wanted}
            given = {name: value for name, value in settings.items() if _was_typed(ctx, name)}
            if context_wanted:
                values["ctx"] = ctx
            command(**values, given=given)

        keywords = [each.replace(kind=inspect.Parameter.KEYWORD_ONLY) for each in own]
        parameters = [context, *wanted, *keywords]
        run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        run.__annotations__ = {each.name: each.annotation for each in parameters}
        return run

    return decorate


def _parameter(
    group: str,
    spec: Field[Any],
    kind: type,
    optional: bool,
    show_default: bool,
    lists: Mapping[str, str] | None,
) -> inspect.Parameter:
    """A command's parameter for a setting."""
    default = getattr(OPTION_GROUPS[group], spec.name)
    help = spec.metadata["help"]
    if lists is not None and kind is not bool:
        kind, default = str, lists.get(spec.name, default and str(default))
        if spec.name in lists:
            help = re.sub(r" \(default: .*\)", "", help)
    name = option_name(spec.name)
    option = typer.Option(
        f"{name}/--no-{name[2:]}" if default is True else name,
        help=help,
        show_default=show_default and not (optional and default is None),
        rich_help_panel=_panel(group, spec),
        metavar=_metavar(spec, lists is not None and spec.name not in ONE_IN_A_SWEEP),
        autocompletion=_completion(spec, lists is not None),
    )
    return inspect.Parameter(
        spec.name,
        inspect.Parameter.KEYWORD_ONLY,
        default=default,
        annotation=Annotated[kind | None if optional else kind, option],
    )


def _panel(group: str, spec: Field[Any]) -> str:
    """The heading of a setting in `--help`."""
    if spec.metadata.get("source") == "drawn":
        return GENERATED
    return FILE if group == "data" else group.capitalize()


def _metavar(spec: Field[Any], several: bool = False) -> str | None:
    """The placeholder of a setting's value in `--help`; `None` for one that is on or off."""
    if "choices" in spec.metadata:
        return "|".join(spec.metadata["choices"])
    if spec.type == "bool":
        return None
    is_path = any(spec.name in names for names in PATHS.values())
    name: str = spec.metadata.get("metavar", "FILE" if is_path else "N")
    return name + ",…" * several


def _completion(spec: Field[Any], several: bool) -> Callable[[str], list[str]] | None:
    """How a setting's value is completed; `None` leaves it to the shell."""
    if spec.name == "init_from":
        return run_directories
    names = spec.metadata.get("choices") or spec.metadata.get("completed")
    return one_of(names, several) if names else None


def own_option(group: type[Settings], name: str) -> Any:
    """The option for a setting of one command alone."""
    [spec] = [spec for spec in fields(group) if spec.name == name]
    return typer.Option(help=spec.metadata["help"], metavar=_metavar(spec))


def _was_typed(ctx: typer.Context, name: str) -> bool:
    source = ctx.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"
