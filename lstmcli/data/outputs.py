"""What a model makes of the steps of a series, summed up; of several numbers, of each of them."""

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


MOST_CLASSES = 1_000
"""Up to which all pairs of labels are counted."""


class Tally(ABC):
    """What a model makes of the scored steps of a series, summed up.

    Attributes:
        labels: how many steps were scored.
        confusion: how often each label (row) was taken for each other (column):
            `[classes, classes]`; empty for numbers, and for very many classes.
        outputs: the errors of each of several numbers.
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
        """Takes in what the head gave for some scored steps, `[steps, C or D]`."""

    @property
    def loss(self) -> float:
        """Mean over the scored steps; of several numbers over all that are known."""
        return self.outputs.loss if self.outputs else self._loss / self.labels

    @property
    def accuracy(self) -> float | None:
        """Share of steps guessed right; `None` for numbers."""
        return None if self._hits is None else self._hits / self.labels

    @property
    def mae(self) -> float | None:
        """Mean absolute error of one number, standardised; `None` for classes, or several."""
        return None if self._absolute is None else self._absolute / self.labels


class ClassTally(Tally):
    """Of classes: the readout is their log-probabilities."""

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
    """Of standardised numbers."""

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
    """A row for each predictor and number, in the order of both.

    Args:
        schema: what the numbers are.
        horizon: how many steps ahead they lie, where that is not the schema's.
        found: the seed of a model, or `None`; the predictor's name, and its errors.

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
