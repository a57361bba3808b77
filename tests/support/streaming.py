"""Models of every kind of data that `lstmcli predict` can be given, with drawn weights."""

import gzip
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

import kinds
from bad_files import make_run
from lstmcli import api
from lstmcli.core import numpy_lstm
from lstmcli.data import readers
from lstmcli.training import load

TABLES = {
    "numbers": {"target": "level", "horizon": 1, "predict": "level"},
    "change": {"target": "level", "horizon": 2, "predict": "change"},
    "residual": {"target": "level", "horizon": 1, "predict": "residual"},
    "several": {"target": "level,temp", "horizon": "1-3", "predict": "change"},
    "several_residuals": {"target": "level,temp", "horizon": "1-2", "predict": "residual"},
    "classes_of_table": {"target": "state", "horizon": 1},
    "same_step": {"target": "level"},
    "zero": {"target": "level", "horizon": 1, "missing": "zero", "predict": "residual"},
    "calendar": {"target": "level", "horizon": 1, "calendar": "hour,weekday,month"},
    "groups": {"target": "level", "horizon": 1, "group": "well", "predict": "residual"},
    "group_labels": {"target": "kind", "group": "well"},
    "na_values": {"target": "level", "horizon": 1, "na_values": "-999,none at all"},
    "tiny": {"target": "level", "horizon": 1},
    "no_header": {"target": "1", "horizon": 1, "no_header": True},
    "written": {"target": "level", "horizon": 1},
}
"""The settings of models of tables, of which `_table` says what their files are like."""
DRAWN = {
    "echo": {"series_length": 1500},
    "classes": {"classes": 4, "series_length": 1500},
    "parity": {"task": "parity", "series_length": 3000},
    "adding": {"task": "adding", "sequence_length": 12, "series_length": 1500},
    "order": {"task": "order", "sequence_length": 20, "series_length": 1500},
    "copy": {"task": "copy", "sequence_length": 3, "series_length": 1500},
}


@dataclass
class Kind:
    """A model in `run` of a folder, and a file that it is to be given."""

    folder: Path
    data: str
    settings: dict


def make_kind(kind, folder, replicas=1):
    """A run with drawn weights, and data of its kind; made once in a folder."""
    place = folder / f"{kind}-{replicas}"
    settings = {"layers": 2, "state_size": 5, "replicas": replicas}
    if kind in TABLES:
        data, of_kind = "table.csv", {"data": str(place / "table.csv"), **TABLES[kind]}
    elif kind in DRAWN:
        data, of_kind = "drawn.csv" if kind in ("adding", "echo") else "drawn.npz", DRAWN[kind]
    else:
        data = {"text": "book.txt", "arrays": "arrays.npz"}[kind]
        of_kind = {"data": str(place / data)}
    if not place.exists():
        place.mkdir()
        kinds.write(place)
        _table(kind, place / "table.csv")
        make_run(place / "run", **settings, **of_kind)
        draw_weights(place / "run")
        if kind in DRAWN:
            api.generate(place / data, seed=9, **of_kind)
    return Kind(place, data, of_kind)


def by_pandas(made, replica=0):
    """What a model gives for a file that pandas reads whole: a loop over NumPy's steps.

    Probabilities `[steps, C]`, or numbers in their own units `[steps, D]`, in the file's order.
    """
    _, model = load.read_own_checkpoint(made.folder / "run")
    config = model.config.data
    path = made.folder / made.data
    series, _ = readers.read_whole(path, model.schema, config, to_score=False)
    network = numpy_lstm.network(model.tensors, replica, model.schema.spec(False, False))
    state, found = numpy_lstm.zero_state(network, 1), []
    for step in range(len(series)):
        if series.starts is not None and series.starts[step]:
            state = numpy_lstm.zero_state(network, 1)
        given = series.symbols[[step]], series.numbers[[step]]
        logits, state = numpy_lstm.step(network, state, *given)
        found.append(logits[0].astype(np.float64))
    found = np.array(found)
    if series.classes:
        chances = np.exp(found)
        return _in_file_order(series, chances / chances.sum(1, keepdims=True))
    found = found if series.base is None else found + series.base
    units = [column.in_units(found[:, place]) for place, column in enumerate(series.schema.target)]
    return _in_file_order(series, np.stack(units, 1))


def _in_file_order(series, values):
    rows = series.labels.get("file_row")
    return values if rows is None else values[np.argsort(rows)]


def draw_weights(run):
    """Weights of which every input and every step before counts, in place of small ones."""
    path, model = load.read_own_checkpoint(run)
    rng = np.random.default_rng(3)
    for name, tensor in model.tensors.items():
        if name.startswith(("lstm.", "dense.")):
            tensor[...] = rng.normal(scale=0.5, size=tensor.shape)
    model.write(path)


def without_target(made):
    """The table of a kind without its target, where that is no input."""
    table = pd.read_csv(made.folder / made.data, dtype=str, keep_default_na=False)
    given = made.settings.get("horizon")
    return table if given else table.drop(columns=made.settings["target"])


def _table(kind, path, rows=1200):
    """A table of hours with a level, a temperature, a word and a class; some cells are empty."""
    rng = np.random.default_rng(5)
    steps = np.arange(rows)
    level = 100 + np.cumsum(rng.normal(size=rows)) + 5 * np.sin(steps / 12)
    words = np.array(["dry", "wet", "true", "ice, or snow"])[rng.integers(0, 4, rows)]
    table = pd.DataFrame(
        {
            "time": pd.date_range("2021-03-01", periods=rows, freq="h"),
            "level": level.round(3),
            "temp": rng.normal(8, 5, rows).round(2),
            "word": words,
            "state": np.where(level > 100, "high", "low"),
        }
    )
    table["well"] = np.array(["a", "b", "c"])[rng.integers(0, 3, rows)]
    table["kind"] = ""
    text = table.astype(str)
    for column in ("level", "temp", "word"):
        text.loc[rng.random(rows) < 0.05, column] = ""
    if kind == "group_labels":
        text["well"] = np.repeat([f"w{each}" for each in range(rows // 12)], 12)
        text["kind"] = np.where(np.arange(rows) % 12 == 11, text["state"], "")
        text = text.drop(columns="state")
    if kind not in ("groups", "group_labels"):
        text = text.drop(columns=["well", "kind"])
    if kind == "groups":
        text = text.drop(columns="kind")
    if kind == "na_values":
        text.loc[rng.random(rows) < 0.05, "temp"] = "-999.0"
        text.loc[rng.random(rows) < 0.05, "word"] = "none at all"
    if kind == "tiny":
        text["level"] = [f"{float(each) / 1e12:.6e}" if each else "" for each in text["level"]]
    if kind == "written":
        text["time"] = table["time"].dt.strftime("%d.%m.%Y %H:%M")
        for column in ("level", "temp"):
            text[column] = text[column].str.replace(".", ",")
        path.write_text("# a comment\n" + text.to_csv(index=False, sep=";"), encoding="utf-8")
        return
    text.to_csv(path, index=False, header=kind != "no_header")


def zipped(path):
    """The same file, compressed."""
    with gzip.open(f"{path}.gz", "wb") as file:
        file.write(path.read_bytes())
    return f"{path.name}.gz"
