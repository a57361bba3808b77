"""How TensorFlow and its compiler are set up, before they are loaded.

- **One thread for a tiny program.** Its operations are too short to be divided among threads: with
  eight replicas of the article's model, a thread pool makes a window almost twice as slow.
- **No fused multiply-add where one operation computes several replicas.** A product and a sum may
  be fused into one instruction, which rounds once instead of twice. Whether they are depends on how
  the compiler vectorises a loop, and so on the number of replicas. Without fusion (the AVX
  instruction set has none), a replica's bits do not depend on the others. The layered schedule
  compiles for one replica, whose bits cannot depend on others. It uses AVX2, which is a tenth
  faster from 32 to 128 units. It does not use AVX-512, which gained nothing more there. The
  libraries that compute large products choose their instructions themselves.
- **Sums in the order of their terms.** The compiler may compute a sum in any order. With
  vectorisation of unrolled code switched off, it leaves short sums as they are
  (`core/reductions.py`).
- **A cache of compiled programs**, private to the user (`core/compile_cache.py`), with a separate
  directory for each combination of the conditions that the bits depend on.
"""

from __future__ import annotations

import hashlib
import importlib
import math
import os
import platform
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path

from lstmcli.config import Config
from lstmcli.core import compile_cache

MAX_ISA = "--xla_cpu_max_isa"
CACHE = "--tf_xla_persistent_cache_directory"
INSTRUCTION_SETS = (
    *("SSE4_2", "AVX", "AVX2", "AVX512", "AVX512_VNNI", "AVX512_BF16"),
    *("AMX", "AMX_FP16"),
)
"""The instruction sets that the compiler knows (`xla/debug_options_flags.cc`)."""

LARGEST_WAVEFRONT = 16
"""Columns of a layer's matrix up to which the wavefront schedule is faster: with 5 rows it was
faster at 8 units and 8 inputs, but not at 12 and 12."""

MOST_PRODUCTS = 4096
"""Rows times columns squared up to which the wavefront schedule is faster: with 8 units, both are
equally fast at 16 rows, and the layered one is twice as fast at 64."""

LARGEST_ON_ONE_THREAD, FEWEST_ON_ALL = 1024, 512
"""Rows times units up to which the layered schedule runs on one thread, so that replicas run at the
same time, and the number of units from which on it never does. With 16 rows of 64 units a second
thread was seen to cost 40 % and, on another processor, to gain a quarter. It gains 17 % with 16
rows of 128, a third with 64 rows of 256, and 45 % with one row of 512, whose replicas take 1.4
times as long for it. With 8 rows of 128 it would gain a quarter, but eight replicas would take 1.5
times as long."""

LARGE_LAYER = 768
"""From this many units on, the layered schedule holds a step's state as `[S, B]`, and the weights
are the left factor of its products. They are packed again for each product, which is much slower
for a right factor with many columns. As the left one, windows of 16 rows took 0.95 of the time at
1 x 768, 0.8 at 1 x 1024 and 0.7 at 1 x 2048. But what one layer passes to the next must be
transposed, and a product with a few rows reads the weights faster as its right factor: with 5 rows,
windows of 2 x 512 took 1.8 times as long with the units first, of 1 x 768 1.06 times. At 2 x 512,
2 x 640 and 2 x 768 with 16 rows, both were as fast."""

ONLY_LAYER = 128
"""From this many units on, that also holds for a model of one layer whose rows are divided. At
1 x 256 with 64 rows it took 0.84 of the time, at 1 x 128 0.92, at 1 x 192 and 1 x 384 0.97 to 1.0,
and at 1 x 512 with 32 rows 0.9. With 16 rows of 256 units, in one part, it took 1.4 times as
long."""

FEWEST_ROWS = 16
"""The fewest rows of a part of a window's rows, below `LARGEST_IN_PARTS` units. Parts, each on its
own core, are faster than products that use all cores, if the parts are large enough. The limits
were measured with halves on two cores. With 16 rows of 256 units, halves were as fast as the whole;
with 16 rows of 128 and with 8 of 256, they took 1.2 times as long."""

FEWEST_ROWS_OF_LARGE = 8
"""The fewest rows of a part of `LARGEST_IN_PARTS` units: halves of 16 rows took 0.97 of the time at
2 x 512 and 0.9 at 1 x 512."""

LARGEST_IN_PARTS = 512
"""The most units of a layer whose rows are divided. Every part reads all weights: with 32 rows of
768 units or 64 of 1,024, halves were as fast as the whole; with 16 rows of 1,024 they took 1.2
times as long."""

FEWEST_NUMBERS = 2048
"""The fewest rows times units of a part: the halves of 64 rows of 64 units take 0.8 of the time of
the whole, those of 64 rows of 128 three quarters."""

