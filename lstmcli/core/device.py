"""Which device a run uses: the one that is asked for, or the one that is faster at its size."""

from __future__ import annotations

from contextlib import suppress
from typing import NamedTuple

from lstmcli.config import Config
from lstmcli.core import execution, gpu, pace, tensorflow
from lstmcli.core.tensorflow import tf
from lstmcli.model_spec import ModelSpec
from lstmcli.utils.errors import DeviceError, install

BEFORE = "an earlier run of this process took the CPU for all of it"


class Choice(NamedTuple):
    """A device that was chosen.

    Attributes:
        name: as `available` gives it; TensorFlow takes it too.
        reason: why it is this one, in words; `None` where there is no GPU, and so no choice.
    """

    name: str
    reason: str | None


def available() -> list[str]:
    """The names that `--device` can take here besides `auto`: for example `cpu:0`, `gpu:0`.

    It only looks: no device is started, and no memory of a GPU is taken.
    """
    cpu = tf.config.list_physical_devices("CPU")[0]
    parts = tf.config.get_logical_device_configuration(cpu) or [None]  # It can be divided.
    gpus = tf.config.get_visible_devices("GPU")
    return [*(f"cpu:{part}" for part in range(len(parts))), *map(gpu.named, range(len(gpus)))]


def instruction_set() -> str | None:
    """The largest that this process's programs may use, as it was set when TensorFlow loaded."""
    return tensorflow.instruction_set


def threads() -> int:
    """Threads of the CPU's thread pool in this process; large products' last bits depend on it."""
    if given := tf.config.threading.get_intra_op_parallelism_threads():
        return int(given)
    return execution.cores()


def resolve(requested: str) -> str:
    """The device that a request means: `auto` is the first GPU, or else the CPU.

    Args:
        requested: `auto`, `cpu`, `gpu`, or one with its number, `gpu:1`.

    Returns:
        A name as `available` gives it.

    Raises:
        DeviceError: the device is not there. It is never replaced by another.
    """
    seen = available()
    if requested == "auto":
        return gpu.FIRST if gpu.FIRST in seen else seen[0]
    name = requested if ":" in requested else f"{requested}:0"
    if name in seen:
        return name
    if not execution.on_gpu(name):
        hint = "`lstmcli devices` lists what `--device` can name"
    elif int(name.partition(":")[2]) < len(tf.config.list_physical_devices("GPU")):
        hint = f"{BEFORE}: begin another process"
    else:
        hint = f"on Linux with an NVIDIA driver: {install('gpu')}"
    raise DeviceError(f"there is no device `{requested}`; TensorFlow sees {', '.join(seen)}", hint)


def choose(
    config: Config, spec: ModelSpec, requested: str | None = None, why: str = "asked for"
) -> Choice:
    """The device that a run is computed on, started: `auto` is the faster one at its size.

    A process that computes on the CPU keeps away from GPUs, whose memory is others'; and with its
    thread pool it stays as its first run had it.

    Args:
        config: all settings, resolved.
        spec: what a program has to be compiled for.
        requested: as `resolve` takes it; by default what the settings name.
        why: it is that one and no other, where it is not `auto`.

    Raises:
        DeviceError: the device is not there, or cannot be used.
    """
    wanted = requested or config.run.device
    there = bool(tf.config.list_physical_devices("GPU"))
    speed = pace.speed_of_gpu(config, spec) if there else None
    if wanted == "auto":
        faster = speed is not None and speed >= pace.WORTH_IT
        wanted = "gpu" if faster and gpu.FIRST in available() else "cpu"
        why = BEFORE if faster and wanted == "cpu" else ""
    name = resolve(wanted)
    with suppress(RuntimeError):  # Too late once TensorFlow has started its devices.
        tf.config.threading.set_intra_op_parallelism_threads(
            execution.plan(config, spec.features, name).threads or 0
        )
    if execution.on_gpu(name):
        gpu.start(name)
    else:
        with suppress(RuntimeError):
            tf.config.set_visible_devices([], "GPU")
    return Choice(name, pace.reason(name, speed, why) if speed else None)
