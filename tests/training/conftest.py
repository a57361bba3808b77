"""Small files as they are written now, and kept ones of versions before."""

import shutil

import numpy as np
import pytest

from lstmcli.config import DataConfig
from lstmcli.data import arrays as array_files
from lstmcli.data import tasks
from lstmcli.training import checkpoint as checkpoints
from refusals import UNSEALED


@pytest.fixture(scope="session")
def sealed(tmp_path_factory):
    """Small files as they are written now: `m.safetensors`, `x.npz`, `y.csv` with `y.json`."""
    folder = tmp_path_factory.mktemp("sealed")
    old = checkpoints.read(UNSEALED / "text/checkpoints/last.safetensors")
    old.write(folder / "m.safetensors")
    for name, kept in (("x.npz", "echo.npz"), ("y.csv", "echo.csv")):
        array_files.write(folder / name, *array_files.read(UNSEALED / kept))
    config = DataConfig(task="adding", series_length=3000)
    array_files.write(folder / "z.csv", tasks.generate(config, np.random.default_rng(0)), {})
    return folder


@pytest.fixture
def kept(tmp_path):
    """A copy of the kept files, where they may be written to."""
    shutil.copytree(UNSEALED, tmp_path / "kept")
    return tmp_path / "kept"
