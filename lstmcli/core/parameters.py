"""The parameters' initial values. NumPy alone: no TensorFlow here.

Shapes are written with R replicas, L layers, S units per layer, F input features, C classes. Names,
shapes and gate order (i, f, c, o) are Keras's, with a leading replica axis.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from lstmcli.architecture import state_shape
from lstmcli.config import Config, ModelConfig
from lstmcli.core import environment

Arrays = dict[str, npt.NDArray[np.float32]]


def initialise(
    model: ModelConfig, features: int, classes: int, rngs: Sequence[np.random.Generator]
) -> Arrays:
    """Draws the initial parameters of each replica, as the article's script has them.

    A layer's kernel and recurrent kernel are one Glorot-uniform matrix `[inputs + S, 4S]` (Glorot
    and Bengio 2010: limit sqrt(6 / (rows + columns))); the output kernel is uniform in [0, 1);
    biases are zero but for the forget gate's (Gers, Schmidhuber and Cummins 2000; Jozefowicz,
    Zaremba and Sutskever 2015).

    Args:
        model: layers, state size, forget bias.
        features: F.
        classes: C.
        rngs: a stream for each of the R replicas.

    Returns:
        Arrays by name, each `[R, …]`.
    """
    drawn = [_initialise_one(model, features, classes, rng) for rng in rngs]
    return {name: np.stack([one[name] for one in drawn]) for name in drawn[0]}


def _initialise_one(
    model: ModelConfig, features: int, classes: int, rng: np.random.Generator
) -> Arrays:
    size = model.state_size
    arrays: Arrays = {}
    for layer in range(model.layers):
        inputs = size if layer else features
        limit = math.sqrt(6 / (inputs + size + 4 * size))
        matrix = rng.uniform(-limit, limit, (inputs + size, 4 * size)).astype(np.float32)
        arrays[f"lstm.{layer}.kernel"] = matrix[:inputs]
        arrays[f"lstm.{layer}.recurrent_kernel"] = matrix[inputs:]
        bias = np.zeros(4 * size, np.float32)
        bias[size : 2 * size] = model.forget_bias
        arrays[f"lstm.{layer}.bias"] = bias
    arrays["dense.kernel"] = rng.random((size, classes)).astype(np.float32)
    arrays["dense.bias"] = np.zeros(classes, np.float32)
    return arrays


def zero_state(model: ModelConfig, replicas: int, rows: int) -> npt.NDArray[np.float32]:
    """The state at an epoch's start: `[R, L, 2, rows, S]`, 0 = c, 1 = h."""
    return np.zeros((replicas, *state_shape(model, rows)), np.float32)


def window_seconds(config: Config, features: int, parameter_count: int) -> float:
    """A rough guess at a training window's seconds, from its steps and its arithmetic."""
    training, layers = config.training, config.model.layers
    steps = training.steps
    products = steps * training.rows * config.run.replicas * parameter_count
    if environment.schedule(config, features) == "wavefront":
        return (steps + layers) * 4e-6 + 6 * products / 1e10
    return steps * layers * config.run.replicas * 4e-6 + 6 * products / 1.6e11
