"""Text encodings: decoding a file, and guessing the encoding of one that is not UTF-8."""

from __future__ import annotations

import codecs
import gzip
import io
import re
from pathlib import Path

from lstmcli.utils.errors import FileError

READ = 1 << 20
"""Bytes used to guess an encoding."""
CONTROL = re.compile("[\x00-\x08\x0b\x0e-\x1f\x7f-\x9f]")
"""Control characters that do not occur in text."""
UTF16 = {codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}


def opened(path: Path) -> gzip.GzipFile | io.BufferedReader:
    """A file in binary mode, decompressed if its name ends in `.gz`."""
    return gzip.open(path) if path.suffix == ".gz" else path.open("rb")


def codec_of(path: Path, encoding: str | None) -> str:
    """Python's name of a file's encoding; the caller skips a UTF-8 byte-order mark.

    Args:
        path: the file.
        encoding: the value of `--encoding`; `None` for UTF-8.
    """
    name = codecs.lookup(encoding or "utf-8").name
    if name == "utf-8-sig":
        return "utf-8"
    if name in ("utf-16-le", "utf-16-be"):
        with opened(path) as file:
            return UTF16.get(file.read(2), name)
    return name


def undecodable(path: Path, offset: int, encoding: str | None) -> FileError:
    """The error for a byte that is invalid in an encoding; lines are counted as in an editor.

    Args:
        path: the file.
        offset: offset of the byte, from 0.
        encoding: the encoding used; `None` for UTF-8.
    """
    with opened(path) as file:
        beginning = file.read(2)
        file.seek(0)
        before, byte = file.read(offset), file.read(1)
        line = 1 + before.count(b"\n") + before.count(b"\r") - before.count(b"\r\n")
        file.seek(max(0, offset - READ // 2) // 2 * 2)
        around = file.read(READ)
    return FileError(
        f"`{path}`, line {line}, byte {offset} (from 0 on): expected "
        f"{f'text in {encoding}' if encoding else 'UTF-8 text'}, got `0x{byte.hex()}`",
        hint(readable_as(beginning, around)),
    )


def first_undecodable(path: Path, encoding: str | None) -> int:
    """Offset, from 0, of the first byte of a file that is invalid in an encoding.

    Args:
        path: the file, which has such a byte.
        encoding: the encoding used; `None` for UTF-8.
    """
    decoder = codecs.getincrementaldecoder(codec_of(path, encoding))()
    end = 0
    with opened(path) as file:
        while True:
            begin = end - len(decoder.getstate()[0])
            block = file.read(READ)
            end += len(block)
            try:
                decoder.decode(block, final=not block)
            except UnicodeError as error:
                return begin + (error.start if isinstance(error, UnicodeDecodeError) else 0)
            if not block:
                return 0


def hint(encoding: str | None) -> str:
    """The hint for a file in another encoding."""
    if encoding is None:
        return "if it is text, name its encoding with `--encoding`"
    return f"it reads as text in {encoding}: pass `--encoding {encoding}`"


def readable_as(beginning: bytes, content: bytes) -> str | None:
    """A common encoding in which bytes are text without control characters, if there is one.

    Args:
        beginning: the file's first bytes, for its byte-order mark.
        content: a part of the file that is not valid UTF-8.
    """
    zeros = [content[first::2].count(0) > len(content) / 8 for first in (0, 1)]
    guesses = {
        "utf-16": beginning[:2] in UTF16,
        "utf-16-le": zeros[1],
        "utf-16-be": zeros[0],
        "windows-1252": not any(zeros),
    }
    for encoding in (name for name, likely in guesses.items() if likely):
        if encoding == "utf-16":
            return encoding
        try:
            text = content.decode(encoding)
        except UnicodeDecodeError:
            continue
        if not CONTROL.search(text):
            return encoding
    return None
