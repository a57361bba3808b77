"""The rows of a run's tables: their columns are the fields of these classes, in order."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from typing import Any

from lstmcli.errors import FileError


@dataclass(frozen=True)
class EpochRow:
    """One epoch of one seed: a row of `metrics.csv`.

    Losses are in nats per step, or squared errors of standardised numbers; times in seconds.
    `epoch` and `step` (windows) count what is completed; `None` is an unmeasured cell. `val_gap` is
    the validation loss minus the oracle's on the same labels.
    """

    epoch: int
    step: int
    seed: int
    loss: float
    accuracy: float | None
    val_loss: float | None
    val_accuracy: float | None
    bayes_loss: float | None
    learning_rate: float
    grad_norm: float
    epoch_seconds: float
    elapsed_seconds: float
    val_gap: float | None = None


@dataclass(frozen=True)
class StepRow:
    """One logged window of one seed: a row of `steps.csv`."""

    epoch: int
    step: int
    seed: int
    loss: float
    accuracy: float | None
    grad_norm: float


Row = EpochRow | StepRow


def append(path: Path, rows: Iterable[Row]) -> None:
    """Appends rows to a table, after a header if the file is new, and flushes them.

    Floats are written so that they read back to the same value.
    """
    rows = list(rows)
    if not rows:
        return
    with path.open("a", newline="") as file:
        writer = csv.writer(file)
        if file.tell() == 0:
            writer.writerow(columns(type(rows[0])))
        writer.writerows(["" if cell is None else cell for cell in astuple(row)] for row in rows)


def read(path: Path) -> list[EpochRow]:
    """The rows of a `metrics.csv`; none where there is no file.

    Raises:
        FileError: it is damaged.
    """
    if not path.exists():
        return []
    try:
        with path.open(newline="") as file:
            return [_row(cells) for cells in csv.DictReader(file, strict=True)]
    except (OSError, ValueError, TypeError, csv.Error) as error:
        raise FileError(f"`{path}` is damaged: {error}", "put the table back as it was") from error


def _row(cells: dict[str, str]) -> EpochRow:
    whole = ("epoch", "step", "seed")
    values: dict[str, Any] = {
        name: int(cell) if name in whole else float(cell) if cell else None
        for name, cell in cells.items()
    }
    return EpochRow(**values)


def columns(kind: type[Row]) -> list[str]:
    """The column names of a table."""
    return [spec.name for spec in fields(kind)]


def as_dict(row: Row) -> dict[str, Any]:
    """A row by column name."""
    return dict(zip(columns(type(row)), astuple(row), strict=True))
