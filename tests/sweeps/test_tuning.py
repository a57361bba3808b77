"""Settings that each depth has at its own best: what is tried, what goes on, what is chosen."""

import json

import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import load_file

import lstmcli
from lstmcli import api
from lstmcli.reporting import plot, sections, sweep_page
from lstmcli.sweeps import load, rounds, run, tuning, workers
from lstmcli.utils.errors import UsageError
from sweeping import in_this_process, with_losses, without_times

RATES = [0.03, 0.1, 0.3, 1.0]
BEST = {1: 0.3, 2: 0.1, 3: 1.0}
"""The rate with which each depth gets lowest, in what is invented here."""


def loss(setting, seed, epoch):
    """Falls with the epochs, to where it depends on how far the rate is from its depth's best."""
    rate, depth = setting.config.training.learning_rate, setting.config.model.layers
    off = abs(np.log(rate / BEST[depth]))
    return float(0.05 / depth + 0.05 * off + 0.3 / epoch + 0.001 * np.sin(seed * depth))


@pytest.fixture
def sweep(monkeypatch, tmp_path):
    """A sweep of invented losses; gives its result and the settings that were trained."""
    trained = []

    def started(self, settings):
        trained.extend(settings)
        return with_losses(loss)(self, settings)

    monkeypatch.setattr(workers.LocalWorkers, "run", started)
    monkeypatch.setattr(plot, "write_all", lambda *_: None)

    def sweep(out="s", **settings):
        trained.clear()
        known = {"layers": [1, 2, 3], "seeds": 8, "epochs": 40, "series_length": 1500}
        return lstmcli.sweep(tmp_path / out, **known | settings), list(trained)

    return sweep


def test_a_ladder_goes_by_factors_of_about_three_around_the_default():
    assert tuning.ladder(0.3) == [0.03, 0.1, 0.3, 1.0]
    assert tuning.ladder(0.005) == [0.0005, 0.002, 0.005, 0.02]


def test_a_sweep_tunes_its_learning_rate_unless_one_is_given():
    plan = api.plan_of({"layers": [1, 2], "seeds": 2})
    assert plan.tuned == ("learning_rate",)
    assert {each.config.training.learning_rate for each in plan.settings} == set(RATES)
    assert api.plan_of({"layers": [1, 2], "learning_rate": 0.3}).tuned == ()
    assert api.plan_of({"layers": [1, 2]}, {"training": {"learning_rate": 0.3}}).tuned == ()


@pytest.mark.parametrize(
    ("tune", "match"),
    [("learning-rate", "a setting and its values"), ("learning-rate=0.1", "0.1 alone"),
     ("layers=1,2", "cannot tune 'layers'"), ("rate=1,2", "cannot tune 'rate'"),
     ("learning-rate=a,b", "takes a list such as"), ("seed=1,2", "cannot tune 'seed'")],
)  # fmt: skip
def test_what_cannot_be_tuned_is_refused(tune, match):
    with pytest.raises(UsageError, match=match):
        api.plan_of({"layers": [1, 2]}, tune=[tune])


def test_a_setting_that_is_given_and_tuned_is_refused():
    with pytest.raises(UsageError, match="both given"):
        api.plan_of({"learning_rate": 0.1}, tune={"learning_rate": RATES})


def test_each_depth_is_compared_at_its_own_best_rate(sweep):
    result, _ = sweep()
    assert dict(zip(result.summary.layers, result.summary.learning_rate, strict=True)) == BEST
    # What is compared are these trials alone: the mean, by hand, of what was invented.
    trials = result.trials
    for row in result.summary.itertuples():
        own = trials[(trials.layers == row.layers) & (trials.status == "completed")]
        assert set(own.learning_rate) == {BEST[row.layers]}
        assert list(own.seed) == list(range(8))
        assert row.mean == pytest.approx(own.test_loss.mean())
    assert "3 layers" in result.answer


def test_what_is_clearly_behind_is_dropped_after_a_quarter_of_its_epochs(sweep):
    result, _ = sweep()
    trials = result.trials
    dropped = trials[trials.status == "dropped"]
    assert len(dropped)
    assert set(dropped.epochs) == {10}
    assert dropped.test_loss.isna().all()
    assert not len(result.failed)
    left = trials[trials.status == "tried"].groupby("layers").learning_rate.nunique()
    assert (left >= 2).all()
    curves = result.curves.groupby(["layers", "learning_rate", "seed"]).epoch.max()
    assert set(curves[(1, 0.03)]) == {10}
    assert set(curves[(1, 0.3)]) == {40}


def test_the_seeds_that_are_compared_are_others_than_those_that_choose(sweep):
    result, trained = sweep(seeds=12)
    compared = [each for each in trained if min(each.trials) < 12]
    assert {each.keys["layers"]: each.keys["learning_rate"] for each in compared} == BEST
    assert (result.summary.seeds == 12).all()
    choosing = result.trials[result.trials.status.isin(["tried", "dropped"])]
    assert set(choosing.seed) == {10_000, 10_001, 10_002, 10_003}
    assert choosing.test_loss.isna().all()


