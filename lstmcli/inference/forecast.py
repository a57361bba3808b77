"""Forecasts beyond the end of a recording, with intervals from past errors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from lstmcli.core import numpy_lstm
from lstmcli.data.datasets import Source
from lstmcli.data.schema import Categorical, Numeric, Schema
from lstmcli.data.series import Series
from lstmcli.data.table import memory as in_memory
from lstmcli.inference.ahead import Ahead, check_known, look_ahead, written
from lstmcli.inference.predict import choose_seeds, seed_note
from lstmcli.inference.rollout import Floats, Indices, Inputs, Roller, truth, with_rows
from lstmcli.inference.streams import PROBABILITY_DECIMALS
from lstmcli.training import load
from lstmcli.training.checkpoint import Checkpoint
from lstmcli.training.load import AnyPath
from lstmcli.utils import notebook
from lstmcli.utils.errors import FileError, UsageError, shell_quote
from lstmcli.utils.terminal import escape_unprintable

if TYPE_CHECKING:
    import pandas as pd

    from lstmcli.data.table.memory import InMemory

COLUMNS = {
    "<index>": "The index, as it goes on; of data without an index it is `step`.",
    "prediction": "The forecast, in its own units; `prediction_<name>` of each of several. Of "
    "classes the most probable one.",
    "low": "Lower end of the 80 % interval; `low_<name>` of each of several. Empty where none is "
    "known.",
    "high": "Upper end.",
    "probability": "Of classes, the probability of that class.",
}
"""What the columns of a forecast mean; what stands in angle brackets is a name of the data."""

HIGH = 0.9
"""The quantile of the errors at which an interval ends; it begins at one minus that."""
MOST_ORIGINS = 500
"""The most steps of a part at which forecasts begin, evenly spaced."""
FEWEST = 9
"""The fewest errors for an interval."""
FEW = 20
"""With fewer errors than this, a note says so: a quantile of 10 % is then unreliable."""


@dataclass(frozen=True)
class Opened:
    """A model that forecasts.

    Attributes:
        model: the checkpoint.
        seeds: whose networks forecast.
        roller: these networks, as they forecast together.
        series: the recording that is continued.
        source: the dataset that the model was trained on; `None` if it is missing or has changed.
        config: of the data.
        name: of the recording, in words.
        path: the checkpoint's file.
        notes: remarks, in words.
    """

    model: Checkpoint
    seeds: list[int]
    roller: Roller
    series: Series
    source: Source | None
    config: Any
    name: str
    path: Path
    notes: list[str]

    def test_part(self) -> Series:
        """The test part of the dataset.

        Raises:
            UsageError: there is none.
        """
        splits = None if self.source is None else self.source.splits
        if splits is None or not len(splits.test):
            raise UsageError(
                f"there is no test part: nothing of `{self.name}` was held out",
                "`--data FILE` scores forecasts in another file",
            )
        return splits.test

    @property
    def schema(self) -> Schema:
        """The model's columns."""
        return self.roller.schema

    @property
    def direct(self) -> int:
        """How many steps can be forecast from the past alone."""
        return self.roller.leads[-1]


@dataclass(frozen=True)
class Errors:
    """Forecasts that began at several steps of a part, and the truth.

    Attributes:
        origins: the last known step of each: `[origins]`.
        forecasts: `[origins, steps, targets]`, or `[origins, steps, C]`.
        truth: the true values: `[origins, steps, targets]`, NaN where these are not known.
    """

    origins: Indices
    forecasts: Floats
    truth: Floats

    @property
    def errors(self) -> Floats:
        """The truth minus the forecast: `[origins, steps, targets]`; for numbers only."""
        return self.truth - self.forecasts


