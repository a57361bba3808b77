"""Trains settings in parallel on this machine, with a worker process per core."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Collection, Generator, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from pathlib import Path
from types import ModuleType
from typing import Any, Self

from lstmcli.core import execution
from lstmcli.sweeps import trial
from lstmcli.sweeps.grid import TrialGroup
from lstmcli.sweeps.shares import compiled, program, share, total_seconds
from lstmcli.utils import memory
from lstmcli.utils.errors import ExitCode, LstmcliError

Rows = list[dict[str, Any]]
ATTEMPTS = 2
POLL_SECONDS = 0.25
MOST_SETTINGS = 40
"""The most settings that one process trains. Compiled programs stay in memory, each in hundreds of
memory maps, and Linux allows 65,530 of them per process."""


@dataclass(eq=False)
class Worker:
    """A process that trains settings.

    Attributes:
        process: the process.
        core: the core that it is bound to.
        pipe: the connection to it.
        share: the settings assigned to it.
        setting: the setting that it is training.
        kind: the kind of settings that it is set up for, once it has had one.
        had: how many settings it has had.
        gpu: the GPU that it trains on; `None` if it does not train on one.
        kills: the system's count of out-of-memory kills when it was started.
        programs: the programs that it has compiled.
    """

    process: SpawnProcess
    core: int
    pipe: Connection
    share: list[TrialGroup]
    setting: TrialGroup | None = None
    kind: object = None
    had: int = 0
    gpu: str | None = None
    kills: int = field(default_factory=memory.kills)
    programs: set[str] = field(default_factory=set)


def cores() -> list[int]:
    """The cores that this process may use; numbered from 0 if the system does not list them."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def check_devices(requested: Collection[str]) -> None:
    """Checks that this machine has some devices. Another process asks TensorFlow.

    Raises:
        DeviceError: one of them does not exist.
    """
    context = multiprocessing.get_context("spawn")
    with _no_main_module(), _deaf_to_ctrl_c(), ProcessPoolExecutor(1, context) as other:
        for each in requested:
            other.submit(_resolve, each).result()


def devices() -> list[str]:
    """The devices of this machine. Another process asks TensorFlow."""
    context = multiprocessing.get_context("spawn")
    with _no_main_module(), _deaf_to_ctrl_c(), ProcessPoolExecutor(1, context) as other:
        return other.submit(_available).result()


def _available() -> list[str]:
    execution.set_defaults()
    from lstmcli.core import device

    return device.available()


def _resolve(requested: str) -> str:
    execution.set_defaults()
    from lstmcli.core import device

    return device.resolve(requested)


class LocalWorkers:
    """Worker processes that serve all rounds of a sweep, and keep their compiled programs.

    A context manager: all workers are stopped at its end. Each is started when it is first needed.

    Args:
        folder: the directory for the run directories, which have the settings' names.
        jobs: the most workers for the CPU, each bound to its own core.
        gpus: the GPU of each additional worker, which trains the settings for GPUs. With `jobs` 0,
            of every worker; they train all settings.
    """

    def __init__(self, folder: Path, jobs: int, gpus: Sequence[str] = ()) -> None:
        self.folder, self.jobs, self.gpus = folder, jobs, gpus
        self._workers: list[Worker] = []
        self._programs: dict[str, str] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stop()

    def run(self, settings: Sequence[TrialGroup]) -> Generator[tuple[TrialGroup, Rows] | None]:
        """Trains settings, the largest first, and yields each with its rows when it ends.

        Each worker has a share of them, and helps others when its share is done. Workers on GPUs
        help only each other. In between, `None` is yielded a few times a second. Closing the
        iterator stops all workers.
        """
        attempts: dict[str, int] = {}
        self._distribute(settings)
        try:
            while any(worker.setting or worker.share for worker in self._workers):
                self._send()
                busy = [worker for worker in self._workers if worker.setting]
                ready = wait([worker.pipe for worker in busy], POLL_SECONDS)
                for worker in busy:
                    if worker.pipe not in ready or worker.setting is None:
                        continue
                    setting, worker.setting = worker.setting, None
                    try:
                        yield setting, worker.pipe.recv()
                    except (EOFError, ConnectionResetError):
                        self._replace(worker)
                        attempts[setting.name] = attempts.get(setting.name, 1) + 1
                        if attempts[setting.name] <= ATTEMPTS:
                            worker.share.insert(0, setting)
                        else:
                            yield setting, _died(setting, worker)
                yield None
        except BaseException:
            self._stop()
            raise

    def _distribute(self, settings: Sequence[TrialGroup]) -> None:
        """Gives each worker a share: the one for which it has compiled most, if there is one."""
        self._programs = {each.name: program(each) for each in settings}
        parts, places = _parts(settings, self.jobs, self.gpus, self._programs), cores()
        waiting = [*self._workers]
        for gpu, own in sorted(parts, key=lambda part: -total_seconds(part[1])):
            free = [each for each in waiting if each.gpu == gpu]
            if free:
                had = [total_seconds(compiled(own, each.programs, self._programs)) for each in free]
                worker = free[had.index(max(had))]
                waiting.remove(worker)
                worker.share = own
            else:
                place = places[len(self._workers) % len(places)]
                self._workers.append(_start(self.folder, place, own, gpu))

    def _send(self) -> None:
        """Gives each idle worker a setting from its own share, then from the longest share."""
        for worker in sorted(self._workers, key=lambda each: not each.share):
            alike = [each for each in self._workers if (each.gpu is None) == (worker.gpu is None)]
            longest = max((each.share for each in alike), key=total_seconds)
            if worker.setting is None and (worker.share or longest):
                setting = _next(worker, worker.share or longest, self._programs)
                if worker.gpu and execution.on_gpu(setting.device):
                    setting = setting.on(worker.gpu)
                worker = self._set_up(worker, setting.kind)
                worker.setting, worker.had = setting, worker.had + 1
                worker.programs.add(self._programs[setting.name])
                worker.pipe.send(setting)

    def _set_up(self, worker: Worker, kind: object) -> Worker:
        """The worker, or a new one: one process's TensorFlow is set up for one kind of setting."""
        alive = worker.process.is_alive()
        if not alive or worker.kind not in (None, kind) or worker.had == MOST_SETTINGS:
            worker.pipe.close()
            worker.process.join()
            worker = self._replace(worker)
        worker.kind = kind
        return worker

    def _replace(self, worker: Worker) -> Worker:
        other = _start(self.folder, worker.core, worker.share, worker.gpu)
        self._workers = [other if each is worker else each for each in self._workers]
        return other

    def _stop(self) -> None:
        """Ends idle workers by closing their pipes, and busy ones by a signal."""
        workers, self._workers = self._workers, []
        for worker in workers:
            worker.pipe.close()
            if worker.setting is not None:
                worker.process.terminate()
        for worker in workers:
            worker.process.join(10)
            if worker.process.is_alive():
                worker.process.kill()


