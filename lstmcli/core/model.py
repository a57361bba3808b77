"""The equations: the LSTM cell and its gradient, for every schedule.

The cell is Hochreiter and Schmidhuber's (1997) with the forget gate of Gers, Schmidhuber and
Cummins (2000), without peepholes, as in Keras and the article. With x the layer's input:

    z = x W + h' U + b                      split into z_i, z_f, z_g, z_o
    i, f, o = sigmoid(z_i), sigmoid(z_f), sigmoid(z_o)
    g = tanh(z_g)
    c = f c' + i g
    h = o tanh(c)

The four gates have their own axis; each schedule chooses where it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from lstmcli.core.tensorflow import tf

SCALES = np.array([0.5, 0.5, 1, 0.5], np.float32)
"""sigmoid(z) = tanh(z / 2) / 2 + 1 / 2, so that one tanh serves all gates: i, f, g, o."""


class LocalGradients(NamedTuple):
    """The derivatives of a step: all that its gradient needs.

    Attributes:
        gates: of c with respect to z_i, z_f and z_g, and of h to z_o; along the gates' axis.
        forget: of c with respect to the previous c.
        output: of h with respect to c.
    """

    gates: tf.Tensor
    forget: tf.Tensor
    output: tf.Tensor


def squash(z: tf.Tensor, axis: int) -> tf.Tensor:
    """The one tanh that all gates are computed from."""
    return tf.tanh(tf.constant(along(SCALES, axis, z.shape), z.dtype) * z)


def cell(tanh_z: tf.Tensor, c: tf.Tensor, axis: int) -> tuple[tf.Tensor, tf.Tensor, LocalGradients]:
    """One step, from its squashed pre-activations and the previous c: c, h and derivatives."""
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
    """The gradients of the loss with respect to a step's pre-activations and to the previous c.

    Args:
        dh: gradient with respect to the step's h, from above and from the next step.
        dc: gradient with respect to the step's c, from the next step.
        slopes: the step's derivatives.
        axis: the gates' axis.
    """
    dc = dc + slopes.output * dh
    through_h = along(np.array([False, False, False, True]), axis, slopes.gates.shape)
    arriving = tf.where(through_h, tf.expand_dims(dh, axis), tf.expand_dims(dc, axis))
    return slopes.gates * arriving, slopes.forget * dc


def along(values: np.ndarray, axis: int, like: Sequence[int]) -> np.ndarray:
    """Values along one axis, shaped to broadcast over the other axes of a tensor."""
    shape = [1] * len(like)
    shape[axis] = len(values)
    return values.reshape(shape)