@dataclass(frozen=True)
class Forecast:
    """A forecast beyond the end of a recording.

    Attributes:
        opened: the model and its data.
        ahead: the steps that are forecast.
        values: `[steps, targets]` in their own units, or the classes' probabilities `[steps, C]`.
        low, high: ends of the 80 % intervals, `[steps, targets]`; `None` if there are none.
        counts: how many errors each step's interval comes from: `[steps, targets]`.
        coverage: the share of the test part's values within such intervals, and how many values
            that part has; `None` if there is no test part.
    """

    opened: Opened
    ahead: Ahead
    values: Floats
    low: Floats | None = None
    high: Floats | None = None
    counts: npt.NDArray[np.int64] | None = None
    coverage: tuple[float, int] | None = None

    @property
    def targets(self) -> Sequence[Numeric]:
        """The columns that are forecast, of numbers."""
        return self.opened.schema.numeric_targets[:: len(self.opened.roller.leads)]

    @property
    def outside(self) -> int:
        """How many forecasts lie outside their intervals, because past errors had the same sign."""
        if self.low is None or self.high is None:
            return 0
        return int(((self.values < self.low) | (self.values > self.high)).sum())

    @property
    def table(self) -> pd.DataFrame:
        """A row for each step: the index or the step, the forecast, and its interval.

        Of classes: `prediction` and `probability`. Of numbers, in their own units: `prediction`,
        `low` and `high`, followed by the column's name if there are several.
        """
        import pandas as pd

        target = self.opened.schema.target
        columns: dict[str, Any] = {self.ahead.name: written(self.ahead.labels)}
        if isinstance(target, Categorical):
            codes = self.values.argmax(1)
            columns["prediction"] = [escape_unprintable(target.label(code)) for code in codes]
            columns["probability"] = np.round(self.values.max(1), PROBABILITY_DECIMALS)
            return pd.DataFrame(columns)
        for place, column in enumerate(self.targets):
            end = f"_{escape_unprintable(column.name)}" if len(self.targets) > 1 else ""
            parts = {"prediction": self.values, "low": self.low, "high": self.high}
            for name, values in parts.items():
                if values is not None:
                    # It is in its own units already: to the digits that a model knows.
                    standardised = (values[:, place] - column.mean) / column.scale
                    columns[f"{name}{end}"] = column.written(standardised)
        return pd.DataFrame(columns)

    def _repr_html_(self) -> str:
        sentences = [f"after the end of {self.opened.name}"]
        if self.coverage is not None:
            share, count = self.coverage
            sentences.append(
                f"80 % intervals: on the test part they contained {100 * share:.0f} % of {count:,}"
            )
        return notebook.to_html(sentences, self.table)


def open_model(
    checkpoint: Path,
    data: Path | None,
    seed: int | None = None,
    ensemble: bool = False,
    settings: Mapping[str, Any] | None = None,
    all_seeds: bool = False,
) -> Opened:
    """Opens a model, and the recording that it continues: its own, or another file.

    Args:
        checkpoint: a checkpoint or a run directory.
        data: another file; `None` for the training file.
        seed: of the network; `None` for the one with the lowest validation loss.
        ensemble: whether to use the mean of all seeds' networks.
        settings: those of the data that differ from the checkpoint's.
        all_seeds: whether each seed forecasts by itself, so that no note on the choice is needed.

    Raises:
        FileError: the model cannot forecast, or its data is missing or has changed.
        UsageError: there is no such seed.
    """
    opened = load.open_checkpoint(checkpoint, data, settings or {})
    model = opened.model
    _check_kind(model, opened.path)
    seeds = choose_seeds(model, seed, ensemble)
    notes = opened.notes()
    if len(model.seeds) > 1 and seed is None and not (ensemble or all_seeds):
        notes.append(seed_note(model))
    source = opened.source()
    if data is None:
        if source is None:
            raise FileError(
                f"the data that the model in `{opened.path}` was trained on is missing or has "
                "changed since",
                "`--data FILE` forecasts from the end of that file",
            )
        series, name = source.example.recording or source.example, str(source.config.data.data)
    else:
        tested = opened.tested(to_score=False)
        series, name = tested.series[0], str(data)
        notes += tested.notes
    roller = roller_of(model, seeds)
    if not all_seeds:  # Those of a backtest begin within a part.
        notes += _unknown_end(series, roller, name)
    return Opened(
        model, seeds, roller, series, source, opened.config.data, name, opened.path, notes
    )


def _unknown_end(series: Series, roller: Roller, name: str) -> list[str]:
    """A note if the target's last values are not known: the forecast begins after them."""
    known = np.flatnonzero(np.isfinite(truth(series, roller.leads)).all(axis=1))
    empty = len(series) - 1 - int(known[-1]) if len(known) else len(series)
    if not empty:
        return []
    rows = "row" if empty == 1 else f"{empty:,} rows"
    return [
        f"the target is empty in the last {rows} of `{name}`: the forecast begins after them; "
        "delete them to forecast from the last known value"
    ]


