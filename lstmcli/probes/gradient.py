"""How far the training signal reaches: gradients of a step's loss with respect to earlier steps.

The gradients of many single losses are computed side by side, without truncation. Truncation to
windows of W steps (Elman 1990; Williams and Peng 1990) only takes steps away: from place p of a
window, counted from 0, the gradient reaches p steps back, unchanged, and no further. Shapes are
written with L layers, S units, M losses, K + 1 steps of history.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, TypedDict

import numpy as np
import numpy.typing as npt

from lstmcli.core import numpy_lstm
from lstmcli.core.numpy_lstm import Array, NumpyInputs
from lstmcli.data.target import Target
from lstmcli.probes.networks import TRAINED, UNTRAINED, ProbeData, TracedRun, one_thread

if TYPE_CHECKING:
    import pandas as pd

Integers = npt.NDArray[np.int64]

WINDOWS = (1, 2, 4)
"""Window lengths to compare, as multiples of the one in training."""
LARGEST = 2**22
"""Numbers that a network's history of all losses holds, at most."""
LOSSES = (64, 1_000)
"""Losses whose gradients are computed: at least and at most."""


class Losses(NamedTuple):
    """Steps whose losses' gradients are computed.

    Attributes:
        steps: their numbers in their rows: `[M]`.
        rows: `[M]`.
    """

    steps: Integers
    rows: Integers


class Norms(NamedTuple):
    """Norms of the gradients of M losses by lag.

    Attributes:
        inputs: to the input: `[K + 1, M]`.
        states: to each layer's c and h: `[K + 1, L, 2, M]`.
    """

    inputs: Array
    states: Array


class GradientRow(TypedDict):
    """The gradient of a step's loss with respect to an earlier step.

    Attributes:
        seed: the network's seed.
        network: `trained`, or `untrained`: its weights before training.
        layer: the layer, from 1 on; 0 for the input.
        to: what the gradient is with respect to: the input `x`, or the layer's `h` or `c`.
        lag: how many steps before.
        window: steps of a window in training (`--bptt`).
        norm: mean norm of the gradient without truncation.
        norm_1: the same with truncation to windows as in training.
        norm_2: with windows twice as long.
        norm_4: with windows four times as long.
    """

    seed: int
    network: str
    layer: int
    to: str
    lag: int
    window: int
    norm: float
    norm_1: float
    norm_2: float
    norm_4: float


def gradient(subject: ProbeData, lags: int) -> pd.DataFrame:
    """The mean norm of the gradient of a step's loss, by lag and layer.

    Args:
        subject: the networks and the series that they read.
        lags: the longest lag. At least four windows are covered, but never more than half of a
            row, so that the steps of the other half can be measured.

    Returns:
        The columns of GradientRow.
    """
    import pandas as pd

    longest = min(max(lags, WINDOWS[-1] * subject.bptt), len(subject.begins) // 2)
    frames = []
    for run in subject.runs([TRAINED, UNTRAINED]):
        losses = chosen(subject, run.replica, longest)
        norms = norms_of(subject, run, losses, longest)
        frame = _frame(norms, losses.steps, subject.bptt)
        frame.insert(0, "network", run.kind)
        frame.insert(0, "seed", subject.model.seeds[run.replica])
        frames.append(frame)
    order = ["seed", "network"]
    return pd.concat(frames).sort_values(order, kind="stable", ignore_index=True)


def chosen(subject: ProbeData, replica: int, longest: int) -> Losses:
    """Draws scored steps, if possible such with `longest` steps before them."""
    arrays, there = subject.arrays[replica], ~subject.padding[..., replica]
    scored = there & arrays.get("scored", np.True_)
    late = scored & (np.arange(len(scored)) >= min(longest, len(scored) // 2))[:, None]
    steps, rows = np.nonzero(late if late.any() else scored)
    model = subject.model.config.model
    numbers = (longest + 1) * model.layers * model.state_size
    count = int(np.clip(LARGEST // numbers, *LOSSES))
    drawn = np.random.default_rng(0).permutation(len(steps))[:count]
    return Losses(steps[drawn], rows[drawn])


def norms_of(subject: ProbeData, run: TracedRun, losses: Losses, longest: int) -> Norms:
    """The gradients' norms of some losses over `longest` steps.

    They end at the beginning of a row or of a sequence.
    """
    times = losses.steps - np.arange(longest, -1, -1)[:, None]  # [K + 1, M]
    there, rows = np.maximum(times, 0), losses.rows
    given = subject.given([run.replica])
    begun = subject.begins[..., run.replica][there, rows]
    history = NumpyInputs(
        given.numbers[there, 0, rows][:, None],
        given.symbols[there, 0, rows][:, None],
        (1 - begun.astype(np.float32))[:, None, :, None],
    )
    before = run.states[np.maximum(times[0] - 1, 0), :, :, rows]  # [M, L, 2, S]
    state = np.moveaxis(before, 0, 2)[:, :, None]
    targets = subject.arrays[run.replica]["targets"][losses.steps, rows]
    with one_thread():
        return _followed(run, state, history, targets, subject.model.schema.target_kind)


def _followed(
    run: TracedRun, state: Array, given: NumpyInputs, targets: npt.NDArray[Any], target: Target
) -> Norms:
    """Runs the network over the losses' histories, and backpropagates their gradients.

    Args:
        run: whose network it is.
        state: before the histories: `[L, 2, 1, M, S]`.
        given: the histories, as the rows of one network.
        targets: of the last steps: `[M]` or `[M, D]`.
        target: what kind they are of.
    """
    network = numpy_lstm.side_by_side([run.network])
    states = np.concatenate(list(numpy_lstm.unroll(network, state, given)))
    logits = numpy_lstm.readout(network, states[-1, -1, 1])
    outputs = target.gradient(logits, targets[None])
    found = numpy_lstm.local_gradients(network, state, given, states)
    norms = [
        Norms(*(np.linalg.norm(part, axis=-1) for part in step))
        for step in numpy_lstm.backpropagate(network, found, given, outputs)
    ]
    inputs, layers = zip(*norms, strict=True)
    return Norms(
        np.stack(inputs)[:, 0].astype(np.float64), np.stack(layers)[:, :, :, 0].astype(np.float64)
    )


def _frame(norms: Norms, steps: Integers, window: int) -> pd.DataFrame:
    """Mean norms by layer and lag, without truncation and with windows of several lengths."""
    import pandas as pd

    lags = np.arange(len(norms.inputs))
    within = {each: lags[:, None] <= steps % (each * window) for each in WINDOWS}
    places = [(0, "x", norms.inputs)]
    for layer in range(norms.states.shape[1]):
        places += [(layer + 1, "h", norms.states[:, layer, 1])]
        places += [(layer + 1, "c", norms.states[:, layer, 0])]
    frames = []
    for layer, to, norm in places:
        means = {f"norm_{each}": (norm * mask).mean(1) for each, mask in within.items()}
        known = {"layer": layer, "to": to, "lag": lags, "window": window, "norm": norm.mean(1)}
        frames.append(pd.DataFrame(known | means))
    return pd.concat(frames)


def shares(table: pd.DataFrame) -> pd.DataFrame:
    """The share of the gradient to the input that lies within each window.

    Args:
        table: as `gradient` gives it.

    Returns:
        For each seed and network, the share of the norms' sum over the lags: `norm_1`, `norm_2`,
        `norm_4`.
    """
    names = [f"norm_{each}" for each in WINDOWS]
    sums = table[table.to == "x"].groupby(["seed", "network"], sort=False)[["norm", *names]].sum()
    return sums[names].div(sums.norm, axis=0).reset_index()
