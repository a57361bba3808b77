"""When a run writes its checkpoints, and how a checkpoint restores a run exactly.

The checkpoint `last` is sufficient on its own. Besides the current tensors it holds what the run
would have in memory: `best.*`, each seed's best tensors, and, within an epoch, `progress.*`, the
metrics of the windows so far, and `begun.*`, the tensors from before the epoch, which a seed keeps
if it diverges later. Tensors that equal others in the file are left out.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Mapping
from typing import Any

import numpy as np

from lstmcli import __version__
from lstmcli.core import initialization
from lstmcli.core.replica_windows import WindowMetrics, concatenate
from lstmcli.training import checkpoint_files
from lstmcli.training.checkpoint import Checkpoint
from lstmcli.training.state import EpochProgress, TrainingState
from lstmcli.utils import rng
from lstmcli.utils.errors import (
    ExitCode,
    FileError,
    LstmcliError,
    OutOfMemoryError,
    StoppedError,
    describe_os_error,
    shell_quote,
)
from lstmcli.utils.signals import name_of

BEST, BEGUN, PROGRESS = "best.", "begun.", "progress."
STANDING = "standing"
"""Key of the metadata of `last` that decides when each seed stops."""


def save(run: TrainingState) -> None:
    """Writes the checkpoints between two epochs."""
    _write_last(run, run.tensors, {})


def save_within(
    run: TrainingState, under_way: EpochProgress, tensors: initialization.Arrays
) -> None:
    """Writes the checkpoints within an epoch.

    Args:
        run: the state after the last completed epoch.
        under_way: the epoch in progress.
        tensors: their current values.
    """
    measured = concatenate(under_way.parts)
    within = _named(BEGUN, run.tensors)
    for name, array in measured._asdict().items():
        within[PROGRESS + name] = np.asarray(array, np.float32)
    _write_last(run, tensors, within, len(measured.loss), under_way.seconds)


def save_best(run: TrainingState) -> None:
    """Writes the best checkpoint if it is newer than its file."""
    if run.best_changed:
        epoch = max(best["epoch"] for best in run.best_epochs)
        _checkpoint(run, "best", run.best, epoch).write(run.directory.best)
    run.best_changed = False


def save_when_due(run: TrainingState) -> None:
    """Writes the checkpoints after an epoch if they are due or the run is finished."""
    every = run.config.training.checkpoint_every
    due = due_within(run) if every.endswith("s") else run.epoch % int(every) == 0
    if due or run.finished:
        save(run)


def due_within(run: TrainingState) -> bool:
    """Whether a checkpoint is due by time, also within an epoch."""
    every = run.config.training.checkpoint_every
    return every.endswith("s") and time.monotonic() - run.saved >= float(every[:-1])


def stopped(run: TrainingState, windows: int, received: signal.Signals) -> StoppedError:
    """The error for a run that a signal has stopped and that has been saved.

    `windows` is the number of completed windows of the current epoch.
    """
    after = f" in epoch {run.epoch + 1}, after window {windows}" if windows else ""
    return StoppedError(
        f"stopped by {name_of(received)}{after or f' after epoch {run.epoch}'}",
        f"{_resuming(run)} goes on from there",
        ExitCode(128 + received),
    )


def write_error(run: TrainingState, error: OSError) -> LstmcliError:
    """The error for a run whose files could not be written, for example on a full disk."""
    kept = os.path.exists(run.directory.last)  # noqa: PTH110 (of a directory that is shut, too)
    hint = f"when that is fixed, {_resuming(run)} goes on from the last checkpoint"
    return LstmcliError(describe_os_error(error), hint if kept else None)


def no_memory(run: TrainingState, error: OutOfMemoryError) -> OutOfMemoryError:
    """The error for a run that ran out of memory, with how to resume it."""
    if not run.directory.last.is_file():
        return error
    hint = f"{_resuming(run)} goes on from it where there is more room; {error.hint}"
    return OutOfMemoryError(f"{error.message}; the last checkpoint stands", hint, error.exit_code)


def _resuming(run: TrainingState) -> str:
    return f"`lstmcli train --resume {shell_quote(run.directory.path)}`"


def restore(run: TrainingState, checkpoint: Checkpoint) -> None:
    """Restores a run from its checkpoint.

    Args:
        run: its state before the first epoch.
        checkpoint: a `last`.

    Raises:
        FileError: the checkpoint is incomplete, or was written by a version whose runs cannot be
            resumed.
    """
    metadata = checkpoint.metadata
    try:
        standing, position = metadata[STANDING], metadata["position"]
        run.epoch = int(position["epoch"])
        run.best_epochs = [dict(best) for best in metadata["best"]]
        run.solved_streak, run.epochs_since_best = (
            list(standing["evidence"]),
            list(standing["waited"]),
        )
        run.diverged = set(standing["diverged"])
        if (
            not len(run.solved_streak)
            == len(run.epochs_since_best)
            == len(run.best_epochs)
            == run.config.run.replicas
        ):
            raise ValueError("the seeds are not as many as the settings say")
        run.begun = time.monotonic() - metadata["elapsed_seconds"]
        seconds = float(standing["epoch_seconds"])
        _restore_tensors(run, checkpoint.tensors, int(position["window"]), seconds)
    except (KeyError, TypeError, ValueError) as error:
        raise FileError(
            f"`{run.directory.last}` has not all that a resume needs: {error}",
            "was it written by an older version of lstmcli? "
            f"`--init-from {shell_quote(run.directory.last)}` begins a new run with its weights",
        ) from error
    run.best_changed = bool(run.best)


def _restore_tensors(
    run: TrainingState, tensors: initialization.Arrays, window: int, seconds: float
) -> None:
    now = _like(run.tensors, tensors)
    if window:
        run.tensors = _like(run.tensors, tensors, BEGUN)
        measured = _progress(tensors, (window, run.config.run.replicas))
        run.within = EpochProgress(now, [measured], seconds)
    else:
        run.tensors = now
    if _has_best(run):
        best = run.tensors if _best_is_newest(run) else _like(run.tensors, tensors, BEST)
        run.best = {name: tensor.copy() for name, tensor in best.items()}


def _progress(tensors: initialization.Arrays, shape: tuple[int, int]) -> WindowMetrics:
    found = {name: tensors[PROGRESS + name] for name in WindowMetrics._fields}
    if any(array.shape != shape for array in found.values()):
        raise ValueError(f"`{PROGRESS}*` have not the shape {list(shape)}")
    labels = found.pop("labels").astype(np.int64)
    return WindowMetrics(**found, labels=labels)


def _write_last(
    run: TrainingState,
    tensors: initialization.Arrays,
    within: initialization.Arrays,
    window: int = 0,
    seconds: float = 0.0,
) -> None:
    best = {} if not _has_best(run) or _best_is_newest(run) else _named(BEST, run.best)
    checkpoint = _checkpoint(run, "last", tensors | within | best, run.epoch, window)
    checkpoint.metadata[STANDING] = {
        "evidence": run.solved_streak,
        "waited": run.epochs_since_best,
        "diverged": sorted(run.diverged),
        "epoch_seconds": seconds,
    }
    checkpoint_files.write_last(run.directory, checkpoint)
    save_best(run)  # Last: until then the older `best` matches the older `last`.
    run.saved = time.monotonic()


def _has_best(run: TrainingState) -> bool:
    return any(best["epoch"] for best in run.best_epochs)


def _best_is_newest(run: TrainingState) -> bool:
    """Whether each seed's best tensors are those of the last completed epoch."""
    return all(best["epoch"] == run.epoch for best in run.best_epochs)


