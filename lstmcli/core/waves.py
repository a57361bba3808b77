"""What goes through the waves of `wavefront.py`, and where it lies.

Shapes are in the letters of that file: R replicas, L layers, S units, B rows, T steps, W waves, M
the flat axis behind the layer.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from lstmcli.core import model
from lstmcli.core.backend import tf
from lstmcli.core.window import Window


class Weights(NamedTuple):
    """Parameters, gradients or slots in this schedule's layout.

    Attributes:
        lstm: `[4, L, I + S + 1, S, R]`: rows for the layer's input, its hidden state, the bias.
        dense: `[C, S + 1, R]`: rows for the hidden state and the bias.
    """

    lstm: tf.Tensor
    dense: tf.Tensor


class Scratch(NamedTuple):
    """Room for what the waves leave.

    Attributes:
        inputs, slopes: as in `Waves`; no slopes for a forward pass alone.
        top: the top layer's hidden state `[W, B, S, R]`, where sequences begin; else nothing.
    """

    inputs: tf.TensorArray
    slopes: tuple[tf.TensorArray, ...]
    top: tuple[tf.TensorArray, ...]


class State(NamedTuple):
    """Cell state and hidden state, each `[L, M]`."""

    c: tf.Tensor
    h: tf.Tensor


class Waves(NamedTuple):
    """What the forward waves leave for the backward ones.

    Attributes:
        inputs: `[W, L, B, I + S + 1, R]`: [x, h, 1] of each layer.
        slopes: `[W, 4, L, M]`, `[W, L, M]`, `[W, L, M]`.
        carried: `[W, L, B, 1, R]`, or `None`.
        kept: `[W, L, B, S, R]`, or `None`.
    """

    inputs: tf.Tensor
    slopes: model.Slopes
    carried: tf.Tensor | None = None
    kept: tf.Tensor | None = None


def waves_of(window: Window, layers: int) -> tuple[tf.Tensor | None, tf.Tensor | None]:
    """What is carried and kept, `[W, L, B, …, R]`: in wave w, layer l is at step w - l.

    A layer's place in `kept` is for what it is given: the output of the layer below.
    """
    carried = kept = None
    if window.carried is not None:
        carried = _diagonal([window.carried] * layers)
    if window.kept is not None:
        given = tf.unstack(window.kept, axis=1)
        kept = _diagonal([tf.ones_like(given[0]), *given[:-1]])
    return carried, kept


def _diagonal(parts: list[tf.Tensor]) -> tf.Tensor:
    """Each layer's `[T, …]`, in the wave in which it is due: `[W, L, …]`, ones elsewhere."""
    rest = [[0, 0]] * (len(parts[0].shape) - 1)
    padded = (
        tf.pad(part, [[layer, len(parts) - 1 - layer], *rest], constant_values=1.0)
        for layer, part in enumerate(parts)
    )
    return tf.stack(list(padded), 1)


def at_work_by_wave(layers: int, steps: int) -> np.ndarray:
    """Whether each layer has a step to do in each wave: `[W, L, 1]`."""
    step = np.arange(steps + layers - 1)[:, None] - np.arange(layers)
    return ((step >= 0) & (step < steps))[:, :, None]


def from_above(values: tf.Tensor) -> tf.Tensor:
    """`[4, L, …]` with each layer's part replaced by the one of the layer above it, or zeros."""
    return tf.pad(values[:, 1:], [[0, 0], [0, 1], *[[0, 0]] * (len(values.shape) - 2)])


def with_one(x: tf.Tensor) -> tf.Tensor:
    """`[T, B, S, R]` -> `[T, B, S + 1, R]`: a column of ones for the bias."""
    return tf.pad(x, [[0, 0], [0, 0], [0, 1], [0, 0]], constant_values=1.0)
