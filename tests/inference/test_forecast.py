"""`lstmcli forecast` beside a loop by hand, and its intervals beside what they promise."""

import io
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from bad_files import make_run
from lstmcli.core import numpy_lstm
from lstmcli.data.baselines import autoregression
from lstmcli.inference import forecast as forecasting
from lstmcli.training import load
from streaming import draw_weights

ROWS = 900


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("forecast")
    rng = np.random.default_rng(2)
    steps = np.arange(ROWS)
    level = 50 + 4 * np.sin(steps / 6) + rng.normal(size=ROWS).cumsum() / 4
    table = pd.DataFrame(
        {
            "time": pd.date_range("2022-01-01", periods=ROWS, freq="h"),
            "level": level.round(3),
            "flow": (rng.normal(size=ROWS) + level / 10).round(3),
            "rain": rng.choice(["no", "some", "much"], ROWS),
            "state": np.where(level > level.mean(), "high", "low"),
        }
    )
    table.to_csv(place / "table.csv", index=False)
    table[["time", "level", "flow"]].to_csv(place / "two.csv", index=False)
    return place


MODELS = {
    "level": {"target": "level", "inputs": "level", "horizon": 1, "predict": "level"},
    "change": {"target": "level", "inputs": "level", "horizon": 1, "predict": "change"},
    "residual": {"target": "level", "inputs": "level", "horizon": 1, "predict": "residual"},
    "far": {"target": "level", "inputs": "level", "horizon": 4, "predict": "change"},
    "far_residual": {"target": "level", "inputs": "level", "horizon": 3, "predict": "residual"},
    "range": {"target": "level", "inputs": "level", "horizon": "1-3", "predict": "change"},
    "calendar": {"target": "level", "inputs": "level", "horizon": 1, "calendar": "hour,weekday"},
    "both": {"data": "two.csv", "target": "level,flow", "horizon": "1-2", "predict": "residual"},
}
MORE = {
    "others": {"target": "level", "horizon": 1},
    "same": {"target": "level", "inputs": "flow,rain"},
    "classes": {"target": "state", "inputs": "state", "horizon": 1},
}


@pytest.fixture
def enter(folder, monkeypatch):
    """Makes a model with drawn weights, once, and goes to where it is."""

    def go(kind):
        monkeypatch.chdir(folder)
        if not Path(kind).exists():
            settings = {"data": "table.csv", **(MODELS | MORE)[kind]}
            make_run(Path(kind), **settings, layers=2, state_size=4)
            draw_weights(Path(kind))
        return kind

    return go


def table_of(text):
    return pd.read_csv(io.StringIO(text))


def by_hand(kind, steps, end=ROWS):
    """A loop that feeds back what is predicted, a step and a number at a time: `[steps, targets]`.

    Of the recording up to a step. It knows scales and weights, and makes inputs of its own.
    """
    _, model = load.read_own_checkpoint(Path(kind))
    schema, leads = model.schema, list(model.config.data.leads)
    frame = pd.read_csv("two.csv", parse_dates=["time"])[:end]
    times = pd.date_range(frame.time[0], periods=end + steps, freq="h")
    names = [column.name for column in schema.target[:: len(leads)]]
    known = {name: list(frame[name]) for name in names}
    network = numpy_lstm.network(model.tensors, 0, schema.spec(False, False))
    state = numpy_lstm.zero_state(network, 1)
    seen, found, step = [], {}, 0
    made = {
        "hour_sin": lambda at: np.sin(2 * np.pi * at.hour / 24),
        "hour_cos": lambda at: np.cos(2 * np.pi * at.hour / 24),
        "weekday_sin": lambda at: np.sin(2 * np.pi * at.day_of_week / 7),
        "weekday_cos": lambda at: np.cos(2 * np.pi * at.day_of_week / 7),
    }
    while len(found) < steps or step < end:
        values = [
            made[column.name](times[step]) if column.name in made else known[column.name][step]
            for column in schema.numbers
        ]
        scales = schema.numbers
        numbers = [(v - c.mean) / c.scale for v, c in zip(values, scales, strict=True)]
        seen.append(np.array(numbers, np.float32))
        logits, state = numpy_lstm.step(network, state, np.zeros((1, 0), int), seen[-1][np.newaxis])
        for place, column in enumerate(schema.target):
            value = float(logits[0, place])
            last = (known[column.name][step] - column.mean) / column.scale
            if schema.predicts != "level":
                value += last
            if schema.autoregression:
                linear = schema.autoregression
                value += linear.intercept[place]
                for lag, weights in enumerate(linear.weights):
                    value += float(seen[max(0, step - lag)] @ weights[:, place])
            lead, name = leads[place % len(leads)], column.name
            ahead = step + lead - end + 1
            # A range gives all of its steps, then reads them, and goes on from the last one.
            if ahead >= 1 and (len(leads) == 1 or (step - end + 1) % len(leads) == 0):
                found.setdefault(ahead, {})[name] = value * column.scale + column.mean
        step += 1
        if step >= end and step - end + 1 in found:
            for name in names:
                known[name].append(found[step - end + 1][name])
    return np.array([[found[ahead][name] for name in names] for ahead in range(1, steps + 1)])


