"""A table of trials with losses that are known."""

import pandas as pd

CHANCE = 0.7


def trials(losses, swept=None, **columns):
    """A table of trials from `{layers: losses}`; a loss below 0.01 has solved the task."""
    rows = [
        {
            "layers": layers, "state_size": 4, "seed": seed, "parameters": 100 * layers,
            "status": "completed", "solved": loss < 0.01, "epochs_to_solve": 3, "test_loss": loss,
            "bayes_loss": 0.0, "gap": loss, "chance": CHANCE, "epoch_seconds": layers,
            "replicas": len(column), **(swept or {}), **columns,
        }
        for layers, column in losses.items()
        for seed, loss in enumerate(column)
    ]  # fmt: skip
    kinds = {"solved": "boolean", "epochs_to_solve": float, "epoch_seconds": float}
    return pd.DataFrame(rows).astype(kinds)
