"""Running settings as Ray tasks, on a cluster that was joined.

A task returns its rows and the files of its run directory through Ray's object store, and the
driver writes them: nodes need lstmcli, but no shared disk. Ray reruns the tasks of a node that is
lost.
"""

from __future__ import annotations

import tempfile
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import Any

from lstmcli.files import make_directories, write_atomically
from lstmcli.sweeps import trial
from lstmcli.sweeps.execute import POLL_SECONDS, Rows, attempt
from lstmcli.sweeps.grid import Setting

RETRIES = 3


def run_ray(settings: Sequence[Setting], folder: Path) -> Generator[tuple[Setting, Rows] | None]:
    """Trains settings as Ray tasks of one core each; as `execute.run_local`.

    Args:
        settings: what to train.
        folder: where each setting gets its run directory, by its name.
    """
    import ray

    # A process for each, as TensorFlow is set up for one kind of setting.
    task = ray.remote(num_cpus=1, max_retries=RETRIES, max_calls=1)(_train)
    largest_first = sorted(settings, key=lambda setting: -setting.seconds)
    running = {
        task.remote(setting, (folder / setting.name).resolve()): setting
        for setting in largest_first
    }
    try:
        while running:
            done, _ = ray.wait(list(running), timeout=POLL_SECONDS)
            for reference in done:
                setting = running.pop(reference)
                yield setting, _receive(ray, reference, setting, folder / setting.name)
            yield None
    finally:
        for reference in running:
            ray.cancel(reference, force=True)


def _train(setting: Setting, moves_to: Path) -> tuple[Rows, dict[str, bytes]]:
    """A task: the rows, and the run directory's files by their relative path."""
    with tempfile.TemporaryDirectory() as folder:
        directory = Path(folder) / setting.name
        rows = attempt(setting, directory, moves_to)
        files = [path for path in directory.rglob("*") if path.is_file()]
        return rows, {str(path.relative_to(directory)): path.read_bytes() for path in files}


def _receive(ray: Any, reference: Any, setting: Setting, directory: Path) -> Rows:
    try:
        rows, files = ray.get(reference)
    except ray.exceptions.RayError as error:
        first_line = str(error).strip().splitlines()[0]
        return trial.lost(setting, first_line)
    for name, content in files.items():
        path = directory / name
        make_directories(path.parent)
        write_atomically(path, content)
    return list(rows)
