"""A series: inputs and targets at each step; and its three parts."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from lstmcli.data.schema import Schema
from lstmcli.model_spec import ModelSpec
from lstmcli.utils.rng import Stream, generator

Bools = npt.NDArray[np.bool_]

BLOCK = 2**20
"""Steps of a block."""


@dataclass(frozen=True)
class Series:
    """Inputs and targets at consecutive steps.

    Attributes:
        schema: the columns.
        numbers: numeric inputs, standardised: `[steps, N]`, float32.
        symbols: codes of categorical inputs: `[steps, M]`, the smallest unsigned type.
        targets: class labels `[steps]`, of any integer type, or standardised numbers `[steps, D]`,
            float32; with several targets, NaN where one is missing.
        scored: `[steps]`, loss mask: whether a step counts in loss, accuracy and gradient; `None`
            for all.
        starts: `[steps]`, whether a sequence begins here, from a state of zero; `None` for one long
            sequence per row, as in the article.
        task: the task that generated it, with its parameters; empty for a user's series.
        offset: where a part begins in its task's series, or in its recording.
        recording: the recording that a part was cut from and continues.
        last_values: the latest known value of the target at each step, within its sequence:
            standardised numbers `[steps, D]`, float32, NaN if there is none; classes `[steps]`,
            int32, -1 if there is none. `None` if targets never become known. Not an input.
        base: what is added to a model's output, standardised: `[steps, D]`, float32; `None` for
            nothing.
        labels: what identifies a table's steps for users, `[steps]` each: the sequence's name, the
            index, and the row of the file, from 1. Not an input.
    """

    schema: Schema
    numbers: npt.NDArray[np.float32]
    symbols: npt.NDArray[np.unsignedinteger[Any]]
    targets: npt.NDArray[Any]
    scored: Bools | None = None
    starts: Bools | None = None
    task: Mapping[str, Any] = field(default_factory=dict)
    offset: int = 0
    last_values: npt.NDArray[Any] | None = None
    base: npt.NDArray[np.float32] | None = None
    labels: Mapping[str, npt.NDArray[Any]] = field(default_factory=dict)
    recording: Series | None = None

    @property
    def is_recording(self) -> bool:
        """Whether it is one long series of a user, not one that a task generated.

        Several texts are one recording; the state is reset at the beginning of each.
        """
        return not (self.has_sequences or self.task)

    @property
    def has_sequences(self) -> bool:
        """Whether it consists of sequences, which are never split."""
        return self.starts is not None and self.schema.kind != "text"

    @cached_property
    def learned(self) -> npt.NDArray[Any]:
        """The targets of the model: the targets themselves, or their difference from the base."""
        return self.targets if self.base is None else self.targets - self.base

    @property
    def classes(self) -> int:
        """How many classes the target has; 0 for numbers."""
        return self.schema.classes or 0

    @property
    def features(self) -> int:
        """Size of one step's input to the first layer."""
        return self.spec.features

    @property
    def spec(self) -> ModelSpec:
        """The model's inputs and outputs."""
        sequences = self.starts is not None
        return self.schema.spec(self.scored is not None or sequences, sequences)

    def __len__(self) -> int:
        return len(self.targets)

    @property
    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """Its arrays by name, for programs and files."""
        named = {
            "numbers": self.numbers,
            "symbols": self.symbols,
            "targets": self.learned,
            "scored": self.scored,
            "starts": self.starts,
        }
        return {
            name: array
            for name, array in named.items()
            if array is not None and (array.ndim == 1 or array.shape[1])
        }

    def checksum(self) -> str:
        """SHA-256 of the arrays' bytes (little endian), in hexadecimal; without the base."""
        digest, arrays = hashlib.sha256(), self.arrays
        if self.schema.autoregression is not None:
            arrays["targets"] = self.targets
        for array in arrays.values():
            digest.update(np.ascontiguousarray(array, array.dtype.newbyteorder("<")).data)
        return digest.hexdigest()

    def cut(self, steps: slice) -> Series:
        """A slice of its steps."""
        begin, _, _ = steps.indices(len(self))
        return replace(self._at(steps), offset=self.offset + begin)

    def part(self, steps: slice) -> Series:
        """As `cut`; a part of a recording also knows the recording."""
        found = self.cut(steps)
        return replace(found, recording=self) if self.is_recording else found

    def blocks(self) -> Iterator[Series]:
        """The series in blocks, for computations that need much memory per step."""
        for begin in range(0, len(self), BLOCK):
            yield self.cut(slice(begin, begin + BLOCK))

    def label_counts(self) -> npt.NDArray[np.int64]:
        """How many scored steps have each class: `[classes]`."""
        counts = np.zeros(self.classes, np.int64)
        for part in self.blocks():
            labels = part.targets if part.scored is None else part.targets[part.scored]
            counts += np.bincount(labels, minlength=self.classes)
        return counts

    def bounds(self) -> npt.NDArray[np.int64]:
        """Where its sequences begin, and the end of the last: `[sequences + 1]`."""
        if self.starts is None:
            return np.array([0, len(self)])
        return np.append(np.flatnonzero(self.starts), len(self))

    def pick(self, sequences: npt.NDArray[np.int64]) -> Series:
        """Some of its sequences, by their numbers, in that order."""
        bounds = self.bounds()
        pieces = [np.arange(bounds[each], bounds[each + 1]) for each in sequences]
        return self._at(np.concatenate(pieces) if pieces else np.empty(0, np.int64))

    def _at(self, steps: slice | npt.NDArray[np.int64]) -> Series:
        return replace(
            self,
            numbers=self.numbers[steps],
            symbols=self.symbols[steps],
            targets=self.targets[steps],
            scored=None if self.scored is None else self.scored[steps],
            starts=None if self.starts is None else self.starts[steps],
            last_values=None if self.last_values is None else self.last_values[steps],
            base=None if self.base is None else self.base[steps],
            labels={name: values[steps] for name, values in self.labels.items()},
        )