def _parts(
    settings: Sequence[TrialGroup], jobs: int, gpus: Sequence[str], programs: Mapping[str, str]
) -> list[tuple[str | None, list[TrialGroup]]]:
    """The GPU and the share of each worker."""
    on_gpus: list[TrialGroup] = []
    others: list[TrialGroup] = []
    for each in settings:
        of_gpu = gpus and (not jobs or execution.on_gpu(each.device))
        (on_gpus if of_gpu else others).append(each)
    of_gpus = share(on_gpus, len(gpus), programs) if on_gpus else []
    own = share(others, min(jobs, len(others)), programs) if others else []
    return [*zip(gpus, of_gpus, strict=False), *((None, each) for each in own)]


def _died(setting: TrialGroup, worker: Worker) -> Rows:
    worker.process.join()
    code = worker.process.exitcode or 0
    why = signal.Signals(-code).name if code < 0 else f"exit code {code}"
    if why == "SIGKILL":
        why += (
            ", by the system's memory guard: fewer `--jobs` take less memory"
            if memory.kills() > worker.kills
            else ", which memory guards send too"
        )
    return trial.lost(setting, f"it died twice ({why})")


def _start(folder: Path, core: int, share: list[TrialGroup], gpu: str | None) -> Worker:
    context = multiprocessing.get_context("spawn")
    mine, theirs = context.Pipe()
    process = context.Process(target=_work, args=(theirs, folder, core), daemon=True)
    with _no_main_module(), _deaf_to_ctrl_c():
        process.start()
    theirs.close()
    return Worker(process, core, mine, share, gpu=gpu)


def _next(worker: Worker, waiting: list[TrialGroup], programs: Mapping[str, str]) -> TrialGroup:
    """Takes a waiting setting: if possible, one that is compiled, or else of the worker's kind."""
    alike = [each for each in waiting if each.kind == worker.kind]
    chosen = (compiled(waiting, worker.programs, programs) or alike or waiting)[0]
    waiting.remove(chosen)
    return chosen


@contextmanager
def _no_main_module() -> Iterator[None]:
    """Hides the main module, so that new processes do not run it.

    Otherwise a script that calls `lstmcli.sweep` would need an `if __name__ == "__main__"` guard.
    Workers do not need the main module.
    """
    main, sys.modules["__main__"] = sys.modules["__main__"], ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main


@contextmanager
def _deaf_to_ctrl_c() -> Iterator[None]:
    """Blocks Ctrl-C in processes that are started in the block; their parent stops them.

    The terminal sends it to all processes, and one that is still importing would show a traceback.
    """
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    resource_tracker.ensure_running()  # Started later, it would unblock the signal too early.
    usual = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, usual)


