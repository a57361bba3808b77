"""The programs of one configuration: training, evaluation and prediction.

What is compiled is a chunk of windows (`whole.py`), or the gradient of half a window (`halves.py`);
`chunks.py` decides how far a call goes, and makes the calls.

`tensors` is everything that training changes, by its name in a checkpoint: the parameters `[R, …]`,
`state` `[R, L, 2, B, S]`, and `optimizer.<slot>.<parameter>`. A schedule with `side_by_side` takes
all replicas at once; any other is compiled for one, and replicas go through it by themselves.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np

from lstmcli import architecture, memory
from lstmcli.architecture import Signature
from lstmcli.config import Config
from lstmcli.core import environment, parameters
from lstmcli.core.backend import tf
from lstmcli.core.batch import Array, Arrays, Batch, Measures, joined, means
from lstmcli.core.chunks import Calls, Tensors
from lstmcli.core.device import threads
from lstmcli.core.halves import Halves
from lstmcli.core.step import Constants, Step
from lstmcli.core.whole import Whole
from lstmcli.core.window import dropout_bits
from lstmcli.streams import Stream, generator

KEPT = 8
"""How many configurations' programs a process keeps: trials of a sweep that differ in their data or
seeds alone are compiled once."""

READOUTS = 1 << 22
"""Numbers that a call of `predict` gives back at most, if one window has fewer: room for them is
made anew in each call, however few windows it goes through."""


class Program:
    """The compiled programs of one configuration.

    Args:
        config: all settings.
        signature: what the data has.
        device: as `device.resolve` gives it.

    Raises:
        LstmcliError: the process has compiled so many that it has no room for another.
    """

    def __init__(self, config: Config, signature: Signature, device: str) -> None:
        memory.check_programs()
        self.config = config
        self.signature = signature
        self.device = device
        features, outputs = signature.features, signature.outputs
        self.schedule = environment.schedule(config, features)
        two_threads = device.startswith("cpu") and threads() > 1
        halved = two_threads and environment.halves(config, features)
        self.programs = programs_for(Constants.of(config, signature), device if halved else None)
        step = self.programs.step
        self._names = step.names
        self._slots = step.optimizer.slots
        # Where the state is reset or units are dropped, the order of the wavefront's sums was seen
        # to depend on the number of replicas: there, too, it takes one after the other.
        plain = not signature.starts and config.training.dropout is None
        side_by_side = step.schedule.side_by_side and plain
        together = _together(config.run.replicas, device) if side_by_side else 1
        parameter_count = architecture.count(config.model, features, outputs)
        seconds = parameters.window_seconds(
            _with_replicas(config, together), features, parameter_count
        )
        self._calls = Calls(together, seconds, device)
        numbers = config.training.steps * config.training.rows * outputs * together
        self._windows_read_out = max(1, READOUTS // numbers)

    @property
    def compiled(self) -> bool:
        """Whether the training program is ready: its first call takes seconds to compile it."""
        return self._calls.made("train")

    def start(self, weights: parameters.Arrays) -> parameters.Arrays:
        """Everything that training changes, as it is before the first window."""
        replicas = len(weights["dense.bias"])
        rows = self.config.training.rows
        tensors = dict(weights)
        tensors["state"] = parameters.zero_state(self.config.model, replicas, rows)
        for slot, value in self._slots.items():
            for name in self._names:
                tensors[f"optimizer.{slot}.{name}"] = np.full_like(weights[name], value)
        return tensors

    def train(
        self, tensors: parameters.Arrays, batch: Batch, step: int, first: int = 0
    ) -> Iterator[tuple[Tensors, Measures]]:
        """Trains on a batch's windows from `first` on, and yields after each chunk.

        Args:
            tensors: as `start` gives them, or a checkpoint.
            batch: an epoch's windows.
            step: updates made before.
            first: the window to begin with.
        """
        epoch = (step - first) // len(batch)
        decayed = self.config.training.learning_rate_decay is not None
        rate = tf.constant(self.config.training.rate(epoch)) if decayed else None

        def chunk(now: Tensors, parts: Arrays, count: int, begin: int) -> tuple:
            return self.programs.train(now, parts, count, step - first + begin, rate)

        extra = self._dropout(epoch) if self.config.training.dropout else None
        for trained, found, scored in self._calls.over(
            "train", chunk, tensors, batch, first, extra
        ):
            yield trained, means(found, scored)

    def _dropout(self, epoch: int) -> Callable[[int, int, slice], Arrays]:
        """What draws an epoch's dropout: of windows from one on, for some replicas."""
        model, training = self.config.model, self.config.training
        shape = (training.steps, model.layers, training.rows, model.state_size)

        def draw(begin: int, length: int, group: slice) -> Arrays:
            seeds = self.config.run.seeds[group]
            rngs = [generator(seed, Stream.DROPOUT, epoch) for seed in seeds]
            return {"dropout": dropout_bits(rngs, shape, begin, length)}

        return draw

    def evaluate(self, tensors: parameters.Arrays, batch: Batch) -> Measures:
        """Loss and metric over a batch, from a state of zeros; changes nothing."""

        def chunk(now: Tensors, parts: Arrays, count: int, begin: int) -> tuple:
            return self.programs.evaluate(now, self._needed(parts), count)

        chunks = self._calls.over("evaluate", chunk, self._rested(tensors), batch)
        return joined([means(found, scored) for _, found, scored in chunks])

    def predict(self, tensors: parameters.Arrays, batch: Batch) -> Iterator[Array]:
        """What the head reads out, from a state of zeros: yields `[windows, T, B, C, R]`.

        For the softmax, log-probabilities; for the linear head, the predicted numbers.
        """

        def chunk(now: Tensors, parts: Arrays, count: int, begin: int) -> tuple:
            return self.programs.predict(now, self._needed(parts), count)

        rested, most = self._rested(tensors), self._windows_read_out
        for _, (scored,), _ in self._calls.over("predict", chunk, rested, batch, most=most):
            yield scored

    def _needed(self, parts: Arrays) -> Arrays:
        """Parts without a warm-up's marks, where training has no such thing.

        A pass forward measures every step; which of them count, the measures are told afterwards.
        """
        if self.signature.scored:
            return parts
        return {name: part for name, part in parts.items() if name != "scored"}

    def _rested(self, tensors: parameters.Arrays) -> parameters.Arrays:
        """The parameters with a state of zeros."""
        rested = {name: tensors[name] for name in self._names}
        replicas, rows = len(rested["dense.bias"]), self.config.training.rows
        return rested | {"state": parameters.zero_state(self.config.model, replicas, rows)}


@functools.lru_cache(maxsize=KEPT)
def programs_for(constants: Constants, halved_on: str | None) -> Whole | Halves:
    """The compiled programs for some constants, in halves where a device is named for them."""
    step = Step(constants)
    return Whole(step) if halved_on is None else Halves(step, halved_on)


def _together(replicas: int, device: str) -> int:
    """How many replicas a call takes that may lie side by side.

    The compiler's vectors fit 4 and 8 of them. Of 12 models of the article at once each took three
    times as long as one of 8, and of 3 longer than alone.
    """
    if not device.startswith("cpu"):
        return replicas
    if replicas <= 2:
        return 1
    return 4 if replicas <= 4 else 8


def _with_replicas(config: Config, replicas: int) -> Config:
    return replace(config, run=replace(config.run, replicas=replicas))
