"""The rows of a run's tables: the fields of these classes are the columns, in order."""

from __future__ import annotations

import csv
import io
import warnings
from collections.abc import Collection, Iterable
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lstmcli.utils import memory
from lstmcli.utils.errors import FileError
from lstmcli.utils.files import append_durably

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class EpochRow:
    """One epoch of one seed: a row of `metrics.csv`.

    Losses are in nats per step, or squared errors of standardised numbers. Cells without a
    measurement are empty.

    Attributes:
        epoch: completed epochs.
        step: completed windows, equal to the number of optimizer steps.
        seed: the seed.
        loss: mean training loss of the epoch.
        accuracy: fraction of training steps predicted correctly; for classes only.
        val_loss: loss on the validation part, or on a new series of the task.
        val_accuracy: fraction of validation steps predicted correctly; for classes only.
        bayes_loss: Bayes loss of the training series, if known.
        learning_rate: the learning rate of the epoch.
        grad_norm: mean norm of the gradient over all weights, before clipping.
        epoch_seconds: training time in seconds, without validation and checkpoints; in the first
            row, with compilation.
        elapsed_seconds: seconds since the start of the run, summed over all its resumes.
        val_gap: excess loss: the validation loss minus the oracle's loss on the same labels.
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
    """One logged window of one seed: a row of `steps.csv`.

    Attributes:
        epoch: number of the epoch, from 1.
        step: completed windows, equal to the number of optimizer steps.
        seed: the seed.
        loss: training loss of the window.
        accuracy: fraction of the window's steps predicted correctly; for classes only.
        grad_norm: norm of the gradient over all weights, before clipping.
    """

    epoch: int
    step: int
    seed: int
    loss: float
    accuracy: float | None
    grad_norm: float


Row = EpochRow | StepRow


def append_metrics(path: Path, rows: Iterable[Row]) -> None:
    """Appends rows to a table, with a header if the file is new, and flushes them to disk.

    Floats are written so that reading them gives the same values. After a power failure, a table is
    never older than a checkpoint that was written after it.

    Raises:
        OSError: the disk is full or the directory is gone; then the table has none of the rows.
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


def read_metrics(path: Path) -> list[EpochRow]:
    """The rows of a `metrics.csv`; empty if the file does not exist.

    Raises:
        FileError: the file is damaged.
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
            f"`{path}`, line {len(found) + 2}, is damaged: {error}", "restore the table"
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


LARGEST = 2.0**63
"""Whole numbers must be below this."""
WHOLE = ("epoch", "step", "seed")
"""Columns with a whole number in each line."""


def read_table(
    path: Path,
    columns: list[str],
    whole: Collection[str] = WHOLE,
    newer: Collection[str] = (),
) -> pd.DataFrame:
    """The complete lines of a CSV file; an incomplete last line is ignored.

    Args:
        path: the file; if it does not exist, there are no lines.
        columns: the required numeric columns.
        whole: those with a whole number in each line.
        newer: optional numeric columns.

    Raises:
        FileError: the file is damaged; the message says where.
    """
    import pandas as pd

    content = b""
    if path.is_file():
        memory.check_file(path, path.stat().st_size)
        content = path.read_bytes()
    content = content[: content.rfind(b"\n") + 1]
    if not content.strip():
        return pd.DataFrame({name: pd.Series(dtype=float) for name in columns})
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)
            table = pd.read_csv(io.BytesIO(content), index_col=False, low_memory=False)
        table[columns]
        for name in [*columns, *(name for name in newer if name in table)]:
            table[name] = _numbers(table[name], name, name in whole)
    except (ValueError, KeyError, pd.errors.ParserWarning) as error:
        reason = str(error).splitlines()[0]
        raise FileError(f"`{path}` is damaged: {reason}", "the other files may be whole") from error
    return table


def read_epochs(path: Path) -> pd.DataFrame:
    """The complete lines of `metrics.csv`, by `read_table`; older files have no `val_gap`."""
    known = [name for name in columns(EpochRow) if name != "val_gap"]
    return read_table(path, known, newer=["val_gap"])


def _numbers(column: pd.Series, name: str, whole: bool) -> pd.Series:
    """A column as numbers.

    Raises:
        ValueError: a cell is not a number, or does not fit in 64 bits.
    """
    import pandas as pd

    if column.dtype.kind == "i":
        return column
    found = pd.to_numeric(column, errors="coerce").astype(float)
    too_large = found.abs() >= LARGEST  # So NaN counts as not whole.
    wrong = (found % 1 != 0) | too_large if whole else found.isna() & column.notna()
    if not wrong.any():
        return found.astype("int64") if whole else found
    line = int(wrong.to_numpy().argmax())
    kind = "a whole number" if whole else "a number"
    cell = "an empty cell" if column.isna().iloc[line] else f"`{column.iloc[line]!s:.60}`"
    raise ValueError(f"line {line + 2}, column `{name}`: expected {kind}, got {cell}")
