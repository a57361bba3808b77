"""Loads exported models with their own runtimes, in a process without lstmcli.

`python tests/support/reload_exports.py FOLDER` runs each `FOLDER/*.json`: the model that it names
is given the arrays of an `.npz`, and what it gives is written into another one.
"""

import json
import os
import sys
from pathlib import Path

import numpy as np

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"


def keras(path, given):
    import tensorflow as tf

    return tf.keras.models.load_model(path)(alone(given)).numpy()


def keras_stateful(path, given):
    """Of a single row, in two calls."""
    import tensorflow as tf

    model, found = tf.keras.models.load_model(path), []
    for part in halves(given):
        found.append(model(alone(part)).numpy())
    return np.concatenate(found, 1)


def saved_model(path, given):
    """In two calls, between which the state is handed on."""
    import tensorflow as tf

    call, found = tf.saved_model.load(path).signatures["serving_default"], []
    carried = {}
    for name, spec in call.structured_input_signature[1].items():
        if name not in given:
            rows = [
                len(next(iter(given.values()))) if size is None else size for size in spec.shape
            ]
            carried[name] = tf.fill(rows, tf.cast(0 if name == "state" else np.nan, spec.dtype))
    for part in halves(given):
        result = call(**{name: tf.constant(array) for name, array in part.items()}, **carried)
        carried = {name: result.pop(name) for name in carried}
        [output] = result.values()
        found.append(output.numpy())
    return np.concatenate(found, 1)


def onnx(path, given):
    import onnxruntime

    [found] = onnxruntime.InferenceSession(path).run(None, given)
    return found


def pytorch(path, given):
    """By the loader of `docs/howto/export.md`."""
    import torch

    known = {}
    exec(Path("loader.py").read_text(), known)
    model, found, state = known["Model"](path), [], None
    for part in halves(given):
        with torch.no_grad():
            outputs, state = model(torch.from_numpy(part["features"]), state)
        found.append(outputs.numpy())
    return np.concatenate(found, 1)


def alone(given):
    """Inputs as a Keras model takes them: of several a dictionary."""
    return given if len(given) > 1 else next(iter(given.values()))


def halves(given):
    middle = next(iter(given.values())).shape[1] // 2
    for steps in (slice(0, middle), slice(middle, None)):
        yield {name: array[:, steps] for name, array in given.items()}


def main(folder):
    os.chdir(folder)
    for order in sorted(Path().glob("*.json")):
        asked = json.loads(order.read_text())
        with np.load(asked["given"]) as file:
            given = dict(file)
        np.save(order.with_suffix(".npy"), globals()[asked["loader"]](asked["model"], given))
    assert "lstmcli" not in sys.modules


if __name__ == "__main__":
    main(sys.argv[1])