@pytest.mark.parametrize("kind", MODELS)
def test_a_forecast_is_what_a_loop_by_hand_gives(kind, enter, run):
    enter(kind)
    found = table_of(run("forecast", kind, "--steps", 11).stdout)
    expected = by_hand(kind, 11)
    given = found.filter(regex="^prediction").to_numpy()
    np.testing.assert_allclose(given, expected, rtol=1e-5, atol=1e-5)
    assert list(found.columns[1:4]) == (
        ["prediction", "low", "high"]
        if expected.shape[1] == 1
        else ["prediction_level", "low_level", "high_level"]
    )
    times = pd.date_range("2022-01-01", periods=ROWS + 11, freq="h")[ROWS:]
    assert list(pd.to_datetime(found.time)) == list(times)


@pytest.mark.parametrize("kind", ["far", "range", "residual"])
def test_forecasts_from_many_steps_at_once_are_those_from_each(kind, enter):
    enter(kind)
    opened = forecasting.open_model(Path(kind), None)
    part = opened.source.splits.test
    found = forecasting.errors_of(opened.roller, part, 6, most=3)
    for origin, values, came in zip(found.origins, found.forecasts, found.truth, strict=True):
        np.testing.assert_allclose(values, by_hand(kind, 6, origin + 1), rtol=1e-5, atol=1e-5)
        levels = pd.read_csv("table.csv").level[origin + 1 : origin + 7]
        known = np.isfinite(came[:, 0])
        np.testing.assert_allclose(came[known, 0][: len(levels)], levels[: known.sum()], rtol=1e-5)


def test_the_default_is_what_the_past_is_enough_for(enter, run):
    assert len(table_of(run("forecast", enter("far")).stdout)) == 4
    assert len(table_of(run("forecast", enter("others")).stdout)) == 1


def test_inputs_that_nobody_knows_are_refused_or_taken_from_a_file(enter, run):
    kind = enter("others")
    refused = run("forecast", kind, "--steps", 5, exit_code=2).stderr
    assert "not known beyond the end of the data: `flow`, `rain`, `state`" in refused
    assert "`--future FILE`; or pass `--steps 1`" in refused
    future = pd.read_csv("table.csv")[-8:].drop(columns=["level", "time"])
    future.to_csv("future.csv", index=False)
    found = run("forecast", kind, "--steps", 5, "--future", "future.csv")
    assert len(table_of(found.stdout)) == 5
    assert "true values of `flow`, `rain`, `state`" in found.stderr
    future.assign(rain="hail")[:3].to_csv("short.csv", index=False)
    refused = run("forecast", kind, "--steps", 5, "--future", "short.csv", exit_code=4).stderr
    assert "`short.csv` has 3 rows, and inputs are needed for 4 steps" in refused
    future.drop(columns="flow").to_csv("lacks.csv", index=False)
    refused = run("forecast", kind, "--steps", 5, "--future", "lacks.csv", exit_code=4).stderr
    assert "`lacks.csv` has no column `flow`" in refused


