"""The weights of a `.keras` file, read as data without Keras, so that no code in it runs.

Such a file is a ZIP archive of `config.json`, which lists the layers and their inputs, and of
`model.weights.h5`. There each layer is stored under its class name in snake case, with a number
appended from the second layer of that class on (`keras/src/saving/saving_lib.py`).
"""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from lstmcli.data.schema import Schema
from lstmcli.utils import memory
from lstmcli.utils.errors import FileError, plural

ENDING = ".keras"
CONFIG, WEIGHTS = "config.json", "model.weights.h5"
DESCRIPTION = "lstmcli_export.json"
"""The description in a model that `lstmcli export` wrote."""
LINEAR = "autoregression"
"""A layer of such a model that a new run fits itself."""
BEFORE = {
    *("InputLayer", "Masking", "Normalization", "Rescaling", "CategoryEncoding", "StringLookup"),
    *("IntegerLookup", "Concatenate", "GetItem", "Repeat", "Add", "Identity"),
}
BETWEEN = {
    *("Dropout", "SpatialDropout1D", "GaussianDropout", "GaussianNoise", "GetItem", "Identity"),
}
BEHIND = {"Softmax", "Activation", "Rescaling", "Add", "Identity"}
"""Layers without weights that may occur before, among and after the LSTM and dense layers."""
CELL: dict[str, tuple[Any, ...]] = {
    "activation": ("tanh",),
    "recurrent_activation": ("sigmoid",),
    "use_bias": (True,),
    "go_backwards": (False,),
}
HEAD: dict[str, tuple[Any, ...]] = {"activation": ("linear", "softmax"), "use_bias": (True,)}
"""The accepted configurations of LSTM layers and of the dense layer."""
EXPECTED = (
    "use a stack of LSTM layers of the same size, with `tanh`, `sigmoid` and biases, and one dense "
    "layer on top, linear or softmax"
)

Tensors = dict[str, npt.NDArray[np.float32]]


@dataclass(frozen=True)
class KerasWeights:
    """The weights of stacked LSTM layers with a dense head.

    Attributes:
        layers: the number of LSTM layers.
        state_size: units of each layer.
        head: the activation of the dense layer: `linear` or `softmax`.
        schema: the columns of a model that lstmcli wrote; otherwise `None`.
        tensors: as in a checkpoint of one model, `[1, …]`.
        names: the layer name of each tensor in the file.
    """

    layers: int
    state_size: int
    head: str
    schema: Schema | None
    tensors: Tensors
    names: dict[str, str]


@dataclass(frozen=True)
class _Layer:
    name: str
    kind: str
    config: dict[str, Any]
    group: str
    inbound: tuple[str, ...]
    uses: int

    @property
    def learned(self) -> bool:
        """Whether the layer is an LSTM or a dense layer."""
        return self.kind in ("LSTM", "Dense")


def read(path: Path) -> KerasWeights:
    """Reads a file.

    Raises:
        FileError: the file is missing or damaged, or a layer does not fit; the message names it.
    """
    if not path.is_file():
        raise FileError(f"there is no Keras model `{path}`", "check the name and the directory")
    try:
        memory.check_file(path, path.stat().st_size)
        with zipfile.ZipFile(path) as archive:
            model = json.loads(_content(archive, path, CONFIG))
            own = DESCRIPTION in archive.namelist()
            about = json.loads(_content(archive, path, DESCRIPTION)) if own else None
            weights = _content(archive, path, WEIGHTS)
        schema = None if about is None else Schema.from_dict(about["schema"])
        stack = _stack(path, model, own)
        return _weights(path, stack, weights, schema)
    except FileError:
        raise
    except Exception as error:  # A hostile file can make its decoders raise anything.
        raise FileError(
            f"`{path}` is not a model that Keras 3 has saved or is damaged: {error}",
            'in Keras `model.save("model.keras")` writes one',
        ) from error


def _content(archive: zipfile.ZipFile, path: Path, name: str) -> bytes:
    memory.check_file(path, archive.getinfo(name).file_size)
    return archive.read(name)


def _stack(path: Path, model: dict[str, Any], own: bool) -> list[_Layer]:
    """The LSTM layers and the dense layer, starting at the input.

    Raises:
        FileError: it is another kind of model.
    """
    if (kind := model["class_name"]) not in ("Functional", "Sequential"):
        raise FileError(
            f"`{path}` holds a model of the class {kind!s:.50}, expected a functional or a "
            "sequential one",
            "build it of `keras.Sequential` or of `keras.Model(inputs, outputs)`",
        )
    layers = {layer.name: layer for layer in _layers(model["config"])}
    for layer in layers.values():
        known = layer.learned or layer.kind in BEFORE | BETWEEN | BEHIND
        if not known and not (own and layer.name == LINEAR):
            raise _unfit(path, layer, f"is of the class {layer.kind}")
        if layer.uses > 1:
            raise _unfit(path, layer, "is used more than once")
    if kind == "Functional":
        ends = [*_named(model["config"]["output_layers"])]
        chain = _chain(layers, ends[0]) if len(ends) == 1 else []
    else:
        chain = [*layers.values()]
    for layer in layers.values():
        if layer.learned and (layer not in chain or len(layer.inbound) > 1):
            raise _unfit(path, layer, "does not lie on one way from the input to one output")
    _check_order(path, chain)
    return [layer for layer in chain if layer.learned]


