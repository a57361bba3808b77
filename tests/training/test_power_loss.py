"""What a power loss leaves, by a file system that forgets whatever was not synced."""

import random
import shutil
from pathlib import Path

import numpy as np
import pytest

import forgetful
from lstmcli.config import Config
from lstmcli.training import checkpoint as checkpoints
from lstmcli.training import metrics, run_dir, trainer
from lstmcli.training.metrics import EpochRow, StepRow
from lstmcli.utils import files
from lstmcli.utils.errors import FileError

KEPT = Path(__file__).parents[1] / "kept/unsealed/run/checkpoints/last.safetensors"


@pytest.fixture(scope="module")
def model():
    """A checkpoint, of which others are made that differ in their position and all weights."""
    return checkpoints.read(KEPT)


def at(model, epoch):
    tensors = {name: np.full_like(tensor, epoch) for name, tensor in model.tensors.items()}
    position = {"epoch": epoch, "window": 0, "step": epoch}
    return checkpoints.Checkpoint(tensors, {**model.metadata, "position": position})


def write_without_sync(path, *pieces):
    temporary = path.with_name(f".{path.name}.x")
    temporary.write_bytes(b"".join(pieces))
    temporary.replace(path)


def power_losses(watcher, examples, seed):
    """Yields the note and the tree of each state that a power loss may leave."""
    rng = random.Random(seed)
    for moment in watcher.history:
        for tree in forgetful.states(moment, watcher.inode, rng, examples):
            yield moment.note, tree


def written(model, folder, epochs):
    """The history of writing a checkpoint after each epoch, over the one before it."""
    at(model, 0).write(folder / "last.safetensors")
    watcher = forgetful.Watcher(folder)
    with watcher.watching():
        for epoch in range(1, epochs + 1):
            watcher.note = (epoch - 1, epoch)
            at(model, epoch).write(folder / "last.safetensors")
            watcher.note = (epoch, epoch)
            (folder / "last.safetensors").stat()
            watcher._look()
    return watcher


def found_after(tree, place):
    """The epoch of the checkpoint that a power loss leaves; `None` if there is none to be read."""
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir()
    forgetful.write_tree(tree, place)
    try:
        found = checkpoints.read(place / "last.safetensors")
    except FileError:
        return None
    assert {float(tensor.max()) for tensor in found.tensors.values()} == {
        found.metadata["position"]["epoch"]
    }
    return found.metadata["position"]["epoch"]


def test_a_power_loss_leaves_the_old_checkpoint_or_the_new_one(model, tmp_path, damage_count):
    (tmp_path / "a").mkdir()
    watcher = written(model, tmp_path / "a", 3)
    seen = set()
    for allowed, tree in power_losses(watcher, damage_count, 0):
        found = found_after(tree, tmp_path / "b")
        seen.add(found)
        assert allowed is None or found in allowed, tree.keys()
    assert seen == {0, 1, 2, 3}


def test_after_the_return_of_a_write_its_checkpoint_stays(model, tmp_path, damage_count):
    (tmp_path / "a").mkdir()
    watcher = written(model, tmp_path / "a", 1)
    last = forgetful.states(watcher.history[-1], watcher.inode, random.Random(0), damage_count)
    assert {found_after(tree, tmp_path / "b") for tree in last} == {1}


@pytest.mark.parametrize(
    ("owner", "name", "without", "lost"),
    [
        (checkpoints, "write_atomically", write_without_sync, None),
        (files, "sync_directory", lambda folder: None, 0),
    ],
)
def test_this_file_system_forgets_what_is_not_synced(
    owner, name, without, lost, model, tmp_path, monkeypatch
):
    """The tests above could not fail if it did not."""
    monkeypatch.setattr(owner, name, without)
    (tmp_path / "a").mkdir()
    watcher = written(model, tmp_path / "a", 1)
    last = forgetful.states(watcher.history[-1], watcher.inode, random.Random(0), 50)
    assert lost in {found_after(tree, tmp_path / "b") for tree in last}


def rows_of(tree, name):
    text = (tree.get(name) or b"").decode()
    return [line.split(",") for line in text.splitlines()[1:]]


def test_rows_are_never_older_than_the_checkpoint_that_follows_them(model, tmp_path, damage_count):
    folder = tmp_path / "a"
    folder.mkdir()
    watcher = forgetful.Watcher(folder)
    with watcher.watching():
        run = folder / "run"
        files.make_directories(run / "checkpoints")
        for epoch in (1, 2, 3):
            metrics.append_metrics(run / "steps.csv", [StepRow(epoch, epoch, 0, 0.5, None, 0.1)])
            at(model, epoch).write(run / "checkpoints/last.safetensors")
    seen = set()
    for _, tree in power_losses(watcher, damage_count, 1):
        content = tree.get("run/checkpoints/last.safetensors")
        if content is None:
            continue
        (tmp_path / "m.safetensors").write_bytes(content)
        epoch = checkpoints.read(tmp_path / "m.safetensors").metadata["position"]["epoch"]
        seen.add(epoch)
        whole = [
            row for row in rows_of(tree, "run/steps.csv") if len(row) == 6 and row[-1] == "0.1"
        ]
        assert {int(row[0]) for row in whole} >= set(range(1, epoch + 1)), tree["run/steps.csv"]
    assert seen == {1, 2, 3}


def test_a_run_has_a_checkpoint_to_go_on_from_whenever_the_power_goes(tmp_path, damage_count):
    folder = tmp_path / "a"
    folder.mkdir()
    config = Config.build(series_length=300, epochs=3, layers=1, state_size=2, cache=False)
    watcher = forgetful.Watcher(folder)
    with watcher.watching():
        prepared = trainer.prepare(config, run_dir.create(folder / "run", "", overwrite=False))
        for event in trainer.train(prepared):
            if isinstance(event, list):
                watcher.note = event[0].epoch
    seen = set()
    for completed, tree in power_losses(watcher, 2 + damage_count // 5, 2):
        found = []
        for name, content in tree.items():
            if name.endswith(".safetensors") and "/." not in name and content is not None:
                (tmp_path / "m.safetensors").write_bytes(content)
                read = checkpoints.read(tmp_path / "m.safetensors").metadata
                found += [read["position"]["epoch"]] if read["kind"] == "last" else []
        epochs = {
            int(row[0])
            for row in rows_of(tree, "run/metrics.csv")
            if len(row) == len(metrics.columns(EpochRow))
        }
        newest = max(found, default=0)
        seen.add(newest)
        assert newest >= (completed or 0)
        assert epochs >= set(range(1, newest + 1))
    assert seen == {0, 1, 2, 3}
