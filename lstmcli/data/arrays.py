"""Datasets in files: `.npz`, or `.csv` with its metadata in a `.json` file next to it.

Also converts a series to another schema: other scales, one-hot inputs or symbols.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from lstmcli.config import DataConfig
from lstmcli.data import csv_series, npz
from lstmcli.data.schema import Numeric, Schema, plain, rescaled, symbol_type
from lstmcli.data.series import (
    Parts,
    Series,
    no_numbers,
    no_symbols,
    split_by_sequence,
    split_by_time,
)
from lstmcli.data.validation import to_series
from lstmcli.utils import memory
from lstmcli.utils.errors import FileError, LstmcliError, UsageError, plural, shell_quote
from lstmcli.utils.files import check_writable, write_atomically

FORMATS = (".npz", ".csv")


def check_format(path: Path) -> None:
    """Raises UsageError if the ending is not that of a dataset."""
    if path.suffix not in FORMATS:
        raise UsageError(
            f"a dataset's name must end in {' or '.join(FORMATS)}, got `{path.name}`",
            f"for example `{path.name.partition('.')[0] or 'x'}.npz`",
        )


def dataset_files(path: Path) -> list[Path]:
    """The files of a dataset."""
    return [path, csv_series.sidecar_of(path)] if path.suffix == ".csv" else [path]


def check_free(path: Path, overwrite: bool) -> None:
    """Checks that a dataset may be written.

    Raises:
        UsageError: the ending is wrong, the directory is not writable, or there is a file that must
            not be replaced.
    """
    check_format(path)
    for file in dataset_files(path):
        check_writable(file)
    there = [file for file in dataset_files(path) if file.exists()]
    if there and not is_ours(path):
        raise UsageError(
            f"`{there[-1]}` already exists, and `lstmcli generate` did not write it, or it has "
            "changed since",
            "choose another name",
        )
    if there and not overwrite:
        raise UsageError(f"`{there[0]}` already exists", "pass `--overwrite` to replace it")


def as_written(series: Series) -> Series:
    """The series that `read` returns after `write`: symbols of the echo task are one-hot."""
    drawn = series.task.get("name") == "echo" and series.schema.symbols
    return one_hot(series) if drawn else series


def write(path: Path, series: Series, metadata: Mapping[str, Any]) -> None:
    """Writes a dataset.

    A series without column names, as of the echo task, is written as `inputs` and `targets`; any
    other with its arrays by name, and its schema in the metadata.

    Args:
        path: its ending decides the format.
        series: the arrays.
        metadata: further metadata; the task, the classes, the SHA-256 of the arrays, the format and
            the checksum of the whole file are added.
    """
    check_format(path)
    series = as_written(series)
    classes = {"classes": series.classes} if series.classes else {}
    # The format comes first and the checksum last: no damage in one place takes away both, so that
    # the file would pass for an older one, without a checksum.
    known: dict[str, Any] = {"lstmcli_format": csv_series.SIDECAR_FORMAT}
    known |= {"task": dict(series.task), **classes, "sha256": series.checksum()}
    arrays: dict[str, Any] = series.arrays
    if series.schema == plain(len(series.schema.numbers), series.classes) and len(arrays) == 2:
        arrays = {"inputs": _flat(series.numbers), "targets": series.targets}
    else:
        known["schema"] = series.schema.to_dict()
    known |= metadata
    if path.suffix == ".npz":
        text = np.array(json.dumps(known, indent=2))
        write_atomically(path, npz.to_bytes({**arrays, "metadata": text}))
    else:
        table = csv_series.csv_text(series.arrays).encode()
        # Metadata first: without a table they are recognised as ours; a table alone is not.
        write_atomically(csv_series.sidecar_of(path), csv_series.sidecar_bytes(known, table))
        write_atomically(path, table)


def read(path: Path, numbers: bool = False) -> tuple[Series, dict[str, Any]]:
    """Reads a dataset and its metadata.

    Args:
        path: its ending decides the format.
        numbers: whether targets are numbers, not classes, if the file does not say.

    Raises:
        FileError: it is missing or damaged, is not a series, or does not match its checksum.
    """
    check_format(path)
    if path.exists() and not path.is_file():
        why = "is a directory" if path.is_dir() else "is not a regular file"
        raise FileError(f"`{path}` {why}, expected a dataset's file", "name such a file")
    if not path.is_file():
        raise FileError(
            f"there is no dataset `{path}`", f"`lstmcli generate {shell_quote(path)}` makes one"
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
    """Checks the checksum of a `.csv` dataset; a table without one passes.

    Raises:
        FileError: the checksum does not match.
    """
    if csv_series.is_unchanged(table) is False:
        raise _changed(table)


def is_ours(path: Path) -> bool:
    """Whether a dataset is unchanged since `write`, so that replacing it loses no work."""
    try:
        if path.suffix != ".csv":
            metadata = read(path)[1]
        elif path.exists():
            metadata = read(path)[1] if csv_series.sidecar_of(path).is_file() else {}
        else:
            metadata = csv_series.read_sidecar(path)
    except (LstmcliError, OSError, ValueError):
        return False
    return "sha256" in metadata and "name" in metadata.get("task", {})


def read_parts(config: DataConfig) -> tuple[Parts, list[str]]:
    """The three parts of the settings' dataset, and notes about it.

    One long series is split by time, sequences at random by the split seed. A part with its own
    file takes nothing from the main one. Numeric targets of a file without a schema are
    standardised by the training part.

    Raises:
        FileError: a file is missing, damaged or does not fit the main one, or a part has no scored
            step.
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
    """A whole file in a model's schema, and notes about it.

    Raises:
        FileError: the file is missing or damaged, or does not fit the model.
    """
    series = read(path, schema.classes is None)[0]
    hint = "`lstmcli inspect CHECKPOINT` shows what it was trained on"
    fitted = fit_to_schema(series, schema, "the data", "the model was trained on", hint)
    return fitted, _notes(path, series)


