"""`lstmcli plot`: that its figures show the numbers of the files, and can be read."""

import itertools
import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes

import lstmcli
from lstmcli.config import Config
from lstmcli.data.baselines import Baseline
from lstmcli.data.datasets import open_source
from lstmcli.data.schema import Numeric, Schema
from lstmcli.reporting import load, plot
from lstmcli.reporting.load import ReportInputs
from lstmcli.reporting.plot import figures_of
from lstmcli.training import checkpoint as checkpoints
from lstmcli.training.run_dir import RunDirectory
from lstmcli.utils.errors import UsageError
from lstmcli.utils.rng import Stream
from readable import assert_readable, lines, panels
from reference import forward

pytestmark = pytest.mark.figures

STEPS, ROWS = 15, 5  # of a window, as in the article
WINDOWS = 20  # of the small run's validation series: all of them are carried through


# --- the curve


def test_the_curve_shows_the_columns_of_metrics_csv(trained):
    [axes] = figures_of(trained)["loss"].axes
    table = pd.read_csv(RunDirectory(trained).metrics)
    for label, column in (("training", "loss"), ("validation", "val_loss")):
        drawn = lines(axes, label)
        assert drawn.get_xdata() == pytest.approx([1, 2, 3])
        medians = table.groupby("epoch")[column].median()
        assert drawn.get_ydata() == pytest.approx(medians.to_numpy())
        for _, own in table.groupby("seed"):
            assert any(np.array_equal(own[column], line.get_ydata()) for line in axes.lines)


def test_the_curve_names_floor_chance_and_each_seeds_best_epoch(trained):
    [axes] = figures_of(trained)["loss"].axes
    run = RunDirectory(trained)
    floor = run.read_status()["bayes_loss"]
    notes = " ".join(" ".join(text.get_text().split()) for text in axes.texts)
    assert f"Bayes loss {floor:.3g}" in notes
    assert "chance 0.693" in notes
    best = checkpoints.read(run.best).metadata["best"]
    marks = lines(axes, "best epochs")
    assert list(marks.get_xdata()) == [each["epoch"] for each in best]
    assert list(marks.get_ydata()) == pytest.approx([each["val_loss"] for each in best])


def test_many_replicas_are_a_median_in_the_middle_half_of_them(copied):
    run = RunDirectory(copied)
    table = pd.read_csv(run.metrics)
    many = pd.concat([table.assign(seed=table.seed + 3 * each, val_loss=table.val_loss * 1.1**each)
                      for each in range(4)])  # fmt: skip
    many.to_csv(run.metrics, index=False)
    [axes] = figures_of(copied)["loss"].axes
    bands = [band.get_paths()[0].vertices for band in axes.collections]
    quartiles = many.groupby("epoch").val_loss.quantile([0.25, 0.75])
    assert any(set(quartiles) <= set(vertices[:, 1]) for vertices in bands)


def test_a_line_that_is_half_written_does_not_count(copied):
    run = RunDirectory(copied)
    with run.metrics.open("a") as file:
        file.write("4,80,0,0.0")
    [axes] = figures_of(copied)["loss"].axes
    assert lines(axes, "training").get_xdata().max() == 3


def test_few_logged_windows_are_no_line(copied):
    run = RunDirectory(copied)
    rows = pd.read_csv(run.metrics)
    rows[rows.epoch < 3].to_csv(run.metrics, index=False)
    few = pd.read_csv(run.steps)
    windows = pd.concat([few] * 5, ignore_index=True)
    for count, drawn in ((4, False), (5, True)):
        windows.groupby("seed").head(count).to_csv(run.steps, index=False)
        [axes] = figures_of(copied)["loss"].axes
        assert any(line.get_label() == "a window" for line in axes.lines) is drawn


# --- the window


