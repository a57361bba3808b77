"""How often a sweep's answer is right, by simulation: `python tests/support/operating_figures.py`.

Sweeps are drawn from distributions whose truth is known and judged by the program's own code. The
first table is about the line below which a task is solved: how many series the best predictor that
there is solves. The second is the share of sweeps that claim any difference between five depths
that are truly equal: it must not exceed 5 %. The third is the share that calls the smaller of two
depths enough, when the deeper one is better by half a standard deviation (of a seed's loss) or by
two, with a margin of a quarter of a standard deviation (so that calling it enough is wrong: at most
5 %) and of one (so that it is right for half a deviation, wrong for two). The fourth is about
several depths and a margin of one standard deviation: how often any is called enough where all but
the last are worse than that by exactly the margin (at most 5 %), and how often the first is where
all are equal. The fifth is how often a depth is called enough that sometimes fails, beside one that
never does: what is rare shows in no bound.
"""

import sys

import numpy as np

from lstmcli.config import DataConfig
from lstmcli.data.batching import ContiguousWindows
from lstmcli.data.tasks import echo
from lstmcli.sweeps import looks
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


def main(sweeps=1000):
    """Prints the tables in Markdown."""
    series = sweeps // 5
    print(f"| label noise | oracle solves, of {series} series | held against the floor |")
    print("| --- | --- | --- |")
    for noise in (0, 0.05, 0.2, 0.4):
        print("| {} | {} | {} |".format(noise, *oracle_solves(noise, series)))
    print()
    print("| five equal depths | " + " | ".join(f"{n} seeds" for n in SEEDS) + " |")
    print("| --- |" + " --- |" * len(SEEDS))
    for name, distribution in DISTRIBUTIONS.items():
        rates = (false_claims(distribution, 5, seeds, sweeps) for seeds in SEEDS)
        print(f"| {name} | " + " | ".join(f"{rate:.1%}" for rate in rates) + " |")
    print(
        "\n| the deeper is better by | margin | " + " | ".join(f"{n} seeds" for n in SEEDS) + " |"
    )
    print("| --- | --- |" + " --- |" * len(SEEDS))
    for difference in (0, 0.5, 2):
        for margin in (0.25, 1):
            rates = (called_enough(difference, margin, seeds, sweeps) for seeds in SEEDS)
            cells = " | ".join(f"{rate:.1%}" for rate in rates)
            print(f"| {difference} sd | {margin} sd | {cells} |")
    print("\n| losses | depths | " + " | ".join(f"{n} seeds" for n in SEEDS) + " |")
    print("| --- | --- |" + " --- |" * len(SEEDS))
    for name in DISTRIBUTIONS:
        for depths in DEPTHS:
            pairs = (
                (any_enough_at_the_margin(name, depths, seeds, sweeps),
                 first_of_equals(name, depths, seeds, sweeps))
                for seeds in SEEDS
            )  # fmt: skip
            cells = " | ".join(f"{wrong:.1%}, {right:.1%}" for wrong, right in pairs)
            print(f"| {name} | {depths} | {cells} |")
    for name in ("normal", "log-normal"):
        rates = (first_that_passes(name, 5, seeds, sweeps) for seeds in SEEDS)
        cells = " | ".join(f"{rate:.1%}" for rate in rates)
        print(f"| {name}, each by itself | 5 | {cells} |")
    print("\n| a seed fails with | " + " | ".join(f"{n} seeds" for n in SEEDS) + " |")
    print("| --- |" + " --- |" * len(SEEDS))
    for rate in (0.05, 0.1, 0.2, 0.3):
        cells = " | ".join(f"{missed(rate, seeds, sweeps):.1%}" for seeds in SEEDS)
        print(f"| {rate:.0%} | {cells} |")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
