"""Baselines of a part: predictors without a network, on the steps that a model is scored on.

A model that does not beat the best baseline has learned nothing that needs a network.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from lstmcli.data.baselines import autoregression, ngrams, seasons
from lstmcli.data.outputs import OutputErrors
from lstmcli.data.schema import Schema
from lstmcli.data.series import Bools, Series

Floats = npt.NDArray[np.float64]
Counts = npt.NDArray[np.int64]

NO_TRAINING = "the data that the model was trained on is not at hand"
NO_PAST = (
    "the data does not say that a target is known at a later step (a table does, with `--horizon`)"
)
ROUNDS = 100
"""Iterations; there is little gain after ten."""


@dataclass(frozen=True)
class Baseline:
    """The result of a predictor without a network.

    Attributes:
        name: its name, in words.
        loss: the same measure as a model's: nats per step, or squared error of the standardised
            target.
        accuracy: fraction of correct steps; `None` for numbers.
        mae: mean absolute error of the standardised target; `None` for classes.
        outputs: the errors of each of several numbers.
    """

    name: str
    loss: float
    accuracy: float | None = None
    mae: float | None = None
    outputs: OutputErrors | None = field(default=None, compare=False)

    @property
    def record(self) -> dict[str, Any]:
        """The baseline as stored in a run's record."""
        return {name: value for name, value in vars(self).items() if name != "outputs"}

    @classmethod
    def of(cls, record: Mapping[str, Any]) -> Baseline:
        """A baseline from a run's record, which may come from a newer version with more fields."""
        names = [each.name for each in fields(cls)]
        return cls(**{name: record[name] for name in names if name in record})


@dataclass(frozen=True)
class Baselines:
    """The baselines of a part.

    Attributes:
        found: the baselines, the simplest first: the training part's mean or frequencies.
        omitted: those that are missing, each with the reason in words.
    """

    found: list[Baseline] = field(default_factory=list)
    omitted: list[str] = field(default_factory=list)

    @property
    def best(self) -> Baseline | None:
        """The baseline with the lowest loss."""
        return min(self.found, key=lambda each: each.loss, default=None)


@dataclass(frozen=True)
class Fitting:
    """What baselines are fitted to.

    Attributes:
        schema: the columns.
        bptt: steps of a window, which limit the lags of the autoregression.
        horizon: how many steps ahead the target of each step is.
        training: the training part; `None` if it is not available.
        validation: chooses the strength of the autoregression's ridge: the validation part after
            its past, which is not scored.
        counts: the number of training steps of each class: `[classes]`; `None` if unknown.
    """

    schema: Schema
    bptt: int
    horizon: int = 0
    training: Series | None = None
    validation: Series | None = None
    counts: Counts | None = None

    @cached_property
    def label_counts(self) -> Counts | None:
        """The number of training steps of each class, if known."""
        return self.counts if self.training is None else self.training.label_counts()


def baselines(fitting: Fitting, read: Series) -> Baselines:
    """The baselines of a part.

    For numbers: the training part's mean, the last value, the value one season earlier, and a
    linear autoregression. For classes: the training part's frequencies, and the last label. For
    text: the frequencies, bigrams and 5-grams.

    Args:
        fitting: what they are fitted to.
        read: the part after the steps that precede it in its file, which are not `scored`.
    """
    scored = np.ones(len(read), np.bool_) if read.scored is None else read.scored
    known = KINDS[fitting.schema.target_kind.baselines](fitting, read, scored)
    found: list[Baseline] = []
    reasons: dict[str, list[str]] = {}
    for name, baseline in known:
        if isinstance(baseline, Baseline):
            found.append(baseline)
        else:
            reasons.setdefault(baseline, []).append(name)
    omitted = [f"no {' and no '.join(names)}: {why}" for why, names in reasons.items()]
    return Baselines(found, omitted)


Each = Iterator[tuple[str, Baseline | str]]
"""Names, each with its baseline or the reason why there is none."""


def _of_numbers(fitting: Fitting, read: Series, scored: Bools) -> Each:
    """The mean is 0; it is also the fallback of baselines that need earlier values."""
    targets = read.targets[scored]
    yield "mean", _numeric("mean", targets)
    last = read.last_values
    if last is None:
        yield "last value", NO_PAST
        yield "seasonal naive", NO_PAST
    else:
        yield "last value", _numeric("last value", targets - np.nan_to_num(last[scored]))
        yield "seasonal naive", _seasonal(fitting, read, scored)
    yield "linear autoregression", _autoregression(fitting, read, scored)


