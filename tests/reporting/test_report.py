"""The page about a run or a sweep: what it says, what it is made of, and how a browser shows it."""

import base64
import hashlib
import html
import itertools
import json
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import lstmcli
from lstmcli import api
from lstmcli.config import Config
from lstmcli.sweeps import load
from lstmcli.sweeps.sweep_dir import SweepDirectory
from lstmcli.sweeps.trial import TrialRow
from lstmcli.training.run_dir import RunDirectory
from pages import SIZES, chromium, parsed, show
from sweeping import without_times

pytestmark = pytest.mark.figures

HOSTILE = '<script>alert("1")</script>\'&amp;'
ROOT = Path(lstmcli.__file__).parent
CODE = re.compile(r"<code>(.*?)</code>")


@pytest.fixture(scope="module")
def run_page(run, trained, tmp_path_factory):
    out = tmp_path_factory.mktemp("page") / "run.html"
    run("report", trained, "--output", out)
    return out


@pytest.fixture(scope="module")
def sweep_page(run, swept, tmp_path_factory):
    out = tmp_path_factory.mktemp("page") / "sweep.html"
    run("report", swept[0], "--output", out)
    return out


@pytest.fixture(params=["run", "sweep"])
def page(request):
    return request.getfixturevalue(f"{request.param}_page")


def commands(page, *begin):
    """The command lines of a page that begin with some words."""
    lines = [shlex.split(html.unescape(line)) for line in CODE.findall(page.read_text("utf-8"))]
    return [line[1:] for line in lines if line[1 : 1 + len(begin)] == list(begin)]


# --- what it says


def test_the_answer_of_a_sweep_is_the_one_that_it_printed(swept, sweep_page):
    assert swept[1]["answer"] in parsed(sweep_page).text


def test_an_answer_is_given_anew_where_none_was_kept(run, swept, tmp_path):
    copy = shutil.copytree(swept[0], tmp_path / "s")
    kept, lines = copy / "sweep.json", (copy / "trials.csv").read_text().splitlines()
    kept.unlink()
    run("report", copy)
    assert swept[1]["answer"] in parsed(copy / "report.html").text
    kept.write_text(json.dumps(json.loads((swept[0] / "sweep.json").read_text())))
    (copy / "trials.csv").write_text("\n".join(lines[:2]) + "\n")  # Of other trials, now.
    run("report", copy)
    assert swept[1]["answer"] not in parsed(copy / "report.html").text
    assert "one depth alone" in parsed(copy / "report.html").text


def test_the_last_row_of_each_seed_reads_as_train_prints_it(run, small):
    printed = run("train", *small, "--replicas", 3, "--out", "r")  # The programs are there already.
    run("report", "r")
    lines = [line for line in printed.stdout.splitlines() if line.startswith("seed ")]
    assert len(lines) == 3
    page, figures = parsed("r/report.html").text, [line.split()[2:] for line in lines]
    assert all(len(each) > 2 for each in figures)
    assert all(figure in page for each in figures for figure in each)


def test_the_best_epoch_is_the_first_with_the_lowest_validation_loss(trained, run_page):
    table = pd.read_csv(trained / "metrics.csv")
    text = parsed(run_page).text
    for _, rows in table.groupby("seed"):
        best = rows[rows.val_loss == rows.val_loss.min()].iloc[0]
        assert f"{best.val_loss:.3g}, in epoch {best.epoch:.0f}" in text


def test_every_setting_is_there_and_the_changed_ones_are_marked(run_page):
    marked = re.findall(r'<tr class="marked"><th[^>]*>(--[^<]*)', run_page.read_text())
    assert marked == ["--layers", "--series-length", "--epochs", "--replicas"]
    options = set(re.findall(r">(--[a-z-]+)</th>", run_page.read_text()))
    assert {"--state-size", "--bptt", "--optimizer", "--data-seed", "--cache"} <= options


def test_provenance_is_what_run_json_says(trained, run_page):
    status, text = json.loads((trained / "run.json").read_text()), parsed(run_page).text
    assert status["version"] in text
    assert all(checksum[:12] in text for checksum in status["data_sha256"])
    assert all(version in text for version in status["libraries"].values())


def test_the_command_of_a_page_trains_the_same_run_again(run, trained, run_page):
    command, from_config = commands(run_page, "train")
    run(*command, "--out", "again")
    assert without_times("again/metrics.csv").equals(without_times(trained / "metrics.csv"))
    assert from_config == ["train", "--config", str(trained / "config.toml")]


