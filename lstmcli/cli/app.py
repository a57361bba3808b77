"""The Typer application, its `--help`, and the boundary at which errors become exit codes."""

from __future__ import annotations

import re
import sys
import traceback
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from importlib import import_module
from types import SimpleNamespace
from typing import Annotated, Any, cast

import typer
from typer.core import TyperCommand, TyperGroup, TyperOption
from typer.main import get_command_from_info
from typer.models import CommandInfo

from lstmcli import __version__
from lstmcli.cli import help
from lstmcli.cli.output import say
from lstmcli.config import FORMERLY, OF_SEVERAL_WORDS, OF_THE_FILE
from lstmcli.utils.errors import ExitCode, LstmcliError, UsageError, describe_os_error
from lstmcli.utils.settings import did_you_mean, option_name


class GroupedCommand(TyperCommand):
    """A command whose help begins with an example and groups its options by `rich_help_panel`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parses a command line.

        If an option is given twice the last value counts, so that a script may end in `"$@"`. Not
        so for options about a file: `--inputs a --inputs b` looks like a list of two.

        Raises:
            UsageError: an option about a file is given twice.
        """
        if ctx.resilient_parsing:
            return _parse_for_a_shell(self, ctx, args)
        args = [_current_name(each) for each in args]
        _, _, order = self.make_parser(ctx).parse_args(args=list(args))
        about_files = [each for each in order if each.name in ("data", *OF_THE_FILE)]
        for place, option in enumerate(about_files):
            if isinstance(option, TyperOption) and option in about_files[:place]:
                one = "it takes one value"
                if option.name in OF_SEVERAL_WORDS:
                    one = f"separate several names with commas, as in `{option.opts[0]} a,b`"
                raise UsageError(f"`{option.opts[0]}` is given twice", f"give it once: {one}")
        return super().parse_args(ctx, args)

    def shell_complete(self, ctx: Any, incomplete: str) -> list[Any]:
        """The names of options."""
        return _without_help(each.value for each in super().shell_complete(ctx, incomplete))

    def get_params(self, ctx: Any) -> list[Any]:
        """The command's arguments and options, then `--help-all` and `--help`."""
        *own, help_option = super().get_params(ctx)
        return [*own, help.help_all(help_option), help_option]

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """The arguments in the usage line: `CHECKPOINT`, not `{CHECKPOINT}`."""
        return [
            each.replace("{", "").replace("}", "") for each in super().collect_usage_pieces(ctx)
        ]

    def format_help_text(self, ctx: Any, formatter: Any) -> None:
        """Writes what the command does, and examples."""
        super().format_help_text(ctx, formatter)
        help.write_examples(self, formatter)

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Writes the arguments and options."""
        help.write_options(self, ctx, formatter)


def _current_name(argument: str) -> str:
    """An option under its current name, whether it was typed by that or by a former one."""
    name, given, value = argument.partition("=")
    known = {option_name(old): option_name(new) for old, new in FORMERLY.items()}
    return known.get(name, name) + given + value


def _parse_for_a_shell(command: Any, ctx: Any, args: list[str]) -> list[str]:
    """Parses a command line that is still being typed, without checking its values.

    To check them Typer would load pydantic, which takes longer than all the rest.
    """
    parser = command.make_parser(ctx)
    ctx.params, ctx.args, _ = parser.parse_args(args=list(args))
    ctx._opt_prefixes.update(parser._opt_prefixes)
    return cast(list[str], ctx.args)


def _without_help(names: Iterable[str]) -> list[Any]:
    """Completions without help texts: those would load rich, and they break zsh's quoting."""
    return [SimpleNamespace(type="plain", value=each, help=None) for each in names]


COMMANDS = {
    "generate": "generate:generate",
    "train": "train:train",
    "eval": "eval:evaluate",
    "sweep": "sweep:sweep",
    "plot": "plot:plot",
    "report": "report:report",
    "probe": "probe:probe",
    "inspect": "inspect:inspect",
    "predict": "predict:predict",
    "forecast": "forecast:forecast",
    "sample": "sample:sample",
    "export": "export:export",
    "runs": "runs:runs",
    "devices": "devices:devices",
}
"""Every command: its file in `cli/`, and its function there."""


class Commands(Mapping[str, TyperCommand]):
    """The commands by name, each loaded when it is used, so that completion is fast."""

    def __iter__(self) -> Iterator[str]:
        return iter(COMMANDS)

    def __len__(self) -> int:
        return len(COMMANDS)

    def __getitem__(self, name: str) -> TyperCommand:
        return _load(*COMMANDS[name].split(":"), name)


@cache
def _load(module: str, function: str, name: str) -> TyperCommand:
    callback = getattr(import_module(f"lstmcli.cli.{module}"), function)
    command = get_command_from_info(
        CommandInfo(name, cls=GroupedCommand, callback=callback),
        pretty_exceptions_short=False,
        rich_markup_mode=None,
    )
    return cast(TyperCommand, command)


KINDS = {"int": "a whole number", "float": "a number"}
"""How pydantic's error types begin, and what they mean in words."""
LESS = "use a shorter `--series-length`, a smaller `--state-size` or fewer seeds"


