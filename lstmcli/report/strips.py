"""What a network makes of a few rows of a window, as strips of characters."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
from rich.cells import cell_len

from lstmcli.columns import Categorical
from lstmcli.report.glimpses import Bools, Column, Glimpse

BLOCKS = "▁▂▃▄▅▆▇█"
DIGITS = "0123456789"
"""Levels of a number where only ASCII may be used."""
SIGNS = {" ": "␣", "\n": "↵", "\t": "⇥", "\r": "␍"}
PLAIN_SIGNS = {" ": "_", "\n": "/", "\t": ">", "\r": "<"}
MOST_NAMED = 64
"""Values up to which a column's names are cut to letters; else their numbers are shown."""
LONGEST_CODE = 3


@dataclass(frozen=True)
class Strip:
    """One row of a glimpse: a code for each step of what is given, due and predicted."""

    given: list[str]
    labels: list[str]
    predicted: list[str]
    wrong: list[bool]

    def last(self, steps: int) -> Strip:
        """Its last steps."""
        parts = (self.given, self.labels, self.predicted)
        given, labels, predicted = (codes[-steps:] for codes in parts)
        return Strip(given, labels, predicted, self.wrong[-steps:])

    @property
    def columns(self) -> int:
        """Of its widest code."""
        return max(map(cell_len, [*self.given, *self.labels, *self.predicted]))


def strips(glimpse: Glimpse, plain: bool) -> list[Strip]:
    """A strip for each row.

    Args:
        glimpse: what there is.
        plain: whether only ASCII may be used.
    """
    known, none = glimpse.labels[glimpse.scored], "." if plain else "·"
    given = _codes(glimpse.column, glimpse.given, glimpse.given, plain)
    labels = _codes(glimpse.target, glimpse.labels, known, plain)
    predicted = _codes(glimpse.target, glimpse.predicted, known, plain)
    rows = zip(
        _where(glimpse.there, given, " "),
        _where(glimpse.there, _where(glimpse.scored, labels, none), " "),
        _where(glimpse.there, _where(glimpse.scored, predicted, none), " "),
        glimpse.wrong.tolist(),
        strict=True,
    )
    return [Strip(*row) for row in rows]


def _where(chosen: Bools, codes: list[list[str]], other: str) -> list[list[str]]:
    """Codes `[rows, steps]` where they are chosen, and another one elsewhere."""
    return [
        [code if there else other for code, there in zip(*row, strict=True)]
        for row in zip(codes, chosen.tolist(), strict=True)
    ]


def _codes(
    column: Column, values: npt.NDArray[Any], known: npt.NDArray[Any], plain: bool
) -> list[list[str]]:
    """A short code for each value `[rows, steps]`; `known` are the values that set the scale."""
    if isinstance(column, Categorical):
        return [[_code(column, value, plain) for value in row] for row in values.tolist()]
    if values is known and _are_digits(units := column.in_units(values)):
        return [[f"{value:.0f}" for value in row] for row in units.tolist()]
    signs = DIGITS if plain else BLOCKS
    return [[signs[level] for level in row] for row in _levels(values, known, len(signs)).tolist()]


def _are_digits(values: npt.NDArray[np.float64]) -> bool:
    """Whether numbers can be written as a digit each."""
    return bool((np.abs(values - np.rint(values)) < 1e-3).all() and (abs(values - 4.5) < 5).all())


def _levels(
    values: npt.NDArray[Any], known: npt.NDArray[Any], count: int
) -> npt.NDArray[np.integer[Any]]:
    """The level of each number, between the smallest and the largest that is known."""
    if not known.size:
        return np.zeros(values.shape, np.int64)
    low, span = float(known.min()), float(np.ptp(known)) or 1.0
    share = np.nan_to_num((values - low) / span)
    return np.clip((share * count).astype(np.int64), 0, count - 1)


@lru_cache(maxsize=4096)
def _code(column: Categorical, number: int, plain: bool) -> str:
    """A character, letters or the number of a value."""
    if column.values is None:
        return str(number) if 0 <= number < column.size else "?"
    if not 0 <= number < column.size:
        return "?"
    name = column.values[number]
    if all(len(each) == 1 for each in column.values):
        return _character(name, plain)
    length = _telling(column.values)
    return str(number) if length is None else _printable(name[:length], plain)


@lru_cache(maxsize=16)
def _telling(names: Sequence[str]) -> int | None:
    """How many letters tell all names apart; `None` if that takes many."""
    lengths = range(1, LONGEST_CODE + 1) if len(names) <= MOST_NAMED else []
    return next((n for n in lengths if len({name[:n] for name in names}) == len(names)), None)


def _character(character: str, plain: bool) -> str:
    """A character of a text that takes a place of its own."""
    signs = PLAIN_SIGNS if plain else SIGNS
    return signs.get(character) or _printable(character, plain)


def _printable(text: str, plain: bool) -> str:
    """A text in which nothing is but what shows."""
    return "".join(
        each if each.isprintable() and cell_len(each) and (each.isascii() or not plain) else "?"
        for each in text
    )
