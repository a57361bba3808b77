"""A program's inputs and measurements, as arrays with the replicas in the last axis."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float32]
Arrays = dict[str, npt.NDArray[Any]]


class Windowing(Protocol):
    """One replica's windows."""

    def __len__(self) -> int: ...

    def take(self, begin: int, count: int) -> Arrays:
        """The arrays `[count, T, B, …]` of some windows, by name; fewer windows at the end."""


class ReplicaWindows:
    """An epoch's windows for every replica, sliced when they are needed.

    Args:
        replicas: the windows of each replica.
    """

    def __init__(self, replicas: Sequence[Windowing]) -> None:
        self._replicas = replicas

    def __len__(self) -> int:
        """Number of windows."""
        return len(self._replicas[0])

    @property
    def replicas(self) -> int:
        """R, the number of replicas."""
        return len(self._replicas)

    def take(self, begin: int, length: int, group: slice) -> Arrays:
        """Some windows of some replicas: arrays `[length, T, B, …, R]`, padded with zeros."""
        each = [windows.take(begin, length) for windows in self._replicas[group]]
        return {
            name: _padded(np.stack([arrays[name] for arrays in each], -1), length)
            for name in each[0]
        }


class WindowMetrics(NamedTuple):
    """The measurements of each window before its update, `[windows, R]` each.

    Attributes:
        loss: cross-entropy in nats, or squared error: the mean over the window's scored steps, or
            over their known numbers.
        metric: the share of steps whose label has the largest logit, or the absolute error, with
            the mean taken as for the loss.
        grad_norm: global norm of the gradient before clipping; empty for an evaluation.
        labels: number of scored steps, or of their known numbers.
    """

    loss: Array
    metric: Array
    grad_norm: Array
    labels: npt.NDArray[np.int64]

    def mean(self, column: Array, replica: int) -> float:
        """A replica's mean over all scored steps; the order of the sum does not depend on R."""
        values = np.ascontiguousarray(column[:, replica], np.float64)
        weights = self.labels[:, replica]
        if (weights == weights[0]).all():
            return float(values.mean())
        return float(np.average(values, weights=weights))


def means(found: Sequence[Array], scored: npt.NDArray[Any] | None = None) -> WindowMetrics:
    """The measurements of windows, from those of their steps.

    Args:
        found: losses and metrics `[windows, T, B, R]`, and the windows' gradient norms.
        scored: which steps count, or how much each counts; `None` for all.

    Each replica's steps are summed separately, so that their order, and with it the last bit, does
    not depend on the number of replicas.
    """
    loss, metric, norm = found
    windows, *steps, replicas = loss.shape
    counted = np.full((windows, replicas), np.prod(steps, dtype=np.int64))
    if scored is None:
        columns = [_by_replica(each).mean(-1, dtype=np.float64).T for each in (loss, metric)]
    else:
        counted = _by_replica(scored).sum(-1).T
        columns = [
            _by_replica(np.where(scored, each, 0) * scored).sum(-1, dtype=np.float64).T
            / np.maximum(counted, 1)
            for each in (loss, metric)
        ]
    losses, metrics = (each.astype(np.float32) for each in columns)
    return WindowMetrics(losses, metrics, norm, counted)


def concatenate(parts: Sequence[WindowMetrics]) -> WindowMetrics:
    """The measurements of consecutive windows, joined."""
    return WindowMetrics(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def _by_replica(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """`[windows, T, B, R]` -> `[R, windows, T B]`."""
    return np.moveaxis(values, -1, 0).reshape(values.shape[-1], len(values), -1)


def _padded(array: npt.NDArray[Any], length: int) -> npt.NDArray[Any]:
    if len(array) == length:
        return array
    return np.concatenate([array, np.zeros((length - len(array), *array.shape[1:]), array.dtype)])
