"""What a network makes of a few rows while it is trained, often enough to be watched.

The compiled program tells losses alone. So a window of the validation series goes through the NumPy
step, with the parameters as they stand, and is preceded by as many steps as it has for the state
that is carried into it. Nothing of the training is touched.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from lstmcli import architecture
from lstmcli.columns import Categorical
from lstmcli.core import forward
from lstmcli.data.layout import PADDING
from lstmcli.report.glimpses import Glimpse, Moment

if TYPE_CHECKING:
    from lstmcli.standing import Run

Arrays = dict[str, npt.NDArray[Any]]

ROWS = 5
"""As many as the article's figure has."""
MOST_STEPS = 100
"""Of a window that are shown: more than fit beside a curve."""
EVERY = 0.25
"""Seconds from one glimpse to the next, at least."""
PATIENCE = 200
"""Times the seconds of a glimpse until the next: they take at most half a hundredth of a run."""
STAYS = 5.0
"""Seconds until the next window is shown: long enough to see marks vanish from one."""


class Watch:
    """Looks at a run's first replica.

    Args:
        run: the run.
        every: seconds from one glimpse to the next, at least.
    """

    def __init__(self, run: Run, every: float = EVERY) -> None:
        self._windows = (run.source.validation() or run.source.training(0))[0]
        base = self._windows.series.base
        self._base = None if base is None else self._windows.laid(base)[:ROWS]
        self._schema = run.source.schema
        self._signature = run.program.signature
        self._seed = run.config.run.seed
        features, outputs = self._signature.features, self._signature.outputs
        self._names = [*architecture.shapes(run.config.model, features, outputs)]
        self._every = every
        self._cost: float | None = None
        self._warm = False
        self._next = self._begun = time.monotonic()

    @property
    def due(self) -> bool:
        """Whether it is time to look again."""
        return time.monotonic() >= self._next

    def look(self, tensors: Mapping[str, Any], moment: Moment) -> Glimpse:
        """What the network makes of a window.

        Args:
            tensors: all that training changes, as it stands: `[R, …]`.
            moment: when that is.
        """
        begun = time.monotonic()
        arrays = {name: np.asarray(tensors[name]) for name in self._names}
        network = forward.network(arrays, 0, self._signature)
        found = self._of(network, self._at(begun), moment)
        self._wait(time.monotonic(), begun)
        return found

    def _wait(self, now: float, begun: float) -> None:
        """Until the next; the first is many times slower than others, and tells nothing of them."""
        if self._warm:
            self._cost = min(self._cost or math.inf, now - begun)
        self._warm = True
        self._next = now + max(self._every, PATIENCE * (self._cost or 0.0))

    def _at(self, now: float) -> int:
        """The window whose turn it is; the first has nothing before it, and comes last."""
        moved = int((now - self._begun) / STAYS) + 1
        return moved % len(self._windows)

    def _of(self, network: forward.Network, window: int, moment: Moment) -> Glimpse:
        """What a network makes of a window."""
        before = min(window, 1)
        taken = self._windows.take(window - before, 1 + before)
        series = {name: _steps(array) for name, array in taken.items()}
        series["there"] = self._there(window - before, 1 + before)
        every = len(series["targets"])
        shown = min(every // (1 + before), MOST_STEPS)
        series = {name: array[-2 * shown :] for name, array in series.items()}
        outputs = _forward(network, series)[-shown:]
        last = {name: array[-shown:] for name, array in series.items()}
        end = (window + 1) * self._windows.cut.bptt
        if self._base is not None:
            base = np.moveaxis(self._base[:, end - shown : end], 0, 1)
            outputs, last["targets"] = outputs + base, last["targets"] + base
        return self._glimpse(last, outputs, end - shown + 1, moment)

    def _there(self, begin: int, count: int) -> npt.NDArray[np.bool_]:
        """Which steps of some windows are there: `[steps, rows]`."""
        return np.not_equal(self._windows.cut.places(begin, begin + count)[:ROWS], PADDING).T

    def _glimpse(
        self, series: Arrays, outputs: npt.NDArray[Any], step: int, moment: Moment
    ) -> Glimpse:
        """From arrays `[steps, rows, …]`."""
        schema, targets = self._schema, series["targets"]
        classes = isinstance(schema.target, Categorical)
        predicted = outputs.argmax(-1) if classes else outputs[..., 0]
        scored = series.get("scored", np.ones(targets.shape[:2], np.bool_))
        if not classes:
            scored = scored & np.isfinite(targets[..., 0])
        name, column = (
            ("numbers", schema.numbers) if schema.numbers else ("symbols", schema.symbols)
        )
        return Glimpse(
            schema,
            self._seed,
            moment,
            step,
            column[0],
            series[name][..., 0].T,
            (targets if classes else targets[..., 0]).T,
            predicted.T,
            scored.T,
            series["there"].T,
        )


def _steps(windows: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """`[windows, bptt, rows, …]` -> `[steps, rows, …]`, of the first rows."""
    return windows.reshape(-1, *windows.shape[2:])[:, :ROWS]


def _forward(network: forward.Network, series: Arrays) -> npt.NDArray[Any]:
    """The head's outputs at each step, from a state of zeros: `[steps, rows, C]`."""
    steps, rows = series["targets"].shape[:2]
    symbols = series.get("symbols", np.empty((steps, rows, 0), np.uint8))
    numbers = series.get("numbers", [None] * steps)
    starts = series.get("starts")
    state = forward.zero_state(network, rows)
    outputs = []
    for step in range(steps):
        if starts is not None and starts[step].any():
            state = np.where(starts[step][:, None], np.zeros_like(state), state)
        output, state = forward.step(network, state, symbols[step], numbers[step])
        outputs.append(output)
    return np.stack(outputs)
