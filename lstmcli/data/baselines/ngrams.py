"""N-gram models of a text, of any vocabulary: counted by hashing, never as tables of all pairs.

Every model here is interpolated: a character's share behind its context takes that behind the next
shorter context for some observations more,

    p(w | h) = (c(h, w) + m(h) p(w | h')) / (c(h) + m(h)),

down to a uniform guess. How many those are, m(h), makes the models different. (Witten and Bell
1991, "The zero-frequency problem"; Chen and Goodman 1999, "An empirical study of smoothing
techniques for language modeling".)
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
"""Of a longer training part the last characters are counted: so time and memory are bounded."""


class Predicted(NamedTuple):
    """What a model makes of the steps that are scored.

    Attributes:
        chances: the probability of what stands there: `[scored]`.
        right: whether none is more probable: `[scored]`.
    """

    chances: Floats
    right: Bools


def bigrams(training: Series, read: Series) -> Predicted:
    """Bigrams that take a character's frequency, by Laplace's rule, for one observation more.

    That is a Dirichlet prior of weight 1 (MacKay and Peto 1995, "A hierarchical Dirichlet language
    model").

    Args:
        training: a text; its steps that are not scored are not counted.
        read: what precedes the part that is scored, not scored, and the part.
    """
    size = np.float64(training.classes)
    return _predicted(training, read, [lambda level: size, lambda level: np.float64(1)])


def witten_bell(training: Series, read: Series) -> Predicted:
    """All lengths up to 5, where m(h) is how many different characters follow h.

    Args:
        training: a text; its steps that are not scored are not counted.
        read: what precedes the part that is scored, not scored, and the part.
    """
    return _predicted(training, read, [lambda level: level.types] * ORDER)


@dataclass(frozen=True)
class _Tokens:
    """Two texts, one behind the other: the characters of every sequence, its first one too.

    Attributes:
        characters: by number; the vocabulary's size is an unknown one: `[tokens]`.
        age: characters of its sequence before each: `[tokens]`.
        counted: which ones training has to predict: `[tokens]`.
        asked: which ones are to be predicted: `[tokens]`.
        size: characters of the vocabulary.
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
        gram: the one that each token ends, by number; -1 where its sequence is too young:
            `[tokens]`.
        context: the context of each n-gram, by number: `[grams]`.
        shorter: each n-gram without its first character, as the level below numbers them:
            `[grams]`.
        shorter_context: each context likewise: `[contexts]`.
        counts: how often training has each n-gram: `[grams]`.
        totals: how often it has each context: `[contexts]`.
        types: how many different characters it has behind each context: `[contexts]`.
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
    """By the longest n-gram that a step's sequence is old enough for, one length for each mass.

    Behind each context the largest probability is that of a character that it was seen with, or
    that of the likeliest one behind the shorter context: of those that it was not seen with, none
    else is as likely.
    """
    tokens = _tokens(training, read, len(masses))
    asked = np.flatnonzero(tokens.asked)
    chances, right = np.empty(len(asked)), np.empty(len(asked), np.bool_)
    below = top = np.array([1 / tokens.size])
    for level, mass in zip(_levels(tokens, len(masses)), masses, strict=True):
        extra = np.broadcast_to(mass(level), level.totals.shape)
        extra = np.where(level.totals == 0, 1.0, extra)  # Then the shorter one speaks for it.
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
        contexts = np.append(-1, below.gram[:-1])  # It is the context of the next one.
        contexts[tokens.age <= length] = -1


def _level(tokens: _Tokens, contexts: Indices, below: _Level | None) -> _Level:
    """The n-grams behind some contexts, one for each token, by number; -1 where there is none."""
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
    """All characters of a text, their places in their sequences, and which are to be predicted.

    Those of a sequence are its first step's and what follows each step.
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
