"""Which device a run uses."""

from __future__ import annotations

from contextlib import suppress

from lstmcli.core import execution, tensorflow
from lstmcli.core.tensorflow import tf
from lstmcli.utils.errors import DeviceError


def available() -> list[str]:
    """The names that `--device` can take here besides `auto`: for example `cpu:0`, `gpu:0`."""
    return [
        f"{kind.lower()}:{index}"
        for kind in ("CPU", "GPU")
        for index, _ in enumerate(tf.config.list_logical_devices(kind))
    ]


def instruction_set() -> str | None:
    """The largest that this process's programs may use, as it was set when TensorFlow loaded."""
    return tensorflow.instruction_set


def threads() -> int:
    """Threads of the CPU's thread pool in this process; large products' last bits depend on it."""
    if given := tf.config.threading.get_intra_op_parallelism_threads():
        return int(given)
    return execution.cores()


def resolve(requested: str, threads: int | None = None) -> str:
    """The device that a request means: `auto` is the first GPU, or else the CPU.

    Args:
        requested: `auto`, `cpu`, `gpu`, or one with its number, `gpu:1`.
        threads: of the CPU's thread pool; `None` for all cores. The first run in a process decides.

    Returns:
        A name as `available` gives it; TensorFlow takes it too.

    Raises:
        DeviceError: the device is not there. It is never replaced by another.
    """
    with suppress(RuntimeError):  # Too late once TensorFlow has started its devices.
        tf.config.threading.set_intra_op_parallelism_threads(threads or 0)
    if requested.startswith("cpu"):  # Else TensorFlow would take the GPUs' memory.
        with suppress(RuntimeError):
            tf.config.set_visible_devices([], "GPU")
    seen = available()
    if requested == "auto":
        return "gpu:0" if "gpu:0" in seen else "cpu:0"
    name = requested if ":" in requested else f"{requested}:0"
    if name in seen:
        return name
    raise DeviceError(
        f"there is no device `{requested}`; TensorFlow sees {', '.join(seen)}",
        "GPU support comes with `pip install 'lstmcli[gpu]'` on Linux with an NVIDIA driver"
        if name.startswith("gpu")
        else "`lstmcli devices` lists what `--device` can name",
    )
