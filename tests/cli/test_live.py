"""What is drawn of a run while it trains: the curve, the strips, and that nothing depends on it."""

import csv
from pathlib import Path

import numpy as np
import pytest

from lstmcli.cli import live_window
from lstmcli.cli.live import Panel, sparkline, strips
from lstmcli.cli.progress import live_style
from lstmcli.config import Config
from lstmcli.core.replica_windows import ReplicaWindows
from lstmcli.data.schema import Categorical, Numeric, Schema, plain
from lstmcli.reporting import predictions as glimpses
from lstmcli.reporting.predictions import PredictionPreview, PredictionSample, TrainingPosition
from lstmcli.training import run_dir, trainer
from lstmcli.training.trainer import Progress
from lstmcli.utils.errors import UsageError
from terminal import Terminal

LONG = ["train", "--epochs", "3000", "--out", "run"]


def glimpse(labels, predicted, target=None, given=None, scored=None, column=None):
    """A glimpse of rows that are written out."""
    labels, predicted = np.array(labels), np.array(predicted)
    given = (labels if given is None else np.array(given))[..., None]
    target, column = target or Categorical("target", 10), column or Categorical("input", 10)
    every = np.ones(labels.shape, bool)
    scored = every if scored is None else np.array(scored)
    numbers = isinstance(target, Numeric)
    outputs = predicted[..., None] if numbers else np.eye(target.size)[predicted]
    inputs = ((column,), ()) if isinstance(column, Numeric) else ((), (column,))
    return PredictionSample(
        Schema("series", *inputs, (target,) if numbers else target),
        np.broadcast_to(1 + np.arange(labels.shape[1]), labels.shape),
        every, scored, given, given, labels[..., None] if numbers else labels, outputs,
        moment=TrainingPosition(3, 400, 666),
    )  # fmt: skip


def test_wrong_classes_are_marked_and_steps_without_a_label_are_not():
    found = glimpse([[1, 2, 3]], [[1, 0, 0]], scored=[[True, True, False]])
    [strip] = strips(found, plain=False)
    assert (strip.labels, strip.predicted) == (["1", "2", "·"], ["1", "0", "·"])
    assert strip.wrong == [False, True, False]


def test_numbers_are_blocks_on_the_labels_scale_and_far_ones_are_marked():
    target = Numeric("y", 100, 10)
    found = glimpse([[-1.0, 0.0, 1.0]], [[-0.9, 0.9, 9.0]], target, [[0, 1, 0]], None, Numeric("x"))
    [strip] = strips(found, plain=False)
    assert (strip.given, strip.labels) == (["0", "1", "0"], ["▁", "▅", "█"])
    assert (strip.predicted, strip.wrong) == (["▁", "█", "█"], [False, True, True])
    assert strips(found, plain=True)[0].labels == ["0", "5", "9"]


@pytest.mark.parametrize(
    ("names", "plain", "codes"),
    [
        (("a", " ", "\n", "é", "\x1b"), False, ["a", "␣", "↵", "é", "?"]),
        (("a", " ", "\n", "é", "\x1b"), True, ["a", "_", "/", "?", "?"]),
        (("cold", "hot", "warm"), False, ["c", "h", "w"]),
        (("mon", "mer", "tue"), False, ["mo", "me", "tu"]),
        (tuple(f"same beginning {n}" for n in range(3)), False, ["0", "1", "2"]),
        (None, False, ["0", "1", "11"]),
    ],
)
def test_a_value_has_a_short_code(names, plain, codes):
    target = Categorical("target", len(names) if names else 12, names)
    numbers = [0, 1, 11] if names is None else list(range(len(names)))
    assert strips(glimpse([numbers], [numbers], target), plain)[0].labels == codes


@pytest.mark.parametrize("plain", [False, True])
def test_a_curve_falls_on_a_logarithmic_scale_to_its_floor(plain):
    points = [(n, 10.0**-n) for n in range(5)]
    lines = sparkline(points, 40, 9, floor=1e-4, plain=plain)
    assert {len(line) for line in lines} == {40}
    marks = [[n for n, mark in enumerate(line[8:]) if mark not in " .┄Bayes"] for line in lines[:8]]
    middles = [np.mean(row) for row in marks if row]
    steps = np.diff(middles)
    assert (steps > 0).all()  # A straight line downwards: as far in each line.
    assert steps[1:-1].max() < 2 * steps[1:-1].min()
    assert (lines[0].split()[0][:1], "0.0001" in lines[7], "Bayes" in lines[7]) == ("1", True, True)
    assert all(line.isascii() for line in lines) is plain


