"""The initial weights of a run: drawn at random, or taken from a checkpoint with its columns."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from lstmcli import model_spec
from lstmcli.config import SIZE, Config
from lstmcli.core import initialization
from lstmcli.data import datasets
from lstmcli.data.datasets import Source
from lstmcli.data.schema import Categorical, Schema
from lstmcli.model_spec import ModelSpec
from lstmcli.training import keras_weights, load
from lstmcli.training.resume_state import ResumeState
from lstmcli.utils import rng
from lstmcli.utils.errors import FileError, UsageError, listed, plural, shell_quote


@dataclass(frozen=True)
class InitialModel:
    """The model that a run starts from.

    Attributes:
        path: its file.
        size: its layers and state size, by name.
        schema: its columns; `None` for a Keras model that lstmcli did not write.
        tensors: its parameters, `[R, …]`.
        layers: for a Keras model, the layer name of each tensor; otherwise empty.
        head: for a Keras model, the activation of its dense layer.
    """

    path: Path
    size: dict[str, int]
    schema: Schema | None
    tensors: initialization.Arrays
    layers: dict[str, str]
    head: str | None = None

    @property
    def predicts(self) -> str:
        """What the model predicts of a number: its `level`, `change` or `residual`."""
        return self.schema.predicts if self.schema else "level"


def read(path: Path) -> InitialModel:
    """Reads a checkpoint, or a `.keras` file with stacked LSTM layers and a dense head.

    Raises:
        FileError: the file is missing, damaged, or holds another kind of model.
    """
    if path.suffix.lower() == keras_weights.ENDING:
        found = keras_weights.read(path)
        size = {"layers": found.layers, "state_size": found.state_size}
        return InitialModel(path, size, found.schema, found.tensors, found.names, found.head)
    file, checkpoint = load.read_own_checkpoint(path)
    size = {name: getattr(checkpoint.config.model, name) for name in SIZE}
    return InitialModel(file, size, checkpoint.schema, checkpoint.tensors, {})


def open_source(config: Config, kept: ResumeState | None = None) -> Source:
    """Opens the data of a run; a text is read with the vocabulary of the initial model.

    The run also takes the model's size, unless the settings give one.

    Args:
        config: all settings.
        kept: the state of a run to resume, which has its own vocabulary.

    Raises:
        FileError: the dataset or the checkpoint cannot be used, or the model lacks characters.
        UsageError: a setting has no effect.
    """
    config = sized(config)
    if kept and kept.checkpoint:
        return datasets.open_source(config, kept.checkpoint.schema)
    opened = datasets.open_source(config)
    if config.training.init_from is None:
        return opened
    if opened.schema.kind != "text":
        if config.training.extend_vocabulary:
            raise UsageError(
                "`--extend-vocabulary` has no effect: it applies to texts",
                "leave `--extend-vocabulary` out",
            )
        return opened
    begin = read(Path(config.training.init_from))
    known = begin.schema
    if known is None or known.kind != "text" or known == opened.schema:
        return opened
    return datasets.open_source(config, _extended(begin.path, known, opened))


def _extended(path: Path, known: Schema, opened: Source) -> Schema:
    """The columns of a text model, extended by the new characters of a text.

    Raises:
        FileError: the model lacks characters and the settings do not allow adding them.
    """
    column, own = known.symbols[0], opened.schema.symbols[0]
    new = tuple(each for each in own.values or () if each not in (column.values or ()))
    if not new:
        return known
    if not opened.config.training.extend_vocabulary:
        raise FileError(
            f"the model `{path}` does not know {len(new):,} of the characters of "
            f"`{opened.config.data.data}`: {listed([*map(repr, new)])}",
            "`--extend-vocabulary` adds them, with new random weights, and keeps the rest",
        )
    wider = Categorical(column.name, column.size + len(new), (*(column.values or ()), *new))
    return replace(known, symbols=(wider,), target=wider)


def sized(config: Config) -> Config:
    """The settings of a run that starts from a checkpoint, with its size unless one is given.

    Raises:
        FileError: the checkpoint is missing or damaged.
    """
    model, init_from = config.model, config.training.init_from
    ahead = config.data.horizon and config.data.predict is None
    if init_from is None or not (ahead or None in (model.layers, model.state_size)):
        return config
    begin = read(Path(init_from))
    found: dict[str, Any] = dict(begin.size)
    if ahead:
        found["predict"] = begin.predicts
    return config.resolved(found)


def weights(
    config: Config, spec: ModelSpec, schema: Schema, begin: InitialModel | None = None
) -> initialization.Arrays:
    """The parameters `[R, …]` before the first window.

    With `init_from` they come from the checkpoint: each replica takes the model at its own
    position, or all replicas take the only one. A new model that predicts a change or a residual
    starts with a dense kernel of zero, so its first prediction is the last value or the
    autoregression's.

    Args:
        config: all settings.
        spec: what the program is compiled for.
        schema: the columns.
        begin: the model of `init_from`, if already read.

    Raises:
        FileError: the checkpoint is missing or damaged, or its model does not fit.
    """
    features, outputs = spec.features, spec.outputs
    if config.training.init_from is None:
        drawn = _drawn(config, spec)
        if schema.predicts != "level":
            drawn["dense.kernel"][:] = 0
        return drawn
    begin = begin or read(Path(config.training.init_from))
    _check_fits(begin, config, spec, schema)
    extends = begin.schema is not None and _extends(schema, begin.schema)
    if begin.schema is not None and extends:
        before = begin.schema.spec(scored=False, starts=False)
        features, outputs = before.features, before.outputs
    found = _drawn(config, spec) if extends else {}
    replicas = config.run.replicas
    for name, shape in model_spec.shapes(config.model, features, outputs).items():
        there = begin.tensors[name].shape if name in begin.tensors else None
        if there not in ((1, *shape), (replicas, *shape)):
            raise _other_shape(begin, name, there, shape, replicas)
        if extends:  # New characters come last: their rows and columns stay as drawn.
            found[name][:, *map(slice, shape)] = begin.tensors[name]
        else:
            found[name] = np.array(np.broadcast_to(begin.tensors[name], (replicas, *shape)))
    return found


def _check_fits(begin: InitialModel, config: Config, spec: ModelSpec, schema: Schema) -> None:
    """Checks that the columns, the number of layers and the head of a model fit the run.

    Raises:
        FileError: they do not.
    """
    path, layers = begin.path, begin.size["layers"]
    if begin.schema is not None and not _extends(schema, begin.schema):
        _check_same_columns(path, begin.schema, schema)
    if layers != config.model.layers:
        raise FileError(
            f"`{path}` is another model: it has {layers} {plural(layers, 'layer')}, expected "
            f"{config.model.layers}",
            f"pass `--layers {layers}`",
        )
    if begin.head == "softmax" and spec.head != "softmax":
        raise FileError(
            f"the model in `{path}` does not fit: its layer `{begin.layers['dense.kernel']}` gives "
            "probabilities, and numbers are to be predicted",
            "name a column of words as `--target`, or a model with a linear head",
        )


def _other_shape(
    begin: InitialModel,
    name: str,
    there: tuple[int, ...] | None,
    shape: tuple[int, ...],
    replicas: int,
) -> FileError:
    if begin.layers:
        part = name.rpartition(".")[2]
        return FileError(
            f"the model in `{begin.path}` does not fit: the {part} of its layer "
            f"`{begin.layers[name]}` is {_shape(there and there[1:])}, expected {list(shape)}",
            "its first layer's kernel has a row for each number and each word that is given, and "
            "its dense layer's a column for each class or number that is predicted",
        )
    return FileError(
        f"`{begin.path}` is another model: its `{name}` is {_shape(there)}, expected "
        f"{list(shape)} for each of {replicas} {plural(replicas, 'replica')}",
        f"`lstmcli inspect {shell_quote(begin.path)}` shows what it is",
    )


def _drawn(config: Config, spec: ModelSpec) -> initialization.Arrays:
    rngs = [rng.generator(seed, rng.Stream.WEIGHTS) for seed in config.run.seeds]
    return initialization.initialise(config.model, spec.features, spec.outputs, rngs)


def _extends(schema: Schema, known: Schema) -> bool:
    """Whether a vocabulary is the model's vocabulary with additions."""
    if not schema.kind == known.kind == "text":
        return False
    values, before = (each.symbols[0].values or () for each in (schema, known))
    return len(values) > len(before) and values[: len(before)] == before


def _check_same_columns(path: Path, known: Schema, schema: Schema) -> None:
    """Raises FileError for a model to which the same numbers mean something else."""
    for what, of in (("inputs are not those", _inputs), ("target is not that", _target)):
        if of(known) != of(schema):
            raise FileError(
                f"`{path}` was trained on other columns: its {what} of this data",
                f"`lstmcli inspect {shell_quote(path)}` shows its columns",
            )


def _inputs(schema: Schema) -> object:
    return [column.name for column in schema.numbers], schema.symbols


def _target(schema: Schema) -> object:
    target = schema.target
    if isinstance(target, Categorical):
        return target
    return [(column.name, column.lead) for column in target], schema.predicts


def _shape(found: tuple[int, ...] | None) -> str:
    return "not there" if found is None else str(list(found))
