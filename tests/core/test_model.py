"""The model against Keras, against NumPy and against finite differences."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import reference
from given import Given
from lstmcli import model_spec
from lstmcli.config import Config, ModelConfig
from lstmcli.core import initialization
from lstmcli.core.heads import HEADS
from lstmcli.core.inputs import Window
from lstmcli.core.layered import Layered
from lstmcli.core.optimizers import OPTIMIZERS
from lstmcli.core.replica_windows import ReplicaWindows
from lstmcli.core.runner import Program
from lstmcli.core.tensorflow import tf
from lstmcli.core.wavefront import Wavefront
from lstmcli.model_spec import ModelSpec

SIZES = [  # layers, state size, features, classes, rows, steps
    (1, 4, 1, 2, 5, 15),
    (3, 4, 1, 2, 5, 15),
    (5, 3, 4, 3, 2, 4),
    (2, 8, 1, 2, 3, 7),
    (4, 1, 6, 5, 1, 2),
]


def draw(size, replicas=1, dtype=np.float32, seed=0):
    """Parameters, a state, inputs and labels in the program's shapes, all at random."""
    layers, state_size, features, classes, rows, steps = size
    rng = np.random.default_rng(seed)
    model = ModelConfig(layers=layers, state_size=state_size)
    rngs = [np.random.default_rng([seed, replica]) for replica in range(replicas)]
    weights = {
        name: (array + 0.1 * rng.normal(size=array.shape)).astype(dtype)
        for name, array in initialization.initialise(model, features, classes, rngs).items()
    }
    state = rng.normal(0, 0.5, (replicas, layers, 2, rows, state_size)).astype(dtype)
    inputs = rng.normal(size=(steps, rows, features, replicas)).astype(dtype)
    labels = rng.integers(0, classes, (steps, rows, replicas), dtype=np.int32)
    return weights, state, inputs, labels


def one(arrays, replica):
    return {name: array[replica] for name, array in arrays.items()}


def tensors(arrays):
    return {name: tf.constant(array) for name, array in arrays.items()}


def units_first(*shape):
    """The layered schedule as it is for hundreds of units."""
    return Layered(*shape, units_first=True)


KINDS = [Wavefront, Layered, units_first]
SCHEDULES = pytest.mark.parametrize("kind", KINDS)


def compiled_forward(kind, size, weights, state, inputs):
    """Logits `[R, T, B, C]` and the state after, as NumPy arrays."""
    schedule = kind(*size[:3])

    @tf.function(jit_compile=True, autograph=False)
    def forward(weights, state, inputs):
        packed, window = (schedule.pack(weights, 0.0), schedule.pack_state(state)), Window(inputs)
        logits, end, _ = schedule.forward(*packed, window, schedule.scratch(window))
        return tf.transpose(logits, [3, 1, 2, 0]), schedule.unpack_state(end, inputs.shape[1])

    return in_groups(schedule, forward, weights, state, inputs)


def compiled_gradient(kind, size, weights, state, inputs, labels):
    """The gradient by name, and its norm `[R]`, as NumPy arrays."""
    schedule = kind(*size[:3])

    @tf.function(jit_compile=True, autograph=False)
    def gradient(weights, state, inputs, labels):
        packed, window = (schedule.pack(weights, 0.0), schedule.pack_state(state)), Window(inputs)
        steps, rows = labels.shape[:2]

        def errors_of(logits):
            return HEADS["softmax"].errors(logits, labels)._replace(labels=float(steps * rows))

        found, *_ = schedule.gradient(*packed, window, errors_of, schedule.scratch(window))
        return schedule.unpack(found), schedule.norm(found)

    return in_groups(schedule, gradient, weights, state, inputs, labels)


def in_groups(schedule, function, weights, state, *windows):
    """Calls a function with all replicas or with one after the other, as a schedule takes them."""
    replicas = range(len(state))
    groups = [slice(None)] if schedule.side_by_side else [slice(r, r + 1) for r in replicas]
    results = [
        function(
            tensors(one(weights, group)),
            tf.constant(state[group]),
            *(tf.constant(array[..., group]) for array in windows),
        )
        for group in groups
    ]
    return tf.nest.map_structure(lambda *parts: np.concatenate(parts), *results)


@SCHEDULES
@pytest.mark.parametrize("size", SIZES)
def test_logits_and_state_equal_an_independent_numpy_implementation(kind, size):
    weights, state, inputs, _ = draw(size, replicas=2)
    logits, end = compiled_forward(kind, size, weights, state, inputs)
    for replica in range(2):
        expected = reference.forward(
            one(weights, replica), state[replica], inputs[..., replica], size[0]
        )
        np.testing.assert_allclose(logits[replica], expected[0], atol=2e-6)
        np.testing.assert_allclose(end[replica], expected[1], atol=2e-6)


