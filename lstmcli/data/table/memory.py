"""Tables in memory (pandas, or arrays by name), and the file that a run keeps of them."""

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
"""The exceptions that pyarrow raises for a column that it cannot write."""

NAME = "data in memory"
"""The name of such data in results."""
VALUE = "value"
"""The column name of a Series without a name."""


def is_in_memory(data: Any) -> bool:
    """Whether data is a table itself, not a path."""
    return isinstance(data, Mapping) or type(data).__module__.partition(".")[0] == "pandas"


def frame_of(data: InMemory) -> pd.DataFrame:
    """A table in memory as a DataFrame with an integer index; any other index becomes a column.

    Args:
        data: a DataFrame; a Series, which becomes a column with its name or `value`; or arrays
            `[rows]` by name.

    Raises:
        UsageError: the data is none of these.
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
    if not counts:  # The integer index of a filtered table counts, too.
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
    """Settings that follow from the type of table: for a Series, its next value is predicted."""
    return {"target": str(frame_of(data).columns[-1]), "horizon": 1} if _is_series(data) else {}


@contextmanager
def at_path(data: Any) -> Iterator[Path | None]:
    """The path of a table within a `with` block; a table in memory is written to a file.

    `None` stays `None`.

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
    """A table in memory as a temporary Parquet file within a `with` block.

    Raises:
        UsageError: as `frame_of`; or a column cannot be written to a file.
        LstmcliError: the error of the block, without the name of the temporary folder.
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
