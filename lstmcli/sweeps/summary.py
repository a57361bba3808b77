"""The summary of a sweep's trials: a row for each setting, and a verdict for each question.

A question is a group of settings that differ in depth alone (and in the size that goes with it).
The interquartile mean and its bootstrap interval are what Agarwal et al. 2021 ("Deep Reinforcement
Learning at the Edge of the Statistical Precipice") advise for a handful of seeds; the interval of
the solve rate is Wilson's (1927); `comparison.py` has the comparisons.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from lstmcli.data.baselines import Baseline
from lstmcli.sweeps import looks as seen
from lstmcli.sweeps import tuning
from lstmcli.sweeps.axis import DEPTH, Axis
from lstmcli.sweeps.comparison import LEVEL, Comparison, Losses, compare_depths, interquartile_mean
from lstmcli.sweeps.grid import key_names
from lstmcli.sweeps.trial import Status

if TYPE_CHECKING:
    import pandas as pd

Floats = npt.NDArray[np.float64]
GUESS = "a uniform guess"
SHORTEST_WAY = 0.01
"""Of the loss of chance: the way to 0 that a margin is a part of is no shorter."""


@dataclass(frozen=True)
class SettingRow:
    """One setting of a sweep: a row of `summary.csv`, whose swept settings stand before it.

    What is not known is an empty cell.

    Attributes:
        parameters: weights of the network.
        seeds: how many trials there are.
        failed: how many of them have no test loss.
        mean: mean of the test losses, as `trials.csv` has them.
        std: their standard deviation.
        median: their median.
        iqm: interquartile mean of the losses as they are compared: none counts as worse than a
            guess.
        ci_low: lower end of the 95 % bootstrap interval of `iqm`.
        ci_high: upper end.
        solve_rate: share of the seeds that solve the task, where its Bayes loss is known.
        solve_low: lower end of the 95 % interval (Wilson's) of `solve_rate`.
        solve_high: upper end.
        epochs_to_solve: median epochs of the seeds that solve it.
        p_value: of the test whether its losses differ from those of the setting that the answer is
            about, corrected for all pairs of settings.
        epoch_seconds: seconds of the fastest epoch.
        ratio: its losses over those of the setting that the answer is about: the geometric mean
            over the seeds.
        ratio_low: lower end of the 95 % interval of `ratio`.
        ratio_high: upper end.
        bound: how much worse than the best of the other settings it could be (one-sided, 95 %).
        enough: whether `bound` is within the margin.
        reference: the best baseline of its trials.
        reference_loss: loss of that baseline.
    """

    parameters: int
    seeds: int
    failed: int
    mean: float
    std: float
    median: float
    iqm: float
    ci_low: float
    ci_high: float
    solve_rate: float
    solve_low: float
    solve_high: float
    epochs_to_solve: float
    p_value: float
    epoch_seconds: float
    ratio: float = math.nan
    ratio_low: float = math.nan
    ratio_high: float = math.nan
    bound: float = math.nan
    enough: bool | None = None
    reference: str | None = None
    reference_loss: float = math.nan


@dataclass(frozen=True)
class DepthResult:
    """What a group of settings says, which differ in depth alone.

    Attributes:
        where: the values of the other swept settings.
        rows: its rows of the summary, the smallest depth first.
        trials: its trials, with their losses as they are compared, `reached`.
        margin: as losses are.
        findings: what the losses of the rows, by their places, say.
        baseline: the loss that a depth has to beat.
        tuned: the values tried, in order, of each setting that every depth has at its best, by its
            column; `rows` then has that column, with the value that was chosen.
        looks: which look at the losses decided, and of how many; `None` where there was one.
        axis: what the settings of the group differ in.
    """

    where: Mapping[str, Any]
    rows: pd.DataFrame
    trials: pd.DataFrame
    margin: float
    findings: Comparison
    baseline: Baseline
    tuned: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    looks: tuple[int, int] | None = None
    axis: Axis = DEPTH

    @property
    def better_than_a_guess(self) -> bool:
        """Whether some depth's loss is below the baseline by the margin."""
        return self.findings.lowest < self.baseline.loss - self.margin

    @property
    def lowest(self) -> pd.Series:
        """The row with the lowest loss, which a smaller depth that is enough need not have."""
        known = self.rows.iqm.dropna()
        return self.rows.loc[known.idxmin() if len(known) else self.findings.reference]

    @property
    def bayes_loss_known(self) -> bool:
        """Whether it is known how good a loss can be."""
        return bool(self.trials.bayes_loss.notna().any())

    @property
    def beaten_by(self) -> int:
        """How many depths' losses, as the summary has them, are below the baseline."""
        return int((self.rows.iqm < self.baseline.loss).sum())

    def in_question(self, place: int) -> bool:
        """Whether less than what is enough might do: of a name it might be as good."""
        enough = self.findings.enough
        return enough is not None and (place < enough if self.axis.ordered else place != enough)

    def own(self, row: pd.Series) -> pd.DataFrame:
        """The trials of a row."""
        names = key_names([self.axis.column, *self.tuned])
        return self.trials[(self.trials[names] == row[names]).all(axis=1)]


def bootstrap_interval(losses: Floats) -> tuple[float, float]:
    """A 95 % percentile bootstrap interval of the interquartile mean."""
    from scipy import stats

    if len(losses) < 2 or np.ptp(losses) == 0:
        return (float(losses[0]),) * 2 if len(losses) > 1 else (np.nan, np.nan)
    found = stats.bootstrap(
        (losses,),
        lambda sample, axis: stats.trim_mean(sample, 0.25, axis=axis),
        method="percentile",
        rng=np.random.default_rng(0),
    )
    return float(found.confidence_interval.low), float(found.confidence_interval.high)


def wilson_interval(solved: int, seeds: int) -> tuple[float, float]:
    """Wilson's 95 % interval of a rate."""
    from scipy import stats

    if seeds == 0:
        return np.nan, np.nan
    found = stats.binomtest(solved, seeds).proportion_ci(method="wilson")
    return float(found.low), float(found.high)


def summarize(
    trials: pd.DataFrame,
    swept: Sequence[str],
    margin: float,
    until_solved: bool = False,
    axis: Axis = DEPTH,
    tuned: Sequence[str] = (),
    looks: tuple[int, int] | None = None,
) -> tuple[pd.DataFrame, list[DepthResult]]:
    """A row for each setting, and a verdict for each combination of the swept settings.

    Args:
        trials: the columns of `trials.csv`, with a column for each swept setting.
        swept: names of swept settings besides depth; settings that agree in these are compared.
        margin: how much better another depth may be, as a part of the way from what is known
            without a network to the Bayes loss or, where that is not known, to 0.
        until_solved: whether trials were stopped once they had solved the task. Losses are then not
            compared; a depth is enough if it is within the margin of the oracle.
        axis: what is compared, if that is not depth: it is among the swept settings then.
        tuned: those of the swept settings that each depth has at its best, with trials of others.
        looks: which look at the losses this is, and of how many; `None` where there is one.

    Returns:
        The columns of `summary.csv`: `layers`, `state_size`, the other swept settings, then
        SettingRow's; all depths of one combination stand together. And the verdicts.
    """
    import pandas as pd

    parts: list[pd.DataFrame] = []
    verdicts: list[DepthResult] = []
    others = [name for name in swept if name not in (*tuned, axis.column)]
    values = tuning.tried(trials, tuned)
    best = tuning.chosen(trials, swept, tuned, until_solved)
    for where, group in groups(best, others):
        baseline = _baseline(group) or Baseline(GUESS, float(group.chance.max()))
        compared = _compared(group, baseline, until_solved)
        found = _rows(compared, swept, axis)
        width = margin * _way(group, baseline)
        losses = _losses(found, compared, axis)
        level = seen.level(looks[0] - 1) if looks else LEVEL
        findings = compare_depths(losses, width, not until_solved, level, ordered=axis.ordered)
        verdicts.append(
            DepthResult(
                where,
                found,
                compared,
                width,
                findings,
                baseline,
                tuned=values,
                looks=looks,
                axis=axis,
            )
        )
        parts.append(_with_verdict(found, verdicts[-1]))
    return pd.concat(parts, ignore_index=True), verdicts


def best_trial(verdicts: Sequence[DepthResult]) -> tuple[str, int] | None:
    """The run directory and the seed of the trial that stands for a sweep; `None` without one.

    The depth is the one that the answer is about; of several answers the one with the lowest
    interquartile mean. Of its seeds it is the one with the lowest validation loss: the test losses
    choose no seed, so that they stay those of a model that they have not chosen. Without a
    validation it is the first.
    """
    places = [(each, each.findings.reference) for each in verdicts]
    about = [
        (float(each.rows.iqm[place]), order, place)
        for order, (each, place) in enumerate(places)
        if place is not None and not math.isnan(each.rows.iqm[place])
    ]
    if not about:
        return None
    _, order, place = min(about)
    verdict = verdicts[order]
    own = verdict.own(verdict.rows.loc[place])
    own = own[own.test_loss.notna() & (own.run_dir != "")]
    if own.empty:
        return None
    first = own.sort_values(["best_val_loss", "seed"]).iloc[0]
    return str(first.run_dir), int(first.seed)


def without_result(trials: pd.DataFrame) -> pd.DataFrame:
    """The trials without a test loss, but for those that were to have none."""
    return trials[trials.test_loss.isna() & ~trials.status.isin([Status.TRIED, Status.DROPPED])]


def groups(trials: pd.DataFrame, swept: Sequence[str]) -> list[tuple[dict[str, Any], pd.DataFrame]]:
    """The parts of a table that agree in the swept settings, each with their values."""
    if not swept:
        return [({}, trials)]
    found = trials.groupby(list(swept), sort=True, dropna=False)
    return [(dict(zip(swept, values, strict=True)), group) for values, group in found]


def _rows(group: pd.DataFrame, swept: Sequence[str], axis: Axis) -> pd.DataFrame:
    """A row for each setting of a group, the smallest depth first, or names by the alphabet."""
    import pandas as pd

    keys = key_names(swept)
    rows = [
        dict(zip(keys, values, strict=True)) | vars(_setting(own))
        for values, own in group.groupby(keys, sort=True, dropna=False)
    ]
    rows.sort(key=lambda row: (row[axis.column], row["layers"], row["state_size"]))
    return pd.DataFrame(rows, columns=[*keys, *(spec.name for spec in fields(SettingRow))])


def _setting(group: pd.DataFrame) -> SettingRow:
    """The figures of one setting's trials, without what compares it with others."""
    done = group[group.test_loss.notna()]
    losses = done.test_loss.to_numpy(float)
    known = bool(group.bayes_loss.notna().any())
    solved = int(done.solved.fillna(False).astype(bool).sum())
    compared = group.reached.dropna().to_numpy(float)
    low, high = bootstrap_interval(compared) if len(losses) else (np.nan, np.nan)
    solve_low, solve_high = wilson_interval(solved, len(group)) if known else (np.nan, np.nan)
    found = _baseline(group)
    return SettingRow(
        parameters=int(group.parameters.iloc[0]),
        seeds=len(group),
        failed=len(group) - len(done),
        mean=float(np.mean(losses)) if len(losses) else np.nan,
        std=float(np.std(losses, ddof=1)) if len(losses) > 1 else np.nan,
        median=_median(done.test_loss),
        iqm=interquartile_mean(compared) if len(losses) else np.nan,
        ci_low=low,
        ci_high=high,
        solve_rate=solved / len(group) if known else np.nan,
        solve_low=solve_low,
        solve_high=solve_high,
        epochs_to_solve=_median(done.epochs_to_solve[done.solved.fillna(False).astype(bool)]),
        p_value=np.nan,
        epoch_seconds=float(done.epoch_seconds.min()) if len(done) else np.nan,
        reference=found.name if found else None,
        reference_loss=found.loss if found else np.nan,
    )


def _median(column: pd.Series) -> float:
    """The median of the numbers that are there."""
    numbers = column.dropna().to_numpy(float)
    return float(np.median(numbers)) if len(numbers) else np.nan


def _baseline(trials: pd.DataFrame) -> Baseline | None:
    """The best baseline of some trials; `None` for those of older sweeps, which have none."""
    if "reference_loss" not in trials or trials.reference_loss.isna().all():
        return None
    highest = trials.reference_loss.astype(float).idxmax()
    return Baseline(str(trials.reference[highest]), float(trials.reference_loss[highest]))


def _compared(trials: pd.DataFrame, baseline: Baseline, until_solved: bool) -> pd.DataFrame:
    """Trials with their losses as they are compared, `reached` and `reachable` as Losses has them.

    What is worse than a guess is worth a guess: the uniform one, or the baseline on data that are
    harder for it than training was.
    """
    loss, gap, chance = (trials[name].astype(float) for name in ("test_loss", "gap", "chance"))
    guess = np.fmax(chance, baseline.loss)
    reached = np.minimum(loss, guess).where(trials.status != Status.DIVERGED, guess)
    stopped = trials.solved.fillna(False).astype(bool) & until_solved
    return trials.assign(reached=reached, reachable=(loss - gap).where(stopped, reached))


def _losses(rows: pd.DataFrame, compared: pd.DataFrame, axis: Axis) -> Losses:
    """The losses by seed and depth, or what else is compared."""
    names = key_names([axis.column])
    places = {key: n for n, key in enumerate(rows[names].itertuples(index=False, name=None))}
    seeds = {seed: index for index, seed in enumerate(sorted(compared.seed.unique()))}
    reached = np.full((len(seeds), len(places)), np.nan)
    reachable = reached.copy()
    known = zip(compared.seed, compared[names].itertuples(index=False, name=None), strict=True)
    for (seed, key), trial in zip(known, compared.itertuples(), strict=True):
        at = seeds[seed], places[key]
        reached[at], reachable[at] = trial.reached, trial.reachable
    return Losses(reached, reachable)


def _way(trials: pd.DataFrame, baseline: Baseline) -> float:
    """The distance from the baseline to the Bayes loss or, where that is not known, to 0.

    A baseline that is nearly never wrong leaves almost none: it is then a part of chance's.
    """
    floors = trials.bayes_loss.dropna()
    if len(floors):
        return max(0.0, baseline.loss - float(floors.min()))
    return max(baseline.loss, SHORTEST_WAY * float(trials.chance.max()))


def _with_verdict(rows: pd.DataFrame, verdict: DepthResult) -> pd.DataFrame:
    """The rows with the columns that compare them."""
    for place, found in verdict.findings.ratios.items():
        columns = ["ratio", "ratio_low", "ratio_high", "p_value"]
        rows.loc[place, columns] = [found.mean, found.low, found.high, found.p_value]
    rows["enough"] = rows["enough"].astype("boolean")
    for place, worst in verdict.findings.worst.items():
        rows.loc[place, "bound"] = worst.bound
        rows.loc[place, "enough"] = worst.p_value <= LEVEL and verdict.better_than_a_guess
    return rows
