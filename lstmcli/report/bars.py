"""Bars that move: a line each, of texts that are whole or not there at all."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import ExitStack

from rich.console import ConsoleDimensions, RenderableType
from rich.control import Control
from rich.progress import Progress, Task
from rich.text import Text

from lstmcli.report import terminal

REFRESHES = 4  # a second: drawing a bar takes about half a millisecond
MARGIN = 4  # free columns: the terminal writes `^C` behind the bar, which must not wrap
NARROWEST = 8  # columns of a bar


def clock(seconds: float | None) -> str:
    """`7.2 s`, `1:07.2`, `1:00:07.2`: with tenths, so that one sees it run."""
    if seconds is None:
        return ""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(seconds, 60)
    if minutes < 60:
        return f"{minutes:.0f}:{rest:04.1f}"
    return f"{minutes // 60:.0f}:{minutes % 60:02.0f}:{rest:04.1f}"


def left(seconds: float | None) -> str:
    """How long something will take, `1:07 left`; empty where that is not known, or nothing."""
    if not seconds:
        return ""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02} left" if hours else f"{minutes}:{rest:02} left"


class Bars(Progress):
    """Lines that say what is done, how far it is, what it shows, and since when.

    A task's `description` says what is done; its fields `figures` and, where there is room for it,
    `more` say what it shows. A task without a total has no bar.

    Args:
        style: only `rich` shows anything.
        transient: whether they vanish at the end.
        widest: columns of a bar, at most.
    """

    def __init__(self, style: str, transient: bool = False, widest: int = 40) -> None:
        self.below: RenderableType | None = None
        """What stands below the lines until they stop."""
        self._size: ConsoleDimensions | None = None
        self._widest = widest
        self._open = ExitStack()
        shown = style == "rich"
        console = self._open.enter_context(terminal.console()) if shown else None
        self._plain = terminal.ascii_only(sys.stderr) or not terminal.shows_colour(sys.stderr)
        super().__init__(
            console=console,
            disable=not shown,
            transient=transient,
            refresh_per_second=REFRESHES,
            redirect_stdout=False,  # Results may go to a pipe.
        )

    def stop(self) -> None:
        """Draws them for the last time, alone; a second call does nothing."""
        self.below = None
        super().stop()
        self._open.close()

    def get_renderables(self) -> Iterator[RenderableType]:
        """A line for each visible task, and what stands below them."""
        if self.below:
            self._clear_if_resized()
        for task in self.tasks:
            if task.visible:
                yield self._line(task, self.console.width - MARGIN)
        if self.below:
            yield self.below

    def _clear_if_resized(self) -> None:
        """Clears a screen of another size: how many lines there are on it now, nobody knows."""
        before, self._size = self._size, self.console.size
        if before and before != self._size:
            self.console.control(Control.clear(), Control.home())

    def _line(self, task: Task, room: int) -> Text:
        """The texts of a task; the bar, then the last of them, give way where it is narrow."""
        figures, more = (task.fields.get(name, "") for name in ("figures", "more"))
        since = clock(task.elapsed)
        rest = "" if task.finished else left(task.time_remaining)
        barred = task.total is not None
        for texts in (
            (task.description, figures, more, since, rest),
            (task.description, figures, since, rest),
            (task.description, figures, since),
            (task.description, figures),
        ):
            before, *after = (text for text in texts if text)
            free = room - len("  ".join([before, *after])) - 2
            if free >= (NARROWEST if barred else -2):
                break
        bar = self._bar(task.percentage / 100, min(free, self._widest)) if barred else Text()
        return Text("  ", no_wrap=True, overflow="crop").join(
            part for part in (Text(before), bar, *map(Text, after)) if part
        )

    def _bar(self, share: float, columns: int) -> Text:
        if columns < NARROWEST:
            return Text()
        full = round(share * columns)
        if self._plain:
            return Text("#" * full + "-" * (columns - full))
        return Text.assemble(("━" * full, "bar.complete"), ("━" * (columns - full), "bar.back"))
