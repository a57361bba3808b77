"""Reading tables for figures, while somebody may still write to them."""

from __future__ import annotations

import io
import warnings
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING

from lstmcli import memory
from lstmcli.errors import FileError

if TYPE_CHECKING:
    import pandas as pd


WHOLE = ("epoch", "step", "seed")
"""Columns of whole numbers, of which each line has one."""


def read(path: Path, columns: list[str], whole: Collection[str] = WHOLE) -> pd.DataFrame:
    """The whole lines of a CSV file; the last one may be half written.

    Args:
        path: the file; without one there are no lines.
        columns: which ones it has to have, of numbers.
        whole: which of them have a whole number in each line.

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
        for name in columns:
            _check_numbers(table[name], name, name in whole)
    except (ValueError, KeyError, pd.errors.ParserWarning) as error:
        reason = str(error).splitlines()[0]
        raise FileError(f"`{path}` is damaged: {reason}", "the other files may be whole") from error
    return table


def _check_numbers(column: pd.Series, name: str, whole: bool) -> None:
    """Raises ValueError where a cell is no number."""
    import pandas as pd

    if column.dtype.kind in ("i" if whole else "if"):
        return
    found = pd.to_numeric(column, errors="coerce")
    wrong = (found % 1 != 0) if whole else found.isna() & column.notna()  # NaN is not whole.
    if not wrong.any():
        return
    line = int(wrong.to_numpy().argmax())
    kind = "a whole number" if whole else "a number"
    cell = "an empty cell" if column.isna().iloc[line] else f"`{column.iloc[line]!s:.60}`"
    raise ValueError(f"line {line + 2}, column `{name}`: expected {kind}, got {cell}")
