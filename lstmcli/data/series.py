"""A series: what is given and what is to be predicted at each step; and its three parts."""

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
"""Steps of a piece."""


@dataclass(frozen=True)
class Series:
    """A run of steps.

    Attributes:
        schema: what the columns are.
        numbers: numeric inputs, standardised: `[steps, N]`, float32.
        symbols: categorical inputs: `[steps, M]`, the smallest unsigned type that holds them.
        targets: `[steps]`, whole numbers of any type, for classes; `[steps, D]`, float32, for
            numbers (standardised): of several, NaN where one is not known.
        scored: `[steps]`: whether a step counts in loss, accuracy and gradient; `None` for all.
        starts: `[steps]`: whether a sequence begins here, before which the state is zero; `None`
            for one endless sequence a row, as in the article.
        task: what generated it, by name and parameters; empty for a stranger's series.
        offset: where in its task's series, or in its recording, a part begins that was cut off.
        recording: of a part that follows on what precedes it, all that it was cut from.
        last_values: the latest value of the target that is known at each step, in a file's steps up
            to it and within its sequence: for numbers `[steps, D]`, float32, standardised, NaN
            where there is none; for classes `[steps]`, int32, -1 where there is none. `None` where
            the target of a step is not known at a later one. No input: no program sees it.
        base: what a model's numbers are on top of, standardised: `[steps, D]`, float32; `None` for
            nothing.
        labels: what people know the steps of a table by: the sequence's name, the index, the row
            of the file, from 1 on; `[steps]` each. No model sees them.
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
        """Whether it is one long series of a stranger, and none that a task has drawn.

        Of several texts it is one, in which the state begins anew at each of them.
        """
        return not (self.has_sequences or self.task)

    @property
    def has_sequences(self) -> bool:
        """Whether it is made of sequences, which stay whole whatever becomes of it."""
        return self.starts is not None and self.schema.kind != "text"

    @cached_property
    def learned(self) -> npt.NDArray[Any]:
        """The targets as a model is to give them: themselves, or what exceeds a base."""
        return self.targets if self.base is None else self.targets - self.base

    @property
    def classes(self) -> int:
        """How many classes the target has; 0 for numbers."""
        return self.schema.classes or 0

    @property
    def features(self) -> int:
        """Numbers in one step's input, as a model sees it."""
        return self.spec.features

    @property
    def spec(self) -> ModelSpec:
        """What a program has to be compiled for."""
        sequences = self.starts is not None
        return self.schema.spec(self.scored is not None or sequences, sequences)

    def __len__(self) -> int:
        return len(self.targets)

    @property
    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """The arrays that it has, by name: all that a program is given, and files keep."""
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
        """SHA-256 of the arrays' bytes (little endian), in hexadecimal.

        What is fitted to them is none of them.
        """
        digest, arrays = hashlib.sha256(), self.arrays
        if self.schema.autoregression is not None:
            arrays["targets"] = self.targets
        for array in arrays.values():
            digest.update(np.ascontiguousarray(array, array.dtype.newbyteorder("<")).data)
        return digest.hexdigest()

    def cut(self, steps: slice) -> Series:
        """Some of its steps, one after the other."""
        begin, _, _ = steps.indices(len(self))
        return replace(self._at(steps), offset=self.offset + begin)

    def part(self, steps: slice) -> Series:
        """As `cut`; of a stranger's recording the part follows on what precedes it there."""
        found = self.cut(steps)
        return replace(found, recording=self) if self.is_recording else found

    def blocks(self) -> Iterator[Series]:
        """The series in pieces, for what would make much more of it at a time than it is."""
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
        """Some of its sequences, by their numbers, whole and in that order."""
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
    """Of a series without numeric inputs: `[steps, 0]`."""
    return np.empty((steps, 0), np.float32)


def no_symbols(steps: int) -> npt.NDArray[np.uint8]:
    """Of a series without categorical inputs: `[steps, 0]`."""
    return np.empty((steps, 0), np.uint8)


def is_one_hot(numbers: npt.NDArray[Any]) -> bool:
    """Whether several numbers of each step, `[steps, N]`, are one symbol, as in files of echo."""
    return numbers.shape[1] > 1 and bool(
        (numbers.sum(1) == 1).all() and (numbers.max(1) == 1).all()
    )


class Parts(NamedTuple):
    """A dataset's parts.

    Attributes:
        training: what a model is trained on; vocabularies and scales come from it alone.
        validation: chooses the checkpoint, and stops early.
        test: is reported, and looked at once.
    """

    training: Series
    validation: Series
    test: Series


def split_by_time(
    steps: int, val_fraction: float, test_fraction: float
) -> tuple[slice, slice, slice]:
    """One long recording: the last part is the test part, the one before it the validation part."""
    test = steps - round(steps * test_fraction)
    validation = test - round(steps * val_fraction)
    return slice(0, validation), slice(validation, test), slice(test, steps)


def split_by_sequence(
    sequences: int, val_fraction: float, test_fraction: float, seed: int
) -> tuple[npt.NDArray[np.int64], ...]:
    """Many sequences: whole ones are drawn for each part, by a seed that is the dataset's own.

    Returns:
        The numbers of the sequences of the training, the validation and the test part, each in
        ascending order. A part with a fraction above 0 has one sequence at least, while there are
        enough.
    """
    order = generator(seed, Stream.SPLIT).permutation(sequences)
    counts = [
        max(1, round(sequences * fraction)) if fraction else 0
        for fraction in (val_fraction, test_fraction)
    ]
    validation, test = order[: counts[0]], order[counts[0] : sum(counts)]
    return tuple(np.sort(part) for part in (order[sum(counts) :], validation, test))
