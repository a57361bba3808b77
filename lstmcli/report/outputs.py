"""Each of several numbers that are predicted: errors, beside the best that needs no network."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from lstmcli.report import words

if TYPE_CHECKING:
    import numpy.typing as npt
    import pandas as pd

MOST_ROWS = 24
"""Numbers that have a row on the screen; of more, evenly spaced horizons do."""
NUMBER = ["target", "ahead"]
"""What tells one number from another."""


def beside_baselines(errors: pd.DataFrame, seed: int) -> pd.DataFrame:
    """A row for each number: the errors of a seed's model, and of the baseline with the least loss.

    Args:
        errors: the columns of `data.outputs.table`.
        seed: the model's.

    Returns:
        The columns of `errors`, and `baseline`, `baseline_rmse` and `baseline_mae`.
    """
    own, others = errors[errors.seed == seed], errors[errors.seed.isna()]
    known = others[others.loss.notna()]
    best = known.loc[known.groupby(NUMBER, sort=False).loss.idxmin()]
    named = {"predictor": "baseline", "rmse": "baseline_rmse", "mae": "baseline_mae"}
    best = best[[*NUMBER, *named]].rename(columns=named)
    return own.merge(best, on=NUMBER, how="left")


def table(rows: pd.DataFrame, most: int = MOST_ROWS) -> tuple[list[str], list[list[str]]]:
    """Headings and cells of what `beside_baselines` gives, of so many numbers at most."""
    leads, targets = rows.ahead.unique(), rows.target.nunique()
    if len(rows) > most:
        rows = rows[rows.ahead.isin(_spread(leads, max(2, most // targets)))]
    cells = [
        [
            words.name(str(row.target)),
            str(row.ahead),
            _figure(row.rmse),
            _figure(row.mae),
            row.baseline if isinstance(row.baseline, str) else "-",
            _figure(row.baseline_rmse),
            _figure(row.baseline_mae),
        ]
        for row in rows.itertuples()
    ]
    headings = ["target", "ahead", "rmse", "mae", "best without a network", "its rmse", "its mae"]
    return headings, cells


def unbeaten(rows: pd.DataFrame) -> str | None:
    """Says of how many numbers a baseline knows as much as the model; `None` of none."""
    count = int((rows.baseline_rmse <= rows.rmse).sum())
    if not count:
        return None
    return f"for {count} of {len(rows)} what needs no network is as good or better"


def shown(rows: Sequence[object], all_rows: Sequence[object], where: str) -> str | None:
    """Says that not all numbers have a row; `None` where they have."""
    if len(rows) == len(all_rows):
        return None
    return f"{len(rows)} of {len(all_rows)} are shown; all are in {where}"


def _spread(leads: npt.NDArray[Any], count: int) -> npt.NDArray[Any]:
    """Some of many, evenly, the first and the last among them."""
    import numpy as np

    places = np.linspace(0, len(leads) - 1, min(count, len(leads)))
    return np.asarray(leads[np.unique(places.round().astype(int))])


def _figure(value: float) -> str:
    return "-" if value != value else f"{value:.6g}"
