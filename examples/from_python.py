"""Train from Python: four seeds side by side, and how far each ends from the best possible loss.

`python examples/from_python.py [epochs]` leaves a run directory, as `lstmcli train` does.
"""

import sys

from lstmcli.config import Config
from lstmcli.experiment import Progress, prepare, train
from lstmcli.runs import rundir


def main(epochs: int = 10) -> None:
    """Train the article's network with four seeds, and print each seed's last epoch."""
    config = Config.build(layers=3, replicas=4, epochs=epochs)
    directory = rundir.create(None, "from-python", overwrite=False)
    rows = []
    for record in train(prepare(config, directory)):
        if not isinstance(record, Progress):
            rows = record
    for row in rows:
        print(f"seed {row.seed}: {row.val_loss:.6f} nats, floor {row.bayes_loss:.6f}")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
