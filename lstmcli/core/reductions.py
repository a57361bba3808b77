"""Sums whose order does not depend on the number of replicas.

The compiler may compute a reduction in any order. It unrolls short ones, in the order of their
terms. Long ones become loops, whose order depends on how they are vectorised. It can change with
the number of replicas, and with it the last bit. (`core/execution.py` stops the compiler from
vectorising the unrolled terms.)
"""

from __future__ import annotations

from lstmcli.core.tensorflow import tf

SHORT = 16
"""The most terms of a sum that the compiler unrolls."""


def short(values: tf.Tensor, axis: int) -> tf.Tensor:
    """The sum along an axis, computed `SHORT` terms at a time."""
    length = values.shape[axis]
    parts = [min(SHORT, length - begin) for begin in range(0, length, SHORT)]
    return tf.add_n([tf.reduce_sum(part, axis) for part in tf.split(values, parts, axis)])


def halves(values: tf.Tensor, axis: int) -> tf.Tensor:
    """The sum along an axis: the second half is added to the first until one term is left."""
    while (length := values.shape[axis]) > 1:
        first, second = tf.split(values, [length - length // 2, length // 2], axis)
        padding = [[0, length % 2 if axis == each else 0] for each in range(len(values.shape))]
        values = first + tf.pad(second, padding)
    return tf.squeeze(values, axis)
