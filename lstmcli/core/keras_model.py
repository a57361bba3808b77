"""A trained network as a functional Keras model, including the preprocessing of its columns."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from lstmcli.core.tensorflow import tf

os.environ["KERAS_BACKEND"] = "tensorflow"  # Keras reads it once, when it is first used.
keras = tf.keras

Floats = npt.NDArray[np.float64]
NAME, LINEAR = "lstmcli", "autoregression"
OPSET = 17
"""ONNX opset, which runtimes since 2022 support."""


@dataclass(frozen=True)
class Lags:
    """A linear autoregression on the last steps' inputs, which is added to the network's output.

    Attributes:
        weights: `[lags, inputs, D]`; lag 0, the current step, comes first.
        intercept: `[D]`.
        symbols: whether one-hot categorical inputs follow the numeric ones.
    """

    weights: Floats
    intercept: Floats
    symbols: bool


@dataclass(frozen=True)
class Columns:
    """A model's inputs and outputs, in the units and words of their columns.

    Attributes:
        means, scales: of the numeric inputs, `[N]`.
        vocabularies: of each categorical input, its words, or the number of its integer codes.
        classes: whether the output is class probabilities.
        target_means, target_scales: of predicted numbers, `[D]`.
        last: for changes and residuals, which are added to the last value: the numeric input that
            holds it, for each target; empty if it is a separate input; `None` for levels.
        lags: for residuals, the autoregression that is added too.
    """

    means: Floats
    scales: Floats
    vocabularies: Sequence[tuple[str, ...] | int]
    classes: bool
    target_means: Floats
    target_scales: Floats
    last: tuple[int, ...] | None = None
    lags: Lags | None = None


def build(columns: Columns, tensors: Mapping[str, npt.NDArray[Any]], form: str) -> Any:
    """Builds the model, with its weights.

    The inputs are those that the model has of `numbers` `[B, T, N]`, `symbols` `[B, T, M]` and
    `last_values` `[B, T, D]`. The output is `probabilities` `[B, T, C]` or `predictions`
    `[B, T, D]`. Standardisation and its inverse are in double precision.

    Args:
        columns: the inputs and outputs.
        tensors: the parameters, as in a checkpoint, without the replica axis.
        form: `model`; `stateful`, for a single row, with a state that is kept between calls;
            `onnx`; or `signature`, with the state as a further input and output: `state`
            `[L, 2, B, S]`, 0 = c, 1 = h, and with lags `past` `[B, lags - 1, inputs]`, where NaN
            marks steps before the beginning. Its output is a dictionary.
    """
    return _Builder(columns, tensors, form).model()


class _Builder:
    """A model that is being built: its inputs, and its state after a call."""

    def __init__(
        self, columns: Columns, tensors: Mapping[str, npt.NDArray[Any]], form: str
    ) -> None:
        self._columns, self._tensors, self._form = columns, tensors, form
        self._size, self._outputs = tensors["dense.kernel"].shape
        self._layers = sum(name.endswith(".recurrent_kernel") for name in tensors)
        self._inputs: dict[str, Any] = {}
        self._after: dict[str, Any] = {}

    def model(self) -> Any:
        columns = self._columns
        numbers, encoded = self._numbers(), self._symbols()
        top = self._stack(_joined([*numbers, *encoded], "float32"))
        if columns.classes:
            dense = keras.layers.Dense(self._outputs, activation="softmax", name="probabilities")
            found = dense(top)
        else:
            found = keras.layers.Dense(self._outputs, name="dense")(top)
            if columns.lags is not None:
                parts = [*numbers, *(encoded if columns.lags.symbols else [])]
                found = _added(found, self._linear(columns.lags, _joined(parts, "float64")))
            in_units = self._on_top_of_last(self._in_units(found))
            found = keras.layers.Identity(dtype="float64", name="predictions")(in_units)
        name = "probabilities" if columns.classes else "predictions"
        given = self._inputs if len(self._inputs) > 1 else next(iter(self._inputs.values()))
        gives = {name: found, **self._after} if self._form == "signature" else found
        model = keras.Model(given, gives, name=NAME)
        self._set_weights(model)
        return model

    def _input(self, name: str, last: int, kind: str) -> Any:
        rows = 1 if self._form == "stateful" else None
        self._inputs[name] = keras.Input((None, last), rows, dtype=kind, name=name)
        return self._inputs[name]

    def _numbers(self) -> list[Any]:
        """The numeric inputs as the network sees them, if there are any."""
        means, scales = self._columns.means, self._columns.scales
        if not len(means):
            return []
        numbers = self._input("numbers", len(means), "float64")
        if not (means.any() or (scales != 1).any()):
            return [numbers]
        if self._form == "onnx":  # Normalization's mean would not be a constant of the graph.
            return [_rescaled(numbers, 1 / scales, -means / scales)]
        normalised = keras.layers.Normalization(
            mean=means.tolist(), variance=np.square(scales).tolist(), dtype="float64"
        )
        return [normalised(numbers)]

    def _symbols(self) -> list[Any]:
        """Each categorical input, one-hot."""
        vocabularies = self._columns.vocabularies
        if not vocabularies:
            return []
        kind = "int64" if isinstance(vocabularies[0], int) else "string"
        symbols = self._input("symbols", len(vocabularies), kind)
        return [
            _one_hot(symbols[..., place : place + 1], vocabulary)
            for place, vocabulary in enumerate(vocabularies)
        ]

    def _stack(self, x: Any) -> Any:
        """The LSTM layers: the top one's output, `[B, T, S]`."""
        state, after = None, []
        if self._form == "signature":
            shape = (self._layers, 2, None, self._size)
            state = keras.Input(batch_shape=shape, dtype="float32", name="state")
            self._inputs["state"] = state
        for layer in range(self._layers):
            lstm = keras.layers.LSTM(
                self._size,
                return_sequences=True,
                return_state=state is not None,
                stateful=self._form == "stateful",
                dtype="float32",
                name=f"lstm_{layer}",
            )
            if state is None:
                x = lstm(x)
            else:
                x, h, c = lstm(x, initial_state=[state[layer, 1], state[layer, 0]])
                after.append(keras.ops.stack([c, h]))
        if state is not None:
            self._after["state"] = keras.ops.stack(after)
        return x

    def _linear(self, lags: Lags, features: Any) -> Any:
        """The autoregression, as a convolution along time: `[B, T, D]`.

        Before the beginning, a sequence is padded with its first step.
        """
        before = len(lags.weights) - 1
        if before:
            first = features[:, :1]
            past = keras.ops.repeat(first, before, axis=1)
            if self._form == "signature":
                given = keras.Input((before, features.shape[-1]), dtype="float64", name="past")
                self._inputs["past"] = given
                past = keras.ops.where(keras.ops.isnan(given), first, given)
            features = keras.layers.Concatenate(axis=1, dtype="float64")([past, features])
            if self._form == "signature":
                self._after["past"] = features[:, -before:]
        outputs = lags.weights.shape[-1]
        return keras.layers.Conv1D(outputs, before + 1, dtype="float64", name=LINEAR)(features)

    def _in_units(self, found: Any) -> Any:
        """Numbers in the target's units; changes and residuals have a scale but no offset."""
        scales, means = self._columns.target_scales, self._columns.target_means
        offsets = means if self._columns.last is None else np.zeros_like(means)
        if not (offsets.any() or (scales != 1).any()):
            return found
        return _rescaled(found, scales, offsets)

    def _on_top_of_last(self, found: Any) -> Any:
        """Numbers with the last values added, if they are changes or residuals."""
        if self._columns.last is None:
            return found
        if not self._columns.last:
            return _added(found, self._input("last_values", self._outputs, "float64"))
        numbers = self._inputs["numbers"]
        last = [numbers[..., place : place + 1] for place in self._columns.last]
        return _added(found, _joined(last, "float64"))

    def _set_weights(self, model: Any) -> None:
        for layer in range(self._layers):
            parts = ("kernel", "recurrent_kernel", "bias")
            own = [self._tensors[f"lstm.{layer}.{part}"] for part in parts]
            model.get_layer(f"lstm_{layer}").set_weights(own)
        head = model.get_layer("probabilities" if self._columns.classes else "dense")
        head.set_weights([self._tensors["dense.kernel"], self._tensors["dense.bias"]])
        if (lags := self._columns.lags) is not None:
            model.get_layer(LINEAR).set_weights([lags.weights[::-1], lags.intercept])


