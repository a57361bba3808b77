"""Temporal parity: the label at each step is the parity of the last k bits, including this one.

Source: the parity problem of Y. Bengio, P. Simard and P. Frasconi, "Learning long-term dependencies
with gradient descent is difficult", 1994, here at every step of one endless series, as in the echo
task. k sets how many bits must be remembered.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from lstmcli.config import DataConfig
from lstmcli.data.batching import ContiguousWindows
from lstmcli.data.schema import plain
from lstmcli.data.series import Series, no_symbols
from lstmcli.data.tasks.echo import BayesLoss

Bits = npt.NDArray[np.uint8]

PIECE = 1 << 20
"""Bits drawn at a time."""


def generate(config: DataConfig, rng: np.random.Generator) -> Series:
    """Draws a series of bits.

    The k - 1 bits before the series are drawn too, but are not part of it. Only what the labels
    need of them is stored, so a large k costs time but no memory.

    Args:
        config: the series' length, and k as `bits`.
        rng: the random number generator.
    """
    steps, before = config.series_length, config.bits - 1
    early, filled = np.zeros(steps, np.uint8), 1  # The parity of all bits before each label's.
    parity = 0
    for begin in range(0, before, PIECE):
        running = _running(_draw(rng, min(PIECE, before - begin)), parity)
        room = early[filled : filled + len(running)]
        room[:] = running[: len(room)]
        filled, parity = filled + len(room), int(running[-1])
    drawn = _draw(rng, steps)
    late = _running(drawn, parity)
    early[filled:] = late[: steps - filled]
    task = {"name": "parity", "series_length": steps, "bits": config.bits}
    labels = (early ^ late).astype(np.int32)
    return Series(plain(1, 2), drawn[:, None].astype(np.float32), no_symbols(steps), labels,
                  task=task)  # fmt: skip


def _draw(rng: np.random.Generator, count: int) -> Bits:
    """Bits, drawn as 64-bit numbers, in parts that give the same stream as one draw."""
    found = np.empty(count, np.uint8)
    for begin in range(0, count, PIECE):
        part = found[begin : begin + PIECE]
        part[:] = rng.integers(0, 2, len(part))
    return found


def _running(bits: Bits, before: int) -> Bits:
    """The parity of all bits up to each one, starting from the parity `before`."""
    return np.bitwise_xor.accumulate(bits) ^ np.uint8(before)


def baseline(_: Series) -> tuple[str, float]:
    """A uniform guess: ln 2 nats. A predictor that misses one of the k bits can do no better."""
    return "a uniform guess", math.log(2)


def lags(series: Series) -> npt.NDArray[np.int64]:
    """How many steps before each label the first bit that it depends on is: `[steps]`."""
    return np.full(len(series), int(series.task["bits"]) - 1)


def floor(series: Series, layout: ContiguousWindows) -> BayesLoss | None:
    """The exact Bayes loss.

    The first k - 1 labels of a row depend on a bit of the row before, which is not seen, so nothing
    is known about them. All other labels are certain.

    Returns:
        `None` if the labels are not those of the task.
    """
    bits = int(series.task["bits"])
    total = np.append(np.uint8(0), _running(series.numbers[:, 0].astype(np.uint8), 0))
    known = total[bits:] ^ total[:-bits]
    if not np.array_equal(known, series.targets[bits - 1 :]):
        return None
    losses = np.where(np.arange(layout.used) < bits - 1, math.log(2), 0.0)
    unseen = min(bits - 1, layout.used) / layout.used
    windows = losses.reshape(layout.windows, layout.bptt).mean(1)
    return BayesLoss(unseen * math.log(2), 1 - unseen / 2, math.log(2), windows)
