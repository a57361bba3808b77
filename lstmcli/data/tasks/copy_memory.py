"""Delayed copy: ten symbols must be reproduced in order after a long delay.

Source: the copying memory problem of M. Arjovsky, A. Shah and Y. Bengio, "Unitary Evolution
Recurrent Neural Networks", ICML 2016, section 5.1, after S. Hochreiter and J. Schmidhuber, "Long
Short-Term Memory", 1997. There are T + 20 steps, and all of them are scored:

    input   ten of eight symbols | T - 1 blanks | delimiter | ten blanks
    label   T + 10 blanks                                   | the ten symbols
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
    check_room,
    name_and_lengths,
)

SYMBOLS = 8
"""The number of different symbols to remember."""
COPIED = 10
"""The number of symbols in a sequence."""
BLANK, DELIMITER = SYMBOLS, SYMBOLS + 1
NAMES = (*map(str, range(SYMBOLS)), "blank", "delimiter")
SCHEMA = Schema(
    "series",
    (),
    (Categorical("input", len(NAMES), NAMES),),
    Categorical("target", SYMBOLS + 1, NAMES[:-1]),  # The delimiter is never a label.
)


def longest(config: DataConfig) -> int:
    """The number of steps of every sequence."""
    return config.resolved_sequence_length + 2 * COPIED


def generate(config: DataConfig, rng: np.random.Generator) -> Series:
    """Draws a series of sequences of T + 20 steps each.

    Args:
        config: the series' length, and T as the sequence length.
        rng: the random number generator.

    Raises:
        UsageError: there is no room for one sequence.
    """
    length = longest(config)
    check_room(config, length)
    sequences = config.series_length // length
    copied = rng.integers(0, SYMBOLS, (sequences, COPIED))
    given = np.full((sequences, length), BLANK)
    given[:, :COPIED] = copied
    given[:, -COPIED - 1] = DELIMITER
    labels = np.full((sequences, length), BLANK, np.int32)
    labels[:, -COPIED:] = copied
    steps = sequences * length
    return Series(
        SCHEMA,
        no_numbers(steps),
        given.reshape(-1, 1).astype(symbol_type(len(NAMES))),
        labels.ravel(),
        starts=at(np.arange(0, steps, length), steps),
        task=name_and_lengths(config),
    )


def baseline(series: Series) -> tuple[str, float]:
    """The loss of knowing the time but no symbol: 10 ln 8 / (T + 20) nats per step."""
    length = int(series.task["sequence_length"]) + 2 * COPIED
    return "blanks, and a uniform guess of the ten symbols", COPIED * math.log(SYMBOLS) / length


def lags(series: Series) -> Integers:
    """How many steps before each label its symbol is: `[steps]`; -1 for blanks."""
    delay = int(series.task["sequence_length"]) + COPIED
    place = np.arange(len(series)) % (delay + COPIED)
    return np.where(place < delay, -1, delay)
