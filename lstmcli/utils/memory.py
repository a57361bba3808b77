"""Whether what was asked for can fit into this machine's memory: refused before it is tried.

What a run takes at its peak is counted from its settings, as `benchmarks/memory.py` has measured
it, and held against all the memory that the process could ever have: a run that is refused could
not have been held. What a file holds is known only as it is read, and is held against a share of
the memory that is free.
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
"""Where Linux says how much a container may have, in its two versions."""
TAKEN = (
    Path("/sys/fs/cgroup/memory.current"),
    Path("/sys/fs/cgroup/memory/memory.usage_in_bytes"),
)
"""And how much of that it has taken."""
VMSTAT = Path("/proc/vmstat")
"""Where it counts, among much else, what it has killed for want of memory."""
MEMINFO, STATM = Path("/proc/meminfo"), Path("/proc/self/statm")
SHARE = 8
"""What is kept of a file may take this part of the free memory: a column exists as it was read, as
numbers of 64 and of 32 bits, and as its parts."""
MAPS, MOST_MAPS = Path("/proc/self/maps"), Path("/proc/sys/vm/max_map_count")
"""Where Linux lists a process's memory maps, and says how many it may have."""
ROOM = 0.9
"""Part of them after which no further program is compiled: one takes a few hundred."""
NUMBER = 4
"""Bytes."""
PROCESS = 950_000_000
"""Bytes that a run of the smallest model takes, most of them for TensorFlow and its compiler."""
SMALL = 50_000_000
"""Bytes beside it below which no run is refused: much of the former need not stay in memory."""
OF_A_STEP = 17
"""Numbers for each step of each seed's series: those of training and of validation, with how they
are cut and what the oracle loses there."""
OF_A_FILE = 2
"""Numbers for each step of a series in a file: an input and a label."""


def installed() -> int | None:
    """Bytes that this process could have at most; `None` where nobody says."""
    found = []
    with suppress(AttributeError, ValueError, OSError):
        found.append(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    for file in LIMITS:
        with suppress(OSError, ValueError):  # `max` is no number: there is no limit.
            found.append(int(file.read_text()))
    return min(found) if found else None


def free() -> int | None:
    """Bytes that this process could still get; `None` where nobody says."""
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
    """How many processes the system has killed for want of memory; 0 where nobody says."""
    with suppress(OSError, StopIteration, ValueError):
        lines = VMSTAT.read_text().splitlines()
        return int(next(line for line in lines if line.startswith("oom_kill ")).split()[1])
    return 0


def most_kept() -> int:
    """Bytes that may be kept of a file."""
    there = free()
    return sys.maxsize if there is None else there // SHARE


def check_kept(path: Path, kept: int, most: int) -> None:
    """Refuses a file of which more would be kept than this machine has room for.

    Args:
        path: the file.
        kept: bytes, as far as it was read.
        most: `most_kept()`, asked before anything was read.

    Raises:
        FileError: there is more than that.
    """
    if kept > most:
        raise FileError(
            f"`{path}` holds more than this machine has room for: {_size(kept)} at least, and "
            f"{_size(most)} is what it could take of the free memory",
            "take a part of the file, or a machine with more memory",
        )


def check_file(path: Path, size: int) -> None:
    """Refuses a file that is read whole, and that the free memory could not hold.

    Args:
        path: the file.
        size: its bytes.

    Raises:
        FileError: it has more.
    """
    there = free()
    if there is not None and size > there:
        raise FileError(
            f"`{path}` has {_size(size)}, and {_size(there)} of memory are free",
            "close other programs, or take a machine with more memory",
        )


def check_series(steps: int, replicas: int = 1, to_train: bool = True) -> None:
    """Refuses series that cannot be drawn.

    Args:
        steps: of each.
        replicas: how many are held at once.
        to_train: whether a run holds them, or a file alone gets them.

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
    """Refuses a series of symbols whose file would have a number for each of them at each step.

    Args:
        steps: of the series.
        classes: its symbols.

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
    """Refuses one more compiled program in a process which Linux would not let map its code.

    A program stays for as long as its process; where there is no room for the next one the
    compiler would crash.

    Raises:
        LstmcliError: there is no room.
    """
    with suppress(OSError, ValueError):
        most = int(MOST_MAPS.read_text())
        if MAPS.read_bytes().count(b"\n") > ROOM * most:
            raise LstmcliError(
                f"this process holds as many compiled programs as Linux lets it: {most:,} maps of "
                "memory",
                "go on in a new process; `lstmcli.sweep` begins new ones by itself",
            )


def require(what: str, size: int, hint: str, process: int = PROCESS) -> None:
    """Refuses what this machine has not the memory for.

    Args:
        what: what would take it, as the error says it.
        size: bytes.
        hint: what to ask less of.
        process: bytes that its process takes besides.

    Raises:
        UsageError: there is less.
    """
    there = installed()
    if there is not None and size > SMALL and process + size > there:
        raise UsageError(
            f"{what} would take {_size(process + size)} of memory, and this machine has "
            f"{_size(there)}",
            hint,
        )


def _size(count: int) -> str:
    """Bytes in words: 24.1 GB, 3.5 MB."""
    return f"{count / 1e9:,.1f} GB" if count >= 5e7 else f"{count / 1e6:,.1f} MB"
