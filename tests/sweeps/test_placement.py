"""Which device each trial of a sweep is on, on machines and clusters with made-up GPUs."""

import pytest

from lstmcli import api
from lstmcli.config import Config, SweepConfig
from lstmcli.core import execution
from lstmcli.sweeps import grid, placement, ray_workers
from lstmcli.sweeps import workers as local_workers
from lstmcli.sweeps.shares import program
from lstmcli.utils.errors import DeviceError, UsageError
from sweeping import COMMAND, invented

SMALL, LARGE = "1x4", "1x512"


@pytest.fixture
def machine(monkeypatch):
    """`machine(gpus=2)`: what another process would say of this machine, which has four cores."""

    def substitute(gpus):
        names = ["cpu:0", *(f"gpu:{index}" for index in range(gpus))]

        def check(requested):
            for each in requested:
                if (each if ":" in each else f"{each}:0") not in names:
                    raise DeviceError(f"there is no device `{each}`")

        monkeypatch.setattr(execution, "may_have_gpu", lambda: gpus > 0)
        monkeypatch.setattr(execution, "cores", lambda: 4)
        monkeypatch.setattr(local_workers, "cores", lambda: [0, 1, 2, 3])
        monkeypatch.setattr(local_workers, "devices", lambda: names)
        monkeypatch.setattr(local_workers, "check_devices", check)

    return substitute


def settings(device="auto", sizes=(4, 512), **more):
    """Trials of models for which the CPU is the faster device, and a GPU."""
    base = Config.build(
        series_length=9000, batch_size=32, bptt=32, device=device, epochs=1, **more
    )  # fmt: skip
    return grid.expand(base, {"layers": [1], "state_size": list(sizes)}, None)


def placed(gpus=(), device="auto", sizes=(4, 512), **asked):
    return placement.here(settings(device, sizes), gpus, SweepConfig(**asked))


def test_each_size_is_on_the_device_that_is_faster_and_that_is_said_once(machine):
    machine(gpus=1)
    found = placed()
    assert [each.device for each in found.place(settings())] == ["cpu", "gpu"]
    assert (found.gpus, found.jobs) == (["gpu:0"], 1)
    assert found.notes == [f"trained where it is faster: {LARGE} on gpu:0, {SMALL} on the CPU"]


@pytest.mark.parametrize(
    ("gpus", "sizes", "jobs", "on_gpus", "on_cpu"),
    [
        (2, (512, 513, 514), None, ["gpu:0", "gpu:1"], 0),
        (2, (512,), None, ["gpu:0"], 0),
        (1, (512, 513, 514), 3, ["gpu:0"] * 3, 0),
        (1, (4, 5, 6, 7, 8, 512), None, ["gpu:0"], 3),
        (2, (4, 5, 6, 7, 8, 512, 513), None, ["gpu:0", "gpu:1"], 2),
        (1, (4, 5, 6, 512, 513), 2, ["gpu:0"], 1),
        (1, (4, 512), 1, ["gpu:0"], 0),
        (1, (4, 5, 6, 7, 8), None, [], 4),
    ],
)
def test_a_job_is_on_each_gpu_and_the_cpu_has_its_other_cores(
    machine, gpus, sizes, jobs, on_gpus, on_cpu
):
    machine(gpus)
    found = placed(sizes=sizes, **({"jobs": jobs} if jobs else {}))
    assert (found.gpus, found.jobs) == (on_gpus, on_cpu)


def test_more_jobs_than_gpus_are_allowed_and_said(machine):
    machine(gpus=1)
    found = placed(device="gpu", sizes=(4, 5, 6), jobs=2)
    assert found.gpus == ["gpu:0", "gpu:0"]
    assert found.notes == ["2 jobs share gpu:0: each takes the memory that it needs"]
    assert placed(device="gpu", sizes=(4, 5, 6)).notes == []


def test_trials_are_shared_out_on_the_gpus_that_are_named(machine):
    machine(gpus=3)
    plan = api.plan_of({"layers": "1-3", "seeds": 2, "series_length": 300, "device": "gpu:2,gpu"})
    assert {each.device for each in plan.settings} == {"gpu"}
    found = placement.here(plan.settings, plan.gpus, plan.asked)
    assert (found.gpus, found.jobs) == (["gpu:2", "gpu:0"], 0)
    with pytest.raises(DeviceError, match="`gpu:7`"):
        placement.here(plan.settings, ("gpu:0", "gpu:7"), plan.asked)
    with pytest.raises(UsageError, match="several GPUs such as"):
        api.plan_of({"layers": "1-3", "device": "cpu,gpu:1"})


