"""The pictures of a sweep: what can be read off them."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from lstmcli.reporting.figures import style
from lstmcli.reporting.figures.forecast import backtest_figure, forecast_figure
from lstmcli.reporting.figures.loss import Curve, LossAxis, loss_figure
from lstmcli.reporting.figures.sweep import sweep_figures
from lstmcli.sweeps import summary
from readable import assert_readable

pytestmark = pytest.mark.figures

FLOOR, CHANCE = 0.0002, float(np.log(2))
REFERENCES = pd.DataFrame({"bayes_loss": [FLOOR], "chance": [CHANCE]})
SEEDS, EPOCHS = 4, 30


def tables(depths, swept=None, losses=lambda layers, value: FLOOR * (1 + 1 / layers), sizes=(4,)):
    """Trials, summary, curves and names of a sweep, with another floor for each swept value."""
    rng, trials, curves = np.random.default_rng(0), [], []
    name, values = swept or ("", [0])
    for value, layers, size, seed in [
        (v, d, s, k) for v in values for d in depths for s in sizes for k in range(SEEDS)
    ]:
        keys = {"layers": layers, "state_size": size, **({name: value} if name else {})}
        floor = FLOOR * (1 + value / 10)
        loss = losses(layers, value) * rng.uniform(1, 1.01)
        more = {"seed": seed, "bayes_loss": floor}
        trials.append(
            keys
            | more
            | {"test_loss": loss, "gap": loss - floor, "solved": loss < 0.007, "parameters": 1,
               "epochs_to_solve": 3, "epoch_seconds": 1.0, "chance": CHANCE, "test_accuracy": 1.0,
               "status": "completed"}
        )  # fmt: skip
        curves += [
            keys | more | {"epoch": epoch, "val_loss": loss + CHANCE * np.exp(-epoch)}
            for epoch in range(1, EPOCHS + 1)
        ]
    names = [name] if name else []
    frame = pd.DataFrame(trials).astype({"solved": "boolean"})
    return frame, summary.summarize(frame, names, 0.01)[0], pd.DataFrame(curves), names


def draw_all(found, **more):
    """The two figures, by name, as they are laid out."""
    figures = sweep_figures(*found, **more)
    for figure in figures.values():
        FigureCanvasAgg(figure).draw()
    return figures


@pytest.fixture
def drawn():
    return draw_all


def texts(axes):
    return [text.get_text() for text in axes.texts]


def test_titles_name_the_task_the_seeds_and_the_epochs(drawn):
    for figure in drawn(tables([1, 2]), task="echo after 3 steps").values():
        assert figure.get_suptitle().strip() == "Echo after 3 steps: 4 seeds, 30 epochs"
    for figure in drawn(tables([1, 2])).values():
        assert figure.get_suptitle().strip() == "4 seeds, 30 epochs"


def test_epochs_and_layers_are_whole_numbers(drawn):
    found = drawn(tables([1, 2, 3]))
    [depth], [curves] = (found[name].axes for name in ("depth", "curves"))
    assert [tick.get_text() for tick in depth.get_xticklabels()] == ["1", "2", "3"]
    assert all(float(tick).is_integer() for tick in curves.get_xticks())


def test_the_chance_stands_beside_the_floor(drawn):
    [axes] = drawn(tables([1, 2]))["curves"].axes
    assert texts(axes) == ["Bayes loss 0.0002", "chance 0.693"]
    heights = [line.get_ydata()[0] for line in axes.lines if list(line.get_xdata()) == [0, 1]]
    assert heights == pytest.approx([FLOOR, CHANCE])


def test_every_echo_step_keeps_its_floor(drawn):
    axes = drawn(tables([1, 2], ("echo_step", [0, 5, 10])))["curves"].axes
    assert [each.get_title(loc="left") for each in axes] == [f"echo step {n}" for n in (0, 5, 10)]
    assert [texts(each)[0] for each in axes] == [
        "Bayes loss 0.0002",
        "Bayes loss 0.0003",
        "Bayes loss 0.0004",
    ]


def test_floors_that_share_a_panel_are_a_band(drawn):
    found = drawn(tables([2], ("echo_step", [0, 5, 10])))
    for figure in found.values():
        [axes] = figure.axes
        assert texts(axes)[0] == "Bayes loss 0.0002-0.0004"


def test_a_sweep_that_nothing_solves_fills_its_picture(drawn):
    found = drawn(tables([1, 2, 3], losses=lambda layers, value: CHANCE * (1 - layers / 500)))
    [axes] = found["depth"].axes
    shown = np.concatenate([line.get_ydata() for line in axes.lines if line.get_marker() == "o"])
    low, high = axes.get_ylim()
    assert np.ptp(shown) > 0.4 * (high - low)
    assert "Bayes loss 0.0002 is below" in texts(axes)


def test_the_heat_map_shows_the_gap_beside_the_rate(drawn):
    def losses(layers, value):
        return FLOOR * 2 if layers * 3 >= value else CHANCE

    left, right = drawn(tables([1, 2], ("echo_step", [3, 6]), losses))["depth"].axes
    assert texts(left) == ["4/4", "0/4", "4/4", "4/4"]
    gaps = [float(text) for text in texts(right)]
    assert gaps == pytest.approx([0.00014, 0.69, 0.00014, 0.00008], rel=0.05)


@pytest.mark.parametrize("depths", [[2], [1, 2]])
@pytest.mark.parametrize("values", [["adam", "sgd"], [0.1, 0.3], list(range(8))])
def test_any_setting_can_be_swept(drawn, depths, values):
    found = tables(depths, ("setting", list(range(len(values)))))
    for table in found[:3]:
        table["setting"] = table.setting.map(dict(enumerate(values)))
    words = {f"{value:g}" if not isinstance(value, str) else value for value in values}
    for figure in drawn(found).values():
        named = [text.get_text() for axes in figure.axes for text in axes.get_xticklabels()]
        named += [axes.get_title(loc="left")[len("setting ") :] for axes in figure.axes]
        named += [text.get_text() for legend in figure.legends for text in legend.texts]
        assert words <= set(named)


def test_sizes_stand_side_by_side_over_their_depth(drawn):
    [axes] = drawn(tables([1, 2], sizes=(4, 8)))["depth"].axes
    assert [text.get_text() for text in axes.get_legend().texts] == ["state size 4", "state size 8"]
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["1", "2"]


def test_a_figure_has_no_more_room_at_its_edges_than_its_layout_leaves(drawn):
    figure = drawn(tables([1, 2, 3]))["depth"]
    [axes] = figure.axes
    box = axes.get_tightbbox(figure.canvas.get_renderer())
    assert 0 < box.x0 < 10
    assert 0 < box.y0 < 10


def test_one_seed_that_diverged_hides_no_other():
    axis = LossAxis.around([0.0003, 0.0004, 1e29, np.inf, np.nan], REFERENCES)
    assert axis.high < 0.001
    assert axis.low < FLOOR


def test_without_a_known_chance_every_loss_is_shown(drawn):
    trials, summary, curves, names = tables([1, 2], losses=lambda layers, value: 0.69 / layers**3)
    for figure in drawn((trials.drop(columns="chance"), summary, curves, names)).values():
        low, high = figure.axes[0].get_ylim()
        assert low < 0.69 / 8
        assert high > 0.69


@pytest.mark.parametrize("losses", [[0.5], [0.0], [], [np.nan], [1e29, 2e29], [0.7, 0.7]])
def test_an_axis_has_a_length_whatever_the_losses(losses):
    axis = LossAxis.around(losses, REFERENCES)
    assert axis.low < axis.high
    assert np.isfinite([axis.low, axis.high]).all()


EPOCH = np.arange(1, 101)
RUNS = {
    "a fast fall": 0.0002 + 0.4 * np.exp(-EPOCH / 1.5) + 0.0001 * (EPOCH % 3),
    "a long tail": 1.6 + 1.6 / EPOCH,
    "an early spike": 0.4 + 0.3 / EPOCH + 50.0 * (EPOCH == 3),
    "a late fall": np.where(EPOCH < 80, 0.693, 0.01),
}


@pytest.mark.parametrize("name", RUNS)
def test_the_last_half_of_a_run_has_room_whatever_its_beginning(name):
    losses = RUNS[name]
    table = pd.DataFrame({"epoch": EPOCH, "seed": 0, "loss": losses, "val_loss": losses})
    figure = loss_figure(Curve(table, table[:0], "nats per step", name))
    FigureCanvasAgg(figure).draw()
    [axes] = figure.axes
    to_axes = axes.transData + axes.transAxes.inverted()
    places = to_axes.transform(np.column_stack([EPOCH, losses]))
    late = places[EPOCH > 50]
    assert np.ptp(late[:, 0]) > 0.4
    assert np.ptp(late[:, 1]) > 0.09
    assert late.min() >= 0
    assert late.max() <= 1
    assert (places[:, 1] > 1).sum() <= 10


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([7.3e-05, 0.0001, 0.68], ["0.000073", "0.0001", "0.68"]),
        ([3e-9, 0.5], ["3e-09", "5e-01"]),
        ([0, np.nan, 1234.5], ["0", "nan", "1230"]),
    ],
)
def test_numbers_of_one_figure_are_in_one_notation(values, expected):
    assert style.numbers(values) == expected


def test_an_axis_makes_no_room_for_what_is_not_drawn():
    table = pd.DataFrame({"chance": [0.69], "reference": ["last value"], "reference_loss": [0.16]})
    assert LossAxis.around([0.1, 0.3], table).high < 0.4
    assert LossAxis.around([0.1, 0.3], table[["chance"]]).high > 0.69


def test_a_number_below_the_first_tick_is_left_out_only_where_it_would_touch():
    _, [[axes]] = style.figure(4, 3)
    axes.set_xlim(0, 10)
    style.whole_numbers(axes.xaxis, 1, most=5)
    assert list(axes.get_xticks()) == [1, 2, 4, 6, 8, 10]


@pytest.mark.parametrize("width", [5.5, 7.5, 9])
def test_a_title_that_is_wider_than_its_figure_is_broken_into_lines(width):
    figure, _ = style.figure(width, 4)
    title = f"On {'the temperature of a MAMMOTH room ' * 3}: 12 layers of 128 units, 12 seeds"
    style.head(figure, f"2 layers are enough\n{title}", f"how to read it, {title}")
    assert_readable(figure)


def test_forecasts_of_dates_and_their_errors_can_be_read():
    times = np.datetime64("2025-12-30T08:00") + 600 * np.arange(400).astype("timedelta64[s]")
    values = np.sin(np.arange(400) / 9)[:, None]
    ahead = (times[300:], values[300:])
    bounds = (ahead[1] - 1, ahead[1] + 1)
    found = forecast_figure(
        "room", "80 % intervals", ["room"], (times[:300], values[:300]), ahead, bounds
    )
    errors = {"room": {f"baseline number {n}": np.arange(1, 25.0) + n for n in range(5)}}
    for figure in (found, backtest_figure("room", "RMSE by step", errors)):
        assert_readable(figure)
    assert min(figure.axes[0].get_xticks()) == 1
    assert found.axes[0].xaxis.get_offset_text().get_text() == "2026-Jan-02"
