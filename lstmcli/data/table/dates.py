"""Dates in a table's cells: their format and their distances."""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

Instants = npt.NDArray[np.datetime64]

TRIED = 50
"""Cells that are used to guess the format of dates."""
YEARS = 1700, 2299
"""Range of years for days written as one whole number, such as 19810101."""
OTHERS = (
    "%m/%d/%y",
    "%d/%m/%y",
    "%d.%m.%y",
    "%m/%d/%y %H:%M",
    "%d/%m/%y %H:%M",
    "%d.%m.%y %H:%M",
    "%b %Y",
    "%B %Y",
    "%b-%y",
    "%b-%Y",
    "%d-%b-%y",
    "%Y%m%d%H",
    *(
        f"{day} {time}"
        for day in ("%m/%d/%Y", "%d/%m/%Y", "%m/%d/%y", "%d/%m/%y", "%Y-%m-%d", "%d-%b-%Y")
        for time in ("%I:%M %p", "%I:%M:%S %p")
    ),
)
"""Formats that pandas does not guess from one date."""
MONTH_FIRST, DAY_FIRST = re.compile(r"^%m[-/.]%d"), re.compile(r"^%d[-/.]%m")
TIME = re.compile(r"\d{1,2}[:.]\d{2}([:.]\d{2}(\.\d+)?)?( ?[AaPp][Mm])?")
DAY, WEEK = 86_400.0, 7


class Dates(NamedTuple):
    """A column of dates.

    Attributes:
        values: `[steps]`, without a time zone (in UTC if one was given); NaT where empty.
        format: their format, as `pandas.to_datetime` takes it; `None` for a date type.
        guess: the other possible reading, in words.
    """

    values: Instants
    format: str | None = None
    guess: str | None = None


def read(column: Any, known: str | None = None) -> Dates | None:
    """The dates in a pandas column; `None` if it is empty or holds anything else.

    Args:
        column: a pandas Series.
        known: the format of the dates in another file, which is tried first.
    """
    there = column.dropna()
    if len(there) == 0 or column.dtype.kind in "fbm":
        return None
    first = there.iloc[0]
    if column.dtype.kind == "M" or isinstance(first, datetime.date):
        return Dates(_parsed(column, None))
    if column.dtype.kind in "iu":
        return _whole_numbers(column)
    if not isinstance(first, str) or not any(map(str.isdigit, first)):
        return None
    found = [Dates(values, how) for how, values in _readings(column, there, known)]
    if len(found) < 2:
        return found[0] if found else None
    likely = min(found, key=lambda each: _odd(each, "." in first))
    order = "day and month" if DAY_FIRST.match(likely.format or "") else "month and day"
    return likely._replace(
        guess=f"`{first}` is taken for {order}; dates such as 2021-12-31 are unambiguous"
    )


def is_time(column: Any) -> bool:
    """Whether a column holds times of day or time spans."""
    there = column.dropna().iloc[:TRIED]
    if column.dtype.kind == "m" or (len(there) and isinstance(there.iloc[0], datetime.time)):
        return True
    return bool(len(there)) and all(
        isinstance(each, str) and ":" in each and TIME.fullmatch(each) for each in there
    )


def frequency(
    values: Instants, begins: npt.NDArray[np.int64]
) -> tuple[str | None, npt.NDArray[np.float64]]:
    """The frequency of most rows, and the distance of each row from the one before.

    Args:
        values: dates in order, `[steps]`.
        begins: the first step of each step's sequence: `[steps]`.

    Returns:
        The pandas frequency, `None` unless at least half of the rows have the same distance; and,
        for each row that is not the first of its sequence, its distance from the row before, in
        units of the frequency.
    """
    import pandas as pd

    inner = np.flatnonzero(begins[1:] == begins[:-1])
    seconds = (np.diff(values) / np.timedelta64(1, "s"))[inner]
    if len(seconds) == 0:
        return None, seconds
    usual, ahead = usual_step(seconds)
    dates = pd.DatetimeIndex(values)
    if np.median(seconds) >= 28 * DAY and (day := _day_of_month(dates)):
        usual, ahead = usual_step(np.diff((dates.year * 12 + dates.month).to_numpy())[inner])
        return (f"{int(usual) if usual > 1 else ''}{day}" if usual else None), ahead
    if usual == DAY and not (dates.day_of_week >= 5).any() and len(dates) > WEEK:
        days = values.astype("datetime64[D]")
        return "B", np.busday_count(days[inner], days[inner + 1]).astype(float)
    return _alias(usual), ahead