@pytest.mark.parametrize("points", [[(1, 0.5)], [(1, 0.5), (2, 0.5)], [(1, 0.0), (2, 1e9)]])
def test_a_curve_can_have_one_point_or_none_but_the_same(points):
    assert len(sparkline(points, 40, 9)) == 9


@pytest.mark.parametrize("columns", [60, 80, 120, 200])
@pytest.mark.parametrize("lines", [16, 24, 50])
@pytest.mark.parametrize("steps", [1, 15, 100])
def test_the_panel_fits_its_terminal_and_a_small_one_has_none(columns, lines, steps):
    panel = Panel(0.001, plain=False)
    panel.add(1, 0.5)
    panel.show(glimpse(np.zeros((5, steps), int), np.ones((5, steps), int)))
    shown = panel.lines(columns, lines)
    rows = sum("prediction" in line.plain for line in shown)
    assert rows == 3  # And below them, how many of all are wrong.
    assert sum(f"of {5 * steps} wrong" in line.plain for line in shown) == 1
    assert len(shown) <= lines - 2
    assert max(line.cell_len for line in shown) <= columns - 4
    assert panel.lines(59, lines) == panel.lines(columns, 15) == []


@pytest.mark.parametrize(
    ("columns", "heading"),
    [
        (120, "seed 0, epoch 3, window 400: validation, steps 1 to 15"),
        (80, "epoch 3, window 400: validation, steps 1 to 15"),
        (68, "epoch 3, window 400: steps 1 to 15"),
        (60, "epoch 3, window 400"),
    ],
)
def test_the_heading_says_when_the_rows_were_predicted_as_far_as_it_fits(columns, heading):
    panel = Panel(0.001, plain=False)
    panel.add(1, 0.5)
    panel.show(glimpse(np.zeros((5, 15), int), np.ones((5, 15), int)))
    shown = panel.lines(columns, 30)[0].plain.partition("(log scale)")[2].strip()
    assert shown == heading


def test_rows_are_renewed_soon_however_slow_the_first_look_was():
    watch = object.__new__(PredictionPreview)
    watch._every, watch._cost, watch._warm = 0.25, None, False
    waits, clock = [], 100.0
    for cost in (0.3, 0.002, 0.001, 0.05):  # The first one loads and touches everything.
        watch._wait(clock + cost, clock)
        waits.append(watch._next - clock - cost)
        clock = watch._next
    np.testing.assert_allclose(waits, [0.25, 200 * 0.002, 0.25, 0.25])


@pytest.mark.parametrize(
    "given",
    [
        pytest.param({"echo_step": 2}, marks=pytest.mark.slow),
        {"echo_step": 2, "classes": 4, "batch_size": 7},
        pytest.param(
            {"task": "order", "sequence_length": 12, "bptt": 9, "batch_size": 3},
            marks=pytest.mark.slow,
        ),
        pytest.param(
            {"task": "adding", "sequence_length": 12, "bptt": 9, "batch_size": 3},
            marks=pytest.mark.slow,
        ),
    ],
)
def test_a_glimpse_is_what_the_compiled_program_predicts(given, tmp_path, monkeypatch):
    monkeypatch.setattr(glimpses, "STAYS", 1e9)  # However slow the machine is.
    config = Config.build(layers=2, series_length=900, replicas=2, epochs=1, **given)
    run = trainer.prepare(config, run_dir.create(tmp_path / "run", "", overwrite=False))
    for record in trainer.train(run):
        pass
    watch = PredictionPreview(run)
    found, bptt = (
        watch.look(run.tensors, TrainingPosition(2, 0, 60)),
        config.training.bptt or run.source.cut.bptt,
    )
    windows = run.source.validation()[0]
    whole = np.concatenate(list(run.program.predict(run.tensors, ReplicaWindows([windows] * 2))))[
        :2, ..., 0
    ]
    compiled = windows.in_rows(whole)[:5, bptt:]  # After one window, as the glimpse's lead.
    classes = run.program.spec.head == "softmax"
    predicted = compiled.argmax(-1) if classes else compiled[..., 0]
    np.testing.assert_allclose(found.guesses, predicted, atol=1e-4)
    labels = windows.in_rows(windows.take(1, 1)["targets"])[:5]
    np.testing.assert_array_equal(found.labels, labels if classes else labels[..., 0])
    assert found.places[0, 0] == bptt + 1


