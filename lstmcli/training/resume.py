"""Resuming a run: restores its state and reports what has changed since it began."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from lstmcli.core import execution
from lstmcli.training import checkpoint_files, checkpointing, metrics, provenance
from lstmcli.training.resume_state import ResumeState
from lstmcli.training.state import TrainingState


def restore_run(run: TrainingState, kept: ResumeState) -> None:
    """Restores a run from its checkpoint and removes later rows from its tables.

    Raises:
        FileError: the data has changed, or something is missing.
        UsageError: other data is named.
    """
    kept.check_data(run.source.checksums())
    if kept.checkpoint:
        checkpointing.restore(run, kept.checkpoint)
    checkpoint_files.truncate_metrics(run.directory, kept.checkpoint)
    if kept.warning:
        checkpoint_files.fall_back_to_previous(run.directory)
    run.directory.remove_half_written()
    run.latest = {row.seed: row for row in metrics.read_metrics(run.directory.metrics)}
    run.resumed = True


def notes(run: TrainingState, kept: ResumeState) -> list[str]:
    """Notes on changes since the run began that may change its bits."""
    found = []
    for name, before, now in changes(kept.status, provenance.circumstances(run)):
        what = name.replace("_", " ")
        differ = "will differ" if name == "device" else "may differ"
        found.append(f"the run began with {what} {before}, and goes on with {now}: bits {differ}")
    behind = [row.seed for row in run.latest.values() if row.epoch < run.epoch]
    if kept.longer and (again := [seed for _, seed in run.active_replicas if seed in behind]):
        found.append(
            f"seed {', '.join(map(str, again))} had stopped before the others, and goes on with "
            f"epoch {run.epoch + 1} as they do"
        )
    return found


def changes(
    before: Mapping[str, Any], now: Mapping[str, Any]
) -> Iterator[tuple[str, object, object]]:
    """The circumstances that differ: the name in `run.json`, the old value and the new one.

    GPUs of the same model count as equal.
    """
    for name, value in now.items():
        known = before.get(name)
        if name == "gpu" and known is None:
            continue  # The device differs, or an older version did not save it.
        if name == "device" and all(execution.on_gpu(str(each)) for each in (known, value)):
            continue
        if isinstance(value, Mapping):
            yield from changes(known if isinstance(known, Mapping) else {}, value)
        elif known != value:
            yield name, known, value
