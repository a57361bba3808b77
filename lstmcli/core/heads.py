"""The loss and its gradient, and what the top layer's output becomes: a head for each kind.

A schedule knows no head: it hands over the outputs of the dense layer, `[C, …]`, and gets back
their gradient.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from lstmcli.core import reductions
from lstmcli.core.tensorflow import tf

CLASSES = 0
"""The axis of the outputs along which the classes, or the numbers, lie."""


class Errors(NamedTuple):
    """What a head makes of the outputs, at each step.

    Attributes:
        loss: without the outputs' first axis.
        metric: the same shape.
        gradient: of the loss to the outputs; their shape. Zero where a step is not scored.
        labels: the scored steps of each replica, `[R]` or a number: a window's loss is the mean.
        known: of several numbers, how many of a step are known: the shape of `loss`.
    """

    loss: tf.Tensor
    metric: tf.Tensor
    gradient: tf.Tensor
    labels: tf.Tensor | float = 1.0
    known: tf.Tensor | None = None


@dataclass(frozen=True)
class Head:
    """A head.

    Attributes:
        errors: `(outputs [C, …], targets) -> Errors`.
        readout: what is reported of the outputs, of their shape.
        targets: what targets are.
        counts_each: whether each of a step's outputs may be known or not.
    """

    errors: Callable[[tf.Tensor, tf.Tensor], Errors]
    readout: Callable[[tf.Tensor], tf.Tensor]
    targets: tf.DType
    counts_each: bool


def _softmax_errors(logits: tf.Tensor, labels: tf.Tensor) -> Errors:
    """Cross-entropy in nats, whether the label has the largest logit, and the gradient.

    The gradient is the probabilities minus the one-hot label.

    Args:
        logits: `[C, …]`.
        labels: whole numbers, the logits' shape without its first axis.
    """
    shape = [-1] + [1] * (len(logits.shape) - 1)
    classes = np.arange(logits.shape[CLASSES], dtype=np.int32).reshape(shape)
    one_hot = tf.cast(tf.expand_dims(labels, CLASSES) == classes, logits.dtype)
    largest = tf.reduce_max(logits, CLASSES, keepdims=True)
    exponentials = tf.exp(logits - largest)
    total = tf.expand_dims(reductions.halves(exponentials, CLASSES), CLASSES)
    below = tf.reduce_sum(one_hot * (largest - logits), CLASSES)
    loss = tf.math.log(tf.squeeze(total, CLASSES)) + below
    # The division comes last: the compiler then keeps the result instead of computing it again.
    gradient = (exponentials - one_hot * total) / total
    return Errors(loss, tf.cast(below <= 0, logits.dtype), gradient)


def _log_softmax(logits: tf.Tensor) -> tf.Tensor:
    below = logits - tf.reduce_max(logits, CLASSES, keepdims=True)
    return below - tf.expand_dims(tf.math.log(reductions.halves(tf.exp(below), CLASSES)), CLASSES)


def _linear_errors(outputs: tf.Tensor, targets: tf.Tensor) -> Errors:
    """Mean squared error over the D numbers of a step, and mean absolute error.

    Of several numbers those that are not known are NaN: they have no error, and no gradient.

    Args:
        outputs: `[D, …, R]`.
        targets: `[…, D, R]`.
    """
    axis = len(targets.shape) - 2
    order = [axis, *(each for each in range(axis + 2) if each != axis)]
    targets = tf.transpose(targets, order)
    errors, known, count = outputs - targets, None, outputs.shape[0]
    terms: tf.Tensor | int = count
    if count > 1:
        there = tf.math.is_finite(targets)
        errors = tf.where(there, errors, 0.0)
        known = reductions.halves(tf.cast(there, errors.dtype), 0)
        terms = tf.maximum(known, 1.0)
    return Errors(
        reductions.halves(errors * errors, 0) / terms,
        reductions.halves(tf.abs(errors), 0) / terms,
        errors * (2 / count),
        known=known,
    )


HEADS = {
    "softmax": Head(_softmax_errors, _log_softmax, tf.int32, counts_each=False),
    "linear": Head(_linear_errors, tf.identity, tf.float32, counts_each=True),
}
