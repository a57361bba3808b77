"""What a part costs without a network, against independent counting and least squares."""

import itertools
import math
from collections import Counter

import numpy as np
import pandas as pd
import pytest

from lstmcli.data.baselines import Fitting, autoregression, baselines, ngrams, seasons
from lstmcli.data.schema import Categorical, Numeric, Schema
from lstmcli.data.series import Series, no_numbers, no_symbols


def text_of(content, alphabet):
    """Every step of a text, to be predicted from the character before it."""
    codes = np.array([alphabet.index(each) for each in content])
    column = Categorical("character", len(alphabet), tuple(alphabet))
    schema = Schema("text", (), (column,), column)
    steps = len(codes) - 1
    return Series(schema, no_numbers(steps), codes[:-1, np.newaxis], codes[1:].astype(np.int32))


def recording(values, inputs, horizon=1, scored=None, starts=None):
    """A table of standardised inputs `[steps, N]` whose target is known up to each step."""
    inputs = np.asarray(inputs, np.float32)
    columns = tuple(Numeric(f"x{place}") for place in range(inputs.shape[1]))
    schema = Schema("table", columns, (), (Numeric("y"),))
    last = np.asarray(values, np.float32)[:, np.newaxis]
    targets = np.concatenate([last[horizon:], np.zeros((horizon, 1), np.float32)])
    known = np.arange(len(last)) < len(last) - horizon
    return Series(
        schema, inputs, no_symbols(len(last)), targets, known if scored is None else scored & known,
        starts, last_values=last,
    )  # fmt: skip


def slow_witten_bell(training, alphabet):
    """The same model from dictionaries: the chance of a character behind a context."""
    counts = {order: Counter() for order in range(5)}
    for place in range(1, len(training)):
        for order in range(min(5, place + 1)):
            counts[order][training[place - order : place], training[place]] += 1

    def chance(context, word):
        lower = chance(context[1:], word) if context else 1 / len(alphabet)
        seen = [counts[len(context)][context, each] for each in alphabet]
        types = sum(count > 0 for count in seen)
        if not types:
            return lower
        return (counts[len(context)][context, word] + types * lower) / (sum(seen) + types)

    return chance


def test_five_grams_are_those_of_a_slow_dictionary_and_sum_to_1():
    rng = np.random.default_rng(0)
    alphabet = "abcde"
    training = "".join(rng.choice(list("abcd"), 300)) + "abcabd" * 20
    content = "abcabdca" + "".join(rng.choice(list(alphabet), 60))
    slow = slow_witten_bell(training, alphabet)
    found = ngrams.witten_bell(text_of(training, alphabet), text_of(content, alphabet))
    contexts = [content[max(0, place - 4) : place] for place in range(1, len(content))]
    wanted = [slow(context, word) for context, word in zip(contexts, content[1:], strict=True)]
    np.testing.assert_allclose(found.chances, wanted)
    assert [sum(slow(context, word) for word in alphabet) for context in contexts] == (
        pytest.approx(np.ones(len(contexts)))
    )
    best = [max(slow(context, word) for word in alphabet) for context in contexts]
    np.testing.assert_array_equal(found.right, np.array(wanted) >= np.array(best) - 1e-12)

    for context in {"abca", "bd", "ea", content[5:9]}:  # All that may stand behind one.
        fast = [
            ngrams.witten_bell(text_of(training, alphabet), text_of(context + word, alphabet))
            for word in alphabet
        ]
        assert sum(each.chances[-1] for each in fast) == pytest.approx(1)


def test_bigrams_are_there_above_any_size_of_the_vocabulary():
    rng = np.random.default_rng(1)
    alphabet = "".join(map(chr, range(1000, 4000)))
    training, content = ("".join(rng.choice(list(alphabet[:2500]), n)) for n in (5000, 300))
    found = ngrams.bigrams(text_of(training, alphabet), text_of(content, alphabet))
    pairs, singles = Counter(itertools.pairwise(training)), Counter(training[1:])
    before = Counter(training[:-1])
    wanted = [
        (pairs[a, b] + (singles[b] + 1) / (len(training) - 1 + 3000)) / (before[a] + 1)
        for a, b in itertools.pairwise(content)
    ]
    np.testing.assert_allclose(found.chances, wanted)
    known = baselines(Fitting(text_of("ab", "ab").schema, 5, training=text_of("abab", "ab")),
                      text_of("abba", "ab"))  # fmt: skip
    assert [each.name for each in known.found] == ["class frequencies", "bigrams", "5-grams"]
    assert known.omitted == []


