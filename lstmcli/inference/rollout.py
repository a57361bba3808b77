"""Forecasts of a recording from several of its steps at once; predictions are fed back as inputs.

From an *origin*, the last step that is known, a model of a horizon h gives h steps without more:
the last h of its predictions. Further ones come step by step: a target among the inputs is what was
predicted for it, and other inputs are what is known of them in advance. A model of a range of
horizons gives all of them at its origin, then reads its own forecast, and gives the next ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from lstmcli.core import numpy_lstm
from lstmcli.core.numpy_lstm import Network
from lstmcli.core.streaming import RowNetwork
from lstmcli.data.baselines import autoregression
from lstmcli.data.schema import Autoregression, Categorical, Schema
from lstmcli.data.series import Series

Floats = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Inputs:
    """The inputs at each step of a recording, and at the steps after its end.

    Attributes:
        series: the recording: T steps.
        numbers: numeric inputs, standardised: `[T + ahead, N]`; of a target any behind T.
        symbols: categorical inputs by number: `[T + ahead, M]`.
    """

    series: Series
    numbers: npt.NDArray[np.float32]
    symbols: npt.NDArray[np.int64]

    @classmethod
    def of(cls, series: Series) -> Inputs:
        """Those of a recording alone."""
        return cls(series, series.numbers, series.symbols.astype(np.int64))


class Roller:
    """Networks whose mean is the forecast, or a linear model of the last steps alone.

    Args:
        schema: of their columns.
        leads: how many steps ahead their targets lie.
        networks: the networks.
        linear: on top of which they predict, or what predicts alone.
    """

    def __init__(
        self,
        schema: Schema,
        leads: Sequence[int],
        networks: Sequence[Network],
        linear: Autoregression | None = None,
    ) -> None:
        self.schema, self.leads = schema, leads
        self._networks, self._linear = networks, linear
        self._by_change = linear is None and schema.predicts == "change"
        names = [column.name for column in schema.numbers]
        targets = schema.numeric_targets[:: len(leads)]
        self._fed = [
            (names.index(column.name), place)
            for place, column in enumerate(targets)
            if column.name in names
        ]
        self._fed_words = self._fed_back()

    def rows_ahead(self, steps: int) -> int:
        """How many steps after the origin must be read to forecast this many."""
        first, last = self.leads[0], self.leads[-1]
        return max(0, (steps - 1) // last * last if last > first else steps - last)

    def roll(self, inputs: Inputs, origins: Indices, steps: int) -> Floats:
        """Forecasts from each origin.

        Args:
            inputs: what is known, up to `rows_ahead` steps behind the last origin.
            origins: steps of the series, from `first_origin` on.
            steps: how many to forecast.

        Returns:
            The numbers in their own units, `[origins, steps, targets]`, or the probability of each
            class, `[origins, steps, C]`.
        """
        outputs, states = self._read(inputs.series, origins)
        lags = 1 if self._linear is None else len(self._linear.weights)
        past = [
            np.maximum(origins - lag, 0) for lag in range(lags)
        ]  # Before the beginning stands what it begins with.
        history = [self._inputs(inputs.numbers[rows], inputs.symbols[rows]) for rows in past]
        found = np.full((len(origins), steps, outputs.shape[1] // self._leads_apart), np.nan)
        ahead = self.rows_ahead(steps)
        for row in range(min(0, 1 - self.leads[0]), ahead + 1):
            if row > 0:
                given = self._given(inputs, origins + row, found[:, row - 1])
                history = [self._inputs(*given[:2]), *history[: lags - 1]]
                out = self._step(states, history, *given)
            else:
                out = outputs[origins + row]
            self._place(found, out, row)
        return found

    @property
    def first_origin(self) -> int:
        """The first possible origin."""
        return max(0, self.leads[0] - 1)

    @property
    def _leads_apart(self) -> int:
        """How many outputs there are of each target."""
        return len(self.leads) if self.schema.classes is None else 1

    def _place(self, found: Floats, out: Floats, row: int) -> None:
        """Copies a row's predictions to the steps that they are for."""
        apart = self._leads_apart
        if apart > 1 and row % apart:
            return  # Those of the row before are at hand.
        for place, lead in enumerate(self.leads):
            step = row + lead - 1
            if 0 <= step < found.shape[1]:
                found[:, step] = out[:, place::apart]

    def _read(self, series: Series, origins: Indices) -> tuple[Floats, list[Any]]:
        """Predictions at all steps up to the last origin, and each network's state at each."""
        symbols = series.symbols.astype(np.int64)
        count = int(origins.max()) + 1
        means: Floats = np.zeros((count, self.schema.spec(False, False).outputs))
        states = []
        for network in self._networks:
            row = RowNetwork(network)
            state, found, kept = row.zero_state(), [], []
            for begin, end in zip([0, *(origins[:-1] + 1)], origins + 1, strict=True):
                found.append(row.run(state, series.numbers[begin:end], symbols[begin:end]))
                kept.append(state.copy())
            means += self._readout(np.concatenate(found)) / len(self._networks)
            states.append(np.stack(kept, 2))  # [L, 2, origins, S]
        if self._linear is not None:
            steps = np.arange(count)
            means += autoregression.predict(self._linear, series, steps).astype(np.float32)
        elif self._by_change and series.last_values is not None:
            means += np.nan_to_num(series.last_values[:count])
        return self._in_units(means), states

    def _given(
        self, inputs: Inputs, rows: Indices, before: Floats
    ) -> tuple[npt.NDArray[np.float32], Indices, Floats]:
        """The inputs of steps ahead, and their targets' last values, standardised."""
        rows = np.minimum(rows, len(inputs.numbers) - 1)  # Behind that nothing is asked for.
        numbers, symbols = inputs.numbers[rows].copy(), inputs.symbols[rows].copy()
        for place, target in self._fed:
            numbers[:, place] = self.schema.numbers[place].standardised(before[:, target])
        for place, codes in self._fed_words:
            symbols[:, place] = codes[before.argmax(1)]
        columns = self.schema.numeric_targets
        last = [
            column.standardised(before[:, place // self._leads_apart])
            for place, column in enumerate(columns)
        ]
        if not last or not self.leads[0]:  # The target of a step is not given to those after it.
            return numbers, symbols, np.zeros((len(rows), max(1, len(columns))))
        return numbers, symbols, np.stack(last, 1).astype(np.float64)

    def _step(
        self,
        states: list[Any],
        history: list[Floats],
        numbers: npt.NDArray[np.float32],
        symbols: Indices,
        last: Floats,
    ) -> Floats:
        """What is predicted at a step, whose states are kept."""
        means: Floats = np.zeros((len(numbers), self.schema.spec(False, False).outputs))
        for place, network in enumerate(self._networks):
            logits, states[place] = numpy_lstm.step(network, states[place], symbols, numbers)
            means += self._readout(logits) / len(self._networks)
        if self._linear is not None:
            base = self._linear.intercept + last
            for terms, weights in zip(history, self._linear.weights, strict=True):
                base = base + terms @ weights
            means += base.astype(np.float32)
        elif self._by_change:
            means += last
        return self._in_units(means)

    def _inputs(self, numbers: npt.NDArray[np.float32], symbols: Indices) -> Floats:
        """What a linear model is given of a step: `[origins, inputs]`."""
        sizes = [column.size for column in self.schema.symbols]
        if self._linear is None or not self._linear.symbols:
            sizes = []
        ones = [symbols[:, [place]] == np.arange(size) for place, size in enumerate(sizes)]
        return np.concatenate([numbers, *ones], 1, dtype=np.float64)

    def _readout(self, logits: npt.NDArray[Any]) -> Floats:
        return np.asarray(self.schema.target_kind.readout(logits.astype(np.float64)))

    def _in_units(self, outputs: Floats) -> Floats:
        columns = self.schema.numeric_targets
        if not columns:
            return outputs
        found = [column.in_units(outputs[:, place]) for place, column in enumerate(columns)]
        return np.stack(found, 1)

    def _fed_back(self) -> list[tuple[int, Indices]]:
        """Categorical inputs that are the target: where, and the number there of each class."""
        target = self.schema.target
        if not isinstance(target, Categorical):
            return []
        found = []
        for place, column in enumerate(self.schema.symbols):
            if column.name == target.name:
                known = {column.label(code): code for code in range(column.size)}
                codes = [known.get(target.label(code), column.size) for code in range(target.size)]
                found.append((place, np.array(codes)))
        return found


def truth(series: Series, leads: Sequence[int]) -> Floats:
    """The target at each step of a recording, in its own units.

    Returns:
        `[steps, targets]`, NaN where it is not known; classes by their number.
    """
    steps, lead = np.arange(len(series)), leads[0]
    rows = steps - lead
    there = rows >= 0
    rows = np.maximum(rows, 0)
    columns = series.schema.numeric_targets
    if not columns:
        found = series.targets[rows].astype(np.float64)[:, np.newaxis]
    else:
        each = [(place, columns[place]) for place in range(0, len(columns), len(leads))]
        found = np.stack([its.in_units(series.targets[rows, place]) for place, its in each], 1)
    if series.scored is not None:
        there &= series.scored[rows]
    return np.where(there[:, np.newaxis], found, np.nan)


def with_rows(inputs: Inputs, numbers: npt.NDArray[Any], symbols: npt.NDArray[Any]) -> Inputs:
    """Inputs with those of steps ahead behind them: `[ahead, N]` and `[ahead, M]`."""
    return replace(
        inputs,
        numbers=np.concatenate([inputs.numbers, numbers]).astype(np.float32),
        symbols=np.concatenate([inputs.symbols, symbols]).astype(np.int64),
    )
