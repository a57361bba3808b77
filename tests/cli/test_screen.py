"""What the screen shows while the program runs: in a terminal, a dumb one, and a pipe."""

import os
import re

import numpy as np
import pytest
from rich.console import Console

from lstmcli.cli import progress
from lstmcli.cli.progress import SweepView, TrainingView, progress_style
from lstmcli.config import Config
from lstmcli.core import runner, tensorflow
from lstmcli.training import run_dir, trainer
from lstmcli.training.metrics import EpochRow
from lstmcli.training.trainer import Progress
from terminal import Terminal

LARGE = "--layers 3 --state-size 256 --batch-size 64 --bptt 64 --series-length 200000 --epochs 1"
SMALL = "--layers 1 --series-length 750 --epochs 2 --out run"
TWO = "--layers 1-2 --seeds 1 --learning-rate 0.3 --jobs 1 --epochs 1000 --out sweep"
ESCAPE = "\x1b"


@pytest.fixture
def environment(python, tmp_path):
    """A terminal's, with a cache of compiled programs that is empty."""
    known = {name: value for name, value in python["env"].items() if name != "NO_COLOR"}
    return known | {"TERM": "xterm-256color", "XDG_CACHE_HOME": str(tmp_path / "cache")}


def assert_moves(gaps):
    """Whether a screen changed at least twice a second, with room for a busy machine."""
    assert gaps
    assert len(gaps) >= 2 * sum(gaps)
    assert max(gaps) < 1.5


@pytest.mark.slow
def test_the_bar_of_a_large_model_moves_and_says_what_it_does_and_ctrl_c_leaves_one(environment):
    with Terminal("train", *LARGE.split(), "--out", "run", env=environment) as terminal:
        terminal.until(r"training ([4-9]|\d\d)/48")
        terminal.type("\x03")
        screen = terminal.until()
    for phase in ("loading TensorFlow", "compiling", "training"):
        assert_moves(terminal.gaps(phase))
    counted = {found for _, seen in terminal.seen for found in re.findall(r"training \d+/", seen)}
    assert len(counted) > 1
    assert terminal.code == 130
    *header, bar, error, hint = screen.splitlines()
    assert [line.split(":")[0] for line in header[:2]] == ["settings", "data"]
    assert any(line.startswith("time: about ") for line in header)
    assert not any("loss (log scale)" in line for line in header)
    assert bar.startswith("epoch 1/1 training")
    assert error.startswith("error: stopped by Ctrl-C in epoch 1")
    assert hint.startswith("hint: ")


@pytest.mark.slow
def test_the_bars_of_a_sweep_move_and_ctrl_c_leaves_each_once(environment):
    with Terminal("sweep", *TWO.split(), env=environment) as terminal:
        terminal.until(r"2x4-seeds-0-0 +waiting[^\0]*settings ended, loading TensorFlow")
        terminal.until(r"training[^\0]*settings ended", seconds=120)
        reached = len(terminal.seen)
        while len(terminal.seen) < reached + 6:
            terminal.until(r"settings ended")
        terminal.type("\x03")
        terminal.until()
    assert_moves(terminal.gaps("settings ended"))
    assert_moves(terminal.gaps("training"))
    found = str(terminal.screen).splitlines()
    assert [line[:13] for line in found[:2]] == sorted(["1x4-seeds-0-0", "2x4-seeds-0-0"])
    assert found[2].startswith("0 of 2 settings ended")
    assert found[3].startswith("error: stopped by Ctrl-C")
    assert found[4].startswith("hint:")  # Its command stays whole, on the next line.
    assert str(terminal.screen).count("settings ended") == 1


@pytest.mark.slow
def test_a_dumb_terminal_gets_no_escape_sequence(environment):
    with Terminal("train", *SMALL.split(), env=environment | {"TERM": "dumb"}) as terminal:
        terminal.until()
    assert terminal.code == 0
    assert "epoch 2/2" in terminal.output
    assert ESCAPE not in terminal.output


@pytest.mark.parametrize("setting", [{"TERM": "dumb"}, {"NO_COLOR": "1"}])
def test_an_error_has_colour_only_where_it_is_wanted(environment, setting):
    for chosen, coloured in (({}, True), (setting, False)):
        with Terminal("train", "--layers", "0", env=environment | chosen) as terminal:
            terminal.until()
        assert terminal.code == 2
        assert (ESCAPE in terminal.output) is coloured


@pytest.mark.slow
def test_the_c_locale_gets_ascii_alone(environment):
    plain = {name: value for name, value in environment.items() if not name.startswith("PYTHONIO")}
    with Terminal("train", *SMALL.split(), env=plain | {"LC_ALL": "C"}) as terminal:
        terminal.until()
    assert "loading TensorFlow ..." in terminal.output
    assert re.search(r"epoch 2/2 .*#{8}", str(terminal.screen))
    assert terminal.output.isascii()


def test_native_errors_of_a_first_call_show_and_the_caches_complaint_does_not(capfd, monkeypatch):
    monkeypatch.setenv("TF_XLA_FLAGS", "--tf_xla_persistent_cache_directory=x")
    with tensorflow.first_call():
        os.write(2, b"Error parsing text-format tensorflow.XlaSerializedCacheEntry\nout of room\n")
    assert capfd.readouterr().err == "out of room\n"
    with pytest.raises(ZeroDivisionError), tensorflow.first_call():
        raise ZeroDivisionError(os.write(2, b"why\n"))
    assert capfd.readouterr().err == "why\n"


