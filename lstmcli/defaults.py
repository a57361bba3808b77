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

UNITS, FEW_UNITS, FEW_STEPS = 64, 32, 200
"""Units of a layer, and those where the training part has no more than so few steps."""

TEXT_LAYERS, TEXT_UNITS = 2, 128
"""Of a text, which has more to be learned from each of its steps."""

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
        "layers": TEXT_LAYERS if text else 1,
        "state_size": FEW_UNITS if few else TEXT_UNITS if text else UNITS,
        "epochs": epochs,
        "optimizer": "adam",
        "learning_rate": 0.003 if text else 0.005,
        "clip_norm": 1.0,
        "patience": max(FEWEST_PATIENCE, epochs // 10) if validated else 0,
    }