def test_a_validation_that_disagrees_with_the_test_decides(monkeypatch, tmp_path):
    def validated(self, settings):
        for setting, rows in with_losses(loss)(self, settings):
            yield (
                setting,
                [row | {"test_loss": row["test_loss"] and 0.5 - row["test_loss"]} for row in rows],
            )

    monkeypatch.setattr(workers.LocalWorkers, "run", validated)
    found = lstmcli.sweep(tmp_path / "s", layers=[1, 2], seeds=5, epochs=8, series_length=1500)
    assert list(found.summary.learning_rate) == [BEST[1], BEST[2]]


def test_more_values_go_on_with_the_same_sweep(sweep):
    first, _ = sweep(tune={"learning_rate": [0.03, 0.1]})
    assert list(first.summary.learning_rate) == [0.1, 0.1, 0.1]
    second, trained = sweep(tune={"learning_rate": [0.03, 0.1, 0.3]})
    assert {each.keys["learning_rate"] for each in trained if each.tuning} == {0.3}
    assert list(second.summary.learning_rate) == [0.3, 0.1, 0.3]
    # And back with the shorter list: nothing is trained, and what is there still counts.
    third, trained = sweep(tune={"learning_rate": [0.03, 0.1]}, seeds=9)
    assert not any(each.tuning for each in trained)
    assert list(third.summary.learning_rate) == [0.3, 0.1, 0.3]


def test_two_settings_are_tuned_as_their_product(sweep):
    result, _ = sweep(tune={"learning_rate": [0.1, 0.3], "dropout": [0.1, 0.2]})
    assert len(result.trials[["learning_rate", "dropout"]].drop_duplicates()) == 4
    assert list(result.summary.learning_rate) == [0.3, 0.1, 0.3]


@pytest.mark.parametrize("ended", [1, 12, 19, 20])
def test_a_sweep_that_was_stopped_goes_on_as_if_it_had_not_been(sweep, monkeypatch, ended):
    whole, _ = sweep("a/whole", seeds=12)
    calls = workers.LocalWorkers.run

    def stops(self, settings):
        for each in calls(self, settings):
            if stops.left == 0:
                raise KeyboardInterrupt
            stops.left -= 1
            yield each

    stops.left = ended
    monkeypatch.setattr(workers.LocalWorkers, "run", stops)
    with pytest.raises(KeyboardInterrupt):
        sweep("b/torn", seeds=12)
    monkeypatch.setattr(workers.LocalWorkers, "run", calls)
    again, _ = sweep("b/torn", seeds=12)
    for name in ("trials.csv", "summary.csv", "curves.csv"):
        assert without_times(again.directory / name).equals(without_times(whole.directory / name))


def test_trials_of_a_sweep_beside_it_are_taken_but_not_what_it_dropped(sweep):
    sweep("one", learning_rate=0.3)
    _, trained = sweep("two")
    rates = {each.keys["learning_rate"] for each in trained if not each.tuning}
    assert rates == {0.1, 1.0}  # And 0.3, the best of one layer, is there.
    _, trained = sweep("three", learning_rate=0.03)
    assert {each.config.training.learning_rate for each in trained} == {0.03}


def test_a_trial_that_was_paused_has_the_bits_of_a_run_of_its_own(monkeypatch, tmp_path):
    monkeypatch.setattr(workers.LocalWorkers, "run", in_this_process)
    tiny = {"series_length": 1500, "epochs": 4}
    found = lstmcli.sweep(
        tmp_path / "s", layers=[1], seeds=2, tune={"learning_rate": [0.01, 0.1, 0.5]}, **tiny
    )
    best = found.trials[found.trials.status == "tried"].iloc[-1]
    alone = lstmcli.train(
        tmp_path / "r", layers=1, seed=int(best.seed), learning_rate=best.learning_rate, **tiny
    )
    swept = load_file(found.directory / best.run_dir / "checkpoints" / "last.safetensors")
    own = load_file(alone.directory / "checkpoints" / "last.safetensors")
    for name, tensor in own.items():
        np.testing.assert_array_equal(swept[name][best.seed - 10_000 : best.seed - 9_999], tensor)
    assert json.loads((found.directory / best.run_dir / "run.json").read_text())["resumed"]
    curves = pd.read_csv(alone.directory / "metrics.csv")
    same = found.curves[
        (found.curves.learning_rate == best.learning_rate) & (found.curves.seed == best.seed)
    ]
    np.testing.assert_array_equal(same.val_loss, curves.val_loss)


def clear(setting, seed, epoch):
    """Two layers are needed, and no more."""
    depth = setting.config.model.layers
    return {1: 0.5, 2: 0.02, 3: 0.02}[depth] + 0.0001 * ((seed * 7 + depth) % 5)


SEEDS_DIFFER = np.random.default_rng(0).normal(size=(20, 3))


def vague(setting, seed, epoch):
    """All depths are alike, and seeds differ by about the margin."""
    return 0.1 + 0.01 * float(SEEDS_DIFFER[seed, setting.config.model.layers - 1])


