"""Several numbers predicted at once: of several columns, and at several horizons."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from lstmcli.config import Config, DataConfig
from lstmcli.data.baselines import autoregression
from lstmcli.data.datasets import open_source
from lstmcli.data.outputs import COLUMNS
from lstmcli.data.schema import Numeric, Schema
from lstmcli.data.target import NumberTarget
from lstmcli.reporting import formatting
from lstmcli.training.checkpoint import read
from lstmcli.utils.errors import UsageError

STEPS, TRAINING = 500, slice(0, 400)
LEADS = (1, 2, 3)
TARGETS = {"target": "load,temp", "horizon": "1-3", "missing": "ffill"}
SMALL = {"state_size": 6, "epochs": 3, "layers": 1}
NAMES = [f"{name}_lead_{lead}" for name in ("load", "temp") for lead in LEADS]


def grid():
    """A random walk in units of its own and a cycle; each with holes where the other has none."""
    rng = np.random.default_rng(0)
    load = 5000 + 100 * rng.normal(size=STEPS).cumsum()
    temp = 15 + 8 * np.sin(np.arange(STEPS) / 4) + rng.normal(size=STEPS)
    frame = pd.DataFrame({"load": load.round(1), "temp": temp.round(2)})
    frame.loc[rng.random(STEPS) < 0.1, "load"] = np.nan
    frame.loc[rng.random(STEPS) < 0.1, "temp"] = np.nan
    return frame


def truth():
    """What each number is at each step, by pandas: `[steps, 6]`."""
    frame = grid()
    columns = [frame[name].shift(-lead) for name in ("load", "temp") for lead in LEADS]
    return pd.concat(columns, axis=1, keys=NAMES)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    path = tmp_path_factory.mktemp("grid") / "grid.csv"
    grid().to_csv(path, index=False)
    return {"data": str(path), **TARGETS}


@pytest.fixture(scope="module")
def trained(data, run):
    """The directory of a run, what it said, and what `eval` says; its predictions beside it."""
    folder = Path(data["data"]).parent
    words = [f"--{name.replace('_', '-')}={value}" for name, value in {**data, **SMALL}.items()]
    ended = run("train", *words, "--out", folder / "run")
    scored = run("eval", folder / "run", "--predictions", folder / "p.csv")
    return folder, ended.stdout, scored.stdout


@pytest.mark.parametrize("predict", ["level", "change"])
def test_each_number_has_its_own_scale_and_is_missing_where_its_cell_is(data, predict):
    source = open_source(Config.build(**data, predict=predict))
    frame, expected = grid(), truth()
    last = pd.concat([frame[name].ffill() for name in ("load", "temp") for _ in LEADS], axis=1)
    last.columns = NAMES
    if predict == "change":
        expected = expected.where(last.notna())
    size = (expected - last if predict == "change" else expected - expected[TRAINING].mean()) ** 2
    for place, column in enumerate(source.schema.target):
        assert f"{column.name}_lead_{column.lead}" == NAMES[place]
        assert column.scale == pytest.approx(np.sqrt(size[TRAINING].mean().iloc[place]))
        assert column.mean == pytest.approx(truth()[TRAINING].mean().iloc[place])
    held = source.splits
    found = np.concatenate([part.targets for part in held])
    columns = source.schema.target
    in_units = np.stack([each.in_units(found[:, i]) for i, each in enumerate(columns)], 1)
    np.testing.assert_allclose(in_units, expected, rtol=1e-5)
    scored = np.concatenate([part.scored for part in held])
    assert (scored == expected.notna().any(axis=1)).all()
    base = held.training.base
    if predict == "change":
        by_hand = (last[TRAINING] - truth()[TRAINING].mean()) / [each.scale for each in columns]
        np.testing.assert_allclose(base, by_hand.fillna(0), atol=1e-4)
    else:
        assert base is None


def test_eval_gives_each_numbers_errors_in_its_own_units(trained, run):
    """From the predictions in the table and the targets of the file, by pandas."""
    folder, _, _ = trained
    table = pd.read_csv(folder / "p.csv")
    rows = table.file_row - 1
    assert rows.tolist() == list(range(450, 500))
    errors = pd.DataFrame({name: table[f"predicted_{name}"] - truth()[name][rows].to_numpy()
                           for name in NAMES})  # fmt: skip
    shown = json.loads(run("eval", folder / "run", "--json").stdout)
    [score] = shown["results"]
    found = pd.DataFrame(score["outputs"])
    assert [f"{row.target}_lead_{row.ahead}" for row in found.itertuples()] == NAMES
    np.testing.assert_allclose(found.rmse, np.sqrt((errors**2).mean()), rtol=1e-4)
    np.testing.assert_allclose(found.mae, errors.abs().mean(), rtol=1e-4)
    assert found.labels.tolist() == errors.notna().sum().tolist()
    assert score["loss"] == pytest.approx(np.average(found.loss, weights=found.labels))
    assert score["labels"] == len(table) - errors.isna().all(axis=1).sum()
    known = [f"target_{name}" for name in NAMES]
    np.testing.assert_allclose(table[known], truth().loc[rows], rtol=1e-6)


def test_each_number_has_its_own_baselines(trained, run):
    folder, _, _ = trained
    known = json.loads(run("eval", folder / "run", "--json").stdout)["references"]
    found = {each["name"]: pd.DataFrame(each["outputs"]) for each in known}
    test, frame = truth()[450:], grid()
    mean = test - truth()[TRAINING].mean()
    last = test - np.repeat(frame.ffill().to_numpy()[450:], len(LEADS), axis=1)
    for name, errors in (("mean", mean), ("last value", last)):
        np.testing.assert_allclose(found[name].rmse, np.sqrt((errors**2).mean()), rtol=1e-4)
        np.testing.assert_allclose(found[name].mae, errors.abs().mean(), rtol=1e-4)
    assert len(found["linear autoregression"]) == len(NAMES)


def test_the_autoregression_of_several_numbers_is_that_of_each_alone(data):
    """Each is fitted on the steps where it is known itself, and has a strength of its own."""
    held = open_source(Config.build(**data)).splits
    several = autoregression.fit(held.training, held.validation, 8)
    for place, name in enumerate(NAMES):
        target, _, lead = name.partition("_lead_")
        alone = {**data, "inputs": "load,temp", "target": target, "horizon": int(lead)}
        parts = open_source(Config.build(**alone)).splits
        one = autoregression.fit(parts.training, parts.validation, 8)
        scales = [each.schema.target[number].scale
                  for each, number in ((held.training, place), (parts.training, 0))]  # fmt: skip
        np.testing.assert_allclose(
            several.weights[..., place] * scales[0], one.weights[..., 0] * scales[1], atol=1e-3
        )


def test_a_run_keeps_the_validation_of_each_number_and_shows_it(trained):
    folder, ended, _ = trained
    found = pd.read_csv(folder / "run" / "targets.csv")
    model = found[found.predictor == "model"]
    assert (model.target + "_lead_" + model.ahead.astype(str)).tolist() == NAMES
    best = pd.read_csv(folder / "run" / "metrics.csv").val_loss.min()
    assert np.average(model.loss, weights=model.labels) == pytest.approx(best, rel=1e-5)
    known = truth()[400:450].notna().sum()
    assert model.labels.tolist() == known.tolist()
    assert set(found.predictor[found.seed.isna()]) >= {"mean", "last value"}
    best_alone = found[found.seed.isna() & (found.target == "load")].groupby("ahead").rmse.min()
    for row in model[model.target == "load"].itertuples():
        line = next(
            each for each in ended.splitlines() if each.split()[:2] == ["load", str(row.ahead)]
        )
        assert f"{row.rmse:.6g}" in line
        assert f"{best_alone[row.ahead]:.6g}" in line


def test_the_page_of_a_run_has_a_row_for_each_number(trained, run):
    folder, _, _ = trained
    run("report", folder / "run", "--output", folder / "page.html")
    text = (folder / "page.html").read_text()
    model = pd.read_csv(folder / "run" / "targets.csv").query("predictor == 'model'")
    assert "Validation errors on each target" in text
    assert all(f"{rmse:.6g}" in text for rmse in model.rmse)


def test_what_is_predicted_is_said_and_kept(trained, run):
    folder, _, scored = trained
    assert "target: load, temp, 1 to 3 steps ahead" in scored
    model = read(folder / "run" / "checkpoints" / "best.safetensors")
    assert [(each.name, each.lead) for each in model.schema.target] == [
        (name, lead) for name in ("load", "temp") for lead in LEADS
    ]
    assert model.config.data.horizon == "1-3"
    assert "target: load, 1 step ahead, a number" in run("inspect", folder / "run").stdout


def test_a_model_of_one_number_is_kept_as_it_always_was():
    schema = Schema("table", (Numeric("a"),), (), (Numeric("b", 1.0, 2.0),))
    assert schema.to_dict()["target"] == ({"name": "b", "mean": 1.0, "scale": 2.0},)
    assert Schema.from_dict(schema.to_dict()) == schema
    later = Schema("table", (Numeric("a"),), (), (Numeric("b", lead=1), Numeric("b", lead=2)))
    assert Schema.from_dict(json.loads(json.dumps(later.to_dict()))) == later


@pytest.mark.parametrize(
    ("given", "kept", "leads"),
    [(3, 3, [3]), ("03", 3, [3]), ("2-2", 2, [2]), ("1-3", "1-3", [1, 2, 3]), (None, None, [0])],
)
def test_a_horizon_is_a_number_or_a_range(given, kept, leads):
    config = DataConfig(data="t.csv", horizon=given)
    assert (config.horizon, list(config.leads)) == (kept, leads)
    whole = Config(data=config)
    assert Config.build(whole.to_dict()).data.leads == config.leads


@pytest.mark.parametrize("given", ["0-3", "3-1", "1-", "-1", "1-2000", "1,3", 1.5, True])
def test_what_is_no_horizon_is_refused(given):
    with pytest.raises(UsageError, match="--horizon"):
        DataConfig(data="t.csv", horizon=given)


def test_a_column_whose_name_has_a_comma_is_one_target():
    pd.DataFrame({"a": range(20), "b, c": np.arange(20) ** 2}).to_csv("t.csv", index=False)
    source = open_source(Config.build(data="t.csv", target="b, c", horizon=1))
    assert [each.name for each in source.schema.target] == ["b, c"]


def test_a_number_that_is_not_known_has_no_part_in_a_probes_loss_and_gradient():
    outputs_of_model = np.array([[1.0, 2.0, 4.0], [0.5, 0.0, 1.0]])
    targets = np.array([[0.0, np.nan, 1.0], [np.nan, np.nan, 3.0]])
    target = NumberTarget(tuple(map(Numeric, "abc")))
    assert target.losses(outputs_of_model, targets) == pytest.approx([(1 + 9) / 2, 4])
    slopes = target.gradient(outputs_of_model, targets)
    np.testing.assert_allclose(slopes, np.array([[2, 0, 6], [0, 0, -4]]) / 3)


def test_of_many_horizons_evenly_spaced_ones_are_shown():
    rows = [(0, "model", name, lead, 1.0, lead * 2.0, 1.0, 9) for name in "ab"
            for lead in range(1, 49)]  # fmt: skip
    for who, error in (("mean", 50.0), ("last value", 40.0)):
        rows += [(None, who, name, lead, error, error, 1.0, 9) for name in "ab"
                 for lead in range(1, 49)]  # fmt: skip
    errors = pd.DataFrame(rows, columns=COLUMNS)
    beside = formatting.beside_baselines(errors, 0)
    _, cells = formatting.outputs_table(beside)
    assert len(beside) == 96
    assert [cell[1] for cell in cells if cell[0] == "a"] == [cell[1] for cell in cells[12:]]
    assert len(cells) == 24
    assert (cells[0][1], cells[11][1]) == ("1", "48")
    assert {cell[4] for cell in cells} == {"last value"}
    assert (
        formatting.unbeaten_outputs(beside)
        == "for 58 of 96 targets a baseline is as good or better"
    )
