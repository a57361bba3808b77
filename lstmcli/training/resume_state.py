"""The saved state of a run to resume, and which settings may change."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from lstmcli.config import MUTABLE, PATHS, Config
from lstmcli.core import execution
from lstmcli.training import checkpoint_files, load, run_dir
from lstmcli.training.checkpoint import Checkpoint
from lstmcli.training.run_dir import FIGURES, SETTINGS, RunDirectory
from lstmcli.utils import kinds
from lstmcli.utils.errors import FileError, UsageError, shell_quote
from lstmcli.utils.settings import option_name

PINNED = {"threads": "threads", "execution": "schedule", "device": "device"}
"""Settings that the machine resolves, with their names in `run.json`; a resume reuses the
values."""
_FILES = PATHS["data"]


@dataclass(frozen=True)
class ResumeState:
    """The saved state of a run.

    Attributes:
        directory: the run directory.
        status: the content of `run.json`.
        config: the run's settings, with the changes requested now.
        checkpoint: its newest checkpoint; `None` if it has none yet.
        warning: a problem with its files; `None` if there is none.
        longer: whether more epochs are requested than before, or a patience that allows more.
        data: the file given as the run's data; `None` if none is given.
        other_device: the device to continue on, even if it changes the bits; `None` for the run's
            own.
    """

    directory: RunDirectory
    status: Mapping[str, Any]
    config: Config
    checkpoint: Checkpoint | None
    warning: str | None
    longer: bool
    data: str | None = None
    other_device: str | None = None

    @property
    def complete(self) -> bool:
        """Whether no training is left."""
        return self.status["status"] == "completed" and not self.longer

    @property
    def is_drawn(self) -> bool:
        """Whether all figures are there; they are drawn after training."""
        names, folder = self.status.get(FIGURES), self.directory.figures
        if not isinstance(names, list) or not names:
            return False
        return all(isinstance(name, str) and (folder / name).is_file() for name in names)

    @property
    def early_stopping(self) -> str:
        """The options that may stop the run early, in words; empty if there are none."""
        training = self.config.training
        given = {"patience": training.patience, "until_solved": training.until_solved}
        return " or ".join(f"`{option_name(name)}`" for name, is_given in given.items() if is_given)

    def check_data(self, checksums: Sequence[str]) -> None:
        """Checks that the data is that of the run.

        Args:
            checksums: the checksums of the parts of the data.

        Raises:
            UsageError: other data was named.
            FileError: the data has changed.
        """
        if list(checksums) == list(self.status["data_sha256"]):
            return
        if self.data is not None:
            raise self.other_data(
                f"`lstmcli train --config {shell_quote(self.directory.config)} --init-from "
                f"{shell_quote(self.directory.path)} --data {shell_quote(self.data)}` begins a new "
                "run with its settings and its weights"
            )
        file = self.config.data.data
        raise FileError(
            f"`{file}` has changed since the run began"
            if file
            else "the series drawn from the seed are not those that the run began with",
            "restore the file, or start another run"
            if file
            else "resume it with the version of lstmcli and NumPy that `run.json` names",
        )

    def other_data(self, instead: str) -> UsageError:
        """The error for naming data other than the run's; `instead` ends its hint."""
        return UsageError(
            f"`--data {self.data}` is not what this run is trained on: that is "
            f"`{self.status.get('data')}`, as seen from its directory",
            f"leave `--data` out; {instead}",
        )

    @property
    def instruction_set(self) -> str | None:
        """The largest instruction set that the run was compiled for; `None` if unknown."""
        known = self.status.get("instruction_set")
        return known if isinstance(known, str) else None

    def exact(self, config: Config) -> Config:
        """The run's resolved settings with its original threads, schedule and device.

        If the settings determine the number of threads, it is left to them, so that replicas share
        the cores.
        """
        pinned = {name: self.status[key] for name, key in PINNED.items()}
        if self.other_device:
            pinned["device"] = self.other_device
        exact = replace(config, run=replace(config.run, **pinned))
        by_itself = replace(exact, run=replace(exact.run, threads=config.run.threads))
        found = execution.plan(by_itself, features=0, device=exact.run.device).threads
        return by_itself if found == exact.run.threads else exact


def load_resume_state(
    directory: RunDirectory,
    given: Mapping[str, Any],
    other_device: bool = False,
    data_is_open: bool = False,
) -> ResumeState:
    """Reads the saved state of a run, whose directory must be locked.

    Args:
        directory: the run directory.
        given: the requested settings by name.
        other_device: whether the requested device may differ from the run's.
        data_is_open: whether the run's data is already open; then its files may be missing.

    Raises:
        UsageError: a setting contradicts the run.
        FileError: there is no run, its checkpoints are damaged, or its data is missing.
    """
    if other_device and "device" not in given:
        raise UsageError(
            "`--other-device` has no effect without `--device`",
            "pass `--device` too: with which one the run is to go on",
        )
    status = _status(directory)
    tables = _with_files(directory, status[SETTINGS], given, data_is_open)
    before = Config.build(tables)
    asked = Config.build(tables, **_without_files(given, before))
    its_own = {name: value for name, value in given.items() if name != "device" or not other_device}
    _check_given(before, asked, its_own, status)
    checkpoint, warning = checkpoint_files.newest(directory)
    if checkpoint:
        load.check_run_id(directory, directory.last, checkpoint)
    changed = {name: asked.value(name) for name in MUTABLE if name in given}
    longer = asked.training.epochs > before.training.epochs or _more_patient(asked, before, status)
    config = Config.build(tables, **changed)
    data = given.get("data") if before.data.data is not None else None
    device = asked.run.device if other_device else None
    return ResumeState(directory, status, config, checkpoint, warning, longer, data, device)


