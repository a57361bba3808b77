"""The figures of a page, and what each shows in words."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from lstmcli.errors import FileError
from lstmcli.pictures import figures
from lstmcli.report.page import Picture, Text

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SHOWN = {
    "depth": "Test loss by setting: a point for each seed, and the interquartile mean with its "
    "95 % interval. The table of depths has the numbers.",
    "curves": "Validation loss by epoch: for each depth the median over the seeds, and the middle "
    "half of them.",
    "loss": "Loss by epoch, in training and in validation, beside what it is to be held against. "
    "The table of epochs has the numbers.",
}
"""What figures show, by name, for who cannot see them."""
HEAT_MAP = (
    "By depth and the other setting that was swept: how many seeds solve the task, and how far the "
    "median seed is from the best that is possible. The table of trials has the numbers."
)
WINDOW = (
    "The loss, and beside it some of the validation series: what was given, what was to be "
    "predicted, and what the best checkpoint predicts. The table of epochs has the losses' numbers."
)


def pictures(path: Path) -> list[Picture | Text]:
    """The figures of a run or a sweep, or why there are none."""
    try:
        drawn = figures.draw(path)
    except FileError as error:
        return [Text(error.message)]
    shown = dict(drawn.figures)
    if drawn.main not in SHOWN:  # A window, which has the loss beside it.
        shown.pop("loss", None)
    return [
        *(
            Picture(figure, name.replace("_", " ").capitalize(), _shown(name, figure))
            for name, figure in shown.items()
        ),
        *map(Text, drawn.notes),
    ]


def _shown(name: str, figure: Figure) -> str:
    if name == "depth" and any(axes.images for axes in figure.axes):
        return HEAT_MAP
    return SHOWN.get(name, WINDOW)
