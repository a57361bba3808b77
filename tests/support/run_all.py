"""Runs the tests in parts, and says how many passed and how long it took.

`python tests/support/run_all.py [-m "not slow"]`; what follows goes to pytest. No process could map
the code of all the programs that the tests compile, so each part has processes of its own. In a
part a file goes to one process, and files keep their order: those of few long tests would else come
last, with one processor idle.
"""

import re
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

TESTS = Path(__file__).parents[1]
PARTS = (
    ("core", "data"),
    ("training", "probes", "inference"),
    ("sweeps", "reporting", "cli", "gpu", "."),
)
"""Folders; `.` are the files that lie beside them."""
XDIST = ("--numprocesses", "auto", "--maxprocesses", "4", "--dist", "loadfile")
COUNTS = re.compile(r"(\d+) (passed|failed|skipped|error|deselected)")
NO_TESTS = 5
"""Pytest's exit code where a part has none of those that are asked for."""


def paths_of(folders):
    for folder in folders:
        yield from map(str, TESTS.glob("test_*.py") if folder == "." else [TESTS / folder])


def run(folders, options):
    """The exit code of one part and its counts; what it prints goes on as it comes."""
    command = [sys.executable, "-m", "pytest", *XDIST, "--no-loadscope-reorder", *options]
    process = subprocess.Popen(
        [*command, *paths_of(folders)], stdout=subprocess.PIPE, text=True, cwd=TESTS.parent
    )
    last = ""
    for line in process.stdout:
        print(line, end="", flush=True)
        last = line if COUNTS.search(line) else last
    return process.wait(), Counter({what: int(count) for count, what in COUNTS.findall(last)})


def main(options):
    folders = {
        path.parent.relative_to(TESTS).parts[:1] or (".",) for path in TESTS.rglob("test_*.py")
    }
    if left_out := {name for (name,) in folders} - {name for part in PARTS for name in part}:
        sys.exit(f"no part has the tests of {', '.join(left_out)}")
    begun, counts, worst = time.monotonic(), Counter(), 0
    for folders in PARTS:
        print("tests of", *folders, flush=True)
        code, found = run(folders, options)
        counts += found
        if code not in (0, NO_TESTS):
            worst = worst or code
    minutes, seconds = divmod(round(time.monotonic() - begun), 60)
    said = ", ".join(f"{count:,} {what}" for what, count in counts.items())
    print(f"{said} in {minutes}:{seconds:02} minutes", flush=True)
    return worst


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
