"""What a notebook needs: data from memory, settings that an editor completes, results that show."""

import ast
import inspect
import io
import json
import tomllib
from dataclasses import fields
from pathlib import Path

import nbclient
import nbformat
import numpy as np
import pandas as pd
import pytest

import lstmcli
from command_lines import options_of
from lstmcli import config
from lstmcli.data.table import memory
from lstmcli.data.table.files import read_head
from lstmcli.utils.errors import UsageError
from lstmcli.utils.settings import option_name

STUB = Path(lstmcli.__file__).with_suffix(".pyi")
NOTEBOOK = Path(__file__).parents[1] / "examples" / "notebook.ipynb"
TINY = {"layers": 1, "state_size": 3, "epochs": 2}


def readings():
    hours = pd.date_range("2024-01-01", periods=400, freq="h", name="time")
    load = np.sin(np.arange(400) / 4) + 5
    return pd.DataFrame({"load": load, "day": hours.day_name()}, index=hours)


# --- data from memory


@pytest.fixture(scope="module")
def from_memory(tmp_path_factory):
    out = tmp_path_factory.mktemp("memory") / "run"
    return lstmcli.train(out, data=readings(), target="load", horizon=1, inputs=["load"], **TINY)


def test_a_table_in_memory_trains_as_its_file_does(from_memory, tmp_path):
    readings().reset_index().to_parquet(tmp_path / "x.parquet")
    settings = {"target": "load", "horizon": 1, "inputs": "load", **TINY}
    other = lstmcli.train(tmp_path / "file", data=tmp_path / "x.parquet", **settings)
    times = ["epoch_seconds", "elapsed_seconds"]
    expected = other.metrics.drop(columns=times)
    pd.testing.assert_frame_equal(from_memory.metrics.drop(columns=times), expected)


def test_a_run_keeps_its_table_and_goes_on_with_it(from_memory, tmp_path):
    out = tmp_path / "run"
    settings = {"target": "load", "horizon": 1, "inputs": ["load"], **TINY}
    lstmcli.train(out, data=readings(), **settings | {"epochs": 1})
    assert tomllib.loads((out / "config.toml").read_text())["data"]["data"] == "data.parquet"
    lstmcli.train(resume=out, epochs=2)
    assert list(pd.read_csv(out / "metrics.csv").loss) == list(from_memory.metrics.loss)
    with pytest.raises(UsageError, match="`data=` has no effect with `resume=`"):
        lstmcli.train(resume=out, data=readings())
    lstmcli.train(out, overwrite=True, series_length=900, **TINY)
    assert not (out / "data.parquet").exists()


def test_a_table_in_memory_is_scored_as_its_file_is(from_memory, tmp_path):
    readings().reset_index().to_parquet(tmp_path / "x.parquet")
    found = lstmcli.evaluate(from_memory, data=readings())
    assert found.data == "data in memory"
    expected = lstmcli.evaluate(from_memory, data=tmp_path / "x.parquet")
    assert found.scores[0].loss == expected.scores[0].loss


def test_an_index_that_only_counts_is_no_column():
    table = readings().reset_index(drop=True)
    assert list(memory.frame_of(table[table.load > 5]).columns) == ["load", "day"]
    assert list(memory.frame_of(table.rename_axis("row")).columns) == ["row", "load", "day"]
    with pytest.raises(UsageError, match="`progress` must be true or false, got 'none'"):
        lstmcli.train(progress="none")


def test_of_a_series_the_next_value_is_predicted_and_arrays_are_columns(tmp_path):
    series = lstmcli.train(tmp_path / "a", data=readings().load, **TINY)
    arrays = {"load": readings().load.to_numpy()}
    named = {"target": "load", "horizon": 1}
    other = lstmcli.train(tmp_path / "b", data=arrays, **named, **TINY)
    assert list(series.metrics.loss) == list(other.metrics.loss)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({"x": np.zeros((3, 2))}, r"in each array, got the shape \(3, 2\) of `x`"),
        ({"x": [1, 2], "y": [1]}, "arrays of one length, got `x` 2, `y` 1"),
        (pd.DataFrame({"x": [object()]}), "cannot be kept as a file"),
        (pd.DataFrame({"y": [1.0, 2.0]}), "`data.parquet` has no column `x`"),
        (pd.DataFrame({"x": [1j]}), "cannot be kept as a file"),
        (pd.DataFrame({"x": [1.0]}, pd.Index([7], name="x")), "index and a column .* called `x`"),
        (np.zeros((3, 2)), "`data=` must be text, got a ndarray"),
    ],
)
def test_what_is_no_table_is_refused_and_leaves_nothing(data, words, tmp_path):
    with pytest.raises(UsageError, match=words):
        lstmcli.train(data=data, target="x")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("data", [pd.DataFrame({"x": [1.0]}), np.zeros((3, 2))])
def test_a_verb_that_takes_files_says_so_of_a_table(data, from_memory, tmp_path):
    with pytest.raises(UsageError, match="`data` must be the path of a file here, got a"):
        lstmcli.probe(from_memory, data)
    with pytest.raises(UsageError, match="`data=` must be text, got a"):
        lstmcli.sweep(data=data, layers=[1], out=tmp_path / "sweep")


