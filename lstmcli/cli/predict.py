"""`lstmcli predict`: one prediction for each line, of a file or of standard input."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lstmcli.cli.options import PATH, PATH_OPTION, CheckpointPath
from lstmcli.cli.output import say
from lstmcli.utils.errors import FileError, LstmcliError, StoppedError
from lstmcli.utils.files import check_writable
from lstmcli.utils.signals import StopWhileWaiting

if TYPE_CHECKING:
    from lstmcli.inference.predict import Stream
    from lstmcli.inference.streams import Answer

STANDARD_INPUT = "standard input"


def predict(
    checkpoint: CheckpointPath,
    file: Annotated[
        Path | None,
        typer.Argument(
            help="A CSV file, a text or an .npz file; without one, or for `-`, standard input.",
            metavar="FILE",
            show_default=False,
            **PATH,
        ),
    ] = None,
    state: Annotated[
        Path | None,
        typer.Option(
            help="Start from the state in this file, if it exists, and save the last state to it.",
            **PATH_OPTION,
        ),
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option(
            metavar="N", help="Seed of the model (default: that with the lowest validation loss)."
        ),
    ] = None,
    ensemble: Annotated[
        bool,
        typer.Option("--ensemble", help="Predict with the mean of all seeds' models."),
    ] = False,
    keep: Annotated[
        str | None,
        typer.Option(help="Columns to copy to the output: `id,name`.", metavar="COLUMNS"),
    ] = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="Stop at the first invalid line, with exit code 4.")
    ] = False,
) -> None:
    """Predict each line of a CSV file, or each character of a text.

    The first line names the columns; the target may be missing. The state is carried from line to
    line, and is reset at the start of each sequence (`--group`). The output is CSV: the index or
    the step, the prediction, and for classes its probability. An invalid line is reported on
    standard error and leaves an empty line in the output. TensorFlow is not needed.
    """
    from lstmcli.inference.predict import ARRAYS, Stream, check_file, choose_seeds, seed_note
    from lstmcli.training import load

    if isinstance(sys.stdout.name, int):  # The null device stands for it: `__main__`.
        raise LstmcliError("standard output is closed", "`> FILE` writes the predictions to a file")
    path, model = load.read_own_checkpoint(checkpoint)
    if trial := load.best_trial(checkpoint):
        _note(trial.note)
    seeds = choose_seeds(model, seed, ensemble)
    if len(model.seeds) > 1 and not ensemble and seed is None:
        _note(seed_note(model))
    file = None if file == Path("-") else file
    if file is not None:
        check_file(file, model, path)
    if state is not None:
        check_writable(state)
    kept = [] if keep is None else [name.strip() for name in keep.split(",") if name.strip()]
    stream = Stream(model, seeds, str(file or STANDARD_INPUT), kept)
    if state is not None and state.is_file() and state.stat().st_size:
        stream.restore(state)
    from threadpoolctl import threadpool_limits

    arrays = file is not None and file.suffix == ARRAYS
    with StopWhileWaiting() as stops, threadpool_limits(1):
        answers = (
            stream.feed_arrays(file)
            if arrays and file is not None
            else _answers(stream, file, strict, state is not None, stops.waiting)
        )
        _run(stream, answers, strict, state, stops.waiting)


Waiting = Callable[[], AbstractContextManager[None]]


def _answers(
    stream: Stream, file: Path | None, strict: bool, goes_on: bool, waiting: Waiting
) -> Iterator[Sequence[Answer]]:
    """The output for each piece of a file or of standard input, as it arrives."""
    yield stream.begin()
    # With `--state`, bytes of an incomplete character are kept for the next call.
    ends = not (goes_on and stream.model.schema.kind == "text")
    from lstmcli.inference.predict import PIECE, opened, read_some

    own: AbstractContextManager[Any] = opened(file) if file else nullcontext(standard_input())
    with own as source:
        while True:
            with waiting():
                data = read_some(source, file, PIECE)
            yield from stream.feed(data, strict, final=ends and not data)
            if not data:
                return


def _run(
    stream: Stream,
    answers: Iterator[Sequence[Answer]],
    strict: bool,
    state: Path | None,
    waiting: Waiting,
) -> None:
    """Writes answers as they come, and at the end saves the state, after an error too."""
    try:
        for some in answers:
            bad = _write(some, strict, waiting)
            if bad is not None:
                raise _BadLineError(bad, "correct the line, or leave `--strict` out to skip it")
    except BrokenPipeError:
        # Python flushes standard output once more at exit, which must not fail again.
        with suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except (StoppedError, _BadLineError):
        _keep(stream, state)
        raise
    _keep(stream, state)


class _BadLineError(FileError):
    """An invalid line, with `--strict`."""


def _keep(stream: Stream, state: Path | None) -> None:
    if state is not None:
        stream.save(state)


def _write(some: Sequence[Answer], strict: bool, waiting: Waiting) -> str | None:
    """Writes lines, and warns about invalid ones; with `strict` returns the first of these."""
    bad = [str(answer) for answer in some if not isinstance(answer, str)]
    for message in bad if not strict else ():
        say("warning", f"{message}: no prediction")
    texts = [answer if isinstance(answer, str) else "" for answer in some]
    if strict and bad:
        texts = texts[:-1]
    if texts:
        with waiting():
            _put("\n".join(texts) + "\n")
    return bad[0] if strict and bad else None


def _put(text: str) -> None:
    """Writes and flushes; what cannot be encoded is escaped."""
    encoding = sys.stdout.encoding or "utf-8"
    sys.stdout.buffer.write(text.encode(encoding, "backslashreplace"))
    sys.stdout.buffer.flush()


def standard_input() -> Any:
    """The bytes of standard input."""
    return sys.stdin.buffer


def _note(text: str) -> None:
    say("note", text)
