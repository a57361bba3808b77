"""GPUs: what they are called, what TensorFlow and the driver tell of them, and who holds them."""

from __future__ import annotations

import os
import re
import subprocess
from contextlib import suppress
from pathlib import Path

from lstmcli.core import execution
from lstmcli.core.tensorflow import tf
from lstmcli.utils.errors import DeviceError, ExitCode, OutOfMemoryError, listed

ELSEWHERE = "`nvidia-smi` shows who is on it; `--device cpu` does without it"
ANSWER_SECONDS = 10
"""For the driver's program."""
APPS = ("--query-compute-apps=pid,process_name,used_memory", "--format=csv,noheader,nounits")


def named(number: int) -> str:
    """The name of a GPU, as `--device` takes it."""
    return f"gpu:{number}"


FIRST = named(0)


def start(name: str) -> None:
    """Starts TensorFlow's devices, one of which is to be used.

    Raises:
        DeviceError: that fails, as where another process has all of its memory, or it alone.
    """
    try:
        tf.config.list_logical_devices()
    except (RuntimeError, tf.errors.OpError) as error:
        first = next(iter(str(error).strip().splitlines()), type(error).__name__)
        others = f"; it is held by {held}" if (held := holders()) else ""
        raise DeviceError(f"`{name}` cannot be used: {first}{others}", ELSEWHERE) from error


def out_of_memory(device: str, rows: int, steps: int) -> OutOfMemoryError:
    """What is said where there was no memory for a window's programs and numbers.

    It ends with the exit code of a device that is not available where others hold some of it.

    Args:
        device: by its name.
        rows: of the window.
        steps: of the window.
    """
    size = f"{rows:,} rows (`--batch-size`) x {steps:,} steps (`--bptt`)"
    message = f"out of memory on `{device}` with a window of {size}"
    if execution.on_gpu(device) and (held := holders()):
        message = f"{message}, while it is held by {held} too"
        return OutOfMemoryError(message, ELSEWHERE, ExitCode.NO_DEVICE)
    return OutOfMemoryError(message, "a smaller `--batch-size` or `--bptt` takes less")


def holders() -> str:
    """The other processes that hold memory of a GPU, in words, as far as the driver tells."""
    command = ["nvidia-smi", *APPS]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=ANSWER_SECONDS, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    found = []
    for line in done.stdout.splitlines():
        process, _, rest = line.partition(",")
        program, _, memory = map(str.strip, rest.rpartition(","))
        if process.strip().isdecimal() and int(process) != os.getpid():
            held = f" with {int(memory):,} MiB" if memory.isdecimal() else ""
            found.append(f"process {process.strip()} ({Path(program).name}){held}")
    return listed(found)


def description(name: str) -> dict[str, str]:
    """A GPU's card, its driver, and the CUDA and cuDNN that TensorFlow was built for.

    What is not known is left out.
    """
    card = tf.config.get_visible_devices("GPU")[int(name.partition(":")[2])]
    built = tf.sysconfig.get_build_info()
    found = {
        "card": tf.config.experimental.get_device_details(card).get("device_name"),
        "driver": driver(),
        "cuda": built.get("cuda_version"),
        "cudnn": built.get("cudnn_version"),
    }
    return {what: str(value) for what, value in found.items() if value}


DRIVER = Path("/proc/driver/nvidia/version")


def driver() -> str | None:
    """The version of the driver, as Linux tells it."""
    with suppress(OSError):
        if found := re.search(r"\s(\d+\.\d[\d.]*)\s", DRIVER.read_text()):
            return found[1]
    return None
