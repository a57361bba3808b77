"""The weights that a run begins with: drawn, or those of a checkpoint."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from lstmcli import architecture, streams
from lstmcli.architecture import Signature
from lstmcli.columns import Categorical, Schema
from lstmcli.config import Config
from lstmcli.core import parameters
from lstmcli.errors import FileError, pasteable
from lstmcli.runs import owned


def weights(config: Config, signature: Signature, schema: Schema) -> parameters.Arrays:
    """The parameters `[R, …]` before the first window.

    With `init_from` they are those of the checkpoint: each replica takes the one of its own place,
    or all take the only one.

    Raises:
        FileError: the checkpoint is missing or damaged, or its model is another one.
    """
    features, outputs = signature.features, signature.outputs
    if config.training.init_from is None:
        rngs = [streams.generator(seed, streams.Stream.WEIGHTS) for seed in config.run.seeds]
        return parameters.initialise(config.model, features, outputs, rngs)
    path, checkpoint = owned.read(Path(config.training.init_from))
    replicas = config.run.replicas
    _check_same_columns(path, checkpoint.schema, schema)
    tensors, found = checkpoint.tensors, {}
    layers = checkpoint.config.model.layers
    if layers != config.model.layers:
        raise FileError(
            f"`{path}` is another model: it has {layers} layers, expected {config.model.layers}",
            f"pass `--layers {layers}`",
        )
    for name, shape in architecture.shapes(config.model, features, outputs).items():
        there = tensors[name].shape if name in tensors else None
        if there not in ((1, *shape), (replicas, *shape)):
            raise FileError(
                f"`{path}` is another model: its `{name}` is {_shape(there)}, expected "
                f"{list(shape)} for each of {replicas} replica(s)",
                f"`lstmcli inspect {pasteable(path)}` shows what it is",
            )
        found[name] = np.array(np.broadcast_to(tensors[name], (replicas, *shape)))
    return found


def _check_same_columns(path: Path, known: Schema, schema: Schema) -> None:
    """Refuses a model for which the same numbers mean something else."""
    for what, of in (("inputs", _inputs), ("target", _target)):
        if of(known) != of(schema):
            raise FileError(
                f"`{path}` was trained on other columns: its {what} are not those of this data",
                f"`lstmcli inspect {pasteable(path)}` shows its columns",
            )


def _inputs(schema: Schema) -> object:
    return [column.name for column in schema.numbers], schema.symbols


def _target(schema: Schema) -> object:
    target = schema.target
    return target if isinstance(target, Categorical) else [column.name for column in target]


def _shape(found: tuple[int, ...] | None) -> str:
    return "not there" if found is None else str(list(found))
