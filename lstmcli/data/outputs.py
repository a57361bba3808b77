"""Sums of a model's losses and errors over the steps of a series, for each target."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypedDict

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import pandas as pd

    from lstmcli.data.schema import Schema

Floats = npt.NDArray[np.float64]


class OutputRow(TypedDict):
    """One of several numbers that are predicted: a row of `targets.csv`.

    Attributes:
        seed: the model's seed; empty for a baseline.
        predictor: `model`, or the name of a baseline.
        target: the number's column.
        ahead: how many steps ahead it is.
        loss: mean squared error of the standardised number.
        rmse: root mean square error in the number's own units.
        mae: mean absolute error in the number's own units.
        labels: how many values are known.
    """

    seed: int | None
    predictor: str
    target: str
    ahead: int
    loss: float
    rmse: float
    mae: float
    labels: int


COLUMNS = list(OutputRow.__annotations__)
MODEL = "model"
"""The predictor that is a network."""


@dataclass(frozen=True)
class OutputErrors:
    """Sums of a predictor's errors for each numeric target, without missing ones.

    Attributes:
        squared: sum of squared errors, standardised: `[D]`.
        absolute: sum of absolute errors, standardised: `[D]`.
        labels: how many targets are known: `[D]`.
    """

    squared: Floats
    absolute: Floats
    labels: npt.NDArray[np.int64]

    @classmethod
    def of(cls, errors: npt.NDArray[np.floating[Any]]) -> OutputErrors:
        """From errors `[steps, D]`, NaN where a target is missing."""
        errors = errors.astype(np.float64)
        return cls(
            np.nansum(np.square(errors), 0),
            np.nansum(np.abs(errors), 0),
            np.count_nonzero(~np.isnan(errors), 0),
        )

    def __add__(self, other: OutputErrors) -> OutputErrors:
        """The sums over the steps of both."""
        pairs = zip(vars(self).values(), vars(other).values(), strict=True)
        return OutputErrors(*(one + another for one, another in pairs))

    @property
    def loss(self) -> float:
        """Mean squared error over all known targets, as a model's loss."""
        return float(self.squared.sum() / self.labels.sum())

    @property
    def mae(self) -> float:
        """Mean absolute error over all known targets."""
        return float(self.absolute.sum() / self.labels.sum())


MOST_CLASSES = 1_000
"""Most classes for which a confusion matrix is counted."""


class Tally(ABC):
    """Sums over the scored steps of a series.

    Attributes:
        labels: how many steps were scored.
        confusion: confusion matrix `[classes, classes]`: rows true, columns predicted; empty for
            numeric targets and for more than MOST_CLASSES classes.
        outputs: the errors of each of several numeric targets.
    """

    labels: int = 0
    outputs: OutputErrors | None = None
    _loss: float = 0.0
    _hits: int | None = None
    _absolute: float | None = None

    def __init__(self) -> None:
        self.confusion = np.zeros((0, 0), np.int64)

    @abstractmethod
    def add(self, readout: npt.NDArray[np.float32], targets: npt.NDArray[Any]) -> None:
        """Adds some scored steps: the head's readout `[steps, C or D]` and the targets."""

    @property
    def loss(self) -> float:
        """Mean over the scored steps; with several numeric targets, over all known ones."""
        return self.outputs.loss if self.outputs else self._loss / self.labels

    @property
    def accuracy(self) -> float | None:
        """Fraction of steps predicted correctly; `None` for numeric targets."""
        return None if self._hits is None else self._hits / self.labels

    @property
    def mae(self) -> float | None:
        """Standardised mean absolute error of one numeric target; `None` for classes or several."""
        return None if self._absolute is None else self._absolute / self.labels


class ClassTally(Tally):
    """For classes: the readout is log-probabilities."""

    def add(self, readout: npt.NDArray[np.float32], targets: npt.NDArray[Any]) -> None:
        """As `Tally` has it."""
        labels, classes = targets.astype(np.int64), readout.shape[1]
        self.labels += len(labels)
        self._loss -= float(np.take_along_axis(readout, labels[:, None], 1).sum(dtype=np.float64))
        guessed = readout.argmax(1)
        self._hits = (self._hits or 0) + int((guessed == labels).sum())
        if classes <= MOST_CLASSES:
            counted = np.bincount(labels * classes + guessed, minlength=classes**2)
            counted = counted.reshape(classes, classes)
            self.confusion = counted + self.confusion if self.confusion.size else counted


class NumberTally(Tally):
    """For standardised numbers."""

    def add(self, readout: npt.NDArray[np.float32], targets: npt.NDArray[Any]) -> None:
        """As `Tally` has it."""
        self.labels += len(targets)
        if targets.shape[1] > 1:
            found = OutputErrors.of(readout - targets)
            self.outputs = self.outputs + found if self.outputs else found
            return
        errors = (readout - targets).astype(np.float64)
        self._loss += float(np.square(errors).mean(1).sum())
        self._absolute = (self._absolute or 0.0) + float(np.abs(errors).mean(1).sum())


def table(
    schema: Schema, horizon: int, found: Iterable[tuple[int | None, str, OutputErrors]]
) -> pd.DataFrame:
    """A table of errors with a row for each predictor and target.

    Args:
        schema: the columns.
        horizon: steps ahead of targets for which the schema does not say.
        found: a model's seed or `None`, the predictor's name, and its errors.

    Returns:
        The columns of OutputRow.
    """
    import pandas as pd

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
            schema.numeric_targets,
            errors.squared.tolist(),
            errors.absolute.tolist(),
            errors.labels.tolist(),
            strict=True,
        )
    ]
    return pd.DataFrame(rows, columns=COLUMNS).astype({"seed": "Int64"})
