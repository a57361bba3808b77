"""The files that the wrong invocations of `tests/bad_input/` name: bad ones, and a few good ones.

`make` puts them all into one folder, which no invocation may change. What a file is called says
what is wrong with it.
"""

import gzip
import json
import os
from pathlib import Path

import numpy as np
import pandas as pd

from lstmcli import api
from lstmcli.config import Config
from lstmcli.core.tensorflow import tf
from lstmcli.sweeps import run
from lstmcli.training import checkpointing, run_dir

KINDS = ("txt", "csv", "csv.gz", "parquet", "npz", "safetensors", "toml")
ESCAPE = "\x1b[31m"
"""What would make a terminal write in red."""
TEXT = "to be or not to be, that is the question\n" * 40
SMALL = {"layers": 1, "state_size": 4}


def make(folder):
    """Makes all files in an empty folder, in which the process stands."""
    for kind in KINDS:
        (folder / f"empty.{kind}").touch()
        (folder / f"folder.{kind}").mkdir()
        (folder / f"loop.{kind}").symlink_to(f"loop.{kind}")
        (folder / f"dangling.{kind}").symlink_to("nowhere")
        (folder / f"binary.{kind}").write_bytes(bytes(range(256)) * 4)
    (folder / "file").write_text("no directory\n")
    (folder / "empty").mkdir()
    (folder / "loop").symlink_to("loop")
    (folder / "predictions.csv").write_text("step,row,input,label,probability_0\n0,0,1,0,1\n")
    for name in ("pipe.csv", "pipe.txt", "pipe.npz", "pipe.toml"):
        os.mkfifo(folder / name)
    (folder / "walks and a text").mkdir()
    (folder / "walks and a text" / "a.csv").write_text("x,y\n1,2\n3,4\n")
    (folder / "walks and a text" / "note.txt").write_text("a text")
    make_texts(folder)
    make_tables(folder)
    make_arrays(folder)
    make_settings(folder)
    make_models(folder)
    make_sweeps(folder)


def make_texts(folder):
    (folder / "good.txt").write_text(TEXT)
    (folder / "short.txt").write_text("to be")
    (folder / "one.txt").write_text("x")
    (folder / "same.txt").write_text("a" * 1000)
    (folder / "greek.txt").write_text("αβγδ" * 300, encoding="utf-8")
    (folder / "utf16.txt").write_text(TEXT, encoding="utf-16")
    (folder / "latin1.txt").write_text(TEXT + "größe\n", encoding="latin-1")
    (folder / "bom alone.txt").write_bytes(b"\xef\xbb\xbf")
    (folder / f"{ESCAPE}.txt").write_text("x")


def frame(steps=400):
    """A table: a number, a word, which sequence, a class and a number to predict."""
    rng = np.random.default_rng(0)
    columns = {
        "temp": rng.normal(20, 5, steps).round(3),
        "day": rng.choice(["mo", "tu", "we"], steps),
        "run": np.arange(steps) // 20,
        "state": rng.choice(["low", "high"], steps),
        "target": rng.normal(size=steps).round(3),
    }
    return pd.DataFrame(columns)