def no_numbers(steps: int) -> npt.NDArray[np.float32]:
    """`numbers` of a series without numeric inputs: `[steps, 0]`."""
    return np.empty((steps, 0), np.float32)


def no_symbols(steps: int) -> npt.NDArray[np.uint8]:
    """`symbols` of a series without categorical inputs: `[steps, 0]`."""
    return np.empty((steps, 0), np.uint8)


def is_one_hot(numbers: npt.NDArray[Any]) -> bool:
    """Whether the numbers `[steps, N]` are one-hot symbols, as in files of the echo task."""
    return numbers.shape[1] > 1 and bool(
        (numbers.sum(1) == 1).all() and (numbers.max(1) == 1).all()
    )


class Parts(NamedTuple):
    """A dataset's parts.

    Attributes:
        training: for training; vocabularies and scales come only from it.
        validation: chooses the best checkpoint, and stops training early.
        test: for the reported result, used once.
    """

    training: Series
    validation: Series
    test: Series


def split_by_time(
    steps: int, val_fraction: float, test_fraction: float
) -> tuple[slice, slice, slice]:
    """Splits a recording: its end is the test part, what precedes that the validation part."""
    test = steps - round(steps * test_fraction)
    validation = test - round(steps * val_fraction)
    return slice(0, validation), slice(validation, test), slice(test, steps)


def split_by_sequence(
    sequences: int, val_fraction: float, test_fraction: float, seed: int
) -> tuple[npt.NDArray[np.int64], ...]:
    """Assigns whole sequences to parts at random, by the split seed.

    Returns:
        The numbers of the sequences of the training, validation and test parts, in ascending order.
        A part with a fraction above 0 has at least one sequence, if there are enough.
    """
    order = generator(seed, Stream.SPLIT).permutation(sequences)
    counts = [
        max(1, round(sequences * fraction)) if fraction else 0
        for fraction in (val_fraction, test_fraction)
    ]
    validation, test = order[: counts[0]], order[counts[0] : sum(counts)]
    return tuple(np.sort(part) for part in (order[sum(counts) :], validation, test))
