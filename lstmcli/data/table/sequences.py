"""The sequences of a table: their bounds, and operations that stay within them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from lstmcli.data.series import Bools
from lstmcli.data.table.files import Table

Indices = npt.NDArray[np.int64]
Array = TypeVar("Array", npt.NDArray[np.float64], npt.NDArray[np.int64])


@dataclass(frozen=True)
class Sequences:
    """The sequences of a table.

    Attributes:
        bounds: the first step of each, and the end of the last: `[sequences + 1]`.
        many: whether there is a group column; otherwise the table is one long recording.
    """

    bounds: Indices
    many: bool

    @property
    def lengths(self) -> Indices:
        """The number of steps of each sequence: `[sequences]`."""
        return np.diff(self.bounds)

    @property
    def begins(self) -> Indices:
        """The first step of each step's sequence: `[steps]`."""
        return np.repeat(self.bounds[:-1], self.lengths)

    @property
    def ends(self) -> Indices:
        """The end of each step's sequence, which is the step after its last: `[steps]`."""
        return np.repeat(self.bounds[1:], self.lengths)

    @property
    def starts(self) -> Bools | None:
        """Whether a sequence begins at each step: `[steps]`; `None` for one long recording."""
        if not self.many:
            return None
        found = np.zeros(self.bounds[-1], bool)
        found[self.bounds[:-1]] = True
        return found


def in_sequences(table: Table, group: str | None) -> tuple[Table, Sequences, list[str]]:
    """A table with the rows of each sequence together, in the order of first appearance.

    Args:
        table: the table; rows of a group keep their order.
        group: the column that tells sequences apart; `None` for one long recording.

    Returns:
        The table, its sequences, and notes for the user.

    Raises:
        FileError: a cell of the group column is empty.
    """
    import pandas as pd

    if group is None:
        return table, Sequences(np.array([0, len(table)]), False), []
    codes, found = pd.factorize(table.frame[group])
    if (codes < 0).any():
        step = int(np.argmax(codes < 0))
        raise table.error(
            step, group, "the name of a sequence", "say which sequence the row belongs to"
        )
    notes = []
    if (np.diff(codes) < 0).any():
        order = np.argsort(codes, kind="stable")
        table, codes = table.ordered(order), codes[order]
        notes.append(
            f"rows of one `{group}` do not stand side by side in `{table.path}`: they are brought "
            "together, in the order that they have"
        )
    bounds = np.searchsorted(codes, np.arange(len(found) + 1))
    return table, Sequences(bounds, True), notes


def filled(values: Array, missing: npt.NDArray[np.bool_], begins: npt.NDArray[np.int64]) -> Array:
    """Replaces each missing value with the last one of the same sequence, if there is one.

    Args:
        values: `[steps]`.
        missing: `[steps]`.
        begins: the first step of each step's sequence: `[steps]`.
    """
    steps = np.arange(len(values))
    last = np.maximum.accumulate(np.where(missing, -1, steps))
    return np.where(last >= begins, values[np.maximum(last, 0)], values)


def ahead(values: Array, horizon: int, ends: npt.NDArray[np.int64], nothing: float) -> Array:
    """The value some steps later in the same sequence; `nothing` past its end.

    Args:
        values: `[steps]`.
        horizon: how many steps.
        ends: the end of each step's sequence (the step after its last): `[steps]`.
        nothing: the value past an end.
    """
    later = np.arange(len(values)) + horizon
    return np.where(later < ends, values[np.minimum(later, len(values) - 1)], nothing).astype(
        values.dtype
    )
