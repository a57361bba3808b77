"""The source of a run's series: generated from the seeds, or the parts of a file."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from lstmcli import defaults
from lstmcli.config import Config, DataConfig, TrainingConfig
from lstmcli.data import continuation, readers, tasks
from lstmcli.data.baselines import Baselines, Fitting, baselines
from lstmcli.data.batching import (
    ContiguousWindows,
    Windowing,
    Windows,
    fitting,
    of_training,
    to_score,
    windows_of,
)
from lstmcli.data.schema import Categorical, Schema
from lstmcli.data.series import Parts, Series
from lstmcli.data.tasks.echo import BayesLoss
from lstmcli.defaults import ARTICLE, ROWS, STEPS
from lstmcli.model_spec import ModelSpec
from lstmcli.utils import memory
from lstmcli.utils.errors import FileError, UsageError, listed, shell_quote
from lstmcli.utils.rng import Stream, generator

MOST_COUNTED = 1_000
"""Most classes whose counts a checkpoint keeps."""

FEW_CHARACTERS = 20_480
"""Length of a text up to which a model memorises it."""


@dataclass(frozen=True)
class Source:
    """The series of a run.

    Attributes:
        config: all settings, resolved.
        splits: the parts of a dataset file; `None` for generated series.
        warnings: notes about the file.
        known_baselines: those that are computed already, by part, rows and steps.
    """

    config: Config
    splits: Parts | None = None
    warnings: tuple[str, ...] = ()
    known_baselines: dict[tuple[str, int, int], Baselines] = field(
        default_factory=dict, compare=False, repr=False
    )

    def training(self, epoch: int) -> list[Windows]:
        """The windows of an epoch, counted from 0, for each replica."""
        if self.splits is None:
            drawn = (self.draw(seed, Stream.TRAINING, epoch) for seed in self.seeds)
            return [self.windows(series) for series in drawn]
        if not self.splits.training.has_sequences:
            return [self.windows(self.splits.training, epoch)] * len(self.seeds)
        rngs = (generator(seed, Stream.ORDER, epoch) for seed in self.seeds)
        training = self.config.training
        return [
            windows_of(self.splits.training, training.rows, training.steps, rng) for rng in rngs
        ]

    def validation(self) -> list[Windows]:
        """The validation windows of each replica, which choose the best checkpoint.

        They are the same after every epoch; none if no part is held out.
        """
        return self._held_out(Stream.VALIDATION, 1)

    def test(self) -> list[Windows]:
        """The test windows of each replica; none if no part is held out."""
        return self._held_out(Stream.TEST, 2)

    @property
    def seeds(self) -> list[int]:
        """The data seed of each replica."""
        return self.config.run.data_seeds

    @cached_property
    def example(self) -> Series:
        """A series to train on."""
        return self.splits.training if self.splits else self.draw(self.seeds[0], Stream.TRAINING, 0)

    @property
    def schema(self) -> Schema:
        """The columns."""
        return self.example.schema

    @property
    def spec(self) -> ModelSpec:
        """The model's inputs and outputs."""
        return self.example.spec

    @cached_property
    def cut(self) -> Windowing:
        """How a training series is cut."""
        return self.windows(self.example).cut

    def checksums(self) -> list[str]:
        """SHA-256 of the dataset's parts, or of each seed's validation series."""
        drawn = (self.draw(seed, Stream.VALIDATION, 0) for seed in self.seeds)
        return [series.checksum() for series in self.splits or drawn]

    @cached_property
    def file_checksums(self) -> list[str] | None:
        """SHA-256 of the dataset's parts; `None` for generated series."""
        return self.checksums() if self.splits else None

    def matches_checksums(self, checksums: Sequence[str]) -> bool:
        """Whether the parts have the checksums of a checkpoint; format 1 has two, the test last."""
        known, now = list(checksums), self.file_checksums or []
        return known == now or (len(known) == 2 and known[-1] == now[-1])

    @cached_property
    def label_counts(self) -> list[int] | None:
        """How many steps of a file's training part have each class; `None` for many classes."""
        if self.splits is None or not 0 < self.splits.training.classes <= MOST_COUNTED:
            return None
        counts: list[int] = self.splits.training.label_counts().tolist()
        return counts

    @property
    def validation_baselines(self) -> Baselines:
        """The baselines of a file's validation part; none for generated series."""
        return self._baselines("validation", self.validation)

    @property
    def baselines_of_test_part(self) -> Baselines:
        """The baselines of a file's test part; none for generated series."""
        return self._baselines("test", self.test)

    @property
    def fitting(self) -> Fitting:
        """The data that a file's baselines are fitted to."""
        validation = self.validation()
        return Fitting(
            self.schema,
            self.config.training.steps,
            self.config.data.leads[0],
            self.example,
            validation[0].read if validation else None,
        )

    def _baselines(self, part: str, windows: Callable[[], list[Windows]]) -> Baselines:
        """Computed on first use, and once for all settings with the same windows."""
        training = self.config.training
        cut = (part, training.rows, training.steps)
        if cut not in self.known_baselines:
            held_out = windows() if self.splits else []
            self.known_baselines[cut] = (
                baselines(self.fitting, held_out[0].read) if held_out else Baselines()
            )
        return self.known_baselines[cut]

    def notes(self) -> list[str]:
        """Notes about the dataset."""
        found = list(self.warnings)
        if self.splits and self.schema.kind == "text":
            characters = sum(map(len, self.splits))
            if characters <= FEW_CHARACTERS:
                found.append(
                    f"`{self.config.data.data}` has about {characters:,} characters, so few that a "
                    "model memorises them (overfits) and learns little of the language"
                )
        if self.splits and not len(self.splits.validation):
            found.append("no part is held out for validation: the last checkpoint counts as best")
        if self.splits and not len(self.splits.test):
            found.append("no part is held out for testing: `eval` needs another file (`--data`)")
        if self.splits and (note := unused_classes(f"`{self.config.data.data}`", *self.splits)):
            found.append(note)
        return found

    def with_config(self, config: Config) -> Source:
        """The same data with other settings of model and training; nothing is read again.

        Raises:
            FileError: a part is too short for a window.
        """
        resolved = self.resolved(config)
        if self.splits is not None:
            check_parts(resolved, self.splits)
        return replace(self, config=resolved)

    def of_task(self, task: Mapping[str, Any] | None) -> Source:
        """The same data with its task, which a file that lost its metadata does not name."""
        if self.splits is None or not task or self.example.task:
            return self
        held = Parts(*(replace(part, task=task, recording=None) for part in self.splits))
        return replace(self, splits=held)

    def resolved(self, config: Config) -> Config:
        """Settings with this data's defaults for those that are not set."""
        return _resolved(config, self.splits)

    def check_floor_known(self) -> None:
        """Raises UsageError if the Bayes loss is unknown."""
        if floor_of(self.windows(self.example)) is None:
            raise UsageError(
                "`--until-solved` has no effect: the Bayes loss is known only for the echo task "
                f"and its datasets, not for `{self.config.data.data or self.config.data.task}`",
                "leave `--until-solved` out, and set `--epochs` or `--patience`",
            )

    def draw(self, seed: int, stream: Stream, position: int) -> Series:
        """A series from one of a seed's streams."""
        return tasks.generate(self.config.data, generator(seed, stream, position))

    def _held_out(self, stream: Stream, part: int) -> list[Windows]:
        if self.splits is None:
            return [self.scored(self.draw(seed, stream, 0)) for seed in self.seeds]
        series = self.splits[part]
        return [self.scored(series)] * len(self.seeds) if len(series) else []

    def windows(self, series: Series, epoch: int = 0) -> Windows:
        """The training windows of a series; generated series all have the same number."""
        training = self.config.training
        return of_training(series, training.rows, training.steps, windows=self._windows, turn=epoch)

    def scored(self, series: Series) -> Windows:
        """The windows of a series to score the models on, with as many rows as in training."""
        training = self.config.training
        return to_score(series, training.rows, training.steps, self._windows)

    @property
    def _windows(self) -> int | None:
        """Windows that are enough for any generated series."""
        if self.splits is not None:
            return None
        training = self.config.training
        return tasks.windows(self.config.data, training.rows, training.steps)


