"""N-gram models of text with any vocabulary, counted by hashing instead of tables of all pairs.

Every model here is interpolated. The probability of a character after its context is its relative
frequency there, mixed with its probability after the next shorter context, which counts as m(h)
further observations,

    p(w | h) = (c(h, w) + m(h) p(w | h')) / (c(h) + m(h)),

down to a uniform guess. The models differ in m(h). (Witten and Bell 1991, "The zero-frequency
problem"; Chen and Goodman 1999, "An empirical study of smoothing techniques for language
modeling".)
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from lstmcli.data.series import Bools, Series

Floats = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int64]

ORDER = 5
"""Characters of the longest n-gram."""
MOST_COUNTED = 2_000_000
"""Only the last characters of a longer training part are counted, to limit time and memory."""


class Predicted(NamedTuple):
    """The predictions of a model at the scored steps.

    Attributes:
        chances: the probability of the actual character: `[scored]`.
        right: whether no other character is more probable: `[scored]`.
    """

    chances: Floats
    right: Bools


def bigrams(training: Series, read: Series) -> Predicted:
    """Bigrams, in which the character frequencies by Laplace's rule count as one observation.

    This is a Dirichlet prior of weight 1 (MacKay and Peto 1995, "A hierarchical Dirichlet language
    model").

    Args:
        training: a text; steps that are not scored are not counted.
        read: the scored part after the text before it, which is not scored.
    """
    size = np.float64(training.classes)
    return _predicted(training, read, [lambda level: size, lambda level: np.float64(1)])


def witten_bell(training: Series, read: Series) -> Predicted:
    """N-grams of up to 5 characters; m(h) is the number of different characters after h.

    Args:
        training: a text; steps that are not scored are not counted.
        read: the scored part after the text before it, which is not scored.
    """
    return _predicted(training, read, [lambda level: level.types] * ORDER)


@dataclass(frozen=True)
class _Tokens:
    """Two concatenated texts: the characters of every sequence, including its first.

    Attributes:
        characters: their codes; the vocabulary's size for an unknown one: `[tokens]`.
        age: the number of characters before each in its sequence: `[tokens]`.
        counted: which characters are counted in training: `[tokens]`.
        asked: which characters are to be predicted: `[tokens]`.
        size: the size of the vocabulary.
    """

    characters: Indices
    age: Indices
    counted: Bools
    asked: Bools
    size: int


@dataclass(frozen=True)
class _Level:
    """The n-grams of one length.

    Attributes:
        gram: the number of the n-gram that ends at each token; -1 if its sequence is too short
            there: `[tokens]`.
        context: the number of the context of each n-gram: `[grams]`.
        shorter: each n-gram without its first character, as numbered at the level below: `[grams]`.
        shorter_context: the same for each context: `[contexts]`.
        counts: how often each n-gram occurs in training: `[grams]`.
        totals: how often each context occurs in training: `[contexts]`.
        types: how many different characters follow each context in training: `[contexts]`.
    """

    gram: Indices
    context: Indices
    shorter: Indices
    shorter_context: Indices
    counts: Indices
    totals: npt.NDArray[Any]
    types: npt.NDArray[Any]


Mass = Callable[[_Level], Any]
"""m(h) of each context: `[contexts]`, or one number for all."""


def _predicted(training: Series, read: Series, masses: list[Mass]) -> Predicted:
    """Predicts with the longest n-gram that fits in a step's sequence; `masses` has one per length.

    After each context, the largest probability belongs either to a character that was seen after
    it, or to the most probable character after the shorter context: of the unseen characters, no
    other is as probable.
    """
    tokens = _tokens(training, read, len(masses))
    asked = np.flatnonzero(tokens.asked)
    chances, right = np.empty(len(asked)), np.empty(len(asked), np.bool_)
    below = top = np.array([1 / tokens.size])
    for level, mass in zip(_levels(tokens, len(masses)), masses, strict=True):
        extra = np.broadcast_to(mass(level), level.totals.shape)
        extra = np.where(level.totals == 0, 1.0, extra)  # Then only the shorter context counts.
        whole = level.totals + extra
        grams = (level.counts + extra[level.context] * below[level.shorter]) / whole[level.context]
        top = (0 + extra * top[level.shorter_context]) / whole
        np.maximum.at(top, level.context, np.where(level.counts > 0, grams, 0))
        below, ended = grams, level.gram[asked]
        old = ended >= 0
        chances[old] = grams[ended[old]]
        right[old] = chances[old] >= top[level.context[ended[old]]]
    return Predicted(chances, right)


def _levels(tokens: _Tokens, order: int) -> Iterator[_Level]:
    """The n-grams of each length, from 1 on."""
    contexts = np.zeros(len(tokens.characters), np.int64)
    below = None
    for length in range(order):
        below = _level(tokens, contexts, below)
        yield below
        contexts = np.append(-1, below.gram[:-1])  # It is the context of the next character.
        contexts[tokens.age <= length] = -1


def _level(tokens: _Tokens, contexts: Indices, below: _Level | None) -> _Level:
    """The n-grams of one length, given the number of each token's context; -1 if it has none."""
    import pandas as pd

    there = np.flatnonzero(contexts >= 0)
    base = tokens.size + 1
    codes, found = pd.factorize(contexts[there] * base + tokens.characters[there])
    gram = np.full(len(contexts), -1, np.int64)
    gram[there] = codes
    context = found // base
    known = int(contexts.max()) + 1
    counts = np.bincount(gram[tokens.counted & (gram >= 0)], minlength=len(found))
    shorter, shorter_context = np.zeros(len(found), np.int64), np.zeros(known, np.int64)
    if below is not None:
        shorter[codes] = below.gram[there]
        shorter_context[contexts[there]] = below.context[below.gram[there]]
    return _Level(
        gram,
        context,
        shorter,
        shorter_context,
        counts,
        np.bincount(context, counts, known),
        np.bincount(context, counts > 0, known),
    )


def _tokens(training: Series, read: Series, order: int) -> _Tokens:
    training = training.cut(slice(max(0, len(training) - MOST_COUNTED), None))
    first = 0 if read.scored is None else int(read.scored.argmax())
    parts = [_characters(each) for each in (training, read.cut(slice(max(0, first - order), None)))]
    characters, age, scored = map(np.concatenate, zip(*parts, strict=True))
    counted = scored & (np.arange(len(scored)) < len(parts[0][0]))
    return _Tokens(characters, age, counted, scored & ~counted, training.classes)


def _characters(text: Series) -> tuple[Indices, Indices, Bools]:
    """All characters of a text, their positions in their sequences, and which are to be predicted.

    Those of a sequence are its first step's input, and the character that follows each step.
    """
    begins = np.union1d(text.bounds()[:-1], [0])
    ends = np.append(begins[1:], len(text)) - 1
    scored = np.ones(len(text), np.bool_) if text.scored is None else text.scored
    symbols = text.symbols[:, 0].astype(np.int64)
    following = np.append(symbols[1:], 0)
    following[ends] = np.where(scored[ends], text.targets[ends], text.classes)
    age = np.arange(1, len(text) + 1) - np.repeat(begins, ends + 1 - begins)
    return (
        np.insert(following, begins, symbols[begins]),
        np.insert(age, begins, 0),
        np.insert(scored, begins, False),
    )
