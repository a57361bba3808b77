"""What a checkpoint's network makes of its validation series, in NumPy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from lstmcli.columns import Categorical
from lstmcli.core import forward
from lstmcli.data.layout import PADDING, warm_up_of, windows_of
from lstmcli.data.series import Series
from lstmcli.data.source import Source
from lstmcli.errors import FileError, pasteable
from lstmcli.report.figures.window import MOST_ROWS, Window
from lstmcli.runs.checkpoint import Checkpoint
from lstmcli.streams import Stream

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


def window_of(model: Checkpoint, source: Source) -> Window:
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
    part = "training" if source.held and not source.held.validation else "validation"
    series = series.recording or series
    readout = _readout(model, replica, series, chosen)
    steps = chosen.steps[:, -chosen.last :]
    if series.base is not None:
        readout = readout + series.base[steps]
    there = steps != PADDING
    scored = there if series.scored is None else there & series.scored[steps]
    begin = chosen.steps.shape[1] - steps.shape[1] - chosen.warm_up
    return Window(
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
    if source.held is not None:
        return source.held.validation or source.held.training
    return source.draw(source.seeds[replica], Stream.VALIDATION, 0)


def _check(model: Checkpoint, series: Series) -> None:
    """Raises FileError where a model cannot be shown on a series."""
    found, features = series.signature, model.metadata["features"]
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
    network = forward.network(model.tensors, replica, schema.signature(False, False))
    state = forward.zero_state(network, len(chosen.steps))
    found = []
    for now in chosen.steps.T:
        symbols, numbers = series.symbols[now], series.numbers[now]
        outputs, state = forward.step(network, state, symbols, numbers if schema.numbers else None)
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
    if source.held is not None and known and not source.is_what(known):
        raise FileError(
            f"`{file}` has changed since the model was trained on it: what it was validated on is "
            "lost",
            f"`lstmcli eval RUN --data {pasteable(file)}` scores the file as it is now, whole",
        )
