"""Symbols, starts, scored steps, dropout and both heads, against automatic differentiation."""

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
import tensorflow as tf

from given import Given
from lstmcli import model_spec
from lstmcli.config import Config
from lstmcli.core import execution, initialization
from lstmcli.core.inputs import dropout_bits
from lstmcli.core.replica_windows import ReplicaWindows
from lstmcli.core.runner import Program
from lstmcli.model_spec import ModelSpec
from lstmcli.utils.rng import Stream, generator

LAYERS, SIZE, ROWS, STEPS, WINDOWS = 3, 4, 3, 7, 2


def drawn(spec, rng):
    """Random windows of a signature."""
    shape = (WINDOWS, STEPS, ROWS)
    arrays = {}
    if spec.numbers:
        arrays["numbers"] = rng.normal(size=(*shape, spec.numbers)).astype(np.float32)
    if spec.symbols:  # One more than there are: unknown.
        columns = [rng.integers(0, size + 1, shape) for size in spec.symbols]
        arrays["symbols"] = np.stack(columns, -1).astype(np.uint8)
    if spec.head == "softmax":
        arrays["targets"] = rng.integers(0, spec.outputs, shape).astype(np.uint8)
    else:
        arrays["targets"] = rng.normal(size=(*shape, spec.outputs)).astype(np.float32)
        if spec.outputs > 2:  # Some are not known.
            arrays["targets"][rng.random(arrays["targets"].shape) < 0.6] = np.nan
    if spec.scored:
        arrays["scored"] = rng.random(shape) < 0.4
    if spec.starts:
        arrays["starts"] = rng.random(shape) < 0.3
    return arrays


def inputs_of(arrays, spec):
    """`[W, T, B, F]`, float64, one-hot by a table with a row of zeros."""
    parts = [arrays["numbers"].astype(np.float64)] if spec.numbers else []
    for column, size in enumerate(spec.symbols):
        parts.append(np.eye(size + 1)[:, :size][arrays["symbols"][..., column]])
    return np.concatenate(parts, -1)


def by_hand(weights, state, arrays, k, spec, kept):
    """Loss, state and gradient of window `k`: step by step, differentiated by TensorFlow."""
    inputs = inputs_of(arrays, spec)[k]
    variables = {name: tf.Variable(value[0], dtype=tf.float64) for name, value in weights.items()}
    c, h = ([tf.constant(state[layer, part]) for layer in range(LAYERS)] for part in (0, 1))
    losses, scored = [], []
    with tf.GradientTape() as tape:
        for t in range(STEPS):
            x = tf.constant(inputs[t])
            if spec.starts:
                goes_on = tf.constant(~arrays["starts"][k, t], tf.float64)[:, None]
                c, h = [each * goes_on for each in c], [each * goes_on for each in h]
            for layer in range(LAYERS):
                z = x @ variables[f"lstm.{layer}.kernel"] + variables[f"lstm.{layer}.bias"]
                z += h[layer] @ variables[f"lstm.{layer}.recurrent_kernel"]
                i, f, g, o = tf.split(z, 4, 1)
                c[layer] = tf.sigmoid(f) * c[layer] + tf.sigmoid(i) * tf.tanh(g)
                h[layer] = tf.sigmoid(o) * tf.tanh(c[layer])
                x = h[layer] if kept is None else h[layer] * kept[k, t, layer]
            y = x @ variables["dense.kernel"] + variables["dense.bias"]
            target = arrays["targets"][k, t]
            if spec.head == "softmax":
                losses.append(
                    tf.nn.sparse_softmax_cross_entropy_with_logits(target.astype(np.int32), y)
                )
            else:
                each = [number[~np.isnan(number)] for number in target]
                places = [np.flatnonzero(~np.isnan(number)) for number in target]
                errors = [tf.gather(y[row], places[row]) - each[row] for row in range(ROWS)]
                losses.append(tf.stack([tf.reduce_sum(error**2) for error in errors]))
            there = arrays["scored"][k, t] if spec.scored else np.ones(ROWS, bool)
            terms = 1 if spec.head == "softmax" else np.isfinite(target).sum(1)
            scored.append((there, there * terms))
        there, terms = np.moveaxis(np.array(scored, np.float64), 1, 0)
        loss = tf.reduce_sum(tf.stack(losses) * there) / max(terms.sum(), 1)
    slopes = tape.gradient(loss, variables)
    after = np.stack([[c[layer], h[layer]] for layer in range(LAYERS)])
    return float(loss), after, {name: slope.numpy() for name, slope in slopes.items()}