def _more_patient(asked: Config, before: Config, status: Mapping[str, Any]) -> bool:
    """Whether a run that stopped early is to wait longer for a better validation loss."""
    wanted, had = (each.training.patience or math.inf for each in (asked, before))  # 0: forever.
    return status.get("epochs") != asked.training.epochs and wanted > had


def check_run(directory: RunDirectory) -> None:
    """Raises FileError if a directory does not hold a run."""
    if directory.holds_run():
        return
    path = directory.path
    folder = kinds.directory_of(path)
    raise FileError(
        kinds.mismatch(path, kinds.RUN) or f"`{path}` holds no run that could be resumed",
        f"`lstmcli train --resume {shell_quote(folder)}` goes on with the run that it is of"
        if folder and RunDirectory(folder).holds_run()
        else "`--resume` takes the directory of a run; a sweep goes on with its own command",
    )


def _status(directory: RunDirectory) -> dict[str, Any]:
    check_run(directory)
    status = directory.read_status()
    settings = status.get(SETTINGS)
    if not isinstance(settings, dict) or not all(
        isinstance(each, dict) for each in settings.values()
    ):
        status.pop(SETTINGS, None)
    elif not {"data", "training", "run"} <= settings.keys():
        status.pop(SETTINGS)
    if missing := {SETTINGS, "data_sha256", *PINNED.values()} - status.keys():
        raise FileError(
            f"`{directory.status}` has no `{min(missing)}`, which a resume needs: it was written "
            "by an older version of lstmcli",
            f"`lstmcli train --init-from {shell_quote(directory.path)}` begins a new run with its "
            "weights",
        )
    return status


def _with_files(
    directory: RunDirectory,
    settings: Mapping[str, Any],
    given: Mapping[str, Any],
    data_is_open: bool,
) -> dict[str, Any]:
    """A run's settings, with the paths of its files relative to the current directory.

    Files that are needed only at the start may be missing.
    """
    tables = {name: dict(table) for name, table in settings.items()}
    for name in tables["data"].keys() & set(_FILES):  # The current location, if given.
        if given.get(name) is not None:
            tables["data"][name] = str(Path(given[name]).absolute())
    done = PATHS if data_is_open else {"training": PATHS["training"]}
    unsought = {
        (group, name): os.path.normpath(directory.base.resolve() / tables[group].pop(name))
        for group, names in done.items()
        for name in tables[group].keys() & set(names)
    }
    tables = run_dir.with_paths_from(tables, directory.base)
    for (group, name), path in unsought.items():
        tables[group][name] = path
    return tables


def _without_files(given: Mapping[str, Any], before: Config) -> dict[str, Any]:
    """The given settings without the files that the run has already; their content is compared."""
    return {
        name: value
        for name, value in given.items()
        if name not in _FILES or before.value(name) is None
    }


def _check_given(
    before: Config, asked: Config, given: Mapping[str, Any], status: Mapping[str, Any]
) -> None:
    """Raises UsageError for settings that contradict a run."""
    for name in _without_files(given, before):
        had, wanted = before.value(name), asked.value(name)
        resolved = status[PINNED[name]] if name in PINNED else None
        if name in PINNED and had != wanted and not _same(name, resolved, wanted):
            had = resolved
        elif name in (*MUTABLE, *PINNED) or had == wanted or _same_file(name, had, wanted):
            continue
        was = "was not given" if had is None else f"is {had}"
        raise UsageError(
            f"`{option_name(name)}` {was} in this run, got {wanted}",
            f"leave `{option_name(name)}` out, or begin another run with it"
            if name != "device"
            else "leave `--device` out, or pass `--other-device` too: its bits will differ then",
        )
    if asked.training.epochs < before.training.epochs:
        raise UsageError(
            f"`--epochs` is {before.training.epochs} in this run, got {asked.training.epochs}: a "
            "run can be made longer, not shorter",
            "leave `--epochs` out, or pass more",
        )


def _same(name: str, had: object, wanted: object) -> bool:
    """Whether a setting agrees with its resolved value: `auto` with any, `cpu` with `cpu:0`."""
    return wanted in (had, "auto", None) or (name == "device" and f"{wanted}:0" == had)


def _same_file(name: str, had: str | None, wanted: str | None) -> bool:
    if name != "init_from" or had is None or wanted is None:
        return False
    return Path(had).resolve() == Path(wanted).resolve()
