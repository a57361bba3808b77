"""The echo task: the label at each step is the input some steps earlier.

Source: E. Hallstrom, "Using the Multilayered LSTM API in TensorFlow (4/7)", 2016. The series is
generated as in the article, and generalised to any number of symbols and to noisy labels.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from lstmcli.config import DataConfig
from lstmcli.data.batching import ContiguousWindows
from lstmcli.data.schema import plain, symbol_type
from lstmcli.data.series import Series, no_numbers, no_symbols
from lstmcli.utils.errors import UsageError

SOLVED_BELOW = 0.01
STANDARD_ERRORS = 2
"""How far the mean excess loss must be below the line to hold for other series too."""

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class BayesLoss:
    """The lowest loss of any predictor on a series: in expectation, and on its actual labels.

    Attributes:
        loss: expected mean cross-entropy, in nats per step (for numbers: mean squared error).
        accuracy: expected fraction of steps predicted correctly.
        chance: the loss without memory: of a uniform guess, ln(classes), or the task's own
            baseline.
        windows: the loss of the best predictor (the *oracle*) on the labels of each window, in nats
            per step: `[windows]`.
    """

    loss: float
    accuracy: float
    chance: float
    windows: Floats

    @property
    def line(self) -> float:
        """The excess loss below which the task is solved: 1% of chance minus Bayes loss."""
        return SOLVED_BELOW * (self.chance - self.loss)

    @property
    def oracle(self) -> float:
        """The oracle's mean loss on these labels; `loss` is its expectation."""
        return float(self.windows.mean())

    def gap(self, loss: float) -> float:
        """The excess loss: a loss on these labels minus the oracle's."""
        return loss - self.oracle

    def solved(self, loss: float) -> bool:
        """Whether a model with this loss on these labels has solved the task."""
        return self.gap(loss) < self.line

    def evident(
        self, windows: npt.NDArray[np.floating[Any]], labels: npt.NDArray[np.integer[Any]]
    ) -> bool:
        """Whether losses `[windows]` show the task solved on any series, not only on this one.

        The mean excess loss must be below the line by twice its standard error over the windows
        that have labels.
        """
        gaps = (windows.astype(np.float64) - self.windows)[labels > 0]
        if len(gaps) < 2:
            return False
        error = gaps.std(ddof=1) / math.sqrt(len(gaps))
        return bool(gaps.mean() + STANDARD_ERRORS * error < self.line)


def generate(config: DataConfig, rng: np.random.Generator) -> Series:
    """Draws an echo series.

    Symbols are drawn uniformly and rolled by the echo step, and the labels without a source are set
    to 0. With probability `noise` a label is then replaced by another symbol, drawn uniformly.

    Args:
        config: series length, echo step, classes and noise.
        rng: the random number generator.

    Returns:
        A series with one numeric input, 0 or 1, for two classes, and one categorical input for
        more.
    """
    symbols = rng.integers(0, config.classes, config.series_length, dtype=np.int32)
    targets = np.roll(symbols, config.echo_step)
    targets[: config.echo_step] = 0
    if config.noise > 0:
        flipped = rng.random(config.series_length) < config.noise
        shift = rng.integers(1, config.classes, config.series_length, dtype=np.int32)
        targets = np.where(flipped, (targets + shift) % config.classes, targets)
    column, labels, classes = symbols[:, None], targets.astype(np.int32), config.classes
    if classes == 2:
        numbers, none = column.astype(np.float32), no_symbols(len(labels))
        return Series(plain(1, 2), numbers, none, labels, task=task(config))
    narrow = column.astype(symbol_type(classes))
    schema = plain(0, classes, symbols=classes)
    return Series(schema, no_numbers(len(labels)), narrow, labels, task=task(config))


def task(config: DataConfig) -> dict[str, int | float | str]:
    """The task's name and parameters, as stored in a dataset's metadata."""
    return {
        "name": "echo",
        "series_length": config.series_length,
        "echo_step": config.echo_step,
        "classes": config.classes,
        "noise": config.noise,
    }


def lags(series: Series) -> Integers:
    """How many steps before each label its source is: `[steps]`."""
    return np.full(len(series), int(series.task["echo_step"]))


