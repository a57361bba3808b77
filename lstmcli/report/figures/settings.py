"""The settings that a sweep's trials differ in, in words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

SIZES = ("layers", "state_size")


def varied(table: pd.DataFrame, swept: Sequence[str]) -> list[str]:
    """The settings that differ within a table; not a size that follows from the depth."""
    found = [name for name in [*SIZES, *swept] if table[name].nunique() > 1]
    sizes = table.groupby(["layers", *swept]).state_size.nunique()
    if len(found) > 1 and "state_size" in found and (sizes == 1).all():
        found.remove("state_size")
    return found or ["layers"]


def words(name: str) -> str:
    """What people call the column of a setting."""
    return name.removesuffix("_set").replace("_", " ")


def text(value: Any) -> str:
    """A setting's value."""
    return value if isinstance(value, str) else f"{value:g}"
