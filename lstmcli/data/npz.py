"""Arrays in an `.npz` file: written with a checksum, and read without trusting its headers.

An `.npz` file is a zip archive, which may end in a comment. The checksum is in that comment, which
NumPy and zip programs ignore.
"""

from __future__ import annotations

import io
import warnings
import zipfile
from collections.abc import Collection, Mapping
from typing import IO, Any

import numpy as np
import numpy.typing as npt
from numpy.lib import format as npy

from lstmcli.utils import files, memory

SEAL = b"lstmcli sha256 "
"""The zip archive's comment, before the checksum."""
END = len(SEAL) + files.CHECKSUM_DIGITS
PLAIN = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
"""The compressions that NumPy uses."""
MOST_DEFLATED = 1032  # times: what a byte of a deflated member can at most become


def to_bytes(arrays: Mapping[str, npt.NDArray[Any]]) -> bytes:
    """The content of a file of some arrays, with its checksum."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **dict(arrays))  # type: ignore[arg-type]
    with zipfile.ZipFile(buffer, "a") as archive:
        archive.comment = SEAL + files.BLANK_CHECKSUM.encode()
    content = buffer.getvalue()
    return content[:-END] + files.with_checksum(content[-END:], SEAL, [content[:-END]])


def is_whole(content: bytes) -> bool | None:
    """Whether a file matches its checksum; `None` if it has none."""
    return files.matches_checksum(content[-END:], SEAL, [memoryview(content)[:-END]])


def read(content: bytes, names: Collection[str]) -> dict[str, npt.NDArray[Any]]:
    """The named arrays that a file's content has; Python objects are never unpickled.

    No more memory is allocated than the file can fill: the headers of the archive and of its arrays
    are compared with each other and with the largest possible size of the compressed bytes.

    Raises:
        ValueError, zipfile.BadZipFile and others: it is not such a file, or its headers are wrong.
    """
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = {info.filename: info for info in archive.infolist()}
        wanted = {name: members[f"{name}.npy"] for name in names if f"{name}.npy" in members}
        _check_sizes(wanted.values())
        return {name: _array(archive, info) for name, info in wanted.items()}


def _check_sizes(members: Collection[zipfile.ZipInfo]) -> None:
    """Raises ValueError if members cannot have the size they claim, or do not fit into memory.

    An array of zeros reaches deflate's highest ratio, so the ratio does not tell it from a zip
    bomb; therefore the sum is compared with the free memory.
    """
    for each in members:
        if each.compress_type not in PLAIN:
            raise ValueError(f"`{each.filename}` is compressed in a way that NumPy does not use")
        if each.file_size > MOST_DEFLATED * (each.compress_size + 1):
            raise ValueError(
                f"`{each.filename}` should be {each.file_size:,} bytes, which its "
                f"{each.compress_size:,} cannot become"
            )
    size, most = sum(each.file_size for each in members), memory.most_kept()
    if size > most:
        raise ValueError(f"its arrays have {size:,} bytes, but there is memory for {most:,} only")


def _array(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> npt.NDArray[Any]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # A header is parsed as Python's literals are.
        with archive.open(info) as file:
            _check_header(file, info)
        with archive.open(info) as file:
            array: npt.NDArray[Any] = npy.read_array(file, allow_pickle=False)
    return array


def _check_header(file: IO[bytes], info: zipfile.ZipInfo) -> None:
    """Checks an array's header.

    Raises:
        ValueError: the bytes that follow do not match it, or it is of Python objects.
    """
    version = npy.read_magic(file)
    read_header = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}
    if version not in read_header:
        raise ValueError(f"`{info.filename}` is of the unknown version {version}")
    shape, _, dtype = read_header[version](file)
    if dtype.hasobject:
        raise ValueError(f"`{info.filename}` holds Python objects, which are not read")
    promised = dtype.itemsize
    for length in shape:
        promised *= length
    if min(shape, default=0) < 0 or promised != info.file_size - file.tell():
        raise ValueError(
            f"`{info.filename}` should hold {promised:,} bytes for its shape {list(shape)}, got "
            f"{info.file_size - file.tell():,}"
        )
