"""Whether a run's data can be cut as its settings say."""

from __future__ import annotations

import math
from pathlib import Path

from lstmcli.config import Config, DataConfig, TrainingConfig
from lstmcli.data.layout import Layout
from lstmcli.data.series import Series
from lstmcli.data.split import Parts
from lstmcli.errors import FileError, UsageError


def check_parts(config: Config, parts: Parts) -> None:
    """Raises FileError where a part of a dataset is too short to train on, or to be scored."""
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
    """Raises UsageError where a row of a series has no label of which all bits are seen."""
    row = config.series_length // rows
    if config.task == "parity" and config.bits > row:
        raise UsageError(
            f"there is nothing to learn: a label is the parity of `--bits {config.bits}`, and "
            f"{'a row' if rows > 1 else 'the series'} has {row} steps",
            f"pass `--bits {row}` or less, or a longer `--series-length`",
        )


def check_split_seed(config: DataConfig, parts: Parts) -> None:
    """Raises UsageError where no sequences are divided."""
    if config.split_seed and not parts.training.has_sequences:
        raise UsageError(
            f"`--split-seed` has no effect on `{config.data}`: it has no sequences, and one long "
            "series is divided by time",
            "leave `--split-seed` out",
        )


def check_whole(config: Config, series: Series, file: Path) -> None:
    """Raises FileError where a dataset is too short to be scored."""
    rows, bptt = config.training.rows, config.training.steps
    if series.starts is None and Layout(len(series), rows, bptt).windows == 0:
        raise FileError(
            f"`{file}` is too short: it has {len(series)} steps, but {rows} rows of one window of "
            f"{bptt} steps, as the model was trained on, need {rows * bptt}",
            "score it on a longer file, or without `--data`",
        )


def _longer_parts(name: str, steps: int, training: TrainingConfig, length: int) -> str:
    """How a dataset gets parts that are long enough: by a fraction, or by smaller windows."""
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
