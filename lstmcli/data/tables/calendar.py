"""Time of day, weekday and month as inputs: sine and cosine of where in its cycle a date is.

So the last hour of a day lies beside the first one of the next. They are no columns of the table,
and are given to a model as they are, between -1 and 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from lstmcli.data.tables.dates import Instants
from lstmcli.data.tables.index import Labels
from lstmcli.data.tables.values import Floats
from lstmcli.errors import FileError, UsageError

CYCLES = {"hour": 24, "weekday": 7, "month": 12}
"""How many there are of each until it begins anew."""
ENDS = ("sin", "cos")


def asked(text: str | None) -> tuple[str, ...]:
    """The cycles that an option names, each once."""
    return tuple(dict.fromkeys(text.split(","))) if text else ()


def names(cycles: Sequence[str]) -> tuple[str, ...]:
    """What the inputs are called: `hour_sin`, `hour_cos` and so on."""
    return tuple(f"{cycle}_{end}" for cycle in cycles for end in ENDS)


def inputs(labels: Labels | None, cycles: Sequence[str]) -> dict[str, Floats]:
    """The inputs that an index of dates makes, by name: `[steps]` each, NaN where it is empty.

    Args:
        labels: the index, checked.
        cycles: some of CYCLES. The hour has its minutes and seconds as decimals; Monday and January
            are 0.
    """
    found: dict[str, Floats] = {}
    for cycle in cycles:
        assert labels is not None
        angle = 2 * np.pi * _place(labels.values, cycle) / CYCLES[cycle]
        found |= zip(names([cycle]), (np.sin(angle), np.cos(angle)), strict=True)
    return found


def check_asked(
    path: Path, labels: Labels | None, cycles: Sequence[str], columns: Sequence[str]
) -> None:
    """Refuses a calendar of a table without dates.

    Args:
        path: of the table.
        labels: its index.
        cycles: what is asked for.
        columns: what its own inputs and its target are called.

    Raises:
        UsageError: the index is not of dates, or an input has the name of one of the calendar's.
    """
    if not cycles:
        return
    if labels is None or labels.index.kind != "dates":
        what = "no column orders its rows" if labels is None else f"its index is {labels.index}"
        raise UsageError(
            f"`--calendar` has no effect on `{path}`: expected an index of dates, but {what}",
            "name the column of dates with `--index`, or leave `--calendar` out",
        )
    if taken := set(names(cycles)) & set(columns):
        raise UsageError(
            f"`--calendar` makes an input `{min(taken)}`, and `{path}` has a column of that name",
            f"leave one of them out: `--inputs` without `{min(taken)}`, or `--calendar`",
        )


def check_known(path: Path, labels: Labels | None, cycles: Sequence[str]) -> None:
    """Raises FileError where a file lacks the dates that a trained model's inputs are made of."""
    if cycles and (labels is None or labels.index.kind != "dates"):
        raise FileError(
            f"`{path}` has no dates in the column that was the index of the training part, and the "
            f"model is given their {', '.join(cycles)}",
            "give the file that column, written as it was there",
        )


def _place(values: Instants, cycle: str) -> Floats:
    """Where in a cycle dates are: `[steps]`."""
    import pandas as pd

    dates = pd.DatetimeIndex(values)
    if cycle == "hour":
        return np.asarray((dates - dates.normalize()) / pd.Timedelta(hours=1), float)
    return np.asarray(dates.day_of_week if cycle == "weekday" else dates.month - 1, float)
