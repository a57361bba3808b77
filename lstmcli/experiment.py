"""The story of a run, told once: data, program, records."""

from __future__ import annotations

import math
import os
import platform
import signal
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any

import numpy as np
import numpy.typing as npt

from lstmcli import __version__, streams
from lstmcli.config import Config
from lstmcli.core import device, environment, parameters
from lstmcli.core.program import Batch, Measures, Program
from lstmcli.data.echo import Floor, bayes_floor
from lstmcli.data.source import Source, open_source
from lstmcli.errors import DivergedError, ExitCode, StoppedError
from lstmcli.runs import metrics
from lstmcli.runs.checkpoint import Checkpoint
from lstmcli.runs.metrics import EpochRow, StepRow
from lstmcli.runs.rundir import RunDirectory
from lstmcli.signals import stop_signals

LOGGED_EVERY = 100  # windows: as often as the article prints its loss
CALMER = "try a smaller `--learning-rate`, or `--clip-norm 1`"


@dataclass(frozen=True)
class Progress:
    """Where training stands within an epoch: yielded after each chunk.

    Attributes:
        epoch: the one under way, from 1.
        windows: windows done of it.
        of: windows in it.
        loss: mean loss of the epoch so far, over the seeds too.
    """

    epoch: int
    windows: int
    of: int
    loss: float


