"""Files that earlier versions wrote are read for ever; those of later ones are refused."""

import json

import pandas as pd
import pytest

from lstmcli.data import arrays as array_files
from lstmcli.training import checkpoint as checkpoints
from lstmcli.utils.errors import FileError
from refusals import KEPT, UNSEALED


@pytest.mark.parametrize(
    ("name", "steps", "checksum"),
    [
        ("echo.npz", 1000, "e7ecfe86ccaaa5d478cc9d8dc801a8b97b7d16b2e04b00c8ea4f3b6b76a90c54"),
        ("echo.csv", 200, "6018b8870d2916796df65662bf2f1676c7466f932d3015ca8a5ce5391665394e"),
        ("adding.npz", 212, "d55261a434898fe5d783f91aa3a44ca01496ee7ab975724c70a02cdeebedd3be"),
    ],
)
@pytest.mark.parametrize("folder", ["unsealed", "sealed"])
def test_a_kept_dataset_is_read_for_ever(folder, name, steps, checksum):
    series, metadata = array_files.read(KEPT / folder / name)
    assert (len(series), series.checksum()) == (steps, checksum)
    assert metadata["seed"] in (3, 4, 5)


@pytest.mark.parametrize(
    ("checkpoint", "losses"),
    [
        ("unsealed/run", [0.682867731253306, 0.6494013377030691]),
        ("unsealed/run/checkpoints/last.safetensors", [0.682867731253306, 0.6494013377030691]),
        ("unsealed/text", [0.7128133993125982]),
        ("sealed/text.safetensors", [0.7128133993125982]),
    ],
)
def test_a_kept_checkpoint_is_scored_as_ever(checkpoint, losses, run):
    command = ["eval", KEPT / checkpoint, "--json"]
    if checkpoint.startswith("sealed"):
        command += ["--data", KEPT / "unsealed/text.txt"]
        expected = json.loads(
            run("eval", UNSEALED / "text", *command[2:]).stdout
        )["results"]  # fmt: skip
        losses = [row["loss"] for row in expected]
    found = [row["loss"] for row in json.loads(run(*command).stdout)["results"]]
    assert found == pytest.approx(losses, rel=1e-5)


def test_a_kept_run_can_be_begun_from_and_its_settings_taken_over(kept, run):
    run("inspect", kept / "run")
    command = ["train", "--config", kept / "run/config.toml", "--init-from", kept / "run"]
    run(*command, "--epochs", 1, "--out", "again")
    assert len(pd.read_csv("again/metrics.csv")) == 2


KEPT_SWEEP = (
    "sweep", "--layers", "1,2", "--series-length", 400, "--epochs", 2, "--state-size", 2,
    "--learning-rate", 0.3,
)  # fmt: skip


def test_a_kept_sweep_gives_its_answer(kept, run):
    before = pd.read_csv(kept / "sweep/trials.csv")
    shown = json.loads(run(*KEPT_SWEEP, "--out", kept / "sweep", "--seeds", 2, "--json").stdout)
    assert "no depth is better than a uniform guess" in shown["answer"]
    after = pd.read_csv(kept / "sweep/trials.csv")
    assert after[["trial", "test_loss"]].equals(before[["trial", "test_loss"]])


@pytest.mark.slow
def test_a_kept_sweep_is_extended(kept, run):
    before = pd.read_csv(kept / "sweep/trials.csv")
    run(*KEPT_SWEEP, "--out", kept / "sweep", "--seeds", 2)
    run(*KEPT_SWEEP, "--out", kept / "sweep", "--seeds", 3, "--jobs", 1)
    after = pd.read_csv(kept / "sweep/trials.csv")
    assert len(after) == 6
    assert set(before.trial) < set(after.trial)
    merged = before.merge(after, on="trial")
    assert merged.test_loss_x.tolist() == merged.test_loss_y.tolist()


def test_files_of_a_newer_format_are_refused_by_its_number(sealed, tmp_path, monkeypatch):
    found = checkpoints.read(sealed / "m.safetensors")
    with monkeypatch.context() as patch:
        patch.setattr(checkpoints, "FORMAT", 7)
        found.write(tmp_path / "m.safetensors")
        patch.setattr("lstmcli.data.csv_series.SIDECAR_FORMAT", 8)
        for name, kept in (("x.npz", "echo.npz"), ("y.csv", "echo.csv")):
            array_files.write(tmp_path / name, *array_files.read(UNSEALED / kept))
    for read, name, number in (
        (checkpoints.read, "m.safetensors", 7),
        (array_files.read, "x.npz", 8),
        (array_files.read, "y.csv", 8),
    ):
        with pytest.raises(
            FileError, match=rf"{name}` has \w+ format {number}, expected 1"
        ) as caught:
            read(tmp_path / name)
        assert "a newer version of lstmcli" in caught.value.hint
