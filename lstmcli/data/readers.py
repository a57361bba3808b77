"""Which reader a dataset's file gets, by its ending and its first line."""

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

TABLES = (".csv", ".csv.gz", ".parquet")
ENCODED = (".txt", ".csv", ".csv.gz")
"""What is text, in an encoding."""
ENDINGS: dict[str, ModuleType] = {".txt": text, ".npz": arrays}
KINDS = {text: "text", table: "table"}
"""What the data of a reader always is; arrays may be of any kind."""


def read_parts(config: DataConfig, known: Schema | None = None) -> tuple[Parts, list[str]]:
    """The three parts of the dataset that the settings name, and what is odd about it.

    Args:
        config: the settings.
        known: the columns of a model that is to read it: a text is read in its vocabulary, and a
            table is predicted on top of its autoregression.

    Raises:
        FileError: the file is missing, damaged or not what the settings say.
        UsageError: its ending names no format, or a setting has no effect on this kind of file.
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
    """A whole file, as a model with this schema sees it, and what is odd about it.

    Args:
        path: the file.
        schema: the model's.
        config: how the file is read.
        to_score: whether a table must have targets.

    Raises:
        FileError: the file is missing or damaged, or does not fit the model.
    """
    reader = _whole_reader(path, schema)
    kind = KINDS.get(reader, schema.kind)
    if kind != schema.kind:
        raise FileError(
            f"`{path}` is a {kind}, and the model was trained on "
            f"{'a ' + schema.kind if schema.kind != 'series' else 'a dataset of numbers'}",
            "`lstmcli inspect CHECKPOINT` shows what it was trained on",
        )
    with _bounded(path):
        if reader is table:
            return table.read_whole(path, schema, config, to_score)
        found: tuple[Series, list[str]] = reader.read_whole(path, schema, config)
    return found


def check_encoded(path: Path, own: bool) -> None:
    """Checks that a file is text, of which it can be said how it is encoded.

    Args:
        path: the file.
        own: whether it is a dataset of `lstmcli generate`, or is to be read as one.

    Raises:
        UsageError: it is none.
    """
    if own or not _example(path).name.endswith(ENCODED):
        raise UsageError(
            f"`--encoding` has no effect on `{path}`: it is about a text (`.txt`) and a table "
            "(`.csv`, `.csv.gz`)",
            "leave `--encoding` out",
        )


@contextmanager
def _bounded(path: Path) -> Iterator[None]:
    """Raises FileError where what a file holds, or is made of it, does not fit into memory."""
    try:
        yield
    except MemoryError as error:
        raise FileError(
            f"`{path}` does not fit into memory: {error or 'none is left'}",
            "take a part of the file, or a machine with more memory",
        ) from error


def _check_different(config: DataConfig) -> None:
    """Refuses one file for two parts, be it a copy."""
    names = [Path(name) for name in (config.data, config.val_data, config.test_data) if name]
    parts = [files.matching(name) or [name] for name in names]
    pairs = chain.from_iterable(product(*both) for both in combinations(parts, 2))
    for one, other in (pair for pair in pairs if all(map(Path.is_file, pair))):
        if one.samefile(other) or filecmp.cmp(one, other, shallow=False):
            raise UsageError(
                "two of `--data`, `--val-data` and `--test-data` are the same file: parts share "
                "no step",
                "leave the second out: a part without a file is cut from `--data`",
            )


def _check_same_kind(path: Path, reader: ModuleType, part: str | None) -> None:
    """Raises UsageError where the file of a part is of another kind than the main file."""
    endings = [each for each, its in ENDINGS.items() if its is reader] or list(TABLES)
    if reader is arrays:
        endings = list(arrays.FORMATS)
    if part is not None and not _example(Path(part)).name.endswith(tuple(endings)):
        kind = kinds.kind_of(Path(part)) or "of another kind"
        raise UsageError(
            f"`{part}` is to be a part of `{path}`, but is {kind}: expected a name that ends in "
            f"{' or '.join(endings)}",
            "the parts of a dataset must be alike: name a file with the same columns",
        )


def _example(path: Path) -> Path:
    """A file that tells of which kind a dataset is: its own, or the first of several.

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
            f"say which are meant: `--data {shell_quote(folder / '*.csv')}`",
        )
    return found[0]


def _no_data(path: Path, wrong: str) -> UsageError:
    """The error for a path that is known to be something else than data."""
    if kinds.kind_of(path) == kinds.SPREADSHEET:
        return UsageError(wrong, "save the sheet as a `.csv` file, and name that")
    return UsageError(wrong, f"name a file of data: {', '.join([*ENDINGS, *TABLES])}")


def _check_known(path: Path) -> None:
    """Raises UsageError where a name's ending is none that is read."""
    if path.suffix not in ENDINGS and not path.name.endswith(TABLES):
        if wrong := kinds.mismatch(path, "data", *kinds.DATA):
            raise _no_data(path, wrong)
        raise UsageError(
            f"`{path}` has an ending that lstmcli does not know: it reads "
            f"{', '.join([*ENDINGS, *TABLES])}",
            "rename the file after what is in it",
        )


def _check_unpacked(path: Path, otherwise: str = "") -> None:
    """Raises UsageError for a compressed dataset of `generate`, which a table's reader misreads."""
    if path.suffix == ".gz" and csv_series.is_own_table(path):
        raise UsageError(
            f"`{path}` has the columns of a dataset of `lstmcli generate`, which is read from a "
            "plain `.csv`",
            f"`gunzip {shell_quote(path)}` makes one{otherwise}",
        )


def _whole_reader(path: Path, schema: Schema) -> ModuleType:
    """The reader of a file for a model: which table it is depends on what the model knows."""
    example = _example(path)
    _check_known(example)
    if example.suffix == ".csv" and schema.kind == "series":
        return arrays
    if schema.kind == "series":
        _check_unpacked(example)
    return _table_reader(path) if example.name.endswith(TABLES) else ENDINGS[example.suffix]


def _table_reader(path: Path) -> ModuleType:
    """The reader of tables, for one that is whole if it is a dataset of `generate`."""
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
            f"{option} has no effect on `{path}`: it is about the columns of a table",
            f"leave {option} out",
        )
    return ENDINGS[example.suffix]
