"""What each layer is for: the loss without its carried state, or without one of its units.

Variants of a network run side by side, as further rows: N variants of B rows each. Shapes are
written with R networks, L layers, S units, T steps.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, NotRequired, TypedDict

import numpy as np
import numpy.typing as npt

from lstmcli import model_spec
from lstmcli.core import numpy_lstm
from lstmcli.core.numpy_lstm import AblationMask, NumpyInputs
from lstmcli.probes import readout
from lstmcli.probes.networks import TRAINED, Input, ProbeData, TracedRun, inputs_of, one_thread
from lstmcli.probes.readout import ReadoutSplit, Targets

if TYPE_CHECKING:
    import pandas as pd

Floats = npt.NDArray[np.float64]

EVERY_STEP, WINDOW_STARTS, UNIT = "carried, every step", "carried, window starts", "unit"
"""What is zeroed: a layer's c and h from the previous step, or one unit's c and h at all steps."""
SIDE_BY_SIDE = 2**20
"""The most pre-activations of all variants of all networks at a step."""
PRODUCTS = 2.5e11
"""The most multiplications for the ablation of units, for each network."""
FEWEST_STEPS = 1_000
"""With fewer steps than this, units are not ablated one by one."""


class Variant(NamedTuple):
    """A network without something: a layer's carried state, or one of its units."""

    layer: int
    unit: int | None = None


class AblationRow(TypedDict):
    """The loss of a network without a part of it.

    Attributes:
        seed: the network's seed.
        layer: the layer, from 1 on.
        zeroed: what was left out: `carried, every step` (what the layer carries from each step to
            the next), `carried, window starts` (the same where a window begins) or `unit`.
        unit: the unit that was left out, from 1 on; empty for the others.
        loss: the loss without it.
        added: how much that is above the loss of the whole network on the same steps.
        steps: how many steps these are of.
        input: of a unit, the input that its h is most closely related to.
        lag: of a unit, how many steps ago that input was.
        r_squared: of a unit, the share of that input's variance that its h explains linearly.
    """

    seed: int
    layer: int
    zeroed: str
    unit: int | None
    loss: float
    added: float
    steps: int
    input: NotRequired[str | None]
    lag: NotRequired[int | None]
    r_squared: NotRequired[float]


def ablation(subject: ProbeData, lags: int) -> pd.DataFrame:
    """The loss without each layer's carried state and without each unit, and each unit's lag.

    Args:
        subject: the networks and the series that they read.
        lags: the longest lag at which a unit is compared with the input.

    Returns:
        The columns of AblationRow, a row for each seed and what was left out.
    """
    import pandas as pd

    model = subject.model.config.model
    layers = [Variant(layer) for layer in range(model.layers)]
    units = [Variant(layer, unit) for layer, _ in layers for unit in range(model.state_size)]
    rows: list[dict[str, Any]] = []
    for zeroed, variants, every in (
        (EVERY_STEP, layers, 1),
        (WINDOW_STARTS, layers, subject.bptt),
        (UNIT, units, 1),
    ):
        length = steps_for(subject, len(variants)) if zeroed == UNIT else None
        if length != 0:
            rows += _without(subject, variants, zeroed, every, length)
    table = pd.DataFrame(rows)
    if (table.zeroed == UNIT).any():
        table = table.merge(unit_lags(subject, lags), "left", ["seed", "layer", "unit"])
    return table.astype({"unit": "Int64"}).sort_values("seed", kind="stable", ignore_index=True)


