"""The table of runs: what is in it, in which order, how wide; and runs side by side."""

import csv
import hashlib
import io
import json
import math
import os
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from matplotlib import colors

import lstmcli
from lstmcli.reporting import run_table, side_by_side
from lstmcli.reporting import runs as reading
from lstmcli.training.run_dir import RunDirectory, SweepFiles
from lstmcli.utils.locks import lock
from many_runs import write_run, write_sweep

LOSSES = [0.5, 0.25, 0.375]


@pytest.fixture
def five():
    """Three runs, one of them damaged; one that was killed; and a sweep, the oldest."""
    write_run(Path("runs/run-9"), LOSSES, number=1, layers=1)
    write_run(Path("runs/run-10"), [0.5, 0.2], number=2, layers=3, epochs=4, seeds=(0, 1))
    write_run(Path("runs/old/killed"), [0.5], status="running", number=3, layers=2, epochs=10)
    write_run(Path("runs/broken"), LOSSES, number=4).status.write_text('{"status": "comp')
    write_sweep(Path("runs/sweep"), [(1, 0, 0.5, 0.75, 0.625), (2, 0, 0.375, 0.5, 0.25)])
    os.utime("runs/broken", (1e9, 1e9))
    os.utime("runs/sweep/sweep.toml", (1.1e9, 1.1e9))
    Path("runs/latest").symlink_to("run-9")
    Path("runs/notes").mkdir()


def listed(run, *options):
    return json.loads(run("runs", *options, "--json").stdout)["runs"]


def names(rows):
    return [row["name"] for row in rows]


def test_runs_and_sweeps_are_listed_once_each_and_the_newest_is_first(run, five):
    found = listed(run)
    assert names(found) == ["old/killed", "run-10", "run-9", "sweep", "broken"]
    assert [row["kind"] for row in found] == ["run", "run", "run", "sweep", "run"]
    lines = run("runs").stdout.splitlines()
    assert [line.split()[0] for line in lines] == ["name", *names(found)]


def test_a_row_says_what_the_tables_of_the_run_say(run, five):
    [row] = [row for row in listed(run) if row["name"] == "run-10"]
    table = pd.read_csv("runs/run-10/metrics.csv")
    best = table.loc[table.val_loss.idxmin()]
    assert row["val_loss"] == best.val_loss == 0.2
    assert row["excess"] == best.val_gap
    assert row["seconds"] == table.elapsed_seconds.max()
    assert (row["layers"], row["state_size"], row["seeds"]) == (3, 4, 2)
    assert (row["epochs"], row["epochs_planned"]) == (2, 4)
    [line] = [line for line in run("runs").stdout.splitlines() if line.startswith("run-10")]
    assert line.split()[1:9] == ["completed", "echo", "after", "3", "steps", "3x4", "2", "2/4"]


def test_a_sweep_is_a_row_with_its_depths_and_its_best_trial(run, five):
    [row] = listed(run, "--where", "kind=sweep")
    assert row["layers"] == [1, 2]
    assert row["val_loss"] == 0.375
    assert row["excess"] == 0.25
    assert row["seconds"] == 3.0
    assert "1,2x4" in run("runs").stdout


def test_of_a_sweep_its_answers_are_shown_in_a_few_words_and_its_own_echo_step(run, five):
    files = SweepFiles(Path("runs/sweep"))
    files.config.write_text(files.config.read_text().replace("echo_step = 3", "echo_step = 6"))
    known = {"trials_sha256": hashlib.sha256(files.trials.read_bytes()).hexdigest()}
    old = known | {"answers": ["2 layers are enough: 8 of 8 seeds solve it; 1 layer is worse"]}
    parts = {"parts": [{"short": "2 layers"}, {"short": "cannot tell"}]}
    for kept, shown in [({}, None), (old, "2 layers are enough"),
                        (old | parts, "2 layers; cannot tell")]:  # fmt: skip
        files.status.write_text(json.dumps(kept))
        [row] = listed(run, "--where", "kind=sweep")
        assert (row["answer"], row["data"]) == (shown, "echo after 6 steps")
    assert "2 layers; cannot tell" in run("runs").stdout
    files.trials.write_text(files.trials.read_text() + "3,4,0,7,0.5,0.5,0.5,,1,trials/3\n")
    [row] = listed(run, "--where", "kind=sweep")
    assert row["answer"] is None  # It is that of other trials.


