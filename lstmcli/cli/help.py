"""`--help` with the options under headings, without loading rich for it."""

from __future__ import annotations

from typing import Any

from typer.core import TyperCommand

ARGUMENTS = "Arguments"
UNNAMED = "Options"
"""The heading of options that name none."""


class GroupedCommand(TyperCommand):
    """A command whose help lists its options as the config groups its settings.

    An option's heading is its `rich_help_panel`. Texts are in line under all headings.
    """

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
