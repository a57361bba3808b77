"""The Ray cluster that a sweep uses: an existing one, or a local one that it starts."""

from __future__ import annotations

import logging
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from importlib import metadata
from typing import Any

from lstmcli.sweeps.workers import cores
from lstmcli.utils.errors import ExitCode, LstmcliError, StoppedError, UsageError, install

ANSWER_SECONDS = 3.0
"""How long to wait for a port to answer."""
JOIN_SECONDS = 22.0
"""How long joining a cluster may take: with the above, less than half a minute."""
VARIABLE = "RAY_ADDRESS"
NAMED = f"`{VARIABLE}`"
FOUND = "auto"
"""The address passed to Ray if `ray start` has left one on this machine. Only with `auto` does Ray
find the user's token by itself, which newer clusters require."""
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
    """There is no Ray cluster at the address."""


@contextmanager
def joined(address: str | None, jobs: int) -> Iterator[list[str]]:
    """Joins a Ray cluster for the length of a block. A cluster joined before stays joined.

    Args:
        address: `host:port`, `ray://host:port`, `auto` for a running cluster, or `local` to start
            one; by default a running cluster or, if there is none, a local one.
        jobs: number of cores of the local cluster.

    Yields:
        Notes: which cluster is used, if it was not named, and which one was skipped.

    Raises:
        UsageError: Ray is not installed.
        LstmcliError: there is no cluster at the address, it refuses, or one of its nodes lacks what
            trials need.
    """
    try:
        import ray
    except ImportError as error:
        raise UsageError(
            "`--backend ray` needs Ray, which is not installed", install("ray")
        ) from error
    if ray.is_initialized():
        check_nodes(ray)
        yield []
        return
    found, notes = _choose(address)
    try:
        with _own_signals():
            _join(ray, found, jobs)
            if found:  # A local cluster uses this installation.
                check_nodes(ray)
        yield notes
    finally:
        ray.shutdown()


def _choose(address: str | None) -> tuple[str | None, list[str]]:
    """The address of a cluster that can be joined, or `None` for a local one; and the notes.

    Raises:
        LstmcliError: a cluster was asked for and is not there, or refuses.
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
            notes.append(f"{place} names a Ray cluster that is not used: {error.message}")
        else:
            return asked, [*notes, f"the trials run on the Ray cluster at `{known}`: {place}"]
    if address == "auto":
        raise NotThereError("; ".join(["no Ray cluster is running here", *notes]), START)
    return None, [*notes, *(["a local Ray cluster is started"] if notes else [])]


def _known() -> Iterator[tuple[str, str]]:
    """The clusters that Ray itself would look for: where each is named, and its address."""
    from ray._private.utils import read_ray_address

    named = os.environ.get(VARIABLE)
    if named and named not in ("auto", "local"):
        yield NAMED, named
    with suppress(OSError, UnicodeDecodeError):
        if named != "local" and (last := read_ray_address()):
            yield "`ray start` on this machine", last


def _check(address: str, asked: str) -> None:
    """Checks that a cluster can be joined.

    Args:
        address: where it listens.
        asked: the address passed to Ray.

    Raises:
        NotThereError: nothing answers there, or it is not a Ray cluster.
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
    if "Version mismatch" in said:
        what = said.partition("mismatch: ")[2]
        raise LstmcliError(
            f"the Ray cluster at `{address}` has other versions: {what}",
            "run `lstmcli` with the same versions of Ray and Python as the cluster",
        )
    if "authentica" in said.lower():  # `AuthenticationError`, `Unauthenticated`.
        raise LstmcliError(
            f"the Ray cluster at `{address}` refuses: its token is not known here",
            "put the cluster's token into `~/.ray/auth_token` or `RAY_AUTH_TOKEN`, and set "
            "`RAY_AUTH_MODE=token`",
        )
    raise NotThereError(f"there is no Ray cluster at `{address}`: {said}", START)


def _parsed(address: str) -> tuple[str, int]:
    """The host and port of an address.

    Raises:
        UsageError: it is not the address of a cluster.
    """
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not host or "/" in host or not port.isdecimal() or not 0 < int(port) < 65536:
        raise UsageError(
            f"`{address}` is not the address of a Ray cluster, expected `host:6379` or "
            "`ray://host:10001`",
            "`ray start --head` prints the address",
        )
    return host.strip("[]"), int(port)


def _tried(address: str) -> str | None:
    """The error of another process that tried to join a cluster; `None` if it succeeded."""
    command = [sys.executable, "-c", TRY, address]
    with _as_found(address), subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, errors="replace",
        start_new_session=True,
    ) as other:  # fmt: skip
        try:
            said, logged = other.communicate(timeout=JOIN_SECONDS)
        except subprocess.TimeoutExpired:
            return f"what listens there did not answer as one within {JOIN_SECONDS:.0f} s"
        finally:
            other.kill()
    if "joined" in said.splitlines():
        return None
    if "Version mismatch" in said:  # The versions are in the lines below.
        return " ".join(said.split())
    if "unauthenticated" in logged.lower():
        return "unauthenticated"
    return next(iter(said.splitlines()), f"joining it ended with {other.returncode}")


