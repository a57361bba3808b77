"""A sweep's results: saved beside its tables, and read back without training anything."""

from __future__ import annotations

import hashlib
import json
import tomllib
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lstmcli import __version__
from lstmcli.config import DataConfig, SweepConfig
from lstmcli.sweeps import grid, tables, tuning
from lstmcli.sweeps.answer_parts import Answer
from lstmcli.sweeps.axis import Axis, axis_of
from lstmcli.sweeps.plan import COMPARED, TUNED, lists_of
from lstmcli.sweeps.sweep_dir import SweepDirectory
from lstmcli.training import checkpoint, load, metrics
from lstmcli.training.load import BestTrial
from lstmcli.utils.errors import FileError
from lstmcli.utils.files import read_small, write_atomically

TRIALS = ["layers", "state_size", "seed", "parameters", "epochs", "best_val_loss", "test_loss"]
TRIALS += ["bayes_loss", "gap", "epoch_seconds"]
SUMMARY = ["layers", "state_size", "parameters", "seeds", "failed", "iqm", "ci_low", "ci_high"]
SUMMARY += ["solve_rate", "epochs_to_solve", "p_value", "reference_loss"]
"""Columns of numbers in a sweep's tables."""

DAMAGE = (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError, OverflowError)
"""What a file raises that is not as it was written."""

if TYPE_CHECKING:
    import pandas as pd

    from lstmcli.data.target import Target
    from lstmcli.sweeps.summary import DepthResult


@dataclass(frozen=True)
class Finished:
    """A sweep on disk.

    Attributes:
        directory: where.
        identity: what makes it one sweep, as `sweep.toml` has it.
        files: where its files lie, from its directory, by setting.
        margin: what its answer was asked with.
        trials, summary: the columns of `trials.csv` and `summary.csv`.
        answers: one to each combination of the settings swept besides depth.
        best: the trial that stands for all; `None` where there is none, or it is not known.
    """

    directory: SweepDirectory
    identity: dict[str, Any]
    files: dict[str, str]
    margin: float
    trials: pd.DataFrame
    summary: pd.DataFrame
    answers: list[Answer]
    best: BestTrial | None

    @property
    def axis(self) -> Axis:
        """What is compared."""
        return axis_of(self.compared)

    @property
    def compared(self) -> str | None:
        """The setting that is compared in place of depth."""
        return self.identity.get(COMPARED)

    @property
    def swept(self) -> list[str]:
        """The columns of the settings that have several values, besides depth."""
        return swept_columns(self.identity)

    @property
    def seeds(self) -> int:
        """How many seeds are compared."""
        return int(self.trials.seed[~tuning.is_tuning(self.trials)].nunique())

    @property
    def tuned(self) -> list[str]:
        """Those of them that each depth has at its own best."""
        return tuned_columns(self.identity)


def swept_columns(identity: dict[str, Any]) -> list[str]:
    """The columns of the settings that a sweep can have several values of, besides depth."""
    return [grid.column(name) for name in lists_of(identity)]


def tuned_columns(identity: dict[str, Any]) -> list[str]:
    """The columns of the settings that each depth has at its own best."""
    return [grid.column(name) for name in grid.in_order(identity.get(TUNED, []))]


