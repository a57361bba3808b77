"""Default settings: the article's for generated series, and a rule by length for files.

The rule gives what a practitioner would begin with. Both are defined only here.
"""

from __future__ import annotations

from typing import Any

ARTICLE: dict[str, Any] = {
    "layers": 3,
    "state_size": 4,
    "batch_size": 5,
    "bptt": 15,
    "epochs": 100,
    "optimizer": "adagrad",
    "learning_rate": 0.3,
}
"""The article's settings. It has neither clipping nor early stopping."""

OFF: dict[str, Any] = {"clip_norm": 0.0, "patience": 0}
"""For runs on a file by older versions, which saved all of the above but not these."""

BY_RULE = (*ARTICLE, *OFF)
"""The settings whose default depends on the data."""

ROWS, STEPS = 32, 64
"""Batch size and steps of a window for other data than the article's, if it is long enough."""

LAYERS, UNITS, RATE = 1, 64, 0.005
TEXT_LAYERS, TEXT_UNITS, TEXT_RATE = 2, 128, 0.003
"""For text, where each step has more to teach."""
FEW_UNITS, FEW_STEPS = 32, 200
"""Units per layer, for a training part of at most this many steps."""
OPTIMIZER, CLIP_NORM = "adam", 1.0

WINDOWS = 4_000
"""Windows to train on over all epochs: this sets the number of epochs, within the bounds below."""
FEWEST_EPOCHS, MOST_EPOCHS = 10, 200

FEWEST_PATIENCE = 3


def of_file(
    steps: int,
    window: int,
    *,
    text: bool = False,
    epochs: int | None = None,
    validated: bool = True,
) -> dict[str, Any]:
    """Default settings of a run on a file, by name, except batch size and steps of a window.

    Args:
        steps: length of the training part.
        window: steps of a window, over all its rows.
        text: whether a step is a character.
        epochs: the number of epochs, if it is given.
        validated: whether a part is held out for validation; if so, training stops after a tenth
            of the epochs without improvement.
    """
    windows = max(1, steps // window)
    epochs = epochs or min(MOST_EPOCHS, max(FEWEST_EPOCHS, round(WINDOWS / windows)))
    few = steps <= FEW_STEPS
    return {
        "layers": TEXT_LAYERS if text else LAYERS,
        "state_size": FEW_UNITS if few else TEXT_UNITS if text else UNITS,
        "epochs": epochs,
        "optimizer": OPTIMIZER,
        "learning_rate": TEXT_RATE if text else RATE,
        "clip_norm": CLIP_NORM,
        "patience": max(FEWEST_PATIENCE, epochs // 10) if validated else 0,
    }
