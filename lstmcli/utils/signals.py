"""Ctrl-C and SIGTERM, for loops that stop at the next safe point."""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from lstmcli.utils.errors import ExitCode, StoppedError


def name_of(received: signal.Signals) -> str:
    """The name of a signal for users."""
    return "Ctrl-C" if received == signal.SIGINT else received.name


GRACE = 1.0
"""Seconds that a second signal leaves the main thread for a clean end."""


@contextmanager
def stop_signals() -> Iterator[list[signal.Signals]]:
    """Collects SIGINT and SIGTERM in a list that a loop can check.

    A second signal has its usual effect. If the main thread cannot handle it because it compiles,
    the process is ended; that is safe, as files are written atomically.
    """
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
        with _second_one_ends():
            yield received
    finally:
        for number, handler in usual.items():
            signal.signal(number, handler)


@contextmanager
def _second_one_ends() -> Iterator[None]:
    """Ends the process GRACE seconds after a second signal if the block still runs then.

    Python's handlers wait until the main thread returns from native code; the wakeup descriptor
    does not.
    """
    numbers, written = socket.socketpair()
    written.setblocking(False)
    over = threading.Event()
    before = signal.set_wakeup_fd(written.fileno(), warn_on_full_buffer=False)
    watcher = threading.Thread(target=_watch, args=(numbers, over), daemon=True)
    watcher.start()
    try:
        yield
    finally:
        over.set()
        signal.set_wakeup_fd(before)
        written.close()  # The watcher reads end-of-file.
        watcher.join()
        numbers.close()


def _watch(numbers: socket.socket, over: threading.Event) -> None:
    count = 0
    while number := numbers.recv(1):
        count += number[0] in (signal.SIGINT, signal.SIGTERM)
        if count == 2 and not over.wait(GRACE):
            name = name_of(signal.Signals(number[0]))
            shown = "\x1b[?25h\r" if sys.stderr.isatty() else ""  # A bar has hidden the cursor.
            os.write(2, f"{shown}error: stopped immediately by a second {name}\n".encode())
            os._exit(128 + number[0])


@contextmanager
def terminable() -> Iterator[None]:
    """SIGTERM raises StoppedError in the block, so that it cleans up as after Ctrl-C."""

    def end(number: int, frame: object) -> None:
        raise StoppedError("stopped by SIGTERM", None, ExitCode.TERMINATED)

    usual = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, usual)


class StopWhileWaiting:
    """SIGINT and SIGTERM end a loop only while it waits, so that no step is cut off.

    A second signal has its usual effect.
    """

    def __init__(self) -> None:
        self._received: list[signal.Signals] = []
        self._waits = False

    def __enter__(self) -> StopWhileWaiting:
        if threading.current_thread() is threading.main_thread():
            numbers = (signal.SIGINT, signal.SIGTERM)
            self._usual = {number: signal.signal(number, self._handle) for number in numbers}
        else:
            self._usual = {}  # Only the main thread may handle signals.
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._usual.items():
            signal.signal(number, handler)

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """A block in which a signal takes effect immediately.

        Raises:
            StoppedError: a signal has come, before or in the block.
        """
        self._waits = True
        try:
            self._check()
            yield
        finally:
            self._waits = False

    def _handle(self, number: int, frame: object) -> None:
        received = signal.Signals(number)
        self._received.append(received)
        signal.signal(number, self._usual[received])
        if self._waits:
            self._check()

    def _check(self) -> None:
        if self._received:
            received = self._received[0]
            code = ExitCode.INTERRUPTED if received == signal.SIGINT else ExitCode.TERMINATED
            raise StoppedError(f"stopped by {name_of(received)}", None, code)
