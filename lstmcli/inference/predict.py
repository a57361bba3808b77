"""Predictions of a trained model for a stream of lines, of characters or of arrays."""

from __future__ import annotations

import codecs
import csv
import gzip
import io
import warnings
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, cast

import numpy as np

from lstmcli.data.bounded import LONGEST_LINE
from lstmcli.data.table import files as table_files
from lstmcli.data.table import memory as in_memory
from lstmcli.inference import state_file, streams
from lstmcli.inference.steps import StepModel
from lstmcli.inference.streams import AT_ONCE, Answer, CharacterStream, LineStream
from lstmcli.training import load
from lstmcli.training.checkpoint import Checkpoint
from lstmcli.training.load import AnyPath
from lstmcli.utils import kinds
from lstmcli.utils.errors import FileError, UsageError, shell_quote
from lstmcli.utils.settings import check_path

if TYPE_CHECKING:
    import pandas as pd

    from lstmcli.data.table.memory import InMemory

COLUMNS = {
    "<index>": "The index of the row; of data without an index it is `step`, the line from 0 on.",
    "prediction": "The most probable class, or the predicted number in its own units; "
    "`prediction_<name>` of each of several.",
    "probability": "Of classes, the probability of that class.",
    "<kept>": "Each column that `--keep` names; `file_<kept>` where the name is taken.",
}
"""What the columns of predictions mean; what stands in angle brackets is a name of the data."""

PIECE = 1 << 16
"""The most bytes that are read at a time; from a pipe, those that have arrived."""
ARRAYS, PARQUET = ".npz", ".parquet"
UNREADABLE = "surrogateescape"
"""How a byte that the encoding does not have is read: so that the line that has it can be named."""


def choose_seeds(model: Checkpoint, seed: int | None, ensemble: bool) -> list[int]:
    """The seeds whose networks predict; by default the one with the lowest validation loss.

    Raises:
        UsageError: there is no such seed, or both a seed and an ensemble are asked for.
    """
    if seed is not None and ensemble:
        raise UsageError(
            "`--seed` and `--ensemble` exclude each other: an ensemble uses all seeds",
            "leave one of them out",
        )
    if ensemble:
        return model.seeds
    if seed is None:
        return [model.seeds[model.best_replica]]
    if seed not in model.seeds:
        known = ", ".join(map(str, model.seeds))
        raise UsageError(
            f"the checkpoint has no model of seed {seed}: it has those of {known}",
            "name one of these, or leave `--seed` out for the best by validation loss",
        )
    return [seed]


def seed_note(model: Checkpoint) -> str:
    """Says which seed of several is used, and why."""
    best = model.seeds[model.best_replica]
    loss = {each["seed"]: each["val_loss"] for each in model.metadata["best"]}.get(best)
    if loss is None:
        return f"using seed {best}, the first of {len(model.seeds)}"
    return f"using seed {best}, the best of {len(model.seeds)} by validation loss ({loss:.3g})"


