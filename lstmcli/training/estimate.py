"""What settings make possible, before anything is trained: labels, memory, seconds."""

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
"""Seconds, whatever is compiled."""
A_LAYER = {"wavefront": 0.075, "layered": 0.65}
"""Seconds that each layer adds to it."""
A_PAIR_OF_LAYERS = 4.2e-4
"""And each layer with each other, as some of the compiler's passes compare all with all."""
AN_EPOCH = 0.01
"""Seconds of an epoch beside its windows: for its files, and what is compiled is called."""
A_SEED, A_SEED_ALONE = 0.003, 0.008
"""Seconds that each seed adds to that: for its series and rows, and its part in a call; and with a
call of its own."""
WITH_VALIDATION = 1.4
"""Times the windows of training that an epoch takes with its validation."""


@dataclass(frozen=True)
class DataFacts:
    """What is known of the data, as a run cuts it.

    Attributes:
        schema: what its columns are.
        labels: scored steps of an epoch.
        windows: of an epoch.
        rows, bptt: of a window.
        dropped: steps that fill no window.
        outside: the share of labels whose source lies before their window; `None` where that is
            not known.
        longest: steps of the longest sequence; `None` for one endless series.
        chance: what who knows nothing of the inputs loses.
        best: the floor, or the best that needs no network; `None` where neither is known.
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
    """What settings make possible.

    Attributes:
        config: all settings, resolved.
        data: what is known of the data.
        parameters: of one seed's model.
        seeds: how many are trained at once.
        epochs: that are left, at most; a part of one counts as one.
        done: epochs that an earlier start has trained, with the part of one that is under way.
        seconds: of the training, about, with its compilation.
        compiling: of the latter, about.
        device: that it is trained on, and why on that one, where there is a choice.
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
        """Seconds of the training alone."""
        return self.seconds - self.compiling


BAYES_LOSS = "Bayes loss"
"""How the name of the best loss that can be expected begins; of a file it is that of a part."""


def of_data(source: Source, floor: BayesLoss | None, known: Sequence[Baseline]) -> DataFacts:
    """What is known of a source's data.

    Args:
        source: the data.
        floor: the best that can be expected, where the task is known.
        known: what a file's validation part costs without a network.
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
) -> Preflight:
    """What settings make possible with some data.

    Args:
        config: all settings, resolved.
        spec: what a program has to be compiled for.
        data: as `of_data` tells it.
        done: epochs that are trained already; those under way in part.
        device: that they are trained on; by default what the settings name.
        reason: why on that one, where there is a choice.
    """
    where = device or config.run.device
    count = model_spec.count(config.model, spec.features, spec.outputs)
    left = max(0.0, config.training.epochs - done)
    compiling = compiling_seconds(config, spec, where)
    seconds = compiling + training_seconds(config, spec, data.windows, left, where)
    told = f"{where} ({reason})" if reason else None
    replicas = config.run.replicas
    return Preflight(config, data, count, replicas, math.ceil(left), done, seconds, compiling, told)


def _chance(source: Source, known: Sequence[Baseline]) -> Baseline:
    """A uniform guess, the mean of numbers, or what a task has for it."""
    if baseline := tasks.baseline(source.example):
        return Baseline(*baseline)
    name, loss, _ = source.schema.target_kind.chance(known, least=0.0)
    return Baseline(name, loss)


def training_seconds(
    config: Config, spec: ModelSpec, windows: int, epochs: float, device: str = "cpu"
) -> float:
    """About how long training takes, without its compilation, if it goes to the last epoch.

    Args:
        config: all settings, resolved.
        spec: what a program has to be compiled for.
        windows: in an epoch.
        epochs: to be trained.
        device: that they are trained on.
    """
    epoch = windows * pace.window_seconds(config, spec, device) * WITH_VALIDATION
    is_wavefront = execution.plan(config, spec.features, device).schedule == "wavefront"
    alone = not is_wavefront or spec.starts or config.training.dropout is not None
    seed = A_SEED_ALONE if alone else A_SEED
    return epochs * (epoch + AN_EPOCH + seed * config.run.replicas)


def compiling_seconds(config: Config, spec: ModelSpec, device: str = "cpu") -> float:
    """About how long the programs are compiled: more layers are a larger program."""
    layers = config.model.layers
    each = A_LAYER[execution.plan(config, spec.features, device).schedule]
    whatever = pace.COMPILING_ON_A_GPU if execution.on_gpu(device) else COMPILING
    return whatever + layers * each + layers**2 * A_PAIR_OF_LAYERS


def label_count(windows: Windows) -> int:
    """How many steps of some windows are scored."""
    scored, cut = windows.series.scored, windows.cut
    if isinstance(cut, ContiguousWindows):
        return cut.rows * cut.used if scored is None else int(cut.cut_rows(scored).sum())
    if isinstance(cut, Spans):
        counted = cut.ends - cut.counted
        return int(counted.sum() if scored is None else windows.all("scored").sum())
    return len(windows.series) if scored is None else int(scored.sum())  # Every sequence is whole.


def fraction_beyond_bptt(windows: Windows) -> float | None:
    """The share of labels that depend on an input from before their window.

    No gradient leads there (Williams and Peng 1990, "An efficient gradient-based algorithm for
    on-line training of recurrent network trajectories"): what such a label needs has to be in the
    carried state by chance.

    Returns:
        The share of the scored labels that depend on any input; `None` where it is not known on
        what labels depend.
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
