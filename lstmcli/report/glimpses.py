"""What a network makes of a few rows of a window, while it is trained."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from lstmcli.columns import Categorical, Numeric, Schema

Bools = npt.NDArray[np.bool_]
Column = Categorical | Numeric

FAR = 0.25
"""Of the range of the labels that are shown: by more a predicted number is marked as wrong."""


@dataclass(frozen=True)
class Moment:
    """When a network was looked at.

    Attributes:
        epoch: the one under way, from 1.
        window: the last one that it had learned from in it.
        windows: of an epoch.
    """

    epoch: int
    window: int
    windows: int


@dataclass(frozen=True, eq=False)
class Glimpse:
    """What a network makes of a few rows of a window.

    Attributes:
        schema: what the columns are.
        seed: the network's.
        moment: when it was looked at.
        step: the number of the first step of a row that is shown, from 1.
        column: the input that is shown.
        given: its values: `[rows, steps]`.
        labels: class or number (standardised, the first of several): `[rows, steps]`.
        predicted: the most probable class or the number: `[rows, steps]`.
        scored: whether a step has a label that counts: `[rows, steps]`.
        there: whether there is a step: rows of sequences are filled up at their ends.
    """

    schema: Schema
    seed: int
    moment: Moment
    step: int
    column: Column
    given: npt.NDArray[Any]
    labels: npt.NDArray[Any]
    predicted: npt.NDArray[Any]
    scored: Bools
    there: Bools

    @property
    def target(self) -> Column:
        """The column of the labels."""
        target = self.schema.target
        return target if isinstance(target, Categorical) else target[0]

    @property
    def wrong(self) -> Bools:
        """Where the prediction is another class, or far off: `[rows, steps]`."""
        if isinstance(self.target, Categorical):
            return np.asarray(self.scored & (self.predicted != self.labels))
        known = self.labels[self.scored]
        room = FAR * float(np.ptp(known)) if known.size else 0.0
        return np.asarray(self.scored & (np.abs(self.predicted - self.labels) > room))