@SCHEDULES
@pytest.mark.parametrize("size", SIZES)
def test_logits_equal_a_keras_stack_with_the_same_weights(kind, size):
    import keras

    layers, state_size, features, classes, _rows, steps = size
    weights, state, inputs, _ = draw(size)
    stack = [keras.layers.LSTM(state_size, return_sequences=True) for _ in range(layers)]
    network = keras.Sequential(
        [keras.Input((steps, features)), *stack, keras.layers.Dense(classes)]
    )
    network.set_weights([array[0] for array in weights.values()])
    logits, _ = compiled_forward(kind, size, weights, np.zeros_like(state), inputs)
    expected = network(inputs[..., 0].swapaxes(0, 1)).numpy().swapaxes(0, 1)
    np.testing.assert_allclose(logits[0], expected, atol=3e-6)


@SCHEDULES
@pytest.mark.parametrize("size", [(3, 2, 1, 2, 2, 4), (2, 2, 3, 3, 1, 3), (1, 3, 1, 2, 2, 2)])
def test_gradient_equals_finite_differences_in_float64(kind, size):
    drawn = weights, state, inputs, labels = draw(size, replicas=2, dtype=np.float64)
    found, norms = compiled_gradient(kind, size, *drawn)
    for replica in range(2):
        mine = one(weights, replica), state[replica], inputs[..., replica], labels[..., replica]
        expected = reference.numeric_gradient(*mine, size[0])
        for name, slopes in expected.items():
            np.testing.assert_allclose(found[name][replica], slopes, atol=1e-9, err_msg=name)
        norm = np.sqrt(sum((slopes**2).sum() for slopes in expected.values()))
        np.testing.assert_allclose(norms[replica], norm, rtol=1e-7)


@pytest.mark.parametrize(
    "size", [(3, 16, 1, 2, 5, 15), pytest.param((2, 40, 7, 7, 16, 20), marks=pytest.mark.slow)]
)
def test_schedules_agree_with_each_other_at_larger_sizes(size):
    drawn = draw(size, replicas=2)
    (one_way, norm), *others = (compiled_gradient(kind, size, *drawn) for kind in KINDS)
    for other, other_norm in others:
        np.testing.assert_allclose(norm, other_norm, rtol=1e-4)
        for name, slopes in one_way.items():
            np.testing.assert_allclose(other[name], slopes, atol=1e-6, err_msg=name)


MEASURED = ("loss", "grad_norm")


@pytest.mark.parametrize("schedule", ["wavefront", "layered"])
@pytest.mark.parametrize("clip", [None, 0.02])
def test_adagrad_training_equals_a_numpy_loop_over_windows(clip, schedule):
    """Three windows, state carried, gradients by finite differences: the whole program at once."""
    size = layers, state_size, features, classes, rows, steps = (2, 2, 1, 2, 2, 3)
    config = Config.build(
        layers=layers, state_size=state_size, bptt=steps, batch_size=rows, series_length=18,
        clip_norm=clip, execution=schedule,
    )  # fmt: skip
    weights, _, _, _ = draw(size)
    rng = np.random.default_rng(5)
    inputs = rng.integers(0, 2, (3, steps, rows, features, 1)).astype(np.float32)
    labels = rng.integers(0, classes, (3, steps, rows, 1), dtype=np.int32)
    program = Program(config, ModelSpec(features, (), classes), "cpu:0")
    given = Given({"numbers": inputs[..., 0], "targets": labels[..., 0]})
    chunks = list(program.train(program.start(weights), ReplicaWindows([given]), 0))
    trained, _ = chunks[-1]
    loss, grad_norm = (
        np.concatenate([getattr(found, name) for _, found in chunks]) for name in MEASURED
    )

    expected = {name: array[0].astype(np.float64) for name, array in weights.items()}
    accumulators = {name: np.full_like(array, 0.1) for name, array in expected.items()}
    state = np.zeros((layers, 2, rows, state_size))
    for window in range(3):
        seen = expected, state, inputs[window, ..., 0].astype(float), labels[window, ..., 0], layers
        gradient = reference.numeric_gradient(*seen)
        norm = np.sqrt(sum((slopes**2).sum() for slopes in gradient.values()))
        np.testing.assert_allclose(loss[window, 0], reference.mean_loss(*seen), rtol=1e-5)
        np.testing.assert_allclose(grad_norm[window, 0], norm, rtol=1e-4)
        _, state = reference.forward(*seen[:3], layers)
        for name, slopes in gradient.items():
            clipped = slopes * min(1, clip / norm) if clip else slopes
            accumulators[name] += clipped**2
            expected[name] = expected[name] - 0.3 * clipped / np.sqrt(accumulators[name])
    for name, array in expected.items():
        np.testing.assert_allclose(trained[name][0], array, atol=2e-5, err_msg=name)
        slot = trained[f"optimizer.accumulator.{name}"][0]
        np.testing.assert_allclose(slot, accumulators[name], atol=1e-6, err_msg=name)
    np.testing.assert_allclose(trained["state"][0], state, atol=1e-5)