def _layers(config: dict[str, Any]) -> Iterator[_Layer]:
    """All layers, each with its weights' group and its input layers."""
    counts: dict[str, int] = {}
    for layer in config["layers"]:
        kind, own, group = layer["class_name"], layer["config"], layer["class_name"].lower()
        if not str(layer.get("module")).startswith("keras"):  # A custom class.
            kind = str(layer.get("registered_name") or f"{layer.get('module')}.{kind}")
        if kind == "TimeDistributed" and own["layer"]["class_name"] == "Dense":
            kind, group = "Dense", "time_distributed"
        number = counts[group] = counts.get(group, -1) + 1
        name = str(layer.get("name") or own["name"])
        if group == "time_distributed":
            own = own["layer"]["config"]
        group = f"{group}_{number}" if number else group
        nodes = layer.get("inbound_nodes", [])
        yield _Layer(name, str(kind), own, group, tuple(_tensors(nodes)), len(nodes))


def _tensors(value: Any) -> Iterator[str]:
    """The names of the layers whose outputs occur in a layer's inputs, in order."""
    if isinstance(value, dict):
        if value.get("class_name") == "__keras_tensor__":
            yield value["config"]["keras_history"][0]
            return
        value = [*value.values()]
    if isinstance(value, list):
        for each in value:
            yield from _tensors(each)


def _named(value: Any) -> Iterator[str]:
    """The names of a model's output layers."""
    if isinstance(value, dict):
        value = [*value.values()]
    if value and isinstance(value[0], str):
        yield value[0]
        return
    for each in value:
        yield from _named(each)


def _chain(layers: dict[str, _Layer], end: str) -> list[_Layer]:
    """The layers from an input to an output, following the first input of each."""
    found = [layers[end]]
    while found[-1].inbound and len(found) <= len(layers):
        found.append(layers[found[-1].inbound[0]])
    return found[::-1]


def _check_order(path: Path, chain: Sequence[_Layer]) -> None:
    """Checks for LSTM layers of one size, then a dense layer, and no others with weights.

    Raises:
        FileError: the layers differ.
    """
    learned = [layer for layer in chain if layer.learned]
    if len(learned) < 2:
        raise FileError(
            f"the model in `{path}` does not fit: it has {len(learned)} "
            f"{plural(len(learned), 'layer')} with weights, expected at least two",
            EXPECTED,
        )
    *lstm, head = learned
    for layer in lstm:
        _check_lstm(path, layer, lstm[0])
    if head.kind != "Dense":
        raise _unfit(path, head, "is the last one with weights")
    _check_values(path, head, HEAD)
    first, last = chain.index(lstm[0]), chain.index(head)
    for layer in chain[first:last]:
        if layer.kind not in BETWEEN and not layer.learned:
            raise _unfit(path, layer, f"is of the class {layer.kind}, among the others")
    for layer in chain[last + 1 :]:
        if layer.kind == "Activation":
            _check_values(path, layer, {"activation": HEAD["activation"]})


def _check_lstm(path: Path, layer: _Layer, first: _Layer) -> None:
    if layer.kind != "LSTM":
        raise _unfit(path, layer, f"is of the class {layer.kind}, and not the last one")
    _check_values(path, layer, CELL)
    own, others = layer.config["units"], first.config["units"]
    if own != others:
        raise _unfit(path, layer, f"has {own} units, and `{first.name}` has {others}")


def _check_values(path: Path, layer: _Layer, wanted: dict[str, tuple[Any, ...]]) -> None:
    for name, values in wanted.items():
        if (found := layer.config.get(name)) not in values:
            raise _unfit(path, layer, f"has `{name}={found!r:.50}`")


def _unfit(path: Path, layer: _Layer, what: str) -> FileError:
    message = f"the model in `{path}` does not fit: its layer `{layer.name}` {what}"
    return FileError(message, EXPECTED)


def _weights(
    path: Path, stack: list[_Layer], content: bytes, schema: Schema | None
) -> KerasWeights:
    import h5py

    *lstm, head = stack
    tensors: Tensors = {}
    names: dict[str, str] = {}
    with h5py.File(io.BytesIO(content), "r") as file:
        for number, layer in enumerate(lstm):
            parts = ("kernel", "recurrent_kernel", "bias")
            for place, part in enumerate(parts):
                tensors[f"lstm.{number}.{part}"] = _array(file, f"{layer.group}/cell", place)
                names[f"lstm.{number}.{part}"] = layer.name
        inner = "/layer" if head.group.startswith("time_distributed") else ""
        for place, part in enumerate(("kernel", "bias")):
            tensors[f"dense.{part}"] = _array(file, f"{head.group}{inner}", place)
            names[f"dense.{part}"] = head.name
    for name, tensor in tensors.items():
        if not np.isfinite(tensor).all():
            raise FileError(
                f"the weights of the layer `{names[name]}` in `{path}` are not finite",
                "name another model",
            )
    size = int(lstm[0].config["units"])
    return KerasWeights(len(lstm), size, str(head.config["activation"]), schema, tensors, names)


def _array(file: Any, group: str, place: int) -> npt.NDArray[np.float32]:
    """A variable of a layer, with a replica axis."""
    return np.asarray(file[f"layers/{group}/vars/{place}"], np.float32)[np.newaxis]
