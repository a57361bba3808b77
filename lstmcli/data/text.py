r"""Text as a series: the input is a character, the target the next one.

Line ends become `\n`, and a byte-order mark is skipped.

A large text takes little memory: files are read in pieces, and each character is stored as one
number of the smallest type. `symbols` and `targets` are two views of these numbers, the second one
character later. `targets` become int32 only when windows are cut.
"""

from __future__ import annotations

import codecs
import io
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from lstmcli.config import DataConfig
from lstmcli.data import decoding
from lstmcli.data.schema import Categorical, Schema, symbol_type
from lstmcli.data.series import Parts, Series, no_numbers, split_by_time
from lstmcli.utils import files, memory
from lstmcli.utils.errors import FileError, plural

ENDING = ".txt"
PIECE = 1 << 20
"""Bytes that are read and decoded at once."""
CODE_POINTS = 0x110000
"""Number of Unicode code points."""
LINE_ENDS = {"\r\n": "CR LF", "\r": "CR"}
"""Line ends that are read as `\n`, and their names."""
NAMED = 5
"""Most unknown characters that a note names."""

Numbers = npt.NDArray[np.unsignedinteger[Any]]


@dataclass(frozen=True)
class _File:
    r"""How a text is read.

    Attributes:
        path: the file, or what stands for several.
        encoding: its encoding; `None` for UTF-8.
        newlines: whether every line end is read as `\n`.
    """

    path: Path
    encoding: str | None = None
    newlines: bool = True

    @property
    def paths(self) -> list[Path]:
        """The files, in the order in which they are joined."""
        return files.files_with_endings(self.path, (ENDING,)) or [self.path]


@dataclass(frozen=True)
class _Text:
    r"""A text that was read once.

    Attributes:
        file: how it is read.
        characters: how many it has.
        first: where each code point stands first; `characters` or more where it does not.
        line_ends: other line ends than `\n` that it has, in words.
        begins: where each of several files begins; `None` for one.
    """

    file: _File
    characters: int
    first: npt.NDArray[np.int64]
    line_ends: str | None = None
    begins: tuple[int, ...] | None = None

    @property
    def path(self) -> Path:
        """Of the file."""
        return self.file.path


def read_parts(config: DataConfig, known: Schema | None = None) -> tuple[Parts, list[str]]:
    """Reads a text and splits it by time into three parts.

    A part with its own file (`val_data`, `test_data`) takes nothing from the main file. The
    vocabulary is the sorted characters of the training part. A part of n characters has n - 1
    steps: `symbols` are `[n - 1, 1]`, `targets` `[n - 1]`, both of the smallest unsigned type. A
    target outside the vocabulary is 0 and not scored.

    Args:
        config: the files and their parts.
        known: the schema of a model that reads the text, whose vocabulary is used.

    Returns:
        The parts, and notes.

    Raises:
        FileError: a file is missing, not in its encoding, or too short for its parts.
    """
    text = _scan(_File(Path(config.data or ""), config.encoding))
    shares = {
        "validation": (config.val_data, config.val_fraction),
        "test": (config.test_data, config.test_fraction),
    }
    training, *others = split_by_time(
        text.characters, *(0 if file else share for file, share in shares.values())
    )
    schema = known or _schema(text, training)
    whole = _series(text, schema)
    found, notes, line_ends = [], [], []
    for name, steps in zip(("training", *shares), (training, *others), strict=True):
        file, share = shares.get(name, (None, 1))
        place = (text, steps) if file is None else _whole(_File(Path(file), config.encoding))
        if share:
            _check_length(*place, name)
        line_ends.append(_line_ends(place[0]))
        own = slice(steps.start, max(steps.start, steps.stop - 1))
        part = whole.part(own) if file is None else _series(place[0], schema)
        unknown = _unknown(part, *place, name)
        notes += unknown
        all_scored = not unknown and part.starts is None
        found.append(replace(part, scored=None) if all_scored else part)
    joined = (
        [files.said_of_several(text.path, text.file.paths, "one text after the other")]
        if text.begins
        else []
    )
    return Parts(*found), [note for note in dict.fromkeys([*joined, *line_ends, *notes]) if note]


