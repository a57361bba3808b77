"""Errors of each number that is predicted, where there are several: of targets and of horizons."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from lstmcli.data.schema import Categorical, Schema

if TYPE_CHECKING:
    import pandas as pd

Floats = npt.NDArray[np.float64]

COLUMNS = ["seed", "predictor", "target", "ahead", "loss", "rmse", "mae", "labels"]
"""Of a table of errors; a baseline has no seed."""
MODEL = "model"
"""The predictor that is a network."""


@dataclass(frozen=True)
class OutputErrors:
    """How far a predictor is off, of each number that it predicts; none of those not known.

    Attributes:
        squared: the sum of the squared errors of the standardised number: `[D]`.
        absolute: that of the absolute ones: `[D]`.
        labels: how many there are: `[D]`.
    """

    squared: Floats
    absolute: Floats
    labels: npt.NDArray[np.int64]

    @classmethod
    def of(cls, errors: npt.NDArray[np.floating[Any]]) -> OutputErrors:
        """Of errors `[steps, D]`, NaN where a number is not known."""
        errors = errors.astype(np.float64)
        return cls(
            np.nansum(np.square(errors), 0),
            np.nansum(np.abs(errors), 0),
            np.count_nonzero(~np.isnan(errors), 0),
        )

    def __add__(self, other: OutputErrors) -> OutputErrors:
        """Of the steps of both."""
        pairs = zip(vars(self).values(), vars(other).values(), strict=True)
        return OutputErrors(*(one + another for one, another in pairs))

    @property
    def loss(self) -> float:
        """Mean over all that are known, as a model's loss is."""
        return float(self.squared.sum() / self.labels.sum())

    @property
    def mae(self) -> float:
        """Likewise of the absolute errors."""
        return float(self.absolute.sum() / self.labels.sum())


def table(
    schema: Schema, horizon: int, found: Iterable[tuple[int | None, str, OutputErrors]]
) -> pd.DataFrame:
    """A row for each predictor and number, in the order of both.

    Args:
        schema: what the numbers are.
        horizon: how many steps ahead they lie, where that is not the schema's.
        found: the seed of a model, or `None`; the predictor's name, and its errors.

    Returns:
        The columns COLUMNS: `ahead` in steps, `loss` the mean squared error of the standardised
        number, `rmse` and `mae` in its own units, `labels` how many are known.
    """
    import pandas as pd

    assert not isinstance(schema.target, Categorical)
    rows = [
        (
            seed,
            name,
            column.name,
            horizon if column.lead is None else column.lead,
            squared / labels if labels else np.nan,
            np.sqrt(squared / labels) * column.scale if labels else np.nan,
            absolute / labels * column.scale if labels else np.nan,
            labels,
        )
        for seed, name, errors in found
        for column, squared, absolute, labels in zip(
            schema.target,
            errors.squared.tolist(),
            errors.absolute.tolist(),
            errors.labels.tolist(),
            strict=True,
        )
    ]
    return pd.DataFrame(rows, columns=COLUMNS).astype({"seed": "Int64"})
