"""Evaluation of trained models on unseen series."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from lstmcli import model_spec
from lstmcli.config import Config
from lstmcli.core import device
from lstmcli.core.initialization import Arrays
from lstmcli.core.replica_windows import ReplicaWindows
from lstmcli.core.runner import Program
from lstmcli.data import batching
from lstmcli.data.batching import Windows, windows_of
from lstmcli.data.datasets import floor_of
from lstmcli.data.outputs import OutputErrors, Tally
from lstmcli.data.schema import Schema
from lstmcli.data.series import Series
from lstmcli.data.target import Target
from lstmcli.data.tasks.echo import BayesLoss
from lstmcli.model_spec import ModelSpec
from lstmcli.training.checkpoint import Checkpoint
from lstmcli.utils.errors import FileError, plural
from lstmcli.utils.files import scratch

MOST_IN_A_ROW = 1_000_000
"""Maximum number of steps read in one row."""
ONE_ROW_SECONDS = 20.0
"""Maximum estimated seconds for reading a recording in one row."""
A_CELL, A_PARAMETER = 2e-6, 1e-10
"""Seconds per step: of a layer apart from its matrix products, and of a parameter in those."""


@dataclass
class Score:
    """The result of one seed's model on a series.

    Attributes:
        seed: the model's seed.
        schema: the model's schema.
        windows: what was scored.
        floor: the Bayes loss of the series, if its task is known.
        readout: the head's outputs for each step, if kept, `[windows, bptt, rows, classes or
            numbers]`: log-probabilities or standardised numbers.
        classes_kept: with very many classes, the most probable ones of each step, in descending
            order, to which `readout` belongs: `[windows, bptt, rows, classes]`; `None` if `readout`
            has all.
        tally: its accumulated errors.
    """

    seed: int
    schema: Schema
    windows: Windows
    floor: BayesLoss | None
    readout: npt.NDArray[np.float32] | None = None
    classes_kept: npt.NDArray[np.int32] | None = None
    tally: Tally = field(init=False)

    def __post_init__(self) -> None:
        self.tally = self.target.tally()

    @property
    def target(self) -> Target:
        """The target that is predicted."""
        return self.schema.target_kind

    @property
    def labels(self) -> int:
        """The number of scored steps."""
        return self.tally.labels

    @property
    def confusion(self) -> npt.NDArray[np.int64]:
        """The confusion matrix of the tally."""
        return self.tally.confusion

    @property
    def outputs(self) -> OutputErrors | None:
        """The errors of each number, if several are predicted."""
        return self.tally.outputs

    @property
    def loss(self) -> float:
        """Mean over the scored steps: cross-entropy in nats, or standardised squared error.

        With several numbers, it is the mean over all known ones.
        """
        return self.tally.loss

    @property
    def accuracy(self) -> float | None:
        """Fraction of correct steps; `None` for numbers."""
        return self.tally.accuracy

    @property
    def errors(self) -> dict[str, float | None]:
        """Further errors: `rmse` and `mae`, or `bits_per_character`."""
        return self.target.errors(self.loss, self.tally.mae)

    @property
    def rmse(self) -> float | None:
        """Root mean square error in the target's units; `None` for classes, or several targets."""
        return self.errors.get("rmse")

    @property
    def mae(self) -> float | None:
        """Mean absolute error in the target's units; `None` for classes, or several targets."""
        return self.errors.get("mae")

    @property
    def bits_per_character(self) -> float | None:
        """The loss in bits per character, for text."""
        return self.errors.get("bits_per_character")

    def add(
        self, readout: npt.NDArray[np.float32], arrays: dict[str, npt.NDArray[np.generic]]
    ) -> None:
        """Adds the errors of the head's outputs for some windows, `[windows, bptt, rows, …]`."""
        targets = arrays["targets"]
        scored = arrays.get("scored", np.ones(targets.shape[:3], np.bool_))
        self.tally.add(readout[scored], targets[scored])

    @property
    def kept_from(self) -> int:
        """The first window whose readout is kept; earlier windows are only warm-up."""
        cut = self.windows.cut
        return cut.warm_up_windows if isinstance(cut, batching.Spans) else 0

    def keep(self, begin: int, readout: npt.NDArray[np.float32], most: int) -> None:
        """Keeps the head's outputs for some windows, except those of the warm-up.

        Args:
            begin: the number of the first window.
            readout: `[windows, bptt, rows, …]`; windows past the end of the series are ignored.
            most: the maximum number of classes or numbers to keep per step.
        """
        first = max(begin, self.kept_from)
        readout = readout[first - begin : len(self.windows) - begin]
        part = slice(first - self.kept_from, first - self.kept_from + len(readout))
        shape = (
            len(self.windows) - self.kept_from,
            *readout.shape[1:-1],
            min(most, readout.shape[-1]),
        )
        if self.readout is None:
            self.readout = scratch(shape, np.float32)
        if shape[-1] < readout.shape[-1]:
            if self.classes_kept is None:
                self.classes_kept = scratch(shape, np.int32)
            likely = np.argpartition(-readout, most - 1)[..., :most]
            order = np.argsort(-np.take_along_axis(readout, likely, -1), kind="stable")
            likely = np.take_along_axis(likely, order, -1)
            self.classes_kept[part] = likely
            readout = np.take_along_axis(readout, likely, -1)
        self.readout[part] = readout


def score(
    checkpoint: Checkpoint,
    config: Config,
    series: Sequence[Series],
    requested: str,
    keep: int = 0,
) -> list[Score]:
    """Evaluates each model of a checkpoint on its series.

    The state is zero at the start of a series. A part of a recording is read after the steps before
    it.

    Args:
        checkpoint: the models.
        config: their settings, with the layout for evaluation.
        series: one for each model.
        requested: the device.
        keep: the maximum number of classes or numbers per step whose readout is kept.

    Raises:
        DeviceError: the device is missing or cannot be used.
        OutOfMemoryError: the device has no room for a window.
        FileError: the data does not fit the models, is too short, or has nothing to score.
    """
    spec = _fitting(checkpoint, series)
    windows = _windows(config, series, spec)
    rows = windows[0].cut.rows
    config = replace(config, training=replace(config.training, batch_size=rows))
    where = device.choose(config, spec, requested).name
    program = Program(config, spec, where)
    scores = [
        Score(seed, checkpoint.schema, cut, floor_of(cut))
        for seed, cut in zip(checkpoint.seeds, windows, strict=True)
    ]
    add_readouts(program, checkpoint.tensors, scores, keep)
    if not all(each.labels for each in scores):
        raise FileError("there is no step to score, as no target is known", None)
    return scores


def _windows(config: Config, series: Sequence[Series], spec: ModelSpec) -> list[Windows]:
    """Each model's windows; all models have the same number."""
    rows, bptt = config.training.rows, config.training.steps
    if series[0].is_recording:  # The same for all.
        return [_of_recording(config, series[0], spec)] * len(series)
    count = max(len(windows_of(each, rows, bptt)) for each in series)
    return [windows_of(each, rows, bptt, windows=count) for each in series]


def _of_recording(config: Config, series: Series, spec: ModelSpec) -> Windows:
    """A recording, or a part of one, in one row after all earlier steps, if that is fast enough.

    Otherwise the row starts later, with a warm-up. If the part itself takes too long, it is cut
    into as many rows as in training, each with its warm-up.
    """
    rows, bptt = config.training.rows, config.training.steps
    most = min(MOST_IN_A_ROW, int(ONE_ROW_SECONDS / _step_seconds(config, spec)))
    room = most - len(series)
    if room < min(batching.warm_up_of(bptt), series.offset):
        return batching.to_score(series, rows, bptt)
    return batching.to_score(series, 1, bptt, warm_up=room)


def _step_seconds(config: Config, spec: ModelSpec) -> float:
    """Estimated seconds per step of one row for all models, as measured on one core."""
    model = config.model
    count = model_spec.count(model, spec.features, spec.outputs)
    return config.run.replicas * (model.layers * A_CELL + count * A_PARAMETER)


def add_readouts(program: Program, tensors: Arrays, scores: Sequence[Score], keep: int = 0) -> None:
    """Adds the outputs for its windows to each model's score.

    Args:
        program: the compiled program of the models.
        tensors: their parameters: `[R, …]`.
        scores: one for each of the R models.
        keep: the maximum number of classes or numbers per step whose readout is kept.
    """
    begin = 0
    for readout in program.predict(tensors, ReplicaWindows([each.windows for each in scores])):
        for replica, each in enumerate(scores):
            part = readout[..., replica]
            each.add(part, each.windows.take(begin, len(part)))
            if keep:
                each.keep(begin, part, keep)
        begin += len(readout)


def _fitting(checkpoint: Checkpoint, series: Sequence[Series]) -> ModelSpec:
    """What the program has to be compiled for.

    Raises:
        FileError: the inputs differ from those in training, or there are more classes.
    """
    features, classes = checkpoint.metadata["features"], checkpoint.metadata["classes"]
    for each in series:
        found = each.spec
        if found.features != features or found.outputs > classes:
            raise FileError(
                f"the data has {found.features} {plural(found.features, 'feature')} and "
                f"{found.outputs} classes, the model was trained on {features} and {classes}",
                "`lstmcli inspect CHECKPOINT` shows what it was trained on",
            )
    return replace(series[0].spec, outputs=classes)
