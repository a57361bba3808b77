"""A table from several files, one per sequence, and labels of sequences from another table."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from lstmcli.config import DataConfig
from lstmcli.data.table import files as table_files
from lstmcli.data.table.columns import no_column, of_columns
from lstmcli.data.table.files import FORMATS, Dialect, Head, Table
from lstmcli.data.table.sequences import Sequences
from lstmcli.utils import files
from lstmcli.utils.errors import FileError, UsageError, listed

FILE = "file"
"""Default name of the column that names the file of each row."""
LAST_NUMBER = re.compile(r"(\d+)\D*$")

Words = npt.NDArray[np.object_]


@dataclass(frozen=True)
class Reading:
    """How to read tables.

    Attributes:
        config: the labels and the group.
        missing: marks of an empty cell.
        known: what is known of the format of CSV files.
        heads: a cache of the files' heads.
    """

    config: DataConfig
    missing: Sequence[str]
    known: Dialect
    heads: dict[Path, Head] = field(default_factory=dict)

    def names(self, path: Path) -> list[str]:
        """The columns of one or several tables; last the group and the target that are added.

        Raises:
            UsageError: the label column has the name of a column of the table.
            FileError: a file is missing or damaged.
        """
        paths = _files(path, self.config) or [path]
        names, group = self._head(paths[0]).names, self.config.group
        made = [group] if group is not None and self._makes(group, names) else []
        if self.config.labels is None:
            return [*names, *made]
        target = str(self.config.target).strip()
        if target in names:
            raise UsageError(
                f"both `{paths[0]}` and `{self.config.labels}` have a column `{target}`",
                "name another column of the labels with `--target`, or leave `--labels` out",
            )
        return [*names, *made, target]

    def table(self, path: Path, words: Collection[str]) -> tuple[Table, list[str]]:
        """Reads a table, or several concatenated ones, with a group column for the files.

        Args:
            path: a file, a folder or a pattern.
            words: columns to read as text.

        Returns:
            The table, and notes for the user.

        Raises:
            FileError: a file is missing or damaged, or its columns differ from those of the first.
        """
        paths, group, notes = _files(path, self.config), self.config.group, []
        if paths is None:
            table = self._read(path, words)
        else:
            if group is None:
                raise UsageError(
                    f"`{path}` is several files, each a sequence, and `--data` is one recording",
                    "the parts of a dataset must be alike: name one file for each part",
                )
            pieces = [self._read(each, words) for each in paths]
            table = _joined(path, pieces)
            what = "each a sequence" if self._makes(group, table.columns) else "read as one table"
            notes.append(files.said_of_several(path, paths, what))
        if group is not None and self._makes(group, table.columns):
            lengths = [len(piece) for piece in table.pieces] or [len(table)]
            names = np.repeat(np.array(_stems(paths or [path]), object), lengths)
            table = replace(table, frame=table.frame.assign(**{group: names}))
        return table, notes

    def labelled(
        self, table: Table, sequences: Sequences, target: str, words: Collection[str]
    ) -> tuple[Table, list[str]]:
        """Adds the label of each sequence, from another table, at its last step.

        Args:
            table: the table in its final order.
            sequences: the bounds of its sequences.
            target: the label column.
            words: columns to read as text.

        Returns:
            The table, and notes for the user.

        Raises:
            FileError: the labels are missing or damaged, or belong to no sequence of the table.
        """
        if self.config.labels is None:
            return table, []
        path, group = Path(self.config.labels), str(self.config.group)
        column = _name_column(self._label_names(), group)
        labels = self._read(path, (column, *words))
        names = table.frame[group].iloc[sequences.bounds[:-1]]
        rows, notes = _rows(labels, column, names.astype(str).to_numpy(object), table.path)
        places = np.full(len(table), -1)
        places[sequences.bounds[1:] - 1] = rows
        values = labels.frame[target].reset_index(drop=True).reindex(places).array
        frame = table.frame.assign(**{target: values})
        return replace(table, frame=frame, beside={target: (labels, places)}), notes

    def _makes(self, group: str, names: Sequence[str]) -> bool:
        """Whether the group column is made from the file names."""
        stated = self.config.labels is not None and group in self._label_names()
        return group.strip() not in names and (group == FILE or stated)

    def _label_names(self) -> list[str]:
        return self._head(Path(str(self.config.labels))).names

    def _head(self, path: Path) -> Head:
        if path not in self.heads:
            self.heads[path] = table_files.read_head(path, self.known)
        return self.heads[path]

    def _read(self, path: Path, words: Collection[str]) -> Table:
        return table_files.read_table(path, words, self.missing, self.known, self.heads.get(path))


def resolved(path: Path, config: DataConfig, known: Dialect) -> DataConfig:
    """The settings, with the group and the target that several files and labels imply.

    Args:
        path: the path of the data.
        config: the settings as given.
        known: what is known of the format of CSV files.

    Raises:
        UsageError: the settings do not fit labels or several files.
        FileError: the labels are missing or damaged.
    """
    many = files.matching(path) is not None
    if not many and config.labels is None:
        return config
    if many and config.group is None:
        first = (_files(path, config) or [path])[0]
        if FILE in table_files.read_head(first, known).names:
            raise UsageError(
                f"`{path}` is several files, whose names would be the column `{FILE}`, and "
                f"`{first}` has such a column",
                "say which column tells sequences apart with `--group`",
            )
    config = replace(config, group=FILE if config.group is None else config.group.strip())
    return config if config.labels is None else _with_target(config, known)


def _files(path: Path, config: DataConfig) -> list[Path] | None:
    """The tables of a folder or a pattern without the labels; `None` for one file."""
    paths = files.files_with_endings(path, FORMATS)
    if paths is None or config.labels is None:
        return paths
    labels = Path(config.labels).resolve()
    return [each for each in paths if each.resolve() != labels]


def _with_target(config: DataConfig, known: Dialect) -> DataConfig:
    """The settings with the label column that is to be predicted."""
    path = Path(str(config.labels))
    if config.horizon:
        raise UsageError(
            "`--horizon` has no effect with `--labels`: a sequence has one label, at its end",
            "leave `--horizon` out",
        )
    names = table_files.read_head(path, known).names
    others = [name for name in names if name != _name_column(names, str(config.group))]
    target = config.target
    if target is None:
        target = others[0] if len(others) == 1 else "target"
        if target not in others:
            raise UsageError(
                f"it is not said which column of `{path}` has the labels",
                f"pass `--target` with one of its columns: {of_columns(others)}",
            )
    if target.strip() not in others and "," in target:
        raise UsageError(
            f"`--target {target}` names several columns, and with `--labels` a sequence has one "
            "label",
            f"name one of the columns of `{path}`: {of_columns(others)}",
        )
    if target.strip() not in others:
        raise no_column(path, "--target", target.strip(), others)
    return replace(config, target=target.strip())


def _joined(path: Path, pieces: Sequence[Table]) -> Table:
    """Concatenates tables that have the columns of the first."""
    import pandas as pd

    first = pieces[0]
    for piece in pieces[1:]:
        if odd := set(piece.columns) ^ set(first.columns):
            has, lacks = (piece, first) if min(odd) in piece.columns else (first, piece)
            raise FileError(
                f"`{has.path}` has a column `{min(odd)}` and `{lacks.path}` has none: files that "
                "are read as one have the same columns",
                "remove the odd file from the folder, or name the others with a pattern",
            )
    frame = pd.concat([piece.frame for piece in pieces], ignore_index=True)
    ends = np.cumsum([len(piece) for piece in pieces]).tolist()
    decimals = [piece for piece in pieces if piece.dialect.decimal != "."]
    own = tuple(  # So that their cells are stored once.
        replace(piece, frame=frame.iloc[end - len(piece) : end][piece.columns])
        for piece, end in zip(pieces, ends, strict=True)
    )
    return Table(path, frame, dialect=(decimals or pieces)[0].dialect, pieces=own)


def _stems(paths: Sequence[Path]) -> list[str]:
    """The file names without extension; with folders if the names alone are not unique."""
    stems = [_stem(path) for path in paths]
    if len(set(stems)) == len(stems):
        return stems
    folder = os.path.commonpath([path.parent for path in paths])
    return [
        path.name
        if (place := os.path.relpath(path.parent, folder)) == "."
        else f"{place}/{_stem(path)}"
        for path in paths
    ]


def _stem(path: Path) -> str:
    return next(path.name.removesuffix(each) for each in FORMATS if path.name.endswith(each))


def _name_column(names: Sequence[str], group: str) -> str:
    """The column of the labels that names the sequences: the group column, or the first."""
    return group if group in names else names[0]


def _rows(
    labels: Table, column: str, sequences: Words, of: Path
) -> tuple[npt.NDArray[np.int64], list[str]]:
    """The row of the labels for each sequence, -1 if there is none: `[sequences]`."""
    import pandas as pd

    names = labels.frame[column].astype(object).where(labels.frame[column].notna(), "")
    names = pd.Index([str(name).strip() for name in names])
    if names.has_duplicates:
        twice = int(np.argmax(names.duplicated()))
        raise labels.error(twice, column, "a name that no other row has", "keep one of the rows")
    rows, notes = names.get_indexer(pd.Index(sequences)), []
    if (rows < 0).all():
        rows = _by_number(names, sequences)
        notes.append(
            f"labels of `{labels.path}` are found by the numbers in the names of the files"
        )
    if (rows < 0).all():
        raise FileError(
            f"`{labels.path}`, column `{column}`: expected the names of the sequences of `{of}`, "
            f"such as `{sequences[0]}`, got `{names[0]}`",
            "name the column that has them with `--group`; a file's name is meant without its "
            "ending",
        )
    if len(without := sequences[rows < 0]):
        shown = listed([f"`{name}`" for name in without])
        notes.append(f"`{labels.path}` has no label for {shown}: not scored")
    return np.asarray(rows, np.int64), notes


def _by_number(names: Any, sequences: Words) -> npt.NDArray[np.int64]:
    """As `_rows`, for file names that end in a number given in the labels."""
    import pandas as pd

    found = [LAST_NUMBER.search(name) for name in sequences]
    numbers, own = (
        pd.Index([text.lstrip("0") for text in texts])
        for texts in ([match[1] if match else "?" for match in found], names)
    )
    if numbers.has_duplicates or own.has_duplicates:
        return np.full(len(sequences), -1)
    return np.asarray(own.get_indexer(numbers), np.int64)
