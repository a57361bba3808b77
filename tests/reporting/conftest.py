"""What the tests of figures and pages share: runs and a sweep that were never trained."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest

from lstmcli.config import Config
from lstmcli.sweeps import workers
from sweeping import COMMAND, invented
from untrained import LINES, RUNS, in_folder, make


@pytest.fixture(scope="session")
def swept(tmp_path_factory, run):
    """A finished sweep's directory and what it printed as JSON. Not to be written to."""
    out = tmp_path_factory.mktemp("sweep") / "s"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(workers.LocalWorkers, "run", invented)
        return out, json.loads(run(*COMMAND, "--out", str(out), "--json").stdout)


@pytest.fixture
def copied(trained, tmp_path):
    """The small run of three seeds, to be written to."""
    return shutil.copytree(trained, tmp_path / "copied")


@pytest.fixture(scope="session")
def files(tmp_path_factory):
    """A folder with a table and a text whose names and characters are hard to draw."""
    folder, rng = tmp_path_factory.mktemp("files"), np.random.default_rng(0)
    level = np.convolve(rng.normal(size=LINES + 9), np.ones(10), "valid")
    states = ["cold $ and $ very, very cold indeed", "\u65e5\u672c", "\x1b[31mhot"]
    table = pd.DataFrame(
        {
            "level of $a$ tank behind the second hall (cm)": level.round(3),
            "other": rng.normal(size=LINES).round(3),
            "state": [states[number] for number in np.digitize(level, [-2, 2])],
        }
    )
    table.to_csv(folder / "table.csv", index=False)
    letters = rng.choice(list("abc \n\t$\u00e9\u65e5\x07"), 1500)
    (folder / "text.txt").write_text("".join(letters), "utf-8")
    return folder


@pytest.fixture(scope="session")
def runs(files):
    """`runs("text")` is a run with that kind of window, as it would be. Not to be written to."""

    def find(name):
        out = files / name
        if not out.exists():
            make(out, Config.build(**RUNS[name] | in_folder(RUNS[name], files)))
        return out

    return find
