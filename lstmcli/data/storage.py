"""Datasets in files: `.npz`, or `.csv` with its metadata in a `.json` beside it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from lstmcli import memory
from lstmcli.columns import Schema, plain
from lstmcli.config import DataConfig
from lstmcli.data import archive, beside, comma_separated
from lstmcli.data.cells import to_series
from lstmcli.data.conversion import fit, one_hot, standardised
from lstmcli.data.series import Series
from lstmcli.data.split import Parts, by_sequence, by_time
from lstmcli.errors import FileError, LstmcliError, UsageError, pasteable
from lstmcli.files import check_writable, write_atomically

FORMATS = (".npz", ".csv")


def check_format(path: Path) -> None:
    """Raises UsageError where the ending names no format of a dataset."""
    if path.suffix not in FORMATS:
        raise UsageError(
            f"a dataset's name ends in {' or '.join(FORMATS)}, got `{path.name}`",
            f"for example `{path.name.partition('.')[0] or 'x'}.npz`",
        )


def files(path: Path) -> list[Path]:
    """The files that a dataset of this name consists of."""
    return [path, beside.file_of(path)] if path.suffix == ".csv" else [path]


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


def as_written(series: Series) -> Series:
    """What `read` gives of a series after `write`: an echo series' symbols are one-hot."""
    drawn = series.task.get("name") == "echo" and series.schema.symbols
    return one_hot(series) if drawn else series


def write(path: Path, series: Series, metadata: Mapping[str, Any]) -> None:
    """Writes a dataset.

    A series whose columns have no names, as those of echo, is written as ever: inputs and classes.
    Any other has its arrays by their names, and its schema in the metadata.

    Args:
        path: its ending names the format.
        series: the arrays.
        metadata: what else is known of it; the task, the classes, the SHA-256 of the arrays, the
            format and the seal of the whole file are added.
    """
    check_format(path)
    series = as_written(series)
    classes = {"classes": series.classes} if series.classes else {}
    known = {"task": dict(series.task), **classes, "sha256": series.checksum()}
    arrays: dict[str, Any] = series.arrays
    if series.schema == plain(len(series.schema.numbers), series.classes) and len(arrays) == 2:
        arrays = {"inputs": _flat(series.numbers), "targets": series.targets}
    else:
        known["schema"] = series.schema.to_dict()
    known |= {**metadata, "lstmcli_format": beside.FORMAT}
    if path.suffix == ".npz":
        text = np.array(json.dumps(known, indent=2))
        write_atomically(path, archive.to_bytes({**arrays, "metadata": text}))
    else:
        table = comma_separated.to_text(series.arrays).encode()
        # The metadata first: alone they are known as ours, the table is not.
        write_atomically(beside.file_of(path), beside.to_bytes(known, table))
        write_atomically(path, table)


def read(path: Path, numbers: bool = False) -> tuple[Series, dict[str, Any]]:
    """Reads a dataset and its metadata.

    Args:
        path: its ending names the format.
        numbers: whether targets of which the file says nothing are numbers, whole or not.

    Raises:
        FileError: it is missing or damaged, is no series, or does not match its checksum.
    """
    check_format(path)
    if path.exists() and not path.is_file():
        why = "is a directory" if path.is_dir() else "is no ordinary file"
        raise FileError(f"`{path}` {why}, expected the file of a dataset", "name such a file")
    if not path.is_file():
        raise FileError(
            f"there is no dataset `{path}`", f"`lstmcli generate {pasteable(path)}` makes one"
        )
    try:
        series, metadata = (_read_npz if path.suffix == ".npz" else _read_csv)(path, numbers)
    except LstmcliError:
        raise
    except Exception as error:  # A damaged file raises whatever its decoders do.
        example = f"example{path.suffix}"
        raise FileError(
            f"`{path}` is not a dataset or is damaged: {error}",
            f"`lstmcli generate {example}` writes one to compare it with",
        ) from error
    if metadata.get("sha256", series.checksum()) != series.checksum():
        raise _changed(path)
    return series, metadata


def check_seal(table: Path) -> None:
    """Checks a `.csv` dataset that `write` has sealed; any other table passes.

    Raises:
        FileError: it is not as it was sealed.
    """
    if beside.is_whole(table) is False:
        raise _changed(table)


def is_ours(path: Path) -> bool:
    """Whether a dataset that is there is as `write` wrote it: replacing it loses nobody's work."""
    try:
        if path.suffix != ".csv":
            metadata = read(path)[1]
        elif path.exists():
            metadata = read(path)[1] if beside.file_of(path).is_file() else {}
        else:
            metadata = beside.read(path)
    except (LstmcliError, OSError, ValueError):
        return False
    return "sha256" in metadata and "name" in metadata.get("task", {})


def read_parts(config: DataConfig) -> tuple[Parts, list[str]]:
    """The three parts of the dataset that the settings name, and what is odd about it.

    One endless series is cut by time, sequences are drawn by the split seed. A part that has a file
    of its own takes no share of the main one. Targets that are numbers in a stranger's file are
    standardised by the training part.

    Raises:
        FileError: a file is missing or damaged or does not fit the main one, or a part has nothing
            to score.
    """
    path = Path(str(config.data))
    series, metadata = read(path)
    training, *held_out = _divided(series, config)
    for position, file in enumerate((config.val_data, config.test_data)):
        if file is not None:
            held_out[position] = _read_alike(Path(file), training, path)
    parts = Parts(training, *held_out)
    _check_parts(path, len(series.bounds()) - 1, parts, config)
    return parts if "schema" in metadata else standardised(parts), _notes(path, series)


