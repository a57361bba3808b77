"""What the fuzzers ask of every reader: a file is read, or refused with a `LstmcliError`.

`python tests/support/fuzzing.py READER -runs=100000` looks for a counterexample with
atheris, which follows the branches that an input takes; `make torture` does so for each reader. It
keeps both sides of a comparison for ever, so that the readers compare arrays of megabytes by a
function: `np.less`.
"""

import gzip
import io
import json
import shutil
import sys
import tempfile
import tomllib
import warnings
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from unittest import mock

import pandas as pd

if __name__ == "__main__":
    import atheris

    instrumented = atheris.instrument_imports(include=["lstmcli"])
else:
    instrumented = nullcontext()
with instrumented:
    from lstmcli.cli import inspect
    from lstmcli.config import Config, DataConfig
    from lstmcli.data import arrays, readers, schema
    from lstmcli.reporting import load as curves
    from lstmcli.reporting import run_page, sweep_page
    from lstmcli.reporting.html import render_page
    from lstmcli.reporting.load import ReportInputs, figures_of_sweep
    from lstmcli.sweeps import tables
    from lstmcli.training import checkpoint as checkpoints
    from lstmcli.training import load, metrics, resume_state, run_dir
    from lstmcli.utils.errors import LstmcliError

KEPT = Path(__file__).parents[1] / "kept"
REFERENCES = [{"name": "majority class", "loss": 0.69, "accuracy": 0.5}]


def _config(path):
    Config.build(run_dir.read_config(path))


def _status(path):
    directory = run_dir.RunDirectory(path.parent, overwrite=True)
    directory.check_free()
    load.data_checksums(path.parent)


def _parts(path, **settings):
    readers.read_parts(DataConfig(data=str(path), **settings))


def _beside(path):
    table = path.with_suffix(".csv")
    table.write_bytes((KEPT / "sealed/echo.csv").read_bytes())
    _parts(table)


def _described(path):
    """What `inspect` does with a checkpoint besides printing it."""
    model = checkpoints.read(path)
    description = inspect._describe(model)
    inspect._extent(description)
    for column in (*model.schema.numbers, *model.schema.symbols):
        inspect._column(model.schema, column)


def _beside_the_kept(path, kind, use):
    """Reads a file in the place of one of a kept run or sweep."""
    folder = path.parent / kind
    if not folder.exists():
        shutil.copytree(KEPT / "unsealed" / kind, folder)
    whole = (folder / path.name).read_bytes() if (folder / path.name).exists() else None
    (folder / path.name).write_bytes(path.read_bytes())
    try:
        use(folder)
    finally:
        if whole is not None:
            (folder / path.name).write_bytes(whole)


def _page(path):
    with mock.patch("lstmcli.reporting.sections.drawn_figures", return_value=[]):
        _beside_the_kept(path, "run", lambda folder: render_page(run_page.page(folder)))


def _sweep_page(path):
    with mock.patch("lstmcli.reporting.sections.drawn_figures", return_value=[]):
        _beside_the_kept(path, "sweep", lambda folder: render_page(sweep_page.page(folder)))


def _curve(path):
    run = run_dir.RunDirectory(path.parent)
    curves.curve_of(run, ReportInputs(Config.build(), schema.plain(1, 2)))
    metrics.read_metrics(run.metrics)


def _figures(path):
    _beside_the_kept(path, "sweep", figures_of_sweep)


def _resume(path):
    _beside_the_kept(
        path, "run", lambda folder: resume_state.load_resume_state(run_dir.RunDirectory(folder), {})
    )


READERS = {
    "checkpoint": ("m.safetensors", checkpoints.read, ["sealed/text.safetensors"]),
    "npz": ("x.npz", arrays.read, ["sealed/echo.npz", "unsealed/adding.npz"]),
    "csv": ("y.csv", arrays.read, ["sealed/echo.csv"]),
    "beside": ("y.json", _beside, ["sealed/echo.json", "unsealed/echo.json"]),
    "table": ("t.csv", partial(_parts, target="target"), ["sealed/echo.csv"]),
    "text": ("t.txt", _parts, ["unsealed/text.txt"]),
    "config": ("c.toml", _config, ["unsealed/run/config.toml", "unsealed/sweep/sweep.toml"]),
    "status": ("run.json", _status, ["unsealed/run/run.json"]),
    "described": ("d.safetensors", _described, ["sealed/text.safetensors"]),
    "compressed": ("t.csv.gz", partial(_parts, target="target"), ["unsealed/echo.csv"]),
    "parquet": ("t.parquet", partial(_parts, target="target"), ["unsealed/echo.csv"]),
    "page": ("run.json", _page, ["unsealed/run/run.json"]),
    "resume": ("run.json", _resume, ["unsealed/run/run.json"]),
    "settings": ("config.toml", _page, ["unsealed/run/config.toml"]),
    "rows": ("metrics.csv", _page, ["unsealed/run/metrics.csv"]),
    "curve": ("metrics.csv", _curve, ["unsealed/run/metrics.csv"]),
    "sweep": ("sweep.toml", _sweep_page, ["unsealed/sweep/sweep.toml"]),
    "sweep's trials": ("trials.csv", _sweep_page, ["unsealed/sweep/trials.csv"]),
    "summary": ("summary.csv", _sweep_page, ["unsealed/sweep/summary.csv"]),
    "curves": ("curves.csv", _figures, ["unsealed/sweep/curves.csv"]),
    "trials": ("trials.csv", tables.read_trials, ["unsealed/sweep/trials.csv"]),
}
"""By name: the file's name, its reader, and genuine ones to begin with."""


SLOW = frozenset({"page", "settings", "rows", "sweep", "sweep's trials", "summary", "curves"})
"""Those that take tenths of a second."""


def genuine(name):
    """The contents of genuine files of a kind."""
    found = [(KEPT / each).read_bytes() for each in READERS[name][2]]
    if name == "compressed":
        return [gzip.compress(each) for each in found]
    if name == "parquet":
        return [pd.read_csv(io.BytesIO(each)).to_parquet() for each in found]
    if name in ("page", "resume"):
        settings = tomllib.loads((KEPT / "unsealed/run/config.toml").read_text())
        known = {"schedule": "wavefront", "settings": settings, "references": REFERENCES}
        return [json.dumps({**json.loads(each), **known}).encode() for each in found]
    return found


def try_to_read(name, content, folder):
    """Reads content as a file of some kind; returns the error that it was refused with, if any."""
    file, read, _ = READERS[name]
    path = folder / file
    path.write_bytes(content)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            read(path)
    except LstmcliError as error:
        return error
    return None


def main():
    """Fuzzes one reader with atheris."""
    name, *options = sys.argv[1:]
    with tempfile.TemporaryDirectory() as scratch:
        folder, corpus = Path(scratch) / "read", Path(scratch) / "corpus"
        folder.mkdir()
        corpus.mkdir()
        for number, content in enumerate(genuine(name)):
            (corpus / str(number)).write_bytes(content)
        atheris.Setup(
            ["fuzzing", "-max_len=8192", *options, str(corpus)],
            lambda content: try_to_read(name, content, folder),
        )
        atheris.Fuzz()


if __name__ == "__main__":
    main()
