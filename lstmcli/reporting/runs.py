"""The runs and sweeps in a directory, each as a row: read from small files, a thousand in a second.

Neither pandas nor NumPy is loaded for runs: that alone would take as long as reading hundreds.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import math
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict

from lstmcli.config import FORMERLY, DataConfig
from lstmcli.reporting import formatting
from lstmcli.training import run_dir
from lstmcli.training.run_dir import RunDirectory, SweepFiles
from lstmcli.utils import kinds, locks, memory
from lstmcli.utils.errors import FileError, LstmcliError, describe_os_error
from lstmcli.utils.files import read_small

NOT_COMPARED = ("tried", "dropped")
"""The status of trials that choose what is tuned: see `sweeps/trial.py`."""

if TYPE_CHECKING:
    import pandas as pd

AnyPath = str | PathLike[str]
DEEPEST = 4
"""Directories below the one that is named: further down nobody keeps runs."""


class RunRow(TypedDict, total=False):
    """A run or a sweep: a row of `lstmcli runs --csv`. What is not known is an empty cell.

    Attributes:
        name: its directory, from the one that was named.
        kind: `run` or `sweep`.
        status: `running`, `completed`, `interrupted`, `failed`, `diverged`, `killed` or `damaged`.
        data: the task or the file.
        layers: LSTM layers; of a sweep, all that there are.
        state_size: units of a layer; of a sweep, all that there are.
        seeds: how many seeds.
        epochs: epochs completed.
        epochs_planned: `--epochs` of a run.
        val_loss: the lowest validation loss of any seed.
        excess: excess loss: how far that is above the Bayes loss, where that is known.
        ratio: that loss over the loss of the best baseline, where no Bayes loss is known.
        seconds: how long it took.
        started: when it began; of a sweep, when its settings were last written.
        run: its directory.
        error: what is damaged.
        answer: the answer of a sweep in a few words.
    """

    name: str
    kind: str
    status: str
    data: str | None
    layers: int | list[int] | None
    state_size: int | list[int] | None
    seeds: int | None
    epochs: int | None
    epochs_planned: int | None
    val_loss: float | None
    excess: float | None
    ratio: float | None
    seconds: float | None
    started: str | None
    run: str
    error: str | None
    answer: str | None


COLUMNS = tuple(RunRow.__annotations__)
"""What is known of each run, but for its settings, which can be asked for by name too."""
DAMAGE = (
    LstmcliError, OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError,
    OverflowError, csv.Error,
)  # fmt: skip
"""What a file raises that is not as it was written."""
DAMAGED, KILLED, RUNNING = "damaged", "killed", "running"

LARGE = 1 << 24
"""Bytes of a table above which it is seen whether there is room for it."""

Row = dict[str, Any]
"""A run by the names of its columns; `None` where something is not known."""


@dataclass
class CurveEnds:
    """What a `metrics.csv` has come to.

    Attributes:
        last: each seed's last row, by column; numbers as they are written.
        best: the row of the lowest validation loss, of all seeds.
    """

    last: dict[str, dict[str, str]] = field(default_factory=dict)
    best: dict[str, str] | None = None

    def value(self, name: str) -> float | None:
        """A number of the best row; `None` where there is none."""
        return float(self.best[name]) if self.best and self.best.get(name) else None


def found_in(directory: Path) -> list[Path]:
    """The directories of runs and sweeps in a directory; itself if it is a run's.

    Of a sweep's directory they are those of its settings; in others a sweep is one. Links are not
    followed: `runs/latest` is there already.

    Raises:
        FileError: there is no such directory, or it cannot be read.
    """
    try:
        place = run_dir.follow_latest(directory)
        trials = SweepFiles(place).settings
        return list(_below(trials if trials.is_dir() else place, DEEPEST))
    except OSError as error:
        if wrong := kinds.mismatch(directory, "a directory"):
            folder = kinds.directory_of(directory)
            hint = f"the one that it is in: `{folder}`" if folder else "one that holds runs: `runs`"
            raise FileError(wrong, f"name {hint}") from error
        raise FileError(
            describe_os_error(error), "`lstmcli train` makes a run, in `runs`"
        ) from error


def _below(folder: Path, depth: int) -> Iterator[Path]:
    inside = list(folder.iterdir())
    names = {path.name for path in inside}
    if _holds_run(folder, names):
        yield folder
        return
    for path in inside if depth else ():
        if not path.name.startswith(".") and path.is_dir() and not path.is_symlink():
            with suppress(PermissionError):
                yield from _below(path, depth - 1)


def _holds_run(folder: Path, names: set[str]) -> bool:
    """Whether some files are a run's or a sweep's; one whose record is gone has several others."""
    run = RunDirectory(folder)
    if run.status.name in names or SweepFiles(folder).config.name in names:
        return True
    return len(names & {run.config.name, run.metrics.name, run.last.parent.name}) > 1


def is_run(path: Path) -> bool:
    """Whether a directory is that of a run or a sweep, damaged or not."""
    path = run_dir.follow_latest(path)
    return path.is_dir() and _holds_run(path, {each.name for each in path.iterdir()})


def read(path: Path, root: Path | None = None) -> Row:
    """What is known of a run or a sweep; a damaged one is a row that says so.

    Args:
        path: its directory.
        root: from where its name leads.
    """
    name = str(path.relative_to(root)) if root and root in path.parents else str(path)
    sweep = SweepFiles(path).config.is_file()
    kind = "sweep" if sweep else "run"
    row: Row = dict.fromkeys(COLUMNS) | {"name": name, "run": str(path), "kind": kind}
    try:
        return row | (_sweep(path) if sweep else _run(RunDirectory(path)))
    except DAMAGE as error:
        why = getattr(error, "message", None) or str(error) or type(error).__name__
        row |= {"status": DAMAGED, "error": why, "started": _changed(path)}
    return row


def _changed(path: Path) -> str | None:
    """When a file or directory was last written to."""
    with suppress(OSError):
        return datetime.fromtimestamp(path.stat().st_mtime, UTC).isoformat(timespec="seconds")
    return None


def _run(run: RunDirectory) -> Row:
    """A run's row.

    Raises:
        FileError: its record or its table is damaged.
    """
    status = run.read_status()
    if not status.keys() >= run_dir.WRITTEN_BY_A_RUN:
        raise FileError(f"`{run.status}` was not written by a run of lstmcli")
    settings = settings_of(run, status)
    planned = settings.get("epochs")
    if type(planned) is not int:
        raise FileError(f"`{run.status}` is damaged: it does not say how many epochs there are")
    ends = curve_ends(run.metrics)
    last = list(ends.last.values())
    state = status["status"]
    if state == RUNNING and not locks.is_held(run.path):
        state = KILLED
    seconds = max((float(row["elapsed_seconds"]) for row in last), default=None)
    if state != RUNNING and status.get("elapsed_seconds") is not None:
        seconds = status["elapsed_seconds"]
    return settings | {
        "status": state,
        "data": _data(settings),
        "seeds": len(status["seeds"]),
        "epochs": max((int(row["epoch"]) for row in last), default=0),
        "epochs_planned": planned,
        "val_loss": ends.value("val_loss"),
        **_beyond(ends, status),
        "seconds": seconds,
        "started": status.get("started"),
    }


def settings_of(run: RunDirectory, status: Mapping[str, Any]) -> Row:
    """The settings of a run by name; those that are not saved are off, or at their default."""
    tables = status.get(run_dir.SETTINGS) or run_dir.read_config(run.config)
    flat = {name: value for table in tables.values() for name, value in table.items()}
    return {FORMERLY.get(name, name): value for name, value in flat.items()}


def _data(settings: Mapping[str, Any]) -> str:
    """The file, or the task, in a few words."""
    known = (name for name in ("data", "task", "echo_step") if name in settings)
    return _task(tuple((name, settings[name]) for name in known))


@cache
def _task(settings: tuple[tuple[str, Any], ...]) -> str:
    return formatting.task(DataConfig(**dict(settings))).removeprefix("on ")


def _beyond(ends: CurveEnds, status: Mapping[str, Any]) -> Row:
    """The excess loss of the best validation loss; else its ratio to the best baseline's loss."""
    loss = ends.value("val_loss")
    if loss is None:
        return {}
    excess, bayes_loss = ends.value("val_gap"), status.get("bayes_loss")
    if excess is None and bayes_loss is not None:
        excess = loss - bayes_loss
    if excess is not None:
        return {"excess": excess}
    best = min((each["loss"] for each in status.get("references") or []), default=0)
    return {"ratio": loss / best} if best else {}