def bayes_floor(series: Series, layout: ContiguousWindows) -> BayesLoss | None:
    """The exact Bayes loss of a series in a layout, and the accuracy that belongs to it.

    A predictor sees its own row from the row's start; it does not know which row that is. From the
    echo step on it knows the label, up to the noise. For earlier labels see `unseen_labels`. The
    Bayes loss is an expectation: the oracle's loss on one series can be above or below it.

    Returns:
        `None` for a series that the echo task did not generate.
    """
    if series.task.get("name") != "echo":
        return None
    oracle = _oracle(series, layout)
    if not np.isfinite(oracle).all():  # The labels do not fit the task.
        return None
    loss, accuracy = expected(series.task, layout, series.offset)
    return BayesLoss(loss, accuracy, math.log(int(series.task["classes"])), oracle)


def expected(
    task: Mapping[str, Any], layout: ContiguousWindows, offset: int = 0
) -> tuple[float, float]:
    """The best predictor's expected loss in nats per step, and its expected accuracy.

    Args:
        task: the result of `task`.
        layout: how the series is cut.
        offset: where the series begins in the task's series.
    """
    unseen = unseen_labels(task, layout, offset)
    noisy, seen = noisy_zero(task), layout.used - len(unseen)
    loss = seen * entropy(noisy) + sum(entropy(labels) for labels in unseen)
    accuracy = seen * noisy.max() + sum(labels.max() for labels in unseen)
    return float(loss / layout.used), float(accuracy / layout.used)


def check_learnable(task: Mapping[str, Any], layout: ContiguousWindows) -> None:
    """Checks that some predictor can do better than a uniform guess.

    Raises:
        UsageError: the Bayes loss is the loss of a uniform guess.
    """
    chance = math.log(int(task["classes"]))
    if layout.windows and chance - expected(task, layout)[0] < 1e-9 * chance:
        raise UsageError(
            f"there is nothing to learn: with `--noise {task['noise']}` and {task['classes']} "
            f"classes the best possible loss is that of a uniform guess, {chance:.4g} nats",
            "give a smaller `--noise`",
        )


def noisy_zero(task: Mapping[str, Any]) -> Floats:
    """The distribution `[classes]` of a label whose source is 0."""
    classes, noise = int(task["classes"]), float(task["noise"])
    labels = np.full(classes, noise / (classes - 1))
    labels[0] = 1 - noise
    return labels


def unseen_labels(task: Mapping[str, Any], layout: ContiguousWindows, offset: int) -> Floats:
    """The distributions `[steps, classes]` of the labels at a row's start, before the echo step.

    Their sources are in the row before, so the labels are uniform, except in the rows at the very
    start of the series, whose labels are 0 (up to the noise). So at step s of a row the
    distribution of the label is

        q = z/B * noisy(0) + (B - z)/B * uniform

    where z of the B rows lie before the series' first source.
    """
    classes, echo_step = int(task["classes"]), int(task["echo_step"])
    starts = offset + layout.row_length * np.arange(layout.rows)
    steps = np.arange(min(echo_step, layout.used))
    zero = (starts + steps[:, None] < echo_step).mean(1)[:, None]
    return np.asarray(zero * noisy_zero(task) + (1 - zero) / classes, np.float64)


def _oracle(series: Series, layout: ContiguousWindows) -> Floats:
    """The best predictor's loss on each window's labels, in nats per step: `[windows]`."""
    noisy = noisy_zero(series.task)
    drawn = _drawn(series)
    symbols, targets = (layout.cut_rows(each) for each in (drawn, series.targets))  # [rows, used]
    unseen = unseen_labels(series.task, layout, series.offset)
    probability = np.empty(targets.shape)
    probability[:, : len(unseen)] = unseen[np.arange(len(unseen)), targets[:, : len(unseen)]]
    shift = targets[:, len(unseen) :] - symbols[:, : layout.used - len(unseen)]
    probability[:, len(unseen) :] = noisy[shift % len(noisy)]
    with np.errstate(divide="ignore"):  # An impossible label costs infinitely much.
        losses = -np.log(probability)
    return np.asarray(losses.reshape(layout.rows, layout.windows, layout.bptt).mean((0, 2)))


def entropy(probabilities: npt.NDArray[np.float64]) -> float:
    """Shannon entropy in nats, with 0 log 0 = 0."""
    return -math.fsum(p * math.log(p) for p in probabilities.tolist() if p > 0)


def _drawn(series: Series) -> npt.NDArray[np.int64]:
    """The symbol of each step, from symbols, numbers, or one-hot numbers as in a file."""
    if series.symbols.shape[1]:
        return series.symbols[:, 0].astype(np.int64)
    if series.numbers.shape[1] == 1:
        return series.numbers[:, 0].astype(np.int64)
    return np.asarray(series.numbers.argmax(1), np.int64)
