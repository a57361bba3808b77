"""What runs take, beside what is said before: `python benchmarks/times.py`.

Each size is trained in a process of its own, without the cache of compiled programs, from where the
line with the time is said to the last epoch's end. The processor's seconds stand beside, as others
may use the machine. A few sizes can be named: `python benchmarks/times.py article seeds`.
"""

import multiprocessing
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from lstmcli import api
from lstmcli.config import Config
from lstmcli.training import estimate, run_dir

SHORT = {"layers": 1, "series_length": 2000}
SIZES = {
    "article": {"layers": 3, "epochs": 20},
    "epochs": {**SHORT, "epochs": 300},
    "deep": {"layers": 100, "series_length": 2000, "epochs": 4},
    "deeper": {"layers": 200, "series_length": 750, "epochs": 1},
    "deep, layered": {"layers": 20, "state_size": 64, "series_length": 2000, "epochs": 4},
    "8 seeds": {"layers": 3, "series_length": 20_000, "epochs": 20, "replicas": 8},
    "100 seeds": {**SHORT, "epochs": 10, "replicas": 100},
    "1000 seeds": {**SHORT, "epochs": 5, "replicas": 1000},
    "seeds, layered": {**SHORT, "state_size": 64, "epochs": 5, "replicas": 50},
    "seeds, dropout": {
        "layers": 2, "series_length": 2000, "epochs": 5, "replicas": 50, "dropout": 0.2
    },
    "wide": {"layers": 1, "state_size": 256, "series_length": 10_000, "epochs": 5},
    "rows": {
        "state_size": 64, "batch_size": 64, "bptt": 64, "series_length": 400_000, "epochs": 3
    },
}  # fmt: skip


def train(settings):
    """What is said before of a run, and what it takes: by the clock, and of the processors."""
    source = api.open_data(Config.build(**settings, cache=False))
    with tempfile.TemporaryDirectory() as folder:
        run = api.prepare(source, run_dir.create(Path(folder, "run"), "", overwrite=False))
        from lstmcli.training import trainer  # It needs TensorFlow, which `prepare` has set up.

        data = estimate.of_data(run.source, run.floor, run.baselines.found)
        said = estimate.of_config(run.config, run.program.spec, data).seconds
        begun, used = time.monotonic(), time.process_time()
        for _ in trainer.train(run):
            pass
        return said, time.monotonic() - begun, time.process_time() - used


def main(*names):
    """Trains some sizes, or all of them."""
    print(f"{'size':16} {'said':>9} {'clock':>9} {'processor':>11} {'said/processor':>15}")
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, spawn, max_tasks_per_child=1) as pool:
        for name in names or SIZES:
            said, clock, processor = pool.submit(train, SIZES[name]).result()
            print(f"{name:16} {said:7.1f} s {clock:7.1f} s {processor:9.1f} s "
                  f"{said / processor:15.2f}", flush=True)  # fmt: skip


if __name__ == "__main__":
    main(*sys.argv[1:])
