"""A linear model of the last steps' inputs: ridge regression (Hoerl and Kennard 1970).

Its normal equations come from lagged sums of products. With x(t) the inputs of step t and S the
steps that are fitted, the block of the lags i and j is the sum of x(t - i) x(t - j)' over S, and
that of i + 1 and j + 1 differs from it only at the ends of the runs that S consists of. So the
first row of blocks gives all others, and a long recording costs far less than all its terms.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from lstmcli.data.series import Series

Floats = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int64]

MOST_TERMS = 1_000
"""Of more inputs times steps, the oldest steps are left out."""
MOST_PRODUCTS = 2e10
"""Of what has very many runs, so many of the last ones are fitted that it stays at seconds."""
BLOCK = 1 << 16
"""Steps at a time."""
STRENGTHS = np.logspace(-8, 1, 10)
"""Times the number of steps; a term's mean square is about 1."""
UNCHOSEN = 2
"""Which one is taken where there is no validation part."""


@dataclass(frozen=True)
class Linear:
    """A fitted model: what it predicts is linear in the inputs of the last steps.

    Attributes:
        weights: of each lag, a step's own one first, and input: `[lags, inputs, D]`.
        intercept: `[D]`.
        symbols: whether it is given the categorical inputs, each as one number for each value.
    """

    weights: Floats
    intercept: Floats
    symbols: bool

    def predict(self, read: Series, steps: Indices) -> Floats:
        """Standardised targets of some steps of a series: `[len(steps), D]`."""
        past = _Past(read, self.symbols)
        return np.concatenate([past.weighted(some, self.weights) for some in _blocks(steps)]) + (
            self.intercept
        )