def read_whole(path: Path, schema: Schema, config: DataConfig) -> tuple[Series, list[str]]:
    """Reads a text with the vocabulary of a trained model.

    Args:
        path: the file.
        schema: the model's.
        config: for the encoding.

    Returns:
        The series, with arrays as in `read_parts`, and notes.

    Raises:
        FileError: it is missing, is not in its encoding, has only one character, or no target that
            the model knows.
    """
    # The vocabulary of an older model may have other line ends.
    newlines = "\r" not in (schema.symbols[0].values or ())
    text, steps = _whole(_File(path, config.encoding, newlines))
    _check_length(text, steps, None)
    series = _series(text, schema)
    notes = [_line_ends(text), *_unknown(series, text, steps, None)]
    return series, [each for each in notes if each]


def _whole(file: _File) -> tuple[_Text, slice]:
    text = _scan(file)
    return text, slice(0, text.characters)


def _line_ends(text: _Text) -> str | None:
    if text.line_ends is None:
        return None
    return f"`{text.path}` has line ends {text.line_ends}, which are read as `\\n`"


def _schema(text: _Text, training: slice) -> Schema:
    """The schema of a text, with the vocabulary of its training part."""
    characters = tuple(map(chr, np.flatnonzero(np.less(text.first, training.stop))))
    if training.stop >= 2 and len(characters) < 2:
        raise FileError(
            f"the training part of `{text.path}` consists of one character, {characters[0]!r}: "
            "expected at least two different ones",
            "use a text with something to predict",
        )
    column = Categorical("character", len(characters), characters)
    return Schema("text", (), (column,), column)


def _series(text: _Text, schema: Schema) -> Series:
    """A whole text as a series; the vocabulary's size stands for an unknown character.

    Each of several files is a separate sequence, whose first character is not predicted.
    """
    codes, _ = _encode(text, slice(0, text.characters), schema.symbols[0])
    size = schema.symbols[0].size
    targets, scored, starts = codes[1:], None, None
    if codes.max(initial=0) == size:
        scored = targets != size
        targets = np.where(scored, targets, codes.dtype.type(0))
    if text.begins is not None:
        begins = np.zeros(len(codes), np.bool_)
        begins[[begin for begin in text.begins if begin < len(codes)]] = True
        starts, within = begins[:-1], ~begins[1:]
        scored = within if scored is None else scored & within
    return Series(
        schema,
        no_numbers(len(targets)),
        codes[:-1, np.newaxis],
        cast("npt.NDArray[np.int32]", targets),  # It is, once a window is cut.
        scored,
        starts,
    )


def _unknown(series: Series, text: _Text, steps: slice, part: str | None) -> list[str]:
    """A note on a part's characters that are not in the vocabulary, if there are any.

    Raises:
        FileError: no target is in the vocabulary.
    """
    if series.scored is None or steps.start == steps.stop:
        return []
    unknown = _encode(text, steps, series.schema.symbols[0])[1]
    if not unknown:
        return []
    _check_known(series.scored, text.path, part)
    return [_note(unknown, text.path, part)]


def _encode(text: _Text, steps: slice, vocabulary: Categorical) -> tuple[Numbers, Counter[str]]:
    """The numbers of a part's characters, and how often it has each unknown one."""
    table = np.full(CODE_POINTS, vocabulary.size, symbol_type(vocabulary.size))
    table[[ord(character) for character in vocabulary.values or ()]] = range(vocabulary.size)
    codes = np.empty(steps.stop - steps.start, table.dtype)
    unknown: Counter[str] = Counter()
    position = -steps.start
    for piece in chain.from_iterable(_Pieces(text.file, path) for path in text.file.paths):
        wanted = piece[max(0, -position) : max(0, len(codes) - position)]
        begin = max(0, position)
        codes[begin : begin + len(wanted)] = found = table[wanted]
        if (strange := wanted[found == vocabulary.size]).size:
            points, counts = np.unique(strange, return_counts=True)
            unknown.update(dict(zip(map(chr, points), counts.tolist(), strict=True)))
        position += len(piece)
    if position != text.characters - steps.start:
        raise FileError(f"`{text.path}` was changed while it was read", "try again")
    return codes, unknown


