"""A stranger's path: a CSV file, a model of it, its answers, and the model in other programs."""

import importlib.util
import io
import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pytorch_equations import documented_lstm, read_export

ROOT = Path(__file__).parents[2]
RELOAD = ROOT / "tests" / "support" / "reload_exports.py"
STEPS, HALF, AHEAD = 1000, 617, 24


@pytest.fixture
def lstmcli(python):
    """The program in a process of its own; fails where it does."""

    def call(*arguments, given=None):
        command = [sys.executable, "-m", "lstmcli", *map(str, arguments)]
        done = subprocess.run(command, input=given, capture_output=True, check=False, **python)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return call


def write_hourly():
    """A temperature that follows the day, drifts, and has a sensor beside it."""
    rng = np.random.default_rng(3)
    hours = pd.date_range("2026-01-01", periods=STEPS, freq="h")
    day = 4 * np.sin(np.arange(STEPS) * 2 * np.pi / 24)
    columns = {
        "time": hours,
        "temp": (15 + day + rng.normal(0, 0.2, STEPS).cumsum()).round(2),
        "wind": rng.choice(["calm", "gusts", "storm"], STEPS),
    }
    pd.DataFrame(columns).to_csv("hourly.csv", index=False)


def in_a_pipe(lstmcli):
    """What is predicted for the file line by line, in two calls that share a state."""
    header, *lines = Path("hourly.csv").read_text().splitlines(keepends=True)
    halves = lines[:HALF], lines[HALF:]
    answers = [
        lstmcli("predict", "runs/hourly", "--state", "state", given="".join([header, *half]))
        for half in halves
    ]
    whole = lstmcli("predict", "runs/hourly", "hourly.csv")
    names, *rest = answers[1].splitlines(keepends=True)
    second = rest if names == answers[0].splitlines(keepends=True)[0] else [names, *rest]
    assert answers[0] + "".join(second) == whole
    return pd.read_csv(io.StringIO(whole))


def beyond_the_end(lstmcli, predicted):
    """A day's forecast goes on where the file and its predictions end."""
    hours = pd.date_range("2026-01-01", periods=STEPS + AHEAD, freq="h")[STEPS:]
    winds = ["calm", "gusts", "storm"] * (AHEAD // 3)
    pd.DataFrame({"time": hours, "wind": winds}).to_csv("future.csv", index=False)
    known = ["--future", "future.csv", "--output", "next.csv"]
    lstmcli("forecast", "runs/hourly", "--steps", AHEAD, *known)
    table = pd.read_csv("next.csv", parse_dates=["time"])
    assert table.time.tolist() == hours.tolist()
    assert table.prediction[0] == pytest.approx(predicted.prediction.iloc[-1], rel=1e-5)
    assert (table.low < table.prediction).all()
    assert (table.prediction < table.high).all()


def backtest(lstmcli):
    """Forecasts from each step of the test part; the last value's errors as pandas has them."""
    found = json.loads(lstmcli("eval", "runs/hourly", "--ahead", AHEAD, "--json"))
    table = pd.DataFrame(found["results"])
    last = table[table.predictor == "last value"].set_index("ahead")
    assert last.index.tolist() == [*range(1, AHEAD + 1)]
    temp = pd.read_csv("hourly.csv").temp
    for ahead, row in last.iterrows():
        errors = temp.diff(ahead)[-found["origins"] + ahead - 1 :]
        assert (len(errors), row.rmse) == (row["count"], pytest.approx((errors**2).mean() ** 0.5))
    assert set(table.predictor) >= {"seed 0", "linear autoregression"}


def elsewhere(lstmcli, predicted):
    """The model in Keras and in PyTorch, without lstmcli, gives the same numbers."""
    lstmcli("export", "runs/hourly", "hourly.keras")
    lstmcli("export", "runs/hourly", "hourly.safetensors")
    table = pd.read_csv("hourly.csv")
    temp, wind = table[["temp"]].to_numpy()[None], table[["wind"]].to_numpy().astype(str)[None]
    tensors, about = read_export("hourly.safetensors")
    schema = about["schema"]
    [number], [word], [target] = schema["numbers"], schema["symbols"], schema["target"]
    standardised = (temp - number["mean"]) / number["scale"]
    features = np.concatenate([standardised, wind == np.array(word["values"])], -1)
    np.savez("given.npz", numbers=temp, symbols=wind)
    np.savez("features.npz", features=features.astype(np.float32))
    [loader] = re.findall(r"```python\n(import json.*?)```", EXPORT_PAGE, re.DOTALL)
    Path("loader.py").write_text(loader)
    order("keras", "keras", "hourly.keras", "given.npz")
    outputs = documented_lstm(tensors, features, about["layers"])
    if importlib.util.find_spec("torch"):
        order("pytorch", "pytorch", "hourly.safetensors", "features.npz")
    subprocess.run([sys.executable, RELOAD, "."], check=True)
    if Path("pytorch.npy").exists():
        np.testing.assert_allclose(np.load("pytorch.npy"), outputs, atol=1e-5)
    for found in (np.load("keras.npy"), outputs * target["scale"] + temp):
        difference = (found[0, :, 0] - predicted.prediction) / target["scale"]
        np.testing.assert_allclose(difference, 0, atol=1e-5)


def order(name, loader, model, given):
    Path(f"{name}.json").write_text(json.dumps({"loader": loader, "model": model, "given": given}))


def curves():
    """The validation losses by epoch, as TensorBoard reads them."""
    code = (
        "import sys; from tensorboard.backend.event_processing import event_accumulator as events\n"
        "found = events.EventAccumulator('runs/hourly/tensorboard/seed-0'); found.Reload()\n"
        "print([[each.step, each.value] for each in found.Scalars('val_loss')])"
    )
    command = [sys.executable, "-W", "ignore", "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


@pytest.mark.slow
def test_a_strangers_path_from_a_file_to_a_model_in_use(lstmcli):
    write_hourly()
    options = ["--target", "temp", "--horizon", 1, "--predict", "change", "--state-size", 8]
    shown = ["--tensorboard", "--progress", "none", "--out", "runs/hourly"]
    lstmcli("train", "--data", "hourly.csv", *options, "--epochs", 3, *shown)
    predicted = in_a_pipe(lstmcli)
    assert len(predicted) == STEPS
    beyond_the_end(lstmcli, predicted)
    backtest(lstmcli)
    elsewhere(lstmcli, predicted)
    metrics = pd.read_csv("runs/hourly/metrics.csv")
    seen = curves()
    assert [step for step, _ in seen] == [1, 2, 3]
    np.testing.assert_allclose([value for _, value in seen], metrics.val_loss, rtol=1e-6)
    [row] = json.loads(lstmcli("runs", "--json"))["runs"]
    assert (row["name"], row["status"], row["epochs"]) == ("hourly", "completed", 3)


EXPORT_PAGE = (ROOT / "docs" / "howto" / "export.md").read_text()
