"""Calls of a program over a batch, a chunk of windows after the other, for all replicas.

A chunk is long enough that Python's overhead vanishes, short enough that a progress bar moves and
Ctrl-C is answered. A ragged last one is padded and `count` says how far to go, so nothing compiles
twice; where windows take longer than guessed, a call goes less far.

A schedule that takes replicas side by side gets all of them at once; any other is compiled for one,
and replicas go through a chunk one after the other. What is compiled for one does not depend on how
many there are, the number of windows included.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

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
        scored: which of their steps count, `[windows, T, B, R]`; `None` for all.
    """

    tensors: Tensors
    measured: list[Array]
    scored: npt.NDArray[np.bool_] | None


class Calls:
    """How a program is called.

    Args:
        side_by_side: whether a call takes all replicas.
        window_seconds: what a window takes, about.
        device: as `device.resolve` gives it.
    """

    def __init__(self, side_by_side: bool, window_seconds: float, device: str) -> None:
        self._side_by_side = side_by_side
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
    ) -> Iterator[Done]:
        """Calls a chunk over a batch, and yields after each call.

        Args:
            kind: the program's name.
            chunk: what is called.
            tensors: before the first window, `[R, …]`.
            batch: the windows.
            first: the window to begin with.
            extra: draws parts that the data does not have.
        """
        groups = self._groups(batch.replicas)
        length = _chunk_length(len(batch), self._window_seconds)
        pace = self._paces.setdefault((kind, length), Pace(length))
        now = [{name: tensor[group] for name, tensor in tensors.items()} for group in groups]
        begin = first
        with tf.device(self._device):
            while begin < len(batch):
                count = min(pace.windows, len(batch) - begin)
                measured: list[list[Array]] = []
                scored: list[npt.NDArray[np.bool_]] = []
                with pace.call(count):
                    for index, group in enumerate(groups):
                        parts = batch.take(begin, length, group)
                        scored += [parts["scored"][:count]] if "scored" in parts else []
                        parts |= extra(begin, length, group) if extra else {}
                        now[index], found = chunk(now[index], parts, count, begin)
                        measured.append([np.asarray(each)[:count] for each in found])
                yield Done(
                    {name: _join(part[name] for part in now) for name in now[0]},
                    [np.concatenate(each, -1) for each in zip(*measured, strict=True)],
                    np.concatenate(scored, -1) if scored else None,
                )
                begin += count

    def _groups(self, replicas: int) -> list[slice]:
        """The replicas that go through a chunk together."""
        if self._side_by_side:
            return [slice(None)]
        return [slice(replica, replica + 1) for replica in range(replicas)]


def _chunk_length(windows: int, seconds: float) -> int:
    """Windows of a chunk: an even part of all, by the seconds that one takes."""
    pieces = max(1, round(windows * seconds / CHUNK_SECONDS))
    return -(-windows // pieces)


def _join(parts: Iterable[tf.Tensor]) -> tf.Tensor:
    """One tensor `[R, …]` of the parts that its replicas have in each group."""
    first, *more = parts
    return tf.concat([first, *more], 0) if more else first
