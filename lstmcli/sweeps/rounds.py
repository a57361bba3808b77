"""What a sweep trains next: all tuning candidates, those that remain, then more seeds.

Successive halving (Jamieson and Talwalkar 2016, "Non-stochastic best arm identification and
hyperparameter optimization", AISTATS): all candidates are trained for a part of their epochs, and
those clearly behind by then are stopped. The next round depends only on what is on disk, so that an
interrupted sweep continues as if it had not been interrupted.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from lstmcli.sweeps import grid, halving, looks, tables, trial, tuning
from lstmcli.sweeps import summary as summaries
from lstmcli.sweeps.grid import TrialGroup
from lstmcli.sweeps.plan import Plan
from lstmcli.sweeps.sweep_dir import SweepDirectory
from lstmcli.sweeps.trial import Status
from lstmcli.sweeps.trial_runs import Runs

if TYPE_CHECKING:
    import pandas as pd

    from lstmcli.sweeps.summary import DepthResult

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Round:
    """What is trained before the results are looked at again.

    Attributes:
        left: the settings to train. A setting with `until` pauses after that epoch.
        dropped: settings that are stopped for good, with their rows.
    """

    left: list[TrialGroup]
    dropped: list[tuple[TrialGroup, list[tables.Row]]]


def rounds(plan: Plan, directory: SweepDirectory) -> Iterator[Round]:
    """The rounds of a sweep. The caller trains each round before it asks for the next.

    Sets the directory's `look` to the one at which the answer was known, or to the last.
    """
    for look, seeds in enumerate(plan.looks):
        if look + 1 < len(plan.looks) and _seeds_done(plan, directory) > seeds:
            continue  # This look has taken place, and more seeds were needed.
        paused: set[str] = set()
        while (now := _next(plan, directory, seeds, paused)).left or now.dropped:
            for setting, rows in now.dropped:
                directory.add(rows, plan.swept)
            yield now
            paused |= {each.name for each in now.left if each.until}
        directory.look = look
        if look + 1 < len(plan.looks) and _is_decided(plan, directory):
            return


def _is_decided(plan: Plan, directory: SweepDirectory) -> bool:
    """Whether no answer would change with more seeds."""
    _, verdicts = judged(plan, directory)
    return all(
        not each.better_than_a_guess or looks.is_decided(each.findings, directory.look)
        for each in verdicts
    )


def judged(plan: Plan, directory: SweepDirectory) -> tuple[pd.DataFrame, list[DepthResult]]:
    """The summary of the trials at the sweep's current look, from `summaries.summarize`."""
    at = plan.looks[directory.look]
    trials = tables.trials_table(directory.rows.values(), plan.swept)
    if len(plan.looks) > 1:
        first = plan.base.run.seed
        looked_at = (first <= trials.seed) & (trials.seed < first + at)
        trials = trials[looked_at | tuning.is_tuning(trials)]
    return summaries.summarize(
        trials,
        plan.swept,
        plan.asked.margin,
        plan.base.training.until_solved,
        plan.axis,
        plan.tuned,
        (directory.look + 1, len(plan.looks)) if len(plan.looks) > 1 else None,
    )


def ahead(plan: Plan, directory: SweepDirectory, look: int = 0) -> list[tuple[TrialGroup, float]]:
    """What is left to train for a look, and the share of its epochs that each setting may train.

    Until the best tuned value is known, the first value stands for it.
    """
    stage = _Stage(plan, directory, plan.looks[look], (), directory.begun(plan.swept))
    found: list[tuple[TrialGroup, float]] = []
    for cell in plan.cells:
        best = cell[0]
        if len(cell) > 1:
            left = stage.missing(*map(stage.tuning, cell))
            found += [(each, _share(cell)) for each in left]
            best = cell[0] if left else _best(cell, plan, directory)
        found += [(each, 1.0) for each in stage.missing(stage.numbered(best, stage.seeds))]
    return found


def may_train(plan: Plan, directory: SweepDirectory) -> bool:
    """Whether there is something to train, or may be because the answer may need more seeds."""
    return bool(ahead(plan, directory)) or _seeds_done(plan, directory) < plan.looks[-1]


def _share(cell: Sequence[TrialGroup]) -> float:
    """The share of its epochs that a tuning candidate trains on average.

    If all candidates may stop at the pause, it is the geometric mean of two shares: with all of
    them stopped there, and with some going on.
    """
    epochs, kept = cell[0].config.training.epochs, halving.FEWEST
    pause = _pause(epochs, len(cell))
    if not pause:
        return 1.0
    some_go_on = (kept + (len(cell) - kept) * pause / epochs) / len(cell)
    return math.sqrt(some_go_on * pause / epochs) if _may_be_enough(cell[0]) else some_go_on


def _may_be_enough(setting: TrialGroup) -> bool:
    """Whether the Bayes loss is known, and training does not stop once the task is solved."""
    return setting.material.baseline is not None and not setting.config.training.until_solved


