"""Running settings as Ray tasks, on a cluster that exists or on a local one."""

from __future__ import annotations

import logging
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Container, Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

from lstmcli.sweeps import trial
from lstmcli.sweeps.grid import TrialGroup
from lstmcli.sweeps.workers import POLL_SECONDS, Rows, attempt, cores
from lstmcli.training.run_dir import RunDirectory
from lstmcli.utils.errors import ExitCode, LstmcliError, StoppedError, UsageError
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

    def files(self, name: str) -> Files:
        """The files of a setting as they are known: what its task begins with."""
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
    settings: Sequence[TrialGroup], folder: Path
) -> Generator[tuple[TrialGroup, Rows] | None]:
    """Trains settings as Ray tasks of one core each; as `workers.run_local`.

    Args:
        settings: what to train.
        folder: where each setting gets its run directory, by its name.
    """
    import ray

    mailbox = _beside(ray).remote({each.name: _files(folder / each.name) for each in settings})
    # A process for each, as TensorFlow is set up for one kind of setting.
    task = ray.remote(num_cpus=1, max_retries=RETRIES, max_calls=1)(_train)
    largest_first = sorted(settings, key=lambda setting: -setting.seconds)
    running = {
        task.remote(mailbox, setting, (folder / setting.name).resolve()): setting
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
    """What makes the mailbox, as an actor on the node that the sweep is on."""
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    node = ray.get_runtime_context().get_node_id()
    here = NodeAffinitySchedulingStrategy(node, soft=True)
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
        found = getattr(error, "cause", None) or error  # What a task has raised, or Ray says.
        return trial.lost(setting, next(iter(str(found).splitlines()), type(found).__name__))
    _write(directory, Report(set(files), files))
    return list(rows)


def _train(mailbox: Any, setting: TrialGroup, moves_to: Path) -> tuple[Rows, Files]:
    """A task: the rows, and the run directory's files by their relative path."""
    import ray

    files: Files = {}
    with tempfile.TemporaryDirectory() as folder:
        directory = Path(folder) / setting.name
        with (
            suppress(ray.exceptions.RayError),  # The mailbox is lost: the task begins anew.
            ThreadPoolExecutor(1) as other,  # A task that waits itself lends its core to others.
        ):
            asked = mailbox.files.remote(setting.name)
            files = other.submit(ray.get, asked, timeout=BEGIN_SECONDS).result()
        _write(directory, Report(set(files), files))
        with _reported(mailbox, setting.name, directory):
            rows = attempt(setting, directory, moves_to)
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


ANSWER_SECONDS = 3.0
"""For a port to answer."""
JOIN_SECONDS = 22.0
"""For a cluster to let somebody join: with the above less than half a minute."""
VARIABLE = "RAY_ADDRESS"
NAMED = f"`{VARIABLE}`"
FOUND = "auto"
"""What Ray is asked for where `ray start` has left an address on this machine: for that alone it
finds the user's token by itself, which clusters of newer versions ask for."""
START = "`ray start --head` starts one; without `--address` a running or a local one is used"
TRY = """
import sys
import ray
try:
    ray.init(address=sys.argv[1], log_to_driver=False, logging_level="error")
except BaseException as error:
    print(f"{type(error).__name__}: {error}", flush=True)
    sys.exit(1)
print("joined", flush=True)
"""


class NotThereError(LstmcliError):
    """There is no Ray cluster at an address."""


@contextmanager
def joined(address: str | None, jobs: int) -> Iterator[list[str]]:
    """Joins a Ray cluster for the length of a block; one that the program has joined stays joined.

    Args:
        address: `host:port`, `ray://host:port`, `auto` for a running one, `local` for one of its
            own; by default a running one, else one of its own.
        jobs: cores of its own one.

    Yields:
        Which cluster it is, where that was not asked for by name, and which was passed over.

    Raises:
        UsageError: Ray is not installed.
        LstmcliError: there is no cluster at the address, or it refuses.
    """
    try:
        import ray
    except ImportError as error:
        raise UsageError(
            "`--backend ray` needs Ray, which is not installed", "`pip install 'lstmcli[ray]'`"
        ) from error
    if ray.is_initialized():
        yield []
        return
    found, notes = _choose(address)
    try:
        with _own_signals():
            _join(ray, found, jobs)
        yield notes
    finally:
        ray.shutdown()


def _choose(address: str | None) -> tuple[str | None, list[str]]:
    """The address of a cluster that lets one join, `None` for a local one; and what is to be said.

    Raises:
        LstmcliError: there is none where one was asked for, or it refuses.
    """
    if address == "local":
        return None, []
    if address not in (None, "auto"):
        _check(address, address)
        return address, []
    notes: list[str] = []
    for place, known in _known():
        asked = known if place == NAMED else FOUND
        try:
            _check(known, asked)
        except NotThereError as error:
            notes.append(f"{place} names a Ray cluster that is passed over: {error.message}")
        else:
            return asked, [*notes, f"the trials run on the Ray cluster at `{known}`: {place}"]
    if address == "auto":
        raise NotThereError("; ".join(["no Ray cluster is running here", *notes]), START)
    return None, [*notes, *(["a local Ray cluster is started"] if notes else [])]


def _known() -> Iterator[tuple[str, str]]:
    """The clusters that Ray itself would look for, and who names them."""
    from ray._private.utils import read_ray_address

    named = os.environ.get(VARIABLE)
    if named and named not in ("auto", "local"):
        yield NAMED, named
    with suppress(OSError, UnicodeDecodeError):
        if named != "local" and (last := read_ray_address()):
            yield "`ray start` on this machine", last


def _check(address: str, asked: str) -> None:
    """Checks that a cluster lets one join.

    Args:
        address: where it listens.
        asked: what is asked of Ray.

    Raises:
        NotThereError: nobody answers there, or it is no Ray cluster.
        LstmcliError: it refuses.
    """
    host, port = _parsed(address)
    try:
        socket.create_connection((host, port), ANSWER_SECONDS).close()
    except OSError as error:
        why = error.strerror or "no answer"
        raise NotThereError(f"there is no Ray cluster at `{address}`: {why}", START) from error
    said = _tried(asked)
    if said is None:
        return
    if "authentica" in said.lower():  # `AuthenticationError`, `Unauthenticated`.
        raise LstmcliError(
            f"the Ray cluster at `{address}` refuses: its token is not known here",
            "put the cluster's token into `~/.ray/auth_token` or `RAY_AUTH_TOKEN`, and set "
            "`RAY_AUTH_MODE=token`",
        )
    raise NotThereError(f"there is no Ray cluster at `{address}`: {said}", START)


def _parsed(address: str) -> tuple[str, int]:
    """Host and port.

    Raises:
        UsageError: it is none of a cluster.
    """
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not host or "/" in host or not port.isdecimal() or not 0 < int(port) < 65536:
        raise UsageError(
            f"`{address}` is no address of a Ray cluster, expected `host:6379` or "
            "`ray://host:10001`",
            "`ray start --head` says where it listens",
        )
    return host.strip("[]"), int(port)


def _tried(address: str) -> str | None:
    """What is wrong with a cluster, from another process that joined it; `None` if nothing is."""
    command = [sys.executable, "-c", TRY, address]
    with _as_found(address), subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, errors="replace",
        start_new_session=True,
    ) as other:  # fmt: skip
        try:
            said, logged = other.communicate(timeout=JOIN_SECONDS)
        except subprocess.TimeoutExpired:
            return f"what listens there does not answer as one within {JOIN_SECONDS:.0f} s"
        finally:
            other.kill()
    if "joined" in said.splitlines():
        return None
    if "unauthenticated" in logged.lower():
        return "unauthenticated"
    return next(iter(said.splitlines()), f"joining it ended with {other.returncode}")


