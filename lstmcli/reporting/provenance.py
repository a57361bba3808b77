"""Where results come from: what `run.json` says of one run, or of the runs of a sweep."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from lstmcli.report.page import Table
from lstmcli.runs.rundir import RunDirectory

NAMES = {
    "status": "status",
    "error": "error",
    "version": "lstmcli",
    "python": "Python",
    "device": "device",
    "threads": "threads",
    "instruction_set": "instruction set",
    "seeds": "seeds",
    "data_seeds": "data seeds",
    "data": "data",
    "data_sha256": "SHA-256 of the data",
    "target": "target",
    "classes": "classes",
    "rows": "rows (batch size)",
    "steps": "steps of a window",
    "dropped_steps": "steps that fill no window",
    "started": "started (UTC)",
    "ended": "ended (UTC)",
    "elapsed_seconds": "seconds in all",
}
"""What people call the fields of `run.json`, in the order of the table."""
OF_A_RUN = ("status", "seeds", "data_seeds", "data", "started", "ended", "elapsed_seconds", "error")
"""Fields that a sweep's runs need not share; a sweep has them elsewhere, or in sum."""
MOST = 8
"""Different values of a field that are shown."""
WHOLE, DIGITS = 2, 12
"""Checksums that are shown whole, and digits of each where there are more."""


def read(path: Path) -> dict[str, Any]:
    """What a run's `run.json` says.

    Raises:
        FileError: it is damaged.
    """
    return RunDirectory(path).read_status()


def table(status: Mapping[str, Any]) -> Table:
    """The provenance of a run."""
    known = [field for field in NAMES if status.get(field) is not None]
    rows = [[NAMES[field], _value(field, status)] for field in known]
    libraries = status.get("libraries") or {}
    rows += [[name, _text(version)] for name, version in libraries.items()]
    return Table("What the results depend on.", ["what", "value"], rows)


def table_of_many(statuses: Sequence[Mapping[str, Any]]) -> Table:
    """The provenance of a sweep: what its runs share, and the values of what they do not."""
    flat = [{**each, **(each.get("libraries") or {})} for each in statuses]
    libraries = {name: name for each in statuses for name in each.get("libraries") or {}}
    fields = {field: name for field, name in NAMES.items() if field not in OF_A_RUN} | libraries
    rows = [[name, _all(field, flat)] for field, name in fields.items()]
    rows += [["status of its runs", _counts(flat)], *_times(statuses)]
    return Table("What the results depend on.", ["what", "value"], [row for row in rows if row[1]])


def _all(field: str, statuses: Sequence[Mapping[str, Any]]) -> str:
    found = {_value(field, each) for each in statuses if each.get(field) is not None}
    more = len(found) - MOST
    return "; ".join(sorted(found)[:MOST]) + (f"; and {more} others" if more > 0 else "")


def _counts(statuses: Sequence[Mapping[str, Any]]) -> str:
    found = [str(each.get("status")) for each in statuses]
    return ", ".join(f"{found.count(name)} {name}" for name in sorted(set(found)))


def _times(statuses: Sequence[Mapping[str, Any]]) -> list[list[str]]:
    started = [str(each["started"]) for each in statuses if each.get("started")]
    ended = [str(each["ended"]) for each in statuses if each.get("ended")]
    return [
        ["first started (UTC)", _time(min(started, default=""))],
        ["last ended (UTC)", _time(max(ended, default=""))],
    ]


def _value(field: str, status: Mapping[str, Any]) -> str:
    """A field's value; of the checksums of many series, as many digits as tell them apart."""
    value = status[field]
    if field == "data_sha256" and isinstance(value, list) and len(value) > WHOLE:
        value = [str(each)[:DIGITS] for each in value]
        return f"{_text(value)} (the first {DIGITS} digits of each)"
    return _text(value)


def _text(value: Any) -> str:
    if isinstance(value, list):
        return _range(value) or ", ".join(map(_text, value))
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, str):
        return _time(value)
    return f"{value:,}" if isinstance(value, int) else json.dumps(value)


def _range(values: Sequence[Any]) -> str | None:
    """`0 to 7` for several whole numbers in a row."""
    numbers = all(isinstance(each, int) for each in values)
    if numbers and len(values) > 2 and values == list(range(values[0], values[0] + len(values))):
        return f"{values[0]} to {values[-1]}"
    return None


def _time(text: str) -> str:
    """A time of `run.json` as people read it; any other text as it is."""
    try:
        return f"{datetime.fromisoformat(text):%Y-%m-%d %H:%M:%S}" if "T" in text else text
    except ValueError:
        return text
