"""Trains a run: prepares its data and program, runs its epochs and writes their results."""

from __future__ import annotations

import signal
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from lstmcli import model_spec
from lstmcli.config import Config
from lstmcli.core import device, execution, initialization
from lstmcli.core.replica_windows import ReplicaWindows, WindowMetrics, concatenate
from lstmcli.core.runner import Program, Tensors
from lstmcli.data.batching import ContiguousWindows
from lstmcli.data.datasets import Source, floor_of
from lstmcli.data.tasks.echo import check_learnable
from lstmcli.model_spec import ModelSpec
from lstmcli.training import checkpointing, initial_weights, metric_logging, provenance, resume
from lstmcli.training.checkpoint import SLOT
from lstmcli.training.initial_weights import InitialModel
from lstmcli.training.metrics import EpochRow
from lstmcli.training.resume_state import ResumeState
from lstmcli.training.run_dir import FIGURES, RunDirectory
from lstmcli.training.state import EpochProgress, TrainingState
from lstmcli.utils.errors import (
    DeviceError,
    DivergedError,
    OutOfMemoryError,
    StoppedError,
    shell_quote,
)
from lstmcli.utils.files import write_atomically
from lstmcli.utils.signals import stop_signals

DIVERGED_HINT = "try a smaller `--learning-rate`, or `--clip-norm 1`"
Finite = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Progress:
    """The progress of an epoch: yielded at its start, after each chunk and at its end.

    Attributes:
        epoch: number of the current epoch, from 1.
        windows: completed windows of the epoch.
        of: windows in an epoch.
        loss: mean loss of the epoch so far, over the seeds too.
        phase: what comes next: `compiling`, `training` or `validating`.
        tensors: current values of all that training changes; `None` before the first window.
    """

    epoch: int
    windows: int
    of: int
    loss: float
    phase: str = "training"
    tensors: Tensors | None = None


def prepare(
    config: Config,
    directory: RunDirectory,
    source: Source | None = None,
    kept: ResumeState | None = None,
    begin: InitialModel | None = None,
) -> TrainingState:
    """Opens the data, chooses the device, draws the weights and prepares the compiled program.

    Args:
        config: all settings.
        directory: the run directory.
        source: the data, if already open.
        kept: the saved state of a run to resume.
        begin: the initial model, if already read.

    Raises:
        DeviceError: the requested device is missing or cannot be used.
        FileError: the dataset is missing, damaged or too short, or differs from that of the run.
    """
    source = source or initial_weights.open_source(config, kept)
    if kept:
        source = source.of_task(kept.status.get("task"))
    config = source.config
    if source.example.task.get("name") == "echo" and isinstance(source.cut, ContiguousWindows):
        check_learnable(source.example.task, source.cut)
    exact = kept.exact(config) if kept else config
    spec = source.spec
    where = _device(exact, spec, kept)
    program = Program(exact, spec, where.name)
    held_out = source.validation()
    run = TrainingState(
        config,
        directory,
        source,
        program,
        floor_of(source.windows(source.example)),
        [floor_of(windows) for windows in held_out] or [None] * config.run.replicas,
        tensors=program.start(_weights(config, source, kept, begin)),
        best={},
        best_epochs=[{"seed": seed, "epoch": 0, "val_loss": None} for seed in config.run.seeds],
        solved_streak=[0] * config.run.replicas,
        epochs_since_best=[0] * config.run.replicas,
        loggers=metric_logging.of_run(config, directory),
        device_reason=where.reason,
    )
    if kept:
        resume.restore_run(run, kept)
    return run


def _device(config: Config, spec: ModelSpec, kept: ResumeState | None) -> device.Choice:
    """The device of a run; a resumed run keeps its own unless another is allowed."""
    own = kept if kept and not kept.other_device else None
    try:
        return device.choose(config, spec, why="as the run began" if own else "asked for")
    except DeviceError as error:
        if own and execution.on_gpu(config.run.device):
            error.hint = (
                f"`lstmcli train --resume {shell_quote(own.directory.path)} --device cpu "
                "--other-device` goes on with it without a GPU: its bits will differ"
            )
        raise


def _weights(
    config: Config, source: Source, kept: ResumeState | None, begin: InitialModel | None
) -> initialization.Arrays:
    """The initial weights; zeros of the same shapes if a checkpoint will replace them."""
    spec = source.spec
    if kept is None or kept.checkpoint is None:
        return initial_weights.weights(config, spec, source.schema, begin)
    shapes = model_spec.shapes(config.model, spec.features, spec.outputs)
    replicas = config.run.replicas
    return {name: np.zeros((replicas, *shape), np.float32) for name, shape in shapes.items()}


def train(run: TrainingState, argv: Sequence[str] = ()) -> Generator[Progress | list[EpochRow]]:
    """Trains a run to its last epoch and yields its progress and the rows of each epoch.

    Everything is on disk before it is yielded. SIGINT and SIGTERM end the run after the current
    chunk, with a checkpoint.

    Raises:
        DivergedError: a seed's loss became NaN or infinite.
        OutOfMemoryError: there is no room for a window.
        StoppedError: a signal was received.
        UsageError: another process writes to the run directory.
    """
    with run.directory.lock():
        yield from _train(run, argv)


