"""What stands below the bar of a training run: the loss as a curve, and a few rows as strips."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import groupby
from operator import itemgetter

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions
from rich.segment import Segment
from rich.text import Text

from lstmcli.report.glimpses import Glimpse
from lstmcli.report.sparkline import curve
from lstmcli.report.strips import Strip, strips

LEAST_COLUMNS, LEAST_LINES = 60, 16
"""Of a terminal: in a smaller one there is only the bar."""
MARGIN = 4
"""Columns that stay free, as beside the bar."""
BESIDE = 2
"""Lines that stay free: the bar's own, and one below."""
LINES_A_ROW = 4
NAMES = 11
"""Columns of `input`, `label` and `prediction`."""
NARROWEST_CURVE, WIDEST_CURVE = 26, 70
MOST_POINTS = 1_000

STYLES = {"given": "cyan", "labels": "", "right": "green", "wrong": "bold red", "name": "dim"}


class Panel:
    """The curve and the strips, laid out for the terminal as large as it is at the moment.

    Args:
        floor: the lowest loss that can be expected, where it is known.
        plain: whether only ASCII may be used.
    """

    def __init__(self, floor: float | None, plain: bool) -> None:
        self._floor = floor
        self._plain = plain
        self._points: list[tuple[float, float]] = []
        self._glimpse: Glimpse | None = None
        self._drawn: tuple[object, list[list[Segment]]] = (None, [])

    def add(self, place: float, loss: float) -> None:
        """Goes on with the curve: the loss at a place, in epochs."""
        if not math.isfinite(loss):
            return
        points = [*self._points, (place, loss)]
        if len(points) > MOST_POINTS:
            points = [_mean(pair) for pair in zip(points[::2], points[1::2], strict=False)]
        self._points = points

    def show(self, glimpse: Glimpse) -> None:
        """Goes on to what a network makes of some rows."""
        self._glimpse = glimpse

    def wait(self) -> None:
        """Nothing: it is gone with the bar."""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Segment]:
        """Its lines; they are made anew only where something has changed."""
        key = (console.size, self._glimpse, self._points[-1:])
        if key != self._drawn[0]:
            texts = self.lines(console.width, console.height)
            self._drawn = key, [[*text.render(console), Segment.line()] for text in texts]
        for line in self._drawn[1]:
            yield from line

    def lines(self, columns: int, lines: int) -> list[Text]:
        """What shows in a terminal of a size: nothing in a small one."""
        small = columns < LEAST_COLUMNS or lines < LEAST_LINES
        if small or self._glimpse is None or not self._points:
            return []
        room = columns - MARGIN
        shown = strips(self._glimpse, self._plain)[: (lines - BESIDE - 1) // LINES_A_ROW]
        right = _strip_lines(self._glimpse, shown, room - NARROWEST_CURVE - 2)
        wide = min(room - 2 - max(text.cell_len for text in right), WIDEST_CURVE)
        left = curve(self._points, wide, len(right) - 1, self._floor, self._plain)
        title = f"{'loss':>7} (log scale)"
        return [
            Text.assemble((f"{line:{wide}}", "dim" if not n else ""), "  ", text, no_wrap=True)
            for n, (line, text) in enumerate(zip([title, *left], right, strict=True))
        ]


def _mean(pair: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """The place and the loss between two points; the loss as on a logarithmic scale."""
    (first, before), (second, after) = pair
    return (first + second) / 2, math.sqrt(before * after)


def _strip_lines(glimpse: Glimpse, shown: Sequence[Strip], room: int) -> list[Text]:
    """A heading, and four lines for each row: what is given, due and predicted, and what is wrong.

    Args:
        glimpse: what is shown.
        shown: its rows.
        room: columns that there are.
    """
    columns = max(strip.columns for strip in shown)
    steps = len(shown[0].given)
    gap = 1 if steps * (columns + 1) <= room - NAMES else 0
    fitting = min(steps, (room - NAMES) // (columns + gap))
    first = glimpse.step + steps - fitting
    steps_shown = f"steps {first:,} to {first + fitting - 1:,}"
    lines = [Text(_heading(glimpse, steps_shown, room), "dim")]
    for strip in shown:
        lines += _row_lines(glimpse, strip.last(fitting), columns, " " * gap)
    return lines


def _heading(glimpse: Glimpse, steps: str, room: int) -> str:
    """When the rows were predicted, and what they are, as far as there is room.

    It is as wide as in an epoch's last window, so that nothing beside it moves.
    """
    moment = glimpse.moment
    wordings = (
        f"seed {glimpse.seed}, epoch {moment.epoch:,}, window {{}}: validation, {steps}",
        f"epoch {moment.epoch:,}, window {{}}: validation, {steps}",
        f"epoch {moment.epoch:,}, window {{}}: {steps}",
        f"epoch {moment.epoch:,}, window {{}}",
    )
    widest = [len(wording.format(f"{moment.windows:,}")) for wording in wordings]
    chosen = next((n for n, wide in enumerate(widest) if wide <= room), len(wordings) - 1)
    heading = wordings[chosen].format(f"{moment.window:,}")
    return heading.ljust(widest[chosen])[:room]


def _row_lines(glimpse: Glimpse, strip: Strip, columns: int, gap: str) -> list[Text]:
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
    """A name, and a code for each step; steps of one style are one span, as a frame is to be small.

    What a terminal has not read yet is lost at Ctrl-C, and with it the count of lines.
    """
    line = Text.assemble((f"{name:{NAMES}}", STYLES["name"]))
    for style, steps in groupby(zip(styles, codes, strict=True), itemgetter(0)):
        padded = (code + " " * (columns - cell_len(code)) + gap for _, code in steps)
        line.append("".join(padded), style)
    line.rstrip()
    return line