class EvaluationData(NamedTuple):
    """The data that a model is scored on.

    Attributes:
        name: its name for users.
        series: one for each replica.
        notes: notes about it.
        source: the model's training data, if it was read.
    """

    name: str
    series: list[Series]
    notes: list[str]
    source: Source | None = None


def open_source(config: Config, known: Schema | None = None) -> Source:
    """The source of the series that a run's settings name.

    Args:
        config: the settings.
        known: the schema of a model that reads the data, as for `readers.read_parts`.

    Raises:
        FileError: the dataset is missing or damaged, or one of its parts is too short for a window.
        UsageError: a setting has no effect on this kind of data, or generated series do not fit
            into memory.
    """
    if config.data.data is None:
        memory.check_series(config.data.series_length, config.run.replicas)
        drawn = Source(_resolved(config, None))
        check_bits(config.data, drawn.config.training.rows)
        return drawn
    parts, notes = readers.read_parts(config.data, known)
    check_split_seed(config.data, parts)
    held = _alike(parts)
    resolved = _resolved(config, held)
    check_parts(resolved, held)
    return Source(resolved, held, tuple(notes))


def series_to_test(
    config: Config,
    data: Path | None,
    schema: Schema,
    trained_on: Sequence[str] | None = None,
    before: Config | None = None,
    to_score: bool = True,
) -> EvaluationData:
    """The series to score a model on, for each replica.

    Args:
        config: the model's settings.
        data: a dataset to score on as a whole. By default the test part of the model's dataset, or
            a series from the test stream.
        schema: the model's columns.
        trained_on: checksums of the parts of the model's dataset, if known.
        before: the settings of the training, if `data` continues its data.
        to_score: whether targets are required.

    Raises:
        FileError: the dataset is missing, damaged, too short or has changed.
        UsageError: there is no test part, or nothing that `data` can continue.
    """
    if data is not None:
        series, notes = readers.read_whole(data, schema, config.data, to_score)
        if series.task:  # Its Bayes loss is that of whole windows.
            check_whole(config, series, data)
        if before is not None:
            continuation.check_recording(series, str(data))
            series = continuation.following(_recording(before, trained_on, schema), series)
        return EvaluationData(str(data), [series] * config.run.replicas, notes)
    source = open_source(config, schema)
    if source.splits is None:
        drawn = [source.draw(seed, Stream.TEST, 0) for seed in source.seeds]
        return EvaluationData("test stream", drawn, [])
    file = str(config.data.data)
    _check_same(source, trained_on)
    if not len(source.splits.test):
        raise UsageError(
            f"there is no test part: `{file}` was used with `--test-fraction 0`",
            "`--data FILE` scores a whole file",
        )
    test = [source.splits.test] * config.run.replicas
    name = config.data.test_data or f"{file} (test part)"
    return EvaluationData(name, test, list(source.warnings), source)


