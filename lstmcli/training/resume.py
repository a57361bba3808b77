"""Going on with a run: it is put where it stood, and told what is not as it was."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from lstmcli.core import execution
from lstmcli.training import checkpoint_files, checkpointing, metrics, provenance
from lstmcli.training.resume_state import ResumeState
from lstmcli.training.state import TrainingState


def restore_run(run: TrainingState, kept: ResumeState) -> None:
    """Puts a run where it stood, and takes from its tables the rows that came after.

    Raises:
        FileError: the data is not what it was, or not all is there.
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
    """What is not as it was when the run began, and may change its bits."""
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
    """What circumstances differ, by the names of `run.json`: what they were, and what they are.

    Of several GPUs any is as good, if its card is of the same kind.
    """
    for name, value in now.items():
        known = before.get(name)
        if name == "gpu" and known is None:
            continue  # Then the device differs, or an older version did not keep it.
        if name == "device" and all(execution.on_gpu(str(each)) for each in (known, value)):
            continue
        if isinstance(value, Mapping):
            yield from changes(known if isinstance(known, Mapping) else {}, value)
        elif known != value:
            yield name, known, value
