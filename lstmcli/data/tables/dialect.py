"""How a CSV file is written, guessed from its first lines where no comma parts its columns."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from itertools import islice, takewhile
from typing import IO

SEPARATORS = {"\t": "tabs", ";": "semicolons", "|": "bars", ",": "commas"}
LOOKED_AT = 30
"""Lines that tell how a file is written."""
LONGEST = 1 << 16
"""Characters of a line that are looked at."""
ALIKE = 0.8
"""Share of the lines that must have as many cells as the first."""
NUMBER = re.compile(r"[-+]?[\d.,]+([eE][-+]?\d+)?")
COMMA, POINT = re.compile(r"[-+]?\d+,\d+"), re.compile(r"[-+]?\d+\.\d+")


@dataclass(frozen=True)
class Dialect:
    """How a CSV file is written.

    Attributes:
        separator: what parts columns.
        decimal: what stands before the decimals of its numbers.
        comments: lines before the first that begin with `#`.
        header: whether the first line names the columns.
        encoding: of its text; `None` for UTF-8.
        marked: whether the line that names the columns begins with `#`.
    """

    separator: str = ","
    decimal: str = "."
    comments: int = 0
    header: bool = True
    encoding: str | None = None
    marked: bool = False

    def skip(self, file: IO[str]) -> None:
        """Goes on to the line after the comments."""
        for _ in range(self.comments):
            file.readline()

    def notes(self) -> list[str]:
        """What was guessed, in words."""
        found = []
        if self.separator != ",":
            found.append(f"columns are taken to be parted by {SEPARATORS[self.separator]}")
        if self.decimal != ".":
            found.append("commas in numbers are taken for decimal points")
        if self.marked:
            found.append("the line that begins with `#` is taken for the columns' names")
        if self.comments:
            found.append(f"{self.comments:,} lines of comments are left out")
        return [", ".join(found)] if found else []


def guess(file: IO[str], known: Dialect) -> Dialect:
    """How a CSV file is written.

    Args:
        file: it, at its beginning.
        known: what need not be guessed: its encoding, and whether its first line names columns.
    """
    lines = list(islice(iter(lambda: file.readline(LONGEST), ""), LOOKED_AT))
    comments = len(list(takewhile(lambda line: line.startswith("#"), lines)))
    last = lines[comments - 1 : comments]
    lines = [line for line in lines[comments:] if line.strip()]
    for separator in SEPARATORS:
        rows = _rows(lines, separator)
        if len(rows) < ALIKE * len(lines) and separator != ",":
            continue  # Read so, a quote within a cell opens one that swallows the lines below.
        width = len(rows[0]) if rows else 0
        alike = sum(len(row) == width for row in rows)
        if width > 1 and alike >= ALIKE * len(rows):
            marked = known.header and _names(last, rows[0], separator)
            decimal = "." if separator == "," else _decimal(rows[known.header - marked :])
            return replace(
                known,
                separator=separator,
                decimal=decimal,
                comments=comments - marked,
                marked=marked,
            )
    return replace(known, comments=comments)


def _rows(lines: Iterable[str], separator: str) -> list[list[str]]:
    try:
        return list(csv.reader(lines, delimiter=separator, skipinitialspace=True))
    except csv.Error:
        return []


def _names(last: list[str], first: list[str], separator: str) -> bool:
    """Whether the last line of comments names the columns of numbers below it."""
    names = [cell.strip("# \t\n") for row in _rows(last, separator) for cell in row]
    return (
        len(names) == len(first)
        and all(map(NUMBER.fullmatch, map(str.strip, first)))
        and not any(map(NUMBER.fullmatch, names))
    )


def _decimal(rows: list[list[str]]) -> str:
    """`,` where numbers have commas and none has a point."""
    cells = [cell.strip() for row in rows for cell in row]
    commas = any(map(COMMA.fullmatch, cells))
    return "," if commas and not any(map(POINT.fullmatch, cells)) else "."
