"""Datasets in files: `.npz`, or `.csv` with its metadata in a `.json` beside it."""

from __future__ import annotations

import csv
import io
import json
import warnings
from collections.abc import Mapping
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lstmcli.data.cells import to_series
from lstmcli.data.series import Series
from lstmcli.errors import FileError, LstmcliError, UsageError, pasteable
from lstmcli.files import check_writable, write_atomically

if TYPE_CHECKING:
    import pandas as pd

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


def check_free(path: Path, overwrite: bool) -> None:
    """Refuses a name under which no dataset may be written.

    Raises:
        UsageError: it names no format, its directory cannot be written to, or a file is there that
            is not to be replaced.
    """
    check_format(path)
    for file in files(path):
        check_writable(file)
    there = [file for file in files(path) if file.exists()]
    if there and not is_ours(path):
        raise UsageError(
            f"`{there[-1]}` is there already, and is not as `lstmcli generate` wrote it: it is "
            "not replaced",
            "choose another name",
        )
    if there and not overwrite:
        raise UsageError(f"`{there[0]}` is there already", "pass `--overwrite` to replace it")


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
        # The metadata first: alone they are known as ours, the table is not.
        write_atomically(_beside(path), f"{text}\n".encode())
        write_atomically(path, _to_csv(series).encode())


def read(path: Path) -> tuple[Series, dict[str, Any]]:
    """Reads a dataset and its metadata.

    Raises:
        FileError: it is missing or damaged, is no series, or does not match its checksum.
    """
    check_format(path)
    if not path.is_file():
        raise FileError(
            f"there is no dataset `{path}`", f"`lstmcli generate {pasteable(path)}` makes one"
        )
    try:
        series, metadata = (_read_npz if path.suffix == ".npz" else _read_csv)(path)
    except LstmcliError:
        raise
    except Exception as error:  # A damaged file raises whatever its decoders do.
        example = f"example{path.suffix}"
        raise FileError(
            f"`{path}` is not a dataset or is damaged: {error}",
            f"`lstmcli generate {example}` writes one to compare it with",
        ) from error
    if metadata.get("sha256", series.checksum()) != series.checksum():
        where = f"`{_beside(path)}`" if path.suffix == ".csv" else "its metadata"
        raise FileError(
            f"`{path}` does not match the checksum in {where}: it is truncated or was changed",
            f"if the change is meant, take {where} away; else generate it anew under another name",
        )
    return series, metadata


def is_ours(path: Path) -> bool:
    """Whether a dataset that is there is as `write` wrote it: replacing it loses nobody's work."""
    beside = _beside(path)
    try:
        if path.suffix != ".csv":
            metadata = read(path)[1]
        elif path.exists():
            metadata = read(path)[1] if beside.is_file() else {}
        else:
            metadata = _metadata(beside)
    except (LstmcliError, OSError, ValueError):
        return False
    return "sha256" in metadata and "name" in metadata.get("task", {})


def _read_npz(path: Path) -> tuple[Series, dict[str, Any]]:
    # From memory, as NumPy leaves a file open that it cannot read.
    with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as arrays:
        text = str(arrays["metadata"]) if "metadata" in arrays else "{}"
        inputs, targets = arrays["inputs"], arrays["targets"]

    def cell(step: int, column: int | None) -> tuple[str, str]:
        if column is None:
            return f"`{path}`, step {step} (from 0 on) of `targets`", str(targets[step])
        values = np.ravel(inputs[step])
        place = f"`{path}`, step {step} (from 0 on) of `inputs`"
        return f"{place}, column {column}" if len(values) > 1 else place, str(values[column])

    metadata = _checked(json.loads(text))
    return to_series(inputs, targets, metadata, cell), metadata


def _metadata(beside: Path) -> dict[str, Any]:
    """What the file beside a CSV file says."""
    try:
        return _checked(json.loads(beside.read_text()))
    except ValueError as error:
        raise ValueError(f"its metadata, `{beside}`: {error}") from error


def _checked(metadata: Any) -> dict[str, Any]:
    if not isinstance(metadata, dict) or not isinstance(metadata.get("task", {}), dict):
        raise ValueError("the metadata, and the task in them, must be JSON objects")
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


def _read_csv(path: Path) -> tuple[Series, dict[str, Any]]:
    import pandas as pd

    frame = _read_frame(path)
    columns = _input_columns(frame.shape[1] - 1)
    if list(frame.columns) != [*columns, "target"]:
        raise ValueError(
            "expected the columns `input` (or `input_0`, `input_1` and so on) and `target`, got "
            + ", ".join(map(str, frame.columns))
        )
    frame = frame.apply(pd.to_numeric, errors="coerce")
    beside = _beside(path)
    metadata = _metadata(beside) if beside.is_file() else {}
    inputs, targets = frame[columns].to_numpy(np.float64), frame["target"].to_numpy()
    return to_series(inputs, targets, metadata, partial(_csv_cell, path)), metadata


def _read_frame(path: Path) -> pd.DataFrame:
    """The table as it stands; a first column without a name is not taken for names of rows."""
    import pandas as pd

    with warnings.catch_warnings():
        warnings.simplefilter("error", pd.errors.ParserWarning)
        try:
            return pd.read_csv(path, index_col=False, low_memory=False)
        except pd.errors.ParserWarning as error:
            raise ValueError("its rows have more cells than its first line has names") from error


def _csv_cell(path: Path, step: int, column: int | None) -> tuple[str, str]:
    """Place and value of a cell; lines are counted as an editor does, the header's is 1."""
    with path.open(newline="", encoding="utf-8-sig") as file:
        reader = csv.reader(file)
        # As pandas reads it: empty lines are none.
        lines = (row for row in reader if len(row) > 1 or "".join(row).strip())
        names = next(lines)
        row = next(islice(lines, step, None))
        position = len(names) - 1 if column is None else column
        value = row[position] if position < len(row) else ""
        return f"`{path}`, line {reader.line_num}, column `{names[position]}`", value


def _beside(path: Path) -> Path:
    """Where a CSV file's metadata lie."""
    return path.with_suffix(".json")


def _input_columns(features: int) -> list[str]:
    return ["input"] if features == 1 else [f"input_{feature}" for feature in range(features)]
