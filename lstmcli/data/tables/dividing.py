"""Where the parts of a table begin that are held out by date."""

from __future__ import annotations

from typing import Any

import numpy as np

from lstmcli.config import DataConfig
from lstmcli.data.tables.encoding import Values
from lstmcli.data.tables.index import Labels
from lstmcli.errors import UsageError

Slices = tuple[slice, slice, slice]


def divided(values: Values, config: DataConfig, parts: Slices) -> Slices:
    """The training, the validation and the test part of one long recording.

    Args:
        values: the table's.
        config: from where on which part is held out.
        parts: as they are by their fractions: what holds where nothing is said of the index.

    Raises:
        UsageError: the table has no index, or not such a value, or nothing is left of a part.
    """
    if config.val_from is None and config.test_from is None:
        return parts
    steps, (_, validation, test) = len(values.table), parts
    last = test.start
    if config.test_from is not None:
        last = _place(values, config.test_from, "--test-from")
    first = last - (validation.stop - validation.start)
    if config.val_from is not None:
        first = _place(values, config.val_from, "--val-from")
    if not 0 < first <= last:
        raise UsageError(
            f"the parts of `{values.table.path}` must follow each other: the validation part would "
            f"begin at row {first + 1:,} and the test part at row {last + 1:,} of {steps:,}",
            "let `--val-from` lie after the first value of the index and before `--test-from`",
        )
    return slice(0, first), slice(first, last), slice(last, steps)


def _place(values: Values, begin: str, option: str) -> int:
    """The first step whose index is not before a value."""
    labels = values.labels
    if labels is None:
        raise UsageError(
            f"`{option}` has no effect on `{values.table.path}`: no column orders its rows",
            f"name one with `--index`, or leave `{option}` out",
        )
    if labels.index.kind == "words":
        found = np.flatnonzero(labels.values == begin)
        place = int(found[0]) if len(found) else len(labels.values)
    else:
        place = int(np.searchsorted(labels.values, _value(labels, begin, option)))
    if not 0 < place < len(labels.values):
        raise UsageError(
            f"`{option} {begin}`: nothing is left on one side, as the index `{labels.index.name}` "
            f"goes from `{_shown(labels, 0)}` to `{_shown(labels, -1)}`",
            "take a value between these",
        )
    return place


def _value(labels: Labels, text: str, option: str) -> Any:
    import pandas as pd

    try:
        if labels.index.kind == "numbers":
            return float(text)
        return pd.to_datetime(text, utc=True).tz_localize(None).to_datetime64()
    except (ValueError, TypeError) as error:
        kind = "a number" if labels.index.kind == "numbers" else "a date such as `2018-03-01`"
        raise UsageError(
            f"`{option}` must be {kind}, as the index `{labels.index.name}` holds, got `{text}`",
            f"the index begins with `{_shown(labels, 0)}`",
        ) from error


def _shown(labels: Labels, step: int) -> str:
    import pandas as pd

    value = labels.values[step]
    return str(pd.Timestamp(value) if labels.index.kind == "dates" else value)
