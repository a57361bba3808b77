"""The description of an exported model's inputs and outputs, as JSON in its file."""

from __future__ import annotations

from typing import Any

import lstmcli
from lstmcli.data.schema import Categorical, Schema
from lstmcli.training.checkpoint import Checkpoint

Tensor = dict[str, Any]


def describe(
    model: Checkpoint, replica: int, format: str, last: tuple[int, ...] | None
) -> dict[str, Any]:
    """The description that an exported model contains.

    Args:
        model: the checkpoint that it comes from.
        replica: which of its models.
        format: one of `export.FORMATS`.
        last: which numeric inputs stand for the last values of the targets; empty where these are
            an input of their own, `None` where they are not needed.
    """
    schema, own = model.schema, model.config.model
    inputs = _features(model) if format == "safetensors" else _inputs(schema, format)
    if last == () or (format == "safetensors" and last is not None):
        inputs.append(_last_values(schema))
    if format == "saved_model":
        inputs += _carried(model)
    return {
        "format": 1,
        "lstmcli": lstmcli.__version__,
        "seed": model.seeds[replica],
        "layers": own.layers,
        "state_size": own.state_size,
        "features": model.metadata["features"],
        "predicts": schema.predicts,
        "inputs": inputs,
        "outputs": [_output(schema, format, last)],
        "schema": schema.to_dict(),
    }


def _tensor(name: str, shape: list[Any], columns: list[str], about: str) -> Tensor:
    return {"name": name, "shape": shape, "columns": columns, "about": about}


def _steps(last: int) -> list[Any]:
    return ["batch", "steps", last]


def _inputs(schema: Schema, format: str) -> list[Tensor]:
    """The inputs of a model that knows its columns' scales and words."""
    found = []
    if numbers := [column.name for column in schema.numbers]:
        found.append(_tensor("numbers", _steps(len(numbers)), numbers, "in their own units"))
    if symbols := [column.name for column in schema.symbols]:
        about = "as words"
        if schema.symbols[0].values is None:
            about = "as numbers from 0; the number of values stands for an unknown one"
        elif format == "onnx":
            about = (
                "as places among the `values` in `schema`, from 0; the number of values stands for "
                "an unknown one"
            )
        found.append(_tensor("symbols", _steps(len(symbols)), symbols, about))
    return found


def _features(model: Checkpoint) -> list[Tensor]:
    """The input of bare tensors."""
    schema = model.schema
    names = [column.name for column in schema.numbers]
    names += [column.name for column in schema.symbols]
    about = (
        "side by side: each number as (number - mean) / scale, then each word one-hot, by the "
        "`values` in `schema`; all zeros for an unknown one"
    )
    return [_tensor("features", _steps(model.metadata["features"]), names, about)]


def _last_values(schema: Schema) -> Tensor:
    columns = _targets(schema)
    about = "the last known value of the target, in its own units"
    return _tensor("last_values", _steps(len(columns)), columns, about)


def _carried(model: Checkpoint) -> list[Tensor]:
    """What a SavedModel takes and returns beside its inputs and outputs."""
    own, linear = model.config.model, model.schema.autoregression
    shape = [own.layers, 2, "batch", own.state_size]
    found = [_tensor("state", shape, [], "of each layer c, then h; zeros at the beginning")]
    if linear is not None and len(linear.weights) > 1:
        lags, inputs, _ = linear.weights.shape
        about = "the previous inputs, standardised; NaN at the beginning"
        found.append(_tensor("past", ["batch", lags - 1, inputs], [], about))
    return found


def _output(schema: Schema, format: str, last: tuple[int, ...] | None) -> Tensor:
    bare = format == "safetensors"
    if isinstance(schema.target, Categorical):
        labels = [schema.target.label(number) for number in range(schema.target.size)]
        name, about = ("logits", "") if bare else ("probabilities", f"of `{schema.target.name}`")
        return _tensor(name, _steps(len(labels)), labels, about)
    columns = _targets(schema)
    on_top = "its mean" if last is None else "its last value"
    if bare:
        linear = " and of the linear autoregression in `schema`" if schema.autoregression else ""
        about = f"this{linear}, times the target's scale, plus {on_top}, is the prediction"
        return _tensor("outputs", _steps(len(columns)), columns, about)
    about = "in its own units"
    if last is not None:
        where = "`numbers`" if last else "`last_values`"
        about += f", on top of the last value in {where}"
    return _tensor("predictions", _steps(len(columns)), columns, about)


def _targets(schema: Schema) -> list[str]:
    """The numbers that are predicted, each with how far ahead it is."""
    return [
        column.name if column.lead is None else f"{column.name}, {column.lead} ahead"
        for column in schema.numeric_targets
    ]
