"""A trained model for other programs: Keras, TensorFlow, ONNX, PyTorch."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from lstmcli import model_spec
from lstmcli.data.schema import Schema
from lstmcli.inference import exported_files
from lstmcli.inference.export_description import describe
from lstmcli.inference.predict import choose_seeds, seed_note
from lstmcli.training import load
from lstmcli.training.checkpoint import Checkpoint
from lstmcli.training.load import AnyPath
from lstmcli.utils.errors import LstmcliError, UsageError, install
from lstmcli.utils.files import write_atomically

if TYPE_CHECKING:
    from lstmcli.core.keras_model import Columns

ENDINGS = {".keras": "keras", ".onnx": "onnx", ".safetensors": "safetensors"}
SAVED_MODEL = "saved_model"
FORMATS = (*ENDINGS.values(), SAVED_MODEL)

Tensors = Mapping[str, npt.NDArray[Any]]


@dataclass(frozen=True)
class Exported:
    """A model that was written.

    Attributes:
        path: the file or the directory.
        format: `keras`, `onnx`, `safetensors` or `saved_model`.
        checkpoint: where it comes from.
        seed: of the exported model.
        description: the JSON that it contains: `inputs` and `outputs`, each a list of tensors with
            `name`, `shape`, `columns` and `about`; `schema` and others.
        notes: remarks on the model, in words.
    """

    path: Path
    format: str
    checkpoint: Path
    seed: int
    description: dict[str, Any]
    notes: list[str]


def export(
    checkpoint: AnyPath,
    out: AnyPath,
    *,
    format: str | None = None,
    seed: int | None = None,
    stateful: bool = False,
    overwrite: bool = False,
) -> Exported:
    """Writes a trained model for another framework, completely or not at all.

    Args:
        checkpoint: a checkpoint file, or the directory of a run or of a sweep.
        out: the file (`.keras`, `.onnx`, `.safetensors`) or the directory (SavedModel).
        format: one of FORMATS; by default by the file's ending, without one a SavedModel.
        seed: of the model; by default the one with the lowest validation loss.
        stateful: whether a Keras model keeps its state from call to call, for one row.
        overwrite: whether an existing exported model may be replaced.

    Raises:
        UsageError: the file cannot be written, or the format does not support this model.
        FileError: there is no checkpoint, or it is damaged.
    """
    out = Path(out)
    format = _format_of(out, format)
    if stateful and format != "keras":
        raise UsageError(f"`--stateful` {_STATEFUL[format]}", "leave `--stateful` out")
    exported_files.check_free(out, format == SAVED_MODEL, overwrite)
    path, model = load.read_own_checkpoint(Path(checkpoint))
    replica, notes = _chosen(model, seed)
    if trial := load.best_trial(Path(checkpoint)):
        notes.insert(0, trial.note)
    names = model_spec.parameters(model.tensors)
    tensors = {name: model.tensors[name][replica] for name in names}
    _check_possible(model.schema, format, stateful)
    last = _last_values(model)
    description = describe(model, replica, format, last)
    _write(out, format, stateful, tensors, model, description)
    return Exported(out, format, path, model.seeds[replica], description, notes)


_STATEFUL = {
    "onnx": "is for Keras only: tf2onnx cannot convert an LSTM layer that is given a state",
    "safetensors": "is for Keras only: this file holds tensors, and PyTorch returns the state",
    SAVED_MODEL: "has no effect: a SavedModel takes and returns the state",
}


def _format_of(out: Path, asked: str | None) -> str:
    by_ending = ENDINGS.get(out.suffix.lower())
    if asked is None:
        if by_ending is None and out.suffix:
            raise UsageError(
                f"expected a file that ends in {', '.join(ENDINGS)}, or the name of a directory "
                f"for a SavedModel, got `{out.name}`",
                f"or choose one with `--format`: {', '.join(FORMATS)}",
            )
        return by_ending or SAVED_MODEL
    if asked not in FORMATS:
        raise UsageError(f"`--format` must be one of {', '.join(FORMATS)}, got {asked!r}")
    if by_ending not in (None, asked) or (asked == "keras" and by_ending is None):
        raise UsageError(
            f"`--format {asked}` contradicts the name `{out.name}`",
            "Keras reads no file whose name does not end in `.keras`"
            if asked == "keras"
            else "leave `--format` out, or give another name",
        )
    return asked


def _chosen(model: Checkpoint, seed: int | None) -> tuple[int, list[str]]:
    """The replica to export, and a note if it was chosen among several."""
    [own] = choose_seeds(model, seed, ensemble=False)
    several = seed is None and len(model.seeds) > 1
    return model.seeds.index(own), [seed_note(model)] if several else []


def _check_possible(schema: Schema, format: str, stateful: bool) -> None:
    """Refuses a model that the format does not support.

    Raises:
        UsageError: the model predicts a residual, which needs the inputs of many earlier steps.
    """
    lags = 0 if schema.autoregression is None else len(schema.autoregression.weights)
    if stateful and lags > 1:
        raise UsageError(
            f"this model predicts the residual of a linear autoregression on {lags} steps' inputs, "
            "which no layer of Keras keeps from call to call",
            "a SavedModel takes and returns them beside the state: give the name of a directory",
        )
    if format == "onnx" and lags:
        raise UsageError(
            "this model predicts the residual of a linear autoregression in double precision, for "
            "which ONNX Runtime has no convolution",
            "`.keras`, a SavedModel (the name of a directory) and `.safetensors` support it",
        )


def _write(
    out: Path,
    format: str,
    stateful: bool,
    tensors: Tensors,
    model: Checkpoint,
    description: dict[str, Any],
) -> None:
    if format == "safetensors":
        exported_files.write_tensors(out, _named_by_pytorch(tensors), description)
        return
    from lstmcli.core import keras_model

    form = {"keras": "stateful" if stateful else "model", "onnx": "onnx"}.get(format, "signature")
    built = keras_model.build(_columns(model, format), tensors, form)
    if format == "keras":
        exported_files.write_keras(out, keras_model.as_keras_file(built), description)
    elif format == "onnx":
        metadata = {exported_files.MARK: json.dumps(description)}
        try:
            content = keras_model.as_onnx(built, metadata)
        except ImportError as error:
            raise LstmcliError(
                f"`.onnx` is written by tf2onnx, which cannot be imported: {error}",
                install("onnx"),
            ) from error
        write_atomically(out, content)
    else:
        exported_files.write_directory(
            out, lambda folder: keras_model.write_saved_model(built, folder), description
        )


def _named_by_pytorch(tensors: Tensors) -> dict[str, npt.NDArray[Any]]:
    """The tensors as a module of `torch.nn.LSTM` and `torch.nn.Linear` calls and lays them out.

    PyTorch's gates are in Keras's order, i, f, g, o, and its matrices are transposed. It has two
    biases, which it adds: the second one is zero here.
    """
    found = {"linear.weight": tensors["dense.kernel"].T, "linear.bias": tensors["dense.bias"]}
    for layer in range(sum(name.endswith(".recurrent_kernel") for name in tensors)):
        bias = tensors[f"lstm.{layer}.bias"]
        found |= {
            f"lstm.weight_ih_l{layer}": tensors[f"lstm.{layer}.kernel"].T,
            f"lstm.weight_hh_l{layer}": tensors[f"lstm.{layer}.recurrent_kernel"].T,
            f"lstm.bias_ih_l{layer}": bias,
            f"lstm.bias_hh_l{layer}": np.zeros_like(bias),
        }
    return found


def _columns(model: Checkpoint, format: str) -> Columns:
    """A model's scales and vocabularies; ONNX has no vocabularies and takes words as numbers."""
    from lstmcli.core.keras_model import Columns, Lags

    schema, linear = model.schema, model.schema.autoregression
    targets = schema.numeric_targets
    return Columns(
        np.array([column.mean for column in schema.numbers]),
        np.array([column.scale for column in schema.numbers]),
        [
            column.size if column.values is None or format == "onnx" else column.values
            for column in schema.symbols
        ],
        not targets,
        np.array([column.mean for column in targets]),
        np.array([column.scale for column in targets]),
        _last_values(model),
        None if linear is None else Lags(linear.weights, linear.intercept, linear.symbols),
    )


def _last_values(model: Checkpoint) -> tuple[int, ...] | None:
    """The numeric input that is each target's last value; empty if that is an input of its own.

    Returns:
        `None` where the model needs no last value.
    """
    schema = model.schema
    if schema.predicts == "level":
        return None
    places = {column.name: place for place, column in enumerate(schema.numbers)}
    filled = model.config.data.missing != "zero"  # Else an empty cell is the mean as an input.
    if filled and all(column.name in places for column in schema.numeric_targets):
        return tuple(places[column.name] for column in schema.numeric_targets)
    return ()