def _join(ray: Any, address: str | None, jobs: int) -> None:
    logging.getLogger("ray").setLevel(logging.ERROR)  # Before Ray does, which is too late for some.
    local = {} if address else {"num_cpus": min(jobs, len(cores())), "include_dashboard": False}
    try:
        with _as_found(address):
            ray.init(
                address=address or "local", log_to_driver=False, logging_level="error", **local
            )
    except SystemExit as error:  # What Ray makes of SIGTERM.
        raise StoppedError("stopped by SIGTERM", None, ExitCode.TERMINATED) from error
    except (OSError, RuntimeError, ValueError, ray.exceptions.RayError) as error:
        what = f"cannot join the Ray cluster at `{address}`" if address else "Ray does not start"
        first = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise LstmcliError(f"{what}: {first}", START if address else None) from error


@contextmanager
def _as_found(address: str | None) -> Iterator[None]:
    """Hides an address that was passed over from Ray, which would take it for the one it finds."""
    named = os.environ.pop(VARIABLE, None) if address == FOUND else None
    try:
        yield
    finally:
        if named is not None:
            os.environ[VARIABLE] = named


@contextmanager
def _own_signals() -> Iterator[None]:
    """Puts this program's handlers back afterwards, which Ray replaces by its own."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    usual = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in usual.items():
            signal.signal(number, handler)