def _one_hot(symbol: Any, vocabulary: tuple[str, ...] | int) -> Any:
    """A symbol `[B, T, 1]` one-hot, `[B, T, V]`; all zeros if it is unknown."""
    if isinstance(vocabulary, int):
        encode = keras.layers.CategoryEncoding(vocabulary + 1, output_mode="one_hot")
        return encode(symbol)[..., :vocabulary]
    unknown = "[UNK]"
    while unknown in vocabulary:
        unknown = f"[{unknown}]"
    number = keras.layers.StringLookup(vocabulary=[*vocabulary], oov_token=unknown)(symbol)
    encode = keras.layers.CategoryEncoding(len(vocabulary) + 1, output_mode="one_hot")
    return encode(number)[..., 1:]


def _joined(parts: Sequence[Any], kind: str) -> Any:
    """Features, concatenated."""
    return parts[0] if len(parts) == 1 else keras.layers.Concatenate(dtype=kind)(parts)


def _added(one: Any, other: Any) -> Any:
    return keras.layers.Add(dtype="float64")([one, other])


def _rescaled(numbers: Any, scales: Floats, offsets: Floats) -> Any:
    return keras.layers.Rescaling(scales.tolist(), offsets.tolist(), dtype="float64")(numbers)


def as_keras_file(model: Any) -> bytes:
    """A model as the bytes of a `.keras` file."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.keras"
        model.save(path)
        return path.read_bytes()


def write_saved_model(model: Any, folder: Path) -> None:
    """Writes a SavedModel; its signature `serving_default` has named inputs and outputs."""
    archive = keras.export.ExportArchive()
    archive.track(model)
    archive.add_endpoint("serve", model.__call__, input_signature=[_specs(model)])
    archive.write_out(str(folder), verbose=False)


def as_onnx(model: Any, metadata: Mapping[str, str]) -> bytes:
    """A model as the bytes of an `.onnx` file, converted by tf2onnx.

    Args:
        model: of form `onnx`, with integer categorical inputs; tf2onnx 1.17 cannot convert layers
            with an initial state.
        metadata: stored in the file.

    Raises:
        ImportError: tf2onnx is not installed.
    """
    import onnx
    import tf2onnx

    specs, [output] = _specs(model), model.output_names

    def give(*given: Any) -> dict[str, Any]:
        inputs = dict(zip(specs, given, strict=True))
        return {output: model(inputs if len(inputs) > 1 else given[0])}

    converted, _ = tf2onnx.convert.from_function(
        tf.function(give), input_signature=[*specs.values()], opset=OPSET
    )
    onnx.helper.set_model_props(converted, dict(metadata))
    return bytes(converted.SerializeToString())


def _specs(model: Any) -> dict[str, Any]:
    """The inputs of a model, by name."""
    return {each.name: tf.TensorSpec(each.shape, each.dtype, each.name) for each in model.inputs}