def steps_for(subject: ProbeData, variants: int) -> int:
    """Steps of each row on which so many variants can be run in a reasonable time; 0 for none."""
    spec, model = subject.spec, subject.model.config.model
    parameters = model_spec.count(model, spec.features, spec.outputs)
    steps, rows = subject.arrays[0]["targets"].shape[:2]
    affordable = int(PRODUCTS / (variants * parameters))
    if affordable < min(FEWEST_STEPS, steps * rows):
        return 0
    read_before = int(_scored(subject, [0]).any((1, 2)).argmax())  # A recording's, not scored.
    return int(max(1, min(steps, read_before + affordable // rows)))


def _without(
    subject: ProbeData, variants: Sequence[Variant], zeroed: str, every: int, length: int | None
) -> Iterator[dict[str, Any]]:
    """A row for each seed and variant."""
    model, rows = subject.model.config.model, subject.arrays[0]["targets"].shape[1]
    each = rows * 4 * model.state_size  # of one variant of one network
    together = max(1, SIDE_BY_SIDE // each - 1)
    for begin in range(0, len(variants), together):
        group = variants[begin : begin + together]
        networks = max(1, SIDE_BY_SIDE // (each * (1 + len(group))))
        for first in range(0, len(subject.windows), networks):
            replicas = list(range(len(subject.windows)))[first : first + networks]
            losses, steps = losses_of(subject, replicas, group, every, length)
            for replica, (intact, *others) in zip(replicas, losses.tolist(), strict=True):
                for variant, loss in zip(group, others, strict=True):
                    yield {
                        "seed": subject.model.seeds[replica],
                        "layer": variant.layer + 1,
                        "zeroed": zeroed,
                        "unit": None if variant.unit is None else variant.unit + 1,
                        "loss": loss,
                        "added": loss - intact,
                        "steps": steps,
                    }


def losses_of(
    subject: ProbeData,
    replicas: Sequence[int],
    variants: Sequence[Variant],
    every: int = 1,
    length: int | None = None,
) -> tuple[Floats, int]:
    """The mean loss of some networks, intact and without something.

    Args:
        subject: the networks and what they read.
        replicas: which.
        variants: what is zeroed.
        every: at which steps a layer's carried state is: those divisible by this.
        length: steps of each row that are looked at; `None` for all.

    Returns:
        `[R, 1 + N]`, the intact network first, and how many steps a network was given.
    """
    count = 1 + len(variants)
    given = _repeated(subject.given(replicas).cut(slice(length)), count)
    targets = np.stack([subject.arrays[each]["targets"][:length] for each in replicas], 1)
    scored = _scored(subject, replicas)[:length]  # [T, R, B]
    model, rows = subject.model.config.model, targets.shape[2]
    stack = numpy_lstm.side_by_side(subject.networks(TRAINED, replicas))
    shape = model.layers, 2, len(replicas), count * rows, model.state_size
    state = np.zeros(shape, np.float32)
    zeroing = zeroing_of(variants, every, model.layers, model.state_size, rows)
    sums, done, target = np.zeros((len(replicas), count)), 0, subject.model.schema.target_kind
    with one_thread():
        for states in numpy_lstm.unroll(stack, state, given, zeroing):
            part = slice(done, done + len(states))
            outputs = numpy_lstm.readout(stack, states[:, -1, 1])
            outputs = outputs.reshape(len(states), len(replicas), count, rows, -1)
            found = target.losses(outputs, targets[part, :, None])
            sums += (found * scored[part, :, None]).sum((0, 3), dtype=np.float64)
            done += len(states)
    return sums / scored.sum((0, 2))[:, None], int(scored.shape[0] * rows)


def _scored(subject: ProbeData, replicas: Sequence[int]) -> npt.NDArray[np.bool_]:
    """Which steps count: `[T, R, B]`."""
    there = ~subject.padding.transpose(0, 2, 1)[:, list(replicas)]
    scored = [subject.arrays[each].get("scored", np.True_) for each in replicas]
    return np.stack([there[:, i] & each for i, each in enumerate(scored)], 1)


def zeroing_of(
    variants: Sequence[Variant], every: int, layers: int, size: int, rows: int
) -> AblationMask:
    """Arrays that zero what each variant is without, behind the rows of the intact network."""
    carried = np.ones((layers, 1 + len(variants), rows, 1), np.float32)
    units = np.ones((layers, 1 + len(variants), rows, size), np.float32)
    for place, (layer, unit) in enumerate(variants, 1):
        if unit is None:
            carried[layer, place] = 0
        else:
            units[layer, place, :, unit] = 0
    return AblationMask(carried.reshape(layers, -1, 1), every, units.reshape(layers, -1, size))


def _repeated(given: NumpyInputs, count: int) -> NumpyInputs:
    """The same rows so many times: `[T, R, N B, …]`."""
    times = 1, 1, count, 1
    carried = None if given.carried is None else np.tile(given.carried, times)
    return NumpyInputs(np.tile(given.numbers, times), np.tile(given.symbols, times), carried)


def unit_lags(subject: ProbeData, lags: int) -> pd.DataFrame:
    """The input and the lag that each unit's h explains best, by itself.

    Returns:
        `seed,layer,unit,input,lag,r_squared`, numbers from 1 on.
    """
    import pandas as pd

    inputs, rows = inputs_of(subject), []
    for run in subject.runs([TRAINED]):
        places = subject.judged(run.replica)
        for layer in range(run.states.shape[1]):
            found = {
                each.name: explained(run, layer, each, places, lags) for each in inputs
            }  # [S, K]
            for unit in range(run.states.shape[-1]):
                name = max(found, key=lambda name: found[name][unit].max())
                lag = int(found[name][unit].argmax())
                rows.append(
                    {
                        "seed": subject.model.seeds[run.replica],
                        "layer": layer + 1,
                        "unit": unit + 1,
                        "input": name,
                        "lag": lag,
                        "r_squared": float(found[name][unit, lag]),
                    }
                )
    return pd.DataFrame(rows)


def explained(run: TracedRun, layer: int, each: Input, places: ReadoutSplit, lags: int) -> Floats:
    """The share of an input's variance that each unit's h explains linearly, by lag: `[S, K]`.

    Of a symbol, the variance of its one-hot form. With one regressor and thousands of steps this is
    a squared correlation, which needs no steps held out.
    """
    flat = run.states[:, layer, 1].reshape(-1, run.states.shape[-1])
    values = each.values[..., run.replica].reshape(-1)
    rows, found = run.states.shape[3], []
    for block in places.blocks(lags):
        at = np.concatenate(block.parts)
        if not len(at):
            found.append(np.zeros((flat.shape[-1], len(block.lags))))
            continue
        [states] = readout.standardised(flat[at].astype(np.float64))
        targets = Targets(values[at[:, None] - np.asarray(block.lags) * rows], each.classes)
        spread = targets.spread(targets.means)
        share = np.square(targets.cross(states)).sum(2)
        found.append(np.divide(share, spread, out=np.zeros_like(share), where=spread > 0))
    return np.concatenate(found, 1)
