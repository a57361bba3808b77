"""`lstmcli plot`: that its figures show the numbers of the files, and can be read."""

import itertools
import json
import shutil

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.text import Text
from matplotlib.transforms import Bbox

from lstmcli.config import Config
from lstmcli.core import initialization
from lstmcli.data.datasets import open_source
from lstmcli.reporting import plot
from lstmcli.reporting.figures.style import character, shown
from lstmcli.reporting.plot import figures_of
from lstmcli.training import checkpoint as checkpoints
from lstmcli.training import metrics, run_dir
from lstmcli.training.checkpoint import Checkpoint
from lstmcli.training.metrics import EpochRow
from lstmcli.training.run_dir import RunDirectory
from lstmcli.utils.rng import Stream
from reference import forward

pytestmark = pytest.mark.figures

STEPS, ROWS = 15, 5  # of a window, as in the article
WINDOWS = 20  # of the small run's validation series: all of them are carried through
LINES = 300


@pytest.fixture
def copied(trained, tmp_path):
    """The small run of three seeds, to be written to."""
    return shutil.copytree(trained, tmp_path / "copied")


@pytest.fixture(scope="session")
def files(tmp_path_factory):
    """A folder with a table and a text whose names and characters are hard to draw."""
    folder, rng = tmp_path_factory.mktemp("files"), np.random.default_rng(0)
    level = np.convolve(rng.normal(size=LINES + 9), np.ones(10), "valid")
    states = ["cold $ and $ very, very cold indeed", "\u65e5\u672c", "\x1b[31mhot"]
    table = pd.DataFrame(
        {
            "level of $a$ tank behind the second hall (cm)": level.round(3),
            "other": rng.normal(size=LINES).round(3),
            "state": [states[number] for number in np.digitize(level, [-2, 2])],
        }
    )
    table.to_csv(folder / "table.csv", index=False)
    letters = rng.choice(list("abc \n\t$\u00e9\u65e5\x07"), 1500)
    (folder / "text.txt").write_text("".join(letters), "utf-8")
    return folder


RUNS = {
    "text": {"data": "text.txt"},
    "classes": {"data": "table.csv", "target": "state", "bptt": 10, "batch_size": 2},
    "regression": {
        "data": "table.csv",
        "target": "level of $a$ tank behind the second hall (cm)",
        "horizon": 1,
        "bptt": 10,
        "batch_size": 2,
    },
    "adding": {"task": "adding", "sequence_length": 11, "series_length": 1200},
    "order": {"task": "order", "sequence_length": 12, "series_length": 1200},
    "copy": {"task": "copy", "sequence_length": 3, "series_length": 1200},
    "echo": {"classes": 5, "series_length": 1500},
}


@pytest.fixture(scope="session")
def runs(files):
    """`runs("text")` is a run with that kind of window, as it would be. Not to be written to."""

    def find(name):
        out = files / name
        if not out.exists():
            make(out, Config.build(**RUNS[name] | in_folder(RUNS[name], files)))
        return out

    return find


def in_folder(settings, folder):
    return {"data": str(folder / settings["data"])} if "data" in settings else {}


def make(out, config):
    """A run's files, with weights that are drawn and losses that are made up: untrained."""
    source = open_source(config)
    config, spec = source.config, source.spec
    rng = np.random.default_rng(1)
    drawn = initialization.initialise(config.model, spec.features, spec.outputs, [rng])
    tensors = {name: 2 * tensor for name, tensor in drawn.items()}
    tensors["state"] = initialization.zero_state(config.model, 1, config.training.rows)
    directory = run_dir.create(out, "", overwrite=False)
    schema = source.schema
    status = {"version": "0", "argv": [], "seeds": [0], "status": "completed"}
    directory.begin(config, **status, classes=schema.classes, target=[])
    rows = [
        EpochRow(epoch, 10 * epoch, 0, 2 / epoch, 0.5, 3 / epoch, 0.5, None, 0.1, 1, 1, epoch)
        for epoch in (1, 2)
    ]
    metrics.append_metrics(directory.metrics, rows)
    metadata = {
        "version": "0",
        "kind": "best",
        "config": directory.settings(config),
        "seeds": [0],
        "data_seeds": [0],
        "features": spec.features,
        "classes": spec.outputs,
        "schema": schema.to_dict(),
        "position": {"epoch": 2, "window": 0, "step": 20},
        "best": [{"seed": 0, "epoch": 2, "val_loss": 1.5}],
        "streams": {},
        "elapsed_seconds": 1.0,
        "data_sha256": source.file_checksums,
    }
    Checkpoint(tensors, metadata).write(directory.best)


def laid_out(figure):
    FigureCanvasAgg(figure).draw()
    return figure


def lines(axes, label):
    [found] = [line for line in axes.lines if line.get_label() == label]
    return found


def texts(figure):
    """Every text that is shown, with its box."""
    renderer = figure.canvas.get_renderer()
    hidden = {id(text) for axes in figure.axes for text in unseen(axes)}
    found = figure.findobj(lambda artist: isinstance(artist, Text) and artist.get_visible())
    return [
        (each.get_text(), inked(each.get_text(), each.get_window_extent(renderer)))
        for each in found
        if each.get_text().strip() and id(each) not in hidden
    ]