def test_text_is_read_behind_what_precedes_it():
    training, whole = text_of("abcabcabd" * 9, "abcd"), text_of("abcabdabcabc", "abcd")
    scored = np.arange(len(whole)) >= 6
    part = Series(**{**vars(whole), "scored": scored})
    np.testing.assert_allclose(
        ngrams.witten_bell(training, part).chances,
        ngrams.witten_bell(training, whole).chances[6:],
    )


@pytest.mark.parametrize("case", ["whole", "gaps", "sequences", "both"])
def test_the_autoregression_is_a_ridge_regression_on_all_terms(case):
    rng = np.random.default_rng(2)
    steps, lags = 500, 4
    inputs = rng.normal(size=(steps, 2))
    values = np.convolve(inputs[:, 0], [0.5, 0.3, -0.7])[:steps] + inputs[:, 1] ** 2 / 9
    starts = scored = None
    if case in ("sequences", "both"):
        starts = rng.random(steps) < 0.1
        starts[0] = True
    if case in ("gaps", "both"):
        scored = rng.random(steps) < 0.6
    series = recording(values, inputs, 1, scored, starts)
    model = autoregression.fit(series, None, lags)

    rows, begin = [], 0
    for step in range(steps):
        begin = step if starts is not None and starts[step] else begin
        now, *past = (series.numbers[max(step - lag, begin)].astype(float) for lag in range(lags))
        rows.append(np.concatenate([now, *(each - now for each in past)]))
    fitted = np.flatnonzero(series.scored)
    terms = np.array(rows)[fitted]
    changes = (series.targets.astype(float) - series.last_values)[fitted, 0]
    strength = len(fitted) * autoregression.STRENGTHS[autoregression.UNCHOSEN]
    augmented = np.vstack([terms - terms.mean(0), math.sqrt(strength) * np.eye(2 * lags)])
    wanted = np.append(changes - changes.mean(), np.zeros(2 * lags))
    found = np.linalg.lstsq(augmented, wanted, rcond=None)[0]
    predicted = (terms - terms.mean(0)) @ found + changes.mean() + series.last_values[fitted, 0]
    weights = found.reshape(lags, 2)
    weights[0] -= weights[1:].sum(0)
    np.testing.assert_allclose(model.weights[..., 0], weights, atol=1e-7)
    np.testing.assert_allclose(
        autoregression.predict(model, series, fitted)[:, 0], predicted, atol=1e-7
    )


def test_validation_chooses_the_strength_that_is_best_there():
    rng = np.random.default_rng(3)
    inputs = rng.normal(size=(160, 12))
    values = inputs[:, 0] + 3 * rng.normal(size=160)
    whole = recording(values, inputs)
    training, validation = whole.cut(slice(0, 60)), whole.cut(slice(60, None))
    chosen = autoregression.fit(training, validation, 4)
    steps = np.flatnonzero(validation.scored)

    def loss(model):
        predicted = autoregression.predict(model, validation, steps)
        return np.mean((predicted - validation.targets[steps]) ** 2)

    assert loss(chosen) < 0.9 * loss(autoregression.fit(training, None, 4))


def test_an_autoregression_of_order_2_is_found_again():
    """By least squares with an intercept, as statsmodels' `AutoReg` has it."""
    rng = np.random.default_rng(4)
    values = np.zeros(2000)
    for step in range(2, 2000):
        values[step] = 1.2 * values[step - 1] - 0.5 * values[step - 2] + rng.normal()
    whole = recording(values, values[:, np.newaxis])
    training = whole.cut(slice(1, 1599))
    terms = np.column_stack([values[2:1599], values[1:1598], np.ones(1597)])
    wanted = np.linalg.lstsq(terms, values[3:1600], rcond=None)[0][:2]
    model = autoregression.fit(training, whole.cut(slice(1600, None)), 2)
    np.testing.assert_allclose(model.weights.ravel() + np.eye(2)[0], wanted, atol=2e-3)


def test_an_autoregression_goes_on_with_a_trend_as_far_as_it_leads():
    """Beside the last value with the mean change added: what no level can be regressed on."""
    rng = np.random.default_rng(9)
    values = np.linspace(-1, 9, 300)[:, np.newaxis] + 0.02 * rng.normal(size=(300, 1)).cumsum(0)
    others = rng.normal(size=(300, 6)).cumsum(0)  # They say nothing, and lead away all the same.
    whole = recording(values[:, 0], np.concatenate([values, others], 1))
    training, validation = whole.cut(slice(0, 200)), whole.cut(slice(200, 230))
    read = whole.cut(slice(0, 299))
    model = autoregression.fit(training, validation, 16)
    steps = np.arange(230, 299)
    errors = autoregression.predict(model, read, steps) - whole.targets[steps]
    drift = values[steps] + np.diff(values[:200], axis=0).mean() - values[steps + 1]
    assert np.square(errors).mean() < 1.5 * np.square(drift).mean()


