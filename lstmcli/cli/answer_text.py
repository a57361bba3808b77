"""A sweep's answer on a screen: the headline, a table of the depths, and remarks."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import typer

from lstmcli.reporting import text_table
from lstmcli.utils import terminal

if TYPE_CHECKING:
    from lstmcli.sweeps.answer_parts import Answer

INDENT = "  "
PLAIN, STRONG, FOUND = "plain", "strong", "found"
"""How a line is printed: plain, in bold, or in bold and green, as the depth that is enough."""

Line = tuple[str, str]


def print_answers(answers: Sequence[Answer]) -> None:
    """Prints each answer as a block, in colour on a terminal and as wide as that is."""
    colour, width = terminal.shows_colour(sys.stdout), terminal.width(sys.stdout)
    for number, answer in enumerate(answers):
        if number:
            typer.echo()
        for text, kind in lines(answer, width):
            green = "green" if kind == FOUND else None
            shown = colour and kind != PLAIN
            typer.echo(typer.style(text, bold=True, fg=green) if shown else text)


def lines(answer: Answer, width: int | None) -> Iterator[Line]:
    """The lines of an answer, each with its kind.

    Args:
        answer: what to show; that of an older version has only a sentence.
        width: columns of the terminal; `None` for a pipe, where no line is broken.
    """
    found = any(row.marked for row in answer.rows)
    for text in _filled(answer.title, width):
        yield text, FOUND if found else STRONG
    if answer.rows:
        yield "", PLAIN
        yield from _table(answer, width)
    if answer.caveats:
        yield "", PLAIN
    for caveat in answer.caveats:
        for text in _filled(caveat, width, INDENT):
            yield text, PLAIN


def _table(answer: Answer, width: int | None) -> Iterator[Line]:
    headings, rows = answer.table()
    room = None if width is None else width - len(INDENT)
    if answer.against:
        head, *cells = text_table.rows_with_words(headings, rows, room)
    else:
        all_lines = text_table.render_table(headings, rows, room).splitlines()
        head, cells = all_lines[: -len(rows)], [[line] for line in all_lines[-len(rows) :]]
    for text in head:
        yield f"{INDENT}{text}", STRONG
    for row, texts in zip(answer.rows, cells, strict=True):
        for text in texts:
            yield f"{INDENT}{text}", FOUND if row.marked else PLAIN


def _filled(text: str, width: int | None, indent: str = "") -> list[str]:
    """A text, broken between words into lines; for a pipe one line."""
    if width is None:
        return [f"{indent}{text}"]
    return textwrap.wrap(
        text, width, initial_indent=indent, subsequent_indent=indent, break_on_hyphens=False
    )
