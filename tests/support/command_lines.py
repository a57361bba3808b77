"""Command lines of `lstmcli` that are taken apart as the program would, and not run."""

import shlex

import pytest
import typer

from lstmcli.cli.app import app

COMMANDS = typer.main.get_command(app).commands


def parses(command):
    """Fails where the program would not understand a command: `lstmcli train --layers 3`."""
    name, *arguments = shlex.split(command)[1:]
    if name == "--help":
        return
    try:
        COMMANDS[name].make_context(name, arguments).close()
    except typer.Exit:  # `--help`
        return
    except typer.TyperException as error:
        pytest.fail(f"`{command}`: {error.format_message()}")


def options_of(command):
    """The options that a command has, and those that all have."""
    known = {"--help", "--debug"}
    return known.union(*(parameter.opts for parameter in COMMANDS[command].params))
