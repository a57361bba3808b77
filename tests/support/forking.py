"""Command lines in processes of their own that have TensorFlow loaded: see `forks.py`."""

import json
import os
import signal
from contextlib import suppress


class Command:
    """A command line that runs in a process of its own."""

    def __init__(self, forks, *arguments, environment=None, own_end=None):
        self._forks = forks
        given = {"arguments": [*map(str, arguments)], "environment": environment or {}}
        forks.stdin.write(json.dumps({**given, "own_end": own_end}) + "\n")
        self.number = int(forks.stdout.readline())

    def kill(self, number=signal.SIGKILL):
        with suppress(ProcessLookupError):  # It may be over already.
            os.kill(self.number, number)

    def wait(self):
        return os.waitstatus_to_exitcode(int(self._forks.stdout.readline()))
