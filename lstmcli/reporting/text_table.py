"""Tables as plain text that fit the screen. Every command loads this module, so it is small."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator, Sequence
from itertools import zip_longest

from lstmcli.utils.terminal import cells_of

INDENT = 4  # of the lines that a row goes on in
LEAST = 24  # columns in which words are broken into lines
NUMBER = re.compile(r"(\* )?(?=.*\d)[-+\d.,/e%]+( s)?")
NO_NUMBER = re.compile(r"[a-z]*|-")


def render_table(headings: Sequence[str], rows: Sequence[Sequence[str]], width: int | None) -> str:
    """A table, with a space between columns and no frame.

    Where it is too wide, headings of several words take several lines, then the gaps shrink, and at
    last every row goes on in a second, indented line. Columns of numbers stand to the right.

    Args:
        headings: one for each column.
        rows: cells, as many as headings.
        width: columns of the terminal; `None` for a pipe or a file, where lines are as long as need
            be.

    Returns:
        The lines, without a newline at the end.
    """
    columns = [[heading, *cells] for heading, *cells in zip(headings, *rows, strict=True)]
    for titles, widths, gap in _layouts(columns):
        if width is None or _total(widths, gap) <= width:
            return "\n".join(_lines(columns, titles, widths, [range(len(widths))], gap))
    return "\n".join(_lines(columns, titles, widths, _bands(widths, width or 0), 2))


def rows_with_words(
    headings: Sequence[str], rows: Sequence[Sequence[str]], width: int | None
) -> list[list[str]]:
    """The lines of a table whose last column is words, which wrap within their column.

    Args:
        headings: one for each column.
        rows: cells, as many as headings.
        width: as `render_table` has it.

    Returns:
        The lines of the headings, then those of each row.
    """
    columns = [[heading, *cells] for heading, *cells in zip(headings, *rows, strict=True)]
    *others, words = columns
    for titles, widths, gap in _layouts(others):
        room = None if width is None else width - _total(widths, gap) - 2
        if room is None or room >= min(LEAST, max(map(cells_of, words))):
            break
    else:
        room = LEAST
    deep, left = max(map(len, titles)), _total(widths, gap)
    lines = _lines(others, titles, widths, [range(len(widths))], gap)
    rest = [textwrap.wrap(text, room) if room else [text] for text in words]
    head = max(deep, len(rest[0]))  # Both stand on the same line, the lowest.
    above = [""] * (head - deep), [""] * (head - len(rest[0]))
    found = [([*above[0], *lines[:deep]], [*above[1], *rest[0]])]
    found += [([line], texts) for line, texts in zip(lines[deep:], rest[1:], strict=True)]
    return [
        [
            f"{_justified(line, left, False)}  {text}".rstrip()
            for line, text in zip_longest(*each, fillvalue="")
        ]
        for each in found
    ]


def fits(headings: Sequence[str], rows: Sequence[Sequence[str]], width: int | None) -> bool:
    """Whether each row of a table has room in one line; arguments as `render_table` has them."""
    columns = [[heading, *cells] for heading, *cells in zip(headings, *rows, strict=True)]
    return width is None or any(
        _total(widths, gap) <= width for _, widths, gap in _layouts(columns)
    )


def _layouts(
    columns: Sequence[Sequence[str]],
) -> Iterator[tuple[list[list[str]], list[int], int]]:
    """Possible layouts: headings as lines of words, column widths, and spaces between columns."""
    headings = [heading for heading, *_ in columns]
    whole = [[heading] for heading in headings]
    stacked = [re.split(" (?!%)", heading) for heading in headings]
    for titles, gap in ((whole, 2), (stacked, 2), (stacked, 1)):
        yield titles, _widths(columns, titles), gap


def _total(widths: Sequence[int], gap: int) -> int:
    return sum(widths) + gap * (len(widths) - 1)


def _widths(columns: Sequence[Sequence[str]], titles: Sequence[Sequence[str]]) -> list[int]:
    return [
        max(cells_of(text) for text in [*title, *cells])
        for title, (_, *cells) in zip(titles, columns, strict=True)
    ]


def _bands(widths: Sequence[int], width: int) -> list[range]:
    """Which columns are in which line of a row: as many as fit."""
    bands, begin, used = [], 0, widths[0]
    for place, wide in enumerate(widths[1:], 1):
        if used + 2 + wide > width:
            bands.append(range(begin, place))
            begin, used = place, INDENT + wide
        else:
            used += 2 + wide
    return [*bands, range(begin, len(widths))]


def _lines(
    columns: Sequence[Sequence[str]],
    titles: Sequence[Sequence[str]],
    widths: Sequence[int],
    bands: Sequence[range],
    gap: int,
) -> list[str]:
    """The headings' lines, then each row's."""
    right = [is_numbers(cells) for _, *cells in columns]

    def line(number: int, band: range, cells: Sequence[str]) -> str:
        texts = [_justified(cells[place], widths[place], right[place]) for place in band]
        return (" " * (INDENT if number else 0) + (" " * gap).join(texts)).rstrip()

    found = []
    for number, band in enumerate(bands):
        deep = max(len(titles[place]) for place in band)
        for level in range(-deep, 0):
            found.append(line(number, band, [_word(title, level) for title in titles]))
    for cells in list(zip(*columns, strict=True))[1:]:
        found += [line(number, band, cells) for number, band in enumerate(bands)]
    return found


def _justified(cell: str, width: int, right: bool) -> str:
    blanks = " " * (width - cells_of(cell))
    return blanks + cell if right else cell + blanks


def is_numbers(cells: Sequence[str]) -> bool:
    """Whether a column holds numbers, with a word such as `best` or nothing in some places."""
    numbers = [cell for cell in cells if NUMBER.fullmatch(cell)]
    return bool(numbers) and all(
        NUMBER.fullmatch(cell) or NO_NUMBER.fullmatch(cell) for cell in cells
    )


def _word(title: Sequence[str], level: int) -> str:
    """A heading's word at a level counted from below, -1 the last."""
    return title[level] if -level <= len(title) else ""