def curve_ends(path: Path) -> CurveEnds:
    """The ends of a `metrics.csv`; of a file that is being written to, the whole lines count.

    Raises:
        FileError: it is damaged.
    """
    if not path.exists():
        return CurveEnds()
    content = _content(path)
    lines = content[: content.rfind("\n") + 1].splitlines()
    names = lines[0].split(",") if lines else []
    number, lowest, last, best = 0, math.inf, {}, None
    try:
        seed, loss = (names.index(name) for name in ("seed", "val_loss")) if names else (0, 0)
        for number, line in enumerate(lines[1:], 1):
            cells = line.split(",", max(seed, loss) + 1)  # What is behind them takes half the time.
            last[cells[seed]] = line
            if cells[loss] and (value := float(cells[loss])) < lowest:
                lowest, best = value, line
        found = CurveEnds(
            {each: _named(names, line) for each, line in last.items()},
            _named(names, best) if best else None,
        )
    except (ValueError, IndexError) as error:
        raise FileError(f"`{path}`, line {number + 1}, is damaged: {error}") from error
    return found


def _content(path: Path) -> str:
    if (size := path.stat().st_size) > LARGE:
        memory.check_file(path, size)
    return path.read_text("utf-8", "replace")


def _named(names: Sequence[str], line: str) -> dict[str, str]:
    """A row by column; raises ValueError where it has not one number for each."""
    cells = line.split(",")
    row = dict(zip(names, cells, strict=True))
    for cell in filter(None, cells):
        float(cell)
    return row


