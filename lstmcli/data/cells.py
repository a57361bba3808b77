"""From the numbers in a file to a series: what does not fit is refused by its place and value."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from lstmcli.data.series import Series
from lstmcli.errors import FileError

Cell = Callable[[int, int | None], tuple[str, str]]
"""Place and value, in words, of a step's input (by its column) or target (`None`)."""


def to_series(
    inputs: npt.NDArray[Any], targets: npt.NDArray[Any], metadata: Mapping[str, Any], cell: Cell
) -> Series:
    """Makes a series of a file's numbers.

    Args:
        inputs: `[steps]` or `[steps, features]`.
        targets: `[steps]`.
        metadata: `classes` and `task`, where they are known.
        cell: how the file names a cell of its.

    Raises:
        ValueError: the shapes are not a series'.
        FileError: a cell is not what it should be.
    """
    if inputs.ndim not in (1, 2) or targets.ndim != 1 or len(inputs) != len(targets):
        raise ValueError(
            "expected inputs `[steps]` or `[steps, features]` and targets `[steps]`, got "
            f"{list(inputs.shape)} and {list(targets.shape)}"
        )
    if len(targets) == 0 or inputs.size == 0:
        raise ValueError("it holds no steps")
    columns = _inputs(inputs.reshape(len(inputs), -1), cell)
    labels = _labels(targets, cell)
    classes = _classes(labels, metadata.get("classes"), cell)
    return Series(columns, labels.astype(np.int32), classes, metadata.get("task", {}))


def _inputs(inputs: npt.NDArray[Any], cell: Cell) -> npt.NDArray[np.float32]:
    """`[steps, features]`."""
    with np.errstate(over="ignore"):  # What does not fit is refused.
        columns = _numbers(inputs).astype(np.float32)
    if not np.isfinite(columns).all():
        step, column = (int(where) for where in np.argwhere(~np.isfinite(columns))[0])
        _refuse(cell(step, column), "a finite number of 32 bits", "mend it, or leave that step out")
    return columns


def _labels(targets: npt.NDArray[Any], cell: Cell) -> npt.NDArray[np.float64]:
    labels = _numbers(targets).astype(np.float64)
    fits = np.isfinite(labels) & (labels >= 0) & (labels == np.floor(labels))
    if not fits.all():
        _refuse(
            cell(int(fits.argmin()), None),
            "a whole number from 0 on",
            "number the classes 0, 1, 2 and so on, and give each step one",
        )
    return labels


def _classes(labels: npt.NDArray[np.float64], known: Any, cell: Cell) -> int:
    """The number of classes: known, or the labels are counted from 0 to the largest.

    Raises:
        ValueError: what is known is no number of classes.
        FileError: there is a larger label, or a label larger than the number of steps.
    """
    if known is not None and (type(known) is not int or known < 2):
        raise ValueError(f"its metadata say that there are {known!r} classes")
    largest = int(labels.max())
    limit = max(2, len(labels)) if known is None else known
    if largest >= limit:
        why = f"{len(labels):,} steps" if known is None else f"{known} classes in its metadata"
        place, value = cell(int(labels.argmax()), None)
        raise FileError(
            f"{place}: a class `{value}` makes {largest + 1:,} classes, but there are {why}, with "
            f"{len(np.unique(labels)):,} different labels",
            "number the classes 0, 1, 2 and so on, without gaps",
        )
    return known or max(2, largest + 1)


def _numbers(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """The array if it is one of numbers; else as many NaN."""
    return values if values.dtype.kind in "biuf" else np.full(values.shape, np.nan)


def _refuse(found: tuple[str, str], expected: str, hint: str) -> None:
    place, value = found
    got = f"`{value}`" if value.strip() else "an empty cell"
    raise FileError(f"{place}: expected {expected}, got {got}", hint)