def _train(run: TrainingState, argv: Sequence[str]) -> Iterator[Progress | list[EpochRow]]:
    """Trains a run whose directory is locked."""
    _begin(run, argv)
    status = "failed"
    try:
        with stop_signals() as received:
            held_out = run.source.validation()
            validation = ReplicaWindows(held_out) if held_out else None
            while not run.finished:
                yield from _epoch(run, validation, received)
        checkpointing.save_best(run)
        metric_logging.record_targets(run)
        _refuse_diverged(run)
        status = "completed"
    except DivergedError:
        status = "diverged"
        raise
    except OutOfMemoryError as error:
        raise checkpointing.no_memory(run, error) from error
    except (StoppedError, GeneratorExit, KeyboardInterrupt):
        status = "interrupted"
        raise
    finally:
        for logger in run.loggers:
            logger.close(status)
        run.directory.update_status(
            status=status,
            ended=provenance.now(),
            epochs=run.epoch,
            elapsed_seconds=run.elapsed,
            worse_than_chance=run.worse_than_chance(),
        )


def _begin(run: TrainingState, argv: Sequence[str]) -> None:
    """Writes `run.json` and the settings; a resumed run keeps what it began with."""
    if run.resumed:
        known = run.directory.read_status()
        changes = resume.changes(known, provenance.circumstances(run))
        changed = [name for name, _, _ in changes]
        again = {"argv": list(argv), "at": provenance.now(), "epoch": run.epoch}
        again |= {"changed": changed} if changed else {}
        afresh: dict[str, Any] = {"resumed": [*known.get("resumed", []), again], FIGURES: []}
        if known.get("device") != run.program.device:  # The run keeps this device from now on.
            afresh |= {"gpu": None, **provenance.of_device(run)}
        run.directory.go_on(run.config, status="running", **afresh)
        return
    run.directory.begin(run.config, status="running", **provenance.of_run(run, argv))
    if run.table is not None:
        write_atomically(run.directory.data, run.table)


def _epoch(
    run: TrainingState, validation: ReplicaWindows | None, received: list[signal.Signals]
) -> Iterator[Progress | list[EpochRow]]:
    """One epoch: trains, validates, and writes the rows and, when due, a checkpoint."""
    if received:
        checkpointing.save(run)
        raise checkpointing.stopped(run, 0, received[0])
    batch = ReplicaWindows(run.source.training(run.epoch))
    under_way = run.within or EpochProgress(
        run.tensors | {"state": np.zeros_like(run.tensors["state"])}
    )
    run.within = None
    phase = "training" if run.program.compiled else "compiling"
    yield _progress(run, under_way, batch, phase)
    step = run.epoch * len(batch) + under_way.windows
    for windows in run.program.train(under_way.tensors, batch, step, under_way.windows):
        under_way.add(*windows)
        _note_diverged(run, _finite(windows[1].loss.T))
        if received or (checkpointing.due_within(run) and under_way.windows < len(batch)):
            _note_diverged(run, _finite(*_weights_and_state(under_way.tensors)))
            checkpointing.save_within(run, under_way, _merge_active(run, under_way.tensors))
        if received:
            raise checkpointing.stopped(run, under_way.windows, received[0])
        yield _progress(run, under_way, batch, "training", under_way.tensors)
    seconds = under_way.seconds
    yield _progress(run, under_way, batch, "validating")
    validated = _validate(run, under_way, validation)
    run.tensors = _merge_active(run, under_way.tensors)
    run.epoch += 1
    yield metric_logging.record(run, concatenate(under_way.parts), validated, seconds)


def _progress(
    run: TrainingState,
    under_way: EpochProgress,
    batch: ReplicaWindows,
    phase: str,
    tensors: Tensors | None = None,
) -> Progress:
    return Progress(run.epoch + 1, under_way.windows, len(batch), under_way.loss, phase, tensors)


def _validate(
    run: TrainingState, under_way: EpochProgress, validation: ReplicaWindows | None
) -> WindowMetrics | None:
    """Validates the tensors of an epoch before they replace those of the run.

    A seed whose values are no longer finite stays as it was before the epoch.

    Returns:
        `None` if there is no validation data.
    """
    trained = {name: np.asarray(tensor) for name, tensor in under_way.tensors.items()}
    measures = run.program.evaluate(trained, validation) if validation else None
    losses = [measures.loss.T] if measures else []
    _note_diverged(run, _finite(*losses, *_weights_and_state(trained)))
    return measures


def _weights_and_state(tensors: Tensors) -> list[Any]:
    return [tensor for name, tensor in tensors.items() if not name.startswith(SLOT)]


def _finite(*arrays: Any) -> Finite:
    """Which replicas have only finite values: `[R]`, from arrays `[R, …]`."""
    each = [np.isfinite(array).reshape(len(array), -1).all(1) for array in map(np.asarray, arrays)]
    return np.asarray(np.all(each, axis=0))


def _merge_active(run: TrainingState, trained: Tensors) -> initialization.Arrays:
    """The trained tensors, with stopped replicas unchanged."""
    arrays = {name: np.asarray(tensor) for name, tensor in trained.items()}
    if stopped := run.stopped_replicas:
        for name, array in arrays.items():
            arrays[name] = array.copy()
            arrays[name][stopped] = run.tensors[name][stopped]
    return arrays


def _note_diverged(run: TrainingState, finite: Finite) -> None:
    """Records the seeds whose values are no longer finite; raises if no other seed is left."""
    lost = [seed for replica, seed in run.active_replicas if not finite[replica]]
    run.diverged |= set(lost)
    if lost and not run.active_replicas:
        if run.epoch:
            checkpointing.save(run)
        raise DivergedError(
            f"the loss became NaN or infinite in epoch {run.epoch + 1}", DIVERGED_HINT
        )


def _refuse_diverged(run: TrainingState) -> None:
    """Raises DivergedError at the end of a run if some seeds have diverged."""
    if run.diverged:
        lost = ", ".join(map(str, sorted(run.diverged)))
        raise DivergedError(f"the loss of seed {lost} became NaN or infinite", DIVERGED_HINT)
