"""A run begins with any Keras model of stacked LSTM layers, and says which layer does not fit."""

import json
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

import reference
import untrained
from lstmcli import api
from lstmcli.config import Config
from lstmcli.core.tensorflow import tf
from lstmcli.training import initial_weights
from lstmcli.training.checkpoint import read
from lstmcli.utils.errors import FileError

keras = tf.keras
layers = keras.layers


def lstm(units=4, **settings):
    return layers.LSTM(units, **{"return_sequences": True, **settings})


def dense(outputs=3, activation="softmax", **settings):
    return layers.Dense(outputs, activation=activation, **settings)


def sequential(*stack, features=2):
    return keras.Sequential([keras.Input((None, features)), *stack])


def functional():
    """Among layers without weights, in an order that is not that of their names."""
    given = keras.Input((None, 2), name="given")
    x = layers.Rescaling(1.0)(given)
    x = layers.Dropout(0.3)(lstm(name="zebra")(x))
    x = layers.SpatialDropout1D(0.1)(lstm(name="ant")(x))
    x = layers.Softmax()(dense(activation=None, name="head")(lstm(name="mouse")(x)))
    return keras.Model(given, x)


def many_to_one():
    return sequential(lstm(), lstm(return_sequences=False), dense())


MODELS = {
    "sequential": lambda: sequential(lstm(), lstm(), dense()),
    "functional": functional,
    "time-distributed": lambda: sequential(lstm(), layers.TimeDistributed(dense())),
    "many-to-one": many_to_one,
}


@pytest.fixture
def arrays():
    """A file of two inputs and three classes."""
    rng = np.random.default_rng(0)
    targets = np.arange(600) % 3
    np.savez("data.npz", numbers=rng.normal(size=(600, 2)), targets=targets)
    return {"data": "data.npz", "bptt": 10, "batch_size": 2}


def weights(settings, path="model.keras", **more):
    """The weights that a run begins with, and how many layers it has."""
    config = Config.build(**settings, init_from=path, **more)
    source = initial_weights.open_source(config)
    found = initial_weights.weights(source.config, source.spec, source.schema)
    return found, source.config.model


@pytest.mark.parametrize("kind", MODELS)
def test_a_run_begins_with_what_a_keras_model_gives(arrays, kind):
    model = MODELS[kind]()
    model.compile("adam", "mse")  # Its optimizer is saved too.
    for variable in model.weights:
        variable.assign(tf.random.stateless_normal(variable.shape, (1, len(variable.path))))
    model.save("model.keras")
    found, size = weights(arrays, replicas=2)
    assert size.state_size == 4
    rng = np.random.default_rng(1)
    given = rng.normal(size=(5, 7, 2)).astype(np.float32)
    expected = model(given).numpy()
    for replica in range(2):
        own = {name: tensor[replica] for name, tensor in found.items()}
        state = np.zeros((size.layers, 2, 5, 4), np.float32)
        logits, _ = reference.forward(own, state, given.swapaxes(0, 1), size.layers)
        probabilities = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
        shown = probabilities[-1] if kind == "many-to-one" else probabilities.swapaxes(0, 1)
        np.testing.assert_allclose(shown, expected, atol=1e-5)


@pytest.mark.slow
def test_the_command_trains_on_from_a_keras_model(run, arrays):
    sequential(lstm(), lstm(), dense()).save("model.keras")
    options = ["--data", "data.npz", "--optimizer", "sgd", "--learning-rate", "1e-30"]
    run("train", *options, "--epochs", 1, "--init-from", "model.keras", "--out", "out/run")
    trained = read(Path("out/run/checkpoints/last.safetensors"))
    assert trained.config.model.layers == 2
    found, _ = weights(arrays)
    for name, tensor in found.items():
        np.testing.assert_allclose(trained.tensors[name], tensor, atol=1e-25)
    assert 'init_from = "../../model.keras"' in Path("out/run/config.toml").read_text()


