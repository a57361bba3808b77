"""The rows of a run's tables: their columns are the fields of these classes, in order."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from typing import Any

from lstmcli import memory
from lstmcli.errors import FileError
from lstmcli.files import append_durably


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
    """Appends rows to a table, after a header if the file is new, and puts them on the disk.

    Floats are written so that they read back to the same value. What is in a table is never older
    than a checkpoint that is written after it, whatever happens to the power.

    Raises:
        OSError: the disk is full, or the directory has gone; none of the rows is in the table.
    """
    rows = list(rows)
    if not rows:
        return
    text = io.StringIO()
    writer = csv.writer(text)
    if not path.exists() or path.stat().st_size == 0:
        writer.writerow(columns(type(rows[0])))
    writer.writerows(["" if cell is None else cell for cell in astuple(row)] for row in rows)
    append_durably(path, text.getvalue().encode())


def read(path: Path) -> list[EpochRow]:
    """The rows of a `metrics.csv`; none where there is no file.

    Raises:
        FileError: it is damaged.
    """
    if not path.exists():
        return []
    found: list[EpochRow] = []
    try:
        memory.check_file(path, path.stat().st_size)
        with path.open(newline="") as file:
            for cells in csv.DictReader(file, strict=True):
                found.append(_row(cells))
    except (OSError, ValueError, TypeError, csv.Error) as error:
        raise FileError(
            f"`{path}`, line {len(found) + 2}, is damaged: {error}", "put the table back as it was"
        ) from error
    return found


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
