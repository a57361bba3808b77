"""Checks that this machine gives the same bits twice: without a resume, and with one."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from lstmcli.data.datasets import Source
from lstmcli.training import checkpoint as checkpoints
from lstmcli.training import metrics, run_dir, trainer
from lstmcli.training.metrics import EpochRow
from lstmcli.training.run_dir import RunDirectory
from lstmcli.training.state import TrainingState
from lstmcli.utils.errors import ExitCode, LstmcliError

EPOCHS = 2


def verify(source: Source) -> tuple[int, list[str]]:
    """Trains the first epochs twice, the second time interrupted in the first epoch and resumed.

    It is resumed by the command in a new process, like a run that was killed.

    Returns:
        The number of epochs, and the names of files that differ in any bit. Nothing is left on
        disk.

    Raises:
        LstmcliError: training fails.
    """
    epochs = min(EPOCHS, source.config.training.epochs)
    with tempfile.TemporaryDirectory() as folder:
        whole, broken = (
            _begun(Path(folder) / name, source, epochs, every)
            for name, every in (("whole", "1"), ("broken", "0s"))
        )
        _train(whole, lambda record: False)
        _train(broken, lambda record: record.windows > 0)
        _resume(broken.directory)
        return epochs, _differences(whole.directory, broken.directory)


def _begun(path: Path, source: Source, epochs: int, every: str) -> TrainingState:
    training = replace(source.config.training, epochs=epochs, checkpoint_every=every)
    source = source.with_config(replace(source.config, training=training))
    return trainer.prepare(source.config, run_dir.create(path, "", overwrite=False), source)


def _train(run: TrainingState, enough: Callable[[trainer.Progress], bool]) -> None:
    with closing(trainer.train(run, ["lstmcli", "train", "--verify"])) as records:
        for record in records:
            if isinstance(record, trainer.Progress) and enough(record):
                return


def _resume(directory: RunDirectory) -> None:
    """Resumes a run in a new process.

    Raises:
        LstmcliError: the process failed.
    """
    command = ["train", "--resume", str(directory.path.resolve()), "--progress", "none"]
    entry = [sys.executable, "-P", "-m", "lstmcli"]  # `-P`: no modules from this directory.
    done = subprocess.run(
        [*entry, *command], check=False, capture_output=True, text=True, errors="replace"
    )
    if done.returncode:
        said = done.stderr.partition("error: ")[2] or done.stderr
        why, code = said.strip().partition("\n")[0], done.returncode
        known = ExitCode(code) if code in set(ExitCode) else ExitCode.FAILED
        raise LstmcliError(f"the interrupted run does not continue: {why}", None, known)


def _differences(first: RunDirectory, second: RunDirectory) -> list[str]:
    """The names of what differs between two runs."""
    different = []
    for one, other in ((first.last, second.last), (first.best, second.best)):
        tensors, others = checkpoints.read(one).tensors, checkpoints.read(other).tensors
        different += [
            f"`{name}` in `{one.name}`"
            for name in sorted(tensors.keys() | others.keys())
            if name not in tensors
            or name not in others
            or tensors[name].tobytes() != others[name].tobytes()
        ]
    if _untimed(first) != _untimed(second):
        different.append(f"`{first.metrics.name}`")
    if first.steps.read_bytes() != second.steps.read_bytes():
        different.append(f"`{first.steps.name}`")
    known = second.read_status()
    changed = [name for again in known["resumed"] for name in again.get("changed", [])]
    return different + [f"`{name}` in `{second.status.name}`" for name in changed]


def _untimed(directory: RunDirectory) -> list[EpochRow]:
    rows = metrics.read_metrics(directory.metrics)
    return [replace(row, epoch_seconds=0, elapsed_seconds=0) for row in rows]
