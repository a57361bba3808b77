"""The columns of a series: names, vocabularies and scales, as a checkpoint stores them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from lstmcli.data.target import ClassTarget, NumberTarget, Target, TextTarget
from lstmcli.model_spec import ModelSpec
from lstmcli.utils.terminal import escape_unprintable

DIGITS, OF_THE_SCALE = 6, 4
"""Significant digits that single precision can give a number in its own units: of its size, and at
least this many of its scale."""


@dataclass(frozen=True)
class Numeric:
    """A numeric column, which a model sees standardised: (value - mean) / scale.

    Attributes:
        name: the column's name.
        mean, scale: of the training part, in the column's own units.
        lead: steps ahead, for a target that is predicted at several horizons.
    """

    name: str
    mean: float = 0.0
    scale: float = 1.0
    lead: int | None = None

    def standardised(self, values: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
        """Standardised values, from values in the column's units."""
        return np.asarray((values - self.mean) / self.scale, np.float32)

    def in_units(self, values: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
        """The inverse of `standardised`."""
        return np.asarray(values, np.float64) * self.scale + self.mean

    def written(
        self, values: npt.NDArray[Any], scored: npt.NDArray[np.bool_] | None = None
    ) -> npt.NDArray[Any]:
        """Values in their own units, rounded to single precision; NaN if not scored."""
        if (self.mean, self.scale) != (0, 1):
            size = math.floor(math.log10(max(abs(self.mean), self.scale)))
            digits = max(DIGITS - size, OF_THE_SCALE - math.floor(math.log10(self.scale)))
            values = np.round(self.in_units(values), digits)
        return values if scored is None else np.where(scored, values, np.nan)


@dataclass(frozen=True)
class Categorical:
    """A categorical column, whose values have codes from 0.

    Attributes:
        name: the column's name.
        size: number of different values in the training part.
        values: the values, by code; `None` if they are the codes themselves.
    """

    name: str
    size: int
    values: tuple[str, ...] | None = None

    def label(self, number: int) -> str:
        """The value of a code; `?` for one that the training part does not have."""
        if not 0 <= number < self.size:
            return "?"
        return str(number) if self.values is None else self.values[number]

    def in_units(self, numbers: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
        """The codes, which have no unit."""
        return np.asarray(numbers, np.float64)

    def written(
        self, numbers: npt.NDArray[Any], scored: npt.NDArray[np.bool_] | None = None
    ) -> Any:
        """The values of some codes; missing if not scored."""
        import pandas as pd

        hidden = np.zeros(len(numbers), np.bool_) if scored is None else np.logical_not(scored)
        if self.values is None and not (numbers >= self.size).any():
            whole = numbers.astype(np.int64)
            return pd.arrays.IntegerArray(whole, hidden) if hidden.any() else numbers
        labels = [escape_unprintable(self.label(number)) for number in range(self.size + 1)]
        names = np.array([*labels, None], object)
        return names[np.where(hidden, self.size + 1, np.minimum(numbers, self.size))]


EVERY = {"D": "daily", "7D": "weekly", "MS": "monthly", "ME": "monthly", "h": "hourly"} | {
    "3MS": "quarterly",
    "3ME": "quarterly",
    "12MS": "yearly",
    "12ME": "yearly",
    "B": "working days",
}
UNITS = {"D": "day", "h": "hour", "min": "minute", "s": "second", "ms": "millisecond"} | {
    "us": "microsecond",
    "MS": "month",
    "ME": "month",
}
"""pandas' names of frequencies, in words."""


@dataclass(frozen=True)
class Index:
    """The column of a table that orders and labels its rows. A model does not see it.

    Attributes:
        name: the column's name; `""` for a first column without a name.
        kind: `dates`, `numbers` or `words`.
        frequency: distance between rows, apart from gaps: pandas' name for dates (`h`, `15min`,
            `MS`), the difference for numbers; `None` if it varies, and for words.
        format: the format of dates for `pandas.to_datetime`.
        calendar: which calendar inputs are added (`data/table/index.py`); they are the last of the
            schema's numbers.
    """

    name: str
    kind: str
    frequency: str | None = None
    format: str | None = None
    calendar: tuple[str, ...] = ()

    def __str__(self) -> str:
        """`date, hourly`."""
        name = self.name or "the first column"
        if self.kind == "words":
            return f"{name}, a word for each row"
        if self.frequency is None:
            return f"{name}, irregular {self.kind}"
        if self.kind == "numbers":
            return f"{name}, in steps of {self.frequency}"
        if self.frequency in EVERY:
            return f"{name}, {EVERY[self.frequency]}"
        unit = self.frequency.lstrip("0123456789")
        count = self.frequency.removesuffix(unit)
        return f"{name}, every {count} {UNITS[unit]}s" if count else f"{name}, every {UNITS[unit]}"


@dataclass(frozen=True)
class Autoregression:
    """A linear autoregression of standardised values, added to the target's last value.

    Attributes:
        weights: `[lags, inputs, D]`; lag 0, the current step, comes first.
        intercept: `[D]`.
        symbols: whether one-hot categorical inputs follow the numeric ones.
    """

    weights: npt.NDArray[np.float64]
    intercept: npt.NDArray[np.float64]
    symbols: bool

    def to_dict(self) -> dict[str, Any]:
        """As JSON, without loss of bits."""
        return {
            "weights": self.weights.tolist(),
            "intercept": self.intercept.tolist(),
            "symbols": self.symbols,
        }

    @classmethod
    def from_dict(cls, saved: Mapping[str, Any], inputs: tuple[int, int], outputs: int) -> Self:
        """The inverse of `to_dict`.

        Args:
            saved: the result of `to_dict`.
            inputs: number of numeric inputs, and of one-hot inputs.
            outputs: D.

        Raises:
            KeyError, TypeError, ValueError: it is invalid, or has other inputs or outputs.
        """
        weights, intercept = (np.array(saved[name], float) for name in ("weights", "intercept"))
        symbols = bool(saved["symbols"])
        wanted = (inputs[0] + inputs[1] * symbols, outputs)
        if weights.ndim != 3 or weights.shape[1:] != wanted or intercept.shape != wanted[1:]:
            raise ValueError("its autoregression does not fit its columns")
        if not (np.isfinite(weights).all() and np.isfinite(intercept).all()):
            raise ValueError("its autoregression is not finite")
        return cls(weights, intercept, symbols)


@dataclass(frozen=True)
class Schema:
    """The inputs and the target of a model at each step.

    A categorical input whose code is the vocabulary's size is unknown; one-hot, it is all zeros.

    Attributes:
        kind: `series` (generated, or arrays in a file), `text` or `table`.
        numbers: the numeric inputs.
        symbols: the categorical inputs.
        target: classes, or one or more numbers.
        change: whether the model predicts the change since the target's last value. The target's
            scale is then that of the changes; the mean is still the target's.
        index: the column that orders a table's rows, if any. It does not affect a model.
        autoregression: a linear model of the target, if the model predicts its residual. The
            target's scale is then that of the residuals.
    """

    kind: str
    numbers: tuple[Numeric, ...]
    symbols: tuple[Categorical, ...]
    target: Categorical | tuple[Numeric, ...]
    index: Index | None = field(default=None, compare=False)
    change: bool = False
    autoregression: Autoregression | None = field(default=None, compare=False)

    @property
    def predicts(self) -> str:
        """What a model predicts of a numeric target: its `level`, `change` or `residual`."""
        return "residual" if self.autoregression else "change" if self.change else "level"

    @property
    def target_kind(self) -> Target:
        """The kind of target: losses, baselines, words."""
        if not isinstance(self.target, Categorical):
            return NumberTarget(self.target, self.predicts)
        return (TextTarget if self.kind == "text" else ClassTarget)((self.target,))

    @property
    def targets(self) -> tuple[Categorical | Numeric, ...]:
        """The columns of the target."""
        return self.target_kind.columns

    @property
    def numeric_targets(self) -> tuple[Numeric, ...]:
        """The columns of a numeric target; none for classes."""
        return () if isinstance(self.target, Categorical) else self.target

    @property
    def classes(self) -> int | None:
        """How many classes the target has; `None` for numbers."""
        return self.target.size if isinstance(self.target, Categorical) else None

    def spec(self, scored: bool, starts: bool) -> ModelSpec:
        """The model's inputs and outputs.

        Args:
            scored: whether some steps are not scored.
            starts: whether sequences begin within rows.
        """
        return ModelSpec(
            len(self.numbers),
            tuple(column.size for column in self.symbols),
            self.target_kind.size,
            self.target_kind.head,
            scored,
            starts,
        )

    def to_dict(self) -> dict[str, Any]:
        """As JSON, for a checkpoint; absent parts are left out, as in older versions."""
        saved = asdict(self)
        if self.index is None:
            del saved["index"]
        elif not self.index.calendar:
            del saved["index"]["calendar"]
        if not self.change:
            del saved["change"]
        del saved["autoregression"]
        if self.autoregression is not None:
            saved["autoregression"] = self.autoregression.to_dict()
        for column in (*saved["numbers"], *(saved["target"] if self.numeric_targets else ())):
            if column["lead"] is None:
                del column["lead"]
        return saved

    @classmethod
    def from_dict(cls, saved: Mapping[str, Any]) -> Schema:
        """The inverse of `to_dict`.

        Raises:
            KeyError, TypeError, ValueError: it is invalid.
        """
        target = saved["target"]
        found = cls(
            str(saved["kind"]),
            tuple(_numeric(column) for column in saved["numbers"]),
            tuple(_categorical(column) for column in saved["symbols"]),
            _categorical(target)
            if isinstance(target, Mapping)
            else tuple(_numeric(column) for column in target),
            _index(saved["index"]) if saved.get("index") else None,
            bool(saved.get("change", False)),
        )
        if not saved.get("autoregression"):
            return found
        inputs = len(found.numbers), sum(column.size for column in found.symbols)
        outputs = len(found.numeric_targets)
        linear = Autoregression.from_dict(saved["autoregression"], inputs, outputs)
        return replace(found, autoregression=linear)


def plain(features: int, classes: int, symbols: int = 0) -> Schema:
    """The schema of a series whose columns have no names.

    Args:
        features: number of numeric inputs.
        classes: number of classes of the target.
        symbols: vocabulary size of the one categorical input, or 0 for none.
    """
    names = ["input"] if features == 1 else [f"input_{number}" for number in range(features)]
    categorical = (Categorical("input", symbols),) if symbols else ()
    return Schema("series", tuple(map(Numeric, names)), categorical, Categorical("target", classes))


def rescaled(
    values: npt.NDArray[Any], own: Sequence[Numeric], wanted: Sequence[Numeric]
) -> npt.NDArray[np.float32]:
    """`[steps, columns]` in other columns' units; if they are equal, the bits stay the same."""
    pairs = list(zip(own, wanted, strict=True))
    if all((a.mean, a.scale) == (b.mean, b.scale) for a, b in pairs):
        return np.asarray(values, np.float32)
    changed = [b.standardised(a.in_units(values[:, i])) for i, (a, b) in enumerate(pairs)]
    return np.stack(changed, 1)


def symbol_type(size: int) -> npt.DTypeLike:
    """The smallest integer type for a vocabulary's codes and the code of an unknown value."""
    return np.min_scalar_type(size)


def _index(saved: Mapping[str, Any]) -> Index:
    return Index(**{**saved, "calendar": tuple(map(str, saved.get("calendar", ())))})


def _numeric(saved: Mapping[str, Any]) -> Numeric:
    lead = saved.get("lead")
    mean, scale = float(saved["mean"]), float(saved["scale"])
    return Numeric(str(saved["name"]), mean, scale, None if lead is None else int(lead))


def _categorical(saved: Mapping[str, Any]) -> Categorical:
    values = saved["values"]
    if values is not None and len(values) != int(saved["size"]):
        raise ValueError(f"`{saved['name']}` has {len(values)} values, expected {saved['size']}")
    return Categorical(
        str(saved["name"]),
        int(saved["size"]),
        None if values is None else tuple(map(str, values)),
    )