def fit(training: Series, validation: Series | None, bptt: int) -> Linear | None:
    """Fits the scored steps of a training part.

    Steps before the beginning of a sequence are 0: the mean of numbers, none of a word's values.

    Args:
        training: the training part.
        validation: what chooses the strength of the ridge: the validation part behind its past,
            which is not scored.
        bptt: how many steps a model is given at a time.

    Returns:
        `None` where there are too many inputs.
    """
    inputs = len(training.schema.numbers)
    words = sum(column.size for column in training.schema.symbols)
    symbols = inputs + words <= MOST_TERMS // 2
    inputs += words if symbols else 0
    if not 0 < inputs <= MOST_TERMS:
        return None
    lags = min(bptt, MOST_TERMS // inputs)
    moments = _moments(_Past(training, symbols), _scored(training), training.targets, lags)
    weights, intercepts = _solved(moments)  # [strengths, lags * inputs, D], [strengths, D]
    shape = (lags, inputs, weights.shape[-1])
    candidates = [
        Linear(each.reshape(shape), intercept, symbols)
        for each, intercept in zip(weights, intercepts, strict=True)
    ]
    steps = _scored(validation) if validation is not None else np.empty(0, np.int64)
    if validation is None or not len(steps):
        return candidates[UNCHOSEN]
    side_by_side = np.concatenate([each.weights for each in candidates], -1)
    past, losses = _Past(validation, symbols), np.zeros(len(candidates))
    for some in _blocks(steps):
        predicted = past.weighted(some, side_by_side).reshape(len(some), len(candidates), -1)
        errors = predicted + intercepts - validation.targets[some][:, np.newaxis]
        losses += np.square(errors).sum((0, 2))
    return candidates[int(losses.argmin())]


@dataclass(frozen=True)
class _Moments:
    """Sums over the steps that are fitted.

    Attributes:
        steps: how many they are.
        squares: of the terms' products: `[terms, terms]`.
        products: of terms and targets: `[terms, D]`.
        totals: of the terms: `[terms]`.
        targets: of the targets: `[D]`.
    """

    steps: int
    squares: Floats
    products: Floats
    totals: Floats
    targets: Floats


class _Past:
    """The inputs of the steps up to each one of a series."""

    def __init__(self, series: Series, symbols: bool) -> None:
        sizes = [column.size for column in series.schema.symbols] if symbols else []
        ones = [
            series.symbols[:, [place]] == np.arange(size, dtype=series.symbols.dtype)
            for place, size in enumerate(sizes)
        ]
        self.inputs = np.concatenate([series.numbers, *ones], 1) if ones else series.numbers
        bounds = series.bounds()
        self.begins = np.repeat(bounds[:-1], np.diff(bounds))

    def at(self, steps: Indices, begins: Indices, lag: int) -> Floats:
        """The inputs some steps earlier, 0 before the beginning: `[len(steps), inputs]`."""
        places = steps - lag
        found = self.inputs[np.maximum(places, 0)].astype(np.float64)
        found[places < begins] = 0
        return found

    def weighted(self, steps: Indices, weights: Floats) -> Floats:
        """The sum over `weights`, `[lags, inputs, outputs]`: `[len(steps), outputs]`."""
        begins = self.begins[steps]
        return np.asarray(
            sum(self.at(steps, begins, lag) @ each for lag, each in enumerate(weights))
        )


def _moments(past: _Past, steps: Indices, targets: npt.NDArray[Any], lags: int) -> _Moments:
    inputs = past.inputs.shape[1]
    last = np.flatnonzero(np.append(np.diff(steps) > 1, True))  # Of each run.
    most = max(1, int(MOST_PRODUCTS / (2 * (lags * inputs) ** 2)))
    if len(last) > most:
        steps = steps[last[-most - 1] + 1 :]
    first_row = np.zeros((lags, inputs, inputs))
    products, totals = np.zeros((lags, inputs, targets.shape[1])), np.zeros((lags, inputs))
    for some in _blocks(steps):
        begins, wanted = past.begins[some], targets[some].astype(np.float64)
        now = past.at(some, begins, 0)
        for lag in range(lags):
            then = past.at(some, begins, lag)
            first_row[lag] += now.T @ then
            products[lag] += then.T @ wanted
            totals[lag] += then.sum(0)
    return _Moments(
        len(steps),
        _squares(first_row, _ends(past, steps, lags)),
        products.reshape(lags * inputs, -1),
        totals.ravel(),
        targets[steps].sum(0, dtype=np.float64),
    )


def _squares(first_row: Floats, ends: Floats) -> Floats:
    """All blocks from those of lag 0 and each other.

    Args:
        first_row: `[lags, inputs, inputs]`.
        ends: what each block has less than the next one on its diagonal: `[terms, terms]`.
    """
    lags, inputs, _ = first_row.shape
    found = np.empty((lags, inputs, lags, inputs))
    found[0] = np.moveaxis(first_row, 0, 1)
    ends = ends.reshape(found.shape)
    for lag in range(1, lags):
        found[lag, :, 1:] = found[lag - 1, :, :-1] + ends[lag - 1, :, :-1]
        found[lag, :, 0] = first_row[lag].T
    return found.reshape(lags * inputs, -1)


def _ends(past: _Past, steps: Indices, lags: int) -> Floats:
    """The products of the terms one step before each run, without those of its last step."""
    begins = past.begins[steps]
    new = np.append(True, (np.diff(steps) > 1) | (np.diff(begins) > 0))
    old = np.append(new[1:], True)
    new &= steps > begins  # Before the beginning of a sequence everything is 0.
    found: Any = 0.0
    for sign, where, before in ((1, new, 1), (-1, old, 0)):
        for some in _blocks(np.flatnonzero(where), BLOCK // 16):
            rows = [past.at(steps[some] - before, begins[some], lag) for lag in range(lags)]
            terms = np.concatenate(rows, 1)
            found = found + sign * (terms.T @ terms)
    return np.asarray(found)


def _solved(moments: _Moments) -> tuple[Floats, Floats]:
    """The weights at each strength, `[strengths, terms, D]`, and intercepts, `[strengths, D]`.

    Through eigenvectors, so that all strengths cost one decomposition.
    """
    means = moments.totals / moments.steps
    values, vectors = np.linalg.eigh(moments.squares - np.outer(means, moments.totals))
    products = moments.products - np.outer(means, moments.targets)
    values = np.maximum(values, 0) + moments.steps * STRENGTHS[:, np.newaxis]
    weights = vectors @ ((vectors.T @ products) / values[..., np.newaxis])
    return weights, moments.targets / moments.steps - means @ weights


def _blocks(steps: Indices, size: int = BLOCK) -> Iterator[Indices]:
    for begin in range(0, len(steps), size):
        yield steps[begin : begin + size]


def _scored(series: Series) -> Indices:
    return np.arange(len(series)) if series.scored is None else np.flatnonzero(series.scored)
