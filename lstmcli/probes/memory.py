"""How far back each layer remembers: how well a linear readout of its state recovers old inputs.

The sum over the lags is Jaeger's memory capacity (2001, "Short term memory in echo state networks",
GMD Report 152): for independent inputs it is at most the number of units in the readout. Here it is
measured on steps that the readout was not fitted on, so that overfitting does not raise it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, TypedDict

import numpy as np
import numpy.typing as npt

from lstmcli.probes import readout
from lstmcli.probes.networks import TRAINED, UNTRAINED, ProbeData, TracedRun, inputs_of
from lstmcli.probes.readout import FEWEST_PAIRS, Block, Readout, Targets
from lstmcli.utils.errors import UsageError

if TYPE_CHECKING:
    import pandas as pd

Floats = npt.NDArray[np.float64]

ALL = "all"
"""Instead of a layer's number: the h of all layers together."""
CALIBRATED = 4_000
"""The most steps on which probabilities are calibrated."""
JUDGED = 2**21
"""The most probabilities that are scored at a lag: steps times the symbol's values."""


@dataclass(frozen=True)
class ReadoutScore:
    """How well a readout recovers the input at some lag.

    Attributes:
        lag: in steps.
        held_out: R squared of a number, or bits of a symbol, on held-out steps; it can be negative.
        most: the maximum: 1, or the symbol's entropy in bits.
        ridge: the strength of the ridge; infinite if no strength was better than the mean.
    """

    lag: int
    held_out: float
    most: float
    ridge: float

    @property
    def memory(self) -> float:
        """`held_out`, at least 0; `nan` if there are too few steps."""
        return float(np.maximum(0, self.held_out))


class MemoryRow(TypedDict):
    """How well an earlier input can be recovered from a part of a network's state.

    Attributes:
        seed: the network's seed.
        network: `trained`, or `untrained`: its weights before training.
        layer: the layer, from 1 on, or `all`: all layers' h together.
        state: `h` or `c`.
        input: the input's column.
        unit: what `memory` is measured in: `bits` or `r_squared`.
        lag: how many steps ago.
        memory: `held_out`, but at least 0.
        held_out: what a linear readout recovers on steps that it was not fitted to.
        most: the maximum: 1, or the entropy of the input in bits.
        ridge: strength of the readout's ridge; infinite where it gives nothing but the mean.
    """

    seed: int
    network: str
    layer: int | str
    state: str
    input: str
    unit: str
    lag: int
    memory: float
    held_out: float
    most: float
    ridge: float


def memory(subject: ProbeData, lags: int) -> pd.DataFrame:
    """How well each input can be recovered at each lag, by network, layer and part of the state.

    Args:
        subject: the networks and the series that they read.
        lags: the longest lag.

    Returns:
        The columns of MemoryRow.

    Raises:
        UsageError: there are too few steps for any lag.
    """
    import pandas as pd

    rows = []
    inputs = inputs_of(subject)
    for run in subject.runs([TRAINED, UNTRAINED]):
        blocks = list(subject.judged(run.replica).blocks(lags))
        seed = {"seed": subject.model.seeds[run.replica], "network": run.kind}
        for each in inputs:
            asked = [_asked(each.values[..., run.replica], each.classes, one) for one in blocks]
            kind = {"input": each.name, "unit": "bits" if each.classes else "r_squared"}
            for layer, state, states in parts_of(run):
                where = seed | {"layer": layer, "state": state} | kind
                rows += [where | _columns(found) for found in recovered(states, asked)]
    table = pd.DataFrame(rows)
    if table.held_out.isna().all():
        raise UsageError(
            f"there are too few steps: a readout needs {FEWEST_PAIRS} each for fitting, for "
            "choosing the ridge and for scoring",
            "pass more `--steps`, or use a longer file",
        )
    order = ["seed", "network", "input"]
    return table.sort_values(order, kind="stable", ignore_index=True)


def _columns(found: ReadoutScore) -> dict[str, Any]:
    names = ("lag", "memory", "held_out", "most", "ridge")
    return {name: getattr(found, name) for name in names}


def parts_of(run: TracedRun) -> Iterator[tuple[int | str, str, npt.NDArray[Any]]]:
    """The parts of a state that are read out: each layer's h and c, and all h together.

    Yields:
        The layer's number from 1 on or ALL, `h` or `c`, and the values `[steps, B, units]`.
    """
    layers = run.states.shape[1]
    for layer in range(layers):
        yield layer + 1, "h", run.states[:, layer, 1]
        yield layer + 1, "c", run.states[:, layer, 0]
    if layers > 1:
        together = np.moveaxis(run.states[:, :, 1], 1, 2)  # [steps, B, L, S]
        yield ALL, "h", together.reshape(*together.shape[:2], -1)


class ReadoutTask(NamedTuple):
    """What is read out of states: the input at some lags.

    Attributes:
        block: the lags, and the steps for fitting, for choosing the ridge and for scoring.
        targets: for each of these three.
    """

    block: Block
    targets: list[Targets]


def _asked(values: npt.NDArray[Any], classes: int, block: Block) -> ReadoutTask:
    """An input `[steps, B]` so many steps before each place."""
    flat, back = values.reshape(-1), np.asarray(block.lags) * values.shape[1]
    return ReadoutTask(
        block, [Targets(flat[places[:, None] - back], classes) for places in block.parts]
    )


def recovered(states: npt.NDArray[Any], asked: Sequence[ReadoutTask]) -> Iterator[ReadoutScore]:
    """How well a linear readout of some states `[steps, B, S]` recovers an input at each lag."""
    flat = states.reshape(-1, states.shape[-1])
    for block, targets in asked:
        if min(map(len, block.parts)) < FEWEST_PAIRS:
            yield from (ReadoutScore(lag, np.nan, np.nan, np.nan) for lag in block.lags)
            continue
        parts = readout.standardised(*(flat[places].astype(np.float64) for places in block.parts))
        yield from _judged(parts, targets, block.lags)


def _judged(
    parts: Sequence[Floats], targets: Sequence[Targets], lags: Sequence[int]
) -> Iterator[ReadoutScore]:
    """Fits, chooses and scores the readouts of some lags."""
    fit, choose, judge = parts
    fitted = readout.fit_ridge(fit, targets[0], choose, targets[1])
    if not targets[0].classes:
        explained = readout.r_squared(fitted, judge, targets[2])
        for place, lag in enumerate(lags):
            yield ReadoutScore(lag, float(explained[place]), 1.0, float(fitted.strengths[place]))
        return
    for place, lag in enumerate(lags):
        yield _known(fitted, choose, judge, targets, place, lag)


def _known(
    fitted: Readout,
    choose: Floats,
    judge: Floats,
    targets: Sequence[Targets],
    place: int,
    lag: int,
) -> ReadoutScore:
    """The bits of a symbol that a readout recovers."""
    classes, strength = targets[0].classes, float(fitted.strengths[place])
    calibrated_by, labels = targets[1].values[:, place], targets[2].values[:, place]
    most = readout.entropy(labels, classes)
    if np.isinf(strength):  # It guesses the frequencies: its loss is the entropy.
        return ReadoutScore(lag, 0.0, most, strength)
    calibrating, judging = slice(CALIBRATED), slice(JUDGED // classes)
    known = readout.known_bits(
        fitted.scores(choose[calibrating], place),
        calibrated_by[calibrating],
        fitted.scores(judge[judging], place),
        labels[judging],
    )
    return ReadoutScore(lag, known, most, strength)
