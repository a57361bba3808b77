"""Estimates before training: number of labels, memory and time."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lstmcli import model_spec
from lstmcli.config import Config
from lstmcli.core import execution, pace
from lstmcli.data import tasks
from lstmcli.data.baselines import Baseline
from lstmcli.data.batching import PADDING, ContiguousWindows, Spans, Windows
from lstmcli.data.datasets import Source
from lstmcli.data.schema import Schema
from lstmcli.data.tasks.echo import BayesLoss
from lstmcli.model_spec import ModelSpec

COMPILING = 3.5
"""Seconds of compilation, independent of the model."""
A_LAYER = {"wavefront": 0.075, "layered": 0.65}
"""Further seconds of compilation per layer."""
A_PAIR_OF_LAYERS = 4.2e-4
"""And per pair of layers, since some compiler passes compare all layers with each other."""
AN_EPOCH = 0.01
"""Seconds of an epoch besides its windows: writing files and calling the compiled program."""
A_SEED, A_SEED_ALONE = 0.003, 0.008
"""Further seconds per seed, for its series, its rows and its share of a call; and for a seed with a
call of its own."""
WITH_VALIDATION = 1.4
"""Time of an epoch with validation, relative to its training windows."""


@dataclass(frozen=True)
class DataFacts:
    """What is known of the data, in the windows of a run.

    Attributes:
        schema: its columns.
        labels: scored steps of an epoch.
        windows: windows of an epoch.
        rows, bptt: the shape of a window.
        dropped: steps left over after the last full window.
        outside: the fraction of labels whose source lies before their window; `None` if unknown.
        longest: steps of the longest sequence; `None` for one endless series.
        chance: the baseline that ignores the inputs.
        best: the Bayes loss, or the best baseline; `None` if neither is known.
    """

    schema: Schema
    labels: int
    windows: int
    rows: int
    bptt: int
    dropped: int
    outside: float | None
    longest: int | None
    chance: Baseline
    best: Baseline | None


@dataclass(frozen=True)
class Preflight:
    """What is known of a run before it is trained.

    Attributes:
        config: all settings, resolved.
        data: what is known of the data.
        parameters: the number of parameters of one seed's model.
        seeds: the number of seeds trained together.
        epochs: the epochs left, at most; a partial epoch counts as one.
        done: epochs trained before this start, including the completed fraction of the current one.
        seconds: estimated training time, including compilation.
        compiling: estimated compilation time in seconds.
        device: the training device, and why it was chosen if there was a choice.
    """

    config: Config
    data: DataFacts
    parameters: int
    seeds: int
    epochs: int
    done: float
    seconds: float
    compiling: float
    device: str | None = None

    @property
    def training(self) -> float:
        """Estimated seconds of training without compilation."""
        return self.seconds - self.compiling


BAYES_LOSS = "Bayes loss"
"""Start of the name of the Bayes loss; for a file, the name of the part follows."""


def of_data(source: Source, floor: BayesLoss | None, known: Sequence[Baseline]) -> DataFacts:
    """What is known of a source's data.

    Args:
        source: the data.
        floor: the Bayes loss, if the task is known.
        known: the baselines of a file's validation part.
    """
    windows = source.windows(source.example)
    cut = windows.cut
    best = min(known, key=_loss, default=None)
    if floor:
        whose = " of the training part" if source.splits else ""
        best = Baseline(f"{BAYES_LOSS}{whose}", floor.loss)
    return DataFacts(
        source.schema,
        label_count(windows),
        cut.windows,
        cut.rows,
        cut.bptt,
        cut.dropped,
        fraction_beyond_bptt(windows) if floor else None,
        longest_lag(windows),
        _chance(source, known),
        best,
    )


def _loss(baseline: Baseline) -> float:
    return baseline.loss


def of_config(
    config: Config,
    spec: ModelSpec,
    data: DataFacts,
    done: float = 0.0,
    device: str | None = None,
    reason: str | None = None,
    cores: int = pace.CORES,
) -> Preflight:
    """What is known of a run with some data before it is trained.

    Args:
        config: all settings, resolved.
        spec: what a program has to be compiled for.
        data: as `of_data` returns it.
        done: epochs already trained; may be fractional.
        device: the training device; by default that of the settings.
        reason: why this device was chosen, if there was a choice.
        cores: of the CPU.
    """
    where = device or config.run.device
    count = model_spec.count(config.model, spec.features, spec.outputs)
    left = max(0.0, config.training.epochs - done)
    compiling = compiling_seconds(config, spec, where)
    seconds = compiling + training_seconds(config, spec, data.windows, left, where, cores)
    told = f"{where} ({reason})" if reason else None
    replicas = config.run.replicas
    return Preflight(config, data, count, replicas, math.ceil(left), done, seconds, compiling, told)


def _chance(source: Source, known: Sequence[Baseline]) -> Baseline:
    """The baseline that ignores the inputs: a uniform guess, the mean, or that of the task."""
    if baseline := tasks.baseline(source.example):
        return Baseline(*baseline)
    name, loss, _ = source.schema.target_kind.chance(known, least=0.0)
    return Baseline(name, loss)


def training_seconds(
    config: Config,
    spec: ModelSpec,
    windows: int,
    epochs: float,
    device: str = "cpu",
    cores: int = pace.CORES,
) -> float:
    """Estimated seconds of training to the last epoch, without compilation.

    Args:
        config: all settings, resolved.
        spec: what a program has to be compiled for.
        windows: windows of an epoch.
        epochs: epochs to train.
        device: the training device.
        cores: of the CPU.
    """
    epoch = windows * pace.window_seconds(config, spec, device, cores) * WITH_VALIDATION
    is_wavefront = execution.plan(config, spec.features, device).schedule == "wavefront"
    alone = not is_wavefront or spec.starts or config.training.dropout is not None
    seed = A_SEED_ALONE if alone else A_SEED
    return epochs * (epoch + AN_EPOCH + seed * config.run.replicas)


def compiling_seconds(config: Config, spec: ModelSpec, device: str = "cpu") -> float:
    """Estimated seconds of compilation; the program grows with the number of layers."""
    layers = config.model.layers
    each = A_LAYER[execution.plan(config, spec.features, device).schedule]
    whatever = pace.COMPILING_ON_A_GPU if execution.on_gpu(device) else COMPILING
    return whatever + layers * each + layers**2 * A_PAIR_OF_LAYERS


def label_count(windows: Windows) -> int:
    """The number of scored steps."""
    scored, cut = windows.series.scored, windows.cut
    if isinstance(cut, ContiguousWindows):
        return cut.rows * cut.used if scored is None else int(cut.cut_rows(scored).sum())
    if isinstance(cut, Spans):
        counted = cut.ends - cut.counted
        return int(counted.sum() if scored is None else windows.all("scored").sum())
    return len(windows.series) if scored is None else int(scored.sum())  # Sequences stay whole.


def fraction_beyond_bptt(windows: Windows) -> float | None:
    """The fraction of labels that depend on an input from before their window.

    Truncated backpropagation computes no gradient for these dependencies (Williams and Peng 1990,
    "An efficient gradient-based algorithm for on-line training of recurrent network trajectories"):
    the carried state can hold what such a label needs only by chance.

    Returns:
        The fraction of the scored labels that depend on any input; `None` if their dependencies are
        unknown.
    """
    series, task = windows.series, tasks.of(windows.series)
    if task is None:
        return None
    lags = task.lags(series)
    if series.scored is not None:
        lags = np.where(series.scored, lags, -1)
    lags = _in_rows(windows, lags)
    place = np.arange(lags.shape[1]) % windows.cut.bptt
    depending = (lags >= 0).sum()
    return float((lags > place).sum() / depending) if depending else None


def longest_lag(windows: Windows) -> int | None:
    """Steps of the longest sequence; `None` for one endless series."""
    if not windows.series.has_sequences:
        return None
    return int(np.diff(windows.series.bounds()).max())


def _in_rows(windows: Windows, lags: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """`[steps]` -> `[rows, windows * bptt]`, with -1 where no step is."""
    places = windows.cut.places(0, len(windows))
    return np.where(places == PADDING, -1, lags[places])