def test_validation_chooses_how_many_lags_there_are():
    rng = np.random.default_rng(10)
    values = np.zeros(260)
    for step in range(1, 260):
        values[step] = 0.7 * values[step - 1] + rng.normal()
    whole = recording(values, values[:, np.newaxis])
    model = autoregression.fit(whole.cut(slice(0, 100)), whole.cut(slice(100, None)), 64)
    assert len(model.weights) < 16


@pytest.mark.parametrize("horizon", [1, 7, 15])
def test_the_seasonal_value_is_the_newest_known_one_a_season_or_more_before_the_target(horizon):
    period = 7
    values = np.random.default_rng(5).normal(size=100)
    before = seasons.before(recording(values, values[:, np.newaxis], horizon), period, horizon)
    shift = period * math.ceil(horizon / period)
    wanted = pd.Series(values).shift(shift).shift(-horizon).to_numpy()
    there = np.arange(100) >= shift - horizon
    there &= ~np.isnan(wanted)
    np.testing.assert_allclose(before[there, 0], wanted[there], atol=1e-6)
    np.testing.assert_allclose(before[: shift - horizon, 0], values[: shift - horizon], atol=1e-6)


def test_a_season_is_found_where_there_is_one():
    rng = np.random.default_rng(6)
    steps = np.arange(600)
    noise = rng.normal(size=600)
    season = 3 * np.sin(2 * np.pi * steps / 12) + 0.01 * steps
    assert seasons.of_values(season + 0.5 * noise, np.array([0, 600])) == 12
    assert seasons.of_values(noise.cumsum(), np.array([0, 600])) is None
    assert seasons.of_values(noise, np.array([0, 600])) is None


@pytest.mark.parametrize(
    ("frequency", "steps"),
    [("h", 24), ("15min", 96), ("D", 7), ("MS", 12), ("3MS", 4), ("7D", 52), ("B", 5),
     ("12MS", None), ("7min", None), (None, None)],
)  # fmt: skip
def test_the_calendar_names_the_season(frequency, steps):
    assert seasons.of_frequency(frequency, None) == steps
    if frequency == "15min":  # Not two days, but two hours.
        assert seasons.of_frequency(frequency, 100 // 2) == 4


def test_the_last_label_has_its_own_share_and_the_frequencies_the_rest():
    rng = np.random.default_rng(7)
    labels = np.repeat(rng.integers(0, 3, 200), rng.integers(1, 9, 200))
    schema = Schema("table", (Numeric("x"),), (), Categorical("state", 3))
    count = len(labels) - 1
    whole = Series(
        schema, np.zeros((count, 1), np.float32), no_symbols(count), labels[1:].astype(np.int32),
        last_values=labels[:-1].astype(np.int32),
    )  # fmt: skip
    training, part = whole.cut(slice(0, 700)), whole.cut(slice(700, None))
    [_, found] = baselines(Fitting(schema, 5, 1, training), part).found
    assert found.name == "last label"
    assert found.accuracy == pytest.approx(np.mean(labels[700:-1] == labels[701:]))
    shares = (np.bincount(labels[1:701], minlength=3) + 1) / 703

    def loss(again, before, after):
        return -np.mean(np.log(again * (before == after) + (1 - again) * shares[after]))

    best = min(np.linspace(0.01, 0.99, 99), key=lambda p: loss(p, labels[:700], labels[1:701]))
    assert found.loss == pytest.approx(loss(best, labels[700:-1], labels[701:]), rel=0.01)


def test_nothing_is_left_out_without_a_reason():
    values = np.random.default_rng(8).normal(size=300)
    whole = recording(values, values[:, np.newaxis])
    known = baselines(Fitting(whole.schema, 5, 1), whole)
    assert [each.name for each in known.found] == ["mean", "last value"]
    assert known.omitted == [
        "no seasonal naive and no linear autoregression: the data that the model was trained on "
        "is not at hand"
    ]
    plain = Series(**{**vars(whole), "last_values": None})
    [omitted] = baselines(Fitting(whole.schema, 5, 0, plain), plain).omitted
    assert omitted.startswith("no last value and no seasonal naive: the data does not say")
