"""A small curve of characters, on a logarithmic scale."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Canvas = npt.NDArray[np.bool_]

BRAILLE = 0x2800
DOTS = np.array([[0x01, 0x08], [0x02, 0x10], [0x04, 0x20], [0x40, 0x80]])
"""The bit of each dot of a braille character (Unicode, block U+2800): `[4, 2]`."""
LEAST = 1e-12
"""Where a loss of zero stands on a logarithmic scale."""
GUTTER = 8
"""Columns of the losses beside the curve."""


def curve(
    points: Sequence[tuple[float, float]],
    columns: int,
    lines: int,
    floor: float | None = None,
    plain: bool = False,
) -> list[str]:
    """Lines of characters with a curve, the losses at its ends, and its first and last place.

    Args:
        points: place and loss of each, in the order of the places; at least one.
        columns: of all.
        lines: of all, the one for the places included.
        floor: a loss at which a dotted line stands, where it is known.
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
    """The lowest and the highest level, never the same."""
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
    """A line with the floor's dots where nothing is, and its name."""
    dot = "." if plain else "┄"
    line = "".join(dot if each == " " else each for each in line)
    return f"floor {line[6:]}" if line[:6] == 6 * dot else line
