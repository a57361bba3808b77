"""Texts of a few kilobytes and tables of a few years: what is made of them, and what is said."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from lstmcli.config import Config
from lstmcli.data.datasets import open_source, series_to_test

WORDS = np.array(["the ", "cat ", "sat ", "on ", "a ", "mat. "])
TEXT = "".join(WORDS[np.random.default_rng(0).integers(0, 6, 12_000)])
FEW = "so few that a model memorises them"


def windows(source):
    """The windows of the three parts, all of them cut."""
    found = [source.training(0)[0], source.validation()[0], source.test()[0]]
    for each in found:
        assert len(each.take(0, len(each))["targets"]) == len(each) > 0
    return found


@pytest.mark.parametrize("length", [40, 100, 333, 700, 1_024, 2_000, 4_000, 5_000, 10_000, 20_000])
def test_a_small_text_gets_rows_and_steps_that_fit_and_is_said_to_be_small(length):
    Path("t.txt").write_text(TEXT[:length])
    source = open_source(Config.build(data="t.txt"))
    training, validation, test = windows(source)
    steps = training.cut.places(0, len(training))
    everything = set(range(len(source.splits.training)))
    missed = everything - set(steps.ravel().tolist())
    assert len(missed) < 0.05 * len(everything) + 1
    for part, its in ((source.splits.validation, validation), (source.splits.test, test)):
        counted = len(part) if part.scored is None else part.scored.sum()
        assert its.take(0, len(its))["scored"].sum() == counted
    assert any(FEW in note for note in source.notes())


def test_a_larger_text_is_not_said_to_be_small():
    Path("t.txt").write_text(TEXT)
    source = open_source(Config.build(data="t.txt"))
    assert not any(FEW in note for note in source.notes())
    assert (source.config.training.rows, source.config.training.steps) == (32, 64)


@pytest.mark.parametrize(("months", "steps"), [(36, 28), (144, 58)])
def test_the_window_fits_the_training_part_and_not_the_shortest(months, steps):
    dates = pd.date_range("1949-01", periods=months, freq="MS").strftime("%Y-%m")
    sales = np.random.default_rng(0).normal(size=months).round(3)
    pd.DataFrame({"Month": dates, "sales": sales}).to_csv("t.csv", index=False)
    source = open_source(Config.build(data="t.csv", target="sales", horizon=1))
    windows(source)
    assert source.config.training.steps == steps > len(source.splits.test)


def test_what_is_scored_is_called_by_its_own_file():
    for name in ("a", "b"):
        values = np.random.default_rng(ord(name)).normal(size=(200, 2)).round(3)
        pd.DataFrame(values, columns=["x", "target"]).to_csv(f"{name}.csv", index=False)
    for options, name in [({"test_data": "b.csv"}, "b.csv"), ({}, "a.csv (test part)")]:
        config = Config.build(data="a.csv", **options)
        schema = open_source(config).schema
        assert series_to_test(config, None, schema).name == name
