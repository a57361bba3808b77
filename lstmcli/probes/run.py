"""Probing a checkpoint: its networks, a series that it has not seen, and what is asked of both."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lstmcli.config import OF_TENSORFLOW, ProbeConfig
from lstmcli.data.tasks import TASKS
from lstmcli.probes import ablation, gradient, memory
from lstmcli.probes.networks import ProbeData, inputs_of, subject_of
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
    """What a probe found.

    Attributes:
        kind: `memory`, `gradient` or `ablation`.
        subject: the networks, and what they read.
        table: a row for each seed and what was measured.
    """

    kind: str
    subject: ProbeData
    table: pd.DataFrame

    @property
    def title(self) -> str:
        """Whose networks they are, and what they learned: `3 x 4 units, echo after 3 steps`."""
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
    """Looks into the models of a checkpoint: which layer remembers what.

    Args:
        checkpoint: the file, or a run directory, of which the best checkpoint counts.
        data: a dataset to read. Without one it is a fresh series, or the part of the dataset that
            was held back from training.
        gradient: ask instead how far the gradient reaches.
        ablate: ask instead what the loss is without a layer's carried state, or without a unit.
        lags: steps back to look, at most.
        steps: steps of the series to look at, at most.
        settings: those of the task that differ from the checkpoint's.

    Returns:
        What was found; its `table` is a pandas DataFrame.

    Raises:
        LstmcliError: as `lstmcli probe` would say it.
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
    subject = subject_of(opened, asked.steps, to_score=gradient or ablate)
    _check(subject)
    kind = GRADIENT if gradient else ABLATION if ablate else MEMORY
    return Probe(kind, subject, PROBES[kind](subject, asked.lags))


def _check(subject: ProbeData) -> None:
    """Refuses networks and series about which nothing can be said."""
    if not inputs_of(subject):
        raise FileError(
            f"there is nothing to measure: no input of {subject.data} varies",
            f"`lstmcli inspect {shell_quote(subject.checkpoint)}` shows what the inputs are",
        )