def test_inputs_of_steps_that_are_known_already_are_not_taken_for_later_ones(enter, run):
    kind = enter("others")
    pd.read_csv("table.csv")[-8:].to_csv("known.csv", index=False)
    refused = run("forecast", kind, "--steps", 5, "--future", "known.csv", exit_code=4).stderr
    last = pd.read_csv("table.csv").time.iloc[-1]
    assert "`known.csv`, line 2, column `time`: expected a step after the end" in refused
    assert f"the data, `{last}`, got `" in refused
    later = pd.date_range(last, periods=9, freq="h")[1:]
    pd.read_csv("known.csv").assign(time=later).to_csv("later.csv", index=False)
    found = table_of(run("forecast", kind, "--steps", 5, "--future", "later.csv").stdout)
    assert list(pd.to_datetime(found.time)) == list(later[:5])


def test_a_target_that_is_empty_at_the_end_is_told(enter, run):
    kind = enter("level")
    table = pd.read_csv("table.csv")
    assert "is empty in the last" not in run("forecast", kind, "--data", "table.csv").stderr
    table.loc[len(table) - 3 :, "level"] = None
    table.to_csv("open_end.csv", index=False)
    told = run("forecast", kind, "--data", "open_end.csv").stderr
    assert "the target is empty in the last 3 rows of `open_end.csv`" in told


def test_no_part_is_forecast_beyond_its_end(enter, monkeypatch):
    opened = forecasting.open_model(Path(enter("level")), None)
    part, asked = opened.source.splits.validation, []
    roll = type(opened.roller).roll
    monkeypatch.setattr(
        type(opened.roller),
        "roll",
        lambda roller, inputs, origins, steps: (
            asked.append(steps) or roll(roller, inputs, origins, steps)
        ),
    )
    found = forecasting.errors_of(opened.roller, part, 3 * len(part))
    assert asked[0] <= len(part)
    assert found.errors.shape[1] == 3 * len(part)
    assert np.isnan(found.errors[:, len(part) :]).all()


def test_a_model_of_the_same_step_forecasts_from_its_inputs_alone(enter, run):
    kind = enter("same")
    assert "`--future FILE`" in run("forecast", kind, exit_code=2).stderr
    whole = pd.read_csv("table.csv")
    whole[:600].to_csv("first.csv", index=False)
    whole[600:][["rain", "flow"]].to_csv("rest.csv", index=False)
    options = ("--data", "first.csv", "--future", "rest.csv", "--steps", 300)
    found = table_of(run("forecast", kind, *options).stdout)
    expected = table_of(run("predict", kind, "table.csv").stdout)
    np.testing.assert_allclose(found.prediction, expected.prediction[600:], rtol=1e-5)


def test_classes_come_with_probabilities(enter, run):
    found = table_of(run("forecast", enter("classes"), "--steps", 6).stdout)
    assert list(found) == ["time", "prediction", "probability"]
    predicted = table_of(run("predict", "classes", "table.csv").stdout)
    assert found.prediction[0] == predicted.prediction.iloc[-1]
    assert found.probability[0] == pytest.approx(predicted.probability.iloc[-1], abs=1e-6)


