"""One contender of `data.py` in a process of its own: trains on a file, prints JSON lines.

`python data_contenders.py torch_text '{"data": "text.txt", …}'`. lstmcli goes the user's way:
`lstmcli.train` with settings, validation and a run directory included. The peers get the same
windows in the same order with the same carried state, the same sizes and the same learning rate;
each draws its weights as it does by default: lstmcli Glorot-uniform (the output kernel uniform in
[0, 1)) with a forget bias of 1, Keras the same with orthogonal recurrent kernels and a Glorot
output kernel, PyTorch all of them, biases too, uniform up to 1/sqrt(units).
"""

import copy
import csv
import json
import math
import os
import sys
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np


def report(**line):
    """Prints a line, with the most memory that the process has held so far.

    Not from `getrusage`: that begins with what the parent held when it made this process.
    """
    status = Path("/proc/self/status").read_text().splitlines()
    peak = next(int(each.split()[1]) for each in status if each.startswith("VmHWM"))
    print(json.dumps({**line, "peak_mib": peak / 1024}), flush=True)


AS_PEERS = {"clip_norm": 1e9, "patience": 1_000}
"""No clipping and no early end, which lstmcli has on files by default."""


def text_settings(size):
    """A size as lstmcli's settings."""
    return {
        "data": size["data"], "layers": size["layers"], "state_size": size["units"],
        "batch_size": size["rows"], "bptt": size["steps"], "epochs": size["epochs"],
        "optimizer": "adam", "learning_rate": size["rate"], "seed": size["seed"],
        "threads": size["threads"], "cache": False, **AS_PEERS,
    }  # fmt: skip


