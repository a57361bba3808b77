"""Which of a depth's tuning candidates are trained to the end, and which of them is chosen.

After a part of the epochs, candidates that are clearly behind are stopped: successive halving
(Jamieson and Talwalkar 2016, "Non-stochastic best arm identification and hyperparameter
optimization", AISTATS). A candidate that is behind may only be slow: a smaller learning rate learns
later and may reach a lower loss. So the losses of each seed are extrapolated, as if they kept
falling by the same factor, and then compared. The candidate with the lowest loss so far stays too.
`tests/support/operating_figures.py` simulates how often the choice is the same as after training
all candidates, and what it costs.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import TypeVar

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Key = TypeVar("Key", bound=Hashable)

RUNG = 0.25
"""The share of the epochs after which candidates can be stopped."""

FEWEST = 2
"""The fewest candidates that continue."""

CLEARLY = 2.0
"""By how many standard errors of the seeds' differences a stopped candidate is behind."""

AHEAD = 3
"""How often a candidate's last decrease is repeated: from a quarter of the epochs to 5/8."""

SMALLEST_LOSS = 1e-12


def survivors(
    losses: Mapping[Key, Floats],
    guess: float,
    earlier: Mapping[Key, Floats] | None = None,
) -> list[Key]:
    """Which candidates of one depth are trained to the end.

    Args:
        losses: for each candidate, one validation loss per seed, in nats, after `RUNG` of the
            epochs; `nan` or infinite if the seed diverged. All candidates have the same seeds.
        guess: the loss of a guess, which replaces losses that are higher or diverged.
        earlier: the losses after half as many epochs, for extrapolation. By default there are none,
            and the losses are compared as they are.

    Returns:
        The candidates, in the order given: at least two, if that many have not diverged with all
        seeds; otherwise at least one.
    """
    alive = [key for key, own in losses.items() if np.isfinite(own).any()]
    if len(alive) <= FEWEST:
        return alive or list(losses)[:1]
    now = np.stack([_worth(losses[key], guess) for key in alive])
    before = now if earlier is None else np.stack([_worth(earlier[key], guess) for key in alive])
    ahead = np.log(now) + AHEAD * np.minimum(0.0, np.log(now / before))
    order = np.argsort(ahead.mean(1), kind="stable")
    behind = ahead - ahead[order[FEWEST - 1]]
    error = behind.std(1, ddof=1) / np.sqrt(behind.shape[1]) if behind.shape[1] > 1 else 0.0
    stays = behind.mean(1) <= CLEARLY * error
    stays[[*order[:FEWEST], now.mean(1).argmin()]] = True
    return [key for key, each in zip(alive, stays, strict=True) if each]


def choose(losses: Mapping[Key, Floats], guess: float) -> Key:
    """The candidate with the lowest mean validation loss; if equal, the first.

    Args:
        losses: for each candidate, one validation loss per seed, as in `survivors`.
        guess: the loss of a guess, which replaces losses that are higher or diverged.
    """
    return min(losses, key=lambda key: float(_worth(losses[key], guess).mean()))


def _worth(losses: Floats, guess: float) -> Floats:
    """The losses, limited to that of a guess."""
    found = np.asarray(losses, float)
    return np.where(np.isfinite(found), np.clip(found, SMALLEST_LOSS, guess), guess)
