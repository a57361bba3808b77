"""The kinds of target, a class each: their losses, baselines and units, and how they are shown."""

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
"""Of the range of the labels that are shown: by more a predicted number is marked as wrong."""


LEARNED = {
    "level": "target",
    "change": "change from its last value",
    "residual": "residual of a linear autoregression",
}
"""What of a number a model gives, by what it predicts."""


@dataclass(frozen=True)
class Target(ABC):
    """A kind of target: all that differs between classes, characters and numbers.

    Attributes:
        columns: what is predicted.
        predicts: what of a number is given: its `level`, `change` or `residual`.

    Class attributes:
        head: its loss and readout among `core.heads.HEADS`.
        tally: what sums up how well it is predicted.
        figure: what its figure is called, and who draws it in `reporting/figures/predictions.py`.
        baselines: what it is held against in `data/baselines`.
        nouns: one and several of what there is to choose from.
        counted: what is scored.
        quoted: whether a value's name stands in quotes.
        loss_words, range_words, head_name, unit, loss_unit, bayes_unit: in words.
        short, long, axis, measure: how a loss is shown in what `familiar` makes of it, and what
            that is called.
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
        """What the head gives at each step: a number for each class, or the numbers."""
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
        """What is said of it behind its name."""

    @abstractmethod
    def losses(self, outputs: Array, targets: npt.NDArray[Any]) -> Array:
        """Each step's loss: `[…]`, from outputs `[…, C]` and targets `[…]` or `[…, D]`."""

    @abstractmethod
    def gradient(self, outputs: Array, targets: npt.NDArray[Any]) -> Array:
        """The gradient of each step's loss to the outputs: `[…, C]`."""

    @abstractmethod
    def readout(self, outputs: Array) -> Array:
        """Probabilities, or standardised numbers, from outputs `[…, C or D]`."""

    @abstractmethod
    def guess(self, outputs: Array) -> npt.NDArray[Any]:
        """The most probable class, or the first number: `[…]`."""

    @abstractmethod
    def first(self, targets: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """What `guess` is to be: `[…]`."""

    @abstractmethod
    def wrong(self, guesses: npt.NDArray[Any], labels: npt.NDArray[Any], scored: Bools) -> Bools:
        """Where a guess is another class, or far off: `[rows, steps]` all."""

    @abstractmethod
    def chance(
        self, baselines: Iterable[Baseline], least: float = 1.0
    ) -> tuple[str, float, float | None]:
        """Who knows nothing of the inputs, and the loss and the accuracy of that.

        Args:
            baselines: of the same steps.
            least: the loss that a number's mean has at least.
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
            targets: what is true: `[steps]` or `[steps, D]`.
            scored: where that counts; `None` for everywhere.
            classes: whose probabilities are given: `[steps, C]`; `None` for all.
        """

    def fits(self, other: Target) -> bool:
        """Whether a model of another target can be scored on it."""
        return self.head == other.head and self.size == other.size

    def rescaled(self, targets: npt.NDArray[Any], other: Target) -> npt.NDArray[Any]:
        """Targets `[steps]` or `[steps, D]` with the means and scales of another."""
        return targets

    def accuracy(self, metric: float | None) -> float | None:
        """The head's metric, where it is the share of steps guessed right."""
        return None

    def familiar(self, loss: Any) -> Any:
        """What people measure such a loss in; `None` where that is the loss itself."""
        return None

    def errors(self, loss: float, mae: float | None) -> dict[str, float | None]:
        """What there is to say of an error beside loss and accuracy, as JSON names it."""
        return {}

    def in_units(self, error: float | None) -> float | None:
        """An absolute error in the target's units, where it is one number."""
        return None

    def baseline_name(self, name: str) -> str:
        """What a baseline is called here."""
        return name

    @abstractmethod
    def figures(self, loss: float, accuracy: float | None, mae: float | None) -> dict[str, str]:
        """A row of figures by their headings; `-` where one is not measured."""

    def amount(self, loss: float, form: str = ".2g") -> str:
        """`0.061 nats`, `0.061 in squared error`."""
        return f"{loss:{form}} {self.unit}"

    def result(self, loss: float) -> str:
        """A test loss, with a more familiar figure where there is one."""
        familiar = self.familiar(loss)
        shown = self.amount(loss, ".3g")
        return shown if familiar is None else f"{shown} ({self.long.format(familiar)})"


@dataclass(frozen=True)
class ClassTarget(Target):
    """One of several classes, as a softmax gives it."""

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
        """How many classes there are."""
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
        """Where another class than the label is the most probable."""
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
        """The label, and each class's probability or the most probable classes with theirs."""
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
        """Whether another target has these classes, or more."""
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
        """A test loss: nats go without saying."""
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
        """Bits a character."""
        return loss / math.log(2)

    def errors(self, loss: float, mae: float | None) -> dict[str, float | None]:
        """The loss in bits a character."""
        return {"bits_per_character": self.familiar(loss)}

    def baseline_name(self, name: str) -> str:
        """A character is a class."""
        return name.replace("class ", "character ")

    def _more_figures(self, loss: float) -> dict[str, str]:
        return {
            "bits/char": f"{self.familiar(loss):.5f}",
            "perplexity": f"{math.exp(min(loss, 700)):.5g}",
        }

    result = Target.result


@dataclass(frozen=True)
class NumberTarget(Target):
    """One or more numbers, as a linear layer gives them, standardised."""

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
        """The loss, and in which units errors are."""
        several = f", the mean of all {self.size}"
        units = several if self.size > 1 else "; rmse and mae in its own units"
        return f" (loss: {self.loss_name}{units})"

    def losses(self, outputs: Array, targets: npt.NDArray[Any]) -> Array:
        """Mean squared error of the numbers that are known."""
        known = np.isfinite(targets)
        errors = np.where(known, outputs - targets, 0)
        return np.asarray(np.square(errors).sum(-1) / np.maximum(known.sum(-1), 1))

    def gradient(self, outputs: Array, targets: npt.NDArray[Any]) -> Array:
        """Twice the error by the count of numbers, none where it is not known."""
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
        """Where a number is far off, measured by the range of those shown."""
        known = labels[scored]
        room = FAR * float(np.ptp(known)) if known.size else 0.0
        return np.asarray(scored & (np.abs(guesses - labels) > room))

    def chance(
        self, baselines: Iterable[Baseline], least: float = 1.0
    ) -> tuple[str, float, float | None]:
        """The training part's mean."""
        means = [each.loss for each in baselines if each.name == "mean"]
        return "the mean of the target", max([least, *means]) if means else 1.0, None

    def written(
        self,
        given: Array,
        targets: npt.NDArray[Any],
        scored: Bools | None,
        classes: npt.NDArray[Any] | None,
    ) -> list[tuple[str, Any]]:
        """Each target, then what was predicted for each, in its own units."""
        ends = self.endings
        return [
            (f"{name}{end}", column.written(values[:, place], counts))
            for name, values, counts in (("target", targets, scored), ("predicted", given, None))
            for place, (column, end) in enumerate(zip(self.columns, ends, strict=True))
        ]

    @property
    def endings(self) -> Sequence[str]:
        """What tells the columns of several numbers apart: `_load`, `_load_lead_3`, `_lead_3`."""
        several = len({column.name for column in self.columns}) > 1
        return [
            (f"_{escape_unprintable(column.name)}" if several else "")
            + ("" if column.lead is None else f"_lead_{column.lead}")
            for column in self.columns
        ]

    def rescaled(self, targets: npt.NDArray[Any], other: Target) -> npt.NDArray[Any]:
        """As `Target` has it."""
        from lstmcli.data.schema import rescaled

        assert isinstance(other, NumberTarget)
        return rescaled(targets, self.columns, other.columns)

    def familiar(self, loss: Any) -> Any:
        """The root of the squared error, in the units of one number."""
        root = math.sqrt(loss) if isinstance(loss, float) else np.sqrt(loss)
        return self.in_units(root)

    def in_units(self, error: Any) -> Any:
        """As `Target` has it."""
        return None if error is None or self.size != 1 else error * self.columns[0].scale

    def errors(self, loss: float, mae: float | None) -> dict[str, float | None]:
        """In the target's units, where it is one number."""
        return {"rmse": self.familiar(loss), "mae": self.in_units(mae)}

    def figures(self, loss: float, accuracy: float | None, mae: float | None) -> dict[str, str]:
        """The loss; of one number its errors in its own units, of which `mae` is one."""
        error = self.familiar(loss)
        if error is None:
            return {"loss": six_digits(loss)}
        shown = "-" if mae is None else f"{mae:.6g}"
        return {"loss": six_digits(loss), "rmse": f"{error:.6g}", "mae": shown}


def six_digits(loss: float) -> str:
    """A loss beside others in a table."""
    return f"{loss:.6f}" if loss < 1000 else f"{loss:.3g}"
