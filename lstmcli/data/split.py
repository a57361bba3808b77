"""How data is divided into three parts that share no step: training, validation and test."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from lstmcli.data.series import Series
from lstmcli.streams import Stream, generator


class Parts(NamedTuple):
    """A dataset's parts.

    Attributes:
        training: what a model is trained on; vocabularies and scales come from it alone.
        validation: chooses the checkpoint, and stops early.
        test: is reported, and looked at once.
    """

    training: Series
    validation: Series
    test: Series


def by_time(steps: int, val_fraction: float, test_fraction: float) -> tuple[slice, slice, slice]:
    """One long recording: the last part is the test part, the one before it the validation part."""
    test = steps - round(steps * test_fraction)
    validation = test - round(steps * val_fraction)
    return slice(0, validation), slice(validation, test), slice(test, steps)


def by_sequence(
    sequences: int, val_fraction: float, test_fraction: float, seed: int
) -> tuple[npt.NDArray[np.int64], ...]:
    """Many sequences: whole ones are drawn for each part, by a seed that is the dataset's own.

    Returns:
        The numbers of the sequences of the training, the validation and the test part, each in
        ascending order. A part with a fraction above 0 has one sequence at least, while there are
        enough.
    """
    order = generator(seed, Stream.SPLIT).permutation(sequences)
    counts = [
        max(1, round(sequences * fraction)) if fraction else 0
        for fraction in (val_fraction, test_fraction)
    ]
    validation, test = order[: counts[0]], order[counts[0] : sum(counts)]
    return tuple(np.sort(part) for part in (order[sum(counts) :], validation, test))