def test_of_a_sweeps_directory_the_runs_of_its_settings_are_listed(run, five):
    for layers in (1, 2):
        write_run(Path(f"runs/sweep/trials/{layers}x4"), LOSSES, number=layers, layers=layers)
    assert names(listed(run, "runs/sweep")) == ["trials/2x4", "trials/1x4"]
    assert names(listed(run, "runs/latest")) == ["runs/run-9"]
    assert names(listed(run, "runs/run-9", "runs")).count("runs/run-9") == 1
    assert len(listed(run)) == 5


def test_of_a_file_a_loss_is_held_against_the_best_that_needs_no_network(run):
    references = [{"name": "mean", "loss": 1.0}, {"name": "last value", "loss": 0.5}]
    place = write_run(Path("runs/a"), LOSSES, more={"references": references})
    table = pd.read_csv(place.metrics).assign(bayes_loss="", val_gap="")
    table.to_csv(place.metrics, index=False)
    [row] = listed(run)
    assert row["ratio"] == 0.25 / 0.5
    assert row["excess"] is None
    assert "of baseline" in run("runs").stdout


def test_a_damaged_directory_is_a_row_that_says_so(run, five):
    RunDirectory(Path("runs/run-9")).metrics.write_text("epoch,step,seed\n1,x,0\n")
    place = write_run(Path("runs/lost"), LOSSES)
    place.config.touch()
    place.status.unlink()
    found = {row["name"]: row for row in listed(run)}
    assert {name for name, row in found.items() if row["error"]} == {"broken", "run-9", "lost"}
    assert found["broken"]["status"] == "damaged"
    result = run("runs", "--sort", "name")
    assert result.stdout.count(" damaged ") == 3
    assert "note: broken: `runs/broken/run.json` is damaged" in result.stderr
    assert "metrics.csv`" in result.stderr


@pytest.mark.parametrize(
    "content", ["[]", "{}", '{"status": 5}', "\0", '{"settings": {"a": 1}}', "[" * 100_000]
)
def test_a_record_of_any_content_is_no_more_than_a_damaged_row(run, five, content):
    RunDirectory(Path("runs/run-9")).status.write_text(content)
    Path("runs/sweep/trials.csv").write_text("layers,seed\na,b\n")
    found = {row["name"]: row["status"] for row in listed(run)}
    assert found["run-9"] == found["sweep"] == "damaged"
    assert found["run-10"] == "completed"


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=4,
)


@given(
    value=ANYTHING,
    name=st.sampled_from(["layers", "epochs", "data", "echo_step", "state_size", "optimizer"]),
    field=st.sampled_from(["seeds", "started", "elapsed_seconds", "bayes_loss", "references"]),
    status=st.sampled_from(["completed", "running"]),
    other=ANYTHING,
)
@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_a_record_says_of_a_run_it_is_listed(tmp_path, value, name, field, status, other):
    place = RunDirectory(tmp_path / "runs" / "a")
    if not place.path.exists():
        write_run(place.path, LOSSES)
        write_run(tmp_path / "runs" / "b", LOSSES)
    known = json.loads((tmp_path / "runs/b/run.json").read_text())
    known |= {"status": status, field: other}
    group = next(table for table in known["settings"].values() if name in table or name == "data")
    group[name] = value
    place.status.write_text(json.dumps(known))
    rows = reading.listed_in([tmp_path / "runs"])
    assert sorted(names(rows)) == ["a", "b"]
    for column in (*reading.COLUMNS, name):
        run_table.in_order(rows, column)
        run_table.where(rows, [f"{column}=3"])
    run_table.fitting(run_table.cells(rows), 60)
    run_table.cells(rows, [*reading.COLUMNS, name])


def test_a_run_that_is_running_shows_how_far_it_is_and_a_killed_one_that_it_is_not(run, five):
    place = Path("runs/old/killed")
    assert "killed  " in run("runs").stdout
    with lock(place):
        [row] = listed(run, "--where", "status=running")
        assert (row["name"], row["epochs"], row["epochs_planned"]) == ("old/killed", 1, 10)
        assert "running 10 %" in run("runs").stdout
        with place.joinpath("metrics.csv").open("a") as file:
            file.write("2,13")  # Of a line that is being written the rest is to come.
        assert listed(run, "--where", "status=running") == [row]
    with lock(Path("runs/sweep")):
        assert "running, 2 done" in run("runs").stdout


def test_rows_are_chosen_by_columns_and_by_settings(run, five):
    assert names(listed(run, "--where", "status=completed", "--where", "layers=3")) == ["run-10"]
    assert names(listed(run, "--where", "layers=2")) == ["old/killed", "sweep"]
    assert names(listed(run, "--where", "learning_rate=0.30")) == ["old/killed", "run-10", "run-9"]
    assert names(listed(run, "--where", "optimizer=adam")) == []
    assert "no such run" in run("runs", "--where", "optimizer=adam").stderr


