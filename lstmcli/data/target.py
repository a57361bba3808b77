"""The types of target, a class each: losses, baselines, units and presentation."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import numpy.typing as npt

from lstmcli.data.outputs import ClassTally, NumberTally, Tally
from lstmcli.utils.errors import plural
from lstmcli.utils.terminal import escape_unprintable

if TYPE_CHECKING:
    from lstmcli.data.baselines import Baseline

Array = npt.NDArray[np.floating[Any]]
Bools = npt.NDArray[np.bool_]

FAR = 0.25
"""An error above this fraction of the shown range of labels marks a predicted number as wrong."""


LEARNED = {
    "level": "target",
    "change": "change from its last value",
    "residual": "residual of a linear autoregression",
}
"""What the model learns of a number, by what it predicts."""


@dataclass(frozen=True)
class Target(ABC):
    """A type of target: everything that differs between classes, characters and numbers.

    Attributes:
        columns: the target columns.
        predicts: what is predicted of a number: its `level`, `change` or `residual`.

    Class attributes:
        head: the loss and readout in `core.heads.HEADS`.
        tally: the class that accumulates errors.
        figure: the name of the predictions figure, and of its function in
            `reporting/figures/predictions.py`.
        baselines: the group of baselines in `data/baselines`.
        nouns: singular and plural of what is predicted.
        counted: the name of what is scored.
        quoted: whether the names of values are quoted.
        loss_words, range_words, head_name, unit, loss_unit, bayes_unit: names, in words.
        short, long, axis, measure: formats and names of a loss in the unit of `familiar`.
    """

    head: ClassVar[str]
    tally: ClassVar[type[Tally]]
    figure: ClassVar[str]
    baselines: ClassVar[str]
    nouns: ClassVar[tuple[str, str]] = ("class", "classes")
    counted: ClassVar[str]
    quoted: ClassVar[bool] = False
    loss_words: ClassVar[str]
    range_words: ClassVar[str]
    head_name: ClassVar[str]
    unit: ClassVar[str]
    loss_unit: ClassVar[str]
    bayes_unit: ClassVar[str]
    short: ClassVar[str] = ""
    long: ClassVar[str] = ""
    axis: ClassVar[str] = ""
    measure: ClassVar[str] = ""

    columns: tuple[Any, ...]
    predicts: str = "level"

    @property
    def size(self) -> int:
        """The number of outputs of the head at each step: classes, or numbers."""
        return len(self.columns)

    @property
    def loss_name(self) -> str:
        """`cross-entropy in nats`, `squared error of the standardised target`."""
        return self.loss_words.format(LEARNED[self.predicts])

    @property
    def range_name(self) -> str:
        """`2 classes`, `2 numbers as target`."""
        return self.range_words.format(self.size, plural(self.size, "number"))

    @property
    @abstractmethod
    def described(self) -> str:
        """A description to follow its name."""

    @abstractmethod
    def losses(self, outputs: Array, targets: npt.NDArray[Any]) -> Array:
        """Each step's loss: `[…]`, from outputs `[…, C]` and targets `[…]` or `[…, D]`."""

    @abstractmethod
    def gradient(self, outputs: Array, targets: npt.NDArray[Any]) -> Array:
        """The gradient of each step's loss with respect to the outputs: `[…, C]`."""

    @abstractmethod
    def readout(self, outputs: Array) -> Array:
        """Probabilities, or standardised numbers, from outputs `[…, C or D]`."""

    @abstractmethod
    def guess(self, outputs: Array) -> npt.NDArray[Any]:
        """The most probable class, or the first number: `[…]`."""

    @abstractmethod
    def first(self, targets: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """The label that `guess` is compared with: `[…]`."""

    @abstractmethod
    def wrong(self, guesses: npt.NDArray[Any], labels: npt.NDArray[Any], scored: Bools) -> Bools:
        """Where a guess is another class than the label, or is far off; all are `[rows, steps]`."""

    @abstractmethod
    def chance(
        self, baselines: Iterable[Baseline], least: float = 1.0
    ) -> tuple[str, float, float | None]:
        """The baseline that ignores the inputs: its name, loss and accuracy.

        Args:
            baselines: the baselines of the same steps.
            least: the lowest loss that the mean of numbers is given.
        """

    @abstractmethod
    def written(
        self,
        given: Array,
        targets: npt.NDArray[Any],
        scored: Bools | None,
        classes: npt.NDArray[Any] | None,
    ) -> list[tuple[str, Any]]:
        """The columns of a table of predictions, by name.

        Args:
            given: the head's readout: `[steps, C or D]`.
            targets: the labels: `[steps]` or `[steps, D]`.
            scored: the scored steps; `None` for all.
            classes: the classes whose probabilities are given: `[steps, C]`; `None` for all.
        """

    def fits(self, other: Target) -> bool:
        """Whether this model can be evaluated on another target."""
        return self.head == other.head and self.size == other.size

    def rescaled(self, targets: npt.NDArray[Any], other: Target) -> npt.NDArray[Any]:
        """Targets `[steps]` or `[steps, D]`, rescaled to the means and scales of another target."""
        return targets

    def accuracy(self, metric: float | None) -> float | None:
        """The head's metric if it is an accuracy; otherwise `None`."""
        return None

    def familiar(self, loss: Any) -> Any:
        """The loss in a more common unit; `None` if there is none."""
        return None

    def errors(self, loss: float, mae: float | None) -> dict[str, float | None]:
        """Further errors besides loss and accuracy, by their names in JSON."""
        return {}

    def in_units(self, error: float | None) -> float | None:
        """An absolute error in the target's units, for a single number."""
        return None

    def baseline_name(self, name: str) -> str:
        """The name of a baseline for this target."""
        return name

    @abstractmethod
    def figures(self, loss: float, accuracy: float | None, mae: float | None) -> dict[str, str]:
        """The cells of a table row, by column heading; `-` if not measured."""

    def amount(self, loss: float, form: str = ".2g") -> str:
        """`0.061 nats`, `0.061 in squared error`."""
        return f"{loss:{form}} {self.unit}"

    def result(self, loss: float) -> str:
        """A test loss, with a more common unit if there is one."""
        familiar = self.familiar(loss)
        shown = self.amount(loss, ".3g")
        return shown if familiar is None else f"{shown} ({self.long.format(familiar)})"


@dataclass(frozen=True)
class ClassTarget(Target):
    """One of several classes, predicted by a softmax."""

    head = "softmax"
    tally = ClassTally
    figure = "classes"
    baselines = "classes"
    counted = "labels"
    head_name = "softmax"
    unit = "nats"
    loss_unit = "nats per step"
    bayes_unit = "nats a scored step"
    loss_words = "cross-entropy in nats"
    range_words = "{} classes"

    @property
    def size(self) -> int:
        """The number of classes."""
        return int(self.columns[0].size)

    @property
    def described(self) -> str:
        """`, one of 2 classes`."""
        return f", one of {self.size:,} {self.nouns[1]}"

    def losses(self, outputs: Array, targets: npt.NDArray[Any]) -> Array:
        """Cross-entropy in nats."""
        from scipy.special import log_softmax

        logs = log_softmax(outputs, -1)
        labels = np.broadcast_to(targets.astype(np.int64), outputs.shape[:-1])[..., None]
        return np.asarray(-np.take_along_axis(logs, labels, -1)[..., 0])

    def gradient(self, outputs: Array, targets: npt.NDArray[Any]) -> Array:
        """The probabilities minus the one-hot label."""
        one_hot = targets[..., None] == np.arange(outputs.shape[-1])
        return np.asarray(self.readout(outputs) - one_hot)

    def readout(self, outputs: Array) -> Array:
        """Probabilities."""
        from scipy.special import softmax

        return np.asarray(softmax(outputs, -1))

    def guess(self, outputs: Array) -> npt.NDArray[Any]:
        """The most probable class."""
        return np.asarray(outputs.argmax(-1))

    def first(self, targets: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """The labels."""
        return targets

    def wrong(self, guesses: npt.NDArray[Any], labels: npt.NDArray[Any], scored: Bools) -> Bools:
        """Where the most probable class is not the label."""
        return np.asarray(scored & (guesses != labels))

    def chance(
        self, baselines: Iterable[Baseline], least: float = 1.0
    ) -> tuple[str, float, float | None]:
        """A uniform guess."""
        return "a uniform guess", math.log(self.size), 1 / self.size

    def written(
        self,
        given: Array,
        targets: npt.NDArray[Any],
        scored: Bools | None,
        classes: npt.NDArray[Any] | None,
    ) -> list[tuple[str, Any]]:
        """The label, and the probabilities of all classes or of the most probable ones."""
        [column] = self.columns
        label = ("label", column.written(targets, scored))
        if classes is None:
            names = (escape_unprintable(column.label(number)) for number in range(self.size))
            return [
                label,
                *((f"probability_{name}", np.exp(given[:, n])) for n, name in enumerate(names)),
            ]
        likely: list[tuple[str, Any]] = []
        for place in range(classes.shape[1]):
            likely.append((f"predicted_{place + 1}", column.written(classes[:, place])))
            likely.append((f"probability_{place + 1}", np.exp(given[:, place])))
        return [label, *likely]

    def fits(self, other: Target) -> bool:
        """Whether another target has these classes, possibly with more."""
        return self.head == other.head and self.size <= other.size

    def accuracy(self, metric: float | None) -> float | None:
        """The head's metric."""
        return metric

    def figures(self, loss: float, accuracy: float | None, mae: float | None) -> dict[str, str]:
        """Loss and accuracy."""
        return {
            "loss (nats)": six_digits(loss),
            **self._more_figures(loss),
            "accuracy": "-" if accuracy is None else f"{accuracy:.5f}",
        }

    def _more_figures(self, loss: float) -> dict[str, str]:
        return {}

    def result(self, loss: float) -> str:
        """A test loss in nats."""
        return f"{loss:.3g}"


@dataclass(frozen=True)
class TextTarget(ClassTarget):
    """The next character of a text."""

    figure = "text"
    baselines = "text"
    nouns = ("character", "characters")
    counted = "characters"
    quoted = True
    loss_unit = "nats per character"
    short = "{:.3g} bits/char"
    long = "{:.3g} bits per character"
    axis = "bits per character"
    measure = "bits/char"

    def familiar(self, loss: Any) -> Any:
        """Bits per character."""
        return loss / math.log(2)

    def errors(self, loss: float, mae: float | None) -> dict[str, float | None]:
        """The loss in bits per character."""
        return {"bits_per_character": self.familiar(loss)}

    def baseline_name(self, name: str) -> str:
        """The name of a baseline, with `character` for `class`."""
        return name.replace("class ", "character ")

    def _more_figures(self, loss: float) -> dict[str, str]:
        return {
            "bits/char": f"{self.familiar(loss):.5f}",
            "perplexity": f"{math.exp(min(loss, 700)):.5g}",
        }

    result = Target.result


@dataclass(frozen=True)
class NumberTarget(Target):
    """One or more standardised numbers, predicted by a linear layer."""

    head = "linear"
    tally = NumberTally
    figure = "regression"
    baselines = "numbers"
    counted = "targets"
    loss_words = "squared error of the standardised {}"
    range_words = "{} {} as target"
    head_name = "linear head"
    unit = "in squared error"
    loss_unit = "squared error, standardised"
    bayes_unit = "times the target's variance"
    short = "rmse {:.3g}"
    long = "RMSE {:.3g} in the target's units"
    axis = "RMSE ({})"
    measure = "RMSE"

    @property
    def described(self) -> str:
        """The loss, and the units of the errors."""
        several = f", the mean of all {self.size}"
        units = several if self.size > 1 else "; rmse and mae in its own units"
        return f" (loss: {self.loss_name}{units})"

    def losses(self, outputs: Array, targets: npt.NDArray[Any]) -> Array:
        """Mean squared error of the known numbers."""
        known = np.isfinite(targets)
        errors = np.where(known, outputs - targets, 0)
        return np.asarray(np.square(errors).sum(-1) / np.maximum(known.sum(-1), 1))

    def gradient(self, outputs: Array, targets: npt.NDArray[Any]) -> Array:
        """Twice the error divided by the number of targets; zero where a target is unknown."""
        errors = np.where(np.isnan(targets), 0, outputs - targets)
        return np.asarray(errors * (2 / outputs.shape[-1]))

    def readout(self, outputs: Array) -> Array:
        """The numbers."""
        return outputs

    def guess(self, outputs: Array) -> npt.NDArray[Any]:
        """The first number."""
        return np.asarray(outputs[..., 0])

    def first(self, targets: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """The first number."""
        return np.asarray(targets[..., 0])

    def wrong(self, guesses: npt.NDArray[Any], labels: npt.NDArray[Any], scored: Bools) -> Bools:
        """Where a number is far off, relative to the range of the shown labels."""
        known = labels[scored]
        room = FAR * float(np.ptp(known)) if known.size else 0.0
        return np.asarray(scored & (np.abs(guesses - labels) > room))

    def chance(
        self, baselines: Iterable[Baseline], least: float = 1.0
    ) -> tuple[str, float, float | None]:
        """The mean of the training part."""
        means = [each.loss for each in baselines if each.name == "mean"]
        return "the mean of the target", max([least, *means]) if means else 1.0, None

    def written(
        self,
        given: Array,
        targets: npt.NDArray[Any],
        scored: Bools | None,
        classes: npt.NDArray[Any] | None,
    ) -> list[tuple[str, Any]]:
        """The values of all targets, then their predictions, in their own units."""
        ends = self.endings
        return [
            (f"{name}{end}", column.written(values[:, place], counts))
            for name, values, counts in (("target", targets, scored), ("predicted", given, None))
            for place, (column, end) in enumerate(zip(self.columns, ends, strict=True))
        ]

    @property
    def endings(self) -> Sequence[str]:
        """Suffixes of the columns of several numbers: `_load`, `_load_lead_3`, `_lead_3`."""
        several = len({column.name for column in self.columns}) > 1
        return [
            (f"_{escape_unprintable(column.name)}" if several else "")
            + ("" if column.lead is None else f"_lead_{column.lead}")
            for column in self.columns
        ]

    def rescaled(self, targets: npt.NDArray[Any], other: Target) -> npt.NDArray[Any]:
        """Targets `[steps, D]`, rescaled to the means and scales of another target."""
        from lstmcli.data.schema import rescaled

        assert isinstance(other, NumberTarget)
        return rescaled(targets, self.columns, other.columns)

    def familiar(self, loss: Any) -> Any:
        """The root of the squared error, in the units of a single number."""
        root = math.sqrt(loss) if isinstance(loss, float) else np.sqrt(loss)
        return self.in_units(root)

    def in_units(self, error: Any) -> Any:
        """An absolute error in the units of a single number."""
        return None if error is None or self.size != 1 else error * self.columns[0].scale

    def errors(self, loss: float, mae: float | None) -> dict[str, float | None]:
        """RMSE and MAE in the units of a single number."""
        return {"rmse": self.familiar(loss), "mae": self.in_units(mae)}

    def figures(self, loss: float, accuracy: float | None, mae: float | None) -> dict[str, str]:
        """The loss; for a single number also its errors in its units, including `mae`."""
        error = self.familiar(loss)
        if error is None:
            return {"loss": six_digits(loss)}
        shown = "-" if mae is None else f"{mae:.6g}"
        return {"loss": six_digits(loss), "rmse": f"{error:.6g}", "mae": shown}


def six_digits(loss: float) -> str:
    """A loss with six significant digits, for tables."""
    return f"{loss:.6f}" if loss < 1000 else f"{loss:.3g}"
