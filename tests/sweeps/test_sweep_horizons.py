"""A sweep of horizons: how far ahead is as much a setting as how deep."""

import numpy as np
import pandas as pd
import pytest

from lstmcli import api
from lstmcli.sweeps import tables, trial

SMALL = {"layers": 1, "state_size": 4, "bptt": 8, "epochs": 2, "seeds": 1, "learning_rate": 0.01}


@pytest.fixture(scope="module")
def walk(tmp_path_factory):
    """A random walk, of which the error grows with the root of the horizon."""
    path = tmp_path_factory.mktemp("walk") / "walk.csv"
    steps = np.random.default_rng(0).normal(size=300)
    pd.DataFrame({"y": 5 + steps.cumsum()}).to_csv(path, index=False)
    return {"data": str(path), "target": "y"}


def test_each_horizon_is_a_setting_with_targets_of_its_own(walk):
    plan = api.plan_of({**walk, **SMALL, "horizon": "1,4"})
    assert plan.swept == ["horizon"]
    assert [each.label for each in plan.settings] == ["1x4-horizon-1", "1x4-horizon-4"]
    near, far = plan.settings
    values = pd.read_csv(walk["data"]).y.to_numpy()[:240]
    for setting, horizon in ((near, 1), (far, 4)):
        assert setting.config.data.horizon == horizon
        changes = pd.read_csv(walk["data"]).y.diff(horizon).to_numpy()[horizon : 240 + horizon]
        assert setting.material.unit.columns[0].scale == pytest.approx(np.sqrt(np.mean(changes**2)))
    assert len(values) == 240
    assert plan.unit({"horizon": 4}) == far.material.unit
    assert near.material.digest != far.material.digest


def test_one_horizon_of_a_sweep_is_the_sweep_that_it_always_was(walk):
    alone = [api.plan_of({**walk, **SMALL, "horizon": given}) for given in (3, "3")]
    assert alone[0].identity == alone[1].identity
    assert alone[0].identity["data"]["horizon"] == 3
    assert alone[0].swept == []


def test_horizons_in_another_order_are_the_same_sweep(walk):
    plans = [api.plan_of({**walk, **SMALL, "horizon": given}) for given in ("4,1", [1, 4])]
    names = {trial for plan in plans for each in plan.settings for trial in each.trials.values()}
    assert len(names) == 2
    assert sorted(plans[0].identity.pop("swept")["horizon"]) == [1, 4]
    assert plans[1].identity.pop("swept") == {"horizon": [1, 4]}
    assert plans[0].identity == plans[1].identity


def test_a_trial_is_what_train_and_eval_give_at_its_horizon(walk, tmp_path):
    _, far = api.plan_of({**walk, **SMALL, "horizon": "1,4"}).settings
    table = tables.trials_table(trial.run(far, tmp_path / far.name), ["horizon"])
    assert table.horizon.tolist() == [4]
    assert table.horizon.dtype == np.int64
    alone = {name: value for name, value in SMALL.items() if name != "seeds"}
    api.train("alone", **walk, **alone, horizon=4)
    found = api.evaluate("alone")
    assert table.test_loss[0] == pytest.approx(found.scores[0].loss, rel=1e-6)
    assert table.reference_loss[0] == pytest.approx(min(each.loss for each in found.baselines))


def test_a_range_of_horizons_is_one_setting_with_an_output_for_each(walk):
    plan = api.plan_of({**walk, **SMALL, "layers": "1,2", "horizon": "1-3"})
    assert plan.swept == []
    assert [each.spec.outputs for each in plan.settings] == [3, 3]
    assert plan.identity["data"]["horizon"] == "1-3"
    assert len(plan.unit({}).columns) == 3
