"""Tuned settings: which values are tried for each depth, and which one is chosen.

The choice uses validation losses alone, so that the test losses which compare depths are unbiased.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from lstmcli.config import NOT_SWEPT, ONE_IN_A_SWEEP
from lstmcli.sweeps import grid, halving
from lstmcli.sweeps.trial import Status
from lstmcli.utils.errors import UsageError
from lstmcli.utils.settings import option_name

if TYPE_CHECKING:
    import pandas as pd

BY_DEFAULT = "learning_rate"
"""The setting that a sweep tunes by default."""
LADDER = (0.1, 1 / 3, 1.0, 10 / 3)
"""The values tried, as multiples of its default."""
SEEDS, FIRST_SEED = 4, 10_000
"""How many seeds choose, and the offset of the first of them from the seeds that are compared.

They are different seeds, because a rate that was lucky with some would look better on the same ones
than it is: with eight seeds for both purposes, up to 12 % of sweeps called a depth enough that was
worse by the margin (CONTRIBUTING.md has the simulation).
"""
NOT_TUNED = {"layers", grid.HORIZON, *ONE_IN_A_SWEEP, *NOT_SWEPT}


def ladder(value: float) -> list[float]:
    """The values to try around a default: a tenth, a third, itself, and about three times it."""
    return [value if factor == 1 else float(f"{value * factor:.0e}") for factor in LADDER]


def parsed(given: Iterable[str] | Mapping[str, Any]) -> dict[str, list[Any]]:
    """What is to be tuned, each with its values, from texts such as `learning-rate=0.1,0.3`.

    Raises:
        UsageError: a text that is none, a setting that cannot be tuned, or a single value.
    """
    if not isinstance(given, Mapping):
        given = dict(_split(text) for text in ([given] if isinstance(given, str) else given))
    found = {name.replace("-", "_"): values for name, values in given.items()}
    tuned = {}
    for name, values in found.items():
        if name not in grid.kinds() or name in NOT_TUNED:
            raise UsageError(
                f"`--tune` cannot tune {name.replace('_', '-')!r}",
                "it takes a setting of the model or of the training, such as "
                "`--tune learning-rate=0.1,0.3,1`",
            )
        tuned[name] = grid.values(name, values)
        if len(tuned[name]) < 2:
            raise UsageError(
                f"`--tune` takes several values of a setting, got {tuned[name][0]} alone",
                f"`{option_name(name)} {tuned[name][0]}` sets it for all trials",
            )
    return tuned


def _split(text: str) -> tuple[str, str]:
    name, equals, values = text.partition("=")
    if not equals or not name.strip() or not values.strip():
        raise UsageError(
            f"`--tune` takes a setting and its values, got {text!r}",
            "as in `--tune learning-rate=0.1,0.3,1`",
        )
    return name.strip(), values


def tried(trials: pd.DataFrame, tuned: Sequence[str]) -> dict[str, list[Any]]:
    """The values of each tuned setting that some trials have, in order."""
    return {name: sorted(trials[name].dropna().unique().tolist()) for name in tuned}


def chosen(
    trials: pd.DataFrame, swept: Sequence[str], tuned: Sequence[str], until_solved: bool = False
) -> pd.DataFrame:
    """The trials that are compared: those with the values chosen for their depth.

    Args:
        trials: the columns of `trials.csv`.
        swept: the columns of swept settings.
        tuned: those of them that are tuned.
        until_solved: as `best` has it.
    """
    if not tuned or trials.empty:
        return trials
    keys = [name for name in grid.key_names(swept) if name not in tuned]
    kept = []
    for _, cell in trials.groupby(keys, sort=False, dropna=False):
        if is_tuning(cell).all():  # It has not come to that yet.
            continue
        values = best(cell, tuned, until_solved)
        same = (cell[list(values)] == list(values.values())).all(axis=1)
        kept += cell.index[same & ~is_tuning(cell)].tolist()
    return trials.loc[sorted(kept)]


def is_tuning(trials: pd.DataFrame) -> pd.Series:
    """Which trials choose what is tuned."""
    return trials.trial.str.endswith(grid.TUNING)


def best(trials: pd.DataFrame, tuned: Sequence[str], until_solved: bool = False) -> dict[str, Any]:
    """The values that are chosen for a depth.

    Args:
        trials: of this depth, the columns of `trials.csv`.
        tuned: the columns of what is tuned.
        until_solved: whether trials were stopped once they had solved the task. Then the value is
            chosen with which most seeds do, in the fewest epochs.
    """
    choosing = trials[is_tuning(trials)]
    gone = choosing.status == Status.DROPPED
    own = {
        values: group.sort_values("seed")
        for values, group in choosing[~gone].groupby(list(tuned), sort=True, dropna=False)
    }
    if not own:
        raise ValueError("no trial is there that has chosen what is tuned")
    if until_solved:
        found = min(own, key=lambda each: _effort(own[each]))
    else:
        losses = {values: validation_losses(group) for values, group in own.items()}
        found = halving.choose(losses, _guess(choosing))
    return dict(zip(tuned, found, strict=True))


def validation_losses(trials: pd.DataFrame) -> np.ndarray[Any, np.dtype[np.float64]]:
    """The lowest of each trial; infinite for one that has diverged or failed."""
    ended = ~trials.status.isin([Status.DIVERGED, Status.FAILED])
    losses = trials.best_val_loss.where(ended).fillna(math.inf)
    return np.asarray(losses, float)


def _effort(trials: pd.DataFrame) -> tuple[float, float, float]:
    """Sorts values: most seeds that solve the task, then the fewest epochs, then the loss."""
    solved = float(trials.solved.fillna(False).astype(bool).sum())
    return -solved, float(trials.epochs.mean()), float(np.mean(validation_losses(trials)))


def _guess(trials: pd.DataFrame) -> float:
    """What a loss counts at most."""
    known = trials.chance.to_numpy(float)
    return float(np.nanmax(known)) if np.isfinite(known).any() else math.inf
