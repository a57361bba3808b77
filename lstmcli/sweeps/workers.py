"""Running settings in parallel on this machine: one worker process per core."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Collection, Generator, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from pathlib import Path
from types import ModuleType
from typing import Any

from lstmcli.core import execution
from lstmcli.sweeps import trial
from lstmcli.sweeps.grid import TrialGroup
from lstmcli.utils import memory
from lstmcli.utils.errors import ExitCode, LstmcliError

Rows = list[dict[str, Any]]
ATTEMPTS = 2
POLL_SECONDS = 0.25
MOST_SETTINGS = 40
"""Of one process: compiled programs stay, in hundreds of memory maps each, of which Linux grants a
process 65,530."""


@dataclass
class Worker:
    """A process that trains settings.

    Attributes:
        process: it.
        core: which it is held to.
        pipe: to it.
        share: the settings that are its own.
        setting: the one that it is at.
        kind: of settings that it is set up for, once it has had one.
        had: how many it has had.
        gpu: what it trains on a GPU, it trains on this one; `None` if that is not its part.
        kills: what the system had killed for want of memory when it was started.
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


def cores() -> list[int]:
    """The cores that this process may use; the first few numbers where the system does not tell."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def check_devices(requested: Collection[str]) -> None:
    """Refuses devices that this machine does not have; another process asks TensorFlow.

    Raises:
        DeviceError: one of them is not there.
    """
    context = multiprocessing.get_context("spawn")
    with _no_main_module(), _deaf_to_ctrl_c(), ProcessPoolExecutor(1, context) as other:
        for each in requested:
            other.submit(_resolve, each).result()


def devices() -> list[str]:
    """The devices of this machine; another process asks TensorFlow."""
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


def run_local(
    settings: Sequence[TrialGroup], folder: Path, jobs: int, gpus: Sequence[str] = ()
) -> Generator[tuple[TrialGroup, Rows] | None]:
    """Trains settings, the largest first, and yields each with its rows as it ends.

    Each worker has a share of them, and helps another when it is done with it; those on GPUs have
    theirs, and help each other. Yields `None` a few
    times a second in between. Closing the iterator stops all workers.

    Args:
        settings: what to train.
        folder: where each setting gets its run directory, by its name.
        jobs: how many workers; each is held to a core of its own.
        gpus: the GPU of each further worker, which has what is to be trained on one; of each
            worker, if `jobs` is 0.
    """
    attempts: dict[str, int] = {}
    places = cores()
    parts = _parts(settings, jobs, gpus)
    workers = [
        _start(folder, places[job % len(places)], own, gpu) for job, (gpu, own) in enumerate(parts)
    ]
    try:
        while any(worker.setting or worker.share for worker in workers):
            for job, worker in enumerate(workers):
                alike = [each for each in workers if (each.gpu is None) == (worker.gpu is None)]
                longest = max((each.share for each in alike), key=_seconds)
                if worker.setting is None and (worker.share or longest):
                    setting = _next(worker, worker.share or longest)
                    workers[job] = _send(worker, setting, folder)
            ready = wait([worker.pipe for worker in workers], POLL_SECONDS)
            for job, worker in enumerate(workers):
                if worker.pipe not in ready or worker.setting is None:
                    continue
                setting, worker.setting = worker.setting, None
                try:
                    yield setting, worker.pipe.recv()
                except EOFError:
                    workers[job] = _start(folder, worker.core, worker.share, worker.gpu)
                    attempts[setting.name] = attempts.get(setting.name, 1) + 1
                    if attempts[setting.name] <= ATTEMPTS:
                        worker.share.insert(0, setting)
                    else:
                        yield setting, _died(setting, worker)
            yield None
    finally:
        _stop(workers)


def _parts(
    settings: Sequence[TrialGroup], jobs: int, gpus: Sequence[str]
) -> list[tuple[str | None, list[TrialGroup]]]:
    """The GPU of each worker, and its share."""
    on_gpus: list[TrialGroup] = []
    others: list[TrialGroup] = []
    for each in settings:
        of_gpu = gpus and (not jobs or execution.on_gpu(each.device))
        (on_gpus if of_gpu else others).append(each)
    of_gpus = share(on_gpus, len(gpus)) if on_gpus else []
    own = share(others, min(jobs, len(others))) if others else []
    return [*zip(gpus, of_gpus, strict=False), *((None, each) for each in own)]


def share(settings: Sequence[TrialGroup], workers: int) -> list[list[TrialGroup]]:
    """Splits settings among workers so that all are done at about the same time.

    The largest first, each to whoever has least (Graham 1969); then whoever has most gives one away
    or swaps it for a smaller one, for as long as that helps. Each share is sorted, largest first.
    """
    shares: list[list[TrialGroup]] = [[] for _ in range(workers)]
    for setting in sorted(settings, key=lambda setting: -setting.seconds):
        min(shares, key=_seconds).append(setting)
    while True:
        most = max(shares, key=_seconds)
        longest, mean = _seconds(most), _seconds(settings) / workers
        changes = [
            (max(longest - less, load + less), order, given, taken, other)
            for order, other in enumerate(shares)
            if other is not most and longest > 1.01 * mean  # No change could gain more than that.
            for load in [_seconds(other)]
            for given in most
            for taken in [None, *other]
            for less in [given.seconds - (taken.seconds if taken else 0)]
        ]
        best = min(changes, key=lambda change: change[:2], default=None)
        if best is None or best[0] > 0.99 * longest:
            return [sorted(each, key=lambda setting: -setting.seconds) for each in shares]
        _, _, given, taken, other = best
        most.remove(given)
        other.append(given)
        if taken is not None:
            other.remove(taken)
            most.append(taken)


def _seconds(settings: Sequence[TrialGroup]) -> float:
    return sum(setting.seconds for setting in settings)


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


def _next(worker: Worker, waiting: list[TrialGroup]) -> TrialGroup:
    """Takes the largest setting of those that wait: of the worker's kind, if there is one."""
    alike = [each for each in waiting if each.kind == worker.kind]
    chosen = (alike or waiting)[0]
    waiting.remove(chosen)
    return chosen