@dataclass
class Stream:
    """A stream, and the networks that predict for it.

    Attributes:
        model: the checkpoint.
        seeds: whose networks predict.
        where: what the stream is called.
        keep: columns that are passed through.
    """

    model: Checkpoint
    seeds: Sequence[int]
    where: str
    keep: Sequence[str] = ()

    def __post_init__(self) -> None:
        replicas = [self.model.seeds.index(seed) for seed in self.seeds]
        self._steps = StepModel(self.model, replicas)
        self._config = self.model.config.data
        schema = self._steps.schema
        self._text = CharacterStream(self._steps, self.where) if schema.kind == "text" else None
        self._lines = LineStream(self._steps, self._config, self.where, self.keep)
        if self.keep and self._text:
            raise UsageError("`--keep` has no effect: a text has no columns", "leave `--keep` out")
        self._goes_on = False
        codec = self._config.encoding or "utf-8-sig"
        decoder = codecs.getincrementaldecoder(codec)(UNREADABLE)
        # A model of an older version may have kept the line ends of its file.
        as_it_is = self._text is not None and "\r" in (schema.symbols[0].values or ())
        self._decoder = io.IncrementalNewlineDecoder(decoder, translate=not as_it_is)
        self._rest = ""

    def restore(self, path: Path) -> None:
        """Restores the state that another call has saved.

        Raises:
            FileError: the file does not hold the state of this model.
        """
        known, sequences = state_file.read(path, self._checksum, self._steps)
        self._goes_on = True
        try:
            if self._text:
                self._text.carried, self._text.count = sequences[""], int(known["count"])
                waiting, flags = known["decoder"]
                self._decoder.setstate((bytes.fromhex(waiting), int(flags)))
                return
            self._lines.sequences, self._lines.count = sequences, int(known["count"])
            if known["columns"] is not None:
                names, separator, decimal = known["columns"]
                self._lines.known = [str(name) for name in names], str(separator), decimal
        except (KeyError, TypeError, ValueError) as error:
            raise FileError(
                f"`{path}` holds no state of such a stream, or is damaged: {error}",
                "name another file with `--state`: a new one is created",
            ) from error

    def save(self, path: Path) -> None:
        """Saves the stream's state.

        Raises:
            OSError: the file cannot be written.
        """
        if self._text:
            waiting, flags = self._decoder.getstate()
            known: dict[str, Any] = {
                "count": self._text.count,
                "decoder": [bytes(waiting).hex(), flags],
            }
            state_file.write(path, self._checksum, known, {"": self._text.carried})
            return
        layout, columns = self._lines.layout, self._lines.known
        if layout is not None:
            columns = layout.names, layout.separator, layout.numbers.decimal
        known = {"count": self._lines.count, "columns": columns}
        state_file.write(path, self._checksum, known, self._lines.sequences)

    @property
    def _checksum(self) -> str:
        return state_file.model_checksum(self.model, self.seeds)

    def begin(self) -> list[Answer]:
        """The output before anything is read: for a text, the header."""
        return [self._text.header()] if self._text and not self._goes_on else []

    def feed(
        self, data: bytes, strict: bool = False, final: bool = False
    ) -> Iterator[list[Answer]]:
        """Predicts for the next bytes.

        Args:
            data: the bytes.
            strict: whether to stop at the first invalid line.
            final: whether these are the last bytes: then they end the last line.

        Yields:
            Some lines of the output, one for each line or character of the input.

        Raises:
            FileError: the stream lacks a column that the model needs, or a line has no end.
        """
        text = self._decoder.decode(data, final)
        if self._text:
            for begin in range(0, len(text), AT_ONCE):
                yield self._text.feed(text[begin : begin + AT_ONCE], strict)
            return
        *lines, self._rest = (self._rest + text).split("\n")
        if len(self._rest) > LONGEST_LINE:
            raise FileError(
                f"`{self.where}`: expected a line of at most {LONGEST_LINE:,} characters, got a "
                "longer one",
                "save it with a line for each row",
            )
        if final and self._rest:
            lines.append(self._rest)
        if final and not lines and self._lines.layout is None and not self._goes_on:
            raise FileError(
                f"`{self.where}` is empty: expected a line that names the columns",
                table_files.EXAMPLE,
            )
        for begin in range(0, len(lines), AT_ONCE):
            yield self._lines.feed(lines[begin : begin + AT_ONCE], strict)

    def feed_arrays(self, path: Path) -> Iterator[list[Answer]]:
        """Predicts for a dataset of arrays, which is read completely first.

        Raises:
            FileError: it is missing or damaged, or does not fit the model.
        """
        from lstmcli.data import readers

        series, _ = readers.read_whole(path, self._steps.schema, self._config, to_score=False)
        if not self._goes_on:
            yield [streams.series_header(self._steps)]
        carried = self._lines.sequences.get("") or self._steps.begin()
        starts = np.zeros(len(series), np.bool_) if series.starts is None else series.starts
        cuts = np.unique([*range(0, len(series), AT_ONCE), *np.flatnonzero(starts), len(series)])
        for begin, end in zip(cuts[:-1].tolist(), cuts[1:].tolist(), strict=True):
            if starts[begin]:
                carried = self._steps.begin()
            part = series.cut(slice(begin, end))
            yield [*streams.predict_series(self._steps, carried, part, self._lines.count)]
            self._lines.sequences = {"": carried}
            self._lines.count += len(part)