def _scan(file: _File) -> _Text:
    """Counts a text's characters, and finds where each stands first.

    Raises:
    most, count, pieces = memory.most_kept(), 0, _Pieces(file)
    for piece in pieces:
    """
    first = np.full(CODE_POINTS, np.iinfo(np.int64).max)
    most, count, begins, line_ends = memory.most_kept(), 0, [], []
    for path in (paths := file.paths):
        _check_there(path)
        begins.append(count)
        pieces = _Pieces(file, path)
        for piece in pieces:
            new = np.flatnonzero(first[piece] >= count)
            points, places = np.unique(piece[new], return_index=True)
            first[points] = count + new[places]
            count += len(piece)
            memory.check_kept(path, count, most)
        line_ends += [pieces.line_ends] if pieces.line_ends else []
    if count < 2:
        raise FileError(
            f"`{file.path}` {'has only one character' if count else 'is empty'}: expected at least "
            "two, as the next one is predicted",
            "use a longer text",
        )
    ends = " and ".join(dict.fromkeys(line_ends)) or None
    return _Text(file, count, first, ends, tuple(begins) if paths != [file.path] else None)


class _Pieces:
    r"""The code points of a file of a text, a piece at a time; a byte-order mark is none of them.

    Attributes:
        line_ends: other line ends than `\n` that were read as such, in words.

    Raises, while it goes on:
        FileError: the text is not in its encoding.
    """

    def __init__(self, file: _File, path: Path) -> None:
        self._file, self._path = file, path
        self._newlines = io.IncrementalNewlineDecoder(None, translate=True)
        self.line_ends: str | None = None

    def __iter__(self) -> Iterator[Numbers]:
        path, encoding = self._path, self._file.encoding
        codec = decoding.codec_of(path, encoding)
        decoder = codecs.getincrementaldecoder(codec)()
        is_utf8 = codec == "utf-8"
        with path.open("rb") as file:
            if is_utf8 and file.read(3) != codecs.BOM_UTF8:
                file.seek(0)
            while True:
                rest = decoder.getstate()[0]
                begin = file.tell() - len(rest)
                block = file.read(PIECE)
                if is_utf8 and not rest and block.isascii() and self._plain(block):
                    yield np.frombuffer(block, np.uint8)
                else:
                    try:
                        text = decoder.decode(block, final=not block)
                    except UnicodeError as error:
                        start = error.start if isinstance(error, UnicodeDecodeError) else 0
                        raise decoding.undecodable(path, begin + start, encoding) from error
                    text = self._with_newlines(text, final=not block)
                    yield np.frombuffer(text.encode("utf-32-le", "surrogatepass"), "<u4")
                if not block:
                    return

    def _plain(self, block: bytes) -> bool:
        """Whether the line ends of a block are to be left as they are."""
        if not self._file.newlines:
            return True
        pending = self._newlines.getstate()[1]  # Whether a CR waits for the LF that may follow.
        return self.line_ends is None and not pending and b"\r" not in block

    def _with_newlines(self, text: str, final: bool) -> str:
        if not self._file.newlines:
            return text
        text = self._newlines.decode(text, final)
        found = self._newlines.newlines
        ends = found if isinstance(found, tuple) else (found,)
        others = [name for end, name in LINE_ENDS.items() if end in ends]
        self.line_ends = " and ".join(others) or None
        return text


def _check_there(path: Path) -> None:
    if path.exists() and not path.is_file():
        raise FileError(f"`{path}` is not a regular file, expected a text file", "name a text file")
    if not path.is_file():
        raise FileError(f"there is no text file `{path}`", "check the name and the directory")


def _check_length(text: _Text, steps: slice, part: str | None) -> None:
    length = steps.stop - steps.start
    if length < 2:
        file = {
            "validation": ", other fractions, or a separate file with `--val-data`",
            "test": ", other fractions, or a separate file with `--test-data`",
        }
        raise FileError(
            f"{_place(text.path, part)} has {length} of its {text.characters} characters: "
            "expected at least 2",
            f"use a longer text{file.get(part or '', ' or smaller fractions')}",
        )


def _check_known(scored: npt.NDArray[np.bool_], path: Path, part: str | None) -> None:
    if not scored.any():
        raise FileError(
            f"{_place(path, part)} has no character to predict that the training part has",
            "use a text in the language and script of the training part",
        )


def _note(unknown: Counter[str], path: Path, part: str | None) -> str:
    """A note on characters that are not in the vocabulary; each is shown escaped."""
    total, different = unknown.total(), len(unknown)
    names = ", ".join(repr(character) for character, _ in unknown.most_common(NAMED))
    more = " and others" if different > NAMED else ""
    return (
        f"{_place(path, part)} has {total:,} {plural(total, 'character')} ({different:,} "
        f"different) that the training part does not have, {names}{more}: not scored"
    )


def _place(path: Path, part: str | None) -> str:
    return f"`{path}`" if part is None else f"the {part} part in `{path}`"
