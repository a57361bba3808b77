"""Command lines of `lstmcli` that are taken apart as the program would, and not run."""

import shlex
from pathlib import Path

import pytest
import typer

from lstmcli.cli.app import app

OF_ALL = {"--help", "--version", "--install-completion", "--show-completion"}
COMMANDS = typer.main.get_command(app).commands


def parses(command):
    """Fails where the program would not understand a command: `lstmcli train --layers 3`."""
    name, *arguments = shlex.split(command)[1:]
    if name in OF_ALL:
        return
    try:
        COMMANDS[name].make_context(name, arguments).close()
    except typer.Exit:  # `--help`
        return
    except typer.TyperException as error:
        pytest.fail(f"`{command}`: {error.format_message()}")


def in_shell(line):
    """The command lines of lstmcli in one of a shell, with pipes and redirections around them."""
    words = shlex.shlex(line, posix=True, punctuation_chars=True)
    words.whitespace_split = True
    command, begins = None, True
    for word in [*words, ";"]:
        if set(word) <= set("|&;()<>"):
            if command:
                yield shlex.join(command)
            command, begins = None, True
        elif command is not None:
            command.append(word)
        elif begins and Path(word).name == "lstmcli":
            command = ["lstmcli"]
        else:
            begins = "=" in word or word in ("do", "then", "time")


def options_of(command):
    """The options that a command has, and those that all have."""
    known = {"--help", "--help-all", "--debug"}
    return known.union(*([*each.opts, *each.secondary_opts] for each in COMMANDS[command].params))
