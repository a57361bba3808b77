"""Probing a checkpoint: its networks are run on a series that it has not seen."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lstmcli.config import OF_TENSORFLOW, ProbeConfig
from lstmcli.data.tasks import TASKS
from lstmcli.probes import ablation, gradient, memory
from lstmcli.probes.networks import ProbeData, inputs_of, probe_data_of
from lstmcli.training.load import AnyPath, open_checkpoint
from lstmcli.utils import notebook
from lstmcli.utils.errors import FileError, UsageError, shell_quote

if TYPE_CHECKING:
    import pandas as pd

MEMORY, GRADIENT, ABLATION = "memory", "gradient", "ablation"
PROBES: dict[str, Callable[[ProbeData, int], pd.DataFrame]] = {
    MEMORY: memory.memory,
    GRADIENT: gradient.gradient,
    ABLATION: ablation.ablation,
}


@dataclass(frozen=True)
class Probe:
    """The result of a probe.

    Attributes:
        kind: `memory`, `gradient` or `ablation`.
        subject: the networks, and the series that they read.
        table: a row for each seed and measurement.
    """

    kind: str
    subject: ProbeData
    table: pd.DataFrame

    @property
    def title(self) -> str:
        """The model and its task: `3 x 4 units, echo after 3 steps`."""
        series, model = self.subject.windows[0].series, self.subject.model.config.model
        known = TASKS.get(str(series.task.get("name")))
        learned = known.describe(series) if known else self.subject.data
        return f"{model.layers} x {model.state_size} units, {learned}"

    def _repr_html_(self) -> str:
        return notebook.to_html([f"{self.kind} of {self.title}"], self.table)


def probe(
    checkpoint: AnyPath,
    data: AnyPath | None = None,
    *,
    gradient: bool = False,
    ablate: bool = False,
    lags: int = ProbeConfig.lags,
    steps: int = ProbeConfig.steps,
    **settings: Any,
) -> Probe:
    """Measures what each layer of a checkpoint's models remembers of earlier inputs.

    Args:
        checkpoint: the file, or a run directory, whose best checkpoint is probed.
        data: a dataset to read. By default a new series of the task, or the test part of the
            training file.
        gradient: measure how far gradients reach instead.
        ablate: measure the loss without a layer's carried state, or without a unit, instead.
        lags: the largest lag, in steps.
        steps: the most steps of the series that are read.
        settings: those of the task that differ from the checkpoint's.

    Returns:
        The result; its `table` is a pandas DataFrame.

    Raises:
        LstmcliError: with the message that `lstmcli probe` would print.
    """
    if gradient and ablate:
        raise UsageError(
            "`--gradient` and `--ablate` exclude each other",
            "run a probe with each of them",
        )
    if strange := settings.keys() & set(OF_TENSORFLOW):
        raise UsageError(f"`{min(strange)}` cannot be set: probing does without TensorFlow")
    asked = ProbeConfig(lags, steps)
    opened = open_checkpoint(checkpoint, data, settings)
    subject = probe_data_of(opened, asked.steps, to_score=gradient or ablate)
    _check(subject)
    kind = GRADIENT if gradient else ABLATION if ablate else MEMORY
    return Probe(kind, subject, PROBES[kind](subject, asked.lags))


def _check(subject: ProbeData) -> None:
    """Refuses a series whose inputs never vary."""
    if not inputs_of(subject):
        raise FileError(
            f"there is nothing to measure: no input of {subject.data} varies",
            f"`lstmcli inspect {shell_quote(subject.checkpoint)}` shows what the inputs are",
        )
