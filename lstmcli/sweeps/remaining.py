"""How long a sweep will still take: from what its settings have taken, and the rest by size."""

from __future__ import annotations

import time
from collections.abc import Sequence

from lstmcli.sweeps.grid import Setting

ENOUGH = 0.05
"""The share of a setting's training that says something of its speed."""


class Remaining:
    """The clock of a sweep.

    Settings that have ended say how many times as long as guessed one takes, loading and compiling
    included; before the first has, those under way do, as far as they are trained.

    Args:
        settings: what is to be trained.
    """

    def __init__(self, settings: Sequence[Setting]) -> None:
        self._guessed = {setting.name: setting.seconds for setting in settings}
        self._share = dict.fromkeys(self._guessed, 0.0)
        self._begun: dict[str, float] = {}
        self._before: dict[str, float] = {}
        self._took: dict[str, float] = {}

    def note(self, name: str, share: float) -> None:
        """Notes how far the training of a setting is: 1 once it has ended.

        What it had when it was first noted was trained by a sweep that was stopped.
        """
        now = time.monotonic()
        self._begun.setdefault(name, now)
        self._before.setdefault(name, share if share < 1 else 0)
        self._share[name] = share
        if share == 1:
            self._took[name] = now - self._begun[name]

    @property
    def seconds(self) -> float | None:
        """About how many are left; `None` before anything is known."""
        factor = self._factor()
        if factor is None:
            return None
        left = [factor * self._guessed[name] * (1 - share) for name, share in self._share.items()]
        at_once = max(1, len(self._begun) - len(self._took))
        return max(sum(left) / at_once, max(left, default=0.0))

    def _factor(self) -> float | None:
        """How many times as long as guessed settings take."""
        if self._took:
            return sum(self._took.values()) / sum(map(self._trained, self._took))
        now = time.monotonic()
        under_way = [
            name for name in self._begun if self._share[name] - self._before[name] >= ENOUGH
        ]
        guessed = sum(map(self._trained, under_way))
        return sum(now - self._begun[name] for name in under_way) / guessed if guessed else None

    def _trained(self, name: str) -> float:
        """For how many seconds a setting has been trained here, as they were guessed."""
        return (self._share[name] - self._before[name]) * self._guessed[name]
