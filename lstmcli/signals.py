"""Ctrl-C and SIGTERM, as something a loop can look at."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager


def name_of(received: signal.Signals) -> str:
    """What people call a signal."""
    return "Ctrl-C" if received == signal.SIGINT else received.name


@contextmanager
def stop_signals() -> Iterator[list[signal.Signals]]:
    """Collects SIGINT and SIGTERM, for the loop to see; a second one has its usual effect."""
    received: list[signal.Signals] = []
    if threading.current_thread() is not threading.main_thread():
        yield received  # Only the main thread may handle signals.
        return
    usual = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def handle(number: int, frame: object) -> None:
        received.append(signal.Signals(number))
        signal.signal(number, usual[signal.Signals(number)])

    for number in usual:
        signal.signal(number, handle)
    try:
        yield received
    finally:
        for number, handler in usual.items():
            signal.signal(number, handler)
