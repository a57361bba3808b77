"""Writes a dataset of a task."""

from __future__ import annotations

from os import PathLike
from pathlib import Path
from typing import Any

from lstmcli.config import DataConfig, RunConfig, check_effect
from lstmcli.data import arrays, datasets, tasks
from lstmcli.data.batching import ContiguousWindows
from lstmcli.data.series import Series
from lstmcli.defaults import ARTICLE
from lstmcli.utils import memory
from lstmcli.utils.rng import Stream, generator


def generate(
    path: str | PathLike[str], *, overwrite: bool = False, **settings: Any
) -> tuple[Series, dict[str, Any]]:
    """Writes a dataset: a series of a task.

    Args:
        path: the file; its extension, `.npz` or `.csv`, gives the format.
        overwrite: whether a dataset that lstmcli wrote may be replaced.
        settings: the `task`, its settings, and `seed`.

    Returns:
        The series as it is in the file, and its metadata besides its task.

    Raises:
        LstmcliError: the errors of `lstmcli generate`.
    """
    seed = RunConfig(seed=settings.pop("seed", RunConfig.seed)).seed
    check_effect(settings, None, settings.get("task", DataConfig.task))
    config = DataConfig(**settings)
    memory.check_series(config.series_length, to_train=False)
    if config.task == "echo" and config.classes > 2:
        memory.check_one_hot(config.series_length, config.classes)
    datasets.check_bits(config)
    arrays.check_free(Path(path), overwrite)
    series = tasks.generate(config, generator(seed, Stream.DATASET))
    metadata = {"seed": seed, **_reference(series)}
    arrays.write(Path(path), series, metadata)
    return arrays.as_written(series), metadata


def _reference(series: Series) -> dict[str, Any]:
    """The reference losses of the series, by their names in the metadata."""
    floor = _floor_in_the_articles_layout(series) if series.starts is None else None
    named = None if series.task["name"] == "echo" else tasks.baseline(series)
    return {
        **({"floor": floor} if floor else {}),
        **({"baseline": {"of": named[0], "loss": named[1]}} if named else {}),
    }


def _floor_in_the_articles_layout(series: Series) -> dict[str, Any] | None:
    """The Bayes loss by its names in the metadata; `None` if the series does not fill a window."""
    layout = ContiguousWindows(len(series), ARTICLE["batch_size"], ARTICLE["bptt"])
    floor = tasks.floor(series, layout) if layout.windows else None
    if floor is None:
        return None
    return {
        "batch_size": layout.rows,
        "bptt": layout.bptt,
        "bayes_loss": floor.loss,
        "bayes_accuracy": floor.accuracy,
    }