def _read_alike(file: Path, training: Series, path: Path) -> Series:
    """The file of another part, in the training part's schema.

    Raises:
        FileError: its columns differ, or only one of the two has sequences.
    """
    series, _ = read(file, training.schema.classes is None)
    hint = "all parts of a dataset must have the same columns"
    if (series.starts is None) != (training.starts is None):
        names = f"`{file}`", f"`{path}`"
        with_starts, without = names if training.starts is None else names[::-1]
        raise FileError(
            f"{with_starts} has `starts` of sequences, but {without} has not",
            "either all parts of a dataset must have sequences, or none",
        )
    return fit_to_schema(series, training.schema, f"`{file}`", f"`{path}` has", hint)


def _divided(series: Series, config: DataConfig) -> list[Series]:
    """The training, the validation and the test part of the main file."""
    shares = (
        0.0 if config.val_data else config.val_fraction,
        0.0 if config.test_data else config.test_fraction,
    )
    if series.starts is None:
        return [series.part(steps) for steps in split_by_time(len(series), *shares)]
    sequences = len(series.bounds()) - 1
    return [series.pick(each) for each in split_by_sequence(sequences, *shares, config.split_seed)]


def _check_parts(path: Path, sequences: int, parts: Parts, config: DataConfig) -> None:
    """Raises FileError if there are too few sequences, or a part has no scored step."""
    wanted = (1, config.val_data or config.val_fraction, config.test_data or config.test_fraction)
    empty = [not len(part) and bool(share) for part, share in zip(parts, wanted, strict=True)]
    if parts.training.starts is not None and any(empty):
        raise FileError(
            f"`{path}` has {sequences} {plural(sequences, 'sequence')}: too few for a training, a "
            "validation and a test part",
            "use a file with more, or a separate file for `--val-data` or `--test-data`",
        )
    for name, part in zip(parts._fields, parts, strict=True):
        if part.scored is not None and len(part) and not part.scored.any():
            raise FileError(
                f"none of the {len(part):,} steps of the {name} part of `{path}` is scored",
                "use a longer file, or give the part a larger fraction or a separate file",
            )


def _notes(path: Path, series: Series) -> list[str]:
    """A note on how many steps of a long series are not scored."""
    if series.scored is None or series.starts is not None:
        return []
    missing = len(series) - int(series.scored.sum())
    return [f"{missing:,} of the {len(series):,} steps of `{path}` are not scored"]


def _changed(path: Path) -> FileError:
    where = f"`{csv_series.sidecar_of(path)}`" if path.suffix == ".csv" else "its metadata"
    return FileError(
        f"`{path}` does not match the checksum in {where}: it is truncated or was changed",
        f"if the change is intended, remove {where}; else generate it again under another name",
    )


def _read_npz(path: Path, numbers: bool) -> tuple[Series, dict[str, Any]]:
    memory.check_file(path, path.stat().st_size)
    content = path.read_bytes()
    is_whole = npz.is_whole(content)
    if is_whole is False:
        raise _changed(path)
    found = npz.read(content, (*csv_series.PREFIXES, "inputs", "metadata"))
    metadata = csv_series.checked_metadata(
        json.loads(str(found["metadata"]) if "metadata" in found else "{}")
    )
    csv_series.check_sidecar_format(path, metadata)
    if is_whole is None and "lstmcli_format" in metadata:
        raise _changed(path)  # The checksum itself is damaged.
    # `numbers` are `inputs` where there is nothing else.
    names = {name: name for name in csv_series.PREFIXES if name in found}
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
    csv_series.columns_of(path)  # First: another table's `.json` file is not its metadata.
    metadata = csv_series.read_sidecar(path) if csv_series.sidecar_of(path).is_file() else {}
    csv_series.check_sidecar_format(path, metadata)
    arrays, cell = csv_series.read_arrays(path)
    series = to_series(arrays, metadata, cell, numbers, exact=True)
    is_whole = csv_series.is_unchanged(path)  # Last, as an error that names a cell says more.
    if is_whole is False or (is_whole is None and "lstmcli_format" in metadata):
        raise _changed(path)
    return series, metadata


