"""Running settings as Ray tasks, on the cluster that the program has joined."""

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
"""Between a task's looks at its files."""
BEGIN_SECONDS = 60.0
"""For a task to get the files that it begins with."""
GRACE_SECONDS = 10.0
"""For the trials of a sweep that is stopped to end in a checkpoint, and for that to arrive."""

Files = dict[str, bytes]
"""By their relative path."""
Versions = dict[str, tuple[int, int]]
"""What tells that files have changed, likewise."""


class Report(NamedTuple):
    """What a task says of its run directory.

    Attributes:
        names: all its files.
        changed: those that it has not reported yet, as they are now.
    """

    names: set[str]
    changed: Files


class Mailbox:
    """An actor beside the sweep: keeps each task's files, and its reports until they are fetched.

    Args:
        files: what tasks begin with, by the names of their settings.
    """

    def __init__(self, files: dict[str, Files]) -> None:
        self._files = files
        self._news: dict[str, Report] = {}
        self._begun: Counter[str] = Counter()

    def begin(self, name: str) -> tuple[Files, int]:
        """What a setting's task begins with, and how many times it has begun, this one too."""
        self._begun[name] += 1
        return self.files(name), self._begun[name]

    def files(self, name: str) -> Files:
        """The files of a setting as they are known."""
        return self._files.get(name, {})

    def report(self, name: str, report: Report) -> None:
        """Takes what a task says."""
        files = self._files.get(name, {}) | report.changed
        self._files[name] = {path: files[path] for path in report.names & files.keys()}
        if earlier := self._news.get(name):
            report = report._replace(changed=earlier.changed | report.changed)
        self._news[name] = report

    def fetch(self) -> dict[str, Report]:
        """The reports since the last call, all of a setting's as one."""
        found, self._news = self._news, {}
        return found

    def forget(self, name: str) -> None:
        """Forgets a setting, which has ended."""
        self._files.pop(name, None)
        self._news.pop(name, None)


def run_ray(
    settings: Sequence[TrialGroup], folder: Path, gpu_share: float = 1.0
) -> Generator[tuple[TrialGroup, Rows] | None]:
    """Trains settings as Ray tasks of one core each, and a GPU; as `LocalWorkers.run`.

    What their files hold goes along, so that nothing is read where a task is: each file's content
    is one object of the cluster, of which Ray brings a node one copy that all its tasks see, and
    which it deletes with the last reference.

    Args:
        settings: what to train.
        folder: where each setting gets its run directory, by its name.
        gpu_share: what of a GPU each setting on one asks for.

    Raises:
        FileError: a file is missing, damaged, or does not fit.
    """
    import ray

    mailbox = _beside(ray).remote({each.name: _files(folder / each.name) for each in settings})
    # A process for each, as TensorFlow is set up for one kind of setting.
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
    """What the files of settings hold, as objects of the cluster: one for each kind of data."""
    configs = {setting.config.data: setting.config for setting in settings}
    return {data: ray.put(trial.read_files(config)) for data, config in configs.items()}


def _resources(setting: TrialGroup, gpu_share: float) -> dict[str, float]:
    """What a task asks for beside its core: Ray shows it no GPU but the one that it gives it."""
    return {"num_gpus": gpu_share} if execution.on_gpu(setting.device) else {}


def _stop(ray: Any, mailbox: Any, running: dict[Any, TrialGroup], folder: Path) -> None:
    """Ends what still runs, as Ctrl-C does: in a checkpoint, where it comes to that soon enough."""
    for reference in running:
        ray.cancel(reference)
    if running:
        ray.wait([*running], num_returns=len(running), timeout=GRACE_SECONDS)
    with suppress(ray.exceptions.RayError, OSError):  # What does not arrive is trained again.
        for setting in running.values():
            files = ray.get(mailbox.files.remote(setting.name), timeout=GRACE_SECONDS)
            if files:
                _write(folder / setting.name, Report(set(files), files))
    for reference in running:
        ray.cancel(reference, force=True)
    ray.kill(mailbox)


def _beside(ray: Any) -> Any:
    """What makes the mailbox, as an actor on the node that the sweep is on.

    Softly bound to it, the actor may come to lie on another, and its files be lost with that one.
    """
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    node = ray.get_runtime_context().get_node_id()
    here = NodeAffinitySchedulingStrategy(node, soft=False)
    return ray.remote(num_cpus=0, scheduling_strategy=here)(Mailbox)


def _news(ray: Any, mailbox: Any) -> Iterator[dict[str, Report]]:
    """What tasks have reported: gives what there is, and waits for nothing.

    A mailbox that is lost takes no trial with it: they end without having been seen.
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
    """What a task has raised, or what its end means."""
    found = getattr(error, "cause", None) or error
    said = next(iter(str(found).splitlines()), type(found).__name__)
    return ENDS.get(type(found).__name__, said)


def _train(
    mailbox: Any, setting: TrialGroup, moves_to: Path, contents: trial.Contents
) -> tuple[Rows, Files]:
    """A task: the rows, and the run directory's files by their relative path.

    Raises:
        MemoryError: Ray's memory guard has killed it again and again.
    """
    import ray

    files, times = Files(), 1
    with tempfile.TemporaryDirectory() as folder:
        directory = Path(folder) / setting.name
        with (
            suppress(ray.exceptions.RayError),  # The mailbox is lost: the task begins anew.
            ThreadPoolExecutor(1) as other,  # A task that waits itself lends its core to others.
        ):
            asked = mailbox.begin.remote(setting.name)
            files, times = other.submit(ray.get, asked, timeout=BEGIN_SECONDS).result()
        if times > 1 + RETRIES:  # Ray counts all ends but one, after which it tries without end.
            raise MemoryError(ENDS["OutOfMemoryError"])
        _write(directory, Report(set(files), files))
        with _reported(mailbox, setting.name, directory):
            rows = attempt(setting, directory, moves_to, contents)
        return rows, _files(directory)


@contextmanager
def _reported(mailbox: Any, name: str, directory: Path) -> Iterator[None]:
    """Reports a run directory's files to the mailbox while a block goes on, and at its end."""
    import ray

    def look() -> None:
        reported, is_last = _versions(directory), False
        while not is_last:
            is_last = over.wait(REPORT_SECONDS)
            now = _versions(directory)
            changed = {each for each, version in now.items() if reported.get(each) != version}
            if changed:
                report = Report(set(now), _files(directory, changed))
                with suppress(ray.exceptions.RayError):  # Then it is tried again.
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
    """The files of a run, in the order in which they can be read while it writes them.

    It writes a table before the checkpoint that counts its rows, and the best checkpoint last.
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
    """What a run directory holds of a run, or of it some files."""
    found = {}
    for path in _paths(directory):
        name = str(path.relative_to(directory))
        if names is None or name in names:
            with suppress(FileNotFoundError):
                found[name] = path.read_bytes()
    return found


def _write(directory: Path, report: Report) -> None:
    """Makes a run directory's files what a task has: at every moment they are a run's."""
    RunDirectory(directory).remove_half_written()  # Of a sweep that was killed as it wrote them.
    for path in reversed(_paths(directory)):
        name = str(path.relative_to(directory))
        if (content := report.changed.get(name)) is not None:
            make_directories(path.parent)
            write_atomically(path, content)
        elif name not in report.names:
            path.unlink(missing_ok=True)