def test_adagrad_step_is_the_one_computed_by_hand():
    weight, slots = OPTIMIZERS["adagrad"].update(
        tf.constant([1.0]), tf.constant([0.3]), (tf.constant([0.1]),), 0.3, tf.constant(1.0)
    )
    # 0.1 + 0.3^2 = 0.19; 1 - 0.3 * 0.3 / sqrt(0.19) = 0.793526
    np.testing.assert_allclose(slots[0], [0.19], rtol=1e-6)
    np.testing.assert_allclose(weight, [0.793526], atol=1e-6)


@pytest.mark.parametrize("name", ["adam", "rmsprop", "sgd"])
def test_optimizers_equal_keras(name):
    import keras

    theirs = {
        "adam": keras.optimizers.Adam(0.05),
        "rmsprop": keras.optimizers.RMSprop(0.05),
        "sgd": keras.optimizers.SGD(0.05),
    }[name]
    rule = OPTIMIZERS[name]
    variable = keras.Variable([1.0, -2.0, 0.5])
    weight = tf.constant([1.0, -2.0, 0.5])
    slots = tuple(tf.fill([3], value) for value in rule.slots.values())
    rng = np.random.default_rng(0)
    for step in range(1, 6):
        gradient = tf.constant(rng.normal(size=3), tf.float32)
        theirs.apply([gradient], [variable])
        weight, slots = rule.update(weight, gradient, slots, 0.05, tf.constant(float(step)))
        np.testing.assert_allclose(weight, variable.numpy(), rtol=1e-5)


@given(
    layers=st.integers(1, 6), size=st.integers(1, 20), features=st.integers(1, 9),
    classes=st.integers(2, 9),
)  # fmt: skip
def test_parameter_count_follows_the_formula(layers, size, features, classes):
    first = 4 * size * (features + size + 1)
    above = (layers - 1) * 4 * size * (2 * size + 1)
    model = ModelConfig(layers=layers, state_size=size)
    expected = first + above + (size + 1) * classes
    assert model_spec.count(model, features, classes) == expected


def test_the_articles_network_has_394_parameters():
    assert model_spec.count(Config().model, features=1, classes=2) == 394


def test_initial_weights_are_the_articles():
    model = ModelConfig(layers=2, state_size=100, forget_bias=0.7)
    arrays = one(initialization.initialise(model, 1, 2, [np.random.default_rng(0)]), 0)
    for layer, inputs in ((0, 1), (1, 100)):
        kernels = [
            arrays[f"lstm.{layer}.{name}"].ravel() for name in ("kernel", "recurrent_kernel")
        ]
        limit = np.sqrt(6 / (inputs + 100 + 400))
        assert 0.99 * limit < np.abs(np.concatenate(kernels)).max() <= limit
        bias = arrays[f"lstm.{layer}.bias"].reshape(4, 100)
        np.testing.assert_array_equal(
            bias, np.float32([[0], [0.7], [0], [0]]) * np.ones((4, 100), np.float32)
        )
    assert arrays["dense.kernel"].min() >= 0
    assert 0.95 < arrays["dense.kernel"].max() < 1
    assert not arrays["dense.bias"].any()


@settings(max_examples=20, deadline=None)
@given(
    layers=st.integers(1, 4), size=st.integers(1, 5), features=st.integers(1, 7),
    replicas=st.integers(1, 3),
)  # fmt: skip
def test_a_schedules_layout_gives_the_tensors_back(layers, size, features, replicas):
    weights, state, _, _ = draw((layers, size, features, 2, 2, 2), replicas)
    schedule = Wavefront(layers, size, features)
    packed = schedule.pack(tensors(weights), 0.1)
    for name, array in schedule.unpack(packed).items():
        np.testing.assert_array_equal(array, weights[name], err_msg=name)
    np.testing.assert_array_equal(schedule.unpack_state(schedule.pack_state(state), 2), state)
