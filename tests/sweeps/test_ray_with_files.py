"""Sweeps on a Ray cluster whose nodes have no such file, differ from each other, and are lost."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import ray_at_once
import untrained
from kinds import KINDS, write
from lstmcli import __version__, api
from lstmcli.config import Config
from lstmcli.sweeps import ray_cluster, ray_workers, trial
from lstmcli.sweeps.data_info import check_unchanged, digest
from lstmcli.training import checkpoint as checkpoints
from lstmcli.training.run_dir import RunDirectory
from lstmcli.utils.errors import FileError, LstmcliError
from resumes import assert_same
from sweeping import TIMES, settings

SMALL = {"layers": "1", "state_size": 3, "bptt": 6, "epochs": 2, "patience": 0}
TEXT = {"data": "files/book.txt", "init_from": "files/begin", **SMALL}


def files_of_every_kind():
    """Makes the folder `files`: data of every kind, and a checkpoint to begin with."""
    Path("files/walks").mkdir(parents=True)
    write(Path("files"))
    size = {"layers": 1, "state_size": 3, "bptt": 6}
    untrained.make(Path("files/begin"), Config.build(data="files/book.txt", **size))
    rng, names = np.random.default_rng(0), [f"walk_{number}" for number in range(24)]
    for name in names:
        rows = "".join(f"{x:.2f},{y:.2f}\n" for x, y in rng.normal(size=(6, 2)))
        Path("files/walks", f"{name}.csv").write_text(f"x,y\n{rows}")
    labels = [f"{name},{['in', 'out'][at % 2]}\n" for at, name in enumerate(names)]
    Path("files/went.csv").write_text("name,went\n" + "".join(labels))
    shutil.copytree("files/walks", "files/later")
    for file in Path("files/later").iterdir():
        file.write_text(file.read_text() + "0.5,0.5\n")


@pytest.fixture(scope="module")
def known(tmp_path_factory):
    """Where such a folder lies. Not to be written to."""
    place, here = tmp_path_factory.mktemp("known"), Path.cwd()
    os.chdir(place)
    files_of_every_kind()
    os.chdir(here)
    return place


@pytest.fixture
def files(known, tmp_path):
    """Its copy, where one stands."""
    shutil.copytree(known / "files", tmp_path / "files")


@pytest.fixture
def at_once(monkeypatch):
    """Tasks and the actor are called in this process, which finds no file any more by then."""

    def put(value, usual=ray_at_once.put):
        puts.append(value)
        if Path("files").exists():
            Path("files").rename("gone")
        return usual(value)

    def mailbox(ray):
        return SimpleNamespace(remote=lambda files: ray_at_once.Actor(ray_workers.Mailbox(files)))

    puts = []
    monkeypatch.setitem(sys.modules, "ray", ray_at_once)
    monkeypatch.setattr(ray_at_once, "put", put)
    monkeypatch.setattr(ray_workers, "_beside", mailbox)
    return puts


def without_times(rows):
    return [{name: row[name] for name in row if name not in TIMES} for row in rows]


def test_a_task_trains_on_a_file_that_its_node_lacks_to_the_bits_of_a_local_one(
    files, at_once, tmp_path
):
    [setting] = api.plan_of({**TEXT, "seeds": 1, "learning_rate": 0.01}).settings
    expected = trial.run(setting, tmp_path / "alone" / setting.name)
    [found] = filter(None, ray_workers.run_ray([setting], Path("trials")))
    assert without_times(found[1]) == without_times(expected)
    assert_same(tmp_path / "alone" / setting.name, Path("trials") / setting.name)
    for name in ("config.toml", "run.json"):
        assert "../../files/book.txt" in (Path("trials") / setting.name / name).read_text()


def test_settings_with_the_same_data_share_one_object(files):
    several = {"learning_rate": "0.003,0.01", "layers": "1-2", "seeds": 1}
    table = SMALL | KINDS["table"] | several | {"data": "files/table.csv"}
    for asked, count in ((table, 1), (table | {"horizon": "1,3"}, 2)):
        puts, plan = [], api.plan_of(asked)
        found = ray_workers._put(SimpleNamespace(put=puts.append), plan.settings)
        assert found.keys() == {setting.config.data for setting in plan.settings}
        assert len(found) == len(puts) == count


OTHERS = {
    "folder": {"data": "files/walks", "test_data": "files/later", "labels": "files/went.csv"},
    "parts": {"data": "files/table.csv", "target": "y", "horizon": 1, "predict": "residual"},
    "text": {"data": "files/book.txt", "init_from": "files/begin"},
}
for kind, options in KINDS.items():
    if kind != "text":
        given = {"data": f"files/{options['data']}"} if "data" in options else {}
        OTHERS[kind] = options | given


@pytest.mark.parametrize("kind", OTHERS)
def test_data_of_every_kind_is_the_same_where_it_has_travelled(kind, files, at_once):
    """All that a run asks of it, and nothing can write to its arrays there."""
    [setting] = api.plan_of({**SMALL, **OTHERS[kind], "seeds": 2, "learning_rate": 0.01}).settings
    [there] = [each.value for each in ray_workers._put(ray_at_once, [setting]).values()]
    [here] = at_once
    check_unchanged(there.source, setting.material.digest)
    assert digest(there.source) == digest(here.source)
    assert not there.source.splits or not there.source.example.targets.flags.writeable
    for part in ("validation", "test"):
        for mine, other in zip(
            *(getattr(each.source, part)() for each in (there, here)), strict=True
        ):
            for name, array in mine.read.arrays.items():
                np.testing.assert_array_equal(array, other.read.arrays[name])
    for mine, other in zip(there.source.training(1), here.source.training(1), strict=True):
        np.testing.assert_array_equal(mine.read.targets, other.read.targets)


def test_a_copy_that_is_not_what_the_sweep_was_planned_on_is_refused(files, at_once, tmp_path):
    [setting] = api.plan_of({**TEXT, "seeds": 1, "learning_rate": 0.01}).settings
    contents = trial.read_files(setting.config)
    contents.source.splits.training.targets[3] ^= 1
    with pytest.raises(FileError, match="has changed since the sweep began"):
        trial.run(setting, tmp_path / "run", contents=contents)


def test_a_trial_goes_on_from_its_checkpoint_where_its_files_are_not(files, tmp_path):
    [setting] = api.plan_of({**TEXT, "seeds": 1, "learning_rate": 0.01}).settings
    home, contents = tmp_path / "trials" / setting.name, trial.read_files(setting.config)
    trial.run(setting, tmp_path / "run", home, contents)
    place = RunDirectory(tmp_path / "run")
    stood = checkpoints.read(place.last).metadata["position"]["epoch"]
    Path("files").rename("gone")
    run = trial._put_back(RunDirectory(place.path, moves_to=home), contents)
    assert run.epoch == stood == 2
    place.last.unlink()
    run = trial._put_back(RunDirectory(place.path, moves_to=home), contents)
    assert run.epoch == 0
    begin = checkpoints.read(Path("gone/begin/checkpoints/best.safetensors")).tensors
    np.testing.assert_array_equal(np.asarray(run.tensors["dense.kernel"]), begin["dense.kernel"])


@pytest.mark.parametrize(
    ("error", "said"),
    [
        ("OutOfMemoryError", "Ray's memory guard killed it, as its node ran low on memory"),
        ("WorkerCrashedError", "as the system's memory guard does where memory runs out"),
    ],
)
def test_a_task_that_memory_was_too_small_for_says_so(error, said, tmp_path):
    exceptions = pytest.importorskip("ray.exceptions")
    raised = getattr(exceptions, error)(*["Task was killed\nby a guard"][: error.startswith("Out")])
    reference = SimpleNamespace(error=raised, value=None)
    ray = SimpleNamespace(exceptions=exceptions, get=ray_at_once.get)
    [row, _] = ray_workers._receive(ray, reference, settings()[0], tmp_path / "run")
    assert row["error"].startswith("its worker was lost: ")
    assert said in row["error"]
    assert row["error"].endswith("give Ray fewer CPUs of that node, and it trains fewer at once")


def test_a_task_that_the_memory_guard_kills_again_and_again_is_given_up(at_once, tmp_path):
    """Ray begins it anew without end; of all that it dies of otherwise it does so three times."""
    pytest.importorskip("ray")
    setting = settings()[0]
    box = ray_workers.Mailbox({})
    for _ in range(1 + ray_workers.RETRIES):
        assert box.begin(setting.name)[1] <= 1 + ray_workers.RETRIES
    with pytest.raises(MemoryError, match=r"^Ray's memory guard killed it"):
        ray_workers._train(ray_at_once.Actor(box), setting, tmp_path, None)


HERE = {"lstmcli": __version__, "tensorflow": "2.21.0", "numpy": "2.3.1", "safetensors": "0.6.2"}


@pytest.mark.parametrize(
    ("there", "said"),
    [
        ({}, ""),
        ({"scipy": "0.1"}, ""),
        ({"scipy": None}, "lacks scipy"),
        ({"tensorflow": "2.20.0"}, "has tensorflow 2.20.0 (2.21.0 here)"),
        ({"lstmcli": None, "numpy": "2.0"}, "lacks lstmcli and has numpy 2.0 (2.3.1 here)"),
    ],
)
def test_what_a_node_lacks_is_told(there, said):
    here = HERE | {"scipy": "1.15"}
    assert ray_cluster._differences(here | there, here) == said


def nodes(monkeypatch, **told):
    """Stands in for Ray with some nodes, each of which tells what it has, where that differs."""
    asked = []

    class Look:
        def __init__(self, tell, node=None):
            self.tell, self.node = tell, node

        def options(self, scheduling_strategy):
            asked.append(scheduling_strategy)
            return Look(self.tell, scheduling_strategy)

        def remote(self, names):
            return ray_at_once.Reference(lambda: self.tell(names) | told[self.node], [])

    listed = [
        {"NodeID": name, "NodeManagerAddress": f"{name}.local", "Alive": name != "gone",
         "Resources": {} if name == "head" else {"CPU": 2.0}}
        for name in told
    ]  # fmt: skip
    strategies = "ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy"
    monkeypatch.setattr(strategies, lambda name, soft: name)
    ray = SimpleNamespace(
        **{**vars(ray_at_once), "remote": lambda **_: Look, "nodes": lambda: listed}
    )
    return ray, asked


def test_nodes_that_lack_what_trials_need_are_named_with_the_way_out(monkeypatch):
    pytest.importorskip("ray")
    lacking = {"tensorflow": None}
    ray, asked = nodes(monkeypatch, one={}, head=lacking, gone=lacking, two=lacking)
    with pytest.raises(LstmcliError, match=r"^the Ray node `two.local` lacks tensorflow$") as found:
        ray_cluster.check_nodes(ray)
    assert asked == ["one", "two"]
    assert "`pip install tensorflow==" in found.value.hint
    assert "`ray stop`" in found.value.hint
    ray_cluster.check_nodes(nodes(monkeypatch, one={})[0])


def test_a_node_that_has_nothing_of_this_program_can_tell_so():
    """What asks it is sent whole: here to a process that cannot import `lstmcli`."""
    cloudpickle = pytest.importorskip("ray.cloudpickle")
    content = cloudpickle.dumps(ray_cluster._teller())
    code = (
        "import sys, pickle; sys.modules['lstmcli'] = None; "
        "print(pickle.load(sys.stdin.buffer)(['lstmcli-that-is-nowhere', 'numpy']))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], input=content, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr
    told = {"lstmcli-that-is-nowhere": None, "numpy": np.__version__}
    assert done.stdout.decode().strip() == str(told)


def test_a_cluster_of_other_versions_is_said_to_be_one(monkeypatch):
    said = (
        "RuntimeError: Version mismatch: The cluster was started with: Ray: 2.40.0 Python: 3.11.9"
    )
    monkeypatch.setattr(ray_cluster, "_tried", lambda asked: said)
    monkeypatch.setattr(
        ray_cluster.socket, "create_connection", lambda *_: SimpleNamespace(close=int)
    )
    with pytest.raises(LstmcliError, match="has other versions: The cluster was started with: Ray"):
        ray_cluster._check("10.0.0.1:6379", "10.0.0.1:6379")


@pytest.mark.slow
def test_a_node_that_is_lost_costs_what_its_trials_did_since_their_checkpoints(files, tmp_path):
    """Two nodes, each with a working directory of its own and none with the files.

    A script of its own: Ray wants a fresh process, and its warnings are not ours.
    """
    pytest.importorskip("ray")
    asked = {**TEXT, "seeds": 2, "epochs": 300, "learning_rate": "0.003,0.01"}
    plan = api.plan_of(asked)
    script = Path(__file__).parents[1] / "support" / "ray_loses_a_node.py"
    done = subprocess.run(
        [sys.executable, str(script), str(tmp_path), json.dumps(asked)],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        check=False, capture_output=True, text=True, timeout=400,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    assert told["copies"] == [2]  # The sweep's node has it, and the one that trained two settings.
    assert told["left"] == 0
    Path("gone").rename("files")
    expected = []
    for setting in plan.settings:
        expected += trial.run(setting, tmp_path / "alone" / setting.name)
        assert_same(tmp_path / "alone" / setting.name, tmp_path / "trials" / setting.name)
        again = RunDirectory(tmp_path / "trials" / setting.name).read_status()["resumed"]
        assert again[-1]["epoch"] > 0
    order = ["learning_rate", "seed"]
    found = sorted(told["rows"], key=lambda row: [row[name] for name in order])
    assert without_times(found) == without_times(expected)