def _check_same(source: Source, trained_on: Sequence[str] | None) -> None:
    """Raises FileError if a file is not the one that a model was trained on."""
    if trained_on is not None and not source.matches_checksums(trained_on):
        file = str(source.config.data.data)
        raise FileError(
            f"`{file}` has changed since the model was trained on it: its test part is lost",
            f"`--data {shell_quote(file)}` scores the whole file as it is now",
        )


def _recording(before: Config, trained_on: Sequence[str] | None, schema: Schema) -> Series:
    """The recording whose training part a model was trained on."""
    if before.data.data is None:
        raise UsageError(
            "`--continues` has no effect: the model was trained on generated series, which no file "
            "can continue",
            "leave `--continues` out",
        )
    source = open_source(before, schema)
    _check_same(source, trained_on)
    continuation.check_recording(source.example, before.data.data)
    return source.example.recording or source.example


def floor_of(windows: Windows) -> BayesLoss | None:
    """The Bayes loss on some windows, if it is known."""
    return tasks.floor(windows.series, windows.cut)


def unused_classes(name: str, *parts: Series) -> str | None:
    """A note on classes that never occur in a dataset's parts; `None` if all occur."""
    target = parts[0].schema.target
    if not isinstance(target, Categorical):
        return None
    counts = sum(part.label_counts() for part in parts)
    unused = np.flatnonzero(counts == 0).tolist()
    if not unused:
        return None
    shown = listed([*map(target.label, unused)])
    among = f"({target.size:,} are known)"
    one, many = parts[0].schema.target_kind.nouns
    if len(unused) == 1:
        return f"{one} {shown} never occurs in {name} {among}"
    return f"{many} {shown} never occur in {name} {among}"


def _alike(parts: Parts) -> Parts:
    """The parts, all with `scored` and `starts` if one has them, so that they share a program."""
    starts = any(part.starts is not None for part in parts)
    if not starts and all(part.scored is None for part in parts):
        return parts
    return Parts(*(_with_masks(part, starts) for part in parts))


def _with_masks(part: Series, starts: bool) -> Series:
    steps, found = len(part), part
    if part.scored is None:
        found = replace(found, scored=np.ones(steps, np.bool_))
    if starts and part.starts is None:
        before = part.recording and _with_masks(part.recording, starts)
        found = replace(found, starts=np.zeros(steps, np.bool_), recording=before)
    return found


