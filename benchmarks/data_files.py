"""The files of `data.py`: of what every machine with Python has, never kept."""

from __future__ import annotations

import importlib.util
import string
import sysconfig
from pathlib import Path

import numpy as np
import pandas as pd

KEPT = string.printable[:95] + "\n"
"""Printable ASCII and the end of a line; a text begins with it, so that every part has it all."""


def text(path: Path, characters: int) -> None:
    """Python's own sources, in the order of their paths, over and over if they are too short."""
    library = Path(sysconfig.get_paths()["stdlib"])
    kinds, foreign = (".py", ".rst", ".txt"), {"site-packages", "dist-packages"}
    files = sorted(
        file
        for file in library.rglob("*")
        if file.suffix in kinds and foreign.isdisjoint(file.parts) and file.is_file()
    )
    other = bytes(set(range(256)) - set(KEPT.encode()))
    left = characters
    with path.open("wb") as out:
        left -= out.write(KEPT.encode())
        while left:
            for file in files:
                left -= out.write(file.read_bytes().translate(None, other)[:left])
                if not left:
                    break


def table(path: Path, rows: int) -> None:
    """Ten columns of numbers, of which the last follows from the others."""
    import pyarrow
    from pyarrow import csv

    columns = np.random.default_rng(0).normal(size=(10, rows)).round(4)
    columns[9] = (columns[:9].mean(0) + columns[9] / 10).round(4)
    named = {f"c{number}": column for number, column in enumerate(columns)}
    csv.write_csv(pyarrow.table(named), path)


def motions(part: str, path: Path) -> None:
    """BasicMotions, 40 sequences of 100 steps of 6 channels, as aeon ships it.

    Read from its file, as aeon cannot be imported beside every version of pandas.

    Args:
        part: `TRAIN` or `TEST`.
        path: where the table goes, with a class in the last row of each sequence.
    """
    found = importlib.util.find_spec("aeon")
    if found is None or found.origin is None:
        raise ModuleNotFoundError("`pip install --no-deps aeon` brings the BasicMotions data")
    folder = Path(found.origin).parent / "datasets/data/BasicMotions"
    lines = (folder / f"BasicMotions_{part}.ts").read_text().splitlines()
    frames = []
    for line in lines[lines.index("@data") + 1 :]:
        *channels, label = line.split(":")
        frame = pd.DataFrame(np.transpose([np.array(each.split(","), float) for each in channels]))
        frame = frame.add_prefix("channel_")
        frame["label"] = [""] * (len(frame) - 1) + [label.strip()]
        frame.insert(0, "sequence", len(frames))
        frames.append(frame)
    pd.concat(frames).to_csv(path, index=False)


def sunspots(path: Path) -> None:
    """The yearly numbers from 1700 to 2008, as statsmodels ships them."""
    from statsmodels.datasets import sunspots as dataset

    dataset.load_pandas().data.to_csv(path, index=False)
