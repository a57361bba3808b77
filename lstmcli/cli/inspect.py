"""`lstmcli inspect`: what a checkpoint holds."""

from __future__ import annotations

import math
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lstmcli.cli.options import CheckpointPath, Json
from lstmcli.cli.output import print_json, print_sentence, print_table, say

if TYPE_CHECKING:
    from lstmcli.data.schema import Categorical, Numeric, Schema
    from lstmcli.training.checkpoint import Checkpoint

MOST_COLUMNS = 12  # inputs and targets that have a line each; JSON has all


def inspect(
    checkpoint: CheckpointPath,
    show_state: Annotated[
        bool, typer.Option("--state", help="Show the numbers of the carried state too.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Show a checkpoint's columns, layers, parameters and provenance.

    The state is the article's tensor [layers, 2, batch, state]: for each layer its cell state c and
    its hidden state h, a row for each row of the series.
    """
    from lstmcli.training import load
    from lstmcli.training.checkpoint import diverged
    from lstmcli.training.load import best_trial, folder_of
    from lstmcli.training.run_dir import with_paths_from
    from lstmcli.utils.errors import FileError

    path, model = load.read_own_checkpoint(checkpoint, finite=False)
    if trial := best_trial(checkpoint):
        say("note", trial.note)
    if strange := diverged(path, model):
        say("warning", strange.message)
    description = {"checkpoint": str(path), **_describe(model)}
    with suppress(FileError):  # The dataset may be gone: its old path is shown then.
        description["config"] = with_paths_from(description["config"], folder_of(path))
    if as_json:
        state = {
            str(seed): model.tensors["state"][i].tolist() for i, seed in enumerate(model.seeds)
        }
        print_json({**description, "state": state})
        return
    _print_provenance(description)
    _print_schema(model.schema)
    _print_layers(description)
    if show_state:
        _print_state(model)


def _describe(model: Checkpoint) -> dict[str, Any]:
    """Everything but the tensors' values."""
    from lstmcli import model_spec

    groups: dict[str, dict[str, list[int]]] = {}
    for name in sorted(model_spec.parameters(model.tensors)):
        group, _, part = name.rpartition(".")
        groups.setdefault(group, {})[part] = list(model.tensors[name].shape[1:])
    layers = [
        {
            "layer": group,
            "tensors": tensors,
            "parameters": sum(math.prod(shape) for shape in tensors.values()),
        }
        for group, tensors in sorted(groups.items(), key=_order)
    ]
    known = (
        "version",
        "kind",
        "position",
        "seeds",
        "data_seeds",
        "best",
        "elapsed_seconds",
        "config",
    )
    return {
        **{name: model.metadata[name] for name in known},
        "features": model.metadata["features"],
        "classes": model.metadata["classes"],
        "schema": model.schema.to_dict(),
        "layers": layers,
        "parameters": sum(layer["parameters"] for layer in layers),
        "state_shape": list(model.tensors["state"].shape[1:]),
    }


def _order(group: tuple[str, Any]) -> tuple[bool, int]:
    """Layers by number, the output last."""
    name, _, number = group[0].partition(".")
    return name == "dense", int(number or 0)


def _print_provenance(description: dict[str, Any]) -> None:
    from lstmcli.config import Config
    from lstmcli.data.tasks import described
    from lstmcli.utils.errors import plural
    from lstmcli.utils.terminal import escape_unprintable

    path, version = (
        escape_unprintable(description["checkpoint"]),
        escape_unprintable(description["version"]),
    )
    config = Config.build(description["config"])
    settings = f"{config.model.layers:,} {plural(config.model.layers, 'layer')} of "
    settings += f"{config.model.state_size:,} {plural(config.model.state_size, 'unit')}"
    seeds = description["seeds"]
    count = f"{description['parameters']:,} parameters"
    of_seeds = f"{plural(len(seeds), 'seed')} {', '.join(map(str, seeds))}"
    print_sentence(f"model: {settings}, {count}; {of_seeds}")
    typer.echo(f"checkpoint: {path} (lstmcli {version})")
    data = described(config.data)
    print_sentence(f"trained: {_extent(description)}, on {escape_unprintable(data)}")
    for best in description["best"]:
        if best["val_loss"] is not None:
            print_sentence(
                f"seed {best['seed']}: lowest validation loss {best['val_loss']:.3g}, "
                f"in epoch {best['epoch']}"
            )


def _print_schema(schema: Schema) -> None:
    """Each input and target, the head and the loss."""
    from lstmcli.reporting import formatting

    inputs: list[Numeric | Categorical] = [*schema.numbers, *schema.symbols]
    for kind, columns in (("input", inputs), ("target", [*schema.targets])):
        for column in columns[:MOST_COLUMNS]:
            lead = getattr(column, "lead", None)
            ahead = f", {lead} step{'s' * (lead > 1)} ahead" if lead else ""
            named = formatting.name(column.name) + ahead
            print_sentence(f"{kind}: {named}, {_column(schema, column)}")
        if (more := len(columns) - MOST_COLUMNS) > 0:
            print_sentence(f"{kind}: and {more:,} others (`--json` shows all)")
    if (linear := schema.autoregression) is not None:
        lags = len(linear.weights)
        steps = f"the last {lags:,} steps'" if lags > 1 else "a step's"
        print_sentence(f"linear autoregression: on {steps} inputs")
    target = schema.target_kind
    print_sentence(f"head: {target.head}; the loss is the {target.loss_name}")


def _column(schema: Schema, column: Numeric | Categorical) -> str:
    """What a column holds, in words."""
    from lstmcli.data.schema import Numeric
    from lstmcli.reporting import formatting

    if isinstance(column, Numeric):
        return f"a number (mean {column.mean:.6g}, scale {column.scale:.6g})"
    return f"one of {column.size:,}: {formatting.values(schema, column)}"


def _extent(description: dict[str, Any]) -> str:
    """How long it was trained; in a best checkpoint each seed has its own epoch."""
    from lstmcli.utils.errors import plural

    if description["kind"] == "best" and len(description["seeds"]) > 1:
        return "each seed to the epoch of its lowest validation loss"
    position = description["position"]
    epochs, windows = position["epoch"], position["step"]
    extent = f"{epochs} {plural(epochs, 'epoch')}, {windows:,} {plural(windows, 'window')}"
    return f"{extent} ({position['window']} of the next epoch)" if position["window"] else extent


def _print_layers(description: dict[str, Any]) -> None:
    from lstmcli.data.schema import Schema

    rows = [
        [
            layer["layer"] if first else "",
            name,
            str(shape),
            f"{layer['parameters']:,}" if first else "",
        ]
        for layer in description["layers"]
        for number, (name, shape) in enumerate(layer["tensors"].items())
        for first in [number == 0]
    ]
    rows.append(["all", "", "", f"{description['parameters']:,}"])
    print_table(["layer", "tensor", "shape", "parameters"], rows)
    training = description["config"]["training"]
    layers, _, rows, size = description["state_shape"]
    head = Schema.from_dict(description["schema"]).target_kind.head_name
    print_sentence(
        f"unrolled: {training['bptt']} steps per window; at each step the top layer "
        f"(lstm.{layers - 1}) outputs [{rows}, {size}], the {head} [{rows}, "
        f"{description['classes']}]"
    )
    shape = description["state_shape"]
    print_sentence(f"state: {shape} = [layers, 2 (c, h), batch, state]; `--state` shows it")


def _print_state(model: Checkpoint) -> None:
    import numpy as np

    for seed, state in zip(model.seeds, model.tensors["state"], strict=True):
        for layer, (c, h) in enumerate(state):
            for name, values in (("c", c), ("h", h)):
                where = f"seed {seed}, layer {layer}, {name}"
                text = np.array2string(values, precision=3, suppress_small=True, threshold=100)
                typer.echo(f"{where}:\n{text}")
