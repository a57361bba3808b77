"""What the trials of a sweep say: a row for each setting, and the answer in a sentence.

The tests and intervals are SciPy's. The interquartile mean and its bootstrap interval are what
Agarwal et al. 2021 ("Deep Reinforcement Learning at the Edge of the Statistical Precipice") advise
for a handful of seeds; the interval of the solve rate is Wilson's (1927); p-values are Wilcoxon's
signed-rank test (1945) on pairs of the same seed, corrected by Holm (1979).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import pandas as pd

Floats = npt.NDArray[np.float64]

SIGNIFICANT = 0.05


@dataclass(frozen=True)
class SettingRow:
    """One setting of a sweep: a row of `summary.csv`, whose swept settings stand before it.

    `mean` to `ci_high` are of the test losses, in nats per step; the interval is a 95 % bootstrap
    interval of `iqm`. `p_value` compares with the best setting. `nan` where there is no number.
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


def interquartile_mean(losses: Floats) -> float:
    """The mean of the middle half: a quarter of the values is cut off at either end."""
    from scipy import stats

    return float(stats.trim_mean(losses, 0.25))


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


def paired_p_value(losses: Floats, others: Floats) -> float:
    """Wilcoxon's signed-rank test of pairs; `nan` for fewer than two pairs."""
    from scipy import stats

    if len(losses) < 2:
        return np.nan
    if np.array_equal(losses, others):
        return 1.0
    return float(stats.wilcoxon(losses, others).pvalue)


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's step-down correction: the k-th smallest of m is multiplied by m - k + 1, in order.

    `nan` stays, and counts for nothing.
    """
    values = np.asarray(p_values, float)
    order = [index for index in np.argsort(values) if not np.isnan(values[index])]
    corrected, largest = values.copy(), 0.0
    for rank, index in enumerate(order):
        largest = max(largest, min(1.0, (len(order) - rank) * values[index]))
        corrected[index] = largest
    return [float(value) for value in corrected]


def summarise(trials: pd.DataFrame, swept: Sequence[str]) -> pd.DataFrame:
    """A row for each setting: `layers`, `state_size`, the other swept settings, then SettingRow's.

    Args:
        trials: the columns of `trials.csv`, with a column for each swept setting.
        swept: names of swept settings besides depth and size. Settings that agree in these are
            compared with each other.
    """
    import pandas as pd

    keys = ["layers", "state_size", *swept]
    rows = [
        dict(zip(keys, values, strict=True)) | vars(_setting(group))
        for values, group in trials.groupby(keys, sort=True)
    ]
    summary = pd.DataFrame(rows, columns=[*keys, *(spec.name for spec in fields(SettingRow))])
    for _, comparable in groups(summary, swept):
        best = _best(comparable)
        mine = [trials.merge(row.to_frame().T[keys], on=keys) for _, row in comparable.iterrows()]
        reference = mine[list(comparable.index).index(best)]
        p_values = [
            np.nan if index == best else _paired(group, reference)
            for index, group in zip(comparable.index, mine, strict=True)
        ]
        summary.loc[comparable.index, "p_value"] = holm(p_values)
    return summary


def groups(
    table: pd.DataFrame, swept: Sequence[str]
) -> list[tuple[tuple[object, ...], pd.DataFrame]]:
    """The parts of a table that agree in the swept settings, each with their values."""
    if not swept:
        return [((), table)]
    return list(table.groupby(list(swept), sort=True))


def _setting(group: pd.DataFrame) -> SettingRow:
    """The figures of one setting's trials, without its p-value."""
    done = group[group.test_loss.notna()]
    losses = done.test_loss.to_numpy(float)
    known, solved = done.solved.notna().any(), int(done.solved.fillna(False).astype(bool).sum())
    low, high = bootstrap_interval(losses) if len(losses) else (np.nan, np.nan)
    solve_low, solve_high = wilson_interval(solved, len(group)) if known else (np.nan, np.nan)
    return SettingRow(
        parameters=int(group.parameters.iloc[0]),
        seeds=len(group),
        failed=len(group) - len(done),
        mean=float(np.mean(losses)) if len(losses) else np.nan,
        std=float(np.std(losses, ddof=1)) if len(losses) > 1 else np.nan,
        median=_median(done.test_loss),
        iqm=interquartile_mean(losses) if len(losses) else np.nan,
        ci_low=low,
        ci_high=high,
        solve_rate=solved / len(group) if known else np.nan,
        solve_low=solve_low,
        solve_high=solve_high,
        epochs_to_solve=_median(done.epochs_to_solve),
        p_value=np.nan,
        epoch_seconds=_median(done.epoch_seconds),
    )


def _median(column: pd.Series) -> float:
    """The median of the numbers that are there."""
    numbers = column.dropna().to_numpy(float)
    return float(np.median(numbers)) if len(numbers) else np.nan


def _best(summary: pd.DataFrame) -> int:
    """The index of the setting that solves most often and, of those, has the lowest loss."""
    ranked = summary.sort_values(["solve_rate", "iqm"], ascending=[False, True])
    return int(ranked.index[0])


