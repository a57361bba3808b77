"""Which steps a readout is fitted on, which choose its strength, and which judge it.

Pairs of a state and the input some steps before it: both lie in one sequence and in one part, so
that no part knows an input of another.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Integers = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

FIT, CHOOSE, JUDGE = range(3)
SHARES = (0.6, 0.2, 0.2)
"""Of the steps, or of the sequences, in each part."""
FEWEST_SEQUENCES = 20
"""Below which a series of sequences is divided by time, as one without is."""
FEWEST_PAIRS = 20
"""Of a part, below which nothing is said about a lag."""
ENOUGH = 0.8
"""Share of the steps that must be as old as the longest lag for all lags to use the same ones."""


class Block(NamedTuple):
    """Lags that are judged on the same steps.

    Attributes:
        lags: in steps.
        parts: the places to fit, to choose and to judge on, counted through `[steps, B]`.
    """

    lags: list[int]
    parts: tuple[Integers, Integers, Integers]


@dataclass(frozen=True)
class Places:
    """The steps of a replica's rows.

    Attributes:
        part: FIT, CHOOSE, JUDGE, or -1 for no step: `[steps, B]`.
        age: how many steps of its own sequence and part lie before a step: `[steps, B]`.
    """

    part: Integers
    age: Integers

    @classmethod
    def of(cls, begins: Bools, padding: Bools) -> Places:
        """Divides rows of sequences.

        Args:
            begins: where something begins of which the steps before say nothing: `[steps, B]`.
            padding: places without a step, or of a warm-up: `[steps, B]`.
        """
        steps, rows = begins.shape
        real = begins & ~padding
        if real.sum() < max(FEWEST_SEQUENCES, 2 * rows):
            borders = np.cumsum(SHARES[:2])
            first = int(np.argmin(padding.all(1)))  # Behind a warm-up.
            share = np.maximum(np.arange(steps) - first, 0) / (steps - first)
            part = np.searchsorted(borders, share, side="right")
            part = np.repeat(part[:, None], rows, 1)
        else:
            part = _by_sequence(real)
        changes = np.diff(part, axis=0, prepend=-1) != 0
        clock = np.arange(steps)[:, None]
        last = np.maximum.accumulate(np.where(begins | changes, clock, 0), 0)
        return cls(np.where(padding, -1, part), clock - last)

    def blocks(self, longest: int) -> Iterator[Block]:
        """Lags from 0 to the longest, with the steps that are old enough for them.

        Where nearly all steps are old enough for the longest lag, all lags are judged on those;
        among short sequences each lag has its own.
        """
        there = self.part >= 0
        if (self.age >= longest).sum() >= ENOUGH * there.sum():
            yield self._block(list(range(longest + 1)), longest)
            return
        for lag in range(longest + 1):
            yield self._block([lag], lag)

    def _block(self, lags: list[int], age: int) -> Block:
        fit, choose, judge = (
            np.flatnonzero((self.part == part) & (self.age >= age)) for part in range(len(SHARES))
        )
        return Block(lags, (fit, choose, judge))


def _by_sequence(begins: Bools) -> Integers:
    """Whole sequences drawn for each part, always the same ones."""
    number = _numbers(begins)
    count = int(number.max()) + 1
    borders = np.cumsum(SHARES[:2])
    shares = np.random.default_rng(0).permutation(count) / count
    part: Integers = np.searchsorted(borders, shares, side="right")
    return part[number]


def _numbers(begins: Bools) -> Integers:
    """The number of the sequence that each step belongs to, row by row: `[steps, B]`."""
    numbers: Integers = np.cumsum(begins.T, axis=None).reshape(begins.T.shape).T - 1
    return np.maximum(numbers, 0)
