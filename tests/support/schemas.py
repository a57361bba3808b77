"""JSON Schemas of what lstmcli prints and writes, made of the types in its code.

`python tests/support/schemas.py` writes them to `docs/reference/schemas/` anew, and so does cog.
"""

import inspect
import json
import re
import types
import typing
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, fields, is_dataclass
from pathlib import Path

import numpy as np

from lstmcli.cli.json_results import RESULTS, SETTINGS
from lstmcli.config import DEFAULTS
from lstmcli.data.schema import Schema
from lstmcli.training import run_status
from lstmcli.training.run_dir import WRITTEN_BY_A_RUN

FOLDER = Path(__file__).parents[2] / "docs" / "reference" / "schemas"
DRAFT = "https://json-schema.org/draft/2020-12/schema"
PLAIN = {int: "integer", bool: "boolean", str: "string"}
NUMBER = ["number", "null"]  # JSON has no NaN.
KINDS = {
    run_status.TEXT: {"type": "string"},
    run_status.WHOLE: {"type": "integer"},
    run_status.COUNT: {"type": "integer", "minimum": 0},
    run_status.NUMBER: {"type": "number"},
    run_status.TABLE: {"type": "object"},
}


def attributes(kind):
    """What the docstring of a class says of each of its attributes."""
    _, _, section = inspect.getdoc(kind).partition("Attributes:\n")
    found = {}
    for names, text in re.findall(r"^ {4}([a-z_0-9, ]+): (.*\n?(?: {6,}.*\n?)*)", section, re.M):
        for name in names.split(", "):
            said = re.sub(r"\s+", " ", text).strip()
            found[name] = said[:1].upper() + said[1:]
    return found


def prose(kind):
    """What the docstring of a class says of it before its attributes."""
    return re.sub(r"\s+", " ", inspect.getdoc(kind).partition("Attributes:\n")[0]).strip()


def schema_of(hint):
    """The schema of a type."""
    if typing.get_origin(hint) is typing.Annotated:
        return _annotated(*typing.get_args(hint))
    if hint in PLAIN:
        return {"type": PLAIN[hint]}
    if hint is float:
        return {"type": NUMBER}
    if is_dataclass(hint) or typing.is_typeddict(hint):
        return object_schema(hint)
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return _either([schema_of(each) for each in inner if each is not types.NoneType], inner)
    if origin in (list, tuple, Sequence):
        return {"type": "array", "items": schema_of(inner[0])}
    if origin in (dict, Mapping):
        return {"type": "object", "additionalProperties": schema_of(inner[1])}
    return {"type": "array"} if origin is np.ndarray else {}


def _either(found, inner):
    """One of some schemas, or null."""
    if len(found) == 1 and isinstance(found[0]["type"], str):
        return {**found[0], "type": [found[0]["type"], "null"]}
    if types.NoneType in inner and found[0]["type"] != NUMBER:
        found.append({"type": "null"})
    return found[0] if len(found) == 1 else {"anyOf": found}


def _annotated(hint, *parts):
    """An object that has the fields of a class, or any setting, or both; else the type itself."""
    kinds = [part for part in parts if isinstance(part, type)]
    left_out = {name for part in parts if isinstance(part, frozenset) for name in part}
    first, *others = map(object_schema, kinds) if kinds else [{"type": "object"}]
    properties = {}
    for each in (first, *others):
        properties |= each.get("properties", {})
    if SETTINGS in parts:
        properties |= {name: {} for name in DEFAULTS if name not in properties}
    return {
        **first,
        "properties": {key: value for key, value in properties.items() if key not in left_out},
        "required": [name for name in first.get("required", ()) if name not in left_out],
        "additionalProperties": False,
    }


def object_schema(kind):
    """The schema of a class: all its fields, and no others."""
    said, hints = attributes(kind), typing.get_type_hints(kind, include_extras=True)
    properties = {
        name: schema_of(_required(hint)[0]) | {"description": said[name].replace("None", "null")}
        for name, hint in hints.items()
    }
    return {
        "type": "object",
        "description": prose(kind),
        "properties": properties,
        "required": _names_required(kind),
        "additionalProperties": False,
    }


def _required(hint):
    """A field's type, and whether it is always there."""
    if typing.get_origin(hint) is typing.NotRequired:
        return typing.get_args(hint)[0], False
    return hint, True


def _names_required(kind):
    """The fields that are always there. Of columns, a default may be left out."""
    if is_dataclass(kind):
        all_there = kind.__module__ != Schema.__module__
        return [spec.name for spec in fields(kind) if all_there or spec.default is MISSING]
    hints = typing.get_type_hints(kind, include_extras=True)
    return [name for name, hint in hints.items() if kind.__total__ and _required(hint)[1]]


def run_schema():
    """The schema of `run.json`, from the fields that its readers check."""
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
    return {
        "type": "object",
        "description": "`run.json`: what happened in a run.",
        "required": sorted(WRITTEN_BY_A_RUN),
        "properties": dict(sorted(properties.items())),
    }


def every():
    """All schemas, by name."""
    found = {"run.json": run_schema()} | {name: schema_of(kind) for name, kind in RESULTS.items()}
    return {name: {"$schema": DRAFT, "title": name, **schema} for name, schema in found.items()}


def file_of(name):
    """Where the schema of that name is."""
    return FOLDER / f"{name.removesuffix('.json')}.json"


def text_of(schema):
    """A schema as its file has it."""
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


def write():
    """Writes all schemas anew."""
    FOLDER.mkdir(exist_ok=True)
    for name, schema in every().items():
        file_of(name).write_text(text_of(schema))


if __name__ == "__main__":
    write()
