"""A run's metrics as TensorBoard event files, written by TensorBoard, without TensorFlow."""

from __future__ import annotations

import importlib.util
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from lstmcli.config import PATHS, Config
from lstmcli.training import metrics
from lstmcli.training.metrics import EpochRow, StepRow
from lstmcli.training.run_dir import RunDirectory
from lstmcli.utils.errors import UsageError, install
from lstmcli.utils.files import make_directories

if TYPE_CHECKING:
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.summary.writer.record_writer import RecordWriter

FILE_VERSION = "brain.Event:2"
"""The first event of a file has this version, so that readers notice restarts of a run."""
SETTINGS = "settings"


def check_installed(config: Config) -> None:
    """Raises UsageError if event files are requested and TensorBoard is not installed."""
    if config.run.tensorboard and importlib.util.find_spec("tensorboard") is None:
        raise UsageError(
            "`--tensorboard` needs the package tensorboard, which is not installed",
            install("tensorboard"),
        )


@dataclass
class TensorBoardLogger:
    """Event files in a directory for each seed: scalars by epoch, and the settings.

    Files are created with the first row. When a killed run repeats epochs after its last
    checkpoint, TensorBoard drops the earlier rows of these epochs.

    Attributes:
        directory: the run directory.
        settings: the run's settings by group.
    """

    directory: RunDirectory
    settings: Mapping[str, Mapping[str, Any]]
    _writers: dict[int, RecordWriter] = field(default_factory=dict)

    def log(self, epochs: Sequence[EpochRow], steps: Sequence[StepRow]) -> None:
        """Writes each column of the epoch rows; the window rows are only in `steps.csv`."""
        for row in epochs:
            if row.seed not in self._writers:
                self._begin(row)
            self._write(row.seed, _scalars(row))
        for writer in self._writers.values():
            writer.flush()

    def close(self, status: str) -> None:
        """Writes how the run ended and closes the files."""
        from tensorboard.plugins.hparams import api_pb2, plugin_data_pb2

        ended = api_pb2.STATUS_SUCCESS if status == "completed" else api_pb2.STATUS_FAILURE
        end = plugin_data_pb2.SessionEndInfo(status=ended, end_time_secs=time.time())
        for seed, writer in self._writers.items():
            self._write(seed, _hparams(session_end_info=end))
            writer.close()
        self._writers.clear()

    def _begin(self, row: EpochRow) -> None:
        """Starts a seed's file with the settings and the rows from before it."""
        from tensorboard.compat.proto.event_pb2 import Event, SessionLog
        from tensorboard.plugins.hparams import plugin_data_pb2
        from tensorboard.summary.writer.record_writer import RecordWriter

        folder = self.directory.tensorboard / f"seed-{row.seed}"
        make_directories(folder)
        before = len(list(folder.iterdir()))
        # TensorBoard reads the files in the order of their names.
        path = folder / f"events.out.tfevents.{int(time.time()):010}.{before:04}"
        self._writers[row.seed] = RecordWriter(path.open("xb"))
        start = SessionLog(status=SessionLog.START)
        self._write(row.seed, Event(file_version=FILE_VERSION))
        self._write(row.seed, Event(session_log=start, step=row.epoch))
        if before:
            return
        session = plugin_data_pb2.SessionStartInfo(
            start_time_secs=time.time(), group_name=str(self.directory.base)
        )
        for name, value in _flat(self.settings).items():
            setattr(session.hparams[name], _kind(value), value)
        self._write(row.seed, _text(self.settings))
        self._write(row.seed, _hparams(session_start_info=session))
        for each in metrics.read_metrics(self.directory.metrics):
            if each.seed == row.seed and each.epoch < row.epoch:
                self._write(row.seed, _scalars(each))

    def _write(self, seed: int, event: Event) -> None:
        event.wall_time = time.time()
        self._writers[seed].write(event.SerializeToString())


def _scalars(row: EpochRow) -> Event:
    """The columns of a row, except those that identify it."""
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.proto.summary_pb2 import Summary

    known = metrics.as_dict(row).items()
    values = [
        Summary.Value(tag=name, simple_value=value)
        for name, value in known
        if name not in ("epoch", "seed") and value is not None
    ]
    return Event(step=row.epoch, summary=Summary(value=values))


def _text(settings: Mapping[str, Mapping[str, Any]]) -> Event:
    """The settings as a table in Markdown, as TensorBoard renders it."""
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.compat.proto.tensor_pb2 import TensorProto
    from tensorboard.compat.proto.tensor_shape_pb2 import TensorShapeProto
    from tensorboard.compat.proto.types_pb2 import DT_STRING
    from tensorboard.plugins.text import metadata

    text = "\n".join(["| setting | value |", "| --- | --- |", *_rows(settings)])
    shape = TensorShapeProto(dim=[TensorShapeProto.Dim(size=1)])
    tensor = TensorProto(dtype=DT_STRING, tensor_shape=shape, string_val=[text.encode()])
    about = metadata.create_summary_metadata(SETTINGS, "")
    value = Summary.Value(tag=SETTINGS, metadata=about, tensor=tensor)
    return Event(summary=Summary(value=[value]))


def _rows(settings: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    for group, table in settings.items():
        for name, value in table.items():
            yield f"| {group}.{name} | {str(value).replace('|', chr(92) + '|')} |"


def _hparams(**information: Any) -> Event:
    """A record for TensorBoard's table of hyperparameters."""
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.plugins.hparams import metadata, plugin_data_pb2

    [name] = information
    tags = {
        "session_start_info": metadata.SESSION_START_INFO_TAG,
        "session_end_info": metadata.SESSION_END_INFO_TAG,
    }
    about = metadata.create_summary_metadata(plugin_data_pb2.HParamsPluginData(**information))
    value = Summary.Value(tag=tags[name], metadata=about, tensor=metadata.NULL_TENSOR)
    return Event(summary=Summary(value=[value]))


def _flat(settings: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """The settings by name, without the paths of files, which do not affect results."""
    paths = {name for names in PATHS.values() for name in names}
    flat = {name: value for table in settings.values() for name, value in table.items()}
    return {name: value for name, value in flat.items() if name not in paths}


def _kind(value: object) -> str:
    """The field of a value in TensorBoard's record."""
    if isinstance(value, bool):
        return "bool_value"
    return "number_value" if isinstance(value, int | float) else "string_value"