def _paired(trials: pd.DataFrame, others: pd.DataFrame) -> float:
    """The p-value of two settings' test losses, paired by seed."""
    pairs = trials.merge(others, on="seed", suffixes=("", "_other"))
    pairs = pairs.dropna(subset=["test_loss", "test_loss_other"])
    return paired_p_value(pairs.test_loss.to_numpy(float), pairs.test_loss_other.to_numpy(float))


def answer(trials: pd.DataFrame, summary: pd.DataFrame) -> str:
    """How many layers the task needs, in a sentence; or that the data cannot tell.

    Args:
        trials: of settings that differ in depth (and size) alone.
        summary: what `summarise` makes of them.
    """
    if summary.iqm.isna().all():
        return "no trial ended with a loss: there is nothing to compare"
    best = summary.loc[_best(summary)]
    if summary.solve_rate.isna().all():
        return _answer_by_loss(summary, best)
    if best.solve_rate == 0:
        return (
            f"no depth solves it: {_layers(best.layers)} {_verb(best.layers, 'come')} closest, "
            f"with a test loss of {best.iqm:.3g}"
        )
    if best.solve_rate < 1:
        return (
            f"the data cannot tell: no depth solves it with every seed; "
            f"{_layers(best.layers)} {_verb(best.layers, 'do')} best, with {_solved(best)} "
            f"(95 % interval {best.solve_low:.0%} to {best.solve_high:.0%})"
        )
    enough = summary[summary.solve_rate == 1].sort_values(["layers", "state_size"]).iloc[0]
    return (
        f"{_layers(enough.layers)} {_verb(enough.layers, 'are')} enough: {_solved(enough)} solve it"
        + (_shallower(summary, enough) + _deeper(trials, summary, enough))
    )


def answers(trials: pd.DataFrame, summary: pd.DataFrame, swept: Sequence[str]) -> list[str]:
    """The answer for each combination of the other swept settings."""
    found = []
    for values, part in groups(summary, swept):
        mine = trials.merge(part[["layers", "state_size", *swept]])
        where = ", ".join(f"{name} {value}" for name, value in zip(swept, values, strict=True))
        found.append(f"{where}: {answer(mine, part)}" if where else answer(mine, part))
    return found


def _answer_by_loss(summary: pd.DataFrame, best: pd.Series) -> str:
    """For a task whose floor is unknown: the least depth that is not shown to be worse."""
    equal = summary[(summary.p_value >= SIGNIFICANT) | (summary.index == best.name)]
    least = equal.sort_values(["layers", "state_size"]).iloc[0]
    if least.name == best.name:
        which = f"{_layers(best.layers)} {_verb(best.layers, 'do')} best"
        return f"{which}, with a test loss of {best.iqm:.3g}"
    return (
        f"{_layers(least.layers)} {_verb(least.layers, 'are')} enough: {_layers(best.layers)} "
        f"{_verb(best.layers, 'are')} not shown to be better (p = {least.p_value:.2g})"
    )


def _shallower(summary: pd.DataFrame, enough: pd.Series) -> str:
    """What the next smaller depth does."""
    below = summary[summary.layers < enough.layers]
    if below.empty:
        return ""
    row = below.sort_values("layers").iloc[-1]
    only = "none" if row.solve_rate == 0 else f"only {round(row.solve_rate * row.seeds)}"
    return f"; with {_layers(row.layers)} {only} of {row.seeds:.0f} do"


def _deeper(trials: pd.DataFrame, summary: pd.DataFrame, enough: pd.Series) -> str:
    """Whether a larger depth has a lower loss, and what it costs."""
    deeper = summary[(summary.layers > enough.layers) & summary.iqm.notna()]
    if deeper.empty:
        return ""
    mine = trials[(trials.layers == enough.layers) & (trials.state_size == enough.state_size)]
    p_values = holm(
        [
            _paired(
                trials[(trials.layers == row.layers) & (trials.state_size == row.state_size)], mine
            )
            for _, row in deeper.iterrows()
        ]
    )
    place = int(np.argmin(deeper.iqm.to_numpy()))
    row, p_value = deeper.iloc[place], p_values[place]
    better = row.iqm < enough.iqm and p_value < SIGNIFICANT
    verdict = "reach a lower loss" if better else "are no better"
    if row.layers == 1:
        verdict = verdict.replace("reach", "reaches").replace("are", "is")
    slower = row.epoch_seconds / enough.epoch_seconds
    cost = f"{slower:.1f}x slower" if slower >= 1.05 else "no slower"
    joined = f"and {'are ' if better else ''}{cost}"
    known = f"p = {p_value:.2g}" if not np.isnan(p_value) else "too few seeds to test"
    return f"; {_layers(row.layers)} {verdict} ({known}) {joined}"


def _layers(count: float) -> str:
    return f"{count:.0f} layer{'' if count == 1 else 's'}"


def _verb(count: float, plural: str) -> str:
    singular = {"are": "is", "come": "comes", "do": "does"}
    return singular[plural] if count == 1 else plural


def _solved(row: pd.Series) -> str:
    return f"{round(row.solve_rate * row.seeds)} of {row.seeds:.0f} seeds"