def test_the_command_of_a_page_finds_its_sweep_finished(run, swept, sweep_page):
    again, extended = commands(sweep_page, "sweep")
    assert "4 trials, 0 to run" in run(*extended, "--dry-run").stdout
    assert "4 trials, 4 to run" in run(*again, "--dry-run").stdout
    [scored] = commands(sweep_page, "eval")
    assert scored[1:] == [str(swept[0])]


def tried(setting):
    """The rows of the trials that choose a learning rate."""
    choosing = replace(setting.with_seeds(range(10_000, 10_004)), tuning=True)
    return [row | {"status": "tried", "test_loss": None} for row in ended(choosing)]


@pytest.mark.parametrize(
    "settings",
    [
        {"layers": "2", "learning_rate": "0.1,0.3", "seed": "3", "data_seed": "9", "margin": 0.05},
        {
            "layers": "1,2,4",
            "match": "params",
            "state_size": "8",
            "until_solved": True,
            "learning_rate": 0.3,
        },
        {
            "layers": "1-3",
            "state_size": "4,8",
            "epochs": "1,2",
            "task": "adding",
            "seeds": 2,
            "learning_rate": 0.1,
        },
        {"layers": "1-2", "seeds": 3},
    ],
)
def test_a_sweep_of_other_settings_is_found_finished_too(run, settings):
    plan = api.plan_of(settings)
    directory = SweepDirectory(Path("s"))
    with directory.lock():
        directory.begin(plan)
        directory.add([row for each in plan.settings for row in ended(each)], plan.swept)
        if plan.tuned:
            directory.add([row for each in plan.settings for row in tried(each)], plan.swept)
        load.record(directory, plan.asked.margin, [], None)
    run("report", "s")
    _, extended = commands(Path("s/report.html"), "sweep")
    assert f"{plan.trials} trials, 0 to run" in run(*extended, "--dry-run").stdout
    assert ("--margin" in extended) == ("margin" in settings)


def ended(setting):
    """Rows of trials that were never trained."""
    for seed, trial in setting.trials.items():
        row = TrialRow(trial, seed, setting.parameters, "completed", 0, epochs=1)
        yield setting.keys | vars(row) | {"test_loss": 0.5, "chance": 0.7, "replicas": 1}


def with_validation_loss(run_directory, loss):
    """Puts another validation loss into all rows of a run; the table stays as long or longer."""
    file = run_directory / "metrics.csv"
    text = pd.read_csv(file).assign(val_loss=loss).to_csv(index=False)
    file.write_text(text + "\n" * max(0, file.stat().st_size - len(text)))


@pytest.mark.parametrize(
    ("task", "guess", "loss"),
    [
        ("echo", "a uniform guess", np.log(2)),
        pytest.param("adding", "the mean of the target", 1, marks=pytest.mark.slow),
    ],
)
def test_a_run_that_has_learned_nothing_says_so_beside_what_knows_as_little(
    run, small, trained, task, guess, loss
):
    if task == "echo":
        shutil.copytree(trained, "r")
    else:
        run("train", "--task", task, *small, "--out", "r")
    for found, is_said in ((loss - 0.01, False), (loss + 0.01, True)):
        with_validation_loss(Path("r"), found)
        run("report", "r")
        text = parsed("r/report.html").text
        assert ("Nothing was learned that is worth a network" in text) == is_said
        assert (f"does not beat `{guess}`" in text or "none of 3 seeds beats" in text) == is_said
        assert f"baseline: {guess}-{loss:.6f}" in text  # The dash: of no epoch.


def test_the_answer_of_a_task_counts_the_seeds_that_beat_a_guess(trained, run_page):
    lowest = pd.read_csv(trained / "metrics.csv").groupby("seed").val_loss.min()
    beaten = (lowest < np.log(2)).sum()
    answer = parsed(run_page).text
    assert f"{beaten or 'none'} of 3 seeds beat" in answer
    assert f"losses is {lowest.median():.3g}, against 0.693" in answer