def _flat(columns: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """A single column as `[steps]`."""
    return columns[:, 0] if columns.shape[1] == 1 else columns


def one_hot(series: Series) -> Series:
    """A series of one categorical input, one-hot: a number for each value, as files hold it."""
    size = series.schema.symbols[0].size
    numbers = np.eye(size, dtype=np.float32)[series.symbols[:, 0]]
    columns = tuple(Numeric(f"input_{number}") for number in range(size))
    schema = replace(series.schema, numbers=columns, symbols=())
    return replace(series, schema=schema, numbers=numbers, symbols=no_symbols(len(series)))


def fit_to_schema(series: Series, schema: Schema, name: str, other: str, hint: str) -> Series:
    """A series converted to a schema.

    Args:
        series: with its own schema.
        schema: the new schema.
        name: the series' name, for an error.
        other: the schema's owner, for an error.
        hint: what to do about an error.

    Raises:
        FileError: it has other inputs, another target or more classes.
    """
    series = _alike(series, schema)
    if not _fits(series.schema, schema):
        raise FileError(
            f"{name} has {_features(series.schema)} and "
            f"{series.schema.target_kind.range_name}, "
            f"{other} {_other(series.schema, schema)}",
            hint,
        )
    return _rescaled(series, schema)


def standardised(parts: Parts) -> Parts:
    """Parts with numeric targets standardised by the training part's mean and scale."""
    training = parts.training
    targets = training.targets if training.scored is None else training.targets[training.scored]
    own = training.schema.numeric_targets
    if not own or not len(targets):
        return parts
    means, deviations = targets.mean(0, dtype=np.float64), targets.std(0, dtype=np.float64)
    columns = tuple(
        Numeric(column.name, float(mean), float(deviation) or 1.0)
        for column, mean, deviation in zip(
            training.schema.numeric_targets, means, deviations, strict=True
        )
    )
    schema = replace(training.schema, target=columns)
    whole = training.recording and _rescaled(training.recording, schema)
    return Parts(*(_part_of(whole, part) or _rescaled(part, schema) for part in parts))


def _part_of(recording: Series | None, part: Series) -> Series | None:
    """The same steps of a recording; `None` if the part has none."""
    if recording is None or part.recording is None:
        return None
    return recording.part(slice(part.offset, part.offset + len(part)))


def _alike(series: Series, schema: Schema) -> Series:
    """The series with one-hot numbers as symbols or the reverse, as the schema has them."""
    own, wanted = series.schema, [column.size for column in schema.symbols]
    if not own.numbers and len(own.symbols) == 1 and not wanted:
        return one_hot(series)
    if own.symbols or schema.numbers or wanted != [len(own.numbers)]:
        return series
    numbers = series.numbers
    if not ((numbers == 0) | (numbers == 1)).all() or (numbers.sum(1) != 1).any():
        return series
    symbols = numbers.argmax(1)[:, None].astype(symbol_type(wanted[0]))
    return replace(
        series,
        schema=replace(own, numbers=(), symbols=schema.symbols),
        numbers=no_numbers(len(series)),
        symbols=symbols,
    )


def _fits(own: Schema, wanted: Schema) -> bool:
    sizes, known = ([column.size for column in each.symbols] for each in (own, wanted))
    if len(own.numbers) != len(wanted.numbers) or len(sizes) != len(known):
        return False
    if any(size > most for size, most in zip(sizes, known, strict=True)):
        return False
    return own.target_kind.fits(wanted.target_kind)


def _inputs(schema: Schema) -> int:
    return schema.spec(False, False).features


def _features(schema: Schema) -> str:
    """`1 feature`, `2 features`."""
    return f"{(count := _inputs(schema))} {plural(count, 'feature')}"


def _other(own: Schema, schema: Schema) -> str:
    """Another schema's features and target, in words that follow those of the own one."""
    target = schema.target_kind
    if own.target_kind.head == target.head:
        return f"{_inputs(schema)} and {target.size}"
    return f"{_features(schema)} and {target.range_name}"


def _rescaled(series: Series, schema: Schema) -> Series:
    """The series with a schema's means and scales; if they are equal, its bits stay the same."""
    own = series.schema
    targets = own.target_kind.rescaled(series.targets, schema.target_kind)
    numbers = rescaled(series.numbers, own.numbers, schema.numbers)
    symbols = series.symbols.astype(symbol_type(max((c.size for c in schema.symbols), default=0)))
    return replace(series, schema=schema, numbers=numbers, targets=targets, symbols=symbols)
