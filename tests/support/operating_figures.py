"""How often a sweep's answer is right, by simulation: `python tests/support/operating_figures.py`.

Sweeps are drawn from distributions whose truth is known and judged by the program's own code;
CONTRIBUTING.md says what each table shows. `... operating_figures.py 1000 two_depths` draws so many
sweeps for each cell, and prints that table alone.
"""

import sys

import numpy as np
from scipy import stats

import tuned_sweeps
from lstmcli.config import DataConfig
from lstmcli.data.batching import ContiguousWindows
from lstmcli.data.tasks import echo
from lstmcli.sweeps import comparison, looks
from lstmcli.sweeps.comparison import LEVEL, Losses, compare_depths, upper_bound

SEEDS = (5, 8, 12, 20)
DEPTHS = (2, 5, 8)


def normal(rng, size):
    """Losses around one half with a standard deviation of a thousandth."""
    return 0.5 + 0.001 * rng.normal(size=size)


def log_normal(rng, size):
    """Losses of solved tasks, which spread by a factor of three."""
    return np.exp(rng.normal(-8, 0.5, size))


def solved_or_not(rng, size):
    """Losses of a task that four seeds of five solve, and one does not."""
    return np.where(
        rng.random(size) < 0.8, log_normal(rng, size), np.exp(rng.normal(-0.4, 0.05, size))
    )


MARGINS = {"normal": 0.001, "log-normal": 0.0002, "solved or not": 0.0069}
"""A standard deviation of a seed's loss, or what a sweep's default is."""
DISTRIBUTIONS = {"normal": normal, "log-normal": log_normal, "solved or not": solved_or_not}


def judge(losses, margin, compare=True, level=LEVEL):
    """What losses `[depths, seeds]` say with a margin in nats; `compare` them by pairs too."""
    return compare_depths(Losses(losses.T, losses.T), margin, compare, level)


def judge_as_needed(losses, margin, compare=False):
    """What a sweep says that looks after 8, 12 and 20 seeds, and at how many it has stopped."""
    for look, seeds in enumerate(looks.LOOKS):
        found = judge(losses[:, :seeds], margin, compare, looks.level(look))
        if looks.is_decided(found, look):
            break
    return found, seeds


def false_claims(distribution, depths, seeds, sweeps):
    """The share of sweeps of equal depths that claim a difference."""
    rng = np.random.default_rng(0)
    found = (judge(distribution(rng, (depths, seeds)), 0.001) for _ in range(sweeps))
    claims = [any(r.p_value < LEVEL for r in each.ratios.values()) for each in found]
    return float(np.mean(claims))


def called_enough(difference, margin, seeds, sweeps):
    """The share of sweeps that call the smaller of two depths enough; in standard deviations."""
    rng = np.random.default_rng(0)
    found = 0
    for _ in range(sweeps):
        smaller, deeper = normal(rng, (2, seeds))
        losses = np.stack([smaller + 0.001 * difference, deeper])
        found += judge(losses, 0.001 * margin).enough == 0
    return found / sweeps


def any_enough_at_the_margin(name, depths, seeds, sweeps):
    """The share of sweeps that call any depth enough of those that are worse by the margin."""
    rng, worse = np.random.default_rng(0), MARGINS[name] * (np.arange(depths) < depths - 1)
    found = 0
    for _ in range(sweeps):
        losses = DISTRIBUTIONS[name](rng, (depths, seeds)) + worse[:, None]
        enough = judge(losses, MARGINS[name], compare=False).enough
        found += enough is not None and enough < depths - 1
    return found / sweeps


def first_that_passes(name, depths, seeds, sweeps):
    """As `any_enough_at_the_margin`, if each depth had a test of its own."""
    rng, margin = np.random.default_rng(0), MARGINS[name]
    found = 0
    for _ in range(sweeps):
        losses = DISTRIBUTIONS[name](rng, (depths, seeds))
        losses[:-1] += margin
        others = [np.delete(losses, depth, 0) for depth in range(depths - 1)]
        bounds = [
            max(upper_bound(own - other) for other in rest)
            for own, rest in zip(losses, others, strict=False)
        ]
        found += min(bounds) < margin
    return found / sweeps