def test_the_answer_of_a_text_is_in_bits_per_character(run, runs, files, tmp_path):
    run("report", runs("text"), "--output", tmp_path / "text.html")
    signs = len(set((files / "text.txt").read_text("utf-8")[: 1500 * 8 // 10]))
    loss, guess = 1.5 / np.log(2), np.log2(signs)
    answer = parsed(tmp_path / "text.html").text
    assert "seed 0 beats `a uniform guess`, the best baseline" in answer
    assert f"is 1.5 ({loss:.3g} bits/char), against" in answer
    assert f"({guess:.3g} bits/char)seed 0" in answer


def test_a_page_of_a_relative_directory_says_from_where_its_commands_lead(run, trained, tmp_path):
    shutil.copytree(trained, tmp_path / "r")
    run("report", "r")
    lines = [html.unescape(line) for line in CODE.findall(Path("r/report.html").read_text())]
    assert shlex.split(lines[0]) == ["cd", str(tmp_path)]
    run("report", tmp_path / "r")  # These lead to it from anywhere.
    assert "<code>cd " not in Path("r/report.html").read_text()


def test_the_loss_is_drawn_once(run_page):
    assert parsed(run_page).counts["figure"] == 1


# --- own data, and names that mean harm


@pytest.fixture(scope="module")
def hostile(run, tmp_path_factory):
    """A run on a table whose columns, and in a directory whose name, are markup."""
    folder = tmp_path_factory.mktemp("hostile")
    rng = np.random.default_rng(0)
    table = pd.DataFrame({"a": rng.normal(size=900), HOSTILE: rng.normal(size=900)})
    table.to_csv(folder / "it's.csv", index=False)
    out = folder / "<img src=x onerror=alert(1)>\"'"
    size = ["--layers", 1, "--epochs", 1, "--batch-size", 4, "--bptt", 8]
    run("train", "--data", folder / "it's.csv", f"--target={HOSTILE}", *size, "--out", out)
    run("report", out)
    return out


def test_names_from_files_are_text_and_nothing_else(hostile):
    found = parsed(hostile / "report.html")
    assert found.counts["script"] == 1
    assert found.counts["img"] == 0
    assert HOSTILE in found.text
    assert hostile.name in found.text
    assert not [name for _, attributes in found.tags for name in attributes if name[:2] == "on"]


def test_what_needs_no_network_stands_beside_a_run_on_a_file(hostile):
    reference, *_ = json.loads((hostile / "run.json").read_text())["references"]
    assert f"{reference['loss']:.6f}" in parsed(hostile / "report.html").text


def test_the_answer_of_a_run_on_a_table_is_in_the_targets_units(hostile):
    references = json.loads((hostile / "run.json").read_text())["references"]
    best = min(references, key=lambda each: each["loss"])
    table = pd.read_csv(hostile.parent / "it's.csv")
    lost = pd.read_csv(hostile / "metrics.csv").val_loss.min()
    scale = table[HOSTILE][:720].std(ddof=0)
    answer = parsed(hostile / "report.html").text
    shown = [f"{each:.3g} (rmse {scale * each**0.5:.3g})" for each in (lost, best["loss"])]
    assert (
        f"the best baseline: its lowest validation loss is {shown[0]}, against {shown[1]}" in answer
    )
    assert f"`{best['name']}`" in answer


def test_the_command_of_a_run_on_a_file_names_it(run, hostile):
    command, _ = commands(hostile / "report.html", "train")
    run(*command, "--out", "again")
    assert without_times("again/metrics.csv").equals(without_times(hostile / "metrics.csv"))


# --- the file


def test_the_same_directory_gives_the_same_bytes(run, swept, sweep_page):
    run("report", swept[0], "--output", "again.html")
    assert Path("again.html").read_bytes() == sweep_page.read_bytes()


def test_a_page_is_replaced_and_what_is_no_page_is_not(run, trained, tmp_path):
    copy = shutil.copytree(trained, tmp_path / "r")
    page = copy / "report.html"
    page.write_text("<p>mine</p>")
    assert "already exists" in run("report", copy, exit_code=2).stderr
    assert page.read_text() == "<p>mine</p>"
    page.unlink()
    run("report", copy)
    written = page.read_bytes()
    run("report", copy)
    assert page.read_bytes() == written
    page.write_bytes(written.replace(b"Answer", b"answer"))  # Somebody's now.
    assert "--output" in run("report", copy, exit_code=2).stderr
    run("report", copy, "--output", tmp_path / "other.html")


def test_a_run_that_is_replaced_takes_its_page_along_and_no_other_file(run, trained, tmp_path):
    copy = shutil.copytree(trained, tmp_path / "r")
    run("report", copy)
    run("report", copy, "--output", copy / "mine.html")
    RunDirectory(copy, overwrite=True).begin(
        Config(), **json.loads((copy / "run.json").read_text())
    )
    assert not (copy / "report.html").exists()
    (copy / "mine.html").rename(copy / "report.html")
    (copy / "report.html").write_text("mine")
    RunDirectory(copy, overwrite=True).begin(
        Config(), **json.loads((copy / "run.json").read_text())
    )
    assert (copy / "report.html").read_text() == "mine"


def test_what_is_no_run_and_no_sweep_is_refused(run, tmp_path, trained):
    for path in (tmp_path, tmp_path / "nothing", trained / "run.json"):
        assert "error: " in run("report", path, exit_code=4).stderr
    copy = shutil.copytree(trained, tmp_path / "r")
    (copy / "run.json").write_text("{")
    assert "damaged" in run("report", copy, exit_code=4).stderr


def test_a_run_without_an_epoch_has_a_page(run, trained, tmp_path):
    copy = shutil.copytree(trained, tmp_path / "r")
    (copy / "metrics.csv").unlink()
    shutil.rmtree(copy / "checkpoints")
    status = json.loads((copy / "run.json").read_text())
    (copy / "run.json").write_text(json.dumps(status | {"epochs": 0}))
    run("report", copy)
    assert "no epoch has been completed" in parsed(copy / "report.html").text


@pytest.mark.parametrize("kept", [0, 1, -1], ids=["emptied", "the header", "without its last"])
@pytest.mark.parametrize("checkpoint", ["with", "without"])
def test_a_table_that_has_lost_rows_is_refused(run, trained, tmp_path, kept, checkpoint):
    copy = shutil.copytree(trained, tmp_path / "r")
    lines = (copy / "metrics.csv").read_text().splitlines(keepends=True)
    if checkpoint == "without":  # Then whole epochs can be missed, and no more.
        (copy / "checkpoints/last.safetensors").unlink()
        kept = 3 * kept
    (copy / "metrics.csv").write_text("".join(lines[:kept]))
    assert "has lost rows" in run("report", copy, exit_code=4).stderr


def test_a_half_written_row_is_left_out(run, trained, tmp_path):
    copy = shutil.copytree(trained, tmp_path / "r")
    run("report", copy)
    whole = (copy / "report.html").read_bytes()
    with (copy / "metrics.csv").open("a") as file:
        file.write("4,80,0,0.5")
    run("report", copy)
    assert (copy / "report.html").read_bytes() == whole


@pytest.mark.parametrize("what", ["run", "sweep"])
def test_no_tensorflow_is_loaded_for_a_page(what, trained, swept, python, tmp_path):
    code = (
        "import sys; from lstmcli.cli.app import app; app(sys.argv[1:], standalone_mode=False); "
        "assert not {'tensorflow', 'keras', 'scipy.stats'} & set(sys.modules)"
    )
    path = {"run": trained, "sweep": swept[0]}[what]
    command = [sys.executable, "-c", code, "report", str(path), "--output", "x.html"]
    subprocess.run(command, check=True, cwd=tmp_path, **python)
    assert (tmp_path / "x.html").is_file()


# --- what it is made of


def test_a_page_needs_nothing_but_itself(page):
    text, found = page.read_text("utf-8"), parsed(page)
    assert len(text) < 2_000_000
    addresses = found.values("href", "src", "action", "data", "xlink:href")
    assert all(each.startswith(("#", "data:image/png;base64,")) for each in addresses)
    assert not re.search(r"@import|url\((?!#)", text)
    assert found.counts["link"] == 0


def test_the_policy_lets_nothing_run_but_the_pages_own_code(page):
    found = parsed(page)
    [policy] = [each["content"] for tag, each in found.tags if "http-equiv" in each]
    rules = dict(rule.split(" ", 1) for rule in policy.split("; "))
    assert rules["default-src"] == "'none'"
    for kind, codes in (("style-src", found.styles), ("script-src", found.scripts)):
        digest = hashlib.sha256("".join(codes).encode()).digest()
        assert rules[kind] == f"'sha256-{base64.b64encode(digest).decode()}'"
    assert not found.values("style")  # It would be ignored.


def test_names_within_a_page_are_unique_and_lead_somewhere(page):
    found = parsed(page)
    names = found.values("id")
    assert len(names) == len(set(names))
    wanted = [each[1:] for each in found.values("href") if each.startswith("#")]
    wanted += " ".join(found.values("aria-labelledby", "aria-describedby")).split()
    wanted += re.findall(r"url\(#([^)]*)\)", page.read_text("utf-8"))
    assert set(wanted) <= set(names)


def test_who_does_not_see_a_page_finds_the_way_through_it(page):
    found = parsed(page)
    assert dict(found.tags)["html"] == {"lang": "en"}
    levels = [int(tag[1]) for tag, _ in found.tags if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in itertools.pairwise(levels))
    assert [found.counts[tag] for tag in ("header", "nav", "main", "footer")] == [1] * 4
    figures = [each for tag, each in found.tags if tag == "svg"]
    assert len(figures) == found.counts["figure"] == found.counts["desc"]
    assert all(each["role"] == "img" and "aria-labelledby" in each for each in figures)
    assert all(each["scope"] for tag, each in found.tags if tag == "th")


# --- in a browser


@pytest.fixture(scope="module")
def browser():
    found = chromium()
    yield found
    found.quit()


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_browser_shows_a_page_without_a_complaint(page, browser, size, scheme):
    show(browser, page, size, scheme)
    assert browser.get_log("browser") == []
    assert browser.execute_script("return performance.getEntriesByType('resource').length") == 0
    wide = "return document.documentElement.scrollWidth - document.documentElement.clientWidth"
    assert browser.execute_script(wide) == 0
    ground = "return getComputedStyle(document.documentElement).backgroundColor"
    shade = int(re.findall(r"\d+", browser.execute_script(ground))[0])
    assert (shade < 64) == (scheme == "dark")


def test_a_short_table_is_shown_whole(run_page, browser):
    show(browser, run_page)
    hidden = (
        "return [...document.querySelectorAll('.table .box')].map((each) => "
        "[each.scrollHeight - each.clientHeight, each.scrollWidth - each.clientWidth])"
    )
    assert browser.execute_script(hidden) == [[0, 0]] * 4


def column(browser, place):
    """The cells of a column of the table of trials."""
    return browser.execute_script(
        "return [...document.querySelectorAll('table')[2].tBodies[0].rows]"
        f".map((row) => row.cells[{place}].textContent)"
    )


def test_a_table_is_sorted_by_mouse_and_keyboard(sweep_page, swept, browser):
    from selenium.webdriver.common.keys import Keys

    show(browser, sweep_page)
    table = browser.find_elements("css selector", "table")[2]
    headings = table.find_elements("css selector", "thead th")
    place = [each.text.split("\n")[0].strip(" ↕") for each in headings].index("test loss")
    button = headings[place].find_element("css selector", "button")
    expected = sorted(pd.read_csv(swept[0] / "trials.csv").test_loss)
    button.click()
    assert headings[place].get_attribute("aria-sort") == "ascending"
    assert column(browser, place) == [f"{each:.6g}" for each in expected]
    button.send_keys(Keys.ENTER)
    assert headings[place].get_attribute("aria-sort") == "descending"
    assert column(browser, place) == [f"{each:.6g}" for each in reversed(expected)]


@pytest.mark.parametrize(
    ("cells", "ascending"),
    [
        (["10", "9", "-", "1,000"], ["9", "10", "1,000", "-"]),
        (["1e-05", "0.0001", "2"], ["1e-05", "0.0001", "2"]),
        (["7/8", "1/8", "8/8"], ["1/8", "7/8", "8/8"]),
        (["b", "", "a"], ["a", "b", ""]),
    ],
)
def test_numbers_are_sorted_as_numbers_and_gaps_stay_last(browser, tmp_path, cells, ascending):
    from lstmcli.reporting.html import Page, Section, Table, render_page

    table = Table("t", ["name", "value"], [[str(i), cell] for i, cell in enumerate(cells)])
    (tmp_path / "x.html").write_text(render_page(Page("x", "y", [], [], [Section("s", [table])])))
    show(browser, tmp_path / "x.html")
    button = browser.find_elements("css selector", "th button")[1]
    found = "return [...document.querySelectorAll('td')].map((cell) => cell.textContent)"
    button.click()
    assert browser.execute_script(found) == ascending
    button.click()
    last = [each for each in ascending if each in ("", "-")]
    assert browser.execute_script(found) == [*ascending[: len(ascending) - len(last)][::-1], *last]


def test_a_command_is_copied(run_page, browser):
    show(browser, run_page)
    browser.execute_cdp_cmd(
        "Browser.grantPermissions",
        {"permissions": ["clipboardReadWrite", "clipboardSanitizedWrite"]},
    )
    browser.find_element("css selector", ".command button").click()
    text = browser.execute_async_script(
        "navigator.clipboard.readText().then(arguments[0], (error) => arguments[0](String(error)))"
    )
    assert shlex.split(text)[1:] == commands(run_page, "train")[0]


def test_everything_can_be_read_without_the_script(page, tmp_path, browser):
    show(browser, page)
    visible = (
        "return [...document.querySelectorAll('body *')]"
        ".filter((each) => each.childElementCount === 0).map((each) => each.innerText ?? '')"
    )
    with_script = browser.execute_script(visible)
    without = tmp_path / "without.html"
    without.write_text(re.sub(r"<script>.*?</script>", "", page.read_text(), flags=re.DOTALL))
    show(browser, without)
    assert browser.find_elements("css selector", "th button") == []
    of_script = re.compile(r'Copy|"use strict".*', re.DOTALL)
    expected = {each for each in with_script if not of_script.fullmatch(each)}
    assert set(browser.execute_script(visible)) == expected
