"""The parameters' initial values, in NumPy.

R is the number of replicas, L of layers, S of units per layer, F of input features, C of classes.
Names, shapes and gate order (i, f, c, o) are those of Keras, with a leading replica axis.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from lstmcli import model_spec
from lstmcli.config import Config, ModelConfig
from lstmcli.core import execution
from lstmcli.model_spec import state_shape

Array = npt.NDArray[np.float32]
Arrays = dict[str, Array]
KERNELS = ("kernel", "recurrent_kernel")
DRAWN_AT_ONCE = 1 << 20
"""Numbers drawn in one call."""


def initialise(
    model: ModelConfig, features: int, classes: int, rngs: Sequence[np.random.Generator]
) -> Arrays:
    """Draws the initial parameters of each replica, as the article's script does.

    A layer's kernel and recurrent kernel are one Glorot-uniform matrix `[inputs + S, 4S]` (Glorot
    and Bengio 2010: limit sqrt(6 / (rows + columns))); the output kernel is uniform in [0, 1);
    biases are zero except the forget gate's (Gers, Schmidhuber and Cummins 2000; Jozefowicz,
    Zaremba and Sutskever 2015).

    Args:
        model: layers, state size, forget bias.
        features: F.
        classes: C.
        rngs: a stream for each of the R replicas.

    Returns:
        Arrays by name, each `[R, …]`.
    """
    shapes = model_spec.shapes(model, features, classes)
    arrays = {name: np.zeros((len(rngs), *shape), np.float32) for name, shape in shapes.items()}
    for replica, rng in enumerate(rngs):
        one = {name: array[replica] for name, array in arrays.items()}
        _initialise_one(model, one, rng)
    return arrays


def _initialise_one(model: ModelConfig, arrays: Arrays, rng: np.random.Generator) -> None:
    """Fills one replica's arrays, which are zero."""
    size = model.state_size
    for layer in range(model.layers):
        kernel, recurrent = (arrays[f"lstm.{layer}.{name}"] for name in KERNELS)
        limit = math.sqrt(6 / (len(kernel) + len(recurrent) + 4 * size))
        for matrix in (kernel, recurrent):
            _draw(matrix, rng, -limit, limit)
        arrays[f"lstm.{layer}.bias"][size : 2 * size] = model.forget_bias
    _draw(arrays["dense.kernel"], rng, 0, 1)


def _draw(matrix: Array, rng: np.random.Generator, low: float, high: float) -> None:
    """Fills a matrix some rows at a time, as NumPy draws 64 bits: that saves memory."""
    rows = max(1, DRAWN_AT_ONCE // matrix.shape[1])
    for begin in range(0, len(matrix), rows):
        part = matrix[begin : begin + rows]
        part[:] = rng.uniform(low, high, part.shape)


def zero_state(model: ModelConfig, replicas: int, rows: int) -> npt.NDArray[np.float32]:
    """The state at an epoch's start: `[R, L, 2, rows, S]`, 0 = c, 1 = h."""
    return np.zeros((replicas, *state_shape(model, rows)), np.float32)


def window_seconds(config: Config, features: int, parameter_count: int) -> float:
    """A rough estimate of a training window's seconds, from its steps and its arithmetic."""
    training, layers = config.training, config.model.layers
    steps = training.steps
    products = steps * training.rows * config.run.replicas * parameter_count
    if execution.plan(config, features).schedule == "wavefront":
        return (steps + layers) * 4e-6 + 6 * products / 1e10
    return steps * layers * config.run.replicas * 4e-6 + 6 * products / 1.6e11
