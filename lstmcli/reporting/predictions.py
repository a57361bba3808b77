"""A network's predictions for a window of its data, in NumPy: for figures and the live view."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from lstmcli import model_spec
from lstmcli.core import numpy_lstm
from lstmcli.data.batching import PADDING, Spans, warm_up_of, windows_of
from lstmcli.data.datasets import Source
from lstmcli.data.schema import Categorical, Numeric, Schema
from lstmcli.data.series import Series
from lstmcli.training.checkpoint import Checkpoint
from lstmcli.utils.errors import FileError, plural, shell_quote
from lstmcli.utils.rng import Stream

if TYPE_CHECKING:
    from lstmcli.training.state import TrainingState

CARRIED = 1_000
"""Steps over which the state is carried at most, before and within what is shown."""
LONGEST_SEQUENCE = 5_000
WIDEST = 64
"""Steps that a panel has room for."""
MOST_ROWS = 5
"""Rows that are shown: as many as the article shows."""


@dataclass(frozen=True)
class Extent:
    """How much of a series is shown.

    Attributes:
        rows: of an endless series, or sequences, at most.
        steps: of each; `None` for a window, or a whole sequence.
        labelled: sequences, where each has one label.
    """

    rows: int
    steps: int | None
    labelled: int


EXTENTS = {
    "classes": Extent(MOST_ROWS, None, MOST_ROWS),
    "regression": Extent(1, 200, 60),
    "text": Extent(1, 64, 1),
}
"""By `Target.figure`."""


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
    network = numpy_lstm.network(model.tensors, replica, model.schema.spec(False, False))
    rows, begin = len(chosen.steps), chosen.steps.shape[1] - chosen.last - chosen.warm_up
    found = _sample(network, model.schema, series, chosen.steps, chosen.last, begin + 1)
    seed = f", seed {model.seeds[replica]} (the best)" if len(model.seeds) > 1 else ""
    return replace(
        found,
        names=tuple(f"{chosen.kind} {number + 1}" for number in range(rows)),
        where=_where(part, (rows, chosen.last), begin, chosen.kind) + seed,
    )


def name_of(source: Source) -> str:
    """What the figure of a window is called: as its task or, of a file, as what is predicted."""
    series = source.example
    return str(series.task.get("name") or series.schema.target_kind.figure)


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
            f"the data has {found.features} {plural(found.features, 'feature')} and "
            f"{found.outputs} outputs, the model was trained on {features} and "
            f"{model.metadata['classes']}",
            "`lstmcli inspect` shows what a checkpoint was trained on",
        )


def _rows(series: Series, source: Source) -> _Chosen:
    """The beginnings of the rows of an endless series, as it is cut for validation."""
    training = source.config.training
    bptt = training.steps
    extent = EXTENTS[series.schema.target_kind.figure]
    rows, last = min(extent.rows, training.rows), extent.steps or min(bptt, WIDEST)
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
    extent = EXTENTS[series.schema.target_kind.figure]
    alone = series.scored is not None and series.scored.sum() <= 2 * (len(bounds) - 1)
    count = extent.labelled if alone else extent.rows
    begins = bounds[:-1][:count]
    lengths = np.minimum(np.diff(bounds)[:count], LONGEST_SEQUENCE)
    places = np.arange(lengths.max())
    steps = np.where(places < lengths[:, None], begins[:, None] + places, PADDING)
    last = None if alone else extent.steps
    return _Chosen(steps, min(last or len(places), len(places)), "sequence")


def _sample(
    network: numpy_lstm.Network,
    schema: Schema,
    series: Series,
    steps: npt.NDArray[np.int64],
    last: int,
    first: int,
    scored: Bools | None = None,
    starts: bool = False,
) -> PredictionSample:
    """What a network makes of the last of some steps of a series, from a state of zeros.

    Args:
        network: it.
        schema: what it takes and gives.
        series: what it is given.
        steps: their numbers, in the order of the rows: `[rows, steps]`; PADDING for none.
        last: how many of them are shown.
        first: the number of the first of these in its row.
        scored: which steps count, where the series does not say all of it: `[rows, steps]`.
        starts: whether sequences begin within the rows.
    """
    state = numpy_lstm.zero_state(network, len(steps))
    outputs: deque[npt.NDArray[Any]] = deque(maxlen=last)
    for now in steps.T:
        if starts and series.starts is not None:
            state = np.where(series.starts[now][:, None], np.zeros_like(state), state)
        numbers = series.numbers[now] if schema.numbers else None
        output, state = numpy_lstm.step(network, state, series.symbols[now], numbers)
        outputs.append(output)
    steps = steps[:, -last:]
    there = steps != PADDING
    counts = there if series.scored is None else there & series.scored[steps]
    base = 0 if series.base is None else series.base[steps]
    return PredictionSample(
        schema,
        np.broadcast_to(first + np.arange(steps.shape[1]), steps.shape),
        there,
        counts if scored is None else counts & scored[:, -last:],
        series.numbers[steps],
        series.symbols[steps],
        series.targets[steps],
        np.stack(outputs, 1) + base,
    )


def _where(part: str, shape: tuple[int, int], begin: int, kind: str) -> str:
    """Which steps are shown, in words, counted from 1 on."""
    rows, shown = shape
    which = f"{kind} 1" if rows == 1 else f"{kind}s 1 to {rows}"
    if kind == "sequence":
        return f"{part}, {which}"
    return f"{part}, {which}, steps {begin + 1:,} to {begin + shown:,}"


def check_unchanged(model: Checkpoint, source: Source, file: str) -> None:
    """Raises FileError where a file is not what the model was trained on."""
    known = model.metadata.get("data_sha256")
    if source.splits is not None and known and not source.matches_checksums(known):
        raise FileError(
            f"`{file}` has changed since the model was trained on it: its validation part is lost",
            f"`lstmcli eval RUN --data {shell_quote(file)}` scores the whole file as it is now",
        )


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

    def look(self, tensors: Mapping[str, Any], moment: TrainingPosition) -> PredictionSample:
        """What the network makes of a window.

        Args:
            tensors: all that training changes, as it stands: `[R, …]`.
            moment: when that is.
        """
        begun = time.monotonic()
        arrays = {name: np.asarray(tensors[name]) for name in self._names}
        network = numpy_lstm.network(arrays, 0, self._signature)
        found = replace(self._of(network, self._at(begun)), seed=self._seed, moment=moment)
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

    def _of(self, network: numpy_lstm.Network, window: int) -> PredictionSample:
        """What a network makes of a window, after the one before it."""
        cut, series = self._windows.cut, self._windows.series
        before = min(window, 1)
        places = cut.places(window - before, window + 1)
        scored = cut.scored(places)[:MOST_ROWS] if isinstance(cut, Spans) else None
        shown = min(cut.bptt, MOST_STEPS)
        steps = places[:MOST_ROWS, -2 * shown :]
        first = (window + 1) * cut.bptt - shown + 1
        return _sample(network, self._schema, series, steps, shown, first, scored, starts=True)


Bools = npt.NDArray[np.bool_]


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
class PredictionSample:
    """Some steps of a few rows of a series, or of a few of its sequences.

    Attributes:
        schema: what the columns are.
        places: the number of each step in its row or sequence, from 1 on: `[rows, steps]`.
        there: whether there is a step: a sequence may be shorter than others. `[rows, steps]`.
        scored: whether its prediction counts: `[rows, steps]`.
        numbers, symbols: the inputs, as a series has them: `[rows, steps, N]`, `[rows, steps, M]`.
        targets: `[rows, steps]` for classes, `[rows, steps, D]` for numbers, standardised.
        outputs: what the output layer gives: logits, or standardised numbers:
            `[rows, steps, C or D]`.
        names: what each row is called.
        where: which steps they are, in words.
        seed, moment: of a run that is under way: whose network it is, and when.
    """

    schema: Schema
    places: npt.NDArray[np.int64]
    there: Bools
    scored: Bools
    numbers: npt.NDArray[np.floating[Any]]
    symbols: npt.NDArray[Any]
    targets: npt.NDArray[Any]
    outputs: npt.NDArray[np.floating[Any]]
    names: tuple[str, ...] = ()
    where: str = ""
    seed: int = 0
    moment: TrainingPosition = TrainingPosition(0, 0, 0)

    @cached_property
    def readout(self) -> npt.NDArray[np.floating[Any]]:
        """The probability of each class, or the predicted numbers: `[rows, steps, C or D]`."""
        return self.schema.target_kind.readout(self.outputs)

    @property
    def target(self) -> Categorical:
        """The target, where it is one of several classes."""
        target = self.schema.target
        if not isinstance(target, Categorical):
            raise TypeError("the target is a number")
        return target

    @cached_property
    def guesses(self) -> npt.NDArray[Any]:
        """The most probable class, or the first number: `[rows, steps]`."""
        return self.schema.target_kind.guess(self.outputs)

    @property
    def labels(self) -> npt.NDArray[Any]:
        """What these are to be: `[rows, steps]`."""
        return self.schema.target_kind.first(self.targets)

    @cached_property
    def labelled(self) -> Bools:
        """Where that is known, and counts: `[rows, steps]`."""
        return np.asarray(self.scored & np.isfinite(self.labels))

    @cached_property
    def wrong(self) -> Bools:
        """Whether a guess is another class than the label, or far off: `[rows, steps]`."""
        return self.schema.target_kind.wrong(self.guesses, self.labels, self.labelled)

    @property
    def column(self) -> Categorical | Numeric:
        """The first input."""
        return self.schema.numbers[0] if self.schema.numbers else self.schema.symbols[0]

    @property
    def given(self) -> npt.NDArray[Any]:
        """Its values: `[rows, steps]`."""
        return np.asarray((self.numbers if self.schema.numbers else self.symbols)[..., 0])

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
