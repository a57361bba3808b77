"""What settings are where nothing is said: the article's, or for a file a rule by its length.

The article's are those of its own experiment, and of all series that are drawn. For a file they are
what a practitioner would begin with. Both stand here and nowhere else.
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
"""How the article trains; clipping and early stopping are off."""

OFF: dict[str, Any] = {"clip_norm": 0.0, "patience": 0}
"""What a run on a file has that names all of the above and not these: they were off once."""

BY_RULE = (*ARTICLE, *OFF)
"""The settings whose default follows from the data."""

ROWS, STEPS = 32, 64
"""How data that is not the article's is cut, where it is long enough."""

LAYERS, UNITS, RATE = 1, 64, 0.005
TEXT_LAYERS, TEXT_UNITS, TEXT_RATE = 2, 128, 0.003
"""Of a text, which has more to be learned from each of its steps."""
FEW_UNITS, FEW_STEPS = 32, 200
"""Units of a layer where the training part has no more than so few steps."""
OPTIMIZER, CLIP_NORM = "adam", 1.0

WINDOWS = 4_000
"""To be trained on, in all: so many epochs as give that, but no fewer and no more than these."""
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
    """The settings of a run on a file, by their names, but for how it is cut.

    A tenth of the epochs without a better validation ends the training, if there is a validation.

    Args:
        steps: of the training part.
        window: steps of a window in all its rows.
        text: whether a step is a character.
        epochs: where they are given.
        validated: whether a part is held out for validation.
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