def _join(ray: Any, address: str | None, jobs: int) -> None:
    logging.getLogger("ray").setLevel(logging.ERROR)  # Ray sets it too late for some.
    local = {} if address else {"num_cpus": min(jobs, len(cores())), "include_dashboard": False}
    try:
        with _as_found(address):
            ray.init(
                address=address or "local", log_to_driver=False, logging_level="error", **local
            )
    except SystemExit as error:  # Ray turns SIGTERM into this.
        raise StoppedError("stopped by SIGTERM", None, ExitCode.TERMINATED) from error
    except (OSError, RuntimeError, ValueError, ray.exceptions.RayError) as error:
        what = f"cannot join the Ray cluster at `{address}`" if address else "Ray does not start"
        first = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise LstmcliError(f"{what}: {first}", START if address else None) from error


@contextmanager
def _as_found(address: str | None) -> Iterator[None]:
    """Hides the address of a skipped cluster from Ray, which would use it for `auto`."""
    named = os.environ.pop(VARIABLE, None) if address == FOUND else None
    try:
        yield
    finally:
        if named is not None:
            os.environ[VARIABLE] = named


@contextmanager
def _own_signals() -> Iterator[None]:
    """Restores this program's signal handlers afterwards, as Ray replaces them."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    usual = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in usual.items():
            signal.signal(number, handler)


LOOK_SECONDS = 60.0
"""How long to wait for the nodes of a cluster to report their packages."""
Versions = Mapping[str, str | None]
"""Versions of packages, by name; `None` if a package is not installed."""


def check_nodes(ray: Any) -> None:
    """Checks that every node that may train has this program and the packages it needs.

    A node that does not answer is skipped: it may just have been lost.

    Raises:
        LstmcliError: a node lacks packages, or has other versions of those that determine the bits
            of results.
    """
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    tell = _teller()
    look, here = ray.remote(num_cpus=0)(tell), tell(needed := _needed())
    asked = {}
    for node in ray.nodes():
        if node["Alive"] and node["Resources"].get("CPU"):
            there = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
            reference = look.options(scheduling_strategy=there).remote(needed)
            asked[reference] = node["NodeManagerAddress"]
    answered, _ = ray.wait([*asked], num_returns=len(asked), timeout=LOOK_SECONDS)
    wrong: dict[str, str] = {}
    for reference in answered:
        with suppress(ray.exceptions.RayError):
            if found := _differences(ray.get(reference), here):
                wrong[asked[reference]] = found
    if wrong:
        raise LstmcliError(
            "; ".join(f"the Ray node `{name}` {found}" for name, found in sorted(wrong.items())),
            f"install there, for the Python that `ray start` runs on, {_shown(here)}; or take the "
            "node out of the cluster with `ray stop`",
        )


def _teller() -> Callable[[Sequence[str]], dict[str, str | None]]:
    """A function that reports package versions, on a node that may not have this program.

    As a nested function, it belongs to no module, so Ray sends its code.
    """

    def tell(names: Sequence[str]) -> dict[str, str | None]:
        from contextlib import suppress
        from importlib import import_module, metadata

        found: dict[str, str | None] = dict.fromkeys(names)
        for name in names:
            with suppress(metadata.PackageNotFoundError):
                found[name] = metadata.version(name)
        with suppress(ImportError):  # It may run from a checkout.
            found["lstmcli"] = import_module("lstmcli").__version__
        return found

    return tell


def _needed() -> list[str]:
    """The packages that training needs, this program first."""
    from lstmcli.training.provenance import LIBRARIES

    with suppress(metadata.PackageNotFoundError):
        asked_for = metadata.requires("lstmcli") or []
        names = [re.split(r"[^\w.-]", each)[0] for each in asked_for if "extra ==" not in each]
        return list(dict.fromkeys(["lstmcli", *LIBRARIES, *names]))
    return ["lstmcli", *LIBRARIES]


def _differences(there: Versions, here: Versions) -> str:
    """Which packages a node lacks or has in other versions; empty if nothing is wrong."""
    from lstmcli.training.provenance import LIBRARIES

    lacking = [name for name, version in here.items() if version and not there[name]]
    others = [
        f"{name} {there[name]} ({here[name]} here)"
        for name in ("lstmcli", *LIBRARIES)
        if name not in lacking and there[name] != here[name]
    ]
    said = [f"lacks {', '.join(lacking)}"] if lacking else []
    return " and ".join([*said, f"has {', '.join(others)}"] if others else said)


def _shown(here: Versions) -> str:
    """The packages that determine the bits of results, as a command for `pip`."""
    from lstmcli.training.provenance import LIBRARIES

    own = [f"{name}=={here[name]}" for name in LIBRARIES]
    return f"lstmcli {here['lstmcli']} and `pip install {' '.join(own)}`"


def gpus() -> float:
    """The number of GPUs in the cluster that the program has joined."""
    import ray

    return float(ray.cluster_resources().get("GPU", 0))