FEWEST_PRODUCTS = 1e8
"""The fewest multiplications of a part's forward pass; with fewer, joining costs too much."""


SIDE_BY_SIDE, AT_ONCE = {8: 3.8, 4: 2.4, 1: 1.0}, 1.2
"""How long a call of the wavefront schedule takes that computes so many replicas in one operation,
relative to one replica, and the factor for calls that two cores make at once; measured with the
article's model. 4 and 8 replicas fit the compiler's vectors. With 12 of them in one operation, each
took three times as long as with 8."""


@dataclass(frozen=True)
class ExecutionPlan:
    """How a configuration is computed. It follows from the settings and the data's width.

    Attributes:
        schedule: `wavefront` for tiny matrices, `layered` for others. A GPU uses the same limits:
            the article's epoch took 0.379 s there, and 2.07 s layered. No size between that and
            hundreds of units was tried.
        threads: threads in the CPU's pool: one for a small program, `None` (all cores) for others,
            and for a GPU.
        row_parts: the most parts that a window's rows are divided into, each trained by one thread
            (`core/programs.py`); there are no more parts than threads. 1 on a GPU.
        units_first: whether the layered schedule's state has the units first; see `LARGE_LAYER`
            and `ONLY_LAYER`. Never on a GPU, where it was not tried.
        replicas_at_once: whether each core computes different replicas at the same time. For this,
            the CPU is divided into parts with one thread each. In one pool of two threads, two
            programs would both use both threads; in a pool of one, they would wait for each other.
    """

    schedule: str
    threads: int | None
    row_parts: int = 1
    units_first: bool = False
    replicas_at_once: bool = False

    @property
    def instruction_set(self) -> str:
        """The largest instruction set that the programs may use, on x86-64."""
        return "AVX2" if self.schedule == "layered" else "AVX"

    @property
    def process(self) -> tuple[str, int | None]:
        """What a process that has loaded TensorFlow is set up for; it can run only such plans."""
        return self.instruction_set, self.threads


def on_gpu(device: str) -> bool:
    """Whether a device is a GPU, by its name or its kind. Unresolved, `auto` does not count."""
    return device.startswith("gpu")


def may_have_gpu() -> bool:
    """Whether a GPU driver is installed, by its files: asking TensorFlow for GPUs takes seconds."""
    traces = ("/proc/driver/nvidia", "/dev/nvidiactl", "/dev/dxg")  # The last one is for Windows.
    return any(Path(each).exists() for each in traces)


@lru_cache(maxsize=256)
def plan(config: Config, features: int, device: str = "cpu") -> ExecutionPlan:
    """The plan of a configuration.

    Args:
        config: all settings, resolved.
        features: width of one step's input.
        device: the device that computes it.

    Raises:
        ValueError: the number of rows or of steps is not resolved.
    """
    layers, size = config.model.layers, config.model.state_size
    rows, steps = config.training.rows, config.training.steps
    columns = size + max(size, features)
    schedule = config.run.execution
    if schedule == "auto":
        tiny = columns <= LARGEST_WAVEFRONT and rows * columns**2 <= MOST_PRODUCTS
        schedule = "wavefront" if tiny else "layered"
    if on_gpu(device):
        return ExecutionPlan(schedule, config.run.threads)
    row_parts = 1 if schedule == "wavefront" else _row_parts(layers, size, rows, steps)
    only_layer = layers == 1 and size >= ONLY_LAYER and row_parts > 1
    small = schedule == "wavefront" or (
        rows * size <= LARGEST_ON_ONE_THREAD and size < FEWEST_ON_ALL
    )
    return ExecutionPlan(
        schedule,
        config.run.threads or (1 if small else None),
        row_parts=row_parts,
        units_first=schedule == "layered" and (size >= LARGE_LAYER or only_layer),
        replicas_at_once=small and config.run.threads is None,
    )


def side_by_side(replicas: int, cores: int) -> tuple[int, int]:
    """How many replicas one operation computes, and how many calls a core makes one by one.

    Args:
        replicas: the number of replicas.
        cores: number of cores that make calls at the same time.
    """

    def time(each: int) -> float:
        at_once = cores > 1 and replicas > each
        return calls[each] * SIDE_BY_SIDE[each] * (AT_ONCE if at_once else 1)

    calls = {each: math.ceil(math.ceil(replicas / each) / cores) for each in SIDE_BY_SIDE}
    fastest = min(calls, key=time)
    return fastest, calls[fastest]


def _row_parts(layers: int, size: int, rows: int, steps: int) -> int:
    """The most parts of a window's rows that are each large enough."""
    if size > LARGEST_IN_PARTS:
        return 1
    fewest = FEWEST_ROWS if size < LARGEST_IN_PARTS else FEWEST_ROWS_OF_LARGE
    products = 8 * layers * size**2 * rows * steps
    most = rows // fewest, rows * size // FEWEST_NUMBERS, int(products // FEWEST_PRODUCTS)
    return max(1, min(most))


