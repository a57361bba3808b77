"""What a run leaves behind: its tables, and the same bits each time."""

import csv
from dataclasses import astuple

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lstmcli.config import Config
from lstmcli.core.replica_windows import ReplicaWindows
from lstmcli.core.runner import Program
from lstmcli.data.datasets import open_source
from lstmcli.model_spec import ModelSpec
from lstmcli.training import checkpoint as checkpoints
from lstmcli.training import metrics
from lstmcli.training.metrics import EpochRow
from records import assert_same_bits, replay, table, tensors

COLUMNS = (
    "epoch,step,seed,loss,accuracy,val_loss,val_accuracy,bayes_loss,"
    "learning_rate,grad_norm,epoch_seconds,elapsed_seconds,val_gap"
)


def test_metrics_have_the_contracts_columns_and_a_row_for_each_epoch_and_seed(trained):
    assert (trained / "metrics.csv").read_text().splitlines()[0] == COLUMNS
    rows = pd.read_csv(trained / "metrics.csv")
    expected = [(epoch, 20 * epoch, seed) for epoch in (1, 2, 3) for seed in (0, 1, 2)]
    assert list(zip(rows.epoch, rows.step, rows.seed, strict=True)) == expected
    assert (rows.learning_rate == 0.3).all()
    assert (rows.groupby("epoch").epoch_seconds.first().cumsum() < rows.elapsed_seconds[8]).all()


NUMBERS = st.floats(allow_nan=False)


@given(
    st.lists(
        st.builds(
            EpochRow,
            *[st.integers(0, 10**12)] * 3,
            *[NUMBERS] * 2,
            *[st.none() | NUMBERS] * 3,
            *[NUMBERS] * 4,
        ),
        min_size=1,
    )
)
def test_cells_read_back_to_the_same_values_and_an_unmeasured_one_is_empty(tmp_path_factory, rows):
    path = tmp_path_factory.getbasetemp() / "metrics.csv"
    path.unlink(missing_ok=True)
    metrics.append_metrics(path, rows[:1])
    metrics.append_metrics(path, rows[1:])
    with path.open(newline="") as file:
        header, *lines = csv.reader(file)
    assert ",".join(header) == COLUMNS
    found = [tuple(None if cell == "" else float(cell) for cell in line) for line in lines]
    assert found == [astuple(row) for row in rows]


def test_a_run_equals_a_bare_training_loop_so_validating_changes_nothing(run, tmp_path):
    """Weights, the means of the losses, and every 100th window's; 213 windows an epoch."""
    given = {"bptt": 3, "batch_size": 2, "series_length": 1278, "epochs": 2, "layers": 1, "seed": 4}
    options = [f"--{name.replace('_', '-')}={value}" for name, value in given.items()]
    run("train", *options, "--out", "run")
    expected, (loss, accuracy, grad_norm, _) = replay(Config.build(**given), epochs=2)
    assert_same_bits(tensors(tmp_path / "run"), expected)

    logged = [0, 100, 200, 213, 313, 413]
    steps = pd.read_csv("run/steps.csv")
    assert list(steps) == ["epoch", "step", "seed", "loss", "accuracy", "grad_norm"]
    assert steps.step.tolist() == [window + 1 for window in logged]
    assert steps.epoch.tolist() == [1, 1, 1, 2, 2, 2]
    for name, column in (("loss", loss), ("accuracy", accuracy), ("grad_norm", grad_norm)):
        np.testing.assert_array_equal(steps[name].astype(np.float32), column[logged, 0], name)
        means = column[:, 0].astype(float).reshape(2, 213).mean(1)
        np.testing.assert_allclose(pd.read_csv("run/metrics.csv")[name], means, rtol=1e-12)


def test_validation_figures_are_those_of_the_saved_weights_on_the_validation_series(trained):
    saved = checkpoints.read(trained / "checkpoints" / "last.safetensors")
    held_out = open_source(saved.config).validation()
    program = Program(saved.config, ModelSpec(1, (), 2), "cpu:0")
    scores = np.concatenate(list(program.predict(saved.tensors, ReplicaWindows(held_out))))
    found = np.exp(scores).astype(float)  # [W, T, B, C, R]
    labels = np.stack([each.take(0, len(each))["targets"] for each in held_out], -1)
    right = np.take_along_axis(found, labels[:, :, :, None], 3)[:, :, :, 0]
    rows = pd.read_csv(trained / "metrics.csv").tail(3)
    np.testing.assert_allclose(rows.val_loss, -np.log(right).mean((0, 1, 2)), rtol=1e-5)
    np.testing.assert_allclose(rows.val_accuracy, (right > 0.5).mean((0, 1, 2)), rtol=1e-6)


def test_the_same_settings_give_the_same_bits(run, small, trained, tmp_path):
    run("train", *small, "--replicas", 3, "--out", "again")
    for which in ("last", "best"):
        assert_same_bits(tensors(tmp_path / "again", which), tensors(trained, which))
    for name in ("metrics.csv", "steps.csv"):
        assert table(tmp_path / "again", name).equals(table(trained, name))


def test_a_replica_equals_a_run_of_its_own_to_the_bit(run, small, trained, tmp_path):
    seed = 2
    run("train", *small, "--seed", seed, "--out", "alone")
    for which in ("last", "best"):
        together = {name: array[[seed]] for name, array in tensors(trained, which).items()}
        assert_same_bits(tensors(tmp_path / "alone", which), together)
    for name in ("metrics.csv", "steps.csv"):
        rows = table(trained, name)
        own = (
            rows[rows.seed == str(seed)]
            .reset_index(drop=True)
            .drop(columns="bayes_loss", errors="ignore")
        )
        assert table(tmp_path / "alone", name)[list(own)].equals(own)


@pytest.mark.parametrize(
    "given",
    [
        pytest.param({"layers": 3, "replicas": 8}, marks=pytest.mark.slow),
        {"layers": 1, "state_size": 7, "classes": 3, "replicas": 5, "optimizer": "adam"},
        pytest.param(
            {"layers": 2, "replicas": 2, "optimizer": "rmsprop", "clip_norm": 0.01, "bptt": 4},
            marks=pytest.mark.slow,
        ),
    ],
)
def test_replicas_equal_single_trainings_at_other_sizes_too(given):
    together = Config.build(series_length=600, **given)
    last = together.run.replicas - 1
    alone = Config.build(series_length=600, **(given | {"replicas": 1, "seed": last}))
    expected, measured = replay(together, epochs=2)
    found, own = replay(alone, epochs=2)
    assert_same_bits(found, {name: array[[last]] for name, array in expected.items()})
    for one, many in zip(own, measured, strict=True):
        assert one[:, 0].tobytes() == many[:, last].tobytes()
