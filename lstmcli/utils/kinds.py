"""What a file or a directory is, in words: for errors about one that stands in another's place."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

RUN_RECORD, SWEEP_RECORD = "run.json", "sweep.toml"
"""The files by which the directory of a run and that of a sweep are known."""
TABLE, TEXT, ARRAYS, CHECKPOINT = "a table", "a text", "a dataset of arrays", "a checkpoint"
RUN, SWEEP, SETTINGS = "the directory of a run", "the directory of a sweep", "a file of settings"
SPREADSHEET = "a spreadsheet"
HTML, JSON, RECORD = "an HTML page", "a JSON file", "the record of a run"
DATA = (TABLE, TEXT, ARRAYS)
WRITTEN_AS_TEXT = (HTML, JSON, RECORD, SETTINGS)
"""What a model of texts reads, too."""
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
    """What is there, by its records or its ending; `None` where that does not tell."""
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
    """An error's words for a path in the place of another kind; `None` where it may be that kind.

    Args:
        path: what was named.
        expected: what should have been, as in `a table`.
        fitting: kinds that are not wrong there, beside the expected one.
    """
    kind = kind_of(path)
    if kind is None or kind in (expected, *fitting):
        return None
    return f"`{path}` is {kind}, not {expected}"


def directory_of(path: Path) -> Path | None:
    """The directory of the run or the sweep that a file is part of: up to two levels above it."""
    for folder in (path.parent, path.parent.parent):
        if path.is_file() and kind_of(folder) in (RUN, SWEEP):
            return folder
    return None
