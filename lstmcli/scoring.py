"""Scoring trained models on series that they have not seen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lstmcli.config import Config
from lstmcli.core import device, environment
from lstmcli.core.batch import Batch
from lstmcli.core.program import Program
from lstmcli.data.echo import Floor, bayes_floor
from lstmcli.data.series import Series, Windows
from lstmcli.errors import FileError
from lstmcli.runs.checkpoint import Checkpoint


@dataclass(frozen=True)
class Score:
    """What one seed's model makes of a series.

    Attributes:
        seed: the model's.
        floor: the best that can be expected on the series, where its task is known.
        log_probabilities: `[windows, bptt, rows, classes]`.
        windows: what was scored.
    """

    seed: int
    floor: Floor | None
    log_probabilities: npt.NDArray[np.float32]
    windows: Windows

    @property
    def loss(self) -> float:
        """Mean cross-entropy, in nats per step."""
        labels = self.windows.targets[..., None]
        chosen = np.take_along_axis(self.log_probabilities, labels, -1)
        return -float(chosen.mean(dtype=np.float64))

    @property
    def predicted(self) -> npt.NDArray[np.int64]:
        """The label with the largest probability: `[windows, bptt, rows]`."""
        return np.asarray(self.log_probabilities.argmax(-1), np.int64)

    @property
    def accuracy(self) -> float:
        """Share of steps guessed right."""
        return float((self.predicted == self.windows.targets).mean())

    def confusion(self) -> npt.NDArray[np.int64]:
        """How often each label (row) was taken for each other (column): `[classes, classes]`."""
        classes = self.log_probabilities.shape[-1]
        pairs = self.windows.targets.astype(np.int64) * classes + self.predicted
        return np.bincount(pairs.ravel(), minlength=classes**2).reshape(classes, classes)


def score(
    checkpoint: Checkpoint, config: Config, series: Sequence[Series], requested: str
) -> list[Score]:
    """Scores each model of a checkpoint on its series, from a state of zeros.

    Args:
        checkpoint: the models.
        config: their settings, with the layout to score in.
        series: one for each model.
        requested: the device.

    Raises:
        DeviceError: the device is not there.
        FileError: the data does not fit the models, or is too short.
    """
    features, classes = checkpoint.metadata["features"], checkpoint.metadata["classes"]
    for each in series:
        if each.features != features or each.classes > classes:
            raise FileError(
                f"the data has {each.features} features and {each.classes} classes, the model was "
                f"trained on {features} and {classes}",
                "`lstmcli inspect` shows what a checkpoint was trained on",
            )
    training = config.training
    windows = [each.windows(training.batch_size, training.bptt) for each in series]
    where = device.resolve(requested, environment.threads(config))
    program = Program(config, features, classes, where)
    predicted = program.predict(checkpoint.tensors, Batch.stack(windows))
    return [
        Score(seed, bayes_floor(each, found.layout), predicted[..., replica], found)
        for replica, (seed, each, found) in enumerate(
            zip(checkpoint.seeds, series, windows, strict=True)
        )
    ]