def first_of_equals(name, depths, seeds, sweeps):
    """The share of sweeps of equal depths that call the first one enough."""
    rng = np.random.default_rng(0)
    draws = (DISTRIBUTIONS[name](rng, (depths, seeds)) for _ in range(sweeps))
    return sum(judge(losses, MARGINS[name], False).enough == 0 for losses in draws) / sweeps


def as_needed(name, depths, worse, sweeps, margin=None, compare=False):
    """How sweeps end that look as they go on.

    Args:
        name: of the distribution.
        depths: how many.
        worse: by how many margins all are worse but the last.
        sweeps: how many are drawn.
        margin: in nats; else as in MARGINS.
        compare: whether differences are looked for too.

    Returns:
        The shares of sweeps that call a depth before the last enough, that call the first so and
        that claim a difference, and the mean number of seeds.
    """
    rng, margin = np.random.default_rng(0), margin or MARGINS[name]
    behind = margin * worse * (np.arange(depths) < depths - 1)[:, None]
    found = []
    for _ in range(sweeps):
        losses = DISTRIBUTIONS[name](rng, (depths, looks.LOOKS[-1])) + behind
        findings, seeds = judge_as_needed(losses, margin, compare)
        enough, pairs = findings.enough, findings.ratios.values()
        differ = any(pair.p_value <= LEVEL for pair in pairs)
        found.append((enough is not None and enough < depths - 1, enough == 0, differ, seeds))
    return tuple(np.mean(found, 0))


def tuned(name, design, alike, sweeps, seeds=None):
    """What tuning makes of two depths that are equal at their best rates, or of which one is worse.

    Args:
        name: of the case, in `tuned_sweeps.TUNED`.
        design: in `tuned_sweeps.DESIGNS`.
        alike: correlation of a seed's validation and test loss.
        sweeps: how many are drawn.
        seeds: how many are judged; `None`: as needed.

    Returns:
        The share that claims a difference where there is none, and the share that calls the first
        enough where it is worse by exactly the margin: at any look, by the program's two tests.
    """
    rng = np.random.default_rng(0)
    levels = [*map(looks.level, range(len(looks.LOOKS)))] if seeds is None else [LEVEL]
    counts = looks.LOOKS if seeds is None else [seeds]
    drawn = [tuned_sweeps.tuned_losses(rng, name, design, alike, counts[-1]) for _ in range(sweeps)]
    first, second = np.swapaxes(drawn, 0, 1)
    differ, enough = np.zeros((2, sweeps), bool)
    for count, level in zip(counts, levels, strict=True):
        logs, better = (np.log(first / second)[:, :count], (second - first)[:, :count])
        differ |= stats.ttest_1samp(logs, 0, axis=1).pvalue <= level
        sums = better @ comparison._flips(count).T
        enough |= (sums >= sums[:, :1] - 1e-12).mean(1) <= level
    return differ.mean(), enough.mean()


def oracle_solves(noise, series):
    """In how many series the best predictor counts as solving the task, by its gap and as before.

    Before, its loss was held against the floor, which is an expectation.
    """
    by_gap = by_expectation = 0
    for seed in range(series):
        drawn = echo.generate(DataConfig(noise=noise), np.random.default_rng(seed))
        floor = echo.bayes_floor(drawn, ContiguousWindows(len(drawn), 5, 15))
        by_gap += floor.solved(float(np.float32(floor.oracle)))
        by_expectation += floor.oracle - floor.loss < floor.line
    return by_gap, by_expectation


def missed(rate, seeds, sweeps):
    """The share of sweeps that call a depth enough which fails so often, when another does not."""
    rng = np.random.default_rng(0)
    found = 0
    for _ in range(sweeps):
        losses = log_normal(rng, (2, seeds))
        losses[0, rng.random(seeds) < rate] = 0.693
        found += judge(losses, 0.0069).enough == 0
    return found / sweeps


def table(heads, rows):
    """Prints a table in Markdown."""
    print("| " + " | ".join(heads) + " |\n|" + " --- |" * len(heads))
    for row in rows:
        cells = (f"{each:.1%}" if isinstance(each, float) else str(each) for each in row)
        print("| " + " | ".join(cells) + " |", flush=True)
    print()


