"""Datasets in files: `.npz`, or `.csv` with its metadata in a `.json` beside it."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from lstmcli.data.series import Series
from lstmcli.errors import FileError, UsageError
from lstmcli.files import write_atomically

FORMATS = (".npz", ".csv")


def check_format(path: Path) -> None:
    """Raises UsageError where the ending names no format of a dataset."""
    if path.suffix not in FORMATS:
        raise UsageError(
            f"a dataset's name ends in {' or '.join(FORMATS)}, got `{path.name}`",
            f"for example `{path.with_suffix('.npz').name}`",
        )


def files(path: Path) -> list[Path]:
    """The files that a dataset of this name consists of."""
    return [path, _beside(path)] if path.suffix == ".csv" else [path]


def write(path: Path, series: Series, metadata: Mapping[str, Any]) -> None:
    """Writes a dataset.

    Args:
        path: its ending names the format.
        series: the arrays.
        metadata: what else is known of it; the task, the classes and the SHA-256 are added.
    """
    check_format(path)
    known = {"task": dict(series.task), "classes": series.classes, "sha256": series.checksum()}
    text = json.dumps({**known, **metadata}, indent=2)
    inputs = series.inputs[:, 0] if series.features == 1 else series.inputs
    if path.suffix == ".npz":
        buffer = io.BytesIO()
        np.savez_compressed(buffer, inputs=inputs, targets=series.targets, metadata=np.array(text))
        write_atomically(path, buffer.getvalue())
    else:
        write_atomically(path, _to_csv(series).encode())
        write_atomically(_beside(path), f"{text}\n".encode())


def read(path: Path) -> tuple[Series, dict[str, Any]]:
    """Reads a dataset and its metadata.

    Raises:
        FileError: it is missing or damaged, or does not match its checksum.
    """
    check_format(path)
    if not path.is_file():
        raise FileError(f"there is no dataset `{path}`", f"`lstmcli generate {path}` makes one")
    try:
        inputs, targets, metadata = (_read_npz if path.suffix == ".npz" else _read_csv)(path)
        series = _series(inputs, targets, metadata)
    except Exception as error:  # A damaged file raises whatever its decoders do.
        raise FileError(
            f"`{path}` is not a dataset or is damaged: {error}",
            f"`lstmcli generate {path} --overwrite` makes it anew",
        ) from error
    if metadata.get("sha256", series.checksum()) != series.checksum():
        raise FileError(
            f"`{path}` does not match the checksum in its metadata: it is truncated or was changed",
            "generate it anew, or take the metadata away if the change is meant",
        )
    return series, metadata


def _series(
    inputs: npt.NDArray[Any], targets: npt.NDArray[Any], metadata: Mapping[str, Any]
) -> Series:
    if inputs.ndim not in (1, 2) or targets.ndim != 1 or len(inputs) != len(targets):
        raise ValueError(
            "expected inputs `[steps]` or `[steps, features]` and targets `[steps]`, got "
            f"{list(inputs.shape)} and {list(targets.shape)}"
        )
    if len(targets) == 0 or inputs.size == 0:
        raise ValueError("it holds no steps")
    with np.errstate(invalid="ignore", over="ignore"):  # What does not fit is refused below.
        whole, columns = targets.astype(np.int32), inputs.astype(np.float32)
    if not np.array_equal(whole, targets) or whole.min() < 0:
        raise ValueError("targets must be whole numbers from 0 on")
    if not np.isfinite(columns).all():
        raise ValueError("inputs must be finite numbers")
    classes = int(metadata.get("classes", max(2, int(whole.max()) + 1)))
    if whole.max() >= classes:
        raise ValueError(f"a target is {whole.max()}, but there are {classes} classes")
    return Series(columns.reshape(len(inputs), -1), whole, classes, metadata.get("task", {}))


def _read_npz(path: Path) -> tuple[npt.NDArray[Any], npt.NDArray[Any], dict[str, Any]]:
    # From memory, as NumPy leaves a file open that it cannot read.
    with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as arrays:
        text = str(arrays["metadata"]) if "metadata" in arrays else "{}"
        return arrays["inputs"], arrays["targets"], _metadata(text)


def _metadata(text: str) -> dict[str, Any]:
    metadata = json.loads(text)
    if not isinstance(metadata, dict) or not isinstance(metadata.get("task", {}), dict):
        raise ValueError("its metadata, and the task in them, must be JSON objects")
    return metadata


def _to_csv(series: Series) -> str:
    import pandas as pd

    with np.errstate(invalid="ignore"):
        whole = series.inputs.astype(np.int64)
    exact = whole.astype(np.float32).tobytes() == series.inputs.tobytes()  # Not for -0.0 or 2**63.
    inputs = whole if exact else series.inputs
    frame = pd.DataFrame(inputs, columns=_input_columns(series.features))
    frame["target"] = series.targets
    return str(frame.to_csv(index=False))


def _read_csv(path: Path) -> tuple[npt.NDArray[Any], npt.NDArray[Any], dict[str, Any]]:
    import pandas as pd

    frame = pd.read_csv(path)
    columns = _input_columns(frame.shape[1] - 1)
    if list(frame.columns) != [*columns, "target"]:
        raise ValueError(
            "expected the columns `input` (or `input_0`, `input_1` …) and `target`, got "
            + ", ".join(map(str, frame.columns))
        )
    beside = _beside(path)
    metadata = _metadata(beside.read_text()) if beside.is_file() else {}
    return frame[columns].to_numpy(), frame["target"].to_numpy(), metadata


def _beside(path: Path) -> Path:
    """Where a CSV file's metadata lie."""
    return path.with_suffix(".json")


def _input_columns(features: int) -> list[str]:
    return ["input"] if features == 1 else [f"input_{feature}" for feature in range(features)]
