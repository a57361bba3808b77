"""Reading tables for figures, while somebody may still write to them."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING

from lstmcli.errors import FileError

if TYPE_CHECKING:
    import pandas as pd


def read(path: Path, columns: list[str]) -> pd.DataFrame:
    """The whole lines of a CSV file; the last one may be half written.

    Args:
        path: the file; without one there are no lines.
        columns: which ones it has to have.

    Raises:
        FileError: it is damaged.
    """
    import pandas as pd

    content = path.read_bytes() if path.is_file() else b""
    content = content[: content.rfind(b"\n") + 1]
    if not content.strip():
        return pd.DataFrame({name: pd.Series(dtype=float) for name in columns})
    try:
        table = pd.read_csv(io.BytesIO(content))
        table[columns]
    except (ValueError, KeyError) as error:
        reason = str(error).splitlines()[0]
        raise FileError(f"`{path}` is damaged: {reason}", "the other files may be whole") from error
    return table