def test_looking_while_it_trains_changes_no_bit(tmp_path):
    config = Config.build(layers=1, series_length=900, epochs=3)

    def rows(name, looks):
        run = trainer.prepare(config, run_dir.create(tmp_path / name, "", overwrite=False))
        watch, found = PredictionPreview(run), []
        for record in trainer.train(run):
            if not isinstance(record, Progress):
                found += [(row.loss, row.val_loss, row.grad_norm) for row in record]
            elif looks and record.tensors is not None:
                watch.look(record.tensors, TrainingPosition(record.epoch, record.windows, 0))
        return found

    assert rows("on", looks=True) == rows("off", looks=False)


@pytest.mark.slow
def test_looking_at_a_terminal_changes_no_bit(run, tmp_path, python):
    environment = python["env"] | {"TERM": "xterm-256color"}
    short = ["train", "--layers", "1", "--series-length", "3000", "--epochs", "30"]
    run(*short, "--live", "off", "--out", "off", "--progress", "none")
    with Terminal(*short, "--out", "on", env=environment) as terminal:
        terminal.until()
    assert terminal.code == 0
    assert "prediction" in terminal.output

    def losses(name):
        with Path(name, "metrics.csv").open(newline="") as file:
            return [
                (row["loss"], row["val_loss"], row["grad_norm"]) for row in csv.DictReader(file)
            ]

    assert losses("on") == losses("off")


@pytest.mark.slow
@pytest.mark.parametrize("settings", [{}, {"NO_COLOR": "1"}, {"LC_ALL": "C"}])
def test_the_live_view_moves_and_ctrl_c_leaves_the_bar_alone(settings, python):
    known = {name: value for name, value in python["env"].items() if name != "NO_COLOR"}
    if "LC_ALL" in settings:
        known = {name: value for name, value in known.items() if not name.startswith("PYTHONIO")}
    environment = known | {"TERM": "xterm-256color"} | settings
    with Terminal(*LONG, env=environment) as terminal:
        terminal.until(r"epoch \d+, window \d+", seconds=120)
        reached = len(terminal.seen)
        while len(terminal.seen) < reached + 8:
            terminal.until(r"prediction")
        screens = {screen for _, screen in terminal.seen[reached:] if "prediction" in screen}
        terminal.type("\x03")
        last = terminal.until()
    assert terminal.code == 130
    assert len(screens) > 3
    assert "prediction" not in last
    assert last.splitlines()[-3].startswith("epoch ")
    if "LC_ALL" in settings:
        assert terminal.output.isascii()
    coloured = "\x1b[32m" in terminal.output or "\x1b[1;31m" in terminal.output
    assert coloured is ("NO_COLOR" not in settings)


def test_without_a_display_a_window_is_refused_before_anything_begins(run, monkeypatch):
    monkeypatch.setattr(live_window, "BACKENDS", ("NoSuchAgg",))
    told = run("train", "--live", "window", "--out", "run", exit_code=2).stderr
    assert "`--live window` needs a display" in told
    assert "hint: `--live auto`" in told
    assert not Path("run").exists()
    assert "`--live` must be one of" in run("train", "--live", "x", exit_code=2).stderr


def test_strips_are_for_terminals():
    assert live_style("auto", "rich") == "strips"
    assert live_style("auto", "plain") == live_style("off", "rich") == "off"
    with pytest.raises(UsageError):
        live_style("on", "rich")


def test_the_window_shows_the_curve_and_a_panel_for_each_row(monkeypatch, tmp_path):
    monkeypatch.setattr(live_window, "BACKENDS", ("agg",))
    monkeypatch.setattr("matplotlib.figure.Figure.show", lambda self: None)
    assert live_style("window", "none") == "window"
    shown = live_window.Window(0.001)
    for epoch in range(3):
        shown.add(epoch, 0.5 / (epoch + 1))
    shown.show(glimpse([[0, 1, 0]] * 5, [[0, 1, 1]] * 5))
    curve_axes, *rows = shown.figure.axes
    np.testing.assert_allclose(curve_axes.lines[0].get_ydata(), [0.5, 0.25, 0.5 / 3])
    assert curve_axes.get_yscale() == "log"
    assert [list(axes.lines[-1].get_xdata()) for axes in rows] == [[3]] * 5  # The wrong ones.
    shown.wait()  # Nothing to wait for.
    shown.close()
    shown.add(3, 0.1)
    shown.show(glimpse([[0]], [[0]]))


def test_a_series_of_bits_is_shown_as_digits():
    found = glimpse([[0, 1]], [[0, 1]], given=[[0.0, 1.0]], column=plain(1, 2).numbers[0])
    assert strips(found, plain=False)[0].given == ["0", "1"]
