"""The plan of a sweep: its settings, its seeds, and its identity."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from lstmcli.config import DEFAULTS, DEPTHS, Config, SweepConfig
from lstmcli.data.datasets import Source
from lstmcli.data.target import Target
from lstmcli.sweeps import grid, looks, placement, tuning
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
TUNED = "tuned"
"""Where an identity has the names of what is tuned."""

CHECKPOINTS = "10s"
"""Between a trial's checkpoints: what a killed sweep has to do again, at most."""


@dataclass(frozen=True)
class Plan:
    """A sweep as it was asked for.

    Attributes:
        settings: every combination, each with the seeds of the first look.
        swept: the columns of the settings that have several values, besides depth.
        tuned: those of them that each depth has at its own best.
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
    tuned: tuple[str, ...] = ()

    @property
    def looks(self) -> tuple[int, ...]:
        """After how many seeds it is looked whether the answer is known."""
        return looks.LOOKS if self.asked.fixed_seeds is None else (self.asked.fixed_seeds,)

    @property
    def cells(self) -> list[list[TrialGroup]]:
        """The settings that differ in what is tuned alone."""
        found: dict[object, list[TrialGroup]] = {}
        for each in self.settings:
            found.setdefault(tuple(each.cell.items()), []).append(each)
        return list(found.values())

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
        """Number of trials until the first look."""
        choosing = sum(tuning.SEEDS * len(cell) for cell in self.cells if len(cell) > 1)
        return choosing + self.looks[0] * len(self.cells)


def make(
    single: Mapping[str, Any],
    lists: Mapping[str, Sequence[Any]],
    asked: SweepConfig,
    saved: Mapping[str, Any] | None = None,
    compare: tuple[str, Sequence[Any]] | None = None,
    tuned: Mapping[str, Sequence[Any]] | None = None,
) -> Plan:
    """Plans a sweep.

    Args:
        single: settings of which a sweep has one value, by name.
        lists: the values of the others.
        asked: what a sweep alone has.
        saved: settings from a file, as `Config.build` takes them; the ones above win.
        compare: the setting that is compared in place of depth, and its values.
        tuned: the values of settings that each depth is to have at its best; `None` for the
            learning rate, if it is not given.

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
    seeds = asked.fixed_seeds or looks.LOOKS[0]
    base = Config.build(
        saved, **{**single, **one_value, "replicas": seeds, "checkpoint_every": CHECKPOINTS}
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
    given = {*single, *lists, *(saved or {}).get("training", {})}
    tuned, told = _tuned(tuned, opened.resolved(base) if opened else base, given, opened)
    lists = {**lists, **tuned}
    lists = {name: lists[name] for name in grid.in_order(lists)}
    settings = grid.expand(base, lists, asked.match, opened, weights)
    if base.training.init_from is not None:
        for setting in settings:
            source = opened or initial_weights.open_source(setting.config)
            initial_weights.weights(setting.config, setting.spec, source.schema)
    swept = {name: values for name, values in lists.items() if len(values) > 1 and name != "layers"}
    compared = {name: values for name, values in swept.items() if name not in tuned}
    sized = opened.resolved(base) if opened else base
    first = min(settings, key=lambda setting: setting.config.data.leads[0])  # In whichever order.
    others = {name: values for name, values in compared.items() if name != question}
    identity = _identity(sized, first, others, asked.match, question, list(tuned))
    notes = [*opened.notes(), *told] if opened else told
    if asked.match:
        notes += grid.matching_notes(asked.match, sized.model, settings)
    columns, axis = [grid.column(name) for name in swept], axis_of(question if compare else None)
    own = tuple(grid.column(name) for name in tuned)
    settings = [replace(each, tuned=own) for each in settings]
    return Plan(settings, columns, identity, asked, tuple(notes), gpus, axis, own)


def _tuned(
    asked: Mapping[str, Sequence[Any]] | None,
    base: Config,
    given: Collection[str],
    opened: Source | None,
) -> tuple[dict[str, Sequence[Any]], list[str]]:
    """What is tuned, each with its values, and what there is to say of it.

    Raises:
        UsageError: there is no validation part to choose by, or a setting is given twice.
    """
    validated = opened is None or opened.splits is None or len(opened.splits.validation) > 0
    if asked is None:
        if tuning.BY_DEFAULT in given:
            return {}, []
        if not validated:
            return {}, ["the learning rate is not tuned, as no validation part is held out"]
        return {tuning.BY_DEFAULT: tuning.ladder(base.training.learning_rate)}, []
    if asked and not validated:
        raise UsageError(
            "`--tune` chooses by the validation part, and `--val-fraction 0` holds none out",
            "pass a larger `--val-fraction`, or `--val-data FILE`",
        )
    if twice := [name for name in asked if name in given]:
        option = option_name(twice[0])
        raise UsageError(
            f"`{option}` and `--tune {option[2:]}=…` were both given",
            "`--tune` gives each depth the best of its values; leave one of them out",
        )
    return dict(asked), []


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
    found = [*identity["swept"], *([compared] if compared else []), *identity.get(TUNED, [])]
    return grid.in_order(found)


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
    tuned: Sequence[str] = (),
) -> dict[str, Any]:
    """All settings that trials depend on but what is compared and seeds, as TOML can hold them.

    More values of what is tuned are tried in the same sweep, as more depths are.

    Args:
        base: the settings that all trials share, its size resolved.
        first: one of them, in which the rest is resolved.
        swept: the settings that differ.
        match: what depths are equal in.
        question: the setting that is compared.
        tuned: the settings that each depth has at its best.
    """
    run = base.run
    resolved = replace(base, data=first.config.data, training=first.config.training)
    tables = identity_of(resolved, first.material.digest, first.weights)
    shift = {} if run.data_seed is None else {"data_seed_minus_seed": run.data_seed - run.seed}
    tables["run"] = shift
    for name in (*swept, *tuned, question):
        for table in tables.values():
            table.pop(name, None)
    if match:
        tables["match"] = {"size": match, "layers": base.model.layers}
    known: dict[str, Any] = {} if question == "layers" else {COMPARED: question}
    known |= {TUNED: sorted(tuned)} if tuned else {}
    results = grid.results(first.material.digest)
    return {**tables, "swept": dict(swept), "results": results, **known}


def differences(known: Mapping[str, Any], asked: Mapping[str, Any]) -> list[str]:
    """Where two identities differ, in words: the settings and their values.

    A setting that one of them does not name, as it is newer, is at its default there.
    """
    names, flat = differing(known, asked), [_flat(each) for each in (known, asked)]
    return [
        f"`{_option(name)}` {_value(flat[0].get(name))} there, {_value(flat[1].get(name))} here"
        for name in names
        if name not in FILES
    ] + [_changed(name, *(each.get(name) for each in flat)) for name in names if name in FILES]


def _option(name: str) -> str:
    return "--tune" if name == TUNED else option_name(name)


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
        f"the content of `{option_name(name)}` has changed: SHA-256 {known[:8]} there, "
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