def _sweep(path: Path) -> Row:
    """A sweep's row: excess loss and ratio are those of its best trial, on the test series.

    Raises:
        OSError, ValueError, KeyError: a file of it is damaged.
    """
    files = SweepFiles(path)
    known = tomllib.loads(read_small(files.config).decode())
    tables = [value for value in known["sweep"].values() if isinstance(value, dict)]
    settings = {name: value for table in tables for name, value in table.items()}
    settings |= known.get("files", {})  # The identity knows files by their contents.
    trials = _trials(files.trials)
    ended = [row for row in trials if row.get("status") not in NOT_COMPARED]
    best = min(ended, key=lambda row: float(row["best_val_loss"] or "inf"), default={})
    spent = {row.get("run_dir"): float(row.get("seconds") or 0) for row in trials}
    settings |= {name: _distinct(trials, name) for name in ("layers", "state_size")}
    return settings | {
        "status": _status(files),
        "data": _data(_of_all_trials(settings, known["sweep"])),
        "seeds": len({row["seed"] for row in ended}),
        "trials": len(trials),
        "epochs": max((int(row["epochs"]) for row in trials), default=0),
        "val_loss": _number(best, "best_val_loss"),
        "excess": _number(best, "gap"),
        "ratio": None if best.get("gap") else _ratio(best),
        "seconds": sum(spent.values()),
        "answer": _answers(kept(files)),
        "started": _changed(files.config),
    }


def _of_all_trials(settings: Row, identity: Mapping[str, Any]) -> Row:
    """What says which data a sweep is on; an echo step that it sweeps is none."""
    names = [name for name in ("data", "task", "echo_step") if name in settings]
    swept = identity.get("swept", {})
    return {name: settings[name] for name in names if name not in swept}


def _trials(path: Path) -> list[dict[str, str]]:
    if not path.exists():
        return []
    return list(csv.DictReader(io.StringIO(_content(path)), strict=True))


def _distinct(trials: Sequence[Mapping[str, str]], name: str) -> list[int] | int | None:
    found = sorted({int(row[name]) for row in trials})
    return found[0] if len(found) == 1 else found or None


def _number(row: Mapping[str, str], name: str) -> float | None:
    return float(row[name]) if row.get(name) else None


def _ratio(row: Mapping[str, str]) -> float | None:
    loss, reference = _number(row, "test_loss"), _number(row, "reference_loss")
    return loss / reference if loss is not None and reference else None


def _status(files: SweepFiles) -> str:
    """`completed` where the answer is that of all its trials."""
    if locks.is_held(files.path):
        return RUNNING
    return "completed" if kept(files) else "interrupted"


def kept(files: SweepFiles) -> dict[str, Any]:
    """What a sweep has come to, as its `sweep.json` has it; `{}` if that is of other trials."""
    with suppress(OSError, ValueError, KeyError, TypeError):
        known = json.loads(read_small(files.status))
        if hashlib.sha256(files.trials.read_bytes()).hexdigest() == known["trials_sha256"]:
            return dict(known)
    return {}


def _answers(known: Mapping[str, Any]) -> str | None:
    """The answers to a sweep's questions in a few words each; of older versions how they begin."""
    short = [part["short"] for part in known.get("parts", [])]
    found = short or [re.split("[:;]", text)[0] for text in known.get("answers", [])]
    return "; ".join(found) or None


def runs(*directories: AnyPath) -> pd.DataFrame:
    """The runs and sweeps in some directories, the newest first: a row for each.

    Args:
        directories: where to look; by default in `runs`.

    Returns:
        The columns of `lstmcli runs --csv`, then every setting. A damaged directory has the status
        `damaged`, and `error` says why.

    Raises:
        FileError: there is no such directory.
    """
    import pandas as pd

    rows = listed_in([Path(each) for each in directories or (run_dir.ROOT,)])
    return pd.DataFrame(rows, columns=None if rows else list(COLUMNS))


def listed_in(directories: Sequence[Path]) -> list[Row]:
    """The runs and sweeps in some directories, the newest first.

    Raises:
        FileError: there is no such directory.
    """
    root = directories[0] if len(directories) == 1 else None
    paths = dict.fromkeys(path for directory in directories for path in found_in(directory))
    rows = [read(path, root) for path in paths]
    return sorted(rows, key=lambda row: (row["started"] or "", row["name"]), reverse=True)