def set_up(config: Config, features: int, before: str | None = None) -> None:
    """Sets TensorFlow's flags for a configuration; has no effect once `core.tensorflow` is loaded.

    TensorFlow reads the cache's flag when its devices are first listed, which `core.tensorflow`
    does, and the compiler's flags when it first compiles. Flags set in between would apply only to
    some programs.

    Args:
        config: all settings, resolved.
        features: width of one step's input.
        before: the instruction set of a run that is resumed; it is kept.
    """
    if "lstmcli.core.tensorflow" in sys.modules:
        return
    default = plan(config, features).instruction_set
    _set_compiler(before if before in INSTRUCTION_SETS else default)
    folder = compile_cache.directory(_conditions(config, features)) if config.run.cache else None
    if folder:
        compile_cache.check(folder)
    _set("TF_XLA_FLAGS", {CACHE: str(folder)} if folder else {})


def set_defaults() -> None:
    """Sets the flags that every run needs, unless a configuration has set them."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")  # Else it takes all GPU memory.
    if MAX_ISA not in os.environ.get("XLA_FLAGS", ""):
        _set_compiler("AVX")


def processor() -> str:
    """The processor's name, as far as the system tells."""
    return _of_processor("model name") or platform.processor()


def _of_processor(name: str) -> str:
    """A field that Linux reports for the first core; empty if there is none."""
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith(name):
                return line.partition(":")[2].strip()
    return ""


def cores() -> int:
    """How many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _conditions(config: Config, features: int) -> list[str]:
    """What the bits of a compiled program depend on, beside its graph and the kind of device.

    The compiler splits large operations by the number of threads, and this code is what makes the
    graphs.
    """
    core = sorted(Path(__file__).parent.glob("*.py"))
    return [
        hashlib.sha256(b"".join(path.read_bytes() for path in core)).hexdigest(),
        *(version(name) for name in ("lstmcli", "tensorflow")),
        *(os.environ["XLA_FLAGS"], _given("TF_XLA_FLAGS")),
        str(plan(config, features).threads or cores()),
        *(platform.machine(), processor(), _of_processor("flags")),
        *_graphics(),
    ]


def _graphics() -> list[str]:
    """The graphics cards' names, and the version of their driver."""
    driver, found = Path("/proc/driver/nvidia"), []
    with suppress(OSError):
        for path in (driver / "version", *sorted(driver.glob("gpus/*/information"))):
            lines = path.read_text().splitlines()
            found += [line for line in lines if line.startswith(("NVRM", "Model"))]
    return found


def flag(name: str, variable: str = "XLA_FLAGS") -> str | None:
    """The current value of a compiler flag; `None` if it is not set."""
    words = os.environ.get(variable, "").split()
    return next((word.partition("=")[2] for word in words if word.startswith(f"{name}=")), None)


def _set_compiler(isa: str) -> None:
    flags = {"--xla_backend_extra_options": "xla_cpu_disable_slp_vectorizer"}
    if platform.machine() in ("x86_64", "AMD64"):
        flags[MAX_ISA] = isa
    _set("XLA_FLAGS", flags)


def keep_compiled() -> None:
    """Seals what the compiler has written to our cache, but not to a cache that the user chose."""
    used, ours = flag(CACHE, "TF_XLA_FLAGS"), compile_cache.root()
    if used and ours and Path(used).parent == ours:
        compile_cache.seal(Path(used))


@contextmanager
def loading() -> Iterator[None]:
    """Loads TensorFlow while the block runs, and ends when both are done.

    Standard error does not show what is written within the block, as TensorFlow's log messages are
    collected there. If loading fails, the next import raises the error.
    """

    def load() -> None:
        try:
            with suppress(Exception):
                importlib.import_module("lstmcli.core.tensorflow")
        finally:
            loaded.set()

    loaded = threading.Event()  # A join interrupted by Ctrl-C does not wait again.
    threading.Thread(target=load).start()
    try:
        yield
    finally:
        try:
            loaded.wait()
        except KeyboardInterrupt:
            loaded.wait()  # Until it is loaded, standard error would not show this error.
            raise


def _given(variable: str) -> str:
    """The flags that the user has set."""
    return os.environ.get(f"LSTMCLI_GIVEN_{variable}", os.environ.get(variable, ""))


def _set(variable: str, flags: Mapping[str, str]) -> None:
    """Adds flags to those that the user has set, which take precedence.

    The user's flags are kept in a separate variable, as workers inherit what is set here.
    """
    given = os.environ[f"LSTMCLI_GIVEN_{variable}"] = _given(variable)
    ours = [f"{name}={value}" for name, value in flags.items() if name not in given]
    os.environ[variable] = " ".join([given, *ours]).strip()
