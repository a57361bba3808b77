"""How far gradients reach: against finite differences, TensorFlow's tape and truncation by hand."""

import numpy as np
import pytest

import reference
from lstmcli.config import Config
from lstmcli.core import numpy_lstm
from lstmcli.core.numpy_lstm import NumpyInputs
from lstmcli.data.schema import Categorical, Numeric
from lstmcli.data.target import ClassTarget, NumberTarget
from lstmcli.model_spec import ModelSpec
from lstmcli.probes import gradient
from probing import drawn, run_of, subject

LAYERS, SIZE, ROWS, STEPS = 2, 3, 4, 6
CLASSES = ClassTarget((Categorical("target", 3),))


def one_network(features=2, symbols=(), outputs=3, seed=0):
    """A network's parameters in double precision, side by side with nothing."""
    config = Config.build(layers=LAYERS, state_size=SIZE)
    weights = drawn(config, features + sum(symbols), outputs, seed, np.float64)
    spec = ModelSpec(features, symbols, outputs)
    return weights, numpy_lstm.side_by_side([numpy_lstm.network(weights, 0, spec)])


def followed(network, given, state, targets, target=CLASSES):
    """The gradients of the last step's losses, the newest step first."""
    states = np.concatenate(list(numpy_lstm.unroll(network, state, given)))
    logits = numpy_lstm.readout(network, states[-1, -1, 1])
    outputs = target.gradient(logits, targets[None])
    found = numpy_lstm.local_gradients(network, state, given, states)
    steps = list(numpy_lstm.backpropagate(network, found, given, outputs))
    return [each.inputs[0].copy() for each in steps], [each.states[:, :, 0] for each in steps]


def setting(seed=1, features=2):
    rng = np.random.default_rng(seed)
    inputs = rng.normal(size=(STEPS, ROWS, features))
    state = rng.normal(0, 0.5, (LAYERS, 2, ROWS, SIZE))
    return inputs, state, rng.integers(0, 3, ROWS)


def given_of(inputs, carried=None):
    return NumpyInputs(inputs[:, None], np.zeros((len(inputs), 1, ROWS, 0), int), carried)


def test_gradient_to_every_input_equals_finite_differences():
    weights, network = one_network()
    inputs, state, targets = setting()
    found, _ = followed(network, given_of(inputs), state[:, :, None], targets)
    one = {name: array[0] for name, array in weights.items()}

    def losses(moved):
        logits, _ = reference.forward(one, state, moved, LAYERS)
        below = logits[-1] - np.log(np.exp(logits[-1]).sum(1, keepdims=True))
        return -below[np.arange(ROWS), targets]

    for step, feature in np.ndindex(STEPS, 2):
        width = np.zeros_like(inputs)
        width[step, :, feature] = 1e-6
        slope = (losses(inputs + width) - losses(inputs - width)) / 2e-6
        assert np.allclose(found[STEPS - 1 - step][:, feature], slope, atol=1e-8)


def test_gradients_to_layers_equal_those_of_tensorflows_tape():
    import tensorflow as tf

    weights, network = one_network()
    inputs, state, targets = setting(2)
    _, found = followed(network, given_of(inputs), state[:, :, None], targets)
    one = {name: tf.constant(array[0]) for name, array in weights.items()}
    watched = []
    with tf.GradientTape(persistent=True) as tape:
        states = [[tf.constant(part) for part in layer] for layer in state]
        for step in inputs:
            x, kept = tf.constant(step), []
            for layer in range(LAYERS):
                kernel, recurrent, bias = (
                    one[f"lstm.{layer}.{part}"] for part in ("kernel", "recurrent_kernel", "bias")
                )
                c, h = states[layer]
                i, f, g, o = tf.split(x @ kernel + h @ recurrent + bias, 4, axis=1)
                c = tf.sigmoid(f) * c + tf.sigmoid(i) * tf.tanh(g)
                tape.watch(c)
                h = tf.sigmoid(o) * tf.tanh(c)
                tape.watch(h)
                states[layer], x = (c, h), h
                kept.append((c, h))
            watched.append(kept)
        logits = x @ one["dense.kernel"] + one["dense.bias"]
        loss = tf.reduce_sum(
            tf.nn.sparse_softmax_cross_entropy_with_logits(tf.constant(targets), logits)
        )
    for back, states in enumerate(found):
        for layer, parts in enumerate(watched[STEPS - 1 - back]):
            for part in range(2):
                slope = tape.gradient(loss, parts[part])
                if slope is None:  # The last step's lower c and h are watched too.
                    slope = np.zeros((ROWS, SIZE))
                assert np.allclose(states[layer, part], slope, atol=1e-12)


