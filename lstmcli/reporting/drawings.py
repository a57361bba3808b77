"""The figures of a page, and what each shows in words."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from lstmcli.report.page import Picture

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SHOWN = {
    "depth": "Test loss by number of layers: a point for each seed, and the interquartile mean of "
    "each depth with its 95 % interval. The table of depths has the numbers.",
    "curves": "Validation loss by epoch: for each depth the median over the seeds, and the middle "
    "half of them.",
    "loss": "Loss by epoch, in training and in validation, beside its floor or baseline.",
}
"""What figures show, by name, for who cannot see them."""


def pictures(path: Path) -> list[Picture]:
    """The figures of a run or a sweep."""
    return [
        Picture(figure, name.replace("_", " ").capitalize(), SHOWN.get(name, name))
        for name, figure in figures_of(path).items()
    ]


def figures_of(path: Path) -> dict[str, Figure]:
    """Until there are others."""
    import pandas as pd

    from lstmcli.report import figures
    from lstmcli.sweeps import finished
    from lstmcli.sweeps.directory import SweepDirectory

    if not SweepDirectory(path).config.is_file():
        return {}
    found = finished.read(path)
    curves = pd.read_csv(found.directory.curves)
    title = figures._title("Echo after 3 steps", found.summary, curves)
    return {
        "depth": figures._depth(found.trials, found.summary, ["layers"], title, "nats per step"),
        "curves": figures._curves(curves, ["layers"], title, "nats per step"),
    }
