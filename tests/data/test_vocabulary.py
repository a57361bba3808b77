"""A run with the weights of another, on a text with fewer, the same or more characters."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from lstmcli.config import Config
from lstmcli.core import initialization
from lstmcli.training import checkpoint, initial_weights
from lstmcli.utils import rng as random_streams
from lstmcli.utils.errors import FileError, UsageError

CAT = "the cat sat on a mat. " * 40
TINY = ("--layers", 2, "--state-size", 3, "--epochs", 1)
SETTINGS = {"layers": 2, "state_size": 3}


@pytest.fixture(scope="module")
def first(run, tmp_path_factory):
    """A folder with a run on a text. Not to be written to."""
    folder = tmp_path_factory.mktemp("first")
    (folder / "cat.txt").write_text(CAT)
    run("train", "--data", folder / "cat.txt", *TINY, "--out", folder / "run")
    return folder


def begun(first, text, **settings):
    """The source of a run that begins with the first one's model, its weights, and that model."""
    Path("new.txt").write_text(text)
    config = Config.build(data="new.txt", init_from=str(first / "run"), **SETTINGS, **settings)
    source = initial_weights.open_source(config)
    model = checkpoint.read(first / "run/checkpoints/best.safetensors")
    return source, initial_weights.weights(source.config, source.spec, source.schema), model


@pytest.mark.parametrize("text", ["no mat. " * 40, CAT[::-1]], ids=["fewer", "the same"])
def test_a_text_without_new_characters_is_read_in_the_vocabulary_of_the_model(first, text):
    source, weights, model = begun(first, text)
    assert source.schema == model.schema
    names = model.schema.symbols[0].values
    given = "".join(names[code] for code in source.splits.training.symbols[:, 0])
    assert text.startswith(given)
    for name, array in weights.items():
        np.testing.assert_array_equal(array, model.tensors[name])


def test_a_vocabulary_is_extended_by_new_rows_and_columns_and_the_rest_is_kept(first):
    text = "the cäts sat on 2 mats. " * 40
    with pytest.raises(FileError) as error:
        begun(first, text)
    assert "does not know 2 of the characters of `new.txt`: '2', 'ä'" in error.value.message
    assert "`--extend-vocabulary` adds them" in error.value.hint
    source, weights, model = begun(first, text, extend_vocabulary=True)
    known = model.schema.symbols[0]
    names = source.schema.symbols[0].values
    assert names == (*known.values, "2", "ä")
    assert text.startswith("".join(names[code] for code in source.splits.training.symbols[:, 0]))
    rng = random_streams.generator(0, random_streams.Stream.WEIGHTS)
    drawn = initialization.initialise(source.config.model, len(names), len(names), [rng])
    for name, array in weights.items():
        kept = tuple(map(slice, model.tensors[name].shape))
        np.testing.assert_array_equal(array[kept], model.tensors[name])
        is_new = np.ones(array.shape, bool)
        is_new[kept] = False
        np.testing.assert_array_equal(array[is_new], drawn[name][is_new])
    assert weights["lstm.0.kernel"].shape == (1, len(names), 12)


def test_an_extension_that_extends_nothing_is_refused(first):
    with pytest.raises(UsageError, match="without `--init-from`"):
        Config.build(data="new.txt", extend_vocabulary=True)
    Path("t.csv").write_text("x,target\n" + "1,2\n3,4\n" * 50)
    config = Config.build(data="t.csv", init_from=str(first / "run"), extend_vocabulary=True)
    with pytest.raises(UsageError, match="it applies to texts"):
        initial_weights.open_source(config)


@pytest.mark.slow
def test_a_run_with_an_extended_vocabulary_goes_on_and_is_used_without_the_first(run, first):
    shutil.copytree(first / "run", "first")
    text = "a cut mat. " * 60
    Path("new.txt").write_text(text)
    options = ["--data", "new.txt", *TINY, "--init-from", "first", "--extend-vocabulary"]
    run("train", *options, "--learning-rate", 1e-30, "--out", "second")
    shutil.rmtree("first")
    run("train", "--resume", "second", "--epochs", 2)
    whole = json.loads(run("eval", "second", "--data", "new.txt", "--json").stdout)
    part = json.loads(run("eval", "second", "--json").stdout)
    assert whole["results"][0]["labels"] == len(text) - 1
    assert part["results"][0]["labels"] == len(text) // 10 - 1
    assert len(run("sample", "second", "--length", 20, "--prompt", "cut").stdout) > 20
