"""Whole numbers of which 64-bit floats do not hold every digit are not taken without a word."""

import numpy as np
import pandas as pd
import pytest

from lstmcli.config import DataConfig
from lstmcli.data import readers

STEPS = 400
SMALL = 2**53 - STEPS
"""The last of `STEPS` numbers from here on is the last that is exact."""
LARGE = 2**53 + 1


def notes(frame, ending, folder, **settings):
    path = folder / f"t{ending}"
    frame.to_csv(path, index=False) if ending == ".csv" else frame.to_parquet(path)
    _, found = readers.read_parts(DataConfig(data=str(path), target="y", **settings))
    return [note for note in found if "above 2^53" in note]


def frame_of(x, y=None):
    steps = np.arange(STEPS)
    return pd.DataFrame({"x": x, "z": steps / 7, "y": (steps**2 % 31) / 3 if y is None else y})


@pytest.mark.parametrize("ending", [".csv", ".parquet"])
def test_a_column_of_whole_numbers_that_lose_digits_is_told_of(ending, tmp_path):
    jumps = np.random.default_rng(0).integers(0, STEPS, STEPS)
    for kind in (np.int64, np.uint64):
        [note] = notes(frame_of((LARGE + jumps).astype(kind)), ending, tmp_path)
        assert "column `x`" in note
        assert "(9,007,199,254,740,992)" in note
        assert "pass `--categorical x`" in note
    assert notes(frame_of(-LARGE - jumps), ending, tmp_path)
    [note] = notes(frame_of(jumps, y=LARGE + jumps), ending, tmp_path)
    assert "column `y`" in note
    assert notes(frame_of(SMALL + jumps), ending, tmp_path) == []


@pytest.mark.parametrize("ending", [".csv", ".parquet"])
def test_an_empty_cell_hides_no_lost_digits(ending, tmp_path):
    """It makes floats of a column."""
    jumps = pd.Series(LARGE + np.arange(STEPS) % 7, dtype="Int64")
    jumps[5] = pd.NA
    assert len(notes(frame_of(jumps), ending, tmp_path)) == 1


@pytest.mark.parametrize("ending", [".csv", ".parquet"])
def test_numbers_that_lose_nothing_are_not_told_of(ending, tmp_path):
    jumps = np.arange(STEPS) % 7
    assert notes(frame_of(1e20 * (1.5 + jumps)), ending, tmp_path) == []
    assert notes(frame_of(LARGE + jumps), ending, tmp_path, categorical="x") == []