def test_a_model_that_lstmcli_exported_begins_as_its_checkpoint_does(tmp_path):
    rng = np.random.default_rng(2)
    values, words = rng.normal(size=600).cumsum(), rng.choice(["a", "b"], 600)
    lines = [f"{value},{word}" for value, word in zip(values, words, strict=True)]
    Path("table.csv").write_text("\n".join(["x,word", *lines]))
    settings = {"data": "table.csv", "target": "x", "horizon": 1, "bptt": 10, "batch_size": 2}
    config = Config.build(**settings, predict="residual", layers=2, state_size=3)
    untrained.make(tmp_path / "run", config)
    api.export("run", "model.keras")
    found, size = weights(settings)
    expected, _ = weights(settings, "run")
    assert (size.layers, size.state_size) == (2, 3)
    for name, tensor in expected.items():
        np.testing.assert_array_equal(found[name], tensor)
    assert initial_weights.sized(
        Config.build(**settings, init_from="model.keras")
    ).data.predict == ("residual")
    other = settings | {"target": "word", "horizon": None, "inputs": "x"}
    with pytest.raises(FileError, match="was trained on other columns"):
        weights(other)


def test_a_sweep_begins_with_a_keras_model():
    sequential(lstm(4), layers.Dense(2), features=1).save("model.keras")
    plan = api.plan_of({"init_from": "model.keras", "series_length": 1500})
    moved = Path("moved.keras")
    moved.write_bytes(Path("model.keras").read_bytes())
    assert api.plan_of({"init_from": moved, "series_length": 1500}).name == plan.name
    assert {setting.config.model.layers for setting in plan.settings} == {1}


# --- what does not fit


def parallel():
    given = keras.Input((None, 2))
    both = layers.Concatenate()([lstm(name="left")(given), lstm(name="right")(given)])
    return keras.Model(given, dense()(both))


def shared():
    given, layer = keras.Input((None, 4)), lstm(name="again")
    return keras.Model(given, dense()(layer(layer(given))))


def two_outputs():
    given = keras.Input((None, 2))
    x = lstm(name="below")(given)
    return keras.Model(given, [dense()(x), dense()(x)])


def with_a_state():
    given, c, h = keras.Input((None, 2)), keras.Input((4,)), keras.Input((4,))
    return keras.Model([given, c, h], dense()(lstm(name="told")(given, initial_state=[c, h])))


WRONG = {
    "gru": (lambda: sequential(layers.GRU(4, name="gate"), dense()), "`gate` is of the class GRU"),
    "bidirectional": (
        lambda: sequential(layers.Bidirectional(lstm(), name="both"), dense()),
        "`both` is of the class Bidirectional",
    ),
    "embedding": (
        lambda: keras.Sequential(
            [keras.Input((None,)), layers.Embedding(5, 2, name="words"), lstm(), dense()]
        ),
        "`words` is of the class Embedding",
    ),
    "nested": (
        lambda: keras.Sequential([sequential(lstm()), dense()]),
        "is of the class Sequential",
    ),
    "hidden dense": (
        lambda: sequential(lstm(), dense(5, "linear", name="hidden"), dense()),
        "`hidden` is of the class Dense, and not the last one",
    ),
    "no head": (lambda: sequential(lstm(), lstm(name="top")), "`top` is the last one with weights"),
    "no lstm": (lambda: sequential(dense()), "it has 1 layer with weights"),
    "units": (
        lambda: sequential(lstm(4, name="low"), lstm(6, name="top"), dense()),
        "`top` has 6 units, and `low` has 4",
    ),
    "activation": (
        lambda: sequential(lstm(activation="relu", name="sharp"), dense()),
        "`sharp` has `activation='relu'`",
    ),
    "no bias": (
        lambda: sequential(lstm(use_bias=False, name="bare"), dense()),
        "`bare` has `use_bias=False`",
    ),
    "backwards": (
        lambda: sequential(lstm(go_backwards=True, name="back"), dense()),
        "`back` has `go_backwards=True`",
    ),
    "sigmoid": (
        lambda: sequential(lstm(), dense(1, "sigmoid", name="yes")),
        "`yes` has `activation='sigmoid'`",
    ),
    "between": (
        lambda: sequential(lstm(), layers.Activation("relu", name="bent"), dense()),
        "`bent` is of the class Activation, among the others",
    ),
    "behind": (
        lambda: sequential(lstm(), dense(3, None), layers.Activation("relu", name="bent")),
        "`bent` has `activation='relu'`",
    ),
    "parallel": (parallel, "`(left|right)` does not lie on one way"),
    "shared": (shared, "`again` is used more than once"),
    "outputs": (two_outputs, "`below` does not lie on one way"),
    "state": (with_a_state, "`told` does not lie on one way"),
    "features": (
        lambda: sequential(lstm(name="low"), dense(), features=5),
        r"the kernel of its layer `low` is \[5, 16\], expected \[2, 16\]",
    ),
    "classes": (
        lambda: sequential(lstm(), dense(7, name="head")),
        r"the kernel of its layer `head` is \[4, 7\], expected \[4, 3\]",
    ),
}