def record(
    directory: SweepDirectory,
    margin: float,
    answers: Sequence[Answer],
    best: BestTrial | None,
    looks: tuple[int, int] | None = None,
) -> None:
    """Writes `sweep.json`: the answer, the margin it rests on, which trials it is of; the best."""
    known = {
        "version": __version__,
        "margin": margin,
        "answers": [each.sentence for each in answers],
        "parts": [each.record for each in answers],
        "trials_sha256": _checksum(directory.trials),
        "looks": looks,
        load.BEST: best
        and {
            "run_dir": str(best.run.relative_to(directory.path)),
            "seed": best.seed,
        },
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
        known = tomllib.loads(read_small(directory.config).decode("utf-8"))
        identity, files = known["sweep"], known.get("files", {})
        _check_identity(identity, files)
        swept = swept_columns(identity)
        trials = _trials(directory.trials, swept)
        margin, answers = _recorded(directory)
        if answers:
            summary = metrics.read_table(directory.summary, SUMMARY, grid.SIZES)
            best = _best(path)
        else:
            summary, answers, best = _judged(directory, identity, files, trials, margin)
    except DAMAGE as error:
        raise FileError(
            f"the sweep in `{path}` is damaged: {error}",
            "run the sweep's command again, with the same `--out`: it writes the tables anew",
        ) from error
    return Finished(directory, identity, files, margin, trials, summary, answers, best)


def _best(path: Path) -> BestTrial | None:
    """The best trial as it was kept; `None` where it was not, or is gone."""
    with suppress(FileError):
        return load.best_trial(path)
    return None


def _trials(path: Path, swept: Sequence[str]) -> pd.DataFrame:
    """The table of trials, with the types of its columns.

    Raises:
        FileError: no trial has ended.
    """
    table = metrics.read_table(path, TRIALS, (*grid.SIZES, "seed", "parameters"))
    if table.empty:
        raise FileError(
            f"no trial of the sweep in `{path.parent}` has ended",
            "wait until one has, or run the sweep's command again",
        )
    rows = table.astype(object).where(table.notna(), None).to_dict("records")
    found = tables.trials_table(rows, swept)
    if tuning.is_tuning(found).all():
        raise FileError(
            f"only tuning trials of the sweep in `{path.parent}` have ended",
            "wait until others have, or run the sweep's command again",
        )
    return found


def _check_identity(identity: Any, files: Any) -> None:
    """Raises ValueError where `sweep.toml` has something else than settings."""
    groups = {group: identity.get(group, {}) for group in ("model", "data", "training", "match")}
    tables = {**groups, "run": identity.get("run", {}), "files": files, "swept": identity["swept"]}
    for name, table in tables.items():
        if not isinstance(table, dict):
            raise ValueError(f"`{name}` in `sweep.toml` is no table")
    if not all(isinstance(values, list) for values in identity["swept"].values()):
        raise ValueError("`swept` in `sweep.toml` must hold lists")
    if identity.get(COMPARED, "layers") not in grid.kinds():
        raise ValueError(f"`{COMPARED}` in `sweep.toml` must name a setting")
    if not isinstance(identity.get(TUNED, []), list):
        raise ValueError(f"`{TUNED}` in `sweep.toml` must be a list")
    if not all(isinstance(path, str) for path in files.values()):
        raise ValueError("`files` in `sweep.toml` must hold names")


def _recorded(directory: SweepDirectory) -> tuple[float, list[Answer]]:
    """The margin and the answer that were kept; no answer if it is of other trials."""
    with suppress(OSError, ValueError, KeyError, TypeError):
        known = json.loads(read_small(directory.status))
        of_these = known["trials_sha256"] == _checksum(directory.trials)
        parts = known.get("parts", known["answers"])  # Older versions kept sentences alone.
        return float(known["margin"]), [Answer.of(each) for each in parts if of_these]
    return SweepConfig.margin, []


def _judged(
    directory: SweepDirectory,
    identity: dict[str, Any],
    files: Mapping[str, str],
    trials: pd.DataFrame,
    margin: float,
) -> tuple[pd.DataFrame, list[Answer], BestTrial | None]:
    """The summary of some trials, what they say, and the best of them."""
    from lstmcli.sweeps import answer
    from lstmcli.sweeps import summary as summaries

    until_solved = identity["training"].get("until_solved", False)
    swept, tuned = swept_columns(identity), tuned_columns(identity)
    compared = axis_of(identity.get(COMPARED))
    summary, verdicts = summaries.summarize(trials, swept, margin, until_solved, compared, tuned)
    units = [_unit(directory, each) for each in verdicts]
    answers = answer.answers(verdicts, units, _data(identity, files), swept)
    return summary, answers, best_of(directory, verdicts)


def _data(identity: Mapping[str, Any], files: Mapping[str, str]) -> DataConfig:
    """What is learned, as far as words for it need that."""
    known = {name: identity["data"][name] for name in ("task", "echo_step")
             if name in identity["data"]}  # fmt: skip
    return DataConfig(data=files.get("data"), **known)


def best_of(directory: SweepDirectory, verdicts: Sequence[DepthResult]) -> BestTrial | None:
    """The trial that stands for a sweep, by what its trials say; `None` where there is none."""
    from lstmcli.sweeps import summary

    best = summary.best_trial(verdicts)
    return None if best is None else BestTrial(directory.path / best[0], best[1])


def _unit(directory: SweepDirectory, verdict: DepthResult) -> Target:
    """What losses are in, as the checkpoint of one of a verdict's trials has it."""
    from lstmcli.sweeps import data_info

    for run in verdict.trials.run_dir.dropna().unique():
        with suppress(FileError):
            path = load.find_checkpoint(directory.path / run)
            return checkpoint.read(path).schema.target_kind
    return data_info.NATS


def _checksum(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
