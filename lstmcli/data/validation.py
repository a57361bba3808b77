"""Makes a series of a file's arrays; an error names the place and the value of an invalid cell."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from lstmcli.data.schema import Categorical, Numeric, Schema, plain, symbol_type
from lstmcli.data.series import Bools, Series, no_numbers, no_symbols
from lstmcli.utils.errors import FileError

Cell = Callable[[str, int, int], tuple[str, str]]
"""Place and value of a cell in words, from an array's name, a step and a column."""
Arrays = Mapping[str, npt.NDArray[Any]]
MOST_SHOWN = 60  # characters of a cell that an error quotes
Targets = npt.NDArray[np.int32] | npt.NDArray[np.float32]


def to_series(
    arrays: Arrays,
    metadata: Mapping[str, Any],
    cell: Cell,
    numbers_asked: bool | None = None,
    exact: bool = False,
) -> Series:
    """Makes a series of a file's arrays.

    Without metadata, targets `[steps]` that are whole numbers are classes, and others are numbers
    in their own units. Steps whose target is NaN are not scored.

    Args:
        arrays: `numbers` or `symbols` or both (`[steps]` or `[steps, columns]`), `targets`, and
            optionally `scored` and `starts` (`[steps]`).
        metadata: `classes`, `task` and `schema`, if known.
        cell: locates a cell in the file.
        numbers_asked: whether targets are numbers, not classes, if the metadata do not say; `None`
            to go by their type.
        exact: whether NaN is an error in targets.

    Raises:
        ValueError: the shapes are not those of a series, or do not fit the schema.
        FileError: a cell is invalid.
    """
    _check_shapes(arrays)
    schema = Schema.from_dict(metadata["schema"]) if "schema" in metadata else None
    numbers, symbols = _inputs(arrays, cell), _symbols(arrays, schema is None, cell)
    asked = schema.target if schema else metadata.get("classes")
    known = None if exact or schema is not None else _known(arrays["targets"])
    target, targets = _targets(arrays["targets"], asked, numbers_asked, known, cell)
    found = _found_schema(numbers, symbols, target)
    if schema is not None:
        _check_schema(schema, found)
    largest = max((column.size for column in (schema or found).symbols), default=0)
    return Series(
        schema or found,
        numbers,
        symbols.astype(symbol_type(largest)),
        targets,
        _scored(arrays, known, cell),
        _starts(arrays, cell),
        metadata.get("task", {}),
    )


def _check_shapes(arrays: Arrays) -> None:
    """Raises ValueError if the shapes are not those of a series."""
    if "targets" not in arrays:
        raise ValueError("it has no `targets`")
    targets = arrays["targets"]
    if not {"numbers", "symbols"} & set(arrays):
        raise ValueError("it has no inputs: neither `numbers` nor `symbols`")
    for name, array in arrays.items():
        label = name in ("scored", "starts") or (name == "targets" and array.dtype.kind != "f")
        if not 1 <= array.ndim <= (1 if label else 2) or len(array) != len(targets):
            raise ValueError(
                f"expected {name} `[steps]`{'' if label else ' or `[steps, columns]`'} and targets "
                f"for as many steps, got {list(array.shape)} and {list(targets.shape)}"
            )
        if array.size == 0:
            raise ValueError("it holds no steps")


def _inputs(arrays: Arrays, cell: Cell) -> npt.NDArray[np.float32]:
    """`[steps, N]`."""
    if "numbers" not in arrays:
        return no_numbers(len(arrays["targets"]))
    return _finite("numbers", _columns(arrays["numbers"]), None, cell)


def _finite(
    name: str, array: npt.NDArray[Any], scored: Bools | None, cell: Cell
) -> npt.NDArray[np.float32]:
    """`[steps, columns]` as finite 32-bit numbers; those that are not scored become 0."""
    with np.errstate(over="ignore"):  # Overflow is an error below.
        columns = _numbers(array).astype(np.float32)
    if scored is not None:
        columns[~scored] = 0
    if not np.isfinite(columns).all():
        step, column = (int(where) for where in np.argwhere(~np.isfinite(columns))[0])
        found = cell(name, step, column)
        _refuse(found, "a finite 32-bit number", "correct it, or leave that step out")
    return columns


def _symbols(arrays: Arrays, limited: bool, cell: Cell) -> npt.NDArray[Any]:
    """`[steps, M]`, whole numbers from 0; without a vocabulary, below the number of steps."""
    steps = len(arrays["targets"])
    if "symbols" not in arrays:
        return no_symbols(steps)
    columns = _numbers(_columns(arrays["symbols"])).astype(np.float64)
    most = max(2, steps) if limited else 2**32
    fits = (columns >= 0) & (columns == np.floor(columns)) & (columns < most)
    if not fits.all():
        step, column = (int(where) for where in np.argwhere(~fits)[0])
        _refuse(
            cell("symbols", step, column),
            "a whole number from 0 on" + (f", below the {steps:,} steps" if limited else ""),
            "number the symbols 0, 1, 2 and so on, without gaps",
        )
    return columns.astype(np.uint32)


def _flags(name: str, array: npt.NDArray[Any], cell: Cell) -> Bools:
    """`[steps]`, of 0 and 1."""
    values = _numbers(array)
    fits = (values == 0) | (values == 1)
    if not fits.all():
        _refuse(cell(name, int(fits.argmin()), 0), "0 or 1", "correct it")
    return values.astype(np.bool_)


def _scored(arrays: Arrays, known: Bools | None, cell: Cell) -> Bools | None:
    """Which steps are scored: those that the file marks and whose target is known."""
    scored = known
    if "scored" in arrays:
        asked = _flags("scored", arrays["scored"], cell)
        scored = asked if known is None else asked & known
    if scored is not None and not scored.any():
        raise ValueError("none of its steps is scored")
    return scored


