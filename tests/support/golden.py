"""Golden results: the loss of the first epochs of a few runs, to the bit.

`python tests/support/golden.py` writes them anew to `tests/golden_losses.csv`, on the machine that
it runs on. A change to them is a change to trained results: it stands in the changelog under
**Numerics**.
"""

import csv
import sys
from pathlib import Path

FILE = Path(__file__).parents[1] / "golden_losses.csv"
EPOCHS = 3
CASES = {
    "the article's model": {"layers": 3},
    "clipped adam": {"state_size": 7, "optimizer": "adam", "learning_rate": 0.01, "clip_norm": 0.1},
    "three classes": {"classes": 3, "state_size": 2, "optimizer": "sgd"},
    "layered": {"state_size": 16, "layers": 2},
    "clipped rmsprop, layered": {
        "state_size": 33, "optimizer": "rmsprop", "learning_rate": 0.01, "clip_norm": 0.1,
    },
}  # fmt: skip


def losses(settings):
    """The mean loss of each epoch."""
    from replicas import readied, results

    found = results(*readied({"series_length": 1530, "layers": 1, **settings}), [0], EPOCHS)
    return [float(found[f"loss of epoch {epoch}"].mean(dtype="float64")) for epoch in range(EPOCHS)]


def read():
    """The losses of each case, as the file has them."""
    with FILE.open(newline="") as file:
        return {name: [float.fromhex(each) for each in row] for name, *row in csv.reader(file)}


if __name__ == "__main__":
    sys.path.insert(0, str(FILE.parents[1]))
    with FILE.open("w", newline="") as file:
        rows = ([name, *map(float.hex, losses(case))] for name, case in CASES.items())
        csv.writer(file, lineterminator="\n").writerows(rows)
