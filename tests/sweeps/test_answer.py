"""What a sweep's answer is made of: its headline, a row for each depth, and its caveats."""

import json
import math
import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from drawn_trials import CHANCE, trials
from lstmcli import api
from lstmcli.cli import answer_text
from lstmcli.data.datasets import open_source
from lstmcli.data.schema import Categorical, Numeric
from lstmcli.data.target import NumberTarget, TextTarget
from lstmcli.reporting import sweep_page
from lstmcli.sweeps import answer, axis, conclusion, load, run, summary, workers
from lstmcli.sweeps.answer_parts import Answer
from lstmcli.sweeps.comparison import Losses, compare_depths
from lstmcli.sweeps.data_info import NATS
from lstmcli.utils.errors import UsageError
from sweeping import invented

LOW = [0.0020, 0.0021, 0.0022, 0.0023, 0.0024, 0.0025, 0.0026, 0.0027]
HIGH = [0.5, 0.52, 0.54, 0.56, 0.58, 0.5, 0.51, 0.52]
MIXED = [LOW[place] for place in (7, 6, 1, 2, 5, 4, 0, 3)]
UNITS = NumberTarget((Numeric("load", scale=12.0),))
TEXT = TextTarget((Categorical("next character", 2),))


def verdict(losses, margin=0.01, until_solved=False, reference=None, loss=math.nan, **columns):
    table = trials(losses, **columns).assign(reference=reference, reference_loss=loss)
    return summary.summarize(table, [], margin, until_solved)[1][0]


def on_a_file(losses, name, loss):
    """A verdict where no floor is known, and something needs no network."""
    return verdict(losses, reference=name, loss=loss, bayes_loss=None, gap=None, solved=None,
                   chance=4.0)  # fmt: skip


def shown(found, width=80):
    return [text for text, _ in answer_text.lines(found, width)]


def test_the_headline_the_evidence_and_what_holds_it_up():
    found = answer.answer(verdict({1: HIGH, 2: LOW, 3: MIXED}), NATS, "echo step 10")
    assert (found.verdict, found.short) == ("enough", "2 layers")
    assert found.title == "2 layers are enough  (echo step 10, 4 units)"
    assert shown(found)[1:] == [
        "",
        "  layers  solved             excess loss  against 2 layers",
        "       1  0 of 8                   0.522  226 times the loss (205 to 249)",
        "     * 2  8 of 8 (68-100 %)       0.0024  -",
        "       3  8 of 8                  0.0024  no better by more than the margin of",
        "                                          0.007 nats",
        "",
        "  8 seeds; error at most 5 % over all depths.",
    ]


def test_excess_is_what_is_lost_beyond_the_oracle_on_the_seeds_own_labels():
    """With the middle half of eight seeds, by hand; of a seed that diverged it is a guess's."""
    table = trials({1: LOW, 2: LOW})
    table["gap"] = table.test_loss - 0.0001 * table.seed
    lost = (table.layers == 1) & (table.seed == 7)
    table.loc[lost, ["test_loss", "gap", "solved"]] = None
    table.loc[lost, "status"] = "diverged"
    [found] = summary.summarize(table, [], 0.01)[1]
    one, two = answer.answer(found).rows
    gaps = np.array(LOW) - 0.0001 * np.arange(8)
    with_a_guess = np.sort([*gaps[:7], CHANCE - 0.0007])
    assert one.loss == pytest.approx(with_a_guess[2:6].mean())
    assert two.loss == pytest.approx(np.sort(gaps)[2:6].mean())


def test_numbers_are_shown_in_the_targets_units():
    """Squared errors of 0.0625 and 0.09 are RMSEs of 3 and 3.6 where the scale is 12."""
    rng = np.random.default_rng(0)
    low, high = (list(loss * rng.uniform(0.99, 1.01, 8)) for loss in (0.0625, 0.09))
    found = answer.answer(on_a_file({1: high, 2: low, 3: low}, "last value", 0.25), UNITS)
    assert found.measure == "RMSE"
    assert [row.loss for row in found.rows] == pytest.approx([3.6, 3.0, 3.0], rel=0.01)
    assert re.fullmatch(r"(20|19) % more RMSE \(.*\)", found.rows[0].against)
    [margin] = re.findall(r"the margin of (.*) RMSE", found.rows[2].against)
    best = found.rows[1].loss
    assert float(margin) == pytest.approx(
        best - math.sqrt((best / 12) ** 2 - 0.01 * 0.25) * 12, rel=0.03
    )
    assert "the last value: RMSE 6; 2 layers have 50 % less RMSE." in found.caveats[1]
    assert not any("squared" in text for text in [*found.caveats, *shown(found)])


