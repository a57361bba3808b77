"""Train from Python: four seeds side by side, and how far each ends from the best possible loss.

`python examples/from_python.py [epochs]` leaves a run directory, as `lstmcli train` does.
"""

import sys

import lstmcli

run = lstmcli.train(layers=3, replicas=4, epochs=int(sys.argv[1]) if sys.argv[1:] else 10)
for row in run.metrics.groupby("seed").last().itertuples():
    print(f"seed {row.Index}: {row.val_loss:.6f} nats, {row.val_gap:.6f} above the best possible")
