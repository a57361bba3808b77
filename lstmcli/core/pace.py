"""How long a training window takes on the CPU and on a GPU, and which device is faster.

The CPU's constants are fitted to `make bench` on two cores. The GPU's were measured once, on one
NVIDIA H200 with TensorFlow 2.21; no other GPU was tried:

| a window of                                           | schedule  | measured | estimate  |
| ----------------------------------------------------- | --------- | -------- | --------- |
| the article: 3 x 4 units, 5 rows, 15 steps            | wavefront | 0.569 ms | 0.57 ms   |
| 8 models of the article side by side                  | wavefront | 0.602 ms | 0.60 ms   |
| the article                                           | layered   | 3.11 ms  | 2.9 ms    |
| a text, 1 x 512 units, 32 rows, 64 steps              | layered   | 5.1 ms   | 4.3 ms    |
| a text, 2 x 256 units, 64 rows, 64 steps              | layered   | 7.1 ms   | 8.5 ms    |
| a text, 2 x 1024 units, 128 rows, 128 steps           | layered   | 26.6 ms  | 27 ms     |

An epoch of the article is 666 windows. It took 0.379 s on that GPU, 2.07 s with the layered
schedule, and 0.401 s for 8 models. The CPU of that machine took 0.032 s, which is 0.048 ms per
window; the estimate is 0.043 ms. With a text, one step of one layer takes 55 to 80 µs whatever its
size, until the arithmetic dominates.
"""

from __future__ import annotations

from lstmcli import model_spec
from lstmcli.config import Config
from lstmcli.core import execution
from lstmcli.model_spec import ModelSpec

A_WAVE, A_UNIT_BESIDE = 31.6e-6, 5e-9
"""Seconds on a GPU: a step of the wavefront schedule, plus each unit of each model in it."""
A_CELL, PRODUCTS_A_SECOND = 65e-6, 1.3e14
"""On a GPU with the layered schedule: seconds of a layer's step; multiplications per second."""
COMPILING_ON_A_GPU = 14.0
"""Seconds: the first epoch of the texts above took 11 to 17."""

CORES, MOST_CORES = 2, 8
"""The number of cores that the CPU's constants were fitted on, and the largest number assumed to
speed up large products in proportion. No more than two cores were measured. The assumption favours
the CPU, as a GPU takes longer to start."""
WORTH_IT = 1.5
"""How many times as fast as the CPU a GPU must be to be chosen: its programs take ten seconds more
to compile, and other GPUs and processors have other constants."""


def window_seconds(config: Config, spec: ModelSpec, device: str, cores: int = CORES) -> float:
    """Estimates the seconds of a training window of all replicas.

    Args:
        config: all settings, resolved.
        spec: names and shapes that the program is compiled for.
        device: its name or its kind.
        cores: number of CPU cores.
    """
    wavefront = execution.plan(config, spec.features, device).schedule == "wavefront"
    if execution.on_gpu(device):
        return _on_gpu(config, spec, wavefront)
    return _on_cpu(config, spec, wavefront, cores)


def _on_cpu(config: Config, spec: ModelSpec, wavefront: bool, cores: int) -> float:
    """Counts waves and units in the wavefront schedule; else cells, units and products."""
    steps, layers, replicas = config.training.steps, config.model.layers, config.run.replicas
    units, plan = _units(config), execution.plan(config, spec.features, "cpu")
    if wavefront:
        each, calls = execution.side_by_side(replicas, cores if plan.replicas_at_once else 1)
        return calls * ((steps + layers) * 0.6e-6 + units * each * (36e-9 if each == 1 else 22e-9))
    at_once = plan.threads or cores
    rate = 1.1e11 * max(1.0, min(at_once, cores, MOST_CORES) / CORES)
    in_turn = -(-replicas // cores) if plan.replicas_at_once else replicas
    return in_turn * (steps * layers * 2.3e-6 + units * 12e-9 + _products(config, spec) / rate)


def _on_gpu(config: Config, spec: ModelSpec, wavefront: bool) -> float:
    """As `_on_cpu`, but units cost next to nothing."""
    steps, layers, replicas = config.training.steps, config.model.layers, config.run.replicas
    if wavefront:
        return (steps + layers) * A_WAVE + _units(config) * replicas * A_UNIT_BESIDE
    products = _products(config, spec) / PRODUCTS_A_SECOND
    return replicas * (steps * layers * A_CELL + products)


def _units(config: Config) -> int:
    """Units that one replica computes in a window, over all layers, rows and steps."""
    training, model = config.training, config.model
    return training.steps * training.rows * model.layers * model.state_size


def _products(config: Config, spec: ModelSpec) -> int:
    """Multiplications and additions of one replica in a window: forward, and twice as many back."""
    count = model_spec.count(config.model, spec.features, spec.outputs)
    return 6 * config.training.steps * config.training.rows * count


def speed_of_gpu(config: Config, spec: ModelSpec) -> float:
    """How many times as fast as this machine's CPU a GPU is, for a window with these settings."""
    on_cpu = window_seconds(config, spec, "cpu", execution.cores())
    return on_cpu / window_seconds(config, spec, "gpu")


def reason(taken: str, speed: float, asked: str | None = None) -> str:
    """Says why a device was chosen on a machine with a GPU.

    Args:
        taken: the device.
        speed: of a GPU, as returned by `speed_of_gpu`.
        asked: the reason, if it was not the speed.
    """
    if execution.on_gpu(taken):
        found = f"at this size the CPU would be {_compared(1 / speed)}"
    elif 1 < speed < WORTH_IT and not asked:
        found = "a GPU is there; at this size it would hardly be faster"
    else:
        found = f"a GPU is there; at this size it would be {_compared(speed)}"
    return f"{asked}; {found}" if asked else found


def _compared(speed: float) -> str:
    times = max(speed, 1 / speed)
    if times < 1.15:
        return "about as fast"
    shown = f"{times:,.0f}" if times >= 10 else f"{times:.2g}"
    return f"some {shown} times {'faster' if speed > 1 else 'slower'}"
