"""Writes `readings.csv`, a recording to try lstmcli on: `python readings.py`.

A machine is warm or cool, its load changes, and a fan runs in one of two modes; what `state` says
is what the temperature was five steps before, so that a model without memory has little to go by.
"""

import numpy as np
import pandas as pd

STEPS, DELAY = 6_000, 5

rng = np.random.default_rng(0)
slow = np.convolve(rng.normal(size=STEPS + 40), np.ones(8) / 8, "valid")[:STEPS]
temperature = 60 + 12 * slow + rng.normal(scale=0.5, size=STEPS)
before = np.roll(temperature, DELAY)
table = pd.DataFrame(
    {
        "temperature": temperature.round(2),
        "load": rng.gamma(4, 12, STEPS).round(1),
        "fan": rng.choice(["low", "high"], STEPS),
        "state": np.select([before > 63, before < 57], ["hot", "cold"], "fine"),
    }
)
table.to_csv("readings.csv", index=False)
