"""The optimizers' update rules, each written as its equation.

A rule keeps a few numbers per weight, called slots. It works elementwise, so the weights may have
any layout.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from lstmcli.core.tensorflow import tf

Slots = tuple[tf.Tensor, ...]


@dataclass(frozen=True)
class Optimizer:
    """An update rule.

    Attributes:
        slots: the name and the initial value of each slot.
        update: `(weight, gradient, slots, learning_rate, step) -> (weight, slots)`. The learning
            rate and the step are float32 scalars; `step` counts updates from 1.
    """

    slots: dict[str, float]
    update: Callable[[tf.Tensor, tf.Tensor, Slots, tf.Tensor, tf.Tensor], tuple[tf.Tensor, Slots]]


def _sgd(
    weight: tf.Tensor, gradient: tf.Tensor, slots: Slots, learning_rate: tf.Tensor, step: tf.Tensor
) -> tuple[tf.Tensor, Slots]:
    return weight - learning_rate * gradient, slots


def _adagrad(
    weight: tf.Tensor, gradient: tf.Tensor, slots: Slots, learning_rate: tf.Tensor, step: tf.Tensor
) -> tuple[tf.Tensor, Slots]:
    """Duchi, Hazan and Singer 2011, without an epsilon, as in TensorFlow 1."""
    (accumulator,) = slots
    accumulator += gradient * gradient
    return weight - learning_rate * gradient / _root(accumulator), (accumulator,)


def _rmsprop(
    weight: tf.Tensor, gradient: tf.Tensor, slots: Slots, learning_rate: tf.Tensor, step: tf.Tensor
) -> tuple[tf.Tensor, Slots]:
    """Tieleman and Hinton 2012, lecture 6.5, with Keras's rho 0.9 and epsilon 1e-7."""
    (velocity,) = slots
    velocity = 0.9 * velocity + 0.1 * gradient * gradient
    return weight - learning_rate * gradient / _root(velocity + 1e-7), (velocity,)


def _adam(
    weight: tf.Tensor, gradient: tf.Tensor, slots: Slots, learning_rate: tf.Tensor, step: tf.Tensor
) -> tuple[tf.Tensor, Slots]:
    """Kingma and Ba 2015, the efficient form in section 2, with Keras's epsilon 1e-7."""
    momentum, velocity = slots
    momentum = 0.9 * momentum + 0.1 * gradient
    velocity = 0.999 * velocity + 0.001 * gradient * gradient
    rate = learning_rate * tf.sqrt(1 - tf.pow(0.999, step)) / (1 - tf.pow(0.9, step))
    return weight - rate * momentum / (tf.sqrt(velocity) + 1e-7), (momentum, velocity)


def _root(square: tf.Tensor) -> tf.Tensor:
    """The square root, to be divided by.

    The compiler would replace the division by a product with the reciprocal square root, a separate
    instruction that approximates, and that processors of different makers round differently. The
    maximum, which changes no value, prevents this.
    """
    return tf.maximum(tf.sqrt(square), 1e-20)


OPTIMIZERS = {
    "adagrad": Optimizer({"accumulator": 0.1}, _adagrad),
    "adam": Optimizer({"momentum": 0.0, "velocity": 0.0}, _adam),
    "rmsprop": Optimizer({"velocity": 0.0}, _rmsprop),
    "sgd": Optimizer({}, _sgd),
}