def make_tables(folder):
    good = frame()
    for kind in ("csv", "csv.gz"):
        good.to_csv(folder / f"good.{kind}", index=False)
    good.to_parquet(folder / "good.parquet")
    good[["temp", "target"]].to_csv(folder / "two words.csv", index=False)
    good.drop(columns="target").to_csv(folder / "no target.csv", index=False)
    good.drop(columns="temp").to_csv(folder / "no temp.csv", index=False)
    good.rename(columns={"temp": "Temp"}).to_csv(folder / "capitals.csv", index=False)
    good.rename(columns={"temp": "größe"}).to_csv(folder / "größe.csv", index=False)
    good.assign(state="unheard").to_csv(folder / "other classes.csv", index=False)
    good.assign(target=np.nan).to_csv(folder / "no value.csv", index=False)
    good.assign(target=5.0).to_csv(folder / "always 5.csv", index=False)
    good.head(3).to_csv(folder / "three rows.csv", index=False)
    good.assign(run=np.arange(400) // 200).to_csv(folder / "two sequences.csv", index=False)
    holes = good[["temp", "target"]].assign(temp=good["temp"].where(np.arange(400) % 4 > 0))
    holes.to_csv(folder / "many holes.csv", index=False)
    at = pd.date_range("2026-01-01", periods=200, freq="h")
    days = pd.DataFrame({"at": [*at, *at], "temp": good["temp"], "target": good["target"]})
    days.to_csv(folder / "not in order.csv", index=False)
    lines = good[["temp", "target"]].to_csv(index=False).splitlines()
    for name, line in {
        "word.csv": "warm,1",
        "infinite.csv": "inf,1",
        "huge.csv": "1e400,1",
        "nul.csv": "1\x00,1",
        "escape.csv": f"{ESCAPE},1",
        "long row.csv": "1,2,3",
        "short row.csv": "1",
        "open quote.csv": '"1,2',
        "date.csv": "2026-11-24,1",
    }.items():
        (folder / name).write_text("\n".join([*lines[:4], line, *lines[5:], ""]))
    text = "\n".join([*lines, ""])
    (folder / "latin1.csv").write_text(text.replace("temp", "größe"), encoding="latin-1")
    (folder / "utf16.csv").write_text(text, encoding="utf-16")
    (folder / "bom.csv").write_text(text, encoding="utf-8-sig")
    (folder / "semicolons.csv").write_text(text.replace(",", ";"))
    (folder / "no names.csv").write_text("\n".join([*lines[1:], ""]))
    (folder / "no rows.csv").write_text("temp,target\n")
    (folder / "twice.csv").write_text(text.replace("temp,", "target,", 1))
    (folder / "red.csv").write_text(text.replace("temp", f"{ESCAPE}red", 1))
    (folder / "-dash.csv").write_text(text.replace("target", "goal", 1))
    (folder / "line\nbreak.csv").write_text(text.replace("target", "goal", 1))
    (folder / f"{ESCAPE}red.csv").write_text(text.replace("target", "goal", 1))
    (folder / "plain.csv.gz").write_text(text)
    (folder / "cut.csv.gz").write_bytes(gzip.compress(text.encode())[:-9])
    (folder / "cut.parquet").write_bytes((folder / "good.parquet").read_bytes()[:-9])
    (folder / "good.xlsx").write_text(text)
    (folder / "good").write_text(text)
    pd.DataFrame({"temp": [[1, 2]] * 40, "target": np.arange(40.0)}).to_parquet(
        folder / "lists.parquet"
    )


def make_arrays(folder):
    api.generate("good.npz", series_length=1000)
    api.generate("good echo.csv", series_length=1000)
    api.generate("three classes.npz", series_length=1000, classes=3)
    api.generate("short.npz", series_length=60)
    api.generate("sequences.npz", task="order", series_length=2000)
    api.generate("adding.npz", task="adding", series_length=5000)
    for name, text in {"other.csv": "temp,target\n1,0\n", "other.json": '["mine"]'}.items():
        (folder / name).write_text(text)
    (folder / "cut.npz").write_bytes((folder / "good.npz").read_bytes()[:-99])
    echo = (folder / "good echo.csv").read_text()
    (folder / "echo.csv.gz").write_bytes(gzip.compress(echo.encode()))
    (folder / "changed.csv").write_text(echo.replace("1,0", "1,1", 1))
    (folder / "changed.json").write_text((folder / "good echo.json").read_text())
    (folder / "label -1.csv").write_text("input,target\n" + "1,0\n0,-1\n" * 200)
    (folder / "label 0.5.csv").write_text("input,target\n" + "1,0\n0,0.5\n" * 200)
    (folder / "label 2**63.csv").write_text("input,target\n" + f"1,0\n0,{2**63}\n" * 200)
    steps = np.zeros(300)
    for name, arrays in {
        "no targets": {"inputs": steps},
        "no inputs": {"targets": steps},
        "other lengths": {"inputs": steps[1:], "targets": steps},
        "no steps": {"inputs": steps[:0], "targets": steps[:0]},
        "three axes": {"inputs": np.zeros((300, 1, 1)), "targets": steps},
        "infinite": {"inputs": np.where(np.arange(300) == 7, np.inf, 0), "targets": steps},
        "huge": {"inputs": np.where(np.arange(300) == 7, 1e300, 0), "targets": steps},
        "words": {"inputs": np.array(["a"] * 300), "targets": steps},
        "label 10**6": {"inputs": steps, "targets": np.where(np.arange(300) == 7, 10**6, 0)},
        "nothing scored": {"inputs": steps, "targets": steps, "scored": steps},
        "scored 2": {"inputs": steps, "targets": steps, "scored": steps + 2},
        "objects": {"inputs": np.array([{}] * 300, object), "targets": steps},
    }.items():
        np.savez(folder / f"{name}.npz", **arrays)


def make_settings(folder):
    for name, text in {
        "broken": "layers =",
        "no table": "layers = 3\n",
        "unknown table": "[modle]\nlayers = 3\n",
        "unknown setting": "[model]\ndepth = 3\n",
        "word": '[model]\nlayers = "three"\n',
        "zero": "[training]\nepochs = 0\n",
        "nan": "[training]\nlearning_rate = nan\n",
        "infinite": "[training]\nlearning_rate = inf\n",
        "list": "[training]\nepochs = [1, 2]\n",
        "date": "[run]\nseed = 2026-11-24\n",
        "truth": "[model]\nlayers = true\n",
        "huge": "[model]\nlayers = 1000000000000000000000000000000\n",
        "table for a file": "[data.data]\nname = 1\n",
        "escape": '[model]\n"\\u001b[31mlayers" = 3\n',
        "lost": '[data]\ndata = "nowhere/lost.npz"\n',
        "nul": '[data]\ndata = "a\\u0000b.npz"\n',
        "twice": "[model]\nlayers = 1\nlayers = 2\n",
    }.items():
        (folder / f"{name}.toml").write_text(text)
    (folder / "latin1.toml").write_text('[data]\ndata = "größe.csv"\n', encoding="latin-1")


def make_models(folder):
    """Run directories of untrained models."""
    for name, settings in {
        "echo run": {"series_length": 1500},
        "npz run": {"data": "good.npz"},
        "text run": {"data": "good.txt"},
        "table run": {"data": "good.csv", "inputs": "temp,day", "target": "state"},
        "numbers run": {"data": "good.csv", "inputs": "temp", "target": "target"},
        "groups run": {"data": "good.csv", "group": "run", "target": "target"},
        "residual run": {
            "data": "good.csv",
            "inputs": "temp,target",
            "target": "target",
            "horizon": 1,
            "predict": "residual",
        },
        "two seeds": {"data": "good.txt", "replicas": 2},
    }.items():
        make_run(folder / name, **settings)
    whole = (folder / "text run/checkpoints/best.safetensors").read_bytes()
    (folder / "cut.safetensors").write_bytes(whole[:-1])
    (folder / "strange.safetensors").write_bytes(safetensors_with({"format": "pt"}))
    newer = json.dumps({"format": 1000})
    (folder / "newer.safetensors").write_bytes(safetensors_with({"lstmcli": newer}))
    layers = tf.keras.layers
    gru = tf.keras.Sequential([layers.GRU(4, return_sequences=True, name="gated"), layers.Dense(2)])
    gru.build((None, None, 1))
    gru.save(folder / "gru.keras")
    (folder / "cut.keras").write_bytes((folder / "gru.keras").read_bytes()[:-99])
    huge = (2**62).to_bytes(8, "little") + b"{}"
    (folder / "huge header.safetensors").write_bytes(huge)
    (folder / "not a run").mkdir()
    (folder / "not a run/run.json").write_text('{"mine": 1}')
    (folder / "own config").mkdir()
    (folder / "own config/config.toml").write_text("mine = 1\n")


def make_run(path, **settings):
    config = Config.build(**{**SMALL, **settings})
    directory = run_dir.create(path, "run", False)
    run = api.prepare(api.open_data(config), directory)
    directory.begin(run.config, status="completed", version="0", argv=[], seeds=config.run.seeds)
    run.best, run.best_changed = run.tensors, True
    checkpointing.save(run)


def safetensors_with(metadata):
    header = json.dumps({"__metadata__": metadata}).encode()
    return len(header).to_bytes(8, "little") + header


def make_sweeps(folder):
    plan = api.plan_of(
        {"layers": "1,2", "seeds": 2, "series_length": 1500, "epochs": 2, "learning_rate": 0.3}
    )
    for name in ("sweep", "damaged sweep", "broken sweep", "begun sweep"):
        with run.opened(plan, Path(name), False) as directory:
            directory.begin(plan)
    make_run(folder / "begun sweep/trials/1x4-seeds-0-1", series_length=1500)
    (folder / "damaged sweep/trials.csv").write_text("trial\n1,2,3\n")
    (folder / "broken sweep/sweep.toml").write_text("[sweep")
    (folder / "own table").mkdir()
    (folder / "own table/trials.csv").write_text("mine\n")