def usual_step(steps: npt.NDArray[Any]) -> tuple[float, npt.NDArray[np.float64]]:
    """The distance of most rows, 0 unless at least half have the same; and all in units of it."""
    found, counts = np.unique(steps, return_counts=True)
    usual = float(found[counts.argmax()])
    if usual <= 0 or 2 * counts.max() < len(steps):
        return 0.0, (steps > 0).astype(float)
    return usual, np.asarray(steps / usual, float)


def _day_of_month(dates: Any) -> str | None:
    """The pandas frequency of monthly dates on the same day, or on the last day, of the month."""
    if (dates.day == dates.day[0]).all():
        return "MS"
    return "ME" if dates.is_month_end.all() else None


def _alias(seconds: float) -> str | None:
    """A distance as a pandas frequency: `h`, `15min`, `7D`."""
    for unit, size in (("D", DAY), ("h", 3600), ("min", 60), ("s", 1), ("ms", 1e-3)):
        count = round(seconds / size)
        if count and abs(count * size - seconds) < 1e-9 * size:
            return f"{count if count > 1 else ''}{unit}"
    return None


def _whole_numbers(column: Any) -> Dates | None:
    """Days written as whole numbers, such as 19810101."""
    import pandas as pd

    first, last = (year * 10_000 for year in YEARS)
    if not column.between(first, last).all():
        return None
    values = pd.to_datetime(column.astype(str), format="%Y%m%d", errors="coerce")
    return None if values.isna().any() else Dates(values.to_numpy("datetime64[us]"), "%Y%m%d")


def _odd(dates: Dates, points: bool) -> tuple[bool, int, bool]:
    """Ranks one of several readings of dates; the lowest is best.

    By whether the dates are out of order, the number of different distances, and the order of day
    and month that is unusual with points or slashes.
    """
    steps = np.diff(dates.values[~np.isnat(dates.values)])
    day_first = bool(DAY_FIRST.match(dates.format or ""))
    return bool((steps < np.timedelta64(0)).any()), len(np.unique(steps)), day_first != points


def _readings(column: Any, there: Any, known: str | None) -> Iterator[tuple[str, Instants]]:
    """Yields each format that fits a whole text column, with the dates that it gives."""
    sample, fitting = there.iloc[:TRIED], []
    for how in dict.fromkeys([*([known] if known else []), *_ways(str(there.iloc[0]))]):
        if _fits(sample, how):
            fitting.append(how)
    for how in fitting:
        try:
            yield how, _parsed(column, how)
        except (ValueError, TypeError):
            continue
        if how == known or not (MONTH_FIRST.match(how) or DAY_FIRST.match(how)):
            return  # No other reading is possible.


def _ways(first: str) -> Iterator[str]:
    import warnings

    from pandas.tseries.api import guess_datetime_format

    yield "ISO8601"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # A month above 12.
        for day_first in (False, True):
            guess = guess_datetime_format(first, dayfirst=day_first)
            if guess and re.search("%[Yy]", guess):
                yield guess
    yield from OTHERS


def _fits(sample: Any, how: str) -> bool:
    try:
        _parsed(sample, how)
    except (ValueError, TypeError):
        return False
    return True


def _parsed(column: Any, how: str | None) -> Instants:
    import pandas as pd

    utc = how is None or "%z" in how or how == "ISO8601"
    dates = pd.to_datetime(column, format=how, utc=utc)
    found: Instants = (dates.dt.tz_localize(None) if utc else dates).to_numpy("datetime64[us]")
    return found
