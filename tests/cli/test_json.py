"""What `--json` prints fits its JSON Schema, on every kind of data, and has nothing besides."""

import json
import re

import jsonschema
import pytest

import kinds
import schemas
from command_lines import COMMANDS, options_of
from lstmcli.cli import predictions_csv
from lstmcli.cli.json_results import RESULTS
from lstmcli.data.outputs import OutputRow
from lstmcli.inference import forecast, predict
from lstmcli.sweeps.summary import SettingRow
from lstmcli.sweeps.trial import TrialRow
from lstmcli.training.metrics import EpochRow, StepRow

SCHEMAS = schemas.every()
OF_KIND = {**kinds.KINDS, "several": {"data": "table.csv", "target": "x,y", "horizon": 1}}
SMALL = ["--epochs", "2", "--layers", "2", "--replicas", "2", "--progress", "none"]
PROBED = ["--steps", "900", "--lags", "2"]


def fits(printed, name):
    """The JSON that was printed, once it fits the schema of that name."""
    found = json.loads(printed)
    jsonschema.validate(found, SCHEMAS[name])
    return found


USUAL = ("echo", "table", "text")
PARAMS = [pytest.param(kind, marks=[] if kind in USUAL else pytest.mark.slow) for kind in OF_KIND]


@pytest.fixture(scope="module", params=PARAMS, ids=list(OF_KIND))
def of_kind(request, run, tmp_path_factory):
    """A small run of two seeds on a kind of data, and what `train` printed of it."""
    folder = tmp_path_factory.mktemp("kind")
    kinds.write(folder)
    settings = dict(OF_KIND[request.param])
    if "data" in settings:
        settings["data"] = str(folder / settings["data"])
    directory, options = folder / "run", kinds.options(settings)
    printed = run("train", *options, *SMALL, "--out", directory, "--json").stdout
    return request.param, options, directory, printed


def test_the_schemas_in_the_documentation_are_those_of_the_code():
    assert {file.stem for file in schemas.FOLDER.iterdir()} == {
        schemas.file_of(name).stem for name in SCHEMAS
    }, "`python tests/support/schemas.py` writes them"
    for name, schema in SCHEMAS.items():
        jsonschema.Draft202012Validator.check_schema(schema)
        assert schemas.file_of(name).read_text() == schemas.text_of(schema), name


def test_every_command_with_json_has_a_schema():
    with_json = {name for name in COMMANDS if "--json" in options_of(name)}
    assert with_json == {name.partition("-")[0] for name in RESULTS}


def test_a_field_that_is_not_described_does_not_fit():
    whole = {"devices": ["cpu"], "auto": "cpu"}
    jsonschema.validate(whole, SCHEMAS["devices"])
    for wrong in ({**whole, "more": 1}, {"devices": ["cpu"]}, {**whole, "auto": None}):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(wrong, SCHEMAS["devices"])


def test_what_is_printed_of_a_run_of_any_kind_fits(of_kind, run, tmp_path):
    kind, options, directory, printed = of_kind
    assert len(fits(printed, "train")["results"]) == 2
    fits(run("train", *options, "--print-config", "--json").stdout, "train-print-config")
    fits(run("eval", directory, "--json").stdout, "eval")
    fits(run("inspect", directory, "--json").stdout, "inspect")
    fits(run("plot", directory, "--json").stdout, "plot")
    exported = run("export", directory, tmp_path / "model.safetensors", "--json").stdout
    fits(exported, "export")
    few = [["--gradient"], ["--ablate"]]
    for probe in few if kind == "sequences" else [[], *few]:
        fits(run("probe", directory, *probe, *PROBED, "--json").stdout, "probe")
    if kind in ("table", "several"):
        fits(run("eval", directory, "--ahead", 2, "--json").stdout, "eval-ahead")
    status = json.loads((directory / "run.json").read_text())
    jsonschema.validate(status, SCHEMAS["run.json"])


def test_what_is_printed_of_runs_and_sweeps_fits(swept, trained, trained_on_file, run, tmp_path):
    directory, printed = swept
    jsonschema.validate(printed, SCHEMAS["sweep"])
    (tmp_path / "damaged").mkdir()
    (tmp_path / "damaged" / "run.json").write_text("{")
    found = run("runs", directory, directory.parent, trained, tmp_path, "--json")
    kinds_of_rows = {row["kind"] for row in fits(found.stdout, "runs")["runs"]}
    assert kinds_of_rows == {"run", "sweep"}
    fits(run("runs", trained, "--columns", "name,noise", "--json").stdout, "runs")
    fits(run("runs", trained, trained_on_file, "--json").stdout, "runs-compared")
    plan = run("sweep", "--layers", "1,2", "--tune", "learning-rate=0.1,0.3", "--dry-run", "--json")
    fits(plan.stdout, "sweep-dry-run")
    fits(run("devices", "--json").stdout, "devices")


@pytest.mark.parametrize("task", ["echo", "copy", "adding", "order", "parity"])
def test_what_is_printed_of_a_new_dataset_fits(task, run):
    made = run("generate", "new.npz", "--task", task, "--series-length", 1500, "--json")
    assert fits(made.stdout, "generate")["name"] == task


def test_numbers_that_are_not_known_fit(run):
    """A run that diverges has a loss that JSON cannot hold."""
    options = ["--optimizer", "sgd", "--learning-rate", "1e38", "--series-length", "1500"]
    ended = run("train", *options, "--layers", 1, "--json", exit_code=5)
    assert fits(ended.stdout, "train")["status"] == "diverged"
    fits(run("train", "--verify", "--series-length", 1500, "--json").stdout, "train-verify")


def headers(*files):
    """The columns of each file that is there."""
    return [file.read_text().split("\n")[0].split(",") for file in files if file.exists()]


def not_described(names, meanings):
    """The columns that are not described; `probability_<class>` stands for many."""
    known = [re.sub(r"<[a-z]+>", ".+", name) for name in meanings if not name.startswith("<")]
    return [name for name in names if not any(re.fullmatch(each, name) for each in known)]


def test_every_column_of_predictions_has_a_meaning(of_kind, run, tmp_path):
    kind, _, directory, _ = of_kind
    run("eval", directory, "--predictions", tmp_path / "eval.csv")
    [names] = headers(tmp_path / "eval.csv")
    several = ["target_<name>", "predicted_<name>"] if kind == "several" else []
    of_the_data = {"table": ["x", "y", "file_row"], "text": ["character"]}.get(kind, [])
    if kind in ("echo", "table", "text", "parity"):
        assert not_described(names, [*predictions_csv.COLUMNS, *several]) == of_the_data
    for path, rows in {"metrics": EpochRow, "steps": StepRow, "targets": OutputRow}.items():
        for names in headers(directory / f"{path}.csv"):
            assert set(names) == set(schemas.attributes(rows))
    if kind == "table":
        file = directory.parent / "table.csv"
        answers = run("predict", directory, file, "--keep", "x").stdout.splitlines()[0].split(",")
        assert not_described(answers, predict.COLUMNS) == ["step", "x"]
        answers = run("forecast", directory).stdout.splitlines()[0].split(",")
        assert not_described(answers, forecast.COLUMNS) == ["step"]


def test_every_column_of_a_sweeps_tables_has_a_meaning(swept):
    directory, _ = swept
    for path, rows in {"trials": TrialRow, "summary": SettingRow, "curves": EpochRow}.items():
        [names] = headers(directory / f"{path}.csv")
        assert set(names) == {*schemas.attributes(rows), "layers", "state_size"}
