"""How far a call of a compiled program goes, so that a bar moves and Ctrl-C is answered."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

from lstmcli.core.backend import first_call

LONGEST_SECONDS = 0.4
"""What a call may take, where one window does not take longer."""

MOST_SECONDS = 4.0
"""What it may take where most of a call is not its windows: many replicas take a call each."""

GROWTH = 8
"""Times as many windows as before that a call goes, at most."""


class Pace:
    """How many windows a call goes: from one, as the first call compiles, up to all of a chunk.

    Args:
        length: windows that the program is compiled for.
    """

    def __init__(self, length: int) -> None:
        self._length = length
        self._compiled = False
        self._allowed = LONGEST_SECONDS
        self.windows = 1

    @contextmanager
    def call(self, count: int) -> Iterator[None]:
        """Around a call that goes `count` windows; learns from how long it takes."""
        begun = time.monotonic()
        with nullcontext() if self._compiled else first_call():
            yield
        if self._compiled:
            self._learn(count, time.monotonic() - begun)
        self._compiled = True

    def _learn(self, count: int, seconds: float) -> None:
        if self.windows == 1:  # It may all be the call's own, and another window as good as free.
            self._allowed = max(LONGEST_SECONDS, min(2 * seconds, MOST_SECONDS))
        fitting = int(count * self._allowed / max(seconds, 1e-9))
        if seconds > self._allowed:
            self.windows = max(1, fitting)
        else:
            longer = min(fitting, GROWTH * self.windows, self._length)
            self.windows = max(self.windows, longer)
