"""Which reader a dataset's file gets, by its ending and its first line."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

from lstmcli.columns import Schema
from lstmcli.config import DataConfig, option_name
from lstmcli.data import beside, storage, text
from lstmcli.data.series import Series
from lstmcli.data.split import Parts
from lstmcli.data.tables import reader as table
from lstmcli.errors import FileError, UsageError

TABLES = (".csv", ".csv.gz", ".parquet")
OF_TABLES = ("inputs", "target", "group", "horizon", "categorical", "missing")


ENDINGS: dict[str, ModuleType] = {".txt": text, ".npz": storage}
KINDS = {text: "text", table: "table"}
"""What the data of a reader always is; arrays may be of any kind."""


def read_parts(config: DataConfig) -> tuple[Parts, list[str]]:
    """The three parts of the dataset that the settings name, and what is odd about it.

    Raises:
        FileError: the file is missing, damaged or not what the settings say.
        UsageError: its ending names no format, or a setting has no effect on this kind of file.
    """
    path = Path(str(config.data))
    reader = _reader(path, config)
    found: tuple[Parts, list[str]] = reader.read_parts(config)
    return found


def read_whole(path: Path, schema: Schema, config: DataConfig) -> tuple[Series, list[str]]:
    """A whole file, as a model with this schema sees it, and what is odd about it.

    Raises:
        FileError: the file is missing or damaged, or does not fit the model.
    """
    reader = _whole_reader(path, schema)
    kind = KINDS.get(reader, schema.kind)
    if kind != schema.kind:
        raise FileError(
            f"`{path}` is a {kind}, and the model was trained on "
            f"{'a ' + schema.kind if schema.kind != 'series' else 'a dataset of numbers'}",
            "`lstmcli inspect` shows what a checkpoint was trained on",
        )
    found: tuple[Series, list[str]] = reader.read_whole(path, schema, config)
    return found


def _whole_reader(path: Path, schema: Schema) -> ModuleType:
    """The reader of a file for a model: which table it is depends on what the model knows."""
    if path.suffix == ".csv" and schema.kind == "series":
        return storage
    return _table_reader(path) if path.name.endswith(TABLES) else ENDINGS.get(path.suffix, storage)


def _table_reader(path: Path) -> ModuleType:
    """The reader of tables, for one that is whole if it is a dataset of `generate`."""
    storage.check_seal(path)
    return table


def _reader(path: Path, config: DataConfig) -> ModuleType:
    given = [name for name in OF_TABLES if getattr(config, name) is not None]
    if path.name.endswith(TABLES):
        own = not given and beside.is_own_table(path)
        return storage if own else _table_reader(path)
    if path.suffix not in ENDINGS:
        raise UsageError(
            f"`{path.name}` has an ending that lstmcli does not know: it reads "
            f"{', '.join([*ENDINGS, *TABLES])}",
            "rename the file after what is in it",
        )
    if given:
        option = f"`{option_name(given[0])}`"
        raise UsageError(
            f"{option} has no effect on `{path}`: it is about the columns of a table",
            f"leave {option} out",
        )
    return ENDINGS[path.suffix]