def inked(text, box):
    """A box without the blank lines that hold room for something else."""
    line = box.height / (1 + text.count("\n"))
    above = len(text) - len(text.lstrip("\n"))
    below = len(text) - len(text.rstrip("\n"))
    return Bbox([[box.x0, box.y0 + below * line], [box.x1, box.y1 - above * line]])


def unseen(axes):
    """The labels of ticks that lie beyond an axis' limits: they are there, and not drawn."""
    for axis in (axes.xaxis, axes.yaxis):
        low, high = sorted(axis.get_view_interval())
        margin = 1e-6 * (high - low)
        for tick in (*axis.get_major_ticks(), *axis.get_minor_ticks()):
            if not (axes.get_visible() and low - margin <= tick.get_loc() <= high + margin):
                yield tick.label1
            yield tick.label2


def assert_no_text_on_a_curve(axes):
    """No text that names a floor or a chance hides a point of the curves."""
    renderer = axes.figure.canvas.get_renderer()
    boxes = [(text.get_text(), text.get_window_extent(renderer)) for text in axes.texts]
    drawn = [line for line in axes.lines if line.get_transform() == axes.transData]
    assert drawn
    for line in drawn:
        points = axes.transData.transform(line.get_xydata())
        for text, box in boxes:
            assert not any(box.contains(*point) for point in points), (text, line.get_label())
            assert box.x0 >= axes.bbox.x1, text


def assert_readable(figure):
    """No text leaves the canvas or lies on another, and none on a learning curve."""
    canvas, found = laid_out(figure).bbox, texts(figure)
    for axes in figure.findobj(Axes):
        if any(line.get_label() == "validation" for line in axes.lines):
            assert_no_text_on_a_curve(axes)
    for text, box in found:
        assert box.x0 >= -1, text
        assert box.y0 >= -1, text
        assert box.x1 <= canvas.x1 + 1, text
        assert box.y1 <= canvas.y1 + 1, text
    for number, (text, box) in enumerate(found):
        for other, beside in found[:number]:
            wide = min(box.x1, beside.x1) - max(box.x0, beside.x0)
            high = min(box.y1, beside.y1) - max(box.y0, beside.y0)
            assert wide <= 1 or high <= 1, (text, other)


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
    assert f"floor {floor:.3g}" in notes
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


def test_ticks_begin_at_the_first_epoch_and_the_first_step(runs):
    for axes in figures_of(runs("regression"))["regression"].findobj(Axes):
        assert min(axes.get_xticks()) == 1


# --- the window


def panels(figure):
    return [axes for axes in figure.axes if axes.get_ylabel().startswith("row")]


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
    assert len(found) == ROWS
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


def test_figures_of_several_seeds_and_of_a_sweep_can_be_read(trained, swept):
    for path in (trained, swept[0]):
        for figure in figures_of(path).values():
            assert_readable(figure)


@pytest.mark.parametrize("epochs", [20, 59, 100, 299, 3000, 200_000])
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


def test_what_cannot_be_drawn_is_escaped():
    assert shown("$x$ \x1b \u65e5") == r"\$x\$ \x1b \u65e5"
    assert [character(each) for each in " \n\t\x07\u65e5"] == ["␣", "↵", "⇥", "00\n07", "65\ne5"]


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
    [(".png", b"\x89PNG"), (".svg", b"<?xml"), (".pdf", b"%PDF"), (".PNG", b"\x89")],
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
    assert "no figure of lstmcli" in run("plot", copied, "--output", mine, exit_code=2).stderr
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
    assert "is not there: looked at" in said


def test_a_run_without_its_data_has_its_curve(runs, tmp_path, run):
    copy = shutil.copytree(runs("text"), tmp_path / "deep" / "down" / "run")
    assert "is not there: looked at" in run("plot", copy).stderr
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
    run("train", *small, "--epochs", 1, "--out", copied, "--overwrite")
    assert (copied / "figures" / "mine.png").read_bytes() == b"mine"
    assert (copied / "figures" / "notes.txt").read_text() == "mine"
    assert (copied / "figures" / "loss.png").read_bytes() != made


def test_a_failure_to_draw_does_not_fail_a_run(run, small, tmp_path):
    mine = tmp_path / "run" / "figures" / "loss.png"
    mine.parent.mkdir(parents=True)
    mine.write_bytes(b"mine")
    done = run("train", *small, "--epochs", 1, "--out", tmp_path / "run")
    assert "warning: no figures: " in done.stderr
    assert mine.read_bytes() == b"mine"
    assert RunDirectory(tmp_path / "run").read_status()["status"] == "completed"


def test_settings_are_those_of_the_run(trained):
    title = figures_of(trained)["loss"].get_suptitle()
    config = Config.build(checkpoints.read(RunDirectory(trained).best).metadata["config"])
    assert f"{config.model.layers} layers of {config.model.state_size} units, 3 seeds" in title
