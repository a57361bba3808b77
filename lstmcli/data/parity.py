"""Temporal parity: the label at each step is the parity of the last k bits, this one included.

Source: the parity problem of Y. Bengio, P. Simard and P. Frasconi, "Learning long-term dependencies
with gradient descent is difficult", 1994, asked at every step of one endless series as in the echo
task: how many bits have to be held is set by k.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from lstmcli.columns import plain
from lstmcli.config import DataConfig
from lstmcli.data.echo import Floor
from lstmcli.data.layout import Layout
from lstmcli.data.series import Series, no_symbols


def generate(config: DataConfig, rng: np.random.Generator) -> Series:
    """Draws a series of bits.

    The k - 1 bits before the series are drawn too, but are not part of it.

    Args:
        config: the series' length, and k as `bits`.
        rng: the stream to draw from.
    """
    drawn = rng.integers(0, 2, config.series_length + config.bits - 1)
    given = drawn[config.bits - 1 :, None].astype(np.float32)
    task = {"name": "parity", "series_length": config.series_length, "bits": config.bits}
    labels = _parity(drawn, config.bits)
    return Series(plain(1, 2), given, no_symbols(len(given)), labels, task=task)


def baseline(_: Series) -> tuple[str, float]:
    """A guess: ln 2 nats. Who misses one of the k bits can do no better."""
    return "a uniform guess", math.log(2)


def lags(series: Series) -> npt.NDArray[np.int64]:
    """How many steps before each label the first bit lies that it depends on: `[steps]`."""
    return np.full(len(series), int(series.task["bits"]) - 1)


def floor(series: Series, layout: Layout) -> Floor | None:
    """The exact floor.

    The first k - 1 labels of a row depend on a bit of the row before, which is not seen: nothing is
    known of them. All others are known for certain.

    Returns:
        `None` where the labels are not those of the task.
    """
    bits = int(series.task["bits"])
    known = _parity(series.numbers[:, 0].astype(np.int64), bits)
    if not np.array_equal(known, series.targets[bits - 1 :]):
        return None
    losses = np.where(np.arange(layout.used) < bits - 1, math.log(2), 0.0)
    unseen = min(bits - 1, layout.used) / layout.used
    windows = losses.reshape(layout.windows, layout.bptt).mean(1)
    return Floor(unseen * math.log(2), 1 - unseen / 2, math.log(2), windows)


def _parity(drawn: npt.NDArray[np.int64], bits: int) -> npt.NDArray[np.int32]:
    """The parity of each run of so many bits, by its last: `[steps - bits + 1]`."""
    total = np.append(0, np.cumsum(drawn))
    return np.asarray((total[bits:] - total[:-bits]) % 2, np.int32)
