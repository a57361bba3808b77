"""What a network makes of a window of its data, in NumPy: for figures and while it is trained."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from lstmcli import model_spec
from lstmcli.core import numpy_lstm
from lstmcli.data.batching import PADDING, warm_up_of, windows_of
from lstmcli.data.datasets import Source
from lstmcli.data.schema import Categorical, Numeric, Schema
from lstmcli.data.series import Series
from lstmcli.training.checkpoint import Checkpoint
from lstmcli.utils.errors import FileError, shell_quote
from lstmcli.utils.rng import Stream

if TYPE_CHECKING:
    from lstmcli.training.state import TrainingState

CARRIED = 1_000
"""Steps over which the state is carried at most, before and within what is shown."""
LONGEST_SEQUENCE = 5_000
WIDEST = 64
"""Steps that a panel has room for."""
CHARACTERS, MOMENTS, SEQUENCES = 64, 200, 60
"""Steps of a text, of numbers over time, and sequences whose one number is predicted."""


@dataclass(frozen=True)
class _Chosen:
    """Steps of a series: their numbers `[rows, steps]` from each row's beginning; how many to show.

    A row's place without a step has the number PADDING.
    """

    steps: npt.NDArray[np.int64]
    last: int
    kind: str
    warm_up: int = 0


def window_of(model: Checkpoint, source: Source) -> PredictionSample:
    """A window of the validation series, with the state carried from the series' beginning.

    Of an endless series it is the last window of the first `CARRIED` steps of the first rows; of
    sequences the first ones.

    Args:
        model: the checkpoint; of several seeds the one with the lowest validation loss.
        source: the data that it was trained on.

    Raises:
        FileError: the data does not fit the weights.
    """
    replica = model.best_replica
    series = validation_series(source, replica)
    _check(model, series)
    chosen = _sequences(series) if series.has_sequences else _rows(series, source)
    part = "training" if source.splits and not source.splits.validation else "validation"
    series = series.recording or series
    readout = _readout(model, replica, series, chosen)
    steps = chosen.steps[:, -chosen.last :]
    if series.base is not None:
        readout = readout + series.base[steps]
    there = steps != PADDING
    scored = there if series.scored is None else there & series.scored[steps]
    begin = chosen.steps.shape[1] - steps.shape[1] - chosen.warm_up
    return PredictionSample(
        model.schema,
        np.broadcast_to(begin + 1 + np.arange(steps.shape[1]), steps.shape),
        there,
        scored,
        series.numbers[steps],
        series.symbols[steps],
        series.targets[steps],
        readout,
        tuple(f"{chosen.kind} {number + 1}" for number in range(len(steps))),
        _where(part, steps, begin, chosen.kind)
        + (f", seed {model.seeds[replica]} (the best)" if len(model.seeds) > 1 else ""),
    )


def name_of(source: Source) -> str:
    """What the figure of a window is called: as its task or, of a file, as what is predicted."""
    series = source.example
    if task := series.task.get("name"):
        return str(task)
    if series.schema.kind == "text":
        return "text"
    return "classes" if series.schema.classes else "regression"


def validation_series(source: Source, replica: int) -> Series:
    """The series that chose a replica's best checkpoint; without one, the training part."""
    if source.splits is not None:
        return source.splits.validation or source.splits.training
    return source.draw(source.seeds[replica], Stream.VALIDATION, 0)


def _check(model: Checkpoint, series: Series) -> None:
    """Raises FileError where a model cannot be shown on a series."""
    found, features = series.spec, model.metadata["features"]
    if (found.features, found.outputs) != (features, model.metadata["classes"]):
        raise FileError(
            f"the data has {found.features} features and {found.outputs} outputs, the model was "
            f"trained on {features} and {model.metadata['classes']}",
            "`lstmcli inspect` shows what a checkpoint was trained on",
        )