def test_rows_are_sorted_by_numbers_in_names_too_and_what_is_not_known_is_last(run, five):
    by_loss = ["run-10", "run-9", "sweep", "old/killed", "broken"]
    assert names(listed(run, "--sort", "val_loss")) == by_loss
    turned = [*by_loss[:4][::-1], "broken"]
    assert names(listed(run, "--sort", "-val_loss")) == turned
    assert names(listed(run, "--sort", "name"))[2:4] == ["run-9", "run-10"]
    assert names(listed(run, "--sort", "layers"))[-1] == "broken"


def test_columns_are_those_that_are_asked_for_in_the_table_and_as_csv(run, five):
    asked = "name, learning_rate,val_loss"
    lines = run("runs", "--columns", asked, "--where", "layers=3").stdout.splitlines()
    assert [line.split() for line in lines] == [
        ["name", "learning_rate", "val_loss"],
        ["run-10", "0.3", "0.2"],
    ]
    text = run("runs", "--columns", asked, "--csv").stdout
    rows = list(csv.DictReader(io.StringIO(text)))
    assert [row["val_loss"] for row in rows] == ["0.5", "0.2", "0.25", "0.375", ""]
    whole = pd.read_csv(io.StringIO(run("runs", "--csv").stdout))
    assert list(whole) == list(reading.COLUMNS)


def test_a_narrow_screen_shows_what_differs_and_cuts_nothing(run, five):
    rows = [row for row in reading.listed_in([Path("runs")]) if row["status"] == "completed"]
    rows = [row | {"name": f"2026-11-27-12000{n}-echo-3x4"} for n, row in enumerate(rows)]
    columns = run_table.cells(rows)
    wide, same = run_table.fitting(columns, None)
    assert wide == columns
    assert not same
    narrow, same = run_table.fitting(columns, 80)
    assert same == {"status": "completed", "data": "echo after 3 steps"}
    assert {name: columns[name] for name in narrow} == narrow
    assert set(columns) - set(narrow) - set(same) == {"started"}  # It is in each name.


def test_runs_side_by_side_show_the_settings_that_differ_and_the_ends_of_their_curves(run, five):
    text = run("runs", "runs/run-9", "runs/run-10").stdout
    found = json.loads(run("runs", "runs/latest", "runs/run-10", "--json").stdout)
    assert found["runs"] == ["runs/run-9", "runs/run-10"]
    assert found["settings"] == {"layers": [1, 3], "epochs": [3, 4]}
    last = [pd.read_csv(f"runs/{name}/metrics.csv") for name in ("run-9", "run-10")]
    means = [table[table.epoch == table.epoch.max()].loss.mean() for table in last]
    assert all(map(math.isclose, found["ends"]["training loss"], means))
    assert found["ends"]["best validation loss"] == [0.25, 0.2]
    assert found["ends"]["in epoch"] == [2, 2]
    assert text.splitlines()[1].split() == ["layers", "1", "3"]
    assert "learning_rate" not in text
    table = run("runs", "runs/run-9", "runs/run-10", "--csv").stdout
    assert table.splitlines()[:2] == ["name,runs/run-9,runs/run-10", "layers,1,3"]


def test_a_damaged_run_is_refused_side_by_side_and_named(run, five):
    result = run("runs", "runs/run-9", "runs/broken", exit_code=4)
    assert "`runs/broken/run.json` is damaged" in result.stderr


def test_all_curves_are_in_one_figure(run, five):
    result = run("runs", "runs/run-9", "runs/run-10", "runs/old/killed", "--output", "all.png")
    assert Path("all.png").exists()
    assert result.stdout
    compared = side_by_side.read([Path("runs/run-9"), Path("runs/run-10")])
    [axes] = side_by_side.figure(compared).axes
    lines = {line.get_label(): line for line in axes.lines if line.get_label()[0] != "_"}
    first, second = lines.values()
    assert list(first.get_ydata()) == LOSSES
    assert list(second.get_ydata()) == [0.5625, 0.2625]  # The median over two seeds.
    assert colors.to_hex(first.get_color()) != colors.to_hex(second.get_color())


def test_python_gets_the_table_as_a_data_frame(five):
    table = lstmcli.runs()
    assert list(table.columns[: len(reading.COLUMNS)]) == list(reading.COLUMNS)
    assert table.set_index("name").val_loss["run-10"] == 0.2
    assert "learning_rate" in table
