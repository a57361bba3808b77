"""`lstmcli probe` on trained models: what it says, writes and refuses."""

import json
import re
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

import lstmcli
from lstmcli import api
from lstmcli.probes import run
from lstmcli.reporting.figures import probe
from readable import assert_no_legend_on_a_line, assert_readable


@pytest.fixture(scope="session")
def article(run, tmp_path_factory):
    """The article's model after a few epochs: solved. Not to be written to."""
    directory = tmp_path_factory.mktemp("article") / "run"
    run("train", "--epochs", 8, "--out", directory)
    return directory


def line(table, layer, state="h", network="trained"):
    chosen = (table.layer == layer) & (table.state == state) & (table.network == network)
    return table[chosen].set_index("lag").memory


def test_the_trained_article_model_recovers_lag_3_and_the_probe_says_where(article, run):
    table = lstmcli.probe(article).table
    assert line(table, 3)[3] > 0.98
    assert line(table, "all")[[0, 1, 2, 3]].min() > 0.95
    assert line(table, 3)[0] < 0.5 < line(table, 1)[0]  # The top has let go of what is new.
    assert line(table, 3, network="untrained")[3] < 0.3
    printed = run("probe", article).stdout.splitlines()
    [top] = [each.split() for each in printed if each.startswith("3 h")]
    first, _, last = top[-1].partition("-")
    assert int(first) <= 3 <= int(last)


def test_csv_json_and_python_have_the_same_numbers(trained, run, tmp_path):
    for mode in ([], ["--gradient"], ["--ablate"]):
        file = tmp_path / "probe.csv"
        result = run("probe", trained, *mode, "--lags", 5, "--csv", file, "--json")
        [printed] = json.loads(result.stdout)["probes"]
        table = lstmcli.probe(
            trained, gradient="--gradient" in mode, ablate="--ablate" in mode, lags=5
        ).table
        written = pd.read_csv(file)
        assert list(written.columns) == list(table.columns) == list(printed["results"][0])
        assert len(printed["results"]) == len(table)
        number = {"--gradient": "norm", "--ablate": "loss"}.get("".join(mode), "memory")
        assert written[number].to_numpy() == pytest.approx(table[number].to_numpy(), rel=1e-14)
        assert [each[number] for each in printed["results"]] == list(table[number])


