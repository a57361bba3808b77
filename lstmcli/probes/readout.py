"""Linear readouts of a state: how they are fitted and scored, and on which steps."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

STRENGTHS = np.append(10.0 ** np.arange(-8, 3), np.inf)
"""Strengths of the ridge, for units of variance 1; with infinity the readout is the mean."""


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

    A unit that does not vary becomes 0 and has no effect.
    """
    mean, scale = fit.mean(0), fit.std(0)
    idle = scale <= 1e-9 * np.maximum(1, np.abs(mean))
    factor = np.where(idle, 0, 1 / np.where(idle, 1, scale))
    return [(each - mean) * factor for each in (fit, *others)]


def fit_ridge(states: Floats, targets: Targets, choose: Floats, chosen_by: Targets) -> Readout:
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
    # Rounding errors must not make a useless readout better than the mean.
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


Labels = npt.NDArray[np.int64]

MOST_STEPS = 30
"""The most steps of Newton's method; about twelve are enough where values can be told apart."""
CONVERGED = 1e-7
"""Newton's method stops when a step would gain fewer nats than this."""


def entropy(labels: Labels, classes: int) -> float:
    """Entropy of the labels' frequencies, in bits."""
    shares = np.bincount(labels, minlength=classes) / len(labels)
    shares = shares[shares > 0]
    return float(-(shares * np.log2(shares)).sum())


def known_bits(scores: Floats, labels: Labels, judged: Floats, judged_by: Labels) -> float:
    """The bits of a symbol that scores give, below 0 if they mislead.

    Args:
        scores: to calibrate on: `[V, n]`.
        labels: of these: `[n]`.
        judged: scores of other steps: `[V, m]`.
        judged_by: their labels: `[m]`.
    """
    slope, offsets = calibrate(scores, labels)
    log_q = _log_softmax(slope * judged + offsets[:, None])
    nats = -log_q[judged_by, np.arange(len(judged_by))].mean()
    return entropy(judged_by, len(scores)) - float(nats / np.log(2))


def calibrate(scores: Floats, labels: Labels) -> tuple[float, Floats]:
    """Fits a and b by Newton's method.

    Args:
        scores: `[V, n]`.
        labels: `[n]`.

    Returns:
        a, and b `[V]`.
    """
    targets = _smoothed(labels, len(scores))
    centre = scores.mean(1)
    scaled = scores - centre[:, None]
    scale = float(scaled.std()) or 1.0
    scaled /= scale
    found = np.append(0.0, np.log(targets.mean(1)))
    loss = _loss(found, scaled, targets)
    for _ in range(MOST_STEPS):
        gradient, curvature = _slopes(found, scaled, targets)
        step = np.linalg.solve(curvature, gradient)
        length = 1.0
        while (new := _loss(found - length * step, scaled, targets)) > loss and length > 1e-4:
            length /= 2
        if new > loss:
            break
        found, loss = found - length * step, new
        if step @ gradient < CONVERGED:
            break
    slope = float(found[0] / scale)
    return slope, found[1:] - slope * centre


def _smoothed(labels: Labels, classes: int) -> Floats:
    """Platt's targets, `[V, n]`: (N + 1) / (N + 2) for a label that is there N times, no certainty.

    The others share what is left: for two values 1 / (N + 2).
    """
    counts = np.bincount(labels, minlength=classes)
    own = (counts + 1) / (counts + 2)
    columns = np.tile((1 - own) / max(1, classes - 1), (classes, 1))  # [V, V], one for each label
    np.fill_diagonal(columns, own)
    return np.asarray(columns[:, labels])


def _loss(parameters: Floats, scores: Floats, targets: Floats) -> float:
    log_q = _log_softmax(parameters[0] * scores + parameters[1:, None])
    return -float(np.vdot(targets, log_q) / scores.shape[1])


