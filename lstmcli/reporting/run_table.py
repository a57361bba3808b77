"""Runs as a table: filtered, sorted, with the columns that fit on the screen."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any

from lstmcli.config import DEFAULTS
from lstmcli.reporting import text_table
from lstmcli.reporting.runs import COLUMNS, RUNNING, Row
from lstmcli.utils.errors import UsageError
from lstmcli.utils.terminal import escape_unprintable

NUMBER = re.compile(r"([0-9]{1,18})")
WHEN = "started"


def known_names(rows: Sequence[Row]) -> list[str]:
    """What a row can be asked for: the columns, and every setting."""
    return list(dict.fromkeys([*COLUMNS, *DEFAULTS, *(name for row in rows for name in row)]))


def check_names(names: Sequence[str], rows: Sequence[Row], option: str) -> None:
    """Refuses names that no run knows.

    Raises:
        UsageError: there is one.
    """
    known = known_names(rows)
    for name in names:
        if name not in known:
            near = difflib.get_close_matches(name, known, 3, 0.5) or known[:8]
            raise UsageError(
                f"`{option}`: there is no column and no setting `{name}`",
                f"the nearest are {', '.join(near)}; `lstmcli runs --json` shows all",
            )


def where(rows: Sequence[Row], conditions: Sequence[str]) -> list[Row]:
    """The rows of which all conditions hold: `status=completed`, `layers=3`.

    Of a sweep, a value among those that it has counts.

    Raises:
        UsageError: one is no condition.
    """
    for text in conditions:
        name, equals, value = text.partition("=")
        if not equals:
            raise UsageError(f"`--where` must be like `status=completed`, got {text!r}")
        check_names([name], rows, "--where")
        rows = [row for row in rows if _is(row.get(name, DEFAULTS.get(name)), value)]
    return list(rows)


def _is(value: object, asked: str) -> bool:
    if isinstance(value, list):
        return any(_is(each, asked) for each in value)
    if isinstance(value, bool) or value is None:
        return asked == {True: "true", False: "false", None: ""}[value]
    if isinstance(value, int | float):
        with suppress(ValueError):
            return float(asked) == value
        return False
    return str(value) == asked


def in_order(rows: Sequence[Row], name: str) -> list[Row]:
    """Rows by a column: the least first, with `-` before its name the largest; unknown ones last.

    Names with numbers in them are in the order of these: `run-9` before `run-10`.

    Raises:
        UsageError: there is no such column.
    """
    column = name.removeprefix("-")
    check_names([column], rows, "--sort")
    known = [row for row in rows if row.get(column) is not None]
    unknown = [row for row in rows if row.get(column) is None]
    return [*sorted(known, key=_key(column), reverse=name != column), *unknown]


def _key(column: str) -> Callable[[Row], tuple[Any, ...]]:
    def key(row: Row) -> tuple[Any, ...]:
        value = row[column]
        first = value[0] if isinstance(value, list) and value else value
        if isinstance(first, int | float) and first == first:
            return (0, first, ())
        words = NUMBER.split(str(value))  # Text and digits in turn.
        return (1, 0, tuple(int(each) if n % 2 else each for n, each in enumerate(words)))

    return key


def cells(rows: Sequence[Row], names: Sequence[str] = ()) -> dict[str, list[str]]:
    """The columns of a table of runs: a text for each run, by heading.

    Args:
        rows: as `runs.read` gives them.
        names: columns and settings; by default those that people look for, without the ones of
            which nothing is known.
    """
    if names:
        return {name: [text(row.get(name), name) for row in rows] for name in names}
    found = {heading: [cell(row) for row in rows] for heading, cell in SHOWN.items()}
    return {heading: texts for heading, texts in found.items() if set(texts) - {"-"}}


def fitting(
    columns: Mapping[str, list[str]], width: int | None
) -> tuple[dict[str, list[str]], dict[str, str]]:
    """The columns that a screen is to show: all, or if they are too wide those that differ.

    Args:
        columns: as `cells` gives them.
        width: of the screen; `None` for a pipe.

    Returns:
        The columns, and of the others the text that all rows have.
    """
    names, rows = list(columns), list(zip(*columns.values(), strict=True))
    if len(rows) < 2 or text_table.fits(names, rows, width):
        return dict(columns), {}
    same = {name: texts[0] for name, texts in columns.items() if len(set(texts)) == 1}
    shown = {name: texts for name, texts in columns.items() if name not in same}
    if {"name", WHEN} <= shown.keys():
        dates = [each[:10] for each in shown[WHEN]]
        if all(date in name for date, name in zip(dates, shown["name"], strict=True)):
            del shown[WHEN]  # As a run is called by when it began, if nobody named it.
        elif len({date[:4] for date in dates}) == 1:
            shown[WHEN] = [each[5:] for each in shown[WHEN]]
    return shown, same


def text(value: object, name: str = "") -> str:
    """A value of a column or a setting."""
    if value is None:
        return "-"
    if isinstance(value, list):
        return _listed(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if name == "started":
        return _when(str(value))
    return f"{value:.6g}" if isinstance(value, float) else escape_unprintable(str(value))


def _listed(values: list[Any]) -> str:
    """Values of a sweep: `1-5`, or with commas between them."""
    whole = all(type(each) is int for each in values)
    if whole and len(values) > 2 and values == list(range(values[0], values[0] + len(values))):
        return f"{values[0]}-{values[-1]}"
    return ",".join(map(text, values))


def _when(started: str) -> str:
    """A time, by the clock of this place."""
    with suppress(ValueError):
        return datetime.fromisoformat(started).astimezone().strftime("%Y-%m-%d %H:%M")
    return escape_unprintable(started)


def _state(row: Row) -> str:
    """The status of a run; of one that is running, how far it is."""
    if row["status"] != RUNNING:
        return text(row["status"])
    if row["kind"] == "sweep":
        return f"{RUNNING}, {row['trials']} done"
    planned = row["epochs_planned"]
    return f"{RUNNING} {100 * row['epochs'] / planned:.0f} %" if planned else RUNNING


def _size(row: Row) -> str:
    if row["layers"] is None:
        return "-"
    return f"{text(row['layers'])}x{text(row['state_size'])}"


def _epochs(row: Row) -> str:
    done, planned = row["epochs"], row["epochs_planned"]
    return f"{done}/{planned}" if planned and done != planned else text(done)


def _figure(name: str, form: str) -> Callable[[Row], str]:
    return lambda row: "-" if row[name] is None else format(row[name], form)


def _of(name: str) -> Callable[[Row], str]:
    return lambda row: text(row[name], name)


SHOWN: dict[str, Callable[[Row], str]] = {
    "name": _of("name"),
    "status": _state,
    "data": _of("data"),
    "size": _size,
    "seeds": _of("seeds"),
    "epochs": _epochs,
    "val loss": _figure("val_loss", ".4g"),
    "excess loss": _figure("excess", "+.2g"),
    "of baseline": _figure("ratio", ".4g"),
    "answer": _of("answer"),
    "seconds": _figure("seconds", ",.0f"),
    WHEN: _of(WHEN),
}
"""The columns that people look for, by heading."""
