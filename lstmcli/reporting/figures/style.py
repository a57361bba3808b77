"""What all figures share: the canvas, the title, colours and markers that each suffice alone."""

from __future__ import annotations

import io
import textwrap
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lstmcli.utils.files import FIGURE_MARK, FIGURE_MARKS, write_atomically
from lstmcli.utils.terminal import escape_unprintable

if TYPE_CHECKING:
    import numpy.typing as npt
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DPI = 150
SMALL, TITLE = 8, 10
"""Font sizes in points: the smallest text, and the title."""
WIDE = 0.57
"""The largest mean width of a line's characters, as a share of their height."""
BLUE, ORANGE, GREEN, RED, PURPLE, GREY = (
    "#0072B2", "#B87A00", "#009E73", "#D55E00", "#C26799", "#666666",
)  # fmt: skip
"""Okabe and Ito's colours (2008), which colour-blind readers can distinguish; orange and purple are
darker here.

Each has a contrast of at least 3:1 with white and with the dark background of a page.
"""
ORDERED = ("#1F6FB5", "#7F62D2", "#C04F9F", "#D4552F", "#A98600")
"""Colours of an ordered setting, from first to last: similarly light, for both backgrounds."""
MARKERS = "os^Dv"
LINES: tuple[Any, ...] = ("-", "--", "-.", ":", (0, (4, 1, 1, 1, 1, 1)))
PICTURED = {" ": "\u2423", "\n": "\u21b5", "\t": "\u21e5"}
"""Visible symbols for whitespace characters."""


PLAIN = (1e-6, 1e7)
"""Numbers from the first up to but not including the second are written without an exponent."""
A_LINE = 14
"""Points for each additional line of the title."""
BELOW_THE_TITLE = 19
"""Points from the upper edge to the text below the title."""


def empty(width: float, height: float) -> Figure:
    """A figure without axes, drawn without a display; its size is in inches."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), dpi=DPI, layout="constrained")


def figure(
    width: float, height: float, rows: int = 1, columns: int = 1, **more: Any
) -> tuple[Figure, npt.NDArray[Any]]:
    """A figure with its axes `[rows, columns]`; its size is in inches."""
    made = empty(width, height)
    axes = made.subplots(rows, columns, squeeze=False, **more)
    for each in axes.flat:
        bare(each)
    return made, axes


def bare(axes: Axes) -> Axes:
    """Removes the frame at the top and right of axes."""
    axes.spines[["top", "right"]].set_visible(False)
    return axes


def head(figure: Figure, title: str, explained: str) -> None:
    """Writes the title and, below it in smaller type, how to read the figure.

    Both are broken into lines that fit the figure.
    """
    title, explained = _broken(figure, title, TITLE), _broken(figure, explained, SMALL)
    room = "\n" * len(explained.splitlines())
    figure.suptitle(f"{title}{room}", fontsize=TITLE, x=0.01, ha="left")
    points = BELOW_THE_TITLE + A_LINE * title.count("\n")
    below = 1 - points / 72 / figure.get_figheight()
    figure.text(0.01, below, explained, fontsize=SMALL, color="0.35", va="top", ha="left")


def _broken(figure: Figure, text: str, size: float) -> str:
    """Breaks a text into lines that fit a figure."""
    characters = int(72 * 0.98 * figure.get_figwidth() / (WIDE * size))
    return "\n".join(textwrap.fill(line, characters) for line in text.split("\n"))


def legend_above(axes: Axes, columns: int, title: str = "") -> None:
    """Draws a legend above axes, where it covers no lines; the layout reserves room for it.

    Args:
        axes: the axes.
        columns: number of columns in the legend.
        title: title of the axes, above the legend.
    """
    count = len(axes.get_legend_handles_labels()[0])
    room = "\n" * -(-count // columns)
    apart = 1.5 if title else 1.2  # A legend's lines are further apart than those of a text.
    axes.set_title(f"{title}{room}", fontsize=SMALL, pad=0, loc="left", linespacing=apart)
    legend = axes.legend(
        fontsize=SMALL, frameon=False, loc="lower left", bbox_to_anchor=(0, 1), ncols=columns,
        borderaxespad=0.3, borderpad=0, handlelength=1.8, columnspacing=1.2, labelspacing=0.2,
    )  # fmt: skip
    legend.set_in_layout(False)  # It may be wider than the axes.


def loss_label(which: str, unit: str) -> str:
    """The label of an axis of losses: `test loss (nats per step)`, `test RMSE (level)`."""
    return f"{which} {unit}" if unit.startswith("RMSE") else f"{which} loss ({unit})"


def shades(count: int) -> npt.NDArray[Any]:
    """Ordered colours `[count, 4]`, from blue through red to yellow."""
    from matplotlib.colors import LinearSegmentedColormap

    scale = LinearSegmentedColormap.from_list("ordered", ORDERED)
    return np.asarray(scale(np.linspace(0, 1, count)))


def shared_steps(panels: Iterable[Axes], kind: str, first: int) -> None:
    """Labels the step axis, from the first step on, below the last of a column of panels."""
    *others, last = panels
    for each in others:
        each.tick_params(axis="x", bottom=False, labelbottom=False)
    whole_numbers(last.xaxis, first)
    last.set_xlabel(f"step of the {kind}")
    last.tick_params(axis="x", labelsize=9)


def whole_numbers(axis: Any, first: int | None = None, most: int = 9) -> None:
    """Puts an axis's ticks at whole numbers, and none below `first` if that is given."""
    from matplotlib.ticker import MaxNLocator

    locator = MaxNLocator(most, integer=True)
    if first is None:
        axis.set_major_locator(locator)
        return
    high = axis.get_view_interval()[1]
    found = [each for each in locator.tick_values(first, high) if each <= high]
    apart = (found[-1] - found[0]) / max(1, len(found) - 1)
    axis.set_ticks([first, *(each for each in found if each >= first + apart / 2)])


