"""What figures of a run or a checkpoint are made from: its settings, weights and data, as there."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from lstmcli.columns import Numeric, Schema, plain
from lstmcli.config import Config
from lstmcli.data.baselines import Baseline
from lstmcli.data.source import Source, open_source
from lstmcli.errors import FileError, LstmcliError, UsageError
from lstmcli.pictures import windows
from lstmcli.runs import checkpoint as checkpoints
from lstmcli.runs import finding, owned, paths, rundir
from lstmcli.runs.checkpoint import Checkpoint
from lstmcli.runs.owned import OtherRunError
from lstmcli.runs.rundir import RunDirectory


@dataclass
class Material:
    """What is known of a run or a checkpoint.

    Attributes:
        config: its settings.
        schema: what its columns are.
        model: its best checkpoint, else the last; `None` before there is one.
        source: its data; `None` where that cannot be had.
        baselines: what the validation part of a file costs without a network.
        notes: what cannot be had, and why.
    """

    config: Config
    schema: Schema
    model: Checkpoint | None = None
    source: Source | None = None
    baselines: list[Baseline] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def of_checkpoint(path: Path) -> Material:
    """What is known of a checkpoint file.

    Raises:
        FileError: it is missing or damaged, or its data cannot be had.
    """
    model = checkpoints.read(path)
    source = _source_of(model, finding.folder_of(path))
    return Material(model.config, model.schema, model, source)


def of_run(run: RunDirectory, source: Source | None = None) -> Material:
    """What is known of a run, as far as it has come.

    Args:
        run: its directory.
        source: its data, where that is open already.

    Raises:
        FileError: it is no run, or its checkpoint is of another one.
    """
    try:
        config = Config.build(rundir.read_config(run.config))
    except UsageError as error:
        why = f": {error.message}" if run.config.exists() else ""
        raise FileError(
            f"`{run.path}` holds no run and no sweep of lstmcli{why}",
            "`lstmcli train` makes a run, in `runs/latest`",
        ) from error
    found = Material(config, _schema(run), source=source, baselines=_baselines(run))
    try:
        _, found.model = owned.read(run.path)
        found.schema = found.model.schema
        found.source = source or _source_of(found.model, run.path)
    except OtherRunError:
        raise
    except LstmcliError as error:
        found.notes.append(error.message)
    return found


def _source_of(model: Checkpoint, folder: Path) -> Source:
    """The data that a model was trained on.

    Raises:
        FileError: it is missing, damaged, or not what it was.
    """
    config = Config.build(paths.with_data_from(model.metadata["config"], folder))
    source = open_source(config, model.schema)
    windows.check_unchanged(model, source, str(config.data.data))
    return source


def _baselines(run: RunDirectory) -> list[Baseline]:
    """As they were when the run began: its data need not be there."""
    return [Baseline.of(each) for each in run.read_status().get("references") or []]


def _schema(run: RunDirectory) -> Schema:
    """What the columns are of a run without a checkpoint, as far as `run.json` tells."""
    try:
        status = run.read_status()
        if status["classes"]:
            return plain(1, int(status["classes"]))
        return Schema("series", (), (), tuple(Numeric(name) for name in status["target"]))
    except (KeyError, TypeError) as error:
        raise FileError(
            f"`{run.status}` is damaged: it has no {error}",
            "put the run's own file back; nothing else tells what its columns are",
        ) from error