def _numeric(name: str, errors: npt.NDArray[np.floating[Any]]) -> Baseline:
    """The baseline with errors `[steps, D]`."""
    if errors.shape[1] > 1:
        outputs = OutputErrors.of(errors)
        return Baseline(name, outputs.loss, mae=outputs.mae, outputs=outputs)
    squared = np.square(errors, dtype=np.float64).mean()
    return Baseline(name, float(squared), mae=float(np.abs(errors).mean(dtype=np.float64)))


def _seasonal(fitting: Fitting, read: Series, scored: Bools) -> Baseline | str:
    periods = seasons.periods(fitting.schema, fitting.training)
    if not (known := sorted({each for each in periods if each is not None})):
        return NO_TRAINING if fitting.training is None else "the training part shows no season"
    before = seasons.before(read, [each or 1 for each in periods], fitting.horizon)
    errors = read.targets[scored] - np.nan_to_num(before[scored])
    return _numeric(f"seasonal naive ({' or '.join(map(str, known))} steps ago)", errors)


def _autoregression(fitting: Fitting, read: Series, scored: Bools) -> Baseline | str:
    """The linear autoregression: the one that a model adds to, if there is one."""
    if read.schema.autoregression is not None and read.base is not None:
        return _numeric("linear autoregression", read.targets[scored] - read.base[scored])
    if fitting.training is None:
        return NO_TRAINING
    if not len(read.schema.numbers) + len(read.schema.symbols):
        return "there are no inputs"
    model = autoregression.fit(fitting.training, fitting.validation, fitting.bptt)
    if model is None:
        return f"more than {autoregression.MOST_TERMS:,} inputs"
    predicted = autoregression.predict(model, read, np.flatnonzero(scored))
    return _numeric("linear autoregression", read.targets[scored] - predicted)


def _of_classes(fitting: Fitting, read: Series, scored: Bools) -> Each:
    labels = read.targets[scored]
    yield "class frequencies", _frequencies(fitting, labels)
    yield "last label", _last_label(fitting, read, scored)


def _frequencies(fitting: Fitting, labels: npt.NDArray[Any]) -> Baseline | str:
    shares = _shares(fitting)
    if shares is None:
        return f"{NO_TRAINING}, and a checkpoint does not keep those of so many classes"
    loss = -float(np.log(shares)[labels].mean())
    accuracy = float((labels == shares.argmax()).mean())
    return Baseline("class frequencies", loss, accuracy)


def _shares(fitting: Fitting) -> Floats | None:
    """The frequencies of the classes by Laplace's rule: `[classes]`."""
    counts = fitting.label_counts
    if counts is None:
        return None
    return np.asarray((counts + 1) / (counts.sum() + len(counts)), np.float64)


def _last_label(fitting: Fitting, read: Series, scored: Bools) -> Baseline | str:
    """Repeats the last label with some probability, otherwise follows the frequencies.

    The probability is the maximum-likelihood one of the training part. Before the first known label
    there are only the frequencies.
    """
    training, shares = fitting.training, _shares(fitting)
    if read.last_values is None:
        return NO_PAST
    if training is None or training.last_values is None or shares is None:
        return NO_TRAINING
    again = _again(training, shares)
    labels, last = read.targets[scored], read.last_values[scored]
    weight = np.where(last < 0, 0.0, again)
    chances = weight * (labels == last) + (1 - weight) * shares[labels]
    guesses = np.where(last < 0, shares.argmax(), last)
    return Baseline("last label", -float(np.log(chances).mean()), float((labels == guesses).mean()))


def _again(training: Series, shares: Floats) -> float:
    """The probability that a label repeats the last one instead of following the frequencies.

    It is found by expectation maximisation (Dempster, Laird and Rubin 1977) from the counts of
    steps that repeat the last label. One step of each kind is added, so that it is never 0 or 1.
    """
    assert training.last_values is not None
    known = training.last_values >= 0
    if training.scored is not None:
        known &= training.scored
    labels = training.targets[known]
    repeated = labels[labels == training.last_values[known]]
    counts = np.bincount(repeated, minlength=len(shares))
    again = 0.5
    for _ in range(ROUNDS):
        meant = again / (again + (1 - again) * shares)
        again = (float(counts @ meant) + 1) / (len(labels) + 2)
    return again


def _of_text(fitting: Fitting, read: Series, scored: Bools) -> Each:
    yield "class frequencies", _frequencies(fitting, read.targets[scored])
    for name, model in (("bigrams", ngrams.bigrams), ("5-grams", ngrams.witten_bell)):
        if fitting.training is None:
            yield name, NO_TRAINING
            continue
        found = model(fitting.training, read)
        loss = -float(np.log(found.chances).mean())
        yield name, Baseline(name, loss, float(found.right.mean()))


KINDS = {"numbers": _of_numbers, "classes": _of_classes, "text": _of_text}
"""The baselines by `Target.baselines`."""