def roller_of(model: Checkpoint, seeds: list[int]) -> Roller:
    """The networks of some seeds, which forecast together."""
    schema, spec = model.schema, model.schema.spec(False, False)
    networks = [numpy_lstm.network(model.tensors, model.seeds.index(seed), spec) for seed in seeds]
    return Roller(schema, model.config.data.leads, networks, schema.autoregression)


def forecast(opened: Opened, steps: int | None = None, future: Path | None = None) -> Forecast:
    """Forecasts beyond the end of the recording.

    An interval is that of split-conformal prediction (Vovk, Gammerman and Shafer 2005; for
    sequences by lead time, Stankeviciute, Alaa and van der Schaar 2021): the forecast plus the 10 %
    and the 90 % quantile of the errors that forecasts that far ahead had on the validation part.

    Args:
        opened: the model and its data.
        steps: how many; `None` for as many as can be forecast from the past alone.
        future: a table with inputs that are known in advance.

    Raises:
        FileError: the table does not fit, or the recording is too short.
        UsageError: inputs are needed that are not known.
    """
    roller = opened.roller
    count = steps or max(1, opened.direct)
    rows = roller.rows_ahead(count)
    if future is None:
        check_known(opened.schema, count, rows, opened.direct)
    ahead = look_ahead(opened.series, opened.config, count, rows, future)
    if len(opened.series) <= roller.first_origin:
        raise FileError(
            f"`{opened.name}` has {len(opened.series):,} steps, and the model's horizon is "
            f"{opened.direct:,}",
            "use a longer file",
        )
    inputs = with_rows(Inputs.of(opened.series), ahead.numbers, ahead.symbols)
    [values] = roller.roll(inputs, np.array([len(opened.series) - 1]), count)
    if opened.schema.classes is not None or opened.source is None or opened.source.splits is None:
        return Forecast(opened, ahead, values)
    before = errors_of(roller, opened.source.splits.validation, count)
    if before is None:
        return Forecast(opened, ahead, values)
    low, high, counts = quantiles(before.errors, overlap_of(before))
    after = errors_of(roller, opened.source.splits.test, count)
    coverage = None if after is None else covered(after.errors, low, high)
    return Forecast(opened, ahead, values, values + low, values + high, counts, coverage)


def forecast_checkpoint(
    checkpoint: AnyPath,
    steps: int | None = None,
    *,
    data: AnyPath | InMemory | None = None,
    future: AnyPath | InMemory | None = None,
    seed: int | None = None,
    ensemble: bool = False,
) -> Forecast:
    """Forecasts beyond the end of a table, with 80 % intervals.

    Args:
        checkpoint: the file, or the directory of a run or of a sweep.
        steps: how many; by default as many as can be forecast from the past alone.
        data: forecast from the end of this table instead of the training file: a file, or a table
            in memory.
        future: a table of inputs that are known in advance, with a row for each step.
        seed: of the model; by default the one with the lowest validation loss.
        ensemble: whether to use the mean of all seeds' models.

    Returns:
        The forecast, whose `table` is a pandas DataFrame.

    Raises:
        LstmcliError: with the message that `lstmcli forecast` would print.
    """
    if steps is not None and steps < 1:
        raise UsageError(f"`--steps` must be at least 1, got {steps}")
    with in_memory.at_path(data) as file, in_memory.at_path(future) as known:
        opened = open_model(Path(checkpoint), file, seed, ensemble)
        if data is not None and in_memory.is_in_memory(data):
            opened = replace(opened, name=in_memory.NAME)
        return forecast(opened, steps, known)


def errors_of(roller: Roller, part: Series, steps: int, most: int = MOST_ORIGINS) -> Errors | None:
    """Forecasts of a part that begin at many of its steps, and the truth.

    Args:
        roller: the networks.
        part: of a recording; the first step that is forecast is its first one at the earliest.
        steps: how many steps each forecast has.
        most: the most origins.

    Returns:
        The forecasts; `None` if the part has no step to forecast.
    """
    series = part.recording or part
    begin = part.offset if part.recording is not None else 0
    end = begin + len(part)
    first = max(begin - 1, roller.first_origin)
    if end - 1 <= first or series.starts is not None:
        return None
    origins = np.arange(first, end - 1)
    if len(origins) > most:
        origins = origins[np.linspace(0, len(origins) - 1, most).astype(int)]
    within = min(steps, end - 1 - first)  # Nothing is known of what lies behind the part.
    forecasts = roller.roll(Inputs.of(series), origins, within)
    behind = [(0, 0), (0, steps - within), (0, 0)]
    forecasts = np.pad(forecasts, behind, constant_values=np.nan)
    return Errors(origins, forecasts, truth_after(series, roller, origins, steps, end))