def _send(worker: Worker, setting: TrialGroup, folder: Path) -> Worker:
    """Gives a worker a setting; TensorFlow is set up for one kind in a process, as bits ask for."""
    if worker.gpu and execution.on_gpu(setting.device):
        setting = setting.on(worker.gpu)
    kind = setting.kind
    if worker.kind not in (None, kind) or worker.had == MOST_SETTINGS:
        worker.pipe.close()
        worker.process.join()
        worker = _start(folder, worker.core, worker.share, worker.gpu)
    worker.setting, worker.kind, worker.had = setting, kind, worker.had + 1
    worker.pipe.send(setting)
    return worker


@contextmanager
def _no_main_module() -> Iterator[None]:
    """Hides the program that is running, for a process to be started without it.

    A new process would run the main module again, so that a script which calls `lstmcli.sweep`
    would have to guard itself; workers need nothing of it.
    """
    main, sys.modules["__main__"] = sys.modules["__main__"], ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main


@contextmanager
def _deaf_to_ctrl_c() -> Iterator[None]:
    """Processes that are started meanwhile never hear Ctrl-C; the parent ends them.

    The terminal sends it to all, and a worker would show a traceback while it still imports.
    """
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    resource_tracker.ensure_running()  # Started later, it would lift the mask too early.
    usual = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, usual)


def _stop(workers: Sequence[Worker]) -> None:
    """Ends idle workers by closing their pipes, and busy ones by a signal."""
    for worker in workers:
        worker.pipe.close()
        if worker.setting is not None:
            worker.process.terminate()
    for worker in workers:
        worker.process.join(10)
        if worker.process.is_alive():
            worker.process.kill()


def _work(pipe: Connection, folder: Path, core: int) -> None:
    """The worker's life: settings come in, rows go out, until the pipe closes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all; the parent ends them.
    threading.Thread(target=_end_with_parent, daemon=True).start()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {core})
    with suppress(EOFError, OSError):
        while True:
            setting = pipe.recv()
            pipe.send(attempt(setting, folder / setting.name))


def _end_with_parent() -> None:
    """Ends this process when its parent has: one that was killed cannot stop its workers."""
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
    """As `trial.run`; an error becomes the error of its rows."""
    try:
        return trial.run(setting, directory, moves_to, contents)
    except LstmcliError as error:
        return trial.failed(setting, error.message, error.exit_code)
    except Exception as error:  # One setting's error must not end the sweep.
        return trial.failed(setting, f"{type(error).__name__}: {error}", ExitCode.FAILED)


ENOUGH = 0.05
"""The share of a setting's training that says something of its speed."""


class Remaining:
    """The clock of a sweep.

    Settings that have ended say how many times as long as guessed one takes, loading and compiling
    included; before the first has, those under way do, as far as they are trained.

    Args:
        settings: what is to be trained, and the part of its epochs that each may get.
    """

    def __init__(self, settings: Sequence[tuple[TrialGroup, float]]) -> None:
        self._guessed = {setting.name: setting.seconds for setting, _ in settings}
        self._expected = {setting.name: share for setting, share in settings}
        self._share = dict.fromkeys(self._guessed, 0.0)
        self._begun: dict[str, float] = {}
        self._before: dict[str, float] = {}
        self._took: dict[str, float] = {}

    def note(self, name: str, share: float) -> None:
        """Notes how far the training of a setting is: 1 once it has ended.

        What it had when it was first noted was trained by a sweep that was stopped.
        """
        now = time.monotonic()
        self._begun.setdefault(name, now)
        self._before.setdefault(name, share if share < 1 else 0)
        self._share[name] = share
        if share == 1:
            self._took[name] = now - self._begun[name]

    def expect(self, setting: TrialGroup) -> None:
        """Expects a setting to be trained to its end: one that may be new."""
        self._guessed.setdefault(setting.name, setting.seconds)
        self._share.setdefault(setting.name, 0.0)
        self._expected[setting.name] = 1.0

    def forget(self, name: str) -> None:
        """Leaves a setting out that does not go on."""
        for known in (
            self._guessed, self._expected, self._share, self._begun, self._before, self._took
        ):  # fmt: skip
            known.pop(name, None)

    @property
    def seconds(self) -> float | None:
        """About how many are left; `None` before anything is known."""
        factor = self._factor()
        if factor is None:
            return None
        left = [
            factor * self._guessed[name] * max(0.0, self._expected[name] - share)
            for name, share in self._share.items()
        ]
        at_once = max(1, len(self._begun) - len(self._took))
        return max(sum(left) / at_once, max(left, default=0.0))

    def _factor(self) -> float | None:
        """How many times as long as guessed settings take."""
        if self._took:
            return sum(self._took.values()) / sum(map(self._trained, self._took))
        now = time.monotonic()
        under_way = [
            name for name in self._begun if self._share[name] - self._before[name] >= ENOUGH
        ]
        guessed = sum(map(self._trained, under_way))
        return sum(now - self._begun[name] for name in under_way) / guessed if guessed else None

    def _trained(self, name: str) -> float:
        """For how many seconds a setting has been trained here, as they were guessed."""
        return (self._share[name] - self._before[name]) * self._guessed[name]
