"""Runs a sweep: from its plan through its trials to its answer."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lstmcli.config import SweepConfig
from lstmcli.sweeps import load, placement, ray_cluster, ray_workers, rounds, tables
from lstmcli.sweeps import summary as summaries
from lstmcli.sweeps import workers as local_workers
from lstmcli.sweeps.answer import answers
from lstmcli.sweeps.answer_parts import Answer
from lstmcli.sweeps.comparison import FEWEST
from lstmcli.sweeps.grid import TrialGroup
from lstmcli.sweeps.placement import Placement
from lstmcli.sweeps.plan import Plan
from lstmcli.sweeps.shares import program
from lstmcli.sweeps.summary import DepthResult
from lstmcli.sweeps.sweep_dir import SweepDirectory, default_directory
from lstmcli.sweeps.tables import WAITING, Row
from lstmcli.sweeps.trial import LostRows, Status
from lstmcli.sweeps.workers import Remaining
from lstmcli.training.load import BestTrial
from lstmcli.utils import notebook
from lstmcli.utils.errors import ExitCode, StoppedError
from lstmcli.utils.signals import name_of, stop_signals

if TYPE_CHECKING:
    import pandas as pd

DONE, FAILED, WAS_LOST, DIVERGED = "done", "failed", "lost", "diverged"
PAUSED, DROPPED = "paused", "dropped"
"""Phases of a setting: not yet decided whether it continues, and stopped for good."""
PASSED_OVER = (Status.TRIED, Status.DROPPED)
ALIKE = {Status.DIVERGED: DIVERGED, Status.DROPPED: DROPPED}
Train = Callable[[list[TrialGroup]], Generator[tuple[TrialGroup, list[Row]] | None]]
"""Trains settings, as `LocalWorkers.run`."""
START_SECONDS = 10
"""Time for loading and compiling, which every worker does."""

MOST_SEEDS = 1000
"""More seeds than this are never advised: nobody would run them."""


@dataclass(frozen=True)
class Progress:
    """Where a setting stands: yielded a few times a second.

    Attributes:
        name: name of the setting.
        phase: `compiling`, `training`, `paused` or, once its trials are on disk, how it ended.
        epochs: number of completed epochs.
        of: the most epochs that it trains.
        solved: number of seeds that have solved the task; `None` if the Bayes loss is not known.
        seeds: number of seeds.
        lowest: lowest validation loss so far; infinite before there is one.
        left: estimated seconds until the sweep ends; `None` before that is known.
    """

    name: str
    phase: str
    epochs: int
    of: int
    solved: int | None
    seeds: int
    lowest: float = math.inf
    left: float | None = None

    @property
    def ended(self) -> bool:
        """Whether its trials are on disk."""
        return self.phase in (DONE, FAILED, WAS_LOST, DIVERGED, DROPPED)


@dataclass(frozen=True)
class More:
    """More seeds for some depths that may settle the answer, and how many seconds they take."""

    layers: list[int]
    seeds: int
    seconds: float


@dataclass(frozen=True)
class Result:
    """The results of a sweep.

    Attributes:
        directory: the sweep's directory.
        trials, curves, summary: the columns of `trials.csv`, `curves.csv` and `summary.csv`.
        parts: an answer for each combination of the settings that are swept besides depth.
        more: if the answer is open, how many more seeds may settle it.
        best: the best trial of the depth that the answer names; `None` if no trial has a loss.
    """

    directory: Path
    trials: pd.DataFrame
    curves: pd.DataFrame
    summary: pd.DataFrame
    parts: list[Answer]
    more: More | None
    best: BestTrial | None

    @property
    def answers(self) -> list[str]:
        """Each answer as a sentence."""
        return [part.sentence for part in self.parts]

    @property
    def answer(self) -> str:
        """All answers as one text."""
        return "; ".join(self.answers)

    @property
    def failed(self) -> pd.DataFrame:
        """The trials without a test loss, except those used only for tuning."""
        return summaries.without_result(self.trials)

    def _repr_html_(self) -> str:
        figures = sorted((self.directory / "figures").glob("*.png"))
        shown = [(part.title, *part.table("\u2192 "), part.caveats) for part in self.parts]
        return notebook.to_html([], figures=figures, answers=shown)


def find_directory(plan: Plan, out: Path | None, overwrite: bool = False) -> SweepDirectory:
    """The directory of a sweep, with its finished trials; writes nothing.

    Args:
        plan: the sweep.
        out: the directory; by default one that the same sweep finds again.
        overwrite: whether to replace an existing sweep.

    Raises:
        UsageError: it holds another sweep.
        FileError: its table of trials is damaged.
    """
    directory = SweepDirectory(out or default_directory(plan))
    if overwrite:
        directory.check_free()
    else:
        directory.look_up(plan)
    return directory


@contextmanager
def opened(plan: Plan, out: Path | None, overwrite: bool = False) -> Iterator[SweepDirectory]:
    """Opens and locks the directory of a sweep; arguments as in `find_directory`.

    Raises:
        UsageError: it holds another sweep, cannot be written to, or is being written to.
        FileError: its table of trials is damaged.
        DeviceError: trials are trained on this machine, which lacks a device that they ask for.
        LstmcliError: the Ray cluster that is to train them is not there, or refuses.
    """
    directory = find_directory(plan, out, overwrite)
    left = [each for each, _ in rounds.ahead(plan, directory)]
    placed = Placement()
    if left and plan.asked.backend == "local":
        placed = placement.here(left, plan.gpus, plan.asked)
    with directory.lock():
        directory = find_directory(plan, out, overwrite)  # It may have changed before the lock.
        with _workplace(plan, directory) as notes:
            left = [each for each, _ in rounds.ahead(plan, directory)]
            if left and plan.asked.backend == "ray":
                placed = placement.on_ray(left, ray_cluster.gpus(), plan.asked)
            directory.placement, directory.notes = placed, [*notes, *placed.notes]
            if overwrite:
                directory.delete()
            directory.begin(plan)
            yield directory


def _workplace(plan: Plan, directory: SweepDirectory) -> AbstractContextManager[list[str]]:
    """Joins the Ray cluster if trials are to be trained there; yields notes on it."""
    asked = plan.asked
    if asked.backend == "ray" and rounds.may_train(plan, directory):
        return ray_cluster.joined(asked.address, workers(asked))
    return nullcontext([])


def run(plan: Plan, directory: SweepDirectory) -> Iterator[Progress]:
    """Trains what is missing. Each setting's rows are on disk as soon as it ends.

    Raises:
        StoppedError: a signal was received; the trials that had ended are kept.
    """
    remaining = Remaining(rounds.ahead(plan, directory))
    with stop_signals() as stopped, _training(plan, directory) as train:
        for now in rounds.rounds(plan, directory):
            for setting, rows in now.dropped:
                remaining.forget(setting.shown)
                yield _ended(setting, rows, remaining.seconds)
            for each in _trained(plan, now.left, directory, remaining, train):
                if stopped:
                    raise StoppedError(
                        f"stopped by {name_of(stopped[0])}: {len(directory.rows)} trials are done",
                        "the same command again runs the others",
                        ExitCode(128 + stopped[0]),
                    )
                yield from each


def _trained(
    plan: Plan,
    left: list[TrialGroup],
    directory: SweepDirectory,
    remaining: Remaining,
    train: Train,
) -> Iterator[list[Progress]]:
    """Trains the settings of a round, and yields their progress a few times a second."""
    if not left:
        return
    left = directory.placement.place(left)
    for each in left:
        if each.until is None:
            remaining.expect(each)
    watches = {each.name: _watch(each, directory) for each in left}
    with closing(train(left)) as results:
        for result in results:
            if result is not None:
                setting, rows = result
                watch = watches.pop(setting.name)
                if rows:
                    directory.add(rows, plan.swept)
                    remaining.note(setting.shown, 1)
                    yield [_ended(setting, rows, remaining.seconds)]
                else:
                    watch.look()
                    remaining.note(setting.shown, watch.epoch / setting.config.training.epochs)
                    remaining.pause(setting.shown)
                    yield [_under_way(setting, watch, remaining.seconds, PAUSED)]
                continue
            yield [*_watched(left, watches, remaining)]


def _watched(
    left: list[TrialGroup], watches: Mapping[str, tables.MetricsTail], remaining: Remaining
) -> Iterator[Progress]:
    for setting in left:
        if watch := watches.get(setting.name):
            watch.look()
            if watch.phase == WAITING:
                continue
            share = watch.epoch / setting.config.training.epochs
            remaining.note(setting.shown, min(0.99, share))
            yield _under_way(setting, watch, remaining.seconds)


def _under_way(
    setting: TrialGroup, watch: tables.MetricsTail, left: float | None, phase: str | None = None
) -> Progress:
    """The progress of a setting that is being trained."""
    return Progress(
        setting.shown,
        phase or watch.phase,
        watch.epoch,
        setting.config.training.epochs,
        _known(setting, len(watch.solved)),
        len(setting.trials),
        watch.lowest,
        left,
    )


def _ended(setting: TrialGroup, rows: list[Row], left: float | None) -> Progress:
    """The progress of a setting whose trials are on disk."""
    losses = [row["best_val_loss"] for row in rows if row["best_val_loss"] is not None]
    return Progress(
        setting.shown,
        _ending(rows),
        max(row["epochs"] for row in rows),
        setting.config.training.epochs,
        _known(setting, _solved(rows)),
        len(rows),
        min(losses, default=math.inf),
        left,
    )


def _ending(rows: list[Row]) -> str:
    """How a setting ended: as all of its trials did, if they ended alike; else done or failed."""
    if len(statuses := {row["status"] for row in rows}) == 1 and statuses <= ALIKE.keys():
        return ALIKE[statuses.pop()]
    if {row["status"] for row in rows} != {Status.FAILED}:
        return DONE
    return WAS_LOST if isinstance(rows, LostRows) else FAILED


def _solved(rows: list[Row]) -> int | None:
    """How many seeds have solved the task; `None` if they were stopped before this was checked."""
    known = [row["solved"] for row in rows if row["solved"] is not None]
    return sum(map(bool, known)) if known or rows[0]["status"] not in PASSED_OVER else None


def _known(setting: TrialGroup, solved: int | None) -> int | None:
    return None if setting.material.baseline is None else solved


@contextmanager
def _training(plan: Plan, directory: SweepDirectory) -> Iterator[Train]:
    """Yields the function that trains a round. Workers stay until the last round."""
    asked, folder, placed = plan.asked, directory.settings, directory.placement
    if asked.backend == "ray":
        yield lambda left: ray_workers.run_ray(left, folder, placed.share)
        return
    jobs = workers(asked) if placed.jobs is None else placed.jobs
    with local_workers.LocalWorkers(folder, jobs, placed.gpus) as local:
        yield local.run


def workers(asked: SweepConfig) -> int:
    """The number of worker processes."""
    return asked.jobs or len(local_workers.cores())


def forecast(plan: Plan, left: Sequence[tuple[TrialGroup, float]]) -> tuple[int, float]:
    """How many workers some settings keep busy, and for about how many seconds.

    Args:
        plan: the sweep.
        left: the settings, and the share of its epochs that each may train.
    """
    count = max(1, min(workers(plan.asked), len(left)))
    programs = Counter(program(each) for each, _ in left)
    compiling = {program(each): each.preflight.compiling for each, _ in left}
    trained = [each.preflight.training * share for each, share in left]
    alone = [each.preflight.compiling + own for (each, _), own in zip(left, trained, strict=True)]
    shared = [seconds for name, seconds in compiling.items() if programs[name] > 1]
    again = (count - 1) * max(shared, default=0.0)  # Compiled again by workers that help others.
    total = sum(trained) + sum(compiling.values()) + again
    return count, max([*alone, total / count]) + START_SECONDS / 2


def _watch(setting: TrialGroup, directory: SweepDirectory) -> tables.MetricsTail:
    watch = tables.MetricsTail(directory.settings / setting.name, setting.material.baseline)
    watch.begin()
    return watch


def conclude(plan: Plan, directory: SweepDirectory) -> Result:
    """Writes the tables, and returns the results with the answer."""
    trials = directory.add([], plan.swept)
    before = tables.read_curves_table(directory.curves, plan.swept)
    curves = tables.curves_table(trials, plan.swept, directory.path, before)
    tables.write_csv(directory.curves, curves)
    summary, verdicts = rounds.judged(plan, directory)
    tables.write_csv(directory.summary, summary)
    units = [plan.unit(each.where) for each in verdicts]
    parts = answers(verdicts, units, plan.base.data, plan.swept)
    best = load.best_of(directory, verdicts)
    looks = verdicts[0].looks if verdicts else None
    load.record(directory, plan.asked.margin, parts, best, looks)
    return Result(
        directory.path,
        trials,
        curves,
        summary,
        parts,
        more_seeds(trials, verdicts, workers(plan.asked)),
        best,
    )


def more_seeds(trials: pd.DataFrame, verdicts: list[DepthResult], workers: int) -> More | None:
    """The number of seeds that may settle all open answers, and the time to train them."""
    undecided = [
        each
        for each in verdicts
        if each.better_than_a_guess and each.findings.worst and each.findings.enough is None
    ]
    compared = trials[trials.index.isin([i for each in verdicts for i in each.trials.index])]
    seeds = compared.seed.nunique()
    needed = max((_needed(each, seeds) for each in undecided), default=0)
    if not undecided or needed > MOST_SEEDS:
        return None
    done = compared[compared.status != Status.FAILED]
    each_seed = (done.epochs * done.epoch_seconds / done.replicas.astype(float)).sum() / seeds
    layers = sorted(int(each) for each in trials.layers.unique())
    return More(layers, int(needed), (needed - seeds) * each_seed / workers + START_SECONDS)


def _needed(verdict: DepthResult, seeds: int) -> float:
    if seeds < FEWEST:
        return FEWEST
    if math.isinf(verdict.findings.seeds_needed):
        return math.inf
    return max(math.ceil(verdict.findings.seeds_needed), math.ceil(1.25 * seeds))
