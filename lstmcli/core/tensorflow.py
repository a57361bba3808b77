"""TensorFlow, loaded without its log messages: `from lstmcli.core.tensorflow import tf`."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

from lstmcli.core import execution


@contextmanager
def _native_log(lines: list[str], expected: str | None = None) -> Iterator[None]:
    """Collects what native code writes to standard error, and prints it if the block raises.

    While it loads, TensorFlow writes a dozen lines about oneDNN and missing CUDA drivers that no
    TensorFlow setting can silence (tensorflow issue 100442). Lines that contain `expected` are
    dropped.
    """
    sys.stderr.flush()
    with tempfile.TemporaryFile() as log:
        stderr = os.dup(2)
        os.dup2(log.fileno(), 2)
        failed = True
        try:
            yield
            failed = False
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)
            log.seek(0)
            found = log.read().decode(errors="replace").splitlines()
            lines += [line for line in found if expected is None or expected not in line]
            if failed:
                _show(lines)


def _show(lines: list[str]) -> None:
    for line in lines:
        sys.stderr.write(f"{line}\n")


execution.set_defaults()
instruction_set = execution.flag(execution.MAX_ISA)
"""The largest instruction set that this process's programs may use; `None` if the compiler
decides."""
startup_log: list[str] = []
with _native_log(startup_log):
    import tensorflow as tf

    tf.config.list_physical_devices()  # Looks for GPUs, and warns if there are none.


@contextmanager
def first_call() -> Iterator[None]:
    """Drops the one warning that TensorFlow logs when it reads a program from the cache.

    TensorFlow first tries to parse the file as text, and warns that this failed. Use this around a
    program's first call only: anything else written meanwhile is shown only afterwards. Without a
    cache, nothing is withheld.
    """
    if "persistent_cache" not in os.environ.get("TF_XLA_FLAGS", ""):
        yield
        return
    lines: list[str] = []
    with _native_log(lines, "XlaSerializedCacheEntry"):
        yield
    _show(lines)
    execution.keep_compiled()


__all__ = ["first_call", "startup_log", "tf"]