def truth_after(series: Series, roller: Roller, origins: Indices, steps: int, end: int) -> Floats:
    """The truth after each origin, up to step `end`: `[origins, steps, targets]`, then NaN."""
    known = truth(series, roller.leads)
    wanted = origins[:, np.newaxis] + 1 + np.arange(steps)
    found = known[np.minimum(wanted, len(known) - 1)]
    return np.where((wanted < end)[..., np.newaxis], found, np.nan)


def quantiles(
    errors: Floats, overlap: npt.NDArray[np.float64] | float = 1.0
) -> tuple[Floats, Floats, npt.NDArray[np.int64]]:
    """The conformal quantiles of errors `[origins, …]`, and of how many they are: `[…]` each.

    Of n errors they are the floor((n + 1) 10 %)-th and the ceil((n + 1) 90 %)-th smallest.
    Forecasts h steps ahead share steps with their neighbours, so that n of their errors say as
    much as n / h that share none: so many decide how far out the quantiles lie (blocks, as in
    Chernozhukov, Wuthrich and Zhu 2018, "Exact and robust conformal inference methods for
    predictive machine learning with dependent data"). Where these are fewer than 9, they are the
    smallest and the largest error; of fewer than 9 errors in all no interval holds 80 %: NaN.

    Args:
        errors: NaN where one is not known.
        overlap: how many neighbours share steps: a number, or `[…]`.
    """
    counts = np.isfinite(errors).sum(0)
    ordered = np.sort(errors, 0)  # NaN comes last.
    alone = np.maximum(counts / overlap, 1e-9)
    below = counts - np.ceil((alone + 1) * HIGH / alone * counts - 1e-9).astype(int)
    low = np.maximum(below, 0)
    ends = (
        np.take_along_axis(ordered, np.maximum(place, 0)[np.newaxis], 0)[0]
        for place in (low, counts - 1 - low)
    )
    smallest, largest = (np.where(counts < FEWEST, np.nan, end) for end in ends)
    return smallest, largest, counts


def overlap_of(errors: Errors) -> Floats:
    """How many neighbours of a forecast share steps with it, for each step ahead: `[steps, 1]`."""
    ahead = np.arange(1, errors.forecasts.shape[1] + 1)[:, np.newaxis]
    apart = float(np.diff(errors.origins).mean()) if len(errors.origins) > 1 else 1.0
    return np.maximum(ahead / apart, 1.0)


def covered(errors: Floats, low: Floats, high: Floats) -> tuple[float, int] | None:
    """The share of errors `[origins, …]` within `[…]`, and how many are known; `None` of none."""
    known = np.isfinite(errors) & np.isfinite(low) & np.isfinite(high)
    count = int(known.sum())
    within = int(((errors >= low) & (errors <= high) & known).sum())
    return (within / count, count) if count else None


def _check_kind(model: Checkpoint, path: Path) -> None:
    """Refuses a model that cannot continue a recording.

    Raises:
        FileError: it was trained on text, on sequences or on a generated task.
    """
    kind, config, quoted = model.schema.kind, model.config.data, shell_quote(path)
    if kind == "text":
        raise FileError(
            f"the model in `{path}` was trained on text, which `sample` continues",
            f"`lstmcli sample {quoted} --length 200`",
        )
    if kind != "table":
        raise FileError(
            f"the model in `{path}` was not trained on a table: its inputs beyond the end of the "
            "data are not known",
            f"`lstmcli predict {quoted} FILE` predicts for the inputs in a file",
        )
    if config.group is not None or config.labels is not None:
        raise FileError(
            f"the model in `{path}` was trained on many sequences (`--group`), and a forecast "
            "continues one recording",
            f"`lstmcli predict {quoted} FILE` predicts for each of their rows",
        )
