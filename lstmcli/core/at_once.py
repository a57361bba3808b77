"""Calls at once: each on a thread of its own, which may have a device of its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from typing import TypeVar

from lstmcli.core.tensorflow import tf

Result = TypeVar("Result")


class CallsAtOnce:
    """Makes calls at once.

    Args:
        devices: of each thread; the first thread is the one that asks for the calls.
    """

    def __init__(self, devices: Sequence[str]) -> None:
        self._devices = devices
        self._others = ThreadPoolExecutor(len(devices) - 1) if len(devices) > 1 else None

    def map(self, call: Callable[[int], Result], count: int) -> list[Result]:
        """The results of `call(0)`, …, `call(count - 1)`, of which a thread makes every nth.

        All calls have ended when it returns or raises.
        """
        threads = len(self._devices)

        def share(first: int) -> list[Result]:
            with tf.device(self._devices[first]):  # Which a thread has for itself.
                return [call(index) for index in range(first, count, threads)]

        if self._others is None:
            return share(0)
        others = [self._others.submit(share, first) for first in range(1, min(threads, count))]
        try:
            shares = [share(0)]
        finally:
            wait(others)
        shares += [other.result() for other in others]
        return [shares[index % threads][index // threads] for index in range(count)]