@pytest.mark.parametrize("count", [3, 8])
def test_nothing_is_a_multiple_of_a_baseline_that_is_never_wrong(count):
    """The last value of a series that is constant in its test part."""
    found = answer.answer(on_a_file({1: HIGH[:count], 2: LOW[:count]}, "last value", 0.0), UNITS)
    assert found.headline.startswith("no depth beats the last value: RMSE 0; 2 layers have RMSE")
    assert [row.against for row in found.rows] == ["more RMSE"] * 2


def test_a_text_is_shown_in_bits_a_character():
    low, high = [1.0, 1.01, 1.02, 1.03, 1.04], [2.0, 2.1, 2.2, 2.3, 2.4]
    found = answer.answer(on_a_file({1: high, 2: low, 3: low}, "bigrams", 0.69), TEXT)
    assert found.headline.startswith(
        "no depth beats bigrams: 0.995 bits/char; 2 layers have 1.47 bits"
    )


def test_where_nothing_beats_what_needs_no_network_the_lowest_loss_is_that_of_the_lowest():
    """Not of the smallest that is no worse by the margin."""
    losses = {1: [0.1001] * 8, 2: [0.1] * 8}
    verdict = on_a_file(losses, "last value", 0.09)
    assert verdict.findings.enough == 0
    assert answer.answer(verdict, UNITS).headline.endswith("; 2 layers have RMSE 3.79")
    assert "2 layers have the lowest loss" in conclusion.sentence(verdict, UNITS)


def test_where_nothing_beats_what_needs_no_network_the_headline_says_so_first():
    name = "seasonal naive (24 steps ago)"
    found = answer.answer(on_a_file({1: [0.09] * 5, 2: [0.0625] * 5}, name, 0.0576), UNITS)
    assert found.verdict == "no better"
    assert found.headline == (
        "no depth beats the seasonal naive (24 steps ago): RMSE 2.88; 2 layers have RMSE 3"
    )
    assert [row.against for row in found.rows] == ["25 % more RMSE", "4.2 % more RMSE"]
    assert not any(row.marked for row in found.rows)


def test_a_depth_below_a_baseline_by_less_than_the_margin_is_not_said_to_lie_above_it():
    found = answer.answer(on_a_file({1: [0.0999] * 5, 2: [0.12] * 5}, "mean", 0.1), UNITS)
    assert "beats the mean: RMSE 3.79 by more than the margin; 1 layer has RMSE 3.79" in (
        found.headline
    )


def test_how_many_depths_a_baseline_beats_is_said():
    losses = {1: [0.3] * 8, 2: [0.1] * 8, 3: [0.1001] * 8}
    found = answer.answer(on_a_file(losses, "linear autoregression", 0.2), UNITS)
    assert found.headline == "2 layers are enough"
    assert found.caveats[1].endswith("RMSE 5.37; 2 layers have 29 % less RMSE; 1 of 3 depths does "
                                     "not beat it.")  # fmt: skip


def test_where_the_losses_do_not_tell_the_reason_is_the_first_caveat():
    some = [0.002, 0.5] * 4
    found = answer.answer(verdict({1: HIGH, 2: some, 3: some[::-1]}))
    assert (found.verdict, found.short) == ("unknown", "cannot tell")
    assert found.caveats[0].startswith("2 layers have the lowest loss, but 3 layers could be ")
    assert [row.against[:16] for row in found.rows] == ["no clear differe", "-", "could be better "]
    few = answer.answer(verdict({1: HIGH[:3], 2: LOW[:3]}))
    assert few.rows[0].against == "too few seeds to tell"
    assert "3 common seeds are too few for a claim" in few.caveats[0]


def test_one_depth_alone_and_trials_that_failed_have_their_rows():
    alone = answer.answer(verdict({3: LOW}))
    assert alone.headline == "one depth alone does not say how many are needed"
    assert shown(alone)[2:4] == ["  layers  solved  excess loss", "       3  8 of 8       0.0024"]
    table = trials({1: LOW, 2: LOW}).assign(status="failed")
    table[["test_loss", "gap", "solved", "epoch_seconds"]] = None
    nothing = answer.answer(summary.summarize(table, [], 0.01)[1][0])
    assert nothing.headline.startswith("no trial ended with a loss")
    assert [row.loss for row in nothing.rows] == [None, None]
    assert "With 1 layer all 8 seeds failed." in nothing.caveats
    assert "nan" not in "".join(shown(nothing))


