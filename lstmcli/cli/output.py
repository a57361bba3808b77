"""Results on standard output: as JSON, or as text for people."""

from __future__ import annotations

import json
import math
import sys
import textwrap
from collections.abc import Sequence
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


def print_sentence(text: str) -> None:
    """Prints a sentence, broken between words on a terminal; a pipe gets a whole line."""
    columns = terminal.width(sys.stdout)
    typer.echo(textwrap.fill(text, columns) if columns else text)


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
