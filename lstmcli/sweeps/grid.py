"""What a sweep trains: every combination of its lists of settings, with every seed."""

from __future__ import annotations

import hashlib
import itertools
import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from os import PathLike
from typing import Any

from lstmcli import model_spec
from lstmcli.config import DEFAULTS, GROUPS, Config, ModelConfig
from lstmcli.core import execution, memory_use
from lstmcli.data.datasets import Source, open_source
from lstmcli.model_spec import ModelSpec
from lstmcli.sweeps.data_info import DataInfo, data_info, identity
from lstmcli.training import estimate
from lstmcli.training.estimate import Preflight
from lstmcli.training.run_dir import RUNS
from lstmcli.utils.errors import UsageError
from lstmcli.utils.settings import option_name, setting_types

SIZES = ("layers", "state_size")
TUNING = "-tuning"
"""How the identities of trials end that choose what is tuned."""
HORIZON = "horizon"
"""The one setting of a file that can be swept: of each of its values the targets are others."""

MOST = 10_000
"""Settings of one sweep."""

RESULTS, RESULTS_ON_FILES = 2, 3
"""What a trial's figures mean; raised when that changes, so that older ones are not mixed in."""


@dataclass(frozen=True)
class TrialGroup:
    """One combination of settings, to be trained with some seeds side by side.

    Attributes:
        config: its settings; its seeds are the replicas.
        swept: the values that make it different, besides layers and state size, by their column.
        material: what is known of its data.
        weights: the checksum of the checkpoint that it begins with; `None` for drawn weights.
        folder: what its run directory is called, where one is there already: older versions named
            the same setting in several ways.
        until: the epoch after which its training pauses; `None` for its end.
        tuning: whether its seeds choose what is tuned, and are not compared.
        tuned: the columns of what is tuned.
    """

    config: Config
    swept: Mapping[str, Any]
    material: DataInfo
    weights: str | None = None
    folder: str | None = None
    until: int | None = None
    tuning: bool = False
    tuned: tuple[str, ...] = ()

    @property
    def shown(self) -> str:
        """What it is called on the screen and by the clock.

        As its run directory, but for the values of what is tuned, not known until they are chosen.
        """
        if self.tuning or not self.tuned:
            return self.name
        known = self.cell | ({} if "state_size" in self.cell else {"state_size": "best"})
        seeds = self.config.run.seeds
        return f"{label(**known)}-seeds-{seeds[0]}-{seeds[-1]}"

    @property
    def cell(self) -> dict[str, Any]:
        """Its columns but for those of what is tuned."""
        return {name: value for name, value in self.keys.items() if name not in self.tuned}

    @property
    def label(self) -> str:
        """What it is: `3x4`, `3x4-echo-step-6`."""
        return label(**self.keys)

    @property
    def name(self) -> str:
        """What its run directory is called: the label and the seeds."""
        seeds = self.config.run.seeds
        return self.folder or f"{self.label}-seeds-{seeds[0]}-{seeds[-1]}"

    @property
    def run_dir(self) -> str:
        """Its run directory, from the sweep's."""
        return f"{RUNS}/{self.name}"

    @property
    def trials(self) -> dict[int, str]:
        """The identity of each seed's trial."""
        found = identities(self.config, self.material.digest, self.weights)
        return {seed: trial + TUNING * self.tuning for seed, trial in found.items()}

    @property
    def keys(self) -> dict[str, Any]:
        """The columns that name it in the tables."""
        model = self.config.model
        return {"layers": model.layers, "state_size": model.state_size, **self.swept}

    @property
    def parameters(self) -> int:
        """Number of parameters of one replica."""
        return _count(self.config, self.spec)

    @property
    def spec(self) -> ModelSpec:
        """What its program has to be compiled for."""
        return self.material.spec

    @property
    def kind(self) -> object:
        """What a process has to be set up for to train it."""
        device = self.config.run.device
        return execution.plan(self.config, self.spec.features, device).process, device

    @cached_property
    def preflight(self) -> Preflight:
        """What it makes possible."""
        return estimate.of_config(self.config, self.spec, self.material.facts, cores=1)

    @property
    def seconds(self) -> float:
        """A rough guess at its training time."""
        return self.preflight.seconds

    @property
    def device(self) -> str:
        """What it is to be trained on."""
        return self.config.run.device

    def on(self, device: str) -> TrialGroup:
        """The same setting on a device."""
        run = replace(self.config.run, device=device)
        return replace(self, config=replace(self.config, run=run))

    def with_seeds(self, seeds: Sequence[int], folder: str | None = None) -> TrialGroup:
        """The same setting for consecutive seeds of its own, and the run that they have begun."""
        run, shift = self.config.run, seeds[0] - self.config.run.seed
        data_seed = None if run.data_seed is None else run.data_seed + shift
        chosen = replace(run, seed=seeds[0], replicas=len(seeds), data_seed=data_seed)
        return replace(self, config=replace(self.config, run=chosen), folder=folder)


