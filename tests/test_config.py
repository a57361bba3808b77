"""Settings: their defaults, their checks, and their way into TOML and back."""

import tomllib

import pytest
import tomli_w
from hypothesis import given
from hypothesis import strategies as st

from lstmcli.config import OPTIMIZERS, Config
from lstmcli.data.datasets import open_source
from lstmcli.defaults import OFF
from lstmcli.utils.errors import UsageError

ARTICLE = {
    "model": {"layers": 3, "state_size": 4, "forget_bias": 1.0},
    "data": {"series_length": 50_000, "echo_step": 3, "classes": 2, "noise": 0.0},
    "training": {
        "bptt": 15,
        "batch_size": 5,
        "epochs": 100,
        "optimizer": "adagrad",
        "learning_rate": 0.3,
    },
    "run": {"seed": 0, "replicas": 1, "device": "auto"},
}

POSITIVE = st.floats(min_value=0, max_value=3e38, exclude_min=True)
COUNTS = st.integers(1, 1000)
DRAWN = {
    "series_length": st.integers(10_000, 10**9),
    "echo_step": st.integers(0, 9_999),
    "classes": st.integers(2, 1000),
    "noise": st.floats(0, 1, exclude_max=True),
    "data_seed": st.none() | st.integers(0, 2**62),
}
FROM_FILE = {
    "data": st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1),
    "val_fraction": st.floats(0, 0.8, exclude_min=True),
}
OTHERS = st.fixed_dictionaries(
    {},
    optional={
        "layers": COUNTS,
        "state_size": COUNTS,
        "forget_bias": st.floats(-3e38, 3e38) | st.integers(-5, 5),
        "bptt": st.integers(1, 100),
        "batch_size": st.integers(1, 100),
        "epochs": COUNTS,
        "optimizer": st.sampled_from(OPTIMIZERS),
        "learning_rate": POSITIVE,
        "clip_norm": st.none() | POSITIVE,
        "checkpoint_every": st.from_regex(r"[1-9][0-9]{0,3}s?", fullmatch=True),
        "seed": st.integers(0, 2**62),
        "replicas": COUNTS,
        "device": st.sampled_from(["auto", "cpu", "gpu", "cpu:0", "gpu:11"]),
    },
)
SETTINGS = st.builds(
    dict.__or__,
    OTHERS,
    st.fixed_dictionaries({}, optional=DRAWN) | st.fixed_dictionaries(FROM_FILE),
)


@given(SETTINGS)
def test_a_config_comes_back_from_toml_as_it_was(chosen):
    config = Config.build(**chosen)
    text = tomli_w.dumps(config.to_dict())
    assert Config.build(tomllib.loads(text)) in (config, config.resolved(OFF))


@given(SETTINGS)
def test_toml_holds_every_setting_that_was_chosen(chosen):
    saved = Config.build(**chosen).to_dict()
    values = {name: value for table in saved.values() for name, value in table.items()}
    assert {name: values.get(name) for name in chosen} == chosen


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("layers", 0),
        ("layers", "3"),
        ("layers", 2.0),
        ("layers", True),
        ("layers", 10**400),
        ("learning_rate", 1e39),
        ("data", ""),
        ("state_size", -4),
        ("forget_bias", "high"),
        ("forget_bias", float("nan")),
        ("series_length", 0),
        ("echo_step", -1),
        ("echo_step", 50_000),
        ("classes", 1),
        ("noise", -0.1),
        ("noise", 1.0),
        ("noise", float("nan")),
        ("data", 3),
        ("bptt", 0),
        ("batch_size", 0),
        ("epochs", 0),
        ("optimizer", "adamw"),
        ("learning_rate", 0.0),
        ("learning_rate", float("inf")),
        ("learning_rate", float("nan")),
        ("clip_norm", -0.1),
        ("checkpoint_every", "0"),
        ("checkpoint_every", "5m"),
        ("seed", -1),
        ("data_seed", -1),
        ("replicas", 0),
        ("device", "tpu"),
        ("device", "gpu:"),
    ],
)
def test_a_value_that_cannot_work_is_refused_by_the_options_name(setting, value):
    with pytest.raises(UsageError, match="`--" + setting.replace("_", "-")):
        Config.build(**{setting: value})


def test_a_number_of_epochs_between_checkpoints_may_be_a_number_in_toml():
    saved = tomllib.loads("[training]\ncheckpoint_every = 5\n")
    assert Config.build(saved) == Config.build(checkpoint_every="5")
    for refused in (0, -5, True, 2.5):
        with pytest.raises(UsageError, match="`--checkpoint-every`"):
            Config.build(checkpoint_every=refused)