def expected(run):
    """Inputs, labels and probabilities of 1 in validation's last window, by plain equations."""
    model = checkpoints.read(run.best)
    losses = [each["val_loss"] for each in model.metadata["best"]]
    replica = int(np.argmin(losses))
    source = open_source(model.config)
    series = source.draw(source.seeds[replica], Stream.VALIDATION, 0)
    windows = source.windows(series)
    inputs, labels = windows.all("numbers"), windows.all("targets")
    parameters = {
        name: tensor[replica].astype(float)
        for name, tensor in model.tensors.items()
        if name.startswith(("lstm", "dense"))
    }
    zero = np.zeros_like(model.tensors["state"][replica], float)
    logits, _ = forward(parameters, zero, inputs.swapaxes(0, 1), len(zero))
    share = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    last = slice((WINDOWS - 1) * STEPS, WINDOWS * STEPS)
    return inputs[:, last, 0], labels[:, last], share[last, :, 1].T


def test_five_panels_show_inputs_labels_and_predictions_with_the_state_carried(trained):
    found = panels(figures_of(trained)["echo"])
    assert len(found) == ROWS
    inputs, labels, ones = expected(RunDirectory(trained))
    for row, axes in enumerate(found):
        for patch, base, values in zip(
            axes.patches, (2, 1, 0), (inputs, labels, ones), strict=True
        ):
            heights = patch.get_data().values[::2] - base
            assert heights / 0.78 == pytest.approx(values[row], abs=1e-5)
        wrong = np.flatnonzero((ones[row] > 0.5) != labels[row])
        [crosses] = [line for line in axes.lines if line.get_marker() == "x"]
        first = (WINDOWS - 1) * STEPS + 1
        assert list(crosses.get_xdata() - first) == wrong.tolist()


def test_figures_of_several_seeds_and_of_a_sweep_can_be_read(trained, swept):
    for path in (trained, swept[0]):
        for figure in figures_of(path).values():
            assert_readable(figure)


def test_a_sweep_on_a_table_is_drawn_in_the_targets_units_beside_the_best_baseline(
    swept, tmp_path, monkeypatch
):
    sweep = shutil.copytree(swept[0], tmp_path / "sweep")
    for name in ("trials.csv", "curves.csv"):  # Of data whose Bayes loss nobody knows.
        pd.read_csv(sweep / name).assign(bayes_loss=None).to_csv(sweep / name, index=False)
    schema = Schema("series", (), (), (Numeric("level", mean=3.0, scale=2.0),))
    baselines = [Baseline("mean", 1.0, None, None), Baseline("last value", 0.25, None, None)]
    known = ReportInputs(Config.build(data="room.csv"), schema, baselines=baselines)
    monkeypatch.setattr(load, "_first_run", lambda files: known)
    figures = figures_of(sweep)
    for figure in figures.values():
        assert_readable(figure)
    [depth], [curves] = (figures[name].axes for name in ("depth", "curves"))
    assert depth.get_ylabel() == "test RMSE (level)"
    table = pd.read_csv(sweep / "summary.csv")
    bars = [line.get_ydata()[0] for line in depth.lines if line.get_marker() == "_"]
    assert bars == pytest.approx(2 * np.sqrt(table.iqm))
    assert [text.get_text().split(" is ")[0] for text in curves.texts] == ["last value 1"]


@pytest.mark.parametrize(
    "epochs", [20, 59, 100, 299, 3000, pytest.param(200_000, marks=pytest.mark.slow)]
)
def test_the_numbers_of_many_epochs_do_not_touch(epochs, copied):
    table = pd.read_csv(copied / "metrics.csv")
    one = table[table.seed == 0].iloc[-1]
    many = pd.DataFrame([one] * epochs).assign(epoch=range(1, epochs + 1), seed=0)
    many.to_csv(copied / "metrics.csv", index=False)
    figure = figures_of(copied)["echo"]
    assert_readable(figure)
    [axes] = [each for each in figure.findobj(Axes) if each.get_xlabel() == "epoch"]
    left, right = axes.get_xlim()
    shown = [label for label in axes.get_xticklabels() if left <= label.get_position()[0] <= right]
    boxes = [label.get_window_extent() for label in shown]
    gaps = [after.x0 - before.x1 for before, after in itertools.pairwise(boxes)]
    assert min(gaps) > 6, [label.get_text() for label in shown]


