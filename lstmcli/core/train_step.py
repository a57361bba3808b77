"""The training computation of a window: the schedule's input, the head's errors, and the update.

It serves both kinds of program in `programs.py`: one compiled loop over a chunk, and one window at
a time in parts of its rows. Everything here is traced, within compiled functions.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from lstmcli import model_spec
from lstmcli.config import Config, ModelConfig
from lstmcli.core import execution
from lstmcli.core.heads import HEADS, Errors
from lstmcli.core.inputs import Window, of_parts
from lstmcli.core.layered import Layered
from lstmcli.core.optimizers import OPTIMIZERS
from lstmcli.core.tensorflow import tf
from lstmcli.core.wavefront import Wavefront
from lstmcli.model_spec import ModelSpec

Tensors = dict[str, tf.Tensor]
Inputs = dict[str, tf.Tensor]

SCHEDULES: dict[str, type[Any]] = {"wavefront": Wavefront, "layered": Layered}


class Constants(NamedTuple):
    """What programs are compiled for, besides the shapes of their arguments.

    The learning rate is not included, so runs that differ only in it share a compiled program.
    """

    schedule: str
    model: ModelConfig
    spec: ModelSpec
    optimizer: str
    clip_norm: float | None
    dropout: float | None
    units_first: bool = False

    @classmethod
    def of(cls, config: Config, spec: ModelSpec, device: str) -> Constants:
        """The constants of a configuration on a device."""
        training = config.training
        plan = execution.plan(config, spec.features, device)
        return cls(
            plan.schedule, config.model, spec, training.optimizer, training.clip_norm or None,
            training.dropout, plan.units_first,
        )  # fmt: skip


class Step:
    """A configuration's schedule, head and optimizer.

    Args:
        constants: the compile-time constants.
    """

    def __init__(self, constants: Constants) -> None:
        model, spec = constants.model, constants.spec
        features, outputs = spec.features, spec.outputs
        self.constants = constants
        self.spec = spec
        layout = {"units_first": True} if constants.units_first else {}
        shape = model.layers, model.state_size, features
        self.schedule = SCHEDULES[constants.schedule](*shape, **layout)
        self.optimizer = OPTIMIZERS[constants.optimizer]
        self.head = HEADS[spec.head]
        self.names = tuple(model_spec.shapes(model, features, outputs))

    def window(self, parts: Inputs) -> Window:
        """The schedule's input for a window, from its parts `[T, B, …, R]`."""
        given = {name: part for name, part in parts.items() if name != "targets"}
        return of_parts(given, self.spec, self.constants.dropout)

    def errors(self, outputs: tf.Tensor, parts: Inputs) -> Errors:
        """The head's errors for a window's outputs.

        Args:
            outputs: `[C, T, B, R]`.
            parts: the parts of one window.
        """
        errors = self.head.errors(outputs, tf.cast(parts["targets"], self.head.targets))
        if not self.spec.scored:
            steps, rows = errors.loss.shape[:2]
            return errors._replace(labels=float(steps * rows))
        scored = tf.cast(parts["scored"], tf.float32)
        counted = scored if errors.known is None else scored * errors.known
        count = tf.reduce_sum(counted, [0, 1])  # Whole numbers: exact in any order.
        if errors.known is not None:
            count /= self.spec.outputs
        return errors._replace(gradient=errors.gradient * scored, labels=count)

    @property
    def least(self) -> float:
        """The smallest number of scored steps above 0: a single number of a step counts in part."""
        return 1.0 / self.spec.outputs if self.head.counts_each else 1.0

    def pack_slots(self, tensors: Tensors) -> list[list[tf.Tensor]]:
        """Each of the optimizer's slots, in the schedule's layout of the weights, flat."""
        return [flat(self._pack_slot(tensors, slot)) for slot in self.optimizer.slots]

    def _pack_slot(self, tensors: Tensors, slot: str) -> Any:
        named = {name: tensors[f"optimizer.{slot}.{name}"] for name in self.names}
        return self.schedule.pack(named, self.optimizer.slots[slot])

    def unpack(self, weights: list, slots: list, like: Any) -> Tensors:
        """Flat weights and slots, converted to tensors by their names in a checkpoint."""
        result = self.schedule.unpack(shaped(weights, like))
        for slot, packed in zip(self.optimizer.slots, slots, strict=True):
            for name, tensor in self.schedule.unpack(shaped(packed, like)).items():
                result[f"optimizer.{slot}.{name}"] = tensor
        return result

    def update(
        self,
        weights: list,
        gradient: Any,
        slots: list,
        norm: tf.Tensor,
        step: tf.Tensor,
        rate: tf.Tensor,
    ) -> tuple[list, list]:
        """The weights and slots after an update, all flat.

        Args:
            weights: the flat weights.
            gradient: as returned by the schedule.
            slots: for each slot, a list of flat tensors.
            norm: the norm of the gradient, `[R]`.
            step: number of updates, including this one.
            rate: the learning rate, a scalar.
        """
        if limit := self.constants.clip_norm:
            factor = limit / tf.maximum(norm, limit)  # [R]
            gradient = self.schedule.scale(gradient, factor)
        count = tf.cast(step, tf.float32)
        updated = [
            self.optimizer.update(weight, slope, tuple(slot), rate, count)
            for weight, slope, *slot in zip(weights, flat(gradient), *slots, strict=True)
        ]
        columns = zip(*(slot for _, slot in updated), strict=True)
        return [weight for weight, _ in updated], [list(column) for column in columns]


def flat(weights: Any) -> list[tf.Tensor]:
    """Weights as long vectors: the compiler vectorises an update as a loop over a single axis."""
    return [tf.reshape(part, [-1]) for part in tf.nest.flatten(weights)]


def shaped(vectors: list[tf.Tensor], like: Any) -> Any:
    """The inverse of `flat`."""
    shapes = (part.shape for part in tf.nest.flatten(like))
    return tf.nest.pack_sequence_as(like, list(map(tf.reshape, vectors, shapes)))
