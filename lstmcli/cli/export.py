"""`lstmcli export`: a trained model as other programs read it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lstmcli.cli.completion import one_of
from lstmcli.cli.options import PATH, CheckpointPath, Json, Overwrite
from lstmcli.cli.output import print_json, say

if TYPE_CHECKING:
    from lstmcli.inference.export import Exported


def export(
    checkpoint: CheckpointPath,
    out: Annotated[
        Path,
        typer.Argument(
            help="The file: .keras, .onnx or .safetensors, by its ending; without one the "
            "directory of a SavedModel.",
            show_default=False,
            **PATH,
        ),
    ],
    format: Annotated[
        str | None,
        typer.Option(
            help="keras, onnx, safetensors or saved_model, where the name does not say it.",
            autocompletion=one_of(("keras", "onnx", "safetensors", "saved_model")),
        ),
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option(help="Of several seeds, whose model (default: the best by validation)."),
    ] = None,
    stateful: Annotated[
        bool,
        typer.Option(
            "--stateful", help="A Keras model that keeps its state from call to call, of one row."
        ),
    ] = False,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Write a trained model for Keras, TensorFlow, ONNX or PyTorch.

    Numbers go in and come out in their own units, words as words: scales and vocabularies are part
    of the model (of .safetensors, whose tensors have PyTorch's names, they are metadata, and for
    .onnx words are numbers). A SavedModel takes and returns the state [layers, 2, batch, state].
    """
    from lstmcli import api
    from lstmcli.utils.terminal import escape_unprintable

    found = api.export(
        checkpoint, out, format=format, seed=seed, stateful=stateful, overwrite=overwrite
    )
    for note in found.notes:
        say("note", note)
    if as_json:
        print_json(_facts(found))
        return
    for line in _lines(found):
        typer.echo(escape_unprintable(line))


def _facts(found: Exported) -> dict[str, object]:
    """What `--json` prints."""
    known = {"file": str(found.path), "checkpoint": str(found.checkpoint)}
    return {**known, **found.description, "format": found.format}


def _lines(found: Exported) -> list[str]:
    """What was written, and what the model takes and gives."""
    about = found.description
    layers = f"{about['layers']} layer{'s' * (about['layers'] > 1)} of {about['state_size']} units"
    lines = [f"wrote {found.path}: seed {found.seed} of {found.checkpoint}, {layers}"]
    for kind in ("inputs", "outputs"):
        lines += [f"{kind[:-1]}: {_tensor(each)}" for each in about[kind]]
    return lines


def _tensor(tensor: dict[str, object]) -> str:
    """`numbers [batch, steps, 2]: temp, load, in their own units`."""
    from lstmcli.utils.errors import listed

    shape = ", ".join(map(str, tensor["shape"]))  # type: ignore[call-overload]
    said = [listed(tensor["columns"]), tensor["about"]]  # type: ignore[arg-type]
    words = ", ".join(str(each) for each in said if each)
    return f"{tensor['name']} [{shape}]: {words}"
