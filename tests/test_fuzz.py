"""Random files in the place of every file that is read: only a LstmcliError may come out."""

import json

import fuzzing
import pytest
from damages import KINDS
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lstmcli.runs import checkpoint as checkpoints

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


@pytest.mark.parametrize("name", fuzzing.READERS)
def test_no_bytes_make_a_reader_fail_otherwise_than_by_refusing_them(name, tmp_path, fuzz_examples):
    kept = [(fuzzing.KEPT / each).read_bytes() for each in fuzzing.READERS[name][2]]

    @settings(max_examples=fuzz_examples, suppress_health_check=list(HealthCheck))
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


@pytest.mark.parametrize("kind", ["checkpoint", "beside", "status"])
def test_no_json_with_a_strange_place_makes_a_reader_fail(kind, tmp_path, fuzz_examples):
    """Structured, and sealed where it is a checkpoint: so it gets past the checksum."""
    whole = checkpoints.read(fuzzing.KEPT / "sealed/text.safetensors")
    known = {
        "checkpoint": whole.metadata,
        "beside": json.loads((fuzzing.KEPT / "unsealed/echo.json").read_bytes()),
        "status": json.loads((fuzzing.KEPT / "unsealed/run/run.json").read_bytes()),
    }[kind]

    @settings(max_examples=fuzz_examples, suppress_health_check=list(HealthCheck))
    @given(st.data())
    def check(data):
        changed = replaced(data.draw, known)
        if kind == "checkpoint" and isinstance(changed, dict):
            path = tmp_path / "made.safetensors"
            checkpoints.Checkpoint(whole.tensors, changed).write(path)
            fuzzing.try_to_read(kind, path.read_bytes(), tmp_path)
        elif kind != "checkpoint":
            fuzzing.try_to_read(kind, json.dumps(changed).encode(), tmp_path)

    check()
