"""Summaries over the seeds: means with intervals, memory capacities, and the lags that are held."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import pandas as pd

LEVEL = 0.95
FEWEST_SEEDS = 5
"""The fewest seeds for an interval: with fewer, the t distribution is too wide to be useful."""
HOLDS = 0.5
"""A layer holds an input if at least this share of it can be recovered."""
PART = ["network", "input", "unit", "layer", "state"]
"""The columns that identify a part of a state and an input that is read out of it."""


def over_seeds(table: pd.DataFrame, keys: Sequence[str], value: str) -> pd.DataFrame:
    """The mean over the seeds of each group, and its 95 % interval by Student's t (1908).

    Args:
        table: a row for each seed and group.
        keys: what tells groups apart; they stay in the table's order.
        value: the column.

    Returns:
        The keys, the value's mean under its name, `seeds`, `low` and `high`: `nan` for fewer than
        five seeds.
    """
    from scipy.special import stdtrit

    groups = table.groupby(list(keys), sort=False, dropna=False)[value]
    found = groups.agg(["mean", "std", "count"]).reset_index()
    freedom = np.maximum(found["count"] - 1, 1)
    reach = stdtrit(freedom, (1 + LEVEL) / 2) * found["std"] / np.sqrt(found["count"])
    reach = reach.where(found["count"] >= FEWEST_SEEDS)
    found["low"], found["high"] = found["mean"] - reach, found["mean"] + reach
    renamed = found.rename(columns={"mean": value, "count": "seeds"})
    return renamed[[*keys, value, "seeds", "low", "high"]]


def by_lag(memory: pd.DataFrame) -> pd.DataFrame:
    """The memory of each part of the state at each lag, over the seeds, and its maximum.

    Args:
        memory: as `memory.memory` gives it.

    Returns:
        `network,input,unit,layer,state,lag,memory,seeds,low,high,most`.
    """
    keys = [*PART, "lag"]
    found = over_seeds(memory, keys, "memory")
    most = memory.groupby(keys, sort=False)["most"].mean().reset_index()
    return found.merge(most, on=keys)


def capacities(memory: pd.DataFrame) -> pd.DataFrame:
    """The memory capacity of each part of the state, the sum over the lags, over the seeds.

    Returns:
        `network,input,unit,layer,state,capacity,seeds,low,high`.
    """
    sums = memory.groupby([*PART, "seed"], sort=False)["memory"].sum(min_count=1)
    found = over_seeds(sums.rename("capacity").reset_index(), PART, "capacity")
    return found.assign(low=found.low.clip(lower=0))  # A capacity is never negative.


def held(lags: pd.DataFrame) -> list[int]:
    """The lags at which a part of the state holds the input: at least half can be recovered.

    Args:
        lags: the part's rows of `by_lag`.
    """
    chosen = lags[lags.memory >= HOLDS * lags.most]
    return [int(lag) for lag in chosen.lag]


def ranges(numbers: Sequence[int]) -> str:
    """`0-3, 5` for 0, 1, 2, 3, 5; `-` for none."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    shown = [f"{run[0]}-{run[-1]}" if len(run) > 1 else str(run[0]) for run in runs]
    return ", ".join(shown) or "-"