def test_gradient_of_a_squared_error_and_of_symbols_equals_finite_differences():
    weights, network = one_network(features=1, symbols=(3,), outputs=2, seed=3)
    rng = np.random.default_rng(4)
    numbers, symbols = rng.normal(size=(STEPS, ROWS, 1)), rng.integers(0, 3, (STEPS, ROWS, 1))
    state, targets = np.zeros((LAYERS, 2, ROWS, SIZE)), rng.normal(size=(ROWS, 2))
    given = NumpyInputs(numbers[:, None], symbols[:, None])
    found, _ = followed(
        network, given, state[:, :, None], targets, NumberTarget((Numeric("y"),) * 2)
    )
    inputs = np.concatenate([numbers, np.eye(3)[symbols[..., 0]]], -1)
    one = {name: array[0] for name, array in weights.items()}

    def losses(moved):
        outputs, _ = reference.forward(one, state, moved, LAYERS)
        return np.square(outputs[-1] - targets).mean(1)

    for step, feature in np.ndindex(STEPS, 4):
        width = np.zeros_like(inputs)
        width[step, :, feature] = 1e-6
        slope = (losses(inputs + width) - losses(inputs - width)) / 2e-6
        assert np.allclose(found[STEPS - 1 - step][:, feature], slope, atol=1e-8)


def test_no_gradient_passes_the_beginning_of_a_sequence():
    _, network = one_network()
    inputs, state, targets = setting(5)
    carried = np.ones((STEPS, 1, ROWS, 1))
    carried[STEPS - 3, 0, 1] = 0  # The second row's sequence begins two steps before the last.
    found, _ = followed(network, given_of(inputs, carried), state[:, :, None], targets)
    assert [bool(step[1].any()) for step in found] == [True] * 3 + [False] * 3
    assert all(step[0].any() for step in found)


def small(**settings):
    config = Config.build(layers=2, bptt=5, series_length=900, **settings)
    weights = drawn(config, 1, 2)
    return subject(weights, layers=2, bptt=5, series_length=900, **settings)


def test_the_reach_is_exactly_zero_beyond_the_window_and_as_a_truncated_pass_has_it():
    found = small()
    table = gradient.gradient(found, 12)
    assert (table[table.lag >= 5].norm_1 == 0).all()
    assert (table[table.lag < 5].norm_1 > 0).all()
    assert (table[table.lag >= 10].norm_2 == 0).all()
    assert (table[(table.lag >= 5) & (table.lag < 10)].norm_2 > 0).all()
    assert (table[table.lag < 20].norm > 0).all()
    # Each loss followed within its own window alone, from the state that is carried into it.
    run, norms = run_of(found), np.zeros(5)
    losses = gradient.chosen(found, 0, 20)
    targets, numbers = (found.arrays[0][name] for name in ("targets", "numbers"))
    network = numpy_lstm.side_by_side([run.network])
    for step, row in zip(losses.steps, losses.rows, strict=True):
        begin = step - step % 5
        state = run.states[begin - 1][:, :, None, [row]]
        given = NumpyInputs(
            numbers[begin : step + 1, None, [row]],
            np.zeros((step + 1 - begin, 1, 1, 0), int),
        )
        inputs, _ = followed(network, given, state, targets[step, [row]])
        norms[: len(inputs)] += [np.linalg.norm(each) for each in inputs]
    trained = table[(table.network == "trained") & (table.to == "x")].norm_1[:5]
    assert np.allclose(trained, norms / len(losses.steps), rtol=1e-4)


def test_shares_of_longer_windows_grow_to_the_whole():
    shares = gradient.shares(gradient.gradient(small(replicas=2), 12))
    assert list(shares.seed.unique()) == [0, 1]
    assert (shares.norm_1 < shares.norm_2).all()
    assert (shares.norm_2 < shares.norm_4).all()
    assert (shares.norm_4 < 1).all()


@pytest.mark.parametrize("task", ["adding", "copy"])
def test_sequences_have_gradients_too(task):
    settings = {"task": task, "sequence_length": 12, "series_length": 2_000, "layers": 1}
    features = {"adding": 2, "copy": 10}[task]
    found = subject(
        drawn(Config.build(layers=1), features, {"adding": 1, "copy": 9}[task]), **settings
    )
    table = gradient.gradient(found, 10)
    assert table.norm.notna().all()
    assert (table[table.lag == 0].norm > 0).all()