def _work(pipe: Connection, folder: Path, core: int) -> None:
    """A worker's main loop: it receives settings and sends rows until the pipe closes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all; the parent stops them.
    threading.Thread(target=_end_with_parent, daemon=True).start()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {core})
    with suppress(EOFError, OSError):
        while True:
            setting = pipe.recv()
            pipe.send(attempt(setting, folder / setting.name))


def _end_with_parent() -> None:
    """Ends this process after its parent: a killed parent cannot stop its workers."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(ExitCode.FAILED)


def attempt(
    setting: TrialGroup,
    directory: Path,
    moves_to: Path | None = None,
    contents: trial.Contents | None = None,
) -> Rows:
    """As `trial.run`, but an error is returned in the rows."""
    try:
        return trial.run(setting, directory, moves_to, contents)
    except LstmcliError as error:
        return trial.failed(setting, error.message, error.exit_code)
    except Exception as error:  # One setting's error must not end the sweep.
        return trial.failed(setting, f"{type(error).__name__}: {error}", ExitCode.FAILED)


ENOUGH = 0.05
"""The share of a setting's training from which its speed is estimated."""


class Remaining:
    """Estimates the remaining time of a sweep.

    The first estimates are corrected by a factor: actual over estimated time of the settings that
    have ended, with loading and compiling. Until the first has ended, it is taken from the running
    settings. Of settings that share a program, the first to start compiles it.

    Args:
        settings: what is to be trained, and the share of its epochs that each may train.
    """

    def __init__(self, settings: Sequence[tuple[TrialGroup, float]]) -> None:
        self._settings = {setting.shown: setting for setting, _ in settings}
        self._programs = {setting.shown: program(setting) for setting, _ in settings}
        self._compiled: set[str] = set()
        self._expected = {setting.shown: share for setting, share in settings}
        self._share = dict.fromkeys(self._settings, 0.0)
        self._begun: dict[str, tuple[float, float, float]] = {}
        self._took = self._trained = 0.0

    def note(self, name: str, share: float) -> None:
        """Records the share of a setting's training that is done; 1 means that it has ended.

        What was done at the first call was trained by an earlier sweep that was stopped.
        """
        if name not in self._begun:
            before = share if share < 1 else 0
            self._begun[name] = time.monotonic(), before, self._compiling(name)
            self._compiled.add(self._programs[name])
        self._share[name] = share
        if share == 1:
            self.pause(name)

    def pause(self, name: str) -> None:
        """Records that a setting is not being trained for now."""
        if name in self._begun:
            took, trained = self._so_far(name)
            self._took, self._trained = self._took + took, self._trained + trained
            del self._begun[name]

    def expect(self, setting: TrialGroup) -> None:
        """Records that a setting, which may be new, will be trained to its end."""
        self._settings.setdefault(setting.shown, setting)
        self._programs.setdefault(setting.shown, program(setting))
        self._share.setdefault(setting.shown, 0.0)
        self._expected[setting.shown] = 1.0

    def forget(self, name: str) -> None:
        """Removes a setting that will not continue."""
        for known in (self._settings, self._programs, self._expected, self._share):
            known.pop(name, None)

    @property
    def seconds(self) -> float | None:
        """Estimated seconds left; `None` before anything is known."""
        factor = self._factor()
        if factor is None:
            return None
        first = {self._programs[name]: name for name, share in self._share.items() if not share}
        to_compile = set(first.values())  # One of those that share a program.
        left = [
            factor * self._training(name, max(0.0, self._expected[name] - share))
            + factor * (self._compiling(name) if name in to_compile else 0.0)
            for name, share in self._share.items()
        ]
        at_once = max(1, len(self._begun))
        return max(sum(left) / at_once, max(left, default=0.0))

    def _factor(self) -> float | None:
        """Actual over estimated time; `None` before it is known."""
        if self._trained:
            return self._took / self._trained
        under_way = [
            name for name, (_, before, _) in self._begun.items()
            if self._share[name] - before >= ENOUGH
        ]  # fmt: skip
        so_far = [self._so_far(name) for name in under_way]
        guessed = sum(trained for _, trained in so_far)
        return sum(took for took, _ in so_far) / guessed if guessed else None

    def _so_far(self, name: str) -> tuple[float, float]:
        """Seconds since a setting's first call of `note`, and the estimate for the same work."""
        begun, before, compiling = self._begun[name]
        trained = self._training(name, self._share[name] - before)
        return time.monotonic() - begun, trained + compiling

    def _training(self, name: str, share: float) -> float:
        """Estimated seconds for a share of a setting's training."""
        return share * self._settings[name].preflight.training

    def _compiling(self, name: str) -> float:
        """Estimated seconds for compiling a setting's program; 0 once it is compiled."""
        is_compiled = self._programs[name] in self._compiled
        return 0.0 if is_compiled else self._settings[name].preflight.compiling