def _as_table(
    model: Checkpoint, seeds: Sequence[int], source: Path | bytes, where: str
) -> pd.DataFrame:
    """The predictions for a whole stream, as a pandas DataFrame.

    Args:
        model: the checkpoint.
        seeds: whose networks predict.
        source: a file, or its content.
        where: what the stream is called.

    Returns:
        The columns that `lstmcli predict` writes, the first as the index: a row for each of the
        stream's, which is empty, with a warning, where nothing is predicted.

    Raises:
        FileError: as `Stream.feed` and `Stream.feed_arrays`.
    """
    import pandas as pd

    stream = Stream(model, seeds, where)
    if isinstance(source, Path) and source.suffix == ARRAYS:
        pieces = list(stream.feed_arrays(source))
    else:
        content = source if isinstance(source, bytes) else _whole(source)
        pieces = [stream.begin(), *stream.feed(content, final=True)]
    header, *answers = [answer for piece in pieces for answer in piece]
    if bad := [answer for answer in answers if not isinstance(answer, str)]:
        more = f", and {len(bad) - 1:,} more" if len(bad) > 1 else ""
        warnings.warn(f"{bad[0]}: no prediction{more}", stacklevel=3)
    columns = next(csv.reader([str(header)]))
    empty = [None] * len(columns)
    rows = [
        next(csv.reader([answer])) if isinstance(answer, str) and answer else empty
        for answer in answers
    ]
    found = pd.DataFrame(rows, columns=columns).set_index(columns[0])
    numeric = found.columns if model.schema.classes is None else ["probability"]
    return found.assign(**{name: pd.to_numeric(found[name]) for name in numeric})


def opened(file: Path) -> IO[bytes]:
    """A file's bytes, unpacked."""
    return cast("IO[bytes]", gzip.open(file)) if file.suffix == ".gz" else file.open("rb")


def read_some(source: Any, file: Path | None, most: int) -> bytes:
    """The next bytes, as soon as there are any; none at the end.

    Raises:
        FileError: a compressed file is damaged.
    """
    try:
        return bytes(source.read1(most))
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise FileError(
            f"`{file}` is damaged: {error}", "compress the table again, or give it uncompressed"
        ) from error


def _whole(file: Path) -> bytes:
    with opened(file) as source:
        return b"".join(iter(lambda: read_some(source, file, PIECE), b""))


def check_file(file: Path, model: Checkpoint, checkpoint: Path) -> None:
    """Refuses a file that cannot be read line by line.

    Raises:
        FileError: it is missing, or of a wrong kind.
    """
    kind = model.schema.kind
    plain = kinds.WRITTEN_AS_TEXT if kind == "text" else ()
    wrong = kinds.mismatch(file, "data", *kinds.DATA, *plain)
    if wrong or not file.exists():
        raise FileError(
            wrong or f"cannot read `{file}`: there is no such file",
            "name one file; without a name, standard input is read",
        )
    if file.suffix == PARQUET:
        raise FileError(
            f"`{file}` cannot be read line by line",
            f"save it as CSV; or `lstmcli eval {shell_quote(checkpoint)} --data "
            f"{shell_quote(file)} --predictions predictions.csv` predicts it whole",
        )
    if file.suffix == ARRAYS and kind != "series":
        raise FileError(
            f"`{file}` is a dataset of arrays, and the model was trained on a {kind}",
            f"`lstmcli inspect {shell_quote(checkpoint)}` shows what it was trained on",
        )


def predict(
    checkpoint: AnyPath,
    data: AnyPath | InMemory,
    *,
    seed: int | None = None,
    ensemble: bool = False,
) -> pd.DataFrame:
    """Predicts for each row of a table or each character of a text, with the state carried along.

    Args:
        checkpoint: the file, or the directory of a run or of a sweep.
        data: a file as `lstmcli predict` takes it, or a table in memory; the target may be missing.
        seed: of the model; by default the one with the lowest validation loss.
        ensemble: whether to use the mean of all seeds' models.

    Returns:
        `prediction`, in the target's own units or words, and for classes `probability`: a row for
        each row of the data, with its index. A row that cannot be predicted is empty, with a
        warning.

    Raises:
        LstmcliError: with the message that `lstmcli predict` would print.
    """
    path, model = load.read_own_checkpoint(Path(checkpoint))
    seeds = choose_seeds(model, seed, ensemble)
    if in_memory.is_in_memory(data):
        frame = in_memory.frame_of(data)
        rows = frame.replace(r"[\r\n]+", " ", regex=True)  # A row is a line of the stream.
        found = _as_table(model, seeds, rows.to_csv(index=False).encode(), "data")
        return found.set_axis(getattr(data, "index", frame.index), axis=0)
    check_path(data)
    file = Path(cast(AnyPath, data))
    check_file(file, model, path)
    return _as_table(model, seeds, file, str(file))
