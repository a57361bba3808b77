"""Reads `run.json` and checks its fields, so that readers can rely on their types."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from lstmcli.utils.errors import FileError
from lstmcli.utils.files import read_small

TEXT, WHOLE, COUNT, NUMBER, TABLE = (
    "text",
    "a whole number",
    "a whole number from 0 on",
    "a number",
    "a table",
)
FIELDS = {
    TEXT: "status version device device_reason schedule instruction_set python data started ended "
    "machine processor",
    COUNT: "threads rows steps dropped_steps epochs classes",
    NUMBER: "bayes_loss elapsed_seconds",
    TABLE: "libraries settings gpu",
}
"""The fields of a run by type. Each may be missing or null."""
LISTS = {
    TEXT: "argv data_sha256 target omitted_references",
    WHOLE: "seeds data_seeds worse_than_chance",
    TABLE: "references resumed",
}
"""The types of the items of lists."""
LARGEST = 2**63
INNER = {"references": {"name": TEXT, "loss": NUMBER}}
"""The required fields of the tables in a list."""


def read(path: Path) -> dict[str, Any]:
    """Reads a `run.json`.

    Raises:
        FileError: the file is missing or damaged, or a field has the wrong type.
    """
    try:
        status = json.loads(read_small(path))
        _check(status)
    except (OSError, ValueError, RecursionError) as error:
        raise FileError(
            f"`{path}` is damaged: {_why(error)}", "restore the run's own file"
        ) from error
    return dict(status)


def _why(error: Exception) -> str:
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    return str(getattr(error, "strerror", None) or error)


def _check(status: Any) -> None:
    """Raises ValueError if a field has the wrong type."""
    if not isinstance(status, dict):
        raise ValueError("it is not a JSON object")
    for kind, names in FIELDS.items():
        for field in names.split():
            if status.get(field) is not None:
                _check_value(field, status[field], kind)
    for kind, names in LISTS.items():
        for field in names.split():
            _check_list(field, status.get(field), kind)
    _check_tables(status)


def _check_tables(status: dict[str, Any]) -> None:
    """Raises ValueError if a field in a table has the wrong type."""
    for field, inner in INNER.items():
        for number, each in enumerate(status.get(field) or []):
            for name, kind in inner.items():
                _check_value(f"{field}[{number}].{name}", each.get(name), kind)
    for table in ("libraries", "gpu"):
        for name, version in (status.get(table) or {}).items():
            _check_value(f"{table}.{name:.60}", version, TEXT)
    for name, table in (status.get("settings") or {}).items():
        _check_value(f"settings.{name:.60}", table, TABLE)


def _check_list(field: str, value: Any, kind: str) -> None:
    if value is None:
        return
    if not isinstance(value, list):
        raise ValueError(f"expected a list as `{field}`, got {_shown(value)}")
    for number, each in enumerate(value):
        _check_value(f"{field}[{number}]", each, kind)


def _check_value(place: str, value: Any, kind: str) -> None:
    if not _is(value, kind):
        raise ValueError(f"expected {kind} as `{place}`, got {_shown(value)}")


def _is(value: Any, kind: str) -> bool:
    if kind == TEXT:
        return isinstance(value, str)
    if kind == TABLE:
        return isinstance(value, dict)
    whole = type(value) is int and (0 if kind == COUNT else -LARGEST) <= value < LARGEST
    return whole or (kind == NUMBER and isinstance(value, float))


def _shown(value: Any) -> str:
    """The beginning of a value as JSON."""
    text = json.dumps(value)
    return text if len(text) <= 60 else f"{text[:60]}..."
