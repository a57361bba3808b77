"""Where a run's series come from: fresh echo series from the seeds, or one dataset file."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from lstmcli.config import Config, DataConfig
from lstmcli.data import echo, storage
from lstmcli.data.series import Layout, Series, Windows
from lstmcli.errors import FileError, UsageError, pasteable
from lstmcli.streams import Stream, generator

MOST_SHOWN = 5
"""Of classes that never occur: so many are named."""


@dataclass(frozen=True)
class Source:
    """The series of a run.

    Attributes:
        config: the task.
        rows, bptt: how series are cut.
        seeds: the data seed of each replica.
        held: the training part and the validation part of a dataset file; `None` for fresh series.
    """

    config: DataConfig
    rows: int
    bptt: int
    seeds: list[int]
    held: tuple[Series, Series] | None

    def training(self, epoch: int) -> list[Windows]:
        """The windows of an epoch, counted from 0, for each replica."""
        return self._windows(Stream.TRAINING, epoch, 0)

    def validation(self) -> list[Windows]:
        """The held-out windows, for each replica: the same after every epoch."""
        return self._windows(Stream.VALIDATION, 0, 1)

    def validation_floors(self) -> list[echo.Floor | None]:
        """The floor of each replica's held-out windows."""
        if self.held is not None:
            return [self._floor(self.held[1])] * len(self.seeds)
        return [self._floor(self.draw(seed, Stream.VALIDATION, 0)) for seed in self.seeds]

    def _floor(self, series: Series) -> echo.Floor | None:
        return echo.bayes_floor(series, series.layout(self.rows, self.bptt))

    @property
    def layout(self) -> Layout:
        """How a training series is cut."""
        steps = len(self.held[0]) if self.held else self.config.series_length
        return Layout(steps, self.rows, self.bptt)

    def example(self) -> Series:
        """A series to train on: for its features, classes and floor."""
        return self.held[0] if self.held else self.draw(self.seeds[0], Stream.TRAINING, 0)

    def checksums(self) -> list[str]:
        """SHA-256 of the dataset's parts, or of each seed's validation series."""
        drawn = (self.draw(seed, Stream.VALIDATION, 0) for seed in self.seeds)
        return [series.checksum() for series in self.held or drawn]

    @cached_property
    def file_checksums(self) -> list[str] | None:
        """SHA-256 of the dataset's parts; `None` for series that are drawn."""
        return self.checksums() if self.held else None

    def notes(self) -> list[str]:
        """What is odd about the dataset, in words."""
        if self.held is None:
            return []
        note = unused_classes(f"`{self.config.data}`", *self.held)
        return [note] if note else []

    def check_floor_known(self) -> None:
        """Raises UsageError where it is not known how good a loss can be."""
        if echo.bayes_floor(self.example(), self.layout) is None:
            raise UsageError(
                "`--until-solved` has no effect: the best possible loss is known for datasets of "
                f"`lstmcli generate`, and `{self.config.data}` is none",
                "leave `--until-solved` out, and set `--epochs`",
            )

    def draw(self, seed: int, stream: Stream, position: int) -> Series:
        """An echo series from one of a seed's streams."""
        return echo.generate(self.config, generator(seed, stream, position))

    def _windows(self, stream: Stream, position: int, part: int) -> list[Windows]:
        if self.held is not None:
            return [self.held[part].windows(self.rows, self.bptt)] * len(self.seeds)
        return [
            self.draw(seed, stream, position).windows(self.rows, self.bptt) for seed in self.seeds
        ]


def open_source(config: Config) -> Source:
    """The source that a run's settings name.

    Raises:
        FileError: the dataset is missing or damaged, or one of its parts is too short for a window.
    """
    held, training = None, config.training
    if config.data.data is not None:
        series, _ = storage.read(Path(config.data.data))
        held = series.split(config.data.val_fraction)
        _check_parts(config, len(series), held)
    return Source(config.data, training.batch_size, training.bptt, config.run.data_seeds, held)


def series_to_test(
    config: Config, data: Path | None, trained_on: Sequence[str] | None = None
) -> tuple[str, list[Series]]:
    """The series to score a model on, for each replica, and what they are.

    Args:
        config: the model's settings.
        data: a dataset to score on, whole. Without one it is a fresh series from the test stream,
            or for a model trained on a dataset, the part of that which was held back.
        trained_on: checksums of the parts of the dataset that the model was trained on, as known.

    Raises:
        FileError: the dataset is missing, damaged or too short, or not what it was.
    """
    if data is not None:
        series, _ = storage.read(data)
        _check_windows(config, series, data)
        return str(data), [series] * config.run.replicas
    source = open_source(config)
    if source.held is None:
        return "test stream", [source.draw(seed, Stream.TEST, 0) for seed in source.seeds]
    file = str(config.data.data)
    if trained_on is not None and list(trained_on) != source.file_checksums:
        raise FileError(
            f"`{file}` has changed since the model was trained on it: what was held back is lost",
            f"`--data {pasteable(file)}` scores the file as it is now, whole",
        )
    return f"{file} (held back)", [source.held[1]] * config.run.replicas


def unused_classes(name: str, *parts: Series) -> str | None:
    """Says which classes have no label in a dataset's parts; `None` if each has one."""
    counts = sum(np.bincount(part.targets, minlength=part.classes) for part in parts)
    unused = np.flatnonzero(counts == 0).tolist()
    if not unused:
        return None
    shown = ", ".join(map(str, unused[:MOST_SHOWN]))
    more = f" and {len(unused) - MOST_SHOWN:,} others" if len(unused) > MOST_SHOWN else ""
    known = f"({parts[0].classes:,} are known)"
    if len(unused) == 1:
        return f"class {shown} never occurs in {name} {known}"
    return f"classes {shown}{more} never occur in {name} {known}"


def _check_parts(config: Config, steps: int, parts: tuple[Series, Series]) -> None:
    """Raises FileError where a part of a dataset is too short for a window."""
    rows, bptt = config.training.batch_size, config.training.bptt
    for name, part in zip(("training", "validation"), parts, strict=True):
        if Layout(len(part), rows, bptt).windows == 0:
            raise FileError(
                f"the {name} part of `{config.data.data}` is too short: it has {len(part)} of the "
                f"file's {steps} steps (`--val-fraction {config.data.val_fraction:g}`), but {rows} "
                f"rows of one window of {bptt} steps need {rows * bptt}",
                _longer_parts(steps, rows * bptt),
            )


def _longer_parts(steps: int, needed: int) -> str:
    """How a dataset gets parts that are long enough."""
    fraction = math.ceil(100 * (needed + 0.5) / steps) / 100
    if fraction < 1 and steps - round(steps * fraction) >= needed:
        return f"pass `--val-fraction {fraction:g}`, or a smaller `--batch-size` or `--bptt`"
    return "pass a smaller `--batch-size` or `--bptt`, or use a longer file"


def _check_windows(config: Config, series: Series, file: Path) -> None:
    """Raises FileError where a dataset is too short to be scored."""
    rows, bptt = config.training.batch_size, config.training.bptt
    if Layout(len(series), rows, bptt).windows == 0:
        raise FileError(
            f"`{file}` is too short: it has {len(series)} steps, but {rows} rows of one window of "
            f"{bptt} steps, as the model was trained on, need {rows * bptt}",
            "score it on a longer file, or without `--data`",
        )
