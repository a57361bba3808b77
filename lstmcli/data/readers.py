"""Chooses the reader of a dataset's file, by its ending and its first line."""

from __future__ import annotations

import filecmp
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain, combinations, product
from pathlib import Path
from types import ModuleType

from lstmcli.config import OF_TABLES, DataConfig
from lstmcli.data import arrays, continuation, csv_series, text
from lstmcli.data.schema import Schema
from lstmcli.data.series import Parts, Series
from lstmcli.data.table import load as table
from lstmcli.utils import files, kinds
from lstmcli.utils.errors import FileError, UsageError, shell_quote
from lstmcli.utils.settings import option_name

TABLES = (".csv", ".csv.gz", ".tsv", ".parquet")
ENCODED = (".txt", ".csv", ".csv.gz", ".tsv")
"""Endings of files that are text, and so have an encoding."""
ENDINGS: dict[str, ModuleType] = {".txt": text, ".npz": arrays}
KINDS = {text: "text", table: "table"}
"""The kind of data that a reader returns; `arrays` returns any kind."""


def read_parts(config: DataConfig, known: Schema | None = None) -> tuple[Parts, list[str]]:
    """The three parts of the settings' dataset, and notes about it.

    Args:
        config: the settings.
        known: the schema of a model that reads it, whose vocabulary (of a text) or autoregression
            (of a table) is used.

    Raises:
        FileError: the file is missing, damaged or does not fit the settings.
        UsageError: its ending is unknown, or a setting has no effect on this kind of file.
    """
    path = Path(str(config.data))
    reader = _reader(path, config)
    for file in (config.val_data, config.test_data):
        _check_same_kind(path, reader, file)
    _check_different(config)
    with _bounded(path):
        if reader in KINDS and known is not None and known.kind == KINDS[reader]:
            parts, notes = reader.read_parts(config, known)
        else:
            parts, notes = reader.read_parts(config)
    return continuation.continued(parts, config) if config.continues else parts, notes


def read_whole(
    path: Path, schema: Schema, config: DataConfig, to_score: bool = True
) -> tuple[Series, list[str]]:
    """A whole file in a model's schema, and notes about it.

    Args:
        path: the file.
        schema: the model's.
        config: the settings of the file.
        to_score: whether a table must have targets.

    Raises:
        FileError: the file is missing or damaged, or does not fit the model.
    """
    reader = _whole_reader(path, schema)
    kind = KINDS.get(reader, schema.kind)
    if kind != schema.kind:
        raise FileError(
            f"`{path}` is a {kind}, but the model was trained on "
            f"{'a ' + schema.kind if schema.kind != 'series' else 'a dataset of numbers'}",
            "`lstmcli inspect CHECKPOINT` shows what it was trained on",
        )
    with _bounded(path):
        if reader is table:
            return table.read_whole(path, schema, config, to_score)
        found: tuple[Series, list[str]] = reader.read_whole(path, schema, config)
    return found


def check_encoded(path: Path, own: bool) -> None:
    """Checks that `--encoding` has an effect on a file.

    Args:
        path: the file.
        own: whether it is read as a dataset of `lstmcli generate`.

    Raises:
        UsageError: it has none.
    """
    if own or not _example(path).name.endswith(ENCODED):
        raise UsageError(
            f"`--encoding` has no effect on `{path}`: it applies to texts (`.txt`) and tables "
            "(`.csv`, `.csv.gz`, `.tsv`)",
            "leave `--encoding` out",
        )


@contextmanager
def _bounded(path: Path) -> Iterator[None]:
    """Raises FileError if a file's content does not fit into memory."""
    try:
        yield
    except MemoryError as error:
        raise FileError(
            f"`{path}` does not fit into memory: {error or 'none is left'}",
            "use a part of the file, or a machine with more memory",
        ) from error


def _check_different(config: DataConfig) -> None:
    """Raises UsageError if two parts are the same file, or copies of it."""
    names = [Path(name) for name in (config.data, config.val_data, config.test_data) if name]
    parts = [files.matching(name) or [name] for name in names]
    pairs = chain.from_iterable(product(*both) for both in combinations(parts, 2))
    for one, other in (pair for pair in pairs if all(map(Path.is_file, pair))):
        if one.samefile(other) or filecmp.cmp(one, other, shallow=False):
            raise UsageError(
                "two of `--data`, `--val-data` and `--test-data` are the same file: parts must not "
                "share steps",
                "leave the second out: a part without a file is taken from `--data`",
            )


