"""Ctrl-C and SIGTERM, as something a loop can look at."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from lstmcli.errors import ExitCode, StoppedError


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


@contextmanager
def terminable() -> Iterator[None]:
    """SIGTERM ends the block as an error, as Ctrl-C does, so that nothing is left lying about."""

    def end(number: int, frame: object) -> None:
        raise StoppedError("stopped by SIGTERM", None, ExitCode.TERMINATED)

    usual = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, usual)
