"""The rows of a run's tables: their columns are the fields of these classes, in order."""

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

    Losses are in nats per step, or squared errors of standardised numbers. What is not measured is
    an empty cell.

    Attributes:
        epoch: epochs completed.
        step: windows completed, which are steps of the optimizer.
        seed: the seed.
        loss: mean training loss of the epoch.
        accuracy: share of the training steps guessed right; of classes.
        val_loss: loss on the validation part, or on a new series of the task.
        val_accuracy: share of the validation steps guessed right; of classes.
        bayes_loss: Bayes loss of the training series, where that is known.
        learning_rate: the learning rate of the epoch.
        grad_norm: mean norm of the gradient over all weights, before it is clipped.
        epoch_seconds: seconds of training, without validation and checkpoints; those of the first
            row include the compilation.
        elapsed_seconds: seconds since the start of the run, those of all its resumes together.
        val_gap: excess loss: the validation loss minus the oracle's on the same labels.
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
        epoch: which epoch, from 1 on.
        step: windows completed, which are steps of the optimizer.
        seed: the seed.
        loss: training loss of the window.
        accuracy: share of the window's steps guessed right; of classes.
        grad_norm: norm of the gradient over all weights, before it is clipped.
    """

    epoch: int
    step: int
    seed: int
    loss: float
    accuracy: float | None
    grad_norm: float


Row = EpochRow | StepRow


def append_metrics(path: Path, rows: Iterable[Row]) -> None:
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


def read_metrics(path: Path) -> list[EpochRow]:
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
"""Above what a whole number can be."""
WHOLE = ("epoch", "step", "seed")
"""Columns of whole numbers, of which each line has one."""


def read_table(
    path: Path,
    columns: list[str],
    whole: Collection[str] = WHOLE,
    newer: Collection[str] = (),
) -> pd.DataFrame:
    """The whole lines of a CSV file; the last one may be half written.

    Args:
        path: the file; without one there are no lines.
        columns: which ones it has to have, of numbers.
        whole: which of them have a whole number in each line.
        newer: columns of numbers that it may have.

    Raises:
        FileError: it is damaged; the message says where.
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
    """The whole lines of `metrics.csv`, as `read_table` has them; older ones have no `val_gap`."""
    known = [name for name in columns(EpochRow) if name != "val_gap"]
    return read_table(path, known, newer=["val_gap"])


def _numbers(column: pd.Series, name: str, whole: bool) -> pd.Series:
    """A column as numbers; raises ValueError where a cell is none, or larger than 64 bits hold."""
    import pandas as pd

    if column.dtype.kind == "i":
        return column
    found = pd.to_numeric(column, errors="coerce").astype(float)
    too_large = found.abs() >= LARGEST  # And what is no number is not whole.
    wrong = (found % 1 != 0) | too_large if whole else found.isna() & column.notna()
    if not wrong.any():
        return found.astype("int64") if whole else found
    line = int(wrong.to_numpy().argmax())
    kind = "a whole number" if whole else "a number"
    cell = "an empty cell" if column.isna().iloc[line] else f"`{column.iloc[line]!s:.60}`"
    raise ValueError(f"line {line + 2}, column `{name}`: expected {kind}, got {cell}")
