"""What a sweep trains: every combination of its lists of settings, with every seed."""

from __future__ import annotations

import hashlib
import itertools
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from lstmcli import architecture
from lstmcli.config import GROUPS, Config, option_name, setting_types
from lstmcli.core import parameters
from lstmcli.errors import UsageError

SIZES = ("layers", "state_size")
FIXED = (
    "seed",
    "data_seed",
    "replicas",
    "device",
    "schedule",
    "threads",
    "cache",
    "data",
    "checkpoint_every",
    "until_solved",
)
"""Settings of which a sweep has one value."""

RESULTS = 2
"""What a trial's figures mean; raised when that changes, so that older ones are not mixed in."""


@dataclass(frozen=True)
class Setting:
    """One combination of settings, to be trained with some seeds side by side.

    Attributes:
        config: its settings; its seeds are the replicas.
        swept: the values that make it different, besides layers and state size, by their column.
    """

    config: Config
    swept: Mapping[str, Any]

    @property
    def label(self) -> str:
        """What it is: `3x4`, `3x4-echo-step-6`."""
        return label(**self.keys)

    @property
    def name(self) -> str:
        """Its directory: the label and the seeds."""
        seeds = self.config.run.seeds
        return f"{self.label}-seeds-{seeds[0]}-{seeds[-1]}"

    @property
    def trials(self) -> dict[int, str]:
        """The identity of each seed's trial: a hash of all settings that its result depends on."""
        run = self.config.run
        settings: dict[str, Any] = {"results": RESULTS, **self.config.to_dict()}
        settings["training"].pop("checkpoint_every")
        found = {}
        for seed, data_seed in zip(run.seeds, run.data_seeds, strict=True):
            settings["run"] = {"seed": seed, "data_seed": data_seed}
            text = json.dumps(settings, sort_keys=True)
            found[seed] = hashlib.sha256(text.encode()).hexdigest()[:12]
        return found

    @property
    def keys(self) -> dict[str, Any]:
        """The columns that name it in the tables."""
        model = self.config.model
        return {"layers": model.layers, "state_size": model.state_size, **self.swept}

    @property
    def parameters(self) -> int:
        """Number of parameters of one replica."""
        return architecture.count(self.config.model, *shape(self.config))

    @cached_property
    def seconds(self) -> float:
        """A rough guess at its training time."""
        config, data = self.config, self.config.data
        windows = data.series_length // config.training.batch_size // config.training.bptt
        window = parameters.window_seconds(config, self.parameters)
        return config.training.epochs * windows * window * 1.4 + 3

    def with_seeds(self, seeds: Sequence[int]) -> Setting:
        """The same setting for consecutive seeds of its own."""
        run, shift = self.config.run, seeds[0] - self.config.run.seed
        data_seed = None if run.data_seed is None else run.data_seed + shift
        chosen = replace(run, seed=seeds[0], replicas=len(seeds), data_seed=data_seed)
        return replace(self, config=replace(self.config, run=chosen))


def label(layers: int, state_size: int, **swept: Any) -> str:
    """The name of a setting, from the columns that name it in the tables."""
    words = [f"{option_name(name)[2:]}-{value}" for name, value in swept.items()]
    return "-".join([f"{layers}x{state_size}", *words])


def column(name: str) -> str:
    """The column of a swept setting: its name, but for `epochs`, which a trial has as a result."""
    return "epochs_set" if name == "epochs" else name


def words(column: str) -> str:
    """What people call a column of a swept setting."""
    return column.removesuffix("_set").replace("_", " ")


def key_names(swept: Sequence[str]) -> list[str]:
    """The columns that name a setting, with those of the settings that were swept."""
    return [*SIZES, *(name for name in swept if name not in SIZES)]


def shape(config: Config) -> tuple[int, int]:
    """Features and classes of the echo task."""
    classes = config.data.classes
    return (1 if classes == 2 else classes), classes


def parse(name: str, text: str) -> list[Any]:
    """The values of a setting: `1-5`, `1,2,4`, `0.1,0.3`.

    Raises:
        UsageError: the text is no list of the setting's type.
    """
    kinds = {spec.name: kind for group in GROUPS.values() for spec, kind, _ in setting_types(group)}
    values: list[Any] = []
    for word in text.split(","):
        ends = re.fullmatch(r"(\d+)-(\d+)", word.strip()) if kinds[name] is int else None
        try:
            if ends:
                values += range(int(ends[1]), int(ends[2]) + 1)
            else:
                values.append(kinds[name](word.strip()))
        except ValueError:
            values = []
            break
    if not values:
        example = "`1-5` or `1,2,4`" if kinds[name] is int else "`0.1,0.3`"
        raise UsageError(f"`{option_name(name)}` takes a list such as {example}, got {text!r}")
    return list(dict.fromkeys(values))


def values(name: str, given: Any) -> list[Any]:
    """The values of a setting, given as one, as several, or as a text that `parse` reads.

    Raises:
        UsageError: the text is no list of the setting's type.
    """
    if isinstance(given, str):
        return parse(name, given)
    found = list(dict.fromkeys(given)) if isinstance(given, Iterable) else [given]
    if not found or (None in found and len(found) > 1):
        raise UsageError(f"`{option_name(name)}` takes values to sweep, got {given!r}")
    return [each.item() if hasattr(each, "item") else each for each in found]  # NumPy's numbers.


def expand(base: Config, lists: Mapping[str, Sequence[Any]], match: str | None) -> list[Setting]:
    """Every combination of the lists, with all seeds of `base`.

    Args:
        base: the settings that are not swept.
        lists: the values of the settings that are.
        match: `params` or `state` to choose the state size of each depth so that it has about as
            many parameters, or numbers of state, as `base`; `None` to leave it.

    Raises:
        UsageError: a value that cannot work, or `match` beside a list of state sizes.
    """
    if match and len(lists.get("state_size", [])) > 1:
        raise UsageError("`--match` chooses the state size: give `--state-size` one value")
    swept = [name for name, values in lists.items() if name not in SIZES and len(values) > 1]
    settings = []
    for values in itertools.product(*lists.values()):
        chosen = dict(zip(lists, values, strict=True))
        config = Config.build(base.to_dict(), **chosen)
        if match:
            size = _matching_size(base, config, match)
            config = Config.build(config.to_dict(), state_size=size)
        settings.append(Setting(config, {column(name): chosen[name] for name in swept}))
    return settings


def _matching_size(base: Config, config: Config, match: str) -> int:
    """The state size with which `config`'s depth comes closest to `base`'s size."""

    def size_of(layers: int, state_size: int) -> int:
        if match == "state":
            return layers * state_size
        model = replace(config.model, layers=layers, state_size=state_size)
        return architecture.count(model, *shape(config))

    target = size_of(base.model.layers, base.model.state_size)
    largest = base.model.layers * base.model.state_size + 1
    return min(
        range(1, largest + 1), key=lambda size: abs(size_of(config.model.layers, size) - target)
    )
