"""Results on standard output: as JSON, or as text for people."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterable, Sequence
from statistics import median
from typing import Any

import typer

from lstmcli.reporting import text_table
from lstmcli.utils import terminal


def print_json(result: Any) -> None:
    """Prints one JSON object; numbers that JSON cannot hold (NaN, infinity) become null."""
    typer.echo(json.dumps(_finite(result), indent=2, default=str))


def print_table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Prints a table, as wide as the terminal allows; a pipe gets whole lines."""
    typer.echo(text_table.render_table(headings, rows, terminal.width(sys.stdout)))


def print_sentence(text: str, indent: str = "") -> None:
    """Prints a sentence, broken between words on a terminal; a pipe gets a whole line.

    Args:
        text: on one line.
        indent: before each further line.
    """
    typer.echo(terminal.wrapped(text, terminal.width(sys.stdout), indent))


COLOURS = {"error": "red", "hint": "cyan"}


def say(kind: str, text: str) -> None:
    """Writes a line such as `note: …` to standard error, broken between words on a terminal.

    Args:
        kind: `note`, `warning`, `error`, `hint`, or another word for what the line is about.
        text: on one line; unprintable characters are escaped.
    """
    line = f"{kind}: {terminal.escape_unprintable(text)}"
    line = terminal.wrapped(line, terminal.width(sys.stderr), " " * (len(kind) + 2))
    if kind in COLOURS and terminal.shows_colour(sys.stderr):
        line = typer.style(kind, fg=COLOURS[kind], bold=True) + line[len(kind) :]
    typer.echo(line, err=True)


def median_of(values: Iterable[float | None]) -> float | None:
    """The median of the values that are not `None`; `None` if there is none."""
    known = [each for each in values if each is not None]
    return median(known) if known else None


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