def lstmcli_text(size):
    """`lstmcli.train` on a text: a line an epoch."""
    import lstmcli

    lstmcli.train("run", **text_settings(size))
    with Path("run/metrics.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    windows = int(rows[0]["step"])
    for row in rows:
        bits = float(row["val_loss"]) / math.log(2)
        report(update=float(row["epoch_seconds"]) / windows, bits=bits)


def text_windows(size):
    """A text's characters as numbers, cut as lstmcli does, but by code of its own.

    Returns:
        How many characters the vocabulary has, and of the training and of the validation part:
        inputs and targets `[windows, steps, rows]`.
    """
    codes = np.fromfile(size["data"], np.uint8)
    tenth = round(len(codes) / 10)
    training, validation = codes[: -2 * tenth], codes[-2 * tenth : -tenth]
    vocabulary = np.unique(training)
    rows, steps = size["rows"], size["steps"]

    def cut(part):
        numbers = np.searchsorted(vocabulary, part).astype(np.uint8)
        length = (len(numbers) - 1) // rows
        count = length // steps
        for series in (numbers[:-1], numbers[1:]):
            table = series[: rows * length].reshape(rows, length)[:, : count * steps]
            yield np.ascontiguousarray(table.reshape(rows, count, steps).transpose(1, 2, 0))

    return len(vocabulary), list(cut(training)), list(cut(validation))


def torch_text(size):
    """PyTorch `nn.LSTM`, eager; its one-hot inputs are rows of an identity matrix."""
    import torch
    from torch.nn.functional import cross_entropy

    torch.set_num_threads(size["threads"])
    torch.manual_seed(size["seed"])
    vocabulary, training, validation = text_windows(size)
    one_hot = torch.nn.Embedding.from_pretrained(torch.eye(vocabulary))
    stack = torch.nn.LSTM(vocabulary, size["units"], size["layers"])
    head = torch.nn.Linear(size["units"], vocabulary)
    parameters = [*stack.parameters(), *head.parameters()]
    optimizer = torch.optim.Adam(parameters, lr=size["rate"], eps=1e-7)  # Keras's epsilon.

    def losses(windows):
        state = None
        for x, y in zip(*(torch.from_numpy(part) for part in windows), strict=True):
            outputs, state = stack(one_hot(x.int()), state)
            state = tuple(part.detach() for part in state)
            yield cross_entropy(head(outputs).flatten(0, 1), y.long().flatten())

    for _ in range(size["epochs"]):
        begun = time.perf_counter()
        for loss in losses(training):
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
        seconds = time.perf_counter() - begun
        with torch.no_grad():
            bits = torch.stack(list(losses(validation))).mean().item() / math.log(2)
        report(update=seconds / len(training[0]), bits=bits)


def keras_text(size, jit_compile=False):
    """Keras 3 `fit` with stateful LSTM layers; its one-hot inputs are a fixed embedding's."""
    import keras
    import tensorflow

    tensorflow.config.threading.set_intra_op_parallelism_threads(size["threads"])
    keras.utils.set_random_seed(size["seed"])
    vocabulary, training, _ = text_windows(size)
    one_hot = keras.layers.Embedding(vocabulary, vocabulary, "identity", trainable=False)
    network = keras.Sequential([keras.Input(batch_shape=(size["rows"], size["steps"])), one_hot])
    for _ in range(size["layers"]):
        network.add(keras.layers.LSTM(size["units"], return_sequences=True, stateful=True))
    network.add(keras.layers.Dense(vocabulary))
    network.compile(
        keras.optimizers.Adam(size["rate"]),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        jit_compile=jit_compile,
    )
    x, y = (part.transpose(0, 2, 1).reshape(-1, size["steps"]) for part in training)
    for _ in range(size["epochs"]):
        for layer in network.layers[1:-1]:
            layer.reset_states()
        begun = time.perf_counter()
        network.fit(x, y, batch_size=size["rows"], shuffle=False, verbose=0)
        report(update=(time.perf_counter() - begun) / len(training[0]))


def keras_jit_text(size):
    """The same with `jit_compile=True`."""
    keras_text(size, jit_compile=True)


def lstmcli_first_update(size):
    """What `lstmcli train` does up to its first updates: prints a line, and is gone."""
    import lstmcli.cli.app  # noqa: F401 - the command loads it too.
    from lstmcli import api
    from lstmcli.config import Config
    from lstmcli.training import run_dir

    config = Config.build(**size["settings"])
    directory = run_dir.create(Path("run"), api.label(config), False)
    run = api.prepare(api.open_data(config), directory)
    from lstmcli.training.trainer import Progress, train

    for record in train(run):
        if isinstance(record, Progress) and record.windows:
            report(windows=record.windows)
            sys.stdout.flush()
            os._exit(0)


def lstmcli_table(size):
    """`lstmcli.train` and `lstmcli.evaluate` on a table: a line for each seed's test part."""
    import lstmcli

    run = lstmcli.train("run", replicas=size["seeds"], cache=False, **AS_PEERS, **size["settings"])
    for score in lstmcli.evaluate(run).scores:
        report(accuracy=score.accuracy, rmse=score.rmse)


def torch_table(size):
    """The same model in PyTorch, on the windows that lstmcli reads and cuts."""
    import torch

    from lstmcli.config import Config
    from lstmcli.data.datasets import open_source

    torch.set_num_threads(1)  # So small a model is slower on two; its time is not compared.
    for seed in range(size["seeds"]):
        torch.manual_seed(seed)
        source = open_source(Config.build(seed=seed, **size["settings"]))
        network = TorchTable(source)
        best, lowest = None, math.inf
        for epoch in range(source.config.training.epochs):
            for loss, _ in network.losses(source.training(epoch)[0]):
                network.optimizer.zero_grad(set_to_none=True)
                loss.backward()
                network.optimizer.step()
            if (now := network.score(source.validation()[0])["loss"]) < lowest:
                best, lowest = copy.deepcopy(network.modules.state_dict()), now
        network.modules.load_state_dict(best)
        found = network.score(source.test()[0])
        if source.spec.head == "softmax":
            report(accuracy=found["accuracy"], rmse=None)
        else:
            scale = source.schema.target[0].scale
            report(accuracy=None, rmse=math.sqrt(found["loss"]) * scale)


class TorchTable:
    """`nn.LSTM` and a linear layer for the series of a source.

    Args:
        source: numeric inputs; classes or numbers; sequences of a window each, or one endless one.
    """

    def __init__(self, source):
        import torch

        spec, model = source.spec, source.config.model
        self.classes = spec.head == "softmax"
        stack = torch.nn.LSTM(spec.numbers, model.state_size, model.layers)
        head = torch.nn.Linear(model.state_size, spec.outputs)
        self.modules = torch.nn.ModuleList([stack, head])
        rate = source.config.training.learning_rate
        self.optimizer = torch.optim.Adam(self.modules.parameters(), lr=rate, eps=1e-7)

    def losses(self, windows):
        """Yields each window's loss, with what it gave and was to give at its scored steps."""
        import torch
        from torch.nn.functional import cross_entropy, mse_loss

        arrays = windows.take(0, len(windows))
        if "starts" in arrays and arrays["starts"][:, 1:].any():
            raise ValueError("a sequence begins within a window")
        stack, head = self.modules
        state = None
        for window in range(len(windows)):
            x, y = (torch.from_numpy(arrays[name][window]) for name in ("numbers", "targets"))
            outputs, state = stack(x, None if "starts" in arrays else state)
            state = tuple(part.detach() for part in state)
            scored = torch.from_numpy(arrays.get("scored", np.ones_like(arrays["targets"]))[window])
            given, wanted = head(outputs)[scored.bool()], y[scored.bool()]
            yield (
                cross_entropy(given, wanted.long()) if self.classes else mse_loss(given, wanted),
                (given.detach(), wanted),
            )

    def score(self, windows):
        """The mean loss over all scored steps, and the share of right ones.

        A part begins with windows that are read, not scored: they warm the state up.
        """
        import torch

        with torch.no_grad():
            found = [(loss, *pair) for loss, pair in self.losses(windows) if len(pair[1])]
        counts = [len(wanted) for _, _, wanted in found]
        losses = [float(loss) for loss, _, _ in found]
        pairs = [(given, wanted) for _, given, wanted in found]
        right = sum(
            int((given.argmax(1) == wanted).sum()) for given, wanted in pairs if self.classes
        )
        return {"loss": np.average(losses, weights=counts), "accuracy": right / sum(counts)}


if __name__ == "__main__":
    contenders = (
        lstmcli_text, torch_text, keras_text, keras_jit_text, lstmcli_first_update, lstmcli_table,
        torch_table,
    )  # fmt: skip
    {each.__name__: each for each in contenders}[sys.argv[1]](json.loads(sys.argv[2]))
