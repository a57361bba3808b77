"""`lstmcli predict` beside `lstmcli eval --predictions`: one truth, for every kind of data."""

import io

import numpy as np
import pandas as pd
import pytest

from streaming import TABLES, by_pandas, make_kind, without_target

QUICK = ("several_residuals", "text")
KINDS = [*TABLES, "text", "echo", "classes", "parity", "adding", "order", "copy", "arrays"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("kinds")


def read_streamed(text):
    return pd.read_csv(io.StringIO(text), keep_default_na=False, dtype={"prediction": str})


def best_class(table):
    """What `predict` writes of a table of probabilities: the likeliest class, and how likely."""
    chances = table.filter(regex="^probability_")
    names = chances.columns.str.removeprefix("probability_")
    return names[chances.to_numpy().argmax(1)], chances.to_numpy().max(1)


@pytest.mark.parametrize("kind", KINDS)
def test_a_stream_is_predicted_as_a_loop_predicts_what_pandas_reads(kind, folder, run, monkeypatch):
    made = make_kind(kind, folder)
    monkeypatch.chdir(made.folder)
    expected = by_pandas(made)
    streamed = read_streamed(run("predict", "run", made.data).stdout)
    if "probability" in streamed:
        # The last character of a text is followed by none, and no step there.
        np.testing.assert_allclose(
            streamed.probability[: len(expected)], expected.max(1), atol=1e-6
        )
        return
    given = streamed.filter(regex="^prediction").astype(float)
    np.testing.assert_allclose(given, expected, rtol=1e-6, atol=1e-6 * expected.std())


@pytest.mark.parametrize(
    "kind",
    [each if each in QUICK else pytest.param(each, marks=pytest.mark.slow) for each in KINDS],
)
def test_a_stream_is_predicted_as_eval_predicts_a_file(kind, folder, run, monkeypatch):
    made = make_kind(kind, folder)
    monkeypatch.chdir(made.folder)
    run("eval", "run", "--data", made.data, "--predictions", "whole.csv", "--overwrite")
    whole = pd.read_csv("whole.csv", keep_default_na=False, dtype={"label": str})
    if "file_row" in whole:  # Rows of one sequence are brought together there.
        whole = whole.sort_values("file_row", kind="stable")
    streamed = read_streamed(run("predict", "run", made.data).stdout)
    if kind in ("echo", "classes", "parity"):  # Their rows begin anew, and a stream is one.
        whole = whole[whole.row == 0]
    if "row" in whole:  # The last character of a text is followed by none.
        streamed = streamed[: len(whole)]
    assert len(streamed) == len(whole) > 50
    if "probability" in streamed:
        names, chances = best_class(whole)
        np.testing.assert_allclose(streamed.probability, chances, atol=1e-5)
        clear = chances > 1 / len(whole.filter(regex="^probability_").columns) + 1e-3
        assert (streamed.prediction[clear] == names[clear]).all()
        return
    expected = whole.filter(regex="^predicted")
    given = streamed.filter(regex="^prediction").astype(float)
    assert list(given.columns.str[10:]) == list(expected.columns.str[9:])
    scale = expected.astype(float).std().max()
    np.testing.assert_allclose(given, expected.astype(float), rtol=1e-5, atol=1e-5 * scale)


@pytest.mark.parametrize("kind", ["residual", "numbers", "classes_of_table"])
def test_a_stream_needs_no_target_and_no_order_of_columns(kind, folder, run, monkeypatch):
    made = make_kind(kind, folder)
    monkeypatch.chdir(made.folder)
    expected = run("predict", "run", made.data).stdout
    table = without_target(made)
    table[table.columns[::-1]].to_csv("turned.csv", index=False)
    assert run("predict", "run", "turned.csv").stdout == expected
