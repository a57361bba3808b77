"""The device of a run: the one that is requested, or the faster one for its size."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import NamedTuple

from lstmcli.config import Config
from lstmcli.core import execution, gpu, pace, tensorflow
from lstmcli.core.tensorflow import tf
from lstmcli.model_spec import ModelSpec
from lstmcli.utils.errors import DeviceError, install

OWN_POOLS = "TF_OVERRIDE_GLOBAL_THREADPOOL"
"""TensorFlow's variable for a thread pool of its own for each part of the CPU."""
BEFORE = "an earlier run in this process chose the CPU, and a process cannot change that"


class Choice(NamedTuple):
    """The device of a run.

    Attributes:
        name: a name of `available`, which is valid in TensorFlow too.
        reason: why this device was chosen, in words; `None` if there is no GPU.
    """

    name: str
    reason: str | None


def available() -> list[str]:
    """The valid values of `--device` on this machine besides `auto`: `cpu:0`, `gpu:0`.

    Starts no device and takes no memory of a GPU.
    """
    cpus = _cpus()[:1] if OWN_POOLS in os.environ else _cpus()
    gpus = tf.config.get_visible_devices("GPU")
    return [*cpus, *map(gpu.named, range(len(gpus)))]


def _cpus() -> list[str]:
    """The parts of the CPU: one, unless it was divided."""
    cpu = tf.config.list_physical_devices("CPU")[0]
    parts = tf.config.get_logical_device_configuration(cpu) or [None]
    return [f"cpu:{part}" for part in range(len(parts))]


def devices_at_once(name: str) -> list[str]:
    """The devices that compute replicas at once for a run on a device: parts of the CPU, or it."""
    cpus = _cpus()
    return cpus if name == cpus[0] and OWN_POOLS in os.environ else [name]


def instruction_set() -> str | None:
    """The largest instruction set of this process's programs, set when TensorFlow was loaded."""
    return tensorflow.instruction_set


def threads() -> int:
    """Size of this process's CPU thread pool; the last bits of large products depend on it."""
    if given := tf.config.threading.get_intra_op_parallelism_threads():
        return int(given)
    return execution.cores()


def resolve(requested: str) -> str:
    """The name of a requested device; `auto` is the first GPU, or else the CPU.

    Args:
        requested: `auto`, `cpu`, `gpu`, or one with a number, `gpu:1`.

    Returns:
        A name of `available`.

    Raises:
        DeviceError: there is no such device. It is never replaced by another.
    """
    seen = available()
    if requested == "auto":
        return gpu.FIRST if gpu.FIRST in seen else seen[0]
    name = requested if ":" in requested else f"{requested}:0"
    if name in seen:
        return name
    if not execution.on_gpu(name):
        hint = "`lstmcli devices` lists the devices of this machine"
    elif int(name.partition(":")[2]) < len(tf.config.list_physical_devices("GPU")):
        hint = f"{BEFORE}: start another process"
    else:
        hint = f"on Linux with an NVIDIA driver: {install('gpu')}"
    raise DeviceError(f"there is no device `{requested}`; TensorFlow sees {', '.join(seen)}", hint)


def choose(
    config: Config, spec: ModelSpec, requested: str | None = None, why: str = "asked for"
) -> Choice:
    """Chooses and starts the device of a run; `auto` is the faster one for the run's size.

    A process whose first run uses the CPU hides GPUs from TensorFlow, so as not to take their
    memory. Neither that nor the size of its thread pool can change later.

    Args:
        config: all settings, resolved.
        spec: the model's inputs and outputs.
        requested: as for `resolve`; by default the device of the settings.
        why: the reason to report for a device that is not `auto`.

    Raises:
        DeviceError: there is no such device, or it cannot be used.
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
        _set_threads(execution.plan(config, spec.features, name))
    if execution.on_gpu(name):
        gpu.start(name)
    else:
        with suppress(RuntimeError):
            tf.config.set_visible_devices([], "GPU")
    return Choice(name, pace.reason(name, speed, why) if speed else None)


def _set_threads(plan: execution.ExecutionPlan) -> None:
    """Sets the threads of the CPU's pool, or of each of its parts.

    Raises:
        RuntimeError: TensorFlow has started its devices.
    """
    tf.config.threading.set_intra_op_parallelism_threads(plan.threads or 0)
    cpu, cores = tf.config.list_physical_devices("CPU")[0], execution.cores()
    divided = tf.config.get_logical_device_configuration(cpu) is not None
    if plan.replicas_at_once and cores > 1 and not divided:
        parts = [tf.config.LogicalDeviceConfiguration() for _ in range(cores)]
        tf.config.set_logical_device_configuration(cpu, parts)
        os.environ[OWN_POOLS] = "1"
