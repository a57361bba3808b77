"""What the fuzzers ask of every reader: a file is read, or refused with a `LstmcliError`.

`python tests/fuzzing.py READER -runs=100000` looks for a counterexample with atheris, which follows
the branches that an input takes; `make torture` does so for each reader. It keeps both sides of a
comparison for ever, so that the readers compare arrays of megabytes by a function: `np.less`.
"""

import sys
import tempfile
import warnings
from contextlib import nullcontext
from functools import partial
from pathlib import Path

if __name__ == "__main__":
    import atheris

    instrumented = atheris.instrument_imports(include=["lstmcli"])
else:
    instrumented = nullcontext()
with instrumented:
    from lstmcli.config import Config, DataConfig
    from lstmcli.data import readers, storage
    from lstmcli.errors import LstmcliError
    from lstmcli.runs import checkpoint as checkpoints
    from lstmcli.runs import finding, rundir
    from lstmcli.sweeps import tables

KEPT = Path(__file__).parent / "kept"


def _config(path):
    Config.build(rundir.read_config(path))


def _status(path):
    directory = rundir.RunDirectory(path.parent, overwrite=True)
    directory.check_free()
    finding.data_checksums(path.parent)


def _parts(path, **settings):
    readers.read_parts(DataConfig(data=str(path), **settings))


def _beside(path):
    table = path.with_suffix(".csv")
    table.write_bytes((KEPT / "sealed/echo.csv").read_bytes())
    _parts(table)


READERS = {
    "checkpoint": ("m.safetensors", checkpoints.read, ["sealed/text.safetensors"]),
    "npz": ("x.npz", storage.read, ["sealed/echo.npz", "unsealed/adding.npz"]),
    "csv": ("y.csv", storage.read, ["sealed/echo.csv"]),
    "beside": ("y.json", _beside, ["sealed/echo.json", "unsealed/echo.json"]),
    "table": ("t.csv", partial(_parts, target="target"), ["sealed/echo.csv"]),
    "text": ("t.txt", _parts, ["unsealed/text.txt"]),
    "config": ("c.toml", _config, ["unsealed/run/config.toml", "unsealed/sweep/sweep.toml"]),
    "status": ("run.json", _status, ["unsealed/run/run.json"]),
    "trials": ("trials.csv", tables.read_trials, ["unsealed/sweep/trials.csv"]),
}
"""By name: the file's name, its reader, and genuine ones to begin with."""


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
        for number, kept in enumerate(READERS[name][2]):
            (corpus / str(number)).write_bytes((KEPT / kept).read_bytes())
        atheris.Setup(
            ["fuzzing", "-max_len=8192", *options, str(corpus)],
            lambda content: try_to_read(name, content, folder),
        )
        atheris.Fuzz()


if __name__ == "__main__":
    main()