def _slopes(parameters: Floats, scores: Floats, targets: Floats) -> tuple[Floats, Floats]:
    """Gradient `[1 + V]` and Hessian of the loss.

    The offsets are determined only up to a sum, so a little is added to the Hessian's diagonal.
    """
    q = np.exp(_log_softmax(parameters[0] * scores + parameters[1:, None]))
    classes, count = q.shape
    wrong = (q - targets) / count
    gradient = np.append(np.vdot(wrong, scores), wrong.sum(1))
    weighted = q * (scores - (q * scores).sum(0))  # [V, n]
    hessian = np.empty((1 + classes, 1 + classes))
    hessian[0, 0] = np.vdot(weighted, scores) / count
    hessian[0, 1:] = hessian[1:, 0] = weighted.mean(1)
    hessian[1:, 1:] = np.diag(q.mean(1)) - q @ q.T / count
    return gradient, hessian + 1e-9 * np.eye(1 + classes)


def _log_softmax(logits: Floats) -> Floats:
    below = logits - logits.max(0)
    return np.asarray(below - np.log(np.exp(below).sum(0)))


Integers = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

FIT, CHOOSE, JUDGE = range(3)
SHARES = (0.6, 0.2, 0.2)
"""The share of the steps, or of the sequences, in each part."""
FEWEST_SEQUENCES = 20
"""With fewer sequences than this, the rows are divided by time, as without sequences."""
FEWEST_PAIRS = 20
"""With fewer steps in a part than this, a lag is not measured."""
ENOUGH = 0.8
"""Share of the steps that must be as old as the longest lag for all lags to use the same ones."""


class Block(NamedTuple):
    """Lags that are scored on the same steps.

    Attributes:
        lags: in steps.
        parts: the places for fitting, choosing and scoring, as indices into `[steps, B]`.
    """

    lags: list[int]
    parts: tuple[Integers, Integers, Integers]


@dataclass(frozen=True)
class ReadoutSplit:
    """The steps of a replica's rows.

    Attributes:
        part: FIT, CHOOSE, JUDGE, or -1 for no step: `[steps, B]`.
        age: how many steps of its own sequence and part lie before a step: `[steps, B]`.
    """

    part: Integers
    age: Integers

    @classmethod
    def of(cls, begins: Bools, padding: Bools) -> ReadoutSplit:
        """Divides rows of sequences.

        Args:
            begins: where the past ends, as `ProbeData.begins` has it: `[steps, B]`.
            padding: places without a step, or of a warm-up: `[steps, B]`.
        """
        steps, rows = begins.shape
        real = begins & ~padding
        if real.sum() < max(FEWEST_SEQUENCES, 2 * rows):
            borders = np.cumsum(SHARES[:2])
            first = int(np.argmin(padding.all(1)))  # Behind a warm-up.
            share = np.maximum(np.arange(steps) - first, 0) / (steps - first)
            part = np.searchsorted(borders, share, side="right")
            part = np.repeat(part[:, None], rows, 1)
        else:
            part = _by_sequence(real)
        changes = np.diff(part, axis=0, prepend=-1) != 0
        clock = np.arange(steps)[:, None]
        last = np.maximum.accumulate(np.where(begins | changes, clock, 0), 0)
        return cls(np.where(padding, -1, part), clock - last)

    def blocks(self, longest: int) -> Iterator[Block]:
        """Lags from 0 to the longest, with the steps that are old enough for them.

        If nearly all steps are old enough for the longest lag, all lags are scored on those; in
        short sequences each lag has its own steps.
        """
        there = self.part >= 0
        if (self.age >= longest).sum() >= ENOUGH * there.sum():
            yield self._block(list(range(longest + 1)), longest)
            return
        for lag in range(longest + 1):
            yield self._block([lag], lag)

    def _block(self, lags: list[int], age: int) -> Block:
        fit, choose, judge = (
            np.flatnonzero((self.part == part) & (self.age >= age)) for part in range(len(SHARES))
        )
        return Block(lags, (fit, choose, judge))


def _by_sequence(begins: Bools) -> Integers:
    """Whole sequences drawn for each part, always the same ones."""
    number = _numbers(begins)
    count = int(number.max()) + 1
    borders = np.cumsum(SHARES[:2])
    shares = np.random.default_rng(0).permutation(count) / count
    part: Integers = np.searchsorted(borders, shares, side="right")
    return part[number]


def _numbers(begins: Bools) -> Integers:
    """The number of the sequence that each step belongs to, row by row: `[steps, B]`."""
    numbers: Integers = np.cumsum(begins.T, axis=None).reshape(begins.T.shape).T - 1
    return np.maximum(numbers, 0)
