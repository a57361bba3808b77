"""Calls of a program over a batch, a chunk of windows after the other, for all replicas.

A chunk is long enough that Python's overhead vanishes, short enough that a progress bar moves and
Ctrl-C is answered. A ragged last one is padded and `count` says how far to go, so nothing compiles
twice; where windows take longer than guessed, a call goes less far.

Replicas that lie side by side go through a chunk in groups of one size, the last one filled up with
copies; others are a group each, one after the other. What is compiled for a group does not depend
on how many there are, the number of windows included.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from lstmcli.core.backend import tf
from lstmcli.core.batch import Array, Arrays, Batch
from lstmcli.core.pace import Pace

Tensors = dict[str, tf.Tensor]
Chunk = Callable[[Tensors, Arrays, int, int], tuple]
"""`(tensors, parts, count, begin) -> (tensors, measured)`, where the parts are the windows of a
chunk, `[K, T, B, …, R]`, by the names of a series' arrays."""

Extra = Callable[[int, int, slice], Arrays]
"""`(begin, length, replicas) -> parts` that the data does not have."""

CHUNK_SECONDS = 0.25


class Done(NamedTuple):
    """What stands after a call.

    Attributes:
        tensors: of all replicas.
        measured: of the call's windows, with the replicas in the last axis.
        scored: which of their steps count, `[windows, T, B, R]`: of several numbers, how many;
            `None` for all.
    """

    tensors: Tensors
    measured: list[Array]
    scored: npt.NDArray[Any] | None


class Group(NamedTuple):
    """Replicas that go through a chunk together.

    Attributes:
        replicas: which.
        copies: of the last of them, which fill the group up.
    """

    replicas: slice
    copies: int

    def filled(self, arrays: Mapping[str, Any], axis: int) -> dict[str, Any]:
        """Arrays that have the replicas in an axis, with the copies."""
        if not self.copies:
            return dict(arrays)
        return {
            name: np.concatenate([array, *[np.take(array, [-1], axis)] * self.copies], axis)
            for name, array in arrays.items()
        }

    @property
    def genuine(self) -> slice:
        """Its replicas without the copies."""
        return slice(None, -self.copies or None)


class Calls:
    """How a program is called.

    Args:
        together: how many replicas a call takes.
        window_seconds: what a window takes for these, about.
        device: as `device.resolve` gives it.
    """

    def __init__(self, together: int, window_seconds: float, device: str) -> None:
        self._together = together
        self._window_seconds = window_seconds
        self._device = device
        self._paces: dict[tuple[str, int], Pace] = {}

    def made(self, kind: str) -> bool:
        """Whether a program has been called: its first call takes seconds to compile it."""
        return any(each == kind for each, _ in self._paces)

    def over(
        self,
        kind: str,
        chunk: Chunk,
        tensors: Tensors,
        batch: Batch,
        first: int = 0,
        extra: Extra | None = None,
        most: int | None = None,
    ) -> Iterator[Done]:
        """Calls a chunk over a batch, and yields after each call.

        Args:
            kind: the program's name.
            chunk: what is called.
            tensors: before the first window, `[R, …]`.
            batch: the windows.
            first: the window to begin with.
            extra: draws parts that the data does not have.
            most: windows of a call, where what it gives back is large.
        """
        groups = self._groups(batch.replicas)
        length = min(_chunk_length(len(batch), self._window_seconds), most or len(batch))
        pace = self._paces.setdefault((kind, length), Pace(length))
        now = [
            group.filled({name: tensor[group.replicas] for name, tensor in tensors.items()}, 0)
            for group in groups
        ]
        begin = first
        with tf.device(self._device):
            while begin < len(batch):
                count = min(pace.windows, len(batch) - begin)
                measured: list[list[Array]] = []
                scored: list[npt.NDArray[Any]] = []
                with pace.call(count):
                    for index, group in enumerate(groups):
                        parts = batch.take(begin, length, group.replicas)
                        scored += [_counted(parts)[:count]] if "scored" in parts else []
                        parts |= extra(begin, length, group.replicas) if extra else {}
                        now[index], found = chunk(now[index], group.filled(parts, -1), count, begin)
                        measured.append(
                            [np.asarray(each)[:count, ..., group.genuine] for each in found]
                        )
                yield Done(
                    _joined(now, groups),
                    [np.concatenate(each, -1) for each in zip(*measured, strict=True)],
                    np.concatenate(scored, -1) if scored else None,
                )
                begin += count

    def _groups(self, replicas: int) -> list[Group]:
        """All replicas, as they go through a chunk together."""
        begins = range(0, replicas, self._together)
        ends = [min(begin + self._together, replicas) for begin in begins]
        return [
            Group(slice(begin, end), begin + self._together - end)
            for begin, end in zip(begins, ends, strict=True)
        ]


def _counted(parts: Arrays) -> npt.NDArray[Any]:
    """Which steps count, or how many of their several numbers are known: `[K, T, B, R]`."""
    scored, targets = parts["scored"], parts["targets"]
    if targets.ndim == scored.ndim or targets.shape[-2] == 1:
        return scored
    return np.where(scored, np.isfinite(targets).sum(-2), 0)


def _chunk_length(windows: int, seconds: float) -> int:
    """Windows of a chunk: an even part of all, by the seconds that one takes."""
    pieces = max(1, round(windows * seconds / CHUNK_SECONDS))
    return -(-windows // pieces)


def _joined(now: Sequence[Tensors], groups: Sequence[Group]) -> Tensors:
    """Tensors `[R, …]` of those that each group has."""
    if len(groups) == 1 and not groups[0].copies:
        return now[0]
    pairs = list(zip(now, groups, strict=True))
    return {  # In NumPy: TensorFlow takes a hundred times as long to cut so many small pieces.
        name: np.concatenate([np.asarray(each[name])[group.genuine] for each, group in pairs])
        for name in now[0]
    }