AFTER = [f"{seeds} seeds" for seeds in SEEDS]


def solved(sweeps):
    series = sweeps // 5
    heads = ["label noise", f"oracle solves, of {series} series", "held against the floor"]
    table(heads, ((str(noise), *oracle_solves(noise, series)) for noise in (0, 0.05, 0.2, 0.4)))


def differences(sweeps):
    rows = (
        (name, *(false_claims(own, 5, seeds, sweeps) for seeds in SEEDS))
        for name, own in DISTRIBUTIONS.items()
    )
    table(["five equal depths", *AFTER], rows)


def two_depths(sweeps):
    rows = (
        (f"{by} sd", f"{margin} sd", *(called_enough(by, margin, seeds, sweeps) for seeds in SEEDS))
        for by in (0, 0.5, 2)
        for margin in (0.25, 1)
    )
    table(["the deeper is better by", "margin", *AFTER], rows)


def several_depths(sweeps):
    def cell(name, depths, seeds):
        wrong = any_enough_at_the_margin(name, depths, seeds, sweeps)
        return f"{wrong:.1%}, {first_of_equals(name, depths, seeds, sweeps):.1%}"

    rows = (
        (name, depths, *(cell(name, depths, seeds) for seeds in SEEDS))
        for name in DISTRIBUTIONS
        for depths in DEPTHS
    )
    table(["losses", "depths", *AFTER], rows)


def each_by_itself(sweeps):
    rows = (
        (name, *(first_that_passes(name, 5, seeds, sweeps) for seeds in SEEDS))
        for name in ("normal", "log-normal")
    )
    table(["five depths, each by itself", *AFTER], rows)


def seeds_as_needed(sweeps):
    def row(name, depths):
        wrong, *_ = as_needed(name, depths, 1, sweeps)
        _, first, differ, seeds = as_needed(name, depths, 0, sweeps, compare=True)
        alone = first_of_equals(name, depths, 20, sweeps)
        clear = as_needed(name, depths, 0, sweeps // 10, margin=5 * MARGINS[name])[3]
        needed = as_needed(name, depths, 30, sweeps // 10)[3]
        return (
            name,
            depths,
            *map(float, (wrong, differ, first, alone)),
            *(f"{each:.1f}" for each in (seeds, clear, needed)),
        )

    heads = ["losses", "depths", "wrongly enough", "wrongly different", "first of equals"]
    more = ["the same, always 20", "seeds", "seeds, margin fivefold", "seeds, the last is needed"]
    table(heads + more, (row(name, depths) for name in DISTRIBUTIONS for depths in DEPTHS))


def halving_rates(sweeps):
    rows = (
        (f"1/{round(1 / rung)}", seeds, *map(float, tuned_sweeps.halved(rung, seeds, sweeps)))
        for rung in (1 / 8, 1 / 4)
        for seeds in (4, 8)
    )
    table(["given up after", "seeds", "choice of the full grid", "of its cost"], rows)


def tuned_depths(sweeps):
    def cell(*of):
        return "{:.1%}, {:.1%}".format(*tuned(*of))

    rows = (
        (name, str(alike), design, *(cell(name, design, alike, sweeps, n) for n in (8, 20, None)))
        for name in tuned_sweeps.TUNED
        for alike in (0.3, 0.7, 0.95)
        for design in tuned_sweeps.DESIGNS
    )
    heads = ["two depths", "validation and test", "design", "8 seeds", "20 seeds", "as needed"]
    table(heads, rows)


def rare_failures(sweeps):
    rows = (
        (f"{rate:.0%}", *(missed(rate, seeds, sweeps) for seeds in SEEDS))
        for rate in (0.05, 0.1, 0.2, 0.3)
    )
    table(["a seed fails with", *AFTER], rows)


TABLES = {
    own.__name__: own
    for own in (
        solved,
        differences,
        two_depths,
        several_depths,
        each_by_itself,
        seeds_as_needed,
        halving_rates,
        tuned_depths,
        rare_failures,
    )
}


def main(sweeps="1000", *names):
    """Prints the tables, or those that are named, in Markdown."""
    for name in names or TABLES:
        TABLES[name](int(sweeps))


if __name__ == "__main__":
    main(*sys.argv[1:])
