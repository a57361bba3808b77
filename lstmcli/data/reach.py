"""What of the past a window holds: how many labels there are, and whose source it leaves out."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from lstmcli.data import tasks
from lstmcli.data.layout import PADDING, Layout, Spans, Windows


def labels(windows: Windows) -> int:
    """How many steps of some windows are scored."""
    scored, cut = windows.series.scored, windows.cut
    if isinstance(cut, Layout):
        return cut.rows * cut.used if scored is None else int(cut.cut_rows(scored).sum())
    if isinstance(cut, Spans):
        counted = cut.ends - cut.counted
        return int(counted.sum() if scored is None else windows.all("scored").sum())
    return len(windows.series) if scored is None else int(scored.sum())  # Every sequence is whole.


def share_outside(windows: Windows) -> float | None:
    """The share of labels that depend on an input from before their window.

    No gradient leads there (Williams and Peng 1990, "An efficient gradient-based algorithm for
    on-line training of recurrent network trajectories"): what such a label needs has to be in the
    carried state by chance.

    Returns:
        The share of the scored labels that depend on any input; `None` where it is not known on
        what labels depend.
    """
    series, task = windows.series, tasks.of(windows.series)
    if task is None:
        return None
    lags = task.lags(series)
    if series.scored is not None:
        lags = np.where(series.scored, lags, -1)
    lags = _in_rows(windows, lags)
    place = np.arange(lags.shape[1]) % windows.cut.bptt
    depending = (lags >= 0).sum()
    return float((lags > place).sum() / depending) if depending else None


def longest(windows: Windows) -> int | None:
    """Steps of the longest sequence; `None` for one endless series."""
    if not windows.series.has_sequences:
        return None
    return int(np.diff(windows.series.bounds()).max())


def _in_rows(windows: Windows, lags: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """`[steps]` -> `[rows, windows * bptt]`, with -1 where no step is."""
    places = windows.cut.places(0, len(windows))
    return np.where(places == PADDING, -1, lags[places])
