"""Adding and multiplication: the sum or product of two marked numbers, due at the sequence's end.

Source: S. Hochreiter and J. Schmidhuber, "Long Short-Term Memory", 1997, experiments 4 and 5. Each
step has a real number and a marker. The sequences have T to T + T/10 steps. One of the first ten is
marked by 1, then one of the first T/2 - 1 that are still unmarked; the first and the last step have
the marker -1, all others 0. With the marked numbers X1 and X2 the target is

    adding          0.5 + (X1 + X2) / 4, numbers from [-1, 1]
    multiplication  X1 * X2,             numbers from [0, 1]

If the first step is drawn to be marked, its marker stays -1 and its number counts as 0 in a sum and
as 1 in a product, as in the paper.
"""

from __future__ import annotations

import math

import numpy as np

from lstmcli.config import DataConfig
from lstmcli.data.schema import Numeric, Schema
from lstmcli.data.series import Series, no_symbols
from lstmcli.data.tasks.sequences import (
    Integers,
    at,
    draw_bounds,
    lags_to_first,
    name_and_lengths,
)

FIRST = 10
"""The first mark is on one of this many steps."""
TOLERANCE = 0.04
"""A sequence is correct if the error at its end, in the target's units, is below this."""


def generate(config: DataConfig, rng: np.random.Generator) -> Series:
    """Draws a series of sequences for the task that the config names.

    Args:
        config: the task, the series' length, and T as the sequence length.
        rng: the random number generator.

    Returns:
        A series with the inputs `value` and `marker`, and a target that is scored at the last step
        of each sequence, standardised by its exact mean and standard deviation.

    Raises:
        UsageError: there is no room for one sequence.
    """
    adding, least = config.task == "adding", config.resolved_sequence_length
    bounds = draw_bounds(config, rng)
    begins, ends, steps = bounds[:-1], bounds[1:] - 1, int(bounds[-1])
    values = rng.uniform(-1.0 if adding else 0.0, 1.0, steps)
    marks = _draw_marks(least, len(begins), rng)  # [2, sequences]
    chosen = np.where(marks == 0, 0.0 if adding else 1.0, values[begins + marks])
    markers = np.zeros(steps)
    markers[begins + marks] = 1
    markers[begins] = markers[ends] = -1
    schema = _schema(config.task, least)
    answers = 0.5 + chosen.sum(0) / 4 if adding else chosen.prod(0)
    targets = np.zeros((steps, 1), np.float32)
    targets[ends, 0] = target(config.task, least).standardised(answers)
    numbers = np.stack([values, markers], 1).astype(np.float32)
    return Series(
        schema,
        numbers,
        no_symbols(steps),
        targets,
        scored=at(ends, steps),
        starts=at(begins, steps),
        task=name_and_lengths(config),
    )


def target(task: str, least: int) -> Numeric:
    """The target, with its exact mean and standard deviation.

    With probability p = 1/10 + 9/10 / (T/2 - 1) one of the marks is on the first step, never both.
    Then only one number counts. So the moments of uniform numbers give

        adding          mean 1/2,          variance (2 - p) / 3 / 16
        multiplication  mean (1 + p) / 4,  variance (1 + 2 p) / 9 - mean^2

    Args:
        task: `adding` or `multiplication`.
        least: T.
    """
    p = 1 / FIRST + (1 - 1 / FIRST) / (least // 2 - 1)
    if task == "adding":
        return Numeric("target", 0.5, math.sqrt((2 - p) / 48))
    mean = (1 + p) / 4
    return Numeric("target", mean, math.sqrt((1 + 2 * p) / 9 - mean**2))


def baseline(_: Series) -> tuple[str, float]:
    """Predicting the mean: its mean squared error is the variance, which is 1 when standardised."""
    return "the mean of the target", 1.0


def lags(series: Series) -> Integers:
    """How many steps before each answer the first marked number is: `[steps]`; -1 elsewhere."""
    markers = series.schema.numbers[1].in_units(series.numbers[:, 1])
    return lags_to_first(series, markers > 0.5)


def _draw_marks(least: int, sequences: int, rng: np.random.Generator) -> Integers:
    """The marked steps of each sequence: `[2, sequences]`."""
    first = rng.integers(0, FIRST, sequences)
    second = rng.integers(0, least // 2 - 1, sequences)
    return np.stack([first, second + (second >= first)])


def _schema(task: str, least: int) -> Schema:
    return Schema("series", (Numeric("value"), Numeric("marker")), (), (target(task, least),))
