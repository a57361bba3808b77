"""Temporal order: the order of two or three symbols X or Y among noise.

Source: S. Hochreiter and J. Schmidhuber, "Long Short-Term Memory", 1997, experiments 6a (two
symbols, four classes) and 6b (three symbols, eight classes). A sequence has T to T + T/10 steps. It
begins with E and ends with B, the trigger at which the class is due. The symbols between them are
drawn uniformly from a, b, c and d, except for an X or a Y at each of two or three positions, which
are also drawn uniformly. For T = 100 these are

    6a  from 10 to 20 and from 50 to 60
    6b  from 10 to 20, from 33 to 43 and from 66 to 76
"""

from __future__ import annotations

import math

import numpy as np

from lstmcli.config import DataConfig
from lstmcli.data.schema import Categorical, Schema, symbol_type
from lstmcli.data.series import Series, no_numbers
from lstmcli.data.tasks.sequences import (
    Integers,
    at,
    draw_bounds,
    lags_to_first,
    name_and_lengths,
)

NAMES = ("E", "B", "a", "b", "c", "d", "X", "Y")
BEGIN, TRIGGER, NOISE, X = 0, 1, 2, 6
CLASSES = {2: ("Q", "R", "S", "U"), 3: ("Q", "R", "S", "U", "V", "A", "B", "C")}
"""The names in the paper, in the order XX, XY, YX, YY, or XXX, XXY, XYX and so on to YYY."""
PLACES = {2: ((10, 20), (50, 60)), 3: ((10, 20), (33, 43), (66, 76))}
"""The ranges of the positions of X or Y, in hundredths of T."""


def generate(config: DataConfig, rng: np.random.Generator) -> Series:
    """Draws a series of sequences.

    Args:
        config: the series' length, T as the sequence length, and the number of X or Y.
        rng: the random number generator.

    Returns:
        A series with one symbol per step; its class is scored at the last step of each sequence.

    Raises:
        UsageError: there is no room for one sequence.
    """
    least, relevant = config.resolved_sequence_length, config.order_symbols
    bounds = draw_bounds(config, rng)
    begins, ends, steps = bounds[:-1], bounds[1:] - 1, int(bounds[-1])
    given = rng.integers(NOISE, X, steps)
    given[begins], given[ends] = BEGIN, TRIGGER
    classes = np.zeros(len(begins), np.int64)
    for low, high in PLACES[relevant]:
        low, high = least * low // 100, least * high // 100
        is_y = rng.integers(0, 2, len(begins))
        given[begins + rng.integers(low, high, len(begins), endpoint=True)] = X + is_y
        classes = 2 * classes + is_y
    labels = np.zeros(steps, np.int32)
    labels[ends] = classes
    return Series(
        _schema(relevant),
        no_numbers(steps),
        given[:, None].astype(symbol_type(len(NAMES))),
        labels,
        scored=at(ends, steps),
        starts=at(begins, steps),
        task=name_and_lengths(config, order_symbols=relevant),
    )


def baseline(series: Series) -> tuple[str, float]:
    """A uniform guess: ln 4 nats for two symbols, ln 8 for three."""
    return "a uniform guess", math.log(series.classes)


def lags(series: Series) -> Integers:
    """How many steps before each class the first X or Y is: `[steps]`; -1 elsewhere."""
    return lags_to_first(series, series.symbols[:, 0] >= X)


def _schema(relevant: int) -> Schema:
    names = CLASSES[relevant]
    inputs = Categorical("input", len(NAMES), NAMES)
    return Schema("series", (), (inputs,), Categorical("target", len(names), names))
