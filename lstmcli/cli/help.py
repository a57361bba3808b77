"""`--help` with the options under headings, without loading rich for it; options given twice."""

from __future__ import annotations

from typing import Any

from typer.core import TyperCommand, TyperOption

from lstmcli.config import OF_THE_FILE
from lstmcli.errors import UsageError

LISTS = ("target", "inputs", "categorical", "na_values", "calendar")
"""Settings of a file that are several words with commas between them."""
ARGUMENTS = "Arguments"
UNNAMED = "Options"
"""The heading of options that name none."""


class GroupedCommand(TyperCommand):
    """A command whose help lists its options as the config groups its settings.

    An option's heading is its `rich_help_panel`. Texts are in line under all headings.
    """

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Takes a command line apart.

        Of an option that is given twice the last value counts, so that a script may end in `"$@"`.
        Two columns or files look like a list of them, of which the first would go unused.

        Raises:
            UsageError: an option about a file is given twice.
        """
        _, _, order = self.make_parser(ctx).parse_args(args=list(args))
        about_files = [each for each in order if each.name in ("data", *OF_THE_FILE)]
        for place, option in enumerate(about_files):
            if isinstance(option, TyperOption) and option in about_files[:place]:
                one = "it takes one value"
                if option.name in LISTS:
                    one = f"several stand in one value, such as `{option.opts[0]} a,b`"
                raise UsageError(f"`{option.opts[0]}` is given twice", f"give it once: {one}")
        return super().parse_args(ctx, args)

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Writes the arguments, the command's own options, and each group of settings."""
        groups: dict[str, list[tuple[str, str]]] = {ARGUMENTS: [], UNNAMED: []}
        heading = UNNAMED
        for parameter in self.get_params(ctx):
            if parameter.param_type_name == "argument":
                heading = ARGUMENTS
            elif parameter.name != "help" or heading == ARGUMENTS:
                heading = getattr(parameter, "rich_help_panel", None) or UNNAMED
            # And `--help` goes with the option before it.
            if record := parameter.get_help_record(ctx):
                groups.setdefault(heading, []).append(record)
        widest = max(len(names) for records in groups.values() for names, _ in records)
        for heading, records in groups.items():
            if records:
                with formatter.section(heading):
                    formatter.write_dl([(names.ljust(widest), text) for names, text in records])
