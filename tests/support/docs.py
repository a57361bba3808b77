"""The parts of README and of the reference in `docs/` that the program writes, by cog."""

import inspect
import types
import typing
from pathlib import PurePosixPath

import typer

import schemas
from lstmcli.cli.app import app
from lstmcli.cli.json_results import RESULTS
from lstmcli.training.run_dir import RunDirectory
from lstmcli.utils import errors

NONE = types.NoneType

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
    """What a class says of a table, and its columns: what each holds and means."""
    hints, said = typing.get_type_hints(kind), schemas.attributes(kind)
    rows = [f"| `{name}` | {_type(hint)} | {_cell(said[name])} |" for name, hint in hints.items()]
    head = [schemas.prose(kind), "", "| column | holds | meaning |", "| --- | --- | --- |"]
    return "\n".join([*head, *rows])


WORDS = {int: "whole number", float: "number", str: "text", bool: "`True` or `False`"}


def _type(hint):
    inner = typing.get_args(hint) or (hint,)
    words = [WORDS.get(typing.get_origin(each) or each, "list") for each in inner if each != NONE]
    return " or ".join(words) + (", or empty" if NONE in inner else "")


def predictions(which):
    """The columns of a table of predictions."""
    rows = [f"| `{_cell(name)}` | {_cell(meaning)} |" for name, meaning in which.items()]
    return "\n".join(["| column | meaning |", "| --- | --- |", *rows])


def json_results():
    """A section for each result of `--json`: its fields, in the paths of jq."""
    return "\n\n".join(map(_result, RESULTS))


def _result(name):
    schema = schemas.every()[name]
    command, _, meaning = schema["description"].partition(": ")
    lines = [
        f"## {command.strip('`')}", "", f"{meaning[:1].upper()}{meaning[1:]} Schema: "
        f"[`{name}.json`](schemas/{name}.json).", "",
        "| field | holds | meaning |", "| --- | --- | --- |",
    ]  # fmt: skip
    return "\n".join([*lines, *_fields(schema, "")])


def _fields(schema, path):
    """A row for each field, and for those in it; of rows of tables, the table is named."""
    for name, field in schema["properties"].items():
        if not field.get("description"):
            continue  # A setting.
        optional = "" if name in schema["required"] else ", or absent"
        where = f"{path}.{name}"
        yield f"| `{where}` | {_holds(field)}{optional} | {_cell(field['description'])} |"
        for end, item in (("", field), ("[]", field.get("items", {}))):
            if "properties" in item and not _is_row(item):
                yield from _fields(item, where + end)


def _is_row(schema):
    return any(f"of `{file}`" in schema.get("description", "") for file in ROWS)


ROWS = ("metrics.csv", "summary.csv", "targets.csv", "lstmcli runs --csv")
JSON_WORDS = {"integer": "whole number", "string": "text", "boolean": "`true` or `false`"}


def _holds(field):
    """What a field holds, in words."""
    if "anyOf" in field:
        return " or ".join(_holds(each) for each in field["anyOf"])
    kinds = field.get("type", "any value")
    kinds = [kinds] if isinstance(kinds, str) else kinds
    words = [JSON_WORDS.get(kind, kind.replace("null", "`null`")) for kind in kinds]
    if words[0] == "array":
        inner = _holds(field["items"]) if field.get("items") else "values"
        return f"list of {inner}{'s' * (not inner.endswith(('s', 'text')))}"
    return " or ".join(words)
