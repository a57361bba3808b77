"""The latest known value of a table's target: what is not an input, and is held against a model."""

import numpy as np
import pandas as pd
import pytest

from lstmcli.config import Config
from lstmcli.data.datasets import open_source


def parts(tmp_path, table, **settings):
    table.to_csv(tmp_path / "t.csv", index=False)
    config = Config.build(data=str(tmp_path / "t.csv"), target="y", **settings)
    return open_source(config).splits


def in_units(series):
    [column] = series.schema.target
    return column.in_units(series.last_values[:, 0])


@pytest.mark.parametrize("horizon", [1, 24, 40])
def test_the_last_value_is_that_of_the_row_itself_wherever_a_part_begins(horizon, tmp_path):
    values = np.random.default_rng(0).normal(size=500).cumsum().round(3)
    held = parts(tmp_path, pd.DataFrame({"y": values}), horizon=horizon)
    there = np.concatenate([in_units(part) for part in held])
    np.testing.assert_allclose(there, values, atol=1e-5)
    ahead = pd.Series(values).shift(-horizon).to_numpy()
    for part in held:
        [column] = part.schema.target
        known = np.ones(len(part), bool) if part.scored is None else part.scored
        wanted = ahead[part.offset : part.offset + len(part)]
        np.testing.assert_allclose(
            column.in_units(part.targets[known, 0]), wanted[known], atol=1e-5
        )


def test_an_empty_cell_has_the_value_before_it_also_across_the_border_of_two_parts(tmp_path):
    rng = np.random.default_rng(1)
    table = pd.DataFrame({"y": np.where(rng.random(400) < 0.3, np.nan, rng.normal(size=400))})
    table.loc[[0, 1, 318, 319, 320, 321], "y"] = np.nan  # A part begins at step 320.
    held = parts(tmp_path, table, horizon=1, missing="ffill")
    assert held.validation.offset == 320
    for part in held:
        wanted = table.y.ffill().to_numpy()[part.offset : part.offset + len(part)]
        np.testing.assert_allclose(in_units(part), wanted, atol=1e-5)


def test_the_last_value_is_of_the_same_sequence(tmp_path):
    table = pd.DataFrame({"g": np.repeat(np.arange(40), 3), "y": np.repeat(np.arange(40) % 7, 3)})
    table["y"] = table.y + 0.5
    held = parts(tmp_path, table, group="g", horizon=1)
    for part in held:
        np.testing.assert_allclose(part.last_values[part.scored], part.targets[part.scored])
    table.loc[table.index % 3 == 0, "y"] = np.nan
    for part in parts(tmp_path, table, group="g", horizon=1, missing="zero"):
        assert np.isnan(part.last_values[part.starts]).all()


def test_the_last_label_is_a_number_of_the_vocabulary_or_none(tmp_path):
    rng = np.random.default_rng(2)
    words = rng.choice(["a", "b", "c", None], 400)
    words[0], words[350:] = None, np.where(words[350:] == "a", "new", words[350:])
    table = pd.DataFrame({"x": rng.normal(size=400), "y": words})
    held = parts(tmp_path, table, horizon=2, missing="ffill")
    wanted = table.y.ffill().map({"a": 0, "b": 1, "c": 2}).fillna(-1).to_numpy()
    there = np.concatenate([part.last_values for part in held])
    np.testing.assert_array_equal(there, wanted)


def test_without_a_horizon_there_is_none_and_no_program_or_checksum_ever_knows_of_it(tmp_path):
    table = pd.DataFrame({"x": np.arange(400) % 9, "y": np.arange(400) % 5 + 0.5})
    assert parts(tmp_path, table).test.last_values is None
    test = parts(tmp_path, table, horizon=1).test
    assert "last_values" not in test.arrays
