"""The screen while a run trains: a bar on a terminal, a line per epoch elsewhere."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

from rich.cells import cell_len
from rich.console import ConsoleDimensions, RenderableType
from rich.control import Control
from rich.progress import Progress, Task
from rich.text import Text

from lstmcli.cli.live import Panel
from lstmcli.training.metrics import EpochRow, StepRow
from lstmcli.utils import terminal
from lstmcli.utils.errors import UsageError

STYLES = ("auto", "rich", "plain", "none")
LIVE_STYLES = ("auto", "off", "window")
ALWAYS_SHOWN = 8  # with more settings than this, a sweep shows bars only for those in training


def progress_style(requested: str) -> str:
    """The style for `auto`: `rich` on a terminal, `plain` elsewhere; another name stays.

    Raises:
        UsageError: there is no such style.
    """
    if requested not in STYLES:
        raise UsageError(f"`--progress` must be one of {', '.join(STYLES)}, got {requested}")
    able = terminal.is_terminal(sys.stderr)
    if requested == "auto":
        return "rich" if able else "plain"
    dumb = sys.stderr.isatty() and not able
    return "plain" if requested == "rich" and dumb else requested


def live_style(requested: str, progress: str) -> str:
    """What the live view is: `strips` below the bar, a `window`, or nothing (`off`).

    Args:
        requested: `auto`, `off` or `window`.
        progress: as `progress_style` gives it.

    Raises:
        UsageError: there is no such style, or no window can be opened.
    """
    if requested not in LIVE_STYLES:
        raise UsageError(f"`--live` must be one of {', '.join(LIVE_STYLES)}, got {requested}")
    if requested == "window":
        from lstmcli.cli import live_window

        live_window.check_display()
        return requested
    return "strips" if requested == "auto" and progress == "rich" else "off"


@contextmanager
def waiting(for_what: str, style: str) -> Iterator[None]:
    """Shows what is being done and for how long, and clears that afterwards."""
    with Bars(style, transient=True) as bars:
        bars.add_task(f"{for_what} ...", total=None)
        yield


class TrainingView:
    """A training run's progress on standard error.

    Its `log` is called after each epoch, once that is on disk, and `windows` after each chunk.

    Args:
        style: `rich`, `plain` or `none`.
        epochs: how many there will be.
        floor: the Bayes loss, where it is known.
        scale: for a target of one number, its standard deviation in its own units.
        panel: the live view below the bar.
    """

    def __init__(
        self,
        style: str,
        epochs: int,
        floor: float | None = None,
        scale: float | None = None,
        panel: Panel | None = None,
    ) -> None:
        self._epochs = epochs
        self._style = style
        self._floor = floor
        self._scale = scale
        self._bars = Bars(style)
        self._bars.below = panel
        self._wide = len(f"epoch {epochs}/{epochs} validating")
        self._task = self._bars.add_task("starting", total=epochs)
        self._bars.start()

    def windows(self, epoch: int, done: int, of: int, loss: float, phase: str = "training") -> None:
        """Shows the progress within an epoch; `loss` is its mean so far."""
        place = f"epoch {epoch}/{self._epochs} {phase}"
        fields: dict[str, Any] = {"completed": epoch - 1 + done / of}
        self._wide = max(self._wide, len(f"epoch {self._epochs}/{self._epochs} training {of}/{of}"))
        if 0 < done < of:
            place += f" {done}/{of}"
            fields |= {"figures": _loss(loss, self._floor), "more": ""}
        self._bars.update(self._task, description=place.ljust(self._wide), **fields)

    def log(self, epochs: Sequence[EpochRow], steps: Sequence[StepRow] = ()) -> None:
        """Shows a finished epoch; `epochs` has a row for each seed."""
        epoch = epochs[0].epoch
        place = f"epoch {epoch}/{self._epochs}"
        figures, more = _figures(epochs, self._scale)
        self._bars.update(
            self._task, description=place, completed=epoch, figures=figures, more=more
        )
        if self._style == "plain":
            seconds = f"{epochs[0].epoch_seconds:.2f} s"
            _say("  ".join(text for text in (place, figures, more, seconds) if text))

    def close(self, status: str = "") -> None:
        """Stops the bar, and removes the live view below it."""
        self._bars.stop()


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _loss(loss: float, floor: float | None) -> str:
    """A loss, and its ratio to the Bayes loss."""
    text = f"loss {loss:.5f}" if loss < 1000 else f"loss {loss:.3g}"
    if floor:
        times = loss / floor
        return f"{text} {times:.{1 if times < 10 else 0}f}x Bayes"
    return f"{text} Bayes 0" if floor == 0 else text


def _figures(rows: Sequence[EpochRow], scale: float | None) -> tuple[str, str]:
    """The median seed's loss, and its accuracy or its validation RMSE in the target's units."""
    row = sorted(rows, key=lambda row: row.loss)[len(rows) // 2]
    text = _loss(row.loss, row.bayes_loss)
    if len(rows) > 1:
        text = f"median of {len(rows)}: {text}"
    if row.accuracy is not None:
        return text, f"acc {row.accuracy:.4f}"
    if scale is None or row.val_loss is None:
        return text, ""
    return text, f"val rmse {math.sqrt(row.val_loss) * scale:.4g}"


def _solved(solved: int | None, seeds: int, lowest: float) -> str:
    """How many seeds solve the task or, where the Bayes loss is not known, the lowest loss."""
    if solved is not None:
        return f"{solved}/{seeds} solved"
    return f"best {lowest:.4g}" if math.isfinite(lowest) else ""


class SweepView:
    """A sweep's progress on standard error: a bar for each setting, or a line when it ends.

    If there are many settings, only those in training have a bar; the last line counts all.

    Args:
        style: `rich`, `plain` or `none`.
        settings: each setting's name and epochs.
    """

    def __init__(self, style: str, settings: Sequence[tuple[str, int]]) -> None:
        self._style = style
        self._bars = Bars(style, widest=16)  # At 80 columns there is room beside all figures.
        self._few = len(settings) <= ALWAYS_SHOWN
        wide = max((len(name) for name, _ in settings), default=0)
        self._names = {name: name.ljust(wide) for name, _ in settings}
        self._begun: set[str] = set()
        self._ended = 0
        self._tasks = {
            name: self._bars.add_task(
                f"{self._names[name]}  {'waiting':9}", total=epochs, start=False, visible=self._few
            )
            for name, epochs in settings
        }
        self._wide = wide
        self._all = self._bars.add_task("", total=None)
        self._count()

    def __enter__(self) -> SweepView:
        self._bars.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._bars.stop()

    def setting(
        self,
        name: str,
        phase: str,
        epochs: float,
        solved: int | None,
        seeds: int,
        lowest: float = math.inf,
        left: float | None = None,
        ended: bool = False,
        of: int | None = None,
    ) -> None:
        """Shows the progress of a setting.

        Args:
            name: the setting.
            phase: what it is doing, or how it ended.
            epochs: completed, with the share of the current one.
            solved: how many of its seeds solve the task; `None` where that is not known.
            seeds: how many it has.
            lowest: the lowest validation loss so far, shown where `solved` is `None`.
            left: seconds that all settings will still take.
            ended: whether it has ended.
            of: epochs that it trains, at most.
        """
        if name not in self._tasks:  # Further seeds of `--seeds auto`.
            self._names[name] = name.ljust(self._wide)
            self._tasks[name] = self._bars.add_task("", total=of, start=False, visible=False)
        task = self._tasks[name]
        if not (was_seen := name in self._begun):
            self._begun.add(name)
            self._bars.start_task(task)
        figures = _solved(solved, seeds, lowest) if phase in ("training", "done") else ""
        self._bars.update(
            task,
            description=f"{self._names[name]}  {phase:9}",
            completed=self._bars.tasks[task].total if phase == "done" else epochs,
            figures=figures,
            visible=self._few or not ended,
        )
        if ended:
            self._ended += 1
            self._bars.stop_task(task)
        self._count(left)
        if ended and self._style == "plain":
            seconds = clock(self._bars.tasks[task].elapsed) if was_seen else ""
            count = f"{self._ended} of {len(self._tasks)}"
            words = (count, self._names[name], phase, figures, seconds, time_left(left))
            _say("  ".join(word for word in words if word))

    def _count(self, left: float | None = None) -> None:
        """Shows how many settings have ended, and how long the others will take."""
        text = f"{self._ended} of {len(self._tasks)} settings ended"
        if not self._begun and not self._ended:
            text += ", loading TensorFlow"
        shown = bool(self._tasks)
        self._bars.update(self._all, description=text, figures=time_left(left), visible=shown)


REFRESHES = 4  # a second: drawing a bar takes about half a millisecond
MARGIN = 4  # free columns: the terminal writes `^C` after the bar, which must not wrap
NARROWEST = 7  # columns of a bar


def clock(seconds: float | None) -> str:
    """`7.2 s`, `1:07.2`, `1:00:07.2`: with tenths, so that it visibly runs."""
    if seconds is None:
        return ""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(seconds, 60)
    if minutes < 60:
        return f"{minutes:.0f}:{rest:04.1f}"
    return f"{minutes // 60:.0f}:{minutes % 60:02.0f}:{rest:04.1f}"


def time_left(seconds: float | None) -> str:
    """The time left, `1:07 left`; empty if it is unknown or zero."""
    if not seconds:
        return ""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02} left" if hours else f"{minutes}:{rest:02} left"


class Bars(Progress):
    """Progress bars: a line for each task, with its description, bar, figures and times.

    A task's field `figures` is always shown, and `more` where there is room. A task without a total
    has no bar.

    Args:
        style: only `rich` shows anything.
        transient: whether the lines are cleared at the end.
        widest: columns of a bar, at most.
    """

    def __init__(self, style: str, transient: bool = False, widest: int = 40) -> None:
        self.below: RenderableType | None = None
        """Shown below the lines until they stop."""
        self._size: ConsoleDimensions | None = None
        self._widest = widest
        self._widths: dict[int, dict[str, int]] = {}
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
        """Draws the lines for the last time, without what was below; a second call does nothing."""
        self.below = None
        super().stop()
        self._open.close()

    def get_renderables(self) -> Iterator[RenderableType]:
        """A line for each visible task, then `below`."""
        if self.below:
            self._clear_if_resized()
        for task in self.tasks:
            if task.visible:
                yield self._line(task, self.console.width - MARGIN)
        if self.below:
            yield self.below

    def _clear_if_resized(self) -> None:
        """Clears the screen after a change of its size, as the lines may have been wrapped anew."""
        before, self._size = self._size, self.console.size
        if before and before != self._size:
            self.console.control(Control.clear(), Control.home())

    def _line(self, task: Task, room: int) -> Text:
        """The line of a task; if it is too narrow, a shorter bar and then fewer texts."""
        rest = "" if task.finished else time_left(task.time_remaining)
        described, figures, more, since, rest, either = self._steady(
            task,
            description=task.description,
            figures=task.fields.get("figures", ""),
            more=task.fields.get("more", ""),
            since=clock(task.elapsed),
            rest=rest,
            either=rest or clock(task.elapsed),
        )
        barred = task.total is not None
        for texts in (
            (described, figures, more, since, rest),
            (described, figures, since, rest),
            (described, figures, either),
            (described, figures),
        ):
            before, *after = (text for text in texts if text)
            free = room - len("  ".join([before, *after])) - 2
            if free >= (NARROWEST if barred else -2):
                break
        bar = self._bar(task.percentage / 100, min(free, self._widest)) if barred else Text()
        return Text("  ", no_wrap=True, overflow="crop").join(
            part for part in (Text(before), bar, *map(Text, after)) if part
        )

    def _steady(self, task: Task, **texts: str) -> list[str]:
        """The texts of a task, padded to the widest so far, so that columns do not move."""
        if task.total is None:  # It has no bar that could move.
            return [*texts.values()]
        left = len("0:00 left")
        widths = self._widths.setdefault(task.id, {"rest": left, "either": left})
        for name, text in texts.items():
            widths[name] = max(widths.get(name, 0), cell_len(text))
        return [text.ljust(widths[name]) for name, text in texts.items()]

    def _bar(self, share: float, columns: int) -> Text:
        if columns < NARROWEST:
            return Text()
        full = round(share * columns)
        if self._plain:
            return Text("#" * full + "-" * (columns - full))
        return Text.assemble(("━" * full, "bar.complete"), ("━" * (columns - full), "bar.back"))
