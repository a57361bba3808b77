"""What becomes of the empty input cells of a table."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from lstmcli.data.series import Bools
from lstmcli.data.tables import values
from lstmcli.data.tables.frames import Table
from lstmcli.data.tables.sequences import Sequences, filled
from lstmcli.data.tables.values import Floats, Words
from lstmcli.errors import FileError

MOST_EMPTY = 0.2
"""Share of a column's cells that may be empty without a word on what they become."""


@dataclass(frozen=True)
class Filling:
    """Reads a table's inputs, fills their empty cells, and counts them.

    Attributes:
        table: it.
        sequences: where its sequences lie: nothing is filled from one into the next.
        missing: `ffill`, `zero`, or `None` where nothing is said: then `ffill`, but not for much.
        strict: whether that much is refused.
        counts: how many cells of each column were empty.
    """

    table: Table
    sequences: Sequences
    missing: str | None
    strict: bool
    counts: dict[str, int] = field(default_factory=dict)

    def numbers(self, name: str) -> Floats:
        """A column of numbers, NaN where nothing is known yet: `[steps]`.

        Raises:
            FileError: a cell is no number, or too many are empty.
        """
        found = values.numbers(self.table, name)
        empty = np.isnan(found)
        if not self._count(name, empty):
            return found
        if self.missing == "zero":
            return np.where(empty, 0.0, found)
        return filled(found, empty, self.sequences.begins)

    def words(self, name: str) -> Words:
        """A column of words, -1 where nothing is known yet.

        Raises:
            FileError: too many cells are empty.
        """
        found = values.words(self.table, name)
        empty = found.codes < 0
        if not self._count(name, empty) or self.missing == "zero":
            return found
        return Words(filled(found.codes, empty, self.sequences.begins), found.names)

    def notes(self) -> list[str]:
        """Says how many cells of which columns were filled, if any."""
        if not self.counts:
            return []
        columns = ", ".join(f"`{name}` {count:,}" for name, count in self.counts.items())
        how = "with 0" if self.missing == "zero" else "with the last value before them"
        return [f"empty input cells are filled {how}: {columns}"]

    def _count(self, name: str, empty: Bools) -> int:
        """Counts empty cells, and refuses a column of which much or all is."""
        count = int(np.count_nonzero(empty))
        if count == len(empty):
            raise FileError(
                f"`{self.table.path}`, column `{name}`: it has no value in any row",
                f"leave it out: name the other columns in `--inputs`, without `{name}`",
            )
        share = count / len(empty)
        if self.strict and self.missing is None and share > MOST_EMPTY:
            raise FileError(
                f"`{self.table.path}`, column `{name}`: {count:,} of {len(empty):,} cells "
                f"({share:.0%}) are empty, which is more than is filled without being asked",
                "`--missing ffill` fills them with the last value before them, `--missing zero` "
                f"with 0; or leave it out: `--inputs` without `{name}`",
            )
        if count:
            self.counts[name] = count
        return count