def test_probing_does_without_tensorflow(trained, python):
    code = (
        "import sys; from lstmcli.cli.app import app\n"
        f"for mode in ([], ['--gradient'], ['--ablate']):\n"
        f"    app(['probe', {str(trained)!r}, '--lags', '3', *mode], standalone_mode=False)\n"
        "assert 'tensorflow' not in sys.modules and 'keras' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, **python)


def test_several_seeds_have_rows_of_their_own_and_three_no_interval(trained, run):
    table = lstmcli.probe(trained, lags=9).table
    assert sorted(table.seed.unique()) == [0, 1, 2]
    printed = run("probe", trained, "--lags", 9).stdout
    assert "mean of 3 seeds" in printed
    assert " to " not in printed


@pytest.mark.parametrize("mode", [[], ["--gradient"], ["--ablate"]])
def test_tables_fit_a_terminal_of_80_columns(mode, trained, run, monkeypatch):
    from lstmcli.utils import terminal

    monkeypatch.setattr(terminal, "width", lambda stream: 80)
    for where in (trained, trained / "checkpoints" / "last.safetensors"):
        lines = run("probe", where, *mode, "--lags", 9).stdout.splitlines()
        assert max(len(each) for each in lines if not each.startswith("checkpoint:")) <= 80


def test_checkpoints_beside_each_other_are_told_apart(trained, trained_on_file, run, tmp_path):
    file = tmp_path / "both.csv"
    run("probe", trained, trained_on_file, "--csv", file, "--lags", 2)
    table = pd.read_csv(file)
    assert table.checkpoint.nunique() == 2
    assert set(table[table.checkpoint == table.checkpoint.iloc[-1]].layer) == {1, "1"} & set(
        table.layer
    )


def test_a_file_is_probed_on_its_test_part_or_on_another_file(trained_on_file, run, tmp_path):
    assert "data.csv (test part)" in run("probe", trained_on_file, "--lags", 2).stdout
    other = tmp_path / "other.csv"
    run("generate", other, "--series-length", 2000, "--classes", 3, "--echo-step", 1)
    assert "data: other.csv" in run("probe", trained_on_file, "--data", "other.csv").stdout
    found = lstmcli.probe(trained_on_file, other, lags=2)
    assert found.table.most.max() == pytest.approx(np.log2(3), abs=0.02)


def test_a_text_is_remembered_in_bits_of_a_character(run, tmp_path):
    words = np.random.default_rng(0).choice(["aba ", "cad ", "ee "], 3000)
    (tmp_path / "words.txt").write_text("".join(words))
    small = ("--layers", 1, "--state-size", 24, "--bptt", 8, "--batch-size", 16)
    run("train", "--data", "words.txt", *small, "--epochs", 1, "--out", "text")
    table = lstmcli.probe("text", lags=3).table
    assert list(table.unit.unique()) == ["bits"]
    assert 1.5 < line(table, 1)[0] <= table.most.max()
    run("probe", "text", "--lags", 3, "--gradient")
    run("probe", "text", "--lags", 3, "--ablate")


@pytest.mark.slow
def test_numbers_of_sequences_are_remembered_as_r_squared(run):
    adding = ("--task", "adding", "--sequence-length", 12, "--series-length", 3000)
    run("train", *adding, "--layers", 1, "--epochs", 1, "--out", "adding")
    table = lstmcli.probe("adding", lags=14).table
    assert "r_squared" in set(table.unit)
    assert table[table.lag == 14].memory.isna().all()  # Sequences have 13 steps at most.
    assert table[table.lag == 5].memory.notna().all()
    assert "-" in run("probe", "adding", "--lags", 14).stdout


def test_what_cannot_be_probed_is_refused(trained, run, tmp_path):
    result = run("probe", trained, "--gradient", "--ablate", exit_code=2)
    assert "exclude each other" in result.stderr
    assert "hint: " in result.stderr
    assert "must end with" in run("probe", trained, "--output", "a.jpeg", exit_code=2).stderr
    for name in ("mine.csv", "mine.png"):
        (tmp_path / name).write_text("mine,of,course\n")
    assert "no probe" in run("probe", trained, "--csv", "mine.csv", exit_code=2).stderr
    assert "is not a figure" in run("probe", trained, "--output", "mine.png", exit_code=2).stderr
    run("probe", tmp_path, exit_code=4)
    run("probe", trained, "--lags", 0, exit_code=2)
    with pytest.raises(lstmcli.utils.errors.UsageError, match="device"):
        api.probe(trained, device="cpu")


def test_own_files_are_replaced(trained, run, tmp_path):
    for mode in ([], ["--ablate"]):
        run("probe", trained, *mode, "--csv", "a.csv", "--output", "a.svg", "--lags", 3)
    assert "zeroed" in (tmp_path / "a.csv").read_text()


@pytest.mark.figures
@pytest.mark.parametrize("ending", ["png", "svg", "pdf"])
def test_the_same_probe_gives_the_same_figure(ending, trained, run, tmp_path):
    for name in ("one", "two"):
        run("probe", trained, "--lags", 4, "--output", f"{name}.{ending}")
    one, two = ((tmp_path / f"{name}.{ending}").read_bytes() for name in ("one", "two"))
    assert one == two
    assert len(one) > 5000


def drawn(found):
    figure = probe.probe_figure(found)
    assert_readable(figure)
    for axes in figure.axes:
        assert_no_legend_on_a_line(axes)
    return figure


def test_the_heat_map_shows_the_tables_means_trained_beside_untrained(trained):
    found = lstmcli.probe(trained, lags=12)
    figure = drawn([found, found])
    images = [axes.images[0] for axes in figure.axes if axes.images]
    assert len(images) == 4
    for image, network in zip(images, ["trained", "untrained"] * 2, strict=True):
        shown = image.get_array()
        table = found.table[found.table.network == network]
        means = table.groupby(["layer", "state", "lag"], sort=False).memory.mean().unstack()
        assert np.allclose(shown, means.to_numpy()[:, : shown.shape[1]])


def test_figures_of_gradients_and_ablations_have_axes_with_units(trained):
    gradient = drawn([lstmcli.probe(trained, gradient=True, lags=20)])
    assert "lag in steps" in gradient.axes[0].get_xlabel()
    truncated = gradient.axes[0].lines[1]
    assert np.nanmax(truncated.get_xdata()[np.isfinite(truncated.get_ydata())]) == 14
    ablation = drawn([lstmcli.probe(trained, ablate=True, lags=5)] * 2)
    assert ablation.axes[0].get_ylabel() == "loss"
    assert run.ABLATION in probe.KINDS


def test_what_rows_are_too_short_for_has_no_gradient(trained, run):
    table = lstmcli.probe(trained, gradient=True, series_length=300).table
    assert table.lag.max() == 30  # Half of rows of 60 steps; four windows are 60.
    printed = run("probe", trained, "--gradient", "--series-length", 300).stdout
    assert re.search(r"% with 15,\s+\S+% with 30,\s+-\s+with 60", printed)
    assert "The rows have 60 steps" in printed
