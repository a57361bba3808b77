"""A trained model that reads step after step, and the state that it carries.

The last value or autoregression that predictions are added to is computed as in training, but a
step at a time. How many steps are given at once changes no bit of the results.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from lstmcli.core import numpy_lstm
from lstmcli.core.streaming import RowNetwork
from lstmcli.data.schema import Autoregression, Schema
from lstmcli.training.checkpoint import Checkpoint

Floats = npt.NDArray[np.float64]
OF_NO_UNIT = 7
"""Decimals of a number that single precision knows where it is in no units."""


@dataclass
class Carried:
    """The state of one sequence between two steps.

    Attributes:
        states: of each network: `[L, 2, S]`, 0 = c, 1 = h.
        past: the inputs of the steps before that an autoregression knows, `[lags - 1, inputs]`;
            `None` before the first step.
        numbers: the last value of each numeric column, in its own units; NaN where there is none.
        symbols: the last value of each categorical column, by number.
        targets: the last known value of each number that is predicted.
        index: the last value of the index, as something that can be compared; `None` for none.
    """

    states: list[npt.NDArray[np.float32]]
    past: Floats | None = None
    numbers: list[float] = field(default_factory=list)
    symbols: list[int] = field(default_factory=list)
    targets: list[float] = field(default_factory=list)
    index: float | None = None


class Steps(NamedTuple):
    """Some steps of a sequence, as a model sees them.

    Attributes:
        numbers: standardised: `[steps, N]`.
        symbols: by number: `[steps, M]`; the vocabulary's size is an unknown value.
        last: the last known values of the target, standardised, 0 for none: `[steps, D]`; `None`
            where a model does without.
    """

    numbers: npt.NDArray[np.float32]
    symbols: npt.NDArray[np.int64]
    last: npt.NDArray[np.float32] | None = None


class StepModel:
    """One or several networks of a checkpoint, whose mean is the prediction.

    Args:
        model: the checkpoint.
        replicas: which of its networks.
    """

    def __init__(self, model: Checkpoint, replicas: Sequence[int]) -> None:
        self.schema = model.schema
        self.seeds = [model.seeds[each] for each in replicas]
        spec = self.schema.spec(False, False)
        self._networks = [
            RowNetwork(numpy_lstm.network(model.tensors, each, spec)) for each in replicas
        ]
        linear = self.schema.autoregression
        self._linear = None if linear is None else _Lags(linear, self.schema)

    def begin(self) -> Carried:
        """What a sequence carries before its first step."""
        schema = self.schema
        outputs = len(schema.numeric_targets)
        return Carried(
            [network.zero_state() for network in self._networks],
            None,
            [math.nan] * len(schema.numbers),
            [column.size for column in schema.symbols],
            [math.nan] * outputs,
        )

    def run(self, carried: Carried, steps: Steps) -> Floats:
        """Reads some steps of a sequence, and carries on what they leave.

        Returns:
            The probability of each class, or the predicted numbers in their own units: `[steps, C]`
            or `[steps, D]`.
        """
        found = [
            network.run(state, steps.numbers, steps.symbols).astype(np.float64)
            for network, state in zip(self._networks, carried.states, strict=True)
        ]
        if self.schema.classes is not None:
            return _mean([_softmax(logits) for logits in found])
        given = _mean(found)
        if self._linear is not None and steps.last is not None:
            base, carried.past = self._linear.run(carried.past, steps)
            given += base.astype(np.float32)
        elif steps.last is not None:
            given += steps.last
        return given

    def in_units(self, values: Floats) -> Floats:
        """Predicted numbers in their own units, to the digits that a model knows: `[steps, D]`."""
        target = self.schema.numeric_targets
        columns = [column.written(values[:, place]) for place, column in enumerate(target)]
        found = np.stack(columns, 1)
        in_none = np.array([(column.mean, column.scale) == (0, 1) for column in target])
        return np.where(in_none, np.round(found, OF_NO_UNIT), found)


class _Lags:
    """An autoregression that is given its inputs step by step."""

    def __init__(self, model: Autoregression, schema: Schema) -> None:
        self._lags, self._inputs, outputs = model.weights.shape
        # The oldest first, as they lie in memory.
        self._weights = model.weights[::-1].reshape(self._lags * self._inputs, outputs)
        self._intercept = model.intercept
        self._sizes = [column.size for column in schema.symbols] if model.symbols else []

    def run(self, past: Floats | None, steps: Steps) -> tuple[Floats, Floats]:
        """What the autoregression predicts, standardised, `[steps, D]`, and the past after it."""
        assert steps.last is not None
        ones = [
            steps.symbols[:, [place]] == np.arange(size) for place, size in enumerate(self._sizes)
        ]
        inputs = np.concatenate([steps.numbers, *ones], 1, dtype=np.float64)
        if past is None:  # Before the beginning stands what a sequence begins with.
            past = np.repeat(inputs[:1], self._lags - 1, 0)
        known = np.concatenate([past, inputs])
        count, width = len(inputs), self._inputs
        flat = known.reshape(-1)
        windows = np.lib.stride_tricks.as_strided(
            flat, (count, self._lags * width), (width * flat.itemsize, flat.itemsize)
        )
        found = np.matmul(windows[:, np.newaxis], self._weights)[:, 0] + self._intercept
        return found + steps.last, known[len(known) - self._lags + 1 :].copy()


def _mean(found: list[Floats]) -> Floats:
    return found[0] if len(found) == 1 else np.asarray(sum(found) / len(found))


def _softmax(logits: Floats) -> Floats:
    exponentials = np.exp(logits - logits.max(-1, keepdims=True))
    return np.asarray(exponentials / exponentials.sum(-1, keepdims=True))
