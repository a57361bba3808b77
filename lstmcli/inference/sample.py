"""Text written by a trained model: each character is drawn given all before it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from lstmcli.core import numpy_lstm
from lstmcli.data.schema import Schema
from lstmcli.utils.errors import FileError, UsageError, shell_quote

if TYPE_CHECKING:
    from lstmcli.core.numpy_lstm import Network
    from lstmcli.training.checkpoint import Checkpoint


def text_schema(model: Checkpoint, path: Path) -> Schema:
    """The schema of a model that was trained on text.

    Raises:
        FileError: it was not, or its schema does not fit its tensors.
    """
    saved = model.metadata.get("schema")
    if saved is None or (isinstance(saved, dict) and saved.get("kind") != "text"):
        raise FileError(
            f"the model in `{path}` was not trained on text: it has no characters to write",
            f"`lstmcli inspect {shell_quote(path)}` shows what it was trained on",
        )
    try:
        schema = Schema.from_dict(saved)
        [column] = schema.symbols
        sizes = {len(column.values or ()), column.size, schema.classes}
        sizes |= {model.metadata["features"], model.metadata["classes"]}
        if schema.numbers or len(sizes) > 1:
            raise ValueError("its vocabulary does not fit its tensors")
    except (KeyError, TypeError, ValueError) as error:
        raise FileError(
            f"the vocabulary in `{path}` is damaged: {error}",
            "the run directory's other checkpoint (`last` or `best`) may be whole",
        ) from error
    return schema


def encode_prompt(prompt: str, schema: Schema) -> list[int]:
    """The characters that a model reads before it writes: the prompt, or else a line's end.

    Raises:
        UsageError: the model does not know a character of the prompt.
    """
    known = {name: number for number, name in enumerate(schema.symbols[0].values or ())}
    unknown = dict.fromkeys(character for character in prompt if character not in known)
    if unknown:
        names = ", ".join(map(repr, unknown))
        raise UsageError(
            f"`--prompt` has characters that the model's training text does not have: {names}",
            "leave them out: the model does not know them",
        )
    return [known[character] for character in prompt] or [known.get("\n", 0)]


def draw(
    network: Network, begin: list[int], length: int, temperature: float, seed: int
) -> Iterator[int]:
    """Yields the numbers of characters, each drawn after all before it.

    Args:
        network: the model.
        begin: what it is given first: one character at least.
        length: how many are drawn.
        temperature: what the logits are divided by; at 0 the likeliest is taken.
        seed: of the draws.
    """
    rng = np.random.default_rng(seed)
    state = numpy_lstm.zero_state(network, rows=1)
    given = begin
    for _ in range(length):
        for number in given:
            logits, state = numpy_lstm.step(network, state, np.array([[number]]))
        chosen = _choose(logits[0], temperature, rng)
        yield chosen
        given = [chosen]


def _choose(
    logits: npt.NDArray[np.floating[Any]], temperature: float, rng: np.random.Generator
) -> int:
    """Draws a class from softmax(logits / temperature), by the inverse of its distribution."""
    if temperature == 0:
        return int(logits.argmax())
    below = logits.astype(np.float64) - logits.max()
    with np.errstate(over="ignore"):  # A tiny temperature: -inf, and a probability of 0.
        cumulative = np.exp(below / temperature).cumsum()
    return int(cumulative.searchsorted(rng.random() * cumulative[-1], side="right"))
