"""The live view below a training run's bar: the loss curve, and predictions for a few rows."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import groupby
from operator import itemgetter
from typing import Any

import numpy as np
import numpy.typing as npt
from rich.cells import cell_len
from rich.console import Console, ConsoleOptions
from rich.segment import Segment
from rich.text import Text

from lstmcli.data.schema import Categorical, Numeric
from lstmcli.reporting.predictions import Bools, PredictionSample

LEAST_COLUMNS, LEAST_LINES = 60, 16
"""The smallest terminal that shows more than the bar."""
MARGIN = 4
"""Columns left free at the right, as beside the bar."""
BESIDE = 2
"""Lines left free: the bar's own, and one below."""
LINES_A_ROW = 4
NAMES = 11
"""Columns of `input`, `label` and `prediction`."""
MOST_ROWS = 3
NARROWEST_CURVE = 26
MOST_POINTS = 1_000

STYLES = {"given": "cyan", "labels": "", "right": "green", "wrong": "bold red", "name": "dim"}


class Panel:
    """The curve and the strips, laid out for the terminal's present size.

    Args:
        floor: the Bayes loss, where it is known.
        plain: whether only ASCII may be used.
    """

    def __init__(self, floor: float | None, plain: bool) -> None:
        self._floor = floor
        self._plain = plain
        self._points: list[tuple[float, float]] = []
        self._sample: PredictionSample | None = None
        self._drawn: tuple[object, list[list[Segment]]] = (None, [])

    def add(self, place: float, loss: float) -> None:
        """Adds a point to the curve; `place` is in epochs."""
        if not math.isfinite(loss):
            return
        points = [*self._points, (place, loss)]
        if len(points) > MOST_POINTS:
            points = [_mean(pair) for pair in zip(points[::2], points[1::2], strict=False)]
        self._points = points

    def show(self, sample: PredictionSample) -> None:
        """Shows the predictions for some rows."""
        self._sample = sample

    def wait(self) -> None:
        """Does nothing: the panel disappears with the bar."""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Segment]:
        """Its lines, rendered anew only where something has changed."""
        key = (console.size, self._sample, self._points[-1:])
        if key != self._drawn[0]:
            texts = self.lines(console.width, console.height)
            self._drawn = key, [[*text.render(console), Segment.line()] for text in texts]
        for line in self._drawn[1]:
            yield from line

    def lines(self, columns: int, lines: int) -> list[Text]:
        """The lines for a terminal of this size; none for a small one."""
        small = columns < LEAST_COLUMNS or lines < LEAST_LINES
        if small or self._sample is None or not self._points:
            return []
        room = columns - MARGIN
        shown = strips(self._sample, self._plain)
        shown = shown[: min(MOST_ROWS, (lines - BESIDE - 2) // LINES_A_ROW)]
        right = _strip_lines(self._sample, shown, room - NARROWEST_CURVE - 2)
        wide = room - 2 - max(text.cell_len for text in right)
        left = sparkline(self._points, wide, len(right) - 1, self._floor, self._plain)
        title = f"{'loss':>7} (log scale)"
        return [
            Text.assemble((f"{line:{wide}}", "dim" if not n else ""), "  ", text, no_wrap=True)
            for n, (line, text) in enumerate(zip([title, *left], right, strict=True))
        ]


def _mean(pair: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """The mean of two points, with the loss averaged on a logarithmic scale."""
    (first, before), (second, after) = pair
    return (first + second) / 2, math.sqrt(before * after)


def _strip_lines(sample: PredictionSample, shown: Sequence[Strip], room: int) -> list[Text]:
    """A heading, and four lines for each row: input, label, prediction and errors.

    Args:
        sample: what is shown.
        shown: its rows.
        room: columns available.
    """
    columns = max(strip.columns for strip in shown)
    steps = len(shown[0].given)
    gap = 1 if steps * (columns + 1) <= room - NAMES else 0
    fitting = min(steps, (room - NAMES) // (columns + gap))
    first = int(sample.places[0, 0]) + steps - fitting
    steps_shown = f"steps {first:,} to {first + fitting - 1:,}"
    lines = [Text(_heading(sample, steps_shown, room), "dim")]
    for strip in shown:
        lines += _row_lines(sample, strip.last(fitting), columns, " " * gap)
    wrong, of = int(sample.wrong.sum()), int(sample.labelled.sum())
    lines.append(Text(f"{wrong:,} of {of:,} wrong, in {len(sample.given):,} rows", "dim"))
    return lines


def _heading(sample: PredictionSample, steps: str, room: int) -> str:
    """When the rows were predicted, and which steps they show, if there is room.

    It is as wide as in an epoch's last window, so that nothing beside it moves.
    """
    moment = sample.moment
    wordings = (
        f"seed {sample.seed}, epoch {moment.epoch:,}, window {{}}: validation, {steps}",
        f"epoch {moment.epoch:,}, window {{}}: validation, {steps}",
        f"epoch {moment.epoch:,}, window {{}}: {steps}",
        f"epoch {moment.epoch:,}, window {{}}",
    )
    widest = [len(wording.format(f"{moment.windows:,}")) for wording in wordings]
    chosen = next((n for n, wide in enumerate(widest) if wide <= room), len(wordings) - 1)
    heading = wordings[chosen].format(f"{moment.window:,}")
    return heading.ljust(widest[chosen])[:room]


def _row_lines(sample: PredictionSample, strip: Strip, columns: int, gap: str) -> list[Text]:
    """The four lines of a row."""
    marks = ["^" if wrong else "" for wrong in strip.wrong]
    judged = [STYLES["wrong" if wrong else "right"] for wrong in strip.wrong]
    every = len(marks)
    return [
        _line(name, codes, styles, columns, gap)
        for name, codes, styles in (
            ("input", strip.given, [STYLES["given"]] * every),
            ("label", strip.labels, [STYLES["labels"]] * every),
            ("prediction", strip.predicted, judged),
            ("wrong" if any(marks) else "", marks, judged),
        )
    ]


def _line(name: str, codes: Sequence[str], styles: Sequence[str], columns: int, gap: str) -> Text:
    """A name, and a code for each step; neighbouring steps of one style share a span.

    A frame must be small: what a terminal has not read yet at Ctrl-C is lost, and then the lines to
    clear are miscounted.
    """
    line = Text.assemble((f"{name:{NAMES}}", STYLES["name"]))
    for style, steps in groupby(zip(styles, codes, strict=True), itemgetter(0)):
        padded = (code + " " * (columns - cell_len(code)) + gap for _, code in steps)
        line.append("".join(padded), style)
    line.rstrip()
    return line


Floats = npt.NDArray[np.float64]
Canvas = npt.NDArray[np.bool_]

BRAILLE = 0x2800
DOTS = np.array([[0x01, 0x08], [0x02, 0x10], [0x04, 0x20], [0x40, 0x80]])
"""The bit of each dot of a braille character (Unicode, block U+2800): `[4, 2]`."""
LEAST = 1e-12
"""A loss of zero is drawn here on a logarithmic scale."""
GUTTER = 8
"""Columns for the losses beside the curve."""


def sparkline(
    points: Sequence[tuple[float, float]],
    columns: int,
    lines: int,
    floor: float | None = None,
    plain: bool = False,
) -> list[str]:
    """A curve as lines of characters, with the losses at its ends, and the first and last epoch.

    Args:
        points: epoch and loss of each, in the order of the epochs; at least one.
        columns: width of the whole.
        lines: height of the whole, the line of epochs included.
        floor: the Bayes loss, drawn as a dotted line, where it is known.
        plain: whether only ASCII may be used.
    """
    places, losses = np.asarray(points, np.float64).T
    losses = np.maximum(losses, LEAST)
    levels = losses if not floor else np.append(losses, floor)
    low, high = _ends(levels)
    height, width = lines - 1, columns - GUTTER
    canvas = np.zeros((height, width) if plain else (4 * height, 2 * width), np.bool_)
    _draw(canvas, places, _rows(losses, low, high, len(canvas)))
    drawn = _characters(canvas, plain)
    if floor:
        row = int(_rows(np.array([floor]), low, high, height)[0])
        drawn[row] = _with_floor(drawn[row], plain)
    names = [""] * height
    names[0], names[-1] = f"{high:.2g}", f"{low:.2g}"
    edge = "|" if plain else "│"
    drawn = [f"{name:>{GUTTER - 1}}{edge}{line}" for name, line in zip(names, drawn, strict=True)]
    first, last = f"{places[0]:.0f}", f"{places[-1]:.0f}"
    return [*drawn, f"{'epoch':>{GUTTER - 1}} {first}{last:>{max(0, width - len(first))}}"]


def _ends(levels: Floats) -> tuple[float, float]:
    """The lowest and the highest level, made different where they are equal."""
    low, high = float(levels.min()), float(levels.max())
    return (low, high) if high > 1.05 * low else (low / 1.5, high * 1.5)


def _rows(losses: Floats, low: float, high: float, height: int) -> npt.NDArray[np.int64]:
    """The row of each loss, from the top."""
    share = np.log(losses / low) / math.log(high / low)
    return np.rint((1 - share) * (height - 1)).astype(np.int64)


def _draw(canvas: Canvas, places: Floats, rows: npt.NDArray[np.int64]) -> None:
    """Marks a curve: a mean for each column, joined to its neighbours."""
    width = canvas.shape[1]
    span = places[-1] - places[0]
    at = np.rint((places - places[0]) / span * (width - 1)).astype(int) if span else np.array([0])
    counts = np.bincount(at)
    known = np.flatnonzero(counts)
    means = np.bincount(at, rows[: len(at)])[known] / counts[known]
    line = np.rint(np.interp(np.arange(known[-1] + 1), known, means)).astype(int)
    for column, (before, now) in enumerate(zip(np.append(line[:1], line), line, strict=False)):
        low, high = sorted((before, now))
        canvas[low + (before < now) : high + (before <= now), column] = True


def _characters(canvas: Canvas, plain: bool) -> list[str]:
    """The characters that show a canvas."""
    if plain:
        return ["".join("*" if dot else " " for dot in row) for row in canvas.tolist()]
    height, width = (length // each for length, each in zip(canvas.shape, DOTS.shape, strict=True))
    cells = canvas.reshape(height, 4, width, 2)
    bits = (cells * DOTS[:, None, :]).sum((1, 3))
    return ["".join(chr(BRAILLE + bit) if bit else " " for bit in row) for row in bits.tolist()]


def _with_floor(line: str, plain: bool) -> str:
    """A line with the dots of the Bayes loss in its blanks, and its name."""
    dot = "." if plain else "┄"
    line = "".join(dot if each == " " else each for each in line)
    return f"Bayes {line[6:]}" if line[:6] == 6 * dot else line


BLOCKS = "▁▂▃▄▅▆▇█"
DIGITS = "0123456789"
"""Levels of a number, in ASCII."""
SIGNS = {" ": "␣", "\n": "↵", "\t": "⇥", "\r": "␍"}
PLAIN_SIGNS = {" ": "_", "\n": "/", "\t": ">", "\r": "<"}
MOST_NAMED = 64
"""With more values than this, a column's values are shown as numbers, not letters."""
LONGEST_CODE = 3


@dataclass(frozen=True)
class Strip:
    """One row of a sample: a code for the input, label and prediction of each step."""

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


def strips(sample: PredictionSample, plain: bool) -> list[Strip]:
    """A strip for each row.

    Args:
        sample: the rows.
        plain: whether only ASCII may be used.
    """
    target, scored, inputs = sample.schema.targets[0], sample.labelled, sample.given
    known, none = sample.labels[scored], "." if plain else "·"
    given = _codes(sample.column, inputs, inputs, plain)
    labels = _codes(target, sample.labels, known, plain)
    predicted = _codes(target, sample.guesses, known, plain)
    rows = zip(
        _where(sample.there, given, " "),
        _where(sample.there, _where(scored, labels, none), " "),
        _where(sample.there, _where(scored, predicted, none), " "),
        sample.wrong.tolist(),
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
    column: Categorical | Numeric, values: npt.NDArray[Any], known: npt.NDArray[Any], plain: bool
) -> list[list[str]]:
    """A short code for each value `[rows, steps]`; the values in `known` set the scale."""
    if isinstance(column, Categorical):
        return [[_code(column, value, plain) for value in row] for row in values.tolist()]
    if values is known and _are_digits(units := column.in_units(values)):
        return [[f"{value:.0f}" for value in row] for row in units.tolist()]
    signs = DIGITS if plain else BLOCKS
    return [[signs[level] for level in row] for row in _levels(values, known, len(signs)).tolist()]


def _are_digits(values: npt.NDArray[np.float64]) -> bool:
    """Whether each number can be written as one digit."""
    return bool((np.abs(values - np.rint(values)) < 1e-3).all() and (abs(values - 4.5) < 5).all())


def _levels(
    values: npt.NDArray[Any], known: npt.NDArray[Any], count: int
) -> npt.NDArray[np.integer[Any]]:
    """The level of each number, between the smallest and the largest of `known`."""
    if not known.size:
        return np.zeros(values.shape, np.int64)
    low, span = float(known.min()), float(np.ptp(known)) or 1.0
    share = np.nan_to_num((values - low) / span)
    return np.clip((share * count).astype(np.int64), 0, count - 1)


@lru_cache(maxsize=4096)
def _code(column: Categorical, number: int, plain: bool) -> str:
    """A value as a character, a few letters or its number."""
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
    """How many first letters tell all names apart; `None` if too many are needed."""
    lengths = range(1, LONGEST_CODE + 1) if len(names) <= MOST_NAMED else []
    return next((n for n in lengths if len({name[:n] for name in names}) == len(names)), None)


def _character(character: str, plain: bool) -> str:
    """A character of a text, with a visible sign for a space or a line's end."""
    signs = PLAIN_SIGNS if plain else SIGNS
    return signs.get(character) or _printable(character, plain)


def _printable(text: str, plain: bool) -> str:
    """A text with a replacement for whatever cannot be shown."""
    return "".join(
        each if each.isprintable() and cell_len(each) and (each.isascii() or not plain) else "?"
        for each in text
    )
