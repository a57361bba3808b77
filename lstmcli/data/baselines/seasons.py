"""The season of a recording: the number of steps after which its values nearly repeat."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from lstmcli.data.schema import Schema
from lstmcli.data.series import Series

Floats = npt.NDArray[np.float64]

SECONDS = {"h": 3600.0, "min": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6}
"""Seconds of the pandas frequencies below a day."""
CYCLES = (86_400.0, 3600.0, 60.0)
"""A day, an hour and a minute, in seconds."""
YEAR = {"MS": 12, "ME": 12, "M": 12, "QS": 4, "QE": 4, "W": 52}
"""Steps per year."""
WEEK = {"D": 7, "B": 5}
"""Steps per week."""
LEAST = 0.1
"""A lower autocorrelation is not a season."""
NEARLY = 0.9
"""Peaks above this fraction of the largest count as equal; the first is the season, not a
multiple."""


def periods(schema: Schema, training: Series | None) -> list[int | None]:
    """Steps of the season of each target, from the index's frequency or else from autocorrelation.

    Args:
        schema: the columns.
        training: the training part; `None` if it is not available.

    Returns:
        For each number, `None` if there is no season, or if the longest training sequence is
        shorter than two seasons; for classes, the season of the target.
    """
    columns = schema.targets
    longest = None if training is None else int(np.diff(training.bounds()).max()) // 2
    index = getattr(schema, "index", None)
    found = of_frequency(index.frequency if index and index.kind == "dates" else None, longest)
    if found is not None or training is None or training.last_values is None:
        return [found] * len(columns)
    if not schema.numeric_targets:
        return [None]
    last = {column.name: place for place, column in enumerate(schema.numeric_targets)}
    each = {
        name: of_values(training.last_values[:, place].astype(np.float64), training.bounds())
        for name, place in last.items()
    }
    return [each[column.name] for column in columns]


def of_frequency(frequency: str | None, longest: int | None) -> int | None:
    """Steps of the longest usual calendar cycle at a frequency.

    Args:
        frequency: as in pandas: `h`, `15min`, `MS`, `W-SUN`.
        longest: the maximum number of steps; `None` for no limit.
    """
    match = re.fullmatch(r"(\d*)([A-Za-z]+)(-\w+)?", frequency or "")
    if match is None:
        return None
    count, unit = int(match[1] or 1), match[2]
    if (count, unit) == (7, "D"):
        count, unit = 1, "W"
    cycles = [YEAR.get(unit, 0) / count, WEEK.get(unit, 0) / count]
    if unit in SECONDS:
        cycles = [cycle / (count * SECONDS[unit]) for cycle in CYCLES]
    return next(
        (
            round(steps)
            for steps in cycles
            if steps >= 2 and abs(steps - round(steps)) < 1e-6
            if longest is None or steps <= longest
        ),
        None,
    )


def of_values(values: Floats, bounds: npt.NDArray[np.int64]) -> int | None:
    """Steps of the season that stands out in the autocorrelation of a column's differences.

    Differences have no trend. A season is a peak of the autocorrelation that is well above chance
    and that fits three times into the longest sequence.

    Args:
        values: `[steps]`, NaN where unknown.
        bounds: the first step of each sequence, and the end of the last.
    """
    differences = np.nan_to_num(np.diff(values, prepend=values[:1]))
    differences[bounds[:-1]] = 0
    most = int(np.diff(bounds).max()) // 3
    if most < 3 or not differences.any():
        return None
    size = 1 << int(2 * len(differences) - 1).bit_length()
    spectrum = np.fft.rfft(differences - differences.mean(), size)
    found = np.fft.irfft(np.abs(spectrum) ** 2, size)[: most + 2]
    if not found[0] > 0:
        return None
    found /= found[0]
    peaks = 2 + np.flatnonzero((found[2:-1] > found[1:-2]) & (found[2:-1] >= found[3:]))
    enough = max(LEAST, 4 / np.sqrt(len(differences)))
    peaks = peaks[found[peaks] > enough]
    if len(peaks) == 0:
        return None
    return int(peaks[found[peaks] >= NEARLY * found[peaks].max()][0])


def before(read: Series, steps: int | Sequence[int], horizon: int) -> npt.NDArray[Any]:
    """The target one season earlier, or several if the horizon is longer: `[steps, D]`.

    Before a sequence is old enough, it is the last value.

    Args:
        read: a series with `last_values`.
        steps: steps of a season, or those of each number.
        horizon: how many steps ahead the target is, unless a number has its own.
    """
    last, target = read.last_values, read.schema.numeric_targets
    assert last is not None
    leads = [horizon if column.lead is None else column.lead for column in target]
    places = np.arange(len(read))[:, np.newaxis]
    wanted = places - (-np.array(leads) % np.broadcast_to(steps, len(target)))  # [steps, D]
    bounds = read.bounds()
    begins = np.repeat(bounds[:-1], np.diff(bounds))[:, np.newaxis]
    found = np.where(wanted >= begins, wanted, places)
    return np.asarray(np.take_along_axis(last, found, 0))
