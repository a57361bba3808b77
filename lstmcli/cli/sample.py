"""`lstmcli sample`: a trained model writes text."""

from __future__ import annotations

import os
import sys
import time
import unicodedata
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Annotated

from lstmcli.cli.options import CheckpointPath, own_option
from lstmcli.cli.output import say
from lstmcli.utils.settings import Settings, setting

if TYPE_CHECKING:
    from lstmcli.training.checkpoint import Checkpoint

BETWEEN_WRITES = 1 / 15
"""Seconds between writes: short enough to look steady, as each write takes time."""


@dataclass(frozen=True)
class SampleConfig(Settings):
    """How text is drawn."""

    length: int = setting(500, "Characters to write after the prompt.", ge=0)
    temperature: float = setting(
        1.0,
        "Values below 1 favour likely characters; 0 always takes the likeliest.",
        ge=0,
        metavar="X",
    )
    prompt: str = setting("", "Text to continue; it is written first.", metavar="TEXT")
    seed: int = setting(0, "Seed of the draws.", ge=0)


_option = partial(own_option, SampleConfig)


def sample(
    checkpoint: CheckpointPath,
    length: Annotated[int, _option("length")] = SampleConfig.length,
    temperature: Annotated[float, _option("temperature")] = SampleConfig.temperature,
    prompt: Annotated[str, _option("prompt")] = SampleConfig.prompt,
    seed: Annotated[int, _option("seed")] = SampleConfig.seed,
) -> None:
    """Write text with a model that was trained on text.

    Each character is drawn from the softmax of the logits divided by the temperature, and is the
    next input. From a run directory the best checkpoint is used; of several seeds, the one with the
    lowest validation loss.
    """
    from lstmcli.core import numpy_lstm
    from lstmcli.inference import sample as text
    from lstmcli.training import load
    from lstmcli.training.load import best_trial

    config = SampleConfig(length, temperature, prompt, seed)
    path, model = load.read_own_checkpoint(checkpoint)
    if trial := best_trial(checkpoint):
        say("note", trial.note)
    schema = text.text_schema(model, path)
    begin = text.encode_prompt(prompt, schema)
    replica = _best_replica(model)
    network = numpy_lstm.network(model.tensors, replica, schema.spec(False, False))
    names = schema.symbols[0].values or ()
    numbers = text.draw(network, begin, config.length, config.temperature, config.seed)
    drawn = (names[number] for number in numbers)
    _write(_pieces(prompt, drawn))


def _best_replica(model: Checkpoint) -> int:
    """The replica with the lowest validation loss; a note names its seed if there are several."""
    from lstmcli.inference.predict import seed_note

    if len(model.seeds) > 1:
        say("note", seed_note(model))
    return model.best_replica


def _write(pieces: Iterator[str]) -> None:
    """Writes text as it comes; ends quietly if the reader, such as `head`, has closed the pipe."""
    try:
        _write_all(pieces)
    except BrokenPipeError:
        # Python flushes standard output once more at exit, which must not fail again.
        with suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _write_all(pieces: Iterator[str]) -> None:
    """Writes text; on a terminal ends its last line, after Ctrl-C too."""
    terminal, in_line = sys.stdout.isatty(), False
    try:
        for text in pieces:
            in_line = not text.endswith("\n")  # Set first, as Ctrl-C may come during the write.
            _put(text, terminal)
    finally:
        if terminal and in_line:
            _put("\n", terminal)


def _pieces(prompt: str, drawn: Iterator[str]) -> Iterator[str]:
    """Collects characters, and yields them a few times a second."""
    waiting = [prompt] if prompt else []
    last = time.monotonic()
    for character in drawn:
        waiting.append(character)
        if time.monotonic() - last >= BETWEEN_WRITES:
            yield "".join(waiting)
            waiting, last = [], time.monotonic()
    if waiting:
        yield "".join(waiting)


def _put(text: str, terminal: bool) -> None:
    """Writes and flushes; what cannot be encoded, or a terminal would obey, is escaped."""
    if terminal:
        text = "".join(map(_harmless, text))
    encoding = sys.stdout.encoding or "utf-8"
    sys.stdout.write(text.encode(encoding, "backslashreplace").decode(encoding))
    sys.stdout.flush()


def _harmless(character: str) -> str:
    """A character, escaped if it is a control character that a terminal would obey."""
    control = unicodedata.category(character) == "Cc" and character not in "\n\t"
    return repr(character)[1:-1] if control else character
