"""A dataset of the echo task, from its settings to its file."""

from __future__ import annotations

from os import PathLike
from pathlib import Path
from typing import Any

from lstmcli.config import DataConfig, RunConfig, TrainingConfig
from lstmcli.data import echo, storage
from lstmcli.data.series import Layout, Series
from lstmcli.streams import Stream, generator


def generate(
    path: str | PathLike[str], *, overwrite: bool = False, **settings: Any
) -> tuple[Series, dict[str, Any]]:
    """Writes a dataset: a series of the echo task.

    Args:
        path: the file: `.npz` or `.csv`, by its ending.
        overwrite: whether a dataset that lstmcli wrote may be replaced.
        settings: of the task, and `seed`.

    Returns:
        The series, and its metadata besides its task.

    Raises:
        LstmcliError: as `lstmcli generate` would say it.
    """
    seed = RunConfig(seed=settings.pop("seed", RunConfig.seed)).seed
    storage.check_free(Path(path), overwrite)
    series = echo.generate(DataConfig(**settings), generator(seed, Stream.DATASET))
    floor = _floor_in_the_articles_layout(series)
    metadata = {"seed": seed, **({"floor": floor} if floor else {})}
    storage.write(Path(path), series, metadata)
    return series, metadata


def _floor_in_the_articles_layout(series: Series) -> dict[str, Any] | None:
    """The floor by its metadata's names; `None` if the series does not fill a window."""
    layout = Layout(len(series), TrainingConfig.batch_size, TrainingConfig.bptt)
    floor = echo.bayes_floor(series, layout) if layout.windows else None
    if floor is None:
        return None
    return {
        "batch_size": layout.rows,
        "bptt": layout.bptt,
        "bayes_loss": floor.loss,
        "bayes_accuracy": floor.accuracy,
    }