@pytest.mark.parametrize("kind", WRONG)
def test_a_model_that_does_not_fit_is_refused_by_the_layers_name(arrays, kind):
    make, said = WRONG[kind]
    make().save("model.keras")
    with pytest.raises(FileError, match=f"`model.keras`.*{said}") as refused:
        weights(arrays)
    assert refused.value.hint


def test_a_softmax_head_does_not_begin_a_regression():
    rng = np.random.default_rng(0)
    np.savez("data.npz", numbers=rng.normal(size=(600, 2)), targets=rng.normal(size=(600, 1)))
    sequential(lstm(), dense(1, name="sure")).save("model.keras")
    with pytest.raises(FileError, match="its layer `sure` gives probabilities"):
        weights({"data": "data.npz", "bptt": 10, "batch_size": 2})


def test_other_sizes_than_the_models_are_refused(arrays):
    sequential(lstm(), dense()).save("model.keras")
    with pytest.raises(FileError, match="it has 1 layer, expected 2"):
        weights(arrays, layers=2)
    with pytest.raises(FileError, match=r"kernel of its layer `lstm\w*` is \[2, 16\], expected"):
        weights(arrays, state_size=5)


def rewritten(change):
    """The model's file with another text of its layers."""
    with zipfile.ZipFile("model.keras") as archive:
        content = {name: archive.read(name) for name in archive.namelist()}
    content = change(content)
    with zipfile.ZipFile("model.keras", "w") as archive:
        for name, each in content.items():
            archive.writestr(name, each)


def test_a_class_of_somebodys_own_is_not_taken_for_kerass(arrays):
    sequential(lstm(name="mine"), dense()).save("model.keras")

    def renamed(content):
        config = json.loads(content["config.json"])
        config["config"]["layers"][1] |= {"module": None, "registered_name": "Mine>LSTM"}
        return content | {"config.json": json.dumps(config)}

    rewritten(renamed)
    with pytest.raises(FileError, match="`mine` is of the class Mine>LSTM"):
        weights(arrays)


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: {name: each for name, each in content.items() if name != "config.json"},
        lambda content: content | {"config.json": "["},
        lambda content: content | {"config.json": "[" * 100_000},
        lambda content: content | {"config.json": "{}"},
        lambda content: content | {"model.weights.h5": content["model.weights.h5"][:999]},
        lambda content: content | {"model.weights.h5": b""},
    ],
    ids=["no config", "cut", "deep", "empty", "cut weights", "no weights"],
)
def test_a_damaged_file_is_refused(arrays, damage):
    sequential(lstm(), dense()).save("model.keras")
    rewritten(damage)
    with pytest.raises(FileError, match=r"`model\.keras` is not a model that Keras 3 has saved or"):
        weights(arrays)


def test_weights_that_are_not_finite_are_refused(arrays):
    model = sequential(lstm(), dense(name="lost"))
    model.layers[-1].bias.assign([0, np.nan, 0])
    model.save("model.keras")
    with pytest.raises(FileError, match=r"weights of the layer `lost` in .* are not finite"):
        weights(arrays)


def test_a_keras_file_is_read_without_keras(python, arrays):
    sequential(lstm(), dense()).save("model.keras")
    code = (
        "from lstmcli.training import keras_weights; import sys, pathlib\n"
        "assert keras_weights.read(pathlib.Path('model.keras')).layers == 1\n"
        "assert not {'keras', 'tensorflow'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, **python)
