"""Running settings in parallel on this machine: one worker process per core.

A worker trains one setting after the other. One that dies (killed, out of memory) costs its own
setting a second attempt; the others do not notice.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from pathlib import Path
from typing import Any

from lstmcli.errors import ExitCode, LstmcliError
from lstmcli.sweep import trial
from lstmcli.sweep.grid import Setting

Rows = list[dict[str, Any]]
ATTEMPTS = 2
POLL_SECONDS = 0.25


@dataclass
class Worker:
    """A process, the pipe to it, and the setting that it is at."""

    process: SpawnProcess
    pipe: Connection
    setting: Setting | None = None


def cores() -> list[int]:
    """The cores that this process may use; the first few numbers where the system does not tell."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def run_local(
    settings: Sequence[Setting], folder: Path, jobs: int
) -> Iterator[tuple[Setting, Rows] | None]:
    """Trains settings, the largest first, and yields each with its rows as it ends.

    Yields `None` a few times a second in between. Closing the iterator stops all workers.

    Args:
        settings: what to train.
        folder: where each setting gets its run directory, by its name.
        jobs: how many workers; each is held to a core of its own.
    """
    waiting = sorted(settings, key=lambda setting: setting.seconds)
    attempts: dict[str, int] = {}
    places = cores()
    workers = [_start(folder, places[job % len(places)]) for job in range(min(jobs, len(settings)))]
    try:
        while waiting or any(worker.setting for worker in workers):
            for worker in workers:
                if worker.setting is None and waiting:
                    worker.setting = waiting.pop()
                    worker.pipe.send(worker.setting)
            ready = wait([worker.pipe for worker in workers], POLL_SECONDS)
            for job, worker in enumerate(workers):
                if worker.pipe not in ready or worker.setting is None:
                    continue
                setting, worker.setting = worker.setting, None
                try:
                    yield setting, worker.pipe.recv()
                except EOFError:
                    workers[job] = _start(folder, places[job % len(places)])
                    attempts[setting.name] = attempts.get(setting.name, 1) + 1
                    if attempts[setting.name] <= ATTEMPTS:
                        waiting.append(setting)
                    else:
                        yield setting, _died(setting, worker)
            yield None
    finally:
        _stop(workers)


def _died(setting: Setting, worker: Worker) -> Rows:
    worker.process.join()
    code = worker.process.exitcode or 0
    why = signal.Signals(-code).name if code < 0 else f"exit code {code}"
    return trial.failed(setting, f"the worker died twice ({why})", ExitCode.FAILED)


def _start(folder: Path, core: int) -> Worker:
    context = multiprocessing.get_context("spawn")
    mine, theirs = context.Pipe()
    process = context.Process(target=_work, args=(theirs, folder, core), daemon=True)
    process.start()
    theirs.close()
    return Worker(process, mine)


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
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {core})
    with suppress(EOFError, OSError):
        while True:
            setting = pipe.recv()
            pipe.send(attempt(setting, folder / setting.name))


def attempt(setting: Setting, directory: Path) -> Rows:
    """Trains a setting; an error becomes the error of its rows."""
    try:
        return trial.run(setting, directory)
    except LstmcliError as error:
        return trial.failed(setting, error.message, error.exit_code)
    except Exception as error:  # One setting's error must not end the sweep.
        return trial.failed(setting, f"{type(error).__name__}: {error}", ExitCode.FAILED)
