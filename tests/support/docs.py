"""The parts of the README that the program writes: `cog -r -P -I tests/support README.md`."""

import typer

from lstmcli.cli.app import app

ARGUMENT = "argument"


def commands():
    """The commands by name."""
    return typer.main.get_command(app).commands


def options_table():
    """Every option of every command, what it means, its default, and where it is known."""
    found = {}
    for name, command in commands().items():
        for parameter in command.params:
            if parameter.param_type_name != ARGUMENT:
                key = max(parameter.opts, key=len), parameter.is_flag  # `--csv` is two options.
                found.setdefault(key, (parameter, []))[1].append(name)
    lines = ["| option | default | meaning | commands |", "| --- | --- | --- | --- |"]
    for (option, _), (parameter, names) in found.items():
        lines.append(
            f"| `{option}` | {_default(parameter)} | {parameter.help} | {', '.join(names)} |"
        )
    return "\n".join(lines)


def commands_table():
    """Every command and the first line of its help."""
    lines = ["| command | does |", "| --- | --- |"]
    for name, command in commands().items():
        arguments = "".join(
            f" {parameter.name.upper()}"
            for parameter in command.params
            if parameter.param_type_name == ARGUMENT
        )
        lines.append(f"| `lstmcli {name}{arguments}` | {command.help.splitlines()[0]} |")
    return "\n".join(lines)


def _default(parameter):
    words = {None: "-", True: "on", False: "off"}
    default = parameter.default
    return words[default] if default is None or isinstance(default, bool) else str(default)
