"""The figures of a run, a sweep or a checkpoint: by name, and as files."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from lstmcli.data.datasets import Source
from lstmcli.reporting import load, predictions
from lstmcli.reporting.figures import style
from lstmcli.reporting.figures.loss import Curve, loss_figure
from lstmcli.reporting.figures.predictions import window_figure
from lstmcli.reporting.load import ReportInputs, figures_of_sweep
from lstmcli.training import load as loading
from lstmcli.training.load import AnyPath
from lstmcli.training.run_dir import RunDirectory, SweepFiles
from lstmcli.utils import files as file_utils
from lstmcli.utils.errors import FileError, LstmcliError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MAIN_OF_SWEEP = "depth"


@dataclass
class Drawn:
    """Figures, and notes on those that are missing.

    Attributes:
        figures: by name.
        notes: what could not be drawn, and why.
    """

    figures: dict[str, Figure] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    @property
    def main(self) -> str:
        """The name of the main figure: a sweep's depths, a run's predictions."""
        return MAIN_OF_SWEEP if MAIN_OF_SWEEP in self.figures else list(self.figures)[-1]


def figures_of(path: AnyPath) -> dict[str, Figure]:
    """The figures of a run directory, a sweep directory or a checkpoint file, by name.

    A sweep has `depth` and `curves`. A run has `loss` and, if its data is available, the best
    checkpoint's predictions for a window of the validation series: named after the task (`echo`,
    `adding`, ...) or, for a file, `text`, `classes` or `regression`. A checkpoint has only that.

    Raises:
        FileError: there is nothing to draw, or a file is missing or damaged.
    """
    return draw(Path(path)).figures


def draw(path: Path, source: Source | None = None) -> Drawn:
    """The figures of a path, as `figures_of` has them.

    Args:
        path: of a run directory, a sweep directory or a checkpoint file.
        source: the data of a run, where it is open already.

    Raises:
        FileError: there is nothing to draw, or a file is missing or damaged.
    """
    if SweepFiles(path).config.is_file():
        drawn = Drawn(figures_of_sweep(path))
        why = "the sweep has no result yet"
    elif path.is_dir():
        drawn = _of_run(RunDirectory(path), source)
        why = "; ".join(drawn.notes)
    elif not path.exists():
        raise FileError(
            f"there is no run, no sweep and no checkpoint `{path}`",
            "`lstmcli train` makes a run, in `runs/latest`",
        )
    else:
        return Drawn(_window(load.of_checkpoint(path)))
    if not drawn.figures:
        raise FileError(f"there is nothing to draw of `{path}`: {why}", None)
    return drawn


def _of_run(run: RunDirectory, source: Source | None) -> Drawn:
    """The curve of a run, and the window beside it."""
    known = load.of_run(run, source)
    drawn = Drawn(notes=known.notes)
    curve = load.curve_of(run, known)
    if curve is None:
        drawn.notes.append("no epoch is completed")
    else:
        drawn.figures["loss"] = loss_figure(curve)
    try:
        drawn.figures |= _window(known, curve)
    except LstmcliError as error:
        drawn.notes.append(error.message)
    return drawn


def _window(known: ReportInputs, curve: Curve | None = None) -> dict[str, Figure]:
    """The figure of a window by its name; none where a run has no checkpoint, or no data."""
    if known.model is None or known.source is None:
        return {}
    window = predictions.window_of(known.model, known.source)
    title = load.run_title(known.config, known.model.seeds)
    return {predictions.name_of(known.source): window_figure(window, title, curve)}


def folder_of(path: Path) -> Path:
    """Where the figures of a path go if nothing else is said: its directory's own folder."""
    if SweepFiles(path).config.is_file():
        return SweepFiles(path).figures
    return RunDirectory(path if path.is_dir() else loading.folder_of(path)).figures


def plot(path: AnyPath, output: AnyPath | None = None) -> list[Path]:
    """Draws the figures of a run, a sweep or a checkpoint, as `lstmcli plot` does.

    Args:
        path: its directory, or the file.
        output: a file (`.png`, `.svg`, `.pdf`) for one figure: the one of that name, else the main
            one. By default all figures go into the directory's `figures/`.

    Returns:
        The files.

    Raises:
        LstmcliError: with the message that `lstmcli plot` would print.
    """
    path, file = Path(path), Path(output) if output else None
    if file is not None:
        file_utils.check_figure_ending(file)
    return save(draw(path), file, folder_of(path))


def write_all(path: Path, source: Source | None = None) -> list[Path]:
    """Draws the figures of a path into its directory; arguments as `draw` has them.

    Returns:
        The files.

    Raises:
        LstmcliError: there is nothing to draw, or a file is there that is no figure of lstmcli.
        OSError: they cannot be written.
    """
    return save(draw(path, source), None, folder_of(path))


def save(drawn: Drawn, output: Path | None, folder: Path) -> list[Path]:
    """Writes figures, and gives their files; errors as `write_all` has them.

    Args:
        drawn: the figures.
        output: a file for the figure of that name, else the main one.
        folder: where all of them go as PNG files, if there is no `output`.
    """
    if output is not None:
        files = {output: drawn.figures.get(output.stem, drawn.figures[drawn.main])}
    else:
        files = {folder / f"{name}.png": figure for name, figure in drawn.figures.items()}
        folder.mkdir(parents=True, exist_ok=True)
    for file in files:
        file_utils.check_figure_replaceable(file)
    for file, figure in files.items():
        style.save(figure, file)
    return list(files)
