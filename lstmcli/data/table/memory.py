"""Tables in memory (pandas', or arrays by name), as the file that a run keeps of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt

from lstmcli.utils.errors import LstmcliError, UsageError
from lstmcli.utils.settings import check_path

if TYPE_CHECKING:
    import pandas as pd

InMemory: TypeAlias = "pd.DataFrame | pd.Series | Mapping[str, npt.ArrayLike]"

PYARROWS = (TypeError, ValueError, ArithmeticError, NotImplementedError)
"""What its errors are, where a column is nothing that it can write."""

NAME = "data in memory"
"""What results call it."""
VALUE = "value"
"""The column of a series that has no name."""


def is_in_memory(data: Any) -> bool:
    """Whether data is a table itself, and no path to one."""
    return isinstance(data, Mapping) or type(data).__module__.partition(".")[0] == "pandas"


def frame_of(data: InMemory) -> pd.DataFrame:
    """A table in memory as a DataFrame with an index that only counts: any other is a column.

    Args:
        data: a DataFrame; a Series, which becomes a column named as it is, or `value`; or arrays
            `[rows]` by name.

    Raises:
        UsageError: it is none of these.
    """
    import pandas as pd

    if isinstance(data, Mapping):
        shapes = {name: np.shape(array) for name, array in data.items()}
        if wrong := [name for name, shape in shapes.items() if len(shape) != 1]:
            raise UsageError(
                f"`data` must have one number or word a row in each array, got the shape "
                f"{shapes[wrong[0]]} of `{wrong[0]}`",
                "give an array for each column",
            )
        if len(set(shapes.values())) > 1:
            raise UsageError(
                "`data` must have arrays of one length, got "
                + ", ".join(f"`{name}` {shape[0]}" for name, shape in shapes.items())
            )
    frame = pd.DataFrame(data)
    if isinstance(data, pd.Series) and data.name is None:
        frame = frame.set_axis([VALUE], axis=1)
    counts = frame.index.name is None and pd.api.types.is_integer_dtype(frame.index)
    if not counts:  # As it does in a table that was filtered, too.
        if twice := set(frame.index.names) & set(frame.columns):
            raise UsageError(
                f"`data` has an index and a column that are both called `{min(map(str, twice))}`",
                "rename one of them, or leave the index out: `data.reset_index(drop=True)`",
            )
        frame = frame.reset_index()
    return frame.set_axis([str(name) for name in frame.columns], axis=1)


def _is_series(data: InMemory) -> bool:
    import pandas as pd

    return isinstance(data, pd.Series)


def settings_of(data: InMemory) -> dict[str, Any]:
    """Settings that follow from the kind of table: a Series' next value is predicted."""
    return {"target": str(frame_of(data).columns[-1]), "horizon": 1} if _is_series(data) else {}


@contextmanager
def at_path(data: Any) -> Iterator[Path | None]:
    """A table by its path, for the length of a block: one in memory as a file; `None` stays that.

    Raises:
        UsageError: as `as_file`.
    """
    if data is not None and is_in_memory(data):
        with as_file(data) as file:
            yield file
        return
    if data is not None:
        check_path(data)
    yield None if data is None else Path(data)


@contextmanager
def as_file(data: InMemory) -> Iterator[Path]:
    """A table in memory as a Parquet file, for the length of a block.

    Raises:
        UsageError: as `frame_of`; or a column cannot be written to a file.
        LstmcliError: what the block raises, without the name of the folder.
    """
    frame = frame_of(data)
    with TemporaryDirectory() as folder:
        file = Path(folder) / "data.parquet"
        try:
            frame.to_parquet(file, index=False)
        except PYARROWS as error:
            raise UsageError(
                f"`data` cannot be kept as a file: {error}",
                "give columns of numbers, words or dates",
            ) from error
        try:
            yield file
        except LstmcliError as error:
            error.message = error.message.replace(str(file), file.name)
            error.hint = error.hint and error.hint.replace(str(file), file.name)
            error.args = (error.message,)
            raise
