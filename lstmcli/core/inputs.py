"""The inputs of a window for a schedule, each `[T, B, …, R]`."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from lstmcli.core.tensorflow import tf
from lstmcli.model_spec import ModelSpec

Inputs = dict[str, tf.Tensor]
SIXTEEN_BITS = 2**16


class Window(NamedTuple):
    """The inputs of a window. For a part that is `None`, nothing is compiled.

    Attributes:
        inputs: `[T, B, F, R]`.
        carried: factor for the state before each step: 0 where a sequence begins, else 1;
            `[T, B, 1, R]`.
        kept: factor for each layer's output on its way up, for dropout; `[T, L, B, S, R]`.
    """

    inputs: tf.Tensor
    carried: tf.Tensor | None = None
    kept: tf.Tensor | None = None


def of_parts(parts: Inputs, spec: ModelSpec, dropout: float | None) -> Window:
    """A window from its arrays.

    Args:
        parts: `numbers`, `symbols`, `starts` as in a series, and `dropout`: 16 random bits for each
            unit, `[T, L, B, S, R]`.
        spec: the model's inputs and outputs.
        dropout: the fraction of each layer's output that is dropped.
    """
    return Window(
        _inputs(parts, spec),
        1 - tf.cast(parts["starts"], tf.float32)[:, :, None] if spec.starts else None,
        _kept(parts["dropout"], dropout) if dropout and "dropout" in parts else None,
    )


def _inputs(parts: Inputs, spec: ModelSpec) -> tf.Tensor:
    """Numeric inputs and one-hot symbols, concatenated; an unknown symbol is all zeros."""
    found = [parts["numbers"]] if spec.numbers else []
    for column, size in enumerate(spec.symbols):
        symbols = tf.cast(parts["symbols"][:, :, column, None], tf.int32)
        one_hot = symbols == np.arange(size, dtype=np.int32)[:, None]
        found.append(tf.cast(one_hot, tf.float32))
    return found[0] if len(found) == 1 else tf.concat(found, 2)


def _kept(bits: tf.Tensor, dropout: float) -> tf.Tensor:
    """0 or 1 / (1 - p), p the dropout to 16 bits (Srivastava et al. 2014, inverted)."""
    dropped = round(dropout * SIXTEEN_BITS)
    scale = np.float32(SIXTEEN_BITS / (SIXTEEN_BITS - dropped))
    return tf.cast(tf.cast(bits, tf.int32) >= dropped, tf.float32) * scale


def dropout_bits(
    rngs: list[np.random.Generator], shape: tuple[int, ...], begin: int, length: int
) -> npt.NDArray[np.uint16]:
    """16 random bits for each unit of some windows, `[length, *shape, R]`.

    Each window has its fixed place in its replica's stream, so its bits do not depend on where a
    call begins.

    Args:
        rngs: each replica's stream, at its start; it is advanced.
        shape: shape of one window, `[T, L, B, S]`.
        begin: the first window.
        length: number of windows.
    """
    words = -(-int(np.prod(shape)) // 4)
    found = []
    for rng in rngs:
        rng.bit_generator.advance(begin * words)  # type: ignore[attr-defined]
        bits = rng.bit_generator.random_raw(length * words).view(np.uint16)
        found.append(bits.reshape(length, -1)[:, : np.prod(shape)].reshape(length, *shape))
    return np.stack(found, -1)
