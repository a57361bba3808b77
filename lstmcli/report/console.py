"""The screen while a run trains: a bar on a terminal, a line an epoch elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from lstmcli.errors import UsageError

STYLES = ("auto", "rich", "plain", "none")

stderr = Console(stderr=True, highlight=False)


def progress_style(requested: str) -> str:
    """`rich` on a terminal and `plain` elsewhere, unless asked for by name.

    Raises:
        UsageError: there is no such style.
    """
    if requested not in STYLES:
        raise UsageError(f"`--progress` must be one of {', '.join(STYLES)}, got {requested}")
    if requested == "auto":
        return "rich" if stderr.is_terminal else "plain"
    return requested


@contextmanager
def waiting(for_what: str, style: str) -> Iterator[None]:
    """Says what takes a moment, and wipes it out afterwards."""
    if style != "rich":
        yield
        return
    sys.stderr.write(f"{for_what} …")
    sys.stderr.flush()
    try:
        yield
    finally:
        sys.stderr.write("\r\x1b[K")
        sys.stderr.flush()


class TrainingView:
    """What a training run shows of itself on standard error.

    Args:
        style: `rich`, `plain` or `none`.
        epochs: how many there will be.
    """

    def __init__(self, style: str, epochs: int) -> None:
        self._epochs = epochs
        self._style = style
        self._bar = Progress(
            TextColumn("{task.fields[place]}"),
            BarColumn(bar_width=None),
            TextColumn("{task.fields[figures]}"),
            TimeElapsedColumn(),
            TimeRemainingColumn(compact=True),
            console=stderr,
            disable=style != "rich",
            expand=True,
        )
        self._task = self._bar.add_task("", total=epochs, place="compiling", figures="")
        self._bar.start()

    def windows(self, epoch: int, done: int, of: int, loss: float) -> None:
        """Shows where an epoch stands; `loss` is its mean so far."""
        place = f"epoch {epoch}/{self._epochs}"
        fields = {"place": place}
        if done < of:
            fields = {"place": f"{place}, window {done}/{of}", "figures": f"loss {loss:.5f}"}
        self._bar.update(self._task, completed=epoch - 1 + done / of, **fields)  # type: ignore[arg-type]

    def epoch(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Shows a finished epoch: its rows, one a seed."""
        first = rows[0]
        self._bar.update(self._task, completed=first["epoch"], figures=_figures(rows))
        if self._style == "plain":
            seconds = f"{first['epoch_seconds']:.2f} s"
            print(
                f"epoch {first['epoch']}/{self._epochs}  {_figures(rows)}  {seconds}",
                file=sys.stderr,
                flush=True,
            )

    def close(self) -> None:
        """Leaves the bar as it stands."""
        self._bar.stop()


def _figures(rows: Sequence[Mapping[str, Any]]) -> str:
    """Loss and accuracy, of the median seed, and how far the loss is from its floor."""
    row = sorted(rows, key=lambda row: row["loss"])[len(rows) // 2]
    text = f"loss {row['loss']:.5f} acc {row['accuracy']:.4f}"
    if len(rows) > 1:
        text = f"median of {len(rows)}: {text}"
    if row["bayes_loss"]:
        text += f" {row['loss'] / row['bayes_loss']:.1f}x floor"
    return text


class SweepView:
    """What a sweep shows of itself on standard error: a bar for each setting, or a line at its end.

    Args:
        style: `rich`, `plain` or `none`.
        settings: each setting's name and epochs.
    """

    def __init__(self, style: str, settings: Sequence[tuple[str, int]]) -> None:
        self._style = style
        self._bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=None),
            TextColumn("{task.fields[solved]}"),
            TimeRemainingColumn(compact=True),
            console=stderr,
            disable=style != "rich",
            expand=True,
        )
        self._tasks = {
            name: self._bars.add_task(name, total=epochs, solved="waiting", start=False)
            for name, epochs in settings
        }
        self._started: set[str] = set()

    def __enter__(self) -> SweepView:
        self._bars.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._bars.stop()

    def setting(self, name: str, epoch: int | None, solved: int, seeds: int) -> None:
        """Shows where a setting stands; an `epoch` of `None` is its end."""
        task = self._tasks[name]
        if epoch and name not in self._started:
            self._bars.start_task(task)
            self._started.add(name)
        text = f"{solved}/{seeds} solved"
        if epoch is None:
            total = next(each.total for each in self._bars.tasks if each.id == task)
            self._bars.update(task, completed=total, solved=text)
            if self._style == "plain":
                print(f"{name}: {text}", file=sys.stderr, flush=True)
        elif epoch:
            self._bars.update(task, completed=epoch, solved=text)
