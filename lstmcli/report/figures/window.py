"""What a network makes of some steps: what the figures of a window are drawn from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from lstmcli.columns import Categorical, Schema

MOST_ROWS = 5
"""Rows that are shown: as many as the article shows."""


@dataclass(frozen=True)
class Window:
    """Some steps of a few rows of a series, or of a few of its sequences.

    Attributes:
        schema: what the columns are.
        places: the number of each step in its row or sequence, from 1 on: `[rows, steps]`.
        there: whether there is a step: a sequence may be shorter than others. `[rows, steps]`.
        scored: whether its prediction counts: `[rows, steps]`.
        numbers, symbols: the inputs, as a series has them: `[rows, steps, N]`, `[rows, steps, M]`.
        targets: `[rows, steps]` for classes, `[rows, steps, D]` for numbers, standardised.
        readout: the probability of each class, or the predicted numbers, standardised:
            `[rows, steps, C or D]`.
        names: what each row is called.
        where: which steps they are, in words.
    """

    schema: Schema
    places: npt.NDArray[np.int64]
    there: npt.NDArray[np.bool_]
    scored: npt.NDArray[np.bool_]
    numbers: npt.NDArray[np.floating[Any]]
    symbols: npt.NDArray[Any]
    targets: npt.NDArray[Any]
    readout: npt.NDArray[np.floating[Any]]
    names: tuple[str, ...]
    where: str

    @property
    def target(self) -> Categorical:
        """The target, where it is one of several classes."""
        target = self.schema.target
        if not isinstance(target, Categorical):
            raise TypeError("the target is a number")
        return target

    @property
    def guesses(self) -> npt.NDArray[np.int64]:
        """The most probable class: `[rows, steps]`."""
        return np.asarray(self.readout.argmax(-1))

    @property
    def wrong(self) -> npt.NDArray[np.bool_]:
        """Whether another class than the label is the most probable: `[rows, steps]`."""
        return np.asarray(self.scored & (self.guesses != self.targets))

    @property
    def one_input(self) -> npt.NDArray[np.int64] | None:
        """The input, where it is one symbol or one bit: `[rows, steps]`; else `None`."""
        numbers, symbols = self.numbers.shape[-1], self.symbols.shape[-1]
        if (numbers, symbols) == (0, 1):
            return np.asarray(self.symbols[..., 0], np.int64)
        if (numbers, symbols) == (1, 0) and np.isin(self.numbers, (0, 1)).all():
            return np.asarray(self.numbers[..., 0], np.int64)
        return None

    @property
    def sparse(self) -> bool:
        """Whether few steps have a label: those at the sequences' ends."""
        return bool(self.scored.sum() <= 0.25 * self.there.sum())
