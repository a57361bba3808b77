"""What a sweep has come to, kept beside its tables, and read back without training anything."""

from __future__ import annotations

import hashlib
import json
import tomllib
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lstmcli import __version__
from lstmcli.config import SweepConfig
from lstmcli.errors import FileError
from lstmcli.files import write_atomically
from lstmcli.runs import checkpoint, finding
from lstmcli.sweeps import grid, tables
from lstmcli.sweeps.directory import SweepDirectory

if TYPE_CHECKING:
    import pandas as pd

    from lstmcli.sweeps.material import Unit


@dataclass(frozen=True)
class Finished:
    """A sweep on disk.

    Attributes:
        directory: where.
        identity: what makes it one sweep, as `sweep.toml` has it.
        files: where its files lie, from its directory, by setting.
        margin: what its answer was asked with.
        trials, summary: the columns of `trials.csv` and `summary.csv`.
        answers: a sentence for each combination of the settings swept besides depth.
    """

    directory: SweepDirectory
    identity: dict[str, Any]
    files: dict[str, str]
    margin: float
    trials: pd.DataFrame
    summary: pd.DataFrame
    answers: list[str]

    @property
    def swept(self) -> list[str]:
        """The columns of the settings that were swept besides depth."""
        return swept_columns(self.identity)


def swept_columns(identity: dict[str, Any]) -> list[str]:
    """The columns of the settings that a sweep has several values of, besides depth."""
    return [grid.column(name) for name in grid.in_order(identity["swept"])]


def record(directory: SweepDirectory, margin: float, answers: Sequence[str]) -> None:
    """Writes `sweep.json`: the answer, the margin it rests on, and which trials it is of."""
    known = {
        "version": __version__,
        "margin": margin,
        "answers": list(answers),
        "trials_sha256": _checksum(directory.trials),
    }
    write_atomically(directory.status, f"{json.dumps(known, indent=2)}\n".encode())


def read(path: Path) -> Finished:
    """Reads a sweep's tables and its answer.

    Where more trials have ended since the answer was given, or none was kept, they are judged anew.

    Raises:
        FileError: a file of it is damaged, or no trial has ended.
    """
    directory = SweepDirectory(path)
    try:
        known = tomllib.loads(directory.config.read_text("utf-8"))
        identity, files = known["sweep"], known.get("files", {})
        swept = swept_columns(identity)
        trials = _trials(directory.trials, swept)
        margin, answers = _recorded(directory)
        if answers:
            summary = _read_csv(directory.summary)
        else:
            summary, answers = _judged(directory, identity, trials, margin)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise FileError(
            f"the sweep in `{path}` is damaged: {error}",
            "the command that made it, with the same `--out`, makes its tables again",
        ) from error
    return Finished(directory, identity, files, margin, trials, summary, answers)


def _trials(path: Path, swept: Sequence[str]) -> pd.DataFrame:
    """The table of trials, with the types of its columns.

    Raises:
        FileError: no trial has ended.
    """
    if not path.is_file():
        raise FileError(
            f"no trial of the sweep in `{path.parent}` has ended",
            "wait until one has, or give the command that began it again",
        )
    table = _read_csv(path)
    rows = table.astype(object).where(table.notna(), None).to_dict("records")
    return tables.trials_table(rows, swept)


def _read_csv(path: Path) -> pd.DataFrame:
    import pandas as pd

    return pd.read_csv(path)


def _recorded(directory: SweepDirectory) -> tuple[float, list[str]]:
    """The margin and the answer that were kept; no answer if it is of other trials."""
    with suppress(OSError, ValueError, KeyError, TypeError):
        known = json.loads(directory.status.read_text("utf-8"))
        of_these = known["trials_sha256"] == _checksum(directory.trials)
        return float(known["margin"]), [str(each) for each in known["answers"] if of_these]
    return SweepConfig.margin, []


def _judged(
    directory: SweepDirectory, identity: dict[str, Any], trials: pd.DataFrame, margin: float
) -> tuple[pd.DataFrame, list[str]]:
    """The summary of some trials, and what they say."""
    from lstmcli.sweeps import answer, statistics

    until_solved = identity["training"].get("until_solved", False)
    summary, verdicts = statistics.judge(trials, swept_columns(identity), margin, until_solved)
    unit = _unit(directory)
    return summary, [answer.sentence(verdict, unit) for verdict in verdicts]


def _unit(directory: SweepDirectory) -> Unit:
    """What losses are in, as a trial's checkpoint has it."""
    from lstmcli.sweeps import material

    for folder in sorted(directory.settings.glob("*")):
        with suppress(FileError):
            return material.unit(checkpoint.read(finding.find_checkpoint(folder)).schema)
    return material.NATS


def _checksum(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