def read_whole(path: Path, schema: Schema, _: DataConfig) -> tuple[Series, list[str]]:
    """A whole file, as a model with this schema sees it, and what is odd about it.

    Raises:
        FileError: the file is missing or damaged, or does not fit the model.
    """
    series = read(path, schema.classes is None)[0]
    hint = "`lstmcli inspect CHECKPOINT` shows what it was trained on"
    fitted = fit(series, schema, "the data", "the model was trained on", hint)
    return fitted, _notes(path, series)


def _read_alike(file: Path, training: Series, path: Path) -> Series:
    """The file of another part, as the training part is.

    Raises:
        FileError: its columns are others, or one of the two alone has sequences.
    """
    series, _ = read(file, training.schema.classes is None)
    hint = "the parts of a dataset must be alike"
    if (series.starts is None) != (training.starts is None):
        names = f"`{file}`", f"`{path}`"
        with_starts, without = names if training.starts is None else names[::-1]
        raise FileError(f"{with_starts} has `starts` of sequences, {without} has none", hint)
    return fit(series, training.schema, f"`{file}`", f"`{path}` has", hint)


def _divided(series: Series, config: DataConfig) -> list[Series]:
    """The training, the validation and the test part of the main file."""
    shares = (
        0.0 if config.val_data else config.val_fraction,
        0.0 if config.test_data else config.test_fraction,
    )
    if series.starts is None:
        return [series.part(steps) for steps in by_time(len(series), *shares)]
    sequences = len(series.bounds()) - 1
    return [series.pick(each) for each in by_sequence(sequences, *shares, config.split_seed)]


def _check_parts(path: Path, sequences: int, parts: Parts, config: DataConfig) -> None:
    """Raises FileError where a file has too few sequences for its parts, or one counts nowhere."""
    wanted = (1, config.val_data or config.val_fraction, config.test_data or config.test_fraction)
    empty = [not len(part) and bool(share) for part, share in zip(parts, wanted, strict=True)]
    if parts.training.starts is not None and any(empty):
        raise FileError(
            f"`{path}` has {sequences} sequence(s): too few for a training, a validation and a "
            "test part",
            "use a file with more, or name one for a part with `--val-data` or `--test-data`",
        )
    for name, part in zip(parts._fields, parts, strict=True):
        if part.scored is not None and len(part) and not part.scored.any():
            raise FileError(
                f"none of the {len(part):,} steps of the {name} part of `{path}` is scored",
                "use a longer file, or give the part a larger fraction or a file of its own",
            )


def _notes(path: Path, series: Series) -> list[str]:
    """Says how many steps of an endless series do not count."""
    if series.scored is None or series.starts is not None:
        return []
    missing = len(series) - int(series.scored.sum())
    return [f"{missing:,} of the {len(series):,} steps of `{path}` are not scored"]


def _changed(path: Path) -> FileError:
    where = f"`{beside.file_of(path)}`" if path.suffix == ".csv" else "its metadata"
    return FileError(
        f"`{path}` does not match the checksum in {where}: it is truncated or was changed",
        f"if the change is meant, take {where} away; else generate it anew under another name",
    )


def _read_npz(path: Path, numbers: bool) -> tuple[Series, dict[str, Any]]:
    memory.check_file(path, path.stat().st_size)
    content = path.read_bytes()
    is_whole = archive.is_whole(content)
    if is_whole is False:
        raise _changed(path)
    found = archive.read(content, (*comma_separated.PREFIXES, "inputs", "metadata"))
    metadata = beside.checked(json.loads(str(found["metadata"]) if "metadata" in found else "{}"))
    beside.check_format(path, metadata)
    if is_whole is None and "lstmcli_format" in metadata:
        raise _changed(path)  # Where the seal was is damaged.
    # `numbers` are `inputs` where there is nothing else.
    names = {name: name for name in comma_separated.PREFIXES if name in found}
    if "inputs" in found:
        names.setdefault("numbers", "inputs")
    arrays = {name: found[its] for name, its in names.items()}
    if "targets" not in found:
        raise ValueError("it has no `targets`")
    arrays["targets"] = found["targets"]

    def cell(name: str, step: int, column: int) -> tuple[str, str]:
        values = np.ravel(arrays[name][step])
        place = f"`{path}`, step {step} (from 0 on) of `{names[name]}`"
        return f"{place}, column {column}" if len(values) > 1 else place, str(values[column])

    return to_series(arrays, metadata, cell, numbers or None), metadata


def _read_csv(path: Path, numbers: bool) -> tuple[Series, dict[str, Any]]:
    comma_separated.columns_of(path)  # Of another table, what lies beside it is another's too.
    metadata = beside.read(path) if beside.file_of(path).is_file() else {}
    beside.check_format(path, metadata)
    arrays, cell = comma_separated.read(path)
    series = to_series(arrays, metadata, cell, numbers, exact=True)
    is_whole = beside.is_whole(path)  # Last, as a cell that is wrong is better named.
    if is_whole is False or (is_whole is None and "lstmcli_format" in metadata):
        raise _changed(path)
    return series, metadata


def _flat(columns: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """A single column as `[steps]`."""
    return columns[:, 0] if columns.shape[1] == 1 else columns
