"""The table that `lstmcli eval --predictions` writes: a row for each step.

Numbers are in their own units, classes and characters have their names. Unprintable characters are
escaped as in Python, so that every row is one line.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lstmcli.utils.files import check_replaceable, write_pieces
from lstmcli.utils.terminal import escape_unprintable

if TYPE_CHECKING:
    import numpy.typing as npt
    import pandas as pd

    from lstmcli.data.batching import Windows
    from lstmcli.data.series import Series
    from lstmcli.training.evaluate import Score

COLUMNS = {
    "seed": "The model's seed, where there are several.",
    "step": "Which step it is, from 0 on: of its row, of its sequence or of the part.",
    "row": "Of data without sequences, the row of the batch, from 0 on.",
    "sequence": "Of data with sequences, which one it is, from 0 on.",
    "input": "Of a task, the input.",
    "<input>": "Of a file, each input, in its own units; `input_<input>` where the name is taken.",
    "label": "Of classes, the true one; empty where a step is not scored.",
    "probability_<class>": "The probability of each class.",
    "predicted_<place>": "Of more than 100 classes, the most probable ones, the first place first.",
    "probability_<place>": "The probability of each of these.",
    "target": "Of a number, the true one in its own units; `target_<name>` of each of several.",
    "predicted": "The prediction of it; `predicted_<name>` of each of several.",
    "<label>": "Of a file, the name of the sequence, the index, and the `row` of the file, from 1 "
    "on; `file_<label>` where the name is taken.",
}
"""What the columns mean; what stands in angle brackets is a name of the data."""
PLACES = (["step", "row"], ["sequence", "step"])
"""The first columns: for one endless series, and for sequences."""
CELLS = 1 << 20
"""Probabilities or numbers that are converted to text at a time."""

Columns = list[tuple[str, Any]]


def check_free(path: Path, overwrite: bool) -> None:
    """Checks that predictions can be written to a file and overwrite only predictions.

    Args:
        path: the file.
        overwrite: whether older predictions may be replaced.

    Raises:
        UsageError: the file cannot be written, or holds something that must not be replaced.
    """
    check_replaceable(
        path,
        _holds_predictions,
        "holds no predictions",
        overwrite,
        "choose another name for them",
    )


def _holds_predictions(path: Path) -> bool:
    """Whether a file has the header of such a table."""
    try:
        with path.open(encoding="utf-8", newline="") as file:
            names = next(csv.reader(file), [])
    except (UnicodeDecodeError, csv.Error):
        return False
    names = names[1:] if names[:1] == ["seed"] else names
    return names[:2] in PLACES and any(
        name.startswith(("probability_", "predicted")) for name in names
    )


def write(path: Path, scores: Sequence[Score]) -> None:
    """Writes the predictions of each seed, one after the other, some steps at a time.

    Args:
        path: the CSV file.
        scores: with their readouts.

    Raises:
        OSError: the file cannot be written.
    """
    write_pieces(path, _pieces(scores))


def _pieces(scores: Sequence[Score]) -> Iterator[bytes]:
    """The table as text, the header first."""
    dates = _date_format(scores[0].windows.series)
    header = True
    for score in scores:
        for frame in frames(score):
            if len(scores) > 1:
                frame.insert(0, "seed", score.seed)
            yield frame.to_csv(index=False, header=header, date_format=dates).encode()
            header = False


def frames(score: Score) -> Iterator[pd.DataFrame]:
    """A row for each step: its position, its inputs, its label or target, and the prediction.

    For a table the sequence's name, the index and the row in the file, counted from 1, come last.

    The steps of one endless series come row by row; those of sequences in the series' order, each
    once. A step that is not scored has no label. An input whose name is taken by another column is
    called `input_<name>`.

    Args:
        score: with its readout, the predictions at each step.

    Yields:
        The rows of some steps, all with the same columns.
    """
    import numpy as np

    assert score.readout is not None
    windows, columns = score.windows, score.readout.shape[-1]
    steps, order = _steps(windows)
    rows, places = np.divmod(order, len(windows) * windows.cut.bptt)
    window, step = np.divmod(places, windows.cut.bptt)
    at = (window - score.kept_from, step, rows)
    length = max(1, CELLS // columns)
    for begin in range(0, len(steps), length):
        block = slice(begin, begin + length)
        where = tuple(each[block] for each in at)
        kept = None if score.classes_kept is None else score.classes_kept[where]
        yield _frame(score, steps[block], score.readout[where], kept)


def _frame(
    score: Score,
    steps: npt.NDArray[Any],
    given: npt.NDArray[Any],
    classes: npt.NDArray[Any] | None,
) -> pd.DataFrame:
    """The rows of some steps; `given` and `classes` are as `Target.written` takes them."""
    import pandas as pd

    windows, series = score.windows, score.windows.series
    given = given if series.base is None else given + series.base[steps]
    scored = None if series.scored is None else series.scored[steps]
    outputs = score.target.written(given, series.targets[steps], scored, classes)
    taken = {name for name, _ in outputs} | {"seed", "step", "row", "sequence"}
    inputs = _inputs(series, steps, taken)
    labels = _free(((name, its[steps]) for name, its in series.labels.items()), taken)
    columns = [*_places(windows, steps), *inputs, *outputs, *labels]
    frame = pd.DataFrame(dict(enumerate(values for _, values in columns)))
    frame.columns = pd.Index([name for name, _ in columns])
    return frame


def _date_format(series: Series) -> str | None:
    """The format of dates, the same in all rows; `None` if there are none."""
    import numpy as np

    for values in series.labels.values():
        if values.dtype.kind == "M":
            there = values[~np.isnat(values)]
            if (there == there.astype("datetime64[D]")).all():
                return "%Y-%m-%d"
            whole = (there == there.astype("datetime64[s]")).all()
            return "%Y-%m-%d %H:%M:%S" if whole else "%Y-%m-%d %H:%M:%S.%f"
    return None


def _steps(windows: Windows) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """The numbers of the steps to write, and where each is in the flattened rows."""
    import numpy as np

    from lstmcli.data.batching import PADDING, ContiguousWindows, Spans

    cut = windows.cut
    places = cut.places(0, len(windows))
    if isinstance(cut, ContiguousWindows):
        return places.ravel(), np.arange(places.size)
    wanted = cut.scored(places) if isinstance(cut, Spans) else places != PADDING
    places, there = places.ravel(), np.flatnonzero(wanted)
    order = there[np.argsort(places[there])]
    return places[order], order


def _places(windows: Windows, steps: npt.NDArray[Any]) -> Columns:
    """The columns step and row, or sequence and step; a part of a recording is one row."""
    import numpy as np

    from lstmcli.data.batching import ContiguousWindows, Spans

    if isinstance(windows.cut, Spans):
        return [("step", steps - windows.cut.part.start), ("row", np.zeros_like(steps))]
    if isinstance(windows.cut, ContiguousWindows):
        rows, within = np.divmod(steps, windows.cut.row_length)
        return [("step", within), ("row", rows)]
    bounds = windows.series.bounds()
    sequences = np.searchsorted(bounds, steps, side="right") - 1
    return [("sequence", sequences), ("step", steps - bounds[sequences])]


def _inputs(series: Series, steps: npt.NDArray[Any], taken: set[str]) -> Columns:
    from lstmcli.data.series import is_one_hot

    schema = series.schema
    numbers = series.numbers[steps]
    if schema.kind == "series" and not schema.symbols and is_one_hot(series.numbers):
        return [("input", numbers.argmax(1))]
    columns: Columns = [
        (column.name, column.written(numbers[:, i])) for i, column in enumerate(schema.numbers)
    ]
    columns += [
        (column.name, column.written(series.symbols[steps, i]))
        for i, column in enumerate(schema.symbols)
    ]
    return _free(columns, taken, "input")


def _free(columns: Iterable[tuple[str, Any]], taken: set[str], kind: str = "file") -> Columns:
    """Columns with a prefix where their names are taken; adds their names to `taken`."""
    found: Columns = []
    for name, values in columns:
        free = escape_unprintable(name)
        while free in taken:
            free = f"{kind}_{free}"
        taken.add(free)
        found.append((free, values))
    return found
