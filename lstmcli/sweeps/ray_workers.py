"""Trains settings as Ray tasks, on the cluster that the program has joined."""

from __future__ import annotations

import tempfile
import threading
from collections import Counter
from collections.abc import Container, Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

from lstmcli.config import DataConfig
from lstmcli.core import execution
from lstmcli.sweeps import trial
from lstmcli.sweeps.grid import TrialGroup
from lstmcli.sweeps.workers import POLL_SECONDS, Rows, attempt
from lstmcli.training.run_dir import RunDirectory
from lstmcli.utils.files import make_directories, write_atomically

RETRIES = 3
REPORT_SECONDS = 1.0
"""How often a task checks its files for changes."""
BEGIN_SECONDS = 60.0
"""How long a task waits for its initial files."""
GRACE_SECONDS = 10.0
"""How long a stopped sweep waits for its trials to write a checkpoint, and for that to arrive."""

Files = dict[str, bytes]
"""Contents of files, by relative path."""
Versions = dict[str, tuple[int, int]]
"""Modification time and size of files, by relative path."""


class Report(NamedTuple):
    """A task's report on its run directory.

    Attributes:
        names: the names of all files.
        changed: the contents of the files that changed since the last report.
    """

    names: set[str]
    changed: Files


class Mailbox:
    """An actor that keeps each task's files, and its reports until the sweep fetches them.

    Args:
        files: the initial files of each task, by the name of its setting.
    """

    def __init__(self, files: dict[str, Files]) -> None:
        self._files = files
        self._news: dict[str, Report] = {}
        self._begun: Counter[str] = Counter()

    def begin(self, name: str) -> tuple[Files, int]:
        """The initial files of a setting's task, and how often it has started, including now."""
        self._begun[name] += 1
        return self.files(name), self._begun[name]

    def files(self, name: str) -> Files:
        """The latest known files of a setting."""
        return self._files.get(name, {})

    def report(self, name: str, report: Report) -> None:
        """Stores a task's report."""
        files = self._files.get(name, {}) | report.changed
        self._files[name] = {path: files[path] for path in report.names & files.keys()}
        if earlier := self._news.get(name):
            report = report._replace(changed=earlier.changed | report.changed)
        self._news[name] = report

    def fetch(self) -> dict[str, Report]:
        """The reports since the last call, merged into one for each setting."""
        found, self._news = self._news, {}
        return found

    def forget(self, name: str) -> None:
        """Forgets a setting, which has ended."""
        self._files.pop(name, None)
        self._news.pop(name, None)


def run_ray(
    settings: Sequence[TrialGroup], folder: Path, gpu_share: float = 1.0
) -> Generator[tuple[TrialGroup, Rows] | None]:
    """Trains settings as Ray tasks with one core each, and a GPU if needed; as `LocalWorkers.run`.

    The contents of their input files are sent along, so that tasks read no files: they are objects
    of the cluster. Ray copies each to a node once, for all its tasks, and deletes it with the last
    reference.

    Args:
        settings: what to train.
        folder: the directory for the run directories, which have the settings' names.
        gpu_share: the share of a GPU requested for each setting that trains on one.

    Raises:
        FileError: a file is missing, damaged, or does not fit.
    """
    import ray

    mailbox = _beside(ray).remote({each.name: _files(folder / each.name) for each in settings})
    # One process per task, as TensorFlow can be set up only for one kind of setting.
    task = ray.remote(num_cpus=1, max_retries=RETRIES, max_calls=1)(_train)
    largest_first = sorted(settings, key=lambda setting: -setting.seconds)
    contents = _put(ray, settings)
    running = {
        task.options(**_resources(setting, gpu_share)).remote(
            mailbox, setting, (folder / setting.name).resolve(), contents[setting.config.data]
        ): setting
        for setting in largest_first
    }
    news = _news(ray, mailbox)
    try:
        while running:
            done, _ = ray.wait(list(running), timeout=POLL_SECONDS)
            found = next(news)
            for reference, setting in [*running.items()]:
                if reference in done:
                    del running[reference]
                    yield setting, _receive(ray, reference, setting, folder / setting.name)
                    mailbox.forget.remote(setting.name)
                elif report := found.get(setting.name):
                    _write(folder / setting.name, report)
            yield None
    finally:
        _stop(ray, mailbox, running, folder)


def _put(ray: Any, settings: Sequence[TrialGroup]) -> dict[DataConfig, Any]:
    """The contents of the settings' input files as objects of the cluster: one per data config."""
    configs = {setting.config.data: setting.config for setting in settings}
    return {data: ray.put(trial.read_files(config)) for data, config in configs.items()}


def _resources(setting: TrialGroup, gpu_share: float) -> dict[str, float]:
    """What a task requests besides its core. Ray hides all GPUs but the one it assigns."""
    return {"num_gpus": gpu_share} if execution.on_gpu(setting.device) else {}


def _stop(ray: Any, mailbox: Any, running: dict[Any, TrialGroup], folder: Path) -> None:
    """Stops running tasks as Ctrl-C does: they write a checkpoint, if they do so in time."""
    for reference in running:
        ray.cancel(reference)
    if running:
        ray.wait([*running], num_returns=len(running), timeout=GRACE_SECONDS)
    with suppress(ray.exceptions.RayError, OSError):  # Whatever does not arrive is trained again.
        for setting in running.values():
            files = ray.get(mailbox.files.remote(setting.name), timeout=GRACE_SECONDS)
            if files:
                _write(folder / setting.name, Report(set(files), files))
    for reference in running:
        ray.cancel(reference, force=True)
    ray.kill(mailbox)