@pytest.mark.parametrize("device", ["auto", "cpu", "cpu:0"])
def test_nobody_is_asked_where_no_gpu_is_there(device, machine, monkeypatch):
    machine(gpus=0)
    monkeypatch.delattr(local_workers, "devices")
    monkeypatch.delattr(local_workers, "check_devices")
    assert placed(device=device) == placement.Placement()


def test_the_cpu_is_asked_for_where_a_gpu_is_there(machine):
    machine(gpus=1)
    assert placed(device="cpu") == placement.Placement()


def test_a_gpu_that_no_trial_needs_stays_free(machine):
    machine(gpus=1)
    found = placed(sizes=(4, 5))
    assert {each.device for each in found.place(settings(sizes=(4, 5)))} == {"cpu"}
    assert found.notes == ["no GPU is used: at these sizes the CPU is faster"]


def test_workers_have_trials_of_their_kind_of_device(machine):
    small, large, larger = placed_trials(machine)
    trials = [small, large, larger]
    programs = {each.name: program(each) for each in trials}
    parts = local_workers._parts(trials, 1, ["gpu:0", "gpu:1"], programs)
    assert [(gpu, [each.label for each in own]) for gpu, own in parts] == [
        ("gpu:0", ["1x600"]), ("gpu:1", [LARGE]), (None, [SMALL])
    ]  # fmt: skip
    [(gpu, own)] = local_workers._parts(trials, 0, ["gpu:0"], programs)
    assert (gpu, len(own)) == ("gpu:0", 3)
    [(gpu, own)] = local_workers._parts(trials, 1, [], programs)
    assert (gpu, len(own)) == (None, 3)


def placed_trials(machine):
    machine(gpus=2)
    sizes = (4, 512, 600)
    return placed(sizes=sizes).place(settings(sizes=sizes))


def test_a_worker_is_set_up_for_one_device(machine):
    small, large, _ = placed_trials(machine)
    assert small.kind != large.kind
    assert large.on("gpu:0").kind != large.on("gpu:1").kind
    assert large.on("gpu:1").trials == large.trials
    assert large.on("gpu:1").name == large.name


@pytest.mark.slow
def test_trials_reach_the_devices_that_they_were_placed_on(tmp_path):
    """There is none of the GPUs: who was sent there says so, and nobody else is held up."""
    both = settings(sizes=(4, 5))
    sent = [both[0].on("cpu"), both[1].on("gpu")]
    found = dict.fromkeys(each.name for each in sent)
    with local_workers.LocalWorkers(tmp_path, 1, ["gpu:1"]) as local:
        for result in local.run(sent):
            if result is not None:
                found[result[0].name] = result[1][0]
    on_cpu, on_gpu = found.values()
    assert on_cpu["status"] == "completed"
    assert (on_gpu["status"], on_gpu["exit_code"]) == ("failed", 3)
    assert "there is no device `gpu:1`" in on_gpu["error"]


def test_a_sweep_says_where_its_sizes_are_trained_and_trains_them_there(machine, run, monkeypatch):
    def watched(self, settings):
        seen.append(({each.label: each.device for each in settings}, self.jobs, self.gpus))
        return invented(self, settings)

    seen = []
    machine(gpus=1)
    monkeypatch.setattr(local_workers.LocalWorkers, "run", watched)
    sizes = ("--layers", "1", "--state-size", "4,512", "--batch-size", "32", "--bptt", "32")
    said = run(*COMMAND, *sizes, "--series-length", "9000", "--out", "s").stderr
    assert (
        said.count(f"note: trained where it is faster: {LARGE} on gpu:0, {SMALL} on the CPU") == 1
    )
    assert seen == [({SMALL: "cpu", LARGE: "gpu"}, 1, ["gpu:0"])]


def test_a_trial_on_a_gpu_asks_ray_for_one_or_for_a_share(machine):
    machine(gpus=0)
    asked = SweepConfig(backend="ray", gpu_share=0.25)
    found = placement.on_ray(settings(), 1.0, asked)
    small, large = found.place(settings())
    assert found.notes == [f"trained where it is faster: {LARGE} on a GPU, {SMALL} on the CPU"]
    assert ray_workers._resources(small, found.share) == {}
    assert ray_workers._resources(large, found.share) == {"num_gpus": 0.25}
    whole = placement.on_ray(settings("gpu:1"), 1.0, SweepConfig(backend="ray"))
    assert [each.device for each in whole.place(settings("gpu:1"))] == ["gpu", "gpu"]
    assert whole.share == 1
    assert placement.on_ray(settings(), 0.0, asked) == placement.Placement()
    with pytest.raises(DeviceError, match="needs a GPU, and the Ray cluster has none"):
        placement.on_ray(settings("gpu"), 0.0, asked)
