"""The equations: the LSTM cell and its gradient, for every schedule.

The cell is Hochreiter and Schmidhuber's (1997) with the forget gate of Gers, Schmidhuber and
Cummins (2000), without peepholes, as Keras and the article have it. With x the layer's input:

    z = x W + h' U + b                      split into z_i, z_f, z_g, z_o
    i, f, o = sigmoid(z_i), sigmoid(z_f), sigmoid(z_o)
    g = tanh(z_g)
    c = f c' + i g
    h = o tanh(c)

The four gates lie along an axis of their own, which each schedule puts where it likes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from lstmcli.core.tensorflow import tf

SCALES = np.array([0.5, 0.5, 1, 0.5], np.float32)
"""sigmoid(z) = tanh(z / 2) / 2 + 1 / 2, so that one tanh serves all gates: i, f, g, o."""


class LocalGradients(NamedTuple):
    """The derivatives of a step, which its gradient needs and nothing else.

    Attributes:
        gates: of c to z_i, z_f, z_g, and of h to z_o; four along the gates' axis.
        forget: of c to the c before.
        output: of h to c.
    """

    gates: tf.Tensor
    forget: tf.Tensor
    output: tf.Tensor


def squash(z: tf.Tensor, axis: int) -> tf.Tensor:
    """The one tanh that all gates are made of."""
    return tf.tanh(tf.constant(along(SCALES, axis, z.shape), z.dtype) * z)


def cell(tanh_z: tf.Tensor, c: tf.Tensor, axis: int) -> tuple[tf.Tensor, tf.Tensor, LocalGradients]:
    """One step, from its squashed pre-activations and the c before: c, h, and their slopes."""
    scale = tf.constant(along(SCALES, axis, tanh_z.shape), tanh_z.dtype)
    i, f, g, o = tf.unstack(scale * tanh_z + (1 - scale), axis=axis)
    c_next = f * c + i * g
    tanh_c = tf.tanh(c_next)
    slopes = LocalGradients(
        gates=scale * scale * (1 - tanh_z * tanh_z) * tf.stack([g, c, i, tanh_c], axis),
        forget=f,
        output=o * (1 - tanh_c * tanh_c),
    )
    return c_next, o * tanh_c, slopes


def cell_gradient(
    dh: tf.Tensor, dc: tf.Tensor, slopes: LocalGradients, axis: int
) -> tuple[tf.Tensor, tf.Tensor]:
    """The gradients to a step's pre-activations and to the cell state before it.

    Args:
        dh: gradient of the loss to the step's h, from above and from the next step.
        dc: gradient of the loss to the step's c, from the next step.
        slopes: the step's own.
        axis: where the gates lie.
    """
    dc = dc + slopes.output * dh
    through_h = along(np.array([False, False, False, True]), axis, slopes.gates.shape)
    arriving = tf.where(through_h, tf.expand_dims(dh, axis), tf.expand_dims(dc, axis))
    return slopes.gates * arriving, slopes.forget * dc


def along(values: np.ndarray, axis: int, like: Sequence[int]) -> np.ndarray:
    """Some numbers along an axis of a tensor of a shape, to be broadcast over its others."""
    shape = [1] * len(like)
    shape[axis] = len(values)
    return values.reshape(shape)