@dataclass
class Run:
    """A run as it stands.

    Attributes:
        config, directory, source, program: what it is made of.
        floor: the best loss that can be expected, where the task is known.
        tensors: all that training changes.
        epoch: epochs completed.
        best: each seed's tensors at its lowest validation loss.
        best_at: the epoch and the loss of those, for each seed.
        best_changed: whether they are newer than their file.
        diverged: seeds that have had a loss of NaN or infinity.
        begun, saved: `time.monotonic()` at the start, and at the last checkpoint.
    """

    config: Config
    directory: RunDirectory
    source: Source
    program: Program
    floor: Floor | None
    tensors: parameters.Arrays
    best: parameters.Arrays
    best_at: list[dict[str, Any]]
    best_changed: bool = False
    diverged: set[int] = field(default_factory=set)
    epoch: int = 0
    begun: float = field(default_factory=time.monotonic)
    saved: float = field(default_factory=time.monotonic)

    @property
    def elapsed(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self.begun

    def checkpoint(
        self, kind: str, tensors: parameters.Arrays, epoch: int, window: int = 0
    ) -> Checkpoint:
        """A checkpoint of some tensors, with all that an exact resume needs.

        Args:
            kind: `last` or `best`.
            tensors: as they were at the position.
            epoch: how many were completed.
            window: how many were of the next epoch.
        """
        run = self.config.run
        step = epoch * self.source.layout.windows + window
        training = [
            streams.describe(seed, streams.Stream.TRAINING, epoch) for seed in run.data_seeds
        ]
        metadata = {
            "version": __version__,
            "kind": kind,
            "config": self.config.to_dict(),
            "seeds": run.seeds,
            "data_seeds": run.data_seeds,
            "features": self.program.features,
            "classes": self.program.classes,
            "position": {"epoch": epoch, "window": window, "step": step},
            "streams": {"training": training},
            "best": self.best_at,
            "elapsed_seconds": self.elapsed,
        }
        return Checkpoint(tensors, metadata)


def prepare(config: Config, directory: RunDirectory, source: Source | None = None) -> Run:
    """Opens the data, finds the device, draws the weights and readies the compiled program.

    Args:
        config: all settings.
        directory: where the run's records go.
        source: the data, where it is open already.

    Raises:
        DeviceError: the device asked for is not there.
        FileError: the dataset is missing, damaged or too short.
    """
    source = source or open_source(config)
    example = source.example()
    where = device.resolve(config.run.device, environment.threads(config))
    program = Program(config, example.features, example.classes, where)
    rngs = [streams.generator(seed, streams.Stream.WEIGHTS) for seed in config.run.seeds]
    weights = parameters.initialise(config.model, example.features, example.classes, rngs)
    return Run(
        config,
        directory,
        source,
        program,
        bayes_floor(example, source.layout),
        tensors=program.start(weights),
        best={},
        best_at=[{"seed": seed, "epoch": 0, "val_loss": None} for seed in config.run.seeds],
    )


def train(run: Run, argv: Sequence[str] = ()) -> Iterator[Progress | list[EpochRow]]:
    """Trains a run to its last epoch, and yields its progress and each epoch's rows.

    Everything is on disk before it is yielded. SIGINT and SIGTERM end the run after the chunk under
    way, with a checkpoint.

    Raises:
        DivergedError: a seed's loss became NaN or infinite.
        StoppedError: a signal came.
    """
    run.directory.begin(run.config, status="running", **_provenance(run, argv))
    status = "failed"
    try:
        with stop_signals() as stopped:
            validation = Batch.stack(run.source.validation())
            while not _finished(run):
                yield from _epoch(run, validation, stopped)
        _refuse_diverged(run)
        status = "completed"
    except DivergedError:
        status = "diverged"
        _save_best(run)
        raise
    except (StoppedError, GeneratorExit, KeyboardInterrupt):
        status = "interrupted"
        raise
    finally:
        run.directory.update_status(
            status=status, ended=_now(), epochs=run.epoch, elapsed_seconds=run.elapsed
        )


def _finished(run: Run) -> bool:
    training, floor = run.config.training, run.floor
    lowest = [best["val_loss"] for best in run.best_at]
    if training.until_solved and floor and all(loss and floor.solved(loss) for loss in lowest):
        return True
    return run.epoch == training.epochs


def _epoch(
    run: Run, validation: Batch, stopped: list[signal.Signals]
) -> Iterator[Progress | list[EpochRow]]:
    """One pass over a series: train, validate, write the rows and, when due, a checkpoint."""
    begun = time.monotonic()
    batch = Batch.stack(run.source.training(run.epoch))
    run.tensors["state"] = np.zeros_like(run.tensors["state"])
    parts: list[Measures] = []
    done, loss = 0, 0.0
    for tensors, measures in run.program.train(run.tensors, batch, run.epoch * len(batch)):
        parts.append(measures)
        done += len(measures.loss)
        loss += float(measures.loss.sum(0, np.float64).mean())
        _note_diverged(run, measures.loss, done)
        if stopped or done == len(batch):
            run.tensors = {name: tensor.numpy() for name, tensor in tensors.items()}
        if stopped:
            _stop(run, _join(parts), stopped[0])
        yield Progress(run.epoch + 1, done, len(batch), loss / done)
    seconds = time.monotonic() - begun
    run.epoch += 1
    yield _record(run, _join(parts), run.program.evaluate(run.tensors, validation), seconds)


def _record(run: Run, measured: Measures, validated: Measures, seconds: float) -> list[EpochRow]:
    """Writes what an epoch has shown, and its checkpoints when they are due."""
    windows = len(measured.loss)
    rows = []
    for replica, seed in enumerate(run.config.run.seeds):
        loss, accuracy, grad_norm = (_mean(column, replica) for column in measured)
        val_loss, val_accuracy = (_mean(column, replica) for column in validated[:2])
        row = EpochRow(
            epoch=run.epoch,
            step=run.epoch * windows,
            seed=seed,
            loss=loss,
            accuracy=accuracy,
            val_loss=val_loss,
            val_accuracy=val_accuracy,
            bayes_loss=run.floor.loss if run.floor else None,
            learning_rate=run.config.training.learning_rate,
            grad_norm=grad_norm,
            epoch_seconds=seconds,
            elapsed_seconds=run.elapsed,
        )
        rows.append(row)
    metrics.append(run.directory.steps, _logged(run, measured))
    metrics.append(run.directory.metrics, rows)
    _keep_best(run, [row.val_loss for row in rows])
    _save_when_due(run)
    return rows


def _keep_best(run: Run, losses: list[float | None]) -> None:
    """Takes over the tensors of each seed whose validation loss is its lowest so far."""
    for replica, loss in enumerate(losses):
        lowest = run.best_at[replica]["val_loss"]
        if loss is None or not math.isfinite(loss) or (lowest is not None and loss >= lowest):
            continue
        run.best_at[replica] = {**run.best_at[replica], "epoch": run.epoch, "val_loss": loss}
        for name, tensor in run.tensors.items():
            run.best.setdefault(name, tensor.copy())[replica] = tensor[replica]
        run.best_changed = True


def _save(run: Run) -> None:
    """Writes the checkpoints."""
    run.checkpoint("last", run.tensors, run.epoch).write(run.directory.last)
    _save_best(run)
    run.saved = time.monotonic()


def _save_best(run: Run) -> None:
    """Writes the best checkpoint, if it is newer than its file."""
    if run.best_changed:
        epoch = max(best["epoch"] for best in run.best_at)
        run.checkpoint("best", run.best, epoch).write(run.directory.best)
    run.best_changed = False


def _save_when_due(run: Run) -> None:
    training = run.config.training
    every = training.checkpoint_every
    if every.endswith("s"):
        due = time.monotonic() - run.saved >= float(every[:-1])
    else:
        due = run.epoch % int(every) == 0
    if due or _finished(run):
        _save(run)


def _stop(run: Run, measured: Measures, received: signal.Signals) -> None:
    """Saves the run in the middle of an epoch, and raises StoppedError."""
    progress = {f"progress.{name}": array for name, array in measured._asdict().items()}
    window = len(measured.loss)
    run.checkpoint("last", run.tensors | progress, run.epoch, window).write(run.directory.last)
    _save_best(run)
    raise StoppedError(
        f"stopped by {received.name} in epoch {run.epoch + 1}, after window {window}",
        f"`lstmcli eval {run.directory.last}` scores what was saved",
        ExitCode(128 + received),
    )


def _note_diverged(run: Run, loss: npt.NDArray[np.float32], done: int) -> None:
    """Notes the seeds with a loss `[windows, R]` that is not finite; with no other left, raises."""
    seeds = run.config.run.seeds
    columns = zip(seeds, loss.T, strict=True)
    run.diverged |= {seed for seed, column in columns if not np.isfinite(column).all()}
    if len(run.diverged) == len(seeds):
        raise DivergedError(
            f"the loss became NaN or infinite in epoch {run.epoch + 1}, by window {done}", CALMER
        )


def _refuse_diverged(run: Run) -> None:
    """Raises DivergedError, at the run's end, where some of the seeds diverged."""
    if run.diverged:
        lost = ", ".join(map(str, sorted(run.diverged)))
        raise DivergedError(f"the loss of seed {lost} became NaN or infinite", CALMER)


def _logged(run: Run, measured: Measures) -> Iterator[StepRow]:
    """A row for every 100th window, from the first on, and seed."""
    before = (run.epoch - 1) * len(measured.loss)
    for window in range(0, len(measured.loss), LOGGED_EVERY):
        for replica, seed in enumerate(run.config.run.seeds):
            figures = (float(column[window, replica]) for column in measured)
            yield StepRow(run.epoch, before + window + 1, seed, *figures)


def _join(parts: Sequence[Measures]) -> Measures:
    return Measures(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def _mean(column: npt.NDArray[np.float32], replica: int) -> float:
    """A replica's mean over the windows, summed in one order however many there are."""
    return float(np.ascontiguousarray(column[:, replica], np.float64).mean())


def _provenance(run: Run, argv: Sequence[str]) -> dict[str, Any]:
    """What `run.json` says from the start."""
    data = run.config.data.data
    libraries = ("tensorflow", "numpy", "safetensors")
    return {
        "version": __version__,
        "argv": list(argv),
        "seeds": run.config.run.seeds,
        "data_seeds": run.config.run.data_seeds,
        "device": run.program.device,
        "threads": device.threads(),
        "python": platform.python_version(),
        "libraries": {name: version(name) for name in libraries},
        "data": os.path.relpath(data, run.directory.path) if data else "echo",
        "data_sha256": run.source.checksums(),
        "dropped_steps": run.source.layout.dropped,
        "bayes_loss": run.floor and run.floor.loss,
        "started": _now(),
    }


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
