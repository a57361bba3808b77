"""Checks, before work begins, that it fits into this machine's memory.

The peak memory of a run is estimated from its settings, as measured by `benchmarks/memory.py`, and
compared with all memory that the process could ever have, so that no run that would fit is refused.
The size of a file's content is known only while it is read, and is compared with a fraction of the
free memory.
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from pathlib import Path

from lstmcli.utils.errors import FileError, LstmcliError, UsageError

LIMITS = (
    Path("/sys/fs/cgroup/memory.max"),
    Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"),
)
"""Where Linux says how much memory a container may use (cgroup versions 2 and 1)."""
TAKEN = (
    Path("/sys/fs/cgroup/memory.current"),
    Path("/sys/fs/cgroup/memory/memory.usage_in_bytes"),
)
"""And how much of that it uses."""
VMSTAT = Path("/proc/vmstat")
"""Where Linux counts the processes that it has killed for lack of memory."""
MEMINFO, STATM = Path("/proc/meminfo"), Path("/proc/self/statm")
SHARE = 8
"""The content of a file may take one part in this many of the free memory: a column exists as text,
as numbers of 64 and of 32 bits, and once more split into parts."""
MAPS, MOST_MAPS = Path("/proc/self/maps"), Path("/proc/sys/vm/max_map_count")
"""Where Linux lists a process's memory maps, and says how many it may have."""
ROOM = 0.9
"""Fraction of these maps above which no program is compiled; one program takes a few hundred."""
NUMBER = 4
"""Bytes of a number."""
PROCESS = 950_000_000
"""Bytes that a run of the smallest model takes, mostly for TensorFlow and its compiler."""
SMALL = 50_000_000
"""Bytes besides those below which no run is refused: not all of PROCESS must stay in memory."""
OF_A_STEP = 17
"""Numbers per step of each seed's series: training and validation data, their windows, and the
losses of the Bayes-optimal predictor."""
OF_A_FILE = 2
"""Numbers per step of a generated file: an input and a label."""


def installed() -> int | None:
    """Most bytes that this process could have; `None` if unknown."""
    found = []
    with suppress(AttributeError, ValueError, OSError):
        found.append(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    for file in LIMITS:
        with suppress(OSError, ValueError):  # `max` is not a number: there is no limit.
            found.append(int(file.read_text()))
    return min(found) if found else None


def free() -> int | None:
    """Bytes that this process could still get; `None` if unknown."""
    found = []
    with suppress(OSError, StopIteration):
        lines = MEMINFO.read_text().splitlines()
        line = next(line for line in lines if line.startswith("MemAvailable:"))
        found.append(int(line.split()[1]) << 10)
    for limit, taken in zip(LIMITS, TAKEN, strict=True):
        with suppress(OSError, ValueError):
            found.append(int(limit.read_text()) - int(taken.read_text()))
    with suppress(ImportError, OSError, ValueError):
        import resource

        most = resource.getrlimit(resource.RLIMIT_AS)[0]
        if most != resource.RLIM_INFINITY:
            mapped = int(STATM.read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
            found.append(most - mapped)
    return max(0, min(found)) if found else installed()


def kills() -> int:
    """How many processes the system has killed for lack of memory; 0 if unknown."""
    with suppress(OSError, StopIteration, ValueError):
        lines = VMSTAT.read_text().splitlines()
        return int(next(line for line in lines if line.startswith("oom_kill ")).split()[1])
    return 0


def most_kept() -> int:
    """Most bytes that the content of a file may take."""
    there = free()
    return sys.maxsize if there is None else there // SHARE


def check_kept(path: Path, kept: int, most: int) -> None:
    """Checks that the content of a file fits into memory.

    Args:
        path: the file.
        kept: bytes in memory, as far as it was read.
        most: `most_kept()` before anything was read.

    Raises:
        FileError: `kept` is larger than `most`.
    """
    if kept > most:
        raise FileError(
            f"`{path}` is too large for this machine: it takes at least {_size(kept)} of memory, "
            f"and {_size(most)} is available for it",
            "use a part of the file, or a machine with more memory",
        )


def check_file(path: Path, size: int) -> None:
    """Checks that a file that is read as a whole fits into the free memory.

    Args:
        path: the file.
        size: its bytes.

    Raises:
        FileError: it does not fit.
    """
    there = free()
    if there is not None and size > there:
        raise FileError(
            f"`{path}` has {_size(size)}, but only {_size(there)} of memory is free",
            "close other programs, or use a machine with more memory",
        )


def check_series(steps: int, replicas: int = 1, to_train: bool = True) -> None:
    """Checks that generated series fit into memory.

    Args:
        steps: length of each.
        replicas: how many there are at once.
        to_train: whether a run is trained on them, or they are only written to a file.

    Raises:
        UsageError: they do not fit into memory.
    """
    of = f" for each of {replicas:,} seeds" if replicas > 1 else ""
    require(
        f"a series of {steps:,} steps{of}",
        NUMBER * steps * (OF_A_STEP * replicas if to_train else OF_A_FILE),
        "give a shorter `--series-length`" + (" or fewer seeds" if replicas > 1 else ""),
        PROCESS if to_train else 0,
    )


def check_one_hot(steps: int, classes: int) -> None:
    """Checks that a one-hot series fits into memory.

    Args:
        steps: length of the series.
        classes: number of symbols.

    Raises:
        UsageError: it does not fit into memory.
    """
    require(
        f"a file of {steps:,} steps with one of {classes:,} classes each",
        NUMBER * classes * max(classes, steps),
        "give fewer `--classes` or a shorter `--series-length`",
        0,
    )


def check_programs() -> None:
    """Checks that Linux lets this process map the code of one more compiled program.

    A program stays in memory as long as its process; without room for the next one, the compiler
    would crash.

    Raises:
        LstmcliError: there is no room.
    """
    with suppress(OSError, ValueError):
        most = int(MOST_MAPS.read_text())
        if MAPS.read_bytes().count(b"\n") > ROOM * most:
            raise LstmcliError(
                f"this process holds as many compiled programs as Linux allows: {most:,} memory "
                "maps",
                "continue in a new process; `lstmcli.sweep` starts new ones itself",
            )


def require(what: str, size: int, hint: str, process: int = PROCESS) -> None:
    """Checks that this machine has enough memory.

    Args:
        what: what takes the memory, in the error's words.
        size: bytes.
        hint: which settings to reduce.
        process: bytes that the process itself takes.

    Raises:
        UsageError: it has not.
    """
    there = installed()
    if there is not None and size > SMALL and process + size > there:
        raise UsageError(
            f"{what} would take {_size(process + size)} of memory, but this machine has "
            f"{_size(there)}",
            hint,
        )


def _size(count: int) -> str:
    """Bytes in words: 24.1 GB, 3.5 MB."""
    return f"{count / 1e9:,.1f} GB" if count >= 5e7 else f"{count / 1e6:,.1f} MB"
