"""Where a run's series come from: fresh echo series from the seeds, or one dataset file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from lstmcli.config import Config, DataConfig
from lstmcli.data import echo, storage
from lstmcli.data.series import Layout, Series, Windows
from lstmcli.streams import Stream, generator


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
        for part in held:
            part.layout(training.batch_size, training.bptt)
    return Source(config.data, training.batch_size, training.bptt, config.run.data_seeds, held)


def series_to_test(config: Config, data: Path | None) -> tuple[str, list[Series]]:
    """The series to score a model on, for each replica, and what they are.

    Args:
        config: the model's settings.
        data: a dataset to score on, whole. Without one it is a fresh series from the test stream,
            or for a model trained on a dataset, the part of that which was held back.

    Raises:
        FileError: the dataset is missing or damaged.
    """
    if data is not None:
        return str(data), [storage.read(data)[0]] * config.run.replicas
    source = open_source(config)
    if source.held is not None:
        return f"{config.data.data} (held back)", [source.held[1]] * config.run.replicas
    return "test stream", [source.draw(seed, Stream.TEST, 0) for seed in source.seeds]
