"""What a program is given and what it measures, as arrays with the replicas in the last axis."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float32]


class Labelled(Protocol):
    """One replica's windows."""

    @property
    def inputs(self) -> Array:
        """`[windows, T, B, F]`."""

    @property
    def targets(self) -> npt.NDArray[np.int32]:
        """`[windows, T, B]`."""


class Batch(NamedTuple):
    """Windows for every replica.

    Attributes:
        inputs: `[windows, T, B, F, R]`, float32.
        labels: `[windows, T, B, R]`, int32.
    """

    inputs: Array
    labels: npt.NDArray[np.int32]

    @classmethod
    def stack(cls, replicas: Sequence[Labelled]) -> Batch:
        """From each replica's `inputs` `[windows, T, B, F]` and `targets` `[windows, T, B]`."""
        inputs, labels = zip(*((each.inputs, each.targets) for each in replicas), strict=True)
        return cls(np.stack(inputs, -1), np.stack(labels, -1))

    def __len__(self) -> int:
        """Number of windows."""
        return len(self.labels)


class Measures(NamedTuple):
    """What each window showed, `[windows, R]` each: the figures before the window's update.

    Attributes:
        loss: mean cross-entropy, in nats per step.
        accuracy: share of steps whose label has the largest logit.
        grad_norm: global norm of the gradient, before clipping; empty from an evaluation.
    """

    loss: Array
    accuracy: Array
    grad_norm: Array


def means(loss: Array, correct: Array, norm: Array) -> Measures:
    """What windows showed, from what their steps did, `[windows, T, B, R]`.

    A replica's steps are summed by themselves, so that the order, and with it the last bit, does
    not depend on how many replicas there are.
    """
    windows, *_, replicas = loss.shape
    steps = (np.moveaxis(each, -1, 0).reshape(replicas, windows, -1) for each in (loss, correct))
    means, hits = (each.mean(-1, dtype=np.float64).T.astype(np.float32) for each in steps)
    return Measures(means, hits, norm)
