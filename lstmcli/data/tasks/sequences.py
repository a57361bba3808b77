"""Shared by the sequence tasks: their lengths, their answers, and a Bayes loss of zero."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from lstmcli.config import DataConfig
from lstmcli.data.series import Series
from lstmcli.data.tasks.echo import BayesLoss
from lstmcli.utils.errors import UsageError

Integers = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]


class Lengths(Protocol):
    """What the Bayes loss of a sequence task needs of a layout."""

    @property
    def windows(self) -> int:
        """Windows of an epoch."""


def longest(config: DataConfig) -> int:
    """Steps of the longest sequence: a tenth more than the shortest."""
    return config.resolved_sequence_length + config.resolved_sequence_length // 10


def draw_bounds(config: DataConfig, rng: np.random.Generator) -> Integers:
    """Draws as many sequences as fit in a series.

    Args:
        config: the series' length, and the least length of a sequence; lengths are uniform from
            that to `longest`.
        rng: the random number generator.

    Returns:
        The first step of each sequence, and the end of the last: `[sequences + 1]`.

    Raises:
        UsageError: there may be no room for one sequence.
    """
    least, most = config.resolved_sequence_length, longest(config)
    check_room(config, most)
    lengths = rng.integers(least, most, config.series_length // least, endpoint=True)
    bounds = np.append(0, np.cumsum(lengths))
    return bounds[bounds <= config.series_length]


def check_room(config: DataConfig, longest: int) -> None:
    """Raises UsageError if a series may have no room for one sequence."""
    if longest > config.series_length:
        raise UsageError(
            f"`--series-length` must hold one sequence of the task {config.task}, of up to "
            f"{longest} steps, got {config.series_length}",
            "give a longer `--series-length` or a shorter `--sequence-length`",
        )


def at(places: Integers, steps: int) -> Bools:
    """A mask of the given steps: `[steps]`."""
    marked = np.zeros(steps, np.bool_)
    marked[places] = True
    return marked


def lags_to_first(series: Series, marked: Bools) -> Integers:
    """How many steps before each sequence's last step the first marked one is; -1 at other steps.

    Args:
        series: a series of sequences.
        marked: `[steps]`.

    Returns:
        `[steps]`.
    """
    bounds, places = series.bounds(), np.append(np.flatnonzero(marked), len(series))
    last = bounds[1:] - 1
    lags = np.full(len(series), -1)
    lags[last] = np.maximum(last - places[np.searchsorted(places, bounds[:-1])], -1)
    return lags


def name_and_lengths(config: DataConfig, **more: Any) -> dict[str, Any]:
    """A sequence task, as stored in a dataset's metadata."""
    return {
        "name": config.task,
        "series_length": config.series_length,
        "sequence_length": config.resolved_sequence_length,
        **more,
    }


def nothing_lost(chance: float, cut: Lengths) -> BayesLoss:
    """The Bayes loss of a task that can be solved without error: 0 in each window.

    Args:
        chance: the loss of the task's baseline.
        cut: how the series is cut; sequences stay whole.
    """
    return BayesLoss(0.0, 1.0, chance, np.zeros(cut.windows))
