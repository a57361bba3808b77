"""The command lines of a page: what makes the same results again, and what goes on from there."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from lstmcli.config import DEPTHS, Config, SweepConfig
from lstmcli.errors import pasteable
from lstmcli.report.page import Command
from lstmcli.reporting import settings
from lstmcli.reporting.settings import Setting
from lstmcli.runs.rundir import RunDirectory

if TYPE_CHECKING:
    from lstmcli.sweeps.finished import Finished

NOT_TYPED = ("replicas", "checkpoint_every")
"""Settings of its trials' runs that a sweep has by itself."""
AGAIN = "again"
"""The directory in which a sweep finds no sweep beside it whose trials it could take over."""


def of_run(path: Path, config: Config) -> list[Command]:
    """Commands about a run.

    Args:
        path: its directory, as it was given: the commands are to be typed from the same place.
        config: its settings, with paths that lead to its files from there.
    """
    train = shlex.join(["lstmcli", "train", *settings.options(settings.of(config))])
    return [
        *_from_where(path),
        Command("Train it again, in a new directory.", train),
        Command(
            "The same, from the settings that the run has kept.",
            f"lstmcli train --config {pasteable(RunDirectory(path).config)}",
        ),
        *_about(path),
    ]


def of_sweep(path: Path, config: Config, found: Finished) -> list[Command]:
    """Commands about a sweep; arguments as those of `of_run`."""
    words = ["lstmcli", "sweep", *settings.options(of_a_sweep(config, found))]
    again = shlex.join(words)
    return [
        *_from_where(path),
        Command(
            "Train every trial again, in a new directory: those that are there are not used.",
            f"{again} --out {pasteable(path.parent / AGAIN / path.resolve().name)}",
        ),
        Command(
            "Finish or extend this sweep: more depths and more seeds add to it.",
            f"{again} --out {pasteable(path)}",
        ),
        *(
            [Command("Score its best trial on data that it has not seen.",
                     f"lstmcli eval {pasteable(path)}")] if found.best else []
        ),
        *_about(path)[-1:],
    ]  # fmt: skip


def _from_where(path: Path) -> list[Command]:
    """Where the commands are to be typed, if their paths depend on it."""
    if path.is_absolute():
        return []
    here = Path.cwd()
    does = "The commands are to be typed where this page was written: go there first."
    return [Command(does, f"cd {pasteable(here)}")]


def _about(path: Path) -> list[Command]:
    return [
        Command("Score it on data that it has not seen.", f"lstmcli eval {pasteable(path)}"),
        Command("What its checkpoint holds.", f"lstmcli inspect {pasteable(path)}"),
        Command("Write this page anew.", f"lstmcli report {pasteable(path)}"),
    ]


def of_a_sweep(config: Config, found: Finished) -> list[Setting]:
    """The settings of a sweep: those of its trials, with what has several values, and its own."""
    identity, depths = found.identity, sorted(found.trials.layers.unique())
    lists = {name: ",".join(map(str, values)) for name, values in identity["swept"].items()}
    lists["layers"] = _depths([int(each) for each in depths])
    own = SweepConfig(
        seeds=found.trials.seed.nunique(),
        match=identity.get("match", {}).get("size"),
        margin=found.margin,
    )
    return [
        _listed(each, lists)
        for each in [*settings.of(config), *settings.of_group(own)]
        if each.name not in NOT_TYPED
    ]


def _listed(setting: Setting, lists: dict[str, str]) -> Setting:
    if setting.name not in lists:
        return setting
    default = DEPTHS if setting.name == "layers" else setting.default
    return setting._replace(value=lists[setting.name], default=default, follows=False)


def _depths(depths: list[int]) -> str:
    """`1-5`, or `1,2,4`."""
    if len(depths) > 1 and depths == list(range(depths[0], depths[-1] + 1)):
        return f"{depths[0]}-{depths[-1]}"
    return ",".join(map(str, depths))
