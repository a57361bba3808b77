"""A recording that continues in another file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from lstmcli.config import DataConfig
from lstmcli.data.baselines import autoregression
from lstmcli.data.series import Bools, Parts, Series
from lstmcli.utils.errors import UsageError


def check_recording(series: Series, file: str) -> None:
    """Raises UsageError if no other file can continue a file."""
    if not series.is_recording:
        what = "is a generated series" if series.task else "has sequences"
        raise UsageError(
            f"`--continues` has no effect: `{file}` {what}, so its state begins at zero",
            "leave `--continues` out",
        )


def continued(parts: Parts, config: DataConfig) -> Parts:
    """Parts in separate files as continuations of the training data, validation before test.

    Raises:
        UsageError: no part has a separate file, or they are not recordings.
    """
    if not (config.val_data or config.test_data):
        raise UsageError(
            "`--continues` has no effect without `--val-data` or `--test-data`: it means that such "
            "a file continues the training data",
            "leave `--continues` out, or name such a file",
        )
    check_recording(parts.training, str(config.data))
    before = parts.training.recording or parts.training
    training, *others = parts
    for place, file in enumerate((config.val_data, config.test_data)):
        if file is not None:
            others[place] = following(before, others[place])
            before = others[place].recording or before
    return Parts(training, *others)


def following(first: Series, second: Series) -> Series:
    """The second of two recordings, as a part of both together.

    Between two texts there is one more step: from the last character of the first to the first
    character of the second.
    """
    pieces = [first, second]
    if second.schema.kind == "text" and len(first) and len(second):
        pieces.insert(1, _link(first, second))
    first = replace(first, recording=None)

    def array(name: str) -> npt.NDArray[Any]:
        return np.concatenate([getattr(each, name) for each in pieces])

    scored = starts = None
    if any(each.scored is not None for each in pieces):
        scored = np.concatenate([_mask(each, each.scored, True) for each in pieces])
    if any(each.starts is not None for each in pieces):
        starts = np.concatenate([_mask(each, each.starts, False) for each in pieces])
    whole = replace(
        first,
        numbers=array("numbers"),
        symbols=array("symbols"),
        targets=array("targets"),
        scored=scored,
        starts=starts,
        last_values=_last_values(pieces),
        labels={
            name: np.concatenate([first.labels[name], second.labels[name]])
            for name in first.labels
            if name in second.labels
        },
        offset=0,
    )
    whole = replace(whole, base=autoregression.base_of(whole))
    return whole.part(slice(len(whole) - len(second), len(whole)))


def _link(first: Series, second: Series) -> Series:
    """The step between two texts."""
    size = first.schema.symbols[0].size
    known = first.scored is None or first.scored[-1]
    symbol = first.targets[-1:] if known else np.array([size], first.symbols.dtype)
    target = second.symbols[:1, 0]
    return replace(
        first.cut(slice(0, 1)),
        symbols=symbol[:, np.newaxis].astype(first.symbols.dtype),
        starts=None,
        targets=np.where(target < size, target, 0).astype(first.targets.dtype),
        scored=target < size,
    )


def _mask(series: Series, mask: Bools | None, otherwise: bool) -> Bools:
    return np.full(len(series), otherwise) if mask is None else mask


def _last_values(pieces: Sequence[Series]) -> npt.NDArray[Any] | None:
    """The latest known values; until the second file has any, the first one's last."""
    if any(each.last_values is None for each in pieces):
        return None
    first, *_, second = (each.last_values for each in pieces)
    assert first is not None
    assert second is not None
    unknown = second < 0 if second.dtype.kind == "i" else np.isnan(second)
    leading = np.logical_and.accumulate(unknown, 0)
    return np.concatenate([first, np.where(leading, first[-1:], second)])