def _check_same_kind(path: Path, reader: ModuleType, part: str | None) -> None:
    """Raises UsageError if the file of a part is of another kind than the main file."""
    endings = [each for each, its in ENDINGS.items() if its is reader] or list(TABLES)
    if reader is arrays:
        endings = list(arrays.FORMATS)
    if part is not None and not _example(Path(part)).name.endswith(tuple(endings)):
        kind = kinds.kind_of(Path(part)) or "of another kind"
        raise UsageError(
            f"`{part}` cannot be a part of `{path}`, as it is {kind}: expected a name that ends in "
            f"{' or '.join(endings)}",
            "all parts of a dataset must have the same columns",
        )


def _example(path: Path) -> Path:
    """A dataset's file, or the first of several, which tells its kind.

    Raises:
        FileError: a folder or a pattern has no such file.
        UsageError: it has files of several kinds.
    """
    if kinds.kind_of(path) in (kinds.RUN, kinds.SWEEP):
        raise _no_data(path, str(kinds.mismatch(path, "data")))
    found = files.files_with_endings(path, (text.ENDING, *TABLES))
    if found is None:
        return path
    texts = [each.suffix == text.ENDING for each in found]
    if any(texts) and not all(texts):
        folder = path if path.is_dir() else path.parent
        raise UsageError(
            f"`{path}` has both texts and tables, `{found[0].name}` and "
            f"`{found[texts.index(not texts[0])].name}`",
            f"choose one kind: `--data {shell_quote(folder / '*.csv')}`",
        )
    return found[0]


def _no_data(path: Path, wrong: str) -> UsageError:
    """The error for a path that is known to be something else than data."""
    if kinds.kind_of(path) == kinds.SPREADSHEET:
        return UsageError(wrong, "save the sheet as a `.csv` file, and name that")
    return UsageError(wrong, f"name a file of data: {', '.join([*ENDINGS, *TABLES])}")


def _check_known(path: Path) -> None:
    """Raises UsageError if a file's ending is unknown."""
    if path.suffix not in ENDINGS and not path.name.endswith(TABLES):
        if wrong := kinds.mismatch(path, "data", *kinds.DATA):
            raise _no_data(path, wrong)
        raise UsageError(
            f"`{path}` has an ending that lstmcli cannot read: it reads "
            f"{', '.join([*ENDINGS, *TABLES])}",
            "rename the file to match its content",
        )


def _check_unpacked(path: Path, otherwise: str = "") -> None:
    """Raises UsageError for a compressed dataset of `generate`, which is not a table."""
    if path.suffix == ".gz" and csv_series.is_own_table(path):
        raise UsageError(
            f"`{path}` has the columns of a dataset of `lstmcli generate`, which must be an "
            "uncompressed `.csv` file",
            f"`gunzip {shell_quote(path)}` uncompresses it{otherwise}",
        )


def _whole_reader(path: Path, schema: Schema) -> ModuleType:
    """The reader of a file for a model; for a table it depends on the model's kind of data."""
    example = _example(path)
    _check_known(example)
    if example.suffix == ".csv" and schema.kind == "series":
        return arrays
    if schema.kind == "series":
        _check_unpacked(example)
    return _table_reader(path) if example.name.endswith(TABLES) else ENDINGS[example.suffix]


def _table_reader(path: Path) -> ModuleType:
    """The reader of tables, once the checksums of datasets of `generate` are checked."""
    for file in files.files_with_endings(path, TABLES) or [path]:
        arrays.check_seal(file)
    return table


def _reader(path: Path, config: DataConfig) -> ModuleType:
    given = [name for name in OF_TABLES if getattr(config, name) not in (None, False)]
    example = _example(path)
    _check_known(example)
    own = example == path and path.suffix == ".csv" and not given and csv_series.is_own_table(path)
    if config.encoding is not None:
        check_encoded(path, own)
    if example.name.endswith(TABLES):
        if not given:
            _check_unpacked(example, "; if it is a table, pass `--target target`")
        return arrays if own else _table_reader(path)
    if given:
        option = f"`{option_name(given[0])}`"
        raise UsageError(
            f"{option} has no effect on `{path}`: it applies to tables",
            f"leave {option} out",
        )
    return ENDINGS[example.suffix]