def _beside(ray: Any) -> Any:
    """The mailbox's class, as an actor bound to the node that the sweep runs on.

    With a soft binding, Ray could place it on another node, and its files would be lost with that.
    """
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    node = ray.get_runtime_context().get_node_id()
    here = NodeAffinitySchedulingStrategy(node, soft=False)
    return ray.remote(num_cpus=0, scheduling_strategy=here)(Mailbox)


def _news(ray: Any, mailbox: Any) -> Iterator[dict[str, Report]]:
    """Yields the reports that have arrived, without waiting.

    If the mailbox is lost, trials still end; only their progress is not shown.
    """
    while True:
        asked = mailbox.fetch.remote()
        while not ray.wait([asked], timeout=0)[0]:
            yield {}
        found: dict[str, Report] = {}
        with suppress(ray.exceptions.RayError):
            found = ray.get(asked)
        yield found


def _receive(ray: Any, reference: Any, setting: TrialGroup, directory: Path) -> Rows:
    try:
        rows, files = ray.get(reference)
    except ray.exceptions.RayError as error:
        return trial.lost(setting, _why(error))
    _write(directory, Report(set(files), files))
    return list(rows)


FEWER = "give Ray fewer CPUs of that node, and it trains fewer at once"
ENDS = {
    "OutOfMemoryError": f"Ray's memory guard killed it, as its node ran low on memory: {FEWER}",
    "WorkerCrashedError": "its process was killed, as the system's memory guard does where memory "
    f"runs out: {FEWER}",
}
"""What some of Ray's errors mean."""


def _why(error: Exception) -> str:
    """The error that a task raised, or what its end means."""
    found = getattr(error, "cause", None) or error
    said = next(iter(str(found).splitlines()), type(found).__name__)
    return ENDS.get(type(found).__name__, said)


def _train(
    mailbox: Any, setting: TrialGroup, moves_to: Path, contents: trial.Contents
) -> tuple[Rows, Files]:
    """The task: trains, and returns the rows and the files of the run directory.

    Raises:
        MemoryError: Ray's memory guard has killed it repeatedly.
    """
    import ray

    files, times = Files(), 1
    with tempfile.TemporaryDirectory() as folder:
        directory = Path(folder) / setting.name
        with (
            suppress(ray.exceptions.RayError),  # The mailbox is lost: the task starts from scratch.
            ThreadPoolExecutor(1) as other,  # A task that waits lends its core to others.
        ):
            asked = mailbox.begin.remote(setting.name)
            files, times = other.submit(ray.get, asked, timeout=BEGIN_SECONDS).result()
        if times > 1 + RETRIES:  # Ray retries without limit after a kill by its memory guard.
            raise MemoryError(ENDS["OutOfMemoryError"])
        _write(directory, Report(set(files), files))
        with _reported(mailbox, setting.name, directory):
            rows = attempt(setting, directory, moves_to, contents)
        return rows, _files(directory)


@contextmanager
def _reported(mailbox: Any, name: str, directory: Path) -> Iterator[None]:
    """Reports a run directory's files to the mailbox while the block runs, and at its end."""
    import ray

    def look() -> None:
        reported, is_last = _versions(directory), False
        while not is_last:
            is_last = over.wait(REPORT_SECONDS)
            now = _versions(directory)
            changed = {each for each, version in now.items() if reported.get(each) != version}
            if changed:
                report = Report(set(now), _files(directory, changed))
                with suppress(ray.exceptions.RayError):  # The next report tries again.
                    ray.get(mailbox.report.remote(name, report), timeout=GRACE_SECONDS)
                    reported = now

    over = threading.Event()
    watcher = threading.Thread(target=look, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        over.set()
        watcher.join()


def _paths(directory: Path) -> list[Path]:
    """The files of a run, in an order that is safe to read while the run writes them.

    The run writes a table before the checkpoint that counts its rows, and the best checkpoint last.
    """
    place = RunDirectory(directory)
    return sorted(place.written, key=lambda path: (path != place.best, path != place.last))


def _versions(directory: Path) -> Versions:
    found = {}
    for path in _paths(directory):
        with suppress(FileNotFoundError):
            status = path.stat()
            found[str(path.relative_to(directory))] = (status.st_mtime_ns, status.st_size)
    return found


def _files(directory: Path, names: Container[str] | None = None) -> Files:
    """The contents of all files of a run, or of some."""
    found = {}
    for path in _paths(directory):
        name = str(path.relative_to(directory))
        if names is None or name in names:
            with suppress(FileNotFoundError):
                found[name] = path.read_bytes()
    return found


def _write(directory: Path, report: Report) -> None:
    """Writes a task's files into a run directory, which holds a valid run at every moment."""
    RunDirectory(directory).remove_half_written()  # Left by a killed sweep.
    for path in reversed(_paths(directory)):
        name = str(path.relative_to(directory))
        if (content := report.changed.get(name)) is not None:
            make_directories(path.parent)
            write_atomically(path, content)
        elif name not in report.names:
            path.unlink(missing_ok=True)
