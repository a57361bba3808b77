"""Heads: the loss and its gradient, and what is reported of the outputs.

A schedule knows no head: it passes the outputs of the dense layer, `[C, …]`, and gets their
gradient.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from lstmcli.core import reductions
from lstmcli.core.tensorflow import tf

CLASSES = 0
"""The axis of the outputs for the classes, or the predicted values."""


class Errors(NamedTuple):
    """A head's loss, metric and gradient at each step.

    Attributes:
        loss: the outputs' shape without the first axis.
        metric: the same shape.
        gradient: of the loss with respect to the outputs; their shape. Zero at steps that are not
            scored.
        labels: number of scored steps of each replica, `[R]` or a scalar; a window's loss is the
            mean over them.
        known: with several targets, how many are known at a step; the shape of `loss`.
    """

    loss: tf.Tensor
    metric: tf.Tensor
    gradient: tf.Tensor
    labels: tf.Tensor | float = 1.0
    known: tf.Tensor | None = None


@dataclass(frozen=True)
class Head:
    """A loss, and what it needs.

    Attributes:
        errors: `(outputs [C, …], targets) -> Errors`.
        readout: the outputs as they are reported; same shape.
        targets: the type of the targets.
        counts_each: whether some of a step's targets may be missing.
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
        labels: integers, the logits' shape without the first axis.
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
    """Mean squared error over the D targets of a step, and mean absolute error.

    With several targets, missing ones are NaN: their error and gradient are zero.

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
