"""The echo task: the label at each step is the input some steps before.

Source: E. Hallstrom, "Using the Multilayered LSTM API in TensorFlow (4/7)", 2016. The series is
made as the article makes it, and generalised to any number of symbols and to noisy labels.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lstmcli.config import DataConfig
from lstmcli.data.series import Layout, Series

SOLVED_BELOW = 0.01


@dataclass(frozen=True)
class Floor:
    """The best that any predictor can expect.

    Attributes:
        loss: mean cross-entropy, in nats per step.
        accuracy: share of steps whose label is guessed right.
        chance: the loss of a uniform guess, ln(classes).
    """

    loss: float
    accuracy: float
    chance: float

    def solved(self, loss: float) -> bool:
        """Whether less than a hundredth of the way from the floor to chance is left."""
        return loss - self.loss < SOLVED_BELOW * (self.chance - self.loss)


def generate(config: DataConfig, rng: np.random.Generator) -> Series:
    """Draws an echo series.

    Symbols are drawn uniformly, rolled by the echo step, and the labels without a source are set to
    0. With probability `noise` a label is then replaced by another symbol, drawn uniformly.

    Args:
        config: series length, echo step, classes and noise.
        rng: the stream to draw from.

    Returns:
        A series whose inputs are `[steps, 1]`, 0 or 1, for two classes, and one-hot
        `[steps, classes]` for more.
    """
    symbols = rng.integers(0, config.classes, config.series_length, dtype=np.int32)
    targets = np.roll(symbols, config.echo_step)
    targets[: config.echo_step] = 0
    if config.noise > 0:
        flipped = rng.random(config.series_length) < config.noise
        shift = rng.integers(1, config.classes, config.series_length, dtype=np.int32)
        targets = np.where(flipped, (targets + shift) % config.classes, targets)
    inputs = symbols[:, None] if config.classes == 2 else _one_hot(symbols, config.classes)
    return Series(inputs.astype(np.float32), targets.astype(np.int32), config.classes, task(config))


def task(config: DataConfig) -> dict[str, int | float | str]:
    """The task's name and parameters, as a dataset's metadata keeps them."""
    return {
        "name": "echo",
        "series_length": config.series_length,
        "echo_step": config.echo_step,
        "classes": config.classes,
        "noise": config.noise,
    }


def bayes_floor(series: Series, layout: Layout) -> Floor | None:
    """The exact floor of a series' loss, and the ceiling of its accuracy, for a layout.

    A predictor sees its own row, from the row's start; it does not know which row that is. From the
    echo step on it knows the label, up to the noise. Before that the label's source lies in the row
    before, so the label is uniform, but for the rows at the very start of the series, whose labels
    are 0 (up to the noise). So at step s < echo_step of a row the label has the distribution

        q = z/B * noisy(0) + (B - z)/B * uniform

    where z of the B rows lie before the series' first source, and its entropy is the best loss
    there. The floor is an expectation: one draw's own best loss can lie on either side of it.

    Returns:
        `None` for a series that the echo task did not generate.
    """
    if series.task.get("name") != "echo":
        return None
    classes, echo_step = int(series.task["classes"]), int(series.task["echo_step"])
    noisy = np.full(classes, float(series.task["noise"]) / (classes - 1))
    noisy[0] = 1 - float(series.task["noise"])
    uniform = np.full(classes, 1 / classes)
    starts = series.offset + layout.row_length * np.arange(layout.rows)
    blind = min(echo_step, layout.used)
    loss = (layout.used - blind) * entropy(noisy)
    accuracy = (layout.used - blind) * noisy.max()
    for step in range(blind):
        zero = np.mean(starts + step < echo_step)
        labels = zero * noisy + (1 - zero) * uniform
        loss += entropy(labels)
        accuracy += labels.max()
    return Floor(float(loss / layout.used), float(accuracy / layout.used), math.log(classes))


def entropy(probabilities: npt.NDArray[np.float64]) -> float:
    """Shannon entropy in nats; 0 log 0 is 0."""
    return -math.fsum(p * math.log(p) for p in probabilities.tolist() if p > 0)


def _one_hot(symbols: npt.NDArray[np.int32], classes: int) -> npt.NDArray[np.float32]:
    return np.eye(classes, dtype=np.float32)[symbols]
