"""Sums whose order does not depend on how many replicas there are.

The compiler may take a reduction in any order. A short one it writes out term by term, in the order
of the terms; of a long one it makes a loop, and adds in the order that suits the vectorising of it,
which can differ with the number of replicas, and the last bit with it. (That the terms written out
are not gathered into vectors again is a matter of `core/execution.py`.)
"""

from __future__ import annotations

from lstmcli.core.tensorflow import tf

SHORT = 16
"""Terms of a sum that the compiler writes out."""


def short(values: tf.Tensor, axis: int) -> tf.Tensor:
    """Along an axis, a few terms at a time."""
    length = values.shape[axis]
    parts = [min(SHORT, length - begin) for begin in range(0, length, SHORT)]
    return tf.add_n([tf.reduce_sum(part, axis) for part in tf.split(values, parts, axis)])


def halves(values: tf.Tensor, axis: int) -> tf.Tensor:
    """Along an axis: its second half is added to its first until one is left."""
    while (length := values.shape[axis]) > 1:
        first, second = tf.split(values, [length - length // 2, length // 2], axis)
        padding = [[0, length % 2 if axis == each else 0] for each in range(len(values.shape))]
        values = first + tf.pad(second, padding)
    return tf.squeeze(values, axis)
