"""What a sweep is asked to do: its settings, its seeds, and what makes it one sweep."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from lstmcli.config import DEFAULTS, DEPTHS, Config, SweepConfig
from lstmcli.data.target import Target
from lstmcli.sweeps import grid, placement
from lstmcli.sweeps.axis import DEPTH, Axis, axis_of
from lstmcli.sweeps.data_info import identity as identity_of
from lstmcli.sweeps.grid import TrialGroup
from lstmcli.training import initial_weights, load, run_dir, tensorboard_logging
from lstmcli.utils.errors import UsageError
from lstmcli.utils.settings import option_name

FILES = ("data", "init_from")
"""What an identity has as a checksum."""

COMPARED = "compare"
"""What is compared in place of depth, in an identity."""
CHECKPOINTS = "10s"
"""Between a trial's checkpoints: what a killed sweep has to do again, at most."""


@dataclass(frozen=True)
class Plan:
    """A sweep as it was asked for.

    Attributes:
        settings: every combination, each with all seeds.
        swept: the columns of the settings that were swept besides depth.
        identity: all that makes it one sweep: more depths and more seeds extend the same one.
        asked: seeds, margin and workers.
        notes: what is odd about the dataset, and what `--match` came to, in words.
        gpus: those that trials are shared out on, where several are named.
        axis: what is compared.
    """

    settings: list[TrialGroup]
    swept: list[str]
    identity: dict[str, Any]
    asked: SweepConfig
    notes: tuple[str, ...] = ()
    gpus: tuple[str, ...] = ()
    axis: Axis = DEPTH

    def unit(self, where: Mapping[str, Any]) -> Target:
        """What losses are in, of the settings that have some values in common."""
        return next(
            setting.material.unit
            for setting in self.settings
            if where.items() <= setting.keys.items()
        )

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
    compare: tuple[str, Sequence[Any]] | None = None,
) -> Plan:
    """Plans a sweep.

    Args:
        single: settings of which a sweep has one value, by name.
        lists: the values of the others.
        asked: what a sweep alone has.
        saved: settings from a file, as `Config.build` takes them; the ones above win.
        compare: the setting that is compared in place of depth, and its values.

    Raises:
        UsageError: a value that cannot work, or settings with which there is nothing to learn.
        FileError: the dataset, or the checkpoint to begin with, cannot be used.
    """
    single, gpus = placement.several(single)
    question = compare[0] if compare else "layers"
    if compare:
        _check_compared(question, lists, asked)
        lists = {**lists, question: compare[1]}
    one_value = {
        name: values[0]
        for name, values in lists.items()
        if (len(values) == 1 and name != question) or name == grid.HORIZON
    }
    base = Config.build(
        saved, **{**single, **one_value, "replicas": asked.seeds, "checkpoint_every": CHECKPOINTS}
    )
    tensorboard_logging.check_installed(base)
    base = initial_weights.sized(base)
    one_depth = base.training.init_from or question != "layers"
    depths = [base.model.layers] if one_depth else grid.parse("layers", DEPTHS)
    lists = {"layers": depths, **lists}
    lists = {name: lists[name] for name in grid.in_order(lists)}
    weights = _weights(run_dir.with_absolute_paths(base))
    opened = initial_weights.open_source(base) if base.data.data is not None else None
    if opened and base.training.until_solved:
        opened.check_floor_known()
    base = run_dir.with_absolute_paths(base)  # Workers may stand elsewhere.
    settings = grid.expand(base, lists, asked.match, opened, weights)
    if base.training.init_from is not None:
        for setting in settings:
            source = opened or initial_weights.open_source(setting.config)
            initial_weights.weights(setting.config, setting.spec, source.schema)
    swept = {name: values for name, values in lists.items() if len(values) > 1 and name != "layers"}
    sized = opened.resolved(base) if opened else base
    first = min(settings, key=lambda setting: setting.config.data.leads[0])  # In whichever order.
    others = {name: values for name, values in swept.items() if name != question}
    identity = _identity(sized, first, others, asked.match, question)
    notes = [*opened.notes()] if opened else []
    if asked.match:
        notes += grid.matching_notes(asked.match, sized.model, settings)
    columns, axis = [grid.column(name) for name in swept], axis_of(question if compare else None)
    return Plan(settings, columns, identity, asked, tuple(notes), gpus, axis)