@pytest.fixture
def needed(monkeypatch, tmp_path):
    """A sweep of given losses that takes seeds as needed; gives its result, and what it trained."""
    trained = []

    def needed(loss, out="s", **settings):
        def started(*args):
            for setting, rows in with_losses(loss)(*args):
                trained.append(setting)
                yield setting, rows

        trained.clear()
        monkeypatch.setattr(workers.LocalWorkers, "run", started)
        monkeypatch.setattr(plot, "write_all", lambda *_: None)
        known = {"layers": [1, 2, 3], "epochs": 8, "series_length": 1500, "learning_rate": 0.3}
        if "tune" in settings:
            del known["learning_rate"]
        return lstmcli.sweep(tmp_path / out, **known | settings), list(trained)

    return needed


def test_seeds_stop_at_the_first_look_where_the_answer_is_clear(needed):
    result, trained = needed(clear)
    assert {seed for each in trained for seed in each.trials} == set(range(8))
    assert list(result.summary.layers[result.summary.enough]) == [2, 3]
    [part] = result.parts
    assert any("the first look of 3" in each for each in part.caveats)


def test_seeds_go_on_to_the_last_look_where_it_is_not(needed):
    result, _ = needed(vague)
    assert set(result.summary.seeds) == {20}
    [part] = result.parts
    assert any("the third look of 3" in each for each in part.caveats)


def test_tuned_depths_take_seeds_as_needed_too(needed):
    result, _ = needed(clear, tune={"learning_rate": [0.1, 0.3]})
    assert set(result.summary.seeds) == {8}
    assert list(result.summary.layers[result.summary.enough]) == [2, 3]


@pytest.mark.parametrize("ended", [2, 3, 4, 7])
def test_a_sweep_that_was_stopped_between_looks_goes_on_as_if_it_had_not_been(
    needed, monkeypatch, ended
):
    whole, _ = needed(vague, "a/s")

    def stops(setting, seed, epoch):
        stops.calls += setting.config.training.epochs == epoch and seed == min(setting.trials)
        if stops.calls > 4 * ended:  # Of its losses a trial is asked four times.
            raise KeyboardInterrupt
        return vague(setting, seed, epoch)

    stops.calls = 0
    with pytest.raises(KeyboardInterrupt):
        needed(stops, "b/s")
    again, _ = needed(vague, "b/s")
    for name in ("trials.csv", "summary.csv"):
        assert without_times(again.directory / name).equals(without_times(whole.directory / name))


def test_seeds_that_are_there_are_not_looked_at_as_if_they_were_not(needed):
    needed(clear, seeds=20)
    result, trained = needed(clear)
    assert not trained
    assert set(result.summary.seeds) == {20}


def test_where_a_rate_is_as_good_as_can_be_told_none_is_trained_any_longer(needed):
    """Three of four rates end within the margin of the floor, which is 0 here."""

    def near(setting, seed, epoch):
        return 0.3 if setting.config.training.learning_rate == 0.03 else 0.001 / epoch

    tune = {"learning_rate": [0.03, 0.1, 0.3, 1.0]}
    result, trained = needed(near, tune=tune, epochs=40, seeds=8)
    choosing = result.trials[result.trials.test_loss.isna()]
    assert set(choosing.status) == {"tried"}
    assert set(choosing.epochs) == {10}
    assert not any(each.tuning and each.until is None for each in trained)
    assert set(result.summary.learning_rate) == {0.1}
    assert not len(result.failed)
    far, _ = needed(lambda *args: 0.1 + near(*args), "far", tune=tune, epochs=40, seeds=8)
    assert set(far.trials.epochs[far.trials.status == "tried"]) == {40}


def test_seeds_that_choose_are_not_counted_among_those_that_are_compared(sweep):
    result, _ = sweep(seeds=5)
    assert load.read(result.directory).seeds == 5
    [row] = lstmcli.runs(result.directory.parent).to_dict("records")
    assert row["seeds"] == 5
    again = sections.commands_of_sweep(
        result.directory,
        sweep_page._config(load.read(result.directory)),
        load.read(result.directory),
    )
    assert "--seeds 5 --tune learning-rate=0.03,0.1,0.3,1 " in str(again)


@pytest.mark.parametrize("tune", [{"learning_rate": [0.1, 0.3, 1.0]}, {"state_size": [2, 4, 8]}])
def test_every_setting_that_is_waited_for_ends_and_no_time_is_left(monkeypatch, tmp_path, tune):
    monkeypatch.setattr(workers.LocalWorkers, "run", with_losses(loss))
    small = {"layers": [1, 2], "seeds": 5, "epochs": 8, "series_length": 1500}
    plan = api.plan_of(small, tune=tune)
    with run.opened(plan, tmp_path / "s") as directory:
        awaited = {each.shown for each, _ in rounds.ahead(plan, directory)}
        ended = [each for each in run.run(plan, directory) if each.ended]
        assert {each.name for each in ended} == awaited
        assert ended[-1].left == 0
        assert rounds.ahead(plan, directory) == []
    paused = [each for each in ended if each.phase == "dropped"]
    assert all(each.solved is None for each in paused)