SIGNATURES = {
    "numbers": ModelSpec(2, (), 3),
    "text": ModelSpec(0, (5,), 5),
    "numbers and two columns of symbols": ModelSpec(2, (3, 2), 4),
    "scored": ModelSpec(1, (), 2, scored=True),
    "sequences": ModelSpec(1, (3,), 3, scored=True, starts=True),
    "one number": ModelSpec(2, (), 1, "linear"),
    "sequences of numbers": ModelSpec(0, (4,), 2, "linear", scored=True, starts=True),
    "several numbers, not all known": ModelSpec(2, (), 5, "linear", scored=True),
}


QUICK = {
    ("text", "wavefront", 0.4),
    ("numbers and two columns of symbols", "layered", None),
    ("sequences", "wavefront", None),
    ("one number", "layered, in halves", 0.4),
    ("several numbers, not all known", "layered", None),
    ("sequences of numbers", "layered, units first, in halves", 0.4),
}
"""Every input, head and schedule once; `make test-slow` has all of them together."""
SCHEDULES = "wavefront", "layered", "layered, in halves", "layered, units first, in halves"


def combinations():
    for each in product(SIGNATURES, SCHEDULES, (None, 0.4)):
        marks = () if each in QUICK else pytest.mark.slow
        yield pytest.param(*each, marks=marks, id="-".join(map(str, each)))


@pytest.mark.parametrize(("name", "schedule", "dropout"), list(combinations()))
def test_a_window_has_the_gradient_that_automatic_differentiation_finds(
    name, schedule, dropout, monkeypatch
):
    plan, changed = execution.plan, {"units_first": "units first" in schedule}
    changed["row_parts"] = 2 if "halves" in schedule else 1
    monkeypatch.setattr(execution, "plan", lambda *asked: replace(plan(*asked), **changed))
    monkeypatch.setattr("lstmcli.core.runner.threads", lambda: 2)
    spec, rng = SIGNATURES[name], np.random.default_rng(len(name))
    config = Config.build(
        layers=LAYERS, state_size=SIZE, batch_size=ROWS, bptt=STEPS, optimizer="sgd",
        learning_rate=0.5, execution=schedule.split(",")[0], dropout=dropout, seed=3,
    )  # fmt: skip
    shapes = model_spec.shapes(config.model, spec.features, spec.outputs)
    weights = {
        name: rng.normal(scale=0.5, size=(1, *shape)).astype(np.float32)
        for name, shape in shapes.items()
    }
    arrays, kept = drawn(spec, rng), None
    if dropout:
        bits = dropout_bits(
            [generator(3, Stream.DROPOUT, 0)], (STEPS, LAYERS, ROWS, SIZE), 0, WINDOWS
        )[..., 0]
        dropped = round(dropout * 2**16) / 2**16
        kept = (bits / 2**16 >= dropped) / (1 - dropped)
    program = Program(config, spec, "cpu:0")
    now = {**weights, "state": initialization.zero_state(config.model, 1, ROWS)}
    chunks = list(program.train(now, ReplicaWindows([Given(arrays)]), 0))
    found, state = (
        {name: value.astype(np.float64) for name, value in weights.items()},
        np.zeros((LAYERS, 2, ROWS, SIZE)),
    )
    for k in range(WINDOWS):
        loss, state, slopes = by_hand(found, state, arrays, k, spec, kept)
        seen = np.concatenate([measures.loss for _, measures in chunks])[k, 0]
        assert seen == pytest.approx(loss, abs=1e-5)
        found = {name: value - 0.5 * slopes[name] for name, value in found.items()}
    after = chunks[-1][0]
    for name, value in found.items():
        np.testing.assert_allclose(after[name], value, atol=2e-5, err_msg=name)
    np.testing.assert_allclose(after["state"][0], state, atol=2e-5)
