"""A linear model of the inputs of the last steps: ridge regression (Hoerl and Kennard 1970).

If a target's last value is known, the regression predicts the change from it. The regressors are
the inputs of the current step, and the differences of earlier steps' inputs from them. So the ridge
shrinks the prediction towards the last value, not towards the mean, which a trend moves away from.
And the level of a series, which all lags contain, is one term instead of one per lag.

The normal equations come from lagged sums of products. Let x(t) be the inputs of step t and S the
fitted steps. The block of lags i and j is the sum of x(t - i) x(t - j)' over S. The block of i + 1
and j + 1 differs from it only at the ends of the runs that S consists of. So all blocks follow from
the first row, and a long recording costs much less than computing each block.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits

from lstmcli.data.batching import to_score
from lstmcli.data.schema import Autoregression, Schema
from lstmcli.data.series import Parts, Series
from lstmcli.defaults import STEPS

Floats = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int64]

MOST_TERMS = 1_000
"""With more inputs times steps, the oldest steps are left out."""
MOST_PRODUCTS = 2e10
"""With very many runs, only the last ones are fitted, to limit the time to seconds."""
BLOCK, IN_CACHE = 1 << 16, 1 << 12
"""Steps at a time, for long and for short products."""
STRENGTHS = np.logspace(-10, 5, 16)
"""Ridge strengths, times the number of steps; an input's mean square is about 1."""
UNCHOSEN = 4
"""Index of the strength that is used without a validation part."""
CLEAR = 2.0
"""Standard errors by which an autoregression must be better for a model to predict its residual."""
UNITS, MOST_FITTED, LEAST_FITTED = 300, 20_000, 1_000
"""Size of a nonlinear model of two steps, and the most and the fewest steps that it is fitted to;
with several targets, fewer are used."""
MUCH_LEFT = 2 / 3
"""If the nonlinear model leaves less than this fraction of an autoregression's squared error, a
model does not predict the residual."""
LEAST_RESIDUAL = 1e-3
"""The least scale of a residual, as a fraction of the target's scale."""


