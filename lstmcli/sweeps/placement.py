"""Which device each setting of a sweep is trained on, and how many at once, if there are GPUs."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from lstmcli.config import SweepConfig
from lstmcli.core import execution, pace
from lstmcli.sweeps import workers
from lstmcli.sweeps.grid import TrialGroup
from lstmcli.utils.errors import DeviceError, UsageError, listed

GPU, CPU = "gpu", "cpu"
SEVERAL = re.compile(r"gpu(:[0-9]+)?(,gpu(:[0-9]+)?)+")


@dataclass(frozen=True)
class Placement:
    """Where the settings of a sweep are trained.

    Attributes:
        devices: `gpu` or `cpu`, by the names of settings; others stay with what they ask for.
        gpus: the GPU of each job on one, on this machine.
        jobs: on the CPU's cores; `None` for what was asked for.
        share: of a GPU that each trial on one asks Ray for.
        notes: what there is to say of it.
    """

    devices: Mapping[str, str] = field(default_factory=dict)
    gpus: Sequence[str] = ()
    jobs: int | None = None
    share: float = 1.0
    notes: Sequence[str] = ()

    def place(self, settings: Sequence[TrialGroup]) -> list[TrialGroup]:
        """The same settings, each with its device."""
        return [
            each.on(self.devices[each.shown]) if each.shown in self.devices else each
            for each in settings
        ]


def several(single: Mapping[str, Any]) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Settings of which a sweep has one value; and the GPUs that its trials are shared out on.

    Raises:
        UsageError: several devices are named that are not all GPUs.
    """
    given = single.get("device")
    if not isinstance(given, str) or "," not in given:
        return dict(single), ()
    if not SEVERAL.fullmatch(given):
        raise UsageError(
            f"`--device` takes one device, or several GPUs such as `gpu:0,gpu:1`, got {given!r}",
            "`--device auto` uses all GPUs, and the CPU for small models",
        )
    names = (each if ":" in each else f"{each}:0" for each in given.split(","))
    return {**single, "device": GPU}, tuple(dict.fromkeys(names))


def here(settings: Sequence[TrialGroup], gpus: Sequence[str], asked: SweepConfig) -> Placement:
    """Where settings are trained on this machine: a job for each GPU, and one for each other core.

    Args:
        settings: what is left to train.
        gpus: those that are asked for by name; none for what the settings ask for.
        asked: the jobs, among others.

    Raises:
        DeviceError: a device that is asked for is not there.
    """
    devices = {each.device for each in settings}
    if not any(map(execution.on_gpu, devices)):
        if special := devices - {"auto", CPU, f"{CPU}:0"}:
            workers.check_devices(sorted(special))
        if devices != {"auto"} or not execution.may_have_gpu():
            return Placement()
        found = [name for name in workers.devices() if execution.on_gpu(name)]
        return _shared_out(settings, _faster(settings), found, asked) if found else Placement()
    named = list(gpus) or [each if ":" in each else f"{each}:0" for each in devices]
    workers.check_devices(list(gpus) or sorted(devices))
    return _shared_out(settings, {each.shown: GPU for each in settings}, named, asked)


def on_ray(settings: Sequence[TrialGroup], gpus: float, asked: SweepConfig) -> Placement:
    """Where settings are trained on a Ray cluster: it gives each trial on a GPU its own.

    Args:
        settings: what is left to train.
        gpus: that the cluster has.
        asked: the share of a GPU, among others.

    Raises:
        DeviceError: a GPU is asked for, and the cluster has none.
    """
    share = asked.gpu_share or 1.0
    devices = {each.device for each in settings}
    if any(map(execution.on_gpu, devices)):
        if gpus < share:
            raise DeviceError(
                f"`--device {min(devices)}` needs a GPU, and the Ray cluster has none",
                "`--device cpu` needs none; `ray status` shows what the cluster has",
            )
        return Placement({each.shown: GPU for each in settings}, share=share)
    if devices != {"auto"} or gpus < share:
        return Placement()
    chosen = _faster(settings)
    return Placement(chosen, share=share, notes=[_placement_note(settings, chosen, "a GPU")])


def _faster(settings: Sequence[TrialGroup]) -> dict[str, str]:
    """The kind of device on which each is faster, as `train` would choose it."""
    return {
        each.shown: GPU if pace.speed_of_gpu(each.config, each.spec) >= pace.WORTH_IT else CPU
        for each in settings
    }


def _shared_out(
    settings: Sequence[TrialGroup],
    devices: Mapping[str, str],
    gpus: Sequence[str],
    asked: SweepConfig,
) -> Placement:
    """A job for each GPU, or as many as are asked for; where some are the CPU's, the rest of them.

    A single job does one after the other, wherever it belongs.
    """
    on_gpu = sum(device == GPU for device in devices.values())
    on_cpu = len(devices) - on_gpu
    wanted = asked.jobs or (len(gpus) if not on_cpu else len(workers.cores()))
    most = wanted if not on_cpu else min(len(gpus), wanted)
    count = min(most, on_gpu)
    jobs = min(on_cpu, max(wanted - count, 0 if count and asked.jobs == 1 else 1))
    names = ", ".join(gpus)
    notes = [_placement_note(settings, devices, names)] if settings[0].device == "auto" else []
    if count > len(gpus):
        notes.append(f"{count} jobs share {names}: each takes the memory that it needs")
    return Placement(devices, [gpus[job % len(gpus)] for job in range(count)], jobs, notes=notes)


def _placement_note(settings: Sequence[TrialGroup], devices: Mapping[str, str], gpus: str) -> str:
    """What `auto` has come to for each size."""
    on_gpu, on_cpu = (
        list(dict.fromkeys(each.label for each in settings if devices[each.shown] == kind))
        for kind in (GPU, CPU)
    )
    if not on_gpu:
        return "no GPU is used: at these sizes the CPU is faster"
    if not on_cpu:
        return f"all trials run on {gpus}: at these sizes the CPU is slower"
    return f"trained where it is faster: {listed(on_gpu)} on {gpus}, {listed(on_cpu)} on the CPU"
