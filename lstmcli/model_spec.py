"""The names and shapes of a model's tensors, and what a program is compiled for.

Shapes are written with L layers, S units per layer, F input features, C classes. Names, shapes and
gate order (i, f, c, o) are Keras's.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from lstmcli.config import ModelConfig


@dataclass(frozen=True)
class ModelSpec:
    """What a model takes and gives at each step: all that a program is compiled for.

    Attributes:
        numbers: numeric inputs.
        symbols: the vocabulary's size of each categorical input, which becomes one-hot.
        outputs: classes, or numbers that are predicted.
        head: `softmax` or `linear`: what the top layer's output becomes, and the loss.
        scored: whether there are steps that do not count.
        starts: whether sequences begin within rows, where the state is zero.
    """

    numbers: int
    symbols: tuple[int, ...]
    outputs: int
    head: str = "softmax"
    scored: bool = False
    starts: bool = False

    @property
    def features(self) -> int:
        """Numbers in one step's input, as the first layer sees it: F."""
        return self.numbers + sum(self.symbols)


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


PARAMETERS = ("lstm.", "dense.")
"""How the names of parameters begin, and those of no other tensor."""


def parameters(names: Iterable[str]) -> list[str]:
    """Which of some tensors' names are a parameter's."""
    return [name for name in names if name.startswith(PARAMETERS)]


def count(model: ModelConfig, features: int, classes: int) -> int:
    """Number of parameters of one replica: 394 for the article's three layers of four units."""
    return sum(math.prod(shape) for shape in shapes(model, features, classes).values())


def state_shape(model: ModelConfig, rows: int) -> tuple[int, ...]:
    """The shape of the state, without the replica axis: `[L, 2, rows, S]`, 0 = c, 1 = h."""
    return (model.layers, 2, rows, model.state_size)
