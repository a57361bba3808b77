"""The kind of a file or directory, in words, for errors about the wrong kind of path."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

RUN_RECORD, SWEEP_RECORD = "run.json", "sweep.toml"
"""The files that identify the directory of a run and that of a sweep."""
TABLE, TEXT, ARRAYS, CHECKPOINT = "a table", "a text", "a dataset of arrays", "a checkpoint"
RUN, SWEEP, SETTINGS = "the directory of a run", "the directory of a sweep", "a file of settings"
SPREADSHEET = "a spreadsheet"
HTML, JSON, RECORD = "an HTML page", "a JSON file", "the record of a run"
DATA = (TABLE, TEXT, ARRAYS)
WRITTEN_AS_TEXT = (HTML, JSON, RECORD, SETTINGS)
"""Kinds that can also be read as text data."""
BY_ENDING = {
    **dict.fromkeys((".csv", ".csv.gz", ".tsv", ".parquet"), TABLE),
    **dict.fromkeys((".png", ".jpg", ".jpeg", ".svg"), "a picture"),
    **dict.fromkeys((".xlsx", ".xls", ".ods"), SPREADSHEET),
    ".txt": TEXT,
    ".npz": ARRAYS,
    ".pdf": "a PDF file",
    ".html": HTML,
    ".toml": SETTINGS,
    ".json": JSON,
    ".safetensors": CHECKPOINT,
    ".keras": "a Keras model",
    ".onnx": "an ONNX model",
}


def kind_of(path: Path) -> str | None:
    """The kind of a path, from its record file or its extension; `None` if these do not tell."""
    if path.is_dir():
        if (path / RUN_RECORD).is_file():
            return RUN
        if (path / SWEEP_RECORD).is_file():
            return SWEEP
        with suppress(PermissionError):
            return "a directory" if any(path.iterdir()) else "an empty directory"
        return "a directory"
    if not path.is_file():
        return None
    if path.name == RUN_RECORD:
        return RECORD
    return next((kind for end, kind in BY_ENDING.items() if path.name.lower().endswith(end)), None)


def mismatch(path: Path, expected: str, *fitting: str) -> str | None:
    """The message for a path of the wrong kind; `None` if it may be of the expected kind.

    Args:
        path: the path.
        expected: the expected kind, for example `a table`.
        fitting: other accepted kinds.
    """
    kind = kind_of(path)
    if kind is None or kind in (expected, *fitting):
        return None
    return f"`{path}` is {kind}, not {expected}"


def directory_of(path: Path) -> Path | None:
    """The directory of the run or sweep that a file belongs to: at most two levels above it."""
    for folder in (path.parent, path.parent.parent):
        if path.is_file() and kind_of(folder) in (RUN, SWEEP):
            return folder
    return None
