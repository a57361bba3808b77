"""Writes `room.csv`, a file as people have them: `python room.py`.

Every ten minutes the temperatures of a room and of the air outside, with a date; the room's
thermostat heats from 19 degrees on until it has 21. For some hours nothing was written down.
"""

import numpy as np
import pandas as pd

STEPS, DAY = 6_000, 144

rng = np.random.default_rng(0)
hours = np.sin(2 * np.pi * (np.arange(STEPS) / DAY - 0.4))
outside = 6 + 5 * hours + 0.3 * rng.normal(size=STEPS).cumsum() / 3
room, heated, found = 20.0, False, []
for air in outside:
    heated = room < 21 if heated else room < 19
    room += 0.02 * (air - room) + 0.6 * heated + rng.normal(scale=0.05)
    found.append(room)
table = pd.DataFrame(
    {
        "date": pd.date_range("2026-01-05", periods=STEPS, freq="10min"),
        "outside": outside.round(1),
        "room": np.round(found, 2),
    }
)
table.loc[2_000:2_050, ["outside", "room"]] = np.nan
table.to_csv("room.csv", index=False)