@dataclass(frozen=True)
class _Stage:
    """What is known when a round is chosen.

    Attributes:
        plan, directory: the sweep.
        seeds: the number of seeds at the next look.
        paused: the names of the settings that have reached their pause.
        runs: the existing runs, by trial.
    """

    plan: Plan
    directory: SweepDirectory
    seeds: int
    paused: Collection[str]
    runs: Runs

    def missing(self, *settings: TrialGroup) -> list[TrialGroup]:
        return self.directory.missing(settings, self.runs)

    def numbered(self, setting: TrialGroup, count: int, first: int = 0) -> TrialGroup:
        """A setting with `count` seeds, from the plan's first seed plus `first`."""
        begin = self.plan.base.run.seed + first
        return setting.with_seeds(range(begin, begin + count))

    def tuning(self, setting: TrialGroup) -> TrialGroup:
        """The same setting with the seeds that are used for tuning."""
        chooses = self.numbered(setting, tuning.SEEDS, tuning.FIRST_SEED)
        return replace(chooses, tuning=True)

    def losses(
        self, setting: TrialGroup, left: Sequence[TrialGroup], epoch: int, name: str = "val_loss"
    ) -> Floats:
        """The lowest validation loss of each seed up to an epoch; infinite if there is none.

        Args:
            setting: the setting.
            left: the part of it that is not finished.
            epoch: the last epoch that counts.
            name: the column of `metrics.csv`.
        """
        curves = self.directory.curves_of(setting, left).values()
        lowest = [curve[name][curve.epoch <= epoch].min() for curve in curves]
        return np.asarray([math.inf if math.isnan(each) else each for each in lowest], float)

    def is_enough(self, excess: Floats, setting: TrialGroup, left: Sequence[TrialGroup]) -> bool:
        """Whether losses are so close to the Bayes loss that none can be better by the margin.

        Args:
            excess: the excess loss of each seed.
            setting: the setting.
            left: the part of it that is not finished.
        """
        chance = setting.material.baseline
        if chance is None or not _may_be_enough(setting):
            return False
        floors = [
            each.bayes_loss.max() for each in self.directory.curves_of(setting, left).values()
        ]
        return bool(excess.mean() <= self.plan.asked.margin * (chance - max(floors)))


def _next(plan: Plan, directory: SweepDirectory, seeds: int, paused: Collection[str]) -> Round:
    """The next round towards a number of seeds."""
    stage = _Stage(plan, directory, seeds, paused, directory.begun(plan.swept))
    found = Round([], [])
    for cell in plan.cells:
        now = _of_cell(stage, cell) if len(cell) > 1 else _of_one(stage, cell[0])
        found.left.extend(now.left)
        found.dropped.extend(now.dropped)
    return found


def _of_one(stage: _Stage, setting: TrialGroup) -> Round:
    """What is left to train of a setting with the seeds that are compared."""
    return Round(stage.missing(stage.numbered(setting, stage.seeds)), [])


def _of_cell(stage: _Stage, cell: Sequence[TrialGroup]) -> Round:
    """What is left to train for a depth: up to the pause, after it, or with the best values."""
    tried = [*map(stage.tuning, cell)]
    parts = {each.name: stage.missing(each) for each in tried}
    left = [part for each in parts.values() for part in each]
    if not left:
        return _of_one(stage, _best(cell, stage.plan, stage.directory))
    pause = _pause(tried[0].config.training.epochs, len(tried))
    if not pause:
        return Round(left, [])
    before = [
        replace(part, until=pause)
        for part in left
        if part.name not in stage.paused and stage.directory.epochs(part) < pause
    ]
    return Round(before, []) if before else _halved(stage, tried, parts, pause)


def _halved(
    stage: _Stage,
    tried: Sequence[TrialGroup],
    parts: Mapping[str, list[TrialGroup]],
    pause: int,
) -> Round:
    """Which candidates continue after the pause, and which do not.

    None continues if one is already so close to the Bayes loss that no other can be better by the
    margin.
    """
    curves, known = stage.directory.curves_of, [(each, parts[each.name]) for each in tried]
    all_excess = [(each, left, stage.losses(each, left, pause, "val_gap")) for each, left in known]
    if any(stage.is_enough(excess, each, left) for each, left, excess in all_excess):
        left = [part for _, own in known for part in own]
        return Round([], [(part, trial.paused(part, curves(part, [part]))) for part in left])
    at_pause, halfway = (
        {each.name: stage.losses(each, parts[each.name], epoch) for each in tried}
        for epoch in (pause, pause // 2)
    )
    guess = tried[0].material.facts.chance.loss
    kept = halving.survivors(at_pause, guess, halfway if pause > 1 else None)
    behind = [part for name, own in parts.items() if name not in kept for part in own]
    return Round(
        [part for name in kept for part in parts[name]],
        [(part, trial.paused(part, curves(part, [part]), Status.DROPPED)) for part in behind],
    )


def _pause(epochs: int, candidates: int) -> int | None:
    """The epoch after which candidates are compared; `None` if all continue anyway."""
    if candidates <= halving.FEWEST or epochs < 2:
        return None
    return max(1, round(halving.RUNG * epochs))


def _best(cell: Sequence[TrialGroup], plan: Plan, directory: SweepDirectory) -> TrialGroup:
    """A depth's setting with the chosen values, which may come from an older list."""
    first = cell[0]
    trials = tables.trials_table(directory.rows.values(), plan.swept)
    for name, value in first.cell.items():
        trials = trials[trials[name] == value]
    values = tuning.best(trials, plan.tuned, plan.base.training.until_solved)
    for each in cell:
        if values.items() <= each.keys.items():
            return each
    config = first.config.replaced(**{grid.setting_of(name): each for name, each in values.items()})
    swept = {name: values.get(name, value) for name, value in first.swept.items()}
    return replace(first, config=config, swept=swept)


def _seeds_done(plan: Plan, directory: SweepDirectory) -> int:
    """How many consecutive seeds, from the first, have a result at every depth."""
    done = [_seeds_of(cell, directory) for cell in plan.cells]
    begin = plan.base.run.seed
    common = set.intersection(*done)
    return next(count for count in itertools.count() if begin + count not in common)


def _seeds_of(cell: Sequence[TrialGroup], directory: SweepDirectory) -> set[int]:
    """The seeds for which a depth has a trial that is compared."""
    shared = cell[0].cell.items()
    ended = (row for row in directory.rows.values() if not row["trial"].endswith(grid.TUNING))
    return {row["seed"] for row in ended if shared <= row.items()}
