"""Kills a process with SIGKILL at a given write: before it, halfway, or just after it.

A clock hits a write of a few microseconds once in thousands of times, so the process does it.
"""

import os
import signal
from pathlib import Path

from lstmcli.utils import files

PARTS = ("before", "halfway", "after")
TABLES, FIGURES = (".csv",), (".png",)


def arm(kind, count, part):
    """Lets this process end at the `count`th write of a kind of file.

    Args:
        kind: `TABLES` or `FIGURES`: endings of names.
        count: from 1.
        part: one of `PARTS`.
    """
    left = [count]
    usual = {each: getattr(files, each) for each in ("_write_all", "_replace")}
    truncate = os.truncate

    def is_due(path):
        left[0] -= Path(path).suffix in kind
        return left[0] == 0 and Path(path).suffix in kind

    def name_of(handle):
        return Path(f"/proc/self/fd/{handle}").readlink()

    def append(handle, content):
        if not is_due(name_of(handle)):
            return usual["_write_all"](handle, content)
        return _end_at(part, lambda end: usual["_write_all"](handle, content[:end]), len(content))

    def replace(path, pieces):
        if not is_due(path):
            return usual["_replace"](path, pieces)
        content = b"".join(pieces)

        def write(end):
            if end == len(content):
                usual["_replace"](path, (content,))
            else:  # Its temporary file is left.
                path.with_name(f".{path.name}.half").write_bytes(content[:end])

        return _end_at(part, write, len(content))

    def cut(path, length):
        due = Path(path).suffix in kind and Path(path).stat().st_size > length and is_due(path)
        return _end_at(part, lambda _: truncate(path, length), 0) if due else truncate(path, length)

    files._write_all, files._replace, os.truncate = append, replace, cut


def _end_at(part, write, length):
    if part != "before":
        write(length if part == "after" else length // 2)
    os.kill(os.getpid(), signal.SIGKILL)
