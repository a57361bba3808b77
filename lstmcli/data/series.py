"""A labelled series, and how it is cut into rows and windows."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from lstmcli.errors import FileError


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


@dataclass(frozen=True)
class Windows:
    """A series in the order in which it is trained on.

    Attributes:
        inputs: `[windows, bptt, rows, features]`, float32.
        targets: `[windows, bptt, rows]`, int32.
        layout: how the series was cut.
    """

    inputs: npt.NDArray[np.float32]
    targets: npt.NDArray[np.int32]
    layout: Layout


@dataclass(frozen=True)
class Series:
    """A long series with a label at each step.

    Attributes:
        inputs: `[steps, features]`, float32.
        targets: `[steps]`, int32, from 0 to `classes - 1`.
        classes: number of different labels.
        task: what generated it, by name and parameters; empty for a stranger's series.
        offset: where in its task's series it begins, for a part that was cut off.
    """

    inputs: npt.NDArray[np.float32]
    targets: npt.NDArray[np.int32]
    classes: int
    task: Mapping[str, Any] = field(default_factory=dict)
    offset: int = 0

    @property
    def features(self) -> int:
        """Numbers in one step's input."""
        return int(self.inputs.shape[1])

    def __len__(self) -> int:
        return len(self.targets)

    def checksum(self) -> str:
        """SHA-256 of the inputs' and the targets' bytes (little endian), in hexadecimal."""
        digest = hashlib.sha256(self.inputs.astype("<f4").tobytes())
        digest.update(self.targets.astype("<i4").tobytes())
        return digest.hexdigest()

    def split(self, fraction: float) -> tuple[Series, Series]:
        """Cuts off the last `fraction` of the steps: the part to train on, and the tail."""
        cut = len(self) - round(len(self) * fraction)
        head = Series(self.inputs[:cut], self.targets[:cut], self.classes, self.task, self.offset)
        tail = Series(
            self.inputs[cut:], self.targets[cut:], self.classes, self.task, self.offset + cut
        )
        return head, tail

    def windows(self, rows: int, bptt: int) -> Windows:
        """Cuts the series as the article does: `[rows, -1]` row-major, then windows along it.

        Raises:
            FileError: the series is too short for one window.
        """
        layout = self.layout(rows, bptt)
        return Windows(_cut(self.inputs, layout), _cut(self.targets, layout), layout)

    def layout(self, rows: int, bptt: int) -> Layout:
        """How the series is cut.

        Raises:
            FileError: the series is too short for one window.
        """
        layout = Layout(len(self), rows, bptt)
        if layout.windows == 0:
            raise FileError(
                f"a series of {len(self)} steps is too short: {rows} rows of one window of {bptt} "
                f"steps need {rows * bptt}",
                "use a longer series, or a smaller `--batch-size` or `--bptt`",
            )
        return layout


def _cut(values: npt.NDArray[Any], layout: Layout) -> npt.NDArray[Any]:
    """`[steps, …]` -> `[windows, bptt, rows, …]`."""
    shape = (layout.rows, layout.windows, layout.bptt, *values.shape[1:])
    windows = layout.cut_rows(values).reshape(shape)
    return np.ascontiguousarray(np.moveaxis(windows, 0, 2))
