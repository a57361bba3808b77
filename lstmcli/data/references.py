"""Reference values of a part: what needs no network, on the very steps that a model is scored on.

A model that does not beat them has learned nothing that they do not know.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from lstmcli.columns import Categorical, Schema
from lstmcli.data.layout import Windows
from lstmcli.data.series import Series

Floats = npt.NDArray[np.float64]

LARGEST_BIGRAM = 2_000
"""Characters of a vocabulary up to which the bigram model's table is made."""


@dataclass(frozen=True)
class Reference:
    """What a predictor without a network loses.

    Attributes:
        name: what it predicts, in words.
        loss: as a model's: nats a step, or squared error of the standardised target.
        accuracy: the share of steps guessed right; `None` for numbers.
    """

    name: str
    loss: float
    accuracy: float | None = None


def references(training: Series, windows: Windows) -> list[Reference]:
    """The reference values of some windows.

    For classes the label frequencies of the training part (accuracy: the most frequent class), for
    text its bigram model too; for numbers its mean, and the last value that is known: where there
    is none yet, the mean.

    Args:
        training: what a model is trained on.
        windows: what it is scored on.
    """
    counts = training.label_counts() if training.classes else None
    found = kept(training.schema, windows, counts)
    if counts is not None and training.schema.kind == "text" and len(counts) <= LARGEST_BIGRAM:
        scored = _scored(windows)
        symbols = windows.all("symbols")[..., 0][scored]
        found.append(_bigram(training, symbols, windows.all("targets")[scored], counts))
    return found


def kept(schema: Schema, windows: Windows, counts: npt.NDArray[np.int64] | None) -> list[Reference]:
    """The reference values for which a checkpoint keeps enough.

    Args:
        schema: of the training part.
        windows: what a model is scored on.
        counts: how many of the training part's steps have each class: `[classes]`; `None` for
            numbers, or where it is not known.
    """
    targets, scored = windows.all("targets"), _scored(windows)
    if not isinstance(schema.target, Categorical):
        return _of_numbers(windows, targets, scored)
    if counts is None:
        return []
    shares = np.asarray(counts + 1, np.float64) / (counts.sum() + len(counts))  # Laplace's rule.
    return [_of_classes("class frequencies", np.log(shares), targets[scored])]


def _scored(windows: Windows) -> npt.NDArray[np.bool_]:
    there = windows.take(0, 0)
    if "scored" in there:
        return windows.all("scored")
    return np.ones((windows.cut.rows, len(windows) * windows.cut.bptt), np.bool_)


def _of_classes(name: str, log_probabilities: Floats, labels: npt.NDArray[Any]) -> Reference:
    """One distribution `[C]` for every step."""
    loss = -float(log_probabilities[labels].mean())
    return Reference(name, loss, float((labels == log_probabilities.argmax()).mean()))


def _bigram(
    training: Series,
    symbols: npt.NDArray[Any],
    labels: npt.NDArray[Any],
    counts: npt.NDArray[np.int64],
) -> Reference:
    """The frequency of a character after another, with the one of it at all as one observation.

    That is a Dirichlet prior of weight 1 (MacKay and Peto 1995, "A hierarchical Dirichlet language
    model").
    """
    size = training.classes
    pairs = np.zeros(size * (size + 1), np.int64)
    for part in training.blocks():  # Counting makes eight bytes of each.
        known = np.ones(len(part), np.bool_) if part.scored is None else part.scored
        before = part.symbols[known, 0].astype(np.int64)
        pairs += np.bincount(before * size + part.targets[known], minlength=len(pairs))
    after = pairs.reshape(size + 1, size)  # The last row is of an unknown character.
    share = (counts + 1) / (counts + 1).sum()
    table = (after + share) / (after.sum(1, keepdims=True) + 1)
    loss = -float(np.log(table)[symbols, labels].mean())
    return Reference("bigrams", loss, float((table.argmax(1)[symbols] == labels).mean()))


def _of_numbers(
    windows: Windows, targets: npt.NDArray[np.float32], scored: npt.NDArray[np.bool_]
) -> list[Reference]:
    """The training part's mean, which is 0, and the target's last known value where there is one.

    Args:
        windows: what is scored.
        targets: `[rows, steps, D]`, standardised.
        scored: `[rows, steps]`.
    """
    found = [Reference("mean", _squared(targets[scored]))]
    if windows.series.last_values is not None:
        last = windows.laid(windows.series.last_values)[scored]
        found.append(Reference("last value", _squared(targets[scored] - np.nan_to_num(last))))
    return found


def _squared(errors: npt.NDArray[np.float32]) -> float:
    return float(np.square(errors, dtype=np.float64).mean())


def nats_to_bits(nats: float) -> float:
    """Nats as bits: a loss per character of text."""
    return nats / math.log(2)