def _named(prefix: str, tensors: initialization.Arrays) -> initialization.Arrays:
    return {prefix + name: tensor for name, tensor in tensors.items()}


def _like(
    expected: initialization.Arrays, tensors: initialization.Arrays, prefix: str = ""
) -> initialization.Arrays:
    """The tensors with the expected names.

    Raises:
        KeyError: one is missing.
        ValueError: one has a different shape.
    """
    found = {name: tensors[prefix + name] for name in expected}
    for name, tensor in found.items():
        if tensor.shape != expected[name].shape:
            raise ValueError(f"`{prefix + name}` has the shape {list(tensor.shape)}")
    return found


def _checkpoint(
    run: TrainingState, kind: str, tensors: Mapping[str, Any], epoch: int, window: int = 0
) -> Checkpoint:
    """Builds a checkpoint.

    Args:
        run: the run.
        kind: `last` or `best`.
        tensors: their values at this position.
        epoch: completed epochs.
        window: completed windows of the next epoch.
    """
    settings = run.config.run
    step = epoch * run.source.cut.windows + window
    training = [rng.describe(seed, rng.Stream.TRAINING, epoch) for seed in settings.data_seeds]
    metadata = {
        "version": __version__,
        "kind": kind,
        "config": run.directory.settings(run.config),
        "seeds": settings.seeds,
        "data_seeds": settings.data_seeds,
        "features": run.program.spec.features,
        "classes": run.program.spec.outputs,
        "schema": run.source.schema.to_dict(),
        "label_counts": run.source.label_counts,
        "position": {"epoch": epoch, "window": window, "step": step},
        "streams": {"training": training},
        "best": run.best_epochs,
        "elapsed_seconds": run.elapsed,
        "data_sha256": run.source.file_checksums,
    }
    return Checkpoint(dict(tensors), metadata)