def _resolved(config: Config, held: Parts | None) -> Config:
    """The settings with the data's defaults for those that are not set."""
    if held is None and config.data.task == "echo":
        return config.resolved(ARTICLE)
    if held is None and not config.data.resolved_sequence_length:
        rows, steps = fitting(config.data.series_length, ROWS, config.training.bptt or STEPS)
        return config.resolved(ARTICLE | {"batch_size": rows, "bptt": steps})
    series = held[0] if held else Source(config).draw(config.run.data_seeds[0], Stream.TRAINING, 0)
    if series.task.get("name") == "echo":
        return config.resolved(ARTICLE)
    rows, steps = _fitting(series, config.training)
    cut = config.resolved({"batch_size": rows, "bptt": steps})
    if held is None or series.task:
        return cut.resolved(ARTICLE)
    training = cut.training
    of_file = defaults.of_file(
        len(series),
        training.rows * training.steps,
        text=series.schema.kind == "text",
        epochs=training.epochs,
        validated=len(held.validation) > 0,
    )
    if config.data.horizon:
        of_file["predict"] = series.schema.predicts
    return cut.resolved(of_file)


def _fitting(training: Series, given: TrainingConfig) -> tuple[int, int]:
    """Rows and steps of a window: up to 32 and 64; with several rows, at least 32 steps."""
    if training.has_sequences:
        sequences = np.diff(training.bounds())
        return min(ROWS, len(sequences)), min(STEPS, int(sequences.max()))
    shortest = None if given.batch_size else given.bptt or STEPS // 2
    return fitting(max(1, len(training)), ROWS, given.bptt or STEPS, shortest)


def check_parts(config: Config, parts: Parts) -> None:
    """Raises FileError if a part of a dataset is too short to train on or to score."""
    data = config.data
    shares = f"`--val-fraction {data.val_fraction:g}`", f"`--test-fraction {data.test_fraction:g}`"
    of = {"training": ", ".join(shares), "validation": shares[0], "test": shares[1]}
    files = {"validation": data.val_data, "test": data.test_data}
    fractions = {"validation": data.val_fraction, "test": data.test_fraction}
    rows, bptt = config.training.rows, config.training.steps
    total = sum(map(len, parts))
    for name, part in zip(of, parts, strict=True):
        if not (fractions.get(name, 1) or files[name]):
            continue
        whole_windows = name == "training" or not part.is_recording
        need = rows * bptt if whole_windows else 1
        if not part.has_sequences and len(part) < need:
            windows = f"{rows} rows of one window of {bptt} steps need {need}"
            raise FileError(
                f"the {name} part of `{data.data}` is too short: it has {len(part)} of {total} "
                f"steps ({of[name]}), but {windows if whole_windows else 'one is needed'}",
                _longer_parts(name, total, config.training, len(part)),
            )


def check_bits(config: DataConfig, rows: int = 1) -> None:
    """Raises UsageError if a row of a series is shorter than the bits of a parity label."""
    row = config.series_length // rows
    if config.task == "parity" and config.bits > row:
        raise UsageError(
            f"there is nothing to learn: a label is the parity of `--bits {config.bits}`, and "
            f"{'a row' if rows > 1 else 'the series'} has {row} steps",
            f"pass `--bits {row}` or less, or a longer `--series-length`",
        )


def check_split_seed(config: DataConfig, parts: Parts) -> None:
    """Raises UsageError if a split seed is given but there are no sequences."""
    if config.split_seed and not parts.training.has_sequences:
        raise UsageError(
            f"`--split-seed` has no effect on `{config.data}`: it is one long series, which is "
            "split by time",
            "leave `--split-seed` out",
        )


def check_whole(config: Config, series: Series, file: Path) -> None:
    """Raises FileError if a dataset is too short to be scored."""
    rows, bptt = config.training.rows, config.training.steps
    if series.starts is None and ContiguousWindows(len(series), rows, bptt).windows == 0:
        raise FileError(
            f"`{file}` is too short: it has {len(series)} steps, but {rows} rows of one window of "
            f"{bptt} steps, as the model was trained on, need {rows * bptt}",
            "score it on a longer file, or without `--data`",
        )


def _longer_parts(name: str, steps: int, training: TrainingConfig, length: int) -> str:
    """The hint for a part that is too short: a larger fraction, or smaller windows."""
    rows, bptt = training.rows, training.steps
    ways = []
    fraction = math.ceil(100 * (rows * bptt + 0.5) / steps) / 100
    option = {"validation": "--val-fraction", "test": "--test-fraction"}.get(name)
    if option and fraction < 0.5:
        ways.append(f"`{option} {fraction:g}`")
    if length >= bptt:
        ways.append(f"`--batch-size {length // bptt}`")
    if length >= rows:
        ways.append(f"`--bptt {length // rows}`")
    if not ways:
        return "pass a smaller `--batch-size` and `--bptt`, or use a longer file"
    return f"pass {', or '.join(ways)}, or use a longer file"
