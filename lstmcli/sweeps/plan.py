"""What a sweep is asked to do: its settings, its seeds, and what makes it one sweep."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lstmcli.config import DEPTHS, Config, SweepConfig, option_name
from lstmcli.data import echo
from lstmcli.data.series import Layout
from lstmcli.errors import UsageError
from lstmcli.sweeps import grid
from lstmcli.sweeps.grid import Setting

NEVER = "1000000"
"""Epochs between a trial's checkpoints: its last epoch writes them."""


@dataclass(frozen=True)
class Plan:
    """A sweep as it was asked for.

    Attributes:
        settings: every combination, each with all seeds.
        swept: the columns of the settings that were swept besides depth.
        identity: all that makes it one sweep: more depths and more seeds extend the same one.
        asked: seeds, margin and workers.
    """

    settings: list[Setting]
    swept: list[str]
    identity: dict[str, Any]
    asked: SweepConfig

    @property
    def base(self) -> Config:
        """The settings that all trials share, with the values of one of them."""
        return self.settings[0].config

    @property
    def name(self) -> str:
        """A name by which the same sweep finds its directory again."""
        text = json.dumps(self.identity, sort_keys=True)
        return f"sweep-{hashlib.sha256(text.encode()).hexdigest()[:8]}"

    @property
    def trials(self) -> int:
        """Number of trials."""
        return sum(len(setting.trials) for setting in self.settings)


def make(
    single: Mapping[str, Any],
    lists: Mapping[str, Sequence[Any]],
    asked: SweepConfig,
    saved: Mapping[str, Any] | None = None,
) -> Plan:
    """Plans a sweep.

    Args:
        single: settings of which a sweep has one value, by name.
        lists: the values of the others.
        asked: what a sweep alone has.
        saved: settings from a file, as `Config.build` takes them; the ones above win.

    Raises:
        UsageError: a value that cannot work, or settings with which there is nothing to learn.
    """
    lists = {"layers": grid.parse("layers", DEPTHS), **lists}
    one_value = {
        name: values[0] for name, values in lists.items() if len(values) == 1 and name != "layers"
    }
    base = Config.build(
        saved, **{**single, **one_value, "replicas": asked.seeds, "checkpoint_every": NEVER}
    )
    if base.data.data is not None:
        raise UsageError(
            f"a sweep draws fresh series, but the configuration names the dataset "
            f"`{base.data.data}`",
            "take `data` out of its [data] table, or use `lstmcli train --config`",
        )
    settings = grid.expand(base, lists, asked.match)
    for setting in settings:
        _check_learnable(setting.config)
    swept = {name: values for name, values in lists.items() if len(values) > 1 and name != "layers"}
    identity = _identity(base, swept, asked.match)
    return Plan(settings, [grid.column(name) for name in swept], identity, asked)


def _check_learnable(config: Config) -> None:
    layout = Layout(config.data.series_length, config.training.batch_size, config.training.bptt)
    echo.check_learnable(echo.task(config.data), layout)


def _identity(
    base: Config, swept: Mapping[str, Sequence[Any]], match: str | None
) -> dict[str, Any]:
    """All settings that trials depend on but depths and seeds, as TOML can hold them."""
    run = base.run
    tables = base.to_dict()
    tables["training"].pop("checkpoint_every")
    shift = {} if run.data_seed is None else {"data_seed_minus_seed": run.data_seed - run.seed}
    tables["run"] = shift
    for name in swept:
        for table in tables.values():
            table.pop(name, None)
    if match:
        tables["match"] = {"size": match, "layers": tables["model"].pop("layers")}
    else:
        tables["model"].pop("layers")
    return {**tables, "swept": dict(swept), "results": grid.RESULTS}


def differences(known: Mapping[str, Any], asked: Mapping[str, Any]) -> list[str]:
    """Where two identities differ, in words: the settings and their values."""
    flat = [_flat(each) for each in (known, asked)]
    names = [name for name in {**flat[0], **flat[1]} if flat[0].get(name) != flat[1].get(name)]
    return [
        f"`{option_name(name)}` {_value(flat[0].get(name))} there, {_value(flat[1].get(name))} here"
        for name in names
    ]


def _flat(identity: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in identity.items():
        found |= value if isinstance(value, Mapping) else {name: value}
    return found


def _value(value: Any) -> str:
    if isinstance(value, list | tuple):
        return ",".join(map(str, value))
    return "not set" if value is None else str(value)
