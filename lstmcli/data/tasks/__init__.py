"""The tasks that generate series, by name.

To add a task, write a file in this folder with a `generate`, a `baseline`, a `floor` (which may
return `None`) and `lags`; add a line to TASKS below; and add its name to TASKS and its settings to
OF_TASKS in `config.py`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from lstmcli.config import DataConfig
from lstmcli.data.series import Series
from lstmcli.data.tasks import adding, copy_memory, echo, parity, sequences, temporal_order
from lstmcli.data.tasks.echo import BayesLoss

PAPER = 'Hochreiter and Schmidhuber, "Long Short-Term Memory", 1997, experiment'


@dataclass(frozen=True)
class Task:
    """A task.

    Attributes:
        labels: the meaning of its labels, in words; `{echo_step}` stands for a parameter of the
            series.
        source: the paper that defines it.
        generate: draws a series.
        baseline: the known loss of a predictor without memory: its name in words, and its loss in
            nats per step, or for numbers as mean squared error of the standardised target.
        lags: for each label of a series, how many steps earlier the first input lies that it
            depends on: `[steps]`; -1 for a label that depends on none.
        floor: the Bayes loss of a series in a layout, `None` if unknown; by default 0, which is
            right if all labels can be predicted.
        longest: steps of the longest sequence that may be drawn; `None` for one endless series.
        tolerance: the largest error of a correct numeric answer, in the target's units.
        success: when the paper counts the task as solved; `None` if it does not say.
    """

    labels: str
    source: str
    generate: Callable[[DataConfig, np.random.Generator], Series]
    baseline: Callable[[Series], tuple[str, float]]
    lags: Callable[[Series], npt.NDArray[np.int64]]
    floor: Callable[[Series, Any], BayesLoss | None] | None = None
    longest: Callable[[DataConfig], int] | None = None
    tolerance: float | None = None
    success: str | None = None

    def describe(self, series: Series) -> str:
        """The meaning of a series' labels."""
        return self.labels.format(**series.task)


def _uniform_guess(series: Series) -> tuple[str, float]:
    return "a uniform guess", math.log(series.classes)


TASKS: dict[str, Task] = {
    "echo": Task(
        "echo after {echo_step} steps",
        'Hallstrom, "Using the Multilayered LSTM API in TensorFlow (4/7)", 2016',
        echo.generate,
        _uniform_guess,
        echo.lags,
        echo.bayes_floor,
    ),
    "copy": Task(
        "copy: ten symbols, to be given back in order when {sequence_length} steps have passed",
        'Arjovsky, Shah and Bengio, "Unitary Evolution Recurrent Neural Networks", 2016',
        copy_memory.generate,
        copy_memory.baseline,
        copy_memory.lags,
        longest=copy_memory.longest,
    ),
    "parity": Task(
        "parity of the last {bits} bits",
        'Bengio, Simard and Frasconi, "Learning long-term dependencies with gradient descent is '
        'difficult", 1994',
        parity.generate,
        parity.baseline,
        parity.lags,
        parity.floor,
    ),
    "adding": Task(
        "adding: 0.5 + a quarter of the sum of the two marked values",
        f"{PAPER} 4",
        adding.generate,
        adding.baseline,
        adding.lags,
        longest=sequences.longest,
        tolerance=adding.TOLERANCE,
        success="an average error below 0.01, and the last 2,000 sequences each with an error "
        "below 0.04",
    ),
    "multiplication": Task(
        "multiplication: the product of the two marked values",
        f"{PAPER} 5",
        adding.generate,
        adding.baseline,
        adding.lags,
        longest=sequences.longest,
        tolerance=adding.TOLERANCE,
        success="of the last 2,000 sequences fewer than 140 (or 13) with an error of 0.04 or more",
    ),
    "order": Task(
        "order: in which order {order_symbols} symbols X or Y came among noise",
        f"{PAPER} 6",
        temporal_order.generate,
        temporal_order.baseline,
        temporal_order.lags,
        longest=sequences.longest,
        success="an average error below 0.1, and the last 2,000 sequences all classified correctly",
    ),
}


def of(series: Series) -> Task | None:
    """The task that a series names; `None` if it is not a task of lstmcli."""
    return TASKS.get(str(series.task.get("name")))


def generate(config: DataConfig, rng: np.random.Generator) -> Series:
    """Draws a series of the task that the config names.

    Args:
        config: the task and its parameters.
        rng: the random number generator.

    Raises:
        UsageError: the series has no room for one sequence of the task.
    """
    return TASKS[config.task].generate(config, rng)


def windows(config: DataConfig, rows: int, bptt: int) -> int | None:
    """The number of windows of an epoch that hold any series of a sequence task.

    If whole sequences are packed, the longest first into the emptiest row, no row exceeds the mean
    by more than one sequence (Graham 1969).

    Returns:
        `None` for an endless series.
    """
    longest = TASKS[config.task].longest
    if longest is None:
        return None
    return -(-(config.series_length // rows + longest(config)) // bptt)


def floor(series: Series, layout: Any) -> BayesLoss | None:
    """The Bayes loss of a series.

    Args:
        series: a generated series, or one from a file.
        layout: how the series is cut: `ContiguousWindows` for one endless series; for sequences
            anything with a number of `windows`.

    Returns:
        `None` for a series of no task, and if the labels are not those of its task.
    """
    task = of(series)
    if task is None:
        return None
    if task.floor is None:
        return sequences.nothing_lost(task.baseline(series)[1], layout)
    return task.floor(series, layout)


def baseline(series: Series) -> tuple[str, float] | None:
    """The closed-form loss without memory on the task of a series; `None` for a series of no task.

    Returns:
        The name of the predictor, in words, and its loss: nats per step, or for numbers the mean
        squared error of the standardised target.
    """
    task = of(series)
    return task.baseline(series) if task else None


def described(data: DataConfig) -> str:
    """The dataset's file, or the generated task, in words."""
    if data.data is not None:
        return data.data
    known = {
        "echo_step": data.echo_step,
        "bits": data.bits,
        "order_symbols": data.order_symbols,
        "sequence_length": data.resolved_sequence_length,
    }
    return TASKS[data.task].labels.format(**known)
