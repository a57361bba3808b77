"""What a network is given at each step, as something that it can remember: numbers and symbols."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from lstmcli.data.series import is_one_hot
from lstmcli.probes.subject import Subject


@dataclass(frozen=True)
class Input:
    """One input.

    Attributes:
        name: its column's.
        classes: how many values a symbol has; 0 for a number.
        values: `[steps, B, R]`.
    """

    name: str
    classes: int
    values: npt.NDArray[Any]


def inputs_of(subject: Subject) -> list[Input]:
    """The inputs that vary.

    A number that is only ever one of two is a symbol, as the echo task's bit, and several numbers
    of which always one is 1 and the others are 0 are one symbol.
    """
    schema = subject.model.schema
    there = ~subject.padding
    found: list[Input] = []
    if numbers := _stacked(subject, "numbers"):
        found += _of_numbers([column.name for column in schema.numbers], numbers[0], there)
    if symbols := _stacked(subject, "symbols"):
        for place, column in enumerate(schema.symbols):
            values = symbols[0][:, :, place].astype(np.int64)
            found.append(Input(column.name, int(values.max()) + 1, values))
    return [each for each in found if len(np.unique(each.values[there])) > 1]


def _stacked(subject: Subject, name: str) -> list[npt.NDArray[Any]]:
    """An array of all replicas, `[steps, B, columns, R]`; nothing where there is none."""
    if name not in subject.arrays[0]:
        return []
    return [np.stack([arrays[name] for arrays in subject.arrays], -1)]


def _of_numbers(
    names: Sequence[str], numbers: npt.NDArray[Any], there: npt.NDArray[np.bool_]
) -> Iterator[Input]:
    """Inputs of numeric columns `[steps, B, columns, R]`."""
    seen = np.moveaxis(numbers, 2, -1)[there]  # [places, columns]
    if len(names) > 1 and is_one_hot(seen):
        yield Input("input", len(names), numbers.argmax(2))
        return
    for place, name in enumerate(names):
        values, different = numbers[:, :, place], np.unique(seen[:, place])
        if len(different) == 2:
            yield Input(name, 2, (values == different[1]).astype(np.int64))
        else:
            yield Input(name, 0, values.astype(np.float64))