def results(digest: str | None) -> int:
    """What the figures of trials on a dataset mean, or of those on drawn series, without digest."""
    return RESULTS if digest is None else RESULTS_ON_FILES


def identities(config: Config, digest: str | None, weights: str | None) -> dict[int, str]:
    """The identity of each seed's trial: a hash of all settings that its result depends on.

    Settings that are made of what an older version kept have the defaults of those that it did not
    know, so that they are the same as if they were asked for now.

    Args:
        config: all settings, resolved.
        digest: of the dataset; `None` for drawn series.
        weights: the checksum of the checkpoint to begin with; `None` for drawn weights.
    """
    settings: dict[str, Any] = {"results": results(digest), **identity(config, digest, weights)}
    found = {}
    for seed, data_seed in zip(config.run.seeds, config.run.data_seeds, strict=True):
        settings["run"] = {"seed": seed, "data_seed": data_seed}
        text = json.dumps(settings, sort_keys=True)
        found[seed] = hashlib.sha256(text.encode()).hexdigest()[:12]
    return found


def in_order(names: Iterable[str]) -> list[str]:
    """Names of settings, in the order in which the config lists them."""
    return sorted(names, key=list(DEFAULTS).index)


def label(layers: int, state_size: int | str, **swept: Any) -> str:
    """The name of a setting, from the columns that name it in the tables."""
    words = [f"{option_name(name)[2:]}-{value}" for name, value in swept.items()]
    return "-".join([f"{layers}x{state_size}", *words])


def column(name: str) -> str:
    """The column of a swept setting: its name, but for `epochs`, which a trial has as a result."""
    return "epochs_set" if name == "epochs" else name


def setting_of(column: str) -> str:
    """The setting of such a column."""
    return column.removesuffix("_set")


def words(column: str) -> str:
    """What people call a column of a swept setting."""
    return setting_of(column).replace("_", " ")


def key_names(swept: Sequence[str]) -> list[str]:
    """The columns that name a setting, with those of the settings that were swept."""
    return [*SIZES, *(name for name in swept if name not in SIZES)]


def _count(config: Config, signature: ModelSpec) -> int:
    """Number of parameters of one replica."""
    return model_spec.count(config.model, signature.features, signature.outputs)


def parse(name: str, text: str) -> list[Any]:
    """The values of a setting: `1-5`, `1,2,4`, `0.1,0.3`.

    Raises:
        UsageError: the text is no list of the setting's type.
    """
    kind = _kind(name)
    values: list[Any] = []
    for word in text.split(","):
        ends = re.fullmatch(r"(\d+)-(\d+)", word.strip()) if kind is int else None
        try:
            if ends:
                first, last = int(ends[1]), int(ends[2])
                _check_count(f"`{option_name(name)} {text}` names", last - first + 1)
                values += range(first, last + 1)
            else:
                values.append(kind(word.strip()))
        except ValueError:
            values = []
            break
    if not values:
        example = "`1-5` or `1,2,4`" if kind is int else "`0.1,0.3`"
        raise UsageError(f"`{option_name(name)}` takes a list such as {example}, got {text!r}")
    return list(dict.fromkeys(values))


def _check_count(what: str, count: int) -> None:
    """Raises UsageError where a sweep would have too many settings."""
    if count > MOST:
        raise UsageError(
            f"{what} {count:,} settings, expected at most {MOST:,} in a sweep",
            "name fewer values, or run several sweeps",
        )


def values(name: str, given: Any) -> list[Any]:
    """The values of a setting, given as one, as several, or as a text that `parse` reads.

    Raises:
        UsageError: the text is no list of the setting's type.
    """
    if isinstance(given, str):
        found = parse(name, given)
        return _horizons(found) if name == HORIZON else found
    found = list(dict.fromkeys(given)) if isinstance(given, Iterable) else [given]
    if not found or (None in found and len(found) > 1):
        raise UsageError(f"`{option_name(name)}` takes values to sweep, got {given!r}")
    return [each.item() if hasattr(each, "item") else each for each in found]  # NumPy's numbers.


def _horizons(found: list[str]) -> list[str | int]:
    """Horizons of a sweep: a list of numbers, each a setting, or one value as a run has it.

    Raises:
        UsageError: a range, which is one model that predicts all of it, is in a list.
    """
    numbers: list[str | int] = [int(each) if each.isdecimal() else each for each in found]
    if len(found) > 1 and not all(isinstance(each, int) for each in numbers):
        raise UsageError(
            f"`--horizon` takes a list of numbers in a sweep, such as `1,6,24`, got "
            f"`{','.join(found)}`",
            "a range such as `1-24` is one model that predicts at each of these steps: it stands "
            "alone",
        )
    return numbers


def single(name: str, given: Any) -> Any:
    """The value of a setting of which a sweep has one; a text of a number is read.

    Raises:
        UsageError: it is a text of several.
    """
    if isinstance(given, PathLike):
        return str(given)
    if not isinstance(given, str) or _kind(name) not in (int, float):
        return given
    found = parse(name, given)
    if len(found) > 1:
        raise UsageError(
            f"`{option_name(name)}` has one value in a sweep, got {given!r}",
            "run a sweep for each of them",
        )
    return found[0]


