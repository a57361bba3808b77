"""Settings that each depth has at its own best: what is tried of them, and which value is chosen.

The choice is made by validation losses alone, so that test losses compare depths that they have not
chosen.
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
"""What a sweep tunes that is not told what to."""
LADDER = (0.1, 1 / 3, 1.0, 10 / 3)
"""Of its default, what is tried."""
SEEDS = 8
"""That choose, from the first on: as many as one compiled program trains side by side."""
NOT_TUNED = {"layers", grid.HORIZON, *ONE_IN_A_SWEEP, *NOT_SWEPT}


def ladder(value: float) -> list[float]:
    """What is tried around a value: a tenth, a third, itself, and about three times as much."""
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
    """The trials that have the values chosen for their depth, in the order of the table.

    Args:
        trials: the columns of `trials.csv`.
        swept: the columns of swept settings.
        tuned: those of them that are tuned.
        until_solved: whether trials were stopped once they had solved the task. Then the value is
            chosen with which most seeds do, in the fewest epochs.
    """
    if not tuned or trials.empty:
        return trials
    keys = [name for name in grid.key_names(swept) if name not in tuned]
    cells = trials.groupby(keys, sort=False, dropna=False)
    kept = [_of_cell(cell, tuned, until_solved) for _, cell in cells]
    return trials.loc[sorted(index for cell in kept for index in cell)]


def _of_cell(trials: pd.DataFrame, tuned: Sequence[str], until_solved: bool) -> list[Any]:
    """The index of the trials of one depth that have its best values."""
    own = {
        values: group
        for values, group in trials.groupby(list(tuned), sort=True, dropna=False)
        if not (group.status == Status.DROPPED).any()
    }
    if not own:
        return []
    common = set.intersection(*(set(group.seed) for group in own.values()))
    compared = {
        values: group[group.seed.isin(common or group.seed)].sort_values("seed")
        for values, group in own.items()
    }
    if until_solved:
        best = min(compared, key=lambda each: _effort(compared[each]))
    else:
        losses = {values: validation_losses(group) for values, group in compared.items()}
        best = halving.choose(losses, _guess(trials))
    return list(own[best].index)


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
    known = trials[["chance", "reference_loss"]].to_numpy(float)
    return float(np.nanmax(known)) if np.isfinite(known).any() else math.inf