def test_text_sequences_and_drawn_series_are_told_where_to_go(run, tmp_path):
    (tmp_path / "book.txt").write_text("to be or not to be, that is the question\n" * 40)
    table = pd.DataFrame({"id": np.arange(600) // 20, "x": np.arange(600) % 7, "y": 1.5})
    table["y"] = np.sin(table.x)
    table.to_csv("groups.csv", index=False)
    for name, settings, expected in [
        ("text", {"data": "book.txt"}, "`lstmcli sample"),
        ("groups", {"data": "groups.csv", "target": "y", "group": "id"}, "`lstmcli predict"),
        ("echo", {"series_length": 1500}, "`lstmcli predict"),
    ]:
        make_run(Path(name), **settings)
        assert expected in run("forecast", name, exit_code=4).stderr


# --- intervals


def test_the_quantiles_are_those_of_split_conformal_prediction():
    errors = np.random.default_rng(0).permutation(np.arange(1.0, 100))[:, np.newaxis]
    low, high, counts = forecasting.quantiles(errors)
    assert (low[0], high[0], counts[0]) == (10, 90, 99)  # The 10th and the 90th of 99.
    errors[:90] = np.nan
    low, high, counts = forecasting.quantiles(errors)
    there = errors[90:]
    assert (low[0], high[0], counts[0]) == (there.min(), there.max(), 9)
    errors[90] = np.nan
    low, high, counts = forecasting.quantiles(errors)
    assert np.isnan([low[0], high[0]]).all()  # Of 8, the extremes hold 7 in 9 at most.
    low, high, counts = forecasting.quantiles(np.full((5, 1), np.nan))
    assert np.isnan([low[0], high[0]]).all()
    assert counts[0] == 0


def test_intervals_hold_as_much_as_they_promise_where_that_is_known():
    """Of exchangeable errors, whatever their distribution: 80 % on the average of calibrations."""
    rng = np.random.default_rng(1)
    shares = []
    for draw in (rng.standard_normal, rng.standard_exponential, rng.standard_cauchy):
        for _ in range(300):
            low, high, _ = forecasting.quantiles(draw((99, 4)))
            shares.append(forecasting.covered(draw((200, 4)), low, high)[0])
    for begin in range(0, 900, 300):
        assert np.mean(shares[begin : begin + 300]) == pytest.approx(0.8, abs=0.01)


def test_errors_that_overlap_count_for_fewer_so_that_intervals_hold_what_they_promise():
    """Twelve steps ahead on a random walk 60 errors say as much as 5; plainly taken, 70 %."""
    rng, plain, blocks = np.random.default_rng(1), [], []
    for _ in range(200):
        walk = rng.normal(size=1_072).cumsum()
        errors = (walk[12:] - walk[:-12])[:, np.newaxis]
        for overlap, shares in ((1.0, plain), (12.0, blocks)):
            low, high, _ = forecasting.quantiles(errors[:60], overlap)
            shares.append(forecasting.covered(errors[72:], low, high)[0])
    assert np.mean(plain) < 0.72
    assert 0.8 < np.mean(blocks) < 0.9


def test_intervals_of_a_random_walk_grow_as_its_steps_do(run, tmp_path):
    """Of a model that says the last value, in a walk of known steps: 1.28 times their deviation."""
    rng = np.random.default_rng(3)
    pd.DataFrame({"y": rng.normal(size=6000).cumsum()}).to_csv("walk.csv", index=False)
    make_run(
        Path("run"), data="walk.csv", target="y", horizon=1, predict="change", val_fraction=0.4
    )
    path, model = load.read_own_checkpoint(Path("run"))
    for name in ("dense.kernel", "dense.bias"):
        model.tensors[name][...] = 0
    model.write(path)
    result = run("forecast", "run", "--steps", 9)
    found = table_of(result.stdout)
    widths = (found.high - found.low).to_numpy() / (2 * 1.2816)
    np.testing.assert_allclose(widths, np.sqrt(np.arange(1, 10)), rtol=0.3)
    [note] = [line for line in result.stderr.splitlines() if "test part" in line]
    assert 0.7 < float(note.split("contained ")[1].split("%")[0]) / 100 < 0.9
    assert (found.step == 6000 + np.arange(9)).all()


# --- the index, and files


@pytest.mark.parametrize(
    ("frequency", "rows"),
    [("MS", 60), ("ME", 60), ("QS", 40), ("D", 90), ("15min", 200), ("B", 99)],
)
def test_dates_go_on_at_their_own_distance(frequency, rows, run, tmp_path):
    times = pd.date_range("2015-01-31", periods=rows + 7, freq=frequency)
    y = np.sin(np.arange(rows))
    pd.DataFrame({"when": times[:rows], "y": y}).to_csv("dates.csv", index=False)
    make_run(Path("run"), data="dates.csv", target="y", horizon=1, batch_size=1, bptt=5)
    found = table_of(run("forecast", "run", "--steps", 7).stdout)
    assert list(pd.to_datetime(found.when)) == list(times[rows:])


def test_dates_end_with_the_calendar(run, tmp_path):
    years = pd.date_range("1960-01-01", periods=60, freq="YS")
    pd.DataFrame({"when": years, "y": np.sin(np.arange(60))}).to_csv("dates.csv", index=False)
    make_run(Path("run"), data="dates.csv", target="y", horizon=1, batch_size=1, bptt=5)
    refused = run("forecast", "run", "--steps", 8_000, exit_code=2).stderr
    assert "`--steps 8000` goes beyond the last year that dates can have" in refused


def test_numbers_that_order_rows_go_on_too(run, tmp_path):
    table = pd.DataFrame({"t": 5 + 3 * np.arange(200), "y": np.sin(np.arange(200))})
    table.to_csv("numbers.csv", index=False)
    make_run(Path("run"), data="numbers.csv", target="y", horizon=1, index="t", batch_size=1)
    found = table_of(run("forecast", "run", "--steps", 3).stdout)
    assert list(found.t) == [605, 608, 611]


@pytest.mark.figures
def test_the_table_and_the_figure_are_written_and_replace_nothing_else(enter, run):
    kind = enter("calendar")
    shown = run("forecast", kind, "--steps", 24, "--output", "next.csv").stdout
    assert Path("next.csv").read_text() == shown
    for name in ("next.png", "next.svg"):
        run("forecast", kind, "--steps", 24, "--output", name)
        assert Path(name).stat().st_size > 5000
    svg = Path("next.svg").read_text()
    assert svg.startswith("<?xml")
    Path("mine.csv").write_text("a,b\n1,2\n")
    for name in ("mine.csv", "table.csv"):
        before = Path(name).read_bytes()
        assert "holds no forecast" in run("forecast", kind, "--output", name, exit_code=2).stderr
        assert Path(name).read_bytes() == before


def test_a_file_that_has_changed_is_named_and_can_be_gone_on_with(enter, run, folder):
    kind = enter("level")
    whole = Path("table.csv").read_text()
    longer = whole + "2022-02-07 12:00:00,51.5,5.1,no,high\n"
    try:
        Path("table.csv").write_text(longer)
        refused = run("forecast", kind, exit_code=4).stderr
        assert "`--data FILE`" in refused
        found = run("forecast", kind, "--data", "table.csv", "--steps", 2)
        assert table_of(found.stdout).time[0] == "2022-02-07 13:00:00"
        assert "no intervals" in found.stderr
    finally:
        Path("table.csv").write_text(whole)


def test_the_linear_baseline_is_fed_back_as_a_network_is(enter):
    """A roller without networks is its autoregression alone."""
    enter("residual")
    opened = forecasting.open_model(Path("residual"), None)
    series, schema = opened.series, opened.schema
    roller = forecasting.Roller(schema, [1], [], schema.autoregression)
    found = roller.roll(forecasting.Inputs.of(series), np.array([500, ROWS - 1]), 1)
    expected = autoregression.predict(schema.autoregression, series, np.array([500, ROWS - 1]))
    np.testing.assert_allclose(found[:, 0], schema.target[0].in_units(expected), rtol=1e-6)


# --- backtests


def test_a_backtest_is_what_pandas_and_loops_by_hand_make_of_the_test_part(enter, run):
    kind = enter("change")
    found = json.loads(run("eval", kind, "--ahead", 5, "--json").stdout)
    table = pd.DataFrame(found["results"]).set_index(["predictor", "ahead"])
    level = pd.read_csv("table.csv").level
    begin = ROWS - ROWS // 10
    origins = range(begin - 1, ROWS - 1)
    assert (found["origins"], found["ahead"]) == (len(origins), 5)
    for step in (1, 3, 5):
        came = level[[origin + step for origin in origins if origin + step < ROWS]].to_numpy()
        count = len(came)
        errors = {
            "last value": came - level[list(origins)[:count]].to_numpy(),
            "seasonal naive (24 steps ago)": came - level.shift(24)[-count:].to_numpy(),
        }
        for name, its in errors.items():
            row = table.loc[(name, step)]
            assert row["count"] == count
            assert row.rmse == pytest.approx(np.sqrt(np.mean(its**2)), rel=1e-5)
            assert row.mae == pytest.approx(np.abs(its).mean(), rel=1e-5)
    predicted = table_of(run("predict", kind, "table.csv").stdout).prediction.to_numpy()
    errors = level[begin:].to_numpy() - predicted[begin - 1 : -1]
    rmse = np.sqrt(np.mean(np.square(errors)))
    assert table.loc[("seed 0", 1)].rmse == pytest.approx(rmse, rel=1e-5)


def test_the_linear_autoregression_of_a_backtest_is_fed_back(enter, run):
    """Beside a loop by hand: lags of the level, each a number."""
    kind = enter("residual")
    found = json.loads(run("eval", kind, "--ahead", 3, "--json").stdout)
    table = pd.DataFrame(found["results"]).set_index(["predictor", "ahead"])
    _, model = load.read_own_checkpoint(Path(kind))
    [given], [target] = model.schema.numbers, model.schema.target
    linear = model.schema.autoregression
    level = pd.read_csv("table.csv").level.to_numpy()
    errors = []
    for origin in range(ROWS - ROWS // 10 - 1, ROWS - 3):
        past = list(level[: origin + 1])
        for _ in range(3):
            lags = [
                (past[-1 - lag] - given.mean) / given.scale for lag in range(len(linear.weights))
            ]
            change = linear.intercept[0] + np.dot(lags, linear.weights[:, 0, 0])
            past.append(past[-1] + change * target.scale)
        errors.append(level[origin + 3] - past[-1])
    expected = np.sqrt(np.mean(np.square(errors)))
    assert table.loc[("linear autoregression", 3)].rmse == pytest.approx(expected, rel=1e-4)


@pytest.mark.figures
def test_a_backtest_is_a_table_and_a_figure(enter, run):
    shown = run("eval", enter("both"), "--ahead", 30, "--output", "errors.svg").stdout
    assert "forecast from 90 of its steps" in shown
    assert "rmse of level, in its own units, by steps ahead:" in shown
    assert "rmse of flow, in its own units, by steps ahead:" in shown
    assert shown.splitlines()[-1].split()[0] == "all"
    assert Path("errors.svg").stat().st_size > 5000


def test_a_backtest_takes_another_file_whole_and_every_seed(enter, run):
    enter("level")
    pd.read_csv("table.csv")[300:420].to_csv("piece.csv", index=False)
    make_run(Path("seeds"), data="table.csv", **MODELS["range"], replicas=2)
    found = json.loads(run("eval", "seeds", "--ahead", 7, "--data", "piece.csv", "--json").stdout)
    table = pd.DataFrame(found["results"])
    assert list(dict.fromkeys(table.predictor))[:3] == ["seed 0", "seed 1", "last value"]
    assert found["origins"] == 119
    assert found["data"] == "piece.csv"


def test_what_cannot_be_backtested_is_named(enter, run):
    assert "predicts classes" in run("eval", enter("classes"), "--ahead", 2, exit_code=2).stderr
    for options, expected in [
        (("--ahead", 0), "must be at least 1"),
        (("--output", "x.png"), "no effect without `--ahead`"),
        (("--ahead", 2, "--predictions", "p.csv"), "no effect with `--ahead`"),
        (("--ahead", 2, "--output", "x.txt"), "must end with"),
    ]:
        assert expected in run("eval", enter("level"), *options, exit_code=2).stderr
