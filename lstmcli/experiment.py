"""The story of a run, told once: data, program, records."""

from __future__ import annotations

import math
import signal
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lstmcli import initial, recording
from lstmcli.config import Config
from lstmcli.core import device, environment, parameters
from lstmcli.core.batch import Batch, Measures, joined
from lstmcli.core.chunks import Tensors
from lstmcli.core.program import Program
from lstmcli.data.echo import check_learnable
from lstmcli.data.layout import Layout
from lstmcli.data.references import references
from lstmcli.data.source import Source, floor_of, open_source
from lstmcli.errors import DivergedError, StoppedError
from lstmcli.recording import Run
from lstmcli.runs.metrics import EpochRow
from lstmcli.runs.rundir import RunDirectory
from lstmcli.signals import stop_signals

CALMER = "try a smaller `--learning-rate`, or `--clip-norm 1`"


@dataclass(frozen=True)
class Progress:
    """Where training stands within an epoch: yielded before it, after each chunk, and at its end.

    Attributes:
        epoch: the one under way, from 1.
        windows: windows done of it.
        of: windows in it.
        loss: mean loss of the epoch so far, over the seeds too.
        phase: what comes next: `compiling`, `training` or `validating`.
        tensors: all that training changes, as it stands; `None` before the first window.
    """

    epoch: int
    windows: int
    of: int
    loss: float
    phase: str = "training"
    tensors: Tensors | None = None


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
    config = source.config
    if source.example.task.get("name") == "echo" and isinstance(source.cut, Layout):
        check_learnable(source.example.task, source.cut)
    signature = source.signature
    where = device.resolve(config.run.device, environment.threads(config, signature.features))
    program = Program(config, signature, where)
    held_out = source.validation()
    return Run(
        config,
        directory,
        source,
        program,
        floor_of(source.windows(source.example)),
        [floor_of(windows) for windows in held_out],
        references(source.example, held_out[0], config.data.horizon or 0) if source.held else [],
        tensors=program.start(initial.weights(config, signature, source.schema)),
        best={},
        best_at=[{"seed": seed, "epoch": 0, "val_loss": None} for seed in config.run.seeds],
        evidence=[0] * config.run.replicas,
        waited=[0] * config.run.replicas,
    )


def train(run: Run, argv: Sequence[str] = ()) -> Iterator[Progress | list[EpochRow]]:
    """Trains a run to its last epoch, and yields its progress and each epoch's rows.

    Everything is on disk before it is yielded. SIGINT and SIGTERM end the run after the chunk under
    way, with a checkpoint.

    Raises:
        DivergedError: a seed's loss became NaN or infinite.
        StoppedError: a signal came.
        UsageError: somebody else writes to the run's directory.
    """
    with run.directory.held():
        yield from _train(run, argv)


def _train(run: Run, argv: Sequence[str]) -> Iterator[Progress | list[EpochRow]]:
    """Trains a run whose directory is held."""
    run.directory.begin(run.config, status="running", **recording.provenance(run, argv))
    status = "failed"
    try:
        with stop_signals() as stopped:
            validation = Batch(run.source.validation())
            while not run.finished:
                yield from _epoch(run, validation, stopped)
        _refuse_diverged(run)
        status = "completed"
    except DivergedError:
        status = "diverged"
        recording.save_best(run)
        raise
    except (StoppedError, GeneratorExit, KeyboardInterrupt):
        status = "interrupted"
        raise
    finally:
        run.directory.update_status(
            status=status,
            ended=recording.now(),
            epochs=run.epoch,
            elapsed_seconds=run.elapsed,
            worse_than_chance=run.worse_than_chance(),
        )


def _epoch(
    run: Run, validation: Batch, stopped: list[signal.Signals]
) -> Iterator[Progress | list[EpochRow]]:
    """One pass over a series: train, validate, write the rows and, when due, a checkpoint."""
    begun = time.monotonic()
    batch = Batch(run.source.training(run.epoch))
    start = run.tensors | {"state": np.zeros_like(run.tensors["state"])}
    parts: list[Measures] = []
    done, loss, labels = 0, 0.0, 0
    phase = "training" if run.program.compiled else "compiling"
    yield Progress(run.epoch + 1, 0, len(batch), math.nan, phase)
    for tensors, measures in run.program.train(start, batch, run.epoch * len(batch)):
        parts.append(measures)
        done += len(measures.loss)
        loss += float((measures.loss * measures.labels).sum(dtype=np.float64))
        labels += int(measures.labels.sum())
        _note_diverged(run, measures.loss, done)
        if stopped or done == len(batch):
            run.tensors = _taken_over(run, tensors)
        if stopped:
            recording.save_stopped(run, joined(parts), stopped[0])
        mean = loss / max(1, labels)
        yield Progress(run.epoch + 1, done, len(batch), mean, tensors=tensors)
    seconds = time.monotonic() - begun
    yield Progress(run.epoch + 1, done, done, loss / max(1, labels), "validating")
    run.epoch += 1
    yield recording.record(
        run, joined(parts), run.program.evaluate(run.tensors, validation), seconds
    )


def _taken_over(run: Run, trained: Tensors) -> parameters.Arrays:
    """What training has made of the tensors; settled replicas stay as they were."""
    arrays = {name: tensor.numpy() for name, tensor in trained.items()}
    if settled := run.settled:
        for name, array in arrays.items():
            arrays[name] = array.copy()
            arrays[name][settled] = run.tensors[name][settled]
    return arrays


def _note_diverged(run: Run, loss: npt.NDArray[np.float32], done: int) -> None:
    """Notes the seeds with a loss `[windows, R]` that is not finite; with no other left, raises."""
    run.diverged |= {seed for r, seed in run.at_work if not np.isfinite(loss[:, r]).all()}
    if run.diverged.issuperset(seed for _, seed in run.at_work):
        raise DivergedError(
            f"the loss became NaN or infinite in epoch {run.epoch + 1}, by window {done}", CALMER
        )


def _refuse_diverged(run: Run) -> None:
    """Raises DivergedError, at the run's end, where some of the seeds diverged."""
    if run.diverged:
        lost = ", ".join(map(str, sorted(run.diverged)))
        raise DivergedError(f"the loss of seed {lost} became NaN or infinite", CALMER)
