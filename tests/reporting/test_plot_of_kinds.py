"""Figures of every kind of data: in its own units and names, and to be read."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes

from lstmcli.config import Config
from lstmcli.reporting.figures.style import character, shown
from lstmcli.reporting.plot import figures_of
from lstmcli.training import checkpoint as checkpoints
from lstmcli.training.run_dir import RunDirectory
from readable import assert_readable, lines, panels
from untrained import LINES, RUNS, make

pytestmark = pytest.mark.figures


@pytest.mark.parametrize(
    ("name", "unit", "convert"),
    [
        ("text", "bits per character", lambda loss, scale: loss / np.log(2)),
        ("regression", "RMSE (level of", lambda loss, scale: np.sqrt(loss) * scale),
        ("classes", "nats per step", lambda loss, scale: loss),
    ],
)
def test_losses_stand_in_the_units_that_people_measure_them_in(name, unit, convert, runs):
    [axes] = figures_of(runs(name))["loss"].axes
    run = RunDirectory(runs(name))
    target = checkpoints.read(run.best).schema.target
    scale = target[0].scale if isinstance(target, tuple) else None
    losses = convert(pd.read_csv(run.metrics).val_loss.to_numpy(), scale)
    assert unit in axes.get_ylabel()
    assert lines(axes, "validation").get_ydata() == pytest.approx(losses)


def test_ticks_begin_at_the_first_epoch_and_the_first_step(runs):
    for axes in figures_of(runs("regression"))["regression"].findobj(Axes):
        assert min(axes.get_xticks()) == 1


def test_fewer_rows_have_fewer_panels(tmp_path):
    make(tmp_path / "run", Config.build(series_length=600, batch_size=2))
    assert len(panels(figures_of(tmp_path / "run")["echo"])) == 2


def test_numbers_stand_in_the_units_of_their_file(runs, files):
    above, below = figures_of(runs("regression"))["regression"].axes[1:]
    column = pd.read_csv(files / "table.csv").iloc[:, 0].to_numpy()
    truth, predicted = (lines(above, label).get_ydata() for label in ("truth", "prediction"))
    begin = (
        LINES - LINES // 10 - LINES // 10
    )  # The validation part, and in it the first of two rows.
    assert truth == pytest.approx(column[begin + 1 : begin + 1 + len(truth)], rel=1e-5)
    residuals = [line for line in below.lines if line.get_marker() == "."]
    assert residuals[0].get_ydata() == pytest.approx(predicted - truth)


def test_the_true_next_character_is_framed_among_the_most_probable(runs, files):
    figure = figures_of(runs("text"))["text"]
    text = (files / "text.txt").read_text("utf-8")
    begin = len(text) - 2 * (len(text) // 10)
    window = [axes for axes in figure.axes if axes.get_yticklabels()[0].get_text() == "text"]
    for line, axes in enumerate(window):
        known = axes.images[0].get_array()  # [candidates, steps]
        assert (np.diff(known, axis=0) <= 0).all()
        shown_ = {
            (round(t.get_position()[1]), t.get_position()[0]): t.get_text() for t in axes.texts
        }
        true = [shown_[-1, step] for step in range(known.shape[1])]
        shown = min(64, len(text) // 10 - 1)  # The last ones of the part.
        at = begin + len(text) // 10 - shown + line * known.shape[1]
        assert true == [character(each) for each in text[at : at + len(true)]]
        frames = {(round(p.get_y() + 0.44), round(p.get_x() + 0.44)) for p in axes.patches}
        assert frames == {place for place, name in shown_.items()
                          if place[0] >= 0 and name == true[place[1]]}  # fmt: skip


def test_each_sequence_has_the_probabilities_of_its_classes(runs):
    figure = figures_of(runs("order"))["order"]
    found = [axes for axes in figure.axes if axes.get_ylabel().startswith("sequence")]
    assert len(found) == 5
    for axes in found:
        shares = axes.images[0].get_array()
        there = ~np.ma.getmaskarray(np.ma.masked_invalid(shares))[0]
        assert np.asarray(shares.sum(0))[there] == pytest.approx(1, abs=1e-5)
        marks = np.concatenate([line.get_xdata() for line in axes.lines])
        assert list(marks) == [there.sum()]  # The label stands at the sequence's end.


@pytest.mark.parametrize("name", RUNS)
def test_no_text_overlaps_or_leaves_its_figure(name, runs):
    found = figures_of(runs(name))
    assert list(found) == ["loss", name]
    for figure in found.values():
        assert_readable(figure)


def test_what_cannot_be_drawn_is_escaped():
    assert shown("$x$ \x1b \u65e5") == r"\$x\$ \x1b \u65e5"
    assert [character(each) for each in " \n\t\x07\u65e5"] == ["␣", "↵", "⇥", "00\n07", "65\ne5"]
