"""One contender of the benchmark in a process of its own: trains the echo task, prints JSON lines.

`python contenders.py NAME '{"layers": 3, …}'` prints a line an epoch: the mean loss, the seconds,
per window and of all, and the memory. The first epoch holds the compilation.
"""

import json
import os
import resource
import sys
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np

ECHO, CLASSES = 3, 2


def windows(size, rng):
    """A fresh epoch: inputs `[windows, rows, steps, 1]` and labels `[windows, rows, steps]`."""
    rows, steps, length = size["rows"], size["steps"], size["length"]
    bits = rng.integers(0, 2, length)
    labels = np.roll(bits, ECHO)
    labels[:ECHO] = 0
    count = length // rows // steps

    def cut(series):
        table = series[: rows * (length // rows)].reshape(rows, -1)[:, : count * steps]
        return np.ascontiguousarray(table.reshape(rows, count, steps).swapaxes(0, 1))

    return cut(bits)[..., None].astype(np.float32), cut(labels).astype(np.int32)


def report(loss, seconds, count):
    """Prints an epoch's line, with the most memory that the process has held so far."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    line = {"loss": float(loss), "window": seconds / count, "seconds": seconds, "peak_mib": peak}
    print(json.dumps(line), flush=True)


def lstmcli(size):
    """This project's compiled program, without files, validation or progress."""
    from lstmcli.config import Config
    from lstmcli.data.datasets import open_source

    config = Config.build(
        layers=size["layers"], state_size=size["state"], batch_size=size["rows"],
        bptt=size["steps"], series_length=size["length"], replicas=size["replicas"],
        cache=False, **size.get("settings", {}),
    )  # fmt: skip
    source = open_source(config)
    program = program_of(source)
    from lstmcli.core import initialization
    from lstmcli.core.replica_windows import ReplicaWindows
    from lstmcli.utils.rng import Stream, generator

    rngs = [generator(seed, Stream.WEIGHTS) for seed in config.run.seeds]
    tensors = program.start(initialization.initialise(config.model, 1, CLASSES, rngs))
    for epoch in range(size["epochs"]):
        series = source.training(epoch)
        tensors["state"] = np.zeros_like(tensors["state"])
        begun, losses = time.perf_counter(), []
        batch = ReplicaWindows(series)
        for trained, measures in program.train(tensors, batch, epoch * len(batch)):
            losses.append(measures.loss)
        tensors = {name: np.asarray(tensor) for name, tensor in trained.items()}
        report(np.concatenate(losses).mean(), time.perf_counter() - begun, len(batch))


def program_of(source):
    """The program for a source."""
    from lstmcli.core import execution

    config, features = source.config, source.spec.features
    execution.set_up(config, features)
    from lstmcli.core import device
    from lstmcli.core.runner import Program

    where = device.choose(config, source.spec, "cpu")
    return Program(config, source.spec, where.name)


def keras(size, jit_compile=False):
    """Keras 3 `fit` with stateful LSTM layers."""
    import keras

    network = keras.Sequential([keras.Input(batch_shape=(size["rows"], size["steps"], 1))])
    for _ in range(size["layers"]):
        network.add(keras.layers.LSTM(size["state"], return_sequences=True, stateful=True))
    network.add(keras.layers.Dense(CLASSES))
    network.compile(
        keras.optimizers.Adagrad(0.3, initial_accumulator_value=0.1),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        jit_compile=jit_compile,
    )
    rng = np.random.default_rng(0)
    for _ in range(size["epochs"]):
        inputs, labels = windows(size, rng)
        x, y = inputs.reshape(-1, *inputs.shape[2:]), labels.reshape(-1, labels.shape[2])
        for layer in network.layers[:-1]:
            layer.reset_states()
        begun = time.perf_counter()
        history = network.fit(x, y, batch_size=size["rows"], shuffle=False, verbose=0)
        report(history.history["loss"][0], time.perf_counter() - begun, len(inputs))


def keras_jit(size):
    """The same with `jit_compile=True`."""
    keras(size, jit_compile=True)


def torch(size):
    """PyTorch `nn.LSTM`, eager."""
    import torch

    torch.set_num_threads(size["threads"])
    stack = torch.nn.LSTM(1, size["state"], size["layers"], batch_first=True)
    head = torch.nn.Linear(size["state"], CLASSES)
    optimizer = torch.optim.Adagrad(
        [*stack.parameters(), *head.parameters()], lr=0.3, initial_accumulator_value=0.1
    )
    cross_entropy = torch.nn.CrossEntropyLoss()
    rng = np.random.default_rng(0)
    for _ in range(size["epochs"]):
        inputs, labels = (torch.from_numpy(part) for part in windows(size, rng))
        state = [torch.zeros(size["layers"], size["rows"], size["state"]) for _ in range(2)]
        begun, losses = time.perf_counter(), []
        for x, y in zip(inputs, labels.long(), strict=True):
            outputs, state = stack(x, tuple(state))
            state = [part.detach() for part in state]
            loss = cross_entropy(head(outputs).reshape(-1, CLASSES), y.reshape(-1))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        report(np.mean(losses), time.perf_counter() - begun, len(inputs))


def jax(size):
    """JAX, one `jit` around `lax.scan` over windows and over steps."""
    import jax
    import jax.numpy as jnp

    layers, state_size = size["layers"], size["state"]
    rng = np.random.default_rng(0)

    def matrix(inputs):
        limit = np.sqrt(6 / (inputs + 5 * state_size))
        return rng.uniform(-limit, limit, (inputs + state_size, 4 * state_size)).astype(np.float32)

    bias = np.zeros(4 * state_size, np.float32)
    bias[2 * state_size : 3 * state_size] = 1
    weights = {
        "lstm": [(matrix(state_size if layer else 1), bias) for layer in range(layers)],
        "dense": (rng.random((state_size, CLASSES), np.float32), np.zeros(CLASSES, np.float32)),
    }
    accumulators = jax.tree.map(lambda weight: np.full_like(weight, 0.1), weights)

    def step(weights, state, x):
        after = []
        for (matrix, bias), (c, h) in zip(weights["lstm"], state, strict=True):
            z = jnp.concatenate([x, h], 1) @ matrix + bias
            i, g, f, o = jnp.split(z, 4, 1)
            c_after = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
            x = jax.nn.sigmoid(o) * jnp.tanh(c_after)
            after.append((c_after, x))
        return after, x

    def mean_loss(weights, state, inputs, labels):
        state, top = jax.lax.scan(lambda state, x: step(weights, state, x), state, inputs)
        kernel, bias = weights["dense"]
        log_probabilities = jax.nn.log_softmax(top @ kernel + bias)
        chosen = jnp.take_along_axis(log_probabilities, labels[..., None], -1)
        return -chosen.mean(), state

    def window(carry, batch):
        weights, accumulators, state = carry
        (loss, state), slopes = jax.value_and_grad(mean_loss, has_aux=True)(weights, state, *batch)
        accumulators = jax.tree.map(lambda a, g: a + g * g, accumulators, slopes)
        weights = jax.tree.map(
            lambda w, a, g: w - 0.3 * g * jax.lax.rsqrt(a), weights, accumulators, slopes
        )
        return (weights, accumulators, state), loss

    @jax.jit
    def epoch(weights, accumulators, inputs, labels):
        zeros = jnp.zeros((size["rows"], state_size))
        state = [(zeros, zeros) for _ in range(layers)]
        carry, losses = jax.lax.scan(window, (weights, accumulators, state), (inputs, labels))
        return carry[0], carry[1], losses

    for _ in range(size["epochs"]):
        inputs, labels = (np.swapaxes(part, 1, 2) for part in windows(size, rng))
        begun = time.perf_counter()
        weights, accumulators, losses = epoch(weights, accumulators, inputs, labels)
        report(np.asarray(losses).mean(), time.perf_counter() - begun, len(inputs))


if __name__ == "__main__":
    sizes = {"replicas": 1, "threads": 1, "epochs": 4, **json.loads(sys.argv[2])}
    {f.__name__: f for f in (lstmcli, keras, keras_jit, torch, jax)}[sys.argv[1]](sizes)
