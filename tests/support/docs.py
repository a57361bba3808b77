"""The parts of README and of the reference in `docs/` that the program writes, by cog."""

import inspect
import json
import re
from dataclasses import fields
from pathlib import PurePosixPath

import typer

from lstmcli.cli.app import app
from lstmcli.training import run_status
from lstmcli.training.run_dir import WRITTEN_BY_A_RUN, RunDirectory
from lstmcli.utils import errors

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


def usage(name, command):
    """A command's usage line."""
    found = ["lstmcli", name, "[OPTIONS]"]
    for parameter in command.params:
        if parameter.param_type_name == ARGUMENT:
            word = parameter.name.upper() + ("..." if parameter.nargs == -1 else "")
            found.append(word if parameter.required else f"[{word}]")
    return " ".join(found)


def reference():
    """A section for each command: its usage, its help, and its arguments and options."""
    return "\n\n".join(_section(name, command) for name, command in commands().items())


def _section(name, command):
    lines = [f"## {name}", "", "```text", usage(name, command), "```", "", _prose(command.help)]
    rows = [
        f"| {_names(parameter)} | {_default(parameter)} | {_cell(parameter.help)} |"
        for parameter in command.params
        if not parameter.hidden
    ]
    head = ["", "| argument or option | default | meaning |", "| --- | --- | --- |"]
    return "\n".join([*lines, *head, *rows])


def _prose(text):
    """A help text as Markdown: what is indented in it, its examples, as it stands."""
    paragraphs = inspect.cleandoc(text).replace("\b", "").strip().split("\n\n")
    return "\n\n".join(
        f"```text\n{each}\n```" if each.startswith(("  ", "$ ")) else each for each in paragraphs
    )


def _names(parameter):
    if parameter.param_type_name == ARGUMENT:
        return f"`{parameter.name.upper()}`"
    return ", ".join(f"`{name}`" for name in [*parameter.opts, *parameter.secondary_opts])


def _cell(text):
    return (text or "").replace("|", "\\|").replace("\n", " ")


def exit_codes():
    """Every exit code, the errors that end with it, and what they say."""
    kinds = [
        (kind, kind("") if kind is not errors.LstmcliError else kind("", None))
        for _, kind in inspect.getmembers(errors, inspect.isclass)
        if issubclass(kind, errors.LstmcliError) and kind is not errors.StoppedError
    ]
    lines = ["| code | name | meaning |", "| --- | --- | --- |"]
    for code in errors.ExitCode:
        of = [inspect.getdoc(kind) for kind, made in kinds if made.exit_code == code]
        meaning = OTHER_CODES.get(code.name) or " ".join(text.splitlines()[0] for text in of)
        lines.append(f"| {code.value} | `{code.name}` | {meaning} |")
    return "\n".join(lines)


OTHER_CODES = {
    "DONE": "All is done.",
    "FAILED": "Something else failed, such as memory that does not hold what is to be computed.",
    "FAILED_TRIALS": "A sweep has ended, and some of its trials have failed.",
    "INTERRUPTED": "Ctrl-C stopped it; a run writes a checkpoint first, and says how to resume it.",
    "TERMINATED": "SIGTERM stopped it, in the same way.",
}


def run_files():
    """The files of a run directory, by what its properties say of themselves."""
    files = [
        (getattr(RunDirectory(PurePosixPath()), name), value)
        for name, value in vars(RunDirectory).items()
        if isinstance(value, property) and name not in ("base", "written")
    ]
    lines = ["| file | what is in it |", "| --- | --- |"]
    lines += (f"| `{path}` | {inspect.getdoc(value)} |" for path, value in files)
    return "\n".join(lines)


def columns(kind):
    """The columns of a table with their types, and what its class says of them."""
    prose = re.sub(r"\s+", " ", inspect.getdoc(kind))
    lines = [prose, "", "| column | type |", "| --- | --- |"]
    for spec in fields(kind):
        lines.append(f"| `{spec.name}` | {_type(str(spec.type))} |")
    return "\n".join(lines)


def _type(name):
    words = {"int": "whole number", "float": "number", "str": "text", "bool": "`True` or `False`"}
    kind, _, optional = name.partition(" | ")
    return words[kind] + (", or empty" if optional else "")


KINDS = {
    run_status.TEXT: {"type": "string"},
    run_status.WHOLE: {"type": "integer"},
    run_status.COUNT: {"type": "integer", "minimum": 0},
    run_status.NUMBER: {"type": "number"},
    run_status.TABLE: {"type": "object"},
}


def run_schema():
    """The JSON Schema of `run.json`, from the fields that its readers check."""
    properties = {}
    for kind, names in run_status.FIELDS.items():
        for name in names.split():
            properties[name] = {**KINDS[kind], "type": [KINDS[kind]["type"], "null"]}
    for kind, names in run_status.LISTS.items():
        for name in names.split():
            properties[name] = {"type": ["array", "null"], "items": KINDS[kind]}
    for name, inner in run_status.INNER.items():
        own = {key: KINDS[kind] for key, kind in inner.items()}
        properties[name]["items"] = {"type": "object", "properties": own, "required": list(own)}
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "run.json of lstmcli",
        "type": "object",
        "required": sorted(WRITTEN_BY_A_RUN),
        "properties": dict(sorted(properties.items())),
    }
    return json.dumps(schema, indent=2)