def test_a_series_shorter_than_one_window_is_refused():
    assert Config.build(series_length=75).data.series_length == 75
    with pytest.raises(UsageError, match=r"`--series-length`.* 75 "):
        Config.build(series_length=74)


@pytest.mark.parametrize("value", [-0.1, 1.0])
def test_a_part_of_a_dataset_that_cannot_be_held_back_is_refused(value):
    with pytest.raises(UsageError, match="`--val-fraction` must be"):
        Config.build(data="x.npz", val_fraction=value)


@pytest.mark.parametrize("name", DRAWN)
def test_a_setting_of_drawn_series_is_refused_beside_a_dataset_wherever_that_is_named(name):
    value = {"noise": 0.1, "classes": 2}.get(name, 100)
    for saved, typed in (({}, {"data": "x.npz"}), ({"data": {"data": "x.npz"}}, {})):
        with pytest.raises(UsageError, match=f"`--{name.replace('_', '-')}` has no effect"):
            Config.build(saved, **typed, **{name: value})
    assert Config.build({"data": {"data": "x.npz"}}, data=None, **{name: value}).data.data is None


def test_a_part_to_hold_back_is_refused_where_there_is_no_dataset():
    with pytest.raises(UsageError, match="`--val-fraction` has no effect"):
        Config.build(val_fraction=0.1)


def test_what_is_saved_beside_a_dataset_says_nothing_of_drawn_series():
    saved = Config.build(data="x.npz", seed=3).to_dict()
    of_the_file = {"val_fraction": 0.1, "test_fraction": 0.1, "split_seed": 0}
    assert saved["data"] == {"data": "x.npz", **of_the_file}
    assert not set(DRAWN) & {name for table in saved.values() for name in table}


def test_settings_of_drawn_series_that_a_file_has_beside_a_dataset_are_left_out():
    """As earlier versions saved them; so a dataset may be shorter than one window of them too."""
    drawn = {"series_length": 10, "echo_step": 5, "classes": 4, "noise": 0.5}
    saved = {"data": {"data": "x.npz", **drawn}, "run": {"data_seed": 7}}
    assert Config.build(saved) == Config.build(data="x.npz")
    del saved["data"]["data"]
    assert Config.build(saved, data="x.npz") == Config.build(data="x.npz")


def test_a_single_setting_beats_the_file_and_leaves_the_rest_of_it():
    saved = {"model": {"layers": 5, "state_size": 7}, "training": {"epochs": 2}}
    config = Config.build(saved, layers=2)
    assert (config.model.layers, config.model.state_size, config.training.epochs) == (2, 7, 2)
    assert saved["model"]["layers"] == 5


@pytest.mark.parametrize(
    ("saved", "named", "known"),
    [
        ({"modle": {"layers": 3}}, "`modle`", "[model]"),
        ({"layers": 3}, "`layers`", "[model]"),
        ({"model": 3}, "`model`", "[model]"),
        ({"model": {"depth": 3}}, r"`depth` in \[model\]", "state_size"),
        ({"training": {"layers": 3}}, r"`layers` in \[training\]", "bptt"),
    ],
)
def test_an_unknown_table_or_setting_is_refused_by_name_with_what_there_is(saved, named, known):
    with pytest.raises(UsageError, match=named) as caught:
        Config.build(saved)
    assert known in caught.value.hint


def test_the_defaults_are_the_articles():
    saved = open_source(Config.build()).config.to_dict()
    found = {name: {key: saved[name][key] for key in table} for name, table in ARTICLE.items()}
    assert found == ARTICLE
    assert Config.build().training.clip_norm is None


def test_replicas_have_consecutive_seeds_and_the_data_seed_sets_the_data_alone():
    config = Config.build(seed=5, replicas=3, data_seed=20)
    assert config.run.seeds == [5, 6, 7]
    assert config.run.data_seeds == [20, 21, 22]
    assert Config.build(seed=5, replicas=3).run.data_seeds == [5, 6, 7]


def test_a_setting_has_its_former_name_too_in_files_and_in_python():
    before = Config.build({"run": {"schedule": "layered", "seed": 3}})
    assert before == Config.build(schedule="layered", seed=3) == Config.build(**NOW)
    assert before.to_dict()["run"]["execution"] == "layered"
    assert Config.build({"run": {"schedule": "wavefront"}}, **NOW) == before


NOW = {"execution": "layered", "seed": 3}
