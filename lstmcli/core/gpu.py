"""GPUs: their names, what TensorFlow and the driver say about them, and who uses their memory."""

from __future__ import annotations

import os
import re
import subprocess
from contextlib import suppress
from pathlib import Path

from lstmcli.core import execution
from lstmcli.core.tensorflow import tf
from lstmcli.utils.errors import DeviceError, ExitCode, OutOfMemoryError, listed

ELSEWHERE = "`nvidia-smi` shows its processes; `--device cpu` works without it"
ANSWER_SECONDS = 10
"""Time limit for `nvidia-smi`."""
APPS = ("--query-compute-apps=pid,process_name,used_memory", "--format=csv,noheader,nounits")


def named(number: int) -> str:
    """The name of a GPU for `--device`."""
    return f"gpu:{number}"


FIRST = named(0)


def start(name: str) -> None:
    """Starts TensorFlow's devices.

    Args:
        name: the device to use, for the error.

    Raises:
        DeviceError: that fails, for example because another process has all of the memory.
    """
    try:
        tf.config.list_logical_devices()
    except (RuntimeError, tf.errors.OpError) as error:
        first = next(iter(str(error).strip().splitlines()), type(error).__name__)
        others = f"; it is used by {held}" if (held := holders()) else ""
        raise DeviceError(f"`{name}` cannot be used: {first}{others}", ELSEWHERE) from error


def out_of_memory(device: str, rows: int, steps: int) -> OutOfMemoryError:
    """The error for a window that does not fit into a device's memory.

    Its exit code is that of an unavailable device if other processes use some of the memory.

    Args:
        device: the device's name.
        rows: rows of the window.
        steps: steps of the window.
    """
    size = f"{rows:,} rows (`--batch-size`) x {steps:,} steps (`--bptt`)"
    message = f"out of memory on `{device}` with a window of {size}"
    if execution.on_gpu(device) and (held := holders()):
        message = f"{message}, while it is also used by {held}"
        return OutOfMemoryError(message, ELSEWHERE, ExitCode.NO_DEVICE)
    return OutOfMemoryError(message, "a smaller `--batch-size` or `--bptt` needs less")


def holders() -> str:
    """The other processes that use memory of a GPU, in words, as far as the driver knows."""
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
    """A GPU's card and driver, and the CUDA and cuDNN versions that TensorFlow was built for.

    Unknown values are left out.
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
    """The version of the driver, from Linux."""
    with suppress(OSError):
        if found := re.search(r"\s(\d+\.\d[\d.]*)\s", DRIVER.read_text()):
            return found[1]
    return None
