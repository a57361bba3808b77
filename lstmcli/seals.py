"""A checksum that stands within the file which it is of.

It is the SHA-256 of all bytes of the file, with zeros in the place of its own digits. So a flipped
bit anywhere, a lost end or a swapped block shows, even one that no reader would have noticed.
Against somebody who means harm it does nothing: whoever can write a file can seal it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import TypeAlias

Bytes: TypeAlias = bytes | memoryview
DIGITS = 64
BLANK = "0" * DIGITS
"""What stands in the seal's place before it is known."""


def sealed(part: bytes, mark: bytes, rest: Iterable[Bytes] = ()) -> bytes:
    """Writes a file's checksum into the part of it that has the place for it.

    Args:
        part: it, with `BLANK` after the mark.
        mark: what stands before the seal.
        rest: all else in the file, in an order of the caller's own.
    """
    place = _place(part, mark)
    return part[: place.start] + _checksum(part, place, rest) + part[place.stop :]


def is_whole(part: bytes, mark: bytes, rest: Iterable[Bytes] = ()) -> bool | None:
    """Whether a file is as it was sealed; `None` where it has no seal. Arguments as above."""
    if mark not in part:
        return None
    place = _place(part, mark)
    return part[place] == _checksum(part, place, rest)


def _place(part: bytes, mark: bytes) -> slice:
    begin = part.rindex(mark) + len(mark)
    return slice(begin, begin + DIGITS)


def _checksum(part: bytes, place: slice, rest: Iterable[Bytes]) -> bytes:
    digest = hashlib.sha256(part[: place.start] + BLANK.encode() + part[place.stop :])
    for each in rest:
        digest.update(each)
    return digest.hexdigest().encode()