def _check_compared(question: str, lists: Mapping[str, Sequence[Any]], asked: SweepConfig) -> None:
    """Raises UsageError where something else stands in the way of what is to be compared."""
    if question in lists:
        option = f"`{option_name(question)}`"
        raise UsageError(f"{option} and `--compare` name the same setting", f"leave {option} out")
    if len(lists.get("layers", [])) > 1:
        raise UsageError(
            "`--compare` asks about one setting: expected one value of `--layers`, got several",
            "give `--layers` one value, or leave `--compare` out to compare depths",
        )
    if asked.match:
        raise UsageError("`--match` has no effect with `--compare`: depths do not differ",
                         "leave `--match` out")  # fmt: skip


def lists_of(identity: Mapping[str, Any]) -> list[str]:
    """The settings besides depth of which a sweep can have several values, by its identity."""
    compared = identity.get(COMPARED)
    return grid.in_order([*identity["swept"], *([compared] if compared else [])])


def _weights(base: Config) -> str | None:
    """The checksum of the checkpoint to begin with, which must hold one model for all seeds."""
    if base.training.init_from is None:
        return None
    begin = initial_weights.read(Path(base.training.init_from))
    path, seeds = begin.path, len(begin.tensors["dense.bias"])
    if seeds > 1:
        raise UsageError(
            f"`{path}` holds the models of {seeds} seeds, expected one: every seed of a sweep "
            "begins with the same weights",
            "name a checkpoint of one model with `--init-from`",
        )
    digest = hashlib.sha256(path.read_bytes())
    if trial := load.best_trial(Path(base.training.init_from)):
        digest.update(str(trial.seed).encode())  # Others are in the same file.
    return digest.hexdigest()


def _identity(
    base: Config,
    first: TrialGroup,
    swept: Mapping[str, Sequence[Any]],
    match: str | None,
    question: str,
) -> dict[str, Any]:
    """All settings that trials depend on but what is compared and seeds, as TOML can hold them.

    Args:
        base: the settings that all trials share, its size resolved.
        first: one of them, in which the rest is resolved.
        swept: the settings that differ.
        match: what depths are equal in.
        question: the setting that is compared.
    """
    run = base.run
    resolved = replace(base, data=first.config.data, training=first.config.training)
    tables = identity_of(resolved, first.material.digest, first.weights)
    shift = {} if run.data_seed is None else {"data_seed_minus_seed": run.data_seed - run.seed}
    tables["run"] = shift
    for name in (*swept, question):
        for table in tables.values():
            table.pop(name, None)
    if match:
        tables["match"] = {"size": match, "layers": base.model.layers}
    compared = {} if question == "layers" else {COMPARED: question}
    results = grid.results(first.material.digest)
    return {**tables, "swept": dict(swept), "results": results, **compared}


def differences(known: Mapping[str, Any], asked: Mapping[str, Any]) -> list[str]:
    """Where two identities differ, in words: the settings and their values.

    A setting that one of them does not name, as it is newer, is at its default there.
    """
    names, flat = differing(known, asked), [_flat(each) for each in (known, asked)]
    return [
        f"`{option_name(name)}` {_value(flat[0].get(name))} there, {_value(flat[1].get(name))} here"
        for name in names
        if name not in FILES
    ] + [_changed(name, *(each.get(name) for each in flat)) for name in names if name in FILES]


def differing(known: Mapping[str, Any], asked: Mapping[str, Any]) -> list[str]:
    """The names of the settings in which two identities differ."""
    one, other = _flat(known), _flat(asked)
    return [
        name
        for name in one | other
        if _in_any_order(one.get(name)) != _in_any_order(other.get(name))
    ]


def _in_any_order(value: Any) -> Any:
    return sorted(value, key=repr) if isinstance(value, list | tuple) else value


def _changed(name: str, known: str | None, asked: str | None) -> str:
    """How the content of a file differs, by its checksum."""
    if known is None or asked is None:
        return f"`{option_name(name)}` {_file(known)} there, {_file(asked)} here"
    return (
        f"the content that `{option_name(name)}` gives has changed: SHA-256 {known[:8]} there, "
        f"{asked[:8]} here"
    )


def _file(checksum: str | None) -> str:
    return "not set" if checksum is None else "a file"


def _flat(identity: Mapping[str, Any]) -> dict[str, Any]:
    found = dict(DEFAULTS)
    for name, value in identity.items():
        found |= value if isinstance(value, Mapping) else {name: value}
    return found | {"match": found.pop("size", None)}


def _value(value: Any) -> str:
    if isinstance(value, list | tuple):
        return ",".join(map(str, value))
    return "not set" if value is None else str(value)
