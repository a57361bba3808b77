"""Names and shapes of a model's tensors, and the interface that a program is compiled for.

L is the number of layers, S of units per layer, F of input features, C of classes. Names, shapes
and gate order (i, f, c, o) are those of Keras.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from lstmcli.config import ModelConfig


@dataclass(frozen=True)
class ModelSpec:
    """A model's inputs and outputs at each step, which its programs are compiled for.

    Attributes:
        numbers: number of numeric inputs.
        symbols: vocabulary size of each categorical input, which is one-hot encoded.
        outputs: number of classes, or of predicted values.
        head: `softmax` (cross-entropy) or `linear` (squared error).
        scored: whether a loss mask leaves steps out.
        starts: whether sequences begin within rows; the state is reset to zero there.
    """

    numbers: int
    symbols: tuple[int, ...]
    outputs: int
    head: str = "softmax"
    scored: bool = False
    starts: bool = False

    @property
    def features(self) -> int:
        """Size of one step's input to the first layer: F."""
        return self.numbers + sum(self.symbols)


def shapes(model: ModelConfig, features: int, classes: int) -> dict[str, tuple[int, ...]]:
    """The shape of each parameter, without the replica axis."""
    size = model.state_size
    by_name: dict[str, tuple[int, ...]] = {}
    for layer in range(model.layers):
        by_name[f"lstm.{layer}.kernel"] = (size if layer else features, 4 * size)
        by_name[f"lstm.{layer}.recurrent_kernel"] = (size, 4 * size)
        by_name[f"lstm.{layer}.bias"] = (4 * size,)
    by_name["dense.kernel"] = (size, classes)
    by_name["dense.bias"] = (classes,)
    return by_name


PARAMETERS = ("lstm.", "dense.")
"""Prefixes of parameters' names; no other tensor has them."""


def parameters(names: Iterable[str]) -> list[str]:
    """Those of some tensors' names that are parameters."""
    return [name for name in names if name.startswith(PARAMETERS)]


def count(model: ModelConfig, features: int, classes: int) -> int:
    """Number of parameters of one replica: 394 for the article's three layers of four units."""
    return sum(math.prod(shape) for shape in shapes(model, features, classes).values())


def state_shape(model: ModelConfig, rows: int) -> tuple[int, ...]:
    """The shape of the state, without the replica axis: `[L, 2, rows, S]`, 0 = c, 1 = h."""
    return (model.layers, 2, rows, model.state_size)