def test_stopped_trials_are_held_against_the_oracle_in_words_too():
    found = answer.answer(verdict({1: HIGH, 2: LOW, 3: LOW}, until_solved=True))
    assert found.headline == "2 layers are enough"
    assert "times the loss" not in "".join(shown(found))
    assert found.rows[0].against.startswith("could be worse by up to")


@pytest.fixture
def hourly(tmp_path):
    """What a sweep on an hourly load finds out before it trains, and pandas's seasonal naive.

    Every hour is that of the day before and a step of its own: nothing beats the season.
    """
    rng = np.random.default_rng(3)
    steps = np.vstack([50 + rng.normal(0, 20, 24), rng.normal(0, 1, (59, 24))])
    load = pd.Series(np.cumsum(steps, 0).ravel()).round(4)
    hours = pd.date_range("2024-01-01", periods=len(load), freq="h")
    pd.DataFrame({"hour": hours, "load": load}).to_csv(tmp_path / "load.csv", index=False)
    data = {"data": str(tmp_path / "load.csv"), "target": "load", "horizon": 1}
    plan = api.plan_of({**data, "layers": "1,2", "epochs": 1, "seeds": 5})
    source = open_source(plan.base)
    tested = slice(len(load) * 9 // 10 + 1, None)  # An hour ahead of the last tenth.
    rmse = math.sqrt(((load - load.shift(24))[tested] ** 2).mean())
    best = min(source.baselines_of_test_part.found, key=lambda each: each.loss)
    return best, source.schema.target_kind, rmse


def test_the_best_that_needs_no_network_is_that_of_pandas_on_an_hourly_load(hourly):
    best, unit, rmse = hourly
    scale = unit.columns[0].scale
    losses = {n: [(each / scale) ** 2] * 8 for n, each in ((1, 1.2 * rmse), (2, 1.1 * rmse))}
    none = answer.answer(on_a_file(losses, best.name, best.loss), unit)
    assert none.headline == (
        f"no depth beats the seasonal naive (24 steps ago): RMSE {rmse:.3g}; 2 layers have RMSE "
        f"{1.1 * rmse:.3g}"
    )
    assert [row.against for row in none.rows] == ["20 % more RMSE", "10 % more RMSE"]
    losses |= {2: [(0.75 * rmse / scale) ** 2] * 8}
    some = answer.answer(on_a_file(losses, best.name, best.loss), unit)
    assert some.headline == "2 layers are enough"
    assert some.caveats[1] == (
        "The best baseline, the seasonal naive (24 steps ago): RMSE "
        f"{rmse:.3g}; 2 layers have 25 % less RMSE; 1 of 2 depths does not beat it."
    )


TUNED = {"learning_rate": [0.1, 0.3, 1.0]}


def test_a_tuned_setting_is_a_column_and_an_end_of_its_list_is_told():
    known = verdict({1: HIGH, 2: LOW, 3: MIXED})
    rows = known.rows.assign(learning_rate=[1.0, 1.0, 0.3])
    of_rows = dict(zip(rows.layers, rows.learning_rate, strict=True))
    tried = known.trials.assign(learning_rate=known.trials.layers.map(of_rows))
    found = answer.answer(replace(known, rows=rows, trials=tried, tuned=TUNED, looks=(2, 4)))
    assert found.title == "2 layers are enough  (4 units, each depth at its best learning rate)"
    assert found.table()[0][:2] == ["layers", "learning rate"]
    assert [cells[:2] for cells in found.table()[1]] == [["1", "1"], ["* 2", "1"], ["3", "0.3"]]
    assert found.caveats[0] == (
        "8 seeds, decided at the second look of 4; error at most 5 % over all depths."
    )
    assert "The best learning rate of 1 and 2 layers is the largest tried." in found.caveats
    assert found.longer == {"learning-rate": "0.1,0.3,1,3"}
    assert "the best learning rate of 1 and 2 layers is the largest tried" in found.sentence


def test_twelve_depths_fit_eighty_columns():
    rng = np.random.default_rng(0)
    losses = {n: list(1 / n**3 * rng.uniform(0.8, 1.2, 8) / 100) for n in range(1, 13)}
    found = answer.answer(verdict(losses, margin=0.001), NATS, "echo step 10")
    lines = shown(found)
    assert max(map(len, lines)) <= 80
    assert len(found.rows) == 12
    assert sum("* " in line for line in lines) == (found.verdict == "enough")
    assert max(map(len, shown(found, 44))) <= 44 + 24  # What has no room is not cut away.
    assert len(shown(found, None)) == 12 + 4 + len(found.caveats)


def test_an_answer_is_the_same_after_json():
    found = answer.answer(verdict({1: HIGH, 2: LOW, 3: MIXED}))
    again = Answer.of(json.loads(json.dumps({**found.record, "newer": 1})))
    assert again.table() == found.table()
    assert shown(again) == shown(found)
    old = Answer.of("1 layer is enough: 8 of 8 seeds solve it")
    assert old.sentence == "1 layer is enough: 8 of 8 seeds solve it"
    assert shown(old) == [old.sentence]


def test_a_notebook_and_a_page_show_the_same_parts(tmp_path):
    """A page of an older version's sweep has its sentence, begun in bold."""
    found = answer.answer(verdict({1: HIGH, 2: LOW, 3: MIXED}), NATS, "<echo>")
    result = run.Result(tmp_path, None, None, None, [found], None, None)
    assert (result.answers, result.answer) == ([found.sentence], found.sentence)
    markup = result._repr_html_()
    for text in ("2 layers are enough", "(&lt;echo&gt;, 4 units)", "<td>→ 2</td>", "226 times"):
        assert text in markup
    headline, table, caveat, sentence = sweep_page._answer(found)
    assert (headline.text, headline.strong) == (found.title, True)
    assert (table.marked, table.rows[1][0]) == ({1}, "2")
    assert caveat.text in found.caveats
    assert found.sentence in sentence.text
    assert sweep_page._answer(Answer.of("1 layer is enough: it is")) == ["1 layer is enough: it is"]


def test_a_terminal_has_colour_and_a_pipe_has_none(monkeypatch, capsys):
    found = answer.answer(verdict({1: HIGH, 2: LOW, 3: MIXED}))
    answer_text.print_answers([found, found])
    plain = capsys.readouterr().out
    assert "\x1b" not in plain
    assert plain.count("2 layers are enough") == 2
    monkeypatch.setattr(answer_text.terminal, "shows_colour", lambda stream: True)
    monkeypatch.setattr(answer_text.terminal, "width", lambda stream: 80)
    monkeypatch.setattr(answer_text.typer, "echo", print)
    answer_text.print_answers([found])
    green = [line for line in capsys.readouterr().out.splitlines() if "\x1b[32m" in line]
    assert [re.sub("\x1b\\[[0-9]*m", "", line).split()[:2] for line in green] == [
        ["2", "layers"], ["*", "2"],
    ]  # fmt: skip


# --- what else is compared


def comparing(name, losses, **columns):
    """The answer to which value of another setting is enough, or best."""
    where = {name: None} if name != "state_size" else {}
    parts = [trials({2: column}, where and {name: value}, **columns).assign(**{name: value})
             for value, column in losses.items()]  # fmt: skip
    table = pd.concat(parts, ignore_index=True)
    _, [found] = summary.summarize(table, [name], 0.01, axis=axis.axis_of(name))
    return answer.answer(found, NATS, "echo step 10")


def test_the_smallest_size_that_is_enough_is_named():
    found = comparing("state_size", {16: MIXED, 4: HIGH, 8: LOW})
    assert found.title == "8 units are enough  (echo step 10, 2 layers)"
    assert [row.setting for row in found.rows] == [{"state_size": size} for size in (4, 8, 16)]
    assert found.rows[0].against == "226 times the loss (205 to 249)"
    assert found.caveats == ["8 seeds; error at most 5 % over all sizes."]
    assert "no other size is better" in found.sentence


def test_of_names_the_one_with_the_lowest_loss_is_the_best_whatever_the_alphabet_says():
    better = [loss - 0.0001 for loss in LOW]
    found = comparing("optimizer", {"sgd": better, "adagrad": HIGH, "adam": LOW})
    assert found.title == "sgd is best  (echo step 10, 2 layers, 4 units)"
    assert [cells[0] for cells in found.table()[1]] == ["  adagrad", "  adam", "* sgd"]
    assert found.rows[1].against == "4.5 % more loss (4.1 to 4.9 %)"
    assert "could be worse" not in "".join(row.against for row in found.rows)
    part = comparing("optimizer", {"sgd": HIGH, "adam": [*LOW[:6], 0.02, 0.02]})
    assert part.headline == "adam is best"
    none = comparing("optimizer", {"sgd": HIGH, "adam": [loss - 0.1 for loss in HIGH]})
    assert none.headline == "no optimizer solves it: adam is best"


def test_other_numbers_have_words_of_their_own():
    found = comparing("bptt", {5: HIGH, 15: LOW})
    assert found.headline == "bptt 15 is enough"
    assert found.rows[0].setting == {"bptt": 5}
    alone = comparing("optimizer", {"adam": LOW})
    assert alone.headline == "one optimizer alone does not say which is needed"
    some = [0.002, 0.5] * 4
    unknown = comparing("optimizer", {"adam": some, "sgd": some[::-1]})
    assert unknown.headline == "the data cannot tell which optimizer is best"


def test_a_name_that_is_worse_by_the_margin_is_seldom_called_best():
    """Of five, four are worse by exactly the margin of a seed's standard deviation."""
    rng, wrong, of = np.random.default_rng(5), 0, 150
    for _ in range(of):
        losses = rng.normal(size=(8, 5)) + np.array([1, 1, 0, 1, 1])
        found = compare_depths(Losses(losses, losses), 1.0, ordered=False)
        wrong += found.enough not in (None, 2)
    assert wrong / of <= 0.05 + 2 * math.sqrt(0.05 * 0.95 / of)


def test_a_plan_compares_sizes_at_one_depth_and_more_of_them_extend_it():
    rate = {"learning_rate": 0.3}
    plan = api.plan_of({"layers": 2, "seeds": 5, **rate}, compare={"state_size": [4, 8]})
    assert [setting.label for setting in plan.settings] == ["2x4", "2x8"]
    assert plan.axis == axis.Axis("state_size")
    more = api.plan_of({"layers": "2", "seeds": 6, **rate}, compare="state-size=4,8,16")
    assert more.name == plan.name
    others = [
        api.plan_of({"layers": 1}, compare="state-size=4,8"),
        api.plan_of({"layers": 2}, compare="optimizer=adam,sgd"),
        api.plan_of({"layers": 2, "state_size": "4,8"}),
    ]
    assert len({plan.name, *(each.name for each in others)}) == 4
    assert {each.config.model.layers for each in others[1].settings} == {2}
    default = api.plan_of({"learning_rate": 0.3}, compare="state-size=4,8")
    assert [setting.label for setting in default.settings] == ["3x4", "3x8"]
    assert api.plan_of({}, compare="layers=1,2").name == api.plan_of({}).name


@pytest.mark.parametrize(
    ("compare", "settings", "said"),
    [
        ("state-size", {}, "takes one setting and its values"),
        ("state-size=4", {}, "takes several values, got 4 alone"),
        ("echo-step=3,6", {}, "cannot compare 'echo-step': expected a setting of the model"),
        ("state-sise=3,6", {}, "cannot compare 'state-sise'"),
        ("state-size=4,8", {"layers": "1-2"}, "expected one value of `--layers`, got several"),
        ("state-size=4,8", {"state_size": 3}, "`--state-size` and `--compare` name the same"),
        ("bptt=5,8", {"match": "params"}, "`--match` has no effect with `--compare`"),
        ({"bptt": [5], "layers": [2]}, {}, "takes one setting and its values"),
    ],
)
def test_what_cannot_be_compared_is_refused_in_words(compare, settings, said):
    with pytest.raises(UsageError) as found:
        api.plan_of(settings, compare=compare)
    assert said in found.value.message
    assert found.value.hint


@pytest.mark.parametrize("compare", ["state-size=2,3", "optimizer=adagrad,adam", "epochs=1,2"])
def test_a_sweep_that_compares_is_answered_drawn_and_read_back(compare, monkeypatch, tmp_path):
    """Its trials are not trained: tables, answer, figures, page and commands are what is tried."""
    monkeypatch.setattr(workers.LocalWorkers, "run", invented)
    name = compare.partition("=")[0]
    settings = {"series_length": 300, "layers": 2, "seeds": 6}
    settings |= {} if name == "epochs" else {"epochs": 2}
    plan = api.plan_of(settings, compare=compare)
    with run.opened(plan, tmp_path / "s") as directory:
        for _ in run.run(plan, directory):
            pass
        result = api.conclude(plan, directory)
    [found] = result.parts
    assert len(found.rows) == 2
    assert len(list(directory.figures.iterdir())) == 2
    page = api.report(tmp_path / "s").read_text()
    assert f"--compare {compare}" in page
    assert "--layers 2" in page
    kept = load.read(tmp_path / "s")
    directory.status.unlink()
    judged = load.read(tmp_path / "s")
    assert judged.answers == kept.answers
    assert judged.answers[0].table() == found.table()
    assert judged.axis == plan.axis
