"""What a window of training takes on the CPU and on a GPU, and which of them is the faster one.

The CPU's figures are those of `make bench` on two cores, fitted. A GPU's were read once, on one
NVIDIA H200 with TensorFlow 2.21; no other one was ever tried:

| a window of                                           | schedule  | measured | said here |
| ----------------------------------------------------- | --------- | -------- | --------- |
| the article: 3 x 4 units, 5 rows, 15 steps            | wavefront | 0.569 ms | 0.57 ms   |
| 8 models of the article side by side                  | wavefront | 0.602 ms | 0.60 ms   |
| the article                                           | layered   | 3.11 ms  | 2.9 ms    |
| a text, 1 x 512 units, 32 rows, 64 steps              | layered   | 5.1 ms   | 4.3 ms    |
| a text, 2 x 256 units, 64 rows, 64 steps              | layered   | 7.1 ms   | 8.5 ms    |
| a text, 2 x 1024 units, 128 rows, 128 steps           | layered   | 26.6 ms  | 27 ms     |

An epoch of the article is 666 windows: 0.379 s there, 2.07 s layered, 0.401 s for 8 models. The CPU
of that machine took 0.032 s, which is 0.048 ms a window, where the rule says 0.043. A text's layer
and step take 55 to 80 µs whatever their size, until the arithmetic dominates.
"""

from __future__ import annotations

from lstmcli import model_spec
from lstmcli.config import Config
from lstmcli.core import execution
from lstmcli.model_spec import ModelSpec

A_WAVE, A_UNIT_BESIDE = 31.6e-6, 5e-9
"""Seconds on a GPU of a step of the wavefront schedule, and of each unit of each model in it."""
A_CELL, PRODUCTS_A_SECOND = 65e-6, 1.3e14
"""Seconds there of a layer's step in the layered schedule; and the rate of its multiplications."""
COMPILING_ON_A_GPU = 14.0
"""Seconds: the first epoch of those texts took 11 to 17."""

CORES, MOST_CORES = 2, 8
"""What the CPU's figures were fitted on; and how many help at most with large products, each as
much as these two. No more than two were measured: it is in the CPU's favour, as a GPU's start is
the slower one."""
WORTH_IT = 1.5
"""Times as fast as the CPU that a GPU has to be: its programs take ten seconds more to compile, and
the figures of another card, or of another processor, are not these."""


def window_seconds(config: Config, spec: ModelSpec, device: str, cores: int = CORES) -> float:
    """A training window of all replicas, about.

    Args:
        config: all settings, resolved.
        spec: what a program has to be compiled for.
        device: by its name, or its kind.
        cores: of the CPU.
    """
    wavefront = execution.plan(config, spec.features, device).schedule == "wavefront"
    if execution.on_gpu(device):
        return _on_gpu(config, spec, wavefront)
    return _on_cpu(config, spec, wavefront, cores)


def _on_cpu(config: Config, spec: ModelSpec, wavefront: bool, cores: int) -> float:
    """With waves and units in the wavefront schedule; with cells, units and products layered."""
    steps, layers, replicas = config.training.steps, config.model.layers, config.run.replicas
    units = _units(config)
    if wavefront:
        return (steps + layers) * 0.6e-6 + units * replicas * (36e-9 if replicas == 1 else 22e-9)
    plan = execution.plan(config, spec.features, "cpu")
    at_once = plan.threads or cores
    rate = 1.1e11 * max(1.0, min(at_once, cores, MOST_CORES) / CORES)
    in_turn = -(-replicas // cores) if plan.replicas_at_once else replicas
    return in_turn * (steps * layers * 2.3e-6 + units * 12e-9 + _products(config, spec) / rate)


def _on_gpu(config: Config, spec: ModelSpec, wavefront: bool) -> float:
    """As `_on_cpu`, but that units cost next to nothing."""
    steps, layers, replicas = config.training.steps, config.model.layers, config.run.replicas
    if wavefront:
        return (steps + layers) * A_WAVE + _units(config) * replicas * A_UNIT_BESIDE
    products = _products(config, spec) / PRODUCTS_A_SECOND
    return replicas * (steps * layers * A_CELL + products)


def _units(config: Config) -> int:
    """What one replica computes in a window."""
    training, model = config.training, config.model
    return training.steps * training.rows * model.layers * model.state_size


def _products(config: Config, spec: ModelSpec) -> int:
    """Multiplications and additions of one replica in a window: forward, and twice that back."""
    count = model_spec.count(config.model, spec.features, spec.outputs)
    return 6 * config.training.steps * config.training.rows * count


def speed_of_gpu(config: Config, spec: ModelSpec) -> float:
    """How many times as fast as this machine's CPU a GPU is, for a window of some settings."""
    on_cpu = window_seconds(config, spec, "cpu", execution.cores())
    return on_cpu / window_seconds(config, spec, "gpu")


def reason(taken: str, speed: float, asked: str | None = None) -> str:
    """Why a device was taken where a GPU is there, in words.

    Args:
        taken: the device.
        speed: of a GPU, as `speed_of_gpu` gives it.
        asked: why it is this one, where that is not its speed.
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
