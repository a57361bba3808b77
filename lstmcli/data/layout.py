"""How a series is cut into rows and windows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy.typing as npt


@dataclass(frozen=True)
class Layout:
    """How many rows and windows a series of a given length gives.

    A series is cut into `rows` consecutive pieces of `row_length` steps, and each row into
    `windows` consecutive windows of `bptt` steps; what is left over is dropped.
    """

    steps: int
    rows: int
    bptt: int

    @property
    def row_length(self) -> int:
        """Steps from the start of one row to the start of the next."""
        return self.steps // self.rows

    @property
    def windows(self) -> int:
        """Windows in an epoch."""
        return self.row_length // self.bptt

    @property
    def used(self) -> int:
        """Steps of each row that are used."""
        return self.windows * self.bptt

    @property
    def dropped(self) -> int:
        """Steps of the series that are not used: the ragged ends."""
        return self.steps - self.rows * self.used

    def cut_rows(self, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """`[steps, …]` -> `[rows, used, …]`."""
        whole = values[: self.rows * self.row_length]
        rows = whole.reshape(self.rows, self.row_length, *values.shape[1:])
        return rows[:, : self.used]
