"""Every kind of data that a run can be on, as small files and the options that name them."""

import numpy as np

SEED = 7
KINDS = {
    "echo": {"series_length": 1500},
    "parity": {"task": "parity", "series_length": 3000},
    "adding": {"task": "adding", "sequence_length": 12, "series_length": 1500},
    "order": {"task": "order", "sequence_length": 20, "series_length": 1500},
    "text": {"data": "book.txt"},
    "table": {"data": "table.csv", "target": "y", "horizon": 1},
    "sequences": {"data": "sequences.csv", "target": "y", "group": "id"},
    "arrays": {"data": "arrays.npz"},
}


def write(folder):
    """Writes the files that the kinds name into a folder."""
    rng = np.random.default_rng(SEED)
    (folder / "book.txt").write_text(" ".join(rng.choice(["ab", "abc", "c", "bca"], 1500)))
    levels = rng.normal(size=(4000, 2)).cumsum(0)
    _write_table(folder / "table.csv", ["x", "y"], levels.tolist())
    numbers, targets = rng.normal(size=(4000, 2)).astype(np.float32), np.arange(4000) % 3
    np.savez(folder / "arrays.npz", inputs=numbers, targets=targets)
    _write_table(folder / "sequences.csv", ["id", "a", "b", "y"], list(_sequences(rng)))


def _sequences(rng):
    """Sixty of 5 to 15 steps, whose word says how the sum of their numbers ends."""
    for sequence, length in enumerate(rng.integers(5, 15, 60).tolist()):
        steps = rng.normal(size=(length, 2)).round(2)
        word = ["low", "mid", "high"][int(np.digitize(steps.sum(), [-2, 2]))]
        for step in steps.tolist():
            yield [sequence, *step, word]


def _write_table(path, names, rows):
    lines = [names, *rows]
    path.write_text("".join(",".join(map(str, line)) + "\n" for line in lines))


def settings(kind, folder):
    """The settings of a kind whose files lie in a folder."""
    given = dict(KINDS[kind])
    if "data" in given:
        given["data"] = str(folder / given["data"])
    return given


def options(given):
    """Settings as a command line has them."""
    found = []
    for name, value in given.items():
        option = "--" + name.replace("_", "-")
        found += [option] if value is True else [option, str(value)]
    return found