class Boundary(TyperGroup):
    """The command group, which turns every error into `error: …`, `hint: …` and an exit code."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        self.commands = Commands()  # type: ignore[assignment]

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parses a command line."""
        if ctx.resilient_parsing:
            rest = _parse_for_a_shell(self, ctx, args)
            ctx._protected_args, ctx.args = rest[:1], rest[1:]
            return cast(list[str], ctx.args)
        return super().parse_args(ctx, args)

    def shell_complete(self, ctx: Any, incomplete: str) -> list[Any]:
        """The names of options and of commands, without loading any command."""
        options = (each.value for each in super(TyperGroup, self).shell_complete(ctx, incomplete))
        return _without_help([*filter(lambda it: it.startswith(incomplete), COMMANDS), *options])

    def main(self, args: Sequence[str] | None = None, **extra: Any) -> Any:  # type: ignore[override]
        """Runs the program and ends the process; `standalone_mode=False` returns the exit code."""
        given = list(sys.argv[1:] if args is None else args)
        standalone = extra.pop("standalone_mode", True)
        extra["obj"] = ["lstmcli", *given]  # What was typed, for a run's record.
        code = self._run([each for each in given if each != "--debug"], "--debug" in given, extra)
        if standalone:
            sys.exit(code)
        return code

    def _run(self, args: list[str], debug: bool, extra: dict[str, Any]) -> int:
        try:
            result = super().main(args, standalone_mode=False, **extra)
            if result == ExitCode.INTERRUPTED:
                say_error("stopped by Ctrl-C", None)
            return result if isinstance(result, int) else ExitCode.DONE
        except (LstmcliError, typer.TyperException, typer.Abort, OSError, Exception) as error:
            if debug:
                traceback.print_exc()
            command = next((f" {each}" for each in args if each in COMMANDS), "")
            every = f"{command} --help-all" if command else " --help"
            return _explain(error, f"`lstmcli{every}` lists what it takes")


def _explain(error: Exception, help_hint: str) -> int:
    """Prints what went wrong, and returns the exit code.

    Args:
        error: what was raised.
        help_hint: which command shows the options.
    """
    if isinstance(error, LstmcliError):
        wrong_usage = error.exit_code == ExitCode.USAGE
        say_error(error.message, error.hint or (help_hint if wrong_usage else None))
        return error.exit_code
    if isinstance(error, typer.TyperException):
        say_error(_of_typer(error), help_hint)
        return ExitCode.USAGE
    if isinstance(error, MemoryError):
        say_error(f"there is not enough memory: {error or 'none is left'}", LESS)
        return ExitCode.FAILED
    if isinstance(error, OSError):
        say_error(describe_os_error(error), None)
        return ExitCode.FAILED
    kind = type(error).__name__
    say_error(f"unexpected error: {kind}: {error}", "`--debug` shows where it happened")
    return ExitCode.FAILED


def _of_typer(error: typer.TyperException) -> str:
    """Typer's error message in this program's words."""
    if details := getattr(error.__cause__, "errors", None):  # A value of the wrong type.
        [found, *_] = details()
        kind = next(
            (words for name, words in KINDS.items() if found["type"].startswith(name)), None
        )
        if kind:
            return f"`{error.param.opts[0]}` must be {kind}, got {found['input']!r}"  # type: ignore[attr-defined]
    message = error.format_message().rstrip(".").replace("'", "`")
    if unknown := re.match(r"No such option: (\S+)", message):
        parameters = error.ctx.command.params  # type: ignore[attr-defined]
        options = [name for each in parameters for name in each.opts if name.startswith("-")]
        return f"no such option: {unknown[1]}{did_you_mean(unknown[1], options)}"
    return message[:1].lower() + message[1:]


def say_error(message: str, hint: str | None) -> None:
    """Writes `error: …` and `hint: …` to standard error, with unprintable characters escaped."""
    say("error", re.sub(r"\d{100,}", _shortened, message))
    if hint:
        say("hint", hint)


def _shortened(number: re.Match[str]) -> str:
    """The first digits of a number that has hundreds, and how many there are."""
    return f"{number[0][:20]}... ({len(number[0]):,} digits)"


app = typer.Typer(
    name="lstmcli",
    cls=Boundary,
    invoke_without_command=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # Plain help: loading rich would double its time.
    context_settings={
        "help_option_names": ["-h", "--help"],
        "max_content_width": help.WIDEST,
    },
)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"lstmcli {__version__}")
        raise typer.Exit


@app.callback()
def lstmcli(
    ctx: typer.Context,
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_show_version, is_eager=True, help="Show the version and exit."
        ),
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show a traceback with an error.")] = False,
) -> None:
    """A laboratory for stacked LSTMs: how many layers does a task need, and what do they do?

    `lstmcli train` alone runs the article's experiment: three layers of four units learn to echo
    random bits three steps later. `lstmcli train --data FILE` trains on your own data.
    """
    if ctx.invoked_subcommand is None:
        typer.echo(ctx.get_help())
        raise typer.Exit(ExitCode.USAGE)