def numbers(values: npt.ArrayLike, digits: int = 3) -> list[str]:
    """Formats a figure's numbers in one notation: `0.00007`, not `7e-05`, beside `0.0001`.

    Args:
        values: the numbers. Finite ones determine the notation; others become "nan" or "inf".
        digits: significant digits of each number.
    """
    found = np.asarray(values, float).ravel()
    sizes = np.abs(found[np.isfinite(found) & (found != 0)])
    if len(sizes) and (sizes.min() < PLAIN[0] or sizes.max() >= PLAIN[1]):
        return [np.format_float_scientific(each, digits - 1, trim="-") for each in found]
    return [np.format_float_positional(each, digits, fractional=False, trim="-") for each in found]


def shown(text: str, widest: int = 24) -> str:
    r"""A text from a file, made safe for a figure: escaped, shortened, and without formulas.

    Characters that the font lacks are escaped as in Python. `$` is escaped too, as it would start a
    formula in matplotlib.
    """
    found = "".join(
        each if _drawable(each) else each.encode("unicode_escape").decode()
        for each in escape_unprintable(text)
    )
    if len(found) > widest:  # Names often differ at their ends.
        found = f"{found[: widest - widest // 3 - 1]}\u2026{found[-(widest // 3) :]}"
    return found.replace("$", r"\$")


def character(text: str) -> str:
    """One character of a text, made visible: `\u2423` for a space, `\u21b5` for a line break.

    A character that the font lacks is shown as its number in two lines, as in editors.
    """
    text = PICTURED.get(text, text)
    if len(text) == 1 and not (text.isprintable() and _drawable(text)):
        number = f"{ord(text):04x}"
        return f"{number[:-2]}\n{number[-2:]}"
    return shown(text)


def save(figure: Figure, path: Path) -> None:
    """Writes a figure in the format of the file's ending. The same data gives the same bytes.

    Raises:
        OSError: the file cannot be written.
    """
    from matplotlib import rc_context

    kind = path.suffix.lower()
    metadata, _ = FIGURE_MARKS[kind]
    content = io.BytesIO()
    with rc_context({"svg.hashsalt": FIGURE_MARK}):
        figure.savefig(content, format=kind[1:], metadata=metadata)
    write_atomically(path, content.getvalue())


@cache
def _drawable(character: str) -> bool:
    """Whether the font of the figures has a character."""
    from matplotlib import font_manager

    font = font_manager.get_font(font_manager.findfont("DejaVu Sans"))
    return bool(font.get_char_index(ord(character)))