# --- the command


def test_train_leaves_the_figures_that_plot_draws_to_the_byte(copied, run):
    made = {path: path.read_bytes() for path in (copied / "figures").iterdir()}
    assert {path.name for path in made} == {"loss.png", "echo.png"}
    for path in made:
        path.unlink()
    printed = run("plot", copied).stdout.split()
    assert {str(path) for path in made} == set(printed)
    assert {path: path.read_bytes() for path in made} == made


def test_plot_draws_the_figures_of_a_sweep_anew(swept, tmp_path, run):
    out = shutil.copytree(swept[0], tmp_path / "s")
    made = {path.name: path.read_bytes() for path in (out / "figures").iterdir()}
    shutil.rmtree(out / "figures")
    shown_ = json.loads(run("plot", out, "--json").stdout)["figures"]
    assert [path.rsplit("/")[-1] for path in shown_] == ["depth.png", "curves.png"]
    assert {path.name: path.read_bytes() for path in (out / "figures").iterdir()} == made


@pytest.mark.parametrize(
    ("ending", "begin"),
    [
        (".png", b"\x89PNG"),
        (".svg", b"<?xml"),
        pytest.param(".pdf", b"%PDF", marks=pytest.mark.slow),
        pytest.param(".PNG", b"\x89", marks=pytest.mark.slow),
    ],
)
def test_the_ending_chooses_the_kind_and_the_same_data_gives_the_same_bytes(
    ending, begin, trained, run, tmp_path
):
    first, second = (tmp_path / f"{name}{ending}" for name in "ab")
    for path in (first, second, first):  # A figure of lstmcli is replaced.
        assert run("plot", trained, "--output", path).stdout.split() == [str(path)]
    assert first.read_bytes().startswith(begin)
    assert first.read_bytes() == second.read_bytes()


def test_a_file_is_the_figure_that_it_is_named_after(trained, run, tmp_path):
    for name in ("loss.svg", "echo.svg", "other.svg"):
        run("plot", trained, "--output", name)
    loss, echo, other = (
        (tmp_path / name).read_text() for name in ("loss.svg", "echo.svg", "other.svg")
    )
    assert loss != echo == other


def test_another_ending_is_refused_and_the_three_are_named(trained, run):
    said = run("plot", trained, "--output", "a.jpg", exit_code=2).stderr
    assert ".png, .svg or .pdf" in said


def test_a_strangers_file_is_not_replaced(copied, run, tmp_path):
    mine = tmp_path / "mine.png"
    mine.write_bytes(b"mine")
    assert "not a figure of lstmcli" in run("plot", copied, "--output", mine, exit_code=2).stderr
    other = copied / "figures" / "loss.png"
    other.write_bytes(b"mine")
    run("plot", copied, exit_code=2)
    assert mine.read_bytes() == other.read_bytes() == b"mine"


def test_what_is_no_run_no_sweep_and_no_checkpoint_is_said(run, tmp_path):
    assert "no run, no sweep" in run("plot", "nothing", exit_code=4).stderr
    assert "holds no run" in run("plot", tmp_path, exit_code=4).stderr


def test_a_copy_of_a_checkpoint_has_its_window(trained, run, tmp_path):
    copy = shutil.copy(RunDirectory(trained).best, tmp_path / "copy.safetensors")
    run("plot", copy)
    [figure] = (tmp_path / "figures").iterdir()
    assert figure.name == "echo.png"


def test_a_checkpoint_whose_data_is_gone_says_where_it_looked(runs, run, tmp_path):
    copy = shutil.copy(RunDirectory(runs("text")).best, tmp_path / "copy.safetensors")
    said = run("plot", copy, exit_code=4).stderr
    assert "does not exist: looked at" in said


