"""A file of another kind, in every place that takes a path: it is said what the file is."""

import pytest

import bad_files
from lstmcli.utils import kinds

KINDS = {
    "table.csv": "a table",
    "text.txt": "a text",
    "arrays.npz": "a dataset of arrays",
    "picture.png": "a picture",
    "page.html": "an HTML page",
    "settings.toml": "a file of settings",
    "sheet.xlsx": "a spreadsheet",
    "model.onnx": "an ONNX model",
    "a run/run.json": "the record of a run",
    "a run": "the directory of a run",
    "a sweep": "the directory of a sweep",
    "empty": "an empty directory",
    "loose.safetensors": "a checkpoint",
}
MODEL = "a checkpoint"
"""What every directory may hold, too: that of a run has its own."""
PLACES = {
    "train --data {}": ("data", 2),
    "train --data table.csv --target x --val-data {}": ("of another kind than the data", 2),
    "train --resume {}": ("the directory of a run", 4),
    "train --init-from {}": (MODEL, 4),
    "train --config {}": ("a file of settings", 2),
    "sweep --config {}": ("a file of settings", 2),
    "sweep --data {}": ("data", 2),
    **dict.fromkeys(
        [f"{name} {{}}" for name in ("eval", "inspect", "plot", "probe", "predict", "forecast")],
        (MODEL, 4),
    ),
    "sample {}": (MODEL, 4),
    "export {} model.keras": (MODEL, 4),
    "eval model --data {}": ("data", 2),
    "predict model {}": ("data", 4),
    "predict model table.csv --state {}": ("a state", 4),
    "report {}": ("the directory of a run or a sweep", 4),
    "runs {}": ("a directory", 4),
    "runs a-run {}": ("a directory", 4),
}
DIRECTORIES = ("a run", "a sweep", "empty")
FITTING = {
    "data": ("table.csv", "text.txt", "arrays.npz", "empty"),
    "of another kind than the data": ("table.csv", *DIRECTORIES),
    "the directory of a run": ("a run",),
    MODEL: (*DIRECTORIES, "loose.safetensors"),
    "a file of settings": ("settings.toml",),
    "a state": (*DIRECTORIES, "loose.safetensors"),
    "the directory of a run or a sweep": ("a run", "a sweep"),
    "a directory": DIRECTORIES,
}
"""Names that are not wrong in a place, or of which something else is said there."""
CASES = [
    pytest.param(place, name, code, id=f"{place}-{name}")
    for place, (expected, code) in PLACES.items()
    for name in KINDS
    if name not in FITTING[expected]
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("kinds")
    for name in ("a run", "a-run", "a sweep", "empty"):
        (folder / name).mkdir()
    for name in KINDS:
        if "." in name:
            (folder / name).write_bytes(b"\x89 nothing of the kind")
    (folder / "a-run/run.json").write_text("{}")
    (folder / "a sweep" / kinds.SWEEP_RECORD).write_text("")
    (folder / "table.csv").write_text("x,y\n" + "1,2\n2,3\n" * 300)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        bad_files.make_run(folder / "model", data="table.csv", inputs="x", target="y")
    return folder


@pytest.mark.parametrize(("name", "kind"), KINDS.items())
def test_a_kind_is_told_by_records_and_endings(folder, name, kind):
    assert kinds.kind_of(folder / name) == kind


@pytest.mark.parametrize(("place", "name", "code"), CASES)
def test_a_file_of_another_kind_is_called_what_it_is(
    run, folder, monkeypatch, inside_tmp_path, place, name, code
):
    monkeypatch.chdir(folder)
    typed = [word.format(name) for word in place.split()]
    error, hint = run(*typed, exit_code=code).stderr.splitlines()
    assert error.startswith((f"error: `{name}` is ", f"error: `{name}` cannot be a part of "))
    assert KINDS[name] in error
    assert hint.startswith("hint: ")


@pytest.mark.parametrize(
    ("place", "hint"),
    [
        ("eval {}", "`a run`"),
        ("plot {}", "`a run`"),
        ("runs {}", "`a run`"),
        ("report {}", "`lstmcli report 'a run'`"),
    ],
)
def test_a_file_of_a_run_leads_to_its_directory(run, folder, monkeypatch, place, hint):
    monkeypatch.chdir(folder)
    typed = [word.format("a run/run.json") for word in place.split()]
    assert hint in run(*typed, exit_code=4).stderr.splitlines()[1]


def test_a_run_and_a_sweep_do_not_share_a_directory(run, trained, folder, monkeypatch):
    monkeypatch.chdir(folder)
    shown = run("train", "--epochs", 1, "--out", "a sweep", exit_code=2).stderr
    assert "`a sweep` holds a sweep, not a run" in shown
    shown = run("sweep", "--layers", 1, "--out", trained, exit_code=2).stderr
    assert "holds a run, not a sweep" in shown


def test_an_option_is_never_taken_for_an_argument(run):
    shown = run("export", "run", "--output", "x", exit_code=2).stderr
    assert "did you mean" not in shown