def test_an_array_alone_is_neither_scored_nor_predicted(from_memory):
    for verb in (lstmcli.evaluate, lstmcli.predict, lstmcli.forecast):
        with pytest.raises(UsageError, match="path of a file here, got a ndarray"):
            verb(from_memory, data=np.zeros((3, 2)))


def test_columns_in_memory_may_be_called_by_numbers():
    with memory.as_file(pd.Series([1.0, 2.0], name=3)) as file:
        assert read_head(file).names == ["3"]


def test_predict_gives_a_table_what_the_command_gives_its_file(from_memory, run, tmp_path):
    found = lstmcli.predict(from_memory, readings())
    assert found.index.equals(readings().index)
    readings().reset_index().to_csv(tmp_path / "x.csv", index=False)
    told = pd.read_csv(
        io.StringIO(run("predict", from_memory.directory, tmp_path / "x.csv").stdout)
    )
    np.testing.assert_allclose(found.prediction, told.prediction, rtol=1e-15)
    assert list(lstmcli.predict(from_memory, tmp_path / "x.csv").prediction) == list(
        found.prediction
    )


def test_forecast_gives_what_the_command_writes(from_memory, run, tmp_path):
    found = lstmcli.forecast(from_memory, 5)
    told = pd.read_csv(io.StringIO(run("forecast", from_memory.directory, "--steps", 5).stdout))
    pd.testing.assert_frame_equal(found.table.astype({"time": str}), told.astype({"time": str}))
    assert f"{found.table.prediction[4]:.4g}" in found._repr_html_()
    other = lstmcli.forecast(from_memory, 5, data=readings())
    assert list(other.table.prediction) == list(told.prediction)
    assert "after the end of data in memory" in other._repr_html_()


def test_a_row_that_cannot_be_predicted_for_is_empty_and_named(from_memory):
    odd = readings().astype({"load": object})
    odd.iloc[7, 0] = "much"
    with pytest.warns(UserWarning, match="line 9, column `load`: expected a number, got `much`"):
        found = lstmcli.predict(from_memory, odd)
    assert list(np.flatnonzero(found.prediction.isna())) == [7]


def test_a_line_break_in_a_cell_is_no_row_of_its_own(from_memory):
    odd = readings().astype({"load": object})
    odd.iloc[7, 0] = "mu\r\nch"
    with pytest.warns(UserWarning, match="line 9, column `load`: expected a number, got `mu ch`"):
        found = lstmcli.predict(from_memory, odd)
    assert list(np.flatnonzero(found.prediction.isna())) == [7]


# --- signatures


def functions():
    tree = ast.parse(STUB.read_text())
    return {each.name: each.args for each in tree.body if isinstance(each, ast.FunctionDef)}


@pytest.mark.parametrize("name", lstmcli.__all__)
def test_the_stub_has_the_signature_that_python_shows(name):
    shown = list(inspect.signature(getattr(lstmcli, name)).parameters)
    stub = functions()[name]
    assert [
        each.arg for each in [*stub.args, *[stub.vararg] * bool(stub.vararg), *stub.kwonlyargs]
    ] == shown
    assert "settings" not in shown


@pytest.mark.parametrize(("verb", "command"), [("train", "train"), ("sweep", "sweep"),
    ("evaluate", "eval"), ("generate", "generate"), ("probe", "probe")])  # fmt: skip
def test_a_verb_takes_the_settings_that_its_command_takes(verb, command):
    settings = {spec.name for group in config.GROUPS.values() for spec in fields(group)}
    of_command = {name for name in settings if option_name(name) in options_of(command)}
    of_verb = set(inspect.signature(getattr(lstmcli, verb)).parameters) & settings
    assert of_verb - {"data"} == of_command - {"data"}


def test_an_unknown_keyword_is_refused_by_its_name():
    with pytest.raises(UsageError, match="there is no setting `laiers`; did you mean `layers`\\?"):
        lstmcli.train(laiers=3)


# --- what a notebook shows


def test_results_show_their_words_tables_and_pictures(trained):
    run = lstmcli.api.TrainedRun(trained)
    html = run._repr_html_()
    assert "completed, 3 epochs" in html
    assert html.count('src="data:image/png;base64,') == len(list(trained.glob("figures/*.png")))
    assert f"<td>{run.metrics.loss.iloc[-1]:.4g}</td>" in html
    scores = lstmcli.evaluate(run)
    assert f"<td>{scores.scores[1].loss:.4g}</td>" in scores._repr_html_()
    assert "seed 2" in scores._repr_html_()


@pytest.mark.slow
def test_the_example_runs_from_its_first_cell_to_its_last(tmp_path, python, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", python["env"]["PYTHONPATH"])
    notebook = nbformat.read(NOTEBOOK, 4)
    place = {"metadata": {"path": str(tmp_path)}}
    nbclient.NotebookClient(notebook, timeout=300, resources=place).execute()
    shown = [
        output["data"]["text/html"]
        for cell in notebook.cells
        for output in cell.get("outputs", [])
        if "text/html" in output.get("data", {})
    ]
    assert sum("data:image/png" in html for html in shown) == 2
    assert len(shown) == 6
    assert json.loads((tmp_path / "runs/latest/run.json").read_text())["status"] == "completed"
