"""`lstmcli export`: writes a trained model for other programs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lstmcli.cli.options import PATH, CheckpointPath, Json, Overwrite, choices
from lstmcli.cli.output import print_json, print_sentence, say

if TYPE_CHECKING:
    from lstmcli.inference.export import Exported


def export(
    checkpoint: CheckpointPath,
    out: Annotated[
        Path,
        typer.Argument(
            help="File ending in .keras, .onnx or .safetensors; without an ending, the directory "
            "of a SavedModel.",
            metavar="OUT",
            show_default=False,
            **PATH,
        ),
    ],
    format: Annotated[
        str | None,
        typer.Option(
            help="Format (default: by the file's ending).",
            **choices(("keras", "onnx", "safetensors", "saved_model")),
        ),
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option(
            metavar="N", help="Seed of the model (default: that with the lowest validation loss)."
        ),
    ] = None,
    stateful: Annotated[
        bool,
        typer.Option(
            "--stateful",
            help="Write a Keras model of one row that keeps its state from call to call.",
        ),
    ] = False,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Write a trained model for Keras, TensorFlow, ONNX or PyTorch.

    The model contains scales and vocabularies: it takes and returns numbers in their own units, and
    words. Exceptions: .onnx takes words as numbers, and .safetensors has PyTorch's tensors, with
    scales and vocabularies as metadata. A SavedModel takes and returns the state [layers, 2, batch,
    state].
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
        print_sentence(escape_unprintable(line))


def _facts(found: Exported) -> dict[str, object]:
    """What `--json` prints."""
    known = {"file": str(found.path), "checkpoint": str(found.checkpoint)}
    return {**known, **found.description, "format": found.format}


def _lines(found: Exported) -> list[str]:
    """What was written, and the model's inputs and outputs."""
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
