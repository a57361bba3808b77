"""Where a run comes from, as `run.json` says it: versions, machine, data, and when."""

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


def of_run(run: TrainingState, argv: Sequence[str]) -> dict[str, Any]:
    """What `run.json` says from the start."""
    data, task = run.config.data.data, run.config.data.task
    training = run.config.training
    return {
        **circumstances(run),
        "argv": list(argv),
        "seeds": run.config.run.seeds,
        "data_seeds": run.config.run.data_seeds,
        "device_reason": run.device_reason,
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
    """What the bits of a run depend on besides its settings and its data."""
    on_gpu = execution.on_gpu(run.program.device)
    libraries = ("tensorflow", "numpy", "safetensors")
    return {
        "version": __version__,
        "device": run.program.device,
        **({"gpu": gpu.description(run.program.device)} if on_gpu else {}),
        "threads": device.threads(),
        "schedule": run.program.schedule,
        "instruction_set": device.instruction_set(),
        "machine": platform.machine(),
        "processor": execution.processor(),
        "libraries": {name: version(name) for name in libraries},
    }


def now() -> str:
    """The time, as `run.json` has it: UTC, ISO 8601."""
    return datetime.now(UTC).isoformat(timespec="seconds")
