"""Random files in the place of every file that is read: only a LstmcliError may come out."""

import csv
import io
import json
import tomllib

import pytest
import tomli_w
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import fuzzing
from damages import KINDS
from lstmcli.training import checkpoint as checkpoints

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4)
    ),
    max_leaves=8,
)


def mutated(kept):
    """Genuine files with a few damages."""

    def damage(content, rng, kinds):
        for kind in kinds:
            content = kind(content, rng) if content else content
        return content

    return st.builds(
        damage,
        st.sampled_from(kept),
        st.randoms(use_true_random=False),
        st.lists(st.sampled_from(KINDS[:5]), min_size=1, max_size=4),
    )


def examples_of(name, fuzz_examples):
    return max(1, fuzz_examples // 10) if name in fuzzing.SLOW else fuzz_examples


@pytest.mark.parametrize("name", fuzzing.READERS)
def test_no_bytes_make_a_reader_fail_otherwise_than_by_refusing_them(name, tmp_path, fuzz_examples):
    kept = fuzzing.genuine(name)
    examples = examples_of(name, fuzz_examples)

    @settings(max_examples=examples, suppress_health_check=list(HealthCheck))
    @given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode) | mutated(kept))
    def check(content):
        fuzzing.try_to_read(name, content, tmp_path)

    check()


def replaced(draw, value):
    """JSON of which some place holds something else."""
    if draw(st.integers(0, 5)) == 0:
        return draw(JSON)
    if isinstance(value, dict) and value:
        key = draw(st.sampled_from(sorted(value)))
        if draw(st.integers(0, 9)) == 0:
            return {name: each for name, each in value.items() if name != key}
        return {**value, key: replaced(draw, value[key])}
    if isinstance(value, list) and value:
        index = draw(st.integers(0, len(value) - 1))
        return [*value[:index], replaced(draw, value[index]), *value[index + 1 :]]
    return draw(JSON)


@pytest.mark.parametrize("kind", ["checkpoint", "described", "beside", "status", "page", "resume"])
def test_no_json_with_a_strange_place_makes_a_reader_fail(kind, tmp_path, fuzz_examples):
    """Structured, and sealed where it is a checkpoint: so it gets past the checksum."""
    whole = checkpoints.read(fuzzing.KEPT / "sealed/text.safetensors")
    sealed = kind in ("checkpoint", "described")
    known = whole.metadata if sealed else json.loads(fuzzing.genuine(kind)[-1])

    @settings(
        max_examples=examples_of(kind, fuzz_examples), suppress_health_check=list(HealthCheck)
    )
    @given(st.data())
    def check(data):
        changed = replaced(data.draw, known)
        if sealed and isinstance(changed, dict):
            path = tmp_path / "made.safetensors"
            checkpoints.Checkpoint(whole.tensors, changed).write(path)
            fuzzing.try_to_read(kind, path.read_bytes(), tmp_path)
        elif not sealed:
            fuzzing.try_to_read(kind, json.dumps(changed).encode(), tmp_path)

    check()


@pytest.mark.parametrize("kind", ["config", "settings", "sweep"])
def test_no_settings_with_a_strange_place_make_a_reader_fail(kind, tmp_path, fuzz_examples):
    known = tomllib.loads(fuzzing.genuine(kind)[0].decode())

    @settings(
        max_examples=examples_of(kind, fuzz_examples), suppress_health_check=list(HealthCheck)
    )
    @given(st.data())
    def check(data):
        try:
            content = tomli_w.dumps(replaced(data.draw, known)).encode()
        except (TypeError, AttributeError, ValueError):  # What TOML cannot say.
            return
        fuzzing.try_to_read(kind, content, tmp_path)

    check()


@pytest.mark.parametrize("swept", [[], ["noise"], {"noise": 0.1}], ids=str)
def test_swept_settings_that_are_no_table_of_lists_make_no_reader_fail(swept, tmp_path):
    known = tomllib.loads(fuzzing.genuine("sweep")[0].decode())
    known["sweep"]["swept"] = swept
    fuzzing.try_to_read("sweep", tomli_w.dumps(known).encode(), tmp_path)


CELLS = [
    "",
    "x",
    "nan",
    "inf",
    "-inf",
    "-1",
    "0",
    "1.5",
    "1e300",
    "1e400",
    "True",
    "9" * 30,
    "a\nb",
]


@pytest.mark.parametrize(
    "kind", ["table", "csv", "rows", "curve", "sweep's trials", "summary", "curves", "trials"]
)
def test_no_table_with_strange_cells_makes_a_reader_fail(kind, tmp_path, fuzz_examples):
    known = list(csv.reader(io.StringIO(fuzzing.genuine(kind)[0].decode())))[:40]
    place = st.tuples(st.integers(0, len(known) - 1), st.integers(0, len(known[0]) - 1))

    @settings(
        max_examples=examples_of(kind, fuzz_examples), suppress_health_check=list(HealthCheck)
    )
    @given(st.dictionaries(place, st.sampled_from(CELLS), min_size=1, max_size=3), st.booleans())
    def check(cells, everywhere):
        lines = [list(line) for line in known]
        for (row, column), cell in cells.items():
            for line in lines[1:] if everywhere else [lines[row]]:
                line[column] = cell
        fuzzing.try_to_read(kind, as_csv(lines), tmp_path)

    check()


@pytest.mark.parametrize(
    ("kind", "column", "cell"), [("curves", "loss", "x"), ("sweep's trials", "reference_loss", "0")]
)
def test_what_random_cells_have_found_is_no_failure(kind, column, cell, tmp_path):
    lines = list(csv.reader(io.StringIO(fuzzing.genuine(kind)[0].decode())))
    for line in lines[1:]:
        line[lines[0].index(column)] = cell
    fuzzing.try_to_read(kind, as_csv(lines), tmp_path)


def as_csv(lines):
    text = io.StringIO()
    csv.writer(text).writerows(lines)
    return text.getvalue().encode()
