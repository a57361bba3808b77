"""Sweeps that tune, drawn from models whose truth is known: what tuning does to their answers.

Two models. *Learning curves* are exponentials from a guess down to a floor, of which some wait
before they fall: the slowest rate needs 5 to 60 % of the epochs for a factor of e, each rate that
is three times as large 1 / 3^0.5 to 1 / 3 of that, and floors rise to both sides of a best rate, so
that curves cross. Seeds differ by 2 to 30 %, rates of one seed partly alike. *Ends* are normal:
each rate of a depth has a mean, and a seed's validation and test loss are correlated.
"""

import numpy as np

from lstmcli.sweeps import halving

GUESS, RATES = 1.0, 4
LEFT = (1 / 16, 1 / 8, 1 / 4, 1)
"""Parts of the epochs after which a learning curve is looked at."""

TUNED = {
    "rates alike": ([0, 0, 0, 0], [0, 0, 0, 0], 1),
    "rates nearly alike": ([0, 0.1, 0.2, 0.4], [0.2, 0, 0.1, 0.3], 1),
    "four alike, one by itself": ([0, 0, 0, 0], [0, 9, 9, 9], 1),
    "the same, spread twofold": ([0, 0, 0, 0], [0, 9, 9, 9], 2),
}
"""Of two depths the means of their rates, and the spread of the first, in standard deviations of a
seed's loss."""

DESIGNS = {
    "4 other seeds choose": (4, False),
    "the first 8 choose": (8, True),
}
"""How many seeds choose the rate, and whether they are judged by too."""


def learning_curves(rng, seeds):
    """Validation losses after each of LEFT: `[4, rates, seeds]`."""
    rates = np.arange(RATES)
    slowest = np.exp(rng.uniform(np.log(0.05), np.log(0.6)))
    time = slowest * 3.0 ** (-rng.uniform(0.5, 1) * rates)
    best, bend = rng.uniform(-0.5, RATES - 0.5), np.exp(rng.uniform(np.log(0.02), np.log(0.5)))
    floor = np.exp(rng.uniform(np.log(0.003), np.log(0.7)) + bend * (rates - best) ** 2)
    spread, alike = np.exp(rng.uniform(np.log(0.02), np.log(0.3))), rng.uniform(0, 0.9)
    shared, own = rng.normal(size=seeds), rng.normal(size=(RATES, seeds))
    seed = np.exp(spread * (np.sqrt(alike) * shared + np.sqrt(1 - alike) * own))
    floor = np.minimum(floor, GUESS)[:, None] * seed
    time = time[:, None] * np.exp(0.3 * rng.normal(size=own.shape))
    waits = time * rng.uniform(0.3, 1.5) * rng.integers(2)
    passed = np.maximum(0, np.array(LEFT)[:, None, None] - waits) / time
    losses = floor + np.maximum(GUESS - floor, 0) * np.exp(-passed)
    return np.minimum(GUESS, losses * np.exp(0.2 * spread * rng.normal(size=losses.shape)))


def halved(rung, seeds, sweeps):
    """How often halving keeps the rate that the full grid chooses, and what part of it it costs.

    Args:
        rung: the part of the epochs after which rates are given up: 1/8 or 1/4.
        seeds: of each rate.
        sweeps: how many are drawn.
    """
    rng, at = np.random.default_rng(0), LEFT.index(rung)
    same, cost = 0, 0.0
    for _ in range(sweeps):
        before, now, end = learning_curves(rng, seeds)[[at - 1, at, -1]]
        kept = halving.survivors(dict(enumerate(now)), GUESS, dict(enumerate(before)))
        same += halving.choose(dict(enumerate(end)), GUESS) in kept
        cost += rung + (1 - rung) * len(kept) / RATES
    return same / sweeps, cost / sweeps


def tuned_losses(rng, name, design, alike, seeds):
    """Test losses of two depths, each at the rate chosen for it: `[2, seeds]`.

    Args:
        rng: draws them.
        name: of the case, in TUNED.
        design: in DESIGNS.
        alike: correlation of a seed's validation and test loss.
        seeds: that are judged.
    """
    first, second, spread = TUNED[name]
    choosing, judged = DESIGNS[design]
    count = seeds if judged else seeds + choosing
    common, *own = rng.normal(size=(3, 2, RATES, count))
    scale, means = np.array([spread, 1])[:, None, None], np.array([first, second])[..., None]
    validation, test = (
        means + scale * (np.sqrt(alike) * common + np.sqrt(1 - alike) * each) for each in own
    )
    rates = [halving.choose(dict(enumerate(depth[:, :choosing])), np.inf) for depth in validation]
    losses = np.stack([depth[rate] for depth, rate in zip(test, rates, strict=True)])
    return 0.5 + 0.001 * losses[:, 0 if judged else choosing :]
