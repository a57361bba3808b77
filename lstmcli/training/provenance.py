"""The origin of a run for `run.json`: versions, machine, data and time."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any

from lstmcli import __version__
from lstmcli.core import device, execution, gpu
from lstmcli.training import run_dir
from lstmcli.training.state import TrainingState

LIBRARIES = ("tensorflow", "numpy", "safetensors")
"""Libraries whose versions can change the bits of a run."""


def of_run(run: TrainingState, argv: Sequence[str]) -> dict[str, Any]:
    """The content of `run.json` at the start of a run."""
    data, task = run.config.data.data, run.config.data.task
    training = run.config.training
    return {
        **circumstances(run),
        "argv": list(argv),
        "seeds": run.config.run.seeds,
        "data_seeds": run.config.run.data_seeds,
        **of_device(run),
        "python": platform.python_version(),
        "data": run_dir.path_from_folder(run.directory.base, data) if data else task,
        "data_sha256": run.source.checksums(),
        "task": dict(run.source.example.task),
        "target": [column.name for column in run.source.schema.targets],
        "classes": run.source.schema.classes,
        "rows": training.rows,
        "steps": training.steps,
        "dropped_steps": run.source.cut.dropped,
        "bayes_loss": run.floor and run.floor.loss,
        "references": [each.record for each in run.baselines.found],
        "omitted_references": run.baselines.omitted,
        "started": now(),
    }


def circumstances(run: TrainingState) -> dict[str, Any]:
    """What can change the bits of a run besides its settings and its data."""
    return {
        "version": __version__,
        "device": run.program.device,
        **_gpu(run),
        "threads": device.threads(),
        "schedule": run.program.schedule,
        "instruction_set": device.instruction_set(),
        "machine": platform.machine(),
        "processor": execution.processor(),
        "libraries": {name: version(name) for name in LIBRARIES},
    }


def of_device(run: TrainingState) -> dict[str, Any]:
    """The device of a run, and why it was chosen."""
    return {"device": run.program.device, "device_reason": run.device_reason, **_gpu(run)}


def _gpu(run: TrainingState) -> dict[str, Any]:
    """The model of the GPU; empty for a CPU."""
    device = run.program.device
    return {"gpu": gpu.description(device)} if execution.on_gpu(device) else {}


def now() -> str:
    """The current time for `run.json`: UTC, ISO 8601."""
    return datetime.now(UTC).isoformat(timespec="seconds")