def test_calls_get_shorter_where_windows_take_longer_than_guessed_and_longer_again(monkeypatch):
    now = 0.0
    monkeypatch.setattr(runner, "time", type("Clock", (), {"monotonic": staticmethod(lambda: now)}))
    paced, counts = runner.ChunkSizer(1000), []
    for window_seconds in [20] + [1 / 1024] * 6 + [1 / 8] * 2 + [3] * 2 + [1 / 1024] * 4:
        counts.append(paced.windows)
        with paced.call(paced.windows):
            now += window_seconds * paced.windows
    assert counts == [1, 1, 8, 64, 409, 409, 409, 409, 3, 3, 1, 1, 8, 64, 409]


def test_a_ragged_end_does_not_slow_the_next_epoch_down(monkeypatch):
    paced = runner.ChunkSizer(100)
    for count in (1, 1, 8, 64, 100, 1):
        with paced.call(count):
            pass
    assert paced.windows == 100


def test_training_tells_its_phases_before_they_begin(tmp_path):
    config = Config.build(layers=1, series_length=1500, epochs=2)
    run = trainer.prepare(config, run_dir.create(tmp_path / "run", "", overwrite=False))
    found = [
        (record.epoch, record.phase, record.windows) if isinstance(record, Progress) else "rows"
        for record in trainer.train(run)
    ]
    assert found[:3] == [(1, "compiling", 0), (1, "training", 1), (1, "training", 2)]
    first, second = (n for n, record in enumerate(found) if record == "rows")
    assert found[first - 1 : first + 2] == [(1, "validating", 20), "rows", (2, "training", 0)]
    assert (found[second - 1], second) == ((2, "validating", 20), len(found) - 1)


# --- what the views say


def shown(view, columns=80):
    """The lines of a view, in a terminal of some columns."""
    view._bars.live.console = Console(width=columns)
    return [str(line) for line in view._bars.get_renderables()]


ROW = EpochRow(2, 96, 0, 0.00032, 0.99987, None, None, 0.0002, 0.3, 1.0, 1.0, 2.0)


def test_training_says_its_phase_its_windows_and_how_far_the_floor_is():
    view = TrainingView("none", epochs=9, floor=0.0002)
    for arguments, words in [
        ((1, 0, 48, np.nan, "compiling"), ["epoch 1/9 compiling"]),
        ((1, 5, 48, 0.6931), ["epoch 1/9 training 5/48", "loss 0.69310 3466x Bayes"]),
        ((1, 48, 48, 0.5, "validating"), ["epoch 1/9 validating", "loss 0.69310 3466x Bayes"]),
    ]:
        view.windows(*arguments)
        [line] = shown(view)
        assert all(word in line for word in words), line
        assert "nan" not in line
    view.log([ROW])
    assert "loss 0.00032 1.6x Bayes acc 0.9999" in " ".join(shown(view, 100)[0].split())
    assert "loss 0.00032 1.6x Bayes" in shown(view, 80)[0]


@pytest.mark.parametrize("columns", [40, 50, 60, 70, 80, 100, 200])
def test_a_bar_gives_way_to_its_figures(columns):
    view = TrainingView("none", epochs=1000, floor=0.0002)
    view.windows(1000, 5, 48, 0.6931)
    [line] = shown(view, columns)
    assert "epoch 1000/1000 training 5/48" in line
    assert "loss 0.69310 3466x Bayes" in line
    assert len(line) <= max(columns - 2, 56)


def test_the_columns_of_a_bar_stand_still_once_they_have_been_seen():
    view = TrainingView("none", epochs=1000, floor=0.0002)
    places = set()
    for windows, loss in [(47, 0.69315), (5, 0.00032), (12, 0.0021), (9, 0.25)]:
        view.windows(7, windows, 48, loss)
        [line] = shown(view, 90)
        places.add((line.index("loss"), line.count("-") + line.count("#") + line.count("━")))
    assert len(places) == 1


def test_a_sweep_whose_workers_start_says_that_they_load_tensorflow():
    view = SweepView("none", [("1x4", 10), ("2x4", 10)])
    assert "loading TensorFlow" in shown(view)[-1]
    view.setting("1x4", "compiling", 0, 0, 5)
    assert "loading" not in shown(view)[-1]


def test_a_sweep_of_many_settings_shows_those_under_way_and_counts_the_others():
    names = [f"{layers}x4-seeds-0-7" for layers in range(1, 31)]
    view = SweepView("none", [(name, 10) for name in names])
    assert len(shown(view)) == 1
    view.setting(names[0], "compiling", 0.5, 0, 8)
    view.setting(names[1], "training", 3, 2, 8)
    view.setting(names[2], "failed", 0, 0, 8, left=83, ended=True)
    compiling, training, count = shown(view)
    assert compiling.startswith("1x4-seeds-0-7   compiling")
    assert training.startswith("2x4-seeds-0-7   training")
    assert "2/8 solved" in training
    assert count.startswith("1 of 30 settings ended  1:23 left")


def test_a_dumb_terminal_is_not_asked_to_move_a_bar(monkeypatch):
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    monkeypatch.setenv("TERM", "dumb")
    assert progress_style("auto") == progress_style("rich") == "plain"


@pytest.mark.parametrize(
    ("seconds", "text"), [(7.24, "7.2 s"), (67.2, "1:07.2"), (3607.2, "1:00:07.2")]
)
def test_a_clock_runs_in_tenths(seconds, text):
    assert progress.clock(seconds) == text