def test_a_run_without_its_data_has_its_curve(runs, tmp_path, run):
    copy = shutil.copytree(runs("text"), tmp_path / "deep" / "down" / "run")
    assert "does not exist: looked at" in run("plot", copy).stderr
    assert [path.name for path in (copy / "figures").iterdir()] == ["loss.png"]


def test_a_changed_file_is_not_drawn_as_if_it_were_the_one_trained_on(runs, files, tmp_path, run):
    shutil.copytree(runs("text"), tmp_path / "text")
    (tmp_path / "text.txt").write_text((files / "text.txt").read_text("utf-8")[::-1], "utf-8")
    assert "has changed" in run("plot", tmp_path / "text").stderr


def test_a_run_before_its_first_epochs_end_has_its_window_alone(copied, run):
    (copied / "metrics.csv").unlink()
    shutil.rmtree(copied / "figures")
    assert "no epoch is completed" in run("plot", copied).stderr
    assert [path.name for path in (copied / "figures").iterdir()] == ["echo.png"]


def test_a_run_that_diverged_shows_the_epochs_that_it_had(copied, run):
    table = pd.read_csv(copied / "metrics.csv")
    table.loc[table.epoch == 3, ["loss", "val_loss"]] = [np.nan, np.inf]
    table.to_csv(copied / "metrics.csv", index=False)
    model = checkpoints.read(copied / "checkpoints" / "best.safetensors")
    for name in model.tensors:
        model.tensors[name] = np.full_like(model.tensors[name], np.nan)
    model.write(copied / "checkpoints" / "best.safetensors")
    drawn = plot.draw(copied)
    assert list(drawn.figures) == ["loss"]
    assert "not finite" in drawn.notes[0]
    [axes] = drawn.figures["loss"].axes
    assert np.isfinite(axes.get_ylim()).all()


def test_overwriting_a_run_deletes_its_figures_and_nothing_else(copied, run, small):
    (copied / "figures" / "mine.png").write_bytes(b"mine")
    (copied / "figures" / "notes.txt").write_text("mine")
    made = (copied / "figures" / "loss.png").read_bytes()
    run("train", *small, "--replicas", 3, "--epochs", 1, "--out", copied, "--overwrite")
    assert (copied / "figures" / "mine.png").read_bytes() == b"mine"
    assert (copied / "figures" / "notes.txt").read_text() == "mine"
    assert (copied / "figures" / "loss.png").read_bytes() != made


def test_a_failure_to_draw_does_not_fail_a_run(run, small, tmp_path):
    mine = tmp_path / "run" / "figures" / "loss.png"
    mine.parent.mkdir(parents=True)
    mine.write_bytes(b"mine")
    done = run("train", *small, "--replicas", 3, "--epochs", 1, "--out", tmp_path / "run")
    assert "warning: no figures: " in done.stderr
    assert mine.read_bytes() == b"mine"
    assert RunDirectory(tmp_path / "run").read_status()["status"] == "completed"


def test_settings_are_those_of_the_run(trained):
    title = figures_of(trained)["loss"].get_suptitle()
    config = Config.build(checkpoints.read(RunDirectory(trained).best).metadata["config"])
    assert f"{config.model.layers} layers of {config.model.state_size} units, 3 seeds" in title


def test_python_draws_and_reports_as_the_commands_do(trained, run):
    assert lstmcli.plot(trained, "loss.svg") == [Path("loss.svg")]
    assert "<svg" in Path("loss.svg").read_text()
    assert lstmcli.report(str(trained), "page.html") == Path("page.html")
    run("report", trained, "--output", "asked.html")
    assert Path("page.html").read_bytes() == Path("asked.html").read_bytes()
    with pytest.raises(UsageError, match=r"\.gif"):
        lstmcli.plot(trained, "loss.gif")
