"""Concurrent calls: each on its own thread, which may have its own device."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from typing import TypeVar

from lstmcli.core.tensorflow import tf

Result = TypeVar("Result")


class CallsAtOnce:
    """Makes calls concurrently.

    Args:
        devices: the device of each thread. The first thread is the caller's.
    """

    def __init__(self, devices: Sequence[str]) -> None:
        self._devices = devices
        self._others = ThreadPoolExecutor(len(devices) - 1) if len(devices) > 1 else None

    def map(self, call: Callable[[int], Result], count: int) -> list[Result]:
        """The results of `call(0)`, …, `call(count - 1)`; each of n threads makes every nth call.

        All calls have ended when this returns or raises.
        """
        threads = len(self._devices)

        def share(first: int) -> list[Result]:
            with tf.device(self._devices[first]):  # This setting is local to the thread.
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