def _rows(series: Series, source: Source) -> _Chosen:
    """The beginnings of the rows of an endless series, as it is cut for validation."""
    training = source.config.training
    bptt = training.steps
    if series.schema.kind == "text":
        rows, last = 1, CHARACTERS
    elif not isinstance(series.schema.target, Categorical):
        rows, last = 1, MOMENTS
    else:
        rows, last = min(MOST_ROWS, training.rows), min(bptt, WIDEST)
    if series.is_recording:
        return _of_recording(series, rows, last, bptt)
    cut = windows_of(series, training.rows, bptt).cut
    carried = max(1, min(cut.windows, CARRIED // bptt)) * bptt
    begins = cut.places(0, 1)[:rows]
    return _Chosen(begins[:, :1] + np.arange(carried), min(last, carried), "row")


def _of_recording(series: Series, rows: int, last: int, bptt: int) -> _Chosen:
    """The beginnings of some pieces of a recording, or of a part, each after what precedes it."""
    rows = max(1, min(rows, len(series) // last))
    length = len(series) // rows
    begin = 0 if series.recording is None else series.offset
    warm_up, carried = min(begin, warm_up_of(bptt)), min(length, CARRIED)
    begins = begin + length * np.arange(rows)[:, np.newaxis]
    steps = begins + np.arange(-warm_up, carried)
    return _Chosen(steps, min(last, carried), "row", warm_up)


def _sequences(series: Series) -> _Chosen:
    """The first sequences of a series, from their beginnings."""
    bounds = series.bounds()
    numbers = not isinstance(series.schema.target, Categorical)
    alone = series.scored is not None and series.scored.sum() <= 2 * (len(bounds) - 1)
    count = (SEQUENCES if alone else 1) if numbers else MOST_ROWS
    begins = bounds[:-1][:count]
    lengths = np.minimum(np.diff(bounds)[:count], LONGEST_SEQUENCE)
    places = np.arange(lengths.max())
    steps = np.where(places < lengths[:, None], begins[:, None] + places, PADDING)
    return _Chosen(steps, len(places) if alone or not numbers else MOMENTS, "sequence")


def _readout(
    model: Checkpoint, replica: int, series: Series, chosen: _Chosen
) -> npt.NDArray[np.floating[Any]]:
    """Probabilities, or numbers, of the last steps: `[rows, last, C or D]`; from a zero state."""
    schema = model.schema
    network = numpy_lstm.network(model.tensors, replica, schema.spec(False, False))
    state = numpy_lstm.zero_state(network, len(chosen.steps))
    found = []
    for now in chosen.steps.T:
        symbols, numbers = series.symbols[now], series.numbers[now]
        outputs, state = numpy_lstm.step(
            network, state, symbols, numbers if schema.numbers else None
        )
        found.append(outputs)
    outputs = np.stack(found[-chosen.last :], 1)
    return _softmax(outputs) if schema.classes else outputs


def _softmax(logits: npt.NDArray[np.floating[Any]]) -> npt.NDArray[np.floating[Any]]:
    exponentials = np.exp(logits - logits.max(-1, keepdims=True))
    return np.asarray(exponentials / exponentials.sum(-1, keepdims=True))


def _where(part: str, steps: npt.NDArray[np.int64], begin: int, kind: str) -> str:
    """Which steps are shown, in words, counted from 1 on."""
    rows, shown = steps.shape
    which = f"{kind} 1" if rows == 1 else f"{kind}s 1 to {rows}"
    if kind == "sequence":
        return f"{part}, {which}"
    return f"{part}, {which}, steps {begin + 1:,} to {begin + shown:,}"


def check_unchanged(model: Checkpoint, source: Source, file: str) -> None:
    """Raises FileError where a file is not what the model was trained on."""
    known = model.metadata.get("data_sha256")
    if source.splits is not None and known and not source.matches_checksums(known):
        raise FileError(
            f"`{file}` has changed since the model was trained on it: what it was validated on is "
            "lost",
            f"`lstmcli eval RUN --data {shell_quote(file)}` scores the file as it is now, whole",
        )


Arrays = dict[str, npt.NDArray[Any]]

ROWS = 5
"""As many as the article's figure has."""
MOST_STEPS = 100
"""Of a window that are shown: more than fit beside a curve."""
EVERY = 0.25
"""Seconds from one look to the next, at least."""
PATIENCE = 200
"""Times the seconds of a look until the next: they take at most half a hundredth of a run."""
STAYS = 5.0
"""Seconds until the next window is shown: long enough to see marks vanish from one."""


class PredictionPreview:
    """Looks at a run's first replica.

    Args:
        run: the run.
        every: seconds from one look to the next, at least.
    """

    def __init__(self, run: TrainingState, every: float = EVERY) -> None:
        self._windows = (run.source.validation() or run.source.training(0))[0]
        base = self._windows.series.base
        self._base = None if base is None else self._windows.laid(base)[:ROWS]
        self._schema = run.source.schema
        self._signature = run.program.spec
        self._seed = run.config.run.seed
        features, outputs = self._signature.features, self._signature.outputs
        self._names = [*model_spec.shapes(run.config.model, features, outputs)]
        self._every = every
        self._cost: float | None = None
        self._warm = False
        self._next = self._begun = time.monotonic()

    @property
    def due(self) -> bool:
        """Whether it is time to look again."""
        return time.monotonic() >= self._next

    def look(self, tensors: Mapping[str, Any], moment: TrainingPosition) -> PreviewSample:
        """What the network makes of a window.

        Args:
            tensors: all that training changes, as it stands: `[R, …]`.
            moment: when that is.
        """
        begun = time.monotonic()
        arrays = {name: np.asarray(tensors[name]) for name in self._names}
        network = numpy_lstm.network(arrays, 0, self._signature)
        found = self._of(network, self._at(begun), moment)
        self._wait(time.monotonic(), begun)
        return found

    def _wait(self, now: float, begun: float) -> None:
        """Until the next; the first is many times slower than others, and tells nothing of them."""
        if self._warm:
            self._cost = min(self._cost or math.inf, now - begun)
        self._warm = True
        self._next = now + max(self._every, PATIENCE * (self._cost or 0.0))

    def _at(self, now: float) -> int:
        """The window whose turn it is; the first has nothing before it, and comes last."""
        moved = int((now - self._begun) / STAYS) + 1
        return moved % len(self._windows)

    def _of(
        self, network: numpy_lstm.Network, window: int, moment: TrainingPosition
    ) -> PreviewSample:
        """What a network makes of a window."""
        before = min(window, 1)
        taken = self._windows.take(window - before, 1 + before)
        series = {name: _steps(array) for name, array in taken.items()}
        series["there"] = self._there(window - before, 1 + before)
        every = len(series["targets"])
        shown = min(every // (1 + before), MOST_STEPS)
        series = {name: array[-2 * shown :] for name, array in series.items()}
        outputs = _forward(network, series)[-shown:]
        last = {name: array[-shown:] for name, array in series.items()}
        end = (window + 1) * self._windows.cut.bptt
        if self._base is not None:
            base = np.moveaxis(self._base[:, end - shown : end], 0, 1)
            outputs, last["targets"] = outputs + base, last["targets"] + base
        return self._sample(last, outputs, end - shown + 1, moment)

    def _there(self, begin: int, count: int) -> npt.NDArray[np.bool_]:
        """Which steps of some windows are there: `[steps, rows]`."""
        return np.not_equal(self._windows.cut.places(begin, begin + count)[:ROWS], PADDING).T

    def _sample(
        self, series: Arrays, outputs: npt.NDArray[Any], step: int, moment: TrainingPosition
    ) -> PreviewSample:
        """From arrays `[steps, rows, …]`."""
        schema, targets = self._schema, series["targets"]
        classes = isinstance(schema.target, Categorical)
        predicted = outputs.argmax(-1) if classes else outputs[..., 0]
        scored = series.get("scored", np.ones(targets.shape[:2], np.bool_))
        if not classes:
            scored = scored & np.isfinite(targets[..., 0])
        name, column = (
            ("numbers", schema.numbers) if schema.numbers else ("symbols", schema.symbols)
        )
        return PreviewSample(
            schema,
            self._seed,
            moment,
            step,
            column[0],
            series[name][..., 0].T,
            (targets if classes else targets[..., 0]).T,
            predicted.T,
            scored.T,
            series["there"].T,
        )


def _steps(windows: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """`[windows, bptt, rows, …]` -> `[steps, rows, …]`, of the first rows."""
    return windows.reshape(-1, *windows.shape[2:])[:, :ROWS]


def _forward(network: numpy_lstm.Network, series: Arrays) -> npt.NDArray[Any]:
    """The head's outputs at each step, from a state of zeros: `[steps, rows, C]`."""
    steps, rows = series["targets"].shape[:2]
    symbols = series.get("symbols", np.empty((steps, rows, 0), np.uint8))
    numbers = series.get("numbers", [None] * steps)
    starts = series.get("starts")
    state = numpy_lstm.zero_state(network, rows)
    outputs = []
    for step in range(steps):
        if starts is not None and starts[step].any():
            state = np.where(starts[step][:, None], np.zeros_like(state), state)
        output, state = numpy_lstm.step(network, state, symbols[step], numbers[step])
        outputs.append(output)
    return np.stack(outputs)


MOST_ROWS = 5
"""Rows that are shown: as many as the article shows."""


@dataclass(frozen=True)
class PredictionSample:
    """Some steps of a few rows of a series, or of a few of its sequences.

    Attributes:
        schema: what the columns are.
        places: the number of each step in its row or sequence, from 1 on: `[rows, steps]`.
        there: whether there is a step: a sequence may be shorter than others. `[rows, steps]`.
        scored: whether its prediction counts: `[rows, steps]`.
        numbers, symbols: the inputs, as a series has them: `[rows, steps, N]`, `[rows, steps, M]`.
        targets: `[rows, steps]` for classes, `[rows, steps, D]` for numbers, standardised.
        readout: the probability of each class, or the predicted numbers, standardised:
            `[rows, steps, C or D]`.
        names: what each row is called.
        where: which steps they are, in words.
    """

    schema: Schema
    places: npt.NDArray[np.int64]
    there: npt.NDArray[np.bool_]
    scored: npt.NDArray[np.bool_]
    numbers: npt.NDArray[np.floating[Any]]
    symbols: npt.NDArray[Any]
    targets: npt.NDArray[Any]
    readout: npt.NDArray[np.floating[Any]]
    names: tuple[str, ...]
    where: str

    @property
    def target(self) -> Categorical:
        """The target, where it is one of several classes."""
        target = self.schema.target
        if not isinstance(target, Categorical):
            raise TypeError("the target is a number")
        return target

    @property
    def guesses(self) -> npt.NDArray[np.int64]:
        """The most probable class: `[rows, steps]`."""
        return np.asarray(self.readout.argmax(-1))

    @property
    def wrong(self) -> npt.NDArray[np.bool_]:
        """Whether another class than the label is the most probable: `[rows, steps]`."""
        return np.asarray(self.scored & (self.guesses != self.targets))

    @property
    def one_input(self) -> npt.NDArray[np.int64] | None:
        """The input, where it is one symbol or one bit: `[rows, steps]`; else `None`."""
        numbers, symbols = self.numbers.shape[-1], self.symbols.shape[-1]
        if (numbers, symbols) == (0, 1):
            return np.asarray(self.symbols[..., 0], np.int64)
        if (numbers, symbols) == (1, 0) and np.isin(self.numbers, (0, 1)).all():
            return np.asarray(self.numbers[..., 0], np.int64)
        return None

    @property
    def sparse(self) -> bool:
        """Whether few steps have a label: those at the sequences' ends."""
        return bool(self.scored.sum() <= 0.25 * self.there.sum())


Bools = npt.NDArray[np.bool_]
Column = Categorical | Numeric

FAR = 0.25
"""Of the range of the labels that are shown: by more a predicted number is marked as wrong."""


@dataclass(frozen=True)
class TrainingPosition:
    """When a network was looked at.

    Attributes:
        epoch: the one under way, from 1.
        window: the last one that it had learned from in it.
        windows: of an epoch.
    """

    epoch: int
    window: int
    windows: int


@dataclass(frozen=True, eq=False)
class PreviewSample:
    """What a network makes of a few rows of a window.

    Attributes:
        schema: what the columns are.
        seed: the network's.
        moment: when it was looked at.
        step: the number of the first step of a row that is shown, from 1.
        column: the input that is shown.
        given: its values: `[rows, steps]`.
        labels: class or number (standardised, the first of several): `[rows, steps]`.
        predicted: the most probable class or the number: `[rows, steps]`.
        scored: whether a step has a label that counts: `[rows, steps]`.
        there: whether there is a step: rows of sequences are filled up at their ends.
    """

    schema: Schema
    seed: int
    moment: TrainingPosition
    step: int
    column: Column
    given: npt.NDArray[Any]
    labels: npt.NDArray[Any]
    predicted: npt.NDArray[Any]
    scored: Bools
    there: Bools

    @property
    def target(self) -> Column:
        """The column of the labels."""
        target = self.schema.target
        return target if isinstance(target, Categorical) else target[0]

    @property
    def wrong(self) -> Bools:
        """Where the prediction is another class, or far off: `[rows, steps]`."""
        if isinstance(self.target, Categorical):
            return np.asarray(self.scored & (self.predicted != self.labels))
        known = self.labels[self.scored]
        room = FAR * float(np.ptp(known)) if known.size else 0.0
        return np.asarray(self.scored & (np.abs(self.predicted - self.labels) > room))
