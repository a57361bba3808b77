"""The shapes of a model: what a checkpoint holds and what training starts from.

Shapes are written with L layers, S units per layer, F input features, C classes. Names, shapes and
gate order (i, f, c, o) are Keras's.
"""

from __future__ import annotations

import math

from lstmcli.config import ModelConfig


def shapes(model: ModelConfig, features: int, classes: int) -> dict[str, tuple[int, ...]]:
    """The shape of each parameter, without the replica axis."""
    size = model.state_size
    found: dict[str, tuple[int, ...]] = {}
    for layer in range(model.layers):
        found[f"lstm.{layer}.kernel"] = (size if layer else features, 4 * size)
        found[f"lstm.{layer}.recurrent_kernel"] = (size, 4 * size)
        found[f"lstm.{layer}.bias"] = (4 * size,)
    found["dense.kernel"] = (size, classes)
    found["dense.bias"] = (classes,)
    return found


def count(model: ModelConfig, features: int, classes: int) -> int:
    """Number of parameters of one replica: 394 for the article's three layers of four units."""
    return sum(math.prod(shape) for shape in shapes(model, features, classes).values())


def state_shape(model: ModelConfig, rows: int) -> tuple[int, ...]:
    """The shape of the state, without the replica axis: `[L, 2, rows, S]`, 0 = c, 1 = h."""
    return (model.layers, 2, rows, model.state_size)