def fit(training: Series, validation: Series | None, lags: int) -> Autoregression | None:
    """Fits the scored steps of a training part.

    For each target, validation chooses the strength of the ridge and the number of lags: all of
    them, half as many, and so on. It runs on one thread, since the last bits depend on the number
    of threads.

    Args:
        training: the training part.
        validation: the validation part after its past, which is not scored; without it all lags are
            used, with a small strength.
        lags: the maximum number of steps in the regression, including the current one.

    Returns:
        `None` if there are no inputs, too many inputs, or nothing to fit.
    """
    inputs = len(training.schema.numbers)
    words = sum(column.size for column in training.schema.symbols)
    symbols = inputs + words <= MOST_TERMS // 2
    inputs += words if symbols else 0
    if not 0 < inputs <= MOST_TERMS or not len(_known(training)):
        return None
    together = _known_together(training, validation)
    terms = int(MOST_TERMS / len(together) ** (1 / 3))  # A decomposition takes cubic time.
    lags = max(1, min(lags, terms // inputs))
    weights = np.zeros((lags, inputs, training.targets.shape[1]))
    intercepts = np.zeros(weights.shape[-1])
    with threadpool_limits(1):
        for columns in together:
            own = _only(training, columns)
            chosen_by = None if validation is None else _only(validation, columns)
            most = MOST_PRODUCTS / len(together)
            found, intercepts[columns] = _fitted(own, chosen_by, lags, symbols, most)
            weights[: len(found), :, columns] = found
    used = np.flatnonzero(weights.any((1, 2)))
    return Autoregression(weights[: used[-1] + 1 if len(used) else 1], intercepts, symbols)


def _known_together(training: Series, validation: Series | None) -> list[Indices]:
    """The target columns, grouped by the steps at which they are known."""
    if training.targets.shape[1] == 1:
        return [np.arange(1)]
    parts = [each for each in (training, validation) if each is not None]
    _, which = np.unique(np.concatenate([*map(_cells, parts)]), axis=1, return_inverse=True)
    return [np.flatnonzero(which.ravel() == group) for group in range(which.max() + 1)]


def _only(series: Series, columns: Indices) -> Series:
    """A series with some of its targets, all known at the same steps."""
    if series.targets.shape[1] == 1:
        return series
    last = series.last_values
    return replace(
        series,
        targets=series.targets[:, columns],
        scored=_cells(series)[:, columns[0]],
        last_values=None if last is None else last[:, columns],
    )


def _fitted(
    training: Series,
    validation: Series | None,
    lags: int,
    symbols: bool,
    products_at_most: float,
) -> tuple[Floats, Floats]:
    """Weights `[lags, inputs, D]` and intercepts `[D]` of targets known at the same steps."""
    steps = _known(training)
    changes = training.targets - _last(training)
    moments = _moments(_Past(training, symbols), steps, changes, lags, products_at_most)
    if validation is None or not len(_known(validation)):
        weights, intercepts = _solved(moments, lags)
        return weights[UNCHOSEN], intercepts[UNCHOSEN]
    past, found = _Past(validation, symbols), []
    while lags:
        found.append(_best(_solved(moments, lags), past, validation))
        lags //= 2
    best = np.argmin([errors for errors, _, _ in found], 0)  # [D]
    weights, intercepts = np.zeros_like(found[0][1]), np.zeros_like(found[0][2])
    for place, number in enumerate(best):
        _, own, intercept = found[number]
        weights[: len(own), :, place] = own[..., place]
        intercepts[place] = intercept[place]
    return weights, intercepts


def predict(model: Autoregression, read: Series, steps: Indices | None = None) -> Floats:
    """Predicts the standardised targets of some steps of a series, or of all: `[len(steps), D]`.

    The result is the same to the bit on every machine and does not depend on later steps, since it
    is summed number by number.
    """
    steps = np.arange(len(read)) if steps is None else steps
    past, last = _Past(read, model.symbols), _last(read)
    found = np.tile(model.intercept, (len(steps), 1))
    for begin in range(0, len(steps), IN_CACHE):
        some, block = steps[begin : begin + IN_CACHE], found[begin : begin + IN_CACHE]
        begins = past.begins[some]
        for lag, weights in enumerate(model.weights):
            terms = past.at(some, begins, lag)
            for place, weight in enumerate(weights):
                block += terms[:, place, np.newaxis] * weight
        block += last[some]
    return found


def base_of(series: Series) -> npt.NDArray[np.float32] | None:
    """What a model's outputs are added to, standardised: `[steps, D]`; `None` for nothing."""
    if series.last_values is None or series.schema.predicts == "level":
        return None
    model = series.schema.autoregression
    found = _last(series) if model is None else predict(model, series)
    return np.asarray(found, np.float32)


def built_on(parts: Parts, asked: bool) -> Schema | None:
    """The schema of a model that predicts the residual of an autoregression of up to `STEPS` steps.

    Its target's scale is that of the residual in the training part, rounded to three digits, so
    that the values of a series do not depend on the last bits of the fit.

    Args:
        parts: their schema predicts a number or its change.
        asked: whether residuals are requested; otherwise they are predicted only if, on the
            validation part, the autoregression is clearly better than the last value and than the
            mean, and a nonlinear model does not easily explain much of the residual.

    Returns:
        `None` if residuals are not to be predicted, or cannot be.
    """
    training, schema = parts.training, parts.training.schema
    if training.last_values is None or not schema.numeric_targets:
        return None
    validation = to_score(parts.validation, 1, STEPS).read if len(parts.validation) else None
    model = fit(training, validation, STEPS)
    if model is None or not (
        asked
        or (validation and _wins(model, validation) and not _is_curved(model, training, validation))
    ):
        return None
    steps = _known(training)
    left = np.nanmean(np.square(_left(model, training, steps)), 0)
    shares = np.maximum(np.sqrt(left), LEAST_RESIDUAL)
    target = tuple(
        replace(column, scale=float(f"{column.scale * share:.3g}"))
        for column, share in zip(schema.numeric_targets, shares, strict=True)
    )
    scales = np.array(
        [a.scale / b.scale for a, b in zip(schema.numeric_targets, target, strict=True)]
    )
    model = replace(model, weights=model.weights * scales, intercept=model.intercept * scales)
    return replace(schema, target=target, change=False, autoregression=model)


def _left(model: Autoregression, series: Series, steps: Indices) -> Floats:
    """The residuals of an autoregression at some steps: `[len(steps), D]`, NaN where unknown."""
    targets = np.where(_cells(series), series.targets, np.float32(np.nan))[steps]
    return np.asarray(targets - predict(model, series, steps))


def _wins(model: Autoregression, validation: Series) -> bool:
    """Whether an autoregression is clearly better than the last value and than the mean.

    It compares the mean difference of squared errors with its standard error (Diebold and Mariano
    1995).
    """
    steps = _known(validation)
    targets = np.where(_cells(validation), validation.targets, np.nan)[steps].astype(np.float64)
    guesses = (predict(model, validation, steps), _last(validation)[steps], 0)
    errors, *others = (np.nanmean(np.square(targets - each), 1) for each in guesses)
    gain = min(others, key=lambda each: float(each.mean())) - errors
    return len(gain) > 1 and bool(gain.mean() * len(gain) ** 0.5 > CLEAR * gain.std(ddof=1))


def _is_curved(model: Autoregression, training: Series, validation: Series) -> bool:
    """Whether two steps explain much of the residual of an autoregression, but not linearly.

    Then a network would first have to undo the effect of the lags. The test is a ridge regression
    on hidden units with random weights (Huang, Zhu and Siew 2006).
    """
    inputs = len(training.schema.numbers)
    rng, scale = np.random.default_rng(0), None
    drawn = rng.normal(size=(2 * inputs, UNITS)) / max(1, inputs) ** 0.5
    shifts, found = rng.normal(size=UNITS), []
    for series in (training, validation):
        most = max(LEAST_FITTED, MOST_FITTED // series.targets.shape[1])
        steps, past = _known(series)[-most:], _Past(series, False)
        now, before = (past.at(steps, past.begins[steps], lag) for lag in (0, 1))
        if scale is None:
            scale = np.sqrt(np.square(now - before).mean(0)) + 1e-12
        units = np.tanh(np.concatenate([now, (now - before) / scale], 1) @ drawn + shifts)
        found.append((units, np.nan_to_num(_left(model, series, steps))))
    (units, left), (others, wanted) = found
    with threadpool_limits(1):
        squares, products = (units.T @ units)[None, :, None], (units.T @ left)[None]
        moments = _Moments(len(units), squares, products, units.sum(0)[None], left.sum(0))
        weights, intercepts = _solved(moments, 1)
    errors = np.square(others @ weights[:, 0] + intercepts[:, None] - wanted).mean((1, 2))
    return bool(errors.min() < MUCH_LEFT * np.square(wanted).mean())


@dataclass(frozen=True)
class _Moments:
    """Sums over the fitted steps.

    A term is an input of the current step, or the difference of an earlier step's input from it.

    Attributes:
        steps: the number of steps.
        squares: products of terms with terms: `[lags, inputs, lags, inputs]`.
        products: products of terms with targets: `[lags, inputs, D]`.
        totals: sums of the terms: `[lags, inputs]`.
        targets: sums of the targets: `[D]`.
    """

    steps: int
    squares: Floats
    products: Floats
    totals: Floats
    targets: Floats


class _Past:
    """The inputs at and before each step of a series.

    Before the beginning of a sequence, its first inputs are repeated.
    """

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
        """The inputs `lag` steps earlier: `[len(steps), inputs]`."""
        return self.inputs[np.maximum(steps - lag, begins)].astype(np.float64)

    def weighted(self, steps: Indices, weights: Floats) -> Floats:
        """The sum over `weights`, `[lags, inputs, outputs]`: `[len(steps), outputs]`."""
        begins = self.begins[steps]
        return np.asarray(
            sum(self.at(steps, begins, lag) @ each for lag, each in enumerate(weights))
        )


def _moments(
    past: _Past, steps: Indices, targets: npt.NDArray[Any], lags: int, products_at_most: float
) -> _Moments:
    inputs = past.inputs.shape[1]
    last = np.flatnonzero(np.append(np.diff(steps) > 1, True))  # The last step of each run.
    most = max(1, int(products_at_most / (2 * (lags * inputs) ** 2)))
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
    squares = _squares(first_row, _ends(past, steps, lags))
    for sums in (squares, np.moveaxis(squares, 2, 0), products, totals):
        sums[1:] -= sums[:1]  # Terms are differences from the current step.
    return _Moments(len(steps), squares, products, totals, targets[steps].sum(0, dtype=np.float64))


def _squares(first_row: Floats, ends: Floats) -> Floats:
    """All blocks from those of lag 0 with each lag: `[lags, inputs, lags, inputs]`.

    Args:
        first_row: `[lags, inputs, inputs]`.
        ends: how much less each block is than the next one on its diagonal: `[terms, terms]`.
    """
    lags, inputs, _ = first_row.shape
    found = np.empty((lags, inputs, lags, inputs))
    found[0] = np.moveaxis(first_row, 0, 1)
    ends = ends.reshape(found.shape)
    for lag in range(1, lags):
        found[lag, :, 1:] = found[lag - 1, :, :-1] + ends[lag - 1, :, :-1]
        found[lag, :, 0] = first_row[lag].T
    return found


def _ends(past: _Past, steps: Indices, lags: int) -> Floats:
    """The products of the terms one step before each run, minus those of its last step."""
    begins = past.begins[steps]
    new = np.append(True, (np.diff(steps) > 1) | (np.diff(begins) > 0))
    old = np.append(new[1:], True)
    found: Any = 0.0
    for sign, where, before in ((1, new, 1), (-1, old, 0)):
        for some in _blocks(np.flatnonzero(where), BLOCK // 16):
            rows = [past.at(steps[some] - before, begins[some], lag) for lag in range(lags)]
            terms = np.concatenate(rows, 1)
            found = found + sign * (terms.T @ terms)
    return np.asarray(found)


def _solved(moments: _Moments, lags: int) -> tuple[Floats, Floats]:
    """Weights of the inputs, `[strengths, lags, inputs, D]`, and intercepts, `[strengths, D]`.

    Uses eigenvectors, so that all strengths need only one decomposition.
    """
    totals = moments.totals[:lags].ravel()
    squares = moments.squares[:lags, :, :lags].reshape(len(totals), -1)
    products = moments.products[:lags].reshape(len(totals), -1)
    means = totals / moments.steps
    values, vectors = np.linalg.eigh(squares - np.outer(means, totals))
    values = np.maximum(values, 0) + moments.steps * STRENGTHS[:, np.newaxis]
    projected = vectors.T @ (products - np.outer(means, moments.targets))
    weights = vectors @ (projected / values[..., np.newaxis])
    intercepts = moments.targets / moments.steps - means @ weights
    weights = weights.reshape(len(STRENGTHS), lags, -1, weights.shape[-1])
    weights[:, 0] -= weights[:, 1:].sum(1)  # A difference has two inputs.
    return weights, intercepts


def _best(
    solved: tuple[Floats, Floats], past: _Past, validation: Series
) -> tuple[Floats, Floats, Floats]:
    """Each target's lowest validation error over the strengths, its weights and intercepts."""
    weights, intercepts = solved
    side_by_side = np.concatenate(weights, -1)  # [lags, inputs, strengths * D]
    errors: Floats = np.zeros_like(intercepts)  # [strengths, D]
    changes = validation.targets - _last(validation)
    for some in _blocks(_known(validation), max(1, BLOCK // changes.shape[1])):
        predicted = past.weighted(some, side_by_side).reshape(len(some), *intercepts.shape)
        predicted += intercepts - changes[some][:, np.newaxis]
        errors += np.square(predicted).sum(0)
    best, each = errors.argmin(0), np.arange(errors.shape[1])
    chosen = np.stack([weights[strength, ..., place] for place, strength in enumerate(best)], -1)
    return errors[best, each], chosen, intercepts[best, each]


def _blocks(steps: Indices, size: int = BLOCK) -> Iterator[Indices]:
    for begin in range(0, len(steps), size):
        yield steps[begin : begin + size]


def _last(series: Series) -> Floats:
    """The last values: `[steps, D]`; 0, the mean, if there are none."""
    if series.last_values is None:
        return np.zeros((len(series), 1))
    return np.nan_to_num(series.last_values.astype(np.float64))


def _known(series: Series) -> Indices:
    """The scored steps, except those before the first value of the target."""
    there = np.ones(len(series), np.bool_) if series.scored is None else series.scored
    if series.last_values is not None:
        there = there & ~np.isnan(series.last_values).all(1)
    return np.flatnonzero(there)


def _cells(series: Series) -> npt.NDArray[np.bool_]:
    """Which targets of the scored steps are known and have a last value: `[steps, D]`."""
    known = np.asarray(~np.isnan(series.targets))
    if series.last_values is not None:
        known &= ~np.isnan(series.last_values)
    return known if series.scored is None else known & series.scored[:, np.newaxis]