def _kind(name: str) -> type:
    """The type of a setting's values."""
    return kinds()[name]


def kinds() -> dict[str, type]:
    """The type of each setting's values."""
    return {spec.name: kind for group in GROUPS.values() for spec, kind, _ in setting_types(group)}


def expand(
    base: Config,
    lists: Mapping[str, Sequence[Any]],
    match: str | None,
    opened: Source | None = None,
    weights: str | None = None,
) -> list[TrialGroup]:
    """Every combination of the lists, with all seeds of `base`.

    Args:
        base: the settings that are not swept.
        lists: the values of the settings that are.
        match: `params` or `state` to choose the state size of each depth so that it has about as
            many parameters, or numbers of state, as `base`; `None` to leave it.
        opened: the dataset, where there is one.
        weights: the checksum of the checkpoint to begin with.

    Raises:
        UsageError: a value that cannot work, settings with which there is nothing to learn, or
            `match` beside a list of state sizes.
        FileError: a part of the dataset is too short for a window.
    """
    if match and len(lists.get("state_size", [])) > 1:
        raise UsageError(
            "`--match` chooses the state size: expected one value, got several",
            "give `--state-size` one value: that of the default depth, which all are to match",
        )
    _check_count("all combinations of these lists are", math.prod(map(len, lists.values())))
    swept = [name for name, values in lists.items() if name not in SIZES and len(values) > 1]
    settings = []
    known: dict[object, tuple[Source, DataInfo]] = {}
    for values in itertools.product(*lists.values()):
        chosen = dict(zip(lists, values, strict=True))
        config = base.replaced(**chosen)
        kind = (config.data, config.training.batch_size, config.training.bptt)
        if kind not in known:
            same = opened and opened.config.data.horizon == config.data.horizon
            source = opened.with_config(config) if opened and same else open_source(config)
            known[kind] = source, data_info(source)
        source, found = known[kind]
        config = source.resolved(config)
        if match:
            of = source.resolved(base).model
            size = nearest_state_size(match, of, config.model.layers, found.spec)
            config = replace(config, model=replace(config.model, state_size=size))
        memory_use.check_model(config, found.spec.features, found.spec.outputs)
        own = {column(name): config.value(name) for name in swept}
        settings.append(TrialGroup(config, own, found, weights))
    return settings


NOTED = 0.1
"""How far from its target a size may be before that is said: a part of the target."""
NAMES = {"params": "parameters", "state": "numbers of state"}


def matched_count(match: str, layers: int, state_size: int, signature: ModelSpec) -> int:
    """What a model has of that in which depths are to be equal."""
    if match == "state":
        return layers * 2 * state_size  # c and h.
    model = ModelConfig(layers=layers, state_size=state_size)
    return model_spec.count(model, signature.features, signature.outputs)


def nearest_state_size(match: str, base: ModelConfig, layers: int, signature: ModelSpec) -> int:
    """The state size with which a depth comes closest to what `base` has.

    No larger one than looked at does, as a layer of all of `base`'s units has more than it.
    """
    target = matched_count(match, base.layers, base.state_size, signature)
    sizes = range(1, base.layers * base.state_size + 2)
    return min(sizes, key=lambda size: abs(matched_count(match, layers, size, signature) - target))


def matching_notes(match: str, base: ModelConfig, settings: Iterable[TrialGroup]) -> list[str]:
    """What the sizes of settings were chosen by, what they came to, and which are far from it."""
    targets: dict[int, dict[str, int]] = {}
    for setting in settings:
        model, signature = setting.config.model, setting.spec
        target = matched_count(match, base.layers, base.state_size, signature)
        own = matched_count(match, model.layers, model.state_size, signature)
        targets.setdefault(target, {})[f"{model.layers}x{model.state_size}"] = own
    found = [_note(match, base, *each) for each in targets.items()]
    return found + [note for each in targets.items() if (note := _far(match, *each))]


def _note(match: str, base: ModelConfig, target: int, counts: Mapping[str, int]) -> str:
    layers = f"{base.layers} layer{'s' if base.layers > 1 else ''}"
    units = f"{base.state_size} unit{'s' if base.state_size > 1 else ''}"
    listed = ", ".join(f"{name} has {own:,}" for name, own in counts.items())
    return (
        f"`--match {match}` chooses the state sizes closest to {target:,} {NAMES[match]}, as many "
        f"as {layers} of {units} have: {listed}"
    )


def _far(match: str, target: int, counts: Mapping[str, int]) -> str:
    """Which are more than a tenth off; empty where none is."""
    far = [
        f"{name} has {100 * abs(own / target - 1):.0f} % {'more' if own > target else 'fewer'}"
        for name, own in counts.items()
        if abs(own / target - 1) > NOTED
    ]
    if not far:
        return ""
    return (
        f"no state size comes closer to {target:,} {NAMES[match]}: {', '.join(far)}; a larger "
        "`--state-size` makes the difference smaller"
    )
