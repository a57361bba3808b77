"""Linear readouts by ridge regression: all lags and all strengths from one eigendecomposition.

Ridge regression is Hoerl and Kennard's (1970). Shapes are written with n steps, S units, K lags and
V columns for each lag: one of a number, one for each value of a symbol, which is regressed one-hot.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

STRENGTHS = np.append(10.0 ** np.arange(-8, 3), np.inf)
"""Of the ridge, with units of variance 1; with infinity the readout is the mean."""


@dataclass(frozen=True)
class Targets:
    """What is read out, at n steps and K lags.

    Attributes:
        values: numbers, or symbols from 0 on: `[n, K]`.
        classes: how many values a symbol has; 0 for numbers.
    """

    values: npt.NDArray[Any]
    classes: int

    @cached_property
    def means(self) -> Floats:
        """Of each column: `[K, V]`; the values' frequencies, of a symbol."""
        if not self.classes:
            return np.asarray(self.values.mean(0)[:, None], np.float64)
        counts = [np.bincount(lag, minlength=self.classes) for lag in self.values.T]
        return np.array(counts, np.float64) / len(self.values)

    def cross(self, states: Floats) -> Floats:
        """Mean product of each unit and each column: `[S, K, V]`."""
        if not self.classes:
            return np.asarray(states.T @ self.values / len(states))[:, :, None]
        sums = [np.asarray(one_hot @ states).T for one_hot in self._one_hot]
        return np.stack(sums, 1) / len(states)

    def spread(self, means: Floats) -> Floats:
        """Mean squared distance from some means `[K, V]`, over the columns together: `[K]`."""
        if not self.classes:
            return np.asarray(np.square(self.values - means[:, 0]).mean(0))
        return np.asarray(1 - 2 * (self.means * means).sum(1) + np.square(means).sum(1))

    @cached_property
    def _one_hot(self) -> list[Any]:
        """Of each lag, sparse: `[V, n]`, with one 1 in each column."""
        from scipy.sparse import csc_array

        count = len(self.values)
        columns, ones = np.arange(count + 1), np.ones(count)
        shape = self.classes, count
        return [csc_array((ones, lag, columns), shape=shape) for lag in self.values.T]


@dataclass(frozen=True)
class Readout:
    """A linear readout for each lag.

    Attributes:
        strengths: the ridge of each lag, infinite where nothing was better than the mean: `[K]`.
        weights: `[S, K, V]`.
        means: `[K, V]`.
    """

    strengths: Floats
    weights: Floats
    means: Floats

    def scores(self, states: Floats, lag: int) -> Floats:
        """What is read out of states `[n, S]` for a lag, by its place: `[V, n]`."""
        return self.weights[:, lag].T @ states.T + self.means[lag, :, None]


def standardised(fit: Floats, *others: Floats) -> list[Floats]:
    """States `[n, S]` with the mean 0 and the variance 1 that `fit` then has.

    A unit that does not vary at all is 0 there, and counts for nothing.
    """
    mean, scale = fit.mean(0), fit.std(0)
    idle = scale <= 1e-9 * np.maximum(1, np.abs(mean))
    factor = np.where(idle, 0, 1 / np.where(idle, 1, scale))
    return [(each - mean) * factor for each in (fit, *others)]


def fit(states: Floats, targets: Targets, choose: Floats, chosen_by: Targets) -> Readout:
    """Fits a readout for each lag, and chooses its strength on steps that it was not fitted on.

    Args:
        states: `[n, S]`, standardised.
        targets: of those steps.
        choose: other states, standardised alike.
        chosen_by: the targets of these: the strength with the least squared error is taken.
    """
    gram = states.T @ states / len(states)
    variances, axes = np.linalg.eigh(gram)  # [S], [S, S]
    cross = _rotated(axes, targets.cross(states))
    means = targets.means
    other = _rotated(axes, chosen_by.cross(choose) - choose.mean(0)[:, None, None] * means)
    other_gram = axes.T @ (choose.T @ (choose @ axes)) / len(choose)
    spread = chosen_by.spread(means)
    errors = np.empty((len(STRENGTHS), len(spread)))
    for place, strength in enumerate(STRENGTHS):
        weights = cross / (np.maximum(variances, 0) + strength)[:, None, None]
        explained = 2 * other - _rotated(other_gram, weights)
        errors[place] = spread - (weights * explained).sum((0, 2))
    # The last bits of the sums must not make an idle readout better than the mean.
    errors[-1] -= 1e-12 * spread
    strengths = STRENGTHS[errors.argmin(0)]  # [K]
    weights = cross / (np.maximum(variances, 0)[:, None] + strengths)[:, :, None]
    return Readout(strengths, _rotated(axes.T, weights), means)


def _rotated(axes: Floats, columns: Floats) -> Floats:
    """`axes.T @ columns` for columns `[S, K, V]`."""
    return np.asarray((axes.T @ columns.reshape(len(columns), -1)).reshape(columns.shape))


def r_squared(readout: Readout, states: Floats, targets: Targets) -> Floats:
    """The share of the numbers' variance that a readout explains on other steps: `[K]`.

    1 - (squared error) / (variance of these steps' numbers); below 0 where the mean is better.
    """
    predicted = states @ readout.weights[:, :, 0] + readout.means[:, 0]
    errors = np.square(targets.values - predicted).mean(0)
    variance = targets.values.var(0)
    return np.asarray(1 - np.divide(errors, variance, out=np.ones_like(errors), where=variance > 0))