def _starts(arrays: Arrays, cell: Cell) -> Bools | None:
    """Where sequences begin; one does at the first step, whatever the file says."""
    if "starts" not in arrays:
        return None
    starts = _flags("starts", arrays["starts"], cell)
    starts[0] = True
    return starts


def _targets(
    targets: npt.NDArray[Any],
    asked: Any,
    numbers_asked: bool | None,
    known: Bools | None,
    cell: Cell,
) -> tuple[Categorical | tuple[Numeric, ...], Targets]:
    """The target and its values.

    Args:
        targets: as in the file.
        asked: the target, or the number of classes, if known.
        numbers_asked: as for `to_series`.
        known: which targets are known; `None` for all.
        cell: locates a cell in the file.
    """
    if asked is None and numbers_asked is None:
        numbers_asked = _are_numbers(targets)
    if isinstance(asked, tuple) or (asked is None and numbers_asked):
        return _number_targets(targets, known, cell)
    classes = asked.size if isinstance(asked, Categorical) else asked
    return _class_targets(targets, known, classes, cell)


def _known(targets: npt.NDArray[Any]) -> Bools | None:
    """Which steps have a target that is not NaN: `[steps]`; `None` for all."""
    if targets.dtype.kind != "f":
        return None
    known = ~np.isnan(_columns(targets)).any(1)
    return None if known.all() else known


def _are_numbers(targets: npt.NDArray[Any]) -> bool:
    """Whether targets are numbers, not classes."""
    if targets.dtype.kind != "f":
        return False
    known = targets[np.isfinite(targets)]
    return targets.ndim == 2 or bool((known != np.floor(known)).any())


def _number_targets(
    targets: npt.NDArray[Any], scored: Bools | None, cell: Cell
) -> tuple[tuple[Numeric, ...], npt.NDArray[np.float32]]:
    """The target's columns and `[steps, D]`, float32."""
    values = _finite("targets", _columns(targets), scored, cell)
    count = values.shape[1]
    names = ["target"] if count == 1 else [f"target_{number}" for number in range(count)]
    return tuple(map(Numeric, names)), values


def _class_targets(
    targets: npt.NDArray[Any], scored: Bools | None, known: Any, cell: Cell
) -> tuple[Categorical, npt.NDArray[np.int32]]:
    """The target and `[steps]`, int32."""
    if targets.ndim != 1:
        raise ValueError(f"expected targets `[steps]` for classes, got {list(targets.shape)}")
    labels = _numbers(targets).astype(np.float64)
    if scored is not None:
        labels[~scored] = 0
    fits = np.isfinite(labels) & (labels >= 0) & (labels == np.floor(labels))
    if not fits.all():
        _refuse(
            cell("targets", int(fits.argmin()), 0),
            "a whole number from 0 on",
            "number the classes 0, 1, 2 and so on, and give each step one",
        )
    return Categorical("target", _classes(labels, known, cell)), labels.astype(np.int32)


def _classes(labels: npt.NDArray[np.float64], known: Any, cell: Cell) -> int:
    """The number of classes: from the metadata, or the largest label plus 1.

    Raises:
        ValueError: the metadata's number of classes is invalid.
        FileError: a label is too large for it, or not below the number of steps.
    """
    if known is not None and (type(known) is not int or known < 2):
        raise ValueError(f"its metadata say there are {known!r} classes")
    largest = int(labels.max())
    limit = max(2, len(labels)) if known is None else known
    if largest >= limit:
        why = f"{len(labels):,} steps" if known is None else f"{known} classes in its metadata"
        place, value = cell("targets", int(labels.argmax()), 0)
        raise FileError(
            f"{place}: a class `{value}` makes {largest + 1:,} classes, but there are {why}, with "
            f"{len(np.unique(labels)):,} different labels",
            "number the classes 0, 1, 2 and so on, without gaps",
        )
    return known or max(2, largest + 1)


def _found_schema(
    numbers: npt.NDArray[Any], symbols: npt.NDArray[Any], target: Categorical | tuple[Numeric, ...]
) -> Schema:
    """The schema of arrays without one."""
    sizes = [int(size) for size in symbols.max(0) + 1] if len(symbols) else []
    names = ["symbol"] if len(sizes) == 1 else [f"symbol_{number}" for number in range(len(sizes))]
    columns = tuple(map(Categorical, names, sizes))
    return Schema("series", plain(numbers.shape[1], 2).numbers, columns, target)


def _check_schema(schema: Schema, found: Schema) -> None:
    """Raises ValueError if the arrays do not fit the schema in the metadata."""
    known, seen = schema.spec(False, False), found.spec(False, False)
    fits = (known.numbers, known.outputs) == (seen.numbers, seen.outputs)
    fits &= len(known.symbols) == len(seen.symbols)
    # A number that is the vocabulary's size stands for an unknown value.
    if not fits or any(s > k + 1 for s, k in zip(seen.symbols, known.symbols, strict=True)):
        raise ValueError("its arrays do not fit the schema in its metadata")


def _columns(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """`[steps]` or `[steps, columns]` -> `[steps, columns]`."""
    return values.reshape(len(values), -1)


def _numbers(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """The array if it is numeric, else NaN of the same shape."""
    return values if values.dtype.kind in "biuf" else np.full(values.shape, np.nan)


def _refuse(found: tuple[str, str], expected: str, hint: str) -> None:
    place, value = found
    shown = value if len(value) <= MOST_SHOWN else f"{value[:MOST_SHOWN]}..."
    got = f"`{shown}`" if value.strip() else "an empty cell"
    raise FileError(f"{place}: expected {expected}, got {got}", hint)
