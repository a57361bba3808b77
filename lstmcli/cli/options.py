"""What commands can be given: an option for each setting of the config, and a few of their own.

A setting's option takes its name, type, default and help from its dataclass; nothing is
repeated here.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Collection, Mapping
from dataclasses import Field, fields
from pathlib import Path
from typing import Annotated, Any

import typer

from lstmcli.cli.completion import one_of, run_directories
from lstmcli.config import GROUPS, SweepConfig
from lstmcli.utils.errors import UsageError
from lstmcli.utils.settings import Settings, option_name, setting_types

OPTION_GROUPS: dict[str, type[Settings]] = {**GROUPS, "sweep": SweepConfig}
SINGLE = ("run", "sweep")
"""Groups whose settings are never lists."""

Given = dict[str, Any]
"""The settings that were typed, by name: the rest come from a file or are defaults."""


def named_path(text: str) -> Path:
    """A path that was typed. An empty one would stand for the directory that one is in.

    Raises:
        UsageError: it is empty, or no file can be called so.
    """
    if not text:
        raise UsageError("expected the name of a file or a directory, got an empty one")
    if "\0" in text:
        raise UsageError(f"expected the name of a file or a directory, got {text!r}")
    return Path(text)


PATH: dict[str, Any] = {"parser": named_path}
"""How an argument takes a path."""
PATH_OPTION: dict[str, Any] = {**PATH, "metavar": "<path>"}
"""How an option does."""

RUN_PATH: dict[str, Any] = {**PATH, "autocompletion": run_directories}
"""How an argument takes the directory of a run, which a shell completes."""

CheckpointPath = Annotated[
    Path,
    typer.Argument(
        help="A checkpoint file, or the directory of a run or of a sweep.",
        show_default=False,
        **RUN_PATH,
    ),
]
OUTPUT = "Output"
"""The heading in `--help` of the options that are about files and the screen."""

ConfigFile = Annotated[
    list[Path] | None,
    typer.Option(
        "--config",
        help="A TOML file of settings, as a run saves it; of several the later wins, and options "
        "beat them.",
        rich_help_panel="Run",
        **PATH_OPTION,
    ),
]
RunOut = Annotated[
    Path | None,
    typer.Option(
        "--out",
        help="Run directory (default: runs/<date>-<time>-<task>-<size>).",
        rich_help_panel=OUTPUT,
        **PATH_OPTION,
    ),
]
Overwrite = Annotated[
    bool,
    typer.Option("--overwrite", help="Replace what is there already.", rich_help_panel=OUTPUT),
]
ProgressStyle = Annotated[
    str,
    typer.Option(
        "--progress",
        help="auto, rich (a bar), plain (a line an epoch) or none.",
        autocompletion=one_of(("auto", "rich", "plain", "none")),
        metavar="STYLE",
        rich_help_panel=OUTPUT,
    ),
]
LiveStyle = Annotated[
    str,
    typer.Option(
        "--live",
        help="Below the bar, the loss and what the network makes of five rows: auto (on a "
        "terminal), off, or window (in a window of its own).",
        autocompletion=one_of(("auto", "off", "window")),
        metavar="STYLE",
        rich_help_panel=OUTPUT,
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
    if lists is not None and kind is not bool:
        kind, default = str, lists.get(spec.name, default and str(default))
    name = option_name(spec.name)
    option = typer.Option(
        f"{name}/--no-{name[2:]}" if default is True else name,
        help=_help(spec.metadata["help"], spec.metadata.get("choices")),
        show_default=show_default and not (optional and default is None),
        rich_help_panel=group.capitalize(),
        autocompletion=_completion(spec),
    )
    return inspect.Parameter(
        spec.name,
        inspect.Parameter.KEYWORD_ONLY,
        default=default,
        annotation=Annotated[kind | None if optional else kind, option],
    )


def _completion(spec: Field[Any]) -> Callable[[str], list[str]] | None:
    """What a shell makes of the beginning of a setting's value; `None` leaves it to the shell."""
    if spec.name == "init_from":
        return run_directories
    choices = spec.metadata.get("choices")
    return one_of(choices) if choices else None


def _help(text: str, choices: Collection[str] | None) -> str:
    return f"{text.rstrip('.')}: {', '.join(choices)}." if choices else text


def own_option(group: type[Settings], name: str) -> Any:
    """The option of a setting that is a command's own."""
    [spec] = [spec for spec in fields(group) if spec.name == name]
    return typer.Option(help=spec.metadata["help"])


def _was_typed(ctx: typer.Context, name: str) -> bool:
    source = ctx.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"
