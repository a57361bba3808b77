"""Independent random streams from one seed.

NumPy's `SeedSequence` hashes the seed with a key. So the weights, each epoch's training series, the
validation series and the test series are independent, and each can be drawn again without those
before it.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Any

import numpy as np


class Stream(IntEnum):
    """The use of a stream, the first word of its key. Never renumber: results depend on it."""

    WEIGHTS = 0
    TRAINING = 1
    VALIDATION = 2
    TEST = 3
    DATASET = 4
    SPLIT = 5
    DROPOUT = 6
    ORDER = 7


def generator(seed: int, stream: Stream, position: int = 0) -> np.random.Generator:
    """The generator of one stream.

    Args:
        seed: the user's seed.
        stream: what is drawn.
        position: which part of the stream: for training, the epoch, from 0.
    """
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(stream, position)))


def describe(seed: int, stream: Stream, position: int = 0) -> dict[str, Any]:
    """The state of a stream at a position, as a checkpoint stores it."""
    return {
        "bit_generator": "PCG64",
        "entropy": seed,
        "spawn_key": [int(stream), position],
    }
