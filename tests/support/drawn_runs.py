"""Runs of every kind of data, size and option, drawn by chance, and the moments that end them."""

from dataclasses import dataclass, field

import numpy as np

import kinds
import own_end

KINDS = {
    **kinds.KINDS,
    "copy": {"task": "copy", "sequence_length": 8, "series_length": 1500},
    "multiplication": {"task": "multiplication", "sequence_length": 12, "series_length": 1500},
    "words": {"data": "words.csv", "target": "y", "categorical": "code", "horizon": 2},
}
SIZES = (
    {"state_size": 4},
    {"state_size": 7, "layers": 2},
    {"state_size": 8, "batch_size": 16, "bptt": 8},  # The largest of the wavefront schedule,
    {"state_size": 8, "batch_size": 17, "bptt": 8},  # and the smallest of the layered one.
    {"state_size": 32, "batch_size": 32},  # As many numbers as one thread takes,
    {"state_size": 33, "batch_size": 32, "bptt": 20},  # and more.
    {"state_size": 300, "batch_size": 40, "bptt": 8, "epochs": 3, "layers": 1},  # Halves.
)
"""On both sides of each rule that chooses the schedule, the instruction set and the threads."""
OPTIONS = (
    ("replicas", (1, 1, 2, 3)),
    ("seed", (0, 1, 12)),
    ("dropout", (None, None, 0.2)),
    ("patience", (None, None, 2)),
    ("clip_norm", (None, 1)),
    ("learning_rate_decay", (None, 0.9)),
    ("layers", (1, 1, 2, 3)),
    ("checkpoint_every", ("1", "3", "0s", "0.1s")),
    ("threads", (None, None, None, 1)),
)
CACHES = ("empty", "full", "off")
OPTIMIZERS = (
    {"optimizer": "adagrad", "learning_rate": 0.05},
    {"optimizer": "adam", "learning_rate": 0.003},
)
EPOCHS = 25


@dataclass
class Drawn:
    """A run to be killed.

    Attributes:
        kind: of its data.
        settings: by name.
        cache: of compiled programs: one of `CACHES`.
        begun_from: whether it begins with weights of another run.
        moments: at which it is killed, in turn: one for each kill.
    """

    kind: str
    settings: dict
    cache: str
    begun_from: bool
    moments: list = field(default_factory=list)


def write(folder):
    """Writes the files that the kinds name into a folder."""
    kinds.write(folder)
    rng = np.random.default_rng(3)
    level = rng.normal(size=3000).cumsum().round(2)
    words = np.array(["down", "up"])[(np.diff(level, prepend=0) > 0).astype(int)]
    rows = [[f"2024-01-01 {i // 60 % 24:02}:{i % 60:02}", level[i], i % 7] for i in range(1000)]
    lines = [[*row, word] for row, word in zip(rows, words[:1000].tolist(), strict=True)]
    kinds._write_table(folder / "words.csv", ["at", "x", "code", "y"], lines)


def draw(chance, folder, most):
    """Draws runs without end; of each kind once before one comes again.

    Args:
        chance: a `random.Random`.
        folder: with the files.
        most: kills of a run.
    """
    bag, sizes = [], []
    while True:
        bag = bag or chance.sample(list(KINDS), len(KINDS))
        sizes = sizes or chance.sample(SIZES, len(SIZES))
        kind = bag.pop()
        given = dict(KINDS[kind])
        if "data" in given:
            given["data"] = str(folder / given["data"])
        settings = {"epochs": EPOCHS, **{name: chance.choice(of) for name, of in OPTIONS}}
        settings |= given | sizes.pop() | chance.choice(OPTIMIZERS)
        settings = {name: value for name, value in settings.items() if value is not None}
        if kind in ("sequences", "adding", "order", "copy", "multiplication"):
            settings.pop("bptt", None)  # A window holds the longest sequence.
        moments = sorted((_moment(chance) for _ in range(most)), key=lambda each: each["late"])
        yield Drawn(kind, settings, chance.choice(CACHES), chance.random() < 0.25, moments)


def _moment(chance):
    """When to kill: while it trains, by the clock or at a write to a table; or at its figures."""
    what = chance.choices(("any", "saved", "table", "drawing", "figure"), (2, 3, 2, 2, 2))[0]
    found = {"what": what, "late": what in ("drawing", "figure"), "wait": chance.uniform(0, 0.6)}
    if what in ("table", "figure"):
        kind = own_end.TABLES if what == "table" else own_end.FIGURES
        count = chance.choice((1, 1, 2, 3, 4, 7, 20)) if what == "table" else chance.choice((1, 2))
        found["own_end"] = [kind, count, chance.choice(own_end.PARTS)]
    return found


def options(settings):
    """Settings as a command line has them."""
    return kinds.options(settings)
